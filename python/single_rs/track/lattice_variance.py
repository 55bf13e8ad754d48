"""Maps of local lattice variance, one per frame: where single frames hold more fine detail than noise.

A particle that tumbles loses its lattice in an average of frames, but not in an average of their local variance. Each
frame is filtered to y (see `background.envelope`), y² is averaged over cells of about 1 Å to e, and bounded as
e / (e + 2 e₀), e₀ the level of the noise; a byte per cell holds it. Cell i covers the pixels i·bin … i·bin + bin - 1.
Large frames are filtered in tiles. The maps of a large movie lie in a temporary file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from single_rs import _core
from single_rs.background.envelope import HALF_LEVEL
from single_rs.base.progress import Progress
from single_rs.base.robust import SIGMA_PER_MAD
from single_rs.base.scratch import ScratchArray
from single_rs.frames.blocks import block_ranges, native, read_ahead
from single_rs.records import Graphene, Motion
from single_rs.records.track import MotionLike, MovieLike

__all__ = ["VarianceMaps", "flat_gain", "matched_gain", "mean_variance", "tile_shape", "variance_maps"]

# Edge of a cell, Å: finer than the soft edge of a particle's envelope (3 Å).
CELL_A = 1.0
# Band, 1/Å, of the first look: from below the largest lattice spacings of metals to where transfer fades.
FIRST_BAND = (0.35, 0.95)
# Coefficients around a graphene reflection that are left out; a frame is large, its spots are narrow.
NOTCH_PX = 2.0
# Frames up to this edge, px, are filtered as a whole, larger ones in tiles of this edge; a filter of two arrays of
# complex numbers stays in the second cache.
WHOLE, TILE = 512, 320
# Space, Å, beyond what a tile gives: farther than lattice fringes and the filter reach.
TILE_MARGIN = 6.0
# Maps, spread over the movie, from which base and scatter are taken, and the most cells of each.
THIN, THIN_CELLS = 64, 2**18
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

    values: ScratchArray
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


def tile_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the tiles in which frames (y, x) are filtered: a fast length for small ones, else `TILE`."""
    y, x = (fft.next_fast_len(n, real=True) if n <= WHOLE else TILE for n in shape)
    return y, x


def frequencies(shape: tuple[int, int], pixel_size: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies ky (y, 1) and kx (1, x), 1/Å, of the transform of a tile."""
    ky, kx = (np.fft.fftfreq(n, pixel_size).astype(np.float64) for n in shape)
    return ky[:, None], kx[None, :]


def flat_gain(shape: tuple[int, int], pixel_size: float, sheets: list[Graphene]) -> NDArray[np.float32]:
    """Filter of the first look for tiles (y, x): the band of lattice reflections, without those of graphene."""
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
    """Filter sqrt(S / (N (N + S))) for tiles (y, x); (frequency in 1/Å, signal S, noise N), no graphene reflections."""
    ky, kx = frequencies(shape, pixel_size)
    k = np.hypot(ky, kx)
    frequency, signal, noise = (np.asarray(a, dtype=np.float64) for a in spectrum)
    s, n = np.interp(k, frequency, signal, right=0.0), np.interp(k, frequency, noise)
    return (np.sqrt(s / (n * (n + s))) * _notch(shape, pixel_size, sheets)).astype(np.float32)


def mean_variance(
    frames: NDArray[np.generic],
    gain: NDArray[np.float32],
    pixel_size: float,
    bad: NDArray[np.bool_] | None = None,
    ceiling: float = np.inf,
) -> NDArray[np.float32]:
    """Variance y² of frames (m, y, x) as counts / mean - 1, averaged over cells: (m, y // cell, x // cell).

    Parameters
    ----------
    frames
        Counts in the type of the movie, or contrast already.
    gain
        From `flat_gain` or `matched_gain`.
    pixel_size
        Å.
    bad, ceiling
        Pixels (y, x) that are repaired, and counts above which others are.
    """
    none = np.zeros(frames.shape[1:], bool) if bad is None else bad
    margin = int(np.ceil(TILE_MARGIN / pixel_size))
    return _core.motion_local_variance(native(frames), none, ceiling, gain, cell_size(pixel_size), margin)


def variance_maps(
    movie: MovieLike,
    motion: MotionLike,
    gain: NDArray[np.float32],
    good: NDArray[np.int64],
    level: float,
    progress: Progress | None = None,
) -> VarianceMaps:
    """Bounded variance of the frames `good`; `level` is the variance e₀ of the noise."""
    cell = cell_size(movie.pixel_size)
    n, rows, columns = movie.shape
    values = ScratchArray((len(good), rows // cell, columns // cell), np.uint8)
    use = np.zeros(n, dtype=bool)
    use[good] = True
    done = 0
    middle = movie.read(int(good[len(good) // 2]), int(good[len(good) // 2]) + 1)
    centred = float(middle.mean(dtype=np.float64)) <= CENTRED * float(middle.std(dtype=np.float64))
    for start, stop, block in read_ahead(movie, block_ranges(movie)):
        chosen = use[start:stop]
        # Bad frames are filtered with the others, so that frames meet the same neighbours in a pair.
        if chosen.any():
            if isinstance(motion, Motion) and not centred:
                variance = mean_variance(block, gain, movie.pixel_size, motion.mask, motion.ceiling)[chosen]
            else:
                repaired = np.stack([motion.repair(frame, start + i) for i, frame in enumerate(block)])
                if centred:
                    repaired -= repaired.mean(axis=(1, 2), keepdims=True, dtype=np.float64).astype(np.float32)
                variance = mean_variance(repaired, gain, movie.pixel_size)[chosen]
            values.put(done, np.rint(255 * variance / (variance + np.float32(HALF_LEVEL * level))).astype(np.uint8))
            done += len(variance)
        if progress is not None:
            progress("track", stop, n)
    thin = values.get(0, len(values), max(len(values) // THIN, 1))
    thin = thin[:, :: -(-thin[0].size // THIN_CELLS)].astype(np.float32)
    # Neighbouring samples of one cell differ by noise alone nearly everywhere, so half of their variance is noise.
    scatter = float(np.sqrt(0.5) * SIGMA_PER_MAD * np.median(np.abs(np.diff(thin, axis=0)))) if len(thin) > 1 else 1.0
    return VarianceMaps(values, good, cell, float(np.median(thin)), max(scatter, 0.5))


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
