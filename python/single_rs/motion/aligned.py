"""Frames moved so that the specimen stands still: bad pixels repaired, drift taken out, local shifts left.

Whole pixels are moved exactly and the rest, half a pixel at most, by a Fourier shift.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.progress import Progress
from single_rs.frames.spectrum import rfft_frequencies
from single_rs.records import Motion

__all__ = ["aligned_frames", "moved"]


def moved(
    frame: NDArray[np.float32], shift: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[slice, slice], tuple[slice, slice]]:
    """Return a frame (y, x) after a Fourier shift, and the slices (to, from) that move it by whole pixels."""
    ny, nx = frame.shape
    ky, kx = rfft_frequencies((ny, nx))
    whole = np.rint(shift).astype(int)
    dx, dy = shift - whole
    part = np.fft.irfft2(np.fft.rfft2(frame) * np.exp(2j * np.pi * (kx * dx + ky * dy)), (ny, nx))
    (to_y, from_y), (to_x, from_x) = _overlap(-whole[1], ny), _overlap(-whole[0], nx)
    return part, (to_y, to_x), (from_y, from_x)


def _overlap(move: int, n: int) -> tuple[slice, slice]:
    """Slices (to, from) that move a line of n pixels by `move`."""
    move = int(np.clip(move, -n, n))
    return slice(max(move, 0), n + min(move, 0)), slice(max(-move, 0), n - max(move, 0))


def aligned_frames(movie: Any, motion: Motion, progress: Progress | None = None) -> Iterator[NDArray[np.float32]]:
    """Yield all frames (y, x) in counts, each moved by its drift; what the field did not hold has the frame's mean.

    Parameters
    ----------
    movie
        `single_rs.io.Movie`, or anything with `shape` (n, y, x) and `read(start, stop)`.
    motion
        Of that movie.
    progress
        Called as progress(stage, done, total).
    """
    n = movie.shape[0]
    for t in range(n):
        frame = motion.repair(movie.read(t, t + 1)[0], t)
        part, to, source = moved(frame, motion.shifts[t])
        out = np.full(frame.shape, frame.mean(dtype=np.float64), np.float32)
        out[to] = part[source]
        yield out
        if progress:
            progress("motion: aligned movie", t + 1, n)
