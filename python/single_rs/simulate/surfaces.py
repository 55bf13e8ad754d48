"""Surfaces of simulated particles: neighbours, and roughening by islands and pits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FULL_SHELL", "neighbour_table", "roughen"]

NEIGHBOUR_CUTOFF_RATIO = 1.2  # of the shortest distance; after the first shell (bcc: the second)
FULL_SHELL = {"fcc": 12, "hcp": 12, "bcc": 14, "diamond": 4}  # neighbours of a bulk atom within the cutoff
NEIGHBOUR_WORTH = 0.05  # of one neighbour, in cosine from the axis of a pit or island
ISLANDS = 3  # islands and as many pits, each a patch of the surface


def neighbour_table(points: NDArray[np.float64]) -> Any:
    """Return the nearest-neighbour table of points (n, 3) as a sparse (n, n) matrix of ones."""
    from scipy.sparse import csr_array
    from scipy.spatial import cKDTree

    tree = cKDTree(points)
    shortest = np.median(tree.query(points, k=2)[0][:, 1])
    pairs = tree.query_pairs(NEIGHBOUR_CUTOFF_RATIO * shortest, output_type="ndarray")
    both = np.concatenate([pairs, pairs[:, ::-1]])
    return csr_array((np.ones(len(both), dtype=np.int64), (both[:, 0], both[:, 1])), shape=(len(points), len(points)))


def roughen(
    block: NDArray[np.float64], inside: NDArray[np.bool_], ragged: float, full: int, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Take surface atoms out of pits and put as many on islands; the number of atoms is kept.

    Pits and islands are patches about random directions. A pit takes the least coordinated atoms first and an
    island grows on sites with a quarter of a full shell or more, so that no atom is left without support.
    """
    inside = inside.copy()
    centre = block[inside].mean(axis=0)
    table = neighbour_table(block)
    coordination = table @ inside.astype(np.int64)
    surface = int(np.sum(inside & (coordination < full)))
    patch = max(1, round(ragged * surface / (2 * ISLANDS)))
    direction = (block - centre) / np.maximum(np.linalg.norm(block - centre, axis=1, keepdims=True), 1e-9)
    for number in range(2 * ISLANDS):
        axis = generator.standard_normal(3)
        facing = direction @ (axis / np.linalg.norm(axis))
        adding = number % 2 == 1
        for _ in range(patch):
            supported = coordination >= max(2, full // 4)
            allowed = ~inside & supported if adding else inside & (coordination < full)
            # Neighbours count too: patches stay compact instead of growing as spikes.
            worth = facing + (NEIGHBOUR_WORTH if adding else -NEIGHBOUR_WORTH) * coordination
            site = int(np.argmax(np.where(allowed, worth, -np.inf)))
            inside[site] = adding
            around = table.indices[table.indptr[site] : table.indptr[site + 1]]
            coordination[around] += 1 if adding else -1
    return inside
