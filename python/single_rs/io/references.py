"""Gain and dark references of a camera, in the geometry of its frames.

A gain reference multiplies the frames: a pixel that counts too little has a value above 1, a defect 0. A flat field,
and the .gain files beside EER movies, hold the sensitivity itself; frames are divided by it over its mean. Whether a
reference lies right is seen in the frames: their mean follows the sensitivity, in one orientation only.
"""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from single_rs.base.errors import InputError
from single_rs.base.reading import Reading
from single_rs.base.sampling import evenly
from single_rs.io.formats import open_source
from single_rs.io.source import FrameSource

__all__ = ["References", "read_references"]

SAMPLE = 16  # frames from which the orientation of a gain reference is looked at
SMOOTHED = 9  # px; the sensitivity of pixels is compared with that of their neighbours, which takes the specimen out
LEAST_SIGNIFICANCE = 8.0  # standard deviations of the correlation of unrelated images
LEAST_FACTOR = 2.0  # of the correlation as given, which another orientation must exceed
LARGEST_SIZE_FACTOR = 4  # a gain reference of physical pixels serves frames of up to so many sub-pixels along each edge

log = logging.getLogger(__name__)


class References:
    """Dark and gain reference, each (y, x) float32 or ``None``; `apply` corrects frames by them."""

    def __init__(self, dark: NDArray[np.float32] | None, gain: NDArray[np.float32] | None) -> None:
        self.dark, self.gain = dark, gain

    def apply(self, block: NDArray[Any], part: tuple[slice, slice]) -> NDArray[np.float32]:
        """Return frames (m, y, x), of which `part` was taken, as corrected float32 counts."""
        out = np.array(block, np.float32, order="C")
        if self.dark is not None:
            out -= self.dark[part]
        if self.gain is not None:
            out *= self.gain[part]
        return out


def read_references(source: FrameSource, path: Path, reading: Reading) -> References | None:
    """Return the references that `reading` names, as factors for the frames of `source`; ``None`` without any.

    Raises
    ------
    InputError
        A reference of another size, or with values that no reference has.
    """
    if not reading.references:
        return None
    rows, columns = source.shape[1:]
    dark = None
    if reading.dark is not None:
        dark = _fitting(Path(reading.dark), _image(Path(reading.dark)), (rows, columns), "")
    if reading.gain is None:
        return References(dark, None)
    file = Path(reading.gain)
    image = _image(file)
    divides = reading.gain_divide or file.suffix.lower() == ".gain"
    if (image < 0).any() or not (image > 0).any():
        raise InputError(f"{file} has values from {image.min():.4g} to {image.max():.4g}; a gain reference is above 0")
    factor = _inverse(image) if divides else image
    turned = _turned(factor, reading.gain_rotate, reading.gain_flip)
    hint = "; --gain-rotate 90 would turn it" if turned.shape == (columns, rows) else ""
    gain = _fitting(file, turned, (rows, columns), hint)
    _look_at_orientation(file, factor, gain, source, path, dark, reading)
    return References(dark, gain)


def _image(path: Path) -> NDArray[np.float32]:
    """Return a reference image (y, x): the mean where a file holds several frames."""
    source = open_source(path)
    total = np.zeros(source.shape[1:])
    for i in range(source.shape[0]):
        total += source.read(i, i + 1)[0]
    if not np.isfinite(total).all():
        raise InputError(f"{path} holds NaN or infinite values; a reference has a number for each pixel")
    return np.asarray(total / source.shape[0], np.float32)


