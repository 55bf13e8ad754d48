"""Stochastic hill climb in alternation with reconstruction: one half set, alone, without its order in time.

Every round each frame keeps its pose R and is offered others in random order. It takes the first that correlates better
with its slice P of the present map, each at its own best shift,

    c(R) = ⟨X, P(R)⟩ / |P(R)|,   products weighted by 1/σ² of the noise,

and not the best: early maps are wrong, and the best fit to them is a trap (Elmlund, Elmlund and Bengio 2013,
doi:10.1016/j.str.2013.07.002). Then all frames, each with the same weight, make the next map. Neighbourhoods shrink and
the low-pass opens with the rounds. Poses begin at what the power spectrum of the single frame fits best, in a random
mate. The first map is an ideal crystal of the measured diameter and lattice, as in SINGLE (Kim et al. 2020,
doi:10.1126/science.aax3233; Reboul et al. 2021, doi:10.1126/sciadv.abe6679), or that of the lattice-free engine.

What differs from SINGLE, as its papers and its public source (github.com/hael/SIMPLE) describe it:

- its first poses come from averages of frames close in time; here every frame stands alone;
- its offers come from a grid of orientations; here they are neighbours and mates of the frame's pose, and mates of what
  the frame's power spectrum allows, which is also where a frame starts;
- the atoms found in the map are the reference in every round; there the map is, and its atoms after every tenth;
- at the end one round of the default engine's search, with time left out, tries every mate against maps that do not
  hold the frame: it polishes the poses and gives them confidence and width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from single_rs.base.steps import Steps
from single_rs.frames.packed import FOLDS, FrameSet
from single_rs.orient.indexing.lattice import BELIEF, FRIEDEL, Index, OrientationCandidates
from single_rs.orient.indexing.symmetry import choose
from single_rs.orient.models.ball import ball_model
from single_rs.orient.models.reference import Reference, look_up
from single_rs.orient.search.centres import particle_translation
from single_rs.orient.search.half import First, HalfSolution, cross_validated, symmetries_of
from single_rs.orient.search.round import candidates_in_doubt, fold_of, gathered, search_round
from single_rs.orient.search.segments import Seed
from single_rs.orient.search.solver import HalfSolver, others, total
from single_rs.records import SearchRound

__all__ = ["ball_seed", "climb_half", "first_improvement"]

SEED_ROUNDS = 4  # against the first model
LOW_PASS = 1.3  # Å, at the start; of {111} and {200} alone a ball is fitted better by wrong poses (docs/notebook.md)
OPEN = 0.5  # of the rounds, after which the low-pass is that of the search
REACH = np.radians([2.5, 0.5])  # widest neighbourhood, spread per axis, in the first round and the last
MATE_REACH = 0.2  # of that, about mates: a mate of a good pose is as good, and at full reach would lose to it
# Of the offers: about the frame's own pose, about its indexed orientations; the rest about own mates.
OWN, INDEXED = 0.25, 0.25


def ball_seed(half: HalfSolver, indexed: OrientationCandidates) -> Seed[Reference]:
    """Reference of an ideal crystal of the particle's diameter, an atom in its centre; made of no frame."""
    return Seed(half.site_reference(ball_model(half.template, half.diameter)), 0, 0.0)


@dataclass(frozen=True)
class _Climbed:
    """Poses after a round: rotations (n, 3, 3), shifts (n, 2) px, and the share of frames that it moved."""

    rotations: NDArray[np.float64]
    shifts: NDArray[np.float64]
    moved: float


def climb_half(
    solver: Callable[[float], HalfSolver],
    index: Index,
    indexed: OrientationCandidates,
    seed: First,
    random: np.random.Generator,
    report: Callable[[str], None],
    steps: Steps,
) -> HalfSolution:
    """Poses of one half's frames.

    Parameters
    ----------
    solver
        Makes the half's solver for periods down to the one given, Å.
    index, indexed
        Of the half's frames; `indexed` are for the seed alone.
    seed
        Makes the first model.
    random
        The half's own stream.
    report
        Called with the name of each step.
    steps
        Of the half.
    """
    n = len(index.rotations)
    one = np.zeros(n, np.int64)
    rounds: list[SearchRound] = []
    half = solver(LOW_PASS)
    config, initial = half.config, seed(half, indexed)
    poses = _Climbed(_mates(index.rotations[:, :1], index.template.group, random)[:, 0], np.zeros((n, 2)), 0.0)

    def climbed(share: float, seeded: bool, before: _Climbed, offered: NDArray[np.float64]) -> _Climbed:
        own, reference = half, initial.model
        if not seeded:
            own = solver(LOW_PASS * (config.search_resolution / LOW_PASS) ** min(share / OPEN, 1.0))
            sums = own.insert(own.frames, np.ones(n), before.rotations, before.shifts, one, 1)[0]
            reference = own.map_reference(own.frames, sums)
        rotations, shifts, moved = first_improvement(own.frames, reference, before.rotations, offered, own.window)
        # The first model's origin is an atom; poses that are right about the particle's centre need a narrower window.
        return _Climbed(rotations, shifts - (rotations @ particle_translation(rotations, shifts))[:, :2], moved)

    for number in range(config.climb_rounds):
        report("climb")
        share = number / max(config.climb_rounds - 1, 1)
        reach = REACH[0] * (REACH[1] / REACH[0]) ** share
        # Drawn for rounds that are kept as well: the stream goes on where it was.
        offered = _offers(poses.rotations, index, reach, config.climb_batch, random)
        step = partial(climbed, share, number < SEED_ROUNDS, poses, offered)
        poses = steps.kept(f"round {number + 1}", _Climbed, step)
        rounds.append(SearchRound("climb", moved=poses.moved))
    found = _judged(solver(config.search_resolution), indexed, poses.rotations, poses.shifts)
    history = replace(
        found.diagnostics,
        seed_frames=float(initial.frames),
        seed_log_likelihood_ratio=initial.log_likelihood_ratio,
        rounds=tuple(rounds),
    )
    return replace(found, diagnostics=history)


