"""STAR 3.1 files: poses as RELION writes them, and tracks.

Rotation R: x_lab = R · x_particle. RELION's angles give Rᵀ = Rz(rot) · Ry(tilt) · Rz(psi), i.e.
R = from_euler("ZYZ", [rot, tilt, psi]).inv(); rlnOriginXAngst, rlnOriginYAngst (Å) move the observed image onto
the reference and are therefore minus the particle's shift. Columns ``single…`` are ours; other programs skip them.
References: Scheres 2012, doi:10.1016/j.jsb.2012.09.006; Hall 1991, doi:10.1021/ci00002a020 (STAR).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.base.errors import DataFileError, InputError
from single_rs.io.atomic import write_text
from single_rs.io.star_diagnostics import diagnostics_block, read_diagnostics

if TYPE_CHECKING:
    from single_rs.records import ParticleStack, Poses, Track

Column = Sequence[Any] | NDArray[Any]

__all__ = [
    "angles_from_rotations",
    "read_frames",
    "read_poses",
    "read_tracks",
    "rotations_from_angles",
    "write_frames",
    "write_poses",
    "write_tracks",
]

VERSION_LINE = "# version 30001"  # tells RELION that the file has optics groups (3.1 and later)
# RELION refuses an optics group without them. Negative-Cs imaging; our own stages do not read them.
VOLTAGE_KV = 300.0
SPHERICAL_ABERRATION_MM = -0.0075
AMPLITUDE_CONTRAST = 0.1

ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")


def angles_from_rotations(rotations: ArrayLike) -> NDArray[np.float64]:
    """Return RELION's angles of rotations.

    Parameters
    ----------
    rotations
        (n, 3, 3) proper rotations, x_lab = R · x_particle.

    Returns
    -------
    ndarray
        (n, 3) rot, tilt, psi in degrees; tilt in [0, 180]. Exact at tilt 0 and 180 too, where psi takes what rot
        leaves.
    """
    m = np.swapaxes(np.asarray(rotations, np.float64), -1, -2)
    rot: NDArray[np.float64] = np.arctan2(m[:, 1, 2], m[:, 0, 2])
    c, s = np.cos(rot)[:, None], np.sin(rot)[:, None]
    # Rz(-rot) m = Ry(tilt) Rz(psi): its middle row is (sin psi, cos psi, 0) whatever the tilt, so nothing degenerates.
    first, second = c * m[:, 0] + s * m[:, 1], c * m[:, 1] - s * m[:, 0]
    tilt = np.arctan2(first[:, 2], m[:, 2, 2])
    psi = np.arctan2(second[:, 0], second[:, 1])
    return np.asarray(np.degrees(np.stack([rot, tilt, psi], axis=1)))


def rotations_from_angles(angles: ArrayLike) -> NDArray[np.float64]:
    """Return the rotations (n, 3, 3), x_lab = R · x_particle, of RELION's angles (n, 3) in degrees."""
    from scipy.spatial.transform import Rotation

    matrices = Rotation.from_euler("ZYZ", np.asarray(angles, np.float64), degrees=True).as_matrix()
    return np.asarray(np.swapaxes(matrices, -1, -2), np.float64)


