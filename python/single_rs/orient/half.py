"""Solve one half of the frames: from quotient states to full poses, knowing nothing of the other half.

1. Refine the quotient states; seed and grow a site model to break the lattice's symmetry (`growth`).
2. *Volumes.* Score all mates against the atoms that held-out maps show, which needs no lattice; the best mates of each
   frame are polished before they are compared, since a polished pose always beats an unpolished rival. Frames that are
   still unexplained are searched again among all states of their index.
3. *Polish* at full resolution against held-out volumes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from single_rs.orient.frames import FrameSet
from single_rs.orient.growth import grow, seed_model
from single_rs.orient.mates import Candidates, all_mates, best_of, choose
from single_rs.orient.quotient import States, nearest_mates, refine_states, to_quaternions
from single_rs.orient.solver import CONFIDENT, DOUBTFUL, HalfPoses, HalfSolver
from single_rs.orient.volumes import shell_correlation

__all__ = ["solve_half"]

LEAST_STATE = 0.01  # probability of a quotient state whose mates are still compared
SAME_POSE = np.radians(3.0)  # poses nearer than this are one
NEAR_POSE = np.radians(14.0)  # how far from the present pose the index's other states are tried again
OUTLIER = 2.5  # widths below the median that make a frame unexplained
HOPELESS = 20.0  # tempered nats behind the best at which a candidate is not polished
FINALISTS = 6  # mates polished against a volume before they are compared


def solve_half(
    half: HalfSolver, fine: HalfSolver, states: States, spare: NDArray[np.float64], report: Callable[[str], None]
) -> HalfPoses:
    """Poses of one half's frames from their quotient `states`.

    `fine` holds the same frames at full resolution, `spare` (n, k, 3, 3) index candidates for the frames that no state
    explains.
    """
    frames, config, template = half.frames, half.config, half.template
    report("refine states")
    refined = refine_states(frames, states, template, half.diameter, half.window, half.spacing)
    candidates = Candidates.mates(refined, states.probability, template.group, LEAST_STATE)
    trail: dict[str, float] = {}
    report("seed")
    model = seed_model(half, refined[:, 0], trail)
    rotations, shifts, confidence = grow(half, model, candidates, trail, report)
    score = np.zeros(len(confidence))
    for number in range(config.volume_rounds):
        report("volumes")
        volumes, correlation = _held_out(half, frames, rotations, shifts, confidence)
        if number == 1:
            lost = _unexplained(score, half.gains(frames, volumes, rotations)) | (confidence < CONFIDENT)
            trail["searched_again"] = float(lost.mean())
            candidates = _search_again(candidates, rotations, np.flatnonzero(lost), spare, template.group)
        pool = candidates.joined(rotations)
        rotations, shifts, confidence, score, candidates = _compare(half, volumes, pool)
        trail[f"volume_{number}_fsc"] = float(np.mean(correlation[frames.plane.max_shell // 3 :]))
        trail[f"volume_{number}_confident"] = float((confidence > CONFIDENT).mean())
        trail[f"volume_{number}_score"] = float(score.mean())
    every = np.arange(len(confidence))
    for _ in range(config.polish_rounds):
        report("polish")
        volumes, _ = _held_out(fine, fine.frames, rotations, shifts, confidence)
        rotations, shifts, score = fine.polish(fine.frames, volumes, fine.fold, rotations, shifts, every, 10)
    trail["final_score"] = float(score.mean())
    return HalfPoses(rotations, shifts, score, confidence, half.step, half.jump, trail)


def _held_out(
    half: HalfSolver,
    frames: FrameSet,
    rotations: NDArray[np.float64],
    shifts: NDArray[np.float64],
    confidence: NDArray[np.float64],
) -> tuple[list[NDArray[np.complex64]], NDArray[np.float64]]:
    """Volume for each fold, made of the other's confident frames, and the correlation between the two per shell."""
    sums = half.insert(frames, confidence * (confidence > DOUBTFUL), rotations, shifts, half.fold, 2)
    volumes = [half.masked_volume(frames, s) for s in sums]
    return [volumes[1], volumes[0]], shell_correlation(*volumes)


def _unexplained(score: NDArray[np.float64], power: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Frames (n,) whose log-likelihood falls far short of the power their slice should explain.

    A right pose gains about the power s² a of its own slice, whatever the zone axis; a wrong one pays for half of it.
    """
    ratio = score / np.maximum(power, 1e-9)
    middle = np.median(ratio)
    width = 1.4826 * np.median(np.abs(ratio - middle))
    return np.asarray(ratio < middle - OUTLIER * width)


def _search_again(
    candidates: Candidates,
    rotations: NDArray[np.float64],
    lost: NDArray[np.int64],
    spare: NDArray[np.float64],
    group: NDArray[np.float64],
) -> Candidates:
    """Add what the index knows: for every frame its candidates near the present pose, for lost ones all their mates.

    Near zone axes the chain may have settled on a neighbouring state some degrees off, which polishing cannot leave.
    """
    aligned, angle = nearest_mates(to_quaternions(spare), to_quaternions(rotations), group)
    frame, place = np.nonzero((angle > SAME_POSE) & (angle < NEAR_POSE))
    near = Rotation.from_quat(np.roll(aligned[frame, place], -1, axis=1)).as_matrix()
    prior = float(np.log(LEAST_STATE))
    candidates = candidates.joined(near, frame, prior)
    if not len(lost):
        return candidates
    mates = all_mates(spare[lost], group)
    return candidates.joined(mates.reshape(-1, 3, 3), np.repeat(lost, mates.shape[1]), prior)


def _compare(
    half: HalfSolver, volumes: list[NDArray[np.complex64]], candidates: Candidates
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], Candidates]:
    """Score all candidates, polish the best few of each frame, let the chain decide; also returns those few."""
    frames, n = half.frames, len(half.fold)
    likelihood, shifts = half.score(frames, volumes, half.fold, candidates.rotations, candidates.frame)
    total = likelihood + candidates.prior / half.config.temper
    top, there = best_of(candidates.frame, total, FINALISTS)
    there &= total[top] > total[top[:, :1]] - HOPELESS / half.config.temper
    frame, place = np.nonzero(there)
    flat = top[frame, place]
    refined = half.polish(frames, volumes, half.fold, candidates.rotations[flat], shifts[flat], frame)
    r, t = np.tile(np.eye(3), (n, FINALISTS, 1, 1)), np.zeros((n, FINALISTS, 2))
    likelihood = np.full((n, FINALISTS), -np.inf)
    r[frame, place], t[frame, place], likelihood[frame, place] = refined
    # Finalists that polishing brought together are one pose: the best of them stands for all.
    trace = np.einsum("naij,nbij->nab", r, r)
    same = np.triu(trace > 1 + 2 * np.cos(SAME_POSE), k=1).any(axis=1)
    there = there & ~same
    pick, confidence = choose(r, half.config.temper * likelihood, there, half.block, half.step, half.jump)
    at = (np.arange(n), pick)
    return r[at], t[at], confidence, likelihood[at], candidates.only(top)
