"""Solve one half of the frames: from quotient states to full poses, knowing nothing of the other half.

1. *Seed.* A few dozen frames give a model of occupied lattice sites (`seed`).
2. *Grow.* All mates of all possible states of all frames are compared with it (`search`), a hidden Markov model picks,
   and the sites are solved again from the confident frames.
3. *Map.* The same against the atoms that maps show, which needs no lattice, until the frames are explained no better
   than the round before. From the second such round on every frame tries all mates of its pose, and only frames in
   doubt are searched as a whole; for them also the neighbourhood of the poses before and after is tried, since near a
   zone axis, or at a dose of one electron per pixel, the index may miss the right state altogether.
4. *Polish* at full resolution.

From the second round of growth on, a frame is compared with models made of the other fold's time blocks only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from single_rs.orient.chain import Chain
from single_rs.orient.mates import Candidates, all_mates, choose
from single_rs.orient.quotient import States
from single_rs.orient.reference import Reference
from single_rs.orient.search import search
from single_rs.orient.seed import next_model, seed_model
from single_rs.orient.solver import CONFIDENT, DOUBTFUL, HalfPoses, HalfSolver
from single_rs.orient.volumes import shell_correlation

__all__ = ["solve_half"]

FIRST_TEMPER = 0.1  # belief in the seed's likelihood, whose error is not known yet
LEAST_TEMPER = 0.02
POLISH_SEARCH = 3  # iterations that a finalist is polished before it is compared
LEAST_ROUNDS = 2  # against maps, after which a half may have converged
CONVERGED = 0.01  # relative gain of log-likelihood in a round below which it has
ALONE = 3.0  # widths of the step by which a pose must miss both its neighbours' to be doubted
NEAR_REACH = np.radians(12.0)  # how far from the neighbours' poses a frame in doubt is tried
NEAR_STEP = np.radians(2.6)  # grid of those trials; climbing closes the rest
NEAR_PRIOR = -3.0  # nats of a pose that only time proposes, beside the index's states


def solve_half(half: HalfSolver, fine: HalfSolver, states: States, report: Callable[[str], None]) -> HalfPoses:
    """Poses of one half's frames from their quotient `states`; `fine` holds the same frames at full resolution."""
    config, count = half.config, len(half.fold)
    candidates = Candidates.mates(states, half.template.group)
    trail: dict[str, float] = {}
    report("seed")
    model = seed_model(half, states, trail)
    references, of = [half.site_reference(model)], np.zeros(count, np.int64)
    poses: HalfPoses | None = None
    for number in range(config.growth_rounds):
        report("grow")
        poses = _round(half, references, of, candidates, poses, FIRST_TEMPER, states.chain)
        _note(trail, f"growth_{number}", poses)
        if number + 1 < config.growth_rounds:
            sums = half.insert(half.frames, poses.confidence > CONFIDENT, poses.rotations, poses.shifts, half.fold, 2)
            # A frame of fold 0 is compared with the sites that fold 1 gave, and the other way round.
            references, of = [half.site_reference(next_model(half, sums[other], model)) for other in (1, 0)], half.fold
    assert poses is not None  # the configuration asks for one round at least
    for number in range(config.map_rounds):
        report("map")
        references = _held_out(half, poses)
        pool = candidates if number == 0 else _in_doubt(half, candidates, poses)
        before, poses = poses, _round(half, references, half.fold, pool, poses, None, poses.chain)
        correlation = shell_correlation(*(r.volume for r in references))
        trail["map_correlation"] = float(np.mean(correlation[half.frames.plane.max_shell // 3 :]))
        _note(trail, f"map_{number}", poses)
        if number >= LEAST_ROUNDS and poses.score.mean() < (1 + CONVERGED) * before.score.mean():
            break
    rotations, shifts, score = poses.rotations, poses.shifts, poses.score
    for _ in range(config.polish_rounds):
        report("polish")
        polished = HalfPoses(rotations, shifts, score, poses.confidence, poses.chain, trail)
        volumes = [r.volume for r in _held_out(fine, polished)]
        fitted = fine.polish(fine.frames, volumes, fine.fold, rotations, shifts, np.arange(count), 10)
        rotations, shifts, score = fitted.rotations, fitted.shifts, fitted.likelihood
    trail["final_score"] = float(score.mean())
    return HalfPoses(rotations, shifts, score, poses.confidence, poses.chain, trail)


def _note(trail: dict[str, float], stage: str, poses: HalfPoses) -> None:
    trail[f"{stage}_confident"] = float((poses.confidence > CONFIDENT).mean())
    trail[f"{stage}_score"] = float(poses.score.mean())


def _held_out(half: HalfSolver, poses: HalfPoses) -> list[Reference]:
    """Reference for each fold, made of the other's confident frames."""
    weight = poses.confidence * (poses.confidence > DOUBTFUL)
    sums = half.insert(half.frames, weight, poses.rotations, poses.shifts, half.fold, 2)
    return [half.map_reference(half.frames, sums[other]) for other in (1, 0)]


def _round(
    half: HalfSolver,
    references: list[Reference],
    of: NDArray[np.int64],
    candidates: Candidates,
    before: HalfPoses | None,
    temper: float | None,
    chain: Chain,
) -> HalfPoses:
    """Search all frames, polish the finalists, let the chain decide."""
    frames, count = half.frames, len(of)
    if before is not None:
        candidates = candidates.joined(before.rotations, np.arange(count), 0.0)
    starts = np.zeros((count, 2))
    finalists = search(frames, references, of, candidates, starts, half.window, temper or 1.0)
    frame, place = np.nonzero(finalists.there)
    fitted = half.polish(
        frames,
        [r.volume for r in references],
        of,
        finalists.rotations[frame, place],
        finalists.shifts[frame, place],
        frame,
        POLISH_SEARCH,
    )
    rotations, shifts = finalists.rotations.copy(), finalists.shifts.copy()
    likelihood = np.full(finalists.there.shape, -np.inf)
    power = np.ones(finalists.there.shape)
    rotations[frame, place], shifts[frame, place] = fitted.rotations, fitted.shifts
    likelihood[frame, place], power[frame, place] = fitted.likelihood, fitted.power
    if temper is None:
        best = (np.arange(count), likelihood.argmax(axis=1))
        temper = _temper(likelihood[best], power[best])
    pick, confidence, learnt = choose(rotations, temper * likelihood, finalists.there, half.block, chain)
    at = (np.arange(count), pick)
    return HalfPoses(rotations[at], shifts[at], likelihood[at], confidence, learnt, {})


def _temper(gain: NDArray[np.float64], power: NDArray[np.float64]) -> float:
    """Share of a log-likelihood to believe: one over its overdispersion.

    At the right pose the gain of a frame is s² a on average, with variance 2 s² a from the noise alone. What it varies
    beyond that is error of the model, which does not average out (McCullagh and Nelder 1989, section 4.5).
    """
    used = power > 0  # bad frames have no weight
    scale = np.median(gain[used] / power[used])  # s², of frames mostly in their right pose
    expected = np.maximum(scale * power[used], 1.0)
    z = (gain[used] - expected) / np.sqrt(2 * expected)
    spread = 1.4826 * np.median(np.abs(z - np.median(z)))
    return float(np.clip(1 / max(spread, 1e-3) ** 2, LEAST_TEMPER, 1.0))


def _in_doubt(half: HalfSolver, candidates: Candidates, poses: HalfPoses) -> Candidates:
    """All mates of every pose; of frames in doubt all candidates and what the frames before and after propose.

    A coherent part of the frames may sit in one wrong mate, without doubt, until the model is good enough to call it.
    """
    doubt = (poses.confidence < CONFIDENT) | _alone(half, poses)
    offsets = _ball(NEAR_REACH, NEAR_STEP)
    lost = np.flatnonzero(doubt)
    mates = all_mates(poses.rotations[:, None], half.template.group)
    every = np.repeat(np.arange(len(doubt)), mates.shape[1])
    out = candidates.of_frames(doubt).joined(mates.reshape(-1, 3, 3), every, 0.0)
    for way in (-1, 1):
        beside = lost + way
        inside = (beside >= 0) & (beside < len(doubt))
        frame, beside = lost[inside], beside[inside]
        same = half.block[frame] == half.block[beside]
        frame, beside = frame[same], beside[same]
        tried = np.einsum("bij,njk->nbik", offsets, poses.rotations[beside]).reshape(-1, 3, 3)
        out = out.joined(tried, np.repeat(frame, len(offsets)), NEAR_PRIOR)
    return out


def _alone(half: HalfSolver, poses: HalfPoses) -> NDArray[np.bool_]:
    """Frames (n,) that are a jump away from the frames on both sides."""
    r = poses.rotations
    cosine = (np.einsum("nij,nij->n", r[1:], r[:-1]) - 1) / 2
    far = np.arccos(np.clip(cosine, -1, 1)) > ALONE * poses.chain.step
    far |= half.block[1:] != half.block[:-1]
    return np.asarray(np.append(True, far) & np.append(far, True))


def _ball(radius: float, step: float) -> NDArray[np.float64]:
    """Rotations (b, 3, 3) by less than `radius` on a body-centred grid, whose points are about `step` apart (rad)."""
    edge = step * 2 / np.sqrt(3)  # of the cube; its centre is half the diagonal away
    reach = int(np.ceil(radius / edge)) + 1
    corner = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    vectors = edge * np.concatenate([corner, corner + 0.5])
    return np.asarray(Rotation.from_rotvec(vectors[np.linalg.norm(vectors, axis=1) <= radius]).as_matrix())
