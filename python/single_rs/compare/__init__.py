"""Several particles side by side: one row each, and trends over their size."""

from __future__ import annotations

from single_rs.compare.trends import Comparison, SizeTrend, compare_particles

__all__ = ["Comparison", "SizeTrend", "compare_particles"]
