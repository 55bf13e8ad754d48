"""Graphene windows: find each sheet's lattice in the mean power spectrum, and its waves in a box.

A sheet stays still while the particle tumbles, so in the spectrum averaged over frames its reflections are sharp and
those of the particle are smeared to rings. The reflections are g = h b₁ + k b₂ with |b₁| = |b₂| = 2 / (sqrt(3) a),
60° apart: {10} at 2.13 Å, {11} at 1.23 Å, {21} at 0.81 Å for a = 2.46 Å. The spectrum is taken with twofold padding,
which holds the whole autocorrelation A(Δ); so the power at any frequency is exactly P(k) = Σ_Δ A(Δ) exp(-2πi k·Δ).

References
----------
Removal of graphene from liquid cell movies: C. F. Reboul et al., Science Advances 7, eabe6679 (2021),
doi:10.1126/sciadv.abe6679. Lattice constant: Y. Baskin, L. Meyer, Phys. Rev. 100, 544 (1955),
doi:10.1103/PhysRev.100.544.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from single_rs.base.robust import SIGMA_PER_MAD
from single_rs.records import Graphene

__all__ = ["GRAPHENE_A", "find_sheet", "padded_power", "reflections", "spot_weights", "wave_basis"]

# Lattice constant of graphite's basal plane, Å (Baskin & Meyer 1955).
GRAPHENE_A = 2.461
# Pixel sizes are rarely known better than this; the search covers a within ± this fraction.
SCALE_RANGE = 0.03
# Step of the twist search, degrees: half a padded pixel at {21} in a box of 46 Å.
TWIST_STEP_DEG = 0.25
# A reflection counts when it stands this many standard deviations above its ring, a sheet when four of its six do.
SPOT_SIGMA = 6.0
SPOTS_NEEDED = 4
# h² + hk + k² of the families used, {10} {11} {20} {21} {30} {22}; the first two decide whether there is a sheet.
FAMILIES = (1, 3, 4, 7, 9, 12)
DECIDING = (1, 3)


def reflections(families: tuple[int, ...] = FAMILIES) -> NDArray[np.intp]:
    """Indices (m, 2) of all reflections with h² + hk + k² in `families`, one of each Friedel pair."""
    hk = np.array([(h, k) for h in range(5) for k in range(-4, 5) if h > 0 or k > 0], dtype=np.intp)
    return hk[np.isin(_family(hk), families)]


def padded_power(images: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean of |FFT(mask · image)|² / Σmask² over the images (n, y, x), padded twice: (2 y, y + 1)."""
    size = images.shape[-1]
    total = np.zeros((2 * size, size + 1))
    for start in range(0, len(images), 32):
        spectrum = fft.rfft2(images[start : start + 32] * mask, s=(2 * size, 2 * size))
        total += np.sum(spectrum.real**2 + spectrum.imag**2, axis=0, dtype=np.float64)
    return total / (len(images) * float(np.sum(mask.astype(np.float64) ** 2)))


