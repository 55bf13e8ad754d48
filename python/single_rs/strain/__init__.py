"""Strain of each atom by three methods, with errors: invariants, statistics, planes, volumes and files.

`field` is the slope of the displacement smoothed with a Gaussian (`kernel`), and holds the definitions; `deformation`
takes the bonds of each atom alone, `gpa` the phases of the map (its Bragg spots are `spots`), `methods` compares them.
`algebra` carries errors through tensors; `invariants`, `statistics` and `volumes` (planes, too) are what follows from a
strain, and `files` what is written. Components are in the order xx, yy, zz, xy, xz, yz with tensor shear, fractions.
"""

from __future__ import annotations

from single_rs.strain.field import (
    COMPONENTS,
    Strain,
    StrainConfig,
    assemble,
    compute_strain,
    reference_cells,
    reference_positions,
)

__all__ = [
    "COMPONENTS",
    "Strain",
    "StrainConfig",
    "assemble",
    "compute_strain",
    "reference_cells",
    "reference_positions",
]
