"""Electron scattering of atoms: from positions to the projected potential in Fourier space.

For atoms at (x_a, y_a), in Å from the box centre, the projected potential has the transform

    V(kx, ky) = C · Σ_elements f(k) exp(-B k²/4) Σ_a exp(-2πi (kx x_a + ky y_a))     [V Å³],

with k in cycles/Å, f the electron scattering factor in Å (five Gaussians in s = k/2) and
C = h²/(2π m₀ e). The sum over atoms is separable: with c, s = cos, sin of 2π k x_a, one real matrix
product [c_y; s_y]·[c_x, s_x]ᵀ gives cc, cs, sc and ss, from which both signs of ky follow. That is
exact at every k, without interpolation and without a grid of voxels.

References: International Tables for Crystallography C, table 4.3.2.2 (coefficients shipped by gemmi);
Kirkland, Advanced Computing in Electron Microscopy (2020), doi:10.1007/978-3-030-33260-0.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import InputError

__all__ = ["electron_wavelength", "interaction_constant", "scattering_factor", "structure_factor"]

PLANCK = 6.62607015e-34  # J s, exact (SI)
ELEMENTARY_CHARGE = 1.602176634e-19  # C, exact (SI)
ELECTRON_MASS = 9.1093837015e-31  # kg, CODATA 2018
LIGHT_SPEED = 299792458.0  # m/s, exact (SI)
ANGSTROM = 1e-10  # m

# h²/(2π m₀ e): turns f in Å into the transform of the potential in V Å³; 47.878 V Å².
POTENTIAL_PER_FACTOR = PLANCK**2 / (2 * np.pi * ELECTRON_MASS * ELEMENTARY_CHARGE) / ANGSTROM**2


def electron_wavelength(voltage: float) -> float:
    """Return the relativistic electron wavelength in Å for a voltage in kV (300 kV: 0.019687 Å)."""
    energy = voltage * 1e3 * ELEMENTARY_CHARGE
    momentum = np.sqrt(2 * ELECTRON_MASS * energy * (1 + energy / (2 * ELECTRON_MASS * LIGHT_SPEED**2)))
    return float(PLANCK / momentum / ANGSTROM)


def interaction_constant(voltage: float) -> float:
    """Return σ = 2π γ m₀ e λ / h² in rad/(V Å) for a voltage in kV (300 kV: 6.526e-4)."""
    gamma = 1 + voltage * 1e3 * ELEMENTARY_CHARGE / (ELECTRON_MASS * LIGHT_SPEED**2)
    wavelength = electron_wavelength(voltage) * ANGSTROM
    sigma = 2 * np.pi * gamma * ELECTRON_MASS * ELEMENTARY_CHARGE * wavelength / PLANCK**2
    return float(sigma * ANGSTROM)


@lru_cache(maxsize=128)
def _gaussians(symbol: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return amplitudes (5,) in Å and exponents (5,) in Å² in s² of an element."""
    import gemmi

    element = gemmi.Element(symbol)
    coefficients = element.c4322.get_coefs() if element.atomic_number else []
    if not any(coefficients):
        raise InputError(f"element is {symbol!r}; a symbol from H to Cf such as 'Pt' is needed")
    return np.array(coefficients[:5]), np.array(coefficients[5:])


def scattering_factor(symbol: str, k: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the electron scattering factor of an element, in Å, at rest mass.

    Parameters
    ----------
    symbol
        Element, e.g. ``"Pt"``.
    k
        Spatial frequency in cycles/Å (that is 2 sin θ / λ), any shape; valid to 4 cycles/Å.
    """
    amplitudes, exponents = _gaussians(symbol)
    s2 = (np.asarray(k, dtype=np.float64) / 2) ** 2
    total: NDArray[np.float64] = np.sum(amplitudes * np.exp(-exponents * s2[..., None]), axis=-1)
    return total


def structure_factor(
    x: NDArray[np.floating], y: NDArray[np.floating], size: int, pixel_size: float
) -> NDArray[np.complex64]:
    """Return Σ_a exp(-2πi (kx x_a + ky y_a)) on the rfft2 grid of a square image.

    The phase origin is the coordinate origin, not pixel (0, 0): see `centre_phase` in `optics`.

    Parameters
    ----------
    x, y
        Coordinates (n,) in Å.
    size
        Side of the image, even, in px.
    pixel_size
        Å per px.

    Returns
    -------
    Array (size, size // 2 + 1), complex64, in the order of `numpy.fft.rfft2`.
    """
    half = size // 2
    k = (2 * np.pi / (size * pixel_size)) * np.arange(half + 1)
    # The phases are formed in float64 and wrapped by the cosine in float32: |phase| < 10^3 rad keeps 1e-4.
    phase_x = np.multiply.outer(np.asarray(x, dtype=np.float64), k).astype(np.float32)
    phase_y = np.multiply.outer(k, np.asarray(y, dtype=np.float64)).astype(np.float32)
    left = np.concatenate([np.cos(phase_y), np.sin(phase_y)]).astype(np.float64)
    right = np.concatenate([np.cos(phase_x), np.sin(phase_x)], axis=1).astype(np.float64)
    # In float64, since BLAS sums in an order that depends on its threads: rounded to float32 the sums agree.
    product = (left @ right).astype(np.float32)
    top, bottom = product[: half + 1], product[half + 1 :]
    cc, cs = top[:, : half + 1], top[:, half + 1 :]
    sc, ss = bottom[:, : half + 1], bottom[:, half + 1 :]
    out = np.empty((size, half + 1), dtype=np.complex64)
    np.subtract(cc, ss, out=out.real[: half + 1])
    np.add(cs, sc, out=out.imag[: half + 1])
    # Rows half+1 … size-1 hold ky = -(half-1) … -1: the sine in y changes sign.
    np.add(cc[half - 1 : 0 : -1], ss[half - 1 : 0 : -1], out=out.real[half + 1 :])
    np.subtract(cs[half - 1 : 0 : -1], sc[half - 1 : 0 : -1], out=out.imag[half + 1 :])
    np.negative(out.imag, out=out.imag)
    return out
