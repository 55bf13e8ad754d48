"""The normal matrix of all positions with poses free, and steps and covariances from it.

Half the Fisher information S of the positions is the Schur complement of the kernel (`rust/model/normal.rs`), from a
sample of the frames. A common turn and shift of all atoms can be taken up by the poses and leaves nothing changed:
those six directions are held fixed by adding them to S, so that errors are those about the best common placement.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import j0, j1

from single_rs import _core
from single_rs.base.errors import InputError
from single_rs.base.sampling import evenly
from single_rs.refine.problem import Model, RefinementProblem, single

__all__ = ["limited", "normal_factor", "solve"]

TABLE_STEP = 0.05  # px; the finest wave is 2 px long, so linear interpolation is exact to 1e-3
POSITION_PRIOR = 0.1  # Å; holds atoms that the frames hardly determine
LONGEST_STEP = 0.2  # Å


def normal_factor(
    problem: RefinementProblem, model: Model, information: NDArray[np.float64], sample: int, free_poses: bool = True
) -> NDArray[np.float64]:
    """Return L with L Lᵀ half the Fisher information of the positions, (3n, 3n) 1/px; its upper triangle means nothing.

    Parameters
    ----------
    problem, model
        Frames and atoms.
    information
        (m,) from `RefinementProblem.gradients`.
    sample
        Frames that the sums over rotations are taken from.
    free_poses
        False for the information with the poses known.
    """
    used = np.flatnonzero(problem.frame_weights > 0)
    used = used[evenly(len(used), sample)]
    filters = problem.filters()[:1]
    matrix = _core.model_normal(
        problem.plane,
        (single(model.positions), single(effective_heights(problem, model, information)), None, filters),
        np.ascontiguousarray(problem.rotations[used]),
        single(information / len(used)),
        _pair_table(problem, information * filters[0].astype(float) ** 2 / len(used)),
        TABLE_STEP,
        free_poses,
    )
    n = len(model)
    held = np.zeros((6, n, 3))
    centred = model.positions - model.positions.mean(0)
    for axis in range(3):
        held[axis, :, axis] = 1.0
        held[3 + axis] = np.cross(np.eye(3)[axis], centred)
    for i, mode in enumerate(held):  # Gram-Schmidt: a QR would bring threaded BLAS and its rounding in
        for other in held[:i]:
            mode -= (mode * other).sum() * other
        mode /= max(np.sqrt((mode**2).sum()), 1e-12)
    diagonal = float(np.mean(np.einsum("ii->i", matrix)))
    for mode in held.reshape(6, -1):
        matrix += diagonal * mode[:, None] * mode
    np.einsum("ii->i", matrix)[:] += 1 / (2 * (POSITION_PRIOR / problem.pixel_size) ** 2)
    try:
        return _core.factor_normal(matrix)
    except ValueError as error:
        raise InputError(f"the frames do not determine the {n} atoms ({error}); check atoms and poses") from None


def effective_heights(
    problem: RefinementProblem, model: Model, information: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Height (n,) at which f₀ alone contains as much of an atom's position as all filters do.

    Atoms far from the centre are often far out of focus. Over all rotations an atom at radius r (in half boxes) has
    ⟨ζ²⟩ = r²/3 and ⟨ζ⁴⟩ = r⁴/5; odd powers vanish, and powers of the depth beyond the second are small.
    """
    f0, fb, *depth = problem.filters().astype(np.float64)
    first, second = (*depth[:2], 0 * f0, 0 * f0)[:2]
    weight = information * problem.radius**2
    square = ((model.positions * (2 / problem.size)) ** 2).sum(1)
    power = (weight * f0 * f0).sum()
    share = (
        1.0
        + 2 * model.widths * (weight * f0 * fb).sum() / power
        + model.widths**2 * (weight * fb * fb).sum() / power
        + square / 3 * (weight * (first**2 + 2 * f0 * second)).sum() / power
        + square**2 / 5 * (weight * second**2).sum() / power
    )
    return np.asarray(model.heights * np.sqrt(np.clip(share, 0.1, 4.0)))


def _pair_table(problem: RefinementProblem, power: NDArray[np.float64]) -> NDArray[np.float32]:
    """−T′/d and T′/d − T″ at d = 0, 0.05, … px, with T(d) = Σ power(k) J₀(2π k d / N)."""
    shells = problem.shell_sums(power)
    wave = 2 * np.pi * np.arange(len(shells)) / problem.size
    z = np.arange(0, problem.size, TABLE_STEP)[:, None] * wave
    ratio = np.where(z > 1e-6, j1(z) / np.maximum(z, 1e-6), 0.5)
    weight = shells * wave**2
    return single(np.stack([(weight * ratio).sum(1), (weight * (j0(z) - 2 * ratio)).sum(1)], axis=1))


def solve(factor: NDArray[np.float64], gradients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Newton steps (group, n, 3) px for gradients (group, n, 3), from the factor of the normal matrix."""
    group, n, _ = gradients.shape
    steps = _core.solve_normal(factor, np.ascontiguousarray(gradients.reshape(group, 3 * n)))
    return steps.reshape(group, n, 3)


def limited(step: NDArray[np.float64], pixel_size: float) -> NDArray[np.float64]:
    """Shorten steps (n, 3) px of more than 0.2 Å: the quadratic form holds no farther."""
    length = np.linalg.norm(step, axis=1, keepdims=True) * pixel_size
    return np.asarray(step * np.minimum(1.0, LONGEST_STEP / np.maximum(length, 1e-12)))