def write_poses(path: str | os.PathLike[str], poses: Poses, stack_name: str, pixel_size: float, box: int) -> None:
    """Write poses as STAR 3.1.

    Parameters
    ----------
    path
        Target ``poses.star``.
    poses
        One row per image of the stack, in its order.
    stack_name
        Name of the stack beside the STAR file, e.g. ``stack.mrcs``.
    pixel_size, box
        Å and px of the stack.
    """
    n = len(poses.frames)
    angles = angles_from_rotations(poses.rotations)
    optics: dict[str, Column] = {
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnOpticsGroup": [1],
        "rlnVoltage": [VOLTAGE_KV],
        "rlnSphericalAberration": [SPHERICAL_ABERRATION_MM],
        "rlnAmplitudeContrast": [AMPLITUDE_CONTRAST],
        "rlnImagePixelSize": [float(pixel_size)],
        "rlnImageSize": [int(box)],
        "rlnImageDimensionality": [2],
    }
    particles: dict[str, Column] = {
        "rlnImageName": [f"{i + 1:06d}@{stack_name}" for i in range(n)],
        "rlnOpticsGroup": np.ones(n, int),
        **{name: angles[:, i] for i, name in enumerate(ANGLES)},
        # 0 - shift rather than -shift, which would print "-0".
        **{name: 0.0 - np.asarray(poses.shifts)[:, i] for i, name in enumerate(ORIGINS)},
        "rlnRandomSubset": _subset(poses.half),
        "singleFrame": poses.frames,
        "singleHalf": poses.half,
        "singleScore": poses.score,
        "singleConfidence": poses.confidence,
        "singleWeight": poses.weight,
        **({} if poses.width is None else {"singleWidth": poses.width}),
    }
    blocks: dict[str, Mapping[str, Column]] = {
        "optics": optics,
        "particles": particles,
        "single_hand": {"singleHand": [poses.hand]},
        **diagnostics_block(poses.diagnostics),
    }
    _write(path, blocks)


def _subset(half: ArrayLike) -> NDArray[np.int64]:
    """Return half sets as RELION allows them, 1 or 2: frames of neither (0) take that of the frame before."""
    half = np.asarray(half, np.int64)
    last = np.maximum.accumulate(np.where(half > 0, np.arange(len(half)), -1))
    return np.where(last >= 0, half[np.maximum(last, 0)], 1)


