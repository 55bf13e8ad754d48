"""Give every atom its lattice site without any prior orientation, by growing outwards from one atom.

Convention: sites n are fractional row vectors of the conventional cell, x = origin + n · cell (see `crystal`).

1. Seed: the bonds of an atom are compared with the shell of the prototype. Any pair of bonds with the right angle gives
   a trial rotation; the best, refined by Kabsch, gives orientation and scale.
2. Growth: an atom at x_i next to an atom j with site n_j gets n_i = n_j + v, with v the bond of the shell nearest to
   (x_i − x_j) · cell⁻¹. Every known neighbour votes. Only differences between neighbours are used, so a strain that
   adds up to more than a bond over the particle does not upset the indices, and growth stops at a twin or stacking
   fault, where the next layer is 0.58 bond lengths away from its site.
3. The cell is fitted again after every round.

References: W. Kabsch, Acta Cryst. A 32, 922 (1976), doi:10.1107/S0567739476001873.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from single_rs.base.rotations import superposition
from single_rs.crystal.prototypes import Prototype

__all__ = ["PARTS", "Neighbours", "Seed", "find_seeds", "grow"]

# Seeds: a bond may be off by this part of the nearest-neighbour distance. The bonds of a twin are 0.58 off.
_SEED_TOLERANCE = 0.3
# Angle between the two bonds of a trial may be off by this much: 0.3 of a bond is 17°.
_SEED_ANGLE = np.deg2rad(17.0)
# A bond vector may differ by this part of the nearest-neighbour distance from the shell's: half of what separates
# the two stackings of close-packed layers.
_GROWTH_TOLERANCE = 0.29
# Every site of the prototypes is a whole number of these parts (halves, thirds, quarters, eighths) of the cell, so that
# equal sites compare equal as integers.
PARTS = 24
# Refit the cell only from so many atoms that a shell is complete in three dimensions.
_REFIT_ATOMS = 13


class Neighbours:
    """Directed neighbour pairs of a set of atoms.

    Attributes
    ----------
    positions
        (n, 3) Å.
    nearest
        Nearest-neighbour distance of the set, Å.
    i, j
        (p,) every pair in both directions, sorted by j.
    """

    def __init__(self, positions: NDArray[np.float64], nearest: float, reach: float) -> None:
        """Collect the pairs within `reach` × `nearest`."""
        self.positions, self.nearest = positions, nearest
        pairs = cKDTree(positions).query_pairs(reach * nearest, output_type="ndarray")
        both = np.concatenate([pairs, pairs[:, ::-1]])
        both = both[np.lexsort((both[:, 0], both[:, 1]))]
        self.i, self.j = both[:, 0], both[:, 1]
        self._start = np.searchsorted(self.j, np.arange(len(positions) + 1))

    def bonds(self, atom: int) -> NDArray[np.float64]:
        """Vectors (k, 3), Å, from one atom to its neighbours."""
        ends = self.i[self._start[atom] : self._start[atom + 1]]
        return np.asarray(self.positions[ends] - self.positions[atom])


@dataclass(frozen=True)
class Seed:
    """One atom with its trial cell (rows a, b, c, Å); `score` is 1 for a perfect shell, 0 for none."""

    atom: int
    cell: NDArray[np.float64]
    score: float


def _frame(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Right-handed frames (..., 3, 3), columns from two bonds with equal weight on both."""
    p = p / np.linalg.norm(p, axis=-1, keepdims=True)
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    e1, e2 = p + q, p - q
    e1 = e1 / np.linalg.norm(e1, axis=-1, keepdims=True)
    e2 = e2 / np.linalg.norm(e2, axis=-1, keepdims=True)
    return np.stack([e1, e2, np.cross(e1, e2)], axis=-1)


