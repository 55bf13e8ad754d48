"""Interatomic distances along lattice directions, against the distance from the centre, with propagated errors.

For each direction [uvw] of a family every atom is paired with the next occupied site along its row, x_i to
x_j with n_j − n_i = λ [uvw], λ > 0 the least step between sites of the ideal crystal: a/√2 along ⟨110⟩ of fcc, a along
⟨100⟩, √3 a along ⟨111⟩. Families hold the directions that the symmetry of the structure makes equal, each with one
sign. Where steps alternate (a bond and a gap along ⟨111⟩ of diamond) both are pairs, distinguished by their reference.

With d = |x_j − x_i|, unit vector b and errors σ per axis, var(d) = σ_i² + σ_j², and noise across the bond makes d too
long by (σ_i² + σ_j²)/d on average (second order), which means over many pairs subtract when σ is known. A mean
m = Σ w_p d_p has the gradient g_k = Σ_{p: j=k} w_p b_p − Σ_{p: i=k} w_p b_p, so that shared atoms count once:

    var(m) = Σ_k σ_k² |g_k|².
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.analysis.lattice import Lattice, check_atoms
from single_rs.analysis.lattice.indexing import PARTS
from single_rs.base.columns import Column
from single_rs.base.errors import InputError
from single_rs.crystal.neighbours import check_sigma
from single_rs.crystal.prototypes import Prototype, prototype

__all__ = [
    "DistanceProfile",
    "RowDistances",
    "bond_constant",
    "distance_profile",
    "row_distances",
]

_LONGEST = 9 * PARTS  # of a step along a row: a digit of its family in whole cells
_CUBIC_FAMILIES = ("100", "110", "111")
# Along a, along c, and between the rows of a, in the hexagonal cell.
_HEXAGONAL_FAMILIES = ("100", "001", "210")


@dataclass(frozen=True)
class RowDistances:
    """Distances between next neighbours along lattice rows, p pairs.

    Attributes
    ----------
    family
        (p,) indices as text, such as "110".
    direction
        (p, 3) int, the direction [uvw] in the conventional cell of the atom's domain, from i to j.
    i, j
        (p,) indices of the atoms.
    radius
        (p,) Å, distance of the middle of the pair from the centre.
    distance, distance_err
        (p,) Å, |x_j − x_i| and its standard error (NaN where σ is not known).
    reference
        (p,) Å, the same distance in the fitted lattice of the domain.
    positions, sigma
        (n, 3) Å and (n,) Å per axis (NaN where not known), of all atoms; not in distances.csv.
    """

    family: Annotated[NDArray[np.str_], Column()]
    direction: Annotated[NDArray[np.int64], Column(names=("u", "v", "w"))]
    i: Annotated[NDArray[np.int64], Column()]
    j: Annotated[NDArray[np.int64], Column()]
    radius: Annotated[NDArray[np.float64], Column(".6f")]
    distance: Annotated[NDArray[np.float64], Column(".6f")]
    distance_err: Annotated[NDArray[np.float64], Column(".6f")]
    reference: Annotated[NDArray[np.float64], Column(".6f")]
    positions: NDArray[np.float64]
    sigma: NDArray[np.float64]


@dataclass(frozen=True)
class DistanceProfile:
    """Mean distances of one family in k shells about the centre.

    Attributes
    ----------
    family
        Such as "110".
    radius
        (k,) Å, mean distance of the pairs from the centre.
    distance, distance_err
        (k,) Å, mean distance and its error propagated from σ (NaN where σ is not known).
    spread
        (k,) Å, standard deviation of the distances in the shell.
    strain, strain_err
        (k,) mean of distance/reference − 1, fraction, and its error.
    pairs
        (k,) number of pairs.
    """

    family: str
    radius: NDArray[np.float64]
    distance: NDArray[np.float64]
    distance_err: NDArray[np.float64]
    spread: NDArray[np.float64]
    strain: NDArray[np.float64]
    strain_err: NDArray[np.float64]
    pairs: NDArray[np.int64]


def _whole_sites(sites: NDArray[np.float64], kind: Prototype) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sites (n, 3) as whole numbers of 1/24 of the cell, on the ideal motif (wurtzite's u is free), and its index."""
    d = sites[:, None] - kind.motif
    nearest = np.argmin(np.sum((d - np.rint(d)) ** 2, axis=2), axis=1)
    ideal = np.rint(sites - kind.motif[nearest]) + kind.motif[nearest]
    return np.rint(PARTS * ideal).astype(np.int64), nearest


