"""How far two solutions of the same frames agree: those of a start with a lattice and of one without.

They share the frames and all later steps, so agreement shows that the result does not depend on the start; held-out
models and half sets show that it follows from the frames.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from single_rs.alignment import score_poses
from single_rs.records import Poses

__all__ = ["MOST_JUMPS", "agreement", "better_of", "has_pose_ambiguity"]

# Share of the steps from frame to frame that are jumps to another pose. Particles in their right poses have up to 4 %,
# those whose frames are divided between the orientations of a twin 8 to 40 % (docs/orient.md).
MOST_JUMPS = 0.06


def has_pose_ambiguity(poses: Poses) -> bool:
    """Whether frames are divided between poses that explain them equally well, which shows as jumps."""
    return (poses.diagnostics.jump_share or 0.0) > MOST_JUMPS


def agreement(first: Poses, second: Poses) -> tuple[float, float]:
    """Share of the frames used by `first` that `second` poses within 3°, and their median distance in degrees.

    One rotation and the hand are free between the two; the distance is of frames within 10°.
    """
    used = np.flatnonzero(first.weight > 0)
    score = score_poses(second.rotations[used], np.arange(len(used)), first.rotations[used])
    return score.within_3deg, score.median_deg


def better_of(first: Poses, second: Poses) -> Poses:
    """Return the solution that explains the frames better, by their mean log-likelihood, with lead and agreement.

    Likelihoods are ascorest models that do not hold the frame; a half whose frames are divided between two mates has a
    worse one.
    """
    used = first.weight > 0
    scores = first.score[used].mean(), second.score[used].mean()
    better = second if scores[1] > scores[0] else first
    share, distance = agreement(first, second)
    diagnostics = replace(
        better.diagnostics,
        starts_agreement=share,
        starts_distance_deg=distance,
        starts_lead=float(max(scores) / max(min(scores), 1e-9) - 1),
    )
    return replace(better, diagnostics=diagnostics)
