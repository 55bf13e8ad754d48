"""Assignment of elements by how strongly and how widely their atoms scatter.

The height and width y = (h, b) of an atom of element e, whose surroundings are s, follow

    y = μ_e + B s + ε,    ε ~ 0.95 N(0, Σ) + 0.05 N(0, 9 Σ)

with one slope B and one covariance Σ for all elements: a mixture (Dempster, Laird and Rubin, J. R. Stat. Soc. B 39, 1
(1977)) with the tails that heights have (contaminated normal law, Tukey 1960). The surroundings, coordination and
distance from the centre, change the height of an atom within one element as well: the beam is spent on the neighbours
in its column, so that atoms inside look weaker. Without them a pure particle is split into inside and outside.
Elements are named in the order of their heights: the heavier one is the higher one. Heights and widths of one element
go together, so that the classes may be clear where neither alone separates them. The likelihood has several maxima; of
all starts, cuts through the heights at their deciles and the best mixture without surroundings, the one that ends
highest is taken.

Elements are assigned only when the mixture explains them better than one element does, by more than the Bayesian
information criterion of a point and a share for each element more. Surroundings explain a shell of another element as
well; so elements are assigned, too, where elements explain more than surroundings were ever seen to.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from single_rs.crystal.neighbours import coordination

__all__ = ["classify", "surroundings"]

CUTS = np.arange(0.1, 0.95, 0.1)  # quantiles of the heights
PARAMETERS = 3  # of an element more: its point and its share
ROUNDS = 200
LEAST_SPREAD = 0.01  # of the heights; narrower classes would split one element
# Nats per atom. Surroundings that are not modelled split pure particles by up to 0.02 (simulated Pt, 10 e/px), a
# shell of Pt on Pd by 0.19 at 2 e/px.
SURE = 0.1
TAIL_SHARE, TAIL_SPREAD = 0.05, 3.0  # of the atoms, and their standard deviation over that of the others


def surroundings(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """What changes the look of an atom besides its element, (n, 2): neighbours, and squared distance from the centre.

    Parameters
    ----------
    positions
        (n, 3) Å.
    """
    near = coordination(positions).astype(np.float64)
    square = ((positions - positions.mean(axis=0)) ** 2).sum(axis=1)
    return np.stack([near / max(near.max(), 1.0), square / max(square.max(), 1e-12)], axis=1)


def classify(
    heights: NDArray[np.float64],
    widths: NDArray[np.float64],
    elements: tuple[str, ...],
    around: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], float]:
    """Assign elements to atoms of given heights and widths.

    Parameters
    ----------
    heights, widths
        (n,), any unit.
    elements
        Chemical symbols.
    around
        (n, c) from `surroundings`; none when not given.

    Returns
    -------
    probability
        (n, element) of each of `elements`, in the order given; all the same where the data do not separate them.
    log_likelihood_ratio
        Log-likelihood, nats, over that of one element, less the information criterion; they are assigned where it is
        above 0.
    """
    from ase.data import atomic_numbers

    points = np.stack([heights / np.median(heights), widths - np.mean(widths)], 1)
    count, n = len(elements), len(points)
    design = np.zeros((n, 0)) if around is None else around - around.mean(axis=0)
    criterion = 0.5 * PARAMETERS * (count - 1) * np.log(n)
    _, _, alone, bare = _mixture(points, design, np.ones((n, 1)))
    plain = _best(points, design[:, :0], _cuts(points[:, 0], count))
    best, centre, likelihood = _best(points, design, [plain[0], *_cuts(bare[:, 0], count)])
    log_likelihood_ratio = likelihood - alone - criterion
    if log_likelihood_ratio <= 0:
        # A shell of another element goes with the surroundings, but differs by more than they can make.
        apart = plain[2] - _mixture(points, design[:, :0], np.ones((n, 1)))[2] - criterion
        if apart <= SURE * n:
            return np.full((n, count), 1.0 / count), log_likelihood_ratio
        (best, centre, _), log_likelihood_ratio = plain, apart
    out = np.empty_like(best)
    out[:, np.argsort([atomic_numbers[e] for e in elements])] = best[:, np.argsort(centre[:, 0])]
    return out, log_likelihood_ratio


def _cuts(level: NDArray[np.float64], count: int) -> list[NDArray[np.float64]]:
    """Shares (n, class) by cuts through heights (n,) at their deciles."""
    cuts = combinations(np.unique(np.quantile(level, CUTS)), count - 1)
    return [0.9 * np.eye(count)[np.searchsorted(np.array(c), level)] + 0.1 / count for c in cuts]


def _best(
    points: NDArray[np.float64], design: NDArray[np.float64], starts: list[NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Shares, centres and log-likelihood of the mixture that ends highest."""
    share, centre, value, _ = max((_mixture(points, design, start) for start in starts), key=lambda found: found[2])
    return share, centre, value


def _mixture(
    points: NDArray[np.float64], design: NDArray[np.float64], share: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, NDArray[np.float64]]:
    """Fit the mixture from first shares (n, class).

    Returns
    -------
    Shares (n, class), centres (class, 2), log-likelihood, and points (n, 2) without their surroundings' part.
    """
    n, count = share.shape
    trust = np.ones_like(share)  # of each point in each class: 1 in the bulk of the law, 1/9 in its tails
    value = -np.inf
    for _ in range(ROUNDS):
        u = share * trust
        # Least squares of all classes with common slopes: the normal matrix of [class, surroundings].
        cross = u.T @ design
        normal = np.block([[np.diag(u.sum(0) + 1e-9), cross], [cross.T, design.T @ (design * u.sum(1)[:, None])]])
        normal[np.diag_indices_from(normal)] += 1e-9
        found = np.linalg.solve(normal, np.concatenate([u.T @ points, design.T @ (points * u.sum(1)[:, None])]))
        centre, bare = found[:count], points - design @ found[count:]
        rest = bare[:, None] - centre
        spread = np.einsum("ne,nei,nej->ij", u, rest, rest) / n + LEAST_SPREAD**2 * np.eye(2)
        distance = np.einsum("nei,ij,nej->ne", rest, np.linalg.inv(spread), rest)
        inner = np.log1p(-TAIL_SHARE) - 0.5 * distance
        outer = np.log(TAIL_SHARE) - 2 * np.log(TAIL_SPREAD) - 0.5 * distance / TAIL_SPREAD**2
        law = np.logaddexp(inner, outer)
        trust = np.exp(inner - law) + np.exp(outer - law) / TAIL_SPREAD**2
        logit = np.log((share.sum(0) + 1e-9) / n) + law - 0.5 * np.log(np.linalg.det(spread))
        each = np.logaddexp.reduce(logit, axis=1)
        new = np.exp(logit - each[:, None])
        value = float(each.sum())
        done = float(np.abs(new - share).max()) < 1e-6 and count > 1
        share = new
        if done:
            break
    return share, centre, value, bare
