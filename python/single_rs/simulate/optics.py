"""Optics: from the projected potential of a particle to its image wave.

With the potential V(x, y) in V Å and the interaction constant σ, the exit wave of a phase object is
exp(iσV); of a linear (weak) object 1 + iσV. The lens multiplies its transform by exp(-iχ(k)) E(k),

    χ(k) = π λ C1 k² + ½ π C3 λ³ k⁴,    E(k) = exp(-½ (π λ Δ k²)²),

with C1 > 0 over focus, Δ the focal spread (rms), and the image is |ψ|². A weak atom then has the
contrast +2 σ V sin χ: with C3 < 0 and C1 > 0 chosen to balance, atoms are bright and the transfer is
flat. The potential is made on a grid twice as fine as the image, so that the harmonics of exp(iσV) do
not fold back; the wave is cropped to the inscribed circle of the image's own band. Multislice scattering
cuts the particle into planes z = (j + ½) t and propagates by exp(-iπ λ t k²) from each to the next.

Frequencies are in cycles/Å; images are centred on pixel N//2.
Reference: Jia, Lentzen and Urban, Microsc. Microanal. 10, 174 (2004), doi:10.1017/S1431927604040425.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from single_rs.base.errors import InputError
from single_rs.base.settings import Settings, setting
from single_rs.crystal.scattering import (
    POTENTIAL_PER_FACTOR,
    electron_wavelength,
    interaction_constant,
    scattering_factor,
    structure_factor,
)

__all__ = ["Microscope", "OpticsConfig", "aberration", "transfer"]

SCATTERING = ("phase", "linear", "multislice")
OVERSAMPLING = 2  # of the potential of a phase object


@dataclass(frozen=True)
class OpticsConfig(Settings):
    """The microscope. The defaults make atoms bright with flat transfer to 0.7 Å."""

    voltage: float = setting(300.0, "Acceleration voltage", "kV", ge=20, le=1500)
    c3: float = setting(-7.5e4, "Third-order spherical aberration", "Å")
    defocus: float = setting(44.0, "Defocus C1, positive over focus", "Å")
    focal_spread: float = setting(15.0, "Focal spread, root mean square", "Å", ge=0, le=1e4)
    b_factor: float = setting(0.6, "Debye-Waller factor B of every atom", "Å²", ge=0)
    scattering: str = setting(
        "phase", "One phase object, its linear part, or several with propagation between", choices=SCATTERING
    )
    slice_thickness: float = setting(5.0, "Slice of multislice scattering", "Å", ge=0.5)


def aberration(k: NDArray[np.floating], optics: OpticsConfig, height: float = 0.0) -> NDArray[np.float64]:
    """Return the aberration phase χ in rad at frequencies k (cycles/Å).

    Parameters
    ----------
    k
        Frequencies, any shape.
    optics
        The microscope.
    height
        Position z of the object along the beam, Å. The beam runs along +z, so the defocus left to do is C1 - z.
    """
    wavelength = electron_wavelength(optics.voltage)
    k2 = np.asarray(k, dtype=np.float64) ** 2
    return np.pi * wavelength * k2 * (optics.defocus - height + 0.5 * optics.c3 * wavelength**2 * k2)


def transfer(k: NDArray[np.floating], optics: OpticsConfig, height: float = 0.0) -> NDArray[np.complex128]:
    """Return the transfer exp(-iχ) E of the wave at frequencies k (cycles/Å); see `aberration`."""
    wavelength = electron_wavelength(optics.voltage)
    k2 = np.asarray(k, dtype=np.float64) ** 2
    envelope = np.exp(-0.5 * (np.pi * wavelength * optics.focal_spread * k2) ** 2)
    transfer: NDArray[np.complex128] = np.exp(-1j * aberration(k, optics, height)) * envelope
    return transfer


def frequency_grid(size: int, pixel_size: float, *, real: bool) -> NDArray[np.float64]:
    """Return |k| in cycles/Å on the fft2 grid, or the rfft2 grid, of a square image."""
    ky = fft.fftfreq(size, pixel_size)
    kx = fft.rfftfreq(size, pixel_size) if real else ky
    return np.asarray(np.hypot(ky[:, None], kx[None, :]))


def centre_phase(size: int, *, real: bool) -> NDArray[np.float32]:
    """Return (-1)^(i+j), the factor that moves the origin from pixel (0, 0) to pixel size // 2 (size even)."""
    sign = 1.0 - 2.0 * (np.arange(size) % 2)
    return np.asarray(np.multiply.outer(sign, sign[: size // 2 + 1] if real else sign).astype(np.float32))


class Microscope:
    """Images of atoms on one square grid; tables are made once per grid and element.

    Parameters
    ----------
    box
        Side of the image, even, px.
    pixel_size
        Å per px.
    optics
        The microscope.

    Raises
    ------
    InputError
        When the box is odd or smaller than 8 px, or the pixel is not positive.
    """

    def __init__(self, box: int, pixel_size: float, optics: OpticsConfig | None = None) -> None:
        if box < 8 or box % 2:
            raise InputError(f"box is {box} px; an even number of at least 8 px is needed")
        if not pixel_size > 0:
            raise InputError(f"pixel size is {pixel_size} Å; it must be more than 0 Å")
        self.box = box
        self.pixel_size = float(pixel_size)
        self.optics = optics or OpticsConfig()
        self._sigma = interaction_constant(self.optics.voltage)
        linear = self.optics.scattering == "linear"
        self._fine = box if linear else OVERSAMPLING * box
        self._fine_pixel = self.pixel_size * box / self._fine
        self._envelopes: dict[str, NDArray[np.float32]] = {}
        # σV → 2σV sin χ E, since Re(i exp(-iχ)) = sin χ.
        self._contrast_transfer = (-2.0 * self._lens(0.0).imag).astype(np.float32) if linear else None
        self._lens_at: dict[int, NDArray[np.complex64]] = {}
        self._propagator: NDArray[np.complex64] | None = None
        if self.optics.scattering == "multislice":
            k2 = frequency_grid(self._fine, self._fine_pixel, real=False) ** 2
            step = np.pi * electron_wavelength(self.optics.voltage) * self.optics.slice_thickness
            self._propagator = np.exp(-1j * step * k2).astype(np.complex64)

    def _lens(self, height: float) -> NDArray[np.complex64]:
        """Return the transfer of a wave at a height (Å) on the image's grid, within its band."""
        k = frequency_grid(self.box, self.pixel_size, real=self.optics.scattering == "linear")
        # Strictly inside the Nyquist circle: there each frequency has one meaning and its Friedel mate is present.
        band = k < 0.5 / self.pixel_size * (1 - 1e-9)
        return (transfer(k, self.optics, height) * band).astype(np.complex64)

    def _envelope(self, symbol: str) -> NDArray[np.float32]:
        """Return σ C f(k) exp(-B k²/4) / pixel area with the centring sign, on the fine rfft2 grid."""
        if symbol not in self._envelopes:
            k = frequency_grid(self._fine, self._fine_pixel, real=True)
            factor = scattering_factor(symbol, k) * np.exp(-self.optics.b_factor * k**2 / 4)
            scale = self._sigma * POTENTIAL_PER_FACTOR / self._fine_pixel**2
            self._envelopes[symbol] = (scale * factor * centre_phase(self._fine, real=True)).astype(np.float32)
        return self._envelopes[symbol]

    def phase_transform(self, positions: NDArray[np.floating], symbols: NDArray[np.str_]) -> NDArray[np.complex64]:
        """Return the rfft2 of the phase shift σV in rad, on the fine grid, of atoms in the lab frame.

        Parameters
        ----------
        positions
            (n, 3) in Å from the box centre, in the lab frame; (n, 2) will do for all but multislice scattering.
        symbols
            Element of each atom (n,).
        """
        total = np.zeros((self._fine, self._fine // 2 + 1), dtype=np.complex64)
        for symbol in np.unique(symbols):
            chosen = positions[symbols == symbol]
            factor = structure_factor(chosen[:, 0], chosen[:, 1], self._fine, self._fine_pixel)
            factor *= self._envelope(str(symbol))
            total += factor
        return total

    def scattered_wave(self, positions: NDArray[np.floating], symbols: NDArray[np.str_]) -> NDArray[np.complex64]:
        """Return ψ - 1 in the image plane (box, box): what the atoms add to the undisturbed beam.

        The image is |1 + ψ_s|²; waves of separate objects add, so that their interference is kept.
        For ``scattering="linear"`` only the part that makes linear contrast is returned: it is real,
        σV sin χ E, and the image is 1 + 2 ψ_s.
        """
        if self._contrast_transfer is not None:
            phase = self.phase_transform(positions, symbols)
            half_contrast = fft.irfft2(phase * self._contrast_transfer, s=(self.box, self.box))
            return np.asarray((0.5 * half_contrast).astype(np.complex64))
        if self._propagator is None:
            return self._focus(fft.fft2(self._transmission(positions, symbols), overwrite_x=True), None)
        if positions.shape[1] < 3:
            raise InputError(f"positions have shape {positions.shape}; multislice scattering needs (n, 3)")
        planes = np.floor(positions[:, 2] / self.optics.slice_thickness).astype(int)
        first, last = int(planes.min()), int(planes.max())
        wave = np.zeros((self._fine, self._fine), dtype=np.complex64)  # ψ - 1: the undisturbed beam stays 1
        for plane in range(first, last + 1):
            if plane > first:
                wave = fft.ifft2(fft.fft2(wave, overwrite_x=True) * self._propagator, overwrite_x=True)
            chosen = planes == plane
            if chosen.any():
                # (1 + ψ_s)(1 + τ) - 1
                added = self._transmission(positions[chosen], symbols[chosen])
                wave += added + wave * added
        return self._focus(fft.fft2(wave, overwrite_x=True), last)

    def _transmission(self, positions: NDArray[np.floating], symbols: NDArray[np.str_]) -> NDArray[np.complex64]:
        """Return exp(iσV) - 1 on the fine grid."""
        phase_shift = fft.irfft2(self.phase_transform(positions, symbols), s=(self._fine, self._fine))
        out = np.empty(phase_shift.shape, dtype=np.complex64)
        np.cos(phase_shift, out=out.real)
        np.sin(phase_shift, out=out.imag)
        out -= 1.0
        return out

    def _focus(self, spectrum: NDArray[np.complex64], plane: int | None) -> NDArray[np.complex64]:
        """Return the image wave of an exit wave's fine spectrum; it left at slice `plane`, or at z = 0."""
        key = 0 if plane is None else 2 * plane + 1  # height in half slices
        if key not in self._lens_at:
            scale = np.float32(self.box**2 / self._fine**2)
            self._lens_at[key] = scale * self._lens(0.5 * key * self.optics.slice_thickness)
        return np.asarray(fft.ifft2(fourier_crop(spectrum, self.box) * self._lens_at[key], overwrite_x=True))

    def image(self, positions: NDArray[np.floating], symbols: NDArray[np.str_]) -> NDArray[np.float32]:
        """Return the noiseless image (box, box), 1 where there is no atom; arguments as `phase_transform`."""
        return intensity(self.scattered_wave(positions, symbols), self.optics)


def intensity(scattered: NDArray[np.complex64], optics: OpticsConfig) -> NDArray[np.float32]:
    """Return |1 + ψ_s|², or 1 + 2 Re ψ_s for linear scattering, as float32."""
    if optics.scattering == "linear":
        return 1.0 + 2.0 * scattered.real
    return (1.0 + scattered.real) ** 2 + scattered.imag**2


def fourier_crop(spectrum: NDArray[np.complex64], size: int) -> NDArray[np.complex64]:
    """Return the central size × size frequencies of a larger fft2 spectrum (both sides even)."""
    half = size // 2
    rows = np.concatenate([spectrum[:half], spectrum[-half:]])
    return np.concatenate([rows[:, :half], rows[:, -half:]], axis=1)
