"""Numbers that tell a right solution from one that only looks right, all against models that do not hold the frame.

- *Lead over mates*: how much better, per frame, poses explain their frames than the same poses turned by what lays the
  model roughly on itself. The nearest rival counts. Near zero the shape is as symmetric as the lattice, or not known.
- *Null*: what frames gain from the poses of other frames, each at its best shift. Where this is not far below what they
  gain from their own, nothing was oriented (a gain below zero is worse than an empty frame).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from single_rs.frames.packed import FrameSet
from single_rs.orient.indexing.symmetry import all_mates
from single_rs.orient.models.reference import Reference, likelihood, look_up

__all__ = ["gain_over_null", "lead_over_mates"]


def lead_over_mates(
    frames: FrameSet,
    reference: Reference,
    rotations: NDArray[np.float64],
    shifts: NDArray[np.float64],
    turns: NDArray[np.float64],
    steps: int,
) -> float:
    """Mean lead (nats a frame) of poses (n, 3, 3) over the nearest rival among `turns` (m, 3, 3), identity first.

    Infinite where there is no rival.
    """
    n = len(rotations)
    mates = all_mates(rotations[:, None], turns)
    frame = np.repeat(np.arange(n), mates.shape[1])
    starts = np.repeat(shifts, mates.shape[1], axis=0)
    overlap, power, _ = look_up(frames, reference, mates.reshape(-1, 3, 3), frame, starts, steps)
    gain = likelihood(overlap, power, frame, frames.frame_weight).reshape(n, 2, len(turns))
    rivals = np.delete((gain[:, 0, 0, None, None] - gain).mean(axis=0).ravel(), 0)
    return float(rivals.min(initial=np.inf))


def gain_over_null(
    frames: FrameSet,
    reference: Reference,
    rotations: NDArray[np.float64],
    shifts: NDArray[np.float64],
    steps: int,
) -> float:
    """How much more frames gain from their own poses than from those of frames half the movie away, nats a frame."""
    n = len(rotations)
    both = np.stack([rotations, np.roll(rotations, n // 2, axis=0)], axis=1).reshape(-1, 3, 3)
    frame = np.repeat(np.arange(n), 2)
    overlap, power, _ = look_up(frames, reference, both, frame, np.repeat(shifts, 2, axis=0), steps)
    own, other = likelihood(overlap, power, frame, frames.frame_weight).reshape(n, 2).mean(axis=0)
    return float(own - other)
