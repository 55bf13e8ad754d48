"""Atoms that move more in one direction than in another: a tensor U each, and whether the frames want them.

To second order an atom's waves lose 2π² kᵀU k of their amplitude, U = ⟨u uᵀ⟩ in Å² the mean square displacement less
that of all atoms (which is in f₀). Seen along the beam n, the frequencies of a view lie in the plane P = 1 − n nᵀ, and
half the information about U, f₀ and the weights being round, is

    H_(ij)(kl) = 4π⁴ h² Σ_k I(k) f₀² k⁴ ⟨P_ij P_kl + P_ik P_jl + P_il P_jk⟩ / 8,
    H_(ij)h    = −2π² h Σ_k I(k) f₀² k² ⟨P_ij⟩ / 2

averaged over the views. The part of U that has no trace is held by a prior whose spread τ is learnt from all atoms of
the core and of the surface, as the mean of its square less that of its error (empirical Bayes: Efron and Morris, J. Am.
Stat. Assoc. 68, 117 (1973), doi:10.1080/01621459.1973.10481350). The tensors are kept only when they explain
frames they were not fitted to: each half finds U, and an isotropic width, from its own frames, and the
tensors stay only where they make the frames of the other half more likely,

    Σ (misfit' of the widths − misfit' of the tensors) > ln(frames)    over both directions,

which is the Bayesian information criterion of two spreads.

Trueblood et al., Acta Cryst. A 52, 770 (1996), doi:10.1107/S0108767396005697 (names and conventions of U and B = 8π²U).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from single_rs.base.columns import Column
from single_rs.base.tensors import COMPONENTS, components
from single_rs.crystal.neighbours import surface_atoms
from single_rs.refine.problem import HEIGHT_PRIOR, WIDTH_PRIOR, Model, RefinementProblem
from single_rs.refine.types import Refined

__all__ = [
    "AnisotropicDisplacement",
    "DisplacementTable",
    "displacement_table",
    "fit_displacement",
    "held_out_log_likelihood_ratio",
    "improves_bic",
    "isotropic",
    "with_displacement",
]

U_PER_B = 1 / (8 * np.pi**2)
PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))  # order of the six numbers
TRACE = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
TIMES = 2.0 - TRACE  # each off-diagonal number stands for two elements of U
# Σ of the squared elements of U without its trace, as a form of the six numbers.
TRACELESS = np.diag(TIMES) - np.outer(TRACE, TRACE) / 3
FREE = 5  # numbers of a tensor without trace
FIRST_STEPS, STEPS = 3, 2  # before and after the spread is learnt
DAMPING = 0.7  # neighbours share some of their power: the whole step of one atom alone would overshoot
WIDEST = 0.02  # Å², spread of U before it is learnt; a quarter of an atom's resolution squared
NARROWEST = 3e-4  # Å², 0.02 Å² of B; what is learnt to be less is nothing


def isotropic(model: Model) -> Model:
    """Return the same atoms with the tensors that say what their widths do."""
    return replace(model, tensors=model.widths[:, None] * U_PER_B * TRACE)


def information_matrix(problem: RefinementProblem, information: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half the information on height and tensor (7, 7) of an atom of height 1."""
    used = problem.frame_weights > 0
    beam = problem.rotations[used, 2].astype(np.float64)
    plane = np.eye(3) - beam[:, :, None] * beam[:, None, :]
    p = np.stack([plane[:, i, j] for i, j in PAIRS], axis=1)
    power = information * problem.filter_products()[0, 0]
    wave = problem.radius / problem.frames.box
    sums = [float((power * wave**order).sum()) for order in (0, 2, 4)]
    square = np.empty((7, 7))
    square[0, 0] = sums[0]
    square[0, 1:] = square[1:, 0] = -(np.pi**2) * sums[1] * p.mean(0) * TIMES
    for a, (i, j) in enumerate(PAIRS):
        for b, (k, m) in enumerate(PAIRS):
            product = p[:, a] * p[:, b] + plane[:, i, k] * plane[:, j, m] + plane[:, i, m] * plane[:, j, k]
            square[1 + a, 1 + b] = 4 * np.pi**4 * sums[2] * product.mean() / 8 * TIMES[a] * TIMES[b]
    return square


@dataclass(frozen=True)
class AnisotropicDisplacement:
    """Atoms with tensors, spread τ (n,) Å² of the part without trace, and standard errors (n, 6) Å² of the numbers."""

    model: Model
    spread: NDArray[np.float64]
    errors: NDArray[np.float64]


def fit_displacement(problem: RefinementProblem, model: Model, free: bool = True) -> AnisotropicDisplacement:
    """Fit heights and tensors of the atoms of `model` to the frames in use, at their poses.

    Without `free` the tensors keep to their traces, which is the isotropic model.
    """
    model = model if model.tensors is not None else isotropic(model)
    spread = np.full(len(model), WIDEST if free else NARROWEST)
    for _ in range(FIRST_STEPS):
        model, covariance = _step(problem, model, spread)
    if free:
        spread = _learn(model, covariance)
    for _ in range(STEPS):
        model, covariance = _step(problem, model, spread)
    return AnisotropicDisplacement(model, spread, np.sqrt(np.einsum("nii->ni", covariance)))


