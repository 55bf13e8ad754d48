"""Bond-orientational order of each atom: Steinhardt's Q4 and Q6, averaged over the shell, coherence, disorder.

With N neighbours j of atom i in the directions r̂_ij, and Y_lm the spherical harmonics,

    q_lm(i) = (1/N) Σ_j Y_lm(r̂_ij),                      Q_l(i)² = 4π/(2l + 1) Σ_m |q_lm(i)|²,
    q̄_lm(i) = (q_lm(i) + Σ_j q_lm(j)) / (N + 1),          Q̄_l from q̄_lm in the same way,
    s(i, j) = Σ_m q_6m(i) q_6m(j)* / (|q_6(i)| |q_6(j)|),
    D(i) = (1/N) Σ_j |q_6(i) − q_6(j)|²  in units of  4π/13.

Neighbours are those within the first minimum of the pair distances. Perfect crystals have Q4, Q6 of 0.191, 0.575 (fcc),
0.097, 0.485 (hcp), 0.036, 0.511 (bcc, 14 neighbours), and Q̄ = Q inside. In a glass Q6 of single atoms is nearly as
large, but the phases of q_6m differ from atom to atom, so Q̄6 and s fall: a bond with s > 0.5 is coherent. Diamond has
0.509, 0.629, the same on both sublattices, since harmonics of even l do not see the inversion between them.

References: P. J. Steinhardt, D. R. Nelson, M. Ronchetti, Phys. Rev. B 28, 784 (1983), doi:10.1103/PhysRevB.28.784;
averages: W. Lechner and C. Dellago, J. Chem. Phys. 129, 114707 (2008), doi:10.1063/1.2977970; coherent bonds: P. R. ten
Wolde, M. J. Ruiz-Montero, D. Frenkel, J. Chem. Phys. 104, 9932 (1996), doi:10.1063/1.471721; disorder: T. Kawasaki and
A. Onuki, J. Chem. Phys. 135, 174109 (2011), doi:10.1063/1.3656762.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from single_rs.base.remembered import remembered
from single_rs.crystal.neighbours import check_positions, neighbour_cutoff

__all__ = ["COHERENT", "BondOrder", "bond_order"]

# s of a bond between two atoms of one crystal (ten Wolde 1996); bonds of liquids are below it in nine of ten cases.
COHERENT = 0.5
_UNIT = 4 * np.pi / 13  # (4π)/(2l + 1) of l = 6


@dataclass(frozen=True)
class BondOrder:
    """Bond-orientational order of n atoms; NaN for atoms without a neighbour.

    Attributes
    ----------
    q4, q6
        (n,) Steinhardt's parameters of the atom's own bonds.
    q4_mean, q6_mean
        (n,) the same from q_lm averaged over the atom and its neighbours (Lechner and Dellago).
    coherence
        (n,) share of the atom's bonds with s > 0.5.
    disorder
        (n,) mean squared difference of q_6m from the neighbours', 0 in a perfect crystal.
    """

    q4: NDArray[np.float64]
    q6: NDArray[np.float64]
    q4_mean: NDArray[np.float64]
    q6_mean: NDArray[np.float64]
    coherence: NDArray[np.float64]
    disorder: NDArray[np.float64]


@remembered
def bond_order(positions: ArrayLike, cutoff: float | None = None) -> BondOrder:
    """Q4, Q6, their averages over the shell, coherent bonds and disorder of each atom.

    Parameters
    ----------
    positions
        (n, 3) Å, any frame.
    cutoff
        Å; None: the first minimum of the pair distances.
    """
    from scipy.special import sph_harm_y

    x = check_positions(positions)
    reach = neighbour_cutoff(x)[1] if cutoff is None else cutoff
    pairs = cKDTree(x).query_pairs(reach, output_type="ndarray")
    i, j = np.concatenate([pairs, pairs[:, ::-1]]).T
    bond = x[j] - x[i]
    polar = np.arccos(np.clip(bond[:, 2] / np.linalg.norm(bond, axis=1), -1, 1))
    azimuth = np.arctan2(bond[:, 1], bond[:, 0])
    number = np.bincount(i, minlength=len(x)).astype(np.float64)
    alone = np.where(number > 0, number, np.nan)  # an atom without neighbours has no order

    def over_bonds(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(i, values, minlength=len(x)))

    def sums(values: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """Sum values (p, m) of bonds over those of each atom."""
        return np.stack([over_bonds(v.real) + 1j * over_bonds(v.imag) for v in values.T], axis=1)

    found: dict[int, NDArray[np.complex128]] = {}
    averaged: dict[int, NDArray[np.complex128]] = {}
    for order in (4, 6):
        half = [sph_harm_y(order, m, polar, azimuth) for m in range(order + 1)]
        # Y of −m is (−1)^m times the conjugate of Y of m.
        waves = np.stack([(-1) ** m * half[m].conj() for m in range(order, 0, -1)] + half, axis=1)
        with np.errstate(invalid="ignore"):
            found[order] = sums(waves) / alone[:, None]
        own = np.nan_to_num(found[order])
        averaged[order] = (own + sums(own[j])) / (number + 1)[:, None]

    def size(q: NDArray[np.complex128], order: int) -> NDArray[np.float64]:
        return np.asarray(np.sqrt(4 * np.pi / (2 * order + 1) * np.sum(np.abs(q) ** 2, axis=1)))

    q = found[6]
    length = np.linalg.norm(q, axis=1)
    # A shell like a pair of opposite bonds always has |q_6| > 0; a perfect cancellation is no coherence.
    with np.errstate(invalid="ignore", divide="ignore"):
        s = np.sum(q[i] * q[j].conj(), axis=1).real / (length[i] * length[j])
    apart = np.sum(np.abs(q[i] - q[j]) ** 2, axis=1) * _UNIT
    return BondOrder(
        q4=size(found[4], 4),
        q6=size(q, 6),
        q4_mean=np.where(number > 0, size(averaged[4], 4), np.nan),
        q6_mean=np.where(number > 0, size(averaged[6], 6), np.nan),
        coherence=over_bonds((np.nan_to_num(s) > COHERENT).astype(np.float64)) / alone,
        disorder=over_bonds(apart) / alone,
    )
