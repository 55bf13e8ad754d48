"""Pair distribution functions of a finite particle, with errors propagated from the atoms.

With N atoms, n² ordered pairs and r_ij = |x_j − x_i|:

    R(r) = (1/N) Σ_i Σ_{j≠i} δ(r − r_ij)             neighbours per Å; its integral over a peak is the coordination
    g(r) = R(r) / [4π r² ρ₀ γ₀(r)]                   1 for atoms spread evenly in the same body
    G(r) = R(r)/r − 4π r ρ₀ γ₀(r) = 4π r ρ₀ γ₀(r) [g(r) − 1]

ρ₀ is the number density and γ₀(r) = 1 − (3/2)(r/d) + (1/2)(r/d)³, r < d, the part of a sphere of diameter d that
overlaps with itself when shifted by r, so that R of the even body integrates to N. d is that of N/ρ₀. For other shapes
γ₀ is an approximation that changes the slow baseline of g and G, not the place or area of a peak in R. δ is widened to
a Gaussian of standard deviation `width`. Errors to first order in the atoms' errors σ (per axis, independent):

    var R(r) = Σ_k σ_k² |∂R(r)/∂x_k|²,    of more than 500 atoms from 500 of them.

References: C. L. Farrow and S. J. L. Billinge, Acta Cryst. A 65, 232 (2009), doi:10.1107/S0108767309009714.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from single_rs.analysis.distances.pairs import distance_histogram, representatives
from single_rs.analysis.lattice import Lattice
from single_rs.base.columns import Column, Stated
from single_rs.base.errors import InputError
from single_rs.crystal.neighbours import check_positions, check_sigma
from single_rs.crystal.prototypes import prototype

__all__ = ["PairDistribution", "number_density", "pair_distribution"]

# Gaussians end here, in standard deviations; the part beyond is 6e-5.
_REACH = 4.0


@dataclass(frozen=True)
class PairDistribution:
    """Pair distribution functions on k distances.

    Attributes
    ----------
    r
        (k,) Å, evenly spaced, from half a step on.
    rdf, rdf_err
        (k,) R(r), 1/Å, and its standard error (NaN where σ is not known).
    g, g_err
        (k,) g(r), 1 for an even body of the same size; NaN beyond the diameter.
    reduced, reduced_err
        (k,) G(r), 1/Å².
    density
        ρ₀, atoms per Å³.
    diameter
        Å, of the sphere of N/ρ₀.
    width
        Å, standard deviation of the Gaussian that stands for δ.
    count
        N.
    """

    r: Annotated[NDArray[np.float64], Column(".6g")]
    rdf: Annotated[NDArray[np.float64], Column(".6g")]
    rdf_err: Annotated[NDArray[np.float64], Column(".6g")]
    g: Annotated[NDArray[np.float64], Column(".6g")]
    g_err: Annotated[NDArray[np.float64], Column(".6g")]
    reduced: Annotated[NDArray[np.float64], Column(".6g")]
    reduced_err: Annotated[NDArray[np.float64], Column(".6g")]
    density: Annotated[float, Stated(".6f", "atoms/Å³")]
    diameter: Annotated[float, Stated(".3f", "Å")]
    width: Annotated[float, Stated(unit="Å")]
    count: Annotated[int, Stated()]

    def coordination(self, low: float, high: float) -> float:
        """Mean number of neighbours between two distances (Å), the integral of R."""
        inside = (self.r >= low) & (self.r < high)
        return float(self.rdf[inside].sum() * (self.r[1] - self.r[0]))

    def peak(self, low: float, high: float) -> float:
        """Centre of mass of R between two distances (Å); for the first peak `bond_constant` gives the error as well."""
        inside = (self.r >= low) & (self.r < high)
        total = float(self.rdf[inside].sum())
        if not total > 0:
            raise InputError(f"there is no pair between {low} and {high} Å")
        return float(self.r[inside] @ self.rdf[inside]) / total


def number_density(positions: ArrayLike, lattice: Lattice | None = None) -> float:
    """Atoms per Å³: that of the fitted cell, or without a lattice that of a ball with the atoms' radius of gyration.

    A ball of radius R has R_g² = 3/5 R², of which the atoms' centres lack the 3/5 w² within each atom's own cell,
    w³ = R³/N. For shapes other than a ball the density without a lattice is too low.
    """
    if lattice is not None:
        return len(prototype(lattice.structure).motif) / lattice.parameters.volume
    x = check_positions(positions)
    gyration = float(np.mean(np.sum((x - x.mean(axis=0)) ** 2, axis=1)))
    radius = np.sqrt(5 / 3 * gyration / (1 - len(x) ** (-2 / 3)))
    return float(len(x) / (4 / 3 * np.pi * radius**3))


def pair_distribution(
    positions: ArrayLike,
    sigma: ArrayLike | None = None,
    lattice: Lattice | None = None,
    r_max: float | None = None,
    step: float = 0.02,
    width: float = 0.06,
) -> PairDistribution:
    """Pair distribution functions of a particle.

    Parameters
    ----------
    positions
        (n, 3) Å.
    sigma
        (n,) Å per axis, standard errors of the positions.
    lattice
        Gives the number density; None estimates it (`number_density`).
    r_max
        Å, longest distance; None takes the diameter of the sphere of equal volume, beyond which g is not defined.
    step
        Å between the points.
    width
        Å, standard deviation of the Gaussian that stands for each pair; at least `step`.

    Returns
    -------
    PairDistribution
        Functions on r (n_r,), Å.

    Raises
    ------
    InputError
        Shapes or values that do not fit.
    """
    x = check_positions(positions)
    s = np.full(len(x), np.nan) if sigma is None else check_sigma(sigma, len(x), unknown=True)
    if not 0 < step <= width:
        raise InputError(f"step is {step} Å and width {width} Å; 0 < step ≤ width is needed")
    density = number_density(x, lattice)
    diameter = float((6 * len(x) / density / np.pi) ** (1 / 3))
    longest = diameter if r_max is None else float(r_max)
    if not 2 * width < longest < 1000:
        raise InputError(f"r_max is {longest} Å; it must be more than two widths and less than 1000 Å")
    # Past the end by the reach of a Gaussian, so that no pair is missed at the end.
    bins = int(np.ceil((longest + _REACH * width) / step))
    r = np.asarray((np.arange(bins) + 0.5) * step, dtype=np.float64)
    counts, variance = _accumulate(x, s, bins, step, width / step)
    kept = r <= longest
    r, rdf, error = r[kept], counts[kept] / (len(x) * step), np.sqrt(variance[kept]) / (len(x) * step)
    overlap = np.clip(1 - 1.5 * (r / diameter) + 0.5 * (r / diameter) ** 3, 0, None)
    overlap[r >= diameter] = 0
    even = 4 * np.pi * r**2 * density * overlap
    safe = np.where(even > 0, even, np.nan)
    return PairDistribution(
        r=r,
        rdf=rdf,
        rdf_err=error,
        g=rdf / safe,
        g_err=error / safe,
        reduced=(rdf - even) / r,
        reduced_err=error / r,
        density=density,
        diameter=diameter,
        width=width,
        count=len(x),
    )


def _accumulate(
    x: NDArray[np.float64], sigma: NDArray[np.float64], bins: int, step: float, smooth: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smoothed counts (bins,) of ordered pairs, and Σ_k σ_k² |∂counts/∂x_k|² (NaN when some σ is).

    A pair is shared between the two nearest bins, so that its mean distance is kept exactly. Moving atom k by δ moves
    the pair (k, j) by −b·δ, b the unit vector from k to j, and the pair is counted twice: ∂counts/∂x_k = 2 Σ_j b K'.
    """
    # The histogram has points at 0, step/2, step, …; those half a step from an end of a bin are its middle.
    double = distance_histogram(x, x, step / 2)[: 2 * bins + 2]
    double = np.pad(double, (0, 2 * bins + 2 - len(double)))
    double[0] = 0.0  # each atom with itself
    edge = double[2::2]
    counts = double[1::2][:bins].copy()
    counts += edge[:bins] / 2
    counts[1:] += edge[: bins - 1] / 2
    variance = np.zeros(bins)
    known = bool(np.all(np.isfinite(sigma)))
    chosen, factor = representatives(len(x))
    for k in chosen if known else ():
        if not sigma[k] > 0:
            continue
        difference = np.delete(x, k, axis=0) - x[k]
        distance = np.linalg.norm(difference, axis=1)
        near = (distance < (bins - 1) * step) & (distance > 0)
        place = distance[near] / step - 0.5
        low = np.floor(place).astype(np.int64)
        high = place - low
        low = np.maximum(low, 0)
        index, share = np.concatenate([low, low + 1]), np.concatenate([1 - high, high])
        b = difference[near] / distance[near, None]
        along = np.stack([np.bincount(index, share * np.tile(b[:, c], 2), bins)[:bins] for c in range(3)])
        slope = gaussian_filter1d(along, smooth, axis=1, order=1, mode="constant", truncate=_REACH) / step
        variance += factor * 4 * sigma[k] ** 2 * np.sum(slope**2, axis=0)
    smoothed = gaussian_filter1d(counts, smooth, mode="constant", truncate=_REACH)
    return smoothed, variance if known else np.full(bins, np.nan)
