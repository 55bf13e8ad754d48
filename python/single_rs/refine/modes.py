"""What all atoms do together: rigid motion, strain and bending, how well each is known, and what errors atoms share.

Displacements that are polynomials of the position up to second order, u_i = Σ_j A_ij x_j + Σ_jk B_ijk x_j x_k, hold
every uniform strain (6), turn (3) and bending (18). Where the views are few the frames confuse some of them with turns
of all poses (stretch along the beam with smaller tilts: the bas-relief ambiguity of P. N. Belhumeur, D. J. Kriegman and
A. L. Yuille, Int. J. Comput. Vis. 35, 33 (1999), doi:10.1023/A:1008154927611), so that the errors of all atoms have a
part in common that no sum over independent atoms knows. With the rows of Q an orthonormal basis of these displacements,
C the covariance of all positions and D that of the same with every atom independent, the shared part is

    C = blockdiag(R_a) + Σ_m u_m u_mᵀ,    Q Σ_m u_m u_mᵀ Qᵀ = [Q C Qᵀ − Q D Qᵀ]₊

with u_m (n, 3) the displacement of shared error m at one standard deviation and R_a what is each atom's own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from single_rs.base.tensors import COMPONENTS, even_strain, matrices
from single_rs.refine.types import SoftMode

__all__ = ["collective", "combined", "common", "mean_strain", "named", "rigid", "shared", "strained"]

LEAST = 1e-3  # of its norm, what a new direction must have beside those before it
EXCESS = 0.2  # variance of a shared error over that of independent atoms; less says nothing new
OWN = 0.1  # of the mean variance: the least that an atom's own error is
NAMED = 3  # softest modes that are reported
PRIOR_BLOCKS = 20.0  # weight of the mean over all modes, in blocks, against the mode's own bootstrap
# Of lengths, what no frame and no model shows: cells of well seen multislice particles are right to 0.02 to 0.06 %.
SHARED = 2e-4
PURE = 0.5  # of a mode's square that is strain, above which it is called one
SINGLE = 1.5  # times the next principal strain, above which one is called a stretch


def rigid(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orthonormal displacements (6, 3n) of common shifts and turns of positions (n, 3)."""
    centred = positions - positions.mean(0)
    raw = np.zeros((6, *positions.shape))
    for axis in range(3):
        raw[axis, :, axis] = 1.0
        raw[3 + axis] = np.cross(np.eye(3)[axis], centred)
    return _orthonormal(raw.reshape(6, -1), np.empty((0, positions.size)))


