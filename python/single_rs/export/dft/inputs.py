"""Inputs of several codes for one set of calculations, with dft.json and README_dft.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from single_rs.export.dft.calculation import DftSet
from single_rs.export.dft.cp2k import cp2k_inputs
from single_rs.export.dft.espresso import qe_inputs
from single_rs.export.dft.gpaw import gpaw_inputs
from single_rs.export.dft.lammps import lammps_inputs
from single_rs.export.dft.readme import write_readme
from single_rs.export.dft.record import dft_record, write_dft_record
from single_rs.export.dft.vasp import vasp_inputs

__all__ = ["CODES", "write_inputs"]

# Code → file (or folder) of the particle, beside which the other calculations stand, and writer.
CODES: dict[str, tuple[str, Callable[[Path, DftSet], list[Path]]]] = {
    "vasp": ("vasp", vasp_inputs),
    "qe": ("qe.in", qe_inputs),
    "gpaw": ("gpaw_particle.py", gpaw_inputs),
    "cp2k": ("cp2k.inp", cp2k_inputs),
    "lammps": ("lammps.data", lammps_inputs),
}


def write_inputs(
    folder: Path,
    given: DftSet,
    codes: Sequence[str],
    vacuum: float,
    *,
    surface: str = "particle",
    facet: str | None = None,
) -> list[Path]:
    """Write the inputs of some of `CODES` into a folder, with dft.json and README_dft.md; returns the files.

    Parameters
    ----------
    folder
        It must exist.
    given
        The calculations.
    codes
        Names.
    vacuum
        Å on each side of the particle.
    surface, facet
        What the ligands stand on: "particle" or the name of a slab, and the family of planes.
    """
    written = []
    for code in codes:
        name, writer = CODES[code]
        written += writer(folder / name, given)
    record = dft_record(given, codes, surface, facet)
    return [*written, write_dft_record(folder, record), write_readme(folder, record, vacuum)]
