"""What directions of a map no frame has seen, and their Fourier components by what is known of atoms.

Noise is in all that was measured, so the difference of the half maps is 0 in directions of Fourier space that no plane
has crossed, whatever the particle is. A map without them is drawn out along the beam until its atoms merge. Density is
positive, stands up from its surroundings at atoms, and is 0 outside the particle: with the measured components kept,

    ρ ← max(ρ − t, 0) within the particle,    F ← F_measured where there is one, F[ρ] elsewhere,

in turns, is the method of Gerchberg and of Papoulis (IEEE Trans. Circuits Syst. 22, 735 (1975),
doi:10.1109/TCS.1975.1084118) with the threshold t of charge flipping (Oszlányi and Sütő, Acta Cryst. A 60, 134 (2004),
doi:10.1107/S0108767303027569). The atoms are then where the refinement can find them; what they are worth along the
missing directions only the frames tell, and its covariance states.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.spatial import cKDTree

from single_rs.base.sampling import half_sphere

__all__ = ["fill_unseen", "unseen_directions"]

DIRECTIONS = 500  # of the half sphere, 6° apart
FINEST, COARSEST = 1.1, 0.3  # 1/Å, between which noise tells of the directions
UNSEEN = 0.15  # of the mean noise: between 0.05 of crossed by nothing and 0.5 of crossed by few
ROUNDS = 60
THRESHOLD = 0.1  # of the height of the highest voxels
HIGHEST = 200  # voxels
MARGIN = 3.0  # Å beyond the ball of equal variance: corners of the particle stick out of it
BAND = 0.999  # of the power of the map: what is finer is not filled


def unseen_directions(
    half1: NDArray[np.float64], half2: NDArray[np.float64], pixel_size: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Directions (n, 3) of a half sphere, (z, y, x), and whether no frame crosses each, from half maps."""
    n = half1.shape[0]
    waves, length = _waves(n, pixel_size)
    power = np.abs(fft.rfftn((half1 - half2).astype(np.float32), workers=1)) ** 2
    inside = (length > COARSEST) & (length < FINEST)
    shell = np.rint(length[inside] * n * pixel_size).astype(int)
    noise = power[inside].astype(np.float64)
    mean = np.bincount(shell, noise) / np.maximum(np.bincount(shell), 1)
    noise = np.divide(noise, mean[shell], out=np.zeros_like(noise), where=mean[shell] > 0)
    u = half_sphere(DIRECTIONS)
    nearest = _nearest(u, waves[inside])
    count = np.bincount(nearest, minlength=len(u))
    level = np.bincount(nearest, noise, minlength=len(u)) / np.maximum(count, 1)
    return u, (level < UNSEEN) & (count > 0)


def fill_unseen(
    volume: NDArray[np.float64],
    pixel_size: float,
    radius: float,
    directions: tuple[NDArray[np.float64], NDArray[np.bool_]],
) -> NDArray[np.float64]:
    """Return a map (z, y, x) with the Fourier components of unseen `directions` from positivity.

    Parameters
    ----------
    volume
        Map, atoms bright.
    pixel_size
        Å.
    radius
        Å from the centre, in which the particle lies.
    directions
        As `unseen_directions` gives them.
    """
    u, unseen = directions
    n, reach = volume.shape[0], radius + MARGIN
    side = min(n, fft.next_fast_len(2 * int(np.ceil(reach / pixel_size)) + 4, real=True))
    side += side % 2
    corner = n // 2 - side // 2
    window = (slice(corner, corner + side),) * 3
    waves, length = _waves(side, pixel_size)
    grid = np.arange(side) - side // 2
    z, y, x = np.meshgrid(grid, grid, grid, indexing="ij", sparse=True)
    particle = (z**2 + y**2 + x**2) * pixel_size**2 < reach**2
    start = volume[window].astype(np.float32)
    measured = fft.rfftn(start, workers=1)
    shell = np.rint(length * side * pixel_size).astype(int)
    sums = np.cumsum(np.bincount(shell.ravel(), (np.abs(measured) ** 2).ravel().astype(np.float64)))
    band = shell <= int(np.searchsorted(sums, BAND * sums[-1]))
    known = band & ~unseen[_nearest(u, waves.reshape(-1, 3))].reshape(length.shape)
    density = start
    for _ in range(ROUNDS):
        density = np.where(particle, density, np.float32(0.0))
        highest = np.partition(density.ravel(), -HIGHEST)[-HIGHEST:]
        density = np.maximum(density - np.float32(THRESHOLD * float(highest.mean(dtype=np.float64))), np.float32(0.0))
        model = fft.rfftn(density, workers=1)
        square = float(np.sum(np.abs(model[known]) ** 2, dtype=np.float64))
        scale = float(np.sum((model[known] * measured[known].conj()).real, dtype=np.float64)) / max(square, 1e-30)
        density = fft.irfftn(np.where(known, measured, model * np.float32(scale)) * band, s=start.shape, workers=1)
    out = np.zeros_like(volume)
    out[window] = density
    return out


def _waves(n: int, pixel_size: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies (n, n, n // 2 + 1, 3) in (z, y, x) and their lengths, 1/Å."""
    full, half = fft.fftfreq(n, pixel_size), fft.rfftfreq(n, pixel_size)
    waves = np.stack(np.meshgrid(full, full, half, indexing="ij"), axis=-1)
    return waves, np.asarray(np.sqrt((waves**2).sum(-1)))


def _nearest(u: NDArray[np.float64], waves: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the direction nearest to each frequency (m, 3), either way."""
    length = np.maximum(np.linalg.norm(waves, axis=1, keepdims=True), 1e-12)
    return np.asarray(cKDTree(np.concatenate([u, -u])).query(waves / length)[1] % len(u), np.int64)
