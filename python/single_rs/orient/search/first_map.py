"""A first model with no lattice: the map of one segment of frames, its shifts found against itself.

Within a segment continuity gives the rotations, and the measured centres are right to a fraction of the finest period.
A map of the frames so placed, cut off below zero, is blurred but right; each frame is shifted to the map of the other
folds, and the map becomes sharper, until its atoms are resolved. The lattice engine's counterpart is `seed`.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from single_rs.frames.packed import FOLDS, FrameSet
from single_rs.frames.volume import fourier_volume
from single_rs.orient.indexing.lattice import OrientationCandidates
from single_rs.orient.models.reference import Reference, exact_fit, likelihood, polish
from single_rs.orient.search.segments import Seed, best_segment
from single_rs.orient.search.solver import HalfSolver, others

__all__ = ["map_seed"]

ROUNDS = 6  # of shifting
POLISHES = 2  # rounds against the atoms of the map
POLISH_ITERATIONS = 4


def map_seed(half: HalfSolver, indexed: OrientationCandidates) -> Seed[Reference]:
    """Reference of the segment whose map explains its own frames best."""
    return best_segment(half, indexed, partial(_segment_map, half), least=FOLDS)


def _segment_map(half: HalfSolver, frames: FrameSet, rotations: NDArray[np.float64]) -> tuple[Reference, float]:
    """Atoms in the map of one segment, and the mean log-likelihood ratio per frame of those of the other folds."""
    every = np.arange(len(rotations))
    fold = every % FOLDS
    shifts: NDArray[np.floating] = np.zeros((len(rotations), 2))
    weight = np.ones(len(rotations))
    for _ in range(ROUNDS):
        sums = half.insert(frames, weight, rotations, shifts, fold, FOLDS)
        maps = [half.density(*others(sums, number)) for number in range(FOLDS)]
        volumes = [fourier_volume(np.maximum(density, 0), half.reach) for density in maps]
        _, shifts = half.score(frames, volumes, fold, rotations, every)
    log_likelihood_ratio = np.zeros(len(rotations))
    for _ in range(POLISHES):
        sums = half.insert(frames, weight, rotations, shifts, fold, FOLDS)
        for number in range(FOLDS):
            own = np.flatnonzero(fold == number)
            if not len(own):
                continue
            reference = half.map_reference(frames, others(sums, number))
            part = frames.take(own)
            best = polish(part, reference, rotations[own], shifts[own], POLISH_ITERATIONS)
            rotations[own], shifts[own] = best.rotations, best.shifts
            overlap, power = exact_fit(part, reference, best.rotations, np.arange(len(own)), best.shifts)
            log_likelihood_ratio[own] = likelihood(overlap, power, np.arange(len(own)), part.frame_weight)
    whole = half.insert(frames, weight, rotations, shifts, np.zeros(len(every), np.int64), 1)[0]
    return half.map_reference(frames, whole), float(log_likelihood_ratio.mean())
