"""Blocks of lattice that particles are cut from: perfect, faulted, twinned, of two grains.

A block holds sites in the particle's frame, each with its grain g, and the orientation T_g of every grain,
x_particle = T_g x_crystal. A shape is cut grain by grain, by the gauge of T_gᵀ (r - c): the modified Wulff
construction of twinned particles, which gives Marks decahedra their re-entrant facets. Ino's decahedra lack those, and
Mackay's icosahedra (13, 55, 147, 309, 561, … atoms) have none but their twenty {111} faces.

References: Mackay, Acta Cryst. 15, 916 (1962), doi:10.1107/S0365110X6200239X; Marks, J. Cryst. Growth 61, 556 (1983),
doi:10.1016/0022-0248(83)90184-7; Ino, J. Phys. Soc. Jpn. 27, 941 (1969), doi:10.1143/JPSJ.27.941.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import InputError
from single_rs.simulate.lattices import WULFF_100_OVER_111, gauge, lattice_block

__all__ = ["DEFECTS", "Block", "Lattice", "make_block"]

DEFECTS = ("none", "stacking_fault", "twin", "decahedron", "marks_decahedron", "icosahedron", "grain_boundary")
BLOCK_MARGIN = 8.0  # Å of block beyond the particle, for islands and off-centre cuts
BOUNDARY_DISTANCE = 0.85  # of the shortest bond: nearer sites of two grains are one site
# {100} on the side of a wedge, {111} above and below it, nothing between; the one outer face of a tetrahedron.
INO_FACETS = np.array([[0, 0, 1 / WULFF_100_OVER_111], *(np.array([[1, -1, 1], [-1, 1, 1]]) / np.sqrt(3))])
MACKAY_FACETS = np.ones((1, 3)) / np.sqrt(3)
FIRST_WEDGE = 54.0  # degrees, azimuth of the middle of the first grain of ASE's decahedron


@dataclass(frozen=True)
class Lattice:
    """Structure with its constant a in Å and c/a."""

    structure: str
    a: float
    covera: float

    @property
    def bond(self) -> float:
        """Shortest distance between sites, Å."""
        part = {"fcc": np.sqrt(0.5), "bcc": np.sqrt(0.75), "diamond": np.sqrt(3) / 4}.get(self.structure)
        # hcp: within the basal plane a, between planes √(a²/3 + c²/4)
        return float(self.a * (part if part is not None else min(1.0, np.sqrt(1 / 3 + self.covera**2 / 4))))


@dataclass(frozen=True)
class Block:
    """Sites of one or more grains.

    Attributes
    ----------
    sites
        (n, 3) Å, particle's frame.
    grain
        (n,) grain of each site.
    frames
        (g, 3, 3) orientation of each grain, x_particle = frames[g] · x_crystal; of strained twins, the nearest one.
    lattice
        Structure of all grains.
    facets
        (m, 3) normals over distances, in the axes of a grain, of a shape of its own (Ino's decahedron, Mackay's
        icosahedron) that stands for the Wulff shape; None: all facets of the lattice's Wulff shape count.
    """

    sites: NDArray[np.float64]
    grain: NDArray[np.int64]
    frames: NDArray[np.float64]
    lattice: Lattice
    facets: NDArray[np.float64] | None = None

    def level(self, centre: NDArray[np.float64], shape: str) -> NDArray[np.float64]:
        """Return the gauge (n,) in Å of a shape about a centre, each site in the axes of its grain."""
        out = np.empty(len(self.sites))
        for g, frame in enumerate(self.frames):
            here = self.grain == g
            points = (self.sites[here] - centre) @ frame
            if shape == "wulff" and self.facets is not None:
                out[here] = (points @ self.facets.T).max(axis=1)
            else:
                out[here] = gauge(points, shape, self.lattice.structure, self.lattice.covera)
        return out


def make_block(
    element: str,
    lattice: Lattice,
    diameter: float,
    defect: str,
    misorientation: float | None,
    generator: np.random.Generator,
) -> Block:
    """Return the block from which a particle is cut.

    Parameters
    ----------
    element
        Chemical symbol.
    lattice
        Its lattice; all but grain boundaries need fcc.
    diameter
        Å, of the particle.
    defect
        One of `DEFECTS`.
    misorientation
        Degrees between the two grains of a grain boundary; a uniformly random rotation when None.
    generator
        Of the boundary's plane, axis and shift; other defects draw nothing.

    Raises
    ------
    InputError
        When the lattice cannot have the defect.
    """
    if defect not in ("none", "grain_boundary") and lattice.structure != "fcc":
        raise InputError(f"defect is {defect!r}; only fcc crystals can have it, and the lattice is {lattice.structure}")
    # A cube's or octahedron's corner is at most 0.81 (1.1 for sharp tips) diameters from the centre.
    reach = 0.9 * diameter + BLOCK_MARGIN
    if defect in ("decahedron", "marks_decahedron"):
        return _decahedron(element, lattice, reach, notched=defect == "marks_decahedron")
    if defect == "icosahedron":
        return _icosahedron(element, lattice, reach)
    reach = max(reach, 1.15 * diameter + 0.5 * BLOCK_MARGIN)
    sites = lattice_block(lattice.structure, lattice.a, lattice.covera, reach)
    if defect == "grain_boundary":
        return _two_grains(sites, lattice, misorientation, generator)
    if defect in ("twin", "stacking_fault"):
        return _planar(sites, lattice, defect)
    return Block(sites, np.zeros(len(sites), np.int64), np.eye(3)[None], lattice)


def _planar(sites: NDArray[np.float64], lattice: Lattice, defect: str) -> Block:
    """Return a block with one faulted {111} plane next to the origin."""
    a, normal = lattice.a, np.ones(3) / np.sqrt(3)
    height = sites @ normal
    if defect == "twin":
        # Mirror the lower half in the (111) layer through the origin: layers …cba|A|bca… become …ACB A BCA….
        lower = sites[height <= 1e-6 * a]
        mirrored = lower - 2 * np.outer(lower @ normal, normal)
        upper = mirrored[mirrored @ normal > 0.5 * a / np.sqrt(3)]
        grain = np.repeat([0, 1], [len(lower), len(upper)])
        # Mirrored fcc is fcc turned by 180° about the normal, since fcc has a centre of inversion.
        frames = np.stack([np.eye(3), 2 * np.outer(normal, normal) - np.eye(3)])
        return Block(np.concatenate([lower, upper]), grain, frames, lattice)
    # Shockley partial a/6 [11-2] lies in the plane and turns …ABCABC… into …ABC|BCA….
    above = height > 0.5 * a / np.sqrt(3)
    sites = sites + np.where(above[:, None], a / 6 * np.array([1.0, 1.0, -2.0]), 0.0)
    return Block(sites, above.astype(np.int64), np.stack([np.eye(3)] * 2), lattice)


def _two_grains(
    sites: NDArray[np.float64], lattice: Lattice, misorientation: float | None, generator: np.random.Generator
) -> Block:
    """Return a block whose upper half, above a random plane through the origin, is turned and shifted at random."""
    from scipy.spatial import cKDTree
    from scipy.spatial.transform import Rotation

    normal, axis, *quaternion = np.split(generator.standard_normal(10), [3, 6])
    if misorientation is None:
        turn = Rotation.from_quat(quaternion[0]).as_matrix()
    else:
        turn = Rotation.from_rotvec(np.deg2rad(misorientation) * axis / np.linalg.norm(axis)).as_matrix()
    shift = generator.uniform(-0.5, 0.5, 3) * lattice.bond
    lower = sites[sites @ normal <= 0]
    other = sites @ turn.T + shift
    upper = other[other @ normal > 0]
    near = cKDTree(lower).query(upper)[0]
    upper = upper[near > BOUNDARY_DISTANCE * lattice.bond]
    grain = np.repeat([0, 1], [len(lower), len(upper)])
    return Block(np.concatenate([lower, upper]), grain, np.stack([np.eye(3), turn]), lattice)


def _decahedron(element: str, lattice: Lattice, reach: float, *, notched: bool) -> Block:
    """Return five grains round a common [1-10] axis along z; [001] of each is the middle of its wedge."""
    from ase.cluster import Decahedron

    half = int(np.ceil(reach / lattice.bond)) + 1
    sites = Decahedron(element, half, 2 * half, 0, latticeconstant=lattice.a).get_positions()
    sites = _near_centre(sites, reach)
    angle = np.deg2rad(FIRST_WEDGE + 72 * np.arange(5))
    middle = np.stack([np.cos(angle), np.sin(angle), np.zeros(5)], axis=1)
    frames = _frames(middle, np.tile([0.0, 0.0, 1.0], (5, 1)), np.array([0, 0, 1.0]), np.array([1.0, -1, 0]))
    facets = None if notched else INO_FACETS
    return Block(sites, np.argmax(sites @ middle.T, axis=1), frames, lattice, facets)


def _icosahedron(element: str, lattice: Lattice, reach: float) -> Block:
    """Return twenty tetrahedral grains, [111] of each along the normal of its face."""
    from itertools import combinations

    from ase.cluster import Icosahedron

    shells = int(np.ceil(reach / (0.95 * lattice.bond))) + 2  # a vertex is 0.95 neighbour distances per shell
    sites = _near_centre(Icosahedron(element, shells, latticeconstant=lattice.a).get_positions(), reach)
    first = sites[np.argsort(np.linalg.norm(sites, axis=1))[1:13]]
    vertices = first / np.linalg.norm(first, axis=1, keepdims=True)
    beside = vertices @ vertices.T > 0.4  # neighbouring vertices are 63.4° apart, the others 116.6° or more
    faces = [t for t in combinations(range(12), 3) if all(beside[i, j] for i, j in combinations(t, 2))]
    normals = np.array([vertices[list(t)].sum(axis=0) for t in faces])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    corner = np.array([vertices[t[0]] for t in faces])
    frames = _frames(normals, corner, np.ones(3), np.array([1.0, 1, 0]))
    return Block(sites, np.argmax(sites @ normals.T, axis=1), frames, lattice, MACKAY_FACETS)


def _near_centre(sites: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Return the sites within a distance of their mean, from there."""
    sites = sites - sites.mean(axis=0)
    return np.asarray(sites[np.linalg.norm(sites, axis=1) <= reach])


def _frames(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    crystal_first: NDArray[np.float64],
    crystal_second: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return proper rotations (g, 3, 3) that turn one crystal direction onto `first` and the other towards `second`."""

    def triad(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        x = a / np.linalg.norm(a, axis=-1, keepdims=True)
        y = b - np.sum(b * x, axis=-1, keepdims=True) * x
        y /= np.linalg.norm(y, axis=-1, keepdims=True)
        return np.stack([x, y, np.cross(x, y)], axis=-1)

    return np.asarray(triad(first, second) @ triad(crystal_first, crystal_second).T)
