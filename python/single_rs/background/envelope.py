"""Where in its box is a tumbling particle? Its local high-frequency variance, not its pixel values, tells.

With S(s) and N(s) the power of particle and noise in shell s, the filter of amplitude sqrt(S / (N (N + S))) makes the
squared image y² the log-likelihood ratio, per pixel, of "particle here" against "noise only" for Gaussian fields.
Squared speckle is heavy-tailed, so y² is smoothed to e and bounded as e / (e + 2 e₀), e₀ the level of the noise; the
result is correlated with its own mean radial profile (a disc with a soft edge), and the maximum is the centre.

References
----------
Matched quadratic detection of a random field: H. L. Van Trees, *Detection, Estimation and Modulation Theory III*
(Wiley, 1971), doi:10.1002/0471221090.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, optimize

from single_rs.background.spectrum import radius_map, rfft_shells

__all__ = ["bounded_energy", "detection_filter", "edge_radius", "match_template", "radial_profile", "sphere_radius"]

# Smoothing of y², px: one pixel joins the two maxima that squaring makes of each fringe at the Nyquist limit.
ENERGY_SMOOTHING_PX = 1.0
# Level, in units of the noise's own energy, at which the bounded energy reaches one half of its range.
HALF_LEVEL = 2.0


def detection_filter(
    signal: NDArray[np.floating], noise: NDArray[np.floating], size: int, weights: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Amplitude sqrt(S / (N (N + S))) on the (size, size // 2 + 1) rfft2 grid, from the powers S, N per shell."""
    floor = np.maximum(noise, 1e-6 * noise.max())
    gain = np.sqrt(np.maximum(signal, 0.0) / (floor * (floor + np.maximum(signal, 0.0))))
    return (gain[rfft_shells(size)] * weights).astype(np.float32)


def bounded_energy(images: NDArray[np.float32], gain: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """Bounded local energy, in [0, 1), of each image (n, y, x).

    Parameters
    ----------
    images
        (n, y, x) contrast.
    gain
        Amplitude on the rfft2 grid, from `detection_filter`.
    level
        Mean energy e₀ of the noise.
    """
    size = images.shape[-1]
    y = fft.irfft2(fft.rfft2(images) * gain, s=(size, size))
    np.multiply(y, y, out=y)
    energy = np.empty_like(y)
    for source, target in zip(y, energy):
        ndimage.gaussian_filter(source, ENERGY_SMOOTHING_PX, output=target, mode="wrap", truncate=2.0)
    return energy / (energy + np.float32(HALF_LEVEL * max(level, 1e-30)))


def radial_profile(image: NDArray[np.floating], centre: tuple[float, float] = (0.0, 0.0)) -> NDArray[np.float64]:
    """Mean of a (size, size) image at distance 0, 1, 2 … px (rounded) from size // 2 + centre, up to size // 2."""
    size = image.shape[0]
    ring = np.minimum(np.rint(radius_map(size, centre)).astype(np.intp), size // 2 + 1).ravel()
    count = np.bincount(ring, minlength=size // 2 + 2)
    total = np.bincount(ring, np.asarray(image, dtype=np.float64).ravel(), minlength=size // 2 + 2)
    return (total / np.maximum(count, 1))[: size // 2 + 1]


def edge_radius(profile: NDArray[np.floating], fraction: float) -> float:
    """Outermost radius, px, at which a profile above its background reaches `fraction` of its maximum."""
    above = np.flatnonzero(profile >= fraction * profile.max())
    last = int(above[-1])
    if last + 1 >= len(profile):
        return float(last)
    step = profile[last] - profile[last + 1]
    return last + float((profile[last] - fraction * profile.max()) / step) if step > 0 else float(last)


def sphere_radius(profile: NDArray[np.floating], blur: float) -> float:
    """Radius, px, of the ball whose variance profile A (1 - r²/R²)^g, blurred by `blur` px, fits best.

    A kinematic ball has lattice contrast proportional to its thickness 2 sqrt(R² - r²), hence g = 1 for the variance;
    dynamical scattering saturates the centre (g < 1), which is why g is free within [0.3, 1.6].
    """
    r = np.arange(len(profile), dtype=np.float64)
    weight = np.sqrt(r + 0.5)  # pixels per ring

    def model(p: NDArray[np.float64]) -> NDArray[np.float64]:
        base = np.maximum(1.0 - (r / p[1]) ** 2, 0.0) ** p[2]
        mirrored = np.concatenate([base[:0:-1], base])
        return p[0] * ndimage.gaussian_filter1d(mirrored, blur)[len(r) - 1 :]

    start = max(edge_radius(profile, 0.15), 2.0)
    fit = optimize.least_squares(
        lambda p: weight * (model(p) - profile),
        [float(profile[: max(int(start / 2), 1)].mean()), start, 1.0],
        bounds=([0.0, 1.0, 0.3], [np.inf, float(len(profile)), 1.6]),
    )
    return float(fit.x[1])


def match_template(
    energy: NDArray[np.float32], template: NDArray[np.float32], window: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offset (n, 2) px (x, y) of each map from the template, and the height (n,) of the correlation maximum.

    The maximum is searched within ± `window` px and placed between pixels by a paraboloid through 5 × 5 values.
    """
    size = energy.shape[-1]
    product = fft.irfft2(fft.rfft2(energy) * np.conj(fft.rfft2(template)), s=(size, size))
    window = min(window, size // 2 - 3)
    side = 2 * window + 1
    pad = window + 2
    lags = np.arange(-pad, pad + 1) % size
    area = product[:, lags[:, None], lags[None, :]]
    best = area[:, 2:-2, 2:-2].reshape(len(area), -1).argmax(axis=1)
    row, column = best // side, best % side
    b, a = np.mgrid[-2:3, -2:3]
    design = np.stack([np.ones(25), a.ravel(), b.ravel(), a.ravel() ** 2, b.ravel() ** 2, (a * b).ravel()], axis=1)
    patch = area[
        np.arange(len(area))[:, None, None],
        row[:, None, None] + np.arange(5)[:, None],
        column[:, None, None] + np.arange(5)[None, :],
    ].reshape(len(area), 25)
    c = patch.astype(np.float64) @ np.linalg.pinv(design).T
    determinant = 4 * c[:, 3] * c[:, 4] - c[:, 5] ** 2
    safe = np.where(determinant > 0, determinant, np.inf)  # a saddle keeps its pixel
    dx = np.clip((c[:, 5] * c[:, 2] - 2 * c[:, 4] * c[:, 1]) / safe, -2, 2)
    dy = np.clip((c[:, 5] * c[:, 1] - 2 * c[:, 3] * c[:, 2]) / safe, -2, 2)
    offsets = np.stack([column - window + dx, row - window + dy], axis=1)
    return offsets, patch[:, 12].astype(np.float64)
