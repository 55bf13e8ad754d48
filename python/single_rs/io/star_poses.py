"""Poses in STAR files, as RELION writes them.

Rotation R: x_lab = R · x_particle. RELION's angles give Rᵀ = Rz(rot) · Ry(tilt) · Rz(psi), i.e.
R = from_euler("ZYZ", [rot, tilt, psi]).inv(); rlnOriginXAngst, rlnOriginYAngst (Å) move the observed image onto
the reference and are therefore minus the particle's shift. Columns ``single…`` are ours; other programs skip them.
Rows are joined to the images of a stack by the number in rlnImageName, never by their order.
Reference: Scheres 2012, doi:10.1016/j.jsb.2012.09.006.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.base.errors import DataFileError, InputError
from single_rs.io.image_names import check_stack_name, image_numbers
from single_rs.io.star_diagnostics import diagnostics_block, read_diagnostics
from single_rs.io.star_table import Column, block, column, integers, read_star, write_star
from single_rs.records import ParticleStack, Poses

__all__ = ["angles_from_rotations", "posed_stack", "read_poses", "rotations_from_angles", "write_poses"]

# RELION refuses an optics group without them. Negative-Cs imaging; our own stages do not read them.
VOLTAGE_KV = 300.0
SPHERICAL_ABERRATION_MM = -0.0075
AMPLITUDE_CONTRAST = 0.1

ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")
PIXEL_ORIGINS = ("rlnOriginX", "rlnOriginY")  # px; RELION 3.0 and earlier
MICRON = 1e4  # Å; rlnDetectorPixelSize is in µm
LARGEST_ANGLE = 1e4  # degrees; more is not an angle
HALVES_BLOCKS = 4  # time blocks where a table has no half sets
PIXEL_TOLERANCE = 0.01  # relative; more between table and stack is worth a warning

log = logging.getLogger(__name__)


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
        One row per image of the stack, in its order, or the images they are of.
    stack_name
        Name of the stack beside the STAR file, e.g. ``stack.mrcs``.
    pixel_size, box
        Å and px of the stack.
    """
    images = np.arange(len(poses.frames)) if poses.images is None else poses.images
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
        "rlnImageName": [f"{i + 1:06d}@{stack_name}" for i in images],
        "rlnOpticsGroup": np.ones(len(images), int),
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
    write_star(path, blocks)


def _subset(half: ArrayLike) -> NDArray[np.int64]:
    """Return half sets as RELION allows them, 1 or 2: frames of neither (0) take that of the frame before."""
    half = np.asarray(half, np.int64)
    last = np.maximum.accumulate(np.where(half > 0, np.arange(len(half)), -1))
    return np.where(last >= 0, half[np.maximum(last, 0)], 1)


def read_poses(path: str | os.PathLike[str], pixel_size: float | None = None) -> Poses:
    """Read poses from a STAR file of ours or of RELION (3.0, 3.1 and later).

    Rows have no order in STAR: they are returned in that of the images they name. `posed_stack` takes those images.

    Parameters
    ----------
    path
        File with ``data_particles``, or the one table of RELION 3.0, whose origins are in px.
    pixel_size
        Å of the stack, for origins in px in a file that does not say it.

    Returns
    -------
    Poses
        In the order of the stack; ``images`` says which of its images they belong to. What RELION does not have is
        filled in: frame = number in the image name - 1, score 0, confidence and weight 1; half sets, where there are
        none, are four time blocks in turn.

    Raises
    ------
    DataFileError
        Missing file, block or column, or not STAR.
    InputError
        Numbers that cannot be: not finite, no image number, one image twice.
    """
    return _read_poses(path, pixel_size).poses


def posed_stack(
    path: str | os.PathLike[str], stack: ParticleStack, stack_path: str | os.PathLike[str]
) -> tuple[ParticleStack, Poses]:
    """Return the images of a stack that a STAR file has poses of, and these poses, both in the order of the stack.

    Parameters
    ----------
    path
        STAR file, see `read_poses`.
    stack, stack_path
        The images, and the file that they were read from.

    Raises
    ------
    DataFileError
        As `read_poses`; also when the file names another stack or images that the stack does not have.
    """
    table = _read_poses(path, stack.pixel_size)
    poses, images = table.poses, table.images
    check_stack_name(path, table.stacks, stack_path)
    if images[-1] >= len(stack):
        raise DataFileError(f"{path} names image {images[-1] + 1}; {stack_path} has {len(stack)}")
    if table.pixel_size is not None and abs(table.pixel_size / stack.pixel_size - 1) > PIXEL_TOLERANCE:
        log.warning("%s says %.4g Å per pixel, %s %.4g Å", path, table.pixel_size, stack_path, stack.pixel_size)
    frames = stack.frames[images]
    # Only a stack that we extracted knows its frames; RELION's rows do not.
    if stack.offsets is not None and table.with_frames and not np.array_equal(poses.frames, frames):
        raise DataFileError(f"{path} and {stack_path} give the same images other frames")
    if len(images) < len(stack):
        said = "%s has poses of %d of the %d images in %s; the others are left out"
        log.warning(said, path, len(images), len(stack), stack_path)
        stack = stack.take(images)
    return stack, poses if table.with_frames else replace(poses, frames=frames)


