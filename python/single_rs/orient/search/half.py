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

import numpy as np
from numpy.typing import NDArray

from single_rs.frames.packed import FOLDS
from single_rs.frames.volume import shell_correlation
from single_rs.orient.agreement import MOST_JUMPS
from single_rs.orient.indexing.lattice import States
from single_rs.orient.indexing.rotation_search import LONGEST_COMPARED, approximate_symmetries
from single_rs.orient.indexing.symmetry import LONGEST_STEP
from single_rs.orient.models.reference import Reference
from single_rs.orient.search.centres import centre, widen
from single_rs.orient.search.cross_validation import gain_over_null, lead_over_mates
from single_rs.orient.search.round import (
    Fold,
    candidates_in_doubt,
    chain_of,
    fold_of,
    gathered,
    in_doubt,
    search_round,
    with_own,
)
from single_rs.orient.search.segments import longest_run
from single_rs.orient.search.solver import CONFIDENT, HalfPoses, HalfSolver, Sums, others, total

__all__ = ["Seed", "diagnostics", "mates_of", "solve_half"]

Seed = Callable[[HalfSolver, States, dict[str, float]], Reference]  # a first model; notes what it found

FIRST_TEMPER = 0.1  # belief in the seed's likelihood, whose error is not known yet
LEAST_ROUNDS = 1  # against maps, after which a half may have converged
PATIENCE = 3  # rounds after which a divided half is laid on its longest run, and those that it needs from there
CONVERGED = (0.005, 0.01)  # gain of log-likelihood, as a share, and of frames in a clear pose, below which it has


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
        if centre(half, folds) or not sums:
            sums = [half.sums(fold.frames, fold.poses) for fold in folds]
        widened = widen(half, folds)
        for fold in folds:
            reference = half.map_reference(fold.frames, others(sums, fold.number))
            if number > 0 and fold.number == 0:
                turns = mates_of(half, reference)
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
    trail |= diagnostics(half, folds, sums, turns)
    return gathered(folds, trail)


def _divided(folds: list[Fold]) -> bool:
    """Whether frames seem to jump between several poses alike."""
    return chain_of(folds).jump > MOST_JUMPS


def _lay_on_longest_run(half: HalfSolver, folds: list[Fold], sums: list[Sums]) -> float:
    """Search all frames but those of the longest run against its map; returns how many frames that has."""
    poses = gathered(folds, {})
    run = longest_run(poses.rotations, poses.confidence, half.block, LONGEST_STEP * poses.chain.step)
    weight = poses.confidence * run
    one = np.zeros(len(run), np.int64)
    reference = half.map_reference(
        half.frames, half.insert(half.frames, weight, poses.rotations, poses.shifts, one, 1)[0]
    )
    turns = mates_of(half, reference)
    for fold in folds:
        old = fold.poses
        pool = candidates_in_doubt(fold, in_doubt(fold), turns)
        new = search_round(half, fold, reference, with_own(pool, old), None)
        fold.poses = old.replaced(new, ~run[fold.members])
        sums[fold.number] = half.sums(fold.frames, fold.poses)
    return float(run.sum())


def diagnostics(half: HalfSolver, folds: list[Fold], sums: list[Sums], turns: NDArray[np.float64]) -> dict[str, float]:
    """Agreement of two maps that share no frame, and what the poses in each are worth against the other."""
    apart = [half.map_reference(half.frames, total(sums[part::2])) for part in (0, 1)]
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


def _note(trail: dict[str, float], stage: str, folds: list[Fold]) -> None:
    confidence, score = (np.concatenate([getattr(f.poses, n) for f in folds]) for n in ("confidence", "score"))
    trail[f"{stage}_confident"] = float((confidence > CONFIDENT).mean())
    trail[f"{stage}_score"] = float(score.mean())


def mates_of(half: HalfSolver, reference: Reference) -> NDArray[np.float64]:
    """Turns (m, 3, 3) that lay the model roughly on itself, the identity first."""
    shells = (round(half.frames.box / LONGEST_COMPARED), half.frames.plane.max_shell)
    return approximate_symmetries(reference.volume, *shells)
