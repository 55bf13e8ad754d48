"""Pixels: units and sizes that can be true, and values that can be used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import InputError

__all__ = ["ANGSTROM", "LIKELY", "angstroms", "check_pixel_size", "unlikely_pixel", "unusable"]

# Å per unit, by the names that microscopes and programs write.
ANGSTROM = {
    "å": 1.0, "angstrom": 1.0, "angstroms": 1.0, "a": 1.0, "ang": 1.0,
    "nm": 10.0, "n_m": 10.0, "nanometer": 10.0, "nanometers": 10.0,
    "pm": 0.01, "picometer": 0.01, "p_m": 0.01,
    "µm": 1e4, "um": 1e4, "u_m": 1e4, "micron": 1e4, "microns": 1e4, "micrometer": 1e4,
    "mm": 1e7, "cm": 1e8, "inch": 2.54e8, "m": 1e10, "meter": 1e10, "bohr": 0.529177,
}  # fmt: skip
# Å; below no microscope records, above no lattice is seen. What lies outside is mostly of another unit.
LIKELY = (0.04, 20.0)
ACCEPTED = (1e-3, 1e3)  # Å, of a size that somebody gives on purpose
LIKELY_UNITS = ("nm", "m", "µm", "pm", "mm", "cm")  # that a pixel size may be in, the likeliest first


def angstroms(unit: object) -> float | None:
    """Return Å per `unit`, ``None`` when it is no length."""
    name = str(unit or "").strip().lower().strip("[]")
    name = name.replace("\\u00b5", "µ").replace("μ", "µ").replace("\\u00c5", "å").replace("\u212b", "å")
    return ANGSTROM.get(name)


def unlikely_pixel(pixel_size: float) -> str | None:
    """Return why a pixel size (Å) in a header cannot be true, and the factor that would make it so; else ``None``."""
    if LIKELY[0] <= pixel_size <= LIKELY[1]:
        return None
    text = f"{pixel_size:.4g} Å per pixel, which cannot be true (accepted {LIKELY[0]:g} to {LIKELY[1]:g} Å)"
    for unit in LIKELY_UNITS:
        factor = ANGSTROM[unit]
        if LIKELY[0] <= pixel_size * factor <= LIKELY[1]:
            return f"{text}; if it is in {unit} it is {pixel_size * factor:.4g} Å (× {factor:g})"
    return text


def unusable(values: NDArray[Any]) -> str | None:
    """Return what is wrong with values that are NaN, infinite, or too large for sums of squares in float32."""
    flat = np.ravel(np.asarray(values, np.float32))
    with np.errstate(over="ignore", invalid="ignore"):
        # One pass: a sum of squares is finite exactly when all of its terms are and it fits.
        if np.isfinite(np.dot(flat, flat)):
            return None
    if not np.isfinite(values).all():
        return "NaN or infinite values; remove it"
    return f"values up to {np.abs(values).max():.3g}; divide all by one number, so that they are below 1e15"


def check_pixel_size(pixel_size: float) -> float:
    """Return `pixel_size` (Å) as a float; raise `InputError` when it is not a positive number that can be one."""
    value = float(pixel_size)
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"pixel size is {pixel_size} Å; a positive number is needed (e.g. --pixel-size 0.358)")
    if not ACCEPTED[0] <= value <= ACCEPTED[1]:
        raise InputError(f"pixel size is {pixel_size:g} Å; {ACCEPTED[0]:g} to {ACCEPTED[1]:g} Å are accepted")
    return value
