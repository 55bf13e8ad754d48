"""From raw single frames of a particle to contrast without graphene and liquid, with the noise it still holds.

A frame is modelled as counts = dose · (1 + particle + Σ_g waves of the graphene sheets + slow liquid + noise). Waves
and slow terms are fitted by least squares to the pixels *outside* the particle and subtracted everywhere: so what the
particle itself scatters into those frequencies is kept. Coefficients at the reflections still get weight 0, because
the fit's own error is concentrated there. Noise is the power outside, |FFT(m · image)|² / Σm², of what is left. Where
atoms are dark (`polarity`), contrast is turned round, so that they are bright in all that follows.

Reference: C. F. Reboul et al., Science Advances 7, eabe6679 (2021), doi:10.1126/sciadv.abe6679.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter1d

from single_rs.background.envelope import detection_filter
from single_rs.background.graphene import spot_weights, wave_basis
from single_rs.background.nuisance import contrast, find_sheets, kept_fraction, sign_of_counts, slow_basis, subtract
from single_rs.background.offsets import smooth_offsets, survey_variance
from single_rs.background.outline import blocks, find_outline
from single_rs.background.polarity import find_contrast
from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import InputError, NoParticleError
from single_rs.base.progress import Progress, in_notebooks, silent
from single_rs.base.robust import SIGMA_PER_MAD
from single_rs.base.sampling import evenly
from single_rs.base.settings import Settings, setting
from single_rs.base.threads import in_threads
from single_rs.frames.spectrum import annulus, disc, radius_map, rfft_shells, shell_mean
from single_rs.records import CleanStack, Contrast, ParticleStack
from single_rs.records.invariants import need_record

__all__ = ["BackgroundConfig", "clean_stack"]

# Frames, evenly spaced, from which outline and graphene are found; more do not change either.
SAMPLE = 768
# Frames whose mean differs by this fraction of the usual dose are not taken into that sample.
SAMPLE_TOLERANCE = 0.25
# Below this frequency, 1/Å, liquid dominates and the particle's lattice has nothing (its first reflection is 0.44).
LOWEST_SIGNAL = 0.18
# Shells (standard deviation) over which the signal's spectrum is smeared for the centring filter.
RING_WIDTH = 2.0
# Shells of which the polynomial leaves less than this fraction are given the noise of the first that keeps more.
LEAST_KEPT = 0.5
# Least power, over that of the noise, of the strongest shell: platinum of 2.5 nm at 0.25 e/px has 0.2.
LEAST_RATIO = 0.03
# Noise power, over the largest of all images, below which an image is blank: rounding leaves 1e-12.
BLANK = 1e-9
# Images from which noise and outline can be measured.
LEAST_FRAMES = 8
# Smallest thing, Å, that has a lattice: two unit cells.
MIN_DIAMETER = 6.0


@dataclass(frozen=True)
class BackgroundConfig(Settings):
    """Settings of `clean_stack`."""

    max_sheets: int = setting(4, "graphene sheets to look for at most; 0 leaves graphene alone", ge=0, le=8)
    spot_reach: float = setting(1.5, "coefficients around a reflection that get weight 0", "px", ge=0.0, le=4.0)
    order: int = setting(2, "order of the polynomial that models slow liquid background", ge=0, le=4)
    max_offset: float = setting(3.6, "largest offset of the particle from the box centre", "Å", gt=0.0)
    contrast: str = setting(
        "find",
        "whether atoms are bright (negative C3, overfocus) or dark (positive C3, underfocus; inverted counts); find: "
        "as the frames show it",
        choices=("find", "bright", "dark"),
    )
    min_significance: float = setting(
        8.0, "particle power over noise below which there is no particle", "sigma", gt=0.0
    )
    bad_sigma: float = setting(8.0, "frames whose dose or noise is this far from the median are bad", "sigma", gt=0.0)


@in_notebooks
@single_blas_thread()
def clean_stack(
    stack: ParticleStack, config: BackgroundConfig | None = None, progress: Progress | None = None
) -> CleanStack:
    """Remove graphene and slow background, measure noise, diameter and the particle's offset in every frame.

    Parameters
    ----------
    stack
        Raw counts (n, y, x), even box, at least 1.4 times the particle's diameter. Images whose mean is near zero
        (contrast, normalised frames, counts with an offset) are taken to be contrast already, up to a factor.
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
        Too few or too small images, or fewer than 8 that are neither blank nor without finite values.
    NoParticleError
        When the middle of the box holds no more power than its surroundings.
    """
    need_record(stack, ParticleStack, "make one with ParticleStack(images, pixel_size, frames), or by read_stack")
    config = config or BackgroundConfig()
    count, size = len(stack.images), int(stack.images.shape[-1])
    if count < LEAST_FRAMES or size < 32 or size % 2:
        raise InputError(
            f"stack of {count} images of {size} px; at least {LEAST_FRAMES} images with an even box of 32 px are needed"
        )
    steps = 2 * count
    tell = progress or silent
    pixel = float(stack.pixel_size)
    sample, sign = _sample(stack.images)
    outline = find_outline(sample, stack.diameter, pixel)
    sheets = find_sheets(sample, outline.outside, pixel, config.max_sheets, config.order)
    weights = spot_weights(sheets, size, pixel, config.spot_reach)
    basis = slow_basis(size, config.order, wave_basis(sheets, size, pixel))

    images = np.empty((count, size, size), dtype=np.float32)
    dose, spread = np.empty(count), np.empty(count)
    shells = rfft_shells(size)
    band = shells >= LOWEST_SIGNAL * size * pixel

    def prepare(part: slice) -> int:
        images[part], dose[part] = contrast(np.asarray(stack.images[part], dtype=np.float32), outline.outside, sign)
        subtract(images[part], basis, outline.outside)
        spread[part] = (_power(images[part], outline.outside) * band).sum(axis=(1, 2))
        return int(part.stop)

    for done in in_threads(prepare, blocks(count)):
        tell("background", done, steps)
    bad = _bad_frames(dose, spread, config.bad_sigma)
    if count - bad.sum() < LEAST_FRAMES:
        raise InputError(
            f"{count - int(bad.sum())} of {count} images have finite values, a usual dose and more than one value; "
            f"at least {LEAST_FRAMES} are needed: check the file"
        )
    images[bad] = np.nan_to_num(images[bad], nan=0.0, posinf=0.0, neginf=0.0)
    good = np.flatnonzero(~bad)

    inside = disc(radius_map(size, outline.centre), 0.8 * outline.radius, 0.2 * outline.radius)
    noise, within = _shell_powers(images, good, (outline.outside, inside), weights)
    # The fit took some noise with it; the solver must not take that for knowledge.
    kept = shell_mean(kept_fraction(basis, outline.outside), shells, weights)
    noise /= np.maximum(kept, LEAST_KEPT)
    noise[kept < LEAST_KEPT] = noise[kept >= LEAST_KEPT][0]
    signal = _significant_signal(noise, within, inside, outline.outside, size, len(good), pixel, config)
    # Sharp rings would make a filter whose response is as long as the particle and smear its edge.
    transfer = detection_filter(gaussian_filter1d(signal, RING_WIDTH), noise, size, weights)
    survey = survey_variance(
        images, good, transfer, outline, pixel, config.max_offset, lambda done: tell("background", count + done, steps)
    )
    if survey.diameter < MIN_DIAMETER:
        raise NoParticleError(
            f"what stands out in the middle of the box is {survey.diameter:.1f} Å wide, less than {MIN_DIAMETER:g} Å; "
            "it is no crystal, check for hot pixels"
        )
    found = find_contrast(images, good, signal, weights, (inside, outline.outside), pixel)
    atoms = found if config.contrast == "find" else Contrast(config.contrast, found.sigma, stated=True)
    if atoms.atoms == "dark":
        np.negative(images, out=images)
    frames = np.asarray(stack.frames, dtype=np.int64)
    frame_noise = np.ones(count)
    frame_noise[good] = spread[good] / spread[good].mean()
    return CleanStack(
        images=images,
        pixel_size=pixel,
        frames=frames,
        diameter=float(stack.diameter or survey.diameter),
        noise=noise.astype(np.float32),
        frame_noise=frame_noise.astype(np.float32),
        weights=weights,
        graphene=sheets,
        offsets=smooth_offsets(frames, survey.surfaces, stack.offsets, ~bad, pixel),
        bad=bad,
        signal=signal.astype(np.float32),
        contrast=atoms,
    )


def _sample(images: NDArray[Any]) -> tuple[NDArray[np.float32], int]:
    """Contrast of frames spread evenly over the stack, and the sign of its counts (`sign_of_counts`).

    Frames that are blank, or whose dose is no number or far from the others, are left out.
    """
    block = np.asarray(images[evenly(len(images), SAMPLE)], dtype=np.float32)
    size = block.shape[-1]
    rim = annulus(radius_map(size), 0.42 * size, 2.0) > 0.5
    block = block[np.isfinite(block).all(axis=(1, 2))]
    blank = block.min(axis=(1, 2)) == block.max(axis=(1, 2))
    if blank.all():
        raise InputError(
            f"all of {len(images)} images hold one value each, or none that is finite; images of a detector are needed"
        )
    block = block[~blank]
    mean, width = (getattr(block[:, rim], name)(axis=1, dtype=np.float64) for name in ("mean", "std"))
    # The dose of a frame: between two doses of as many frames each there is none that is usual.
    middle = np.sort(mean)[(len(mean) - 1) // 2]
    usual = np.abs(mean - middle) <= SAMPLE_TOLERANCE * max(abs(middle), np.median(width))
    if usual.sum() < 2:
        raise InputError("the images of the stack hold no finite values of a common dose; check the file")
    outside = rim.astype(np.float32)
    sign = sign_of_counts(block[usual], outside)
    return contrast(block[usual], outside, sign)[0], sign


def _power(images: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """|FFT(mask · image)|² / Σmask² of each image on the rfft2 grid."""
    spectrum = fft.rfft2(images * mask)
    return np.asarray((spectrum.real**2 + spectrum.imag**2) / np.float32(np.sum(mask.astype(np.float64) ** 2)))


def _shell_powers(
    images: NDArray[np.float32],
    good: NDArray[np.intp],
    masks: tuple[NDArray[np.float32], ...],
    weights: NDArray[np.float32],
) -> list[NDArray[np.float64]]:
    """Mean power per shell under each mask, over the good frames, without the coefficients of weight 0."""
    shells = rfft_shells(images.shape[-1])
    totals = [np.zeros(shells.shape) for _ in masks]

    def powers(part: slice) -> list[NDArray[np.float64]]:
        block = images[good[part]]
        return [_power(block, mask).sum(axis=0, dtype=np.float64) for mask in masks]

    for sums in in_threads(powers, blocks(len(good))):
        for total, power in zip(totals, sums):
            total += power
    return [shell_mean(total / len(good), shells, weights) for total in totals]


def _bad_frames(dose: NDArray[np.float64], spread: NDArray[np.float64], sigma: float) -> NDArray[np.bool_]:
    """Frames whose dose or noise power is no number or lies `sigma` robust deviations (and 10%) off the median.

    A frame without noise is blank, and no measure of the others.
    """
    bad = ~np.isfinite(dose) | ~(spread > BLANK * np.nanmax(spread, initial=0.0))
    good = ~bad
    for value in (dose, spread):
        middle = np.median(value[good]) if good.any() else 0.0
        deviation = np.abs(value - middle)
        scatter = SIGMA_PER_MAD * np.median(deviation[good]) if good.any() else 0.0
        bad |= ~np.isfinite(value) | (deviation > np.maximum(sigma * scatter, 0.1 * abs(middle)))
    return bad


def _significant_signal(
    noise: NDArray[np.float64],
    within: NDArray[np.float64],
    inside: NDArray[np.float32],
    outside: NDArray[np.float32],
    size: int,
    frames: int,
    pixel_size: float,
    config: BackgroundConfig,
) -> NDArray[np.float64]:
    """Power of the particle per shell, within - noise where significant; `NoParticleError` when nowhere."""
    number = np.bincount(rfft_shells(size).ravel()) * frames  # independent coefficients of a full box, all frames
    share = [float((m.astype(np.float64) ** 2).sum()) / size**2 for m in (inside, outside)]
    error = noise * np.sqrt(1 / (number * share[0]) + 1 / (number * share[1]))
    band = np.arange(len(noise)) >= LOWEST_SIGNAL * size * pixel_size
    band &= np.arange(len(noise)) <= size // 2
    ratio = np.where(band, (within - noise) / error, 0.0)
    total = float(ratio.sum() / np.sqrt(band.sum()))
    strongest = float(np.max(np.where(band, within / noise - 1, 0.0)))
    if total < config.min_significance or strongest < LEAST_RATIO:
        raise NoParticleError(
            f"no particle in the middle of the box: its power stands {total:.1f} sigma over the surroundings, "
            f"{config.min_significance:g} are needed; check box and track, or lower background.min_significance"
        )
    return np.where(ratio > 3.0, within - noise, 0.0)
