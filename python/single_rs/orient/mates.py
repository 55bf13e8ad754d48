"""Which mate is each frame in? Continuity in time first, then a hidden Markov model over scored candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs import _core
from single_rs.orient.quotient import FRIEDEL, to_quaternions

__all__ = ["Candidates", "all_mates", "best_of", "choose", "unfold"]

CLEAR = 8.0  # nats between the nearest and the next mate for a step to be unambiguous
LONGEST_STEP = 4.5  # in units of the step size; a longer one may be a jump


IMPOSSIBLE = -1e4  # log-likelihood of a place without a candidate


@dataclass(frozen=True)
class Candidates:
    """Poses to be compared: frame (c,) ascending, each frame at least once; rotations (c, 3, 3); prior (c,) nats."""

    frame: NDArray[np.int64]
    rotations: NDArray[np.float64]
    prior: NDArray[np.float64]

    @classmethod
    def mates(
        cls, states: NDArray[np.float64], probability: NDArray[np.float64], group: NDArray[np.float64], least: float
    ) -> Candidates:
        """All mates of the states (n, q, 3, 3) of at least probability `least`; the first state always counts."""
        keep = probability >= least
        keep[:, 0] = True
        frame, state = np.nonzero(keep)
        mates = all_mates(states[frame, state][:, None], group)
        count = mates.shape[1]
        prior = np.log(np.maximum(probability[frame, state], least))
        return cls(np.repeat(frame, count), mates.reshape(-1, 3, 3), np.repeat(prior, count))

    def only(self, index: NDArray[np.int64]) -> Candidates:
        """Return the candidates `index` of all frames, any shape, each once and in order."""
        kept = np.unique(index)
        return Candidates(self.frame[kept], self.rotations[kept], self.prior[kept])

    def joined(
        self, rotations: NDArray[np.float64], frame: NDArray[np.int64] | None = None, prior: float | None = None
    ) -> Candidates:
        """Return the candidates and more: rotations (c, 3, 3) of `frame` (c,), one of each frame when not given.

        `prior` is that of the likeliest candidate when not given.
        """
        frames = np.concatenate([self.frame, np.arange(len(rotations)) if frame is None else frame])
        order = np.argsort(frames, kind="stable")
        every = np.concatenate([self.rotations, rotations])
        priors = np.concatenate([self.prior, np.full(len(rotations), self.prior.max() if prior is None else prior)])
        return Candidates(frames[order], every[order], priors[order])


def best_of(
    frame: NDArray[np.int64], value: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Indices (n, count) of the `count` highest values of each frame, best first, and whether there are so many."""
    order = np.lexsort((-value, frame))
    start = np.searchsorted(frame, np.arange(frame[-1] + 1))
    end = np.append(start[1:], len(frame))
    index = start[:, None] + np.arange(count)
    there = index < end[:, None]
    return order[np.where(there, index, start[:, None])], there


def all_mates(rotations: NDArray[np.float64], group: NDArray[np.float64]) -> NDArray[np.float64]:
    """All mates of rotations (n, q, 3, 3): (n, q · 2 · |group|, 3, 3)."""
    n = len(rotations)
    return np.einsum("fij,nqjk,okl->nqfoil", FRIEDEL, rotations, group, optimize=True).reshape(n, -1, 3, 3)


def unfold(
    rotations: NDArray[np.float64], group: NDArray[np.float64], block: NDArray[np.int64], step: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Follow rotations (n, 3, 3) from frame to frame through the nearest mates.

    Returns the unfolded rotations and the number (n,) of the unambiguous segment of each. A segment ends where the
    two nearest mates are about as far, near ⟨001⟩ and ⟨110⟩ zone axes, where Friedel branches meet, or at a jump.
    """
    mates = all_mates(rotations[:, None], group)
    out, segment = rotations.copy(), np.zeros(len(rotations), np.int64)
    for t in range(1, len(rotations)):
        trace = (mates[t] * out[t - 1]).sum(axis=(1, 2))
        angle = np.arccos(np.clip((trace - 1) / 2, -1, 1))
        first, second = np.argpartition(angle, 1)[:2]
        out[t] = mates[t, first]
        clear = (angle[second] ** 2 - angle[first] ** 2) / (2 * step**2) > CLEAR
        joined = clear and angle[first] < LONGEST_STEP * step and block[t] == block[t - 1]
        segment[t] = segment[t - 1] + (not joined)
    return out, segment


def choose(
    candidates: NDArray[np.float64],
    emission: NDArray[np.float64],
    there: NDArray[np.bool_],
    block: NDArray[np.int64],
    step: float,
    jump: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Most probable candidate (n,) of each frame and its posterior, by forward-backward within each block.

    `candidates` (n, c, 3, 3) are full rotations, `emission` (n, c) tempered log-likelihoods, `there` (n, c) tells
    whether the place holds a candidate.
    """
    top = np.where(there, emission, -np.inf).max(axis=1, keepdims=True)
    emission = np.where(there, emission - top, IMPOSSIBLE)
    quaternions = to_quaternions(candidates)
    identity = np.array([[1, 0, 0, 0]], np.float32)
    posterior = np.zeros_like(emission, dtype=np.float32)
    for b in np.unique(block):
        chain = np.flatnonzero(block == b)
        posterior[chain], _, _ = _core.smooth_candidates(
            np.ascontiguousarray(quaternions[chain]),
            np.ascontiguousarray(emission[chain], np.float32),
            identity,
            identity,
            step,
            jump,
            8 * np.pi**2,
        )
    pick = posterior.argmax(axis=1)
    return pick, np.take_along_axis(posterior, pick[:, None], axis=1)[:, 0].astype(float)