def _angle(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    norm = np.linalg.norm(p, axis=-1) * np.linalg.norm(q, axis=-1)
    return np.asarray(np.arccos(np.clip(np.sum(p * q, axis=-1) / norm, -1, 1)))


def _orient(bonds: NDArray[np.float64], shell: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, float]:
    """Best rotation, scale and score that carry the shell (k, 3) onto the bonds (m, 3), both in bond lengths."""
    angles = _angle(shell[:1], shell)
    partner = int(np.argmin(np.abs(angles - np.pi / 2.4)))  # 75°: between 60° (fcc), 70° (bcc) and 90°, never 0 or 180°
    p, q = np.nonzero(np.abs(_angle(bonds[:, None], bonds[None]) - angles[partner]) < _SEED_ANGLE)
    distinct = p != q
    p, q = p[distinct], q[distinct]
    if len(p) == 0:
        return np.eye(3), 1.0, 0.0
    trials = _frame(bonds[p], bonds[q]) @ _frame(shell[0], shell[partner]).T

    def distances(rotations: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
        turned = scale * np.einsum("tij,kj->tki", rotations, shell)
        return np.asarray(np.linalg.norm(turned[:, :, None] - bonds[None, None], axis=-1))

    def score(d: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.mean(np.clip(1 - (d.min(axis=2) / _SEED_TOLERANCE) ** 2, 0, None), axis=1))

    best = trials[np.argmax(score(distances(trials, 1.0)))]
    scale = 1.0
    for _ in range(3):
        d = distances(best[None], scale)[0]
        match, ok = d.argmin(axis=1), d.min(axis=1) < _SEED_TOLERANCE
        if ok.sum() < 3:
            return best, scale, 0.0
        best = superposition(shell[ok], bonds[match[ok]])
        scale = float(np.sum((shell[ok] @ best.T) * bonds[match[ok]]) / np.sum(shell[ok] ** 2))
    return best, scale, float(score(distances(best[None], scale))[0])


def find_seeds(near: Neighbours, kind: Prototype, allowed: NDArray[np.bool_], count: int) -> list[Seed]:
    """Best-matching seeds among the allowed atoms with the best environment nearest to their centre.

    Parameters
    ----------
    near
        Neighbour pairs.
    kind
        Prototype; its first sublattice is put on the seed.
    allowed
        (n,) bool, atoms that may be seeds.
    count
        Number of seeds returned, best first; ten times as many atoms are tried.
    """
    atoms = np.flatnonzero(allowed)
    if len(atoms) == 0:
        return []
    x = near.positions
    found = np.bincount(near.j, minlength=len(x))[atoms]
    radius = np.linalg.norm(x[atoms] - np.median(x[atoms], axis=0), axis=1)
    # Atoms with at least a full shell first, from the centre outwards; then those that miss neighbours.
    missing = np.maximum(kind.coordination - found, 0)
    order = np.lexsort((radius, missing))[: 10 * count]
    shell = kind.shells[0] @ kind.cell
    seeds = []
    for atom in atoms[order]:
        bonds = near.bonds(int(atom)) / near.nearest
        if len(bonds) < 3:
            continue
        rotation, scale, score = _orient(bonds, shell)
        seeds.append(Seed(int(atom), scale * near.nearest * kind.cell @ rotation.T, score))
    return sorted(seeds, key=lambda s: -s.score)[:count]


def _refit(
    sites: NDArray[np.float64], x: NDArray[np.float64], cell: NDArray[np.float64], rigid: bool
) -> NDArray[np.float64]:
    """Fit the cell to the atoms indexed so far; a cell that they do not determine is only rotated."""
    known = np.flatnonzero(np.isfinite(sites[:, 0]))
    if len(known) < _REFIT_ATOMS:
        return cell
    n, y = sites[known] - sites[known].mean(axis=0), x[known] - x[known].mean(axis=0)
    span = np.linalg.svd(n @ cell, compute_uv=False)
    if rigid or span[2] < 0.2 * span[0]:
        return np.asarray(cell @ superposition(n @ cell, y).T)
    return np.asarray(np.linalg.lstsq(n, y, rcond=None)[0])


def grow(
    near: Neighbours, kind: Prototype, seed: Seed, allowed: NDArray[np.bool_], rigid: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sites of all atoms that can be reached from the seed, and the cell fitted to them.

    Parameters
    ----------
    near
        Neighbour pairs.
    kind
        Prototype.
    seed
        Starting atom (its site is 0) and cell.
    allowed
        (n,) bool, atoms that may be indexed.
    rigid
        Keep the shape of the seed's cell, fit its rotation only.

    Returns
    -------
    sites
        (n, 3) fractional, NaN for atoms that were not reached. No site is given twice.
    cell
        (3, 3) Å, rows a, b, c, by plain least squares.
    """
    x, cell = near.positions, seed.cell
    sites = np.full((len(x), 3), np.nan)
    sublattice = np.full(len(x), -1)
    sites[seed.atom], sublattice[seed.atom] = 0.0, 0
    refused = ~allowed
    while True:
        open_pairs = np.flatnonzero((sublattice[near.j] >= 0) & (sublattice[near.i] < 0) & ~refused[near.i])
        i, n, target, deviation = _votes(near, kind, cell, sites, sublattice, open_pairs)
        close = deviation < _GROWTH_TOLERANCE * near.nearest
        if not np.any(close):
            return sites, cell
        atoms, proposed, ends = _elect(i[close], n[close], target[close], deviation[close])
        free = _first_of_each_site(sites, proposed)
        # An atom whose site is taken is an interstitial or noise: it stays off the lattice.
        refused[atoms[~free]] = True
        sites[atoms[free]], sublattice[atoms[free]] = proposed[free], ends[free]
        cell = _refit(sites, x, cell, rigid)


def _votes(
    near: Neighbours,
    kind: Prototype,
    cell: NDArray[np.float64],
    sites: NDArray[np.float64],
    sublattice: NDArray[np.int64],
    pairs: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Site proposed to atom i by each of its known neighbours j, the sublattice it is on, and the misfit in Å."""
    i, j = near.i[pairs], near.j[pairs]
    bond = near.positions[i] - near.positions[j]
    proposed = np.zeros((len(pairs), 3))
    target = np.zeros(len(pairs), dtype=np.int64)
    deviation = np.full(len(pairs), np.inf)
    for s, (shell, ends) in enumerate(zip(kind.shells, kind.targets, strict=True)):
        rows = np.flatnonzero(sublattice[j] == s)
        d = np.linalg.norm(bond[rows, None] - (shell @ cell)[None], axis=2)
        best = d.argmin(axis=1) if len(rows) else np.zeros(0, dtype=np.int64)
        proposed[rows] = sites[j[rows]] + shell[best]
        target[rows] = ends[best]
        deviation[rows] = d[np.arange(len(rows)), best]
    return i, proposed, target, deviation


def _elect(
    i: NDArray[np.int64], proposed: NDArray[np.float64], target: NDArray[np.int64], deviation: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """For each atom the site with most votes (then least misfit); atoms with two votes or more go first, if any."""
    key = np.column_stack([i, np.rint(PARTS * proposed).astype(np.int64)])
    _, inverse, votes = np.unique(key, axis=0, return_inverse=True, return_counts=True)
    inverse = inverse.ravel()
    misfit = np.bincount(inverse, deviation) / votes
    order = np.lexsort((misfit[inverse], -votes[inverse], i))
    first = order[np.append(True, np.diff(i[order]) != 0)]
    strong = votes[inverse[first]] >= 2
    if np.any(strong):
        first = first[strong]
    # Best first, so that of two atoms that claim one site the better one gets it.
    first = first[np.lexsort((misfit[inverse[first]], -votes[inverse[first]]))]
    return i[first], np.rint(PARTS * proposed[first]) / PARTS, target[first]


def _first_of_each_site(sites: NDArray[np.float64], proposed: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which proposed sites are free, counting each only once."""
    taken = {tuple(n) for n in np.rint(PARTS * sites[np.isfinite(sites[:, 0])]).astype(int).tolist()}
    free = np.zeros(len(proposed), dtype=bool)
    for k, n in enumerate(np.rint(PARTS * proposed).astype(int).tolist()):
        if tuple(n) not in taken:
            free[k] = True
            taken.add(tuple(n))
    return free
