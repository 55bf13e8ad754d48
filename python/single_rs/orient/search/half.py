"""Solve one half of the frames: from orientation candidates to full poses, independent of the other half.

1. *Seed.* A few dozen frames give a model of occupied lattice sites (`seed`), or a map (`first_map`).
2. *Grow.* All symmetry mates of all orientation candidates of all frames are compared with it (`search`), and a
   hidden Markov model picks.
3. *Map.* The same against the atoms that maps show, which needs no lattice, until the frames are explained no better
   than the round before, or where the first map, against which all candidates of all frames are tried, has left all
   poses where the sites had them. From the second such round on every frame tries all mates of its pose, and only
   frames in doubt are searched all over (`round`). Before each round the particle is centred among its frames, and the
   window of shifts is widened where the errors of the measured centres fill it.

Frames that a nearly symmetric particle divides between its mates make a map that is as symmetric, and rounds against it
part them slowly or never. A half whose poses are still ambiguous after some rounds is aligned to the map of its longest
run of frames without a jump, all of whose frames are in one mate.

After the seed, a frame is compared with models made of the other folds' time blocks only, and of that run with none of
its own. The folds are updated one after the other: updated together, two folds in different mates would exchange them
for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from single_rs.frames.packed import FOLDS
from single_rs.frames.volume import shell_correlation
from single_rs.orient.agreement import MOST_JUMPS
from single_rs.orient.indexing.lattice import OrientationCandidates
from single_rs.orient.indexing.rotation_search import LONGEST_COMPARED, approximate_symmetries
from single_rs.orient.indexing.symmetry import LONGEST_STEP, angle_between
from single_rs.orient.models.reference import Reference
from single_rs.orient.search.centres import centre, widen
from single_rs.orient.search.cross_validation import compare_mates, lead_over_null, mate_shares
from single_rs.orient.search.round import (
    STAYED,
    Fold,
    candidates_in_doubt,
    fold_of,
    gathered,
    in_doubt,
    search_round,
    transition_of,
    with_own,
)
from single_rs.orient.search.segments import Seed, longest_run
from single_rs.orient.search.solver import CONFIDENT, HalfPoses, HalfSolver, Sums, others, total
from single_rs.records import HalfDiagnostics, SearchRound

__all__ = ["HalfSolution", "cross_validated", "solve_half", "symmetries_of"]

First = Callable[[HalfSolver, OrientationCandidates], Seed[Reference]]  # makes a first model

FIRST_INVERSE_TEMPERATURE = 0.1  # of the seed's likelihood, whose error is not known yet
LEAST_ROUNDS = 1  # against maps, after which a half may have converged
PATIENCE = 3  # rounds after which an ambiguous half is aligned to its longest run, and rounds that it needs from there
# Of a half that the first map solves: least shares of frames in a clear pose before and after it, and the largest share
# of the clear ones that it moved.
SOLVED = (0.9, 0.99, 0.005)
CONVERGED = (0.005, 0.01)  # relative rise of log-likelihood, and of frames in a clear pose, below which it has


@dataclass(frozen=True)
class HalfSolution:
    """Poses of one half's frames and the history of their search."""

    poses: HalfPoses
    diagnostics: HalfDiagnostics


def solve_half(
    half: HalfSolver, indexed: OrientationCandidates, first: First, report: Callable[[str], None]
) -> HalfSolution:
    """Poses of one half's frames from their candidates `indexed` and the first model that `first` makes of them."""
    report("seed")
    seed = first(half, indexed)
    folds = [fold_of(half, indexed, number) for number in range(FOLDS)]
    report("grow")
    for fold in folds:
        fold.poses = search_round(half, fold, seed.model, fold.candidates, FIRST_INVERSE_TEMPERATURE)
    rounds = [SearchRound("growth", _score(folds), _confident(folds))]
    run_frames: float | None = None
    score, placed = -np.inf, 0.0
    grown = gathered(folds)
    symmetries = half.template.group
    sums: list[Sums] = []
    converged = united = False
    for number in range(half.config.map_rounds):
        report("map")
        left = half.config.map_rounds - number
        if not united and (converged or number >= PATIENCE) and left > PATIENCE and _is_ambiguous(folds):
            run_frames = _align_to_longest_run(half, folds, sums)
            united, score, placed = True, -np.inf, 0.0
            continue
        if centre(half, folds) or not sums:
            sums = [half.sums(fold.frames, fold.poses) for fold in folds]
        widened = widen(half, folds)
        for fold in folds:
            reference = half.map_reference(fold.frames, others(sums, fold.number))
            if number > 0 and fold.number == 0:
                symmetries = symmetries_of(half, reference)
            # What a wider window lets in may have been out of reach of all poses so far.
            if number == 0 or widened:
                doubt, pool = np.zeros(len(fold.members), bool), fold.candidates
            else:
                doubt = in_doubt(fold)
                pool = candidates_in_doubt(fold, doubt, symmetries)
            fold.take(search_round(half, fold, reference, with_own(pool, fold.poses), None), doubt)
            sums[fold.number] = half.sums(fold.frames, fold.poses)
        score, before = _score(folds), score
        placed, placed_before = _confident(folds), placed
        rounds.append(SearchRound("map", score, placed))
        gained = score >= before + CONVERGED[0] * abs(before) or placed >= placed_before + CONVERGED[1]
        converged = number >= LEAST_ROUNDS and not gained and not widened
        if number == 0 and not widened and not _is_ambiguous(folds) and _is_solved(grown, gathered(folds)):
            symmetries = symmetries_of(half, reference)
            break
        if converged and (united or left <= PATIENCE or not _is_ambiguous(folds)):
            break
    poses = gathered(folds)
    diagnostics = replace(
        cross_validated(half, folds, sums, symmetries),
        step_deg=float(np.degrees(poses.transition.step_sigma) * np.sqrt(3)),
        jump_share=poses.transition.jump_probability,
        seed_frames=float(seed.frames),
        seed_log_likelihood_ratio=seed.log_likelihood_ratio,
        run_frames=run_frames,
        shift_window=half.window * half.spacing * half.frames.pixel_size,
        rounds=tuple(rounds),
    )
    return HalfSolution(poses, diagnostics)


