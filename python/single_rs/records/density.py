"""The reconstructed density of one particle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from single_rs.base.columns import Column, Stated
from single_rs.base.errors import InputError
from single_rs.records.display import Displayed
from single_rs.records.invariants import need_at_least, need_finite, need_positive, need_shape

__all__ = ["Density", "ShellCorrelation"]


@dataclass(frozen=True)
class ShellCorrelation:
    """Fourier shell correlation of the half maps.

    Attributes
    ----------
    resolution
        Å, where it first stays below 0.143; inf when it never rises above.
    frequency
        (n_shell,) 1/Å.
    fsc
        (n_shell,), mask corrected.
    """

    resolution: Annotated[float, Stated(unit="Å")]
    frequency: Annotated[NDArray[np.float64], Column(".8g")]
    fsc: Annotated[NDArray[np.float64], Column(".8g")]


@dataclass(frozen=True, repr=False)
class Density(Displayed):
    """Density of one particle.

    Attributes
    ----------
    map, half1, half2
        (z, y, x) float32 contrast per voxel, even cubes; centre at voxel N // 2; only the map is filtered by its FSC.
    pixel_size
        Å.
    fsc
        (n_shell,) of the half maps, mask corrected.
    frequency
        (n_shell,) 1/Å.
    resolution
        Å, where the FSC first stays below 0.143; inf when it never rises above.

    Raises
    ------
    InputError
        Maps that are not even cubes of one shape, or not finite; other arrays that do not fit.
    """

    map: NDArray[np.float32]
    half1: NDArray[np.float32]
    half2: NDArray[np.float32]
    pixel_size: float
    fsc: NDArray[np.float64]
    frequency: NDArray[np.float64]
    resolution: float

    def _headline(self) -> str:
        return f"{len(self.map)}³ voxels of {self.pixel_size:.4g} Å, resolution {self.resolution:.2f} Å"

    @property
    def correlation(self) -> ShellCorrelation:
        """What fsc.csv holds."""
        return ShellCorrelation(self.resolution, self.frequency, self.fsc)

    def __post_init__(self) -> None:
        """Refuse maps that cannot be."""
        box = len(self.map)
        if np.shape(self.map) != (box,) * 3 or box % 2 or not box:
            raise InputError(f"map has shape {np.shape(self.map)}; a cube of an even number of voxels is needed")
        for name in ("half1", "half2"):
            need_shape(name, getattr(self, name), (box,) * 3)
        for name in ("map", "half1", "half2", "fsc"):
            need_finite(name, getattr(self, name))
        need_positive("pixel_size", self.pixel_size, "Å")
        need_shape("fsc", self.fsc, np.shape(self.frequency))
        need_at_least("frequency", self.frequency, 0.0)
        if not self.resolution > 0:
            raise InputError(f"resolution is {self.resolution:g} Å; a positive number is needed, inf for none")
