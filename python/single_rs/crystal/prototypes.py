"""Crystal prototypes: conventional cell, motif, neighbour shells, proper symmetry, and the bulk values of an element.

Convention: a cell holds the vectors a, b, c in its rows, so that a site n (fractional, row vector) lies at
x = origin + n · cell. Prototype cells are right-handed, a along x and c along z, in units of the nearest-neighbour
distance. A symmetry operation (W, t) renames sites, n' = W n + t, and leaves every position where it is:

    cell' = W⁻ᵀ · cell,     origin' = origin − (W⁻¹ t) · cell

Structures of two species (rocksalt, zincblende, wurtzite, fluorite) have a species, 0 or 1, on each site. Positions
alone do not know it: there the operations that exchange the two species are symmetries as well (none in fluorite).

References: International Tables for Crystallography A (2016), doi:10.1107/97809553602060000114, for Fm-3m, Im-3m,
Fd-3m, P6₃/mmc, F-43m, P6₃mc; bulk constants of elements from ``ase.data.reference_states`` (Ashcroft and Mermin,
Solid State Physics, 1976), of compounds from `compounds`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import InputError
from single_rs.crystal.compounds import COMPOUNDS, compound_formula

__all__ = [
    "BINARY_STRUCTURES",
    "STRUCTURES",
    "Bulk",
    "Prototype",
    "bulk_reference",
    "crystal_axes",
    "polar",
    "prototype",
]

# Of one species, and of two.
STRUCTURES = ("fcc", "bcc", "hcp", "diamond")
BINARY_STRUCTURES = ("rocksalt", "zincblende", "wurtzite", "fluorite")
# Å: constants with two decimals are good to half of the last one; those of compounds differ as much between sources.
_BULK_ERROR = 0.005

_F = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
_HEX = np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, np.sqrt(8 / 3)]])
# Ideal wurtzite: both bond lengths equal with u = 3/8 and c/a = √(8/3).
_U = 3 / 8
_W, _UP = np.array([1 / 3, 2 / 3, 0.5]), np.array([0, 0, _U])
# name: (cell in units of the nearest-neighbour distance, sublattices as lists of fractional sites, longest bond kept
# in the shell, in the same unit). In bcc the second shell at 1.155 belongs to the environment: 8 + 6 neighbours.
_TABLE = {
    "fcc": (np.sqrt(2.0) * np.eye(3), [_F], 1.1),
    "bcc": (np.sqrt(4 / 3) * np.eye(3), [np.array([[0, 0, 0], [0.5, 0.5, 0.5]])], 1.25),
    "hcp": (_HEX, [np.array([[0.0, 0, 0]]), np.array([[1 / 3, 2 / 3, 0.5]])], 1.1),
    "diamond": (np.sqrt(16 / 3) * np.eye(3), [_F, _F + 0.25], 1.1),
    "rocksalt": (2 * np.eye(3), [_F, _F + 0.5], 1.1),
    "zincblende": (np.sqrt(16 / 3) * np.eye(3), [_F, _F + 0.25], 1.1),
    "wurtzite": (
        np.sqrt(8 / 3) * _HEX,
        [np.atleast_2d(r) for r in np.array([[0, 0, 0], _W, _UP, _W + _UP])],
        1.1,
    ),
    "fluorite": (np.sqrt(16 / 3) * np.eye(3), [_F, _F + 0.25, _F + 0.75], 1.1),
}
# Species of each sublattice where there are two.
_SPECIES = {"rocksalt": (0, 1), "zincblende": (0, 1), "wurtzite": (0, 0, 1, 1), "fluorite": (0, 1, 1)}


@dataclass(frozen=True)
class Prototype:
    """An ideal structure, in units of its nearest-neighbour distance.

    Attributes
    ----------
    name
        One of `STRUCTURES` or `BINARY_STRUCTURES`.
    cell
        (3, 3) rows a, b, c of the conventional cell.
    motif
        (m, 3) fractional sites of the conventional cell.
    sublattice
        (m,) the sublattice (0, 1, …) of each site of the motif; sites of one sublattice differ by lattice translations.
    shells
        For each sublattice the fractional bond vectors (k, 3) of the first environment.
    targets
        For each sublattice the sublattice (k,) on which each bond ends.
    species
        (m,) species (0 or 1) of each site of the motif; 0 everywhere in structures of one species.
    operations
        (o, 3, 3) integer W and (o, 3) t of the proper symmetry operations, see the module's equations.
    exchanges
        The same for the proper operations that carry the structure onto itself with its two species exchanged.
    variants
        Rotations (v, 3, 3), the identity first, that keep the first shell but differ in what lies beyond: 4 for
        wurtzite, whose c axis can be along any bond of the tetrahedron, 1 for the others.
    """

    name: str
    cell: NDArray[np.float64]
    motif: NDArray[np.float64]
    sublattice: NDArray[np.int64]
    shells: tuple[NDArray[np.float64], ...]
    targets: tuple[NDArray[np.int64], ...]
    species: NDArray[np.int64]
    operations: tuple[NDArray[np.float64], NDArray[np.float64]]
    exchanges: tuple[NDArray[np.float64], NDArray[np.float64]]
    variants: NDArray[np.float64]

    @property
    def coordination(self) -> int:
        """Neighbours of a bulk atom within the first minimum of the pair distances (bcc: 8 + 6)."""
        return len(self.shells[0])

    @property
    def site_volume(self) -> float:
        """Volume per site, in cubes of the nearest-neighbour distance."""
        return float(np.linalg.det(self.cell) / len(self.motif))


def _proper_operations(
    cell: NDArray[np.float64], motif: NDArray[np.float64], species: NDArray[np.int64], image: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All W with one t each, W a proper rotation of the cell, that carry the motif onto sites of the species `image`.

    A conventional cell is reduced, so every rotation has entries −1, 0, 1 and can be found by trying all of them. The
    first site of the motif must land on some site of the motif, which leaves few translations.
    """
    grid = np.stack(np.meshgrid(*[[-1, 0, 1]] * 9, indexing="ij"), axis=-1).reshape(-1, 3, 3).astype(float)
    metric = cell @ cell.T
    # W acts on columns of fractional coordinates: it keeps lengths when Wᵀ G W = G.
    keeps = np.all(np.abs(np.swapaxes(grid, 1, 2) @ metric @ grid - metric) < 1e-6, axis=(1, 2))
    grid = grid[keeps]
    rotations, translations = [], []
    for w in grid[np.linalg.det(grid) > 0]:
        for t in motif - w @ motif[0]:
            d = (motif @ w.T + t)[:, None] - motif[None]
            same = np.all(np.abs(d - np.rint(d)) < 1e-6, axis=2) & (image[:, None] == species[None])
            if np.all(same.any(axis=1)):
                rotations.append(w)
                translations.append(t)
                break
    return np.array(rotations).reshape(-1, 3, 3), np.array(translations).reshape(-1, 3)


