"""Crystal prototypes: conventional cell, motif, neighbour shells, proper symmetry, and the bulk values of an element.

Convention: a cell holds the vectors a, b, c in its rows, so that a site n (fractional, row vector) lies at
x = origin + n · cell. Prototype cells are right-handed, a along x and c along z, in units of the nearest-neighbour
distance. A symmetry operation (W, t) renames sites, n' = W n + t, and leaves every position where it is:

    cell' = W⁻ᵀ · cell,     origin' = origin − (W⁻¹ t) · cell

References: International Tables for Crystallography A (2016), doi:10.1107/97809553602060000114, for Fm-3m, Im-3m,
Fd-3m and P6₃/mmc; bulk constants from ``ase.data.reference_states`` (Ashcroft and Mermin, Solid State Physics, 1976).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.errors import InputError

__all__ = ["STRUCTURES", "Bulk", "Prototype", "bulk_reference", "crystal_axes", "polar", "prototype"]

STRUCTURES = ("fcc", "bcc", "hcp", "diamond")

_F = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
_HEX = np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, np.sqrt(8 / 3)]])
# name: (cell in units of the nearest-neighbour distance, sublattices as lists of fractional sites, longest bond kept
# in the shell, in the same unit). In bcc the second shell at 1.155 belongs to the environment: 8 + 6 neighbours.
_TABLE = {
    "fcc": (np.sqrt(2.0) * np.eye(3), [_F], 1.1),
    "bcc": (np.sqrt(4 / 3) * np.eye(3), [np.array([[0, 0, 0], [0.5, 0.5, 0.5]])], 1.25),
    "hcp": (_HEX, [np.array([[0.0, 0, 0]]), np.array([[1 / 3, 2 / 3, 0.5]])], 1.1),
    "diamond": (np.sqrt(16 / 3) * np.eye(3), [_F, _F + 0.25], 1.1),
}


@dataclass(frozen=True)
class Prototype:
    """An ideal structure, in units of its nearest-neighbour distance.

    Attributes
    ----------
    name
        One of `STRUCTURES`.
    cell
        (3, 3) rows a, b, c of the conventional cell.
    motif
        (m, 3) fractional sites of the conventional cell.
    sublattice
        (m,) the sublattice (0 or 1) of each site of the motif; sites of one sublattice differ by lattice translations.
    shells
        For each sublattice the fractional bond vectors (k, 3) of the first environment.
    targets
        For each sublattice the sublattice (k,) on which each bond ends.
    operations
        (o, 3, 3) integer W and (o, 3) t of the proper symmetry operations, see the module's equations.
    """

    name: str
    cell: NDArray[np.float64]
    motif: NDArray[np.float64]
    sublattice: NDArray[np.int64]
    shells: tuple[NDArray[np.float64], ...]
    targets: tuple[NDArray[np.int64], ...]
    operations: tuple[NDArray[np.float64], NDArray[np.float64]]

    @property
    def coordination(self) -> int:
        """Neighbours of a bulk atom within the first minimum of the pair distances (bcc: 8 + 6)."""
        return len(self.shells[0])

    @property
    def site_volume(self) -> float:
        """Volume per site, in cubes of the nearest-neighbour distance."""
        return float(np.linalg.det(self.cell) / len(self.motif))


def _same_modulo_lattice(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether two sets of fractional sites are equal up to lattice translations."""
    difference = a[:, None] - b[None]
    return bool(np.all(np.any(np.all(np.abs(difference - np.rint(difference)) < 1e-6, axis=2), axis=1)))


