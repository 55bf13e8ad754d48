"""Counting detector: dose, modulation transfer, gain, Poisson electrons, defects, bad frames.

Expected counts = dose · gain · (MTF ∗ image); a counting detector adds no noise but the electrons'
own, so the counts are independent Poisson numbers. MTF(k) = m^((k/k_N)²) with m its value at Nyquist.
Hot pixels give a fixed high rate whatever the image, dead pixels none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from single_rs.base.errors import InputError
from single_rs.base.settings import Settings, setting
from single_rs.simulate.streams import Stage, stream

__all__ = ["Detector", "DetectorConfig", "poisson"]

BAD_KINDS = ("blank", "double", "smeared")  # no beam; two frames' dose; blurred by a jump of the stage
SMEAR_LENGTH = 12  # px, of a smeared frame, along x
INVERSION_LIMIT = 20.0  # mean counts up to which inversion is faster than NumPy's rejection
COMPRESS_EVERY = 6  # terms between two removals of the pixels that are decided
HOT_RATE = 8.0  # mean counts of a hot pixel, in units of the dose


@dataclass(frozen=True)
class DetectorConfig(Settings):
    """The detector and its faults."""

    dose: float = setting(8.0, "Mean electrons", "e/px/frame", gt=0, le=1e4)
    mtf: float = setting(0.64, "Modulation transfer at Nyquist; 1 is perfect, 0.64 a square pixel", gt=0, le=1)
    gain_sigma: float = setting(0.0, "Fixed relative gain error, standard deviation", ge=0, le=0.5)
    hot_pixels: int | None = setting(None, "Number of hot pixels; 6 in a movie when not given", "px", ge=0)
    dead_pixels: int | None = setting(None, "Number of dead pixels; 4 in a movie when not given", "px", ge=0)
    bad_frames: int | None = setting(
        None, "Number of blank, double-dose and smeared frames, in turn; 3 in a movie when not given", "frames", ge=0
    )

    def with_movie_faults(self, frames: int) -> DetectorConfig:
        """Return the settings with a movie's usual faults where none are given; a stack has none."""
        usual = {"hot_pixels": 6, "dead_pixels": 4, "bad_frames": min(3, frames // 10)}
        return replace(self, **{name: n for name, n in usual.items() if getattr(self, name) is None})


class Detector:
    """One detector of a given shape and number of frames; `counts` is a pure function of the frame number.

    Attributes
    ----------
    hot, dead
        (k, 2) integer (x, y) of the faulty pixels, px.
    bad
        (m,) sorted frame numbers.
    """

    def __init__(self, shape: tuple[int, int], frames: int, config: DetectorConfig, seed: int) -> None:
        ny, nx = shape
        hot, dead, bad = config.hot_pixels or 0, config.dead_pixels or 0, config.bad_frames or 0
        if hot + dead > ny * nx:
            raise InputError(f"{hot} hot and {dead} dead pixels exceed {ny * nx} pixels")
        if bad > frames:
            raise InputError(f"bad_frames is {bad}; there are {frames} frames")
        self.config, self.seed, self.shape = config, seed, shape
        pixels = stream(seed, Stage.PIXELS)
        places = pixels.choice(ny * nx, hot + dead, replace=False)
        spots = np.stack([places % nx, places // nx], axis=1).astype(np.int64)
        self.hot, self.dead = spots[:hot], spots[hot:]
        self._gain: NDArray[np.float32] | None = None
        if config.gain_sigma:
            gain = 1.0 + config.gain_sigma * pixels.standard_normal(shape)
            self._gain = np.clip(gain, 0.0, None).astype(np.float32)
        chosen = stream(seed, Stage.BAD_FRAMES).choice(frames, bad, replace=False)
        self.bad = np.sort(chosen).astype(np.int64)
        self._kind = {int(f): BAD_KINDS[i % len(BAD_KINDS)] for i, f in enumerate(self.bad)}
        ky, kx = fft.fftfreq(ny), fft.rfftfreq(nx)
        nyquist_squared = (ky[:, None] ** 2 + kx[None, :] ** 2) / 0.25
        self._mtf = (config.mtf**nyquist_squared).astype(np.float32)

    @property
    def dtype(self) -> np.dtype[np.integer[Any]]:
        """Return int8 when every count fits MRC mode 0 (0 to 127), otherwise uint16 (mode 6)."""
        # Atoms reach about 4 times the mean; 5 standard deviations of Poisson noise above that (what is beyond, one
        # count of a hot pixel in a million, saturates).
        peak = max(4.0, HOT_RATE if self.config.hot_pixels else 0.0, 8.0 if self.config.bad_frames else 0.0)
        expected = peak * self.config.dose
        return np.dtype(np.int8 if expected + 5 * np.sqrt(expected) <= np.iinfo(np.int8).max else np.uint16)

    def expected(self, image: NDArray[np.float32], frame: int) -> NDArray[np.float32]:
        """Return the mean counts of a frame from its noiseless image (mean 1), float32, same shape."""
        if self.config.mtf < 1:
            image = fft.irfft2(fft.rfft2(image) * self._mtf, s=self.shape)
        kind = self._kind.get(frame)
        if kind == "smeared":
            image = np.mean([np.roll(image, s, axis=1) for s in range(SMEAR_LENGTH)], axis=0)
        rate = self.config.dose * {"blank": 0.0, "double": 2.0}.get(kind or "", 1.0) * image
        if self._gain is not None:
            rate *= self._gain
        rate[self.dead[:, 1], self.dead[:, 0]] = 0.0
        rate[self.hot[:, 1], self.hot[:, 0]] = HOT_RATE * self.config.dose
        counts: NDArray[np.float32] = np.maximum(rate, 0.0, dtype=np.float32)
        return counts

    def counts(self, image: NDArray[np.float32], frame: int) -> NDArray[np.generic]:
        """Return the electrons of a frame, of `dtype`; the same for a frame number whatever was made before."""
        electrons = poisson(stream(self.seed, Stage.COUNTS, frame), self.expected(image, frame))
        return np.minimum(electrons, np.iinfo(self.dtype).max).astype(self.dtype)


def poisson(generator: np.random.Generator, rate: NDArray[np.float32]) -> NDArray[np.int64]:
    """Draw Poisson numbers of given means; for few counts 5 times faster than NumPy, which takes one pixel at a time.

    By inversion: the count is the number of k with u > P(N ≤ k), summed over all pixels at once, term by term.

    Parameters
    ----------
    generator
        Source of random numbers.
    rate
        Mean counts, any shape, not negative.
    """
    flat = rate.ravel()
    counts = np.zeros(flat.shape, dtype=np.int64)
    many = flat > INVERSION_LIMIT
    counts[many] = generator.poisson(flat[many])
    left = np.flatnonzero(~many)
    mean = flat[left]
    draw = generator.random(left.size, dtype=np.float32)
    term = np.exp(-mean)
    below = term.copy()
    found = np.zeros(left.size, dtype=np.int64)
    # Beyond the mean + 12 standard deviations + 12 a term is under 2^-24, the step of the draws.
    last = int(INVERSION_LIMIT + 12 * np.sqrt(INVERSION_LIMIT) + 12)
    for k in range(1, last + 1):
        found += draw > below
        term *= mean * np.float32(1 / k)
        below += term
        if k % COMPRESS_EVERY == 0 or k == last:
            counts[left] = found
            open_ = np.flatnonzero(draw > below)
            if not open_.size:
                break
            left, found = left[open_], found[open_]
            mean, draw, term, below = (a[open_] for a in (mean, draw, term, below))
    return counts.reshape(rate.shape)
