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
# Pairs worked on together: 1.5 million take 40 MB.
_PAIRS = 1_500_000
# Atoms that stand for all in sums of squared derivatives: their standard error is 1/√(2 · 1000) of it, 2 %.
_MOST = 1000
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
    return np.bincount(low, count * (1 - high), length) + np.bincount(low + 1, count * high, length)


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
        part, start = a[k : k + rows], k if same else 0  # the same atoms: each pair once, and twice in the end
        distance = (-2 * part) @ b[start:].T
        distance += square[start:]
        distance += np.square(part).sum(axis=1)[:, None]
        np.sqrt(np.maximum(distance, 0, out=distance), out=distance)
        distance += 0.5
        place = distance.astype(np.int32)
        if same:
            place = place[np.arange(place.shape[1]) > np.arange(len(part))[:, None]]
        found = np.bincount(place.ravel())
        counts[: len(found)] += found
    if same:
        counts *= 2
        counts[0] += len(a)
    last = int(np.flatnonzero(counts)[-1]) if counts.any() else 0
    counts = counts[: last + 1].copy()
    counts.flags.writeable = False
    return counts


def representatives(count: int) -> tuple[NDArray[np.int64], float]:
    """Numbers of at most 1000 atoms that stand for all in a sum, and the factor that makes their sum that of all.

    All atoms up to 1000; beyond, a random choice that depends on the count alone.
    """
    if count <= _MOST:
        return np.arange(count), 1.0
    random = np.random.Generator(np.random.Philox(key=[0, _STREAM | count]))
    return np.sort(random.choice(count, _MOST, replace=False)), count / _MOST
