"""Symmetric tensors as six components, the measures derived from them, and how errors pass through.

Components are in the order xx, yy, zz, xy, xz, yz with tensor shear (half the engineering shear). For a strain ε with
eigenvalues ε₁ ≥ ε₂ ≥ ε₃ and unit eigenvectors v_k,

    volumetric = det(I + ε) − 1,     von Mises = √(2/3 e : e),  e = ε − I tr ε / 3,     principal_k = v_k · ε · v_k.

In uniaxial tension at constant volume the von Mises strain is the tensile strain; it is 2/√3 times Shimizu's local
shear invariant √(1/2 e : e). To first order a small change dε changes an eigenvalue by v_k · dε · v_k. Where two
eigenvalues are closer than their errors, noise drives them apart, and where there is no shear, the von Mises strain is
not zero but what noise makes of it: its root mean square √(2/3 ⟨e : e⟩) from noise alone is given beside it.

Errors. A slope G_ab = ∂u_a/∂X_b that is linear in the positions, G_ab = Σ_j A_jb x_ja, has

    cov(G_ab, G_cd) = Σ_j A_jb A_jd S_j,ac

with S_j the covariance of the position of atom j; ε and the rotation vector are its symmetric and antisymmetric part.

Reference: F. Shimizu, S. Ogata and J. Li, Mater. Trans. 48, 2923 (2007), doi:10.2320/matertrans.MJ200769.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.base.errors import InputError

__all__ = [
    "COLUMNS",
    "COMPONENTS",
    "ROWS",
    "components",
    "even_strain",
    "matrices",
    "position_covariance",
    "principal",
    "principal_values",
    "rotated_covariance",
    "slope_covariance",
    "strain_information",
    "volumetric",
    "von_mises",
]

COMPONENTS = ("xx", "yy", "zz", "xy", "xz", "yz")
ROWS, COLUMNS = np.array([0, 1, 2, 0, 0, 1]), np.array([0, 1, 2, 1, 2, 2])
# How often a component stands in the matrix: v · ε · v = Σ _TIMES ε_k v_row v_column.
_TIMES = np.array([1.0, 1, 1, 2, 2, 2])
POSE_EXCESS = 2.0  # variance of a pose over that by the noise, since models of frames have errors as well
LARGEST_TURN = 0.1  # rad, of such an error: the second order holds no farther
# e : e as a quadratic form of the six components.
DEVIATOR = np.diag(_TIMES) - np.outer(np.arange(6) < 3, np.arange(6) < 3) / 3


def matrices(tensor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Symmetric matrices (..., 3, 3) of six components (..., 6)."""
    full = np.empty((*tensor.shape[:-1], 3, 3))
    full[..., ROWS, COLUMNS] = tensor
    full[..., COLUMNS, ROWS] = tensor
    return full


