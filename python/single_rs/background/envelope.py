"""Position of a tumbling particle in its box, from its local high-frequency variance, not from its pixel values.

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

from single_rs.frames.spectrum import radius_map, rfft_shells

__all__ = [
    "bound",
    "detection_filter",
    "edge_radius",
    "local_variance",
    "match_surface",
    "measure_on_surface",
    "radial_profile",
    "sphere_radius",
]

# Smoothing of y², px: one pixel joins the two maxima that squaring makes of each fringe at the Nyquist limit.
ENERGY_SMOOTHING_PX = 1.0
# Level, in units of the noise's own variance, at which the bounded variance reaches one half of its range.
HALF_LEVEL = 2.0
# A frame's strength relative to the mean is kept in this range, for it is measured with noise.
STRENGTH = (0.25, 3.0)
# Longest Newton step, px. Far beyond the linear range on purpose: steps that noise makes long must stay independent of
# where they start from, or the path's own error would look like a signal that persists.
LARGEST_STEP = 30.0


def detection_filter(
    signal: NDArray[np.floating], noise: NDArray[np.floating], size: int, weights: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Amplitude sqrt(S / (N (N + S))) on the (size, size // 2 + 1) rfft2 grid, from the powers S, N per shell."""
    floor = np.maximum(noise, 1e-6 * noise.max())
    transfer = np.sqrt(np.maximum(signal, 0.0) / (floor * (floor + np.maximum(signal, 0.0))))
    return np.asarray((transfer[rfft_shells(size)] * weights).astype(np.float32))


def local_variance(images: NDArray[np.float32], transfer: NDArray[np.float32]) -> NDArray[np.float32]:
    """Variance e = smoothed y² of each image (n, y, x), y the image filtered by `transfer` on the rfft2 grid."""
    size = images.shape[-1]
    y = fft.irfft2(fft.rfft2(images) * transfer, s=(size, size))
    np.multiply(y, y, out=y)
    variance: NDArray[np.float32] = np.empty_like(y)
    for source, target in zip(y, variance):
        ndimage.gaussian_filter(source, ENERGY_SMOOTHING_PX, output=target, mode="wrap", truncate=2.0)
    return variance


def bound(variance: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """Bounded variance e / (e + 2 e₀), in [0, 1); `level` is the mean variance e₀ of the noise."""
    return variance / (variance + np.float32(HALF_LEVEL * max(level, 1e-30)))


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
        return np.asarray(p[0] * ndimage.gaussian_filter1d(mirrored, blur)[len(r) - 1 :])

    start = max(edge_radius(profile, 0.15), 2.0)
    fit = optimize.least_squares(
        lambda p: weight * (model(p) - profile),
        [float(profile[: max(int(start / 2), 1)].mean()), start, 1.0],
        bounds=([0.0, 1.0, 0.3], [np.inf, float(len(profile)), 1.6]),
    )
    return float(fit.x[1])


def match_surface(variance: NDArray[np.float32], template: NDArray[np.float32], window: int) -> NDArray[np.float32]:
    """Correlation of each map (n, y, x) with the template at shifts up to ± `window` px: (n, 2 window + 1, same)."""
    size = variance.shape[-1]
    product = fft.irfft2(fft.rfft2(variance) * np.conj(fft.rfft2(template)), s=(size, size))
    window = min(window, size // 2 - 1)
    lags = np.arange(-window, window + 1) % size
    return np.asarray(product[:, lags[:, None], lags[None, :]])


def measure_on_surface(
    surfaces: NDArray[np.float32], about: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """One Newton step towards the maximum of each correlation surface, with the mean curvature of all.

    A single frame at low dose has a ragged surface whose maximum may lie anywhere; its slope at the expected place is
    still an unbiased measurement with Gaussian noise. With height h = a H and curvature a K, a the strength of this
    frame's lattice, the step is slope / (a K) and its variance goes as 1 / a².

    Parameters
    ----------
    surfaces
        (n, 2 w + 1, 2 w + 1) from `match_surface`.
    about
        (n, 2) shifts (x, y) to linearise about, px.

    Returns
    -------
    position, relative variance, height
        (n, 2) px; (n,) in units of that of a frame of mean height; (n,).
    """
    side = surfaces.shape[-1]
    window = side // 2
    b, a = np.mgrid[-2:3, -2:3]
    design = np.stack([np.ones(25), a.ravel(), b.ravel(), a.ravel() ** 2, b.ravel() ** 2, (a * b).ravel()], axis=1)
    about = np.clip(about, 2 - window, window - 2)
    node = np.rint(about).astype(np.intp)
    x, y = node[:, 0, None, None] + window, node[:, 1, None, None] + window
    step = np.arange(-2, 3)
    patch = surfaces[np.arange(len(surfaces))[:, None, None], y + step[:, None], x + step[None, :]].reshape(-1, 25)
    c = patch.astype(np.float64) @ np.linalg.pinv(design).T
    dx, dy = (about - node).T
    height = c[:, 0] + c[:, 1] * dx + c[:, 2] * dy + c[:, 3] * dx**2 + c[:, 4] * dy**2 + c[:, 5] * dx * dy
    slope = np.stack([c[:, 1] + 2 * c[:, 3] * dx + c[:, 5] * dy, c[:, 2] + 2 * c[:, 4] * dy + c[:, 5] * dx], axis=1)
    curvature = max(-float(np.mean(c[:, 3] + c[:, 4])), 1e-30)
    strength = np.clip(height / max(float(height.mean()), 1e-30), *STRENGTH)
    newton = np.clip(slope / (curvature * strength)[:, None], -LARGEST_STEP, LARGEST_STEP)
    return about + newton, strength**-2.0, height
