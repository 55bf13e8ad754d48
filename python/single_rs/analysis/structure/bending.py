"""Bending of a crystal: how its orientation turns from one end to the other, and its two domains.

The rotation vector θ_i of each atom against the mean orientation of its grain (crystal turned by θ_i, particle frame)
is described by two models, each fitted by least squares,

    slope:  θ(x) = κ (x − x̄)           κ (3, 3), radians per Å: the lattice curvature,
    step:   θ(x) = θ_A or θ_B           A and B the two sides of a plane,

the plane being the one, across any direction and at any height, that leaves least. A smooth bend is explained by the
slope, a small-angle boundary by the step; each is stated as the share of the variance that it explains. The two
domains A and B have a misorientation (angle and axis), measured away from the plane, where shells belong to one side,
and their overlay says how well they are one lattice: the distances of the atoms of B from the sites of A's lattice as
they are, and after B is turned back by the misorientation.

Reference: lattice curvature: J. F. Nye, Acta Metall. 1, 153 (1953), doi:10.1016/0001-6160(53)90054-6.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.analysis.structure.grains import Grains, mean_orientation, misorientation, rotation_vector
from single_rs.analysis.structure.matching import TemplateMatch
from single_rs.crystal.neighbours import check_positions

__all__ = ["Bend", "measure_bend"]

# Directions of trial planes: 200 on the half sphere are 10° apart, and the misorientation hardly depends on them.
_DIRECTIONS = 200
# Share of the atoms that a domain holds at least.
_LEAST_SHARE = 0.15
_LEAST_ATOMS = 26
# Bond lengths from the plane beyond which a shell is of one domain (the nearest layers are half a spacing from it), and
# the atoms of each domain that must remain there.
_CLEARANCE = 0.75
_LEAST_CLEAR = 8
# Rows: primitive vectors of fcc and bcc in units of the bond length; see `crystal` for the conventional cells.
_PRIMITIVE = {
    "fcc": np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / np.sqrt(2.0),
    "bcc": np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / np.sqrt(3.0),
}


@dataclass(frozen=True)
class Bend:
    """Bending of one grain, and its two domains.

    Attributes
    ----------
    angle
        Degrees, misorientation of the two domains.
    error
        Degrees, standard error of the angle from the scatter about the step.
    axis
        (3,) unit vector of the misorientation, crystal axes.
    normal, height
        (3,) unit normal of the plane between the domains, particle frame, and its height along it, Å.
    curvature
        (3, 3) degrees per Å, κ[a, b] = ∂θ_a/∂x_b, particle frame.
    explained_by_slope, explained_by_step
        Shares (0 to 1) of the variance of the orientations.
    overlay_before, overlay_after
        Å, rms distance per axis of the second domain's atoms from the sites of the first domain's lattice, as they are
        and after the turn back; NaN for hcp.
    second
        (n,) bool, atoms of the second domain; both domains are parts of the grain.
    grain
        Number of the grain.
    """

    angle: float
    error: float
    axis: NDArray[np.float64]
    normal: NDArray[np.float64]
    height: float
    curvature: NDArray[np.float64]
    explained_by_slope: float
    explained_by_step: float
    overlay_before: float
    overlay_after: float
    second: NDArray[np.bool_]
    grain: int


def measure_bend(positions: ArrayLike, match: TemplateMatch, grains: Grains, grain: int = 0) -> Bend | None:
    """Curvature of a grain and its division into two domains; None with fewer than 26 fully coordinated atoms.

    Parameters
    ----------
    positions
        (n, 3) Å, those of the match.
    match
        Result of `adopt_orientations`.
    grains
        Result of `find_grains`.
    grain
        Number of the grain.
    """
    x = check_positions(positions)
    if grain >= len(grains.grains):
        return None
    name = grains.grains[grain].structure
    code = {"fcc": 1, "hcp": 2, "bcc": 3}[name]
    atoms = np.flatnonzero((grains.label == grain) & (match.structure_type == code))
    if len(atoms) < _LEAST_ATOMS:
        return None
    mean, chosen = mean_orientation(match.orientation[atoms], name)
    theta = rotation_vector(chosen @ mean.T)
    y = x[atoms] - x[atoms].mean(axis=0)
    total = float(np.sum(theta**2))
    curvature = np.linalg.lstsq(y, theta, rcond=None)[0].T
    slope_rest = float(np.sum((theta - y @ curvature.T) ** 2))
    normal, height, step_rest = _best_step(y, theta)
    upper = y @ normal > height
    # The shell of an atom beside the plane is half of each domain; the axes are those of the atoms farther off.
    clear = np.abs(y @ normal - height) > _CLEARANCE * match.bond
    if min(np.sum(clear & upper), np.sum(clear & ~upper)) < _LEAST_CLEAR:
        clear[:] = True
    q1, first = mean_orientation(chosen[clear & ~upper], name)
    q2, second = mean_orientation(chosen[clear & upper], name)
    angle, axis = misorientation(q1, q2, name)
    scatter = [np.sum(rotation_vector(s @ q.T) ** 2) / 3 / len(s) ** 2 for s, q in ((first, q1), (second, q2))]
    height += float(x[atoms].mean(axis=0) @ normal)
    members = grains.label == grain
    side = members & (x @ normal > height)
    before = after = np.nan
    if name in _PRIMITIVE:
        cell = match.bond * _PRIMITIVE[name] @ q1.T
        before = _overlay(y[upper], cell)
        after = _overlay(y[upper] @ (q1 @ q2.T).T, cell)
    return Bend(
        angle=angle,
        error=float(np.degrees(np.sqrt(sum(scatter)))),
        axis=axis,
        normal=normal,
        height=height,
        curvature=np.degrees(curvature),
        explained_by_slope=1 - slope_rest / total if total > 0 else 0.0,
        explained_by_step=1 - step_rest / total if total > 0 else 0.0,
        overlay_before=before,
        overlay_after=after,
        second=side,
        grain=grain,
    )


def _best_step(y: NDArray[np.float64], theta: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, float]:
    """Normal, height and remaining sum of squares of the plane that divides the rotation vectors best."""
    # Fibonacci points on the half sphere.
    k = np.arange(_DIRECTIONS) + 0.5
    z, phi = k / _DIRECTIONS, np.pi * (1 + np.sqrt(5.0)) * k
    directions = np.column_stack([np.sqrt(1 - z**2) * np.cos(phi), np.sqrt(1 - z**2) * np.sin(phi), z])
    least = max(int(_LEAST_SHARE * len(y)), 2)
    total, best = float(np.sum(theta**2)), (directions[0], 0.0, np.inf)
    for direction in directions:
        height = y @ direction
        order = np.argsort(height, kind="stable")
        sums = np.cumsum(theta[order], axis=0)
        count = np.arange(1, len(y) + 1)[:, None]
        # Between-groups sum of squares of a division after each atom; all of theta sums to its own mean, about 0.
        lower, upper = sums[:-1] ** 2 / count[:-1], (sums[-1] - sums[:-1]) ** 2 / (len(y) - count[:-1])
        gain = np.sum(lower + upper, axis=1)
        gain[: least - 1], gain[len(y) - least :] = -1, -1
        cut = int(np.argmax(gain))
        if total - gain[cut] < best[2]:
            best = (direction, float((height[order[cut]] + height[order[cut + 1]]) / 2), float(total - gain[cut]))
    return best


def _overlay(x: NDArray[np.float64], cell: NDArray[np.float64]) -> float:
    """Rms distance per axis (Å) of atoms from the sites of the lattice `cell`, at the origin that suits them best.

    The origin is the circular mean of the fractional coordinates: a lattice says nothing of whole translations.
    """
    phase = np.exp(2j * np.pi * (x @ np.linalg.inv(cell)))
    off = np.angle(phase * np.conj(phase.mean(axis=0))) / (2 * np.pi)
    return float(np.sqrt(np.mean((off @ cell) ** 2)))
