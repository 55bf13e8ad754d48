"""Particles in a periodic cell, put together where they lie across its faces.

Bonds are found with the images of the cell, the atoms of each connected piece are moved by lattice vectors along them,
and smaller pieces are put beside the largest. A piece that is bonded to an image of itself has no surface there: a
crystal, a slab or a wire, which is reported and left as it is.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["whole"]

BOND = 1.35  # sums of covalent radii: between the first and the second shell
LARGEST_EDGE = 1e6  # Å; 0.1 mm, larger than any cell
LEAST_VOLUME = 2.0  # Å³ per atom; a smaller cell stands for none

log = logging.getLogger(__name__)


def whole(path: Path, atoms: Any) -> NDArray[np.float64]:
    """Return the positions (n, 3) of ``ase.Atoms``, Å, of particles that are in one piece."""
    positions = np.array(atoms.positions, dtype=np.float64)
    cell = np.asarray(atoms.cell, dtype=np.float64)
    volume = abs(np.linalg.det(cell)) if np.abs(cell).max() <= LARGEST_EDGE else 0.0  # 0 for NaN too
    if not atoms.pbc.any() or len(atoms) < 2 or not LEAST_VOLUME * len(atoms) <= volume < np.inf:
        return positions
    first, second, image = _bonds(atoms)
    if not image.any():
        return positions
    shifts, piece = _shifts(len(atoms), first, second, image)
    if (shifts[second] - shifts[first] != image).any():
        along = sorted({"abc"[k] for k in np.flatnonzero((shifts[second] - shifts[first] != image).any(axis=0))})
        log.warning(
            "%s is periodic along %s with no vacuum: its %d atoms are taken for a particle cut by it",
            path, ", ".join(along), len(atoms),
        )  # fmt: skip
        return positions
    positions += shifts @ cell
    log.warning("%s: the particle lies across the faces of its cell; it was put together", path)
    return _together(positions, piece, cell, atoms.pbc)


def _bonds(atoms: Any) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return atoms i and j of all bonds and the image (m, 3) of the cell that j is in."""
    from ase.data import covalent_radii
    from ase.neighborlist import neighbor_list

    radii = BOND * covalent_radii[atoms.numbers]
    first, second, image = neighbor_list("ijS", atoms, radii)
    return first.astype(np.int64), second.astype(np.int64), image.astype(np.int64)


def _shifts(
    count: int, first: NDArray[np.int64], second: NDArray[np.int64], image: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the lattice vectors (n, 3) that put each piece together along a tree of bonds, and the piece of each atom.

    Atom j of image S lies at x_j + S·cell beside x_i: S_j = S_i + S.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, connected_components

    graph = csr_array((np.ones(len(first), np.int8), (first, second)), shape=(count, count))
    _, piece = connected_components(graph, directed=False)
    step: dict[tuple[int, int], NDArray[np.int64]] = {}
    for i, j, s in zip(first.tolist(), second.tolist(), image, strict=True):
        step.setdefault((i, j), s)
    shifts = np.zeros((count, 3), np.int64)
    for root in np.unique(piece, return_index=True)[1]:
        order, before = breadth_first_order(graph, root, directed=False)
        for j in order[1:].tolist():
            i = int(before[j])
            shifts[j] = shifts[i] + step[i, j]
    return shifts, piece


def _together(
    positions: NDArray[np.float64], piece: NDArray[np.int64], cell: NDArray[np.float64], periodic: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Put the smaller pieces at the images of them that are nearest to the largest."""
    sizes = np.bincount(piece)
    centres = np.stack([np.bincount(piece, positions[:, k]) for k in range(3)], axis=1) / sizes[:, None]
    apart = np.linalg.solve(cell.T, (centres - centres[np.argmax(sizes)]).T).T
    moves = np.where(periodic, -np.rint(apart), 0.0) @ cell
    return np.asarray(positions + moves[piece])
