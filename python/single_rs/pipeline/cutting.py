"""The single frames of all particles of a movie, cut in one pass and written while they are cut."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.progress import Progress
from single_rs.io import Movie
from single_rs.io.mrc import mrc_writer
from single_rs.io.stack import read_stack
from single_rs.io.star import write_frames
from single_rs.pipeline.size import stack_box
from single_rs.records import Motion, Track
from single_rs.store import layout
from single_rs.track.cut import cut_frames, plan_cut

__all__ = ["cut", "stack_type"]

CUT_TOGETHER = 256  # particles cut in one pass: as many files are open
COUNTS = (np.dtype(np.int8), np.dtype(np.int16))  # MRC modes 0 and 1, which every program reads


def stack_type(movie: Movie, motion: Motion) -> np.dtype[Any]:
    """Return the type in which the frames of particles are kept: the smallest one that holds every count.

    X-rays above the ceiling of the counts have been repaired. A repaired pixel, the mean of its neighbours, is rounded
    to a whole count: a few in ten thousand pixels, each by less than its noise.
    """
    counts = movie.dtype.kind == "u" or movie.dtype == np.int8
    return next((t for t in COUNTS if counts and motion.ceiling <= np.iinfo(t).max), np.dtype(np.float32))


def cut(
    movie: Movie, motion: Motion, tracks: Sequence[Track], folders: Sequence[Path], progress: Progress | None = None
) -> None:
    """Extract the single frames of particles in one pass; write stack.mrcs and stack.star into the folder of each."""
    kind = stack_type(movie, motion)
    for first in range(0, len(tracks), CUT_TOGETHER):
        part = slice(first, first + CUT_TOGETHER)
        cuts = [plan_cut(movie, motion, track, stack_box(track, movie)) for track in tracks[part]]
        with contextlib.ExitStack() as files:
            writers: list[Callable[[NDArray[np.float32]], None]] = []

            def put(number: int, image: NDArray[np.float32], to: Sequence[Callable[..., None]] = writers) -> None:
                to[number]((image if kind.kind == "f" else np.rint(image))[None])

            for one, folder in zip(cuts, folders[part], strict=True):
                folder.mkdir(parents=True, exist_ok=True)
                shape = (len(one.frames), one.box, one.box)
                writers.append(files.enter_context(mrc_writer(folder / layout.STACK, shape, kind, movie.pixel_size)))
            cut_frames(movie, motion, cuts, put, progress)
        for one, track, folder in zip(cuts, tracks[part], folders[part], strict=True):
            stack = read_stack(folder / layout.STACK, movie.pixel_size)
            stack = replace(stack, frames=one.frames, diameter=track.diameter, offsets=one.offsets)
            write_frames(folder / layout.STACK_FRAMES, stack, layout.STACK)
