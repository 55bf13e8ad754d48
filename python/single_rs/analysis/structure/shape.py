"""Shape of a particle: principal radii, sphericity, size along crystal directions, facets, and kinds of surface site.

Body. The gyration tensor of the atoms about their mean has eigenvalues λ₁ ≥ λ₂ ≥ λ₃; the ellipsoid of the same tensor
has the principal radii r_k = √(5 λ_k). Volume V and area A are those of the convex hull of the atoms' centres, and the
sphericity is that of Wadell, ψ = π^(1/3) (6V)^(2/3) / A (sphere 1, cube 0.806, regular octahedron 0.846). Sizes along a
direction are the extent of the centres plus one atom, the bond length b.

Facets. Each triangle of the hull belongs to the family of {111}, {100}, {110} that its normal is within 10° of, in the
axes of the grain that most of its corners are in. Triangles of one direction are one facet, if they are larger than a
square of bonds. The hull bridges steps and missing atoms, so fractions are those of the envelope; the kinds of site
count atoms instead.

Sites of fcc and hcp by coordination, and by common neighbours where that is ambiguous:

    terrace 111    9 neighbours, six of whose bonds have the signature of a flat close-packed layer
    terrace 100    8 neighbours, four of whose bonds lie in a square layer
    step           10 or 11 neighbours: at the foot of a step, or below a missing atom
    edge           other atoms with 7, 8 or 9 neighbours
    corner         6 neighbours or fewer: corners, kinks, ends of rows
    adatom         4 or fewer, and standing on atoms that have 8 or more on average

References: H. Wadell, J. Geol. 43, 250 (1935), doi:10.1086/624298; surface signatures: C. L. Cleveland, W. D. Luedtke,
U. Landman, Phys. Rev. B 60, 5065 (1999), doi:10.1103/PhysRevB.60.5065.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.spatial import ConvexHull, QhullError, cKDTree

from single_rs.analysis.structure.grains import Grains, proper_rotations
from single_rs.base.errors import InputError
from single_rs.crystal.neighbours import check_positions, neighbour_cutoff

__all__ = ["FACETS", "SITES", "Facet", "Shape", "describe_shape", "family", "surface_sites"]

SITES = ("bulk", "terrace 111", "terrace 100", "step", "edge", "corner", "adatom")
FACETS = ("111", "100", "110")
DIRECTIONS = ("100", "110", "111")
# {111} and {110} are 35° apart; a facet 5 atoms wide with one atom of relief is tilted by 10°.
_FACET_ANGLE = 10.0
# Neighbours of a bulk atom, and how many an adatom's support has on average.
_FULL, _SUPPORT = 12, 8.0
_ADATOM_NEIGHBOURS = 4


@dataclass(frozen=True)
class Facet:
    """One facet of the convex hull.

    Attributes
    ----------
    family
        "111", "100" or "110".
    normal
        (3,) unit vector of the ideal direction, particle frame.
    plane
        (3,) the same in crystal axes.
    area
        Å².
    distance
        Å from the mean of the atoms.
    grain
        Number of the grain.
    """

    family: str
    normal: NDArray[np.float64]
    plane: NDArray[np.float64]
    area: float
    distance: float
    grain: int


@dataclass(frozen=True)
class Shape:
    """Shape of one particle.

    Attributes
    ----------
    radii
        (3,) Å, principal radii, the largest first.
    axes
        (3, 3) rows: their directions, particle frame.
    volume, area
        Å³, Å², of the hull of the centres.
    sphericity
        0 to 1.
    size
        Å, for each of "100", "110", "111" (smallest, mean, largest) over the family; empty without a grain.
    facets
        The largest first.
    fractions
        Share of the hull's area in "111", "100", "110" and "other".
    """

    radii: NDArray[np.float64]
    axes: NDArray[np.float64]
    volume: float
    area: float
    sphericity: float
    size: dict[str, tuple[float, float, float]]
    facets: tuple[Facet, ...]
    fractions: dict[str, float]


def family(hkl: str) -> NDArray[np.float64]:
    """Unit vectors (m, 3) of the cubic family {hkl}, such as "110", in crystal axes."""
    if len(hkl) != 3 or not hkl.isdigit() or hkl == "000":
        raise InputError(f"family is {hkl!r}; three digits such as '110' are needed")
    first = np.array([float(v) for v in hkl])
    members = np.unique(np.rint(np.concatenate([proper_rotations() @ first, -proper_rotations() @ first])), axis=0)
    return np.asarray(members / np.linalg.norm(first))


def surface_sites(positions: ArrayLike, cutoff: float | None = None) -> NDArray[np.int64]:
    """Kind of site of each atom of an fcc or hcp particle, index into `SITES`.

    Parameters
    ----------
    positions
        (n, 3) Å, any frame.
    cutoff
        Å; None: the first minimum of the pair distances.

    Returns
    -------
    sites
        (n,) int, see the module.
    """
    x = check_positions(positions)
    reach = neighbour_cutoff(x)[1] if cutoff is None else float(cutoff)
    i, j = cKDTree(x).query_pairs(reach, output_type="ndarray").T
    counts = np.bincount(np.append(i, j), minlength=len(x))
    table = csr_array((np.ones(len(i), dtype=np.int64), (i, j)), shape=(len(x), len(x)))
    table = table + table.T
    # Atoms bonded to both ends of each bond: 3 within a flat {111} layer at the surface, 2 within a {100} layer.
    shared = np.asarray((table @ table)[i, j]).ravel()
    flat, square = (np.bincount(np.append(i[shared == k], j[shared == k]), minlength=len(x)) for k in (3, 2))
    support = (np.bincount(i, counts[j], len(x)) + np.bincount(j, counts[i], len(x))) / np.maximum(counts, 1)
    sites = np.full(len(x), SITES.index("edge"))
    sites[counts >= _FULL] = SITES.index("bulk")
    sites[(counts >= 10) & (counts < _FULL)] = SITES.index("step")
    sites[(counts == 9) & (flat == 6)] = SITES.index("terrace 111")
    sites[(counts == 8) & (square == 4)] = SITES.index("terrace 100")
    sites[counts <= 6] = SITES.index("corner")
    sites[(counts <= _ADATOM_NEIGHBOURS) & (support >= _SUPPORT)] = SITES.index("adatom")
    return sites


def describe_shape(positions: ArrayLike, bond: float, grains: Grains) -> Shape:
    """Principal radii, hull, sizes and facets of a particle.

    Parameters
    ----------
    positions
        (n, 3) Å.
    bond
        Å, nearest-neighbour distance.
    grains
        Result of `find_grains`; sizes are along the directions of its largest cubic grain.

    Raises
    ------
    InputError
        When the atoms lie in a plane.
    """
    x = check_positions(positions, least=4)
    centred = x - x.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(x))
    try:
        hull = ConvexHull(centred)
    except QhullError:
        raise InputError(f"the {len(x)} atoms lie in a plane; a shape needs three dimensions") from None
    cubic = [g for g in grains.grains if g.structure != "hcp"]
    size = {}
    if cubic:
        for name in DIRECTIONS:
            extent = np.ptp(centred @ (family(name) @ cubic[0].orientation.T).T, axis=0) + bond
            size[name] = (float(extent.min()), float(extent.mean()), float(extent.max()))
    corner = centred[hull.simplices]
    areas = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1) / 2
    facets = _facets(hull, areas, grains, bond)
    fractions = {name: sum(f.area for f in facets if f.family == name) / hull.area for name in FACETS}
    fractions["other"] = max(0.0, 1 - sum(fractions.values()))
    return Shape(
        radii=np.sqrt(5 * np.clip(values[::-1], 0, None)),
        axes=vectors[:, ::-1].T,
        volume=float(hull.volume),
        area=float(hull.area),
        sphericity=float(np.pi ** (1 / 3) * (6 * hull.volume) ** (2 / 3) / hull.area),
        size=size,
        facets=facets,
        fractions=fractions,
    )


def _facets(hull: ConvexHull, areas: NDArray[np.float64], grains: Grains, bond: float) -> tuple[Facet, ...]:
    """Triangles of the hull (about the mean of the atoms) collected by grain and ideal direction."""
    names = np.repeat(FACETS, [len(family(h)) for h in FACETS])
    ideal = np.concatenate([family(h) for h in FACETS])
    parts: dict[tuple[int, int], list[int]] = {}
    for k, corners in enumerate(hull.simplices):
        labels = grains.label[corners]
        labels = labels[labels >= 0]
        if len(labels) == 0:
            continue
        grain = int(np.bincount(labels).argmax())
        if grains.grains[grain].structure == "hcp":
            continue
        cosine = ideal @ (grains.grains[grain].orientation.T @ hull.equations[k, :3])
        best = int(cosine.argmax())
        if cosine[best] > np.cos(np.deg2rad(_FACET_ANGLE)):
            parts.setdefault((grain, best), []).append(k)
    facets = [
        Facet(
            family=str(names[best]),
            normal=grains.grains[grain].orientation @ ideal[best],
            plane=ideal[best],
            area=float(areas[members].sum()),
            distance=float(-np.average(hull.equations[members, 3], weights=areas[members])),
            grain=grain,
        )
        for (grain, best), members in parts.items()
        if areas[members].sum() > bond**2
    ]
    return tuple(sorted(facets, key=lambda f: -f.area))
