"""Ideal lattice vectors of the bonds of an fcc particle, and the Burgers vectors that they enclose.

The particle is filled with the tetrahedra of a Delaunay triangulation, whose edges join nearest neighbours or cross an
octahedron. Every edge x_j − x_i is turned into crystal axes by the local orientation and named after the nearest ideal
vector L_ij, in units of a/6 an integer vector:

    a/2⟨110⟩ and a⟨100⟩            in the crystal,
    a/6⟨411⟩ and a/3⟨221⟩          their images in the {111} planes: across a stacking fault or in a twin.

The sum round a face (i, j, k), right-handed about its normal, is minus the Burgers vector that it encloses,

    b = −(L_ij + L_jk + L_ki) = ∮ du,

zero in good crystal. Since every edge has one name, the faces of a tetrahedron sum to zero exactly: Burgers vector is
conserved, as Frank's rule asks, from tetrahedron to tetrahedron up to the surface. An edge in a core that could have
either of two names only moves the line by one tetrahedron; it cannot change what a circuit in good crystal encloses.

References: Burgers circuit: F. C. Frank, Philos. Mag. 42, 809 (1951), doi:10.1080/14786445108561310; the triangulation
with ideal vectors: A. Stukowski and K. Albe, Modelling Simul. Mater. Sci. Eng. 18, 085001 (2010),
doi:10.1088/0965-0393/18/8/085001.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, cKDTree
from scipy.spatial.distance import cdist

from single_rs.analysis.structure.grains import nearest_equivalent
from single_rs.analysis.structure.matching import TemplateMatch
from single_rs.analysis.structure.stacking import CLOSE_PACKED_NORMALS
from single_rs.base.rotations import nearest_rotation

__all__ = ["Complex", "ideal_vectors", "tetrahedra"]

# Longest edge of a tetrahedron, in bonds: 1.41 across an octahedron, with room for the strain of a core; 1.73 is the
# next distance in the crystal and bridges the steps of the surface.
_LONGEST = 1.65
# Qhull leaves the regular octahedra of a perfect crystal undivided; a shift of 1e-3 bonds (0.3 pm) divides them all.
_JOGGLE = 1e-3
# Orientations farther than this from the reference are of another grain.
_OWN = np.deg2rad(20.0)
# Orientation of the crystal about an atom: Gaussian mean over the nearest matched atoms, width in bonds. In a core none
# are matched, and the mean of those round it has the rotation of the crystal without that of the line's own field.
_SOURCES, _WIDTH = 24, 1.2
# A faulted name must fit better than one of the crystal by this much of a.
_FAULT_BIAS = 0.04


@lru_cache
def ideal_vectors() -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Ideal edges (66, 3) in units of a/6, and which of them (66,) belong to faults and twins."""
    signs = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    count = np.abs(signs).sum(axis=1)
    own = np.concatenate([3 * signs[count == 2], 6 * signs[count == 1]])
    images = own[None] - 2 * (own @ CLOSE_PACKED_NORMALS.T).T[:, :, None] * CLOSE_PACKED_NORMALS[:, None]
    images = np.unique(np.rint(images.reshape(-1, 3)).astype(np.int64), axis=0)
    fresh = ~np.any(np.all(images[:, None] == own[None], axis=2), axis=1)
    return np.concatenate([own, images[fresh]]), np.repeat([False, True], [len(own), int(fresh.sum())])


_EDGES = 20_000  # whose distances to all ideal vectors are held at once


@dataclass(frozen=True)
class Complex:
    """Tetrahedra of a particle and the Burgers vector through each of their faces.

    Attributes
    ----------
    cells
        (t, 4) atoms of the tetrahedra.
    centres
        (t, 3) Å.
    faces
        (f, 3) atoms, ascending.
    sides
        (f, 2) the two tetrahedra of each face: the one behind and the one before its normal
        (x_j − x_i) × (x_k − x_i); −1 for none.
    burgers
        (f, 3) int, a/6, enclosed right-handed about that normal.
    """

    cells: NDArray[np.int64]
    centres: NDArray[np.float64]
    faces: NDArray[np.int64]
    sides: NDArray[np.int64]
    burgers: NDArray[np.int64]


