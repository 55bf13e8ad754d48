"""What surrounds the particles: the graphene sheets of the cell, and the liquid.

A perfect sheet scatters into its reflections g only, so its image wave is a short sum of plane waves,

    ψ_s(r) = i σ C / A Σ_g F(g) T(g) exp(2πi g·(r - r0 - d)),

with A the cell's area, F(g) the carbon factor times the two-atom structure factor, T the lens transfer
at the sheet's height and d the drift: exact for any sub-pixel drift, and not periodic in the field.
First reflections: 2.13 Å {10}, 1.23 Å {11}. The liquid is a Gaussian random field with the correlation
exp(-r²/2ℓ²) whose Fourier modes follow Ornstein-Uhlenbeck processes in time; it multiplies the image.

Reference: lattice constant 2.461 Å, Cooper, D'Anjou et al., ISRN Condens. Matter Phys. (2012),
doi:10.5402/2012/501686.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from single_rs.base.settings import Settings, setting
from single_rs.crystal.scattering import POTENTIAL_PER_FACTOR, interaction_constant, scattering_factor
from single_rs.simulate.optics import OpticsConfig, transfer
from single_rs.simulate.streams import Stage, stream

__all__ = ["Graphene", "Liquid", "SurroundingsConfig"]

GRAPHENE_CONSTANT = 2.461  # Å
MODE_CUTOFF = 3.5  # modes of the liquid are kept to this many standard deviations of its spectrum


@dataclass(frozen=True)
class SurroundingsConfig(Settings):
    """The walls and the filling of the liquid cell."""

    graphene: int = setting(2, "Number of graphene sheets", "", ge=0, le=8)
    twist: float | None = setting(None, "Angle between one sheet and the next; random when not given", "°")
    cell_height: float = setting(60.0, "Distance between the first and the last sheet", "Å", ge=0)
    liquid: float = setting(0.03, "Relative contrast of the liquid, standard deviation", ge=0, le=0.3)
    liquid_length: float = setting(12.0, "Correlation length of the liquid", "Å", gt=1, le=1e4)
    liquid_time: float = setting(100.0, "Correlation time of the liquid", "frames", ge=0)


class Graphene:
    """The sheets of one cell, seen on one field.

    Attributes
    ----------
    angles
        (sheets,) direction of a lattice vector of each sheet in degrees, from x towards y, 0 to 60.
    reflections
        (m, 2) all reflections (kx, ky) in cycles/Å inside the Nyquist circle, sheet after sheet.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        pixel_size: float,
        optics: OpticsConfig,
        config: SurroundingsConfig,
        seed: int,
    ) -> None:
        generator = stream(seed, Stage.GRAPHENE)
        angles = generator.uniform(0, 60, config.graphene)
        if config.twist is not None and config.graphene:
            angles = angles[0] + config.twist * np.arange(config.graphene)
        self.angles = angles % 60.0
        origins = generator.uniform(0, GRAPHENE_CONSTANT, (config.graphene, 2))
        heights = config.cell_height * np.linspace(-0.5, 0.5, config.graphene) if config.graphene > 1 else np.zeros(1)
        waves, reflections = [], []
        for angle, origin, height in zip(self.angles, origins, heights, strict=False):
            g, potential = _sheet(np.deg2rad(angle), 0.5 / pixel_size, optics.b_factor)
            wave = 1j * interaction_constant(optics.voltage) * potential
            wave *= transfer(np.linalg.norm(g, axis=1), optics, float(height)) * np.exp(-2j * np.pi * (g @ origin))
            waves.append(wave)
            reflections.append(g)
        self.reflections = np.concatenate(reflections) if reflections else np.empty((0, 2))
        self._waves = np.concatenate(waves) if waves else np.empty(0, dtype=np.complex128)
        self._pixel = pixel_size
        angle = 2 * np.pi * self.reflections * pixel_size
        self._columns = np.exp(1j * np.outer(angle[:, 0], np.arange(shape[1])))
        self._rows = np.exp(1j * np.outer(np.arange(shape[0]), angle[:, 1]))

    def scattered_wave(self, drift: NDArray[np.float64]) -> NDArray[np.complex64]:
        """Return ψ - 1 on the field (y, x) for a drift (x, y) in px."""
        amplitude = self._waves * np.exp(-2j * np.pi * self._pixel * (self.reflections @ drift))
        # The sum is in double precision so that, rounded, it does not depend on the threads of BLAS.
        return np.asarray(((self._rows * amplitude) @ self._columns).astype(np.complex64))


