"""Vacancies: lattice sites without an atom that atoms surround.

Every atom with an orientation says where its neighbours should be, x + b Q t for the bonds t of its template. Places
where no atom is within half a bond are empty sites; what several atoms say of one place is averaged. An empty site is a
bulk vacancy when most of its shell of 12 (bcc: 14) is there, a surface vacancy when as many neighbours are there as a
terrace atom has and it lies within the convex hull of the particle: a step of the surface has fewer.

The confidence is the mean, over the atoms that its shell should hold, of exp(−(d/b − 1)² / 2w²) with d the distances of
the nearest atoms from the site, b the bond length and w = 0.1: 1 for a hole with a perfect shell, 0.98 at 5 pm of
noise, below 0.5 for a void in a disordered region, where no distance is a bond. For surface vacancies the shell is the
9 neighbours of a terrace atom. Beside a fivefold axis no template fits, and there a vacancy may be missed.

The relaxation is the mean change of the distances of the shell, in Å: negative when the neighbours move in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import ConvexHull, Delaunay, cKDTree

from single_rs.analysis.structure.local import STRUCTURE_NAMES
from single_rs.analysis.structure.matching import TemplateMatch, template
from single_rs.crystal.neighbours import check_positions

__all__ = ["Vacancy", "find_vacancies"]

# An atom nearer to a site than half a bond sits on it.
_OCCUPIED = 0.5
# Predictions of one site scatter by the strain over one bond, a tenth of it at most; sites are a bond apart.
_SAME_SITE = 0.35
_SHELL_REACH = 1.25
_WIDTH = 0.1
# A divacancy leaves 11 neighbours; a missing atom under a terrace 12; the foot of a step has 10 as an atom.
_BULK_NEIGHBOURS = 11
_SURFACE_NEIGHBOURS = 9
# Confidence below which a void is none.
_LEAST_CONFIDENCE = 0.5
# A site counts as inside the hull when it is after a step of this part of a bond towards the centre.
_FACET_DEPTH = 0.2
# Atoms that must agree on a site.
_LEAST_VOTES = 4


@dataclass(frozen=True)
class Vacancy:
    """One vacancy.

    Attributes
    ----------
    position
        (3,) Å, mean of what its neighbours say.
    kind
        "bulk" or "surface".
    neighbours
        Atoms within 1.25 bonds.
    confidence
        0 to 1, see the module.
    relaxation
        Å, mean distance of the neighbours minus the bond length.
    """

    position: NDArray[np.float64]
    kind: str
    neighbours: int
    confidence: float
    relaxation: float


def find_vacancies(positions: ArrayLike, match: TemplateMatch) -> tuple[Vacancy, ...]:
    """Empty lattice sites inside a particle, the surest first.

    Parameters
    ----------
    positions
        (n, 3) Å, those of the match.
    match
        Result of `adopt_orientations`.
    """
    x = check_positions(positions)
    tree = cKDTree(x)
    predicted = _predicted(x, match)
    empty = predicted[tree.query(predicted)[0] > _OCCUPIED * match.bond] if len(predicted) else predicted
    if len(empty) == 0 or len(x) < 5:
        return ()
    hull, centre = Delaunay(x[ConvexHull(x).vertices]), x.mean(axis=0)

    def inside(site: NDArray[np.float64]) -> bool:
        # A site in a flat facet is on the hull itself; the next layer of sites is 0.7 bonds and more beyond it.
        inward = centre - site
        moved = site + _FACET_DEPTH * match.bond * inward / max(float(np.linalg.norm(inward)), 1e-9)
        return bool(hull.find_simplex(moved) >= 0)

    found = []
    for site, votes in _merge(empty, _SAME_SITE * match.bond):
        distance = np.sort(tree.query(site, k=min(14, len(x)))[0])
        around = int(np.sum(distance < _SHELL_REACH * match.bond))
        kind = "bulk" if around >= _BULK_NEIGHBOURS else "surface"
        shell = 12 if kind == "bulk" else _SURFACE_NEIGHBOURS
        if votes < _LEAST_VOTES or around < _SURFACE_NEIGHBOURS or not inside(site):
            continue
        ratio = distance[:shell] / match.bond - 1
        confidence = float(np.mean(np.exp(-0.5 * (ratio / _WIDTH) ** 2)))
        if confidence >= _LEAST_CONFIDENCE:
            near = distance[distance < _SHELL_REACH * match.bond]
            found.append(Vacancy(site, kind, around, confidence, float(near.mean() - match.bond)))
    return tuple(sorted(found, key=lambda v: (v.kind != "bulk", -v.confidence)))


def _predicted(x: NDArray[np.float64], match: TemplateMatch) -> NDArray[np.float64]:
    """Places (m, 3) of the first neighbours of all atoms with an orientation; a layer next to hcp is left to fcc."""
    places = []
    for code in (1, 2, 3):
        atoms = np.flatnonzero(match.site_type == code)
        if len(atoms):
            shell = template(STRUCTURE_NAMES[code])
            shell = shell[np.linalg.norm(shell, axis=1) < 1.1] * match.bond
            places.append((x[atoms, None] + np.einsum("nij,kj->nki", match.orientation[atoms], shell)).reshape(-1, 3))
    return np.concatenate(places) if places else np.zeros((0, 3))


def _merge(places: NDArray[np.float64], reach: float) -> list[tuple[NDArray[np.float64], int]]:
    """Means of groups of places within `reach` of each other, and the size of each group; dense groups first."""
    tree = cKDTree(places)
    near = tree.query_ball_point(places, reach)
    free = np.ones(len(places), dtype=bool)
    out = []
    for k in np.argsort([-len(n) for n in near], kind="stable"):
        group = [j for j in near[k] if free[j]]
        if free[k]:
            free[group] = False
            out.append((places[group].mean(axis=0), len(group)))
    return out