def components(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Six components (..., 6) of symmetric matrices (..., 3, 3)."""
    return np.asarray(matrix[..., ROWS, COLUMNS])


def even_strain(displacement: NDArray[np.float64], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Strain (k, 6) of displacements (k, n, 3) of positions (n, 3) that is the same everywhere: their affine part."""
    x = positions - positions.mean(axis=0)
    slope = np.einsum("kni,nj->kij", displacement, x) @ np.linalg.pinv(x.T @ x)
    return components((slope + np.swapaxes(slope, 1, 2)) / 2)


def strain_information(
    moment: NDArray[np.float64], rotations: NDArray[np.float64], share: float | None = None
) -> NDArray[np.float64]:
    """Information (m, 8, 8) that each of the frames (m, 3, 3) has, its pose free, of an even strain and of an ellipse.

    The first six are the strain's, the last two those of a magnification that moves (x, y) by e₁ (x, −y) + e₂ (y, x).
    `moment` is Σ_a κ_a r_a r_aᵀ with κ the information about the place of an atom across the beam.

    Where one frame has `share` of the moment, it knows its turn ω to C = (share I_ω)⁻¹. Poses with such errors look
    from where no frame did: about one axis, or near one direction, they seem to tell what no view tells. On the mean
    they add ½ C : ∂²I to the information, which is taken off; a sum may then have eigenvalues below 0, which are none.
    """
    information, turn = _free_of_pose(moment, rotations)
    if share is None:
        return information
    known, axes = np.linalg.eigh(share / POSE_EXCESS * turn)
    errors = axes / np.sqrt(np.maximum(known, 1 / LARGEST_TURN**2))[:, None]
    moved = np.zeros_like(information)
    for k in range(3):
        for sign in (-1, 1):  # six points at √3 of the errors have their covariance
            x, y, z = np.moveaxis(sign * np.sqrt(3.0) * errors[:, :, k], -1, 0)
            cross = np.zeros((len(rotations), 3, 3))
            cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -z, y, -x
            cross = cross - np.swapaxes(cross, 1, 2)
            moved += _free_of_pose(moment, rotations @ (np.eye(3) + cross + cross @ cross / 2))[0] / 6
    return np.asarray(2 * information - moved)


def _free_of_pose(
    moment: NDArray[np.float64], rotations: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Information (m, 8, 8) of strain and ellipse, the turn of each frame free, and that of its turn (m, 3, 3)."""
    axes = rotations[:, :2]  # x and y of the image in the particle's frame
    design = np.zeros((len(rotations), 11, 2, 3))  # of M = (1 + e) P (E + [ω]×), by component of E, of e and of ω
    design[:, 6] = axes * np.array([1.0, -1.0])[:, None]
    design[:, 7] = axes[:, ::-1]
    for k, (i, j) in enumerate(zip(ROWS, COLUMNS, strict=True)):
        design[:, k, :, j] += axes[:, :, i]
        if i != j:
            design[:, k, :, i] += axes[:, :, j]
    for k, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):  # (ω × r): row i gets ω r of j with the sign of the turn
        design[:, 8 + k, :, i] += axes[:, :, j]
        design[:, 8 + k, :, j] -= axes[:, :, i]
    whole = np.einsum("mkpi,ij,mlpj->mkl", design, moment, design)
    asked, cross, turn = whole[:, :8, :8], whole[:, :8, 8:], whole[:, 8:, 8:]
    return asked - cross @ np.linalg.solve(turn, np.swapaxes(cross, 1, 2)), turn


def position_covariance(
    count: int, sigma: ArrayLike | None, covariance: ArrayLike | None
) -> NDArray[np.float64] | None:
    """Covariance (n, 3, 3) in Å² of each position, from it or from standard errors (n,) in Å; None without either.

    Raises
    ------
    InputError
        If a shape does not fit, or a covariance is not finite or not positive semidefinite.
    """
    if covariance is not None:
        full = np.asarray(covariance, dtype=np.float64)
        if full.shape != (count, 3, 3):
            raise InputError(f"covariance has shape {full.shape}; ({count}, 3, 3) in Å² is needed")
        if not np.all(np.isfinite(full)) or np.linalg.eigvalsh(full).min() < -1e-9 * np.abs(full).max():
            raise InputError("covariance holds matrices that are not finite or have negative eigenvalues")
        return full
    if sigma is None:
        return None
    s = np.asarray(sigma, dtype=np.float64)
    if s.shape != (count,):
        raise InputError(f"sigma has shape {s.shape}; ({count},) in Å is needed")
    return np.asarray(s[:, None, None] ** 2 * np.eye(3))


def slope_covariance(operator: tuple[Any, Any, Any], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariance (n, 3, 3, 3, 3) of the slopes, cov(G_ab, G_cd) at [a, b, c, d].

    Parameters
    ----------
    operator
        Sparse matrices (n, n), b = x, y, z: ∂f/∂X_b at each atom from the values of f at all atoms.
    positions
        (n, 3, 3) Å², covariance of each position.
    """
    count = len(positions)
    flat = positions.reshape(count, 9)
    out = np.empty((count, 3, 3, 3, 3))
    for b in range(3):
        for d in range(b, 3):
            block = (operator[b].multiply(operator[d]) @ flat).reshape(count, 3, 3)
            out[:, :, b, :, d] = block
            out[:, :, d, :, b] = np.swapaxes(block, 1, 2)
    return out


def rotated_covariance(
    slopes: NDArray[np.float64], axes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Covariances of the six strain components along `axes` (n, 6, 6), and of the rotation vector (n, 3, 3).

    `slopes` is (n, 3, 3, 3, 3) in the frame of the positions, in which the rotation vector stays.
    """
    symmetric, turned = np.zeros((6, 3, 3)), np.zeros((3, 3, 3))
    for k, (p, q) in enumerate(zip(ROWS, COLUMNS, strict=True)):
        half = np.outer(axes[p], axes[q])
        symmetric[k] = (half + half.T) / 2
    for k, (p, q) in enumerate(((2, 1), (0, 2), (1, 0))):
        turned[k, p, q], turned[k, q, p] = 0.5, -0.5
    form = slopes.reshape(-1, 9, 9)

    def through(maps: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = maps.reshape(len(maps), 9)
        return np.asarray(rows @ form @ rows.T)

    return through(symmetric), through(turned)


def _spread(gradient: NDArray[np.float64], covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard error of a number with gradient (..., 6) by the components, of covariance (..., 6, 6)."""
    variance = np.einsum("...i,...ij,...j->...", gradient, covariance, gradient)
    return np.asarray(np.sqrt(np.clip(variance, 0, None)))


def principal(
    tensor: NDArray[np.float64], covariance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Principal strains, largest first, their axes, and their standard errors.

    Parameters
    ----------
    tensor
        (n, 6) fraction.
    covariance
        (n, 6, 6).

    Returns
    -------
    values
        (n, 3) fraction, NaN where the tensor is.
    axes
        (n, 3, 3), row k the unit axis of value k, in the axes of the tensor, its largest entry positive.
    error
        (n, 3) fraction, to first order.
    """
    known = np.isfinite(tensor).all(axis=-1)
    values, vectors = np.full((len(tensor), 3), np.nan), np.full((len(tensor), 3, 3), np.nan)
    found, columns = np.linalg.eigh(matrices(tensor[known]))
    values[known] = found[:, ::-1]
    rows = np.swapaxes(columns[:, :, ::-1], 1, 2)
    largest = np.take_along_axis(rows, np.argmax(np.abs(rows), axis=2)[..., None], axis=2)
    vectors[known] = rows * np.sign(largest)
    gradient = _TIMES * vectors[..., ROWS] * vectors[..., COLUMNS]
    return values, vectors, _spread(gradient, covariance[:, None])


def principal_values(tensor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Principal strains (..., 3), largest first, of tensors (..., 6), by Cardano's formula: without axes and errors.

    With m = tr ε / 3, p² = tr (ε − m)² / 6 and cos 3φ = det (ε − m) / 2p³ they are m + 2 p cos(φ + 2πk/3). Two that are
    nearly equal are good to 1e-8 p.
    """
    xx, yy, zz, xy, xz, yz = np.moveaxis(tensor, -1, 0)
    mean = (xx + yy + zz) / 3
    a, b, c = xx - mean, yy - mean, zz - mean
    square = (a * a + b * b + c * c) / 6 + (xy * xy + xz * xz + yz * yz) / 3
    size = np.sqrt(square)
    half = (a * (b * c - yz * yz) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz)) / 2
    angle = np.arccos(np.clip(half / np.maximum(square * size, 1e-300), -1, 1)) / 3
    first = mean + 2 * size * np.cos(angle)
    last = mean + 2 * size * np.cos(angle + 2 * np.pi / 3)
    return np.stack([first, 3 * mean - first - last, last], axis=-1)


def volumetric(
    tensor: NDArray[np.float64], covariance: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Relative change of volume det(I + ε) − 1 (...) of tensors (..., 6), and its standard error."""
    xx, yy, zz, xy, xz, yz = np.moveaxis(tensor, -1, 0)
    a, b, c = 1 + xx, 1 + yy, 1 + zz
    det = a * (b * c - yz * yz) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz)
    if covariance is None:
        return np.asarray(det - 1), np.full_like(det, np.nan)
    stretch = np.eye(3) + matrices(tensor)
    inverse = np.full_like(stretch, np.nan)
    known = np.isfinite(det)
    inverse[known] = np.linalg.inv(stretch[known])
    gradient = det[..., None] * _TIMES * components(inverse)
    return np.asarray(det - 1), _spread(gradient, covariance)


def von_mises(
    tensor: NDArray[np.float64], covariance: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Von Mises strain (...) of tensors (..., 6), its standard error, and its root mean square from noise alone."""
    e2 = np.sum((tensor @ DEVIATOR) * tensor, axis=-1)
    value = np.sqrt(2 / 3 * np.clip(e2, 0, None))
    if covariance is None:
        unknown = np.full_like(value, np.nan)
        return value, unknown, unknown
    gradient = 2 / 3 * tensor @ DEVIATOR / np.maximum(value, 1e-12)[..., None]
    noise = np.sqrt(2 / 3 * np.clip(np.einsum("ij,...ij->...", DEVIATOR, covariance), 0, None))
    return value, _spread(gradient, covariance), noise
