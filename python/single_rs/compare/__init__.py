"""Several particles side by side: one row each, and trends over their size; and two lists of atoms of one particle."""

from __future__ import annotations

from single_rs.compare.atoms import Agreement, compare_atoms
from single_rs.compare.trends import Comparison, SizeTrend, compare_particles

__all__ = ["Agreement", "Comparison", "SizeTrend", "compare_atoms", "compare_particles"]
