"""Weighted Fourier reconstruction of a map and its independent halves."""

from __future__ import annotations

from single_rs.reconstruction.fourier import ReconstructConfig, fsc_resolution, reconstruct

__all__ = ["ReconstructConfig", "fsc_resolution", "reconstruct"]
