"""Gradient of the displacement at each atom: the slope of a local plane, weighted with a Gaussian.

Convolving u with a Gaussian K of standard deviation w and differentiating gives, in a continuum, ∂(K∗u) = ∫ K s u / w²:
exactly the slope of the weighted least-squares plane through u(s), since ∫ K s sᵀ = w² I. The slope is computed from
the atoms themselves,

    minimise Σ_j K(L_ij) |u_ij − c_i − G_i L_ij|²,      u_ij = x_j − x_i − L_ij,

so the moments are those of the neighbours that exist. At the rim, where half of the kernel is empty, a plain
convolution mixes u with the shape of the particle; the local plane does not, and a uniform strain comes back exactly.

L_ij is the lattice vector nearest to x_j − x_i. Displacements are compared between neighbours only, modulo lattice
vectors, so no numbering of all sites has to be consistent round the particle: with a dislocation there is none. Atoms
take part whose bonds fit the lattice; further domains do where they are turned by less than 15° and the displacement
between the two atoms is not that of a fault.

Where half of the kernel is empty the slope across the rim is 2.7 times noisier than inside. The kernel is therefore
wider there, w_i = w (1 + (f − 1) min(1, (1 − λ_i)/(1 − λ_flat))), with λ_i w² the least second moment of the neighbours
of atom i and λ_flat = 1 − 2/π that of a half-space. With f = 1.2 the noise is 1.7 times that inside, and the slope is
that at 1.3 w under the surface instead of 1.1 w (both by quadrature over the half-space).

Reference: local linear regression: J. Fan, Ann. Statist. 21, 196 (1993), doi:10.1214/aos/1176349022.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from single_rs.analysis.lattice import Lattice
from single_rs.base.rotations import rotation_angle
from single_rs.base.tensors import COLUMNS, ROWS
from single_rs.crystal.prototypes import Prototype, prototype

__all__ = ["LocalSlopes", "lattice_vectors", "local_slopes", "matched_bonds"]

# Kernel radius in standard deviations: beyond 3.5 the weight is below 0.3%.
_REACH = 3.5
# Least share of the kernel-weighted second moment in the flattest direction: less, and the neighbours lie in a plane
# and do not determine the slope across it. A flat free surface has 1 − 2/π = 0.36 of the bulk value across it.
_FLATTEST = 0.05
_FLAT = 1 - 2 / np.pi
# One and a half times the terms of the local model.
LEAST_NEIGHBOURS = {1: 6, 2: 15}
# In kernel widths the moments are of order 1; beyond this a combination of terms is not seen by the atoms.
_WORST_CONDITION = 1e4
# Centres worked on together: 500 with 150 neighbours and 10 terms take 6 MB.
_CHUNK = 500
# A bond fits the lattice within this part of its length; an interstice is 0.7 from the sites about it, an adatom on
# the wrong stacking site 0.58.
_BOND_FIT = 0.3
# An atom is on the lattice when this share of its bonds fits: across a twin plane 9 of 12 do, beyond it 6.
_SHARE_ON = 0.7
# The displacement between two atoms of one crystal, in nearest-neighbour distances; that of a stacking fault is 0.58.
_SAME_CRYSTAL = 0.45
# Boundaries of lower angle are rows of dislocations between which the lattice is continuous.
_LOW_ANGLE = 15.0


@dataclass(frozen=True)
class LocalSlopes:
    """Slopes of the displacement at n atoms.

    Attributes
    ----------
    gradient
        (n, 3, 3), G[a, b] = ∂u_a/∂X_b, in the frame of the positions; NaN where undetermined.
    operator
        Sparse (n, n) for b = x, y, z: ∂f/∂X_b at each atom from the values of any f at all atoms; rows without a
        result are empty.
    scatter
        (n,) Å per axis, of the atoms about the local model; NaN where undetermined.
    """

    gradient: NDArray[np.float64]
    operator: tuple[sparse.csr_array, sparse.csr_array, sparse.csr_array]
    scatter: NDArray[np.float64]


def lattice_vectors(
    steps: NDArray[np.float64],
    cell: NDArray[np.float64],
    kind: Prototype,
    first: NDArray[np.int64],
    last: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Lattice vector (m, 3) nearest to each step (m, 3) Å from a site of sublattice `first` to one of `last`."""
    fractional = steps @ np.linalg.inv(cell)
    heads = [kind.motif[kind.sublattice == s] for s in range(int(kind.sublattice.max()) + 1)]
    if len(heads) == 1 and not first.any() and not last.any():
        return _nearest_vectors(fractional, cell, heads[0] - heads[0][0])
    out = np.zeros_like(steps)
    for p, tail in enumerate(heads):
        for q, head in enumerate(heads):
            chosen = np.flatnonzero((first == p) & (last == q))
            out[chosen] = _nearest_vectors(fractional[chosen], cell, head - tail[0])
    return out


