"""One round of one fold: search its frames against a model, compare what was found, choose by the transition model.

Candidates are looked up and climb (`search`); the finalists that may still win are polished before they are compared,
for a pose half a degree off loses a tenth of its log-likelihood ratio, more than symmetry mates differ by. The most
probable path in time chooses (`symmetry.choose`).

A pose is in doubt, and its frame is searched all over in the next round, where the posterior is low, where it is a jump
away from both its neighbours, or where the frame's own scale of the model lies far below that of all frames: a pose
some degrees off explains less than there is to explain, however well it fits in time. Round its pose and those before
and after neighbours are tried too, since near a zone axis, or at one electron per pixel, the index may miss the right
orientation altogether. Zone axes, where atoms in a row scatter more than once, are explained too weakly in any pose: a
frame whose search did not move it is not searched in the next round.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.spatial.transform import Rotation

from single_rs.base.robust import robust_sigma
from single_rs.frames.packed import FrameSet
from single_rs.orient.indexing.lattice import OrientationCandidates
from single_rs.orient.indexing.symmetry import Candidates, angle_between, choose, symmetry_mates
from single_rs.orient.indexing.transition import TransitionModel
from single_rs.orient.models.reference import Reference, exact_fit, likelihood, polish
from single_rs.orient.search.plan import SearchPlan, search
from single_rs.orient.search.solver import CONFIDENT, HalfPoses, HalfSolver

__all__ = [
    "STAYED",
    "Fold",
    "candidates_in_doubt",
    "fold_of",
    "gathered",
    "in_doubt",
    "search_doubted",
    "search_round",
    "transition_of",
    "with_own",
]

LEAST_INVERSE_TEMPERATURE = 0.02
NO_WEIGHT = 1e-6  # of a bad frame: its pose may be any
RUNNER_UPS = (
    10.0,
    0.05,
)  # nats, and share of the best one's ratio, by which a finalist may lag and still win once polished
POLISH_RUNNER_UPS = 2  # iterations of theirs
POLISH_CHOSEN = 3  # iterations that a chosen pose is polished before it enters a map
ALONE = 3.0  # widths of the step by which a pose must miss both its neighbours' to be doubted
LARGE_DEFICIT = 2.0  # standard errors of its scale below all others' from which a pose is doubted
STAYED = np.radians(3.0)  # a search that moves a pose by less left it where it was
CONTEXT = 2  # frames before and after one that is searched alone, which tell what time makes of its pose
NEAR_REACH = np.radians(12.0)  # how far from its pose and its neighbours' a frame in doubt is tried
NEAR_STEP = np.radians(2.6)  # grid of those trials; climbing closes the rest
NEAR_PRIOR = -3.0  # nats of a pose that is there tried, beside the indexed candidates


@dataclass
class Fold:
    """Frames of one fold and their poses so far; unchanged (n,) are those whose last search did not move them."""

    number: int
    members: NDArray[np.int64]  # index into the half
    frames: FrameSet
    block: NDArray[np.int64]
    candidates: Candidates
    poses: HalfPoses
    unchanged: NDArray[np.bool_]

    def take(self, poses: HalfPoses, searched: NDArray[np.bool_]) -> None:
        """Take poses of a round in which the frames `searched` (n,) were tried all over."""
        self.unchanged = searched & (angle_between(self.poses.rotations, poses.rotations) < STAYED)
        self.poses = poses


def fold_of(half: HalfSolver, indexed: OrientationCandidates, number: int) -> Fold:
    """Fold `number` of a half, its frames nowhere yet."""
    members = np.flatnonzero(half.fold == number)
    nowhere = HalfPoses(
        np.tile(np.eye(3), (len(members), 1, 1)),
        np.zeros((len(members), 2)),
        np.zeros(len(members)),
        np.zeros(len(members)),
        np.full(len(members), np.pi),
        np.zeros(len(members)),
        indexed.transition,
    )
    candidates = Candidates.mates(indexed.take(members), half.template.group)
    return Fold(
        number,
        members,
        half.frames.take(members),
        half.block[members],
        candidates,
        nowhere,
        np.zeros(len(members), bool),
    )


def gathered(folds: list[Fold]) -> HalfPoses:
    """Poses of all folds in the order of the half."""
    return HalfPoses.gathered(
        [f.poses for f in folds], np.concatenate([f.members for f in folds]), transition_of(folds)
    )


def transition_of(folds: list[Fold]) -> TransitionModel:
    """Mean of the transition models that the folds have learnt."""
    models = [f.poses.transition for f in folds]
    return TransitionModel(
        float(np.mean([c.step_sigma for c in models])), float(np.mean([c.jump_probability for c in models]))
    )


def search_doubted(
    half: HalfSolver, fold: Fold, reference: Reference, doubt: NDArray[np.bool_], symmetries: NDArray[np.float64]
) -> None:
    """Search the frames `doubt` (n,) of a fold all over; those before and after keep their poses and place them."""
    near = np.flatnonzero(binary_dilation(doubt, iterations=CONTEXT))
    poses = fold.poses.take(near)
    apart = (np.diff(near) > 1) | (np.diff(fold.block[near]) != 0)
    block = np.concatenate([[0], np.cumsum(apart)])
    pool = candidates_in_doubt(fold, doubt, symmetries).of_frames(doubt)
    pool = replace(pool, frame=np.searchsorted(near, pool.frame))
    part = Fold(fold.number, fold.members[near], fold.frames.take(near), block, pool, poses, fold.unchanged[near])
    found = search_round(half, part, reference, with_own(pool, poses), None).take(np.flatnonzero(doubt[near]))
    rest, searched = np.flatnonzero(~doubt), np.flatnonzero(doubt)
    order = np.concatenate([rest, searched])
    fold.take(HalfPoses.gathered([fold.poses.take(rest), found], order, fold.poses.transition), doubt)


def with_own(candidates: Candidates, poses: HalfPoses) -> Candidates:
    """Candidates of a fold and the poses that its frames have."""
    return candidates.joined(poses.rotations, np.arange(len(poses.rotations)), 0.0)


def search_round(
    half: HalfSolver, fold: Fold, reference: Reference, candidates: Candidates, inverse_temperature: float | None
) -> HalfPoses:
    """Search all frames of a fold, polish and compare finalists, choose by the transition model, polish the choice."""
    every, frame_weight = np.arange(len(fold.members)), fold.frames.frame_weight
    finalists = search(fold.frames, reference, candidates, SearchPlan(half.window, inverse_temperature or 1.0))
    there, rotations, shifts = finalists.there, finalists.rotations, finalists.shifts
    frame, place = np.nonzero(there)
    overlap, strength = exact_fit(fold.frames, reference, rotations[there], frame, shifts[there])
    contender = _may_win(likelihood(overlap, strength, frame, frame_weight), frame)
    if inverse_temperature is not None:
        contender[:] = False  # what a first model has wrong is far more than what polishing betters
    at = (frame[contender], place[contender])
    tops = polish(fold.frames, reference, rotations[at], shifts[at], POLISH_RUNNER_UPS, frame[contender])
    rotations[at], shifts[at], overlap[contender], strength[contender] = (
        tops.rotations,
        tops.shifts,
        tops.overlap,
        tops.power,
    )
    likely = np.full(there.shape, -np.inf)
    power = np.ones(there.shape)
    likely[there] = likelihood(overlap, strength, frame, frame_weight)
    power[there] = strength * frame_weight[frame]
    if inverse_temperature is None:
        at = (every, likely.argmax(axis=1))
        inverse_temperature = _inverse_temperature(likely[at], power[at])
    path, confidence, transition = choose(
        rotations, inverse_temperature * likely, there, fold.block, fold.poses.transition
    )
    at = (every, path)
    best = polish(fold.frames, reference, rotations[at], shifts[at], POLISH_CHOSEN)
    score = likelihood(best.overlap, best.power, every, frame_weight)
    # The same inverse temperature as between poses: noise alone would give half the true error.
    width = np.minimum(best.error / np.sqrt(inverse_temperature * np.maximum(frame_weight, NO_WEIGHT)), np.pi)
    scale_deficit = _scale_deficit(best.overlap, best.power, frame_weight)
    return HalfPoses(best.rotations, best.shifts, score, confidence, width, scale_deficit, transition)


def _may_win(value: NDArray[np.float64], frame: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which finalists (c,) of `frame` (c,) are near enough to the best of their frame to win once they are polished.

    One that no other is near to has won already.
    """
    top = np.full(frame[-1] + 1, -np.inf)
    np.maximum.at(top, frame, value)
    least = top - RUNNER_UPS[0] - RUNNER_UPS[1] * np.abs(top)
    near = value >= least[frame]
    return np.asarray(near & (np.bincount(frame[near], minlength=len(top))[frame] > 1))


