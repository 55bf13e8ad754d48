"""The domains of a particle: found among the atoms, named by symmetry and species, compared with each other.

Convention: as in `fit`, x = origin + n · cell with fractional sites n. A domain can be described in as many
settings of its axes as its structure has proper rotations; the right-handed one nearest to the axes of the particle
frame is taken. With two species only settings count that put the first species on the first sublattice (by majority, so
that single antisites are allowed); without, a wurtzite or zincblende crystal has no polar direction.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis.lattice.affine import AffineFit, fit_affine, fit_rigid
from single_rs.analysis.lattice.indexing import PARTS, Neighbours, Seed, find_seeds, grow
from single_rs.base.errors import ConvergenceError
from single_rs.base.rotations import rotation_angle
from single_rs.crystal.prototypes import Prototype, crystal_axes

__all__ = [
    "ON_SITE",
    "SMALLEST_DOMAIN",
    "Member",
    "canonical",
    "find_domain",
    "gain",
    "relate",
    "relax_internal",
    "site_species",
]

# An atom is on its site when nearer than this part of the nearest-neighbour distance.
ON_SITE = 0.25
# Seeds grown to the end; the one that reaches most atoms wins.
_SEEDS = 4
# One atom and its shell is the least that tells a lattice from chance.
SMALLEST_DOMAIN = 13
# A further domain is fitted with its own cell from this number of atoms, below it only turned and shifted: the
# 12 parameters of 20 atoms would follow the surface relaxation.
_AFFINE_DOMAIN = 60
# Largest ratio of stretches (as a logarithm) between the fitted and the ideal cell: c/a of hcp metals spans 1.57 to
# 1.89 against 1.633 (0.15); Bain's path from bcc to fcc is 0.35.
_DISTORTION = 0.2
# A disorientation is called a twin within this angle of 60° about ⟨111⟩.
_TWIN_TOLERANCE = 4.0
_HEXAGONAL = ("hcp", "wurtzite")


@dataclass(frozen=True)
class Member:
    """A domain being built: sites of all n atoms (NaN elsewhere), and the fit to those that have one; u of wurtzite."""

    sites: NDArray[np.float64]
    fit: AffineFit
    affine: bool
    u: float = np.nan
    u_err: float = np.nan

    @property
    def indexed(self) -> NDArray[np.bool_]:
        """(n,) atoms of this domain."""
        return np.asarray(np.isfinite(self.sites[:, 0]))


def find_domain(
    x: NDArray[np.float64],
    sigma: NDArray[np.float64] | None,
    kind: Prototype,
    nearest: float,
    allowed: NDArray[np.bool_],
    shape: NDArray[np.float64] | None,
) -> Member | None:
    """Largest domain among the allowed atoms; `shape` is the main domain's cell when this is a further one."""
    longest = float(np.linalg.norm(kind.shells[0] @ kind.cell, axis=1).max())
    near = Neighbours(x, nearest, longest + 0.3)
    sites: NDArray[np.float64] | None = None
    seeds = find_seeds(near, kind, allowed, _SEEDS)
    # A shell more symmetric than its crystal (the tetrahedron of wurtzite) leaves several orientations to try.
    turns = [np.linalg.solve(kind.cell.T, v @ kind.cell.T).T for v in kind.variants]
    for seed in (Seed(s.atom, turn @ s.cell, s.score) for s in seeds for turn in turns):
        if shape is not None:
            turn = crystal_axes(shape, kind.name).T @ crystal_axes(seed.cell, kind.name)
            seed = Seed(seed.atom, shape @ turn, seed.score)
        trial = grow(near, kind, seed, allowed, rigid=shape is not None)[0]
        if sites is None or np.isfinite(trial[:, 0]).sum() > np.isfinite(sites[:, 0]).sum():
            sites = trial
        if np.isfinite(sites[:, 0]).sum() > 0.9 * allowed.sum():
            break
    if sites is None:
        return None
    fit, affine = None, True
    # Atoms that stray from the fitted lattice leave it, once or twice until all are within reach of their sites.
    for _ in range(3):
        known = np.isfinite(sites[:, 0])
        if known.sum() < SMALLEST_DOMAIN:
            return None
        weight = None if sigma is None else sigma[known]
        affine = shape is None or _is_thick(sites[known], shape)
        if affine:
            try:
                fit = fit_affine(sites[known], x[known], weight)
            except ConvergenceError:  # A single plane of atoms, as a wrong prototype finds, is no crystal.
                return None
        else:
            fit = fit_rigid(sites[known], x[known], shape if shape is not None else kind.cell)
        far = np.linalg.norm(fit.residual, axis=1) > 2 * ON_SITE * nearest
        if not far.any():
            break
        sites[np.flatnonzero(known)[far]] = np.nan
    if fit is None or _distortion(fit.cell, kind) > _DISTORTION:
        return None
    known = np.isfinite(sites[:, 0])
    return Member(sites, fit, affine) if len(fit.residual) == known.sum() else None


