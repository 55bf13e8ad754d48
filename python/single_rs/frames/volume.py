"""Fourier volumes of a particle: from accumulated slices to a masked, filtered volume and back.

A volume holds F(k) = 1/N Σ_r map(r) exp(−2πi k·r/N), N being the images' box, on a grid of 1/(PAD·N·pixel), z and y
from −K to K, x from 0 to K (see ``rust/volume.rs`` and ``rust/solve/maps.rs``). The maps here are F's own inverse
transform: N times smaller than contrast per voxel. Slices are read, and frames inserted, by trilinear interpolation,
whose kernel multiplies the map by sinc²(x/(PAD·N·pixel)) along each axis; maps are divided by it.
"""

from __future__ import annotations

import functools

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from single_rs import _core

__all__ = [
    "PAD",
    "ball_mask",
    "fourier_volume",
    "grid_size",
    "map_from_sums",
    "shell_correlation",
    "shell_index",
    "transformed",
]

PAD = 2  # Fourier grid steps per image frequency: keeps the trilinear kernel's aliases out of the box


def grid_size(max_shell: int) -> int:
    """Smallest even number of voxels per side that holds all shells up to `max_shell` and transforms fast."""
    size = scipy.fft.next_fast_len(2 * max_shell + 4, real=True)
    while size % 2:
        size = scipy.fft.next_fast_len(size + 1, real=True)
    return int(size)


@functools.lru_cache(maxsize=4)
def ball_mask(size: int, radius: float, edge: float) -> NDArray[np.float32]:
    """(z, y, x) mask: 1 within `radius` voxels of the centre, 0 beyond `radius + edge`, half a cosine between.

    Not to be written to.
    """
    x = np.arange(size, dtype=np.float32) - size // 2
    r = np.sqrt(x[:, None, None] ** 2 + x[None, :, None] ** 2 + x[None, None, :] ** 2)
    mask: NDArray[np.float32] = (0.5 + 0.5 * np.cos(np.pi * np.clip((r - radius) / edge, 0, 1))).astype(np.float32)
    mask.setflags(write=False)
    return mask


def map_from_sums(
    numerator: NDArray[np.complex64], denominator: NDArray[np.float32], floor: float, size: int
) -> NDArray[np.float32]:
    """Map (z, y, x) of `size` voxels from accumulated slices.

    Parameters
    ----------
    numerator, denominator
        Σ w X and Σ w, (2K+1, 2K+1, K+1).
    floor
        Added to the denominator, as a share of its mean over each shell: unsampled places stay small.
    size
        Voxels per side; the voxel is N·pixel/size, so a coarser grid costs less.
    """
    return _core.map_from_sums(numerator, denominator, floor, size, PAD)


def fourier_volume(map: NDArray[np.float32], reach: int) -> NDArray[np.complex64]:
    """Fourier volume (2K+1, 2K+1, K+1) with K = `reach` of a map made by `map_from_sums`."""
    return _core.transform_map(np.ascontiguousarray(map, np.float32), reach, PAD, True)


def transformed(
    map: NDArray[np.floating], reach: int, gain: NDArray[np.floating] | None = None
) -> NDArray[np.complex64]:
    """Transform (2K+1, 2K+1, K+1) with K = `reach` of a map (size, size, size) as it is, on the grid of a volume.

    `gain` (2K+1,) multiplies it along each axis.
    """
    factor = None if gain is None else np.ascontiguousarray(gain, np.float32)
    return _core.transform_map(np.ascontiguousarray(map, np.float32), reach, PAD, False, factor)


@functools.lru_cache(maxsize=4)
def shell_index(reach: int) -> NDArray[np.intp]:
    """Shell of each value of a volume, in grid steps, rounded: (2K+1, 2K+1, K+1), not to be written to."""
    q = np.arange(-reach, reach + 1, dtype=np.float32) ** 2
    x = np.arange(reach + 1, dtype=np.float32) ** 2
    shells: NDArray[np.intp] = np.rint(np.sqrt(q[:, None, None] + q[None, :, None] + x[None, None, :])).astype(np.intp)
    shells.setflags(write=False)
    return shells


def shell_correlation(a: NDArray[np.complex64], b: NDArray[np.complex64]) -> NDArray[np.float64]:
    """Fourier shell correlation of two volumes per image shell (PAD grid steps), half-complex sums."""
    products = _core.shell_products(a, b)
    image_shell = (np.arange(products.shape[1]) + PAD // 2) // PAD
    cross, first, second = (np.bincount(image_shell, sums) for sums in products)
    return np.asarray(cross / np.maximum(np.sqrt(first * second), 1e-30))
