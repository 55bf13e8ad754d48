"""Cut particles' single frames out of the movie, at whole pixels: nothing is interpolated, nothing is padded.

All particles are cut in one pass over the movie.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from single_rs import _core
from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import InputError
from single_rs.base.progress import Progress, in_notebooks
from single_rs.frames.blocks import block_ranges, read_ahead
from single_rs.records import Motion, ParticleStack, Track
from single_rs.records.track import MotionLike, MovieLike

__all__ = ["Cut", "cut_frames", "extract", "extract_all", "held_stacks", "part_of", "plan_cut"]

# Pixels around a part that its repair looks at: larger clusters of bad pixels are filled from inside.
SURROUNDINGS = 8


@dataclass(frozen=True)
class Cut:
    """What is cut for one particle: frames (m,), corners (m, 2) px (x, y), offsets (m, 2) Å of the centre, box px."""

    frames: NDArray[np.int64]
    corners: NDArray[np.int64]
    offsets: NDArray[np.float64]
    box: int


def plan_cut(movie: MovieLike, motion: MotionLike, track: Track, box: int) -> Cut:
    """Say what `extract` cuts; it raises what `extract` raises."""
    if box < 16 or box % 2:
        raise InputError(f"box is {box} px; an even number of at least 16 is needed")
    total, rows, columns = movie.shape
    if len(track.frames) == 0 or int(track.frames.max()) >= total:
        raise InputError(
            f"the track has {len(track.frames)} frames up to {max(track.frames, default=-1)}; "
            f"the movie has frames 0 to {total - 1}"
        )
    position = np.stack([track.x, track.y], axis=1)
    corner = np.rint(position).astype(np.int64) - box // 2
    usable = ~np.asarray(motion.bad_frames, dtype=bool)[track.frames]
    fits = (corner >= 0).all(axis=1) & (corner[:, 0] + box <= columns) & (corner[:, 1] + box <= rows)
    if (fits & usable).sum() * 2 < usable.sum() or not (fits & usable).any():
        room = np.minimum(np.rint(position), [columns - 1, rows - 1] - np.rint(position) + 1).min(axis=1)
        largest = 2 * int(max(np.median(room), 0))
        raise InputError(
            f"a box of {box} px leaves the field of {columns} x {rows} px in {int((~fits).sum())} of "
            f"{len(fits)} frames; a box of {largest} px stays inside in half of them"
        )
    keep = np.flatnonzero(fits & usable)
    offsets = (position[keep] - np.rint(position[keep])) * movie.pixel_size
    return Cut(track.frames[keep].astype(np.int64), corner[keep], offsets, box)


def part_of(motion: MotionLike, frame: NDArray[np.generic], index: int, y: slice, x: slice) -> NDArray[np.float32]:
    """Return a part of frame number `index` (y, x) with its bad pixels repaired; `y` and `x` lie inside it."""
    if not isinstance(motion, Motion):
        return motion.repair(frame, index)[y, x]
    wide = tuple(
        slice(max(s.start - SURROUNDINGS, 0), min(s.stop + SURROUNDINGS, n)) for s, n in zip((y, x), frame.shape)
    )
    part = np.array(frame[wide], np.float32, order="C", copy=True)[None]
    _core.motion_repair(part, motion.mask[wide], np.inf if motion.bad_frames[index] else motion.ceiling)
    inside = (slice(s.start - w.start, s.stop - w.start) for s, w in zip((y, x), wide))
    return np.asarray(part[0][tuple(inside)])


def cut_frames(
    movie: MovieLike,
    motion: MotionLike,
    cuts: Sequence[Cut],
    put: Callable[[int, NDArray[np.float32]], None],
    progress: Progress | None = None,
) -> None:
    """Cut all particles in one pass over the frames they are in; `put(number of the cut, image)` gets them in order.

    A mapped file is read only where the particles are.
    """
    order = np.argsort(np.concatenate([cut.frames for cut in cuts]), kind="stable")
    which = np.concatenate([np.full(len(cut.frames), i) for i, cut in enumerate(cuts)])[order]
    place = np.concatenate([np.arange(len(cut.frames)) for cut in cuts])[order]
    frames = np.concatenate([cut.frames for cut in cuts])[order]
    ranges = [r for r in block_ranges(movie) if np.searchsorted(frames, r[0]) < np.searchsorted(frames, r[1])]
    # Where few frames are wanted, only those are read.
    if len(np.unique(frames)) * 4 < sum(stop - start for start, stop in ranges):
        ranges = [(int(i), int(i) + 1) for i in np.unique(frames)]
    for start, stop, block in read_ahead(movie, ranges, whole=False):
        for i in range(*np.searchsorted(frames, [start, stop])):
            cut, index = cuts[which[i]], int(frames[i])
            x, y = (int(v) for v in cut.corners[place[i]])
            inside = slice(y, y + cut.box), slice(x, x + cut.box)
            put(int(which[i]), part_of(motion, block[index - start], index, *inside))
        if progress is not None:
            progress("cut", stop, ranges[-1][1])


@in_notebooks
@single_blas_thread()
def extract_all(
    movie: MovieLike,
    motion: MotionLike,
    tracks: Sequence[Track],
    boxes: Sequence[int],
    progress: Progress | None = None,
) -> list[ParticleStack]:
    """Cut the frames of several tracks in one pass over the movie.

    Parameters
    ----------
    movie, motion
        As for `extract`.
    tracks
        From `find_tracks`.
    boxes
        Edge of the images of each, px, even.
    progress
        Called as progress("cut", done, total).

    Returns
    -------
    list of ParticleStack
        As `extract` gives them one by one; all are held in memory.

    Raises
    ------
    InputError
        As `extract`.
    """
    cuts = [plan_cut(movie, motion, track, box) for track, box in zip(tracks, boxes, strict=True)]
    stacks = held_stacks(movie, motion, cuts, progress)
    return [replace(stack, diameter=track.diameter) for stack, track in zip(stacks, tracks)]


def held_stacks(
    movie: MovieLike, motion: MotionLike, cuts: Sequence[Cut], progress: Progress | None = None
) -> list[ParticleStack]:
    """Cut stacks that are held in memory, without a diameter."""
    images = [np.empty((len(cut.frames), cut.box, cut.box), np.float32) for cut in cuts]
    done = [0] * len(cuts)

    def put(number: int, image: NDArray[np.float32]) -> None:
        images[number][done[number]] = image
        done[number] += 1

    if cuts:
        cut_frames(movie, motion, cuts, put, progress)
    return [ParticleStack(stack, movie.pixel_size, cut.frames, offsets=cut.offsets) for stack, cut in zip(images, cuts)]


def extract(movie: MovieLike, motion: MotionLike, track: Track, box: int) -> ParticleStack:
    """Cut the frames of one track.

    Parameters
    ----------
    movie, motion
        The movie and its motion; bad pixels are repaired, bad frames left out.
    track
        From `find_tracks`.
    box
        Edge of the images, px, even. Frames in which it would leave the field are left out.

    Returns
    -------
    ParticleStack
        images (n, box, box) float32 counts; the tracked centre is at box // 2 + offset, offsets (n, 2) Å (x, y) within
        half a pixel.

    Raises
    ------
    InputError
        An odd or too small box, or one that leaves the field in more than half of the frames.
    """
    return extract_all(movie, motion, [track], [box])[0]
