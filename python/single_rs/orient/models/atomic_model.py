"""A map of a few hundred frames turned into the atoms it shows.

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

from single_rs import _core
from single_rs.atoms.peaks import find_peaks
from single_rs.atoms.profile import spread_atoms, undo_spread
from single_rs.frames.packed import FrameSet
from single_rs.frames.volume import PAD, fourier_volume, shell_index, transformed
from single_rs.orient.models.reference import Reference

__all__ = ["atomic_reference"]

CLOSEST = 0.7  # distance of two atoms, in nearest-neighbour distances
SHARPNESS = 0.1  # width of the step from empty to occupied, in heights of an atom
LOWEST_PEAK = 0.15  # of the highest: what lies below is no atom whatever the height of a full one
LOWEST_ATOM = 0.3  # of a full atom's height, below which a peak weighs nothing
FEWEST = 30  # peaks whose median height is that of a full atom, at least
SEEN = 0.05  # least transfer, of the largest, that is trusted


def atomic_reference(frames: FrameSet, map: NDArray[np.float32], spacing: float, expected: float) -> Reference:
    """Reference made of the atoms of a masked map.

    Parameters
    ----------
    frames
        The frames that will be compared with it.
    map
        (z, y, x), from `map_from_sums`, masked.
    spacing
        Nearest-neighbour distance, Å.
    expected
        Number of atoms that a ball of the particle's size would hold: sets the height of a full atom.
    """
    reach = frames.plane.max_shell * PAD + 2
    density = fourier_volume(map, reach)
    size = map.shape[0]
    voxel = frames.box / size
    positions, values = find_peaks(map, LOWEST_PEAK * float(map.max()), CLOSEST * spacing / voxel)
    full = float(np.median(values[: max(FEWEST, int(expected / 2))]))
    keep = values > LOWEST_ATOM * full
    weight = 1 / (1 + np.exp((0.5 - values[keep] / full) / SHARPNESS))
    centred = positions[keep] - size // 2
    # What trilinear reading multiplies a map by is divided out atom by atom.
    kernel = np.prod(np.sinc(centred / (PAD * size)) ** 2, axis=1)
    grid = spread_atoms(positions[keep], weight / kernel, size)
    atoms = transformed(grid, reach, undo_spread(np.arange(-reach, reach + 1) / (PAD * size)))
    cross, _, power = _core.shell_products(density, atoms)
    width = np.full(2 * PAD + 1, 1.0)  # two image shells: narrower than the spacing of reflections
    transfer = np.convolve(cross, width, mode="same") / np.maximum(np.convolve(power, width, mode="same"), 1e-30)
    transfer = np.where(np.abs(transfer) > SEEN * np.abs(transfer).max(), transfer, 0.0)
    transfer[reach - 1 :] = 0.0
    volume = np.ascontiguousarray(atoms * transfer.astype(np.float32)[shell_index(reach)])
    return Reference.of(frames, centred[:, ::-1] * voxel, weight, transfer, volume)
