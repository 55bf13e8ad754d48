"""Hot and dead pixels and bad frames, from one streaming pass over the movie.

A pixel is judged by its mean over the frames (without its largest value, so that one X-ray does not count) against
the median of its 5 x 5 neighbourhood, in robust standard deviations (1.4826 MAD) of all pixels. A frame is judged by
mean, variance over mean, and neighbour correlation in x and y against the running median over time, in the same unit,
and by a relative change that matters: shot noise alone is never a reason. Reference: Leys et al. 2013,
doi:10.1016/j.jesp.2013.03.013 (median absolute deviation).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import median_filter

from single_rs import _core
from single_rs.base.errors import InputError
from single_rs.base.progress import Progress
from single_rs.base.robust import SIGMA_PER_MAD
from single_rs.base.sampling import evenly
from single_rs.frames.blocks import block_ranges, read_ahead

BLOCK_BYTES = 64 * 2**20
"""Memory of one block of float32 frames, bytes."""
SAMPLED = 2**21
"""Most pixels of a frame, in evenly spread rows, that are looked at for the range of plausible values."""
GROSS = (0.5, 1.6)
"""Frames whose mean is outside this range of the typical one stay out of the pixel sums (blank, double exposure)."""
TIME_WINDOW = 101
"""Running median of the frame statistics, frames: follows a slowly changing beam."""


@dataclass(frozen=True)
class PixelReport:
    """What the statistics pass found.

    Attributes
    ----------
    hot, dead : (k, 2) int arrays of (x, y).
    mask : (y, x) bool, hot or dead.
    mean : (y, x) float32, mean of the good frames in counts, bad pixels repaired.
    ceiling : float, counts; a single value above it is an X-ray or a flash, not the specimen.
    reasons : (n,) str, empty for a good frame.
    """

    hot: np.ndarray
    dead: np.ndarray
    mask: np.ndarray
    mean: np.ndarray
    ceiling: float
    reasons: np.ndarray


def blocks(n: int, frame_bytes: int, limit: int = BLOCK_BYTES) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of consecutive blocks of at most `limit` bytes and 64 frames."""
    step = max(1, min(64, limit // max(frame_bytes, 1)))
    for start in range(0, n, step):
        yield start, min(start + step, n)


def robust_scale(values: np.ndarray) -> float:
    """Return the standard deviation by the median absolute deviation, rounded to the type of the values."""
    return float(SIGMA_PER_MAD * np.median(np.abs(values - np.median(values))))


def read_float(movie: Any, start: int, stop: int) -> np.ndarray:
    """Read frames [start, stop) as a new contiguous float32 array (m, y, x)."""
    block = np.array(movie.read(start, stop), dtype=np.float32, order="C", copy=True)
    if block.ndim != 3:
        raise InputError(f"movie.read gave an array of shape {block.shape}; (frames, y, x) is needed")
    return block


def _clip_range(movie: Any) -> tuple[float, float]:
    """Bounds of plausible values, counts, from up to 16 frames spread over the movie."""
    n = movie.shape[0]
    thin = -(-movie.shape[1] * movie.shape[2] // SAMPLED)
    sample = np.stack([np.array(movie.read(i, i + 1)[0, ::thin], np.float32) for i in evenly(n, 16)])
    values = sample[np.isfinite(sample)]
    if values.size == 0:
        raise InputError("the movie holds no finite value in 16 frames; give counts")
    level = float(np.median([np.median(f[np.isfinite(f)]) for f in sample if np.isfinite(f).any()]))
    if values.min() == values.max():
        raise InputError(
            f"all of {len(sample)} frames looked at hold one value, {values[0]:g}; a movie is needed, check the file"
        )
    spread = max(robust_scale(values), np.sqrt(abs(level)), float(np.std(values - level)) * 0.05, 1e-6)
    return level - 20 * spread, level + 20 * spread


def survey(
    movie: Any,
    pixel_sigma: float,
    frame_sigma: float,
    progress: Progress | None = None,
    keep: Callable[[int, np.ndarray], None] | None = None,
) -> PixelReport:
    """Find bad pixels and bad frames in one pass, see the module docstring; `keep(start, frames)` gets every block."""
    n, ny, nx = movie.shape
    low, high = _clip_range(movie)
    frames = np.zeros((n, 4))
    total, square = np.zeros((ny, nx)), np.zeros((ny, nx))
    top = np.full((ny, nx), -np.inf, np.float32)
    used = 0
    typical: float | None = None
    for start, stop, block in read_ahead(movie, block_ranges(movie)):
        if keep:
            keep(start, block)
        if block.dtype.kind == "f" and not (finite := np.isfinite(block)).all():
            block = np.where(finite, block, np.float32(high))
        frames[start:stop] = _core.motion_frame_statistics(block, low, high)
        typical = float(np.median(frames[:stop, 0])) if typical is None else typical
        mean = frames[start:stop, 0]
        plain = (mean > GROSS[0] * typical) & (mean < GROSS[1] * typical) if typical > 0 else np.ones(len(mean), bool)
        if plain.any():
            _core.motion_accumulate_pixels(block[plain] if not plain.all() else block, total, square, top)
            used += int(plain.sum())
        if progress:
            progress("motion: statistics", stop, n)
    if used == 0:
        raise InputError(f"all {n} frames differ from the first block by more than {GROSS}; check the movie")
    hot, dead = bad_pixels(total, square, top, used, pixel_sigma)
    mask = np.zeros((ny, nx), bool)
    for found in (hot, dead):
        mask[found[:, 1], found[:, 0]] = True
    mean_image = (total / used).astype(np.float32)[None]
    _core.motion_repair(mean_image, mask, np.inf)
    return PixelReport(
        hot, dead, mask, mean_image[0], _ceiling(total, square, top, used, mask), bad_frames(frames, frame_sigma)
    )


def _moments(total: np.ndarray, square: np.ndarray, top: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance per pixel without the largest value (with it when there are fewer than 4 frames)."""
    if n >= 4:
        top64 = top.astype(np.float64)
        total, square, n = total - top64, square - np.square(top64, out=top64), n - 1
        total /= n
        square /= n
    else:
        total, square = total / n, square / n
    square -= total**2
    return total, np.maximum(square, 0.0, out=square)


def bad_pixels(
    total: np.ndarray, square: np.ndarray, top: np.ndarray, n: int, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Hot and dead pixels as (k, 2) int arrays of (x, y).

    Hot: mean above the neighbourhood by `sigma` and by 30 %, or nine times its variance. Dead: mean below by `sigma`
    and by 50 %, or hardly any variance. The relative limits keep gain differences and the specimen out.
    """
    mean, variance = _moments(total, square, top, n)
    around = _core.motion_local_median(mean)
    deviation = mean - around
    typical = float(np.median(variance))
    scale = max(robust_scale(deviation), float(np.sqrt(typical / n)), 1e-12)
    z = deviation / scale
    hot = (z > sigma) & (deviation > 0.3 * np.abs(around))
    dead = (z < -sigma) & (deviation < -0.5 * np.abs(around))
    if n >= 16 and typical > 0:
        around_variance = _core.motion_local_median(variance)
        hot |= (variance > 9 * around_variance) & (variance > 9 * typical)
        dead |= (variance < 0.05 * around_variance) & (variance < 0.05 * typical) & ~hot
    return (np.argwhere(hot)[:, ::-1].copy(), np.argwhere(dead & ~hot)[:, ::-1].copy())


def _ceiling(total: np.ndarray, square: np.ndarray, top: np.ndarray, n: int, mask: np.ndarray) -> float:
    """Largest plausible single value, counts: 20 standard deviations above the brightest regular pixels."""
    mean, variance = _moments(total, square, top, n)
    good = ~mask
    if not good.any():
        raise InputError("all pixels look hot or dead; check the movie")
    return float(np.percentile(mean[good], 99.9) + 20 * np.sqrt(np.percentile(variance[good], 99.9)) + 1e-6)


def bad_frames(statistics: np.ndarray, sigma: float) -> np.ndarray:
    """Reasons (n,) str per frame from (n, 4) statistics: mean, variance, x and y neighbour correlation."""
    n = len(statistics)
    reasons = np.full(n, "", dtype="U24")
    mean, variance, along_x, along_y = statistics.T
    level, spread = float(np.median(mean)), float(np.sqrt(max(np.median(variance), 0.0)))
    # Variance over mean is 1 for counts at any dose; data around zero have no such ratio.
    counted = level > 0.2 * spread**2 or level > spread
    dispersion = variance / np.maximum(mean, 0.05 * level) if counted else variance

    def outlier(values: np.ndarray, change: float) -> tuple[np.ndarray, np.ndarray]:
        slow = median_filter(values, min(TIME_WINDOW, 2 * (n // 2) + 1), mode="reflect")
        deviation = values - slow
        scale = max(robust_scale(deviation), 1e-9)
        return (np.abs(deviation) > sigma * scale) & (np.abs(deviation) > change), deviation

    for name, values, change in (
        ("y correlation", along_y, 0.1),
        ("x correlation", along_x, 0.1),
        ("variance", dispersion, 0.25 * float(np.median(dispersion))),
    ):
        reasons[outlier(values, change)[0]] = name
    wrong, deviation = outlier(mean, max(0.1 * abs(level), 0.02 * spread))
    reasons[wrong] = "dose"
    if counted:
        reasons[wrong & (deviation < -0.5 * level)] = "blank"
        reasons[wrong & (deviation > 0.6 * level)] = "double exposure"
    reasons[~np.isfinite(statistics).all(axis=1)] = "not finite"
    return reasons
