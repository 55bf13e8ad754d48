"""A few of many, evenly spread: frames of a movie, blocks of time, directions of space."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["HALVES_BLOCKS", "block_edges", "evenly", "half_sphere"]

HALVES_BLOCKS = 4  # blocks come in multiples of this: as many for each half, an even number


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """Return indices (k,), evenly spread over `count` items, the first and the last included; all when few.

    Parameters
    ----------
    count
        Number of items, 0 or more.
    most
        Largest number of indices, at least 1.
    """
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))


def block_edges(count: int, length: int) -> NDArray[np.int64]:
    """Return the edges (k + 1,) of contiguous blocks of about `length` among `count` items; k is a multiple of four.

    Blocks that go to two half sets in turn give each half as many, and an even number.
    """
    blocks = HALVES_BLOCKS * max(1, round(count / (HALVES_BLOCKS * length)))
    return np.rint(np.linspace(0, count, blocks + 1)).astype(np.int64)


def half_sphere(count: int) -> NDArray[np.float64]:
    """Unit vectors (count, 3), evenly over the half sphere z > 0 (a Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    z = index / count
    angle = np.pi * (1 + np.sqrt(5)) * index
    ring = np.sqrt(1 - z * z)
    return np.column_stack([ring * np.cos(angle), ring * np.sin(angle), z])
