"""Planar faults: twin boundaries and stacking faults, with plane, position and extent.

Atoms in hcp surroundings, with parallel hexagonal axes, next to each other or two layers apart, are one fault. Sorted
into close-packed layers, the pattern of hexagonal (h) and cubic (c) layers names it:

    h      twin boundary              …A B C B A…
    hh     intrinsic stacking fault   …A B C | B C A…   (a layer is missing)
    hch    extrinsic stacking fault   …A B C | B | A B C…   (a layer is too many; two twin boundaries two layers apart)
    hhh…   hcp lamella; any other pattern is a multiple fault

Position is that of the fault plane: the layer itself of a twin boundary, the middle of the h layers otherwise. Surface
atoms have no structure of their own, so `extent` counts fully coordinated atoms.

Reference: J. P. Hirth and J. Lothe, Theory of Dislocations, 2nd ed., Wiley (1982), chapter 10.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from single_rs.analysis.structure.grains import Grains
from single_rs.analysis.structure.matching import TemplateMatch
from single_rs.analysis.structure.stacking import CLOSE_PACKED_NORMALS
from single_rs.crystal.neighbours import check_positions

__all__ = ["PlanarFault", "find_faults"]

# Hexagonal axes of one fault agree within this angle; those of two ⟨111⟩ are 70.5° apart.
_PARALLEL = np.cos(np.deg2rad(15.0))
# Atoms two layers apart, across the cubic layer of an extrinsic fault, are 2 √(2/3) = 1.63 bonds apart, or 1.91 with
# the next nearest in that layer.
_REACH = 1.8
# Three atoms make a plane; noise makes single atoms.
_LEAST_ATOMS = 3
# A layer belongs to the pattern with at least this part of the atoms of the fullest one.
_LAYER_SHARE = 0.25
_KINDS = {"h": "twin boundary", "hh": "intrinsic stacking fault", "hch": "extrinsic stacking fault"}


@dataclass(frozen=True)
class PlanarFault:
    """One planar fault.

    Attributes
    ----------
    kind
        "twin boundary", "intrinsic stacking fault", "extrinsic stacking fault", "hcp lamella" or "multiple fault".
    pattern
        Its layers, "h" and "c", from below.
    normal
        (3,) unit normal, particle frame.
    plane
        (3,) the same in crystal axes of `grain`, rounded to the ⟨111⟩ when within 5°.
    grain
        Number of the grain on its lower side, −1 without one.
    position
        (3,) Å, centre of the fault plane.
    extent
        Number of fully coordinated hcp atoms.
    area
        Å², of the fullest layer of these atoms.
    atoms
        (m,) their numbers.
    """

    kind: str
    pattern: str
    normal: NDArray[np.float64]
    plane: NDArray[np.float64]
    grain: int
    position: NDArray[np.float64]
    extent: int
    area: float
    atoms: NDArray[np.int64]


def find_faults(positions: ArrayLike, match: TemplateMatch, grains: Grains) -> tuple[PlanarFault, ...]:
    """Twin boundaries and stacking faults of a particle, the largest first.

    Parameters
    ----------
    positions
        (n, 3) Å, those of the match.
    match
        Result of `adopt_orientations`.
    grains
        Result of `find_grains`; hcp grains are no faults.
    """
    x = check_positions(positions)
    hexagonal = [k for k, g in enumerate(grains.grains) if g.structure == "hcp"]
    atoms = np.flatnonzero((match.structure_type == 2) & ~np.isin(grains.label, hexagonal))
    if len(atoms) < _LEAST_ATOMS:
        return ()
    axis = match.orientation[atoms] @ CLOSE_PACKED_NORMALS[0]
    i, j = cKDTree(x[atoms]).query_pairs(_REACH * match.bond, output_type="ndarray").T
    bond = x[atoms[j]] - x[atoms[i]]
    cosine = np.einsum("ij,ij->i", axis[i], axis[j])
    across = np.abs(np.einsum("ij,ij->i", bond, axis[i])) / match.bond
    length = np.linalg.norm(bond, axis=1) / match.bond
    # Next to each other in any direction, or one above the other two layers apart.
    linked = (np.abs(cosine) > _PARALLEL) & ((length < 1.25) | (np.abs(across - 2 * np.sqrt(2 / 3)) < 0.2))
    graph = csr_array((np.ones(linked.sum()), (i[linked], j[linked])), shape=(len(atoms), len(atoms)))
    group = connected_components(graph, directed=False)[1]
    faults = []
    for g in np.unique(group):
        members = group == g
        if members.sum() >= _LEAST_ATOMS:
            faults.append(_describe(x, match, grains, atoms[members], axis[members]))
    return tuple(sorted(faults, key=lambda f: -f.extent))


def _describe(
    x: NDArray[np.float64],
    match: TemplateMatch,
    grains: Grains,
    atoms: NDArray[np.int64],
    axes: NDArray[np.float64],
) -> PlanarFault:
    """Pattern, plane and position of one group of hcp atoms with axes (m, 3)."""
    # The axis is a line, so the mean is the largest eigenvector of Σ a aᵀ.
    normal = np.linalg.eigh(axes.T @ axes)[1][:, 2]
    normal = normal * np.sign(normal[np.argmax(np.abs(normal))])
    height = x[atoms] @ normal
    d = match.bond * np.sqrt(2 / 3)
    phase = float(np.angle(np.exp(2j * np.pi * height / d).sum()) / (2 * np.pi) * d)
    number = np.rint((height - phase) / d).astype(np.int64)
    first = int(number.min())
    count = np.bincount(number - first)
    full = np.flatnonzero(count >= _LAYER_SHARE * count.max())
    pattern = "".join("h" if k in full else "c" for k in range(full[0], full[-1] + 1))
    middle = np.isin(number - first, full)
    centre = x[atoms[middle]].mean(axis=0)
    centre = centre + ((full[0] + full[-1]) / 2 + first) * d * normal + (phase - centre @ normal) * normal
    grain = _grain_below(x, grains, atoms, normal, match.bond)
    plane = normal
    if grain >= 0:
        plane = normal @ grains.grains[grain].orientation
        nearest = CLOSE_PACKED_NORMALS[np.argmax(np.abs(CLOSE_PACKED_NORMALS @ plane))]
        nearest = nearest * np.sign(nearest @ plane)
        plane = nearest if nearest @ plane > np.cos(np.deg2rad(5.0)) else plane
    return PlanarFault(
        kind=_KINDS.get(pattern, "multiple fault" if "c" in pattern else "hcp lamella"),
        pattern=pattern,
        normal=normal,
        plane=plane,
        grain=grain,
        position=centre,
        extent=len(atoms),
        area=float(count.max() * np.sqrt(0.75) * match.bond**2),
        atoms=atoms,
    )


def _grain_below(
    x: NDArray[np.float64], grains: Grains, atoms: NDArray[np.int64], normal: NDArray[np.float64], bond: float
) -> int:
    """Grain of most atoms that the atoms of a fault are bonded to on its lower side, −1 without any."""
    lower = [
        grains.label[j]
        for i, found in zip(atoms, cKDTree(x).query_ball_point(x[atoms], 1.25 * bond))
        for j in found
        if (x[j] - x[i]) @ normal < -0.5 * bond and grains.label[j] >= 0
    ]
    return int(np.bincount(lower).argmax()) if lower else -1
