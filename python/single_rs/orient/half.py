"""Solve one half of the frames: from quotient states to full poses, knowing nothing of the other half.

1. *Seed.* A few dozen frames give a model of occupied lattice sites (`seed`), or a map (`first_map`).
2. *Grow.* All mates of all possible states of all frames are compared with it (`search`), and a hidden Markov model
   picks.
3. *Map.* The same against the atoms that maps show, which needs no lattice, until the frames are explained no better
   than the round before. From the second such round on every frame tries all mates of its pose, and only frames in
   doubt are searched as a whole; for them also the neighbourhood of the poses before and after is tried, since near a
   zone axis, or at a dose of one electron per pixel, the index may miss the right state altogether.

Frames that a nearly symmetric particle divides between its mates make a map that is as symmetric, and rounds against it
part them slowly or never. A half that is still divided after some rounds is laid on the map of its longest run of
frames without a jump, all of whose frames are in one mate.

After the seed, a frame is compared with models made of the other folds' time blocks only, and of that run with none of
its own. The folds take turns: were all to move at once, two that sit in different mates would change places for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from single_rs.orient.agreement import MOST_JUMPS
from single_rs.orient.chain import Chain
from single_rs.orient.frames import FOLDS, FrameSet
from single_rs.orient.mates import LONGEST_STEP, Candidates, all_mates, choose
from single_rs.orient.quotient import States
from single_rs.orient.reference import Reference, exact_fit, likelihood, polish
from single_rs.orient.rotation_search import LONGEST_COMPARED, approximate_symmetries
from single_rs.orient.search import SearchPlan, search
from single_rs.orient.segments import longest_run
from single_rs.orient.solver import CONFIDENT, PER_FRAME, HalfPoses, HalfSolver, Sums
from single_rs.orient.volumes import shell_correlation
from single_rs.orient.witness import gain_over_null, lead_over_mates
from single_rs.robust import robust_sigma

__all__ = ["Seed", "solve_half"]

Seed = Callable[[HalfSolver, States, dict[str, float]], Reference]  # a first model; notes what it found

FIRST_TEMPER = 0.1  # belief in the seed's likelihood, whose error is not known yet
LEAST_TEMPER = 0.02
NO_GAIN = 1e-6  # of a bad frame: its pose may be any
POLISH_CHOSEN = 3  # iterations that a chosen pose is polished before it enters a map
LEAST_ROUNDS = 1  # against maps, after which a half may have converged
PATIENCE = 3  # rounds after which a divided half is laid on its longest run, and those that it needs from there
CONVERGED = 0.01  # gain of log-likelihood, as a share, and of frames in a clear pose in a round, below which it has
ALONE = 3.0  # widths of the step by which a pose must miss both its neighbours' to be doubted
NEAR_REACH = np.radians(12.0)  # how far from the neighbours' poses a frame in doubt is tried
NEAR_STEP = np.radians(2.6)  # grid of those trials; climbing closes the rest
NEAR_PRIOR = -3.0  # nats of a pose that only time proposes, beside the index's states


@dataclass
class _Fold:
    """Frames of one fold and their poses so far."""

    number: int
    members: NDArray[np.int64]  # index into the half
    frames: FrameSet
    block: NDArray[np.int64]
    candidates: Candidates
    poses: HalfPoses


def solve_half(half: HalfSolver, states: States, seed: Seed, report: Callable[[str], None]) -> HalfPoses:
    """Poses of one half's frames from their quotient `states` and the first model that `seed` makes of them."""
    trail: dict[str, float] = {}
    report("seed")
    first = seed(half, states, trail)
    folds = [_fold(half, states, number) for number in range(FOLDS)]
    report("grow")
    for fold in folds:
        fold.poses = _round(half, fold, first, fold.candidates, FIRST_TEMPER)
    _note(trail, "growth", folds)
    score, placed = -np.inf, 0.0
    turns = half.template.group
    sums = [half.sums(fold.frames, fold.poses) for fold in folds]
    converged = united = False
    for number in range(half.config.map_rounds):
        report("map")
        left = half.config.map_rounds - number
        if not united and (converged or number >= PATIENCE) and left > PATIENCE and _divided(folds):
            trail["run_frames"] = _lay_on_longest_run(half, folds, sums)
            united, score, placed = True, -np.inf, 0.0
            continue
        for fold in folds:
            reference = half.map_reference(fold.frames, _others(sums, fold))
            if number > 0 and fold.number == 0:
                turns = _mates_of(half, reference)
            pool = fold.candidates if number == 0 else _in_doubt(fold, turns)
            fold.poses = _round(half, fold, reference, _with_own(pool, fold.poses), None)
            sums[fold.number] = half.sums(fold.frames, fold.poses)
        _note(trail, f"map_{number}", folds)
        score, before = trail[f"map_{number}_score"], score
        placed, placed_before = trail[f"map_{number}_confident"], placed
        gained = score >= before + CONVERGED * abs(before) or placed >= placed_before + CONVERGED
        converged = number >= LEAST_ROUNDS and not gained
        if converged and (united or left <= PATIENCE or not _divided(folds)):
            break
    trail |= _witnesses(half, folds, sums, turns)
    return _gathered(folds, trail)


