"""Checks that records make when they are made: one line says what was given and what is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.bounds import LARGEST_LENGTH
from single_rs.base.errors import InputError

__all__ = [
    "need_at_least",
    "need_finite",
    "need_finite_images",
    "need_positive",
    "need_record",
    "need_rotations",
    "need_shape",
    "need_share",
]

ORTHONORMAL = 1e-3  # single precision leaves 1e-6; six digits in a file leave 1e-5
ROUNDING = 1e-6  # by which a posterior in single precision may leave [0, 1]


def need_record(value: Any, kind: type, remedy: str) -> None:
    """Refuse what is not the record that a stage works on; `remedy` says how to make one."""
    if not isinstance(value, kind):
        raise InputError(f"a {kind.__name__} is needed, and {type(value).__name__} was given; {remedy}")


def need_shape(name: str, array: Any, shape: tuple[int, ...]) -> None:
    """Refuse an array of another shape."""
    if np.shape(array) != shape:
        raise InputError(f"{name} has shape {np.shape(array)}; {shape} is needed")


def need_finite(name: str, array: Any) -> None:
    """Refuse NaN, infinities and what is no number."""
    values = np.asarray(array)
    if values.dtype.kind not in "biuf":
        raise InputError(f"{name} holds values of type {values.dtype}; numbers are needed")
    # The kernels work in single precision, in which larger values are infinite.
    bad = int(np.sum(~(np.abs(values) <= np.finfo(np.float32).max)))
    if bad:
        raise InputError(f"{name} holds {bad} NaN or infinite values; finite ones are needed")


def need_at_least(name: str, array: Any, least: float, nan: bool = False) -> None:
    """Refuse values below `least`, and NaN unless `nan` says that it stands for what is not known."""
    values = np.asarray(array)
    if not nan:
        need_finite(name, values)
    low = values < least
    if low.any():
        raise InputError(f"{name} holds {int(low.sum())} values below {least:g}, as {values[low][0]:g}; none may be")


def need_share(name: str, array: Any, nan: bool = False) -> None:
    """Refuse values outside [0, 1], but for rounding, and NaN unless `nan` says that it stands for the unknown."""
    need_at_least(name, array, -ROUNDING, nan)
    values = np.asarray(array)
    high = values > 1 + ROUNDING
    if high.any():
        raise InputError(f"{name} holds {int(high.sum())} values above 1, as {values[high][0]:g}; 0 to 1 is needed")


def need_positive(name: str, value: float, unit: str = "") -> None:
    """Refuse a number that is not above 0, or in Å is no length of a particle."""
    if not isinstance(value, (int, float, np.integer, np.floating)):
        raise InputError(f"{name} is {value!r}; a number is needed{unit and ' in '}{unit}")
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"{name} is {value:g}{unit and ' '}{unit}; a positive number is needed")
    if unit == "Å" and value > LARGEST_LENGTH:
        raise InputError(f"{name} is {value:g} Å; no particle reaches {LARGEST_LENGTH:.0e} Å")


def need_rotations(name: str, rotations: NDArray[Any]) -> None:
    """Refuse matrices (n, 3, 3) that are no proper rotations."""
    need_finite(name, rotations)
    matrices = np.asarray(rotations, np.float64)
    error = np.abs(matrices @ matrices.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    wrong = np.flatnonzero((error > ORTHONORMAL) | (np.linalg.det(matrices) < 0))
    if len(wrong):
        first = int(wrong[0])
        raise InputError(
            f"{name}: {len(wrong)} of {len(matrices)} are no proper rotations, as number {first}, off by "
            f"{error[first]:.2g} with determinant {np.linalg.det(matrices[first]):.2g}; "
            f"R·Rᵀ = 1 to {ORTHONORMAL:g} and determinant 1 are needed"
        )


def need_finite_images(name: str, images: NDArray[Any]) -> None:
    """Refuse images (n, y, x) with NaN or infinite values."""
    # A sum in double precision is finite exactly when all values in single precision are, and needs no second array.
    sums = images.sum(axis=(1, 2), dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(sums))
    if len(bad):
        raise InputError(
            f"{name}: {len(bad)} of {len(images)} hold NaN or infinite values, as number {int(bad[0])}; "
            "repair or drop these"
        )
