"""Find the best poses of every frame: look all candidates up in it, climb from the best, keep the finalists.

At one electron per pixel the right pose of a 2.5 nm particle still leads by some twenty nats; what fails is not the
evidence but a search that never tried it (docs/notebook.md). So every candidate that the index does not exclude is
tried in all its mates, which look-ups make cheap, and the best of each frame climb to their local tops before they are
compared: a refined pose beats any rival that is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from single_rs.orient.frames import FrameSet
from single_rs.orient.mates import Candidates, best_of
from single_rs.orient.reference import Reference, likelihood, look_up

__all__ = ["Finalists", "climb", "search"]

CLIMBERS = 40  # candidates of each frame that climb
FINALISTS = 12  # distinct poses of each frame that are compared: a near symmetry must not push the right one out
CLIMB_STEPS = np.radians([1.8, 1.8, 0.9, 0.45, 0.22])  # turns tried about each laboratory axis, to both sides
SAME_POSE = np.radians(3.0)  # poses nearer than this are one


@dataclass(frozen=True)
class Finalists:
    """Distinct poses of each frame, best first.

    rotations (n, k, 3, 3); shifts (n, k, 2) px; likelihood (n, k) nats over an empty frame; there (n, k).
    """

    rotations: NDArray[np.float64]
    shifts: NDArray[np.float64]
    likelihood: NDArray[np.float64]
    there: NDArray[np.bool_]


def search(
    frames: FrameSet,
    references: list[Reference],
    of: NDArray[np.int64],
    candidates: Candidates,
    starts: NDArray[np.float64],
    steps: int,
    temper: float,
) -> Finalists:
    """Finalists of all frames among `candidates` and what climbs out of them.

    `starts` (n, 2) px and `steps` are centre and half width of the window of shifts; `temper` weighs likelihood against
    the candidates' prior.
    """
    frame = candidates.frame
    overlap, power, shifts = look_up(frames, references, of, candidates.rotations, frame, starts[frame], steps)
    total = temper * likelihood(overlap, power, frame, frames.gain) + candidates.prior
    top, there = best_of(frame, total, CLIMBERS)
    frame, place = np.nonzero(there)
    flat = top[frame, place]
    rotations, shifts, value = climb(frames, references, of, candidates.rotations[flat], shifts[flat], frame)
    return _distinct(rotations, shifts, value, frame, len(of))


def climb(
    frames: FrameSet,
    references: list[Reference],
    of: NDArray[np.int64],
    rotations: NDArray[np.float64],
    shifts: NDArray[np.floating],
    frame: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Climb from poses (c,) by ever smaller turns about the three axes; returns poses and log-likelihoods (c,)."""
    overlap, power, shifts = look_up(frames, references, of, rotations, frame, shifts, 1)
    for reach in CLIMB_STEPS:
        axes = np.concatenate([np.zeros((1, 3)), reach * np.eye(3), -reach * np.eye(3)])
        turns = Rotation.from_rotvec(axes).as_matrix()
        count = len(turns)
        tried = np.einsum("oij,cjk->coik", turns[1:], rotations).reshape(-1, 3, 3)
        again = np.repeat(frame, count - 1)
        b, a, t = look_up(frames, references, of, tried, again, np.repeat(shifts, count - 1, axis=0), 1)
        b, a = (np.concatenate([x[:, None], y.reshape(-1, count - 1)], 1) for x, y in ((overlap, b), (power, a)))
        t = np.concatenate([shifts[:, None], t.reshape(-1, count - 1, 2)], 1)
        gain = likelihood(b.ravel(), a.ravel(), np.repeat(frame, count), frames.gain).reshape(-1, count)
        pick = gain.argmax(axis=1)
        at = (np.arange(len(pick)), pick)
        rotations = np.einsum("cij,cjk->cik", turns[pick], rotations)
        overlap, power, shifts = b[at], a[at], t[at]
    return rotations, shifts.astype(float), likelihood(overlap, power, frame, frames.gain)


def _distinct(
    rotations: NDArray[np.float64],
    shifts: NDArray[np.float64],
    value: NDArray[np.float64],
    frame: NDArray[np.int64],
    n: int,
) -> Finalists:
    """Best `FINALISTS` poses of each frame of which no two are the same."""
    top, there = best_of(frame, value, CLIMBERS)
    r, v = rotations[top], np.where(there, value[top], -np.inf)
    cosine = np.einsum("naij,nbij->nab", r, r)
    same = cosine > 1 + 2 * np.cos(SAME_POSE)
    keep = np.zeros_like(there)
    for place in range(CLIMBERS):
        beaten = (same[:, place, :place] & keep[:, :place]).any(axis=1)
        keep[:, place] = there[:, place] & ~beaten & (keep.sum(axis=1) < FINALISTS)
    order = np.argsort(~keep, axis=1, kind="stable")[:, :FINALISTS]
    rows = np.arange(n)[:, None]
    return Finalists(r[rows, order], shifts[top][rows, order], v[rows, order], keep[rows, order])
