"""Cut a particle's single frames out of the movie, at whole pixels: nothing is interpolated, nothing is padded."""

from __future__ import annotations

import numpy as np

from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import InputError
from single_rs.records import ParticleStack, Track
from single_rs.records.track import MotionLike, MovieLike

__all__ = ["extract"]


@single_blas_thread()
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
    images = np.empty((len(keep), box, box), dtype=np.float32)
    for image, i in zip(images, keep):
        index = int(track.frames[i])
        x, y = corner[i]
        image[:] = motion.repair(movie.read(index, index + 1)[0], index)[y : y + box, x : x + box]
    return ParticleStack(
        images=images,
        pixel_size=movie.pixel_size,
        frames=track.frames[keep].astype(np.int64),
        diameter=track.diameter,
        offsets=(position[keep] - np.rint(position[keep])) * movie.pixel_size,
    )
