"""Solve one half of the frames: from quotient states to full poses, knowing nothing of the other half.

1. *Seed.* A few dozen frames give a model of occupied lattice sites (`seed`), or a map (`first_map`).
2. *Grow.* All mates of all possible states of all frames are compared with it (`search`), and a hidden Markov model
   picks.
3. *Map.* The same against the atoms that maps show, which needs no lattice, until the frames are explained no better
   than the round before. From the second such round on every frame tries all mates of its pose, and only frames in
   doubt are searched all over (`round`). Before each round the particle is centred among its frames, and the window of
   shifts is widened where the errors of the measured centres fill it.

Frames that a nearly symmetric particle divides between its mates make a map that is as symmetric, and rounds against it
part them slowly or never. A half that is still divided after some rounds is laid on the map of its longest run of
frames without a jump, all of whose frames are in one mate.

After the seed, a frame is compared with models made of the other folds' time blocks only, and of that run with none of
its own. The folds take turns: were all to move at once, two that sit in different mates would change places for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from single_rs.orient.agreement import MOST_JUMPS
from single_rs.orient.chain import Chain
from single_rs.orient.frames import FOLDS
from single_rs.orient.mates import LONGEST_STEP
from single_rs.orient.merge import particle_translation
from single_rs.orient.quotient import States
from single_rs.orient.reference import Reference
from single_rs.orient.rotation_search import LONGEST_COMPARED, approximate_symmetries
from single_rs.orient.round import Fold, candidates_in_doubt, fold_of, in_doubt, search_round, with_own
from single_rs.orient.segments import longest_run
from single_rs.orient.solver import CONFIDENT, PER_FRAME, HalfPoses, HalfSolver, Sums
from single_rs.orient.volumes import shell_correlation
from single_rs.orient.witness import gain_over_null, lead_over_mates
from single_rs.trajectory import correlated_part

__all__ = ["Seed", "solve_half"]

Seed = Callable[[HalfSolver, States, dict[str, float]], Reference]  # a first model; notes what it found

FIRST_TEMPER = 0.1  # belief in the seed's likelihood, whose error is not known yet
LEAST_ROUNDS = 1  # against maps, after which a half may have converged
PATIENCE = 3  # rounds after which a divided half is laid on its longest run, and those that it needs from there
CONVERGED = (0.005, 0.01)  # gain of log-likelihood, as a share, and of frames in a clear pose, below which it has
FEWEST = 10  # frames in a clear pose that tell where the particle's centre is
OFF_CENTRE = 0.1  # Å
FILLED = 0.4  # of the window: errors of centres that scatter by more do not fit in; what fills it evenly has 0.58
SURE = 5.0  # standard errors
APART = 100  # frames that blocks count as apart: more than the lags at which shifts are compared


def solve_half(half: HalfSolver, states: States, seed: Seed, report: Callable[[str], None]) -> HalfPoses:
    """Poses of one half's frames from their quotient `states` and the first model that `seed` makes of them."""
    trail: dict[str, float] = {}
    report("seed")
    first = seed(half, states, trail)
    folds = [fold_of(half, states, number) for number in range(FOLDS)]
    report("grow")
    for fold in folds:
        fold.poses = search_round(half, fold, first, fold.candidates, FIRST_TEMPER)
    _note(trail, "growth", folds)
    score, placed = -np.inf, 0.0
    turns = half.template.group
    sums: list[Sums] = []
    converged = united = False
    for number in range(half.config.map_rounds):
        report("map")
        left = half.config.map_rounds - number
        if not united and (converged or number >= PATIENCE) and left > PATIENCE and _divided(folds):
            trail["run_frames"] = _lay_on_longest_run(half, folds, sums)
            united, score, placed = True, -np.inf, 0.0
            continue
        if _centre(half, folds) or not sums:
            sums = [half.sums(fold.frames, fold.poses) for fold in folds]
        widened = _widen(half, folds)
        for fold in folds:
            reference = half.map_reference(fold.frames, _others(sums, fold))
            if number > 0 and fold.number == 0:
                turns = _mates_of(half, reference)
            # What a wider window lets in may have been out of reach of all poses so far.
            if number == 0 or widened:
                doubt, pool = np.zeros(len(fold.members), bool), fold.candidates
            else:
                doubt = in_doubt(fold)
                pool = candidates_in_doubt(fold, doubt, turns)
            fold.take(search_round(half, fold, reference, with_own(pool, fold.poses), None), doubt)
            sums[fold.number] = half.sums(fold.frames, fold.poses)
        _note(trail, f"map_{number}", folds)
        score, before = trail[f"map_{number}_score"], score
        placed, placed_before = trail[f"map_{number}_confident"], placed
        gained = score >= before + CONVERGED[0] * abs(before) or placed >= placed_before + CONVERGED[1]
        converged = number >= LEAST_ROUNDS and not gained and not widened
        if converged and (united or left <= PATIENCE or not _divided(folds)):
            break
    trail["shift_window"] = half.window * half.spacing * half.frames.pixel_size
    trail |= _witnesses(half, folds, sums, turns)
    return _gathered(folds, trail)


