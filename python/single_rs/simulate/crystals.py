"""Nanocrystals of known positions: shape, defects, rough surface, strain, disorder.

Built in this order, each step optional: a block of lattice; a planar defect in it (or five twins, or
an icosahedron); the cut to a shape of given volume; islands and pits on the surface; a smooth strain
field; random displacements, larger at the surface. The result is centred on the mean of its atoms.

Smooth shapes have several equal poses, which no method could tell apart; the default roughness gives
every particle a shape of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.errors import DataFileError, InputError
from single_rs.settings import Settings, setting
from single_rs.simulate.lattices import LATTICES, SHAPES, atomic_volume, gauge, lattice_block, reference_lattice
from single_rs.simulate.streams import Stage, stream

__all__ = ["DEFECTS", "Crystal", "CrystalConfig", "nanocrystal", "read_crystal"]

DEFECTS = ("none", "stacking_fault", "twin", "decahedron", "icosahedron")

BULK_DISORDER_RATIO = 0.3  # random displacement in the bulk relative to the surface's
NEIGHBOUR_CUTOFF_RATIO = 1.2  # of the shortest distance; after the first shell (bcc: the second)
FULL_SHELL = {"fcc": 12, "hcp": 12, "bcc": 14, "diamond": 4}  # neighbours of a bulk atom within the cutoff
NEIGHBOUR_WORTH = 0.05  # of one neighbour, in cosine from the axis of a pit or island
ISLANDS = 3  # islands and as many pits, each a patch of the surface
BLOCK_MARGIN = 8.0  # Å of block beyond the particle, for islands and off-centre cuts


@dataclass(frozen=True)
class Crystal:
    """Atoms of one particle.

    Attributes
    ----------
    positions
        (n, 3) Å, (x, y, z) in the particle's frame, mean zero.
    symbols
        (n,) chemical symbols.
    """

    positions: NDArray[np.float64]
    symbols: NDArray[np.str_]

    def __len__(self) -> int:
        """Return the number of atoms."""
        return len(self.positions)

    @property
    def radius(self) -> float:
        """Largest distance of an atom from the mean position, Å."""
        return float(np.linalg.norm(self.positions, axis=1).max())

    def write(self, path: str | Path) -> None:
        """Write the atoms as extended XYZ, Å from the particle's centre."""
        from ase import Atoms
        from ase.io import write

        from single_rs.io import atomic

        with atomic(path) as temporary:
            write(temporary, Atoms(list(self.symbols), self.positions), format="extxyz")


@dataclass(frozen=True)
class CrystalConfig(Settings):
    """One nanocrystal; the arguments of `nanocrystal`."""

    element: str = setting("Pt", "Chemical symbol")
    diameter: float = setting(25.0, "Diameter of the sphere of equal volume", "Å", gt=3, le=150)
    shape: str = setting("wulff", "Shape cut from the lattice", choices=SHAPES)
    defect: str = setting("none", "Planar defect or multiple twin (fcc only)", choices=DEFECTS)
    structure: str | None = setting(None, "Lattice; from the element when not given", choices=LATTICES)
    lattice_constant: float | None = setting(None, "Lattice constant a; from the element when not given", "Å", gt=1)
    ragged: float = setting(0.3, "Share of surface atoms moved into islands and out of pits", ge=0, le=1)
    disorder: float = setting(0.05, "Random displacement of surface atoms, rms per axis", "Å", ge=0, le=1)
    bend: float = setting(0.0, "Bending strain at the surface", "", ge=-0.2, le=0.2)


