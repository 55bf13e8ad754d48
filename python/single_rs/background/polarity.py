"""Whether atoms are bright or dark in the frames: the sign of the third moment of what the particle scatters.

Of atoms that are peaks of one sign, columns are sharper and fewer than the gaps between them. So y³ of the frames
y = g ∗ x, filtered to the shells in which the particle stands out of the noise, has the atoms' sign in its mean over
the particle; in terms of reflections it sums F(h) F(k) F(−h−k), which no choice of the origin changes. Its mean over
the surroundings holds the same noise and is taken off.

Counts have more noise where they are higher: of variance (1 + x) q the third moment holds 3 q ⟨y (g² ∗ x)⟩, which is
positive for dark atoms too and at 2 e/px as large as what is looked for. It is taken off as well, with q the ratio of
the noise's third cumulant to its variance outside: 1 / dose for counts, negative for inverted ones.

A frame counts by 1 / ⟨y²⟩, or a few zone axes, where scattering is not linear, would outweigh all others. The error is
that of the means of time blocks, since neighbouring frames show nearly the same view.

Reference, for moments of third order: D. R. Brillinger, *Time Series* (SIAM, 2001), doi:10.1137/1.9780898719246.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from single_rs.background.outline import BAND
from single_rs.base.sampling import evenly
from single_rs.frames.spectrum import rfft_shells
from single_rs.records import Contrast

__all__ = ["CLEAR_CONTRAST", "find_contrast"]

# Standard errors from which the sign is taken as found; 600 frames of dark platinum had 9.7, 6.5 and 4.8 at 8, 2, 1
# e/px, bright ones 9.2 and 7.8 at 8 and 0.5 e/px.
CLEAR_CONTRAST = 4.0
# Frames, evenly spaced, that the third moment is measured on, at most.
SAMPLE = 1536
# Time blocks whose means give the error.
BLOCKS = 20
# Frames transformed at once.
BATCH = 64


def find_contrast(
    images: NDArray[np.float32],
    good: NDArray[np.intp],
    signal: NDArray[np.floating],
    weights: NDArray[np.float32],
    masks: tuple[NDArray[np.float32], NDArray[np.float32]],
    pixel_size: float,
) -> Contrast:
    """Find whether atoms are bright or dark.

    Parameters
    ----------
    images
        (n, y, x) contrast without graphene and slow background.
    good
        Numbers of the frames to use.
    signal
        (n_shell,) power of the particle, 0 where it does not stand out.
    weights
        (y, x // 2 + 1) of the coefficients.
    masks
        (y, x) of the particle and of its surroundings.
    pixel_size
        Å.

    Returns
    -------
    Contrast
        Bright where nothing is found, as in the usual setting of these microscopes (negative C3, overfocus).
    """
    size = images.shape[-1]
    frequency = np.arange(len(signal)) / (size * pixel_size)
    clear = (signal > 0) & (frequency >= BAND[0]) & (frequency <= BAND[1])
    transfer = (clear[rfft_shells(size)] * weights).astype(np.float32)
    square = fft.rfft2(fft.irfft2(transfer, s=(size, size)) ** 2)
    within, around = ((mask > 0.5).ravel().astype(np.float32) for mask in masks)
    within /= within.sum()
    excess = within - around / around.sum()  # mean over the particle less that over its surroundings
    chosen = good[evenly(len(good), SAMPLE)]
    cubes, crosses, powers = np.empty((3, len(chosen)))
    noise = np.zeros(2)
    for start in range(0, len(chosen), BATCH):
        part = slice(start, start + BATCH)
        block = images[chosen[part]]
        spectrum = fft.rfft2(block)
        y = fft.irfft2(spectrum * transfer, s=(size, size))
        local = fft.irfft2(spectrum * square, s=(size, size))
        power, quiet = y * y, block * block
        cubes[part], crosses[part] = (v.reshape(len(v), -1) @ excess for v in (power * y, y * local))
        powers[part] = power.reshape(len(y), -1) @ within
        for order, v in enumerate((quiet, quiet * block)):
            noise[order] += (v.reshape(len(v), -1) @ around).sum(dtype=np.float64)
    moments = (cubes - 3 * noise[1] / max(noise[0], 1e-30) * crosses) / np.maximum(powers, 1e-30)
    blocks = np.array([part.mean() for part in np.array_split(moments, min(BLOCKS, len(moments)))])
    error = float(blocks.std(ddof=1) / np.sqrt(len(blocks))) if len(blocks) > 1 else 0.0
    sigma = float(blocks.mean()) / error if error > 0 else 0.0
    return Contrast("dark" if sigma <= -CLEAR_CONTRAST else "bright", sigma)
