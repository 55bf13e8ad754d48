"""Check that the particle was seen from enough sides.

A frame in pose R measures the plane of Fourier space through the origin normal to its beam b = Rᵀ e_z. To know a
particle of diameter D to a period d, every direction u must be crossed at |k| = 1/d by some plane within 1/(2D), that
is |b·u| < d/(2D) (Crowther, DeRosier and Klug 1970, doi:10.1098/rspa.1970.0119). Directions that fewer planes cross
carry more noise: σ(u) grows as 1/√(number of planes).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from single_rs.plots.poses import view_coverage
from single_rs.validate.case import Case
from single_rs.validate.types import Check, Criterion

__all__ = ["check_coverage", "directions"]

DIRECTIONS = 2000  # of Fourier space, 3° apart on the half sphere
CROSSED = 0.98
LEAST_SAMPLED = 0.2
SMOOTH = 10.0  # degrees: a sector so wide must not be missing
LOWEST = 0.02  # share of the directions whose axis is told
VIEW = 6.0  # degrees


def directions(count: int) -> NDArray[np.float64]:
    """Unit vectors (n, 3), evenly over the half sphere z > 0 (a Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    z = index / count
    angle = np.pi * (1 + np.sqrt(5)) * index
    ring = np.sqrt(1 - z * z)
    return np.column_stack([ring * np.cos(angle), ring * np.sin(angle), z])


def check_coverage(case: Case) -> Check:
    """Count the planes that cross each direction of Fourier space.

    Parameters
    ----------
    case
        The particle.

    Returns
    -------
    Check
        Data: sampling, relative to its mean, at (n, 3) directions; beams (n, 3) of up to 4,000 frames.
    """
    case.tell("coverage", 0, 1)
    beams = case.poses.rotations[case.used][:, 2]
    weight = case.poses.weight[case.used]
    reach = case.period / (2 * case.clean.diameter)
    u = directions(DIRECTIONS)
    cosine = np.abs(u @ beams.T)
    halves = [case.poses.half[case.used] == h for h in (1, 2)]
    crossed = float(np.mean((cosine[:, weight > 0] < reach).any(axis=1)))
    crossed_half = [float(np.mean((cosine[:, h] < reach).any(axis=1))) if h.any() else 0.0 for h in halves]
    band = cosine < np.sin(np.radians(SMOOTH / 2))
    sampling = band @ weight
    sampling = sampling / max(sampling.mean(), 1e-30)
    least = float(sampling.min())
    criteria = (
        Criterion(
            "share of directions crossed at the finest period",
            crossed,
            CROSSED,
            True,
            "",
            f"Crowther's criterion for {case.clean.diameter:.1f} Å at {case.period:.2f} Å; holes blur all atoms alike",
        ),
        Criterion(
            "sampling of the least sampled direction, relative to the mean",
            least,
            LEAST_SAMPLED,
            True,
            "",
            "noise in that direction stays below √5 times the usual",
        ),
    )
    case.tell("coverage", 1, 1)
    seen = view_coverage(case.poses.rotations[case.used], VIEW)
    low = u[sampling <= np.quantile(sampling, LOWEST)]
    worst = np.linalg.eigh(low.T @ low)[1][:, -1]  # the axis of the least sampled directions; ±u are one
    return Check(
        "coverage",
        criteria,
        f"{crossed:.1%} of the directions are sampled at {case.period:.2f} Å, the least of them "
        f"{least:.2f} times the mean; {seen:.0%} of all views have a frame within {VIEW:.0f}°",
        numbers={
            "view_coverage_6deg": seen,
            "crossed_half1": crossed_half[0],
            "crossed_half2": crossed_half[1],
            "most_over_mean": float(sampling.max()),
            "tolerance_deg": float(np.degrees(np.arcsin(min(1.0, reach)))),
            "frames": float(len(beams)),
        },
        data={
            "directions": u,
            "sampling": sampling,
            "least_direction": worst,
            "beams": beams[np.unique(np.linspace(0, len(beams) - 1, min(len(beams), 4000)).astype(int))],
        },
    )
