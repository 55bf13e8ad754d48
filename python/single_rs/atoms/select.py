"""Which peaks are atoms: height against its surroundings, against false peaks, neighbours, and both half maps.

With ρ the height of a peak over the typical height at its radius, atoms follow

    f_atom(ρ) = 0.9 N(median, 1.48 MAD) + 0.1 U(0, median)

(the flat part is for atoms that move or are partly occupied), and the peaks left in the residual map a logistic law,
whose exponential tail is wider than that of Gaussian noise, as rings and streaks need. The odds of a peak are

    n_atom f_atom(ρ) / n_false f_false(ρ) × (odds from its neighbours) × (odds from the half maps).
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

__all__ = ["count_neighbours", "half_map_odds", "height_odds", "in_largest_cluster", "neighbour_odds", "typical_height"]


def typical_height(positions: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Typical height of an atom at the place of each peak.

    Errors of the poses blur a map in proportion to the radius, so log h is fitted as a falling line in r² from the
    centre of the peaks, with Tukey's weights against false peaks and loose surface atoms.

    Parameters
    ----------
    positions
        (n, 3), any unit.
    heights
        (n,), map units.
    """
    r2 = ((positions - np.median(positions, axis=0)) ** 2).sum(1)
    r2 = r2 / max(float(r2.max()), 1e-12)
    # Start from the upper half: false peaks are low.
    top = heights > np.median(heights)
    level = np.log(np.maximum(heights, 1e-3 * heights.max()))
    line = np.array([np.median(level[top]) if top.any() else level.max(), 0.0])
    for _ in range(20):
        rest = level - line[0] - line[1] * r2
        scale = max(
            1.4826 * float(np.median(np.abs(rest[np.abs(rest) < 0.7]))) if (np.abs(rest) < 0.7).any() else 0.1, 0.05
        )
        weight = np.maximum(1.0 - (rest / (4.685 * scale)) ** 2, 0.0) ** 2
        if weight.sum() < 8:
            break
        mean_r, mean_l = np.average(r2, weights=weight), np.average(level, weights=weight)
        spread = np.average((r2 - mean_r) ** 2, weights=weight)
        slope = np.average((r2 - mean_r) * (level - mean_l), weights=weight) / max(spread, 1e-12)
        slope = float(np.clip(slope, -1.5, 0.0))
        line = np.array([mean_l - slope * mean_r, slope])
    return np.exp(line[0] + line[1] * r2)


def height_odds(ratio: np.ndarray, false_ratio: np.ndarray) -> np.ndarray:
    """Odds that peaks are atoms by their heights alone.

    Parameters
    ----------
    ratio
        (n,) ρ of the peaks.
    false_ratio
        (m,) ρ of all peaks of the residual map; noise and rings, at most a few atoms.
    """
    centre = float(np.median(ratio))
    width = max(1.4826 * float(np.median(np.abs(ratio - centre))), 0.05 * centre)
    # An atom higher than the median is not less of an atom.
    low = np.minimum(ratio, centre)
    atom = 0.9 * np.exp(-0.5 * ((low - centre) / width) ** 2) / (width * np.sqrt(2.0 * np.pi)) + 0.1 / centre
    if len(false_ratio) < 8:
        return np.full(len(ratio), 1e3)
    quartiles = np.quantile(false_ratio, [0.25, 0.5, 0.75])
    # The quartiles of the logistic law are 2 ln 3 scales apart.
    scale = max(float(quartiles[2] - quartiles[0]) / (2.0 * np.log(3.0)), 0.01 * centre)
    t = np.exp(-np.abs(ratio - quartiles[1]) / scale)
    false = t / (scale * (1.0 + t) ** 2)
    return len(ratio) * atom / np.maximum(len(false_ratio) * false, 1e-12)


def count_neighbours(positions: np.ndarray, cutoff: float) -> np.ndarray:
    """Number of other points within `cutoff` of each point."""
    if not len(positions):
        return np.zeros(0, dtype=int)
    return cKDTree(positions).query_ball_point(positions, cutoff, return_length=True) - 1


def neighbour_odds(positions: np.ndarray, distance: float, reach: float, min_neighbours: int) -> np.ndarray:
    """Odds from the surroundings: few neighbours, or some far too close, speak against an atom.

    Parameters
    ----------
    positions
        (n, 3), same unit as `distance`.
    distance
        Nearest-neighbour distance of the element.
    reach
        Neighbours are within reach · distance.
    min_neighbours
        Fewer make the peak an impossible atom.
    """
    count = count_neighbours(positions, reach * distance)
    odds = np.where(count < min_neighbours, 0.0, np.minimum(1.0, 0.3 * (count - min_neighbours + 1)))
    # Interstices of close packing are at 0.61 and 0.71 neighbour distances from atoms; no metal bond is so short.
    nearest = cKDTree(positions).query(positions, k=min(4, len(positions)))[0]
    crowd = (nearest[:, 1:] < 0.82 * distance).sum(1)
    return odds * np.where(crowd >= 3, 0.02, 1.0)


def half_map_odds(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Odds from the heights (n,) in the two half maps: an atom of one half only is not reproducible."""
    asymmetry = np.abs(first - second) / np.maximum(np.abs(first) + np.abs(second), 1e-30)
    # 0.5 is a height ratio of 3 to 1 between the halves.
    return np.where(np.minimum(first, second) <= 0.0, 0.02, np.where(asymmetry > 0.5, 0.2, 1.0))


def in_largest_cluster(positions: np.ndarray, cutoff: float) -> np.ndarray:
    """(n,) bool: points of the largest group joined by steps within `cutoff`."""
    n = len(positions)
    if n == 0:
        return np.zeros(0, dtype=bool)
    pairs = cKDTree(positions).query_pairs(cutoff, output_type="ndarray")
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, label = connected_components(graph, directed=False)
    return label == np.argmax(np.bincount(label))
