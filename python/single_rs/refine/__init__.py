"""Refinement of the atoms, and of the poses, against the frames themselves.

A map is a summary of the frames; the atoms that explain the frames best are found by asking the frames:

    minimise Σ_i g_i Σ_k w(k) |X_i(k) − s_i P_i(k)|²,    P_i(k) = Σ_c f_c(k) Σ_a v_ca exp(−2πi k·(R_i x_a + t_i)_xy)

over positions x, heights and widths of all atoms, poses (R, t) and scales s of all frames, and the filters f of the
model (`scene`). The particle's frame and centre are those of the map. What the covariance of each atom is made of is
told in `covariance`, which atoms exist in `existence`.
"""

from __future__ import annotations

from single_rs.refine.solver import refine_atoms
from single_rs.refine.types import RefineConfig, Refined, RefinementSummary

__all__ = ["RefineConfig", "Refined", "RefinementSummary", "refine_atoms"]
