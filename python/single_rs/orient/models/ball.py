"""The model that a search begins with: a ball of ideal crystal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from single_rs.frames.volume import PAD
from single_rs.orient.indexing.template import LatticeTemplate
from single_rs.orient.models.occupancy import SiteModel

__all__ = ["ball_model", "site_amplitude"]


def ball_model(template: LatticeTemplate, diameter: float, origin: NDArray[np.float64] | None = None) -> SiteModel:
    """A ball of ideal crystal with a soft rim, its lattice origin at `origin` Å from the ball's centre."""
    shift = np.zeros(3) if origin is None else origin
    index = template.sites(diameter / 2 + 3.0 + float(np.linalg.norm(shift)))
    radius = np.linalg.norm(index * template.grid_step + shift, axis=1)
    weight = 1 / (1 + np.exp((radius - diameter / 2 + 1.0) / 0.8))
    return SiteModel(index, template.grid_step, shift, weight)


def site_amplitude(template: LatticeTemplate, reach: int, box: float) -> NDArray[np.float64]:
    """Amplitude of one atom per grid shell, up to the corner of the volume."""
    corner = int(np.ceil(np.sqrt(3) * reach)) + 1
    return template.amplitude(np.arange(corner + 1) / (PAD * box))
