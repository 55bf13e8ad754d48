"""A particle as occupied lattice sites, solved from few frames.

All reflections of a single crystal share the transform of its occupancy, so a few dozen frames determine what a
free Fourier volume cannot know. With sites x_s on a grid of orthogonal steps, amplitude c(|q|) of one atom, and
accumulated slices (numerator n(q) = Σ w X, denominator d(q) = Σ w),

    minimise over w_s ≥ 0:   Σ_q d(q) |n(q)/d(q) − c(|q|) Σ_s w_s exp(−2πi q·x_s)|²,

whose normal matrix depends only on x_s − x_t: one transform of d·c² gives all of it, one of n·c the right-hand
side. Both are taken exactly, as three matrix products along the axes of the site grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs.frames.volume import PAD, shell_index

__all__ = ["SiteModel", "solve_occupancy"]

ITERATIONS = 200  # of the projected gradient, at most
CONVERGED = 1e-3  # change of an occupancy per iteration, as a share of the largest, at which to stop


@dataclass(frozen=True)
class SiteModel:
    """Sites with occupancies.

    Attributes
    ----------
    index
        (s, 3) grid indices of the sites.
    step
        (3,) grid steps, Å.
    origin
        (3,) Å, position of grid index 0 from the particle's centre.
    weight
        (s,) occupancy times the image amplitude of one atom.
    """

    index: NDArray[np.int64]
    step: NDArray[np.float64]
    origin: NDArray[np.float64]
    weight: NDArray[np.float64]

    @property
    def positions(self) -> NDArray[np.float64]:
        """(s, 3) Å from the particle's centre."""
        return self.index * self.step + self.origin

    def centre(self) -> NDArray[np.float64]:
        """Centre of mass (3,), Å."""
        w = np.maximum(self.weight, 0)
        return np.asarray((w[:, None] * self.positions).sum(axis=0) / w.sum())

    def volume(self, amplitude: NDArray[np.float64], reach: int, box: float) -> NDArray[np.complex64]:
        """Fourier volume (2K+1, 2K+1, K+1), K = `reach`, of a `box` Å wide; `amplitude` per grid shell."""
        extent = PAD * box
        low = self.index.min(axis=0)
        shape = self.index.max(axis=0) - low + 1
        # What trilinear reading multiplies a map by is divided out site by site.
        kernel = np.prod(np.sinc(self.positions / extent) ** 2, axis=1)
        grid = np.zeros(shape[::-1], np.complex64)
        at = self.index - low
        grid[at[:, 2], at[:, 1], at[:, 0]] = self.weight / kernel
        q = np.arange(-reach, reach + 1) / extent
        for axis, frequencies in ((2, q[reach:]), (1, q), (0, q)):
            a = 2 - axis
            x = (np.arange(shape[a]) + low[a]) * self.step[a] + self.origin[a]
            phase = np.exp(-2j * np.pi * np.outer(x, frequencies)).astype(np.complex64)
            grid = np.moveaxis(np.tensordot(grid, phase, axes=(axis, 0)), -1, axis)
        return np.ascontiguousarray(grid * amplitude.astype(np.float32)[shell_index(reach)])


def _at_grid(
    volume: NDArray[np.complex64], extent: float, points: tuple[NDArray[np.float64], ...]
) -> NDArray[np.float64]:
    """Σ_q Re[v(q) exp(+2πi q·x)] over the whole space, at all x of the grid `points` (x, y, z): shape (z, y, x)."""
    reach = volume.shape[2] - 1
    q = np.arange(-reach, reach + 1) / extent
    half = volume.copy()
    half[:, :, 1:] *= 2  # the half x > 0 speaks for its mirror too
    for axis, frequencies, x in ((2, q[reach:], points[0]), (1, q, points[1]), (0, q, points[2])):
        phase = np.exp(2j * np.pi * np.outer(frequencies, x)).astype(np.complex64)
        half = np.moveaxis(np.tensordot(half, phase, axes=(axis, 0)), -1, axis)
    return half.real.astype(np.float64)


def solve_occupancy(
    numerator: NDArray[np.complex64],
    denominator: NDArray[np.float32],
    model: SiteModel,
    amplitude: NDArray[np.float64],
    box: float,
) -> SiteModel:
    """Return `model` with the occupancies that explain the accumulated slices best.

    Parameters
    ----------
    numerator, denominator
        Σ w X and Σ w, (2K+1, 2K+1, K+1).
    model
        Sites; their weights are not used.
    amplitude
        Image amplitude of one atom per grid shell.
    box
        Å.
    """
    reach = numerator.shape[2] - 1
    c = amplitude.astype(np.float32)[shell_index(reach)]
    low, high = model.index.min(axis=0), model.index.max(axis=0)
    span = high - low
    points = tuple(np.arange(low[a], high[a] + 1) * model.step[a] + model.origin[a] for a in range(3))
    at = model.index - low
    extent = PAD * box
    right = _at_grid(numerator * c, extent, points)[at[:, 2], at[:, 1], at[:, 0]]
    gaps = tuple(np.arange(-span[a], span[a] + 1) * model.step[a] for a in range(3))
    table = _at_grid((denominator * c**2).astype(np.complex64), extent, gaps)
    # Single precision halves the traffic of the product that all the time goes to; the noise is far above it.
    shape = 2 * span + 1
    flat = (at[:, 2] * shape[1] + at[:, 1]) * shape[0] + at[:, 0]
    middle = (span[2] * shape[1] + span[1]) * shape[0] + span[0]
    normal = table.astype(np.float32).ravel()[flat[:, None] - flat + middle]
    right = right.astype(np.float32)
    largest = np.abs(normal).sum(axis=1).max()  # bounds the largest eigenvalue
    w = np.zeros(len(at), np.float32)
    y, momentum = w.copy(), 1.0
    for _ in range(ITERATIONS):  # accelerated projected gradient (Beck and Teboulle 2009, doi:10.1137/080716542)
        new = np.maximum(y - (normal @ y - right) / largest, 0)
        faster = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        step = new - w
        y = new + np.float32((momentum - 1) / faster) * step
        w, momentum = new, faster
        if np.abs(step).max() < CONVERGED * w.max():
            break
    return SiteModel(model.index, model.step, model.origin, w.astype(float))
