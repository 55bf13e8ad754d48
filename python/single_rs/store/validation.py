"""The checks of a particle, read back from its validation.json."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from single_rs.base.errors import DataFileError
from single_rs.io.json import number
from single_rs.records import Check, Criterion, Validation
from single_rs.store.layout import PICTURES, VALIDATION

__all__ = ["parse_validation", "read_validation"]


def read_validation(folder: str | os.PathLike[str]) -> Validation:
    """Read the ``validation.json`` of a particle.

    Parameters
    ----------
    folder
        particle_NN of a run.

    Raises
    ------
    DataFileError
        A file that is missing or not one of ours.
    """
    path = Path(folder) / VALIDATION
    try:
        return parse_validation(json.loads(path.read_text(encoding="utf-8")), path.parent)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataFileError(f"cannot read {path}: {error}; 'single-rs validate {folder}' writes it") from None


def parse_validation(content: dict[str, Any], folder: Path) -> Validation:
    """Return what a validation.json says; pictures lie beside it."""
    checks = []
    for c in content["checks"]:
        criteria = tuple(
            Criterion(
                k["name"], number(k["value"]), number(k["limit"]), k["comparison"] == "at least", k["unit"], k["reason"]
            )
            for k in c["criteria"]
        )
        data = {k: np.asarray(v, float) if _numeric(v) else v for k, v in c["data"].items()}
        pictures = folder / PICTURES.format(check=c["name"])
        if c["criteria"] and pictures.exists():
            data["pictures"] = np.load(pictures, allow_pickle=False)
        numbers = {k: number(v) for k, v in c["numbers"].items()}
        checks.append(
            Check(c["name"], criteria, c["message"], numbers, data, number(c["seconds"]), c.get("undecided", ""))
        )
    return Validation(content["particle"], tuple(checks))


def _numeric(value: Any) -> bool:
    """Whether a value of JSON was an array of numbers; null was NaN."""
    if not isinstance(value, list) or not value:
        return False
    return all(v is None or isinstance(v, (int, float)) for v in value) or _numeric(value[0])
