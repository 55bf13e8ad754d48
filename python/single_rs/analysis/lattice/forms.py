"""Multiply twinned forms, decahedron and icosahedron, found by aligning their sites with the atoms.

An icosahedron is 20 tetrahedra of fcc about one atom, a decahedron 5 sectors about one row of atoms. The small gaps
between undistorted parts are closed by an even strain, so that all sites of either have closed forms, in bond lengths:

    icosahedron   n₁ v₁ + n₂ v₂ + n₃ v₃                  v the corners of a face of the regular icosahedron,
    decahedron    n₁ u_k + n₂ u_(k+1) + l ẑ              u_k = (√3/2)(cos 72°k, sin 72°k, 0) + ẑ/2,   k = 0 … 4,

n ≥ 0 and l whole numbers. Centre and orientation come from one atom and its twelve neighbours, or one pair of atoms
and the ring of five about it. Sites are then given to atoms outwards, and an affine cell is fitted as that of a lattice
is (`affine`), so the gain of the form in nats can be compared with that of lattices (`domains.gain`).

References: A. L. Mackay, Acta Cryst. 15, 916 (1962), doi:10.1107/S0365110X6200239X; S. Ino, J. Phys. Soc. Jpn. 21, 346
(1966), doi:10.1143/JPSJ.21.346.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from single_rs.analysis.lattice.affine import AffineFit, fit_affine
from single_rs.analysis.structure.matching import template
from single_rs.base.errors import ConvergenceError
from single_rs.base.rotations import superposition

__all__ = ["FORMS", "Form", "find_form"]

FORMS = ("icosahedron", "decahedron")
# Centres and axes tried, those nearest to the middle of the particle first.
_TRIALS = 12
# An atom is given the site nearest to it within this part of a bond, half of what separates two stackings.
_REACH = 0.29
# Of the atoms that could be on a site; fewer, and the form is that of a core or of chance.
_LEAST_SHARE = 0.6
# Bond lengths per axis; the same limit as for a lattice (`evidence`).
_SCATTER = 0.13
_LEAST = 19  # an icosahedron of two shells less a few atoms; a decahedron of three rows


@dataclass(frozen=True)
class Form:
    """A multiply twinned form that the atoms have.

    Attributes
    ----------
    name
        "icosahedron" or "decahedron".
    atoms
        Atoms on its sites.
    scatter
        Bond lengths per axis about the sites.
    gain
        Nats over atoms spread evenly, as for lattices.
    axes
        (3, 3) Å, rows x, y, z of the sites' frame in that of the positions, one bond long.
    centre
        (3,) Å.
    """

    name: str
    atoms: int
    scatter: float
    gain: float
    axes: NDArray[np.float64]
    centre: NDArray[np.float64]


def form_sites(name: str, reach: float) -> NDArray[np.float64]:
    """Sites (n, 3) of a form within `reach` of its centre, in bond lengths."""
    steps = np.arange(int(np.ceil(2 * reach)) + 1)
    sites = []
    if name == "icosahedron":
        corners = template("ico")
        near = np.abs(np.linalg.norm(corners[:, None] - corners, axis=2) - 1.0515) < 0.01
        faces = [
            f
            for f in itertools.combinations(range(12), 3)
            if near[f[0], f[1]] and near[f[1], f[2]] and near[f[0], f[2]]
        ]
        grid = np.stack(np.meshgrid(*[steps[: int(np.ceil(1.3 * reach)) + 1]] * 3, indexing="ij"), -1).reshape(-1, 3)
        sites = [grid @ corners[list(f)] for f in faces]
    else:
        angle = np.deg2rad(72.0) * np.arange(5)
        ring = np.column_stack([np.sqrt(0.75) * np.cos(angle), np.sqrt(0.75) * np.sin(angle), np.full(5, 0.5)])
        along = np.arange(-2 * int(np.ceil(reach)) - 2, 2 * int(np.ceil(reach)) + 3)
        grid = np.stack(np.meshgrid(steps, steps, along, indexing="ij"), -1).reshape(-1, 3)
        for k in range(5):
            sites.append(grid @ np.array([ring[k], ring[(k + 1) % 5], [0.0, 0.0, 1.0]]))
    found = np.concatenate(sites)
    found = found[np.linalg.norm(found, axis=1) <= reach]
    return np.asarray(np.unique(np.round(found, 6), axis=0))


def find_form(x: NDArray[np.float64], sigma: NDArray[np.float64] | None, bond: float, cutoff: float) -> Form | None:
    """Find the multiply twinned form that explains most atoms; None where less than 60 % are on the sites of either.

    Parameters
    ----------
    x
        (n, 3) Å.
    sigma
        (n,) Å per axis, or None.
    bond, cutoff
        Nearest-neighbour distance and first minimum of the pair distances, Å.
    """
    if len(x) < _LEAST:
        return None
    tree = cKDTree(x)
    middle = np.linalg.norm(x - x.mean(axis=0), axis=1)
    near = tree.query_ball_point(x, cutoff)
    found = []
    for name, seeds in (("icosahedron", _centres(x, near, middle, bond)), ("decahedron", _axes(x, near, middle, bond))):
        if not seeds:
            continue
        reach = float(max(np.linalg.norm(x - centre, axis=1).max() for centre, _ in seeds)) / bond + 0.5
        sites = form_sites(name, reach)
        grown = [f for f in (_grow(name, x, sigma, sites, bond, *seed) for seed in seeds) if f is not None]
        found += sorted(grown, key=lambda f: -f.gain)[:1]
    found = [f for f in found if f.atoms >= _LEAST_SHARE * len(x) and f.scatter <= _SCATTER]
    return max(found, key=lambda f: f.gain) if found else None


def _centres(
    x: NDArray[np.float64], near: list[list[int]], middle: NDArray[np.float64], bond: float
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Centre and axes of icosahedra by the twelve nearest neighbours of inner atoms."""
    corners, seeds = template("ico"), []
    for i in [int(a) for a in np.argsort(middle) if len(near[a]) >= 11][:_TRIALS]:
        others = np.array([j for j in near[i] if j != i])
        v = x[others] - x[i]
        v = v[np.argsort(np.linalg.norm(v, axis=1))[:12]] / bond
        best, least = np.eye(3), np.inf
        # A bond on a corner, and the bond that is nearest to 63.4° from it on a corner beside that.
        first = v[0] / np.linalg.norm(v[0])
        cosine = v @ first / np.linalg.norm(v, axis=1)
        for k in np.argsort(np.abs(cosine - 1 / np.sqrt(5)))[:3]:
            turn = superposition(corners[[0, _beside(corners)]], np.stack([first, v[k] / np.linalg.norm(v[k])]))
            for _ in range(2):
                match = np.linalg.norm(v[:, None] - corners @ turn.T, axis=2).argmin(axis=1)
                turn = superposition(corners[match], v)
            off = float(np.mean(np.linalg.norm(v[:, None] - corners @ turn.T, axis=2).min(axis=1)))
            if off < least:
                best, least = turn, off
        if least < _REACH:
            seeds.append((x[i], bond * best.T))
    return seeds


