"""Powder diffraction of a particle by the Debye equation, with atomic form factors and a temperature factor.

For a particle in all orientations, with q = 4π sin θ / λ in 1/Å and r_ij the distances,

    I(q) = Σ_i f_i(q)² + Σ_i Σ_{j≠i} f_i f_j exp[−(B_i + B_j)(q/4π)²] sin(q r_ij)/(q r_ij)

exact in the kinematic approximation, whatever the shape, the strain and the defects. The temperature factor supposes
that atoms vibrate independently, so that the intensity lost from the peaks becomes the smooth background of the first
sum. S(q) = I(q) / Σ f_i² tends to 1 at large q.

Form factors of neutral atoms for q < 25 1/Å, both from the tables in gemmi (M. Wojdyr, JOSS 7, 4200 (2022),
doi:10.21105/joss.04200): X-rays in electrons, four Gaussians and a constant (International Tables for Crystallography C
(1992), table 6.1.1.4); electrons in Å, five Gaussians (IT C, table 4.3.2.2: L.-M. Peng et al., Acta Cryst. A 52, 257
(1996), doi:10.1107/S0108767395014371).

Reference: P. Debye, Ann. Phys. 351, 809 (1915), doi:10.1002/andp.19153510606.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import next_fast_len

from single_rs.analysis.distances.pairs import distance_histogram
from single_rs.base.columns import Column, Stated
from single_rs.base.errors import InputError
from single_rs.crystal.neighbours import check_positions

__all__ = ["RADIATIONS", "PowderPattern", "form_factor", "powder_pattern", "two_theta"]

RADIATIONS = ("xray", "electron")
# The tables hold for sin θ / λ up to 2 1/Å.
_LARGEST_Q = 8 * np.pi
# Å. A distance is shared between two points of the grid so that its mean is kept; what remains is a factor
# 1 − (q step)²/8 on the oscillation at worst, 3e-4 at the largest q.
_GRID = 0.002
# Points of q worked on together: 64 × 20,000 distances × 8 bytes = 10 MB.
_CHUNK = 64


@dataclass(frozen=True)
class PowderPattern:
    """Powder pattern on k values of q.

    Attributes
    ----------
    q
        (k,) 1/Å, 4π sin θ / λ.
    intensity
        (k,) I(q) of one particle, electrons² (X-rays) or Å² (electrons).
    structure
        (k,) S(q) = I(q) / Σ f_i².
    radiation
        "xray" or "electron".
    """

    q: Annotated[NDArray[np.float64], Column(".7g")]
    intensity: Annotated[NDArray[np.float64], Column(".7g")]
    structure: Annotated[NDArray[np.float64], Column(".7g")]
    radiation: Annotated[str, Stated()]


def form_factor(symbol: str, q: ArrayLike, radiation: str = "xray") -> NDArray[np.float64]:
    """Form factor of a neutral atom.

    Parameters
    ----------
    symbol
        Chemical symbol.
    q
        (n_q,) 1/Å, 4π sin θ / λ, at most 25.
    radiation
        "xray" (electrons) or "electron" (Å, without the relativistic factor).

    Returns
    -------
    f
        (n_q,) electrons or Å.
    """
    import gemmi

    if radiation not in RADIATIONS:
        raise InputError(f"radiation is {radiation!r}; accepted: {', '.join(RADIATIONS)}")
    element = gemmi.Element(str(symbol))
    table = element.it92 if radiation == "xray" else element.c4322
    if element.atomic_number == 0 or table is None:
        raise InputError(f"symbol is {symbol!r}; there is no {radiation} form factor for it")
    values = np.asarray(q, dtype=np.float64)
    if np.any(values < 0) or np.any(values > _LARGEST_Q):
        raise InputError(f"q goes from {values.min():.3g} to {values.max():.3g} 1/Å; the tables hold for 0 to 25.1 1/Å")
    constant = getattr(table, "c", 0.0)
    power = -np.multiply.outer((values / (4 * np.pi)) ** 2, np.array(table.b))
    return np.asarray(np.exp(power) @ np.array(table.a) + constant)


def two_theta(q: ArrayLike, wavelength: float) -> NDArray[np.float64]:
    """Scattering angles 2θ (n_q,) in degrees of q (1/Å) at a wavelength in Å; NaN beyond backscattering."""
    if not wavelength > 0:
        raise InputError(f"wavelength is {wavelength} Å; it must be more than 0")
    sine = np.asarray(q, dtype=np.float64) * wavelength / (4 * np.pi)
    angle: NDArray[np.float64] = np.degrees(2 * np.arcsin(np.where(sine <= 1, sine, np.nan)))
    return angle


@dataclass(frozen=True)
class Species:
    """Atoms alike in form factor: index (m,), f (k,) and the damping exp(−B (q/4π)²) (k,)."""

    index: NDArray[np.int64]
    f: NDArray[np.float64]
    damping: NDArray[np.float64]


def species_of(
    symbols: NDArray[np.str_], bfactor: NDArray[np.float64], q: NDArray[np.float64], radiation: str
) -> list[Species]:
    """Group atoms (n,) by symbol and B (Å²)."""
    out = []
    for symbol in sorted(set(symbols.tolist())):
        f = form_factor(symbol, q, radiation)
        for b in np.unique(bfactor[symbols == symbol]):
            index = np.flatnonzero((symbols == symbol) & (bfactor == b))
            out.append(Species(index, f, np.exp(-b * (q / (4 * np.pi)) ** 2)))
    return out


def pair_blocks(species: list[Species]) -> Iterator[tuple[Species, Species, NDArray[np.float64], bool]]:
    """Every pair of species once, the product of their form factors and damping (k,), and whether they are the same."""
    for p, first in enumerate(species):
        for second in species[p:]:
            yield first, second, first.f * second.f * first.damping * second.damping, first is second


def powder_pattern(
    positions: ArrayLike,
    symbols: ArrayLike,
    q: ArrayLike | None = None,
    bfactor: ArrayLike = 0.0,
    radiation: str = "xray",
) -> PowderPattern:
    """Powder pattern of one particle by the Debye equation.

    Parameters
    ----------
    positions
        (n, 3) Å.
    symbols
        (n,) chemical symbols, or one for all.
    q
        (n_q,) 1/Å, 4π sin θ / λ, more than 0; None takes 0.8 to 12 in steps of 0.01.
    bfactor
        Å², temperature factor B = 8π² ⟨u²⟩ of all atoms or (n,) of each. That of traced atoms holds the resolution of
        the map and does not belong here.
    radiation
        "xray" or "electron".

    Returns
    -------
    PowderPattern
        I(q) and S(q) on q (n_q,), 1/Å.

    Raises
    ------
    InputError
        Shapes, symbols or values that do not fit.
    """
    x = check_positions(positions)
    names = np.broadcast_to(np.asarray(symbols, dtype=str), (len(x),)) if np.ndim(symbols) == 0 else np.asarray(symbols)
    b = np.broadcast_to(np.asarray(bfactor, dtype=np.float64), (len(x),)) if np.ndim(bfactor) == 0 else bfactor
    b = np.asarray(b, dtype=np.float64)
    for name, values in (("symbols", names), ("bfactor", b)):
        if np.shape(values) != (len(x),):
            raise InputError(f"{name} has shape {np.shape(values)}; ({len(x)},) or one value is needed")
    if not np.all(np.isfinite(b)) or np.any(b < 0):
        raise InputError(f"bfactor goes from {b.min()} to {b.max()} Å²; finite values of at least 0 are needed")
    points = np.arange(0.8, 12.0, 0.01) if q is None else np.asarray(q, dtype=np.float64)
    if points.ndim != 1 or len(points) == 0 or not np.all(points > 0):
        raise InputError(f"q has shape {points.shape}; (n_q,) values of more than 0, in 1/Å, are needed")
    species = species_of(names.astype(str), b, points, radiation)
    self_part = np.sum([len(s.index) * s.f**2 for s in species], axis=0)
    total = self_part.copy()
    for first, second, product, same in pair_blocks(species):
        counts = distance_histogram(x[first.index], x[second.index], _GRID)
        if same:
            counts[0] -= len(first.index)  # Each atom with itself stands in the first sum.
        total += (1 if same else 2) * product * _transform(counts, points)
    return PowderPattern(points, total, total / self_part, radiation)


def _transform(counts: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Σ_r counts(r) sin(qr)/(qr) (k,) of counts on the grid of distances.

    On an even grid q_k = q₀ + kδ, with r_n = ng, it is −Im Σ_n (c_n/r_n) exp(−i q_k r_n) / q_k, and with
    kn = [k² + n² − (k − n)²]/2 that is a convolution (L. I. Bluestein, IEEE Trans. Audio Electroacoust. 18, 451 (1970),
    doi:10.1109/TAU.1970.1162132).
    """
    step = np.diff(q)
    if len(q) > _CHUNK and np.ptp(step) < 1e-9 * abs(q[-1]):
        n, k = np.arange(1, len(counts)), np.arange(len(q))
        size = next_fast_len(len(n) + len(k))
        half = 0.5 * float(step.mean()) * _GRID  # of the angle δg
        over = counts[1:] / (n * _GRID) * np.exp(-1j * (float(q[0]) * _GRID * n + half * n**2.0))
        lag = np.arange(-len(n), len(k))  # k − n
        chirp = np.exp(1j * half * lag**2.0)
        both = np.fft.ifft(np.fft.fft(over, size) * np.fft.fft(chirp, size))[len(n) - 1 : len(n) - 1 + len(k)]
        return np.asarray(counts[0] - (np.exp(-1j * half * k**2.0) * both).imag / q)
    used = np.flatnonzero(counts)
    r = used * _GRID
    blocks = [np.sinc(np.multiply.outer(part / np.pi, r)) @ counts[used] for part in _parts(q)]
    return np.concatenate(blocks)


def _parts(q: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(q), _CHUNK):
        yield q[start : start + _CHUNK]