class _Occupied:
    """Atoms on sites: numbers, sites and motif (m,) as of `_whole_sites`, and who stands at a site."""

    def __init__(self, lattice: Lattice, kind: Prototype) -> None:
        self.atoms = np.flatnonzero(lattice.on_site)
        self.site, self.motif = _whole_sites(lattice.sites[self.atoms], kind)
        self._domain = lattice.domain[self.atoms]
        # A site is one number: its domain and coordinates in a box wider than all by the longest step.
        self._low = self.site.min(axis=0, initial=0) - _LONGEST
        self._span = self.site.max(axis=0, initial=0) + _LONGEST + 1 - self._low
        key = self._key(self._domain, self.site)
        self._order = np.argsort(key, kind="stable")
        self._sorted = key[self._order]

    def _key(self, domain: NDArray[np.int64], site: NDArray[np.int64]) -> NDArray[np.int64]:
        place = site - self._low
        return np.asarray(
            ((domain * self._span[0] + place[:, 0]) * self._span[1] + place[:, 1]) * self._span[2] + place[:, 2]
        )

    def beside(self, rows: NDArray[np.int64], steps: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows (p,) of those that have an atom of their domain a step (m, 3), 1/24 of the cell, away; and its row."""
        wanted = self._key(self._domain[rows], self.site[rows] + steps)
        # Of two atoms on one site the last counts, as in a dictionary.
        place = np.searchsorted(self._sorted, wanted, side="right") - 1
        found = (place >= 0) & (self._sorted[np.maximum(place, 0)] == wanted)
        return rows[found], self._order[place[found]]


def _family(name: str, kind: Prototype) -> NDArray[np.int64]:
    """Directions (m, 3) equal to [name] by symmetry, one of each pair of opposite ones."""
    if len(name) != 3 or not name.isdigit() or name == "000":
        raise InputError(f"family is {name!r}; three digits such as '110' are needed")
    rotations = np.concatenate([kind.operations[0], kind.exchanges[0]])
    members = np.rint(rotations @ np.array([int(c) for c in name])).astype(int)
    both = {tuple(m) for m in members.tolist()} | {tuple(m) for m in (-members).tolist()}
    return np.array(sorted(m for m in both if m > (0, 0, 0)), dtype=np.int64)


def _steps(direction: NDArray[np.int64], kind: Prototype) -> list[NDArray[np.int64]]:
    """Least step (24ths of the cell) along a direction from each site of the motif to another site."""
    motif = np.rint(PARTS * kind.motif).astype(np.int64)
    out = []
    for start in motif:
        for parts in range(1, PARTS + 1):
            step = parts * direction
            if np.any(np.all((start + step - motif) % PARTS == 0, axis=1)):
                out.append(step)
                break
    return out


def row_distances(
    positions: ArrayLike,
    lattice: Lattice,
    sigma: ArrayLike | None = None,
    families: tuple[str, ...] | None = None,
    centre: ArrayLike | None = None,
) -> RowDistances:
    """Distances between neighbours along the rows of given families of directions.

    Parameters
    ----------
    positions
        (n, 3) Å, the atoms that the lattice was fitted to.
    lattice
        Result of `fit_lattice`. Pairs are taken within each domain; atoms off their sites take no part.
    sigma
        (n,) Å per axis, standard errors of the positions.
    families
        Names such as "110"; None takes 100, 110, 111, or in hexagonal structures 100 (along a), 001 (along c) and 210.
    centre
        (3,) Å that `radius` is counted from; None takes the mean of the atoms.

    Returns
    -------
    RowDistances
        Pairs (n_pair,) in the order of family, direction and atom; every pair once.

    Raises
    ------
    InputError
        Shapes or names that do not fit.
    """
    x = check_atoms(positions, lattice)
    s = np.full(len(x), np.nan) if sigma is None else check_sigma(sigma, len(x), unknown=True)
    kind = prototype(lattice.structure)
    hexagonal = abs(float(kind.cell[0] @ kind.cell[1])) > 1e-6
    names = families if families is not None else _HEXAGONAL_FAMILIES if hexagonal else _CUBIC_FAMILIES
    middle = x.mean(axis=0) if centre is None else np.asarray(centre, dtype=np.float64)
    if middle.shape != (3,):
        raise InputError(f"centre has shape {middle.shape}; (3,) in Å is needed")
    on = _Occupied(lattice, kind)
    everyone = np.arange(len(on.atoms))
    tails, heads, labels, directions = [], [], [], []
    for name in names:
        for direction in _family(name, kind):
            steps = np.array(_steps(direction, kind)).reshape(-1, 3)
            one, other = on.beside(everyone, steps[on.motif])
            tails.append(on.atoms[one])
            heads.append(on.atoms[other])
            labels.append(np.full(len(one), name, dtype="U3"))
            directions.append(np.broadcast_to(direction, (len(one), 3)))
    i, j = np.concatenate(tails), np.concatenate(heads)
    ideal = lattice.site_positions()
    return RowDistances(
        i=i,
        j=j,
        family=np.concatenate(labels),
        direction=np.concatenate(directions).astype(np.int64),
        distance=np.linalg.norm(x[j] - x[i], axis=1),
        distance_err=np.hypot(s[i], s[j]),
        radius=np.linalg.norm((x[i] + x[j]) / 2 - middle, axis=1),
        reference=np.linalg.norm(ideal[j] - ideal[i], axis=1),
        positions=x,
        sigma=s,
    )


def _mean(rows: RowDistances, chosen: NDArray[np.bool_], scale: NDArray[np.float64]) -> tuple[float, float]:
    """Mean of distance × scale over the chosen pairs, without the bias of noise, and its propagated error."""
    i, j, d = rows.i[chosen], rows.j[chosen], rows.distance[chosen]
    variance = np.nan_to_num(rows.distance_err[chosen] ** 2)
    share = scale[chosen] / len(d)
    gradient = np.zeros_like(rows.positions)
    bond = share[:, None] * (rows.positions[j] - rows.positions[i]) / d[:, None]
    np.add.at(gradient, j, bond)
    np.add.at(gradient, i, -bond)
    used = np.unique(np.concatenate([i, j]))
    error = np.sqrt(np.sum(rows.sigma[used] ** 2 * np.sum(gradient[used] ** 2, axis=1)))
    return float(np.sum(share * (d - variance / d))), float(error)


def distance_profile(rows: RowDistances, family: str, width: float = 2.0) -> DistanceProfile:
    """Mean distance of a family in shells about the centre.

    Parameters
    ----------
    rows
        Result of `row_distances`.
    family
        One of the families in it.
    width
        Å, thickness of the shells; those without pairs are left out.

    Returns
    -------
    DistanceProfile
        Shells (n_shell,) from the centre outwards, lengths in Å, strain as a fraction.
    """
    mine = rows.family == family
    if not mine.any():
        raise InputError(f"family is {family!r}; these hold pairs: {', '.join(sorted(set(rows.family.tolist())))}")
    if not width > 0:
        raise InputError(f"width is {width} Å; it must be more than 0")
    shell = np.floor(rows.radius / width).astype(int)
    one = np.ones(len(rows.i))
    out = []
    for k in np.unique(shell[mine]):
        chosen = mine & (shell == k)
        mean, error = _mean(rows, chosen, one)
        ratio, ratio_err = _mean(rows, chosen, 1 / rows.reference)
        spread = float(rows.distance[chosen].std())
        out.append((float(rows.radius[chosen].mean()), mean, error, spread, ratio - 1, ratio_err, float(chosen.sum())))
    radius, mean, error, spread, strain, strain_err, pairs = np.array(out).T
    return DistanceProfile(family, radius, mean, error, spread, strain, strain_err, pairs.astype(np.int64))


def bond_constant(
    positions: ArrayLike, lattice: Lattice, sigma: ArrayLike | None = None
) -> tuple[float, float, NDArray[np.float64]]:
    """Lattice constant a from the mean bond length, its error, and the bonds.

    The bonds are those of the first shell of the structure between sites of one domain; a = mean bond × (a/bond of the
    ideal structure), which for hexagonal structures supposes the ideal c/a. Errors as in the module.

    Parameters
    ----------
    positions
        (n, 3) Å, the atoms that the lattice was fitted to.
    lattice
        Result of `fit_lattice`.
    sigma
        (n,) Å per axis, standard errors of the positions.

    Returns
    -------
    a
        Å.
    a_err
        Å, standard error propagated from sigma (NaN without).
    bonds
        (n_bond,) Å, every bond once.
    """
    x = check_atoms(positions, lattice)
    s = np.full(len(x), np.nan) if sigma is None else check_sigma(sigma, len(x), unknown=True)
    kind = prototype(lattice.structure)
    on = _Occupied(lattice, kind)
    pairs = []
    for group, shell in enumerate(kind.shells):
        length = np.linalg.norm(shell @ kind.cell, axis=1)
        bonds = np.rint(PARTS * shell[length < 1.01]).astype(np.int64)
        mine = np.flatnonzero(kind.sublattice[on.motif] == group)
        for bond in bonds:
            one, other = on.beside(mine, bond)
            once = other > one
            pairs.append(np.column_stack([on.atoms[one[once]], on.atoms[other[once]]]))
    i, j = np.concatenate(pairs).T
    if not len(i):
        raise InputError(f"the lattice of {len(x)} atoms holds no bond between occupied sites; check the lattice")
    d = np.linalg.norm(x[j] - x[i], axis=1)
    none = np.zeros(len(d))
    rows = RowDistances(none.astype("U3"), np.zeros((len(d), 3), int), i, j, none, d, np.hypot(s[i], s[j]), d, x, s)
    scale = float(np.linalg.norm(kind.cell[0]))
    mean, error = _mean(rows, np.ones(len(d), dtype=bool), np.full(len(d), scale))
    return mean, error, d
