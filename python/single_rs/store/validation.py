"""The checks of a particle in its validation.json, and the pictures beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from single_rs.io import write_array
from single_rs.records import Validation
from single_rs.records.validation import CheckRecord, ValidationRecord
from single_rs.store.codecs import read_record, write_record
from single_rs.store.layout import PICTURES, VALIDATION

__all__ = ["read_validation", "write_validation"]

DIGITS = 6  # significant, of arrays: full ones are noise and most of the file


def write_validation(folder: Path, result: Validation, inputs: str) -> None:
    """Write the ``validation.json`` of a particle, and pictures as arrays of their own.

    Parameters
    ----------
    folder
        It must exist.
    result
        The checks.
    inputs
        Hash of what they were made of.
    """
    checks = []
    for check in result.checks:
        data = {name: _rounded(value) for name, value in check.data.items() if name != "pictures"}
        if "pictures" in check.data:
            pictures = np.asarray(check.data["pictures"], np.float32)
            write_array(folder / PICTURES.format(check=check.name), pictures)
        checks.append(CheckRecord.of(check, data))
    write_record(folder / VALIDATION, ValidationRecord(result.particle, result.status, tuple(checks), inputs))


def read_validation(folder: Path, inputs: str | None = None) -> Validation:
    """Read the ``validation.json`` of a particle.

    Parameters
    ----------
    folder
        particle_NN of a run.
    inputs
        Hash of what the checks must have been made of, else there are none; any will do when not given.

    Raises
    ------
    DataFileError
        A file that is missing or not one of ours.
    """
    record = read_record(folder / VALIDATION, ValidationRecord)
    checks = []
    for one in record.checks if inputs in (None, record.inputs) else ():
        data = {k: np.asarray(v, float) if _numeric(v) else v for k, v in one.data.items()}
        pictures = folder / PICTURES.format(check=one.name)
        if one.criteria and pictures.exists():
            data["pictures"] = np.load(pictures, allow_pickle=False)
        checks.append(one.check(data))
    return Validation(record.particle, tuple(checks))


def _rounded(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        flat = [float(f"{v:.{DIGITS}g}") for v in value.ravel().tolist()]
        return np.array(flat).reshape(value.shape)
    return value


def _numeric(value: Any) -> bool:
    """Whether a value of JSON was an array of numbers; null was NaN."""
    if not isinstance(value, list) or not value:
        return False
    return all(v is None or isinstance(v, (int, float)) for v in value) or _numeric(value[0])
