"""Runs of frames that are all in one symmetry mate: those that continuity determines, and those without a jump."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from single_rs.frames.packed import FrameSet
from single_rs.orient.indexing.lattice import OrientationCandidates
from single_rs.orient.indexing.symmetry import angle_between, unfold
from single_rs.orient.search.solver import HalfSolver

__all__ = ["Seed", "best_segment", "longest_run"]

SEGMENTS = 3  # tried, the longest first

Model = TypeVar("Model")


@dataclass(frozen=True)
class Seed(Generic[Model]):
    """A first model, the number of frames it was made of, and its mean log-likelihood ratio in them, nats per frame."""

    model: Model
    frames: int
    log_likelihood_ratio: float


def best_segment(
    half: HalfSolver,
    indexed: OrientationCandidates,
    solve: Callable[[FrameSet, NDArray[np.float64]], tuple[Model, float]],
    least: int = 1,
) -> Seed[Model]:
    """Model of the segment that explains its own frames best.

    `solve` makes a model of the frames of a segment and their rotations (n, 3, 3), and gives its mean log-likelihood
    ratio per frame. Segments of less than `least` frames are tried only where there is no longer one.
    """
    unfolded, segment = unfold(indexed.likeliest, half.template.group, half.block, indexed.transition.step_sigma)
    lengths = np.bincount(segment)
    best: Seed[Model] | None = None
    for number in np.argsort(-lengths, kind="stable")[:SEGMENTS]:
        members = np.flatnonzero(segment == number)
        if len(members) < least and best is not None:
            continue
        model, log_likelihood_ratio = solve(half.frames.take(members), unfolded[members])
        # Longer segments determine the model better: the sum over frames of what it explains decides.
        if best is None or log_likelihood_ratio * len(members) > best.log_likelihood_ratio * best.frames:
            best = Seed(model, len(members), log_likelihood_ratio)
    assert best is not None  # lengths has at least one entry
    return best


def longest_run(
    rotations: NDArray[np.float64], confidence: NDArray[np.float64], block: NDArray[np.int64], longest: float
) -> NDArray[np.bool_]:
    """Frames (n,) of the run with most confidence in sum that no step of more than `longest` rad interrupts.

    Parameters
    ----------
    rotations, confidence, block
        (n, 3, 3), (n,) and (n,), in the order of time; no run crosses a block.
    longest
        rad.
    """
    broken = (angle_between(rotations[1:], rotations[:-1]) > longest) | (block[1:] != block[:-1])
    run = np.concatenate([[0], np.cumsum(broken)])
    return np.asarray(run == np.bincount(run, weights=confidence).argmax())
