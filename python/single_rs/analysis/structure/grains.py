"""Grains of a particle, their misorientations, and twins.

A grain is a set of bonded atoms of one structure whose orientations change by less than a threshold from neighbour to
neighbour. With orientations Q (x_particle = Q · x_crystal) the misorientation of grain 2 against grain 1 is

    M = S Q₁ᵀ Q₂ S',   S, S' in the 24 proper rotations of the cube that make its angle least,

an angle and an axis, the same in the axes of both grains. A coherent twin is Σ3, 60° about ⟨111⟩, and twins of two
twin planes of one grain are Σ9, 38.94° about ⟨110⟩, each within Brandon's limit 15°/√Σ.

Hexagonal crystals have the 12 proper rotations of 6/mmm about the [111] axis of their template instead. A bent crystal
is one grain; see `bending`.

References: D. G. Brandon, Acta Metall. 14, 1479 (1966), doi:10.1016/0001-6160(66)90168-4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from single_rs.analysis.structure.local import STRUCTURE_NAMES
from single_rs.analysis.structure.matching import TemplateMatch
from single_rs.base.rotations import nearest_rotation, rotation_angle
from single_rs.crystal.neighbours import check_positions

__all__ = [
    "Boundary",
    "Grain",
    "Grains",
    "find_grains",
    "mean_orientation",
    "misorientation",
    "nearest_equivalent",
    "proper_rotations",
    "rotation_vector",
]

# Orientations of neighbours in one grain: 5 pm of noise gives 0.5° per atom (1.5° with an incomplete shell) and a
# dislocation core 8°; a boundary of 5° has dislocations every 11 bonds, and the crystal between them is continuous.
_CONTINUOUS = 4.0
_LEAST_ATOMS = 13
# Close-packed neighbours in a twin plane are 6, in a stacking fault 9, in hcp 12.
_HCP_NEIGHBOURS = 10
_BOND_REACH = 1.25
# Lattice coincidences that multiple twinning makes: number, angle (degrees), axis.
_COINCIDENCES = ((3, 60.0, (1, 1, 1)), (9, 38.942, (0, 1, 1)))
_BRANDON = 15.0


@lru_cache
def proper_rotations(structure: str = "fcc") -> NDArray[np.float64]:
    """Proper rotations (24, 3, 3) of the cube, or for "hcp" the (12, 3, 3) of 6/mmm about [111]."""
    from itertools import permutations, product

    from scipy.spatial.transform import Rotation

    if structure == "hcp":
        turns = Rotation.from_rotvec(np.arange(6)[:, None] * np.pi / 3 * np.ones(3) / np.sqrt(3.0)).as_matrix()
        flip = Rotation.from_rotvec(np.pi * np.array([1.0, -1.0, 0.0]) / np.sqrt(2.0)).as_matrix()
        return np.concatenate([turns, turns @ flip])
    found = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            w = np.zeros((3, 3))
            w[range(3), order] = signs
            if np.linalg.det(w) > 0:
                found.append(w)
    return np.array(found)


def rotation_vector(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation vectors (..., 3), radians, of rotations (..., 3, 3)."""
    from scipy.spatial.transform import Rotation

    flat = rotation.reshape(-1, 3, 3)
    return np.asarray(Rotation.from_matrix(flat).as_rotvec()).reshape(*rotation.shape[:-2], 3)


def misorientation(first: ArrayLike, second: ArrayLike, structure: str = "fcc") -> tuple[float, NDArray[np.float64]]:
    """Smallest rotation between two crystals: angle in degrees, and axis (3,) in the axes of the first.

    Parameters
    ----------
    first, second
        (3, 3) orientations, x_particle = Q · x_crystal.
    structure
        "hcp" for hexagonal symmetry, else cubic.
    """
    q1, q2 = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    relative = q1.T @ q2 @ proper_rotations(structure)
    vector = rotation_vector(relative[np.argmax(np.trace(relative, axis1=1, axis2=2))])
    angle = float(np.linalg.norm(vector))
    return float(np.degrees(angle)), vector / angle if angle > 1e-9 else np.array([1.0, 0.0, 0.0])