def _is_thick(sites: NDArray[np.float64], cell: NDArray[np.float64]) -> bool:
    """Whether atoms determine a cell of their own: many, and at least a third as thick as they are wide."""
    span = np.linalg.svd((sites - sites.mean(axis=0)) @ cell, compute_uv=False)
    return len(sites) >= _AFFINE_DOMAIN and bool(span[2] > span[0] / 3)


def _distortion(cell: NDArray[np.float64], kind: Prototype) -> float:
    """Logarithm of the ratio of the largest to the smallest stretch of the ideal cell."""
    stretch = np.linalg.svd(np.linalg.inv(kind.cell) @ cell, compute_uv=False)
    return float(np.log(stretch[0] / max(stretch[2], 1e-12)))


def gain(member: Member, kind: Prototype, count: int) -> float:
    """Log likelihood gained over atoms spread evenly, less half the BIC penalty of 12 parameters."""
    volume = float(np.linalg.det(member.fit.cell)) / len(kind.motif)
    # No map tells positions to better than a hundredth of a bond, so a perfect input must not win by that alone, and
    # of two lattices that hold all of it the one with fewer sites is right.
    scatter = max(member.fit.scatter, 0.01 * float(np.linalg.norm(kind.shells[0] @ member.fit.cell, axis=1).min()))
    misfit = np.sum(member.fit.residual**2, axis=1) / (2 * scatter**2)
    terms = np.log(volume) - 1.5 * np.log(2 * np.pi * scatter**2) - misfit
    return float(np.clip(terms, 0, None).sum() - 6 * np.log(count))


def site_species(sites: NDArray[np.float64], kind: Prototype) -> NDArray[np.int64]:
    """Species, 0 or 1, (n,) that sites (n, 3) of a prototype have in it."""
    d = sites[:, None] - kind.motif
    return np.asarray(kind.species[np.argmin(np.sum((d - np.rint(d)) ** 2, axis=2), axis=1)])


