"""Nanoparticles of known positions: shape, grains, defects, rough surface, strain, disorder, one or two elements.

Built in this order, each step optional: a block of lattice, of one or more grains (`blocks`); the cut to a shape of
given volume; islands and pits on the surface (`surfaces`); a smooth strain field; random displacements, larger at
the surface; a disordered shell (`amorphous`); the second element (`alloys`). An amorphous particle has no lattice and
takes only the last step. The result is centred on the mean of its atoms.

Smooth shapes have several equal poses, which no method could tell apart; the default roughness gives
every particle a shape of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.base.errors import InputError
from single_rs.base.settings import Settings, setting
from single_rs.io import atomic
from single_rs.io.atom_files import read_atom_file
from single_rs.simulate.alloys import MIXINGS, mixed_constant, mixed_symbols
from single_rs.simulate.amorphous import melted_shell, random_packing
from single_rs.simulate.blocks import DEFECTS, Block, Lattice, make_block
from single_rs.simulate.lattices import (
    LATTICES,
    SAME_LEVEL,
    SHAPES,
    atomic_volume,
    outermost_level,
    reference_lattice,
)
from single_rs.simulate.streams import Stage, stream
from single_rs.simulate.surfaces import FULL_SHELL, neighbour_table, roughen

__all__ = ["DEFECTS", "Crystal", "CrystalConfig", "nanocrystal", "read_crystal"]

AMORPHOUS = "amorphous"
STRUCTURES = (*LATTICES, AMORPHOUS)
BULK_DISORDER_RATIO = 0.3  # random displacement in the bulk relative to the surface's
NO_GRAIN = -1  # of atoms without lattice


@dataclass(frozen=True)
class Crystal:
    """Atoms of one particle.

    Attributes
    ----------
    positions
        (n, 3) Å, (x, y, z) in the particle's frame, mean zero.
    symbols
        (n,) chemical symbols.
    grain
        (n,) grain of each atom, -1 where there is no lattice; None when not known (atoms from a file).
    frames
        (g, 3, 3) orientation of each grain, x_particle = frames[g] · x_crystal; None when not known.
    """

    positions: NDArray[np.float64]
    symbols: NDArray[np.str_]
    grain: NDArray[np.int64] | None = None
    frames: NDArray[np.float64] | None = None

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

        with atomic(path) as temporary:
            write(temporary, Atoms(list(self.symbols), self.positions), format="extxyz")


@dataclass(frozen=True)
class CrystalConfig(Settings):
    """One nanocrystal; the arguments of `nanocrystal`."""

    element: str = setting("Pt", "Chemical symbol")
    diameter: float = setting(25.0, "Diameter of the sphere of equal volume", "Å", gt=3, le=150)
    shape: str = setting("wulff", "Shape cut from the lattice", choices=SHAPES)
    defect: str = setting("none", "Planar defect, multiple twin (fcc only) or grain boundary", choices=DEFECTS)
    structure: str | None = setting(None, "Lattice, or amorphous; from the element when not given", choices=STRUCTURES)
    lattice_constant: float | None = setting(None, "Lattice constant a; from the element when not given", "Å", gt=1)
    ragged: float = setting(0.3, "Share of surface atoms moved into islands and out of pits", ge=0, le=1)
    disorder: float = setting(0.05, "Random displacement of surface atoms, rms per axis", "Å", ge=0, le=1)
    bend: float = setting(0.0, "Bending strain at the surface", "", ge=-0.2, le=0.2)
    shell: float = setting(0.0, "Thickness of a disordered shell", "Å", ge=0)
    misorientation: float | None = setting(
        None, "Angle between the grains of a grain boundary; random when not given", "°", gt=0, le=180
    )
    second: str | None = setting(None, "Second element of a bimetallic particle")
    fraction: float = setting(0.5, "Share of the atoms that are of the second element", ge=0, le=1)
    mixing: str = setting("random", "Where the second element is: anywhere, or in the shell", choices=MIXINGS)


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
    shell: float = 0.0,
    misorientation: float | None = None,
    second: str | None = None,
    fraction: float = 0.5,
    mixing: str = "random",
    strain: ArrayLike | None = None,
    seed: int = 0,
    item: int = 0,
) -> Crystal:
    """Build a nanoparticle.

    Parameters
    ----------
    element
        Chemical symbol.
    diameter
        Diameter in Å of the sphere of equal volume.
    shape
        ``"wulff"``, ``"sphere"``, ``"octahedron"`` or ``"cube"``; for multiple twins ``"wulff"`` is the shape they are
        named for.
    defect
        ``"none"``; ``"stacking_fault"`` or ``"twin"``, one {111} plane near the middle; ``"decahedron"`` (Ino's),
        ``"marks_decahedron"`` or ``"icosahedron"`` (Mackay's); ``"grain_boundary"``, two grains turned at random on a
        random plane near the middle. All but the first and the last need an fcc element.
    structure, lattice_constant
        Lattice (``"fcc"``, ``"bcc"``, ``"hcp"``, ``"diamond"``) or ``"amorphous"``, a random close packing in a ball;
        and the lattice constant a in Å. Of the element when not given; of both elements' volumes in an alloy.
    ragged
        Share of the surface atoms that islands and pits move, 0 to 1; 0 keeps the ideal shape, centred on a site.
    disorder
        Rms displacement per axis of surface atoms in Å; atoms inside get 0.3 of it.
    bend
        Strain at the surface of a particle bent in its x-z plane: ε_xx = bend · z / r.
    shell
        Thickness in Å of the outer part whose atoms are packed at random on the crystal; 0 for none.
    misorientation
        Angle in degrees between the two grains of a grain boundary; a uniformly random rotation when not given.
    second, fraction, mixing
        Second element, its share of the atoms, and whether it is ``"random"`` or outside (``"core_shell"``).
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
    CrystalConfig(
        element, diameter, shape, defect, structure, lattice_constant, ragged, disorder, bend, shell, misorientation,
        second, fraction, mixing,
    )  # fmt: skip
    lattice = _lattice(element, structure, lattice_constant, second, fraction)
    count = max(2, round(np.pi / 6 * diameter**3 / atomic_volume(lattice.structure, lattice.a, lattice.covera)))
    if structure == AMORPHOUS:
        if defect != "none":
            raise InputError(f"defect is {defect!r}; an amorphous particle has no lattice that could have it")
        atoms = random_packing(count, diameter, lattice.bond, stream(seed, Stage.PACKING, item))
        atoms = _deform(atoms - atoms.mean(axis=0), bend, strain)
        depth, grain, frames = -np.linalg.norm(atoms, axis=1), np.full(len(atoms), NO_GRAIN), np.empty((0, 3, 3))
    else:
        generator = stream(seed, Stage.CRYSTAL, item)
        block = make_block(element, lattice, diameter, defect, misorientation, stream(seed, Stage.GRAINS, item))
        # A random cut centre gives an unsymmetrical particle; the ideal one is centred on a site.
        centre = generator.uniform(-0.25, 0.25, 3) * lattice.a if ragged > 0 else np.zeros(3)
        inside, depth = _cut(block, centre, shape, count)
        if ragged > 0:
            inside = roughen(block.sites, inside, ragged, FULL_SHELL[lattice.structure], generator)
        atoms, depth, grain, frames = block.sites[inside], depth[inside], block.grain[inside], block.frames
        atoms = atoms - atoms.mean(axis=0)
        surface = neighbour_table(atoms).sum(axis=1) < FULL_SHELL[lattice.structure]
        atoms = _deform(atoms, bend, strain)
        spread = np.where(surface, disorder, BULK_DISORDER_RATIO * disorder)
        atoms = atoms + spread[:, None] * generator.standard_normal(atoms.shape)
        if shell > 0:
            loose = depth < shell
            atoms, kept = melted_shell(atoms, loose, lattice.bond, stream(seed, Stage.PACKING, item))
            depth, grain = depth[kept], np.where(loose, NO_GRAIN, grain)[kept]
    symbols = mixed_symbols(depth, element, second, fraction, mixing, stream(seed, Stage.SPECIES, item))
    return Crystal(atoms - atoms.mean(axis=0), symbols, grain, frames)


def _cut(
    block: Block, centre: NDArray[np.float64], shape: str, count: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which sites (n,) make the particle whose number of atoms is nearest to `count`, and their depth in Å."""
    level = block.level(centre, shape)
    outermost = outermost_level(level, count)
    return level <= outermost + SAME_LEVEL, outermost - level


def read_crystal(path: str | Path) -> Crystal:
    """Read atoms from any file ASE knows (xyz, cif, POSCAR, pdb, …), centred on their mean.

    Parameters
    ----------
    path
        File; its suffix tells the format.

    Raises
    ------
    DataFileError
        When the file is missing, not readable, or its atoms cannot be true.
    """
    atoms = read_atom_file(path)
    return Crystal(atoms.positions - atoms.positions.mean(axis=0), atoms.symbols)


def _lattice(
    element: str, structure: str | None, constant: float | None, second: str | None, fraction: float
) -> Lattice:
    """Return the lattice of the element, changed by what overrides it and by the second element."""
    if structure not in (None, AMORPHOUS) and constant is not None:
        return Lattice(str(structure), constant, float(np.sqrt(8 / 3)))
    own, a, covera = reference_lattice(element)
    if structure not in (None, AMORPHOUS, own):
        raise InputError(f"{element} is {own}; to build it as {structure} give lattice_constant too")
    if constant is None and second is not None:
        constant = mixed_constant(own, a, covera, second, fraction)
    return Lattice(own, constant or a, covera)


def _deform(atoms: NDArray[np.float64], bend: float, strain: ArrayLike | None) -> NDArray[np.float64]:
    """Return the atoms after a homogeneous displacement gradient and a circular bend in the x-z plane."""
    gradient = np.zeros((3, 3)) if strain is None else np.asarray(strain, dtype=np.float64)
    if gradient.shape != (3, 3) or not np.isfinite(gradient).all():
        raise InputError(f"strain has shape {gradient.shape}; a finite (3, 3) displacement gradient is needed")
    moved = atoms @ (np.eye(3) + gradient).T
    curvature = bend / np.linalg.norm(atoms, axis=1).max()
    x, z = atoms[:, 0], atoms[:, 2]
    # u = κ (x z, 0, -x²/2): ε_xx = κ z and ε_xz = 0, pure bending.
    return np.asarray(moved + curvature * np.stack([x * z, np.zeros_like(x), -0.5 * x**2], axis=1))
