"""JSON of our files: NaN and infinities, which JSON has not, are null, and null is read as NaN where a number was."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from single_rs.base.errors import DataFileError
from single_rs.io.atomic import write_text

__all__ = ["number", "read_json", "write_json"]

SURROGATE = re.compile("[\ud800-\udfff]")  # how Python holds bytes of a name that are not UTF-8


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
    text = json.dumps(_plain(content), indent=1, ensure_ascii=False)
    if SURROGATE.search(text):
        text = json.dumps(_plain(content), indent=1)  # a file name that is not UTF-8: escaped, it comes back as it was
    write_text(path, text + "\n")


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    path
        File.

    Raises
    ------
    DataFileError
        When it is missing, not JSON, or holds something else than an object.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataFileError(f"{path} cannot be read: {error}; make it anew") from None
    if not isinstance(content, dict):
        raise DataFileError(f"{path} holds a {type(content).__name__}; a JSON object is needed")
    return content


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