def canonical(
    member: Member, kind: Prototype, x: NDArray[np.float64], first: NDArray[np.bool_] | None = None
) -> Member:
    """Rename the sites: axes nearest to the frame's, site 0 the one of the first sublattice nearest to the centre.

    `first` (n,) tells the atoms of the first species, None when the species are not known.
    """
    known = member.indexed
    rotations, translations = kind.operations
    if first is None:
        rotations, translations = (np.concatenate(both) for both in zip(kind.operations, kind.exchanges, strict=True))
    elif len(kind.exchanges[0]) and np.mean((site_species(member.sites[known], kind) == 0) == first[known]) < 0.5:
        rotations, translations = kind.exchanges
    cells = np.linalg.inv(rotations).swapaxes(1, 2) @ member.fit.cell
    traces = [round(float(np.trace(crystal_axes(c, kind.name))), 6) for c in cells]
    best = int(np.argmax(traces))
    w, t = rotations[best], translations[best]
    sites = member.sites @ w.T + t
    fractional = sites[known]
    centre = x[known].mean(axis=0)
    away = fractional[:, None] - kind.motif
    at = np.abs(away - np.rint(away)).max(axis=2).argmin(axis=1)  # site of the motif that each atom is on
    distance = np.linalg.norm(x[known] - centre, axis=1)
    # A domain of one layer may have no atom of the first sublattice: its central atom then keeps its place in the cell.
    nearest = int(np.lexsort((distance, kind.sublattice[at] != 0))[0])
    origin = fractional[nearest] - (kind.motif[at[nearest]] if kind.sublattice[at[nearest]] else 0.0)
    sites -= origin
    # (1, old sites) = (1, new sites) · change, so origin, cell and covariance belong to the new names; not by least
    # squares, since the sites of a domain of one layer do not span space.
    back = np.linalg.inv(w).T
    change = np.block([[np.ones((1, 1)), ((origin - t) @ back)[None]], [np.zeros((3, 1)), back]])
    theta = change @ np.vstack([member.fit.origin, member.fit.cell])
    full = np.kron(change, np.eye(3))
    fit = dataclasses.replace(
        member.fit, origin=theta[0], cell=theta[1:], covariance=full @ member.fit.covariance @ full.T
    )
    return Member(np.where(known[:, None], np.rint(PARTS * sites) / PARTS, np.nan), fit, member.affine)


def relax_internal(
    member: Member, kind: Prototype, x: NDArray[np.float64], sigma: NDArray[np.float64] | None
) -> Member:
    """Fit u of wurtzite, the height c u of the second species above the first, and put it into the sites.

    u = 3/8 + s·c/|c|², with s the shift of the second species in a fit where it is free; other structures are returned
    as they are, as are domains without a cell of their own.
    """
    if kind.name != "wurtzite" or not member.affine:
        return member
    known = member.indexed
    second = site_species(member.sites[known], kind) == 1
    if not 0 < second.sum() < len(second):
        return member
    fit = fit_affine(member.sites[known], x[known], None if sigma is None else sigma[known], second)
    c = fit.cell[2]
    move = float(fit.shift @ c / (c @ c))
    error = float(np.sqrt(c @ fit.shift_covariance @ c) / (c @ c))
    sites = member.sites.copy()
    sites[np.flatnonzero(known)[second], 2] += move
    fit = dataclasses.replace(fit, residual=x[known] - fit.origin - sites[known] @ fit.cell)
    return Member(sites, fit, member.affine, float(kind.motif[kind.species == 1][0, 2]) + move, error)


def relate(cell: NDArray[np.float64], earlier: list[NDArray[np.float64]], kind: Prototype) -> tuple[float, str, int]:
    """Disorientation (degrees), relation and partner of a domain among the earlier ones; see `Domain`."""
    inverse = np.linalg.inv(kind.cell)
    symmetry = np.array([kind.cell.T @ w @ inverse.T for w in kind.operations[0]])
    found = []
    for k, other in enumerate(earlier):
        turn = crystal_axes(cell, kind.name) @ crystal_axes(other, kind.name).T
        best = symmetry[np.argmax(np.einsum("oij,ji->o", symmetry, turn))] @ turn
        angle = float(rotation_angle(np.trace(best)))
        axis = np.abs([best[2, 1] - best[1, 2], best[0, 2] - best[2, 0], best[1, 0] - best[0, 1]])
        cosine = axis.sum() / np.sqrt(3) / max(float(np.linalg.norm(axis)), 1e-12)
        if angle < _TWIN_TOLERANCE:
            return angle, "shifted", k
        if (
            kind.name not in _HEXAGONAL
            and abs(angle - 60) < _TWIN_TOLERANCE
            and cosine > np.cos(np.deg2rad(_TWIN_TOLERANCE))
        ):
            return angle, "twin", k
        found.append((angle, "grain", k))
    return found[0] if found else (0.0, "main", 0)
