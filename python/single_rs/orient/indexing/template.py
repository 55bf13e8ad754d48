"""The ideal crystal as the indexing sees it: reflections, symmetry, view directions, sites.

Frame: the particle's axes are those of the conventional cell, a along x. Frequencies are in 1/Å. The power of a
reflection g of a structure with motif r_j is f_e(g)² |Σ_j exp(2πi g·r_j)|² exp(−B g²/2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from single_rs.base.errors import InputError
from single_rs.crystal.prototypes import bulk_reference, prototype
from single_rs.crystal.scattering import scattering_factor

__all__ = ["LatticeTemplate", "beam_directions", "lattice_template"]

# Proper rotations that leave the power spectrum of each structure as it is (its Laue class), cell axes as above.
LAUE_GROUP = {"fcc": "O", "bcc": "O", "diamond": "O", "hcp": "D6"}

# Sites of each structure lie on an orthogonal grid of these steps, in units of the nearest-neighbour distance.
GRID_STEP = {
    "fcc": np.full(3, np.sqrt(0.5)),
    "bcc": np.full(3, np.sqrt(1 / 3)),
    "diamond": np.full(3, np.sqrt(1 / 3)),
    "hcp": np.array([0.5, np.sqrt(1 / 12), np.sqrt(2 / 3)]),
}

DEBYE_WALLER = 1.5  # Å², B of the template: thermal motion and disorder of a nanocrystal together


@dataclass(frozen=True)
class LatticeTemplate:
    """An ideal crystal of given element, structure and nearest-neighbour distance.

    Attributes
    ----------
    element
        Chemical symbol.
    structure
        fcc, bcc, hcp or diamond.
    spacing
        Nearest-neighbour distance, Å.
    group
        (g, 3, 3) proper rotations of the Laue class.
    """

    element: str
    structure: str
    spacing: float
    group: NDArray[np.float64]

    @property
    def lattice_constant(self) -> float:
        """Length of a of the conventional cell, Å."""
        return float(np.linalg.norm(prototype(self.structure).cell[0]) * self.spacing)

    @property
    def grid_step(self) -> NDArray[np.float64]:
        """(3,) steps in Å of the orthogonal grid that holds all sites."""
        return GRID_STEP[self.structure] * self.spacing

    def scaled(self, factor: float) -> LatticeTemplate:
        """Return the same crystal with all distances times `factor`."""
        return LatticeTemplate(self.element, self.structure, self.spacing * factor, self.group)

    def amplitude(self, k: NDArray[np.floating]) -> NDArray[np.float64]:
        """Amplitude of one atom at frequencies `k` (1/Å), 1 at k = 0."""
        f = scattering_factor(self.element, np.asarray(k, dtype=float))
        amplitude: NDArray[np.float64] = (
            f / scattering_factor(self.element, np.zeros(1))[0] * np.exp(-DEBYE_WALLER * np.square(k) / 4)
        )
        return amplitude

    def reflections(self, max_frequency: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Reciprocal lattice points (m, 3) in 1/Å up to `max_frequency`, and their power, 1 for the strongest."""
        proto = prototype(self.structure)
        reciprocal = np.linalg.inv(proto.cell * self.spacing)  # columns a*, b*, c*
        reach = np.ceil(max_frequency * np.linalg.norm(proto.cell * self.spacing, axis=1)).astype(int)
        hkl = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in reach), indexing="ij"), -1).reshape(-1, 3)
        g = hkl @ reciprocal.T
        k = np.linalg.norm(g, axis=1)
        keep = (k > 0) & (k <= max_frequency)
        factor = np.abs(np.exp(2j * np.pi * hkl[keep] @ proto.motif.T).sum(axis=1)) ** 2
        power = factor * self.amplitude(k[keep]) ** 2
        strong = power > 1e-6 * power.max()
        return g[keep][strong], power[strong] / power.max()

    def sites(self, radius: float) -> NDArray[np.int64]:
        """Grid indices (s, 3) of all lattice sites within `radius` Å of the origin, a site among them."""
        proto = prototype(self.structure)
        cell = proto.cell * self.spacing
        reach = np.ceil(radius / np.linalg.norm(cell, axis=1)).astype(int) + 2
        cells = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in reach), indexing="ij"), -1).reshape(-1, 3)
        points = ((cells[:, None] + proto.motif) @ cell).reshape(-1, 3)
        points = points[np.linalg.norm(points, axis=1) <= radius]
        return np.asarray(np.rint(points / self.grid_step).astype(np.int64))


def lattice_template(
    element: str, structure: str | None = None, lattice_constant: float | None = None
) -> LatticeTemplate:
    """Template of `element`; structure and lattice constant (Å) from ASE's bulk table where not given.

    Raises
    ------
    InputError
        An element without a tabulated structure, when structure or lattice constant is not given.
    """
    bulk = bulk_reference(element)
    name = structure or (bulk.structure if bulk else None)
    if name not in LAUE_GROUP:
        raise InputError(
            f"element {element!r} has no tabulated fcc, bcc, hcp or diamond structure; "
            "give orient.structure and orient.lattice_constant"
        )
    if lattice_constant is not None:
        spacing = lattice_constant / float(np.linalg.norm(prototype(name).cell[0]))
    elif bulk is not None and bulk.structure == name:
        spacing = bulk.nearest
    else:
        raise InputError(f"no tabulated {name} lattice constant of {element!r}; give orient.lattice_constant in Å")
    return LatticeTemplate(element, name, spacing, Rotation.create_group(LAUE_GROUP[name]).as_matrix())


def beam_directions(group: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Beam directions (d, 3) about `step` degrees apart that no rotation of `group` maps on each other.

    A spherical Fibonacci lattice, cut to the Dirichlet domain of a generic pole: of each orbit the direction nearest
    to the pole is kept.
    """
    count = int(4 * np.pi / np.radians(step) ** 2)
    i = np.arange(count) + 0.5
    polar, azimuth = np.arccos(1 - 2 * i / count), np.pi * (1 + 5**0.5) * i
    d = np.stack([np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)], axis=1)
    pole = np.array([0.46, 0.27, 0.84])  # generic: on no symmetry element of any group here
    orbit = np.einsum("gij,nj->ngi", group, d) @ pole
    return np.asarray(d[d @ pole >= orbit.max(axis=1) - 1e-9])
