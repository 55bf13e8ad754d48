"""STAR files of ours and of RELION: tracks, the frames of a stack, and (from `star_poses`) poses.

Reference: Hall 1991, doi:10.1021/ci00002a020 (STAR).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from single_rs.base.errors import DataFileError
from single_rs.io.image_names import check_stack_name, image_numbers
from single_rs.io.star_poses import angles_from_rotations, posed_stack, read_poses, rotations_from_angles, write_poses
from single_rs.io.star_table import block, column, integers, read_star, write_star
from single_rs.records import ParticleStack, Track

__all__ = [
    "angles_from_rotations",
    "posed_stack",
    "read_frames",
    "read_poses",
    "read_tracks",
    "rotations_from_angles",
    "write_frames",
    "write_poses",
    "write_tracks",
]

log = logging.getLogger(__name__)


def write_tracks(path: str | os.PathLike[str], tracks: Sequence[Track], pixel_size: float) -> None:
    """Write the trajectories of all particles, one row per particle and one per particle and frame.

    Parameters
    ----------
    path
        Target ``tracks.star``.
    tracks
        x, y, sigma in px of the raw movie frame, diameter in Å.
    pixel_size
        Å.
    """
    numbers = [np.full(len(t.frames), i) for i, t in enumerate(tracks)]
    joined = {
        name: np.concatenate([np.asarray(getattr(t, field)) for t in tracks]) if tracks else np.empty(0)
        for name, field in (
            ("singleFrame", "frames"),
            ("rlnCoordinateX", "x"),
            ("rlnCoordinateY", "y"),
            ("singleSigma", "sigma"),
        )
    }
    write_star(
        path,
        {
            "single_movie": {"rlnImagePixelSize": [float(pixel_size)]},
            "single_tracks": {
                "singleParticle": range(len(tracks)),
                "singleDiameter": [t.diameter for t in tracks],
                "singleScore": [t.score for t in tracks],
            },
            "particles": {"singleParticle": np.concatenate(numbers) if tracks else [], **joined},
        },
    )


def read_tracks(path: str | os.PathLike[str]) -> list[Track]:
    """Read the trajectories that `write_tracks` wrote.

    Parameters
    ----------
    path
        File.

    Returns
    -------
    list of Track
        In the order of the file.

    Raises
    ------
    DataFileError
        Missing file, block or column.
    """
    blocks = read_star(path)
    heads, points = block(path, blocks, "single_tracks"), block(path, blocks, "particles")
    particles = integers(path, heads, "singleParticle")
    number, frames = (integers(path, points, name) for name in ("singleParticle", "singleFrame"))
    if len(np.unique(particles)) < len(particles) or not np.isin(number, particles).all():
        raise DataFileError(f"{path}: data_single_tracks needs one row for each singleParticle of data_particles")
    x, y, sigma = (column(path, points, c) for c in ("rlnCoordinateX", "rlnCoordinateY", "singleSigma"))
    tracks = []
    for row, particle in enumerate(particles):
        mine = np.flatnonzero(number == particle)
        mine = mine[np.argsort(frames[mine], kind="stable")]
        if (np.diff(frames[mine]) == 0).any():
            raise DataFileError(f"{path} gives particle {particle} two places in one frame")
        tracks.append(
            Track(
                frames=frames[mine],
                x=x[mine],
                y=y[mine],
                sigma=sigma[mine],
                diameter=float(column(path, heads, "singleDiameter")[row]),
                score=float(column(path, heads, "singleScore")[row]),
            )
        )
    return tracks


def write_frames(path: str | os.PathLike[str], stack: ParticleStack, stack_name: str) -> None:
    """Write what a stack file cannot hold: the movie frame and offset of each image, and the diameter.

    Parameters
    ----------
    path
        Target ``stack.star``.
    stack
        Of which frames (n,), offsets (n, 2) Å and diameter Å are written.
    stack_name
        Name of the stack file beside it.
    """
    n = len(stack.frames)
    offsets = stack.offsets if stack.offsets is not None else np.zeros((n, 2))
    write_star(
        path,
        {
            "single_stack": {
                "rlnImagePixelSize": [float(stack.pixel_size)],
                # -1 stands for a diameter that is not known.
                "singleDiameter": [float(stack.diameter) if stack.diameter is not None else -1.0],
            },
            "particles": {
                "rlnImageName": [f"{i + 1:06d}@{stack_name}" for i in range(n)],
                "singleFrame": stack.frames,
                "singleOffsetX": offsets[:, 0],
                "singleOffsetY": offsets[:, 1],
            },
        },
    )


def read_frames(
    path: str | os.PathLike[str], stack: ParticleStack, stack_path: str | os.PathLike[str] | None = None
) -> ParticleStack:
    """Return `stack` with the frames, offsets and diameter that `write_frames` wrote.

    A file of another program, which has no ``data_single_stack``, leaves the stack as it is, with a warning.

    Raises
    ------
    DataFileError
        Missing file, block or column, another stack (at `stack_path`), or not one row for each image.
    """
    blocks = read_star(path)
    if "single_stack" not in blocks:
        log.warning("%s was not written by single-rs and is not used", path)
        return stack
    head, rows = blocks["single_stack"], block(path, blocks, "particles")
    if "rlnImageName" not in rows:
        raise DataFileError(f"{path} has no column rlnImageName; extract the stack again")
    images, names = image_numbers(path, rows["rlnImageName"])
    if stack_path is not None:
        check_stack_name(path, names, stack_path)
    if len(images) != len(stack):
        raise DataFileError(f"{path} has {len(images)} rows, its stack {len(stack)} images; extract it again")
    if images.max() >= len(stack):
        raise DataFileError(f"{path} names image {images.max() + 1}, its stack has {len(stack)}; extract it again")
    order = np.argsort(images)
    diameters = column(path, head, "singleDiameter")
    if len(diameters) != 1:
        raise DataFileError(f"{path} has {len(diameters)} rows in data_single_stack; one is needed")
    diameter = float(diameters[0])
    offsets = np.stack([column(path, rows, f"singleOffset{axis}") for axis in "XY"], axis=1)
    edge = stack.box * stack.pixel_size
    if np.abs(offsets).max() > edge:
        raise DataFileError(f"{path} holds an offset beyond the images of {edge:.4g} Å; extract the stack again")
    frames = integers(path, rows, "singleFrame")[order]
    return replace(stack, frames=frames, offsets=offsets[order], diameter=diameter if diameter > 0 else None)
