"""Maps of local lattice variance, one per frame: where single frames hold more fine detail than noise.

A particle that tumbles loses its lattice in an average of frames, but not in an average of their local variance. Each
frame is filtered to y (see `background.envelope`), y² is averaged over cells of about 1 Å to e, and bounded as
e / (e + 2 e₀), e₀ the level of the noise; a byte per cell holds it. Cell i covers the pixels i·bin … i·bin + bin - 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from single_rs.background.envelope import HALF_LEVEL
from single_rs.base.progress import Progress
from single_rs.base.robust import SIGMA_PER_MAD
from single_rs.frames.spectrum import rfft_frequencies
from single_rs.records import Graphene
from single_rs.records.track import MotionLike, MovieLike

__all__ = ["VarianceMaps", "flat_gain", "matched_gain", "mean_variance", "read_contrast", "variance_maps"]

# Edge of a cell, Å: finer than the soft edge of a particle's envelope (3 Å).
CELL_A = 1.0
# Band, 1/Å, of the first look: from below the largest lattice spacings of metals to where transfer fades.
FIRST_BAND = (0.35, 0.95)
# Coefficients around a graphene reflection that are left out; a frame is large, its spots are narrow.
NOTCH_PX = 2.0
BLOCK = 16
# A frame whose mean is below this fraction of its standard deviation holds no counts of a known zero.
CENTRED = 0.2


@dataclass(frozen=True)
class VarianceMaps:
    """Bounded variance of the good frames.

    Attributes
    ----------
    values
        (m, cells y, cells x) uint8, 255 × bounded variance.
    frames
        (m,) frame of each map.
    bin
        Pixels per cell edge.
    base
        Median of all maps: the level without particle.
    scatter
        Standard deviation of one cell from frame to frame.
    """

    values: NDArray[np.uint8]
    frames: NDArray[np.int64]
    bin: int
    base: float
    scatter: float

    def to_cell(self, pixel: NDArray[np.float64]) -> NDArray[np.float64]:
        """Cell coordinate of a pixel coordinate."""
        return (pixel - 0.5 * (self.bin - 1)) / self.bin

    def to_pixel(self, cell: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixel coordinate of a cell coordinate."""
        return cell * self.bin + 0.5 * (self.bin - 1)


def read_contrast(movie: MovieLike, motion: MotionLike, frames: NDArray[np.integer]) -> NDArray[np.float32]:
    """Repaired frames as counts / mean - 1, (m, y, x) float32."""
    block = np.empty((len(frames), *movie.shape[1:]), dtype=np.float32)
    for target, index in zip(block, frames):
        image = motion.repair(movie.read(int(index), int(index) + 1)[0], int(index))
        mean = float(image.mean(dtype=np.float64))
        # A frame that is centred on zero or below it has no dose to divide by.
        target[:] = image / mean - 1 if mean > CENTRED * float(image.std()) else image - mean
    return block


def frequencies(shape: tuple[int, int], pixel_size: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies ky (y, 1) and kx (1, x // 2 + 1), 1/Å, of the rfft2 grid of frames padded to a fast length."""
    return rfft_frequencies(fast_shape(shape), pixel_size)


def fast_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Smallest shape, at least `shape`, whose FFT is fast."""
    return fft.next_fast_len(shape[0], real=True), fft.next_fast_len(shape[1], real=True)


def flat_gain(shape: tuple[int, int], pixel_size: float, sheets: list[Graphene]) -> NDArray[np.float32]:
    """Filter of the first look: the band of lattice reflections, without those of graphene."""
    ky, kx = frequencies(shape, pixel_size)
    k = np.hypot(ky, kx)
    band = (k >= FIRST_BAND[0]) & (k <= min(FIRST_BAND[1], 0.45 / pixel_size))
    return (band * _notch(shape, pixel_size, sheets)).astype(np.float32)


def matched_gain(
    shape: tuple[int, int],
    pixel_size: float,
    sheets: list[Graphene],
    spectrum: tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]],
) -> NDArray[np.float32]:
    """Filter sqrt(S / (N (N + S))) from (frequency in 1/Å, signal S, noise N), without graphene's reflections."""
    ky, kx = frequencies(shape, pixel_size)
    k = np.hypot(ky, kx)
    frequency, signal, noise = (np.asarray(a, dtype=np.float64) for a in spectrum)
    s, n = np.interp(k, frequency, signal, right=0.0), np.interp(k, frequency, noise)
    return (np.sqrt(s / (n * (n + s))) * _notch(shape, pixel_size, sheets)).astype(np.float32)


def mean_variance(frames: NDArray[np.float32], gain: NDArray[np.float32], cell: int) -> NDArray[np.float32]:
    """Variance y², averaged over cells, of frames (m, y, x): (m, y // cell, x // cell)."""
    count, rows, columns = frames.shape
    shape = fast_shape((rows, columns))
    filtered = fft.irfft2(fft.rfft2(frames, s=shape) * gain, s=shape)
    ny, nx = rows // cell, columns // cell
    y = filtered[:, : ny * cell, : nx * cell]
    np.multiply(y, y, out=y)
    return np.asarray(y.reshape(count, ny, cell, nx, cell).mean(axis=(2, 4)))


def variance_maps(
    movie: MovieLike,
    motion: MotionLike,
    gain: NDArray[np.float32],
    frames: NDArray[np.int64],
    level: float,
    progress: Progress | None = None,
) -> VarianceMaps:
    """Bounded variance of `frames`; `level` is the variance e₀ of the noise."""
    cell = cell_size(movie.pixel_size)
    _, rows, columns = movie.shape
    values = np.empty((len(frames), rows // cell, columns // cell), dtype=np.uint8)
    for start in range(0, len(frames), BLOCK):
        part = frames[start : start + BLOCK]
        variance = mean_variance(read_contrast(movie, motion, part), gain, cell)
        values[start : start + len(part)] = np.rint(255 * variance / (variance + np.float32(HALF_LEVEL * level)))
        if progress is not None:
            progress("track", start + len(part), len(frames))
    thin = values[:: max(len(values) // 64, 1)].astype(np.float32)
    # Neighbouring samples of one cell differ by noise alone nearly everywhere, so half of their variance is noise.
    scatter = float(np.sqrt(0.5) * SIGMA_PER_MAD * np.median(np.abs(np.diff(thin, axis=0)))) if len(thin) > 1 else 1.0
    return VarianceMaps(values, frames, cell, float(np.median(thin)), max(scatter, 0.5))


def cell_size(pixel_size: float) -> int:
    """Pixels per edge of a cell."""
    return max(round(CELL_A / pixel_size), 1)


def _notch(shape: tuple[int, int], pixel_size: float, sheets: list[Graphene]) -> NDArray[np.float64]:
    """One, and zero within `NOTCH_PX` coefficients of every reflection of the sheets."""
    ky, kx = frequencies(shape, pixel_size)
    keep = np.ones((ky.shape[0], kx.shape[1]))
    reach = NOTCH_PX / (min(shape) * pixel_size)
    for sheet in sheets:
        for gx, gy in sheet.spots @ sheet.reciprocal:
            for sign in (1.0, -1.0):
                keep[np.hypot(kx - sign * gx, ky - sign * gy) <= reach] = 0.0
    return keep