def local_rotations(
    x: NDArray[np.float64], match: TemplateMatch, reference: NDArray[np.float64], allowed: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Orientation (n, 3, 3) of the reference crystal at every atom, continued into faults, twins and cores."""
    own = np.flatnonzero((match.structure_type == 1) & allowed)
    chosen, angle = nearest_equivalent(match.orientation[own], reference)
    own, chosen = own[angle < _OWN], chosen[angle < _OWN]
    if len(own) == 0:
        return np.broadcast_to(reference, (len(x), 3, 3))
    distance, index = cKDTree(x[own]).query(x, k=np.arange(1, min(_SOURCES, len(own)) + 1))
    weight = np.exp(-0.5 * (distance**2 - distance[:, :1] ** 2) / (_WIDTH * match.bond) ** 2)
    return nearest_rotation(np.einsum("nk,nkij->nij", weight, chosen[index]))


def tetrahedra(
    x: NDArray[np.float64], match: TemplateMatch, reference: NDArray[np.float64], allowed: NDArray[np.bool_]
) -> Complex:
    """Triangulate the allowed atoms and sum the ideal vectors round every face.

    Parameters
    ----------
    x
        (n, 3) Å.
    match
        Result of `adopt_orientations`.
    reference
        (3, 3) orientation of the reference grain.
    allowed
        (n,) bool, atoms of this grain, its faults and its twins.
    """
    shift = np.random.Generator(np.random.PCG64(0)).normal(0, _JOGGLE * match.bond, x.shape)
    members = np.flatnonzero(allowed)
    cells = members[Delaunay((x + shift)[members]).simplices]
    corner = x[cells]
    longest = np.linalg.norm(corner[:, :, None] - corner[:, None], axis=3).max(axis=(1, 2))
    cells = np.sort(cells[longest < _LONGEST * match.bond], axis=1)
    corners = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
    every = cells[:, corners].reshape(-1, 3)
    faces, face = _distinct(every, len(x))
    owner = np.repeat(np.arange(len(cells)), 4)
    centres = x[cells].mean(axis=1)
    # The tetrahedron's fourth corner lies before or behind the face; flat ones have a side by the joggled positions.
    apex = cells[owner, np.tile(np.arange(4), len(cells))]
    shifted = x + shift
    p, q, r = (shifted[faces[:, k]] for k in range(3))
    before = np.einsum("ij,ij->i", np.cross(q - p, r - p)[face], shifted[apex] - p[face]) > 0
    sides = np.full((len(faces), 2), -1)
    sides[face, before.astype(np.int64)] = owner
    edge = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [0, 2]]])
    unique, back = _distinct(edge, len(x))
    names = _names(x, unique, local_rotations(x, match, reference, allowed), match.bond)[back]
    first, second, third = np.split(names, 3)
    return Complex(cells, centres, faces, sides, -(first + second - third))


def _distinct(rows: NDArray[np.int64], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct rows of numbers below `count`, in order, and which of them each row is."""
    width = rows.shape[1]
    key, which = np.unique(np.ravel_multi_index(tuple(rows.T), (count,) * width), return_inverse=True)
    return np.stack(np.unravel_index(key, (count,) * width), axis=1), which


def _names(
    x: NDArray[np.float64], edges: NDArray[np.int64], rotations: NDArray[np.float64], bond: float
) -> NDArray[np.int64]:
    """Ideal vector (e, 3), a/6, of each edge."""
    ideal, faulted = ideal_vectors()
    i, j = edges.T
    mean = (rotations[i] + rotations[j]) / 2
    vector = np.einsum("eji,ej->ei", mean, x[j] - x[i]) / (bond * np.sqrt(2.0))
    nearest = [
        (cdist(vector[k : k + _EDGES], ideal / 6) + _FAULT_BIAS * faulted).argmin(axis=1)
        for k in range(0, len(vector), _EDGES)
    ]
    return np.asarray(ideal[np.concatenate(nearest)])
