"""Amorphous packings with a minimum distance: whole particles, and disordered shells round a crystal.

Points repel each other when nearer than D, the bond length of the crystal,

    E = ½ Σ_pairs (1 - d/D)² + ½ Σ_i (max(0, r_i - R)/D)²,

and are moved downhill from random positions until E is nearly 0. Below the density of random close packing (volume
fraction 0.64) that ends without overlap, just above with distances slightly shorter than D. Instead of the wall at R, a
shell has a weak pull towards the centre, ½ p (r/D)², so that its atoms lie on the crystal.

Reference: O'Hern, Silbert, Liu and Nagel, Phys. Rev. E 68, 011306 (2003), doi:10.1103/PhysRevE.68.011306.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["melted_shell", "random_packing"]

SMALLEST_DISTANCE = 0.8  # of the bond length; random packings of metals have none shorter
DENSITY = 0.95  # of the crystal's; metallic glasses are a few per cent less dense
MELT = 0.45  # bond lengths, random displacement per axis that erases the lattice
PULL = 1e-3  # p; some layers of atoms press each other by a per cent of a bond
ITERATIONS = 150


def random_packing(count: int, diameter: float, bond: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return an amorphous ball of atoms.

    Parameters
    ----------
    count
        Atoms that a crystal of the same diameter has.
    diameter
        Å.
    bond
        Nearest-neighbour distance of the crystal, Å.
    generator
        Random numbers.

    Returns
    -------
    Positions (n, 3) in Å, n = `DENSITY` · count or somewhat fewer: atoms that stay nearer than `SMALLEST_DISTANCE`
    bonds to another are left out.
    """
    count = max(2, round(DENSITY * count))
    direction = generator.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    start = 0.5 * diameter * np.cbrt(generator.random((count, 1))) * direction
    return _without_overlaps(_relax(start, np.ones(count, bool), bond, 0.5 * diameter), bond)[0]


def melted_shell(
    positions: NDArray[np.float64], shell: NDArray[np.bool_], bond: float, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Pack the atoms of a shell at random onto the rest; return the atoms (n, 3) and which of all were kept (n,)."""
    start = positions + np.where(shell[:, None], MELT * bond * generator.standard_normal(positions.shape), 0.0)
    return _without_overlaps(_relax(start, shell, bond, None), bond)


def _relax(
    start: NDArray[np.float64], movable: NDArray[np.bool_], distance: float, radius: float | None
) -> NDArray[np.float64]:
    """Move the movable points downhill in E; a radius of None is a pull and no wall."""
    from scipy.optimize import minimize
    from scipy.spatial import cKDTree

    points = start / distance
    wall, pull = (np.inf, PULL) if radius is None else (radius / distance, 0.0)

    def energy(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        points[movable] = flat.reshape(-1, 3)
        pairs = cKDTree(points).query_pairs(1.0, output_type="ndarray")
        pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]  # a fixed order of all sums
        apart = points[pairs[:, 0]] - points[pairs[:, 1]]
        d = np.maximum(np.linalg.norm(apart, axis=1), 1e-9)
        force = ((d - 1) / d)[:, None] * apart
        gradient = np.zeros_like(points)
        np.add.at(gradient, pairs[:, 0], force)
        np.subtract.at(gradient, pairs[:, 1], force)
        r = np.linalg.norm(points, axis=1)
        beyond = np.maximum(r - wall, 0.0)
        gradient += (pull + beyond / np.maximum(r, 1e-9))[:, None] * points
        value = 0.5 * float(np.sum((1 - d) ** 2) + np.sum(beyond**2) + pull * np.sum(r[movable] ** 2))
        return value, gradient[movable].ravel()

    options = {"maxiter": ITERATIONS, "ftol": 1e-9, "gtol": 1e-6}
    best = minimize(energy, points[movable].ravel(), jac=True, method="L-BFGS-B", options=options)
    points[movable] = best.x.reshape(-1, 3)
    return points * distance


def _without_overlaps(positions: NDArray[np.float64], bond: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Leave out the second of each pair that is too near, and return which were kept."""
    from scipy.spatial import cKDTree

    kept = np.ones(len(positions), bool)
    for first, second in sorted(cKDTree(positions).query_pairs(SMALLEST_DISTANCE * bond)):
        if kept[first]:
            kept[second] = False
    return positions[kept], kept
