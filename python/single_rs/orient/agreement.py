"""How far two solutions of the same frames agree: those of a start with a lattice and of one without.

They share the frames and what follows the start, so agreement says that the start was not what decided; that the frames
decide is what held-out models and half sets say.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from single_rs.alignment import score_poses
from single_rs.records import Poses

__all__ = ["MOST_JUMPS", "agreement", "better_of", "seems_divided"]

# Share of the steps from frame to frame that are jumps to another pose. Particles in their right poses have up to 4 %,
# those whose frames are divided between the orientations of a twin 8 to 40 % (docs/orient.md).
MOST_JUMPS = 0.06


def seems_divided(poses: Poses) -> bool:
    """Whether frames seem to sit in several poses alike, so that the particle seems to jump from one to another."""
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

    Likelihoods are against models that do not hold the frame; a half that sits in two mates at once has a worse one.
    """
    used = first.weight > 0
    gains = first.score[used].mean(), second.score[used].mean()
    better = second if gains[1] > gains[0] else first
    share, distance = agreement(first, second)
    diagnostics = replace(
        better.diagnostics,
        starts_agreement=share,
        starts_distance_deg=distance,
        starts_lead=float(max(gains) / max(min(gains), 1e-9) - 1),
    )
    return replace(better, diagnostics=diagnostics)
