"""Robust least-squares fit of an affine lattice to indexed atoms, with the covariance of the fit.

Convention: x_i = origin + n_i · cell + r_i, i.e. X = D θ with rows D_i = (1, n_i) and θ (4, 3) = (origin; a; b; c).
Weighted least squares, reweighted until it stands still:

    θ = H⁻¹ Dᵀ W X,   H = Dᵀ W D,   w_i = w_robust(|r_i| / s_i) / s_i²,   s_i² = σ_i² + s₀²

w_robust = (1 − t²)², t = |r_i| / 6 s_i, is Tukey's biweight, s₀ the scatter that the stated σ_i do not explain
(relaxation; all of it when σ is not given). The covariance is the heteroscedasticity-consistent sandwich of this
M-estimator with the leverage correction HC3,

    cov(θ) = Σ_i g_i g_iᵀ ⊗ r_i r_iᵀ / (1 − l_i)²,    g_i = J⁻¹ D_i w_i,    l_i = D_i · g_i,
    J = Σ_i D_i D_iᵀ ψ'_i,    ψ'_i = [(1 − t²)² − (4/3) t² (1 − t²)] / s_i²,

with ψ' the derivative of w(|r|) r averaged over directions: an atom far out pulls less the further it moves. So surface
atoms may scatter more than the core. Residuals of different atoms are taken as independent; a smooth strain field is
not, and what it does to the cell of a piece of the material is measured between regions (`blocks`). Two sublattices
that may shift against each other (wurtzite, whose u no symmetry fixes) take one more row of θ, the shift in Å.

References: biweight: A. E. Beaton and J. W. Tukey, Technometrics 16, 147 (1974), doi:10.1080/00401706.1974.10489171;
HC3: J. G. MacKinnon and H. White, J. Econometrics 29, 305 (1985), doi:10.1016/0304-4076(85)90158-7.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import ConvergenceError
from single_rs.base.rotations import superposition

__all__ = ["AffineFit", "CellParameters", "cell_parameters", "fit_affine", "fit_rigid"]

# Median of |r| for a 3D Gaussian of unit variance per axis (chi distribution, 3 degrees of freedom).
_MEDIAN_CHI3 = 1.5382
# Tukey's constant in 3D: atoms beyond 6 standard deviations have no weight; 96% efficient for Gaussian noise.
_TUKEY = 6.0
# Smallest scatter of a fit, Å: 1e-4 Å is a hundredth of the best experimental precision and keeps weights finite.
_SCATTER_FLOOR = 1e-4
_ITERATIONS = 50


@dataclass(frozen=True)
class AffineFit:
    """Lattice fitted to n atoms.

    Attributes
    ----------
    origin
        (3,) Å.
    cell
        (3, 3) Å, rows a, b, c.
    covariance
        (12, 12) Å², of (origin, a, b, c) flattened, x fastest.
    residual
        (n, 3) Å, atom minus site.
    scatter
        Å per axis, robust standard deviation of the residuals.
    shift, shift_covariance
        (3,) Å of the atoms marked as second sublattice against their sites, and its (3, 3) covariance, Å²; else 0.
    """

    origin: NDArray[np.float64]
    cell: NDArray[np.float64]
    covariance: NDArray[np.float64]
    residual: NDArray[np.float64]
    scatter: float
    shift: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    shift_covariance: NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, 3)))


@dataclass(frozen=True)
class CellParameters:
    """Shape of a conventional cell.

    Attributes
    ----------
    a, b, c
        Å.
    alpha, beta, gamma
        Degrees.
    volume
        Å³.
    a_err, b_err, c_err, alpha_err, beta_err, gamma_err, volume_err
        Standard errors; NaN where they are not known.
    """

    a: float
    b: float
    c: float
    alpha: float
    beta: float
    gamma: float
    volume: float
    a_err: float
    b_err: float
    c_err: float
    alpha_err: float
    beta_err: float
    gamma_err: float
    volume_err: float


def _scatter(residual: NDArray[np.float64]) -> float:
    return max(float(np.median(np.linalg.norm(residual, axis=1))) / _MEDIAN_CHI3, _SCATTER_FLOOR)


def fit_affine(
    sites: NDArray[np.float64],
    positions: NDArray[np.float64],
    sigma: NDArray[np.float64] | None = None,
    second: NDArray[np.bool_] | None = None,
) -> AffineFit:
    """Fit origin and cell to atoms of known sites.

    Parameters
    ----------
    sites
        (n, 3) fractional coordinates in the cell, not all in a plane.
    positions
        (n, 3) Å.
    sigma
        (n,) Å per axis, stated standard error of each position; None: all alike.
    second
        (n,) bool, atoms of a sublattice that is free to shift as a whole; None or no atom: all are fixed to the cell.

    Raises
    ------
    ConvergenceError
        If the sites do not span three dimensions.
    """
    count = len(sites)
    design = np.column_stack([np.ones(count), sites])
    if count < 8 or np.linalg.matrix_rank(design - design.mean(axis=0), tol=1e-6) < 3:
        raise ConvergenceError(f"{count} atoms on the lattice do not span three dimensions; at least 8 are needed")
    if second is not None and 0 < second.sum() < count:
        design = np.column_stack([design, second])
    variance = np.zeros(count) if sigma is None else np.asarray(sigma, dtype=np.float64) ** 2
    weight = np.ones(count)
    rows = design.shape[1]
    theta = np.zeros((rows, 3))
    for _ in range(_ITERATIONS):
        root = np.sqrt(weight)[:, None]
        previous, theta = theta, np.linalg.lstsq(design * root, positions * root, rcond=None)[0]
        residual = positions - design @ theta
        scatter = _scatter(residual)
        extra = max(scatter**2 - float(np.median(variance)), (0.1 * scatter) ** 2)
        scale = np.sqrt(variance + extra)
        t = np.linalg.norm(residual, axis=1) / (_TUKEY * scale)
        weight = np.clip(1 - t**2, 0, None) ** 2 / scale**2 * scatter**2
        if np.abs(theta - previous).max() < 1e-9:
            break
    inside = np.clip(1 - t**2, 0, None)
    slope = (inside**2 - 4 / 3 * t**2 * inside) / scale**2 * scatter**2
    influence = np.linalg.solve((design * slope[:, None]).T @ design, (design * weight[:, None]).T).T
    leverage = np.sum(design * influence, axis=1)
    moved = influence[:, :, None] * (residual / (1 - np.clip(leverage, 0, 0.9))[:, None])[:, None, :]
    moved = moved.reshape(count, 3 * rows)
    covariance = moved.T @ moved
    fit = AffineFit(theta[0], theta[1:4], covariance[:12, :12], residual, scatter)
    return fit if rows == 4 else replace(fit, shift=theta[4], shift_covariance=covariance[12:, 12:])


def fit_rigid(sites: NDArray[np.float64], positions: NDArray[np.float64], shape: NDArray[np.float64]) -> AffineFit:
    """Fit origin and rotation of the cell `shape` (3, 3) only, for domains too thin to determine a cell.

    The covariance is that of the origin alone (the cell's shape is not measured here).
    """
    n, y = sites.mean(axis=0), positions.mean(axis=0)
    cell = shape @ superposition((sites - n) @ shape, positions - y).T
    origin = y - n @ cell
    residual = positions - origin - sites @ cell
    scatter = _scatter(residual)
    covariance = np.zeros((12, 12))
    covariance[:3, :3] = np.eye(3) * scatter**2 / len(sites)
    return AffineFit(origin, cell, covariance, residual, scatter)


def cell_parameters(cell: NDArray[np.float64], covariance: NDArray[np.float64]) -> CellParameters:
    """Lengths, angles and volume of a cell (rows a, b, c, Å) with errors from the (9, 9) covariance of its entries.

    With unit vectors â, b̂: d|a| = â·da, and dγ = −[(b̂ − â cos γ)·da/|a| + (â − b̂ cos γ)·db/|b|] / sin γ.
    """
    length = np.linalg.norm(cell, axis=1)
    unit = cell / length[:, None]
    gradient = np.zeros((7, 3, 3))
    values = list(length)
    gradient[[0, 1, 2], [0, 1, 2]] = unit
    for row, (p, q) in enumerate(((1, 2), (0, 2), (0, 1)), start=3):
        cosine = float(unit[p] @ unit[q])
        sine = np.sqrt(1 - cosine**2)
        gradient[row, p] = -np.degrees((unit[q] - unit[p] * cosine) / (length[p] * sine))
        gradient[row, q] = -np.degrees((unit[p] - unit[q] * cosine) / (length[q] * sine))
        values.append(float(np.degrees(np.arccos(cosine))))
    gradient[6] = [np.cross(cell[1], cell[2]), np.cross(cell[2], cell[0]), np.cross(cell[0], cell[1])]
    values.append(float(np.linalg.det(cell)))
    flat = gradient.reshape(7, 9)
    errors = np.sqrt(np.clip(np.einsum("ki,ij,kj->k", flat, covariance, flat), 0, None))
    return CellParameters(*(float(v) for v in values), *(float(e) for e in errors))