def find_sheet(power: NDArray[np.float64], pixel_size: float) -> Graphene | None:
    """Find the strongest sheet in a padded mean power spectrum.

    Parameters
    ----------
    power
        (2 N, N + 1) from `padded_power`, of the surroundings of the particle.
    pixel_size
        Å.

    Returns
    -------
    Graphene or None
        None when fewer than four of the six {10} and {11} reflections stand out.
    """
    padded = power.shape[0]
    excess, scatter = _excess_over_ring(power)
    scales = GRAPHENE_A * np.arange(1 - SCALE_RANGE, 1 + SCALE_RANGE + 1e-9, 0.005)
    twists = np.radians(np.arange(0.0, 60.0, TWIST_STEP_DEG))
    a, twist = (grid.ravel() for grid in np.meshgrid(scales, twists))
    g = np.einsum("mi,sij->smj", reflections((1, 3, 7)), _ideal_reciprocal(a, twist)) * (padded * pixel_size)
    value = ndimage.map_coordinates(
        excess, [g[..., 1] + padded // 2, g[..., 0] + padded // 2], order=1, mode="constant"
    )
    # The logarithm keeps one very bright spot (a particle that does not tumble) from standing for a lattice.
    score = np.log1p(np.maximum(value, 0.0)).sum(axis=1)
    best = int(np.argmax(score))
    reciprocal = _ideal_reciprocal(a[best : best + 1], twist[best : best + 1])[0]
    correlation = fft.irfft2(power, s=(padded, padded))
    limit = 0.97 / (2 * pixel_size)
    for _ in range(3):
        found, where, height = _spots(reciprocal, correlation, excess, scatter, pixel_size, limit)
        if np.isin(_family(found), DECIDING).sum() < SPOTS_NEEDED:
            return None
        weight = np.sqrt(height)[:, None]
        reciprocal = np.linalg.lstsq(found * weight, where * weight, rcond=None)[0]
    return _describe(reciprocal, found, height)


def wave_basis(sheets: list[Graphene], size: int, pixel_size: float) -> NDArray[np.float32]:
    """Cosine and sine of every reflection of every sheet, (size², 2 m), sampled about the centre of the box."""
    axis = (np.arange(size) - size // 2) * pixel_size
    columns = []
    for sheet in sheets:
        for gx, gy in sheet.spots @ sheet.reciprocal:
            phase = 2 * np.pi * (gy * axis[:, None] + gx * axis[None, :])
            columns += [np.cos(phase).ravel(), np.sin(phase).ravel()]
    return np.stack(columns, axis=1).astype(np.float32) if columns else np.zeros((size * size, 0), dtype=np.float32)


def spot_weights(sheets: list[Graphene], size: int, pixel_size: float, reach: float) -> NDArray[np.float32]:
    """Weights (size, size // 2 + 1) on the rfft2 grid: 0 within `reach` coefficients of a reflection, else 1."""
    weights = np.ones((size, size // 2 + 1), dtype=np.float32)
    ky = np.fft.fftfreq(size)[:, None] * size
    kx = np.arange(size // 2 + 1)[None, :]
    for sheet in sheets:
        for g in sheet.spots @ sheet.reciprocal * (size * pixel_size):
            for sign in (1.0, -1.0):
                dy = np.abs(ky - sign * g[1])
                weights[np.hypot(kx - sign * g[0], np.minimum(dy, size - dy)) <= reach] = 0.0
    return weights


def _family(hk: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return h² + hk + k² of indices (m, 2)."""
    return hk[:, 0] ** 2 + hk[:, 0] * hk[:, 1] + hk[:, 1] ** 2


def _ideal_reciprocal(a: NDArray[np.float64], twist: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows b₁, b₂ (s, 2, 2), 1/Å, of unstrained sheets; `twist` in radians."""
    angles = np.stack([twist, twist + np.pi / 3], axis=1)
    length = 2 / (np.sqrt(3) * a)
    return np.asarray(length[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], axis=2))


def _excess_over_ring(power: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Power over the median of its ring, minus 1, as a full centred image, and its robust scatter per ring."""
    padded = power.shape[0]
    # Friedel: the left half of the full plane is the right half turned by 180°.
    full = np.empty((padded, padded))
    full[:, : padded // 2 + 1] = power
    full[:, padded // 2 + 1 :] = np.roll(power[::-1, 1 : padded // 2][:, ::-1], 1, axis=0)
    full = fft.fftshift(full)
    axis = np.arange(padded) - padded // 2
    ring = np.rint(np.hypot(axis[:, None], axis[None, :])).astype(np.intp)
    labels = np.arange(ring.max() + 1)
    median = np.maximum(ndimage.median(full, ring, labels), 1e-300)
    excess = full / median[ring] - 1.0
    scatter = SIGMA_PER_MAD * np.asarray(ndimage.median(np.abs(excess), ring, labels))
    return excess, ndimage.median_filter(scatter, 9)


def _spots(
    reciprocal: NDArray[np.float64],
    correlation: NDArray[np.float64],
    excess: NDArray[np.float64],
    scatter: NDArray[np.float64],
    pixel_size: float,
    limit: float,
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Indices, measured frequencies (m, 2) 1/Å and excess of the reflections of a trial lattice that stand out."""
    padded = correlation.shape[0]
    lag = fft.fftfreq(padded) * padded
    unit = 2.0 / (padded * pixel_size)  # one coefficient of the unpadded box, 1/Å
    step = np.arange(-4, 5) * 0.2 * unit
    indices, places, heights = [], [], []
    for h, k in reflections():
        g = h * reciprocal[0] + k * reciprocal[1]
        if np.abs(g).max() > limit:
            continue
        wave_x = np.exp(-2j * np.pi * pixel_size * np.outer(g[0] + step, lag))
        wave_y = np.exp(-2j * np.pi * pixel_size * np.outer(g[1] + step, lag))
        local = (wave_y @ correlation @ wave_x.T).real
        j, i = np.unravel_index(int(np.argmax(local[1:-1, 1:-1])), (7, 7))
        j, i = j + 1, i + 1
        dx = _parabola(local[j, i - 1], local[j, i], local[j, i + 1])
        dy = _parabola(local[j - 1, i], local[j, i], local[j + 1, i])
        place = g + 0.2 * unit * np.array([i - 4 + dx, j - 4 + dy])
        at = np.rint(place * padded * pixel_size).astype(int)
        ring = min(int(np.rint(np.hypot(*at))), len(scatter) - 1)
        height = float(excess[(at[1] + padded // 2) % padded, (at[0] + padded // 2) % padded])
        if height > SPOT_SIGMA * scatter[ring]:
            indices.append((h, k))
            places.append(place)
            heights.append(height)
    return np.array(indices, dtype=np.intp).reshape(-1, 2), np.array(places).reshape(-1, 2), np.array(heights)


def _parabola(left: float, middle: float, right: float) -> float:
    """Abscissa of the maximum through three equidistant values, within ± 1."""
    curvature = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / curvature, -1, 1)) if curvature < 0 else 0.0


def _describe(reciprocal: NDArray[np.float64], spots: NDArray[np.intp], excess: NDArray[np.float64]) -> Graphene:
    """Twist, lattice constant and strain of measured b₁, b₂ (rows)."""
    ideal = _ideal_reciprocal(np.array([GRAPHENE_A]), np.array([0.0]))[0]
    # A lattice deformed by F (columns) has reciprocal vectors F⁻ᵀ g, so the rows obey B = B₀ F⁻¹.
    deformation = np.linalg.inv(np.linalg.solve(ideal, reciprocal))
    u, _, vt = np.linalg.svd(deformation)
    rotation = u @ vt
    stretch = deformation @ rotation.T  # F = V R with V in the lab frame
    scale = float(np.sqrt(np.linalg.det(stretch)))
    strain = stretch / scale - np.eye(2)
    twist = float(np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0])) % 60.0)
    return Graphene(
        twist_deg=twist,
        a=GRAPHENE_A * scale,
        strain=(float(strain[0, 0]), float(strain[1, 1]), float(0.5 * (strain[0, 1] + strain[1, 0]))),
        reciprocal=reciprocal,
        spots=spots,
        excess=excess,
    )
