"""Strain of each atom by three methods, with errors: invariants, statistics, planes, volumes and files.

`field` is the slope of the displacement smoothed with a Gaussian (`kernel`), and holds the definitions; `deformation`
takes the bonds of each atom alone, `gpa` the phases of the map (its Bragg spots are `spots`), `methods` compares them.
`algebra` carries errors through tensors; `invariants`, `statistics` and `volumes` (planes, too) are what follows from a
strain, and `files` what is written. Components are in the order xx, yy, zz, xy, xz, yz with tensor shear, fractions.
"""

from __future__ import annotations

from single_rs.analysis.strain.deformation import Deformation, bond_strain
from single_rs.analysis.strain.field import (
    COMPONENTS,
    PRESETS,
    Strain,
    StrainConfig,
    assemble,
    compute_strain,
    lattice_surface,
    reference_cells,
    reference_positions,
)
from single_rs.analysis.strain.gpa import PhaseStrain, phase_strain
from single_rs.analysis.strain.invariants import StrainMeasures, strain_measures
from single_rs.analysis.strain.methods import StrainComparison, compare_strain_methods
from single_rs.analysis.strain.statistics import StrainStatistic, strain_statistics
from single_rs.analysis.strain.volumes import StrainPlane, plane_normal, strain_maps, strain_plane

__all__ = [
    "COMPONENTS",
    "PRESETS",
    "Deformation",
    "PhaseStrain",
    "Strain",
    "StrainComparison",
    "StrainConfig",
    "StrainMeasures",
    "StrainPlane",
    "StrainStatistic",
    "assemble",
    "bond_strain",
    "compare_strain_methods",
    "compute_strain",
    "lattice_surface",
    "phase_strain",
    "plane_normal",
    "reference_cells",
    "reference_positions",
    "strain_maps",
    "strain_measures",
    "strain_plane",
    "strain_statistics",
]