def _inverse(sensitivity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return mean / sensitivity; a defect, 0, stays 0."""
    mean = sensitivity.mean(dtype=np.float64)
    return np.asarray(np.divide(mean, sensitivity, out=np.zeros_like(sensitivity), where=sensitivity > 0))


def _turned(image: NDArray[np.float32], degrees: int, flip: str | None) -> NDArray[np.float32]:
    """Return an image turned counter-clockwise, then reversed along x or y."""
    turned = np.rot90(image, degrees // 90)
    return np.asarray(turned[:, ::-1] if flip == "x" else turned[::-1] if flip == "y" else turned)


def _fitting(path: Path, image: NDArray[np.float32], shape: tuple[int, int], hint: str) -> NDArray[np.float32]:
    """Return a reference of the size of the frames; one of physical pixels is repeated for frames of sub-pixels."""
    rows, columns = image.shape
    times = shape[0] // rows
    if 1 < times <= LARGEST_SIZE_FACTOR and (rows * times, columns * times) == shape:
        return np.repeat(np.repeat(image, times, axis=0), times, axis=1)
    if image.shape != shape:
        raise InputError(f"{path} is {rows} × {columns} px, the frames are {shape[0]} × {shape[1]}{hint}")
    return np.ascontiguousarray(image)


def _look_at_orientation(
    file: Path,
    factor: NDArray[np.float32],
    used: NDArray[np.float32],
    source: FrameSource,
    path: Path,
    dark: NDArray[np.float32] | None,
    reading: Reading,
) -> None:
    """Warn when the frames' mean follows the reference better turned, flipped or inverted than as it is used."""
    chosen = evenly(source.shape[0], SAMPLE)
    mean = sum(source.read(int(i), int(i) + 1)[0].astype(np.float64) for i in chosen) / len(chosen)
    if dark is not None:
        mean -= dark
    level = float(np.mean(mean))
    if not level > 0:
        return
    detail = _detail(mean / level)
    if not _detail(factor).any():
        return
    as_used = _agreement(detail, _inverse(used))
    found = []
    for degrees, flip in itertools.product((0, 90, 180, 270), (None, "x")):
        turned = _turned(factor, degrees, flip)
        if used.shape[0] % turned.shape[0] or used.shape[0] // turned.shape[0] * turned.shape[1] != used.shape[1]:
            continue
        times = used.shape[0] // turned.shape[0]
        whole = np.repeat(np.repeat(turned, times, axis=0), times, axis=1)
        found.append((_agreement(detail, _inverse(whole)), degrees, flip, False))
        found.append((_agreement(detail, whole), degrees, flip, True))
    best, degrees, flip, inverted = max(found, key=lambda f: f[0])
    if best * np.sqrt(detail.size) < LEAST_SIGNIFICANCE:
        log.warning(
            "%s: its pattern is not seen in the mean of %d frames of %s; look whether it is theirs",
            file, len(chosen), path,
        )  # fmt: skip
    elif best > LEAST_FACTOR * max(as_used, 0.0):
        words = ([f"--gain-rotate {degrees}"] if degrees else []) + ([f"--gain-flip {flip}"] if flip else [])
        divides = reading.gain_divide or file.suffix.lower() == ".gain"
        if inverted and not divides:
            words.append("--gain-divide")
        said = " ".join(words) or "no turn and no flip"
        as_file = ", multiplied instead of divided" if inverted and divides else ""
        log.warning(
            "%s does not fit the frames of %s as it is used (correlation %.3f); with %s%s it does (%.3f)",
            file, path, as_used, said, as_file, best,
        )  # fmt: skip


def _detail(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return what distinguishes pixels from their neighbours, outliers bounded."""
    values = np.asarray(image, np.float64)
    detail = values - uniform_filter(values, SMOOTHED, mode="reflect")
    spread = 4 * float(np.median(np.abs(detail))) / 0.6745
    return np.asarray(np.clip(detail, -spread, spread)) if spread > 0 else detail


def _agreement(detail: NDArray[np.float64], sensitivity: NDArray[np.float32]) -> float:
    """Return the correlation of the detail of the frames' mean with that of a sensitivity."""
    other = _detail(sensitivity)
    both = float(np.sqrt(np.sum(detail**2) * np.sum(other**2)))
    return float(np.sum(detail * other)) / both if both > 0 else 0.0
