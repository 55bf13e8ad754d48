"""Gradient of the displacement convolved with a Gaussian over the atoms, as the group of Kim et al. defines it.

With u_j at the reference sites X_j, K the Gaussian of standard deviation w, and v the volume of an atom,

    convolution   ū(X) = v/(2π w²)^(3/2) Σ_j K(X − X_j) u_j,
    normalised    ū(X) = Σ_j K(X − X_j) u_j / Σ_j K(X − X_j),            gradient ∂ū/∂X at the atoms,

each domain for itself. Both flatten u at the rim, where half of the kernel is empty: surface strains are 10 to 40 %
smaller in size than by the local planes of `kernel`, which give a uniform strain exactly and are the better estimate.
The plain convolution also mixes u with the outline of the particle, so an offset of the origin shows as a strain at the
rim. They are here so that both numbers can be quoted side by side.

Reference: B. H. Kim et al., Science 368, 60 (2020), doi:10.1126/science.aax3233.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from single_rs.analysis.lattice import Lattice
from single_rs.analysis.strain.kernel import LocalSlopes
from single_rs.crystal.prototypes import prototype

__all__ = ["convolved_slopes"]

_REACH = 4.0  # standard deviations; the weight beyond is below 0.04 %


def convolved_slopes(
    x: NDArray[np.float64],
    reference: NDArray[np.float64],
    lattice: Lattice,
    cells: list[NDArray[np.float64]],
    width: float,
    normalised: bool,
) -> LocalSlopes:
    """Slope of the smoothed displacement at every atom that has a reference site.

    Parameters
    ----------
    x, reference
        (n, 3) Å, atoms and their reference sites (NaN without one).
    lattice, cells
        The domains, and the reference cell of each.
    width
        Å, standard deviation of the Gaussian.
    normalised
        Divide by the sum of the kernel.
    """
    count = len(x)
    known = np.isfinite(reference[:, 0])
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    for k, cell in enumerate(cells):
        mine = np.flatnonzero(known & (lattice.domain == k))
        if len(mine) < 4:
            continue
        tree = cKDTree(reference[mine])
        near = tree.sparse_distance_matrix(tree, _REACH * width, output_type="coo_matrix")
        rows, columns = np.append(near.row, np.arange(len(mine))), np.append(near.col, np.arange(len(mine)))
        rows, columns = np.unique(np.stack([rows, columns]), axis=1)  # an atom is no distance from itself: once
        step = reference[mine[rows]] - reference[mine[columns]]
        weight = np.exp(-0.5 * np.sum(step**2, axis=1) / width**2)
        slope = -weight[:, None] * step / width**2
        if normalised:
            total = np.bincount(rows, weight, minlength=len(mine))
            change = np.stack([np.bincount(rows, slope[:, b], minlength=len(mine)) for b in range(3)], axis=1)
            slope = (slope - change[rows] * (weight / total[rows])[:, None]) / total[rows][:, None]
        else:
            volume = float(np.linalg.det(cell)) / len(prototype(lattice.structure).motif)
            slope *= volume / (2 * np.pi * width**2) ** 1.5
        parts.append((mine[rows], mine[columns], slope))
    rows, columns = (np.concatenate([p[n] for p in parts] or [np.zeros(0, np.int64)]) for n in (0, 1))
    values = np.concatenate([p[2] for p in parts] or [np.zeros((0, 3))])
    operator = [sparse.csr_array((values[:, b], (rows, columns)), shape=(count, count)) for b in range(3)]
    u = np.nan_to_num(x - reference)
    gradient = np.stack([d @ u for d in operator], axis=2)
    done = np.zeros(count, dtype=bool)
    done[rows] = True
    gradient[~done] = np.nan
    residual = np.linalg.norm(u, axis=1)
    scatter = np.where(done, float(np.median(residual[done])) / 1.5382 if done.any() else np.nan, np.nan)
    return LocalSlopes(gradient, (operator[0], operator[1], operator[2]), scatter)
