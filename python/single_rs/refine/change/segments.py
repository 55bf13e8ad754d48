"""Change points: stretches of time that explain themselves better than the whole does, without being told how many.

A stretch of blocks is divided where its two parts gain most over it (`evidence`). The same blocks in random order say
what the best of all divisions gains where nothing changes: a permutation test, which needs no law of the noise
(A. W. Bowman and others would call it exact; the statistic is the kernel one of S. Arlot, A. Celisse and Z. Harchaoui,
J. Mach. Learn. Res. 20, 162 (2019)). Parts are divided again until no division is clear: binary segmentation. A middle
part against both ends together is tried as well, since what comes back gains little from one division.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Division", "Step", "best_division", "clear_division", "divide_shares", "posterior_date", "step_in_mean"]

ORDERS = 100  # random orders of the blocks
CLEAR = 7.0  # standard deviations above the mean of random orders; the best of a hundred random ones has 4 at most
NEAR = 1  # blocks; neighbours in time share views, and with them errors of the model
SHARE_STEP = 0.5  # difference of the shares of frames that show the particle, before and after


@dataclass(frozen=True)
class Division:
    """The best division of a stretch of blocks in two.

    Attributes
    ----------
    block
        First block of the second part.
    end
        First block after the second part, where the first one goes on; None where the second lasts to the end.
    gain
        Held-out log-likelihood that two structures gain over one, nats.
    significance
        How far that stands above what random orders of the blocks give, in standard deviations of theirs.
    """

    block: int
    gain: float
    significance: float
    end: int | None = None


def best_division(
    products: NDArray[np.float64], share: NDArray[np.float64], least: int, rng: np.random.Generator
) -> Division | None:
    """Return the best division into parts of at least `least` blocks, or None where there is no room for two.

    Of divisions in two, and of middle parts against both ends, that which gains most of those that are clear.

    Parameters
    ----------
    products
        (block, block), from `evidence`.
    share
        (block,) information of each.
    least
        Blocks.
    rng
        Of the random orders.
    """
    count = len(share)
    if count < 2 * least:
        return None
    found = []
    for gains_of in (_gains, _middle_gains):
        gains, cuts = gains_of(products, share, least)
        if not len(gains):
            continue
        null = np.empty(ORDERS)
        for k in range(ORDERS):
            order = rng.permutation(count)
            null[k] = gains_of(products[np.ix_(order, order)], share[order], least)[0].max()
        best = int(gains.argmax())
        spread = max(float(null.std()), 1e-12)
        block, end = (int(cut) for cut in cuts[best])
        significance = float((gains[best] - null.mean()) / spread)
        found.append(Division(block, float(gains[best]), significance, end if end < count else None))
    return max(found, key=lambda one: (one.significance >= CLEAR, one.gain if one.significance >= CLEAR else 0.0))


def _summed(products: NDArray[np.float64], share: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Sums (block + 1, block + 1) of products of blocks that are not neighbours, and (block + 1,) of the shares."""
    count = len(share)
    index = np.arange(count)
    apart = np.where(np.abs(index[:, None] - index) <= NEAR, 0.0, products)
    total = np.zeros((count + 1, count + 1))
    total[1:, 1:] = apart.cumsum(0).cumsum(1)
    return total, np.concatenate([[0.0], share.cumsum()])


def _gain_of(
    inside: NDArray[np.float64],
    outside: NDArray[np.float64],
    part: NDArray[np.float64],
    whole: float,
    end: float,
    length: NDArray[np.int64],
    count: int,
) -> NDArray[np.float64]:
    """Held-out gain, nats, of two structures over one, of parts of `length` blocks with the share `part` of `whole`."""
    gains = inside / np.maximum(part, 1e-12) + outside / np.maximum(whole - part, 1e-12) - end / whole
    # A part that hardly any frame shows says nothing.
    empty = np.minimum(part, whole - part) < 0.3 * whole * np.minimum(length, count - length) / count
    return np.asarray(np.where(empty, -np.inf, gains))


