"""The image of one atom, measured from the map, and the map that atoms with this image make.

In Fourier space the map of identical atoms is M(k) = T(|k|) S(k), with S(k) = Σ_a h_a exp(−2πi k·x_a). Per shell of
|k| the least-squares transfer is

    T(k) = Σ_shell Re(M S*) / Σ_shell |S|²,    p(r) = (1/V) Σ_shell n(k) T(k) sinc(2 k r)

T holds the resolution, the cut-off that makes truncation rings and the weak low frequencies. Removing neighbours with
p takes their rings along, which a Gaussian cannot. T is scaled to p(0) = 1, so that h is the height of an atom.

S is made by spreading each atom as a Gaussian of 1.2 voxels and dividing by that Gaussian's transform (Greengard and
Lee, SIAM Review 46, 443 (2004), doi:10.1137/S003614450343200X): the error is below 1 % up to 0.4 cycles per voxel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

__all__ = ["FourierMap", "Profile", "spread_atoms", "structure_factor", "undo_spread"]

# Spreading width (voxels) and reach; exp(−6²/2·1.2²) = 4e−6 is cut off.
SPREAD = 1.2
REACH = 6
# Step of the radial table in voxels: linear interpolation is then exact to 1e−4 of the height.
TABLE_STEP = 0.02
# Beyond this (cycles per voxel) the spreading is not exact, and the map holds next to nothing.
LAST_FREQUENCY = 0.49


@dataclass(frozen=True)
class Profile:
    """Image of one atom.

    Attributes
    ----------
    transfer
        (shell,) T at |k| = shell / n cycles per voxel, n the side of the map.
    table, slope
        p(r) and dp/dr at r = i · 0.02 voxels.
    width
        Voxels: standard deviation of the Gaussian that has the same width at half height.
    bandwidth
        Share of the Fourier voxels of the box in which the map has signal.
    """

    transfer: np.ndarray
    table: np.ndarray
    slope: np.ndarray
    width: float
    bandwidth: float

    def at(self, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values p(r) and slopes dp/dr at distances in voxels, held at the last entry beyond the table."""
        scaled = np.minimum(distance * (1.0 / TABLE_STEP), len(self.table) - 1.001)
        index = scaled.astype(np.intp)
        share = scaled - index
        value = self.table[index]
        slope = self.slope[index]
        return value + share * (self.table[index + 1] - value), slope + share * (self.slope[index + 1] - slope)


def structure_factor(positions: np.ndarray, heights: np.ndarray, n: int) -> np.ndarray:
    """S(k) = Σ h exp(−2πi k·x / n) on the rfft grid of an (n, n, n) box.

    Parameters
    ----------
    positions
        (m, 3) (z, y, x) in voxels from voxel 0; the box is periodic.
    heights
        (m,).
    n
        Side of the box, voxels.
    """
    factor: np.ndarray = fft.rfftn(spread_atoms(positions, heights, n), workers=1)
    full, half = undo_spread(fft.fftfreq(n)), undo_spread(fft.rfftfreq(n))
    factor *= (full[:, None] * full)[:, :, None] * half
    return factor


def spread_atoms(positions: np.ndarray, heights: np.ndarray, n: int) -> np.ndarray:
    """Atoms as Gaussians of 1.2 voxels on a periodic (n, n, n) grid; arguments as of `structure_factor`."""
    base = np.rint(positions).astype(np.intp)
    if len(base) == 0:
        return np.zeros((n, n, n))
    offset = np.arange(-REACH, REACH + 1)
    delta = offset - (positions - base)[:, :, None]  # (m, axis, offset)
    spread = np.exp(-0.5 * (delta / SPREAD) ** 2)
    index = (base[:, :, None] + offset) % n
    plane = (index[:, 0, :, None] * n + index[:, 1, None, :]).reshape(len(base), -1) * n
    weight = ((spread[:, 0] * heights[:, None])[:, :, None] * spread[:, 1, None, :]).reshape(len(base), -1)
    flat = plane[:, :, None] + index[:, 2, None, :]
    grid = np.bincount(flat.ravel(), (weight[:, :, None] * spread[:, 2, None, :]).ravel(), minlength=n**3)
    return grid.reshape(n, n, n)


def undo_spread(frequency: np.ndarray) -> np.ndarray:
    """Inverse of the transform of the spreading Gaussian along one axis, at frequencies in cycles per voxel."""
    factor: np.ndarray = np.exp(2.0 * (np.pi * SPREAD * frequency) ** 2) / (SPREAD * np.sqrt(2.0 * np.pi))
    return factor


class FourierMap:
    """A map and its transform, binned by shells, to measure the profile and to render atoms on the same grid.

    Parameters
    ----------
    volume
        (n, n, n) map, n even.
    """

    def __init__(self, volume: np.ndarray) -> None:
        self.volume = volume
        self.side = n = volume.shape[0]
        full, half = fft.fftfreq(n, 1.0 / n), fft.rfftfreq(n, 1.0 / n)
        self._shell = np.sqrt(full[:, None, None] ** 2 + full[None, :, None] ** 2 + half**2).round().astype(np.int32)
        self._last = int(LAST_FREQUENCY * n)
        self._inside = np.flatnonzero(self._shell.ravel() <= self._last)
        self._which = self._shell.ravel()[self._inside]
        # A plane of the half grid other than the first and the last stands for its mirror image as well.
        twice = np.full(n // 2 + 1, 2.0)
        twice[[0, -1]] = 1.0
        self._weight = np.broadcast_to(twice, self._shell.shape).ravel()[self._inside]
        self._mapped = fft.rfftn(volume, workers=1).ravel()[self._inside]
        self._count = np.bincount(self._which, self._weight)

    def measure(self, factor: np.ndarray, reach: float) -> Profile:
        """Measure the image of one atom.

        Parameters
        ----------
        factor
            Structure factor of the atoms of the map.
        reach
            Length of the radial table, voxels.
        """
        s = factor.ravel()[self._inside]
        power = np.bincount(self._which, self._weight * (s.real**2 + s.imag**2))
        cross = np.bincount(self._which, self._weight * (self._mapped.real * s.real + self._mapped.imag * s.imag))
        transfer = cross / np.maximum(power, 1e-12 * power.max())
        # The zero shell is the mean of the map, which the constant background of each atom takes.
        transfer[0] = 0.0
        r = np.arange(0.0, reach + 2 * TABLE_STEP, TABLE_STEP)
        k = np.arange(len(transfer)) / self.side
        table = np.sinc(2.0 * r[:, None] * k) @ (self._count * transfer) / self.side**3
        # A profile that is not a peak (hopeless maps) must not divide by zero; the selection then finds no atoms.
        top = table[0] if table[0] > 0 else float(np.abs(table).max()) or 1.0
        transfer, table = transfer / top, table / top
        below = np.flatnonzero(table < 0.5)
        half_width = r[below[0]] if len(below) else r[-1]
        signal = np.abs(transfer) > 0.02 * np.abs(transfer).max()
        return Profile(
            transfer=transfer,
            table=table,
            slope=np.gradient(table, TABLE_STEP),
            width=float(max(half_width, 0.5)) / np.sqrt(2.0 * np.log(2.0)),
            bandwidth=float((self._count * signal).sum()) / self.side**3,
        )

    def render(self, factor: np.ndarray, profile: Profile) -> np.ndarray:
        """Map (n, n, n) of the atoms of a structure factor."""
        transfer = np.zeros(int(self._shell.max()) + 1)
        transfer[: len(profile.transfer)] = profile.transfer
        return np.asarray(fft.irfftn(factor * transfer[self._shell], s=(self.side,) * 3, workers=1))