def read_poses(path: str | os.PathLike[str]) -> Poses:
    """Read poses from a STAR 3.1 file of ours or of RELION.

    Parameters
    ----------
    path
        File with ``data_particles``.

    Returns
    -------
    Poses
        In the order of the file. What RELION does not have is filled in: frame = number in the image name - 1,
        score 0, confidence and weight 1.

    Raises
    ------
    DataFileError
        Missing file, block or column, or not STAR.
    """
    from single_rs.records import Poses

    blocks = _read(path)
    table = _block(path, blocks, "particles")
    angles = np.stack([_column(path, table, name) for name in ANGLES], axis=1)
    n = len(angles)
    names = table.get("rlnImageName", [])
    default_frames = np.array([int(name.split("@")[0]) - 1 for name in names]) if names else np.arange(n)
    half = _column(path, table, "singleHalf" if "singleHalf" in table else "rlnRandomSubset", np.ones(n))
    columns: dict[str, Any] = {
        "shifts": 0.0 - np.stack([_column(path, table, name) for name in ORIGINS], axis=1),
        "score": _column(path, table, "singleScore", np.zeros(n)),
        "confidence": _column(path, table, "singleConfidence", np.ones(n)),
        "half": half.astype(np.int8),
        "weight": _column(path, table, "singleWeight", np.ones(n)),
        "frames": _column(path, table, "singleFrame", default_frames).astype(np.int64),
        "width": _column(path, table, "singleWidth") if "singleWidth" in table else None,
        "hand": blocks.get("single_hand", {}).get("singleHand", ["undetermined"])[0],
    }
    try:
        return Poses(rotations=rotations_from_angles(angles), diagnostics=read_diagnostics(blocks), **columns)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


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
    _write(
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
    from single_rs.records import Track

    blocks = _read(path)
    heads, points = _block(path, blocks, "single_tracks"), _block(path, blocks, "particles")
    number = _column(path, points, "singleParticle").astype(np.int64)
    frames = _column(path, points, "singleFrame").astype(np.int64)
    x, y, sigma = (_column(path, points, c) for c in ("rlnCoordinateX", "rlnCoordinateY", "singleSigma"))
    tracks = []
    for row, particle in enumerate(_column(path, heads, "singleParticle").astype(np.int64)):
        mine = number == particle
        tracks.append(
            Track(
                frames=frames[mine],
                x=x[mine],
                y=y[mine],
                sigma=sigma[mine],
                diameter=float(_column(path, heads, "singleDiameter")[row]),
                score=float(_column(path, heads, "singleScore")[row]),
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
    _write(
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


def read_frames(path: str | os.PathLike[str], stack: ParticleStack) -> ParticleStack:
    """Return `stack` with the frames, offsets and diameter that `write_frames` wrote.

    Raises
    ------
    DataFileError
        Missing file, block or column, or another number of images.
    """
    blocks = _read(path)
    head, rows = _block(path, blocks, "single_stack"), _block(path, blocks, "particles")
    frames = _column(path, rows, "singleFrame").astype(np.int64)
    if len(frames) != len(stack):
        raise DataFileError(f"{path} has {len(frames)} rows, its stack {len(stack)} images; extract it again")
    diameter = float(_column(path, head, "singleDiameter")[0])
    offsets = np.stack([_column(path, rows, f"singleOffset{axis}") for axis in "XY"], axis=1)
    return replace(stack, frames=frames, offsets=offsets, diameter=diameter if diameter > 0 else None)


def _text(values: Column) -> list[str]:
    """Return values as STAR words; twelve digits give back angles to 1e-11 rad."""
    out = []
    for v in values:
        if isinstance(v, str):
            out.append(v)
        elif isinstance(v, (float, np.floating)):
            out.append(f"{v:.12g}")
        else:
            out.append(str(int(v)))
    return out


def _write(path: str | os.PathLike[str], blocks: Mapping[str, Mapping[str, Column]]) -> None:
    """Write loops, one per block, with the version line before each, LF line ends."""
    from gemmi import cif

    document = cif.Document()
    for name, columns in blocks.items():
        loop = document.add_new_block(name).init_loop("_", list(columns))
        texts = [[cif.quote(word) for word in _text(values)] for values in columns.values()]
        if texts[0]:
            loop.set_all_values(texts)
        else:
            # gemmi does not print a loop without rows; one row of "." says the same and is dropped on reading.
            loop.add_row(["."] * len(columns))
    text = "\n".join(
        f"{VERSION_LINE}\n\n{line}" if line.startswith("data_") else line for line in document.as_string().splitlines()
    )
    write_text(path, text + "\n")


def _read(path: str | os.PathLike[str]) -> dict[str, dict[str, list[str]]]:
    """Return all loops and pairs of a STAR file: block name → column name → words."""
    from gemmi import cif

    if not Path(path).is_file():
        raise DataFileError(f"{path} does not exist")
    try:
        document = cif.read_file(os.fspath(path))
    except (ValueError, RuntimeError, OSError) as error:
        raise DataFileError(f"{path} is not a STAR file: {error}") from None
    blocks: dict[str, dict[str, list[str]]] = {}
    for block in document:
        table = blocks.setdefault(block.name, {})
        for item in block:
            pair: Any = item.pair  # typed as object in gemmi's stubs; it is (tag, value)
            if pair is not None:
                table[pair[0].lstrip("_")] = [cif.as_string(pair[1])]
            elif item.loop is not None:
                for tag in item.loop.tags:
                    words = [cif.as_string(word) for word in block.find_loop(tag)]
                    # as_string turns the word "." of an empty loop into "".
                    table[tag.lstrip("_")] = [] if words == [""] else words
    return blocks


def _block(path: str | os.PathLike[str], blocks: Mapping[str, dict[str, list[str]]], name: str) -> dict[str, list[str]]:
    """Return one block or say which ones there are."""
    if name not in blocks:
        raise DataFileError(f"{path} has no data_{name}; it has {', '.join(f'data_{b}' for b in blocks) or 'nothing'}")
    return blocks[name]


def _column(
    path: str | os.PathLike[str],
    table: Mapping[str, list[str]],
    name: str,
    default: NDArray[Any] | None = None,
) -> NDArray[np.float64]:
    """Return one column as numbers; `default` when it is absent, an error when there is none."""
    if name not in table:
        if default is None:
            raise DataFileError(f"{path} has no column {name}")
        return np.asarray(default, np.float64)
    try:
        return np.array([float(w) for w in table[name]])
    except ValueError as error:
        raise InputError(f"{path}, column {name}: {error}") from None