def _gains(
    products: NDArray[np.float64], share: NDArray[np.float64], least: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Gain of each division into parts of at least `least` blocks, and first and last edge of its second part."""
    count = len(share)
    total, part = _summed(products, share)
    at = np.arange(least, count - least + 1)
    end, whole = float(total[count, count]), max(float(part[count]), 1e-12)
    first, second = total[at, at], end - total[at, count] - total[count, at] + total[at, at]
    gains = _gain_of(first, second, part[at], whole, end, at, count)
    return gains, np.stack([at, np.full_like(at, count)], axis=1)


def _middle_gains(
    products: NDArray[np.float64], share: NDArray[np.float64], least: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The same of each middle part against both ends together, each of at least `least` blocks; empty without room."""
    count = len(share)
    i, j = np.triu_indices(count + 1, least)
    keep = (i >= least) & (j <= count - least)
    i, j = i[keep], j[keep]
    total, part = _summed(products, share)
    end, whole = float(total[count, count]), max(float(part[count]), 1e-12)
    inside = total[j, j] - total[i, j] - total[j, i] + total[i, i]
    rows = total[j, count] - total[i, count] + total[count, j] - total[count, i]
    gains = _gain_of(inside, end - rows + inside, part[j] - part[i], whole, end, j - i, count)
    return gains, np.stack([i, j], axis=1)


def clear_division(
    products: NDArray[np.float64], share: NDArray[np.float64], least: int, rng: np.random.Generator
) -> tuple[Division | None, bool]:
    """Return the best division of a stretch over one structure of its own, and whether it is clear.

    Parameters are those of `best_division`; `products` may be of gradients at the structure of more than the stretch.
    """
    toward = products.sum(1) / max(share.sum(), 1e-12)
    mean = toward.sum() / max(share.sum(), 1e-12)
    own = products - toward[:, None] * share - share[:, None] * toward + mean * share[:, None] * share
    best = best_division(own, share, least, rng)
    return best, best is not None and best.significance >= CLEAR


@dataclass(frozen=True)
class Step:
    """A step of a mean in time: first index after it, its gain in nats, and the means before and after."""

    at: int
    nats: float
    before: float
    after: float


def step_in_mean(values: NDArray[np.float64], weight: NDArray[np.float64], least: int) -> Step | None:
    """Return the most likely step of values (n,) of variance 1 / (2 weight), each side of at least `least` values."""
    n = len(values)
    if n < 2 * least:
        return None
    sums, weights = np.cumsum(values * weight), np.cumsum(weight)
    at = np.arange(least, n - least + 1)
    left, right = np.maximum(weights[at - 1], 1e-12), np.maximum(weights[-1] - weights[at - 1], 1e-12)
    before, after = sums[at - 1] / left, (sums[-1] - sums[at - 1]) / right
    gain = left * right / max(weights[-1], 1e-12) * (before - after) ** 2
    best = int(gain.argmax())
    return Step(int(at[best]), float(gain[best]), float(before[best]), float(after[best]))


def divide_shares(shown: NDArray[np.float64], count: NDArray[np.float64], least: int) -> list[int]:
    """Return the blocks where the share of frames that show the particle changes for good.

    Parameters
    ----------
    shown, count
        (block,) frames that show it, and good frames.
    least
        Fewest blocks of a part.
    """
    step = step_in_mean(shown / np.maximum(count, 1), count, least)
    if step is None or abs(step.before - step.after) < SHARE_STEP:
        # Both ends may be alike and the middle differ.
        return _middle(shown, count, least)
    k = step.at
    before = divide_shares(shown[:k], count[:k], least)
    after = divide_shares(shown[k:], count[k:], least)
    return [*before, k, *(k + j for j in after)]


def _middle(shown: NDArray[np.float64], count: NDArray[np.float64], least: int) -> list[int]:
    """Return the ends of a middle part of another share than both ends, or nothing."""
    n = len(shown)
    if n < 3 * least:
        return []
    a, b = np.concatenate([[0], shown.cumsum()]), np.concatenate([[0], count.cumsum()])
    i, j = np.triu_indices(n + 1, least)
    keep = (i >= least) & (j <= n - least)
    i, j = i[keep], j[keep]
    inside = (a[j] - a[i]) / np.maximum(b[j] - b[i], 1)
    outside = (a[-1] - a[j] + a[i]) / np.maximum(b[-1] - b[j] + b[i], 1)
    apart = np.abs(inside - outside) * np.sqrt(np.minimum(b[j] - b[i], b[-1] - b[j] + b[i]))
    best = int(apart.argmax())
    return [int(i[best]), int(j[best])] if abs(inside[best] - outside[best]) >= SHARE_STEP else []


def posterior_date(log_likelihood: NDArray[np.float64]) -> tuple[float, float]:
    """Return mean and standard deviation of the index of a change, from the log-likelihood (n,) of each."""
    weight = np.exp(log_likelihood - log_likelihood.max())
    weight /= weight.sum()
    index = np.arange(len(weight))
    mean = float(weight @ index)
    return mean, float(np.sqrt(weight @ (index - mean) ** 2))