def nanocrystal(
    element: str = "Pt",
    diameter: float = 25.0,
    shape: str = "wulff",
    *,
    defect: str = "none",
    structure: str | None = None,
    lattice_constant: float | None = None,
    ragged: float = 0.3,
    disorder: float = 0.05,
    bend: float = 0.0,
    strain: ArrayLike | None = None,
    seed: int = 0,
    item: int = 0,
) -> Crystal:
    """Build a nanocrystal.

    Parameters
    ----------
    element
        Chemical symbol.
    diameter
        Diameter in Å of the sphere of equal volume.
    shape
        ``"wulff"``, ``"sphere"``, ``"octahedron"`` or ``"cube"``; five-fold twins and icosahedra use a sphere.
    defect
        ``"none"``, ``"stacking_fault"``, ``"twin"`` (one {111} plane near the middle), ``"decahedron"`` or
        ``"icosahedron"``; all but the first need an fcc element.
    structure, lattice_constant
        Lattice, and its constant a in Å; of the element when not given.
    ragged
        Share of the surface atoms that islands and pits move, 0 to 1; 0 keeps the ideal shape, centred on a site.
    disorder
        Rms displacement per axis of surface atoms in Å; atoms inside get 0.3 of it.
    bend
        Strain at the surface of a particle bent in its x-z plane: ε_xx = bend · z / r.
    strain
        Homogeneous displacement gradient (3, 3), x → (1 + strain) x.
    seed, item
        Seed of the simulation and number of the particle.

    Raises
    ------
    InputError
        When a value is not accepted.
    """
    # The settings hold the accepted ranges; building them checks the arguments.
    CrystalConfig(element, diameter, shape, defect, structure, lattice_constant, ragged, disorder, bend)
    lattice, a, covera = _lattice(element, structure, lattice_constant)
    if defect != "none" and lattice != "fcc":
        raise InputError(f"defect is {defect!r}; only fcc crystals can have it, and the lattice is {lattice}")
    generator = stream(seed, Stage.CRYSTAL, item)
    block = _defective_block(element, lattice, a, covera, diameter, defect)
    # A random cut centre gives an unsymmetrical particle; the ideal one is centred on a site.
    centre = generator.uniform(-0.25, 0.25, 3) * a if ragged > 0 else np.zeros(3)
    outline = "sphere" if defect in ("decahedron", "icosahedron") else shape
    level = gauge(block - centre, outline, lattice, covera)
    count = max(2, round(np.pi / 6 * diameter**3 / atomic_volume(lattice, a, covera)))
    # Sites of equal gauge come or stay together; the cut whose number of atoms is nearest to the volume's is taken.
    ordered = np.sort(level)
    cuts = np.append(np.flatnonzero(np.diff(ordered) > 1e-6) + 1, len(ordered))
    inside = level <= ordered[cuts[np.argmin(np.abs(cuts - count))] - 1] + 1e-6
    if ragged > 0:
        inside = _roughen(block, inside, ragged, FULL_SHELL[lattice], generator)
    atoms = block[inside]
    atoms = atoms - atoms.mean(axis=0)
    surface = _neighbours(atoms).sum(axis=1) < FULL_SHELL[lattice]
    moved = _deform(atoms, bend, strain)
    spread = np.where(surface, disorder, BULK_DISORDER_RATIO * disorder)
    moved = moved + spread[:, None] * generator.standard_normal(moved.shape)
    return Crystal(moved - moved.mean(axis=0), np.full(len(moved), element))


def read_crystal(path: str | Path) -> Crystal:
    """Read atoms from any file ASE knows (xyz, cif, POSCAR, pdb, …), centred on their mean.

    Parameters
    ----------
    path
        File; its suffix tells the format.

    Raises
    ------
    DataFileError
        When the file is missing or not readable.
    """
    from ase.io import read

    try:
        atoms: Any = read(path)
    except Exception as error:  # ASE's readers raise whatever their parser does
        raise DataFileError(f"cannot read atoms from {path}: {error}") from error
    if len(atoms) == 0:
        raise DataFileError(f"{path} holds no atoms")
    positions = np.asarray(atoms.get_positions(), dtype=np.float64)
    return Crystal(positions - positions.mean(axis=0), np.array(atoms.get_chemical_symbols()))


def _lattice(element: str, structure: str | None, constant: float | None) -> tuple[str, float, float]:
    """Return (structure, a in Å, c/a) from the element and what overrides it."""
    if structure is not None and constant is not None:
        return structure, constant, float(np.sqrt(8 / 3))
    own, a, covera = reference_lattice(element)
    if structure is not None and structure != own:
        raise InputError(f"{element} is {own}; to build it as {structure} give lattice_constant too")
    return own, constant or a, covera


