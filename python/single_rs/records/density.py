"""The reconstructed density of one particle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Density"]


@dataclass(frozen=True)
class Density:
    """Density of one particle.

    Attributes
    ----------
    map, half1, half2
        (z, y, x) float32 contrast per voxel; centre at voxel N // 2; only the map is filtered by its FSC.
    pixel_size
        Å.
    fsc
        (n_shell,) of the half maps, mask corrected.
    frequency
        (n_shell,) 1/Å.
    resolution
        Å, where the FSC first stays below 0.143; inf when it never rises above.
    """

    map: NDArray[np.float32]
    half1: NDArray[np.float32]
    half2: NDArray[np.float32]
    pixel_size: float
    fsc: NDArray[np.float64]
    frequency: NDArray[np.float64]
    resolution: float
