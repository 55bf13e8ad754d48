"""Radial averages and masks on the grids of the Fourier transform.

Shell s of an (N, N) image holds the coefficients with round(|k|) = s, k in integer frequency indices, so that
its spatial frequency is s / (N · pixel). Powers are |FFT|² / Σm² for an image multiplied by a mask m: white noise
of variance v then gives v in every shell whatever the mask, because the mask only mixes neighbouring coefficients.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["annulus", "disc", "radius_map", "rfft_frequencies", "rfft_shells", "shell_mean"]


def rfft_frequencies(
    shape: tuple[int, int], pixel_size: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies ky (y, 1) and kx (1, x // 2 + 1) of the rfft2 grid of an image (y, x), per pixel or 1/Å."""
    ky, kx = np.fft.fftfreq(shape[0], pixel_size), np.fft.rfftfreq(shape[1], pixel_size)
    return ky.astype(np.float64)[:, None], kx.astype(np.float64)[None, :]


def rfft_shells(size: int) -> NDArray[np.intp]:
    """Shell round(|k|) of every coefficient of the (size, size // 2 + 1) rfft2 grid."""
    ky = np.fft.fftfreq(size) * size
    kx = np.arange(size // 2 + 1)
    return np.asarray(np.rint(np.hypot(ky[:, None], kx)).astype(np.intp))


def shell_mean(
    power: NDArray[np.floating], shells: NDArray[np.intp], weights: NDArray[np.floating] | None = None
) -> NDArray[np.float64]:
    """Mean of `power` (size, size // 2 + 1) over each shell, from shell 0 to the corner of the grid.

    Columns 1 … N/2-1 of the half grid stand for two coefficients and count twice. Coefficients with weight 0 are left
    out; a shell without any is interpolated from its neighbours.
    """
    size = shells.shape[0]
    count = np.full(shells.shape, 2.0)
    count[:, [0, size // 2]] = 1.0
    if weights is not None:
        count *= weights
    length = int(shells.max()) + 1
    total = np.bincount(shells.ravel(), (power * count).ravel(), minlength=length)
    number = np.bincount(shells.ravel(), count.ravel(), minlength=length)
    found = number > 0
    index = np.arange(length)
    mean = np.zeros(length)
    mean[found] = total[found] / number[found]
    return np.where(found, mean, np.interp(index, index[found], mean[found]))


def radius_map(size: int, centre: tuple[float, float] = (0.0, 0.0)) -> NDArray[np.float32]:
    """Distance in pixels of every pixel of a (size, size) box from size // 2 + centre, centre = (x, y)."""
    axis = np.arange(size, dtype=np.float32) - size // 2
    return np.asarray(np.hypot(axis[:, None] - np.float32(centre[1]), axis[None, :] - np.float32(centre[0])))


def disc(distance: NDArray[np.floating], radius: float, soft: float) -> NDArray[np.float32]:
    """Disc of `radius` pixels whose edge falls as a cosine from 1 to 0 over `soft` pixels outwards."""
    ramp = np.clip((distance - radius) / soft, 0.0, 1.0)
    return np.asarray((0.5 + 0.5 * np.cos(np.pi * ramp)).astype(np.float32))


def annulus(distance: NDArray[np.floating], radius: float, soft: float) -> NDArray[np.float32]:
    """Complement of `disc`, tapered to 0 at the four edges of the box as well so that nothing leaks along the axes."""
    size = distance.shape[0]
    step = np.minimum(np.arange(size) + 0.5, size - 0.5 - np.arange(size))
    taper = 0.5 - 0.5 * np.cos(np.pi * np.clip(step / soft, 0.0, 1.0))
    return np.asarray(((1.0 - disc(distance, radius, soft)) * taper[:, None] * taper[None, :]).astype(np.float32))
