"""Frames in wrong poses, tried in those of their neighbours in time.

A particle turns little from frame to frame, so that where the pose jumps either side may be wrong. The frames at a jump
are compared with the atoms in the poses round that of the frame on the other side, and keep what explains them better
by a clear margin; a run of wrong frames is so undone from its ends. True jumps stay: nothing explains them better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from single_rs import _core
from single_rs.refine.problem import Model, RefinementProblem, single

__all__ = ["reseat"]

JUMP = 20.0  # degrees
REACH, STEP = 11.0, 4.5  # degrees: of the poses tried round that of a neighbour, and between them
WINDOW, SPACING = 4, 0.5  # px: steps to each side of the neighbour's shift, and between them
FOCI = (-1.6, -0.8, 0.0, 0.8, 1.6)  # standard deviations of the focus, at which a frame is tried
MARGIN = 10.0  # nats
PASSES = 24  # a run of wrong frames that is longer by twice as much stays


@dataclass(frozen=True)
class _Tried:
    """Frames (c,) with new poses, their depths in px, and the log-likelihood over an empty frame."""

    frame: NDArray[np.int64]
    rotations: NDArray[np.float32]
    shifts: NDArray[np.float32]
    depths: NDArray[np.float32]
    nats: NDArray[np.float64]


def reseat(problem: RefinementProblem, model: Model) -> int:
    """Give frames in use the pose of a neighbour where that is clearly better; return how many changed."""
    used = np.flatnonzero(problem.frame_weights > 0)
    now = problem.fitness(model).log_likelihood_ratio.copy()
    changed = np.zeros(len(now), bool)
    fresh = np.ones(len(now), bool)  # whose pose was not yet offered to its neighbours
    around, foci = _around(), _foci(problem, used)
    for _ in range(PASSES):
        turn = Rotation.from_matrix(problem.rotations[used].astype(float))
        jump = np.flatnonzero((turn[1:] * turn[:-1].inv()).magnitude() > np.deg2rad(JUMP))
        frame = np.concatenate([used[jump + 1], used[jump]])
        source = np.concatenate([used[jump], used[jump + 1]])
        frame, source = frame[fresh[source]], source[fresh[source]]
        if not len(frame):
            break
        fresh[:] = False
        tried = _try(problem, model, frame, source, around, foci)
        better = np.flatnonzero(tried.nats > now[tried.frame] + MARGIN)
        better = better[np.argsort(tried.nats[better], kind="stable")]  # of two offers the better one comes last
        if not len(better):
            break
        rotations, shifts = problem.rotations.copy(), problem.shifts.copy()
        depths = None if problem.depths is None else problem.depths.copy()
        for i in better:
            at = tried.frame[i]
            rotations[at], shifts[at], now[at] = tried.rotations[i], tried.shifts[i], tried.nats[i]
            if depths is not None:
                depths[at] = tried.depths[i]
        problem.rotations, problem.shifts, problem.depths = rotations, shifts, depths
        changed[tried.frame[better]] = fresh[tried.frame[better]] = True
    return int(changed.sum())


def _foci(problem: RefinementProblem, used: NDArray[np.int64]) -> NDArray[np.float64]:
    """Depths (px) that frames are tried at: that of a wrong pose means nothing."""
    if problem.lens is None or problem.depths is None:
        return np.zeros(1)
    depths = problem.depths[used].astype(float)
    return np.asarray(np.median(depths) + np.array(FOCI) * depths.std())


def _try(
    problem: RefinementProblem,
    model: Model,
    frame: NDArray[np.int64],
    source: NDArray[np.int64],
    around: NDArray[np.float64],
    foci: NDArray[np.float64],
) -> _Tried:
    """Best pose of each of `frame` (c,) round that of `source` (c,), refined at the best of all depths."""
    count = len(around)
    turned = np.einsum("aij,cjk->caik", around, problem.rotations[source].astype(float)).reshape(-1, 3, 3)
    shift = problem.centres[source] + problem.shifts[source] - problem.centres[frame]
    offers = problem.frames.posed(turned, np.repeat(shift, count, axis=0), np.repeat(frame, count))
    best = _Tried(
        frame,
        np.zeros((len(frame), 3, 3), np.float32),
        np.zeros((len(frame), 2), np.float32),
        np.zeros(len(frame), np.float32),
        np.full(len(frame), -1.0),
    )
    for depth in foci:
        atoms = single(model.positions), single(model.heights), single(model.widths), problem.filters(float(depth))
        overlap, power, shifts = _core.model_gain(offers, atoms, WINDOW, SPACING)
        first = _nats(overlap, power).reshape(-1, count).argmax(1) + count * np.arange(len(frame))
        rotations, shifts, overlap, power, _ = _core.polish_poses_to_atoms(
            problem.frames.posed(turned[first], shifts[first], frame),
            atoms,
            problem.config.polish_iterations,
            float(np.deg2rad(REACH)),
            WINDOW * SPACING,
        )
        nats = _nats(overlap, power) * problem.frame_weights[frame]
        more = nats > best.nats
        best.rotations[more], best.shifts[more], best.nats[more] = rotations[more], shifts[more], nats[more]
        best.depths[more] = depth
    return best


def _nats(overlap: NDArray[np.float32], power: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log-likelihood over an empty frame at the best scale."""
    square = np.maximum(overlap.astype(np.float64), 0.0) ** 2
    return np.asarray(square / np.maximum(power, 1e-30), np.float64)


def _around() -> NDArray[np.float64]:
    """Rotations (a, 3, 3) within `REACH` of none, `STEP` apart."""
    axis = np.arange(-np.floor(REACH / STEP), np.floor(REACH / STEP) + 1) * STEP
    vectors = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    inside = np.linalg.norm(vectors, axis=1) <= REACH
    return np.asarray(Rotation.from_rotvec(vectors[inside], degrees=True).as_matrix())
