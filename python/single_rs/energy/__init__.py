"""Formation energies of particles at their measured positions, with any ASE calculator and with errors.

`formation` holds the equations, `calculators` which programs can be used, `bulk` the reference, `finished` what runs
of exported inputs say, `files` what is written. Energies are in eV, per atom of the particle unless a name says
otherwise.
"""

from __future__ import annotations

from single_rs.energy.bulk import bulk_energy
from single_rs.energy.calculators import available_calculators, calculator_factory
from single_rs.energy.files import read_atoms, write_energy
from single_rs.energy.finished import finished_energy
from single_rs.energy.formation import FormationEnergy, formation_energy
from single_rs.energy.validity import SurfaceCheck, check_surface

__all__ = [
    "FormationEnergy",
    "SurfaceCheck",
    "available_calculators",
    "bulk_energy",
    "calculator_factory",
    "check_surface",
    "finished_energy",
    "formation_energy",
    "read_atoms",
    "write_energy",
]
