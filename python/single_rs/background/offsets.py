"""Offset of the particle in every frame and its diameter, by the bounded variance of `envelope`.

Measured offsets m_t scatter by some 0.3 Å (single frames at 8 e/px); the true path does not jump. What persists from
frame to frame is kept and the rest smoothed away (`trajectory`): of m_t itself when it is correlated in time, or of
m_t - o_t when the tracker has already given the offsets o_t of a smoothed path. Measurements are linear about the
smoothed path, which is found in a few rounds, so that noise cannot throw single frames far off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from single_rs.background.envelope import (
    bound,
    local_variance,
    match_surface,
    measure_on_surface,
    radial_profile,
    sphere_radius,
)
from single_rs.background.outline import MARGIN_A, Outline, blocks
from single_rs.base.threads import in_threads
from single_rs.base.trajectory import correlated_part, smooth_path
from single_rs.frames.spectrum import radius_map

__all__ = ["VarianceSurvey", "smooth_offsets", "survey_variance"]

# Blur, Å, of the mean variance map: smoothing of y² and the spread of the frames' offsets.
PROFILE_BLUR_A = 0.7
# A path is smoothed when its covariance over some frames stands this many standard errors above zero.
PERSISTENT_SIGMA = 5.0
# Larger scatter per axis, Å, that does not persist is noise: particles are cut out better than that.
LARGEST_SCATTER = 0.8
# Frames over which surfaces are averaged (standard deviation) to start from, and rounds of measuring and smoothing.
START_FRAMES = 8.0
ROUNDS = 4


@dataclass(frozen=True)
class VarianceSurvey:
    """Diameter, Å, and correlation surfaces (n, 2 w + 1, 2 w + 1) of every frame with the mean envelope."""

    diameter: float
    surfaces: NDArray[np.float32]


def survey_variance(
    images: NDArray[np.float32],
    good: NDArray[np.intp],
    transfer: NDArray[np.float32],
    outline: Outline,
    pixel_size: float,
    reach: float,
    tell: Callable[[int], None],
) -> VarianceSurvey:
    """Measure the diameter from the mean variance and correlate each frame's bounded variance with the mean envelope.

    Parameters
    ----------
    images
        (n, y, x) contrast.
    good
        Indices of the frames that make the means.
    transfer
        From `detection_filter`.
    outline
        Of the particle.
    pixel_size
        Å.
    reach
        Largest shift of the surfaces, Å.
    tell
        Called with the number of frames done.
    """
    count, size = len(images), images.shape[-1]
    quiet = outline.outside > 0.5
    level = float(
        np.mean([local_variance(images[i : i + 1], transfer)[0][quiet].mean() for i in good[:: len(good) // 32 + 1]])
    )
    # A byte per pixel holds the bounded variance until its mean is known; its scatter in one pixel is fifty steps.
    bounded = np.empty(images.shape, dtype=np.uint8)
    total, mean = np.zeros((size, size)), np.zeros((size, size))
    member = np.zeros(count, dtype=bool)
    member[good] = True

    def survey(part: slice) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
        variance = local_variance(images[part], transfer)
        bounded[part] = np.rint(255 * bound(variance, level))
        used = member[part]
        sums = (values[used].sum(axis=0, dtype=np.float64) for values in (variance, bounded[part]))
        return part.stop, *sums

    for done, variance, shown in in_threads(survey, blocks(count)):
        total += variance
        mean += shown
        tell(done // 2)
    last = int(outline.radius + MARGIN_A / pixel_size) + 2
    raw = radial_profile((total - total[quiet].mean()) / len(good), outline.centre)[:last]
    diameter = 2 * pixel_size * sphere_radius(raw, PROFILE_BLUR_A / pixel_size)
    base = float(mean[quiet].mean()) / len(good)
    profile = radial_profile(mean / len(good) - base, outline.centre)
    profile[last:] = 0.0
    template = np.interp(radius_map(size), np.arange(len(profile)), profile, right=0.0).astype(np.float32)
    window = min(max(int(np.ceil(reach / pixel_size)) + 2, 5), size // 2 - 1)
    surfaces = np.empty((count, 2 * window + 1, 2 * window + 1), dtype=np.float32)

    def match(part: slice) -> int:
        surfaces[part] = match_surface(bounded[part] - np.float32(base), template, window)
        return int(part.stop)

    for done in in_threads(match, blocks(count)):
        tell((count + done) // 2)
    return VarianceSurvey(diameter, surfaces)


def smooth_offsets(
    frames: NDArray[np.integer],
    surfaces: NDArray[np.float32],
    tracked: NDArray[np.float64] | None,
    usable: NDArray[np.bool_],
    pixel_size: float,
) -> NDArray[np.float64]:
    """Offsets (n, 2) Å of all frames, smoothed over time where the data show that they persist.

    Parameters
    ----------
    frames
        (n,) frame numbers; unless they increase nothing is smoothed.
    surfaces
        Correlation surfaces of `survey_variance`.
    tracked
        (n, 2) Å, offsets the tracker gave, or None.
    usable
        (n,) frames whose measurement counts; the others are interpolated.
    pixel_size
        Å.
    """
    ordered = bool(np.all(np.diff(frames) > 0)) and usable.sum() >= 30
    if tracked is not None:
        known = np.asarray(tracked, dtype=np.float64) / pixel_size
        about = known
    else:
        known = np.zeros((len(frames), 2))
        pooled = gaussian_filter1d(surfaces * usable[:, None, None], START_FRAMES, axis=0) if ordered else surfaces
        side = surfaces.shape[-1]
        best = pooled.reshape(len(pooled), -1).argmax(axis=1)
        about = np.stack([best % side, best // side], axis=1) - float(side // 2)
    for _ in range(ROUNDS):
        measured, relative, _ = measure_on_surface(surfaces, about)
        about = measured
        if ordered:
            about = known + _persistent(frames, measured - known, relative, usable, tracked is not None, pixel_size)
    return about * pixel_size


def _persistent(
    frames: NDArray[np.integer],
    difference: NDArray[np.float64],
    relative: NDArray[np.float64],
    usable: NDArray[np.bool_],
    tracked: bool,
    pixel_size: float,
) -> NDArray[np.float64]:
    """Return what of the differences (n, 2), px, persists in time; all of it when frames stand alone but are good."""
    middle = np.median(difference[usable], axis=0)
    part = correlated_part(frames[usable], difference[usable] - middle)
    if part.significance < PERSISTENT_SIGMA:
        scatter = np.sqrt(part.total) * pixel_size
        keep = not tracked and scatter < LARGEST_SCATTER
        return np.where(usable[:, None], difference, middle) if keep else np.broadcast_to(middle, difference.shape)
    noise = max(part.total - part.power, 0.02 * part.total) * relative / float(relative[usable].mean())
    values = np.where(usable[:, None], difference - middle, np.nan)
    return middle + smooth_path(frames, values, noise, part.power, part.phi)[0]