def _is_solved(grown: HalfPoses, mapped: HalfPoses) -> bool:
    """Whether the first map, in which every frame was searched all over, only confirms what the sites gave."""
    clear = grown.confidence > CONFIDENT
    moved = angle_between(grown.rotations[clear], mapped.rotations[clear]) > STAYED
    least_grown, least_mapped, most_moved = SOLVED
    confirmed = clear.mean() >= least_grown and (mapped.confidence > CONFIDENT).mean() >= least_mapped
    return bool(confirmed and moved.mean() <= most_moved)


def _is_ambiguous(folds: list[Fold]) -> bool:
    """Whether frames jump between several poses that explain them equally well."""
    return transition_of(folds).jump_probability > MOST_JUMPS


def _align_to_longest_run(half: HalfSolver, folds: list[Fold], sums: list[Sums]) -> float:
    """Search all frames but those of the longest run against its map; returns how many frames that has."""
    poses = gathered(folds)
    run = longest_run(poses.rotations, poses.confidence, half.block, LONGEST_STEP * poses.transition.step_sigma)
    weight = poses.confidence * run
    one = np.zeros(len(run), np.int64)
    reference = half.map_reference(
        half.frames, half.insert(half.frames, weight, poses.rotations, poses.shifts, one, 1)[0]
    )
    symmetries = symmetries_of(half, reference)
    for fold in folds:
        old = fold.poses
        pool = candidates_in_doubt(fold, in_doubt(fold), symmetries)
        new = search_round(half, fold, reference, with_own(pool, old), None)
        fold.poses = old.replaced(new, ~run[fold.members])
        sums[fold.number] = half.sums(fold.frames, fold.poses)
    return float(run.sum())


def cross_validated(
    half: HalfSolver, folds: list[Fold], sums: list[Sums], symmetries: NDArray[np.float64]
) -> HalfDiagnostics:
    """Agreement of two maps that share no frame, and the likelihood of the poses of each in the other."""
    apart = [half.map_reference(half.frames, total(sums[part::2])) for part in (0, 1)]
    correlation = shell_correlation(*(reference.volume for reference in apart))
    mates, null = [], []
    for fold in folds:
        own = (fold.frames, apart[1 - fold.number % 2], fold.poses.rotations, fold.poses.shifts)
        mates.append(compare_mates(*own, symmetries, half.window))
        null.append(lead_over_null(*own, half.window))
    share = np.average([m.share for m in mates], axis=0, weights=[len(fold.members) for fold in folds])
    return HalfDiagnostics(
        map_correlation=float(np.mean(correlation[half.frames.plane.max_shell // 3 :])),
        mate_lead=min(m.nearest_lead for m in mates),
        own_share=float(share[0, 0]),
        mates=mate_shares(share, symmetries),
        lead_over_others=min(null),
    )


def _score(folds: list[Fold]) -> float:
    """Mean log-likelihood ratio to an empty frame, nats per frame."""
    return float(np.concatenate([f.poses.score for f in folds]).mean())


def _confident(folds: list[Fold]) -> float:
    """Share of frames in a clear pose."""
    return float((np.concatenate([f.poses.confidence for f in folds]) > CONFIDENT).mean())


def symmetries_of(half: HalfSolver, reference: Reference) -> NDArray[np.float64]:
    """Approximate symmetry operations (m, 3, 3) of the model, the identity first."""
    shells = (round(half.frames.box / LONGEST_COMPARED), half.frames.plane.max_shell)
    return approximate_symmetries(reference.volume, *shells)
