"""Histograms of all distances between atoms, and the atoms that stand for all where a sum over pairs is too long.

Distances of n atoms are n(n − 1)/2 square roots, which no sum over neighbours replaces, but one fine histogram serves
powder patterns, lattice constants and pair distributions. It is counted on steps of 0.2 mÅ: a distance is off by half
of that at most, 4e-5 of a bond, and its place in a coarser grid is kept by sharing it between the two nearest points.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["distance_histogram", "representatives"]

_FINE = 2e-4  # Å
# Pairs worked on together: a million take 25 MB.
_PAIRS = 1_000_000
# Atoms that stand for all in sums of squared derivatives: their standard error is 1/√(2 · 500) of it, 3 %.
_MOST = 500
_STREAM = 0x50414952 << 32  # keeps these random numbers apart from those of other stages


def distance_histogram(a: NDArray[np.float64], b: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Pairs of atoms of a (n, 3) and b (m, 3), Å, on distances 0, step, 2 step, …; shared between two points each.

    Ordered pairs, and each atom with itself, where a and b are the same.
    """
    fine = _fine(np.ascontiguousarray(a).tobytes(), np.ascontiguousarray(b).tobytes())
    place = np.flatnonzero(fine)
    at = place * (_FINE / step)
    low = at.astype(np.int64)
    high = at - low
    count, length = fine[place].astype(np.float64), int(len(fine) * _FINE / step) + 3
    shared = np.bincount(low, count * (1 - high), length) + np.bincount(low + 1, count * high, length)
    return np.asarray(shared, dtype=np.float64)


@lru_cache(maxsize=4)
def _fine(first: bytes, second: bytes) -> NDArray[np.int64]:
    """Counts of distances in steps of `_FINE`, rounded; kept, because several functions ask for the same atoms."""
    a, b = (np.frombuffer(part, dtype=np.float64).reshape(-1, 3) for part in (first, second))
    same = first == second
    # About the middle, so that the difference of squares below loses no digits.
    middle = (np.concatenate([a, b]).max(axis=0) + np.concatenate([a, b]).min(axis=0)) / 2
    a, b = (a - middle) / _FINE, (b - middle) / _FINE
    reach = 2 * np.sqrt(max(np.square(a).sum(axis=1).max(), np.square(b).sum(axis=1).max()))
    counts = np.zeros(int(reach) + 2, dtype=np.int64)
    square = np.square(b).sum(axis=1)
    rows = max(1, _PAIRS // len(b))
    for k in range(0, len(a), rows):
        part = a[k : k + rows]
        if same:  # each pair once, and twice in the end: those within the rows, and those with the atoms after them
            upper = np.triu_indices(len(part), 1)
            _count(counts, np.linalg.norm(part[upper[0]] - part[upper[1]], axis=1))
        others = slice(k + len(part) if same else 0, None)
        distance = (-2 * part) @ b[others].T
        distance += square[others]
        distance += np.square(part).sum(axis=1)[:, None]
        _count(counts, np.sqrt(np.maximum(distance, 0, out=distance), out=distance).ravel())
    if same:
        counts *= 2
        counts[0] += len(a)
    last = int(np.flatnonzero(counts)[-1]) if counts.any() else 0
    counts = counts[: last + 1].copy()
    counts.flags.writeable = False
    return counts


def _count(counts: NDArray[np.int64], distance: NDArray[np.float64]) -> None:
    """Add distances (p,) in steps to the counts, in place."""
    distance += 0.5
    found = np.bincount(distance.astype(np.int64))
    counts[: len(found)] += found


def representatives(count: int) -> tuple[NDArray[np.int64], float]:
    """Numbers of at most 500 atoms that stand for all in a sum, and the factor that makes their sum that of all.

    All atoms up to 500; beyond, a random choice that depends on the count alone.
    """
    if count <= _MOST:
        return np.arange(count), 1.0
    random = np.random.Generator(np.random.Philox(key=[0, _STREAM | count]))
    return np.sort(random.choice(count, _MOST, replace=False)), count / _MOST
