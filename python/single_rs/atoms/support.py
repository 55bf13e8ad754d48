"""Where the particle is in the map, and how far apart its atoms should be.

The particle is where the map has power at the scale of atoms: with D = G(0.3 Å) − G(0.9 Å) (G a Gaussian filter) the
local power is P = G(0.6 d) ∗ (D ∗ map)², d the nearest-neighbour distance. Outside the particle P is flat noise; the
support is the connected region above the geometric mean of that floor and the level in the particle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from single_rs.base.errors import InputError, NoParticleError
from single_rs.base.robust import robust_sigma
from single_rs.crystal.material import compound_bulk

__all__ = ["Support", "find_support", "nearest_neighbour_distance"]

# Half-widths (Å) of the two Gaussians whose difference passes features of the size of an atom at 0.7 to 1 Å.
ATOM_SCALE = 0.3
BACKGROUND_SCALE = 0.9
# Share of the box taken as surely empty: a 4 nm particle in a 4.6 nm box still leaves 60 % outside it.
EMPTY_SHARE = 0.2
# The local power averages thousands of independent voxels, so noise alone varies by a few per cent.
MIN_CONTRAST = 1.15


@dataclass(frozen=True)
class Support:
    """Region of the map that holds the particle.

    Attributes
    ----------
    mask
        (z, y, x) bool, the region widened by 0.8 neighbour distances so that surface atoms are inside.
    noise
        Standard deviation of the map outside `mask`, map units (0 when the map was masked before).
    contrast
        Local power inside over that outside.
    """

    mask: np.ndarray
    noise: float
    contrast: float


def nearest_neighbour_distance(element: str) -> float:
    """Bulk nearest-neighbour distance of an element or a compound in Å.

    From the lattice constants of ASE's `reference_states` for fcc, bcc, hcp and diamond, else twice the covalent
    radius; of a compound or an alloy from `crystal.material`.

    Parameters
    ----------
    element
        Chemical symbol or formula, e.g. ``"Pt"`` or ``"CdSe"``.

    Raises
    ------
    InputError
        When the symbol is not an element, and not the formula of a tabulated compound or of an alloy.
    """
    from ase.data import atomic_numbers, covalent_radii, reference_states

    number = atomic_numbers.get(element) if isinstance(element, str) else None
    if not number:
        bulk = compound_bulk(element) if isinstance(element, str) and element != "X" else None
        if bulk is None:
            raise InputError(f"element is {element!r}; a chemical symbol such as 'Pt' is needed, or neighbour_distance")
        return bulk.nearest
    state: dict[str, Any] = reference_states[number] or {}
    share: float | None = {"fcc": 0.5**0.5, "bcc": 0.75**0.5, "diamond": 0.1875**0.5, "hcp": 1.0}.get(
        state.get("symmetry", "")
    )
    if share is None:
        return 2.0 * float(covalent_radii[number])
    a = float(state["a"])
    if state["symmetry"] == "hcp":
        return min(a, float(np.hypot(a / 3**0.5, 0.5 * state["c/a"] * a)))
    return share * a


def find_support(volume: np.ndarray, pixel_size: float, distance: float, diameter: float | None = None) -> Support:
    """Find the particle in a map by its local power at the scale of atoms.

    Parameters
    ----------
    volume
        (z, y, x) map.
    pixel_size
        Å.
    distance
        Nearest-neighbour distance, Å.
    diameter
        Rough diameter of the particle in Å, only used to keep far-away regions out (beyond 0.8 diameters from
        the particle's centre of power); None when not known.

    Raises
    ------
    NoParticleError
        When no region stands out of the noise.
    """
    fine = volume.astype(np.float32)
    band = ndimage.gaussian_filter(fine, ATOM_SCALE / pixel_size) - ndimage.gaussian_filter(
        fine, BACKGROUND_SCALE / pixel_size
    )
    # The local power varies over more than a bond, so every second voxel tells all of it.
    power = ndimage.gaussian_filter(band * band, 0.6 * distance / pixel_size)[::2, ::2, ::2].astype(np.float64)
    floor = float(np.quantile(power, EMPTY_SHARE))
    # The level inside: over the volume of a particle of a few dozen atoms, never below 0.5 % of the box.
    inside = float(np.quantile(power, 0.995))
    if not inside > MIN_CONTRAST * floor:
        raise NoParticleError(
            "no particle in the map: local power at the scale of atoms varies by a factor "
            f"{inside / max(floor, 1e-300):.2f} over the box, at least {MIN_CONTRAST} is needed; "
            "check the poses and the pixel size"
        )
    core = power > max(np.sqrt(floor * inside), 0.08 * inside)
    label, count = ndimage.label(core)
    weight = ndimage.sum_labels(power, label, np.arange(1, count + 1))
    core = label == 1 + int(np.argmax(weight))
    margin = 0.8 * distance / pixel_size
    mask = ndimage.distance_transform_edt(~core) <= 0.5 * margin
    if diameter is not None:
        centre = ndimage.center_of_mass(np.where(core, power, 0.0))
        grid = np.ogrid[tuple(slice(0, n) for n in mask.shape)]
        r2 = sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True))
        mask &= r2 <= (0.4 * diameter / pixel_size) ** 2
    mask = mask.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    outside = volume[~ndimage.binary_dilation(mask, iterations=2)]
    # Robust: deaf to streaks and rings.
    noise = robust_sigma(outside) if outside.size > 1000 else 0.0
    return Support(mask=mask, noise=noise, contrast=inside / max(floor, 1e-300))
