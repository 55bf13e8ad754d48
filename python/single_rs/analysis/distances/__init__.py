"""Distances between the atoms of a particle, and the lattice constant that each view of them yields, with errors.

`rows` pairs every atom with the next along the directions of the lattice, `pdf` are pair distribution functions,
`powder` the pattern by the Debye equation, `powder_fit` the lattice constant from its peaks; `files` is what the
analysis writes of them. Positions are (n, 3) in Å in any frame.
"""

from __future__ import annotations

from single_rs.analysis.distances.pdf import PairDistribution, number_density, pair_distribution
from single_rs.analysis.distances.powder import (
    PowderPattern,
    form_factor,
    powder_pattern,
    two_theta,
)
from single_rs.analysis.distances.powder_fit import PowderLattice, powder_lattice
from single_rs.analysis.distances.rows import (
    DistanceProfile,
    RowDistances,
    bond_constant,
    distance_profile,
    row_distances,
)

__all__ = [
    "DistanceProfile",
    "PairDistribution",
    "PowderLattice",
    "PowderPattern",
    "RowDistances",
    "bond_constant",
    "distance_profile",
    "form_factor",
    "number_density",
    "pair_distribution",
    "powder_lattice",
    "powder_pattern",
    "row_distances",
    "two_theta",
]
