"""Error bars of the positions: from the model, from time blocks, from the halves, and from what the model lacks.

With S half the information of the positions, poses free, and u_b = S⁻¹ g_b the Gauss-Newton step that block b of
contiguous frames asks for, the block bootstrap of one step has the closed form

    C = B/(B−1) Σ_b (u_b − ū)(u_b − ū)ᵀ,

the sandwich estimator over time blocks (Liang and Zeger, Biometrika 73, 13 (1986), doi:10.1093/biomet/73.1.13). It
holds noise, errors of the poses and those errors of the model that change from block to block. The Cramér-Rao bound
½ S⁻¹ has its shape with less scatter: both are pooled, each with its degrees of freedom. What both halves share neither
of them sees; its size is taken from the shift of the atoms when the model is made poorer, by leaving out the change of
focus along the beam.

Blocks of time look from all sides, and what the model does wrong in one view it does in each frame of it: such errors
fall with the number of views, not of frames. The same sum over cells of the view sphere holds them. Where it exceeds
that over time, the frames hold more than the model and noise, and all variances grow by the ratio.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["bootstrap", "by_cells", "pooled", "total"]

PRIOR_BLOCKS = 60.0  # weight of the pooled shape, in blocks, against the atom's own bootstrap


def bootstrap(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariances (n, 3, 3) from the steps (block, n, 3) of the blocks."""
    count = len(steps)
    rest = steps - steps.mean(0)
    return np.asarray((rest[:, :, :, None] * rest[:, :, None, :]).sum(0) * count / max(count - 1, 1))


def by_cells(steps: NDArray[np.float64], share: NDArray[np.float64], basis: NDArray[np.float64]) -> float:
    """Mean variance per axis from the steps (cell, n, 3) of cells that hold `share` (cell,) of the information.

    What all atoms do together along `basis` (m, 3n) is left out: it is one number for all of them.
    """
    rest = (steps - share[:, None, None] * steps.sum(0)).reshape(len(steps), -1)
    rest = rest - (rest @ basis.T) @ basis
    left = max(1.0 - float(np.sum(share**2)), 1e-3) * max(rest.shape[1], 1)
    return float(np.sum(rest**2) / left)


def pooled(
    own: NDArray[np.float64], shape: NDArray[np.float64], count: int, surface: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Join `own` (n, 3, 3) of `count` blocks with `shape` (n, 3, 3) scaled to it, core and surface apart."""
    trace = np.einsum("nii->n", own) / np.maximum(np.einsum("nii->n", shape), 1e-30)
    scaled = shape.copy()
    for group in (surface, ~surface):
        if group.any():
            scaled[group] *= float(np.mean(trace[group]))
    return np.asarray((PRIOR_BLOCKS * scaled + count * own) / (PRIOR_BLOCKS + count))


def total(
    statistical: NDArray[np.float64],
    half_difference: NDArray[np.float64],
    model_shift: NDArray[np.float64],
    surface: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Add what the statistical covariance (n, 3, 3) lacks, core and surface apart.

    Parameters
    ----------
    statistical
        From `pooled`.
    half_difference
        (n, 3) position in half 1 minus that in half 2; NaN where not known. A quarter of its square is the variance of
        the whole; where that is more than the statistical one the latter grows to it.
    model_shift
        (n, 3) shift of the atoms under the poorer model; its mean square is added.
    surface
        (n,) bool.
    """
    out = statistical.copy()
    for group in (surface, ~surface):
        if not group.any():
            continue
        mine = float(np.mean(np.einsum("nii->n", statistical[group])))
        halves = float(np.mean((half_difference[group] ** 2).sum(1))) / 4
        if np.isfinite(halves) and halves > mine > 0:
            out[group] *= halves / mine
        out[group] += np.eye(3) * float(np.mean(model_shift[group] ** 2))
    return out