def nearest_equivalent(
    orientation: NDArray[np.float64], reference: NDArray[np.float64], structure: str = "fcc"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Equivalent orientations (n, 3, 3) nearest to a reference (3, 3), and their angles to it, radians."""
    symmetric = orientation[:, None] @ proper_rotations(structure)[None]
    best = np.einsum("ij,noij->no", reference, symmetric).argmax(axis=1)
    chosen = symmetric[np.arange(len(orientation)), best]
    cosine = (np.einsum("ij,nij->n", reference, chosen) - 1) / 2
    return chosen, np.arccos(np.clip(cosine, -1, 1))


def mean_orientation(
    orientation: NDArray[np.float64], structure: str = "fcc"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (3, 3) of orientations (n, 3, 3) that differ little, and these in the setting next to the mean."""
    mean = orientation[0]
    for _ in range(3):
        chosen, _angle = nearest_equivalent(orientation, mean, structure)
        mean = nearest_rotation(chosen.sum(axis=0))
    return mean, chosen


@dataclass(frozen=True)
class Grain:
    """One grain.

    Attributes
    ----------
    structure
        "fcc", "hcp" or "bcc".
    atoms
        Number of atoms, with the surface atoms that continue it.
    orientation
        (3, 3) x_particle = Q · x_crystal, in the setting nearest to the axes of the particle.
    spread
        Degrees, rms angle of the fully coordinated atoms to the mean.
    """

    structure: str
    atoms: int
    orientation: NDArray[np.float64]
    spread: float


@dataclass(frozen=True)
class Boundary:
    """Two grains and what relates them.

    Attributes
    ----------
    grains
        Numbers of the two grains.
    angle
        Degrees, least misorientation.
    axis
        (3,) unit vector in crystal axes, common to both grains.
    sigma
        Coincidence number within Brandon's limit: 1 (below 15° no boundary of its own), 3, 9; 0 for others.
    deviation
        Degrees, from the exact coincidence (that of `sigma` 0 is NaN).
    relation
        "shifted" (same orientation within 4°, as beyond a stacking fault), "low-angle", "twin", "twin of a twin",
        "high-angle".
    bonds
        Number of bonds between the two grains, 0 when only a fault layer or nothing joins them.
    """

    grains: tuple[int, int]
    angle: float
    axis: NDArray[np.float64]
    sigma: int
    deviation: float
    relation: str
    bonds: int


@dataclass(frozen=True)
class Grains:
    """Grains of the n atoms of one particle, the largest first.

    Attributes
    ----------
    label
        (n,) int, grain of each atom, −1 for none. Atoms of a fault or twin plane belong to the grain that most of their
        neighbours are in.
    grains
        One for each number in `label`.
    boundaries
        One for each pair of grains.
    """

    label: NDArray[np.int64]
    grains: tuple[Grain, ...]
    boundaries: tuple[Boundary, ...]


def find_grains(positions: ArrayLike, match: TemplateMatch) -> Grains:
    """Grains of a particle and their misorientations.

    Parameters
    ----------
    positions
        (n, 3) Å, those of the match.
    match
        Result of `adopt_orientations`.
    """
    x = check_positions(positions)
    pairs = cKDTree(x).query_pairs(_BOND_REACH * match.bond, output_type="ndarray")
    i, j = pairs.T
    kind = match.site_type.copy()
    hcp = match.structure_type == 2
    around = np.bincount(i, hcp[j], minlength=len(x)) + np.bincount(j, hcp[i], minlength=len(x))
    # Layers of faults and twins are no grains; whole hcp atoms are, with the atoms round them.
    whole = hcp & (around >= _HCP_NEIGHBOURS)
    beside = whole.copy()
    beside[i[whole[j]]] = True
    beside[j[whole[i]]] = True
    kind[(kind == 2) & ~beside] = 0
    same = (kind[i] == kind[j]) & (kind[i] > 0) & (kind[i] < 4)
    p, q = i[same], j[same]
    near = np.zeros(len(p), dtype=bool)
    for hexagonal, name in ((False, "fcc"), (True, "hcp")):
        some = (kind[p] == 2) == hexagonal
        near[some] = _angles(match.orientation[p[some]], match.orientation[q[some]], name) < _CONTINUOUS
    p, q = p[near], q[near]
    graph = csr_array((np.ones(len(p)), (p, q)), shape=(len(x), len(x)))
    group = connected_components(graph, directed=False)[1]
    size = np.bincount(group[kind > 0], minlength=group.max() + 1)
    order = [g for g in np.argsort(-size, kind="stable") if size[g] >= _LEAST_ATOMS]
    label = np.full(len(x), -1)
    for number, g in enumerate(order):
        label[(group == g) & (kind > 0)] = number
    core = label.copy()
    label = _join_rest(label, i, j, len(order))
    grains = []
    for number in range(len(order)):
        members = core == number
        inner = members & (match.structure_type > 0)
        name = STRUCTURE_NAMES[int(np.bincount(kind[members]).argmax())]
        mean, chosen = mean_orientation(match.orientation[inner if inner.any() else members], name)
        angle = nearest_equivalent(chosen, mean, name)[1]
        mean = nearest_equivalent(mean[None], np.eye(3), name)[0][0]
        spread = float(np.degrees(np.sqrt(np.mean(angle**2))))
        grains.append(Grain(name, int(np.sum(label == number)), mean, spread))
    boundaries = [
        _boundary(a, b, grains, int(np.sum(((label[i] == a) & (label[j] == b)) | ((label[i] == b) & (label[j] == a)))))
        for a in range(len(grains))
        for b in range(a + 1, len(grains))
    ]
    return Grains(label, tuple(grains), tuple(boundaries))


def _angles(first: NDArray[np.float64], second: NDArray[np.float64], structure: str = "fcc") -> NDArray[np.float64]:
    """Least misorientation (m,), degrees, of pairs of orientations."""
    relative = np.swapaxes(first, 1, 2) @ second
    trace = np.einsum("nij,oji->no", relative, proper_rotations(structure)).max(axis=1)
    return rotation_angle(trace)


def _join_rest(label: NDArray[np.int64], i: NDArray[np.int64], j: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Give atoms without a grain the grain of most of their neighbours, in rounds until none is left beside a grain."""
    label = label.copy()
    while count and np.any(label < 0):
        votes = np.zeros((len(label), count))
        for a, b in ((i, j), (j, i)):
            known = label[b] >= 0
            np.add.at(votes, (a[known], label[b[known]]), 1)
        fresh = (label < 0) & (votes.sum(axis=1) > 0)
        if not fresh.any():
            break
        label[fresh] = votes[fresh].argmax(axis=1)
    return label


def _boundary(a: int, b: int, grains: list[Grain], bonds: int) -> Boundary:
    alike = grains[a].structure == grains[b].structure == "hcp"
    angle, axis = misorientation(grains[a].orientation, grains[b].orientation, "hcp" if alike else "fcc")
    sigma, deviation, relation = (1, angle, "low-angle") if angle < _BRANDON else (0, np.nan, "high-angle")
    if angle < _CONTINUOUS:
        relation = "shifted"
    for number, ideal, direction in _COINCIDENCES if not alike else ():
        off = _from_coincidence(grains[a].orientation, grains[b].orientation, ideal, np.array(direction, float))
        if off < _BRANDON / np.sqrt(number):
            sigma, deviation, relation = number, off, "twin" if number == 3 else "twin of a twin"
            break
    return Boundary((a, b), angle, axis, sigma, float(deviation), relation, bonds)


def _from_coincidence(
    first: NDArray[np.float64], second: NDArray[np.float64], angle: float, axis: NDArray[np.float64]
) -> float:
    """Degrees between the misorientation of two crystals and the nearest variant of a coincidence."""
    from scipy.spatial.transform import Rotation

    ideal = Rotation.from_rotvec(np.radians(angle) * axis / np.linalg.norm(axis)).as_matrix()
    variants = proper_rotations() @ ideal @ np.swapaxes(proper_rotations(), 1, 2)
    return float(
        _angles(np.broadcast_to(first, variants.shape) @ variants, np.broadcast_to(second, variants.shape)).min()
    )
