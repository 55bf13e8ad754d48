"""Traced atoms against true ones, after the best alignment over all rotations, shifts and both hands.

Q of x_found = H · Q · x_true + t is found by aligning bond shells of one set with those of the other, so that every
symmetry mate of a crystal is tried. Least squares: Kabsch 1976, doi:10.1107/S0567739476001873.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.base.bounds import LARGEST_LENGTH
from single_rs.base.errors import InputError
from single_rs.base.rotations import rigid_motion

__all__ = ["CUTOFF", "PM_PER_ANGSTROM", "AtomMatch", "AtomScore", "match_atoms", "score_atoms"]

Array = NDArray[np.float64]

CUTOFF = 0.8  # Å; well below half a bond of any metal, so that a match is never ambiguous
PM_PER_ANGSTROM = 100.0
BOND_SLACK = 1.2  # bonds reach to 1.2 times the median nearest-neighbour distance: the first shell, not the second
SOFT = 0.4  # Å; width of the score by which alignments are compared
ANGLE_SLACK = 0.25  # of a cosine; strained bonds still pair up
SAME_ROTATION = np.cos(np.deg2rad(3.0))  # half of 6°: |q·q'| of rotations taken as one
MIN_ATOMS = 4
CORE_NEIGHBOURS = 12  # of a bulk atom in close packing
TRIAL_ATOMS = 150  # enough to rank lattice registers; the best are then compared with all atoms


@dataclass(frozen=True)
class AtomScore:
    """Traced atoms against true ones.

    Attributes
    ----------
    recall, precision : float
        Matched over true, matched over found.
    rmsd, rmsd_core, rmsd_surface, median : float
        pm, of matched pairs; core atoms have at least 12 neighbours. NaN when there are none.
    hand : int
        -1 when the found set is the mirror image.
    """

    true: int
    found: int
    matched: int
    recall: float
    precision: float
    rmsd: float
    rmsd_core: float
    rmsd_surface: float
    median: float
    hand: int


@dataclass(frozen=True)
class AtomMatch:
    """Pairs of found and true atoms after the best alignment.

    Attributes
    ----------
    found, true
        (m,) indices of the pairs.
    error
        (m, 3) Å, found less true position, along the axes of the found atoms: errors per axis are compared with these.
    neighbours
        (m,) neighbours of the true atom; 12 or more make it core.
    hand
        -1 when the found set is the mirror image.
    """

    found: NDArray[np.int64]
    true: NDArray[np.int64]
    error: Array
    neighbours: NDArray[np.int64]
    hand: int

    @property
    def core(self) -> NDArray[np.bool_]:
        """(m,) whether the true atom has at least 12 neighbours."""
        return self.neighbours >= CORE_NEIGHBOURS


def match_atoms(found: ArrayLike, true: ArrayLike, cutoff: float = CUTOFF) -> AtomMatch:
    """Pair traced atoms with true ones after the best alignment over all rotations, shifts and both hands.

    Parameters
    ----------
    found, true
        (n, 3) and (m, 3) positions, Å, in any two frames.
    cutoff
        Å; pairs are matched one to one within it.

    Raises
    ------
    InputError
        Shapes other than (n, 3), or fewer than 4 true atoms.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial import cKDTree

    x, truth = (np.asarray(a, np.float64) for a in (found, true))
    for name, a in (("found", x), ("true", truth)):
        if a.ndim != 2 or a.shape[1] != 3:
            raise InputError(f"{name} atoms of shape {a.shape}; (n, 3) is needed")
        if far := int((~(np.abs(a) < LARGEST_LENGTH).all(1)).sum()):
            raise InputError(f"{far} {name} atoms are not finite, or beyond {LARGEST_LENGTH:g} Å; remove them")
    if len(truth) < MIN_ATOMS:
        raise InputError(f"{len(truth)} true atoms; at least {MIN_ATOMS} are needed to define a frame")
    if len(x) < MIN_ATOMS:
        nothing = np.empty(0, np.int64)
        return AtomMatch(nothing, nothing, np.empty((0, 3)), nothing, 1)
    aligned, hand = _align(x, truth)
    for _ in range(2):
        d = np.linalg.norm(aligned[:, None] - truth, axis=2)
        i, j = linear_sum_assignment(np.minimum(d, 3 * cutoff))
        near = d[i, j] < cutoff
        i, j = i[near], j[near]
        if len(i) < MIN_ATOMS:
            break
        q, t = rigid_motion(aligned[i], truth[j])
        aligned = aligned @ q.T + t
    # The whole alignment is aligned = (hand · x) Qᵀ + t: its Q turns errors back into the axes of the found atoms.
    turn = rigid_motion(hand * x, aligned)[0]
    error = hand * (aligned[i] - truth[j]) @ turn
    tree = cKDTree(truth)
    neighbours = tree.query_ball_point(truth, BOND_SLACK * _bond(tree), return_length=True) - 1
    return AtomMatch(i, j, error, neighbours[j], hand)


