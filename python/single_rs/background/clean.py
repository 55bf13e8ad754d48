"""From raw single frames of a particle to contrast without graphene and liquid, with the noise it still holds.

A frame is modelled as counts = dose · (1 + particle + Σ_g waves of the graphene sheets + slow liquid + noise). Waves
and slow terms are fitted by least squares to the pixels *outside* the particle and subtracted everywhere: so what the
particle itself scatters into those frequencies is kept. Coefficients at the reflections still get weight 0, because
the fit's own error is concentrated there. Noise is the power outside, |FFT(m · image)|² / Σm², of what is left.

Reference: C. F. Reboul et al., Science Advances 7, eabe6679 (2021), doi:10.1126/sciadv.abe6679.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from single_rs.background.envelope import (
    bounded_energy,
    detection_filter,
    edge_radius,
    match_template,
    radial_profile,
    sphere_radius,
)
from single_rs.background.graphene import Graphene, find_sheet, padded_power, spot_weights, wave_basis
from single_rs.background.spectrum import annulus, disc, radius_map, rfft_shells, shell_mean
from single_rs.errors import InputError, NoParticleError
from single_rs.io import ParticleStack
from single_rs.settings import Settings, setting

__all__ = ["BackgroundConfig", "CleanStack", "clean_stack"]

Progress = Callable[[str, int, int], None]

# Frames per block: 64 frames of 128 px are 4 MB in float32, which stays in the cache of a core.
BLOCK = 64
# Frames, evenly spaced, from which outline and graphene are found; more do not change either.
SAMPLE = 384
# Soft edge of the masks and distance kept between particle and surroundings, Å: a frame's own offset and blur.
MARGIN_A = 3.0
# Below this frequency, 1/Å, liquid dominates and the particle's lattice has nothing (its first reflection is 0.44).
LOWEST_SIGNAL = 0.18
# Blur, Å, of the mean energy map: smoothing of y² and the spread of the frames' offsets.
PROFILE_BLUR_A = 0.7


@dataclass(frozen=True)
class BackgroundConfig(Settings):
    """Settings of `clean_stack`."""

    graphene: bool = setting(True, "look for graphene sheets and remove them")
    max_sheets: int = setting(4, "graphene sheets to look for at most", ge=0, le=8)
    spot_reach: float = setting(1.5, "coefficients around a reflection that get weight 0", "px", ge=0.0, le=4.0)
    order: int = setting(2, "order of the polynomial that models slow liquid background", ge=0, le=4)
    max_offset: float = setting(3.6, "largest offset of the particle from the box centre", "Å", gt=0.0)
    min_significance: float = setting(
        8.0, "particle power over noise below which there is no particle", "sigma", gt=0.0
    )
    bad_sigma: float = setting(8.0, "frames whose dose or noise is this far from the median are bad", "sigma", gt=0.0)


@dataclass(frozen=True)
class CleanStack:
    """Single frames ready for the solver.

    Attributes
    ----------
    images
        (n, y, x) float32 contrast, counts / dose - 1; surroundings have mean 0.
    pixel_size
        Å.
    frames
        (n,) 0-based frame of the movie.
    diameter
        Å, of the ball with the same variance profile (not the widest corner to corner distance).
    noise
        (n_shell,) float32 power |FFT|² / N² of the noise in shell round(|k|), to the corner of the grid; white noise of
        variance v has v in every shell.
    frame_noise
        (n,) float32 factor on `noise`, mean 1 over good frames.
    weights
        (y, x // 2 + 1) float32 in [0, 1] on the rfft2 grid; 0 where graphene was.
    graphene
        The sheets found.
    offsets
        (n, 2) Å (x, y), particle's centre from the box centre.
    bad
        (n,) bool.
    signal
        (n_shell,) float32 power of the particle, per pixel of its area.
    """

    images: NDArray[np.float32]
    pixel_size: float
    frames: NDArray[np.int64]
    diameter: float
    noise: NDArray[np.float32]
    frame_noise: NDArray[np.float32]
    weights: NDArray[np.float32]
    graphene: list[Graphene]
    offsets: NDArray[np.float64]
    bad: NDArray[np.bool_]
    signal: NDArray[np.float32]


@dataclass(frozen=True)
class _Outline:
    """Where the particle is on average: radius of its edge in px and mean centre (x, y) px from the box centre."""

    radius: float
    centre: tuple[float, float]


def clean_stack(
    stack: ParticleStack, config: BackgroundConfig | None = None, progress: Progress | None = None
) -> CleanStack:
    """Remove graphene and slow background, measure noise, diameter and the particle's offset in every frame.

    Parameters
    ----------
    stack
        Raw counts (n, y, x), even box, at least 1.4 times the particle's diameter. Images whose mean is near zero are
        taken to be contrast already.
    config
        See `BackgroundConfig`.
    progress
        Called as progress("background", done, total).

    Returns
    -------
    CleanStack

    Raises
    ------
    InputError
        Too few or too small images, or values that are not finite in all of them.
    NoParticleError
        When the middle of the box holds no more power than its surroundings.
    """
    config = config or BackgroundConfig()
    count, size = len(stack.images), int(stack.images.shape[-1])
    if count < 8 or size < 32 or size % 2:
        raise InputError(
            f"stack of {count} images of {size} px; at least 8 images with an even box of 32 px are needed"
        )
    if stack.images.shape[1] != size:
        raise InputError(f"stack of shape {stack.images.shape}; images must be square")
    tell = progress or (lambda stage, done, total: None)
    steps = 2 * count
    sample = np.unique(np.linspace(0, count - 1, min(count, SAMPLE)).astype(np.intp))
    first = _contrast(np.asarray(stack.images[sample], dtype=np.float32), annulus(radius_map(size), 0.42 * size, 2.0))[
        0
    ]
    outline = _find_outline(first, stack.diameter, stack.pixel_size)
    soft = MARGIN_A / stack.pixel_size
    outside = annulus(radius_map(size, outline.centre), outline.radius + soft, soft)
    sheets = _find_sheets(first, outside, stack.pixel_size, config)
    weights = spot_weights(sheets, size, stack.pixel_size, config.spot_reach)
    basis = _slow_basis(size, config.order, wave_basis(sheets, size, stack.pixel_size))

    images = np.empty((count, size, size), dtype=np.float32)
    dose, spread = np.empty(count), np.empty(count)
    shells = rfft_shells(size)
    inside = disc(radius_map(size, outline.centre), 0.8 * outline.radius, 0.2 * outline.radius)
    power_out, power_in = np.zeros(shells.shape), np.zeros(shells.shape)
    band = shells >= LOWEST_SIGNAL * size * stack.pixel_size
    for start in range(0, count, BLOCK):
        block = np.asarray(stack.images[start : start + BLOCK], dtype=np.float32)
        stop = start + len(block)
        images[start:stop], dose[start:stop] = _contrast(block, outside)
        _subtract(images[start:stop], basis, outside)
        spectrum = np.abs(fft.rfft2(images[start:stop] * outside)) ** 2
        spread[start:stop] = (spectrum * band).sum(axis=(1, 2))
        tell("background", stop, steps)
    bad = _bad_frames(dose, spread, config.bad_sigma)
    good = np.flatnonzero(~bad)
    for start in range(0, len(good), BLOCK):
        chosen = images[good[start : start + BLOCK]]
        power_out += np.sum(np.abs(fft.rfft2(chosen * outside)) ** 2, axis=0, dtype=np.float64)
        power_in += np.sum(np.abs(fft.rfft2(chosen * inside)) ** 2, axis=0, dtype=np.float64)
    noise = shell_mean(power_out, shells, weights) / (len(good) * float((outside.astype(np.float64) ** 2).sum()))
    within = shell_mean(power_in, shells, weights) / (len(good) * float((inside.astype(np.float64) ** 2).sum()))
    # The polynomial took the power of the lowest shells away; the solver must not take that for knowledge.
    noise[:2] = noise[2]
    signal = _significant_signal(noise, within, shells, inside, outside, len(good), stack.pixel_size, config)
    gain = detection_filter(signal, noise, size, weights)
    offsets, diameter = _measure(
        images, good, gain, outline, stack.pixel_size, config, lambda d: tell("background", count + d, steps)
    )
    frame_noise = np.ones(count)
    frame_noise[good] = spread[good] / spread[good].mean()
    return CleanStack(
        images=images,
        pixel_size=stack.pixel_size,
        frames=np.asarray(stack.frames, dtype=np.int64),
        diameter=float(stack.diameter or diameter),
        noise=noise.astype(np.float32),
        frame_noise=frame_noise.astype(np.float32),
        weights=weights,
        graphene=sheets,
        offsets=offsets,
        bad=bad,
        signal=signal.astype(np.float32),
    )


def _contrast(
    block: NDArray[np.float32], outside: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Counts / dose - 1 and the dose (n,) of each frame, the mean outside the particle clipped at 4 sigma."""
    pixels = block[:, outside > 0.5]
    mean = pixels.mean(axis=1, dtype=np.float64)
    sigma = pixels.std(axis=1, dtype=np.float64)
    clipped = np.clip(pixels, (mean - 4 * sigma)[:, None], (mean + 4 * sigma)[:, None])
    dose = clipped.mean(axis=1, dtype=np.float64)
    if abs(np.median(dose)) < 0.05 * np.median(sigma):  # contrast already
        return block - dose[:, None, None].astype(np.float32), dose
    scale = np.where(dose > 0, dose, np.inf)[:, None, None].astype(np.float32)
    return block / scale - 1, dose


def _slow_basis(size: int, order: int, waves: NDArray[np.float32]) -> NDArray[np.float32]:
    """Columns (size², m): all x^i y^j with i + j <= order on [-1, 1], then the waves."""
    axis = (np.arange(size) - size // 2) / (size / 2)
    columns = [np.outer(axis**j, axis**i).ravel() for i in range(order + 1) for j in range(order + 1 - i)]
    return np.concatenate([np.stack(columns, axis=1).astype(np.float32), waves], axis=1)


def _subtract(images: NDArray[np.float32], basis: NDArray[np.float32], outside: NDArray[np.float32]) -> None:
    """Fit `basis` to each image outside the particle and subtract it everywhere, in place."""
    weighted = basis * outside.reshape(-1, 1)
    normal = basis.T.astype(np.float64) @ weighted.astype(np.float64)
    projector = np.linalg.solve(normal, weighted.T.astype(np.float64)).astype(np.float32)
    flat = images.reshape(len(images), -1)
    flat -= (flat @ projector.T) @ basis.T


def _find_outline(sample: NDArray[np.float32], diameter: float | None, pixel_size: float) -> _Outline:
    """Edge and mean centre of the particle from the variance of the high-passed frames."""
    size = sample.shape[-1]
    smooth = 2.0 / pixel_size  # a Gaussian of 2 Å leaves what is finer than about 6 Å
    variance = np.zeros((size, size))
    for image in sample:
        variance += np.minimum((image - ndimage.gaussian_filter(image, smooth, truncate=3.0)) ** 2, 25 * image.var())
    smoothed = ndimage.gaussian_filter(variance / len(sample), 1.5)
    distance = radius_map(size)
    rim = (distance > 0.42 * size) & (distance < 0.49 * size)
    level, scatter = float(np.median(smoothed[rim])), float(smoothed[rim].std())
    excess = np.clip(smoothed - level - 3 * scatter, 0.0, None) * (distance < 0.45 * size)
    if excess.sum() <= 0:
        return _Outline(radius=0.25 * size if diameter is None else 0.55 * diameter / pixel_size, centre=(0.0, 0.0))
    axis = np.arange(size) - size // 2
    centre = (
        float((excess.sum(axis=0) * axis).sum() / excess.sum()),
        float((excess.sum(axis=1) * axis).sum() / excess.sum()),
    )
    radius = edge_radius(radial_profile(smoothed - level, centre), 0.03)
    if diameter is not None:
        radius = 0.55 * diameter / pixel_size
    return _Outline(radius=float(np.clip(radius, 4.0, 0.42 * size)), centre=centre)


def _find_sheets(
    sample: NDArray[np.float32], outside: NDArray[np.float32], pixel_size: float, config: BackgroundConfig
) -> list[Graphene]:
    """Find sheet after sheet, each in the spectrum from which the earlier ones are subtracted."""
    sheets: list[Graphene] = []
    size = sample.shape[-1]
    for _ in range(config.max_sheets if config.graphene else 0):
        rest = sample.copy()
        _subtract(rest, _slow_basis(size, config.order, wave_basis(sheets, size, pixel_size)), outside)
        sheet = find_sheet(padded_power(rest, outside), pixel_size)
        if sheet is None:
            break
        sheets.append(sheet)
    return sheets


def _bad_frames(dose: NDArray[np.float64], spread: NDArray[np.float64], sigma: float) -> NDArray[np.bool_]:
    """Frames whose dose or noise power is no number or lies `sigma` robust deviations (and 10%) off the median."""
    bad = np.zeros(len(dose), dtype=bool)
    for value in (dose, spread):
        middle = np.nanmedian(value)
        deviation = np.abs(value - middle)
        scatter = 1.4826 * np.nanmedian(deviation)
        bad |= ~np.isfinite(value) | (deviation > np.maximum(sigma * scatter, 0.1 * abs(middle)))
    if bad.all():
        raise InputError("no image of the stack has finite values and a usual dose; check the file")
    return bad


def _significant_signal(
    noise: NDArray[np.float64],
    within: NDArray[np.float64],
    shells: NDArray[np.intp],
    inside: NDArray[np.float32],
    outside: NDArray[np.float32],
    frames: int,
    pixel_size: float,
    config: BackgroundConfig,
) -> NDArray[np.float64]:
    """Power of the particle per shell, within - noise where significant; `NoParticleError` when nowhere."""
    size = shells.shape[0]
    number = np.bincount(shells.ravel()) * frames  # independent coefficients of a full box, all frames
    share = [float((m.astype(np.float64) ** 2).sum()) / size**2 for m in (inside, outside)]
    error = noise * np.sqrt(1 / (number * share[0]) + 1 / (number * share[1]))
    band = np.arange(len(noise)) >= LOWEST_SIGNAL * size * pixel_size
    band &= np.arange(len(noise)) <= size // 2
    ratio = np.where(band, (within - noise) / error, 0.0)
    total = float(ratio.sum() / np.sqrt(band.sum()))
    strongest = float(np.max(np.where(band, within / noise - 1, 0.0)))
    if total < config.min_significance or strongest < 0.01:
        raise NoParticleError(
            f"no particle in the middle of the box: its power stands {total:.1f} sigma over the surroundings, "
            f"{config.min_significance:g} are needed; check box and track, or lower background.min_significance"
        )
    return np.where(ratio > 3.0, within - noise, 0.0)


def _measure(
    images: NDArray[np.float32],
    good: NDArray[np.intp],
    gain: NDArray[np.float32],
    outline: _Outline,
    pixel_size: float,
    config: BackgroundConfig,
    tell: Callable[[int], None],
) -> tuple[NDArray[np.float64], float]:
    """Offset (n, 2) Å of every frame by template matching, and the diameter, Å."""
    count, size = len(images), images.shape[-1]
    sample = images[good[np.unique(np.linspace(0, len(good) - 1, min(len(good), SAMPLE)).astype(np.intp))]]
    rim = radius_map(size, outline.centre) > outline.radius + MARGIN_A / pixel_size
    raw = fft.irfft2(fft.rfft2(sample) * gain, s=(size, size)) ** 2
    level = float(raw[:, rim].mean())
    profile = radial_profile(raw.mean(axis=0) - level, outline.centre)
    diameter = 2 * pixel_size * sphere_radius(profile[: int(outline.radius * 1.25) + 4], PROFILE_BLUR_A / pixel_size)
    mean = bounded_energy(sample, gain, level)[0].mean(axis=0)
    distance = radius_map(size)
    bounded = radial_profile(mean - mean[rim].mean(), outline.centre)
    bounded[int(outline.radius + MARGIN_A / pixel_size) + 1 :] = 0.0
    template = np.interp(distance, np.arange(len(bounded)), bounded, right=0.0).astype(np.float32)
    offsets = np.zeros((count, 2))
    window = max(int(np.ceil(config.max_offset / pixel_size)), 3)
    for start in range(0, count, BLOCK):
        energy = bounded_energy(images[start : start + BLOCK], gain, level)[0]
        offsets[start : start + BLOCK] = match_template(energy, template, window)[0] * pixel_size
        tell(min(start + BLOCK, count))
    return offsets, diameter
