"""All particles of a movie, from the local lattice variance of its single frames.

Averages of frames wash out a tumbling lattice; averages of its local variance do not. (1) A sample of windows gives the
graphene sheets, a first detection and, from it, the particle's and the noise's spectrum. (2) With these every frame is
turned into a map of bounded variance. (3) Discs are found in windows of frames and linked. (4) Each is followed frame
by frame. (5) What `clean_stack` finds no particle in, what touches another or leaves the field, is refused.

Reference: tracks of particles in liquid cells: C. F. Reboul et al., Science Advances 7, eabe6679 (2021),
doi:10.1126/sciadv.abe6679; linking: K. Jaqaman et al., Nat. Methods 5, 695 (2008), doi:10.1038/nmeth.1237.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from single_rs.background.clean import clean_stack
from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import InputError, NoParticleError
from single_rs.base.progress import Progress, in_notebooks
from single_rs.base.sampling import evenly
from single_rs.records import Track
from single_rs.records.track import MotionLike, MovieLike
from single_rs.track.config import TrackConfig
from single_rs.track.cut import held_stacks, plan_cut
from single_rs.track.detect import Blob, Chain, find_blobs, link
from single_rs.track.first_look import first_look, radii_in_cells
from single_rs.track.follow import Path, follow
from single_rs.track.lattice_variance import VarianceMaps, variance_maps

__all__ = ["find_tracks"]

# Blobs this fraction of the significance asked for extend a chain; one full blob must be in it.
WEAK = 0.55
# Frames in which a track is checked for a particle and its diameter measured.
CHECKED_FRAMES = 160
# Memory of the frames that are checked together, bytes; each group is one pass over the frames of the check.
CHECK_BYTES = 3e8
# Box of the check in units of the diameter, wanted and least: surroundings are needed for a noise spectrum.
CHECK_BOX = (1.8, 1.25)
# Least mean height, in sigma of one frame: at 0.5 e/px a particle of 2.5 nm has 6, a false one 1 to 2.
LEAST_HEIGHT = 3.0
# A path whose distance to a longer track is below this fraction of that one's radius is a part of the same particle.
INSIDE = 0.8
# Ends of a track at which the height, averaged over a window, is below this many standard errors are cut off.
END_SIGMA = 5.0


@in_notebooks
@single_blas_thread()
def find_tracks(
    movie: MovieLike, motion: MotionLike, config: TrackConfig | None = None, progress: Progress | None = None
) -> list[Track]:
    """Find and follow all particles.

    Parameters
    ----------
    movie
        Raw movie, (frame, y, x) counts, any real type.
    motion
        Its drift, bad frames and bad pixels.
    config
        See `TrackConfig`.
    progress
        Called as progress("track", done, total).

    Returns
    -------
    list of Track
        Best first; empty when there is no particle. Positions are in the raw frame.

    Raises
    ------
    InputError
        When motion and movie do not belong together or no good frame is left.
    """
    config = config or TrackConfig()
    bad = np.asarray(motion.bad_frames, dtype=bool)
    if len(bad) != movie.shape[0] or len(motion.shifts) != movie.shape[0]:
        raise InputError(
            f"motion of {len(motion.shifts)} frames for a movie of {movie.shape[0]}; give the motion of this movie"
        )
    good = np.flatnonzero(~bad).astype(np.int64)
    if len(good) < 8:
        raise InputError(f"{len(good)} good frames of {len(bad)}; at least 8 are needed")
    shifts = np.asarray(motion.shifts, dtype=np.float64)
    first = first_look(movie, motion, good, config)
    if first is None:
        return []
    config = replace(config, window=first.window)
    maps = variance_maps(movie, motion, first.gain, good, first.level, progress)
    paths: list[tuple[Path, float]] = []
    for chain in sorted(_chains(maps, shifts, config, movie.pixel_size), key=lambda c: -len(c.windows)):
        path = _path(maps, chain, shifts, config)
        if path is not None:
            radius = maps.bin * movie.pixel_size * float(np.median([blob.radius for blob in chain.blobs]))
            paths.append((path, 2 * radius))
    tracks: list[Track] = []
    waiting = paths
    while waiting:
        # Those that no longer one may hold are checked together, in one pass over the frames of the check.
        now: list[tuple[Path, float]] = []
        later: list[tuple[Path, float]] = []
        for path, diameter in waiting:
            if any(_within(path, track, movie.pixel_size) for track in tracks):
                continue
            earlier = [*now, *later]
            held = any(_near(path, other, max(wide, diameter), movie.pixel_size) for other, wide in earlier)
            (later if held else now).append((path, diameter))
        tracks += _checked(movie, motion, now)
        waiting = later
    kept = [_apart(track, tracks, movie, config) for track in tracks]
    return sorted((t for t in kept if len(t) >= config.min_frames), key=lambda t: -t.score * len(t))


def _chains(maps: VarianceMaps, shifts: NDArray[np.float64], config: TrackConfig, pixel_size: float) -> list[Chain]:
    """Chains of detections in windows of frames; positions in cells of the aligned frame, windows in window numbers."""
    number = maps.frames // config.window
    radii = radii_in_cells(pixel_size, config)
    windows: list[list[Blob]] = []
    for window in range(int(number[-1]) + 1):
        start, stop = (int(i) for i in np.searchsorted(number, [window, window + 1]))
        if start == stop:
            windows.append([])
            continue
        mean = maps.values.get(start, stop).mean(axis=0, dtype=np.float64) / 255
        scatter = maps.scatter / 255 / np.sqrt(stop - start)
        dx, dy = shifts[maps.frames[start:stop]].mean(axis=0) / maps.bin
        found = find_blobs(mean, scatter, radii, WEAK * config.min_significance)
        windows.append([replace(blob, x=blob.x - dx, y=blob.y - dy) for blob in found])
    chains = link(windows, config.max_gap)
    return [c for c in chains if max(blob.sigma for blob in c.blobs) >= config.min_significance]


def _path(maps: VarianceMaps, chain: Chain, shifts: NDArray[np.float64], config: TrackConfig) -> Path | None:
    """Follow one chain and cut off the ends where the particle is not there; None when little is left."""
    first, last = chain.windows[0] * config.window, (chain.windows[-1] + 1) * config.window
    select = slice(*np.searchsorted(maps.frames, [first, last]))
    frames = maps.frames[select]
    if len(frames) < config.min_frames:
        return None
    middle = (np.array(chain.windows) + 0.5) * config.window
    cells = np.array([(blob.x, blob.y) for blob in chain.blobs])
    predicted = np.stack([maps.to_pixel(np.interp(frames, middle, cells[:, axis])) for axis in (0, 1)], axis=1)
    radius = float(np.median([blob.radius for blob in chain.blobs]))
    path = follow(maps, select, predicted, shifts[frames], radius)
    width = min(config.window, len(frames))
    there = np.flatnonzero(uniform_filter1d(path.height, width, mode="nearest") * np.sqrt(width) > END_SIGMA)
    if len(there) < config.min_frames or float(path.height[there].mean()) < LEAST_HEIGHT:
        return None
    part = slice(int(there[0]), int(there[-1]) + 1)
    return Path(path.frames[part], path.position[part], path.sigma[part], path.height[part])


def _checked(movie: MovieLike, motion: MotionLike, paths: list[tuple[Path, float]]) -> list[Track]:
    """Make tracks of the paths, with diameters in Å, in which `clean_stack` finds a particle; it measures these."""
    tracks, cuts = [], []
    for path, diameter in paths:
        track = Track(
            frames=path.frames,
            x=path.position[:, 0],
            y=path.position[:, 1],
            sigma=path.sigma,
            diameter=diameter,
            score=float(path.height.mean()),
        )
        rows, columns = movie.shape[1:]
        room = np.minimum(path.position, [columns - 1, rows - 1] - path.position).min(axis=1)
        # The box that fits around nine tenths of the frames.
        fits = 2 * int(np.quantile(room, 0.1)) // 2 * 2
        wanted = [factor * diameter / movie.pixel_size for factor in CHECK_BOX]
        box = int(min(max(wanted[0], 32), fits)) // 2 * 2
        if box < max(wanted[1], 32):
            continue
        with contextlib.suppress(InputError):
            cuts.append(plan_cut(movie, motion, _part(track, evenly(len(track), CHECKED_FRAMES)), box))
            tracks.append(track)
    found = []
    most = max([len(cut.frames) * cut.box**2 * 4 for cut in cuts], default=1)
    step = max(int(CHECK_BYTES // most), 1)
    for first in range(0, len(cuts), step):
        stacks = held_stacks(movie, motion, cuts[first : first + step])
        for track, stack in zip(tracks[first : first + step], stacks):
            with contextlib.suppress(NoParticleError, InputError):
                found.append(replace(track, diameter=clean_stack(stack).diameter))
    return found


def _near(path: Path, other: Path, diameter: float, pixel_size: float) -> bool:
    """Tell whether two paths may be those of one particle: they come closer than its diameter."""
    _, mine, theirs = np.intersect1d(path.frames, other.frames, assume_unique=True, return_indices=True)
    apart = np.hypot(*(path.position[mine] - other.position[theirs]).T)
    return len(mine) > 0 and float(apart.min()) < diameter / pixel_size


def _within(path: Path, track: Track, pixel_size: float) -> bool:
    """Tell whether a path runs inside the disc of a longer track for most of the frames they share."""
    _, mine, theirs = np.intersect1d(path.frames, track.frames, assume_unique=True, return_indices=True)
    apart = np.hypot(path.position[mine, 0] - track.x[theirs], path.position[mine, 1] - track.y[theirs])
    return len(mine) > 0 and float(np.median(apart)) < INSIDE * 0.5 * track.diameter / pixel_size


def _apart(track: Track, tracks: list[Track], movie: MovieLike, config: TrackConfig) -> Track:
    """Keep the frames in which the particle lies inside the field and clear of all others."""
    rows, columns = movie.shape[1:]
    clearance = config.clearance / movie.pixel_size
    radius = 0.5 * track.diameter / movie.pixel_size
    edge = np.minimum.reduce([track.x, track.y, columns - 1 - track.x, rows - 1 - track.y])
    keep = edge >= radius + clearance
    for other in tracks:
        if other is track:
            continue
        _, mine, theirs = np.intersect1d(track.frames, other.frames, assume_unique=True, return_indices=True)
        distance = np.hypot(track.x[mine] - other.x[theirs], track.y[mine] - other.y[theirs])
        keep[mine[distance < radius + 0.5 * other.diameter / movie.pixel_size + clearance]] = False
    return _part(track, np.flatnonzero(keep))


def _part(track: Track, index: NDArray[np.intp]) -> Track:
    """Return the track at some of its frames."""
    return replace(track, frames=track.frames[index], x=track.x[index], y=track.y[index], sigma=track.sigma[index])
