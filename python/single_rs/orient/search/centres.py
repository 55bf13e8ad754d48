"""Where the particle is in its frames: measured centres are where everything starts, and they may be wrong.

Before each round the particle is centred among its frames, and the window of shifts is widened where the errors of the
measured centres fill it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from single_rs.base.trajectory import correlated_part
from single_rs.orient.search.round import Fold, gathered
from single_rs.orient.search.solver import CONFIDENT, HalfSolver

__all__ = ["centre", "particle_translation", "widen"]

FEWEST = 10  # frames in a clear pose that the particle's centre is measured on
OFF_CENTRE = 0.1  # Å
FILLED = 0.4  # of the window: errors of centres that scatter by more do not fit in; what fills it evenly has 0.58
SURE = 5.0  # standard errors
APART = 100  # frames that blocks count as apart: more than the lags at which shifts are compared


def centre(half: HalfSolver, folds: list[Fold]) -> bool:
    """Move the particle's origin to where the measured centres have it, if it is far from there.

    The first model's origin is where its own frames put it; shifts (R d)_xy of a particle that is d off its centre
    would use up the window of shifts in some views.
    """
    poses = gathered(folds)
    clear = poses.confidence > CONFIDENT
    if clear.sum() < FEWEST:
        return False
    off = particle_translation(poses.rotations[clear], poses.shifts[clear])
    if np.linalg.norm(off) * half.frames.pixel_size < OFF_CENTRE:
        return False
    for fold in folds:
        moved = fold.poses.shifts - (fold.poses.rotations @ off)[:, :2]
        fold.poses = replace(fold.poses, shifts=moved)
    return True


def widen(half: HalfSolver, folds: list[Fold]) -> bool:
    """Search a wider window of shifts from now on, where the centres' errors fill the present one.

    Centres are measured before anything is known of the particle. A grain that diffracts outshines its neighbours, so
    that a twin's centre may be off by more than an atom for as long as it keeps its orientation. What persists from
    frame to frame is the centre's error; wrong poses have any shift, another one in each frame.
    """
    poses = gathered(folds)
    clear = np.flatnonzero(poses.confidence > CONFIDENT)
    if len(clear) < FEWEST:
        return False
    apart = clear + APART * half.block[clear]
    error = correlated_part(apart, poses.shifts[clear] - np.median(poses.shifts[clear], axis=0))
    sure = error.significance > SURE and np.sqrt(error.power) > FILLED * half.window * half.spacing
    return bool(sure) and half.widen()


def particle_translation(rotations: NDArray[np.float64], change: NDArray[np.float64]) -> NDArray[np.float64]:
    """Translation (3,) of the particle whose images explain the changes of shift (n, 2); outliers are cut."""
    rows = rotations[:, :2].reshape(-1, 3)
    keep = np.ones(len(change), bool)
    moved = np.zeros(3)
    for _ in range(3):
        moved = np.linalg.lstsq(rows[np.repeat(keep, 2)], change[keep].ravel(), rcond=None)[0]
        rest = np.linalg.norm(change - (rows @ moved).reshape(-1, 2), axis=1)
        keep = rest <= np.quantile(rest, 0.75)
    return moved
