"""Numbers that tell a right solution from one that only looks right, all against models that do not hold the frame.

- *Lead over mates*: how much better, per frame, poses explain their frames than their symmetry mates under the
  approximate symmetries of the model. The nearest mate counts. Near zero the shape is as symmetric as the lattice, or
  not known.
- *Null*: the log-likelihood ratio of frames in the poses of other frames, each at its best shift. Where this is not far
  below that in their own poses, nothing was oriented (a ratio below zero is worse than an empty frame).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from single_rs.frames.packed import FrameSet
from single_rs.orient.indexing.symmetry import symmetry_mates
from single_rs.orient.models.reference import Reference, likelihood, look_up

__all__ = ["lead_over_mates", "lead_over_null"]


def lead_over_mates(
    frames: FrameSet,
    reference: Reference,
    rotations: NDArray[np.float64],
    shifts: NDArray[np.float64],
    symmetries: NDArray[np.float64],
    steps: int,
) -> float:
    """Mean lead (nats a frame) of poses (n, 3, 3) over the nearest of their mates by `symmetries` (m, 3, 3).

    The identity is the first of `symmetries`. Infinite where there is no mate.
    """
    n = len(rotations)
    mates = symmetry_mates(rotations[:, None], symmetries)
    frame = np.repeat(np.arange(n), mates.shape[1])
    starts = np.repeat(shifts, mates.shape[1], axis=0)
    overlap, power, _ = look_up(frames, reference, mates.reshape(-1, 3, 3), frame, starts, steps)
    log_ratio = likelihood(overlap, power, frame, frames.frame_weight).reshape(n, 2, len(symmetries))
    runner_ups = np.delete((log_ratio[:, 0, 0, None, None] - log_ratio).mean(axis=0).ravel(), 0)
    return float(runner_ups.min(initial=np.inf))


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
