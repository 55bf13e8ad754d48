"""Atoms, lattice, strain, structure and distances in files, and inputs for other programs."""

from __future__ import annotations

from single_rs.export.analysis import write_analysis
from single_rs.export.atoms import read_xyz, write_cif, write_pdb, write_xyz
from single_rs.export.formats import write_formats
from single_rs.export.lattice import read_lattice, write_cell_against_size, write_lattice
from single_rs.export.strain import write_strain
from single_rs.export.structure import write_structure

__all__ = [
    "read_lattice",
    "read_xyz",
    "write_analysis",
    "write_cell_against_size",
    "write_cif",
    "write_formats",
    "write_lattice",
    "write_pdb",
    "write_strain",
    "write_structure",
    "write_xyz",
]
