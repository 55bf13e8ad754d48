"""The particle's mean outline in its box, from the variance of its lattice fringes, and the quiet pixels around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from single_rs.background.envelope import edge_radius, local_variance, radial_profile, sphere_radius
from single_rs.base.robust import robust_sigma
from single_rs.base.threads import in_threads
from single_rs.frames.spectrum import annulus, radius_map, rfft_frequencies

__all__ = ["MARGIN_A", "Outline", "blocks", "find_outline"]

# Soft edge of the masks and distance kept between particle and surroundings, Å: a frame's own offset and blur.
MARGIN_A = 3.0
# Band, 1/Å, in which crystals scatter: from below their largest lattice spacings to where transfer fades.
BAND = (0.3, 1.0)
# Gaussian, Å, that smooths the map of variance before its regions are separated.
SMOOTH_A = 1.5
# Variance above this multiple of the mean is cut: one cosmic ray must not look like a particle.
CLIP = 30.0
# Frames per block: 64 frames of 128 px are 4 MB in float32, which stays in the cache of a core.
BLOCK = 64
# Edge of the particle: where the variance has fallen to this fraction of its maximum.
EDGE_FRACTION = 0.03
# … or to this many times the ripple of the profile far outside, when noise is stronger than that.
RIPPLE = 4.0
# Blur, Å, of the variance map itself, from the smoothing of y² and the particle's wandering.
BLUR_A = 0.8
# The outline as a multiple of half the diameter, when the diameter is given: particles are not round.
GIVEN_FRACTION = 1.1
# Pixels outside with this fraction of the particle's variance belong to a neighbour and are not background.
NEIGHBOUR_FRACTION = 0.1


@dataclass(frozen=True)
class Outline:
    """Mean outline of the particle: radius, px, centre (x, y), px from the box centre, mask of the surroundings."""

    radius: float
    centre: tuple[float, float]
    outside: NDArray[np.float32]


def blocks(count: int) -> list[slice]:
    """Blocks of `count` frames to be worked on one by one."""
    return [slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]


def find_outline(sample: NDArray[np.float32], diameter: float | None, pixel_size: float) -> Outline:
    """Outline of what varies in the middle of the box.

    Parameters
    ----------
    sample
        (n, y, x) contrast of frames spread over the movie.
    diameter
        Å, if known; then only the centre is measured.
    pixel_size
        Å.
    """
    size = sample.shape[-1]
    soft = min(MARGIN_A / pixel_size, 0.08 * size)
    transfer = _band(size, pixel_size)
    variance = np.zeros((size, size))

    def clipped(part: slice) -> NDArray[np.float64]:
        block = local_variance(sample[part], transfer)
        return np.asarray(np.minimum(block, CLIP * block.mean()).sum(axis=0, dtype=np.float64))

    for sums in in_threads(clipped, blocks(len(sample))):
        variance += sums
    variance /= len(sample)
    smoothed = ndimage.gaussian_filter(variance, SMOOTH_A / pixel_size)
    distance = radius_map(size)
    rim = (distance > 0.42 * size) & (distance < 0.49 * size)
    level = float(np.median(smoothed[rim]))
    scatter = robust_sigma(smoothed[rim])
    excess = np.clip(smoothed - level - 4 * scatter, 0.0, None)
    peak = float(excess[distance < 0.25 * size].max())
    if peak <= 0:
        radius, centre = 0.25 * size, (0.0, 0.0)
    else:
        regions, _ = ndimage.label(excess > 0.3 * peak)
        # The region nearest to the middle; others are neighbours at the rim of the box.
        name = regions[np.unravel_index(int(np.argmin(np.where(regions > 0, distance, np.inf))), regions.shape)]
        particle = regions == name
        axis = np.arange(size) - size // 2
        weight = excess * particle
        centre = (
            float((weight.sum(axis=0) @ axis) / weight.sum()),
            float((weight.sum(axis=1) @ axis) / weight.sum()),
        )
        profile = radial_profile(variance - level, centre)
        ripple = float(profile[int(0.42 * size) : int(0.49 * size)].std())
        inner = profile[: int(0.45 * size)]
        edge = edge_radius(inner, max(EDGE_FRACTION, RIPPLE * ripple / float(inner.max())))
        radius = max(edge, sphere_radius(inner, BLUR_A / pixel_size))
    if diameter is not None:
        radius = GIVEN_FRACTION * diameter / (2 * pixel_size)
    radius = float(np.clip(radius, 4.0, 0.42 * size))
    outside = annulus(radius_map(size, centre), radius + soft, soft)
    strange = (smoothed > level + max(8 * scatter, NEIGHBOUR_FRACTION * peak)) & (outside > 0)
    if strange.any():
        distance_to = ndimage.distance_transform_edt(~strange)
        outside *= np.clip((distance_to - soft) / soft, 0.0, 1.0).astype(np.float32)
    if float((outside > 0.5).mean()) < 0.06:  # nothing quiet is left: better a full ring than no background
        outside = annulus(radius_map(size, centre), min(radius, 0.36 * size) + soft, soft)
    return Outline(radius=radius, centre=centre, outside=outside)


def _band(size: int, pixel_size: float) -> NDArray[np.float32]:
    """One within `BAND` and a little below the Nyquist frequency, zero elsewhere, on the rfft2 grid."""
    k = np.hypot(*rfft_frequencies((size, size), pixel_size))
    return np.asarray(((k >= BAND[0]) & (k <= min(BAND[1], 0.45 / pixel_size))).astype(np.float32))
