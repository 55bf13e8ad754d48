"""Frames in wrong poses, tried in those of their neighbours in time.

A particle turns little from frame to frame, so that where the pose jumps either side may be wrong. What lies between
two jumps, a run, is tried turned back by the one or the other: frames in a symmetry mate of their pose differ from it
by one rotation of the particle, which the jump shows but for the turn from one frame to the next, and a few frames of
the run tell exactly. Then the frames at a jump are compared with the atoms in the poses round that of the frame on the
other side. All keep what explains them better by a clear margin; true jumps stay: nothing explains them better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from single_rs import _core
from single_rs.base.sampling import evenly
from single_rs.refine.problem import Model, RefinementProblem, single

__all__ = ["reassign_frames"]

JUMP = 20.0  # degrees
REACH, STEP = 11.0, 4.5  # degrees: of the poses tried round that of a neighbour, and between them
WINDOW, SPACING = 4, 0.5  # px: steps to each side of the neighbour's shift, and between them
FOCI = (-1.6, -0.8, 0.0, 0.8, 1.6)  # standard deviations of the focus, at which a frame is tried
MARGIN = 10.0  # nats
PASSES = 24  # a run of wrong frames that is longer by twice as much, and no mate, stays
SHORT, SAMPLED = 3, 3  # frames of a run that is tried as a whole, and frames of it that are tried


@dataclass(frozen=True)
class _Tried:
    """Frames (c,) with new poses, their depths in px, and the log-likelihood over an empty frame."""

    frame: NDArray[np.int64]
    rotations: NDArray[np.float32]
    shifts: NDArray[np.float32]
    depths: NDArray[np.float32]
    nats: NDArray[np.float64]


def reassign_frames(problem: RefinementProblem, model: Model) -> int:
    """Give frames in use the pose of a neighbour where that is clearly better; return how many changed."""
    used = np.flatnonzero(problem.frame_weights > 0)
    now = problem.fitness(model).log_likelihood_ratio.copy()
    changed = np.zeros(len(now), bool)
    fresh = np.ones(len(now), bool)  # whose pose was not yet offered to its neighbours
    around, foci = _around(), _foci(problem, used)
    known: set[tuple[int, int]] = set()
    while len(turned := _turn_back(problem, model, used, now, around, foci, known)):
        changed[turned] = True
    for _ in range(PASSES):
        jump = _jumps(problem, used)
        frame = np.concatenate([used[jump + 1], used[jump]])
        source = np.concatenate([used[jump], used[jump + 1]])
        frame, source = frame[fresh[source]], source[fresh[source]]
        if not len(frame):
            break
        fresh[:] = False
        shift = problem.centres[source] + problem.shifts[source] - problem.centres[frame]
        better = _keep(problem, now, _try(problem, model, frame, problem.rotations[source], shift, around, foci))
        if not len(better):
            break
        changed[better] = fresh[better] = True
    return int(changed.sum())


def _jumps(problem: RefinementProblem, used: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places in `used` after which the pose jumps."""
    turn = Rotation.from_matrix(problem.rotations[used].astype(float))
    return np.flatnonzero((turn[1:] * turn[:-1].inv()).magnitude() > np.deg2rad(JUMP))


def _turn_back(
    problem: RefinementProblem,
    model: Model,
    used: NDArray[np.int64],
    now: NDArray[np.float64],
    around: NDArray[np.float64],
    foci: NDArray[np.float64],
    known: set[tuple[int, int]],
) -> NDArray[np.int64]:
    """Turn the runs between jumps back by them where their frames ask for it; return the frames that changed.

    Runs are tried once, and again when what lies beside them has joined them: `known` has their first and last frames.
    """
    jump = _jumps(problem, used)
    rotations = problem.rotations.astype(float)
    turn = np.einsum("jba,jbc->jac", rotations[used[jump]], rotations[used[jump + 1]])  # of the particle
    runs = np.split(used, jump + 1)
    offers = []  # of frames of a run: run, frame, pose
    for number, run in enumerate(runs):
        if len(run) < SHORT or 2 * len(run) > len(used) or (run[0], run[-1]) in known:
            continue  # the ends of a short run meet its neighbours; what most frames agree in needs no mate
        known.add((int(run[0]), int(run[-1])))
        sample = run[evenly(len(run), SAMPLED)]
        back = [*turn[number - 1 : number].transpose(0, 2, 1), *turn[number : number + 1]] if len(turn) else []
        offers += [(number, at, rotations[at] @ one) for one in back for at in sample]
    if not offers:
        return used[:0]
    of, frame = (np.array([offer[k] for offer in offers]) for k in (0, 1))
    tried = _try(problem, model, frame, np.array([offer[2] for offer in offers]), problem.shifts[frame], around, foci)
    gain = tried.nats - now[frame]
    frames, poses = [], []
    for number in np.unique(of[gain > MARGIN]):
        best = int(np.argmax(np.where(of == number, gain, -np.inf)))
        mate = rotations[frame[best]].T @ tried.rotations[best]
        frames.append(runs[number])
        poses.append(rotations[runs[number]] @ mate)
    if not frames:
        return used[:0]
    frame = np.concatenate(frames)
    offered = np.concatenate(poses)
    return _keep(problem, now, _try(problem, model, frame, offered, problem.shifts[frame], np.eye(3)[None], foci))


def _keep(problem: RefinementProblem, now: NDArray[np.float64], tried: _Tried) -> NDArray[np.int64]:
    """Put clearly better poses into the problem, and their log-likelihoods into `now`; return their frames."""
    better = np.flatnonzero(tried.nats > now[tried.frame] + MARGIN)
    better = better[np.argsort(tried.nats[better], kind="stable")]  # of two offers the better one comes last
    at = tried.frame[better]
    rotations, shifts = problem.rotations.copy(), problem.shifts.copy()
    rotations[at], shifts[at], now[at] = tried.rotations[better], tried.shifts[better], tried.nats[better]
    problem.rotations, problem.shifts = rotations, shifts
    if problem.depths is not None:
        problem.depths = problem.depths.copy()
        problem.depths[at] = tried.depths[better]
    return np.unique(at)


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
    rotations: NDArray[np.floating[Any]],
    shift: NDArray[np.floating[Any]],
    around: NDArray[np.float64],
    foci: NDArray[np.float64],
) -> _Tried:
    """Best pose of each of `frame` (c,) round (c, 3, 3) and (c, 2) px, refined at the best of all depths."""
    count = len(around)
    turned = np.einsum("aij,cjk->caik", around, rotations.astype(float)).reshape(-1, 3, 3)
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
