"""Local shifts: how the patches move against the common drift, kept only where the evidence demands it.

The displacement of patch j at time t is ``d_j(t) = sum_{a,p} c_{ap} h_a(t) P_p(x_j, y_j)`` with the polynomials x, y,
x^2, x y, y^2 of the patch position (in [-1, 1]) and piecewise linear h_a in time. The coefficients minimise ``sum (d
- o)^T J (d - o) + |c|^2/sigma^2`` over the measured offsets o of information J. The width sigma of the prior is the
one that predicts held-out time blocks best; if none predicts better than zero, the local shifts are zero. A local
shift that is constant in time is part of the reference and cannot be seen. Reference: Zheng et al. 2017,
doi:10.1038/nmeth.4193 (polynomial local motion).
"""

from __future__ import annotations

import numpy as np

WIDTHS = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Prior widths that are tried, px at the outer patches."""
HELD_OUT = 16
"""Length of the alternating time blocks, frames: longer than the correlation of shot noise, shorter than drift."""
GAIN = 15.0
"""Held-out log-likelihood (nats) by which local shifts must improve the fit to be accepted."""
KNOT_FRAMES = 150
"""Frames per piece of the time dependence."""


def _hats(n: int) -> np.ndarray:
    """Piecewise linear functions (n, a) that sum to one."""
    knots = np.linspace(0, n - 1, int(np.clip(n // KNOT_FRAMES, 1, 12)) + 1)
    return np.stack([np.interp(np.arange(n), knots, row) for row in np.eye(len(knots))], axis=1)


def _polynomials(centres: np.ndarray) -> np.ndarray:
    """Polynomials (tiles, 5) of the patch positions."""
    middle = 0.5 * (centres.min(axis=0) + centres.max(axis=0))
    x, y = ((centres - middle) / np.maximum(0.5 * np.ptp(centres, axis=0), 1.0)).T
    return np.stack([x, y, x * x, x * y, y * y], axis=1)


def local_shifts(gradient: np.ndarray, information: np.ndarray, centres: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Fit local shifts.

    Parameters
    ----------
    gradient : (n, tiles, 2) 1/px, gradient of the log-likelihood over the patch's shift at zero local shift.
    information : (tiles, 3) px^-2, order xx, xy, yy.
    centres : (tiles, 2) px, patch centres (x, y).
    good : (n,) bool.

    Returns
    -------
    (n, tiles, 2) px; zeros where held-out frames are not better predicted with local shifts.
    """
    n, tiles, _ = gradient.shape
    zero = np.zeros((n, tiles, 2))
    if tiles < 4 or good.sum() < 4 * HELD_OUT:
        return zero
    hats, poly = _hats(n), _polynomials(centres)
    j = np.empty((tiles, 2, 2))
    j[:, 0, 0], j[:, 0, 1], j[:, 1, 0], j[:, 1, 1] = information[:, [0, 1, 1, 2]].T
    space = np.einsum("jp,jq,jcd->pcqd", poly, poly, j)
    size = hats.shape[1] * poly.shape[1] * 2

    def normal(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        h = hats[chosen]
        matrix = np.einsum("ab,pcqd->apcbqd", h.T @ h, space).reshape(size, size)
        return matrix, np.einsum("ta,jp,tjc->apc", h, poly, gradient[chosen]).ravel()

    half = (np.arange(n) // HELD_OUT) % 2 == 0
    parts = [normal(good & half), normal(good & ~half)]

    def gain(width: float) -> float:
        total = 0.0
        for fitted, test in ((0, 1), (1, 0)):
            c = np.linalg.solve(parts[fitted][0] + np.eye(size) / width**2, parts[fitted][1])
            total += float(c @ parts[test][1] - 0.5 * c @ parts[test][0] @ c)
        return total

    gains = [gain(w) for w in WIDTHS]
    best = int(np.argmax(gains))
    if gains[best] < GAIN:
        return zero
    matrix = parts[0][0] + parts[1][0] + np.eye(size) / WIDTHS[best] ** 2
    c = np.linalg.solve(matrix, parts[0][1] + parts[1][1]).reshape(hats.shape[1], poly.shape[1], 2)
    return np.asarray(np.einsum("ta,jp,apc->tjc", hats, poly, c))