def _nearest_vectors(
    fractional: NDArray[np.float64], cell: NDArray[np.float64], centrings: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Vector (m, 3) Å nearest to each step (m, 3), in cells, among those that differ from a centring by whole cells."""
    whole, best = np.zeros_like(fractional), np.full(len(fractional), np.inf)
    for centring in centrings:
        rest = fractional - centring
        n = np.rint(rest)
        rest -= n
        off = rest @ cell
        distance = np.einsum("ij,ij->i", off, off)
        better = distance < best
        n += centring
        np.copyto(whole, n, where=better[:, None])
        np.copyto(best, distance, where=better)
    return np.asarray(whole @ cell)


def sublattices(lattice: Lattice, kind: Prototype) -> NDArray[np.int64]:
    """Sublattice (n,) of each atom; 0 for all in a Bravais lattice, −1 for atoms without a site in others."""
    if kind.sublattice.max() == 0:
        return np.zeros(len(lattice.sites), dtype=np.int64)
    offset = lattice.sites[:, None] - kind.motif[None]
    same = np.all(np.abs(offset - np.rint(offset)) < 1e-3, axis=2)
    return np.where(same.any(axis=1), kind.sublattice[np.argmax(same, axis=1)], -1)


def matched_bonds(
    x: NDArray[np.float64], lattice: Lattice, cell: NDArray[np.float64], of: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Bonds of the atoms `of` and the bonds of the lattice that they are.

    Returns
    -------
    i, j
        (m,) ends of each pair within the first neighbour shell of the lattice.
    ideal
        (m, 3) Å, nearest bond vector of the lattice.
    fits
        (m,) bool, nearer to it than 0.3 of its length.
    """
    kind = prototype(lattice.structure)
    lengths = np.linalg.norm(np.concatenate(kind.shells) @ cell, axis=1)
    near = cKDTree(x).query_ball_point(x[of], (1 + _BOND_FIT) * float(lengths.max()))
    i = np.repeat(of, [len(found) for found in near])
    j = np.concatenate([np.asarray(found, dtype=np.int64) for found in near]) if len(near) else i
    i, j = i[i != j], j[i != j]
    side = sublattices(lattice, kind)
    ideal = lattice_vectors(x[j] - x[i], cell, kind, side[i], side[j])
    length = np.linalg.norm(ideal, axis=1)
    bond = (length > 0.1) & (length < lengths.max() + 0.1 * lengths.min())
    off = np.linalg.norm(x[j] - x[i] - ideal, axis=1)
    # A neighbour too far for any bond is no bond that fails to fit.
    shell = bond | (np.linalg.norm(x[j] - x[i], axis=1) < 1.15 * lengths.min())
    fits = bond & (off < _BOND_FIT * np.maximum(length, 1e-9))
    return i[shell], j[shell], ideal[shell], fits[shell]


def _members(x: NDArray[np.float64], lattice: Lattice, k: int, cell: NDArray[np.float64]) -> NDArray[np.int64]:
    """Atoms that continue the lattice of domain k."""
    inside, kind, own_cell = lattice.domain == k, prototype(lattice.structure), lattice.domains[k].cell
    if kind.sublattice.max() == 0:
        joined = [m for m, d in enumerate(lattice.domains) if _angle(d.cell, own_cell, kind) < _LOW_ANGLE]
        inside = np.isin(lattice.domain, [*joined, -1])
    candidates = np.flatnonzero(inside)
    i, _, _, fits = matched_bonds(x, lattice, cell, candidates)
    bonds = np.bincount(i, minlength=len(x))
    share = np.bincount(i, fits, minlength=len(x)) / np.maximum(bonds, 1)
    # Two bonds fit by chance to an atom anywhere on the surface; its own site vouches for an atom of the domain.
    own = lattice.on_site & (lattice.domain == k)
    return np.asarray(candidates[((share > _SHARE_ON) & (bonds > 2) | own)[candidates]])


def _angle(one: NDArray[np.float64], other: NDArray[np.float64], kind: Prototype) -> float:
    """Smallest rotation between two cells, up to the symmetry of the lattice, degrees."""
    settings = np.linalg.inv(kind.operations[0]).swapaxes(1, 2) @ other
    left, _, right = np.linalg.svd(one.T @ np.linalg.inv(settings.swapaxes(1, 2)))
    trace = np.einsum("oij,oji->o", left, right).max()
    return float(rotation_angle(trace))


def local_slopes(
    x: NDArray[np.float64],
    lattice: Lattice,
    cells: list[NDArray[np.float64]],
    width: float,
    order: int,
    widening: float,
) -> LocalSlopes:
    """Slope of the displacement at every atom from the reference cells (one for each domain); see the module.

    An atom off the lattice gets the slope of the main domain's atoms about it.
    """
    count = len(x)
    gradient, scatter = np.full((count, 3, 3), np.nan), np.full(count, np.nan)
    entries: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]] = []
    for k, cell in enumerate(cells):
        members = _members(x, lattice, k, cell)
        targets = np.flatnonzero((lattice.domain == k) | ((lattice.domain < 0) & (k == 0)))
        if len(members) < LEAST_NEIGHBOURS[order] or len(targets) == 0:
            continue
        on = np.zeros(count, dtype=bool)
        on[members] = True
        for chosen in np.array_split(targets, -(-len(targets) // _CHUNK)):
            model = _Planes(x, chosen, members, on, lattice, cell, width * widening)
            model.fit(np.full(len(chosen), width), order)
            if widening > 1:
                empty = np.clip((1 - model.flattest) / (1 - _FLAT), 0, 1)
                model.fit(width * (1 + (widening - 1) * empty), order)
            gradient[chosen], scatter[chosen] = model.gradient, model.scatter
            slopes = model.slopes.reshape(-1, 3)
            kept = np.any(slopes != 0, axis=1)
            rows, columns = np.repeat(chosen, model.index.shape[1])[kept], model.index.ravel()[kept]
            entries.append((rows.astype(np.int32), columns.astype(np.int32), slopes[kept]))
    rows, columns = (np.concatenate([e[n] for e in entries] or [np.zeros(0, np.int32)]) for n in (0, 1))
    values = np.concatenate([e[2] for e in entries] or [np.zeros((0, 3))])
    entries.clear()
    x_, y_, z_ = (sparse.csr_array((values[:, b], (rows, columns)), shape=(count, count)) for b in range(3))
    return LocalSlopes(gradient, (x_, y_, z_), scatter)


class _Planes:
    """Local planes (or quadratics) about some atoms, their neighbours padded with weight zero to the same number."""

    def __init__(
        self,
        x: NDArray[np.float64],
        chosen: NDArray[np.int64],
        members: NDArray[np.int64],
        on: NDArray[np.bool_],
        lattice: Lattice,
        cell: NDArray[np.float64],
        reach: float,
    ) -> None:
        tree, kind = cKDTree(x[members]), prototype(lattice.structure)
        full = np.asarray(tree.query_ball_point(x[chosen], _REACH * reach, return_length=True))
        distance, found = tree.query(x[chosen], k=max(int(full.max()), 2), distance_upper_bound=_REACH * reach)
        self.inside = np.isfinite(distance)
        self.index = members[np.where(self.inside, found, 0)]
        # An atom off the lattice is seen from the nearest atom on it.
        anchor = np.where(on[chosen], chosen, self.index[:, 0])
        steps = x[self.index] - x[anchor][:, None]
        side = sublattices(lattice, kind)
        first = np.repeat(side[anchor], steps.shape[1])
        ideal = lattice_vectors(steps.reshape(-1, 3), cell, kind, first, side[self.index].ravel()).reshape(steps.shape)
        self.values = steps - ideal
        self.inside &= np.linalg.norm(self.values, axis=2) < _SAME_CRYSTAL * lattice.nearest_neighbour
        self.values[~self.inside] = 0
        self.offset = ideal + (x[anchor] - x[chosen])[:, None]

    def fit(self, width: NDArray[np.float64], order: int) -> None:
        """Fit with a kernel of one width for each atom; sets gradient, slopes, scatter and flattest."""
        w = width[:, None, None]
        offset = np.where(self.inside[..., None], self.offset / w, 0)
        weight = np.exp(-0.5 * np.sum(offset**2, axis=2)) * self.inside
        weight[np.sum(offset**2, axis=2) > _REACH**2] = 0
        weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
        terms = [np.ones((*offset.shape[:2], 1)), offset]
        if order == 2:
            terms.append(offset[..., ROWS] * offset[..., COLUMNS])
        design = np.concatenate(terms, axis=2)
        weighted = np.swapaxes(design * weight[..., None], 1, 2)
        normal = weighted @ design
        # The covariance of the offsets, from the moments that the normal matrix holds.
        spread = normal[:, 1:4, 1:4] - normal[:, :1, 1:4] * normal[:, 1:4, :1]
        self.flattest = np.linalg.eigvalsh(spread)[:, 0]
        good = (np.sum(weight > 0, axis=1) >= LEAST_NEIGHBOURS[order]) & (self.flattest > _FLATTEST)
        good[good] = np.linalg.cond(normal[good]) < _WORST_CONDITION
        normal[~good] = np.eye(normal.shape[1])
        operator = np.linalg.solve(normal, weighted)
        model = operator @ self.values
        # Residuals are (1 − H) u, H = design · operator; the expectation of their weighted square is `freedom` times
        # the variance of u, with the diagonals of H and of H Hᵀ.
        rest = self.values - design @ model
        diagonal = np.einsum("tmp,tpm->tm", design, operator)
        square = np.sum((design @ (operator @ np.swapaxes(operator, 1, 2))) * design, axis=2)
        freedom = np.sum(weight * (1 - 2 * diagonal + square), axis=1)
        self.scatter = np.sqrt(np.sum(weight[..., None] * rest**2, axis=(1, 2)) / 3 / np.maximum(freedom, 0.05))
        self.gradient = np.swapaxes(model[:, 1:4], 1, 2) / w
        self.slopes = np.swapaxes(operator[:, 1:4], 1, 2) / w
        self.gradient[~good], self.scatter[~good], self.slopes[~good] = np.nan, np.nan, 0