def score_atoms(found: ArrayLike, true: ArrayLike, cutoff: float = CUTOFF) -> AtomScore:
    """Score traced atoms after the best alignment over all rotations, shifts and both hands.

    Parameters
    ----------
    found, true
        (n, 3) and (m, 3) positions, Å, in any two frames.
    cutoff
        Å; pairs are matched one to one within it.

    Raises
    ------
    InputError
        Shapes other than (n, 3), or fewer than 4 true atoms.
    """
    match = match_atoms(found, true, cutoff)
    distance = np.linalg.norm(match.error, axis=1)
    count_true, count_found = len(np.asarray(true)), len(np.asarray(found))

    def rms(d: Array) -> float:
        return float(np.sqrt(np.square(d).mean()) * PM_PER_ANGSTROM) if len(d) else float("nan")

    return AtomScore(
        true=count_true,
        found=count_found,
        matched=len(distance),
        recall=len(distance) / count_true,
        precision=len(distance) / max(count_found, 1),
        rmsd=rms(distance),
        rmsd_core=rms(distance[match.core]),
        rmsd_surface=rms(distance[~match.core]),
        median=float(np.median(distance)) * PM_PER_ANGSTROM if len(distance) else float("nan"),
        hand=match.hand,
    )


def _bond(tree: Any) -> float:
    """Return the median nearest-neighbour distance, Å."""
    return float(np.median(tree.query(tree.data, k=2)[0][:, 1]))


def _shells(x: Array, count: int) -> list[tuple[int, Array]]:
    """Return (atom, unit bond vectors) of the `count` best-coordinated atoms nearest to the centre."""
    from scipy.spatial import cKDTree

    tree = cKDTree(x)
    near = tree.query_ball_point(x, BOND_SLACK * _bond(tree))
    coordination = np.array([len(n) for n in near])
    radius = np.linalg.norm(x - x.mean(0), axis=1)
    out = []
    # Full shells of metals have 12 (fcc, hcp) or 8 (bcc); more means stray atoms between the true ones.
    full = np.minimum(coordination, 13)
    for i in np.lexsort((radius, coordination > 13, -full))[:count]:
        bonds = x[[k for k in near[i] if k != i]] - x[i]
        if len(bonds) >= 2:
            out.append((int(i), bonds / np.linalg.norm(bonds, axis=1, keepdims=True)))
    return out


def _frames(pairs: Array) -> Array:
    """Return right-handed orthonormal frames (n, 3, 3), as columns, of pairs of directions (n, 2, 3)."""
    first = pairs[:, 0] + pairs[:, 1]
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    third = np.cross(pairs[:, 0], pairs[:, 1])
    third /= np.linalg.norm(third, axis=1, keepdims=True)
    return np.stack([first, np.cross(third, first), third], axis=2)