def _shell_variants(shell: NDArray[np.float64], group: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotations of the shell (k, 3) onto itself, one of each coset of the crystal's own rotations `group` (o, 3, 3)."""
    kept = [np.eye(3)]
    frame = np.linalg.inv(shell[:3].T)
    for picked in itertools.permutations(shell, 3):
        v = np.array(picked).T @ frame
        if np.linalg.det(v) < 0 or np.abs(v @ v.T - np.eye(3)).max() > 1e-6:
            continue
        whole = np.linalg.norm((shell @ v.T)[:, None] - shell[None], axis=2).min(axis=1).max() < 1e-6
        if whole and all(np.abs(k.T @ v - group).max(axis=(1, 2)).min() > 1e-6 for k in kept):
            kept.append(v)
    return np.array(kept)


@lru_cache
def prototype(name: str) -> Prototype:
    """Return the prototype called `name`, one of `STRUCTURES` or `BINARY_STRUCTURES`."""
    if name not in _TABLE:
        raise InputError(f"structure is {name!r}; accepted: {', '.join(_TABLE)}")
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
    species = np.zeros(len(motif), dtype=np.int64)
    exchanges = np.zeros((0, 3, 3)), np.zeros((0, 3))
    if name in _SPECIES:
        species = np.array(_SPECIES[name])[sublattice]
        exchanges = _proper_operations(cell, motif, species, 1 - species)
    operations = _proper_operations(cell, motif, species, species)
    # Only three bonds that span space give a rotation; with more than four the shell itself has the crystal's symmetry.
    variants = np.eye(3)[None]
    if len(shells[0]) == 4:
        turns = np.concatenate([operations[0], exchanges[0]])
        variants = _shell_variants(shells[0] @ cell, cell.T @ turns @ np.linalg.inv(cell.T))
    return Prototype(
        name, cell, motif, sublattice, tuple(shells), tuple(targets), species, operations, exchanges, variants
    )


@dataclass(frozen=True)
class Bulk:
    """Bulk crystal of an element or a binary compound.

    Attributes
    ----------
    element, structure
        Chemical symbol or formula, and structure.
    a, c
        Lattice constants, Å (c = a for cubic structures).
    nearest
        Nearest-neighbour distance, Å.
    source
        Where the constants come from.
    error
        Å, uncertainty of the constants.
    """

    element: str
    structure: str
    a: float
    c: float
    nearest: float
    source: str
    error: float = _BULK_ERROR

    def cell(self) -> NDArray[np.float64]:
        """Conventional cell, rows a, b, c, Å, a along x and c along z."""
        ideal = prototype(self.structure).cell
        return np.asarray(ideal * (np.array([self.a, self.a, self.c]) / np.linalg.norm(ideal, axis=1))[:, None])


def _bulk(name: str, structure: str, a: float, c: float, source: str) -> Bulk:
    """Bulk crystal with its nearest-neighbour distance, from the shells of the prototype in the cell of a and c."""
    found = Bulk(name, structure, a, c, 0.0, source)
    bonds = np.linalg.norm(prototype(structure).shells[0] @ found.cell(), axis=1)
    return replace(found, nearest=float(bonds.min()))


def bulk_reference(element: str, structure: str | None = None) -> Bulk | None:
    """Bulk lattice constants at room temperature.

    Parameters
    ----------
    element
        Chemical symbol ("Pt"), or formula ("PbS", "CeO2").
    structure
        For compounds with several, one of `BINARY_STRUCTURES`; None takes the first that is tabulated.

    Returns
    -------
    Bulk
        None when the bulk is not one of `STRUCTURES`, or the compound is not tabulated (with this structure).

    Raises
    ------
    InputError
        If `element` is neither a chemical symbol nor a formula.
    """
    from ase.data import atomic_numbers, reference_states

    if element not in atomic_numbers:
        for (first, second, name), (a, c, source) in COMPOUNDS.items():
            formula = compound_formula(first, second, name)
            if structure in (None, name) and _composition(element) == _composition(formula):
                return _bulk(formula, name, a, c, f"{source} (compounds.py, experiment, ±{_BULK_ERROR} Å)")
        if not _composition(element):
            raise InputError(f"element is {element!r}; a chemical symbol such as 'Pt' or formula as 'PbS' is needed")
        return None
    state: dict[str, Any] | None = reference_states[atomic_numbers[element]]
    if not state or state.get("symmetry") not in STRUCTURES or structure not in (None, state["symmetry"]):
        return None
    a = float(state["a"])
    source = "ase.data.reference_states (experiment, room temperature, two decimals: ±0.005 Å)"
    return _bulk(element, str(state["symmetry"]), a, a * float(state.get("c/a", 1.0)), source)


def _composition(formula: str) -> dict[str, int]:
    """Atoms of each element in the smallest unit of a formula, empty for what is none."""
    from ase.data import atomic_numbers
    from ase.formula import Formula

    try:
        found = dict(Formula(formula).reduce()[0].count())
    except (ValueError, ZeroDivisionError):
        return {}
    return found if found and all(e in atomic_numbers and e != "X" for e in found) else {}


def polar(f: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotation R and symmetric stretch U with F = R U, for F (..., 3, 3) of positive determinant."""
    w, s, vt = np.linalg.svd(f)
    return w @ vt, np.swapaxes(vt, -1, -2) @ (s[..., None] * vt)


def crystal_axes(cell: NDArray[np.float64], structure: str) -> NDArray[np.float64]:
    """Orthonormal crystal frame nearest to a cell: rows X, Y, Z (3, 3) in the frame of the cell.

    For cubic structures X, Y, Z are the directions of a, b, c; for hexagonal ones X is along a and Z along c. A nearly
    cubic cell is split by polar decomposition, cellᵀ = R U idealᵀ, so that no axis is preferred.
    """
    ideal = prototype(structure).cell
    return np.asarray(polar(cell.T @ np.linalg.inv(ideal.T))[0].T)
