"""Refinement of the atoms, and of the poses, against the frames themselves.

A map is a summary of the frames; the atoms that explain the frames best minimise the misfit to the frames:

    Σ_i g_i Σ_k w(k) |X_i(k) − s_i P_i(k)|²,    P_i(k) = Σ_c f_c(k) Σ_a v_ca exp(−2πi k·(R_i x_a + t_i)_xy)

over positions x, heights and widths of all atoms, poses (R, t) and scales s of all frames, and the filters f of the
model (`problem`). The particle's frame and centre are those of the map. The covariance of each atom is
derived in `covariance`, the test of which atoms exist in `occupancy_test`.
"""

from __future__ import annotations

from single_rs.refine.solver import refine_atoms
from single_rs.refine.types import RefineConfig, Refined, RefinementSummary

__all__ = ["RefineConfig", "Refined", "RefinementSummary", "refine_atoms"]
