"""Simulated crystals, stacks and movies of known truth, made by fast phase-object physics.

Modules in the order of the light: `crystals`, `tumbling`, `scattering`, `optics`, `detector`; `stack`
puts them together. All randomness comes from `streams`.
"""

from single_rs.simulate.crystals import Crystal, CrystalConfig, nanocrystal, read_crystal
from single_rs.simulate.detector import DetectorConfig
from single_rs.simulate.optics import Microscope, OpticsConfig
from single_rs.simulate.stack import SimulatedStack, simulate_stack
from single_rs.simulate.tumbling import brownian_rotations

__all__ = [
    "Crystal",
    "CrystalConfig",
    "DetectorConfig",
    "Microscope",
    "OpticsConfig",
    "SimulatedStack",
    "brownian_rotations",
    "nanocrystal",
    "read_crystal",
    "simulate_stack",
]
