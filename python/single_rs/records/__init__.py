"""The data that travels between the stages: frozen dataclasses of arrays with their invariants, no input or output."""

from __future__ import annotations

from single_rs.records.atoms import Atoms
from single_rs.records.check import CHECKS, Check, Criterion, Validation
from single_rs.records.clean import Background, CleanExamples, CleanStack, Contrast, Graphene
from single_rs.records.density import Density
from single_rs.records.diagnostics import (
    HalfDiagnostics,
    MateShare,
    PoseDiagnostics,
    SearchRound,
    StartDiagnostics,
    diagnostics_from,
)
from single_rs.records.energy import EnergyRecord, SurfaceEnergy
from single_rs.records.motion import Motion
from single_rs.records.poses import Poses
from single_rs.records.stack import ParticleStack
from single_rs.records.track import MotionLike, MovieLike, Track

__all__ = [
    "CHECKS",
    "Atoms",
    "Background",
    "Check",
    "CleanExamples",
    "CleanStack",
    "Contrast",
    "Criterion",
    "Density",
    "EnergyRecord",
    "Graphene",
    "HalfDiagnostics",
    "MateShare",
    "Motion",
    "MotionLike",
    "MovieLike",
    "ParticleStack",
    "PoseDiagnostics",
    "Poses",
    "SearchRound",
    "StartDiagnostics",
    "SurfaceEnergy",
    "Track",
    "Validation",
    "diagnostics_from",
]
