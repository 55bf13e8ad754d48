"""Inputs of density-functional and molecular-dynamics codes: complete, for a particle, its parts and its references.

`calculation` says what is computed, `references` what the energy is measured from, `estimate` what it takes; one module
per code writes it (`vasp`, `espresso`, `gpaw`, `cp2k`, `lammps`), `finished` reads it back. Positions are the measured
ones, moved into the middle of a cell with vacuum, Å; nothing is relaxed but the references.
"""

from __future__ import annotations

from single_rs.export.dft.calculation import Calculation, DftSet, dft_set, with_ligands
from single_rs.export.dft.cells import bulk_cell, k_mesh, particle_cell
from single_rs.export.dft.estimate import Estimate, estimate
from single_rs.export.dft.inputs import CODES, write_inputs
from single_rs.export.dft.readme import README
from single_rs.export.dft.record import DftRecord
from single_rs.export.dft.settings import DftSettings
from single_rs.export.dft.vasp import poscar_of, write_poscar

__all__ = [
    "CODES",
    "README",
    "Calculation",
    "DftRecord",
    "DftSet",
    "DftSettings",
    "Estimate",
    "bulk_cell",
    "dft_set",
    "estimate",
    "k_mesh",
    "particle_cell",
    "poscar_of",
    "with_ligands",
    "write_inputs",
    "write_poscar",
]
