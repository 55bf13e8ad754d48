"""Blocks of crystal, and the shapes cut from them.

A shape is a gauge g(r): the least scale at which the body contains r, g(r) = max_i n_i·r / h_i for facets with
unit normals n_i and relative distances h_i (Wulff construction), |r| for a sphere. The particle of N
atoms is the N sites of least g, which needs no radius; the size is set by volume, N v = π d³/6 with v
the volume per atom and d the diameter of the sphere of equal volume.

Reference: Wulff, Z. Kristallogr. 34, 449 (1901), doi:10.1524/zkri.1901.34.1.449.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import InputError

__all__ = [
    "LATTICES",
    "SAME_LEVEL",
    "SHAPES",
    "atomic_volume",
    "gauge",
    "lattice_block",
    "outermost_level",
    "reference_lattice",
]

LATTICES = ("fcc", "bcc", "hcp", "diamond")
SHAPES = ("wulff", "sphere", "octahedron", "cube")

# Distance of {100} facets relative to {111}: γ100/γ111 of clean fcc metals is 1.1 to 1.2 (Vitos et al.,
# Surf. Sci. 411, 186 (1998), doi:10.1016/S0039-6028(98)00363-X).
WULFF_100_OVER_111 = 1.15
# Of bcc {100} relative to {110}, and of hcp {10-10} and {10-11} relative to (0001); same source, rounded.
WULFF_BCC_100_OVER_110 = 1.10
WULFF_HCP_10M10 = 1.15
WULFF_HCP_10M11 = 1.15
SAME_LEVEL = 1e-6  # Å; sites whose gauges differ by less have the same


def reference_lattice(element: str) -> tuple[str, float, float]:
    """Return (structure, a, c/a) of an element from ASE's reference states; a in Å, c/a is √(8/3) if unknown.

    Raises
    ------
    InputError
        When the element is unknown or its structure is none of fcc, bcc, hcp, diamond.
    """
    from ase.data import atomic_numbers, reference_states

    number = atomic_numbers.get(element)
    if not number:
        raise InputError(f"element is {element!r}; a chemical symbol such as 'Pt' is needed")
    state: dict[str, Any] = reference_states[number] or {}
    structure = state.get("symmetry", "none")
    if structure not in LATTICES:
        raise InputError(
            f"the reference structure of {element} is {structure}; only {', '.join(LATTICES)} can be built: "
            "give structure and lattice_constant"
        )
    return structure, float(state["a"]), float(state.get("c/a", float(np.sqrt(8 / 3))))


def _cell(structure: str, a: float, covera: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return orthogonal cell lengths (3,) in Å and the basis (m, 3) in fractions of them."""
    if structure == "hcp":
        # The orthohexagonal cell: a, √3 a, c with four atoms.
        lengths = np.array([a, np.sqrt(3) * a, covera * a])
        return lengths, np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 5 / 6, 0.5], [0, 1 / 3, 0.5]])
    faces = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    basis = {
        "fcc": faces,
        "bcc": np.array([[0, 0, 0], [0.5, 0.5, 0.5]]),
        "diamond": np.concatenate([faces, faces + 0.25]),
    }[structure]
    return np.full(3, a), basis


def atomic_volume(structure: str, a: float, covera: float) -> float:
    """Return the volume per atom in Å³."""
    lengths, basis = _cell(structure, a, covera)
    return float(np.prod(lengths) / len(basis))


def lattice_block(structure: str, a: float, covera: float, radius: float) -> NDArray[np.float64]:
    """Return the sites (n, 3) in Å within a radius (Å) of a site at the origin, axes along the cell's."""
    lengths, basis = _cell(structure, a, covera)
    reach = np.ceil(radius / lengths).astype(int) + 1
    cells = np.array(list(itertools.product(*(range(-m, m + 1) for m in reach))), dtype=np.float64)
    sites = ((cells[:, None, :] + basis[None]) * lengths).reshape(-1, 3)
    return np.asarray(sites[np.linalg.norm(sites, axis=1) <= radius])


def _family(hkl: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return the unit normals of a cubic family {hkl}."""
    members = {
        tuple(s * v for s, v in zip(signs, order))
        for order in itertools.permutations(hkl)
        for signs in itertools.product((1, -1), repeat=3)
    }
    normals = np.array(sorted(members), dtype=np.float64)
    return np.asarray(normals / np.linalg.norm(normals, axis=1, keepdims=True))


def _hexagonal(tilt: float) -> NDArray[np.float64]:
    """Return the unit normals of {10-1l} facets, tilt rad from the c axis; a is along x."""
    azimuth = np.deg2rad(30 + 60 * np.arange(6))
    ring = np.stack([np.sin(tilt) * np.cos(azimuth), np.sin(tilt) * np.sin(azimuth), np.full(6, np.cos(tilt))], axis=1)
    return np.concatenate([ring, -ring])


def _facets(shape: str, structure: str, covera: float) -> list[tuple[NDArray[np.float64], float]]:
    """Return (normals, relative distance) of each family of facets."""
    if shape == "cube":
        return [(_family((1, 0, 0)), 1.0)]
    if shape == "octahedron":
        return [(_family((1, 1, 1)), 1.0)]
    if structure == "bcc":
        return [(_family((1, 1, 0)), 1.0), (_family((1, 0, 0)), WULFF_BCC_100_OVER_110)]
    if structure == "hcp":
        basal = np.array([[0, 0, 1.0], [0, 0, -1.0]])
        pyramid = np.arctan(covera * 2 / np.sqrt(3))
        return [
            (basal, 1.0),
            (_hexagonal(np.pi / 2), WULFF_HCP_10M10),
            (_hexagonal(pyramid), WULFF_HCP_10M11),
        ]
    return [(_family((1, 1, 1)), 1.0), (_family((1, 0, 0)), WULFF_100_OVER_111)]


def gauge(points: NDArray[np.float64], shape: str, structure: str, covera: float) -> NDArray[np.float64]:
    """Return the gauge g(r) of a shape at points (n, 3), in Å; the body of scale s is g ≤ s.

    Raises
    ------
    InputError
        When the shape is not one of `SHAPES`.
    """
    if shape not in SHAPES:
        raise InputError(f"shape is {shape!r}; accepted: {', '.join(SHAPES)}")
    if shape == "sphere":
        return np.asarray(np.linalg.norm(points, axis=1))
    return np.asarray(
        np.max(
            [np.max(points @ normals.T, axis=1) / height for normals, height in _facets(shape, structure, covera)], 0
        )
    )


def outermost_level(level: NDArray[np.float64], count: int) -> float:
    """Return the gauge up to which sites make the shape whose number is nearest to `count`.

    Sites of equal gauge come or stay together, so the ideal shape stays whole.

    Parameters
    ----------
    level
        (n,) gauge of each site, Å.
    count
        Number of sites wanted.
    """
    ordered = np.sort(level)
    cuts = np.append(np.flatnonzero(np.diff(ordered) > SAME_LEVEL) + 1, len(ordered))
    return float(ordered[cuts[np.argmin(np.abs(cuts - count))] - 1])
