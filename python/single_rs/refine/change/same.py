"""Whether two sets of atoms are one particle at two times, or even one structure.

Atoms are the same that are each other's nearest within 0.8 Å. What they moved is compared with its errors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from single_rs.base.rotations import superposition
from single_rs.crystal.neighbours import neighbour_cutoff
from single_rs.records import Atoms

__all__ = [
    "FEWEST_PAIRS",
    "SAME_ATOM",
    "displacement",
    "maybe_same_structure",
    "mutual_pairs",
    "same_particle",
    "same_structure",
]

SAME_PARTICLE = 0.96  # share of the smaller set's atoms that the larger one has
# Where that many of the smaller set's are missing in the larger one, inner atoms decide: 0.9 of one particle that lost
# a layer, 1.3 of one that straightened, 2.5 and more of two particles.
EXCHANGED, EXCHANGED_SQUARE = 0.01, 2.0
INNER, BOND_REACH = 9, 1.25  # neighbours of an inner atom, and how far they are, bonds
FEWEST_PAIRS = 4
SAME_ATOM = 0.8  # Å
SAME_STRUCTURE = 3.0  # mean square of displacements over their variance, of one structure at two times


def same_particle(one: Atoms, other: Atoms) -> bool:
    """Whether two sets of atoms in about one frame are one particle at two times.

    Crystals of one lattice can be superposed. They are two where the smaller set has too many atoms of its own,
    or where both have some and the atoms inside moved, each against its neighbours, by more than their errors: a
    particle that bends or relaxes moves its atoms together.
    """
    pairs = mutual_pairs(one.positions, other.positions)
    smaller = min(len(one), len(other))
    if len(pairs) < max(SAME_PARTICLE * smaller, FEWEST_PAIRS):
        return False
    if smaller - len(pairs) < EXCHANGED * smaller:
        return True
    return local_displacement(one, other, pairs) < EXCHANGED_SQUARE


def local_displacement(one: Atoms, other: Atoms, pairs: NDArray[np.int64]) -> float:
    """Mean square, over its variance, of the displacement of inner atoms against that of their neighbours; 0 of none.

    `pairs` (m, 2) are the atoms of both; inner ones have at least nine neighbours among them.
    """
    from scipy.spatial import cKDTree

    moved = displacement(one.positions, other.positions, pairs)
    variance = one.sigma[pairs[:, 0]] ** 2 + other.sigma[pairs[:, 1]] ** 2
    x = one.positions[pairs[:, 0]]
    ratios = []
    for k, around in enumerate(cKDTree(x).query_ball_point(x, neighbour_cutoff(x)[0] * BOND_REACH)):
        near = [j for j in around if j != k]
        if len(near) >= INNER:
            rest = moved[k] - moved[near].mean(0)
            ratios.append(rest @ rest / 3 / (variance[k] + variance[near].sum() / len(near) ** 2))
    return float(np.mean(ratios)) if ratios else 0.0


def maybe_same_structure(one: Atoms, other: Atoms) -> bool:
    """Whether so few atoms are missing in either set that both may be one structure, found with errors."""
    pairs = mutual_pairs(one.positions, other.positions)
    return len(pairs) >= max(SAME_PARTICLE * max(len(one), len(other)), FEWEST_PAIRS)


def same_structure(one: Atoms, other: Atoms) -> bool:
    """Whether two sets of atoms in about one frame are the same atoms at the same places, within their errors."""
    pairs = mutual_pairs(one.positions, other.positions)
    if len(one) != len(other) or len(pairs) != len(one):
        return False
    moved = displacement(one.positions, other.positions, pairs)
    variance = one.sigma[pairs[:, 0]] ** 2 + other.sigma[pairs[:, 1]] ** 2
    return bool(np.mean((moved**2).sum(1) / 3 / variance) < SAME_STRUCTURE)


def mutual_pairs(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return pairs (m, 2) of atoms (n, 3), (k, 3) Å that are each other's nearest, within 0.8 Å."""
    from scipy.spatial import cKDTree

    distance, to = cKDTree(other).query(one)
    back = cKDTree(one).query(other)[1]
    index = np.flatnonzero((back[to] == np.arange(len(one))) & (distance < SAME_ATOM))
    return np.stack([index, to[index]], axis=1)


def displacement(one: NDArray[np.float64], other: NDArray[np.float64], pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how far (m, 3) Å the atoms of `pairs` moved from `one` to `other`, the best common placement taken off."""
    a, b = one[pairs[:, 0]], other[pairs[:, 1]]
    turn = superposition(b - b.mean(0), a - a.mean(0))
    return np.asarray((b - b.mean(0)) @ turn.T - (a - a.mean(0)))
