"""What an export wrote, for reading its finished runs back: dft.json.

    E_form = (E − Σ_r n_r E_r / u_r) / N,    u_r units in the cell of reference r

with E that of ``bare`` where there are ligands, else of ``particle``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from single_rs.export.dft.calculation import DftSet
from single_rs.export.dft.espresso import pseudopotentials
from single_rs.export.dft.estimate import Estimate, estimate
from single_rs.export.dft.vasp import plane_wave_cutoff
from single_rs.store import layout
from single_rs.store.codecs import write_record

__all__ = ["DftRecord", "DftReference", "dft_record", "write_dft_record"]


@dataclass(frozen=True)
class DftReference:
    """One reference of the formation energy.

    Attributes
    ----------
    name, formula
        Of its calculation (bulk_Pt), and what one unit is (Pt).
    count, units
        Units that the particle holds, and units in the cell of the calculation.
    """

    name: str
    formula: str
    count: int
    units: int


@dataclass(frozen=True)
class DftRecord:
    """Calculations of an export.

    Attributes
    ----------
    codes
        Programs that inputs were written for.
    calculations
        Name of each → number of its atoms.
    atoms, composition
        Of the particle without its ligands.
    references
        Of its formation energy; none for a slab.
    missing
        Elements without a reference.
    ligands
        How many.
    surface
        "particle", or the slab, such as "Pt (111)".
    facet
        Family of planes that the ligands stand on, where it is known.
    costs
        Memory and cores of each calculation in each code.
    """

    SCHEMA: ClassVar[int] = 1
    codes: tuple[str, ...]
    calculations: dict[str, int]
    atoms: int
    composition: dict[str, int]
    references: tuple[DftReference, ...] = ()
    missing: tuple[str, ...] = ()
    ligands: int = 0
    surface: str = "particle"
    facet: str | None = None
    costs: tuple[Estimate, ...] = ()


def dft_record(given: DftSet, codes: Sequence[str], surface: str = "particle", facet: str | None = None) -> DftRecord:
    """Return what is known of a set of calculations."""
    names = {one.name: len(one.atoms) for one in given.calculations}
    solid = next((one for one in given.calculations if one.name == "bare"), given.calculations[0])
    return DftRecord(
        codes=tuple(codes),
        calculations=names,
        atoms=len(solid.atoms),
        composition=dict(Counter(solid.atoms.get_chemical_symbols())),
        references=tuple(DftReference(r.name, r.formula, r.count, r.units) for r in given.references),
        missing=given.missing,
        ligands=given.ligands,
        surface=surface,
        facet=facet,
        costs=tuple(_costs(given, codes)),
    )


def _costs(given: DftSet, codes: Sequence[str]) -> list[Estimate]:
    from ase.units import Ry

    found = []
    for code in codes:
        if code not in ("vasp", "qe", "gpaw", "cp2k"):
            continue
        cutoff, density, valence = plane_wave_cutoff(given), None, None
        if code == "qe":
            pseudo = pseudopotentials(given.elements, given.settings)
            cutoff, density, valence = pseudo.wave * Ry, pseudo.density * Ry, pseudo.valence
        for one in given.calculations:
            found.append(estimate(one, code, given.settings, cutoff=cutoff, density=density, valence=valence))
    return found


def write_dft_record(folder: Path, record: DftRecord) -> Path:
    """Write dft.json; returns the file."""
    target = folder / layout.DFT
    write_record(target, record)
    return target