def _shell_rotations(u: Array, v: Array) -> Array:
    """Return the rotations (n, 3, 3) that align the bond shell `u` with `v`."""
    from scipy.spatial import cKDTree

    # A pair of bonds that is far from collinear fixes a rotation; 60° occurs in every close-packed shell.
    second = 1 + int(np.argmin(np.abs(u[1:] @ u[0] - 0.5)))
    p, r = np.nonzero(np.abs(v @ v.T - u[0] @ u[second]) < ANGLE_SLACK)
    keep = (p != r) & (np.abs(np.einsum("ij,ij->i", v[p], v[r])) < 0.95)
    p, r = p[keep], r[keep]
    if not len(p):
        return np.empty((0, 3, 3))
    source = _frames(np.stack([u[0], u[second]])[None])[0]
    rotations = _frames(np.stack([v[p], v[r]], axis=1)) @ source.T
    gap = cKDTree(v).query(np.einsum("nij,kj->nki", rotations, u).reshape(-1, 3))[0].reshape(len(p), -1)
    return np.asarray(rotations[np.median(gap, axis=1) < 0.3])


def _align(found: Array, truth: Array) -> tuple[Array, int]:
    """Return the found atoms in the frame of the truth, and the hand."""
    from scipy.spatial import cKDTree

    tree = cKDTree(truth)
    bond = _bond(tree)
    best: tuple[float, Array, int] = (-1.0, found - found.mean(0) + truth.mean(0), 1)
    targets = _shells(truth, 6)
    for hand in (1, -1):
        x = (found - found.mean(0)) * hand
        sources = _shells(x, 4)
        rotations = [q for _, u in sources for _, v in targets for q in _shell_rotations(u, v)]
        few = x[:: max(1, len(x) // TRIAL_ATOMS)]
        trials = []
        for q in _distinct(rotations):
            # One well-coordinated atom is placed on each true atom within two bonds of where the centroids put it.
            anchor = q @ x[sources[0][0]]
            near = tree.query_ball_point(anchor + truth.mean(0), 2 * bond)
            shifts = np.vstack([truth[near] - anchor, truth.mean(0)[None]])
            d = tree.query(((few @ q.T)[None] + shifts[:, None]).reshape(-1, 3), distance_upper_bound=bond)[0]
            soft = np.exp(-np.square(d.reshape(len(shifts), -1) / (2 * SOFT))).sum(1)
            top = np.argsort(-soft)[:3]
            trials += [(float(soft[k]), q, shifts[k]) for k in top]
        trials.sort(key=lambda trial: -trial[0])
        for _, q, t in trials[:40]:
            value, aligned = _refine(x, truth, tree, q, t)
            if value > best[0]:
                best = (value, aligned, hand)
    return best[1], best[2]


def _distinct(rotations: list[Array]) -> list[Array]:
    """Return one of each group of rotations within 6° of each other."""
    from scipy.spatial.transform import Rotation

    if not rotations:
        return [np.eye(3)]
    quaternions = Rotation.from_matrix(np.stack(rotations)).as_quat()
    kept: list[int] = []
    for i, q in enumerate(quaternions):
        if not kept or np.abs(quaternions[kept] @ q).max() < SAME_ROTATION:
            kept.append(i)
    return [rotations[i] for i in kept]


def _refine(x: Array, truth: Array, tree: Any, q: Array, t: Array) -> tuple[float, Array]:
    """Iterate closest points with a shrinking reach; return the soft count of matches and the aligned atoms."""
    for reach in (1.5, 1.2, 1.0, 0.8, 0.8, 0.8):
        d, j = tree.query(x @ q.T + t, distance_upper_bound=reach)
        near = np.isfinite(d)
        if near.sum() < MIN_ATOMS:
            break
        q, t = rigid_motion(x[near], truth[j[near]])
    aligned = x @ q.T + t
    d = tree.query(aligned)[0]
    return float(np.exp(-np.square(d / SOFT)).sum()), aligned
