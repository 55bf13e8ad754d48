"""Peaks of a map at sub-voxel precision, thinned to a minimum distance."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

__all__ = ["find_peaks", "keep_highest", "typical_peak"]

TYPICAL_ROUNDS = 20  # the level falls in every round, and settles in two or three where atoms stand out


def find_peaks(
    volume: np.ndarray, threshold: float, min_distance: float, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Local maxima over the 26 neighbours, refined by a parabola per axis, highest first.

    Parameters
    ----------
    volume
        (z, y, x) map.
    threshold
        Lowest value of a peak.
    min_distance
        Voxels; of two peaks closer than this the higher one stays.
    mask
        (z, y, x) bool, where peaks are accepted; everywhere if None.

    Returns
    -------
    positions
        (n, 3) float64 (z, y, x) in voxels.
    values
        (n,) values of the maxima.
    """
    accepted = (volume >= threshold) & (volume == ndimage.maximum_filter(volume, size=3))
    accepted[[0, -1]] = accepted[:, [0, -1]] = accepted[:, :, [0, -1]] = False
    if mask is not None:
        accepted &= mask
    index = np.argwhere(accepted)
    if not len(index):
        return np.empty((0, 3)), np.empty(0)
    value = volume[tuple(index.T)].astype(np.float64)
    position = index.astype(np.float64)
    for axis in range(3):
        step = np.eye(3, dtype=int)[axis]
        before = volume[tuple((index - step).T)].astype(np.float64)
        after = volume[tuple((index + step).T)].astype(np.float64)
        bend = before - 2.0 * value + after  # <= 0 at a maximum; 0 on a plateau, where the voxel's centre stays
        slope = 0.5 * (before - after)
        position[:, axis] += np.clip(np.divide(slope, bend, out=np.zeros_like(bend), where=bend < 0), -0.5, 0.5)
    keep = keep_highest(position, value, min_distance)
    return position[keep], value[keep]


def keep_highest(positions: np.ndarray, values: np.ndarray, min_distance: float) -> np.ndarray:
    """Indices, highest value first, of points no two of which are closer than `min_distance`.

    Greedy from the highest: a point goes when a higher kept one is within the distance.
    """
    order = np.argsort(-values, kind="stable")
    keep = np.ones(len(values), dtype=bool)
    if len(values) > 1 and min_distance > 0:
        pairs = cKDTree(positions).query_pairs(min_distance, output_type="ndarray")
        rank = np.empty(len(values), dtype=int)
        rank[order] = np.arange(len(values))
        ranked = np.sort(rank[pairs], axis=1)
        # In order of the higher partner, so that it is decided on before it removes others.
        for high, low in ranked[np.argsort(ranked[:, 0], kind="stable")]:
            if keep[order[high]]:
                keep[order[low]] = False
    return order[keep[order]]


def typical_peak(values: np.ndarray, fewest: int) -> float:
    """Typical height of the peaks that are atoms, among any number of low ones.

    A map whose noise was filtered away has several false peaks for each atom, so that no fixed share of the peaks is
    atoms: the level t is the median of the peaks above t / 2, from the top. Where noise hides the gap between both, the
    median of the upper half is the higher of the two.

    Parameters
    ----------
    values
        (n,) heights, highest first, n >= fewest.
    fewest
        Atoms that there are at least; the highest of so many is no stray.
    """
    level = float(values[fewest - 1])
    for _ in range(TYPICAL_ROUNDS):
        before, level = level, float(np.median(values[values > 0.5 * level]))
        if level == before:
            break
    return max(level, float(np.median(values[: max(len(values) // 2, fewest)])))
