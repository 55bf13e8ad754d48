"""What follows from the positions of the atoms: lattice, strain, local structure, distances."""

from __future__ import annotations

from single_rs.analysis.analyze import analyze, summarise
from single_rs.analysis.model import Particle

__all__ = ["Particle", "analyze", "summarise"]
