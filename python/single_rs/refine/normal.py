"""The normal equations of all positions and of the magnification's ellipse, with the poses free.

Half the Fisher information S of the positions is the Schur complement of the kernel (`rust/model/normal.rs`), from a
sample of the frames. A common turn and shift of all atoms can be taken up by the poses and leaves nothing changed:
those six directions are held fixed by adding them to S, so that errors are those about the best common placement.

The ellipse e that all frames share has the couplings c to the positions and the information s, and

    A = S⁻¹ cᵀ,    Σ = (s + 1/2σ_e² − c A)⁻¹,    e = Σ (g_e − c S⁻¹ g),    x = S⁻¹ g − A e,    2 cov(x) = S⁻¹ + A Σ Aᵀ

with the gradients g, g_e of ½ log-likelihood. Where the views turn about one axis, or lie in one plane, the frames
cannot tell an ellipse from a strain of the particle, and A Σ Aᵀ is all that is known of the latter: σ_e.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import j0, j1

from single_rs import _core
from single_rs.base.errors import InputError
from single_rs.base.sampling import evenly
from single_rs.base.tensors import even_strain, strain_information
from single_rs.refine.modes import collective, rigid, strained
from single_rs.refine.problem import Gradient, Model, RefinementProblem, single

__all__ = ["BEYOND", "NormalEquations"]

TABLE_STEP = 0.05  # px; the finest wave is 2 px long, so linear interpolation is exact to 1e-3
FINER = 8  # bins of |k| per shell: far atoms see the width of one, and what poses take up must cancel to 1e-3
POSITION_PRIOR = 0.1  # Å; holds atoms that the frames hardly determine, not what all do together
STRAIN_PRIOR = (
    0.05  # of what all atoms do together: no crystal is strained more, and where the frames say nothing this is known
)
ROUNDING = 2.0  # times what is left of rigid motion, which the poses should take up whole: below that all is rounding
BEYOND = 4.0  # times its variance by the matrix, from which that by the views is taken for a strain
ROWS = 512  # of a matrix that are changed together
ATTEMPTS = 8
LONGEST_STEP = 0.2  # Å


@dataclass(frozen=True)
class NormalEquations:
    """Positions and ellipse with the poses free; lengths in px.

    Attributes
    ----------
    factor
        L (3n, 3n), L Lᵀ = S; its upper triangle means nothing.
    answer
        A (3n, 2), px: how the positions answer to the ellipse.
    coupling
        c (2, 3n).
    ellipse
        Σ (2, 2).
    basis
        (m, 3n) from `modes.collective`.
    unknown
        (u, m) px, errors along the basis that the matrix loses in rounding, at one standard deviation.
    ellipse_by_views
        (2,) standard error of the ellipse that the views alone give a particle of independent atoms.
    """

    factor: NDArray[np.float64]
    answer: NDArray[np.float64]
    coupling: NDArray[np.float64]
    ellipse: NDArray[np.float64]
    basis: NDArray[np.float64]
    unknown: NDArray[np.float64]
    ellipse_by_views: NDArray[np.float64]

    @classmethod
    def of(
        cls, problem: RefinementProblem, model: Model, information: NDArray[np.float64], sample: int
    ) -> NormalEquations:
        """Sum the equations of a model.

        Parameters
        ----------
        problem, model
            Frames and atoms.
        information
            (m,) from `RefinementProblem.gradients`.
        sample
            Frames that the sums over rotations are taken from.
        """
        everyone = np.flatnonzero(problem.frame_weights > 0)
        used = everyone[evenly(len(everyone), sample)]
        power = problem.filter_products()[0, 0]
        if problem.lens is not None:
            power = _round(problem, power, information)
        filters = single(np.sqrt(power))[None]
        matrix, coupling, square = _core.model_normal(
            problem.plane,
            (single(model.positions), single(effective_heights(problem, model, information)), None, filters),
            np.ascontiguousarray(problem.rotations[used]),
            single(information / len(used)),
            _pair_table(problem, information * power / len(used)),
            TABLE_STEP,
        )
        basis = collective(model.positions)
        seen = problem.rotations[used].astype(np.float64)
        views, unknown, damping = _hold(matrix, model.positions, basis, seen, len(everyone), problem.pixel_size)
        factor = _factor(matrix, basis, damping)
        answer = _core.solve_normal(factor, coupling).T
        expected = max(problem.config.ellipse, 1e-9)
        ellipse = np.linalg.inv(square + np.eye(2) / (2 * expected**2) - coupling @ answer)
        known = cls(factor, answer, coupling, (ellipse + ellipse.T) / 2, basis, np.empty((0, len(basis))), np.zeros(2))
        told = views + np.diag([1 / (2 * STRAIN_PRIOR**2)] * 6 + [1 / (2 * expected**2)] * 2)
        by_views = np.asarray(0.5 * np.linalg.inv(told), np.float64)
        beyond = _beyond(known.together(), basis, model.positions, by_views[:6, :6], unknown)
        return replace(known, unknown=beyond, ellipse_by_views=np.sqrt(np.diag(by_views)[6:]))

    def steps(self, gradient: Gradient, by_ellipse: NDArray[np.float64]) -> NDArray[np.float64]:
        """Newton steps (group, n, 3) px of the positions, the ellipse free, for gradients of groups of frames."""
        raw, ellipse = self._solved(gradient.positions, by_ellipse)
        return np.asarray(raw - (ellipse @ self.answer.T).reshape(raw.shape))

    def held_steps(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Newton steps (group, n, 3) px for gradients (group, n, 3) by the positions, the ellipse held."""
        group, n, _ = positions.shape
        return _core.solve_normal(self.factor, np.ascontiguousarray(positions.reshape(group, 3 * n))).reshape(
            group, n, 3
        )

    def ellipse_steps(self, gradient: Gradient, by_ellipse: NDArray[np.float64]) -> NDArray[np.float64]:
        """Newton steps (group, 2) of the ellipse, the positions free."""
        return self._solved(gradient.positions, by_ellipse)[1]

    def _solved(
        self, positions: NDArray[np.float64], by_ellipse: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        raw = self.held_steps(positions)
        return raw, (by_ellipse - raw.reshape(len(raw), -1) @ self.coupling.T) @ self.ellipse

    def joint_step(
        self, gradient: Gradient, by_ellipse: NDArray[np.float64], pixel_size: float, free_ellipse: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Step (n, 3) px of all groups together, and that (2,) of the ellipse, which they follow where it is free.

        Steps of more than 0.2 Å are shortened, what all atoms do together as one: the quadratic form holds no farther.
        """
        positions = gradient.positions.sum(0, keepdims=True)
        raw, ellipse = self._solved(positions, by_ellipse.sum(0, keepdims=True))
        step = raw[0] - (self.answer @ ellipse[0]).reshape(raw[0].shape) * free_ellipse
        together = ((self.basis @ step.ravel()) @ self.basis).reshape(step.shape)
        alone, longest = step - together, LONGEST_STEP / pixel_size
        length = np.linalg.norm(alone, axis=1, keepdims=True)
        alone = alone * np.minimum(1.0, longest / np.maximum(length, 1e-12))
        farthest = max(float(np.linalg.norm(together, axis=1).max()), 1e-12)
        return alone + together * min(1.0, longest / farthest), ellipse[0]

    def amounts(self, step: NDArray[np.float64]) -> NDArray[np.float64]:
        """What a step (n, 3) px moves all atoms by together, (m,) standard errors of each direction."""
        deviation, vectors = self.directions
        return np.asarray((self.basis @ step.ravel()) @ vectors / deviation)

    def displacement(self, amounts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Displacement (n, 3) px of amounts (m,); the inverse of `amounts`."""
        deviation, vectors = self.directions
        return np.asarray((vectors @ (deviation * amounts)) @ self.basis).reshape(-1, 3)

    @cached_property
    def directions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Standard errors (m,) px and directions (m, m), in columns, of what all positions do together."""
        variance, vectors = np.linalg.eigh(self.together())
        return np.sqrt(np.maximum(variance, 1e-30)), vectors

    def unseen(self) -> NDArray[np.float64]:
        """Covariance (m, m) px² along what the matrix says no more of than rounding does."""
        return np.asarray(self.unknown.T @ self.unknown)

    def covariance(self) -> NDArray[np.float64]:
        """Cramér-Rao bound (n, 3, 3) px² of each position, poses and ellipse free."""
        answer = self.answer.reshape(-1, 3, 2)
        shared = np.einsum("nik,kl,njl->nij", answer, self.ellipse, answer)
        return np.asarray(0.5 * (_core.normal_blocks(self.factor) + shared))

    def together(self) -> NDArray[np.float64]:
        """Cramér-Rao bound (m, m) px² of what all positions do together, poses and ellipse free."""
        solved = _core.solve_normal(self.factor, self.basis)
        answer = self.basis @ self.answer
        return np.asarray(0.5 * (solved @ self.basis.T + answer @ self.ellipse @ answer.T))


def _hold(
    matrix: NDArray[np.float64],
    positions: NDArray[np.float64],
    basis: NDArray[np.float64],
    rotations: NDArray[np.float64],
    frames: int,
    pixel_size: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Hold rigid motion, atoms that are hardly determined, and what is lost in rounding; in place.

    Returns
    -------
    views
        (8, 8) half the information of strain and ellipse that the views alone give independent atoms, without rounding.
    unknown
        (u, m) px, directions of the basis that are lost, by the strain that any crystal stays below.
    damping
        What is rounding.
    """
    still = rigid(positions)
    left = still @ _times(matrix, still)
    square = basis @ _times(matrix, basis)
    damping = max(ROUNDING * float(np.abs(np.linalg.eigvalsh((left + left.T) / 2)).max()), 1e-12)
    values, vectors = np.linalg.eigh((square + square.T) / 2)
    spread = float(((positions - positions.mean(0)) ** 2).sum()) / 3
    prior = 1 / (2 * (POSITION_PRIOR / pixel_size) ** 2)
    least = 1 / (2 * STRAIN_PRIOR**2 * max(spread, 1e-12))
    extra = least - prior + np.maximum(damping - values, 0.0)
    unknown = vectors.T[values < damping] / np.sqrt(2 * least)
    x = positions - positions.mean(0)
    across = float(np.mean(np.einsum("ii->i", matrix))) * 1.5  # two of three directions are across a beam
    views = strain_information(across * x.T @ x, rotations, 2.0 / frames).mean(0)
    told, axes = np.linalg.eigh(views)
    views = (axes * np.maximum(told, 0.0)) @ axes.T
    diagonal = float(np.mean(np.einsum("ii->i", matrix)))
    np.einsum("ii->i", matrix)[:] += prior
    _add(matrix, np.concatenate([still, vectors.T @ basis]), np.concatenate([np.full(len(still), diagonal), extra]))
    return views, unknown, damping


def _beyond(
    together: NDArray[np.float64],
    basis: NDArray[np.float64],
    positions: NDArray[np.float64],
    views: NDArray[np.float64],
    unknown: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Errors (u, m) px by which strain is less known from the views (6, 6) than `together` (m, m) says; and bending.

    A strain that turns of the poses and an ellipse answer all but fully is a small difference of large numbers in the
    matrix. The views alone give it without rounding, for a particle whose atoms are independent, so what is within a
    factor of two in σ is the matrix's, and what is more is theirs.
    """
    x = positions - positions.mean(0)
    rows = even_strain(basis.reshape(-1, *positions.shape), positions)
    values, vectors = np.linalg.eigh(rows.T @ together @ rows)
    root = (vectors * np.sqrt(np.maximum(values, 1e-30))) @ vectors.T
    inverse = (vectors / np.sqrt(np.maximum(values, 1e-30))) @ vectors.T
    excess, directions = np.linalg.eigh(inverse @ views @ inverse)
    chosen = excess > BEYOND
    strain = ((root @ directions[:, chosen]) * np.sqrt(excess[chosen] - 1)).T
    moved = strained(basis, strain, positions)
    # A lost direction that is mostly strain is among these.
    bent = ((unknown @ rows) ** 2).sum(1) * (x**2).sum() / 3 < 0.5 * (unknown**2).sum(1)
    return np.concatenate([moved, unknown[bent]])


def _factor(matrix: NDArray[np.float64], basis: NDArray[np.float64], damping: float) -> NDArray[np.float64]:
    """Factor a matrix in place; where rounding has eaten a soft direction, all are damped until it can be done."""
    for _ in range(ATTEMPTS):
        try:
            _core.factor_normal(matrix)
        except ValueError as error:
            reason = error
        else:
            return matrix
        _add(matrix, basis, np.full(len(basis), damping))
        damping *= 2
    n = len(matrix) // 3
    raise InputError(f"the frames do not determine the {n} atoms ({reason}); check atoms and poses")


def _times(matrix: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """S Qᵀ (n, m) of the symmetric S (n, n) whose lower triangle `matrix` is, and Q (m, n)."""
    out = np.zeros(rows.shape[::-1])
    for start in range(0, len(matrix), ROWS):
        end = min(start + ROWS, len(matrix))
        block = matrix[start:end, :end].copy()
        block[:, start:] = np.tril(block[:, start:])
        out[start:end] += block @ rows[:, :end].T
        np.einsum("ii->i", block[:, start:])[:] = 0.0
        out[:end] += block.T @ rows[:, start:end].T
    return out


def _add(matrix: NDArray[np.float64], rows: NDArray[np.float64], weights: NDArray[np.float64]) -> None:
    """Add Σ_k weights_k q_k q_kᵀ, q the `rows` (m, n), in place."""
    for start in range(0, len(matrix), ROWS):
        part = slice(start, start + ROWS)
        matrix[part] += (rows[:, part].T * weights) @ rows


def effective_heights(
    problem: RefinementProblem, model: Model, information: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Height (n,) at which f₀ alone contains as much of an atom's position as all filters do.

    Atoms far from the centre are often far out of focus. Over all rotations an atom at radius r (in half boxes) has
    ⟨ζ²⟩ = r²/3 and ⟨ζ⁴⟩ = r⁴/5; odd powers vanish, and powers of the depth beyond the second are small.
    """
    products = (problem.filter_products() * (information * problem.radius**2)).sum(-1)
    products /= products[0, 0]
    width = products[:2, :2]
    depth = np.zeros((3, 3))  # of the powers 0 to 2
    used = [0, *range(2, min(len(products), 4))]
    depth[: len(used), : len(used)] = products[np.ix_(used, used)]
    square = ((model.positions * (2 / problem.size)) ** 2).sum(1)
    share = (
        1.0
        + 2 * model.widths * width[0, 1]
        + model.widths**2 * width[1, 1]
        + square / 3 * (depth[1, 1] + 2 * depth[0, 2])
        + square**2 / 5 * depth[2, 2]
    )
    return np.asarray(model.heights * np.sqrt(np.clip(share, 0.1, 4.0)))


def _round(
    problem: RefinementProblem, power: NDArray[np.float64], information: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean (m,) of a power (m,) over each shell: pairs of atoms have no azimuth, and poses must cancel against them."""
    mean = problem.shell_sums(information * power) / np.maximum(problem.shell_sums(information), 1e-30)
    return np.asarray(np.interp(problem.radius, np.arange(len(mean)), mean), np.float64)


def _pair_table(problem: RefinementProblem, power: NDArray[np.float64]) -> NDArray[np.float32]:
    """−T′/d and T′/d − T″ at d = 0, 0.05, … px, with T(d) = Σ power(k) J₀(2π k d / N)."""
    rings = np.bincount(np.rint(FINER * problem.radius).astype(int), power)
    inside = np.flatnonzero(rings)
    wave = 2 * np.pi * inside / FINER / problem.size
    z = np.arange(0, problem.size, TABLE_STEP)[:, None] * wave
    ratio = np.where(z > 1e-6, j1(z) / np.maximum(z, 1e-6), 0.5)
    weight = rings[inside] * wave**2
    return single(np.stack([(weight * ratio).sum(1), (weight * (j0(z) - 2 * ratio)).sum(1)], axis=1))
