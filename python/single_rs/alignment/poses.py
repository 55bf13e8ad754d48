"""Found rotations against true ones, after one global rotation and hand.

found = F · true · G, with F = 1, or a turn by 180° about the beam for a mirrored particle; G is the mean of
the rotations on which most frames agree. Mean rotation: Markley et al. 2007, doi:10.2514/1.28949.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.base.errors import InputError
from single_rs.base.rotations import BEAM_HALF_TURN
from single_rs.base.sampling import evenly

__all__ = ["PoseAlignment", "PoseScore", "align_poses", "score_poses"]

Array = NDArray[np.float64]

INLIER = np.cos(np.deg2rad(4.0))  # half of 8°
POSE_SEEDS = 200


@dataclass(frozen=True)
class PoseScore:
    """Found rotations against true ones; frames without a pose count as wrong.

    Attributes
    ----------
    within_1deg, within_2deg, within_3deg, within_10deg : float
        Fraction of all frames.
    median_deg : float
        Of those within 10°.
    frames, placed : int
        All frames, and those that have a pose.
    hand : int
        1 or -1: the hand that fits better.
    """

    within_1deg: float
    within_2deg: float
    within_3deg: float
    within_10deg: float
    median_deg: float
    frames: int
    placed: int
    hand: int


@dataclass(frozen=True)
class PoseAlignment:
    """The frame in which found rotations were compared with true ones: found = F · true · rotation.

    Attributes
    ----------
    rotation
        (3, 3); particle coordinates of the truth are rotation · found ones.
    hand
        1 or -1: the hand that fits better. F turns by 180° about the beam when it is -1, else it does nothing.
    error_deg
        (n,) angle of each found rotation to the true one in that frame.
    """

    rotation: Array
    hand: int
    error_deg: Array

    @property
    def flip(self) -> Array:
        """F, (3, 3)."""
        return np.eye(3) if self.hand > 0 else BEAM_HALF_TURN

    def in_true_frame(self, found: ArrayLike) -> Array:
        """Return found rotations (n, 3, 3) as they read for the true particle: F · found · rotationᵀ."""
        return np.asarray(self.flip @ np.asarray(found, np.float64) @ self.rotation.T)


def align_poses(found: ArrayLike, frames: ArrayLike, true: ArrayLike) -> PoseAlignment:
    """Find the global rotation G and hand F that bring most found rotations near the true ones, found = F · true · G.

    Parameters
    ----------
    found
        (n, 3, 3), x_lab = R · x_particle.
    frames
        (n,) index into `true` of each.
    true
        (frame, 3, 3).

    Raises
    ------
    InputError
        Shapes that do not fit.
    """
    from scipy.spatial.transform import Rotation

    r, frame, truth = np.asarray(found, np.float64), np.asarray(frames, np.int64), np.asarray(true, np.float64)
    if r.shape != (len(frame), 3, 3) or truth.ndim != 3 or not len(frame) or frame.max() >= len(truth):
        raise InputError(f"rotations {r.shape}, frames {frame.shape}, truth {truth.shape}: they do not fit together")
    truth_of_found = truth[frame]
    best: tuple[int, PoseAlignment | None] = (-1, None)
    # The image of a mirrored particle is that of the particle seen from behind: a turn of 180° about the beam.
    for hand, flip in ((1, np.eye(3)), (-1, BEAM_HALF_TURN)):
        votes = Rotation.from_matrix(np.swapaxes(flip @ truth_of_found, 1, 2) @ r).as_quat()
        seeds = votes[evenly(len(votes), POSE_SEEDS)]
        mean = seeds[np.argmax((np.abs(seeds @ votes.T) > INLIER).sum(1))]
        for _ in range(5):
            near = votes[np.abs(votes @ mean) > INLIER]
            mean = np.linalg.eigh(near.T @ near)[1][:, -1]
        error = np.degrees(2 * np.arccos(np.clip(np.abs(votes @ mean), 0, 1)))
        inliers = int((error < 10).sum())
        if inliers > best[0]:
            best = (inliers, PoseAlignment(Rotation.from_quat(mean).as_matrix(), hand, error))
    assert best[1] is not None  # both hands were tried, and any count is above -1
    return best[1]


def score_poses(found: ArrayLike, frames: ArrayLike, true: ArrayLike) -> PoseScore:
    """Score rotations after one global rotation G and hand F: found = F · true · G.

    Parameters
    ----------
    found, frames, true
        As of `align_poses`.

    Raises
    ------
    InputError
        Shapes that do not fit.
    """
    alignment = align_poses(found, frames, true)
    error, count = alignment.error_deg, len(np.asarray(true))
    within = {d: float((error < d).sum() / count) for d in (1, 2, 3, 10)}
    median = float(np.median(error[error < 10])) if (error < 10).any() else float("nan")
    return PoseScore(within[1], within[2], within[3], within[10], median, count, len(error), alignment.hand)
