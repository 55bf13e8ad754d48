"""Simulated crystals, stacks and movies of known truth, made by fast phase-object physics.

Modules in the order of the light: `crystals` (on `lattices`, `blocks`, `surfaces`, `amorphous`, `alloys`), `tumbling`,
`scattering`, `optics`, `surroundings`, `detector`; `stack` and `movie` put them together, `run` is the command line's
entry. All randomness comes from `streams`, keyed by (seed, stage, item).
"""

from single_rs.simulate.crystals import Crystal, CrystalConfig, nanocrystal, read_crystal
from single_rs.simulate.detector import Detector, DetectorConfig
from single_rs.simulate.movie import MovementConfig, SimulatedMovie, simulate_movie
from single_rs.simulate.optics import Microscope, OpticsConfig
from single_rs.simulate.run import SimulateConfig, simulate
from single_rs.simulate.stack import SimulatedStack, simulate_stack
from single_rs.simulate.surroundings import Graphene, Liquid, SurroundingsConfig
from single_rs.simulate.tumbling import brownian_rotations

__all__ = [
    "Crystal",
    "CrystalConfig",
    "Detector",
    "DetectorConfig",
    "Graphene",
    "Liquid",
    "Microscope",
    "MovementConfig",
    "OpticsConfig",
    "SimulateConfig",
    "SimulatedMovie",
    "SimulatedStack",
    "SurroundingsConfig",
    "brownian_rotations",
    "nanocrystal",
    "read_crystal",
    "simulate",
    "simulate_movie",
    "simulate_stack",
]
