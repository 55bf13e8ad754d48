"""Transition model of the orientation: neighbouring frames differ by a few degrees.

Forward-backward and Viterbi over the candidates of each frame (``rust/orient/hmm.rs``), within each time block; the
width of the steps and the share of jumps are learnt (expectation and maximisation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs import _core

__all__ = ["TransitionModel", "smooth"]

STEP_LIMITS = np.radians([0.3, 15.0])  # rad per axis
JUMP_LIMITS = (0.005, 0.5)
ALL_ROTATIONS = 8 * np.pi**2  # rad³, volume of SO(3)


@dataclass(frozen=True)
class TransitionModel:
    """Rotation of the particle from frame to frame: width σ of a step per axis (rad), probability of a jump.

    Steps follow Student's t with 4 degrees of freedom: their root mean square per axis is √2 σ.
    """

    step_sigma: float
    jump_probability: float


def smooth(
    states: NDArray[np.float32],
    emission: NDArray[np.floating],
    mates: tuple[NDArray[np.float32], NDArray[np.float32]],
    block: NDArray[np.int64],
    transition: TransitionModel,
) -> tuple[NDArray[np.float32], NDArray[np.int64], TransitionModel]:
    """Posterior (n, k) of states (n, k, 4), unit quaternions; most probable path (n,); the transition model learnt.

    `emission` (n, k) are log-likelihoods; a state s stands for all l · s · r with l and r of `mates`; sequences do
    not cross `block` (n,).
    """
    left, right = mates
    posterior = np.zeros(emission.shape, np.float32)
    path = np.zeros(len(emission), np.int64)
    square, jumps = 0.0, 0.0
    for b in np.unique(block):
        part = np.flatnonzero(block == b)
        posterior[part], path[part], s, j = _core.smooth_candidates(
            np.ascontiguousarray(states[part]),
            np.ascontiguousarray(emission[part], np.float32),
            left,
            right,
            transition.step_sigma,
            transition.jump_probability,
            ALL_ROTATIONS / (len(left) * len(right)),
        )
        square, jumps = square + s * len(part), jumps + j * len(part)
    step = np.clip(np.sqrt(square / len(block)), *STEP_LIMITS)
    return posterior, path, TransitionModel(float(step), float(np.clip(jumps / len(block), *JUMP_LIMITS)))
