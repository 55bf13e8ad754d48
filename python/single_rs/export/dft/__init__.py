"""Inputs of density-functional and molecular-dynamics codes: complete, for a particle and its bulk.

One module per code (`vasp`, `espresso`, `gpaw`, `cp2k`, `lammps`); `cells` holds what they share, `readme` the
formation energy. Positions are the measured ones, moved into the middle of a cell with vacuum, Å; nothing is relaxed
but the bulks.
"""

from __future__ import annotations

from single_rs.export.dft.cells import bulk_cell, k_mesh, particle_cell
from single_rs.export.dft.cp2k import write_cp2k
from single_rs.export.dft.espresso import write_qe
from single_rs.export.dft.gpaw import write_gpaw
from single_rs.export.dft.lammps import write_lammps
from single_rs.export.dft.readme import README, write_readme
from single_rs.export.dft.settings import DftSettings
from single_rs.export.dft.vasp import write_poscar, write_vasp

__all__ = [
    "README",
    "DftSettings",
    "bulk_cell",
    "k_mesh",
    "particle_cell",
    "write_cp2k",
    "write_gpaw",
    "write_lammps",
    "write_poscar",
    "write_qe",
    "write_readme",
    "write_vasp",
]
