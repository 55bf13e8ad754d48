"""Elements told apart by how strongly and how widely their atoms scatter.

Heights and widths of the atoms of one element scatter about a common point (h, b); the points of all elements are found
by a mixture of normal laws with one common covariance (Dempster, Laird and Rubin, J. R. Stat. Soc. B 39, 1 (1977)),
started from heights in the ratio of (Z/Z')^1.4, as scattered amplitudes of heavy atoms at high angles go, and named in
the order of their heights: the heavier element is the higher one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["classify"]

EXPONENT = 1.4  # of Z in the height of an atom
ROUNDS = 200
LEAST_SPREAD = 0.01  # of the heights; narrower classes would split one element


def classify(
    heights: NDArray[np.float64], widths: NDArray[np.float64], elements: tuple[str, ...]
) -> NDArray[np.float64]:
    """Probability (n, element) of each of `elements` for atoms of given heights and widths, in the order given."""
    from ase.data import atomic_numbers

    number = np.array([atomic_numbers[e] for e in elements], float)
    order = np.argsort(number)
    points = np.stack([heights / np.median(heights), widths], 1)
    count, n = len(elements), len(points)
    expected = (number[order] / number.max()) ** EXPONENT
    # Each atom starts with the element whose height it would have if the highest tenth were the heaviest.
    top = float(np.quantile(points[:, 0], 0.9))
    nearest = np.argmin(np.abs(points[:, :1] - top * expected), axis=1)
    share = np.full((n, count), 0.1 / count)
    share[np.arange(n), nearest] += 0.9
    for _ in range(ROUNDS):
        weight = share.sum(0) + 1e-9
        centre = np.stack([(share[:, e, None] * points).sum(0) / weight[e] for e in range(count)])
        rest = points[:, None] - centre
        spread = (share[:, :, None, None] * rest[..., :, None] * rest[..., None, :]).sum((0, 1)) / n
        spread += LEAST_SPREAD**2 * np.eye(2)
        inverse = np.linalg.inv(spread)
        distance = (rest[..., :, None] * inverse * rest[..., None, :]).sum((-1, -2))
        logit = np.log(weight / n) - 0.5 * distance
        new = np.exp(logit - logit.max(1, keepdims=True))
        new /= new.sum(1, keepdims=True)
        done = float(np.abs(new - share).max()) < 1e-6
        share = new
        if done:
            break
    ranked = np.argsort(centre[:, 0])
    out = np.empty_like(share)
    out[:, order] = share[:, ranked]
    return out