def _sheet(angle: float, limit: float, b_factor: float) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """Return reflections (m, 2) in cycles/Å with 0 < |g| < limit, and their potential C F / A in V Å."""
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    lattice = GRAPHENE_CONSTANT * np.array([[1.0, 0.0], [0.5, np.sqrt(0.75)]]) @ turn  # rows a, b
    reciprocal = np.linalg.inv(lattice).T
    reach = int(np.ceil(2 * limit * GRAPHENE_CONSTANT))
    order = np.arange(-reach, reach + 1)
    indices = np.stack(np.meshgrid(order, order, indexing="ij"), axis=-1).reshape(-1, 2)
    g = indices @ reciprocal
    length = np.linalg.norm(g, axis=1)
    keep = (length > 1e-6) & (length < limit * (1 - 1e-9))
    basis = np.array([[0.0, 0.0], [1 / 3, 1 / 3]])
    structure = np.exp(-2j * np.pi * indices[keep] @ basis.T).sum(axis=1)
    factor = scattering_factor("C", length[keep]) * np.exp(-b_factor * length[keep] ** 2 / 4)
    area = abs(np.linalg.det(lattice))
    return g[keep], POTENTIAL_PER_FACTOR * factor * structure / area


class Liquid:
    """A slowly changing random field; `next` gives the frames in order.

    Parameters
    ----------
    shape
        (y, x) of the field, px.
    pixel_size
        Å per px.
    config
        Contrast, length and time.
    seed
        Seed of the simulation.
    """

    def __init__(self, shape: tuple[int, int], pixel_size: float, config: SurroundingsConfig, seed: int) -> None:
        self._shape, self._generator = shape, stream(seed, Stage.LIQUID)
        ky, kx = fft.fftfreq(shape[0], pixel_size), fft.rfftfreq(shape[1], pixel_size)
        width = 1 / (2 * np.pi * config.liquid_length)  # cycles/Å: the spectrum is the transform of the correlation
        power = np.exp(-(ky[:, None] ** 2 + kx[None, :] ** 2) / (2 * width**2))
        power[power < np.exp(-(MODE_CUTOFF**2) / 2)] = 0.0
        power[0, 0] = 0.0  # the mean belongs to the dose
        self._modes = np.nonzero(power)
        # Columns between 0 and Nyquist stand for their Friedel mates too.
        twice = np.where((kx > 0) & (np.arange(len(kx)) < (shape[1] + 1) // 2), 2.0, 1.0)
        total = float((power * twice).sum())
        scale = config.liquid * shape[0] * shape[1] / np.sqrt(total) if total else 0.0
        self._spread = scale * np.sqrt(power[self._modes] / 2)
        self._memory = np.exp(-1 / config.liquid_time) if config.liquid_time > 0 else 0.0
        self._state: NDArray[np.complex128] | None = None

    def next(self) -> NDArray[np.float32]:
        """Return the field (y, x) of the next frame: relative contrast, mean zero."""
        draws = self._generator.standard_normal((2, len(self._spread)))
        fresh = self._spread * (draws[0] + 1j * draws[1])
        if self._state is None:
            self._state = fresh
        else:
            self._state = self._memory * self._state + np.sqrt(1 - self._memory**2) * fresh
        spectrum = np.zeros((self._shape[0], self._shape[1] // 2 + 1), dtype=np.complex64)
        spectrum[self._modes] = self._state
        return np.asarray(fft.irfft2(spectrum, s=self._shape))