def collective(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orthonormal displacements (m, 3n) of strain and bending, m ≤ 24, without those of `rigid`."""
    x = positions - positions.mean(0)
    x = x / max(float(np.sqrt(np.mean(x**2))), 1e-12)
    terms = [x[:, i] for i in range(3)] + [x[:, i] * x[:, j] for i in range(3) for j in range(i, 3)]
    raw = np.zeros((len(terms) * 3, *positions.shape))
    for k, term in enumerate(terms):
        for axis in range(3):
            raw[3 * k + axis, :, axis] = term
    return _orthonormal(raw.reshape(len(raw), -1), rigid(positions))


def _orthonormal(rows: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gram-Schmidt, twice each: a QR would bring threaded BLAS and its rounding in."""
    found: list[NDArray[np.float64]] = []
    for row in rows:
        rest = row / max(float(np.sqrt((row**2).sum())), 1e-300)
        for _ in range(2):
            for other in (*others, *found):
                rest = rest - (rest * other).sum() * other
        length = float(np.sqrt((rest**2).sum()))
        if length > LEAST:
            found.append(rest / length)
    return np.array(found).reshape(len(found), rows.shape[1])


def strained(
    basis: NDArray[np.float64], strain: NDArray[np.float64], positions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Amounts (k, m) of the basis, in the unit of `positions` (n, 3), that even strains (k, 6) are."""
    moved = np.einsum("kij,nj->kni", matrices(strain), positions - positions.mean(0))
    return np.asarray(moved.reshape(len(strain), positions.size) @ basis.T)


def common(basis: NDArray[np.float64], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariance (m, m) of the error of lengths that all frames and models share, for positions (n, 3) in its unit."""
    rows = strained(basis, SHARED * np.eye(6), positions)
    return np.asarray(rows.T @ rows)


def combined(
    bound: NDArray[np.float64],
    blocks: NDArray[np.float64],
    half_difference: NDArray[np.float64] | None,
    model_shift: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Covariance (m, m) Å² of the collective displacements from all that is known of their errors.

    Parameters
    ----------
    bound
        (m, m) Å², Cramér-Rao bound with the poses free.
    blocks
        (b, m) Å, steps that the blocks of time ask for.
    half_difference
        (m,) Å, displacement in half 1 minus that in half 2; None without halves.
    model_shift
        (2, m) Å, displacement under the poorer model by each of two sets of frames.
    """
    variance, vectors = np.linalg.eigh(bound)
    variance = np.maximum(variance, 1e-30)
    count = len(blocks)
    steps = (blocks - blocks.mean(0)) @ vectors
    ratio = (steps**2).sum(0) * count / max(count - 1, 1) / variance
    ratio = np.maximum((PRIOR_BLOCKS * ratio.mean() + count * ratio) / (PRIOR_BLOCKS + count), 1.0)
    variance = variance * ratio
    if half_difference is not None:
        between = (half_difference @ vectors) ** 2 / 4
        variance = variance * max(float(np.mean(between / variance)), 1.0)
    variance = variance + np.maximum(np.prod(model_shift @ vectors, axis=0), 0.0)
    return np.asarray((vectors * variance) @ vectors.T)


def shared(
    basis: NDArray[np.float64], together: NDArray[np.float64], covariance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shared errors (k, n, 3) Å and the covariance (n, 3, 3) of each atom that goes with them.

    Parameters
    ----------
    basis
        (m, 3n) from `collective`.
    together
        (m, m) Å² from `combined`.
    covariance
        (n, 3, 3) Å² of each atom.
    """
    n = len(covariance)
    rows = basis.reshape(len(basis), n, 3)
    alone = np.einsum("ani,nij,bnj->ab", rows, covariance, rows)
    values, vectors = np.linalg.eigh(alone)
    root = (vectors * np.sqrt(np.maximum(values, 1e-30))) @ vectors.T
    inverse = (vectors / np.sqrt(np.maximum(values, 1e-30))) @ vectors.T
    excess, directions = np.linalg.eigh(inverse @ together @ inverse)
    chosen = excess > 1 + EXCESS
    amounts = (root @ directions[:, chosen]) * np.sqrt(excess[chosen] - 1)
    errors = np.einsum("mk,mnc->knc", amounts[:, ::-1], rows)
    part = np.einsum("knc,knd->ncd", errors, errors)
    own, axes = np.linalg.eigh(covariance - part)
    least = OWN * float(np.einsum("nii->n", covariance).mean()) / 3
    own = np.maximum(own, np.minimum(least, np.linalg.eigvalsh(covariance)[:, :1]))
    return errors, np.einsum("nij,nj,nkj->nik", axes, own, axes) + part


def mean_strain(
    basis: NDArray[np.float64], together: NDArray[np.float64], positions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Covariance (6, 6) of the mean strain xx, yy, zz, xy, xz, yz (tensor shear) of positions (n, 3) Å."""
    rows = even_strain(basis.reshape(len(basis), -1, 3), positions)
    return np.asarray(rows.T @ together @ rows)


def named(
    basis: NDArray[np.float64],
    together: NDArray[np.float64],
    independent: NDArray[np.float64],
    positions: NDArray[np.float64],
) -> tuple[SoftMode, ...]:
    """Return the softest modes, the softest first; `independent` (n, 3, 3) Å² is the part of each atom alone."""
    n = len(positions)
    rows = basis.reshape(len(basis), n, 3)
    alone = np.einsum("ani,nij,bnj->ab", rows, independent, rows)
    values, vectors = np.linalg.eigh(together)
    out = []
    for k in range(len(values) - 1, max(len(values) - 1 - NAMED, -1), -1):
        vector = vectors[:, k]
        field = np.tensordot(vector, rows, 1) * np.sqrt(max(float(values[k]), 0.0))
        strain = even_strain(field[None], positions)[0]
        full = matrices(strain)
        linear = (positions - positions.mean(0)) @ full
        share = float((linear**2).sum() / max(float((field**2).sum()), 1e-30))
        principal, axes = np.linalg.eigh(full)
        order = np.argsort(-np.abs(principal))
        first, second = (float(abs(principal[i])) for i in order[:2])
        kind = "bending" if share < PURE else "stretch" if first > SINGLE * second else "shear"
        axis = axes[:, order[0]]
        axis = axis * np.sign(axis[np.argmax(np.abs(axis))])
        out.append(
            SoftMode(
                kind=kind,
                axis=(float(axis[0]), float(axis[1]), float(axis[2])),
                strain=dict(zip(COMPONENTS, (float(v) for v in strain), strict=True)),
                strain_sigma=first,
                sigma_pm=100.0 * float(np.sqrt((field**2).sum() / n)),
                excess=float(np.sqrt(values[k] / max(float(vector @ alone @ vector), 1e-30))),
            )
        )
    return tuple(out)
