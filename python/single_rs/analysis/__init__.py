"""What follows from the positions of the atoms: lattice, strain, local structure, distances."""

from __future__ import annotations

from single_rs.analysis.analyze import analyze
from single_rs.analysis.model import Particle
from single_rs.analysis.summary import ParticleSummary, summarise

__all__ = ["Particle", "ParticleSummary", "analyze", "summarise"]
