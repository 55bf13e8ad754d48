"""Offset of the particle in every frame and its diameter, by the bounded energy of `envelope`.

Measured offsets m_t scatter by some 0.3 Å (single frames at 8 e/px); the true path does not jump. What persists from
frame to frame is kept and the rest smoothed away (`trajectory`): of m_t itself when it is correlated in time, or of
m_t - o_t when the tracker has already given the offsets o_t of a smoothed path.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from single_rs.background.envelope import bounded_energy, match_template, radial_profile, sphere_radius
from single_rs.background.outline import MARGIN_A, Outline
from single_rs.background.spectrum import radius_map
from single_rs.trajectory import correlated_part, smooth_path

__all__ = ["measure_diameter", "measure_offsets", "smooth_offsets"]

# Blur, Å, of the mean energy map: smoothing of y² and the spread of the frames' offsets.
PROFILE_BLUR_A = 0.7
# A path is smoothed when at least this fraction of its variance persists to the next frames.
PERSISTENT = 0.25
BLOCK = 64


def measure_diameter(
    sample: NDArray[np.float32], gain: NDArray[np.float32], outline: Outline, pixel_size: float
) -> tuple[float, float]:
    """Diameter, Å, and the mean energy of the noise, from frames (n, y, x) spread over the movie."""
    size = sample.shape[-1]
    energy = np.zeros((size, size))
    for start in range(0, len(sample), BLOCK):
        filtered = fft.irfft2(fft.rfft2(sample[start : start + BLOCK]) * gain, s=(size, size))
        energy += np.sum(filtered**2, axis=0, dtype=np.float64)
    energy /= len(sample)
    quiet = outline.outside > 0.5
    level = float(energy[quiet].mean())
    profile = radial_profile(energy - level, outline.centre)[: int(outline.radius * 1.25) + 4]
    return 2 * pixel_size * sphere_radius(profile, PROFILE_BLUR_A / pixel_size), level


def measure_offsets(
    images: NDArray[np.float32],
    sample: NDArray[np.float32],
    gain: NDArray[np.float32],
    level: float,
    outline: Outline,
    pixel_size: float,
    reach: float,
    tell: Callable[[int], None],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offset (n, 2) Å and relative variance (n,) of every frame, by matching the mean envelope within ± `reach` Å."""
    size = images.shape[-1]
    quiet = outline.outside > 0.5
    mean = np.zeros((size, size))
    for start in range(0, len(sample), BLOCK):
        mean += bounded_energy(sample[start : start + BLOCK], gain, level).sum(axis=0, dtype=np.float64)
    mean /= len(sample)
    base = float(mean[quiet].mean())
    profile = radial_profile(mean - base, outline.centre)
    profile[min(int(outline.radius + MARGIN_A / pixel_size) + 1, len(profile)) :] = 0.0
    template = np.interp(radius_map(size), np.arange(len(profile)), profile, right=0.0).astype(np.float32)
    window = max(int(np.ceil(reach / pixel_size)), 3)
    offsets, height = np.zeros((len(images), 2)), np.zeros(len(images))
    for start in range(0, len(images), BLOCK):
        part = slice(start, start + BLOCK)
        energy = bounded_energy(images[part], gain, level) - np.float32(base)
        offsets[part], height[part] = match_template(energy, template, window)
        tell(min(start + BLOCK, len(images)))
    # The edge that fixes the centre is as sharp as the particle stands out: sigma falls as 1 / height.
    usual = max(float(np.median(height)), 1e-30)
    relative = (usual / np.maximum(height, 0.1 * usual)) ** 2
    return offsets * pixel_size, relative


def smooth_offsets(
    frames: NDArray[np.integer],
    measured: NDArray[np.float64],
    relative: NDArray[np.float64],
    tracked: NDArray[np.float64] | None,
    usable: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Offsets (n, 2) of all frames, smoothed over time where the data show that they persist.

    Parameters
    ----------
    frames
        (n,) frame numbers; unless they increase nothing is smoothed.
    measured
        (n, 2) Å.
    relative
        (n,) relative variance of each.
    tracked
        (n, 2) offsets the tracker gave, or None.
    usable
        (n,) frames whose measurement counts; the others are interpolated.
    """
    known = np.zeros_like(measured) if tracked is None else np.asarray(tracked, dtype=np.float64)
    difference = measured - known
    middle = np.median(difference[usable], axis=0)
    if np.any(np.diff(frames) <= 0) or usable.sum() < 30:
        return measured
    power, phi, total = correlated_part(frames[usable], difference[usable] - middle)
    if power * phi < PERSISTENT * total:
        # Nothing persists: the tracker's path is right up to its mean, or, without one, each frame stands alone.
        return measured if tracked is None else known + middle
    noise = max(total - power, 0.02 * total) * relative / float(relative[usable].mean())
    values = np.where(usable[:, None], difference - middle, np.nan)
    return known + middle + smooth_path(frames, values, noise, power, phi)[0]
