"""Solve one half of the frames: from orientation candidates to full poses, independent of the other half.

1. *Seed.* A few dozen frames give a model of occupied lattice sites (`seed`), or a map (`first_map`).
2. *Grow.* All symmetry mates of all orientation candidates of all frames are compared with it (`search`), and a
   hidden Markov model picks.
3. *Map.* The same against the atoms that maps show, which needs no lattice, until the frames are explained no better
   than the round before, or where the first map, against which all candidates of all frames are tried, has left all
   but a few clear poses where the sites had them; then only frames in doubt are searched once more. From the second
   such round on every frame tries all mates of its pose, and only frames in doubt are searched all over (`round`).
   Before each round the particle is centred among its frames, and the window of shifts is widened where the errors of
   the measured centres fill it.

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
from functools import partial

import numpy as np
from numpy.typing import NDArray

from single_rs.base.steps import Steps
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
    search_doubted,
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
SOLVED = (0.9, 0.99, 0.04)
CONVERGED = (0.005, 0.01)  # relative rise of log-likelihood, and of frames in a clear pose, below which it has


@dataclass(frozen=True)
class HalfSolution:
    """Poses of one half's frames and the history of their search."""

    poses: HalfPoses
    diagnostics: HalfDiagnostics


@dataclass(frozen=True)
class _State:
    """What a step of the search leaves of a half.

    Attributes
    ----------
    poses, unchanged
        Of each fold.
    symmetries
        (m, 3, 3) approximate ones of the model.
    window
        Of shifts, in quarter waves.
    widened
        Whether the step widened that.
    confirmed
        Whether the first map only confirmed what the sites gave.
    seed
        Frames that the first model was made of, and its log-likelihood ratio.
    run_frames
        Of the longest run, where the half was aligned to that.
    """

    poses: tuple[HalfPoses, ...]
    unchanged: tuple[NDArray[np.bool_], ...]
    symmetries: NDArray[np.float64]
    window: int
    widened: bool
    confirmed: bool
    seed: tuple[float, float]
    run_frames: float | None


class _Search:
    """The search of one half while it goes on."""

    def __init__(self, half: HalfSolver, indexed: OrientationCandidates) -> None:
        self.half = half
        self.folds = [fold_of(half, indexed, number) for number in range(FOLDS)]
        self.symmetries = half.template.group
        self.widened = self.confirmed = False
        self.seed = (0.0, 0.0)
        self.run_frames: float | None = None
        self._sums: list[Sums] = []  # of the folds at their poses; empty where those are others since

    def state(self) -> _State:
        """Return what the next step goes on from."""
        return _State(
            tuple(fold.poses for fold in self.folds),
            tuple(fold.unchanged for fold in self.folds),
            self.symmetries,
            self.half.window,
            self.widened,
            self.confirmed,
            self.seed,
            self.run_frames,
        )

    def restore(self, state: _State) -> None:
        """Go on from what a step left."""
        for fold, poses, unchanged in zip(self.folds, state.poses, state.unchanged, strict=True):
            fold.poses, fold.unchanged = poses, unchanged
        self.symmetries, self.half.window, self.widened = state.symmetries, state.window, state.widened
        self.confirmed, self.seed, self.run_frames = state.confirmed, state.seed, state.run_frames
        self._sums = []

    def sums(self) -> list[Sums]:
        """Return the accumulated slices of each fold."""
        if not self._sums:
            self._sums = [self.half.sums(fold.frames, fold.poses) for fold in self.folds]
        return self._sums

    def grow(self, seed: Seed[Reference]) -> None:
        """Compare all frames with the first model."""
        for fold in self.folds:
            fold.poses = search_round(self.half, fold, seed.model, fold.candidates, FIRST_INVERSE_TEMPERATURE)
        self.seed = float(seed.frames), seed.log_likelihood_ratio

    def align(self) -> None:
        """Align all frames to the map of the longest run."""
        self.run_frames = _align_to_longest_run(self.half, self.folds)
        self._sums = []

    def map_round(self, first: bool) -> None:
        """Compare all frames with maps; in the first round with all their candidates."""
        half, grown = self.half, gathered(self.folds)
        if centre(half, self.folds):
            self._sums = []
        sums = self.sums()
        self.widened = widen(half, self.folds)
        for fold in self.folds:
            reference = half.map_reference(fold.frames, others(sums, fold.number))
            if not first and fold.number == 0:
                self.symmetries = symmetries_of(half, reference)
            # What a wider window lets in may have been out of reach of all poses so far.
            if first or self.widened:
                doubt, pool = np.zeros(len(fold.members), bool), fold.candidates
            else:
                doubt = in_doubt(fold)
                pool = candidates_in_doubt(fold, doubt, self.symmetries)
            fold.take(search_round(half, fold, reference, with_own(pool, fold.poses), None), doubt)
            sums[fold.number] = half.sums(fold.frames, fold.poses)
        found = self.folds
        if first and not self.widened and not _is_ambiguous(found) and _is_solved(grown, gathered(found)):
            self.symmetries, self.confirmed = symmetries_of(half, reference), True
            self._settle_doubt(sums)

    def _settle_doubt(self, sums: list[Sums]) -> None:
        """Search the frames that are still in doubt against the map of the folds that theirs is compared with."""
        half, apart = self.half, _apart(self.half, sums)
        for fold in self.folds:
            doubt = in_doubt(fold)
            if doubt.any():
                search_doubted(half, fold, apart[1 - fold.number % 2], doubt, self.symmetries)
                sums[fold.number] = half.sums(fold.frames, fold.poses)