def held_out_log_likelihood_ratio(problem: RefinementProblem, model: Model, half: NDArray[np.int8]) -> float:
    """Log-likelihood, nats, that tensors from one half give the other half over isotropic widths; both directions."""
    log_likelihood_ratio = 0.0
    for number in (1, 2):
        own, other = problem.only(half == number), problem.only(half == 3 - number)
        left = [float(other.fitness(fit_displacement(own, model, free).model).misfit.sum()) for free in (False, True)]
        log_likelihood_ratio += left[0] - left[1]
    return log_likelihood_ratio


def improves_bic(log_likelihood_ratio: float, frames: int) -> bool:
    """Whether a held-out log-likelihood ratio in nats exceeds the information criterion of two spreads."""
    return bool(log_likelihood_ratio > np.log(max(frames, 2)))


def with_displacement(
    refined: Refined, displacement: AnisotropicDisplacement | None, log_likelihood_ratio: float
) -> Refined:
    """Add the held-out log-likelihood ratio, nats, to a result, and the tensors where there are any."""
    if displacement is None or displacement.model.tensors is None:
        return replace(refined, summary=replace(refined.summary, anisotropic_nats=log_likelihood_ratio))
    tensors = displacement.model.tensors
    full = np.stack([tensors[:, [0, 3, 4]], tensors[:, [3, 1, 5]], tensors[:, [4, 5, 2]]], axis=1)
    anisotropy = float(np.sqrt(np.mean(displacement.spread**2)))
    summary = replace(refined.summary, anisotropic_nats=log_likelihood_ratio, anisotropy=anisotropy)
    return replace(refined, displacement=full, displacement_error=displacement.errors, summary=summary)


def _step(problem: RefinementProblem, model: Model, spread: NDArray[np.float64]) -> tuple[Model, NDArray[np.float64]]:
    """Newton step of heights and tensors; also the covariance (n, 6, 6) of the tensors with the height free."""
    assert model.tensors is not None  # so are those of `isotropic`
    gradient, _, information = problem.gradients(model)
    heights = np.maximum(model.heights, 0.05)[:, None]
    factor = np.concatenate([np.ones_like(heights), np.repeat(heights, 6, axis=1)], axis=1)
    prior = np.zeros((len(model), 7, 7))
    prior[:, 0, 0] = 1 / (2 * HEIGHT_PRIOR**2)
    prior[:, 1:, 1:] = TRACELESS / (2 * spread[:, None, None] ** 2)
    prior[:, 1:, 1:] += np.outer(TRACE, TRACE) / (18 * (WIDTH_PRIOR * U_PER_B) ** 2)
    square = information_matrix(problem, information) * factor[:, :, None] * factor[:, None, :] + prior
    now = np.concatenate([model.heights[:, None] - 1.0, model.tensors], axis=1)
    right = np.concatenate([gradient.heights[0][:, None], gradient.tensors[0]], axis=1) - np.einsum(
        "nij,nj->ni", prior, now
    )
    step = DAMPING * np.linalg.solve(square, right[..., None])[..., 0]
    height = np.maximum(model.heights + step[:, 0], 0.0)
    tensors = model.tensors + step[:, 1:]
    tensors -= tensors[:, :3].mean() * TRACE
    widths = tensors[:, :3].mean(1) / U_PER_B
    moved = replace(model, heights=height / height.mean(), widths=widths, tensors=tensors)
    return moved, 0.5 * np.linalg.inv(square)[:, 1:, 1:]


def _learn(model: Model, covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spread (n,) per number of the traceless part, from its square less its error, core and surface apart."""
    assert model.tensors is not None  # a step was made
    found = np.einsum("ni,ij,nj->n", model.tensors, TRACELESS, model.tensors)
    noise = np.einsum("nij,ji->n", covariance, TRACELESS)
    surface = surface_atoms(model.positions)
    spread = np.full(len(model), NARROWEST)
    for group in (surface, ~surface):
        if group.any():
            spread[group] = np.sqrt(max(float((found - noise)[group].mean()) / FREE, NARROWEST**2))
    return spread


@dataclass(frozen=True)
class DisplacementTable:
    """Mean square displacements of n atoms, in the order of atoms.xyz.

    Attributes
    ----------
    tensor, error
        (n, 6) Å², the components xx, yy, zz, xy, xz, yz, and their standard errors.
    """

    tensor: Annotated[NDArray[np.float64], Column(".5f", tuple(f"U_{c}_A2" for c in COMPONENTS))]
    error: Annotated[NDArray[np.float64], Column(".5f", tuple(f"error_{c}_A2" for c in COMPONENTS))]


def displacement_table(tensors: NDArray[np.float64], errors: NDArray[np.float64]) -> DisplacementTable:
    """Return the table of displacements (n, 3, 3) Å² and of the errors (n, 6) of their components."""
    return DisplacementTable(components(tensors), errors)
