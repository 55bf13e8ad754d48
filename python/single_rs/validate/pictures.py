"""Frames beside the reprojections of the atoms, and averages of frames in nearly one pose.

A single frame is mostly noise to the eye. Frames whose poses differ by little more than a turn about the beam are
turned into one pose R, x = Rz(ψ) y with ψ = atan2(Q₁₀ − Q₀₁, Q₀₀ + Q₁₁), Q = R_i Rᵀ, and averaged; what is left of the
difference of their poses is in the average of their reprojections too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import affine_transform

from single_rs.base.sampling import evenly
from single_rs.simulate.optics import frequency_grid
from single_rs.validate.case import Case
from single_rs.validate.reproject import Reprojector

__all__ = ["low_pass", "make_pictures"]

SINGLES = 4  # frames shown alone
GROUPS = 4  # averages shown
MEMBERS = 40  # most frames of an average
TILT = 6.0  # degrees between view directions within an average
APART = 25.0  # degrees between the views of two averages


def make_pictures(case: Case, model: Reprojector, correlation: NDArray[np.float64]) -> dict[str, Any]:
    """Return pictures (k, 2, y, x), data and reprojection, of single frames and of averages, with their labels.

    Parameters
    ----------
    case
        The particle.
    model
        With a measured transfer.
    correlation
        (n,) of each used frame with its reprojection.
    """
    rotations = case.poses.rotations[case.used]
    centres = _centres(rotations, case.poses.weight[case.used])
    # The frame of median fit in four parts of the movie: typical ones, chosen by no one.
    parts = np.array_split(np.arange(len(rotations)), SINGLES)
    singles = [int(p[np.argsort(correlation[p])[len(p) // 2]]) for p in parts if len(p)]
    pairs, labels = [], []
    for row in singles:
        data = low_pass(_turned(case, model, row, np.eye(2)), case.pixel_size, case.period)
        pairs.append((data, model.images(rotations[row][None])[0]))
        labels.append(f"frame {int(case.poses.frames[case.used[row]])}")
    for rows in centres:
        data = np.mean([_turned(case, model, i, _in_plane(rotations[i], rotations[rows[0]])) for i in rows], axis=0)
        poses = np.stack([_about_beam(rotations[i], rotations[rows[0]]) for i in rows])
        pairs.append((low_pass(data, case.pixel_size, case.period), model.images(poses).mean(axis=0)))
        labels.append(f"{len(rows)} frames")
    inside = case.mask[0]
    agreement = [_correlation(a, b, inside) for a, b in pairs]
    return {
        "pictures": np.asarray(pairs, np.float32),
        "picture_labels": labels,
        "picture_correlation": agreement,
        "picture_pixel_size": case.pixel_size,
    }


def _centres(rotations: NDArray[np.float64], weight: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Rows of the frames of each average, its reference first: the best-seen views, well apart."""
    beams = rotations[:, 2]
    near = np.cos(np.radians(TILT))
    some = evenly(len(beams), 600)
    count = ((beams[some] @ beams.T) > near) @ weight
    out: list[NDArray[np.int64]] = []
    taken: list[NDArray[np.float64]] = []
    for k in np.argsort(-count, kind="stable"):
        beam = beams[some[k]]
        if any(abs(beam @ other) > np.cos(np.radians(APART)) for other in taken):
            continue
        cosine = beams @ beam
        rows = np.argsort(-cosine, kind="stable")[:MEMBERS]
        rows = rows[cosine[rows] > near]
        if len(rows) >= 3:
            out.append(rows)
            taken.append(beam)
        if len(out) == GROUPS:
            break
    return out


def _angle(rotation: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    q = rotation @ reference.T
    return float(np.arctan2(q[1, 0] - q[0, 1], q[0, 0] + q[1, 1]))


def _in_plane(rotation: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rz(ψ) (2, 2): where a point of the reference's picture lies in the frame."""
    c, s = np.cos(_angle(rotation, reference)), np.sin(_angle(rotation, reference))
    return np.array([[c, -s], [s, c]])


def _about_beam(rotation: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pose of a frame after it was turned onto the reference."""
    turn = np.eye(3)
    turn[:2, :2] = _in_plane(rotation, reference).T
    return turn @ rotation


def _turned(case: Case, model: Reprojector, row: int, turn: NDArray[np.float64]) -> NDArray[np.float32]:
    """Frame, centred on the particle and turned, in the box of the reprojections."""
    image = case.clean.images[case.used[row]]
    size, box = model.frames.size, image.shape[-1]
    centre = case.poses.shifts[case.used[row]] / case.pixel_size + box // 2
    m = turn[::-1, ::-1]  # (x, y) → (row, column)
    offset = centre[::-1] - m @ np.full(2, size // 2)
    return np.asarray(affine_transform(image, m, offset, (size, size), order=3, mode="nearest"), np.float32)


def low_pass(image: NDArray[np.float32], pixel_size: float, period: float) -> NDArray[np.float32]:
    """Leave out periods below `period` Å, which no reprojection holds."""
    k = frequency_grid(image.shape[0], pixel_size, real=True)
    return np.asarray(fft.irfft2(fft.rfft2(image) * (k < 1 / period), s=image.shape), np.float32)


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32], radius: float) -> float:
    """Correlation of two pictures within the particle's disc."""
    size = a.shape[0]
    y, x = np.mgrid[:size, :size] - size // 2
    inside = np.hypot(x, y) < min(radius, size // 2)
    return float(np.corrcoef(a[inside], b[inside])[0, 1])