def first_improvement(
    frames: FrameSet, reference: Reference, rotations: NDArray[np.float64], offered: NDArray[np.float64], window: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Let each frame take the first of the poses `offered` (n, c, 3, 3) that is better than its own.

    Returns rotations (n, 3, 3), shifts (n, 2) px and the share of frames that moved. A frame to which nothing better is
    offered keeps its rotation. Shifts are searched `window` quarter waves to each side of the measured centre.
    """
    tried = np.concatenate([rotations[:, None], offered], axis=1)
    n, count = tried.shape[:2]
    frame = np.repeat(np.arange(n), count)
    overlap, power, shifts = look_up(
        frames, reference, tried.reshape(-1, 3, 3), frame, np.zeros((len(frame), 2)), window
    )
    correlation = (overlap / np.sqrt(np.maximum(power, 1e-9))).reshape(n, count)
    taken = (correlation > correlation[:, :1]).argmax(axis=1)  # 0, the present pose, where nothing is better
    at = (np.arange(n), taken)
    return tried[at], shifts.reshape(n, count, 2)[at].astype(float), float((taken > 0).mean())


def _offers(
    rotations: NDArray[np.float64], index: Index, reach: float, count: int, random: np.random.Generator
) -> NDArray[np.float64]:
    """Rotations (n, count, 3, 3) in random order, near own poses, their mates, and mates of indexed orientations."""
    n = len(rotations)
    own, drawn_count = round(OWN * count), round(INDEXED * count)
    likely = np.cumsum(np.exp(BELIEF * (index.scores - index.scores[:, :1])), axis=1)
    drawn = (random.random((n, drawn_count, 1)) * likely[:, None, -1:] > likely[:, None]).sum(axis=2)
    about = np.repeat(rotations[:, None], count, axis=1)
    about[:, count - drawn_count :] = np.take_along_axis(index.rotations, drawn[:, :, None, None], axis=1)
    about[:, own:] = _mates(about[:, own:], index.template.group, random)
    width = np.full((n, count, 1), reach)
    width[:, own : count - drawn_count] *= MATE_REACH
    changes = Rotation.from_rotvec((width * random.standard_normal((n, count, 3))).reshape(-1, 3)).as_matrix()
    offered = changes.reshape(n, count, 3, 3) @ about
    order = random.permuted(np.tile(np.arange(count), (n, 1)), axis=1)
    return np.take_along_axis(offered, order[:, :, None, None], axis=1)


def _mates(
    rotations: NDArray[np.float64], group: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float64]:
    """A random mate f R o of each of rotations (n, c, 3, 3)."""
    shape = rotations.shape[:2]
    flips, operations = random.integers(2, size=shape), random.integers(len(group), size=shape)
    return FRIEDEL[flips] @ rotations @ group[operations]


def _judged(
    half: HalfSolver, indexed: OrientationCandidates, rotations: NDArray[np.float64], shifts: NDArray[np.float64]
) -> HalfSolution:
    """Poses polished and judged among all their mates, each fold's against maps of the others; independent of time."""
    folds = [fold_of(half, indexed, number) for number in range(FOLDS)]
    for fold in folds:
        own = fold.members
        fold.block = np.arange(len(own))  # each frame a block of its own
        fold.poses = replace(fold.poses, rotations=rotations[own], shifts=shifts[own], confidence=np.ones(len(own)))
    sums = [half.sums(fold.frames, fold.poses) for fold in folds]
    symmetries = symmetries_of(half, half.map_reference(half.frames, total(sums)))
    for fold in folds:
        reference = half.map_reference(fold.frames, others(sums, fold.number))
        nobody = np.zeros(len(fold.members), bool)
        fold.poses = search_round(half, fold, reference, candidates_in_doubt(fold, nobody, symmetries), None)
        sums[fold.number] = half.sums(fold.frames, fold.poses)
    found = gathered(folds)
    there = np.ones((len(rotations), 1), bool)
    # The transition model of the poses found, for the record: the poses were found without it.
    _, _, transition = choose(found.rotations[:, None], np.zeros(there.shape), there, half.block, indexed.transition)
    found = replace(found, transition=transition)
    history = replace(
        cross_validated(half, folds, sums, symmetries),
        step_deg=float(np.degrees(transition.step_sigma) * np.sqrt(3)),
        jump_share=transition.jump_probability,
        shift_window=half.window * half.spacing * half.frames.pixel_size,
    )
    return HalfSolution(found, history)
