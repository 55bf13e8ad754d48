"""Bring two independently solved halves into one frame.

Each half has its own choice of mate, hand and origin. The rotations that align the second half's volume with the
first's (24 for a single crystal, those of the common axis for a multiple twin) are the candidate alignments; all frames
of the second half together choose the one, and the hand, under which they fit the first half's atoms best. Then one
rotation and one translation of the particle remain, read from the mean of what polishing asks for. Nothing else passes
between the halves, so their maps stay independent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from single_rs.frames.packed import FrameSet
from single_rs.orient.indexing.lattice import FRIEDEL
from single_rs.orient.indexing.rotation_search import LONGEST_COMPARED, MOST_ALIKE, volume_alignments
from single_rs.orient.indexing.symmetry import symmetry_mates
from single_rs.orient.models.reference import Reference, exact_fit, likelihood, look_up, polish
from single_rs.orient.search.centres import particle_translation
from single_rs.orient.search.solver import HalfPoses, HalfSolver

__all__ = ["Merged", "merge_halves", "robust_mean"]

SAMPLE = 240  # frames of the second half that choose the mate
# Alignments that are refined against the first half's model, with one frame in `FEWER`, before they are compared.
FINALISTS = 8
FEWER = 4
REFINED = 2  # of them that are compared with all frames of the sample
ROUNDS = 2  # of refining an alignment
POLISH = 4  # iterations


@dataclass(frozen=True)
class Merged:
    """Second half in the frame of the first; gap: mean log-likelihood per frame by which the best mate leads."""

    second: HalfPoses
    gap: float


def merge_halves(first: HalfSolver, first_poses: HalfPoses, second: HalfSolver, second_poses: HalfPoses) -> Merged:
    """Align the poses of the second half with the first half's model."""
    reference = first.whole_reference(first_poses)
    best = np.argsort(-second_poses.confidence, kind="stable")[:SAMPLE]
    sample = np.sort(best)
    frames = second.frames.take(sample)
    n = len(sample)
    every = np.arange(n)
    plane = first.frames.plane
    shells = (round(first.frames.box / LONGEST_COMPARED), plane.max_shell)
    alignments, _ = volume_alignments(
        reference.volume, second.whole_reference(second_poses).volume, *shells, MOST_ALIKE
    )
    mates = symmetry_mates(second_poses.rotations[sample][:, None], alignments)
    count = mates.shape[1]
    of = np.repeat(every, count)
    starts = np.zeros((n * count, 2))
    overlap, power, _ = look_up(frames, reference, mates.reshape(-1, 3, 3), of, starts, second.window)
    rough = likelihood(overlap, power, of, frames.frame_weight).reshape(n, count).mean(axis=0)

    # Alignments are right to a degree only, and approximate symmetries may lie between two: refine each.
    def refined(alignment: int, select: NDArray[np.int64]) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        f, o = divmod(alignment, len(alignments))
        chosen = (frames.take(select), reference, second_poses, sample[select])
        return _aligned(*chosen, FRIEDEL[f], alignments[o], second.window)

    finalists = [int(a) for a in np.argsort(-rough, kind="stable")[:FINALISTS]]
    first_scores = np.array([refined(a, every[::FEWER])[0] for a in finalists])
    best_first = np.argsort(-first_scores, kind="stable")[:REFINED]
    aligned = [refined(finalists[i], every) for i in best_first]
    scores = np.array([score for score, _, _ in aligned])
    order = np.argsort(-scores, kind="stable")
    _, rotations, shifts = aligned[order[0]]
    gap = float(scores[order[0]] - scores[order[1]]) if len(order) > 1 else 0.0
    return Merged(replace(second_poses, rotations=rotations, shifts=shifts), gap)


def _aligned(
    frames: FrameSet,
    reference: Reference,
    poses: HalfPoses,
    sample: NDArray[np.int64],
    flip: NDArray[np.float64],
    alignment: NDArray[np.float64],
    window: int,
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Mean log-likelihood ratio of the frames `sample`, and all poses, after one alignment and its refinement."""
    every = np.arange(len(sample))
    rotations, shifts = flip @ poses.rotations @ alignment, poses.shifts
    for _ in range(ROUNDS):
        start = rotations[sample]
        found = look_up(frames, reference, start, every, np.zeros((len(sample), 2)), window)[2]
        fitted = polish(frames, reference, start, found, POLISH)
        r, t = fitted.rotations, fitted.shifts
        rotation = robust_mean(np.einsum("nji,njk->nik", start, r))
        moved = particle_translation(r, t - shifts[sample])
        rotations = rotations @ rotation
        shifts = shifts + (rotations @ moved)[:, :2]
    overlap, power = exact_fit(frames, reference, rotations[sample], every, shifts[sample])
    return float(likelihood(overlap, power, every, frames.frame_weight).mean()), rotations, shifts


def robust_mean(rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of rotations near the identity without the farthest quarter."""
    vectors = Rotation.from_matrix(rotations).as_rotvec()
    distance = np.linalg.norm(vectors - np.median(vectors, axis=0), axis=1)
    return np.asarray(Rotation.from_rotvec(vectors[distance <= np.quantile(distance, 0.75)].mean(axis=0)).as_matrix())
