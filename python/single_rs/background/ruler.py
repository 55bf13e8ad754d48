"""The graphene of the windows as a ruler: the pixel size by which its lattice constant is what it should be.

A wrong pixel size scales all distances alike, so nothing in a particle tells it from strain. The sheets that lie in the
same frames have a known lattice: a / a₀ = pixel size given / true pixel size.

A sheet that is stretched or tilted measures wrong. Stretch along one direction and tilt change its shape as much as its
scale, and the errors of reflections fall on both alike; so the shear that is seen says how far the scale may be off.
Even tension it cannot see: windows under some tenths of a percent of it are usual.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from single_rs.background.graphene import GRAPHENE_A
from single_rs.records import Graphene

__all__ = ["PixelRuler", "measure_pixel"]

KNOWN = 0.001  # relative error of the lattice constant of any sheet at rest: temperature, ripples, tension


@dataclass(frozen=True)
class PixelRuler:
    """What the graphene says of the pixel size.

    Attributes
    ----------
    pixel_size
        Å, by which the sheets have their own lattice constant.
    error
        Å, its standard error.
    sheets
        Number of sheets it was measured with.
    """

    pixel_size: float
    error: float
    sheets: int

    def __str__(self) -> str:
        """Return pixel size and error, as sentences quote them."""
        return f"{self.pixel_size:.4f} ± {self.error:.4f} Å"

    def excess(self, given: float) -> float:
        """Return by what fraction `given` (Å) is larger."""
        return given / self.pixel_size - 1


def measure_pixel(sheets: list[Graphene], pixel_size: float) -> PixelRuler | None:
    """Measure the pixel size with graphene.

    Parameters
    ----------
    sheets
        As found in frames that were said to have `pixel_size`.
    pixel_size
        Å.

    Returns
    -------
    PixelRuler or None
        None without a sheet.
    """
    if not sheets:
        return None
    scale = np.array([sheet.a / GRAPHENE_A for sheet in sheets])
    # Half the difference of the normal components, and the shear.
    shear = np.array([((xx - yy) / 2, xy) for xx, yy, xy in (sheet.strain for sheet in sheets)])
    weight = np.array([sheet.excess.sum() for sheet in sheets])
    weight /= weight.sum()
    mean = weight @ scale
    single = np.sqrt(np.mean(shear**2) + weight @ (scale - mean) ** 2)
    error = np.hypot(single * np.linalg.norm(weight), KNOWN)
    return PixelRuler(float(pixel_size / mean), float(pixel_size / mean * error), len(sheets))
