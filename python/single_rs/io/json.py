"""JSON of our files: NaN and infinities, which JSON has not, are null, and null is read as NaN where a number was."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from single_rs.io.atomic import write_text

__all__ = ["number", "write_json"]


def write_json(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write an object as indented JSON in UTF-8, whole or not at all.

    Parameters
    ----------
    path
        File; replaced if it exists.
    content
        Mappings, sequences, arrays and scalars of NumPy or Python, nested at will.

    Raises
    ------
    DataFileError
        When the file cannot be written.
    """
    write_text(path, json.dumps(_plain(content), indent=1, ensure_ascii=False) + "\n")


def number(value: Any) -> float:
    """Return a number of JSON as float, NaN for null."""
    return float("nan") if value is None else float(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
