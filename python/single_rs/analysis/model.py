"""All that is known of the atoms of one particle."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis.chemical_order import ChemicalOrder
from single_rs.analysis.distances.powder_fit import PowderLattice
from single_rs.analysis.lattice import Lattice
from single_rs.analysis.strain import Strain
from single_rs.analysis.strain.methods import StrainComparison
from single_rs.analysis.structure.bond_order import BondOrder
from single_rs.base.errors import InputError
from single_rs.records import Atoms
from single_rs.records.display import Displayed
from single_rs.records.invariants import need_positive, need_shape

__all__ = ["Particle", "chosen_atoms"]


@dataclass(frozen=True, repr=False)
class Particle(Displayed):
    """All that is known of the atoms of one particle.

    Attributes
    ----------
    atoms
        Positions (Å from the box centre), symbols, heights, B-factors, errors.
    coordination
        (n,) int.
    structure_type
        (n,) int, OVITO's codes.
    surface
        (n,) bool, by the rule of the strain's settings (`crystal.surface_atoms`).
    lattice, strain
        None where no lattice was found.
    box, pixel_size
        Edge (px) and Å per voxel of the map that the atoms belong to, None without a map.
    origin
        (x, y, z) Å of voxel 0 of that map in files.
    notes
        What could not be computed, and why.
    comparison
        The strain by the other methods, with the maps of the phases when the map was given; None without.
    powder
        The lattice constant that the powder pattern yields; None without a lattice.
    order
        Bond-orientational order of each atom; None where it was not computed.
    others, ligand
        The m atoms of the file that are not the particle, and which of them (m,) are ligands or solvent; None without.
    chemistry
        Chemical order of an alloy or a compound; None for one element.
    """

    atoms: Atoms
    coordination: NDArray[np.int64]
    structure_type: NDArray[np.int64]
    surface: NDArray[np.bool_]
    lattice: Lattice | None = None
    strain: Strain | None = None
    box: int | None = None
    pixel_size: float | None = None
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    notes: tuple[str, ...] = ()
    comparison: StrainComparison | None = None
    powder: PowderLattice | None = None
    order: BondOrder | None = None
    others: Atoms | None = None
    ligand: NDArray[np.bool_] | None = None
    chemistry: ChemicalOrder | None = None

    def __post_init__(self) -> None:
        """Check that all arrays belong to the same atoms."""
        count = len(self.atoms.positions)
        for name in ("coordination", "structure_type", "surface"):
            need_shape(name, getattr(self, name), (count,))
        if self.strain is not None and len(self.strain.tensor) != count:
            raise InputError(f"strain holds {len(self.strain.tensor)} atoms; {count} are needed")
        if (self.box is None) != (self.pixel_size is None):
            raise InputError("box and pixel_size belong together; give both or none")
        if self.box is not None and self.box < 1:
            raise InputError(f"box is {self.box} px; 1 or more is needed")
        if self.pixel_size is not None:
            need_positive("pixel_size", self.pixel_size, "Å")

    def _headline(self) -> str:
        lattice = "no lattice" if self.lattice is None else self.lattice._headline()
        return f"{self.atoms._headline()}; {lattice}"

    def everything(self) -> Particle:
        """Return all atoms of the file, the particle's first, without what is known of the particle alone."""
        if self.others is None:
            return self
        parts = (self.atoms, self.others)
        columns = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("positions", "symbols", "height", "bfactor", "sigma", "probability")
        }
        count = len(columns["symbols"])
        rest = np.zeros(count, dtype=np.int64)
        return Particle(
            Atoms(**columns), rest, rest, rest > 0, box=self.box, pixel_size=self.pixel_size, origin=self.origin
        )


def chosen_atoms(atoms: Atoms, chosen: NDArray[np.bool_]) -> Atoms:
    """Return some of the atoms, with all that is known of them."""
    names = ("positions", "symbols", "height", "bfactor", "sigma", "probability")
    part = {name: np.asarray(getattr(atoms, name))[chosen] for name in names}
    return replace(
        atoms,
        **part,
        covariance=None if atoms.covariance is None else atoms.covariance[chosen],
        modes=None if atoms.modes is None else atoms.modes[:, chosen],
    )