def _divided(folds: list[Fold]) -> bool:
    """Whether frames seem to jump between several poses alike."""
    return _chain(folds).jump > MOST_JUMPS


def _centre(half: HalfSolver, folds: list[Fold]) -> bool:
    """Move the particle's origin to where the measured centres have it, if it is far from there.

    The first model's origin is where its own frames put it; shifts (R d)_xy of a particle that is d off its centre
    would use up the window of shifts in some views.
    """
    poses = _gathered(folds, {})
    clear = poses.confidence > CONFIDENT
    if clear.sum() < FEWEST:
        return False
    off = particle_translation(poses.rotations[clear], poses.shifts[clear])
    if np.linalg.norm(off) * half.frames.pixel_size < OFF_CENTRE:
        return False
    for fold in folds:
        moved = fold.poses.shifts - (fold.poses.rotations @ off)[:, :2]
        fold.poses = replace(fold.poses, shifts=moved)
    return True


def _widen(half: HalfSolver, folds: list[Fold]) -> bool:
    """Search a wider window of shifts from now on, where the centres' errors fill the present one.

    Centres are measured before anything is known of the particle. A grain that diffracts outshines its neighbours, so
    that a twin's centre may be off by more than an atom for as long as it keeps its orientation. What persists from
    frame to frame is the centre's error; wrong poses have any shift, another one in each frame.
    """
    poses = _gathered(folds, {})
    clear = np.flatnonzero(poses.confidence > CONFIDENT)
    if len(clear) < FEWEST:
        return False
    apart = clear + APART * half.block[clear]
    error = correlated_part(apart, poses.shifts[clear] - np.median(poses.shifts[clear], axis=0))
    sure = error.significance > SURE and np.sqrt(error.power) > FILLED * half.window * half.spacing
    return bool(sure) and half.widen()


def _lay_on_longest_run(half: HalfSolver, folds: list[Fold], sums: list[Sums]) -> float:
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
        pool = candidates_in_doubt(fold, in_doubt(fold), turns)
        new = search_round(half, fold, reference, with_own(pool, old), None)
        fold.poses = old.replaced(new, ~run[fold.members])
        sums[fold.number] = half.sums(fold.frames, fold.poses)
    return float(run.sum())


def _witnesses(half: HalfSolver, folds: list[Fold], sums: list[Sums], turns: NDArray[np.float64]) -> dict[str, float]:
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


def _gathered(folds: list[Fold], trail: dict[str, float]) -> HalfPoses:
    """Poses of all folds in the order of the half."""
    order = np.argsort(np.concatenate([f.members for f in folds]))
    joined = [np.concatenate([getattr(f.poses, name) for f in folds])[order] for name in PER_FRAME]
    return HalfPoses(*joined, _chain(folds), trail)


def _chain(folds: list[Fold]) -> Chain:
    chains = [f.poses.chain for f in folds]
    return Chain(float(np.mean([c.step for c in chains])), float(np.mean([c.jump for c in chains])))


def _note(trail: dict[str, float], stage: str, folds: list[Fold]) -> None:
    confidence, score = (np.concatenate([getattr(f.poses, n) for f in folds]) for n in ("confidence", "score"))
    trail[f"{stage}_confident"] = float((confidence > CONFIDENT).mean())
    trail[f"{stage}_score"] = float(score.mean())


def _total(sums: list[Sums]) -> Sums:
    return sum(s[0] for s in sums), sum(s[1] for s in sums)


def _others(sums: list[Sums], fold: Fold) -> Sums:
    """Accumulated slices of all folds but one."""
    return _total([s for number, s in enumerate(sums) if number != fold.number])


def _mates_of(half: HalfSolver, reference: Reference) -> NDArray[np.float64]:
    shells = (round(half.frames.box / LONGEST_COMPARED), half.frames.plane.max_shell)
    return approximate_symmetries(reference.volume, *shells)
