"""Surface atoms of the facets {hkl} of a particle, each with the outward normal of its facet.

A plane (hkl) of a cell with rows a, b, c has the normal n ∥ cell⁻¹ · (h, k, l)ᵀ; the family {hkl} are its images
h' = h · W⁻¹ under the rotations W of the lattice, and their opposites. An atom belongs to a facet when none of its
neighbours lies above it along n, and at least half of the neighbours that the plane has in bulk lie beside it: six in
{111}, four in {100} of fcc. Heights count as equal within a quarter of the bond, far beyond the noise, and half of the
smallest step ({220} of fcc, half a bond).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from single_rs.analysis.lattice import Lattice
from single_rs.base.errors import InputError
from single_rs.crystal.prototypes import prototype

__all__ = ["Site", "facet_family", "facet_sites", "miller"]

_REACH = 1.25  # nearest-neighbour distances to the end of the first shell, midway to the second of fcc
_LEVEL = 0.25  # nearest-neighbour distances within which two atoms are at one height


@dataclass(frozen=True)
class Site:
    """An atom on a facet.

    Attributes
    ----------
    atom
        Index of the atom.
    plane
        Miller indices of the facet in the axes of the atom's domain.
    normal
        (3,) outward unit vector.
    beside
        Indices of its neighbours in the plane.
    complete
        Share of the neighbours of a bulk plane that it has: 1 inside the facet, less at its edges.
    """

    atom: int
    plane: tuple[int, int, int]
    normal: NDArray[np.float64]
    beside: tuple[int, ...]
    complete: float


def miller(text: str) -> tuple[int, int, int]:
    """Return Miller indices from ``111``, ``{100}``, ``1-10`` or ``1 -1 0``.

    Raises
    ------
    InputError
        When the text does not hold three single digits that are not all zero.
    """
    digits = re.findall(r"-?\d", text)
    if len(digits) != 3 or re.sub(r"[\s,(){}\[\]-]|\d", "", text) or not any(int(d) for d in digits):
        raise InputError(f"facet is {text!r}; three indices are needed, e.g. 111 or 100")
    h, k, l = (int(d) for d in digits)
    return h, k, l


def facet_family(structure: str, plane: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """Return all planes equivalent to one by the rotations of a structure, and their opposites, sorted."""
    operations = prototype(structure).operations[0]
    images = np.rint(np.array(plane) @ np.linalg.inv(operations)).astype(int)
    return sorted({(int(h), int(k), int(l)) for h, k, l in np.concatenate([images, -images])})


def facet_sites(positions: NDArray[np.float64], lattice: Lattice, plane: tuple[int, int, int]) -> list[Site]:
    """Find the atoms on the facets {hkl}, in the order of the atoms.

    Parameters
    ----------
    positions
        (n, 3) Å.
    lattice
        Of these atoms.
    plane
        Miller indices of one plane of the family.

    Returns
    -------
    list[Site]
        An edge atom may belong to two facets.
    """
    x = np.asarray(positions, dtype=np.float64)
    bond = lattice.nearest_neighbour
    near = cKDTree(x).query_ball_point(x, _REACH * bond)
    family = facet_family(lattice.structure, plane)
    full = _in_plane(lattice, plane)
    sites = []
    for index, domain in enumerate(lattice.domains):
        normals = np.array(family) @ np.linalg.inv(domain.cell).T
        normals /= np.linalg.norm(normals, axis=1)[:, None]
        for atom in np.flatnonzero(lattice.domain == index):
            others = np.array([j for j in near[atom] if j != atom], dtype=int)
            heights = (x[others] - x[atom]) @ normals.T
            level = np.abs(heights) <= _LEVEL * bond
            clear = ~np.any(heights > _LEVEL * bond, axis=0)
            for k in np.flatnonzero(clear & (2 * level.sum(axis=0) >= full)):
                beside = tuple(int(j) for j in others[level[:, k]])
                sites.append(Site(int(atom), family[k], normals[k], beside, min(1.0, len(beside) / full)))
    return sorted(sites, key=lambda s: (s.atom, s.plane))


def _in_plane(lattice: Lattice, plane: tuple[int, int, int]) -> int:
    """Return the number of first neighbours that lie in the plane in the ideal crystal."""
    ideal = prototype(lattice.structure)
    bonds = ideal.shells[0] @ ideal.cell
    normal = np.linalg.inv(ideal.cell) @ np.array(plane, dtype=float)
    first = np.linalg.norm(bonds, axis=1) < 1.01
    count = int(np.sum(first & (np.abs(bonds @ normal) < 1e-6 * np.linalg.norm(normal))))
    if count < 2:
        raise InputError(
            f"facet is {plane}; the atoms of this plane of {lattice.structure} have {count} neighbours in it, and form "
            "no facet; take a denser plane, e.g. 111 or 100 of fcc, 110 of bcc"
        )
    return count
