"""Standard error of each position: from the noise of the map, and from the half maps where there are any.

A least-squares Gaussian of height h and width w in noise n is off by

    δx = Σ n ∂g/∂x / (h Σ (∂g/∂x)²),    g = exp(−r²/2w²),   Σ (∂g/∂x)² = π^{3/2} w / 2   (in voxels)

whatever the spectrum of the noise, so its spread is the local spread of the residual map filtered with ∂g/∂x: this is
the Fisher information of the fit for the noise as it is. Half maps measure errors themselves, and so correct this
estimate:

    σ² = σ_full² · ⟨|x₁ − x₂|²⟩ / (σ₁² + σ₂²)

with all three σ on the right from the residuals. In pure noise this is the familiar |x₁ − x₂| / 2; where the halves
also suffer from gaps in their views that the full map does not have, it blames the full map less for them. Three
numbers per atom are few, so they correct the estimate as a whole, by core and surface, and an atom's own only in part.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from single_rs.atoms.gaussian import Fit

__all__ = ["noise_sigma", "pool_with_halves"]

# Weight of the pooled estimate in degrees of freedom, against 3 (x, y, z) of the atom itself.
POOL_DEGREES = 12.0
# Median of chi-squared with three degrees of freedom over its mean.
CHI3_MEDIAN = 0.78865


def noise_sigma(residual: np.ndarray, mask: np.ndarray, fit: Fit, width: float, distance: float) -> np.ndarray:
    """Standard error per axis from the residual map, voxels, shape (n,).

    Parameters
    ----------
    residual
        (z, y, x) map minus the images of all atoms.
    mask
        (z, y, x) bool support of the particle.
    fit
        The fitted atoms.
    width
        w of an atom, voxels.
    distance
        Nearest-neighbour distance in voxels; the noise is averaged over about one.
    """
    residual = residual.astype(np.float32)
    square = np.zeros_like(residual)
    for axis in range(3):
        order = [int(a == axis) for a in range(3)]
        # gaussian_filter's kernel is g / (2π)^{3/2} w³, hence 2^{5/2} w² for the equation above.
        square += (2.0**2.5 * width**2 * ndimage.gaussian_filter(residual, width, order=order)) ** 2 / 3.0
    # The fit has set the filtered residual to zero at the atoms themselves: the noise shows between them.
    free = mask.copy()
    index = np.rint(fit.positions).astype(np.intp)
    free[tuple(index.T)] = False
    free = ndimage.binary_erosion(free, iterations=1, border_value=1) & mask
    # The average over a bond length needs every second voxel only.
    blur = 0.4 * distance
    weight = ndimage.gaussian_filter(free[::2, ::2, ::2].astype(np.float32), blur)
    local = ndimage.gaussian_filter(np.where(free, square, 0.0)[::2, ::2, ::2].astype(np.float32), blur)
    local /= np.maximum(weight, 1e-6)
    variance = ndimage.map_coordinates(local, 0.5 * fit.positions.T, order=1, mode="nearest").astype(np.float64)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)) / np.maximum(fit.height, 1e-30))


def pool_with_halves(
    sigma: np.ndarray, difference: np.ndarray, variance: np.ndarray, surface: np.ndarray
) -> np.ndarray:
    """Correct the noise estimate by the difference of the half maps.

    Parameters
    ----------
    sigma
        (n,) from `noise_sigma` of the full map.
    difference
        (n, 3) position in one half minus position in the other, same unit.
    variance
        (n,) variance of that difference per axis as expected from `noise_sigma` of the halves.
    surface
        (n,) bool, the atoms pooled apart from the rest.

    Returns
    -------
    (n,) standard error per axis of the positions in the full map.
    """
    own = (difference**2).mean(1) / np.maximum(variance, 1e-30)
    pooled = np.empty_like(sigma)
    for group in (surface, ~surface):
        if group.any():
            pooled[group] = np.median(own[group]) / CHI3_MEDIAN
    return np.asarray(sigma * np.sqrt((POOL_DEGREES * pooled + 3.0 * own) / (POOL_DEGREES + 3.0)))
