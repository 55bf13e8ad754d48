"""Multislice images of atoms by an outside program, abTEM, or by this package.

The particle's centre lies at the middle of the box and of its height h; the wave leaves at z = h/2, so that the lens
has C1 − h/2 left to do (`simulate.optics.transfer`). abTEM makes the potential (Lobato's scattering factors, projected
in slices) and the wave after the last slice; lens and envelope are ours, with the conventions of the rest of the
package. Thermal motion is either averaged in the potential, exp(−B k²/4) on each slice, or in the intensity of several
frozen configurations with displacements of √(B/8π²) per axis. The intensity is made on the fine grid and cropped in
Fourier space to the pixels of the data.

References: Madsen and Susi, Open Research Europe 1, 24 (2021), doi:10.12688/openreseurope.13015.2 (abTEM);
Lobato and Van Dyck, Acta Cryst. A 70, 636 (2014), doi:10.1107/S205327331401643X.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from single_rs.base.errors import InputError
from single_rs.pipeline.config import ValidateConfig
from single_rs.simulate.optics import Microscope, OpticsConfig, fourier_crop, frequency_grid, transfer

__all__ = ["make_simulator"]

HEADROOM = 3.0  # Å of vacuum above and below the particle: a platinum atom's potential ends within
Simulator = Callable[[NDArray[np.float64], NDArray[np.str_], int], NDArray[np.float32]]


def make_simulator(config: ValidateConfig, box: int, pixel_size: float, radius: float) -> Simulator:
    """Return a function (positions (n, 3) Å in the laboratory, symbols (n,), number) → image (box, box), mean about 1.

    Parameters
    ----------
    config
        Simulator and optics.
    box, pixel_size
        Side in px and Å per px of the images.
    radius
        Å, largest distance of an atom from the particle's centre.

    Raises
    ------
    InputError
        abTEM is asked for and not installed.
    """
    optics = OpticsConfig(
        voltage=config.voltage,
        c3=config.c3,
        defocus=config.overfocus,
        focal_spread=config.focal_spread,
        b_factor=config.b_factor,
        scattering="multislice",
        slice_thickness=config.slice_thickness,
    )
    if config.simulator == "multislice":
        scope = Microscope(box, pixel_size, optics)
        return lambda positions, symbols, number: scope.image(positions, symbols)
    if importlib.util.find_spec("abtem") is None:
        raise InputError(
            "abTEM is not installed; 'pip install single-rs[validate]' brings it, "
            "--validate.simulator multislice does without"
        )
    return _Abtem(config, optics, box, pixel_size, radius)


class _Abtem:
    """Images by abTEM; the number given with each set of atoms seeds its frozen phonons."""

    def __init__(
        self, config: ValidateConfig, optics: OpticsConfig, box: int, pixel_size: float, radius: float
    ) -> None:
        self.config, self.box, self.length = config, box, box * pixel_size
        fine = int(np.ceil(self.length / config.sampling))
        fine = max(fft.next_fast_len(fine), box)
        while fine % 2:
            fine = fft.next_fast_len(fine + 1)
        self.fine = fine
        self.height = config.slice_thickness * np.ceil(2 * (radius + HEADROOM) / config.slice_thickness)
        k = frequency_grid(fine, self.length / fine, real=False)
        self.lens = transfer(k, optics, 0.5 * self.height).astype(np.complex64)
        half = frequency_grid(fine, self.length / fine, real=True)
        self.smear = np.exp(-config.b_factor * half**2 / 4).astype(np.float32)

    def __call__(self, positions: NDArray[np.float64], symbols: NDArray[np.str_], number: int) -> NDArray[np.float32]:
        import abtem
        from ase import Atoms

        middle = np.array([0.5 * self.length, 0.5 * self.length, 0.5 * self.height])
        atoms: Any = Atoms([str(s) for s in symbols], positions + middle, cell=[self.length, self.length, self.height])
        options = {
            "gpts": self.fine,
            "slice_thickness": self.config.slice_thickness,
            "parametrization": "lobato",
            "projection": "infinite",
        }
        with abtem.config.set({"dask.lazy": False, "local_diagnostics.progress_bar": False}):
            beam = abtem.PlaneWave(energy=1e3 * self.config.voltage)
            if self.config.phonons:
                sigma = float(np.sqrt(self.config.b_factor / (8 * np.pi**2)))
                frozen = abtem.FrozenPhonons(atoms, num_configs=self.config.phonons, sigmas=sigma, seed=number)
                waves = beam.multislice(abtem.Potential(frozen, **options)).array
            else:
                potential = abtem.Potential(atoms, **options).build()
                shape = (self.fine, self.fine)
                potential.array[:] = fft.irfft2(fft.rfft2(potential.array) * self.smear, s=shape)
                waves = beam.multislice(potential).array
        # abTEM's arrays are (x, y).
        wave = np.asarray(waves, np.complex64).reshape(-1, self.fine, self.fine).transpose(0, 2, 1)
        intensity = (np.abs(fft.ifft2(fft.fft2(wave) * self.lens)) ** 2).mean(axis=0)
        small = fourier_crop(fft.fft2(intensity).astype(np.complex64), self.box) * (self.box / self.fine) ** 2
        return np.asarray(fft.ifft2(small).real, np.float32)
