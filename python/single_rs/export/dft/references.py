"""What the energy of a particle is measured from: bulk crystals, the compound, and diatomic gases.

    E_form = (E_particle − Σ_r n_r E_r) / N,    n_r chosen so that both sides hold the same atoms

A particle of one element or an alloy has the bulk of each element. One of two elements whose compound is tabulated
(CdSe, PbS, CeO2) has n formula units of the compound, n the most that its atoms allow, and the excess of one element by
the reference of that element. Elements that are gases (H, N, O, F, Cl) have half of their molecule, in the ground state
(triplet oxygen), relaxed in a box. Others without a simple crystal (Se, S, P, Mn) have none: it is to be chosen.

PBE binds O2 too strongly, which shows in the formation energies of oxides from oxygen (L. Wang, T. Maxisch
and G. Ceder, Phys. Rev. B 73, 195107 (2006), doi:10.1103/PhysRevB.73.195107: 1.36 eV per O2); the compound as reference
is free of it but for the excess.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from single_rs.crystal.compounds import binary_formula
from single_rs.crystal.prototypes import bulk_reference, prototype
from single_rs.export.dft.cells import bulk_cell, k_mesh, start_moments

__all__ = ["Reference", "compound_cell", "gas_molecule", "references"]

_GASES = {"H", "N", "O", "F", "Cl"}
_BOX = (12.0, 12.5, 13.0)  # Å; unequal edges leave the molecule no false symmetry


@dataclass(frozen=True)
class Reference:
    """One reference of a formation energy.

    Attributes
    ----------
    name
        Of its calculation: bulk_Pt, bulk_CdSe, molecule_O2.
    formula
        What one unit is: an atom of Pt, CdSe, an atom of O.
    count
        Units that the particle holds.
    units
        Units in the cell of the calculation.
    atoms
        ``ase.Atoms`` of the calculation.
    mesh
        k-points of a crystal; None for a molecule.
    """

    name: str
    formula: str
    count: int
    units: int
    atoms: Any
    mesh: tuple[int, int, int] | None


def references(
    symbols: Sequence[str], spacing: float, spin: bool, structure: str | None = None
) -> tuple[tuple[Reference, ...], tuple[str, ...], bool]:
    """Return the references of a particle, the elements that have none, and whether it is a tabulated compound.

    Parameters
    ----------
    symbols
        (n,) of its atoms, without ligands.
    spacing
        Largest distance of k-points, 1/Å.
    spin
        Whether the particle is computed with spin; its crystals are then.
    structure
        Of the particle, which chooses among the structures of a compound.
    """
    left = dict(Counter(map(str, symbols)))
    found: list[Reference] = []
    compound = _compound(left, structure)
    if compound is not None:
        formula, cell, shares = compound
        units = min(left[e] // n for e, n in shares.items())
        if units:
            moments = start_moments(cell.get_chemical_symbols(), None if spin else False)
            cell.set_initial_magnetic_moments(moments)
            inside = len(cell) // sum(shares.values())
            found.append(Reference(f"bulk_{formula}", formula, units, inside, cell, k_mesh(cell.cell.array, spacing)))
            left = {e: n - units * shares[e] for e, n in left.items()}
    missing = []
    for element, count in left.items():
        if not count:
            continue
        crystal = None if element in _GASES else bulk_cell(element, spin)
        if crystal is not None:
            mesh = k_mesh(crystal.cell.array, spacing)
            found.append(Reference(f"bulk_{element}", element, count, len(crystal), crystal, mesh))
        elif element in _GASES:
            found.append(Reference(f"molecule_{element}2", element, count, 2, gas_molecule(element), None))
        else:
            missing.append(element)
    return tuple(found), tuple(missing), compound is not None


def _compound(counts: dict[str, int], structure: str | None) -> tuple[str, Any, dict[str, int]] | None:
    """Return formula, cell and composition of the tabulated compound of two elements."""
    from ase.formula import Formula

    if len(counts) != 2:
        return None
    first, second = binary_formula(*counts)
    for formula in (f"{first}{second}", f"{first}{second}2"):
        for kind in dict.fromkeys((structure, None)):
            bulk = bulk_reference(formula, kind)
            if bulk is not None:
                return bulk.element, compound_cell(bulk.element, bulk.structure), dict(Formula(bulk.element).count())
    return None


def compound_cell(formula: str, structure: str) -> Any:
    """Return ``ase.Atoms``, the primitive cell of a tabulated compound at the lattice constant of experiment."""
    from ase import Atoms
    from ase.formula import Formula

    bulk = bulk_reference(formula, structure)
    if bulk is None:
        raise ValueError(f"{formula} is not tabulated as {structure}")
    ideal = prototype(structure)
    names = list(Formula(bulk.element).count())
    atoms = Atoms(
        [names[k] for k in ideal.species], scaled_positions=ideal.motif, cell=bulk.cell(), pbc=True
    )  # fmt: skip
    if structure == "wurtzite":
        return atoms
    # Face-centred: a quarter of the sites, one of each four that the centring makes.
    half = bulk.a / 2
    primitive = half * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    first = np.unique(ideal.sublattice, return_index=True)[1]
    return Atoms(
        [names[ideal.species[k]] for k in first], positions=atoms.positions[first], cell=primitive, pbc=True
    )  # fmt: skip


def gas_molecule(element: str) -> Any:
    """Return ``ase.Atoms``, the diatomic molecule of a gas in a box, with the moments of its ground state."""
    from ase.build import molecule

    atoms: Any = molecule(f"{element}2")
    atoms.set_cell(_BOX)
    atoms.center()
    if not atoms.get_initial_magnetic_moments().any():
        atoms.set_initial_magnetic_moments(None)
    return atoms
