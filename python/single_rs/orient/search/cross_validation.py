"""Numbers that tell a right solution from one that only looks right, all against models that do not hold the frame.

- *Lead over mates*: how much better, per frame, poses explain their frames than their symmetry mates under the
  approximate symmetries of the model. The nearest mate counts. Near zero the shape is as symmetric as the lattice, or
  not known.
- *Shares of the mates*: the probability that a frame is in each of them, exp(β L) over its sum, as a mean over the
  frames. Of a nearly symmetric particle frames divide between mates that fit alike.
- *Null*: the log-likelihood ratio of frames in the poses of other frames, each at its best shift. Where this is not far
  below that in their own poses, nothing was oriented (a ratio below zero is worse than an empty frame).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from single_rs.frames.packed import FrameSet
from single_rs.orient.indexing.symmetry import symmetry_mates
from single_rs.orient.models.reference import Reference, likelihood, look_up
from single_rs.records import MateShare

__all__ = ["Mates", "compare_mates", "lead_over_null", "mate_shares"]


# Of the log-likelihood, which counts what neighbouring frequencies share more than once: 1 / overdispersion, 0.4 to
# 0.9 at 1 e/px (docs/notebook.md).
BELIEF = 0.5
LEAST_SHARE = 0.01  # of the frames, below which a mate is not named
MOST_NAMED = 12


@dataclass(frozen=True)
class Mates:
    """How the mates of poses fit: `lead` (2, m), mean lead of the poses over each, nats a frame; `share` (2, m).

    First axis: the mate itself, and seen from behind (half a turn about the beam); second: the symmetries, the identity
    first, so that the first of all is the pose itself.
    """

    lead: NDArray[np.float64]
    share: NDArray[np.float64]

    @property
    def nearest_lead(self) -> float:
        """Return the lead over the nearest mate; infinite where there is none."""
        return float(np.delete(self.lead.ravel(), 0).min(initial=np.inf))


def compare_mates(
    frames: FrameSet,
    reference: Reference,
    rotations: NDArray[np.float64],
    shifts: NDArray[np.float64],
    symmetries: NDArray[np.float64],
    steps: int,
) -> Mates:
    """Compare poses (n, 3, 3) with their mates by `symmetries` (m, 3, 3), of which the identity is the first."""
    n = len(rotations)
    mates = symmetry_mates(rotations[:, None], symmetries)
    frame = np.repeat(np.arange(n), mates.shape[1])
    starts = np.repeat(shifts, mates.shape[1], axis=0)
    overlap, power, _ = look_up(frames, reference, mates.reshape(-1, 3, 3), frame, starts, steps)
    log_ratio = likelihood(overlap, power, frame, frames.frame_weight).reshape(n, 2, len(symmetries))
    probability = np.exp(BELIEF * (log_ratio - log_ratio.max(axis=(1, 2), keepdims=True)))
    probability /= probability.sum(axis=(1, 2), keepdims=True)
    return Mates((log_ratio[:, 0, 0, None, None] - log_ratio).mean(axis=0), probability.mean(axis=0))


def mate_shares(share: NDArray[np.float64], symmetries: NDArray[np.float64]) -> tuple[MateShare, ...]:
    """Return the mates that hold more than a hundredth of the frames, the largest share (2, m) first."""
    angle = np.degrees(Rotation.from_matrix(symmetries).magnitude())
    found = [
        MateShare(float(angle[o]), float(f), float(share[f, o]))
        for f in (0, 1)
        for o in range(len(symmetries))
        if (f or o) and share[f, o] > LEAST_SHARE
    ]
    return tuple(sorted(found, key=lambda mate: -mate.share)[:MOST_NAMED])


def lead_over_null(
    frames: FrameSet,
    reference: Reference,
    rotations: NDArray[np.float64],
    shifts: NDArray[np.float64],
    steps: int,
) -> float:
    """Mean log-likelihood ratio of frames in their own poses over those of frames half the movie away, nats a frame."""
    n = len(rotations)
    both = np.stack([rotations, np.roll(rotations, n // 2, axis=0)], axis=1).reshape(-1, 3, 3)
    frame = np.repeat(np.arange(n), 2)
    overlap, power, _ = look_up(frames, reference, both, frame, np.repeat(shifts, 2, axis=0), steps)
    own, other = likelihood(overlap, power, frame, frames.frame_weight).reshape(n, 2).mean(axis=0)
    return float(own - other)
