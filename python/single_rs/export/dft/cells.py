"""What the inputs share: the particle in vacuum, the bulk crystal of each element, k-points and starting moments.

The particle stands in the middle of an orthorhombic cell with `vacuum` Å on each side: positions differ from those of
atoms.xyz by a translation, and the atoms keep their order. Bulk crystals are primitive cells in the structure and at
the lattice constant of experiment, from where the inputs relax them. A Γ-centred mesh has n_i = ⌈|b_i| / Δk⌉ points
along the reciprocal vector b_i (with its 2π).

Source of structures, lattice constants and moments: ``ase.data.reference_states`` (Ashcroft and Mermin, Solid State
Physics, 1976).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis.model import Particle
from single_rs.export.dft.settings import DftSettings
from single_rs.io import write_text

__all__ = [
    "beside",
    "bulk_cell",
    "by_species",
    "k_mesh",
    "particle_cell",
    "start_moments",
    "write_ascii",
]

# μB per atom given to start from where spin is asked for and no element is known as a ferromagnet; it breaks the
# symmetry.
_UNKNOWN_MOMENT = 0.5


def particle_cell(model: Particle, vacuum: float, settings: DftSettings) -> Any:
    """Return ``ase.Atoms`` of the particle in its cell, in the order of the model, with starting moments."""
    atoms = model.atoms.to_ase(vacuum)
    moments = start_moments(atoms.get_chemical_symbols(), settings.spin)
    if moments is not None:
        atoms.set_initial_magnetic_moments(moments)
    return atoms


def bulk_cell(element: str, spin: bool | None = None) -> Any:
    """Return ``ase.Atoms``, the primitive cell of an element's bulk, or None when it is no simple crystal.

    Manganese and gallium have too many atoms in their cells to be a simple reference, oxygen has no crystal at all.
    """
    from ase.build import bulk

    try:
        cell = bulk(element)
    except (ValueError, RuntimeError, NotImplementedError):
        return None
    moments = start_moments(cell.get_chemical_symbols(), spin)
    cell.set_initial_magnetic_moments(moments)
    return cell


def by_species(atoms: Any) -> NDArray[np.int64]:
    """Return the order (n,) that puts atoms of one element together, and leaves all else as it is."""
    symbols = atoms.get_chemical_symbols()
    species = list(dict.fromkeys(symbols))
    return np.argsort([species.index(s) for s in symbols], kind="stable")


def k_mesh(cell: NDArray[np.float64], spacing: float) -> tuple[int, int, int]:
    """Return the numbers of k-points (3,) for cell vectors in rows (3, 3), Å, and a largest distance in 1/Å."""
    reciprocal = 2 * np.pi * np.linalg.norm(np.linalg.inv(np.asarray(cell)), axis=0)
    a, b, c = (max(1, int(np.ceil(length / spacing - 1e-9))) for length in reciprocal)
    return a, b, c


def start_moments(symbols: Sequence[str], spin: bool | None) -> NDArray[np.float64] | None:
    """Return magnetic moments (n,) in μB to start from, or None for a calculation without spin."""
    from ase.data import atomic_numbers, reference_states

    states: list[dict[str, Any]] = [reference_states[atomic_numbers[s]] or {} for s in symbols]
    moments = np.array([float(state.get("magmom_per_atom", 0.0)) for state in states])
    if spin is False or (spin is None and not moments.any()):
        return None
    return moments if moments.any() else np.full(len(moments), _UNKNOWN_MOMENT)


def beside(path: Path, name: str) -> Path:
    """Return the file of another calculation beside an input: ``qe.in`` and ``bulk_Pt`` give ``qe_bulk_Pt.in``."""
    return path.with_name(f"{path.stem.removesuffix('_particle')}_{name}{path.suffix}")


def write_ascii(path: Path, text: str) -> Path:
    """Write a text that a code reads, whole or not at all; returns the file."""
    write_text(path, text, encoding="ascii")
    return path
