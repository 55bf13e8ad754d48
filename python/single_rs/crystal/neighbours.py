"""Neighbours of atoms from their positions alone: coordination, bond length, and which atoms are at the surface.

Coordination counts the atoms within a cutoff at the first minimum of the pair distances.

Reference: generalised coordination: F. Calle-Vallejo et al., Angew. Chem. Int. Ed. 53, 8316 (2014),
doi:10.1002/anie.201402958.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from single_rs.base.bounds import LARGEST_LENGTH
from single_rs.base.errors import InputError

__all__ = [
    "SURFACE_RULES",
    "check_positions",
    "check_sigma",
    "coordination",
    "doubtful_sigma",
    "generalised_coordination",
    "largest_sigma",
    "neighbour_cutoff",
    "surface_atoms",
    "surface_by_coordination",
    "surface_by_radius",
]


# Smoothing of the pair distances, in nearest-neighbour distances: wider than the noise of a good map (5 pm in 2.8 Å),
# narrower than the gap between the first shells of fcc (0.41).
_PAIR_BANDWIDTH = 0.04


# The first minimum lies in this range of nearest-neighbour distances for fcc (shells at 1 and 1.41), hcp, diamond
# (1.63) and bcc, whose two first shells (1 and 1.155) are counted together.
_MINIMUM_RANGE = (1.18, 1.45)


# Neighbours within the first minimum: diamond, rocksalt, bcc (first shell alone), fcc or hcp or ico, bcc (both shells).
_FULL_SHELLS = (4, 6, 8, 12, 14)


# Bonds that tell a standard deviation to 10 %; and how far a stated error may be beyond what they allow.
_LEAST_BONDS = 50
_REFUTED = 1.5
_HARMLESS = 0.05  # Å
_FEW = 13  # atoms: one and its shell
# Positions nearer than any bond of a metal are in another unit; few atoms do not tell.
_ENOUGH, _SHORTEST_BOND = 20, 0.7  # atoms, Å
_SAMPLE = 1000  # atoms that tell the unit


# What a surface atom is; the first holds wherever nothing else is asked for.
SURFACE_RULES = ("coordination", "radius", "hull")


def check_positions(positions: ArrayLike, least: int = 2) -> NDArray[np.float64]:
    """Return positions as (n, 3) float64, or raise `InputError` naming what is wrong."""
    if hasattr(positions, "positions"):
        raise InputError(f"positions are of type {type(positions).__name__}; give its .positions, (n, 3) in Å")
    if np.iscomplexobj(positions):
        raise InputError("positions are complex numbers; real ones, (n, 3) in Å, are needed")
    x = np.asarray(positions, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != 3:
        raise InputError(f"positions have shape {x.shape}; (n, 3) in Å is needed")
    if len(x) < least:
        raise InputError(f"positions hold {len(x)} atoms; at least {least} are needed")
    if not np.all(np.isfinite(x)):
        raise InputError(f"positions hold {int(np.sum(~np.isfinite(x).all(1)))} atoms that are not finite; remove them")
    if len(x) and np.abs(x).max() > LARGEST_LENGTH:
        raise InputError(f"a position is {np.abs(x).max():.3g} Å; no particle reaches {LARGEST_LENGTH:.0e} Å")
    nearest = _SHORTEST_BOND
    if len(x) >= _ENOUGH:
        # A unit shows in any thousand atoms; a tree that is used once need not be balanced.
        tree = cKDTree(x, balanced_tree=False, compact_nodes=False)
        nearest = float(np.median(tree.query(x[:: -(-len(x) // _SAMPLE)], k=2)[0][:, 1]))
    if 0 < nearest < _SHORTEST_BOND:
        raise InputError(
            f"positions lie {nearest:.3g} apart (median of the nearest neighbours); Å are needed, 10 times those in nm"
        )
    return x


def check_sigma(sigma: ArrayLike, count: int, *, unknown: bool = False) -> NDArray[np.float64]:
    """Return standard errors as (n,) float64, or raise `InputError`; with `unknown`, NaN says that one is not known."""
    s = np.asarray(sigma, dtype=np.float64)
    if s.shape != (count,):
        raise InputError(f"sigma has shape {s.shape}; ({count},) in Å is needed, one for each position")
    wrong = (s < 0) | np.isinf(s) | (np.isnan(s) & (not unknown))
    if wrong.any():
        raise InputError(f"sigma is {s[wrong][0]} Å for {int(wrong.sum())} atoms; finite values from 0 are needed")
    return s


def neighbour_cutoff(positions: ArrayLike) -> tuple[float, float]:
    """First peak and first minimum of the pair distances, Å: the bond length and the cutoff of coordination.

    The density of pair distances, divided by r² as a pair distribution function is, is smoothed with a Gaussian; the
    peak is searched about the median nearest-neighbour distance, the minimum at 1.18 to 1.45 times the peak.
    """
    x = check_positions(positions)
    tree = cKDTree(x)
    guess = float(np.median(tree.query(x, k=2)[0][:, 1]))
    if guess <= 0:
        raise InputError("half of the atoms coincide with another atom; remove duplicates")
    i, j = tree.query_pairs(2.0 * guess, output_type="ndarray").T
    distance = np.linalg.norm(x[i] - x[j], axis=1)
    r = np.linspace(0.7, 1.8, 551) * guess
    counts = np.histogram(distance, bins=np.append(r, 2 * r[-1] - r[-2]) - (r[1] - r[0]) / 2)[0]
    # Gaussian sum over bins: 551 × 551 products cost nothing and need no edge convention.
    kernel = np.exp(-0.5 * ((r[:, None] - r[None]) / (_PAIR_BANDWIDTH * guess)) ** 2)
    density = kernel @ (counts / r**2)
    # The median nearest distance is below the bond length by up to twice the noise, so look mostly upwards.
    window = (r > 0.85 * guess) & (r < 1.25 * guess)
    peak = float(r[window][np.argmax(density[window])])
    inside = (r > _MINIMUM_RANGE[0] * peak) & (r < min(_MINIMUM_RANGE[1] * peak, r[-1]))
    low = density[inside] <= density[inside].min() + 1e-3 * density.max()
    return peak, float(np.mean(r[inside][low]))


def coordination(positions: ArrayLike, cutoff: float | None = None) -> NDArray[np.int64]:
    """Number of atoms within `cutoff` (Å; None: first minimum of the pair distances) of each atom, (n,) int.

    Parameters
    ----------
    positions
        (n, 3) Å, any frame.
    cutoff
        Å.
    """
    x = check_positions(positions)
    if cutoff is None:
        cutoff = neighbour_cutoff(x)[1]
    if not cutoff > 0:
        raise InputError(f"cutoff is {cutoff} Å; it must be more than 0 Å")
    return np.asarray(cKDTree(x).query_ball_point(x, cutoff, return_length=True), dtype=np.int64) - 1


def largest_sigma(positions: ArrayLike) -> float:
    """Largest standard error per axis (Å) that the atoms' own bond lengths allow, NaN where there are too few.

    Independent errors σ of two atoms change the bond between them by √2 σ, so σ ≤ s / √2 with s the standard deviation
    of all bond lengths; what strain and surfaces add makes it a generous bound.
    """
    x = check_positions(positions)
    i, j = cKDTree(x).query_pairs(neighbour_cutoff(x)[1], output_type="ndarray").T
    if len(i) < _LEAST_BONDS:
        return float("nan")
    length = np.linalg.norm(x[i] - x[j], axis=1)
    return float(length.std() / np.sqrt(2))


def doubtful_sigma(positions: ArrayLike, sigma: ArrayLike) -> str | None:
    """Why stated standard errors (n,) in Å per axis cannot be those of the positions, None where they can.

    Errors 1.5 times as large as the scatter of the bond lengths allows are refuted by the positions: those in
    three dimensions taken for those of an axis are 1.7 times too large. Errors below 5 pm are taken as they are.
    """
    if len(np.asarray(sigma)) < _FEW:
        return None
    stated = float(np.sqrt(np.nanmean(np.square(np.asarray(sigma, dtype=np.float64)))))
    most = largest_sigma(positions)
    if not stated > max(_REFUTED * most, _HARMLESS):
        return None
    return (
        f"sigma is {stated:.3f} Å per axis, but the bonds scatter by no more than errors of {most:.3f} Å would cause; "
        "it is not used: give standard errors per axis of these positions"
    )


def generalised_coordination(positions: ArrayLike, cutoff: float | None = None, full: int = 12) -> NDArray[np.float64]:
    """Coordination weighted by that of the neighbours, Σ_j cn(j) / cn_max over the neighbours j of each atom.

    It orders surface sites by their adsorption energies: 7.5 on a terrace of fcc (111), 6.67 on (100), 12 in the bulk.

    Parameters
    ----------
    positions
        (n, 3) Å, any frame.
    cutoff
        Å; None: the first minimum of the pair distances.
    full
        cn_max, the coordination of the bulk: 12 for fcc and hcp, 14 for bcc (both first shells), 4 for diamond.

    Returns
    -------
    values
        (n,) pure number (Calle-Vallejo 2014).
    """
    x = check_positions(positions)
    counts = coordination(x, cutoff)
    reach = neighbour_cutoff(x)[1] if cutoff is None else cutoff
    i, j = cKDTree(x).query_pairs(reach, output_type="ndarray").T
    total = np.bincount(i, counts[j], minlength=len(x)) + np.bincount(j, counts[i], minlength=len(x))
    return np.asarray(total / full)


def surface_atoms(
    positions: ArrayLike, rule: str = "coordination", kinds: ArrayLike | None = None, layer: float | None = None
) -> NDArray[np.bool_]:
    """Which atoms are at the surface, (n,) bool; the one definition for all of the program.

    Parameters
    ----------
    positions
        (n, 3), Å or any unit.
    rule
        "coordination": a quarter of a full shell is missing (`surface_by_coordination`). "radius": r > R − layer
        (`surface_by_radius`), the definition of Kim et al. 2020. "hull": within half a layer of the convex hull.
    kinds
        (n,) sublattice of each atom where sublattices have shells of different size, as in fluorite; None: all alike.
    layer
        Spacing of the densest planes, in the unit of the positions; None: that of close-packed spheres, √(2/3) bonds.
    """
    x = check_positions(positions)
    if rule not in SURFACE_RULES:
        raise InputError(f"surface is {rule!r}; accepted: {', '.join(SURFACE_RULES)}")
    peak, cutoff = neighbour_cutoff(x)
    spacing = np.sqrt(2 / 3) * peak if layer is None else layer
    if rule == "radius":
        return surface_by_radius(x, spacing)
    if rule == "hull":
        from scipy.spatial import ConvexHull, QhullError

        try:
            planes = ConvexHull(x).equations
        except QhullError:  # atoms in a plane are all at the surface
            return np.ones(len(x), dtype=bool)
        return np.asarray((x @ planes[:, :3].T + planes[:, 3]).max(axis=1) > -spacing / 2)
    counts = coordination(x, cutoff)
    groups = np.zeros(len(x), dtype=np.int64) if kinds is None else np.asarray(kinds)
    out = np.zeros(len(x), dtype=bool)
    for kind in np.unique(groups):
        out[groups == kind] = surface_by_coordination(counts[groups == kind])
    return out


def surface_by_coordination(counts: ArrayLike, full: int | None = None) -> NDArray[np.bool_]:
    """Atoms that miss a quarter of the neighbours of a bulk atom (rounded down: 3 of 12, 1 of 4 or 6), (n,) bool.

    Nine neighbours of twelve, as on a terrace of (111), are surface; ten, as beside two vacancies or at the foot of a
    step, are not. `full` is the coordination of a bulk atom; None takes the full shell (4, 6, 8, 12 or 14) nearest to
    the 90th percentile of the counts, which is bulk in any particle of 55 atoms or more.
    """
    n = np.asarray(counts)
    if full is None:
        top = float(np.quantile(n, 0.9))
        full = min(_FULL_SHELLS, key=lambda k: abs(k - top))
    return np.asarray(n <= full - full // 4)


def surface_by_radius(positions: ArrayLike, layer: float) -> NDArray[np.bool_]:
    """Atoms (n,) with r > R − d: r from the centre, R the largest r, d the `layer` spacing (d111 for fcc), Å."""
    x = check_positions(positions)
    r = np.linalg.norm(x - x.mean(axis=0), axis=1)
    return np.asarray(r > r.max() - layer)