def solve_half(
    half: HalfSolver,
    indexed: OrientationCandidates,
    first: First,
    report: Callable[[str], None],
    steps: Steps,
) -> HalfSolution:
    """Poses of one half's frames from their candidates `indexed` and the first model that `first` makes of them."""
    report("seed")
    search = _Search(half, indexed)
    folds = search.folds

    def grow() -> None:
        seed = first(half, indexed)
        report("grow")
        search.grow(seed)

    steps.once("growth", _State, search, grow)
    rounds = [SearchRound("growth", _score(folds), _confident(folds))]
    score, placed = -np.inf, 0.0
    converged = False
    for number in range(half.config.map_rounds):
        report("map")
        left = half.config.map_rounds - number
        united = search.run_frames is not None
        if not united and (converged or number >= PATIENCE) and left > PATIENCE and _is_ambiguous(folds):
            steps.once(f"round {number + 1}", _State, search, search.align)
            score, placed = -np.inf, 0.0
            continue
        steps.once(f"round {number + 1}", _State, search, partial(search.map_round, number == 0))
        score, before = _score(folds), score
        placed, placed_before = _confident(folds), placed
        rounds.append(SearchRound("map", score, placed))
        gained = score >= before + CONVERGED[0] * abs(before) or placed >= placed_before + CONVERGED[1]
        converged = number >= LEAST_ROUNDS and not gained and not search.widened
        if search.confirmed or (converged and (united or left <= PATIENCE or not _is_ambiguous(folds))):
            break
    poses = gathered(folds)
    diagnostics = replace(
        cross_validated(half, folds, search.sums(), search.symmetries),
        step_deg=float(np.degrees(poses.transition.step_sigma) * np.sqrt(3)),
        jump_share=poses.transition.jump_probability,
        seed_frames=search.seed[0],
        seed_log_likelihood_ratio=search.seed[1],
        run_frames=search.run_frames,
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


def _align_to_longest_run(half: HalfSolver, folds: list[Fold]) -> float:
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
    return float(run.sum())


def cross_validated(
    half: HalfSolver, folds: list[Fold], sums: list[Sums], symmetries: NDArray[np.float64]
) -> HalfDiagnostics:
    """Agreement of two maps that share no frame, and the likelihood of the poses of each in the other."""
    apart = _apart(half, sums)
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


def _apart(half: HalfSolver, sums: list[Sums]) -> list[Reference]:
    """Models made of the even and of the odd folds, which share no frame."""
    return [half.map_reference(half.frames, total(sums[part::2])) for part in (0, 1)]


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
