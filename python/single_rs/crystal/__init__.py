"""Crystals: prototypes and their symmetry, bulk constants, scattering factors, and what a formula means."""

from __future__ import annotations

from single_rs.crystal.neighbours import (
    check_positions,
    check_sigma,
    coordination,
    generalised_coordination,
    neighbour_cutoff,
    surface_atoms,
    surface_by_coordination,
    surface_by_radius,
)
from single_rs.crystal.prototypes import (
    BINARY_STRUCTURES,
    STRUCTURES,
    Bulk,
    Prototype,
    bulk_reference,
    crystal_axes,
    polar,
    prototype,
)

__all__ = [
    "BINARY_STRUCTURES",
    "STRUCTURES",
    "Bulk",
    "Prototype",
    "bulk_reference",
    "check_positions",
    "check_sigma",
    "coordination",
    "crystal_axes",
    "generalised_coordination",
    "neighbour_cutoff",
    "polar",
    "prototype",
    "surface_atoms",
    "surface_by_coordination",
    "surface_by_radius",
]