def _scale_deficit(
    overlap: NDArray[np.floating], power: NDArray[np.floating], frame_weight: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Standard errors by which each frame's own scale b/a lies below the common one; 0 for bad frames.

    The error is that of the noise, 1 / (s² a), and what the scales of all frames scatter beyond it.
    """
    used = (frame_weight > 0) & (power > 0)
    own = np.where(used, overlap / np.where(used, power, 1.0), 0.0)
    common = max(float(np.median(own[used])), 1e-6)
    short = np.where(used, 1 - own / common, 0.0)
    noise = 1 / np.where(used, common**2 * power * frame_weight, 1.0)
    model = max(robust_sigma(short[used]) ** 2 - float(np.median(noise[used])), 0.0)
    return np.asarray(np.where(used, short / np.sqrt(noise + model), 0.0), float)


def _inverse_temperature(log_likelihood_ratio: NDArray[np.float64], power: NDArray[np.float64]) -> float:
    """Inverse temperature of the log-likelihood: one over its overdispersion.

    At the right pose the log-likelihood ratio of a frame is s² a on average, with variance 2 s² a from the noise alone.
    What it varies beyond that is error of the model, which does not average out (McCullagh and Nelder 1989, section
    4.5).
    """
    used = power > 0  # bad frames have no weight
    scale = np.median(log_likelihood_ratio[used] / power[used])  # s², of frames mostly in their right pose
    expected = np.maximum(scale * power[used], 1.0)
    z = (log_likelihood_ratio[used] - expected) / np.sqrt(2 * expected)
    return float(np.clip(1 / max(robust_sigma(z), 1e-3) ** 2, LEAST_INVERSE_TEMPERATURE, 1.0))


def in_doubt(fold: Fold) -> NDArray[np.bool_]:
    """Frames (n,) to search all over: without a clear pose, or with a scale deficit that has not been searched yet."""
    return _unplaced(fold) | ((fold.poses.scale_deficit > LARGE_DEFICIT) & ~fold.unchanged)


def candidates_in_doubt(fold: Fold, doubt: NDArray[np.bool_], symmetries: NDArray[np.float64]) -> Candidates:
    """All mates of every pose; of frames in doubt (n,) all candidates and what lies round their own and nearby poses.

    A coherent part of the frames may sit in one wrong mate, without doubt, until the model is good enough to show it.
    `symmetries` (m, 3, 3) map the model roughly onto itself: those of the lattice, or of a twin.
    """
    poses = fold.poses
    mates = symmetry_mates(poses.rotations[:, None], symmetries)
    every = np.repeat(np.arange(len(doubt)), mates.shape[1])
    out = fold.candidates.of_frames(doubt).joined(mates.reshape(-1, 3, 3), every, 0.0)
    offsets = _ball(NEAR_REACH, NEAR_STEP)
    # A frame that only has a scale deficit is within a few degrees of where its neighbours place it.
    unplaced = doubt & _unplaced(fold)
    for way, lost in ((-1, unplaced), (0, doubt), (1, unplaced)):
        frame = np.flatnonzero(lost)
        beside = frame + way
        inside = (beside >= 0) & (beside < len(doubt))
        frame, beside = frame[inside], beside[inside]
        same = fold.block[frame] == fold.block[beside]
        frame, beside = frame[same], beside[same]
        tried = np.einsum("bij,njk->nbik", offsets, poses.rotations[beside]).reshape(-1, 3, 3)
        out = out.joined(tried, np.repeat(frame, len(offsets)), NEAR_PRIOR)
    return out


def _unplaced(fold: Fold) -> NDArray[np.bool_]:
    """Frames (n,) of low posterior, or a jump away from the frames on both sides."""
    r = fold.poses.rotations
    far = angle_between(r[1:], r[:-1]) > ALONE * fold.poses.transition.step_sigma
    far |= fold.block[1:] != fold.block[:-1]
    return np.asarray((fold.poses.confidence < CONFIDENT) | (np.append(True, far) & np.append(far, True)))


def _ball(radius: float, step: float) -> NDArray[np.float64]:
    """Rotations (b, 3, 3) by less than `radius` on a body-centred grid, whose points are about `step` apart (rad)."""
    edge = step * 2 / np.sqrt(3)  # of the cube; its centre is half the diagonal away
    reach = int(np.ceil(radius / edge)) + 1
    corner = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    vectors = edge * np.concatenate([corner, corner + 0.5])
    return np.asarray(Rotation.from_rotvec(vectors[np.linalg.norm(vectors, axis=1) <= radius]).as_matrix())
