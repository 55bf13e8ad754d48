"""A straight line through measured points with errors, and the scatter between them that the errors do not explain.

    y = value + slope · x,     weight 1 / (σ_y² + slope² σ_x² + s²)

where s² is the variance between particles (shape, facets, defects), chosen so that χ² equals the degrees of freedom,
and 0 when the stated errors explain all of it. A line says nothing far from its points: `supports` tells whether an x
is at most one range of the points beyond them. With x = 1/diameter, the value at 0 needs diameters that differ by a
factor of two. The slope is tested by Student's t with n − 2 degrees of freedom; three points leave one.

Reference: R. C. Paule and J. Mandel, J. Res. Natl. Bur. Stand. 87, 377 (1982), doi:10.6028/jres.087.022.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.base.errors import InputError

__all__ = ["Trend", "fit_through", "fit_trend"]

MIN_POINTS = 3  # two points leave nothing to judge a line by
_ITERATIONS = 60
# Relative to the largest value: keeps the weight of a point whose error is stated as zero finite.
_FLOOR = 1e-9


@dataclass(frozen=True)
class Trend:
    """The line value + slope · x.

    Attributes
    ----------
    value, value_err
        At x = 0, and its standard error.
    slope, slope_err
        Per unit of x.
    covariance
        (2, 2) of (value, slope).
    scatter
        Standard deviation s between points beyond their errors.
    chi2
        Sum of squared residuals over the stated variances, without `scatter`, for count − 2 degrees of freedom.
    count
        Number of points.
    x_range
        Least and largest x.
    """

    value: float
    value_err: float
    slope: float
    slope_err: float
    covariance: NDArray[np.float64]
    scatter: float
    chi2: float
    count: int
    x_range: tuple[float, float]

    def supports(self, x: float) -> bool:
        """Whether the points carry the line to x: within them, or beyond by no more than their range."""
        low, high = self.x_range
        return low - (high - low) <= x <= high + (high - low)

    @property
    def chance(self) -> float:
        """Probability of a slope as far from 0 as this one where there is none (two-sided, Student's t)."""
        from scipy.stats import t

        ratio = np.inf if self.slope_err == 0 else abs(self.slope) / self.slope_err
        return float(2 * t.sf(ratio, max(self.count - 2, 1)))

    def predict(self, x: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the line and its standard error at x (k,)."""
        at = np.asarray(x, np.float64)
        c = self.covariance
        return self.value + self.slope * at, np.sqrt(c[0, 0] + 2 * at * c[0, 1] + at**2 * c[1, 1])


def fit_trend(x: ArrayLike, y: ArrayLike, y_err: ArrayLike, x_err: ArrayLike | None = None) -> Trend:
    """Fit a weighted straight line.

    Parameters
    ----------
    x, y
        (n,) points, at least 3 with two different x.
    y_err
        (n,) standard errors; where one is not finite the median of the others stands for it, 0 without any.
    x_err
        (n,) standard errors; ``None`` is 0.

    Returns
    -------
    Trend
        The line with its errors.

    Raises
    ------
    InputError
        When there are too few points, all at one x, or values that are not finite.
    """
    from scipy.optimize import brentq

    x, y, dy = (np.asarray(v, np.float64) for v in (x, y, y_err))
    dx = np.zeros_like(x) if x_err is None else np.nan_to_num(np.asarray(x_err, np.float64))
    if not x.shape == y.shape == dy.shape == dx.shape or x.ndim != 1:
        raise InputError(
            f"x, y and their errors have shapes {x.shape}, {y.shape}, {dy.shape}, {dx.shape}; one is needed"
        )
    if len(x) < MIN_POINTS or np.ptp(x) <= 1e-9 * np.abs(x).max():
        raise InputError(
            f"{len(x)} points at {len(np.unique(x))} places; {MIN_POINTS} at two or more places are needed"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("x and y must be finite; leave out what is not known")
    known = np.isfinite(dy)
    dy = np.where(known, dy, np.median(dy[known]) if known.any() else 0.0)
    design = np.column_stack([np.ones_like(x), x])
    floor = (_FLOOR * float(np.abs(y).max() or 1.0)) ** 2

    def solve(variance: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        # QR of the weighted rows: the normal matrix would square the range of the weights.
        weight = 1 / np.sqrt(variance)
        q, r = np.linalg.qr(design * weight[:, None])
        line = np.linalg.solve(r, q.T @ (y * weight))
        root = np.linalg.inv(r)
        return line, root @ root.T, float(np.sum(((y - design @ line) * weight) ** 2))

    def excess(extra: float, stated: NDArray[np.float64]) -> float:
        return solve(stated + extra)[2] - freedom

    freedom, line, extra = len(x) - 2, solve(np.ones_like(x))[0], 0.0
    # The weights depend on the slope when x has errors; without them the second pass repeats the first.
    for _ in range(_ITERATIONS):
        stated = dy**2 + (line[1] * dx) ** 2 + floor
        chi2 = solve(stated)[2]
        # The spread of all points is certainly enough of a variance.
        extra = brentq(excess, 0.0, len(y) * float(np.var(y)) + floor, (stated,)) if chi2 > freedom else 0.0
        new, covariance, _ = solve(stated + extra)
        settled = np.allclose(new, line, rtol=1e-10, atol=0)
        line = new
        if settled:
            break
    value_err, slope_err = np.sqrt(np.diag(covariance))
    return Trend(
        float(line[0]),
        float(value_err),
        float(line[1]),
        float(slope_err),
        covariance,
        float(np.sqrt(extra)),
        chi2,
        len(x),
        (float(x.min()), float(x.max())),
    )


def fit_through(x: ArrayLike, y: ArrayLike, y_err: ArrayLike, limit: float) -> tuple[float, float, float]:
    """Fit y = limit + slope · x, for a quantity whose value at x = 0 is known.

    Parameters
    ----------
    x, y, y_err
        (n,) points and their standard errors; where one is not known the median of the others stands for it.
    limit
        Value at x = 0.

    Returns
    -------
    slope, slope_err, chi2
        The error holds the scatter about the line when that is more than the errors state; χ² has n − 1 degrees of
        freedom, and is over the stated errors.
    """
    x, y, dy = (np.asarray(v, np.float64) for v in (x, y, y_err))
    known = np.isfinite(dy) & (dy > 0)
    dy = np.where(known, dy, np.median(dy[known]) if known.any() else 1.0)
    weight = (x / dy) ** 2
    slope = float(np.sum(weight * (y - limit) / x) / weight.sum())
    chi2 = float(np.sum(((y - limit - slope * x) / dy) ** 2))
    widened = max(chi2 / max(len(x) - 1, 1), 1.0 if known.any() else 0.0)
    return slope, float(np.sqrt(widened / weight.sum())), chi2
