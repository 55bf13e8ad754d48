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
EXACT = 2048  # counts; half precision holds every whole number up to it


def stack_type(movie: Movie, motion: Motion) -> np.dtype[np.floating[Any]]:
    """Return the type in which the frames of particles are kept: half precision where it holds every count exactly.

    X-rays above the ceiling of the counts have been repaired; a repaired pixel is the mean of its neighbours, which
    half precision holds to 0.05 %.
    """
    counts = movie.dtype.kind == "u" or movie.dtype == np.int8
    return np.dtype(np.float16 if counts and motion.ceiling <= EXACT else np.float32)


def cut(
    movie: Movie, motion: Motion, tracks: Sequence[Track], folders: Sequence[Path], progress: Progress | None = None
) -> None:
    """Extract the single frames of particles in one pass; write stack.mrcs and stack.star into the folder of each."""
    for first in range(0, len(tracks), CUT_TOGETHER):
        part = slice(first, first + CUT_TOGETHER)
        cuts = [plan_cut(movie, motion, track, stack_box(track, movie)) for track in tracks[part]]
        with contextlib.ExitStack() as files:
            writers: list[Callable[[NDArray[np.float32]], None]] = []

            def put(number: int, image: NDArray[np.float32], to: Sequence[Callable[..., None]] = writers) -> None:
                to[number](image[None])

            for one, folder in zip(cuts, folders[part], strict=True):
                folder.mkdir(parents=True, exist_ok=True)
                shape = (len(one.frames), one.box, one.box)
                path, kind = folder / layout.STACK, stack_type(movie, motion)
                writers.append(files.enter_context(mrc_writer(path, shape, kind, movie.pixel_size)))
            cut_frames(movie, motion, cuts, put, progress)
        for one, track, folder in zip(cuts, tracks[part], folders[part], strict=True):
            stack = read_stack(folder / layout.STACK, movie.pixel_size)
            stack = replace(stack, frames=one.frames, diameter=track.diameter, offsets=one.offsets)
            write_frames(folder / layout.STACK_FRAMES, stack, layout.STACK)