def _divided(folds: list[_Fold]) -> bool:
    """Whether frames seem to jump between several poses alike."""
    return _chain(folds).jump > MOST_JUMPS


def _lay_on_longest_run(half: HalfSolver, folds: list[_Fold], sums: list[Sums]) -> float:
    """Search all frames but those of the longest run against its map; returns how many frames that has."""
    poses = _gathered(folds, {})
    run = longest_run(poses.rotations, poses.confidence, half.block, LONGEST_STEP * poses.chain.step)
    weight = poses.confidence * run
    one = np.zeros(len(run), np.int64)
    reference = half.map_reference(
        half.frames, half.insert(half.frames, weight, poses.rotations, poses.shifts, one, 1)[0]
    )
    turns = _mates_of(half, reference)
    for fold in folds:
        old = fold.poses
        new = _round(half, fold, reference, _with_own(_in_doubt(fold, turns), old), None)
        fold.poses = old.replaced(new, ~run[fold.members])
        sums[fold.number] = half.sums(fold.frames, fold.poses)
    return float(run.sum())


def _witnesses(half: HalfSolver, folds: list[_Fold], sums: list[Sums], turns: NDArray[np.float64]) -> dict[str, float]:
    """Agreement of two maps that share no frame, and what the poses in each are worth against the other."""
    apart = [half.map_reference(half.frames, _total(sums[part::2])) for part in (0, 1)]
    correlation = shell_correlation(*(reference.volume for reference in apart))
    lead, null = [], []
    for fold in folds:
        own = (fold.frames, apart[1 - fold.number % 2], fold.poses.rotations, fold.poses.shifts)
        lead.append(lead_over_mates(*own, turns, half.window))
        null.append(gain_over_null(*own, half.window))
    return {
        "map_correlation": float(np.mean(correlation[half.frames.plane.max_shell // 3 :])),
        "mate_lead": min(lead),
        "gain_over_null": min(null),
    }


def _fold(half: HalfSolver, states: States, number: int) -> _Fold:
    members = np.flatnonzero(half.fold == number)
    nowhere = HalfPoses(
        np.tile(np.eye(3), (len(members), 1, 1)),
        np.zeros((len(members), 2)),
        np.zeros(len(members)),
        np.zeros(len(members)),
        np.full(len(members), np.pi),
        states.chain,
        {},
    )
    candidates = Candidates.mates(states.take(members), half.template.group)
    return _Fold(number, members, half.frames.take(members), half.block[members], candidates, nowhere)


def _gathered(folds: list[_Fold], trail: dict[str, float]) -> HalfPoses:
    """Poses of all folds in the order of the half."""
    order = np.argsort(np.concatenate([f.members for f in folds]))
    joined = [np.concatenate([getattr(f.poses, name) for f in folds])[order] for name in PER_FRAME]
    return HalfPoses(*joined, _chain(folds), trail)


def _chain(folds: list[_Fold]) -> Chain:
    chains = [f.poses.chain for f in folds]
    return Chain(float(np.mean([c.step for c in chains])), float(np.mean([c.jump for c in chains])))


def _note(trail: dict[str, float], stage: str, folds: list[_Fold]) -> None:
    confidence, score = (np.concatenate([getattr(f.poses, n) for f in folds]) for n in ("confidence", "score"))
    trail[f"{stage}_confident"] = float((confidence > CONFIDENT).mean())
    trail[f"{stage}_score"] = float(score.mean())


def _total(sums: list[Sums]) -> Sums:
    return sum(s[0] for s in sums), sum(s[1] for s in sums)


def _others(sums: list[Sums], fold: _Fold) -> Sums:
    """Accumulated slices of all folds but one."""
    return _total([s for number, s in enumerate(sums) if number != fold.number])


def _with_own(candidates: Candidates, poses: HalfPoses) -> Candidates:
    return candidates.joined(poses.rotations, np.arange(len(poses.rotations)), 0.0)


def _round(
    half: HalfSolver, fold: _Fold, reference: Reference, candidates: Candidates, temper: float | None
) -> HalfPoses:
    """Search all frames of a fold, compare the finalists exactly, let the chain decide, polish what it chose."""
    every = np.arange(len(fold.members))
    finalists = search(fold.frames, reference, candidates, SearchPlan(half.window, temper or 1.0))
    frame, place = np.nonzero(finalists.there)
    start = (finalists.rotations[frame, place], finalists.shifts[frame, place])
    rotations, shifts = finalists.rotations, finalists.shifts
    overlap, strength = exact_fit(fold.frames, reference, start[0], frame, start[1])
    likely = np.full(finalists.there.shape, -np.inf)
    power = np.ones(finalists.there.shape)
    likely[frame, place] = likelihood(overlap, strength, frame, fold.frames.gain)
    power[frame, place] = strength * fold.frames.gain[frame]
    if temper is None:
        best = (every, likely.argmax(axis=1))
        temper = _temper(likely[best], power[best])
    path, confidence, chain = choose(rotations, temper * likely, finalists.there, fold.block, fold.poses.chain)
    at = (every, path)
    best = polish(fold.frames, reference, rotations[at], shifts[at], POLISH_CHOSEN)
    gained = likelihood(best.overlap, best.power, every, fold.frames.gain)
    # The likelihood is believed as far here as between poses: noise alone would promise half the error there is.
    width = np.minimum(best.error / np.sqrt(temper * np.maximum(fold.frames.gain, NO_GAIN)), np.pi)
    return HalfPoses(best.rotations, best.shifts, gained, confidence, width, chain, {})


def _temper(gain: NDArray[np.float64], power: NDArray[np.float64]) -> float:
    """Share of a log-likelihood to believe: one over its overdispersion.

    At the right pose the gain of a frame is s² a on average, with variance 2 s² a from the noise alone. What it varies
    beyond that is error of the model, which does not average out (McCullagh and Nelder 1989, section 4.5).
    """
    used = power > 0  # bad frames have no weight
    scale = np.median(gain[used] / power[used])  # s², of frames mostly in their right pose
    expected = np.maximum(scale * power[used], 1.0)
    z = (gain[used] - expected) / np.sqrt(2 * expected)
    return float(np.clip(1 / max(robust_sigma(z), 1e-3) ** 2, LEAST_TEMPER, 1.0))


def _in_doubt(fold: _Fold, turns: NDArray[np.float64]) -> Candidates:
    """All mates of every pose; of frames in doubt all candidates and what the frames before and after propose.

    A coherent part of the frames may sit in one wrong mate, without doubt, until the model is good enough to call it.
    `turns` (m, 3, 3) lay the model roughly on itself: those of the lattice, or of a twin.
    """
    poses = fold.poses
    doubt = (poses.confidence < CONFIDENT) | _alone(fold)
    mates = all_mates(poses.rotations[:, None], turns)
    every = np.repeat(np.arange(len(doubt)), mates.shape[1])
    out = fold.candidates.of_frames(doubt).joined(mates.reshape(-1, 3, 3), every, 0.0)
    offsets = _ball(NEAR_REACH, NEAR_STEP)
    lost = np.flatnonzero(doubt)
    for way in (-1, 1):
        beside = lost + way
        inside = (beside >= 0) & (beside < len(doubt))
        frame, beside = lost[inside], beside[inside]
        same = fold.block[frame] == fold.block[beside]
        frame, beside = frame[same], beside[same]
        tried = np.einsum("bij,njk->nbik", offsets, poses.rotations[beside]).reshape(-1, 3, 3)
        out = out.joined(tried, np.repeat(frame, len(offsets)), NEAR_PRIOR)
    return out


def _mates_of(half: HalfSolver, reference: Reference) -> NDArray[np.float64]:
    shells = (round(half.frames.box / LONGEST_COMPARED), half.frames.plane.max_shell)
    return approximate_symmetries(reference.volume, *shells)


def _alone(fold: _Fold) -> NDArray[np.bool_]:
    """Frames (n,) that are a jump away from the frames on both sides."""
    r = fold.poses.rotations
    cosine = (np.einsum("nij,nij->n", r[1:], r[:-1]) - 1) / 2
    far = np.arccos(np.clip(cosine, -1, 1)) > ALONE * fold.poses.chain.step
    far |= fold.block[1:] != fold.block[:-1]
    return np.asarray(np.append(True, far) & np.append(far, True))


def _ball(radius: float, step: float) -> NDArray[np.float64]:
    """Rotations (b, 3, 3) by less than `radius` on a body-centred grid, whose points are about `step` apart (rad)."""
    edge = step * 2 / np.sqrt(3)  # of the cube; its centre is half the diagonal away
    reach = int(np.ceil(radius / edge)) + 1
    corner = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    vectors = edge * np.concatenate([corner, corner + 0.5])
    return np.asarray(Rotation.from_rotvec(vectors[np.linalg.norm(vectors, axis=1) <= radius]).as_matrix())
