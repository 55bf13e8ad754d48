"""Motion correction: per-frame global and local shifts, bad frames and pixels, aligned window averages.

The movie is read in blocks, never as a whole, and once: for pixel and frame statistics. The parts of the field that
register the motion are kept from this pass (see `mosaic`) and read again, once for a first trajectory in chunks and
twice or more for the final one, every frame against the aligned mean of all. The graphene and whatever else moves with
the cell give the evidence; particles that move by themselves count as noise. Conventions in `records.motion`, methods
in `first` and `drift`. Memory: some blocks of frames, sums of one frame and some numbers per frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from single_rs import _core
from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import InputError
from single_rs.base.memory_limit import movie_memory, require_memory
from single_rs.base.progress import Progress, in_notebooks
from single_rs.base.settings import Settings, setting
from single_rs.frames.blocks import is_view
from single_rs.io.motion import read_motion, write_motion
from single_rs.motion.aligned import aligned_frames, moved
from single_rs.motion.drift import GRAPHENE, Band, DriftFit, Reader, fine_drift
from single_rs.motion.first import coarse_drift
from single_rs.motion.local import local_shifts
from single_rs.motion.mosaic import Layout, Parts, layout
from single_rs.motion.pixels import PixelReport, read_float, survey
from single_rs.records import Motion

__all__ = ["MotionConfig", "aligned_frames", "correct_motion", "read_motion", "window_average", "write_motion"]

ROUNDS = 3
"""Most rounds of the final trajectory; another follows only if the last moved a frame by more than `SETTLED`."""
SETTLED = 0.4
"""Change of the trajectory, px, within which its linear correction is good to a few hundredths of a pixel."""


@dataclass(frozen=True)
class MotionConfig(Settings):
    """Settings of motion correction."""

    patches: int = setting(3, "patches along each axis, for evidence and local shifts", ge=1, le=8)
    local: bool = setting(True, "look for local shifts; they are kept only where held-out frames support them")
    low_resolution: float = setting(10.0, "coarsest detail that is registered", "Å", gt=0)
    high_resolution: float | None = setting(
        None, "finest detail that is registered; None: 0.42 cycles per pixel", "Å", gt=0
    )
    search: float | None = setting(
        None, "largest surprise between chunks of 32 frames; None: 0.4 of the graphene spacing", "px", gt=0
    )
    fastest: float = setting(0.8, "fastest drift that is looked for", "px/frame", gt=0, le=3)
    bad_pixel_sigma: float = setting(10.0, "deviation that makes a pixel hot or dead", "standard deviations", gt=0)
    bad_frame_sigma: float = setting(8.0, "deviation that makes a frame bad", "standard deviations", gt=0)


@in_notebooks
@single_blas_thread()
def correct_motion(movie: Any, config: MotionConfig | None = None, progress: Progress | None = None) -> Motion:
    """Find drift, local shifts, bad frames and bad pixels of a movie.

    Parameters
    ----------
    movie
        `single_rs.io.Movie`, or anything with `shape` (n, y, x), `pixel_size` (Å) and `read(start, stop)`.
    config
        Settings; None for the defaults.
    progress
        Called as progress(stage, done, total).

    Returns
    -------
    Motion
        Shifts with zero mean over the good frames. Bad frames have the shift of the smooth trajectory. When nothing in
        the movie is coherent in time, the shifts are zero and their sigma is infinite.

    Raises
    ------
    InputError
        When the frames are too small (16 px) or none is usable.
    """
    config = config or MotionConfig()
    n, ny, nx = movie.shape
    if n < 1 or min(ny, nx) < 16:
        raise InputError(f"movie has shape {(n, ny, nx)}; at least 1 frame of 16 x 16 px is needed")
    require_memory(f"a movie of {ny} × {nx} px", movie_memory(ny, nx))
    patches = config.patches if min(ny, nx) >= 96 else 1
    where = layout((ny, nx), patches)
    # A small field that is an array or a mapped file is read from there again, which costs nothing.
    parts = None if where.whole and is_view(movie) else Parts(movie, where)
    report = survey(movie, config.bad_pixel_sigma, config.bad_frame_sigma, progress, parts.keep if parts else None)
    reasons = report.reasons
    good = reasons == ""
    if not good.any():
        raise InputError(f"all {n} frames are bad (first reason: {reasons[0]}); check the movie")
    read = _reader(movie, report, parts, where)
    band = _band(config, float(movie.pixel_size))
    shifts = coarse_drift(read, (n, *where.size), good, band, progress)
    if shifts is None:
        return _assemble(None, report, reasons, patches, config.local, (ny, nx))
    if where.drifts_away(shifts):
        where = where.following(shifts)
        read = _reader(movie, report, Parts.again(movie, where, progress), where)
    for _ in range(ROUNDS):
        before = shifts
        fit = fine_drift(read, n, where, good, band, patches, before, progress)
        shifts = fit.shifts
        if np.abs(shifts - before)[good & ~fit.smeared].max(initial=0.0) < SETTLED:
            break
    reasons[fit.smeared] = "smeared"
    return _assemble(fit, report, reasons, patches, config.local, (ny, nx))


def _reader(movie: Any, report: PixelReport, parts: Parts | None, where: Layout) -> Reader:
    def read(start: int, stop: int) -> np.ndarray:
        block = read_float(movie if parts is None else parts, start, stop)
        if where.followed is None:
            _core.motion_repair(block, where.cut(report.mask, 0), report.ceiling)
            return block
        for i in range(stop - start):
            mask = where.cut(report.mask[None], start + i)[0]
            _core.motion_repair(block[i : i + 1], mask, report.ceiling)
        return block

    return read


def _band(config: MotionConfig, pixel: float) -> Band:
    pixel = pixel if np.isfinite(pixel) and pixel > 0 else 1.0
    high = min(0.42, pixel / config.high_resolution) if config.high_resolution else 0.42
    low = min(pixel / config.low_resolution, 0.5 * high)
    radius = config.search or float(np.clip(0.4 * GRAPHENE / pixel, 1.0, 8.0))
    return Band(low, high, radius, config.fastest)


def _assemble(
    fit: DriftFit | None,
    report: PixelReport,
    reasons: np.ndarray,
    patches: int,
    want_local: bool,
    shape: tuple[int, int],
) -> Motion:
    good = reasons == ""
    n = len(good)
    if not good.any():
        raise InputError(f"all {n} frames are bad; check the movie")
    local = np.zeros((n, 0, 0, 2))
    patch_x, patch_y = np.zeros(0), np.zeros(0)
    if fit is not None and want_local and patches > 1:
        found = local_shifts(fit.gradient, fit.information, fit.centres, good)
        if found.any():
            local = found.reshape(n, patches, patches, 2)
            grid = fit.centres.reshape(patches, patches, 2)
            patch_x, patch_y = grid[0, :, 0], grid[:, 0, 1]
    return Motion(
        shifts=np.zeros((n, 2)) if fit is None else fit.shifts - fit.shifts[good].mean(axis=0),
        bad_frames=~good,
        hot_pixels=report.hot,
        dead_pixels=report.dead,
        shape=shape,
        quality=np.zeros(n) if fit is None else np.where(good, fit.quality, 0.0),
        sigma=np.full((n, 2), np.inf) if fit is None else np.sqrt(fit.variance),
        reasons=reasons,
        ceiling=report.ceiling,
        mean=report.mean,
        local=local,
        patch_x=patch_x,
        patch_y=patch_y,
    )


def window_average(movie: Any, motion: Motion, centre: int, half_width: int) -> np.ndarray:
    """Aligned mean (y, x) float32 of the good frames within `half_width` of frame `centre`; to look at and to track.

    Pixel (x, y) is the position in the aligned frame, raw position minus shift. Whole pixels are moved exactly and
    the rest (half a pixel at most) by a Fourier shift; local shifts are not applied. Pixels that no frame covers have
    the mean of the others. If all frames of the window are bad, the result is the average of the bad ones.

    Parameters
    ----------
    movie
        As for `correct_motion`.
    motion
        Of that movie.
    centre
        Middle frame of the window, 0-based.
    half_width
        Frames on each side of it.

    Raises
    ------
    InputError
        When the motion is of another movie, or the window lies outside this one.
    """
    n, ny, nx = movie.shape
    if n != len(motion) or (ny, nx) != motion.shape:
        raise InputError(f"movie has shape {movie.shape}; the motion is of {len(motion)} frames of {motion.shape}")
    if not 0 <= centre < n or half_width < 0:
        raise InputError(f"centre is {centre}, half_width {half_width}; 0 to {n - 1} and at least 0 are needed")
    window = np.arange(max(0, centre - half_width), min(n, centre + half_width + 1))
    usable = window[~motion.bad_frames[window]]
    total, count = np.zeros((ny, nx)), np.zeros((ny, nx))
    for t in usable if len(usable) else window:
        frame = motion.repair(read_float(movie, int(t), int(t) + 1)[0], int(t))
        part, to, source = moved(frame, motion.shifts[t])
        total[to] += part[source]
        count[to] += 1
    covered = count > 0
    out = np.divide(total, count, out=np.zeros((ny, nx)), where=covered)
    out[~covered] = out[covered].mean() if covered.any() else 0.0
    return out.astype(np.float32)
