"""A map of a few hundred frames turned into the volume of the atoms it shows.

A map made of few frames is mostly noise between the atoms, and frames in a wrong pose leave a faint ghost there. What
is known beforehand is that density sits in atoms, each there or not and all alike: keep the peaks above half the
height of a full atom, give each the height one, and render them with the transfer function that the map itself has,

    c(k) = Σ_shell Re(F S*) / Σ_shell |S|²,   S(q) = Σ_a w_a exp(−2πi q·x_a).

That uses no lattice, so strain, faults and twins stay as they are. It is the atomicity constraint of
crystallographic phasing (Sayre 1952, doi:10.1107/S0365110X52002793), applied to reference volumes only: what is
reported is always reconstructed from the frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from single_rs.atoms.peaks import find_peaks
from single_rs.atoms.profile import structure_factor
from single_rs.orient.volumes import PAD, fourier_volume, shell_index

__all__ = ["atomic_volume"]

CLOSEST = 0.7  # distance of two atoms, in nearest-neighbour distances
SHARPNESS = 0.1  # width of the step from empty to occupied, in heights of an atom
LOWEST_PEAK = 0.15  # of the highest: what lies below is no atom whatever the height of a full one
FEWEST = 30  # peaks below which a map shows no atoms yet and is used as it is
SEEN = 0.05  # least transfer, of the largest, that is trusted


def atomic_volume(
    map: NDArray[np.float32], reach: int, voxel: float, spacing: float, expected: float
) -> NDArray[np.complex64]:
    """Fourier volume (2K+1, 2K+1, K+1) of the atoms of a masked map.

    Parameters
    ----------
    map
        (z, y, x), from `map_from_sums`, masked.
    reach
        K, grid steps.
    voxel
        Å.
    spacing
        Nearest-neighbour distance, Å.
    expected
        Number of atoms that a ball of the particle's size would hold: sets the height of a full atom.
    """
    density = fourier_volume(map, reach)
    size = map.shape[0]
    positions, values = find_peaks(map, LOWEST_PEAK * float(map.max()), CLOSEST * spacing / voxel)
    if len(values) < FEWEST:
        return density
    full = float(np.median(values[: max(FEWEST, int(expected / 2))]))
    keep = values > 0.3 * full
    weight = 1 / (1 + np.exp((0.5 - values[keep] / full) / SHARPNESS))
    centred = positions[keep] - size // 2
    # What trilinear reading multiplies a map by is divided out atom by atom.
    kernel = np.prod(np.sinc(centred / (PAD * size)) ** 2, axis=1)
    padded = PAD * size
    factor = structure_factor(centred % padded, weight / kernel, padded)
    index = np.arange(-reach, reach + 1) % padded
    atoms = factor[np.ix_(index, index, np.arange(reach + 1))].astype(np.complex64)
    shells = shell_index(reach)
    flat = shells.ravel()
    cross = np.bincount(flat, (density.real * atoms.real + density.imag * atoms.imag).ravel())
    power = np.bincount(flat, (atoms.real**2 + atoms.imag**2).ravel())
    width = np.full(2 * PAD + 1, 1.0)  # two image shells: narrower than the spacing of reflections
    transfer = np.convolve(cross, width, mode="same") / np.maximum(np.convolve(power, width, mode="same"), 1e-30)
    transfer = np.where(np.abs(transfer) > SEEN * np.abs(transfer).max(), transfer, 0.0)
    transfer[reach - 1 :] = 0.0
    return np.ascontiguousarray(atoms * transfer.astype(np.float32)[shells])
