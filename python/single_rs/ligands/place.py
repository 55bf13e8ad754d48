"""Ligands on the facets of a particle: starting structures for calculations of their binding.

The oxygen stands on top of a surface atom M, x_O = x_M + d n, along the normal n of the facet; the C=O bond leans away
from n by a tilt of 30 to 60 degrees, so that the angle M-O-C is 120 to 150 degrees, as lone pairs of the oxygen ask
for. Tilt, azimuth and the turn about C=O are drawn at random from the seed until nothing clashes:

    |x_a − x_b| ≥ 0.75 (r_a + r_b) to the particle,  0.8 (r_a + r_b) between ligands,   r van der Waals radii.

The distance d is the sum of the covalent radii and 0.3 Å (2.32 Å on Pt, 2.41 Å on Ag), to be relaxed. With energies,

    E_bind = (E(particle + k ligands) − E(particle) − k E(ligand)) / k.

References: radii of S. Alvarez, Dalton Trans. 42, 8617 (2013), doi:10.1039/c3dt50599e, and B. Cordero et al., Dalton
Trans. 2832 (2008), doi:10.1039/b801115j; PVP binds to {100} and {111} of Ag by this oxygen, W. A. Saidi, H. Feng and
K. A. Fichthorn, J. Phys. Chem. C 117, 1163 (2013), doi:10.1021/jp3090972.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from single_rs.analysis.lattice import Lattice, fit_lattice
from single_rs.base.errors import InputError
from single_rs.base.seeds import random_stream
from single_rs.ligands.molecules import Molecule, molecule
from single_rs.ligands.sites import Site, facet_sites, miller
from single_rs.records import Atoms

__all__ = ["STREAM", "LigandModel", "LigandPlace", "describe", "orient", "place_ligands", "start_distance"]

_STRETCH = 0.3  # Å beyond the covalent radii: a dative bond to a surface is longer than a single bond
_TILT = (30.0, 60.0)  # degrees
_TOUCH_PARTICLE, _TOUCH_LIGAND = 0.75, 0.8  # shares of the van der Waals distance
_TRIES = 60  # orientations tried on each site
# Keeps this stream of random numbers apart from those of other stages with the same seed.
STREAM = 0x4C494741 << 32


@dataclass(frozen=True)
class LigandPlace:
    """Where one ligand stands.

    Attributes
    ----------
    atom
        Index of the surface atom under the oxygen.
    plane
        Miller indices of the facet, in the axes of the atom's domain.
    distance
        Å from the oxygen to that atom.
    height
        Å of the oxygen above the mean height of that atom and its neighbours in the facet.
    tilt
        Degrees between C=O and the normal.
    contact
        Å, the shortest distance between any other atom of the ligand and the particle.
    """

    atom: int
    plane: tuple[int, int, int]
    distance: float
    height: float
    tilt: float
    contact: float


@dataclass(frozen=True)
class LigandModel:
    """A particle of n atoms with k ligands of m atoms each; the particle's atoms come first and keep their order.

    Attributes
    ----------
    atoms
        All n + k m atoms, Å in the frame of the particle; unknown columns are NaN.
    ligand
        (n + k m,) int, 0 for the particle, 1 to k for the ligands.
    molecule
        The ligand.
    places
        Where each stands.
    facet
        Family of planes, "111".
    cell
        (3, 3) Å, vectors of a slab as rows, periodic along the first two; None for a particle.
    surface
        "particle", or the slab: "Pt (111)".
    """

    atoms: Atoms
    ligand: NDArray[np.int64]
    molecule: Molecule
    places: tuple[LigandPlace, ...]
    facet: str = ""
    cell: NDArray[np.float64] | None = None
    surface: str = "particle"


def place_ligands(
    atoms: Atoms,
    facet: str = "111",
    count: int = 1,
    *,
    ligand: str = "nep",
    distance: float | None = None,
    lattice: Lattice | None = None,
    seed: int = 0,
) -> LigandModel:
    """Place ligands on the facets of a particle, oxygen towards the surface.

    Parameters
    ----------
    atoms
        Positions (n, 3) in Å and symbols.
    facet
        Family of planes, "111", "100", …, in the axes of the lattice.
    count
        Number of ligands, spread over all facets of the family.
    ligand
        "nep", the unit of PVP, or "nvp", its monomer.
    distance
        Å from the oxygen to the surface atom; None: covalent radii and 0.3 Å.
    lattice
        Of these atoms; None: it is fitted.
    seed
        Of sites and orientations.

    Returns
    -------
    LigandModel
        The atoms of particle and ligands, and where each stands.

    Raises
    ------
    InputError
        No such facet, an unknown ligand, or fewer free sites than ligands; the message says how many fit.
    ConvergenceError
        The particle has no lattice.
    """
    if count < 1:
        raise InputError(f"count is {count}; at least 1 is needed")
    if distance is not None and not 1.5 <= distance <= 4.0:
        raise InputError(f"distance is {distance} Å; 1.5 to 4.0 Å are needed between the oxygen and the surface atom")
    positions = np.asarray(atoms.positions, dtype=np.float64)
    plane = miller(facet)
    guest = molecule(ligand)
    sites = facet_sites(positions, fit_lattice(positions) if lattice is None else lattice, plane)
    if not sites:
        raise InputError(f"facet is {facet!r}; no atom of this particle lies on such a facet, try 111 or 100")
    placed: list[NDArray[np.float64]] = []
    places: list[LigandPlace] = []
    random = random_stream(seed, STREAM)
    # Inner sites of facets first, in random order: a ligand at an edge leans over it.
    order = random.permutation(len(sites))
    order = order[np.argsort([-sites[k].complete for k in order], kind="stable")]
    taken: set[int] = set()
    for k in order:
        site = sites[k]
        if len(places) == count or site.atom in taken:
            continue
        length = start_distance(str(atoms.symbols[site.atom])) if distance is None else distance
        found = orient(positions, np.asarray(atoms.symbols, dtype=str), site, guest, length, placed, random)
        if found is not None:
            placed.append(found)
            taken.add(site.atom)
            places.append(describe(positions, site, guest, found))
    if len(places) < count:
        raise InputError(
            f"count is {count}; {len(places)} ligands fit on the {len(sites)} sites of {{{facet}}} without clashes, "
            f"give {len(places)} or fewer, or another seed"
        )
    return _model(atoms, guest, placed, tuple(places), facet)


def start_distance(symbol: str) -> float:
    """Å from the oxygen to a surface atom to start from."""
    from ase.data import atomic_numbers, covalent_radii

    return float(covalent_radii[atomic_numbers[symbol]] + covalent_radii[8]) + _STRETCH


def _radii(symbols: NDArray[np.str_]) -> NDArray[np.float64]:
    """Van der Waals radii (n,) in Å."""
    from ase.data import atomic_numbers
    from ase.data.vdw_alvarez import vdw_radii

    return np.array([vdw_radii[atomic_numbers[str(s)]] for s in symbols])


def orient(
    positions: NDArray[np.float64],
    symbols: NDArray[np.str_],
    site: Site,
    guest: Molecule,
    length: float,
    placed: list[NDArray[np.float64]],
    random: np.random.Generator,
    shifts: NDArray[np.float64] | None = None,
) -> NDArray[np.float64] | None:
    """Return the atoms (m, 3) of a ligand on a site, in the first orientation that does not clash, or None.

    `shifts` (k, 3) are the lattice vectors to its own images on a slab.
    """
    own = _radii(guest.symbols)
    near = np.flatnonzero(np.linalg.norm(positions - positions[site.atom], axis=1) < 15.0)
    least = _TOUCH_PARTICLE * (own[:, None] + _radii(symbols[near])[None])
    # The bond itself is meant to be short.
    least[guest.donor, near == site.atom] = 0.0
    between = _TOUCH_LIGAND * (own[:, None] + own[None])
    for _ in range(_TRIES):
        tilt, azimuth, turn = np.radians(random.uniform(*_TILT)), *(2 * np.pi * random.random(2))
        found = _place(positions[site.atom] + length * site.normal, site.normal, guest, tilt, azimuth, turn)
        if np.any(cdist(found, positions[near]) < least):
            continue
        own_images = [found + shift for shift in ([] if shifts is None else shifts)]
        if all(np.all(cdist(found, other) >= between) for other in (*placed, *own_images)):
            return found
    return None


def _place(
    oxygen: NDArray[np.float64], normal: NDArray[np.float64], guest: Molecule, tilt: float, azimuth: float, turn: float
) -> NDArray[np.float64]:
    """Put the donor on a point, with the bond to its anchor tilted from the normal (radians)."""
    axis = guest.positions[guest.anchor] - guest.positions[guest.donor]
    # The frame (e, f, normal) gives the azimuth a meaning; which e is taken does not matter.
    e = np.cross(normal, np.eye(3)[np.argmin(np.abs(normal))])
    e /= np.linalg.norm(e)
    f = np.cross(normal, e)
    lean = np.sin(tilt) * (np.cos(azimuth) * e + np.sin(azimuth) * f) + np.cos(tilt) * normal
    upright, _ = Rotation.align_vectors([lean], [axis / np.linalg.norm(axis)])
    rotation = Rotation.from_rotvec(turn * lean) * upright
    return np.asarray(oxygen + rotation.apply(guest.positions - guest.positions[guest.donor]))


def describe(positions: NDArray[np.float64], site: Site, guest: Molecule, found: NDArray[np.float64]) -> LigandPlace:
    """Say where a ligand stands."""
    oxygen, bond = found[guest.donor], found[guest.anchor] - found[guest.donor]
    facet = positions[[site.atom, *site.beside]].mean(axis=0)
    others = np.delete(found, guest.donor, axis=0)
    return LigandPlace(
        atom=site.atom,
        plane=site.plane,
        distance=float(np.linalg.norm(oxygen - positions[site.atom])),
        height=float((oxygen - facet) @ site.normal),
        tilt=float(np.degrees(np.arccos(np.clip(bond @ site.normal / np.linalg.norm(bond), -1, 1)))),
        contact=float(cdist(others, positions).min()),
    )


def _model(
    atoms: Atoms, guest: Molecule, placed: list[NDArray[np.float64]], places: tuple[LigandPlace, ...], facet: str
) -> LigandModel:
    added = len(placed) * len(guest.symbols)
    unknown = np.full(added, np.nan)
    columns = {
        name: np.concatenate([np.asarray(getattr(atoms, name), dtype=np.float64), unknown])
        for name in ("height", "bfactor", "sigma", "probability")
    }
    symbols = np.concatenate([np.asarray(atoms.symbols, dtype=str), np.tile(guest.symbols, len(placed))])
    which = np.repeat(np.arange(len(placed) + 1), [len(atoms)] + [len(guest.symbols)] * len(placed))
    everything = Atoms(np.concatenate([np.asarray(atoms.positions), *placed]), symbols, **columns)
    return LigandModel(everything, which.astype(np.int64), guest, places, facet)
