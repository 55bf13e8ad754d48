"""Which peaks are atoms: height against its surroundings, against false peaks, neighbours, and both half maps.

With ρ the height of a peak over the typical height at its radius, atoms follow

    f_atom(ρ) = 0.9 N(median, 1.48 MAD) + 0.1 U(0, median)

(the flat part is for atoms that move or are partly occupied), and the maxima and minima left in the residual map a
logistic law, whose exponential tail is wider than that of Gaussian noise, as rings and streaks need. The odds of a peak
are

    n_atom f_atom(ρ) / n_false f_false(ρ) × (odds from its neighbours) × (odds from the half maps).

The two laws are learnt once, while all candidates are present: learnt again after each removal they would sharpen
themselves on their own choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from single_rs.base.robust import SIGMA_PER_MAD, robust_sigma

__all__ = [
    "HeightLaw",
    "bond_order",
    "count_neighbours",
    "full_coordination",
    "half_map_odds",
    "in_largest_cluster",
    "neighbour_odds",
    "typical_height",
]

# In neighbour distances: between an interstice (0.71) and the shortest strained bond (0.9).
SHORTEST_BOND = 0.82
# Most neighbours that an atom can have, and the share of the typical height above which hardly a false peak is.
CLOSE_PACKED = 12
HIGH = 0.6


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
        close = np.abs(rest[np.abs(rest) < 0.7])
        scale = max(SIGMA_PER_MAD * float(np.median(close)) if len(close) else 0.1, 0.05)
        weight = np.maximum(1.0 - (rest / (4.685 * scale)) ** 2, 0.0) ** 2
        if weight.sum() < 8:
            break
        mean_r, mean_l = np.average(r2, weights=weight), np.average(level, weights=weight)
        spread = np.average((r2 - mean_r) ** 2, weights=weight)
        slope = np.average((r2 - mean_r) * (level - mean_l), weights=weight) / max(spread, 1e-12)
        slope = float(np.clip(slope, -1.5, 0.0))
        line = np.array([mean_l - slope * mean_r, slope])
    height: np.ndarray = np.exp(line[0] + line[1] * r2)
    return height


@dataclass(frozen=True)
class HeightLaw:
    """How high atoms and false peaks are, as ratios ρ to the typical height.

    Attributes
    ----------
    centre, width
        Median and standard deviation (from the MAD) of the atoms.
    false_centre, false_scale
        Logistic law of the false peaks.
    prior
        Number of candidates over number of false peaks.
    """

    centre: float
    width: float
    false_centre: float
    false_scale: float
    prior: float

    @classmethod
    def learn(cls, ratio: np.ndarray, false_ratio: np.ndarray) -> HeightLaw:
        """Learn from the ρ of the candidates (n,) and of the maxima and minima of the residual map (m,)."""
        centre = float(np.median(ratio))
        width = max(robust_sigma(ratio), 0.05 * centre)
        if len(false_ratio) < 8:
            return cls(centre, width, 0.0, 0.01 * centre, float(len(ratio)))
        low, middle, high = np.quantile(false_ratio, [0.25, 0.5, 0.75])
        # The quartiles of the logistic law are 2 ln 3 scales apart.
        scale = max(float(high - low) / (2.0 * np.log(3.0)), 0.01 * centre)
        return cls(centre, width, float(middle), scale, len(ratio) / len(false_ratio))

    def odds(self, ratio: np.ndarray) -> np.ndarray:
        """Odds (n,) that peaks of height ρ are atoms."""
        # An atom higher than the median is not less of an atom.
        low = np.minimum(ratio, self.centre)
        normal = np.exp(-0.5 * ((low - self.centre) / self.width) ** 2) / (self.width * np.sqrt(2.0 * np.pi))
        atom = 0.9 * normal + 0.1 / self.centre
        t = np.exp(-np.abs(ratio - self.false_centre) / self.false_scale)
        false = t / (self.false_scale * (1.0 + t) ** 2)
        odds: np.ndarray = self.prior * atom / np.maximum(false, 1e-12)
        return odds


def count_neighbours(positions: np.ndarray, cutoff: float) -> np.ndarray:
    """Number of other points within `cutoff` of each point."""
    if not len(positions):
        return np.zeros(0, dtype=int)
    return np.asarray(cKDTree(positions).query_ball_point(positions, cutoff, return_length=True) - 1)


def full_coordination(positions: np.ndarray, ratio: np.ndarray, distance: float, reach: float) -> int:
    """Return how many neighbours an atom inside the particle has: 4 in diamond or zinc blende, 12 in close packing.

    Learnt from the high peaks, since the element alone does not tell the structure: their 90 % quantile, as most atoms
    of a small particle are at its surface, and no more than `CLOSE_PACKED` (bcc with its second shell has 14).

    Parameters
    ----------
    positions
        (n, 3), same unit as `distance`.
    ratio
        (n,) height over the typical height.
    distance
        Nearest-neighbour distance.
    reach
        Neighbours are within reach · distance.
    """
    count = count_neighbours(positions[ratio > HIGH], reach * distance)
    return int(np.clip(np.quantile(count, 0.9), 1, CLOSE_PACKED)) if len(count) else CLOSE_PACKED


def neighbour_odds(positions: np.ndarray, distance: float, reach: float, coordination: int) -> np.ndarray:
    """Odds from the surroundings: bonds of the right length raise them, neighbours far too close lower them.

    False peaks inside a close-packed crystal sit in its interstices, 0.61 or 0.71 neighbour distances from several
    atoms; there is no other room. A peak with a full shell of bonds and nobody too close is therefore an atom, while
    one at the rim of the particle may be either.

    Parameters
    ----------
    positions
        (n, 3), same unit as `distance`.
    distance
        Nearest-neighbour distance of the element.
    reach
        Neighbours are within reach · distance.
    coordination
        Number of neighbours of an atom inside.
    """
    close = count_neighbours(positions, SHORTEST_BOND * distance)
    bonds = count_neighbours(positions, reach * distance) - close
    share = bonds / coordination
    odds = np.select([share < 1 / 6, share < 1 / 2, share < 3 / 4], [0.05, 0.5, 3.0], 20.0)
    return np.asarray(odds * np.select([close == 0, close < 3], [1.0, 0.3], 0.02))


def bond_order(positions: np.ndarray, distance: float) -> float:
    """Share of the distances below 1.35 bulk bonds that lie within 12 % of one common length.

    In metals the first shell stands alone (the next is at 1.41 bonds in close packing, at 1.15 in bcc, still within the
    range): the share is near 1, and 0.9 in any crystal. Points that only keep their minimum distance fill the range
    evenly and reach 0.6, as do noise and the shells of a particle with random poses.

    Parameters
    ----------
    positions
        (n, 3), same unit as `distance`.
    distance
        Nearest-neighbour distance of the element; the common length itself is free.
    """
    pairs = cKDTree(positions).query_pairs(1.35 * distance, output_type="ndarray")
    length = np.sort(np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1))
    if not len(length):
        return 0.0
    centre = np.linspace(0.8, 1.25, 46) * distance
    inside = np.searchsorted(length, 1.12 * centre) - np.searchsorted(length, 0.88 * centre)
    return float(inside.max()) / len(length)


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
    return np.asarray(label == np.argmax(np.bincount(label)))
