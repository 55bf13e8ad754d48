"""Elements told apart by how strongly and how widely their atoms scatter.

Heights and widths of the atoms of one element scatter about a common point (h, b); the points of all elements are found
by a mixture of normal laws with one common covariance (Dempster, Laird and Rubin, J. R. Stat. Soc. B 39, 1 (1977)) and
named in the order of their heights: the heavier element is the higher one. Heights and widths of one element go
together, so that the classes may be clear where neither alone tells them. The likelihood has several maxima; of all
starts, cuts through the heights at their deciles, the one that ends highest is taken.

Atoms are told apart only when the mixture explains them better than one normal law does, by more than the Bayesian
information criterion of a point and a share for each element more.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

__all__ = ["classify"]

CUTS = np.arange(0.1, 0.95, 0.1)  # quantiles of the heights
PARAMETERS = 3  # of an element more: its point and its share
ROUNDS = 200
LEAST_SPREAD = 0.01  # of the heights; narrower classes would split one element


def classify(
    heights: NDArray[np.float64], widths: NDArray[np.float64], elements: tuple[str, ...]
) -> tuple[NDArray[np.float64], float]:
    """Tell atoms of given heights and widths apart.

    Returns
    -------
    probability
        (n, element) of each of `elements`, in the order given; all the same where nothing tells them apart.
    gain
        Log-likelihood, nats, over that of one element, less the information criterion; more than 0 tells them apart.
    """
    from ase.data import atomic_numbers

    points = np.stack([heights / np.median(heights), widths - np.mean(widths)], 1)
    count, n = len(elements), len(points)
    alone = _mixture(points, np.ones((n, 1)))[2]
    best, centre, likelihood = np.full((n, count), 1.0 / count), np.zeros((count, 2)), -np.inf
    levels = np.unique(np.quantile(points[:, 0], CUTS))
    for cuts in combinations(levels, count - 1):
        start = np.eye(count)[np.searchsorted(np.array(cuts), points[:, 0])]
        share, middle, value = _mixture(points, 0.9 * start + 0.1 / count)
        if value > likelihood:
            best, centre, likelihood = share, middle, value
    gain = likelihood - alone - 0.5 * PARAMETERS * (count - 1) * np.log(n)
    if gain <= 0:
        return np.full((n, count), 1.0 / count), gain
    out = np.empty_like(best)
    out[:, np.argsort([atomic_numbers[e] for e in elements])] = best[:, np.argsort(centre[:, 0])]
    return out, gain


def _mixture(
    points: NDArray[np.float64], share: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Shares (n, class), centres (class, 2) and log-likelihood of normal laws of one covariance, from first shares."""
    n = len(points)
    value = -np.inf
    for _ in range(ROUNDS):
        weight = share.sum(0) + 1e-9
        centre = (share.T @ points) / weight[:, None]
        rest = points[:, None] - centre
        spread = np.einsum("ne,nei,nej->ij", share, rest, rest) / n + LEAST_SPREAD**2 * np.eye(2)
        distance = np.einsum("nei,ij,nej->ne", rest, np.linalg.inv(spread), rest)
        logit = np.log(weight / n) - 0.5 * (distance + np.log(np.linalg.det(spread)))
        each = np.logaddexp.reduce(logit, axis=1)
        new = np.exp(logit - each[:, None])
        value = float(each.sum())
        done = float(np.abs(new - share).max()) < 1e-6
        share = new
        if done:
            break
    return share, centre, value
