"""Frames as the atomic model predicts them.

With the structure factor of the atoms in the pose of frame i,

    S_i(k) = Σ_a (f_a(k) / f̄(k)) exp(−2πi k·(R_i x_a)),

the frame is predicted as P_i = M ∗ [C(|k|) S_i(k)], M the disc that also masks the frame, about the posed centre. C
holds what atoms and microscope do together: the mean scattering factor f̄, the transfer of the lens, the detector and
thermal motion. It is not assumed but measured, shell by shell, by least squares over many frames,

    C = Σ Re(X S*) / Σ |S|²,   and once more with the masked P in the place of C S.

Spectra are those of `FrameSet`: FFT / N on the half plane, phases about the particle's centre.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from single_rs.base.sampling import evenly
from single_rs.crystal.scattering import scattering_factor, structure_factor
from single_rs.frames.packed import FrameSet
from single_rs.simulate.optics import centre_phase, frequency_grid

__all__ = ["Reprojector", "ball_factor", "shells_of"]

SAMPLE = 500  # frames from which the transfer is measured; its error is then far below that of one frame
BLOCK = 64  # frames rendered at a time
SHELL_WIDTH = 3  # shells over which sums are joined: narrower than the distance of two reflections


def shells_of(frames: FrameSet) -> NDArray[np.int64]:
    """Shell round(|k|) of each frequency (m,) of the packed spectra."""
    k = frames.plane.frequencies()
    return np.rint(np.hypot(k[:, 0], k[:, 1])).astype(np.int64)


def ball_factor(size: int, pixel_size: float, positions: NDArray[np.float64]) -> NDArray[np.complex64]:
    """Structure factor of a uniform ball with as many atoms and the same radius of gyration, on the rfft2 grid.

    S(k) = 3 n (sin x − x cos x) / x³ with x = 2π k R and R = √(5/3) of the radius of gyration.
    """
    centred = positions - positions.mean(axis=0)
    radius = np.sqrt(5 / 3 * np.mean(np.sum(centred**2, axis=1)))
    x = np.maximum(2 * np.pi * radius * frequency_grid(size, pixel_size, real=True), 1e-3)
    return np.asarray((3 * len(positions) * (np.sin(x) - x * np.cos(x)) / x**3).astype(np.complex64))


class Reprojector:
    """Predicts packed spectra from atoms; `fit` measures the transfer first.

    Parameters
    ----------
    frames
        The frames that are predicted; their grid and their mask are used.
    mask
        Radius and edge of the disc, px.
    positions
        (n, 3) Å, in the particle's frame, from the centre that the poses refer to.
    symbols
        (n,) chemical symbols.
    blurred
        Predict the blurred ball of `ball_factor` instead of atoms.
    """

    def __init__(
        self,
        frames: FrameSet,
        mask: tuple[float, float],
        positions: NDArray[np.float64],
        symbols: NDArray[np.str_],
        blurred: bool = False,
    ) -> None:
        self.frames, self.mask = frames, mask
        self.positions, self.symbols = np.asarray(positions, float), np.asarray(symbols).astype(str)
        size = frames.size
        k = frequency_grid(size, frames.pixel_size, real=True)
        self._kinds = {str(s): self.symbols == s for s in np.unique(self.symbols)}
        factors = {s: scattering_factor(s, k) for s in self._kinds}
        mean = sum(factors[s] * here.mean() for s, here in self._kinds.items())
        self._relative = {s: (f / mean).astype(np.float32) for s, f in factors.items()}
        self._sign = centre_phase(size, real=True) * np.float32(size)
        self._shell_grid = np.rint(k * frames.box).astype(np.int64)
        self._ball = ball_factor(size, frames.pixel_size, self.positions) if blurred else None
        self.shells = shells_of(frames)
        self.transfer = np.zeros(int(self._shell_grid.max()) + 1)

    def structure(self, rotation: NDArray[np.float64]) -> NDArray[np.complex64]:
        """Structure factor (size, size // 2 + 1) in one pose."""
        if self._ball is not None:
            return self._ball
        xy = self.positions @ rotation[:2].T
        out = np.zeros(self._sign.shape, np.complex64)
        for symbol, here in self._kinds.items():
            factor = structure_factor(xy[here, 0], xy[here, 1], self.frames.size, self.frames.pixel_size)
            out += factor * self._relative[symbol]
        return out

    def images(self, rotations: NDArray[np.float64]) -> NDArray[np.float32]:
        """Predicted contrast (n, size, size) in the poses, centred, unmasked."""
        size = self.frames.size
        # X = FFT / N, hence the N in the sign.
        gain = (self.transfer[self._shell_grid] * self._sign).astype(np.float32)
        out = np.empty((len(rotations), size, size), np.float32)
        for image, rotation in zip(out, rotations, strict=True):
            image[:] = fft.irfft2(self.structure(rotation) * gain, s=(size, size))
        return out

    def spectra(self, rotations: NDArray[np.float64]) -> NDArray[np.complex64]:
        """Predicted packed spectra (n, m) in the poses, masked as the frames are."""
        images = self.images(rotations)
        return self.frames.plane.pack(images, np.zeros((len(images), 2), np.float32), *self.mask)

    def fit(self, select: NDArray[np.int64], rotations: NDArray[np.float64], weight: NDArray[np.float64]) -> None:
        """Measure the transfer from frames.

        Parameters
        ----------
        select
            (n,) frames, as rows of the packed spectra; at most 500 of them, evenly spaced, are used.
        rotations
            (frame, 3, 3) of all packed frames.
        weight
            (frame,) weights of all packed frames.
        """
        some = select[evenly(len(select), SAMPLE)]
        k = self.frames.plane.frequencies()
        column, row = k[:, 0], k[:, 1] % self.frames.size
        first = self._regress(some, weight, lambda r: np.stack([self.structure(q)[row, column] for q in r]), rotations)
        self.transfer = np.zeros_like(self.transfer)
        self.transfer[: len(first)] = first
        ratio = self._regress(some, weight, self.spectra, rotations)
        self.transfer[: len(ratio)] *= np.clip(ratio, 0.5, 2.0)

    def _regress(
        self,
        some: NDArray[np.int64],
        weight: NDArray[np.float64],
        predict: Callable[[NDArray[np.float64]], NDArray[np.complex64]],
        rotations: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Least-squares factor of each shell between frames and prediction, over a few neighbouring shells."""
        length = int(self.shells.max()) + 1
        cross, power = np.zeros(length), np.zeros(length)
        for start in range(0, len(some), BLOCK):
            rows = some[start : start + BLOCK]
            p, x = predict(rotations[rows]), self.frames.spectra[rows]
            g = (weight[rows] * self.frames.frame_weight[rows])[:, None] * (self.frames.weights > 0)
            cross += np.bincount(self.shells, (g * (x.real * p.real + x.imag * p.imag)).sum(0), minlength=length)
            power += np.bincount(self.shells, (g * (p.real**2 + p.imag**2)).sum(0), minlength=length)
        window = np.ones(SHELL_WIDTH)
        cross, power = (np.convolve(v, window, mode="same") for v in (cross, power))
        return np.asarray(cross / np.maximum(power, 1e-12 * max(power.max(), 1e-30)))
