"""Symmetry mate of each frame: continuity in time first, then a hidden Markov model over scored candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs.orient.indexing.lattice import FRIEDEL, LEAST_POSTERIOR, OrientationCandidates, to_quaternions
from single_rs.orient.indexing.transition import TransitionModel, smooth

__all__ = ["Candidates", "angle_between", "best_of", "choose", "symmetry_mates", "unfold"]

CLEAR = 8.0  # nats between the nearest and the next mate for a step to be unambiguous
LONGEST_STEP = 4.5  # in units of the step size; a longer one may be a jump
IMPOSSIBLE = -1e4  # log-likelihood of a place without a candidate


@dataclass(frozen=True)
class Candidates:
    """Poses to be compared: frame (c,) ascending; rotations (c, 3, 3); prior (c,) nats."""

    frame: NDArray[np.int64]
    rotations: NDArray[np.float64]
    prior: NDArray[np.float64]

    @classmethod
    def mates(cls, indexed: OrientationCandidates, group: NDArray[np.float64]) -> Candidates:
        """All symmetry mates of the indexed orientations."""
        mates = symmetry_mates(indexed.rotations[:, None], group)
        count = mates.shape[1]
        prior = np.log(np.maximum(indexed.probability, LEAST_POSTERIOR))
        return cls(np.repeat(indexed.frame, count), mates.reshape(-1, 3, 3), np.repeat(prior, count))

    def of_frames(self, chosen: NDArray[np.bool_]) -> Candidates:
        """Return the candidates of the frames `chosen` (n,)."""
        keep = chosen[self.frame]
        return Candidates(self.frame[keep], self.rotations[keep], self.prior[keep])

    def joined(self, rotations: NDArray[np.float64], frame: NDArray[np.int64], prior: float) -> Candidates:
        """Return the candidates and more: rotations (c, 3, 3) of `frame` (c,), all of the same prior."""
        frames = np.concatenate([self.frame, frame])
        order = np.argsort(frames, kind="stable")
        every = np.concatenate([self.rotations, rotations])
        priors = np.concatenate([self.prior, np.full(len(rotations), prior)])
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


def symmetry_mates(rotations: NDArray[np.float64], group: NDArray[np.float64]) -> NDArray[np.float64]:
    """All symmetry mates of rotations (n, q, 3, 3): (n, q · 2 · |group|, 3, 3)."""
    n = len(rotations)
    return np.asarray(np.einsum("fij,nqjk,okl->nqfoil", FRIEDEL, rotations, group, optimize=True).reshape(n, -1, 3, 3))


def angle_between(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angles (n,) between rotations (n, 3, 3), rad."""
    return np.asarray(np.arccos(np.clip((np.einsum("nij,nij->n", a, b) - 1) / 2, -1, 1)))


def unfold(
    rotations: NDArray[np.float64], group: NDArray[np.float64], block: NDArray[np.int64], step: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Follow rotations (n, 3, 3) from frame to frame through the nearest mates.

    Returns the unfolded rotations and the number (n,) of the unambiguous segment of each. A segment ends where the
    two nearest mates are about as far, near ⟨001⟩ and ⟨110⟩ zone axes, where Friedel branches meet, or at a jump.
    """
    mates = symmetry_mates(rotations[:, None], group)
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
    transition: TransitionModel,
) -> tuple[NDArray[np.int64], NDArray[np.float64], TransitionModel]:
    """Candidate (n,) of each frame on the most probable path, its posterior (n,), and the learnt transition model.

    `candidates` (n, c, 3, 3) are full rotations, `emission` (n, c) tempered log-likelihoods, `there` (n, c) tells
    whether the place holds a candidate.
    """
    top = np.where(there, emission, -np.inf).max(axis=1, keepdims=True)
    emission = np.where(there, emission - top, IMPOSSIBLE)
    alone = np.array([[1, 0, 0, 0]], np.float32)
    posterior, path, learnt = smooth(to_quaternions(candidates), emission, (alone, alone), block, transition)
    return path, np.take_along_axis(posterior, path[:, None], axis=1)[:, 0].astype(float), learnt