@dataclass(frozen=True)
class _PoseTable:
    """Poses as read, the images they are of, the stack's names, its pixel size (Å) if given, whether frames were."""

    poses: Poses
    images: NDArray[np.int64]
    stacks: list[str]
    pixel_size: float | None
    with_frames: bool


def _read_poses(path: str | os.PathLike[str], pixel_size: float | None) -> _PoseTable:
    """Read a table of poses, its rows in the order of the images; `pixel_size` (Å) is the stack's."""
    blocks = read_star(path)
    # RELION 3.0 and earlier: one table, named "", "images" or "particles", and no optics groups.
    name = next((b for b in ("particles", "images", "") if b in blocks), "particles")
    rows = block(path, blocks, name)
    angles = np.stack([column(path, rows, name) for name in ANGLES], axis=1)
    if np.abs(angles).max(initial=0) > LARGEST_ANGLE:
        raise InputError(f"{path} holds an angle of {np.abs(angles).max():.4g}°; degrees are needed")
    if len(angles) == 0:
        raise DataFileError(f"{path} holds no poses")
    if "rlnImageName" not in rows:
        raise DataFileError(f"{path} has no column rlnImageName; without it no row can be matched to its image")
    numbers, stacks = image_numbers(path, rows["rlnImageName"])
    own = _pixel_size(path, blocks.get("optics"), rows)
    n = len(angles)
    order = np.argsort(numbers)
    images = numbers[order]
    if "singleHalf" in rows or "rlnRandomSubset" in rows:
        half = integers(path, rows, "singleHalf" if "singleHalf" in rows else "rlnRandomSubset", most=2)[order]
    else:
        log.warning("%s has no half sets (rlnRandomSubset); time blocks take turns, their FSC is not independent", path)
        half = 1 + np.arange(n) * HALVES_BLOCKS // n % 2
    weight = column(path, rows, "singleWeight", np.ones(n))
    if weight.min() < 0:
        raise InputError(f"{path}, column singleWeight: {weight.min():.4g}; weights are 0 or more")
    try:
        poses = Poses(
            rotations=rotations_from_angles(angles[order]),
            shifts=0.0 - _origins(path, rows, own or pixel_size)[order],
            score=column(path, rows, "singleScore", np.zeros(n))[order],
            confidence=column(path, rows, "singleConfidence", np.ones(n))[order],
            half=half.astype(np.int8),
            weight=weight[order],
            frames=integers(path, rows, "singleFrame", numbers)[order],
            width=column(path, rows, "singleWidth")[order] if "singleWidth" in rows else None,
            hand=(blocks.get("single_hand", {}).get("singleHand") or ["undetermined"])[0],
            diagnostics=read_diagnostics(blocks),
            images=images,
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return _PoseTable(poses, images, stacks, own, "singleFrame" in rows)


def _pixel_size(
    path: str | os.PathLike[str], optics: Mapping[str, list[str]] | None, rows: Mapping[str, list[str]]
) -> float | None:
    """Return Å per pixel of the images as the table gives it, None when it does not."""
    for table in (optics or {}, rows):
        for name in ("rlnImagePixelSize", "rlnPixelSize"):
            if name in table:
                return _one(path, name, column(path, table, name))
    if "rlnDetectorPixelSize" in rows and "rlnMagnification" in rows:
        detector, magnification = (column(path, rows, n) for n in ("rlnDetectorPixelSize", "rlnMagnification"))
        if (magnification > 0).all():
            return _one(path, "rlnDetectorPixelSize / rlnMagnification", MICRON * detector / magnification)
    return None


def _one(path: str | os.PathLike[str], name: str, values: NDArray[np.float64]) -> float | None:
    """Return the one positive value of a column."""
    if len(values) and np.ptp(values) > 1e-6 * np.abs(values).max():
        raise InputError(f"{path}: {name} runs from {values.min():.6g} to {values.max():.6g}; one stack has one")
    return float(values[0]) if len(values) and values[0] > 0 else None


def _origins(
    path: str | os.PathLike[str], rows: Mapping[str, list[str]], pixel_size: float | None
) -> NDArray[np.float64]:
    """Return the origins (n, 2) in Å; those of RELION 3.0 are in px."""
    if any(name in rows for name in ORIGINS):
        return np.stack([column(path, rows, name) for name in ORIGINS], axis=1)
    if not any(name in rows for name in PIXEL_ORIGINS):
        raise DataFileError(f"{path} has no column {ORIGINS[0]}, nor {PIXEL_ORIGINS[0]} of RELION 3.0")
    pixels = np.stack([column(path, rows, name) for name in PIXEL_ORIGINS], axis=1)
    if pixel_size is None and pixels.any():
        raise DataFileError(
            f"{path} gives its origins in px and not the size of one; add a column rlnPixelSize in Å, or give the stack"
        )
    return pixels * (pixel_size or 0.0)