def _beside(corners: NDArray[np.float64]) -> int:
    return int(np.argmin(np.abs(np.linalg.norm(corners - corners[0], axis=1) - 1.0515)))


def _axes(
    x: NDArray[np.float64], near: list[list[int]], middle: NDArray[np.float64], bond: float
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Centre and axes of decahedra by pairs of atoms with a ring of five atoms about them."""
    angle = np.deg2rad(72.0) * np.arange(5)
    seeds = []
    for i in np.argsort(middle).tolist():
        for j in near[i]:
            common = [k for k in near[i] if k in near[j] and k not in (i, j)]
            if j == i or len(common) != 5:
                continue
            z = (x[j] - x[i]) / np.linalg.norm(x[j] - x[i])
            ring = x[common] - (x[i] + x[j]) / 2
            ring = ring - np.outer(ring @ z, z)
            e1 = ring[0] / np.linalg.norm(ring[0])
            e2 = np.cross(z, e1)
            turn = np.sort(np.arctan2(ring @ e2, ring @ e1) % (2 * np.pi))
            if np.abs(np.diff(turn, append=turn[0] + 2 * np.pi) - np.deg2rad(72)).max() > np.deg2rad(30):
                continue
            phase = float(np.angle(np.exp(1j * (turn - angle)).mean()))
            ax = np.cos(phase) * e1 + np.sin(phase) * e2
            seeds.append((x[i], bond * np.stack([ax, np.cross(z, ax), z])))
        if len(seeds) >= _TRIALS:
            break
    return seeds


def _grow(
    name: str,
    x: NDArray[np.float64],
    sigma: NDArray[np.float64] | None,
    sites: NDArray[np.float64],
    bond: float,
    centre: NDArray[np.float64],
    axes: NDArray[np.float64],
) -> Form | None:
    """Give sites to atoms within a growing sphere and fit origin and axes to them."""
    origin, tree = centre, cKDTree(sites)
    fit: AffineFit | None = None
    given = np.zeros(len(x), dtype=bool)
    for reach in (*np.arange(1.3, np.linalg.norm(x - centre, axis=1).max() / bond + 0.7, 0.7), np.inf, np.inf):
        fractional = np.linalg.solve(axes.T, (x - origin).T).T
        distance, index = tree.query(fractional)
        given = (distance < _REACH) & (np.linalg.norm(fractional, axis=1) < reach)
        # Of two atoms at one site the nearer one has it.
        order = np.lexsort((distance, index))
        first = np.append(True, np.diff(index[order]) != 0)
        given[order[~first]] = False
        if given.sum() < 8:
            return None
        try:
            fit = fit_affine(sites[index[given]], x[given], None if sigma is None else sigma[given])
        except ConvergenceError:
            return None
        stretch = np.linalg.svd(fit.cell, compute_uv=False) / bond
        if stretch[0] > 1.2 or stretch[2] < 0.8:
            return None
        origin, axes = fit.origin, fit.cell
    if fit is None:
        return None
    # Close-packed sites hold √½ b³ each; the gain is that of `domains.gain`.
    volume = float(np.linalg.det(fit.cell)) / np.sqrt(2)
    scatter = max(fit.scatter, 0.01 * bond)
    terms = np.log(volume) - 1.5 * np.log(2 * np.pi * scatter**2) - np.sum(fit.residual**2, axis=1) / (2 * scatter**2)
    gain = float(np.clip(terms, 0, None).sum() - 6 * np.log(len(x)))
    return Form(name, int(given.sum()), fit.scatter / bond, gain, fit.cell, fit.origin)
