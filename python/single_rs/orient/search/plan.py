"""Find the best poses of every frame: look all candidates up in it, climb from the best, keep the finalists.

At one electron per pixel the right pose of a 2.5 nm particle still leads by some twenty nats; what fails is not the
evidence but a search that never tried it (docs/notebook.md). So every candidate that the index does not exclude is
tried in all its mates, which look-ups make cheap, and the best of each frame climb to their local tops before they are
compared: a refined pose beats any that is not (``rust/orient/search.rs``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs import _core
from single_rs.frames.packed import FrameSet
from single_rs.orient.indexing.symmetry import Candidates
from single_rs.orient.models.reference import Reference

__all__ = ["Finalists", "SearchPlan", "search"]


@dataclass(frozen=True)
class SearchPlan:
    """How far a search goes.

    Attributes
    ----------
    window
        Shifts to each side of a frame's centre, in quarter waves.
    inverse_temperature
        Factor on the log-likelihoods against the candidates' prior, 0 to 1.
    climbers
        Candidates of each frame that climb, or one in fifteen where that is more.
    finalists
        Distinct poses of each frame that are compared: a near symmetry must not push the right one out.
    climb
        Newton's steps that all climbers take, and steps more that the better half may take.
    same
        Poses nearer than this are one, rad.
    """

    window: int
    inverse_temperature: float
    climbers: int = 40
    finalists: int = 12
    climb: tuple[int, int] = (2, 4)
    same: float = float(np.radians(3.0))


@dataclass(frozen=True)
class Finalists:
    """Distinct poses of each frame, best first: rotations (n, k, 3, 3); shifts (n, k, 2) px; there (n, k)."""

    rotations: NDArray[np.float64]
    shifts: NDArray[np.float64]
    there: NDArray[np.bool_]


def search(frames: FrameSet, reference: Reference, candidates: Candidates, plan: SearchPlan) -> Finalists:
    """Finalists of all frames among `candidates` and what climbs out of them."""
    posed = frames.posed(candidates.rotations, frame_of=candidates.frame)
    prior = candidates.prior.astype(np.float32)
    rotations, shifts, there = _core.search_poses(posed, reference, frames.frame_weight, prior, plan)
    return Finalists(rotations.astype(float), shifts.astype(float), there)
