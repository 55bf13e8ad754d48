"""Smoothing of a measured path: Kalman filter and Rauch-Tung-Striebel smoother for a walk that may be held by a spring.

State x_t (px or Å), measured as z_t = x_t + e_t, var e_t = v_t:

    x_{t+d} = phi^d x_t + w,   var w = P (1 - phi^{2d})      Ornstein-Uhlenbeck, stationary variance P
    x_{t+d} = x_t + w,         var w = q d                   free Brownian walk, the limit phi → 1

Both axes share the variances and are smoothed together. The parameters come from the moments of the data.

References
----------
H. E. Rauch, F. Tung, C. T. Striebel, AIAA J. 3, 1445 (1965), doi:10.2514/3.3166.
Moments of noisy Brownian paths: X. Michalet, Phys. Rev. E 82, 041914 (2010), doi:10.1103/PhysRevE.82.041914.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

__all__ = ["CorrelatedPart", "correlated_part", "smooth_path", "walk_variances"]

# Lags, in frames, whose moments are used: few, because a real path is a free walk over short times only.
LAGS = np.arange(1, 7)
# Measurements this far from their prediction, in standard deviations, are weakened until they lie at this limit.
OUTLIER_SIGMA = 3.5


@dataclass(frozen=True)
class CorrelatedPart:
    """Variance P per axis and correlation phi of what persists, variance of all, and how sure it is (in sigma)."""

    power: float
    phi: float
    total: float
    significance: float


def smooth_path(
    times: NDArray[np.integer],
    values: NDArray[np.floating],
    variances: NDArray[np.floating],
    step: float,
    phi: float = 1.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Posterior mean (n, 2) and variance (n,) per axis of a path.

    Parameters
    ----------
    times
        (n,) increasing frame numbers; gaps are bridged.
    values
        (n, 2) measured positions; rows with NaN are predicted only.
    variances
        (n,) variance per axis of each measurement.
    step
        Variance gained per frame: q of the free walk; for phi < 1 the stationary variance P.
    phi
        Correlation between successive frames; 1 for a free walk.

    Returns
    -------
    mean, variance
        Given all measurements, in the unit of `values` and its square.
    """
    count = len(times)
    mean, variance = np.empty((count, 2)), np.empty(count)
    predicted, before = np.empty((count, 2)), np.empty(count)
    state = np.zeros(2)
    spread = step if phi < 1 else 1e6 * (float(np.max(variances)) + step)  # a free walk may start anywhere
    factor = np.ones(count)
    for t in range(count):
        if t:
            gap = float(times[t] - times[t - 1])
            factor[t] = phi**gap
            state = factor[t] * state
            spread = factor[t] ** 2 * spread + (step * (1 - factor[t] ** 2) if phi < 1 else step * gap)
        predicted[t], before[t] = state, spread
        if np.isfinite(values[t]).all():
            innovation = values[t] - state
            noise = float(variances[t])
            excess = float(innovation @ innovation) / (2 * OUTLIER_SIGMA**2)
            noise = max(noise, excess - spread)
            gain = spread / (spread + noise)
            state = state + gain * innovation
            spread = (1 - gain) * spread
        mean[t], variance[t] = state, spread
    for t in range(count - 2, -1, -1):
        gain = variance[t] * factor[t + 1] / max(before[t + 1], 1e-300)
        mean[t] = mean[t] + gain * (mean[t + 1] - predicted[t + 1])
        variance[t] = variance[t] + gain**2 * (variance[t + 1] - before[t + 1])
    return mean, variance


def walk_variances(
    times: NDArray[np.integer], values: NDArray[np.floating], relative: NDArray[np.floating]
) -> tuple[float, float]:
    """Step variance q and measurement variance r of a free walk, per axis, from ⟨|z_{t+d} - z_t|²⟩ = q d + r (v + v').

    Parameters
    ----------
    times, values
        (n,) frames and (n, 2) positions.
    relative
        (n,) known relative variance v of each measurement; the variance of a measurement is r v.
    """
    rows, right = [], []
    for lag in LAGS:
        first, second = _pairs(times, int(lag))
        if len(first) < 8:
            continue
        squared = np.mean((values[second] - values[first]) ** 2, axis=1)
        weight = 1.0 / (relative[first] + relative[second])
        squared = np.minimum(squared, 9.0 * np.median(squared))
        rows.append([lag * weight.mean(), 1.0])
        right.append(float(np.mean(squared * weight)))
    if len(rows) < 2:
        spread = float(np.var(values, axis=0).mean())
        return spread, spread
    (q, r), _ = nnls(np.array(rows), np.array(right))
    # Neither can be exactly zero: the smoother divides by their sum.
    floor = 1e-4 * max(q, r, 1e-12)
    return float(max(q, floor)), float(max(r, floor))


def correlated_part(times: NDArray[np.integer], values: NDArray[np.floating]) -> CorrelatedPart:
    """Split a zero-mean path (n, 2) into what persists and what is new in every frame.

    From C_d = ⟨z_{t+d} · z_t⟩ / 2 = P phi^d for d > 0; white measurement noise is in C_0 only.
    """
    limit = 5.0 * np.median(np.abs(values)) + 1e-300
    clipped = np.clip(values, -limit, limit)
    total = float(np.mean(clipped**2))
    covariance, lags, number = [], [], 0
    for lag in LAGS:
        first, second = _pairs(times, int(lag))
        if len(first) >= 8:
            covariance.append(float(np.mean(clipped[first] * clipped[second])))
            lags.append(int(lag))
            number += 2 * len(first)
    if not lags:
        return CorrelatedPart(0.0, 0.0, total, 0.0)
    best = (np.inf, 0.0, 0.0)
    for phi in np.concatenate([np.linspace(0.1, 0.9, 33), 1 - np.geomspace(0.09, 0.002, 20)]):
        basis = phi ** np.array(lags)
        power = max(float(basis @ covariance) / float(basis @ basis), 0.0)
        misfit = float(np.sum((np.array(covariance) - power * basis) ** 2))
        if misfit < best[0]:
            best = (misfit, power, float(phi))
    # Products of white values are independent over pairs and lags, each of variance total².
    significance = float(np.mean(covariance)) * np.sqrt(number) / max(total, 1e-300)
    return CorrelatedPart(min(best[1], total), best[2], total, significance)


def _pairs(times: NDArray[np.integer], lag: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of all pairs of measurements exactly `lag` frames apart."""
    where = np.searchsorted(times, times + lag)
    inside = where < len(times)
    first = np.flatnonzero(inside)
    second = where[inside]
    exact = times[second] == times[first] + lag
    return first[exact], second[exact]
