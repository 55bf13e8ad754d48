"""The centre of a particle in every frame: match its mean envelope near the predicted place, then smooth over time.

Two rounds: the first predicts by interpolation between detection windows, the second by the smoothed path, with an
envelope that is sharper for it. Positions are smoothed in the aligned frame, so that jumps of the stage are no motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from single_rs.background.envelope import match_surface, measure_on_surface, radial_profile
from single_rs.base.trajectory import smooth_path, walk_variances
from single_rs.frames.spectrum import radius_map
from single_rs.track.lattice_variance import VarianceMaps

__all__ = ["Path", "follow"]

# The envelope ends at this multiple of the radius of detection.
ENVELOPE = 1.3
# Distance from the prediction, in radii, within which the first and the second round search.
REACH = (0.8, 0.5)
# Newton steps and smoothings in each round.
ROUNDS = 3
BLOCK = 256


@dataclass(frozen=True)
class Path:
    """Smoothed path: frames (m,), position (m, 2) raw px (x, y), sigma (m,) px, height (m,) in noise sigma."""

    frames: NDArray[np.int64]
    position: NDArray[np.float64]
    sigma: NDArray[np.float64]
    height: NDArray[np.float64]


def follow(
    maps: VarianceMaps, select: slice, predicted: NDArray[np.float64], shifts: NDArray[np.float64], radius: float
) -> Path:
    """Follow one particle through the maps `select`.

    Parameters
    ----------
    maps
        Variance maps of the movie.
    select
        The maps in which the particle is.
    predicted
        (m, 2) px, positions in the aligned frame to start from.
    shifts
        (m, 2) px, drift of those frames.
    radius
        Cells, from detection.
    """
    frames = maps.frames[select]
    numbers = np.arange(len(maps.frames))[select]
    aligned = predicted
    variance = np.zeros(len(frames))
    for reach in REACH:
        window = max(int(np.ceil(reach * radius)), 4)
        half = int(np.ceil(ENVELOPE * radius)) + window + 2
        side = next_fast_len(2 * half, real=True)
        side += side % 2
        centre = np.rint(maps.to_cell(aligned + shifts)).astype(np.intp)
        blocks = [slice(s, s + BLOCK) for s in range(0, len(frames), BLOCK)]
        total = np.zeros((side, side))
        for part in blocks:
            total += _patches(maps, numbers[part], centre[part], side).sum(axis=0, dtype=np.float64)
        template = _envelope(total / len(frames), radius)
        surfaces = np.concatenate(
            [match_surface(_patches(maps, numbers[part], centre[part], side), template, window) for part in blocks]
        )
        for _ in range(ROUNDS):
            offset, relative, height = measure_on_surface(surfaces, maps.to_cell(aligned + shifts) - centre)
            measured = maps.to_pixel(centre + offset) - shifts
            step, noise = walk_variances(frames, measured, relative)
            aligned, variance = smooth_path(frames, measured, noise * relative, step)
    # An envelope of zeros, where nothing stands out on average, gives heights of zero.
    unit = max(maps.scatter * float(np.sqrt(np.sum(template.astype(np.float64) ** 2))), 1e-12)
    return Path(frames, aligned + shifts, np.sqrt(variance), height / unit)


def _envelope(mean: NDArray[np.float64], radius: float) -> NDArray[np.float32]:
    """Radial profile of the mean patch as an image (side, side), zero beyond `ENVELOPE` radii."""
    profile = radial_profile(mean)
    profile[int(np.ceil(ENVELOPE * radius)) + 1 :] = 0.0
    return np.interp(radius_map(len(mean)), np.arange(len(profile)), np.maximum(profile, 0.0), right=0.0).astype(
        np.float32
    )


def _patches(maps: VarianceMaps, numbers: NDArray[np.intp], centre: NDArray[np.intp], side: int) -> NDArray[np.float32]:
    """Patches (m, side, side) of maps about `centre` (x, y), less the base; 0, the expected noise, beyond the field."""
    _, rows, columns = maps.values.shape
    out = np.zeros((len(numbers), side, side), np.float32)
    for patch, number, (x, y) in zip(out, numbers, centre - side // 2):
        top, bottom = max(int(y), 0), min(int(y) + side, rows)
        left, right = max(int(x), 0), min(int(x) + side, columns)
        if top < bottom and left < right:
            cells = maps.values.rows(int(number), top, bottom)[:, left:right]
            np.subtract(cells, np.float32(maps.base), out=patch[top - y : bottom - y, left - x : right - x])
    return out
