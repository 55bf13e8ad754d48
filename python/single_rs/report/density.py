"""Data of the interactive isosurface: the particle's part of the map, resampled, in 8 bits.

The map (z, y, x) is cropped to a cube round the particle and resampled by cubic splines to voxels of a third of the
width of an atom. Values run from 0 to 255, between zero density and the 99.9th percentile of the atoms'
neighbourhood; the browser draws the surface at any level between by a surface net.

Reference: S. F. F. Gibson, "Constrained elastic surface nets", MICCAI 1998, doi:10.1007/BFb0056277.
"""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from single_rs.report.content import ParticleFiles

__all__ = ["density_data"]

# Å: an atom of a map at 0.7 to 0.9 Å resolution is 0.9 to 1.2 Å wide at half height, so it spans three to four voxels.
_VOXEL = 0.3
_MAX_SIDE = 112  # voxels per side: 1.4 million values, which browsers turn into a surface within a second
_MARGIN = 2.0  # Å round the particle
_FLOOR = 0.12  # of the top: noise below is flat, so that it costs no bytes; levels start above it
_LEVEL = 0.4  # of a typical peak, where atoms are round and do not touch yet
_PEAK = 99.9  # percentile that is the top: single hot voxels do not set the scale


def density_data(particle: ParticleFiles, middle: np.ndarray) -> dict[str, Any] | None:
    """Return what the isosurface of one particle needs, ready for JSON; ``None`` without a map.

    Parameters
    ----------
    particle
        Files of the particle.
    middle
        (x, y, z) Å from the box centre that is the origin of the view.
    """
    if particle.density is None or not particle.pixel_size:
        return None
    density, pixel = np.asarray(particle.density, np.float32), float(particle.pixel_size)
    reach = _reach(particle, middle)
    voxel = max(_VOXEL, (2 * reach) / (_MAX_SIDE - 1))
    half = int(np.ceil(reach / voxel))
    cube = _resampled(density, pixel, middle, voxel, half)
    top = float(np.percentile(cube, _PEAK))
    if not np.isfinite(top) or top <= 0:
        return None
    shown = np.clip(cube / top, 0, 1)
    shown[shown < _FLOOR] = 0
    values = np.rint(255 * shown).astype(np.uint8)
    return {
        "side": 2 * half + 1,
        "voxel": round(voxel, 4),
        "level": round(_level(density, particle, top), 2),
        "floor": _FLOOR,
        "values": base64.b64encode(zlib.compress(values.tobytes(), 9)).decode("ascii"),
    }


def _reach(particle: ParticleFiles, middle: np.ndarray) -> float:
    """Return half the side of the cube in Å: the atoms with a margin, or else the stated diameter, within the map."""
    assert particle.density is not None  # the caller has a map
    assert particle.pixel_size is not None
    inside = (min(particle.density.shape) // 2 - 1) * particle.pixel_size - float(np.abs(middle).max())
    if particle.atoms is not None and len(particle.atoms.positions):
        wanted = float(np.abs(particle.atoms.positions - middle).max()) + _MARGIN
    else:
        diameter = particle.summary.diameter
        wanted = 0.5 * diameter + _MARGIN if diameter else inside
    return float(min(wanted, inside))


def _resampled(density: np.ndarray, pixel: float, middle: np.ndarray, voxel: float, half: int) -> np.ndarray:
    """Return the cube (z, y, x) of 2 half + 1 voxels round a point."""
    from scipy.ndimage import affine_transform

    centre = np.array([size // 2 for size in density.shape]) + middle[::-1] / pixel
    step = voxel / pixel
    side = (2 * half + 1,) * 3
    corner = centre - half * step
    cube: np.ndarray = affine_transform(density, np.full(3, step), corner, side, order=3, mode="constant", cval=0.0)
    return cube


def _level(density: np.ndarray, particle: ParticleFiles, top: float) -> float:
    """Return the first level, as a share of the top: 0.4 of the density at the median atom, else of the top."""
    if particle.atoms is None or not len(particle.atoms.positions):
        return _LEVEL
    from scipy.ndimage import map_coordinates

    voxels = particle.atoms.positions[:, ::-1] / float(particle.pixel_size or 1.0)
    centres = np.array([size // 2 for size in density.shape])
    peaks = map_coordinates(density, (voxels + centres).T, order=1)
    return float(np.clip(_LEVEL * np.median(peaks) / top, 1.5 * _FLOOR, 0.9))