def _proper_operations(
    cell: NDArray[np.float64], motif: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All (W, t) with W a proper rotation of the cell and W·motif + t the motif itself.

    A conventional cell is reduced, so every rotation has entries −1, 0, 1 and can be found by trying all of them.
    """
    grid = np.stack(np.meshgrid(*[[-1, 0, 1]] * 9, indexing="ij"), axis=-1).reshape(-1, 3, 3).astype(float)
    metric = cell @ cell.T
    # W acts on columns of fractional coordinates: it keeps lengths when Wᵀ G W = G.
    keeps = np.all(np.abs(np.swapaxes(grid, 1, 2) @ metric @ grid - metric) < 1e-6, axis=(1, 2))
    grid = grid[keeps]
    grid = grid[np.linalg.det(grid) > 0]
    rotations, translations = [], []
    for w in grid:
        for t in (np.zeros(3), motif[-1], -motif[-1]):
            if _same_modulo_lattice(motif @ w.T + t, motif):
                rotations.append(w)
                translations.append(t)
                break
    return np.array(rotations), np.array(translations)


@lru_cache
def prototype(name: str) -> Prototype:
    """Return the prototype called `name`, one of `STRUCTURES`."""
    if name not in _TABLE:
        raise InputError(f"structure is {name!r}; accepted: {', '.join(STRUCTURES)}")
    cell, groups, reach = _TABLE[name]
    motif = np.concatenate(groups)
    sublattice = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    shells, targets = [], []
    for group in groups:
        bonds = (motif[:, None] + steps[None] - group[0]).reshape(-1, 3)
        ends = np.repeat(sublattice, len(steps))
        length = np.linalg.norm(bonds @ cell, axis=1)
        near = (length > 0.1) & (length < reach)
        shells.append(bonds[near])
        targets.append(ends[near])
    return Prototype(name, cell, motif, sublattice, tuple(shells), tuple(targets), _proper_operations(cell, motif))


@dataclass(frozen=True)
class Bulk:
    """Bulk crystal of an element.

    Attributes
    ----------
    element, structure
        Chemical symbol, and structure name as ``ase.data`` gives it.
    a, c
        Lattice constants, Å (c = a for cubic structures).
    nearest
        Nearest-neighbour distance, Å.
    source
        Where the constants come from.
    """

    element: str
    structure: str
    a: float
    c: float
    nearest: float
    source: str

    def cell(self) -> NDArray[np.float64]:
        """Conventional cell, rows a, b, c, Å, a along x and c along z."""
        ideal = prototype(self.structure).cell
        return np.asarray(ideal * (np.array([self.a, self.a, self.c]) / np.linalg.norm(ideal, axis=1))[:, None])


def bulk_reference(element: str) -> Bulk | None:
    """Bulk lattice constants of an element at room temperature, or None when its bulk is not one of `STRUCTURES`.

    Raises
    ------
    InputError
        If `element` is not a chemical symbol.
    """
    from ase.data import atomic_numbers, reference_states

    if element not in atomic_numbers:
        raise InputError(f"element is {element!r}; a chemical symbol such as 'Pt' is needed")
    state: dict[str, Any] | None = reference_states[atomic_numbers[element]]
    if not state or state.get("symmetry") not in STRUCTURES:
        return None
    name, a = str(state["symmetry"]), float(state["a"])
    c = a * float(state.get("c/a", 1.0))
    nearest = {
        "fcc": a / np.sqrt(2.0),
        "bcc": a * np.sqrt(0.75),
        "hcp": min(a, np.sqrt(a * a / 3 + c * c / 4)),
        "diamond": a * np.sqrt(3.0) / 4,
    }[name]
    source = "ase.data.reference_states (experiment, room temperature, two decimals: ±0.005 Å)"
    return Bulk(element, name, a, c, float(nearest), source)


def polar(f: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotation R and symmetric stretch U with F = R U, for F (..., 3, 3) of positive determinant."""
    w, s, vt = np.linalg.svd(f)
    return w @ vt, np.swapaxes(vt, -1, -2) @ (s[..., None] * vt)


def crystal_axes(cell: NDArray[np.float64], structure: str) -> NDArray[np.float64]:
    """Orthonormal crystal frame nearest to a cell: rows X, Y, Z (3, 3) in the frame of the cell.

    For cubic structures X, Y, Z are the directions of a, b, c; for hcp X is along a and Z along c. A nearly cubic cell
    is split by polar decomposition, cellᵀ = R U idealᵀ, so that no axis is preferred.
    """
    ideal = prototype(structure).cell
    return np.asarray(polar(cell.T @ np.linalg.inv(ideal.T))[0].T)