def _defective_block(
    element: str, lattice: str, a: float, covera: float, diameter: float, defect: str
) -> NDArray[np.float64]:
    """Return the sites (n, 3) from which the particle is cut, with its planar defect."""
    radius = 0.9 * diameter + BLOCK_MARGIN  # a cube's or octahedron's corner is at most 0.81 (1.1 for sharp tips) d
    if defect == "decahedron":
        from ase.cluster import Decahedron

        half = int(np.ceil(radius / (a / np.sqrt(2)))) + 1
        sites = Decahedron(element, half, 2 * half, 0, latticeconstant=a).get_positions()
    elif defect == "icosahedron":
        from ase.cluster import Icosahedron

        shells = int(np.ceil(radius / (0.95 * a / np.sqrt(2)))) + 2  # a vertex is 0.95 neighbour distances per shell
        sites = Icosahedron(element, shells, latticeconstant=a).get_positions()
    else:
        radius = max(radius, 1.15 * diameter + 0.5 * BLOCK_MARGIN)
        sites = lattice_block(lattice, a, covera, radius)
    if defect in ("twin", "stacking_fault"):
        normal = np.ones(3) / np.sqrt(3)
        height = sites @ normal
        above = height > 0.5 * a / np.sqrt(3)
        if defect == "twin":
            # Mirror the lower half in the (111) layer through the origin: layers …cba|A|bca… become …ACB A BCA….
            lower = sites[height <= 1e-6 * a]
            mirrored = lower - 2 * np.outer(lower @ normal, normal)
            return np.concatenate([lower, mirrored[mirrored @ normal > 0.5 * a / np.sqrt(3)]])
        # Shockley partial a/6 [11-2] lies in the plane and turns …ABCABC… into …ABC|BCA….
        sites = sites + np.where(above[:, None], a / 6 * np.array([1.0, 1.0, -2.0]), 0.0)
    centre = sites.mean(axis=0) if defect in ("decahedron", "icosahedron") else 0.0
    return sites - centre


def _neighbours(points: NDArray[np.float64]) -> Any:
    """Return the nearest-neighbour table of points (n, 3) as a sparse (n, n) matrix of ones."""
    from scipy.sparse import csr_array
    from scipy.spatial import cKDTree

    tree = cKDTree(points)
    shortest = np.median(tree.query(points, k=2)[0][:, 1])
    pairs = tree.query_pairs(NEIGHBOUR_CUTOFF_RATIO * shortest, output_type="ndarray")
    both = np.concatenate([pairs, pairs[:, ::-1]])
    return csr_array((np.ones(len(both), dtype=np.int64), (both[:, 0], both[:, 1])), shape=(len(points), len(points)))


def _roughen(
    block: NDArray[np.float64], inside: NDArray[np.bool_], ragged: float, full: int, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Take surface atoms out of pits and put as many on islands; the number of atoms is kept.

    Pits and islands are patches about random directions. A pit takes the least coordinated atoms first and an
    island grows on sites with a quarter of a full shell or more, so that no atom is left without support.
    """
    inside = inside.copy()
    centre = block[inside].mean(axis=0)
    table = _neighbours(block)
    coordination = table @ inside.astype(np.int64)
    surface = int(np.sum(inside & (coordination < full)))
    patch = max(1, round(ragged * surface / (2 * ISLANDS)))
    direction = (block - centre) / np.maximum(np.linalg.norm(block - centre, axis=1, keepdims=True), 1e-9)
    for number in range(2 * ISLANDS):
        axis = generator.standard_normal(3)
        facing = direction @ (axis / np.linalg.norm(axis))
        adding = number % 2 == 1
        for _ in range(patch):
            supported = coordination >= max(2, full // 4)
            allowed = ~inside & supported if adding else inside & (coordination < full)
            # Neighbours count too: patches stay compact instead of growing as spikes.
            worth = facing + (NEIGHBOUR_WORTH if adding else -NEIGHBOUR_WORTH) * coordination
            site = int(np.argmax(np.where(allowed, worth, -np.inf)))
            inside[site] = adding
            around = table.indices[table.indptr[site] : table.indptr[site + 1]]
            coordination[around] += 1 if adding else -1
    return inside


def _deform(atoms: NDArray[np.float64], bend: float, strain: ArrayLike | None) -> NDArray[np.float64]:
    """Return the atoms after a homogeneous displacement gradient and a circular bend in the x-z plane."""
    gradient = np.zeros((3, 3)) if strain is None else np.asarray(strain, dtype=np.float64)
    if gradient.shape != (3, 3) or not np.isfinite(gradient).all():
        raise InputError(f"strain has shape {gradient.shape}; a finite (3, 3) displacement gradient is needed")
    moved = atoms @ (np.eye(3) + gradient).T
    curvature = bend / np.linalg.norm(atoms, axis=1).max()
    x, z = atoms[:, 0], atoms[:, 2]
    # u = κ (x z, 0, -x²/2): ε_xx = κ z and ε_xz = 0, pure bending.
    return moved + curvature * np.stack([x * z, np.zeros_like(x), -0.5 * x**2], axis=1)
