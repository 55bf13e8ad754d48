"""All that is known of the atoms of one particle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis.distances.powder_fit import PowderLattice
from single_rs.analysis.lattice import Lattice
from single_rs.analysis.strain import Strain
from single_rs.analysis.strain.methods import StrainComparison
from single_rs.base.errors import InputError
from single_rs.records import Atoms
from single_rs.records.invariants import need_positive, need_shape

__all__ = ["Particle"]


@dataclass(frozen=True)
class Particle:
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
        (n,) bool: too few neighbours, or r > R − d with d the spacing of the densest planes; see `structure`.
    lattice, strain
        None where no lattice was found.
    box, pixel_size
        Edge (px) and Å per voxel of the map that the atoms belong to, None without a map.
    notes
        What could not be computed, and why.
    comparison
        The strain by the other methods, with the maps of the phases when the map was given; None without.
    powder
        The lattice constant that the powder pattern yields; None without a lattice.
    """

    atoms: Atoms
    coordination: NDArray[np.int64]
    structure_type: NDArray[np.int64]
    surface: NDArray[np.bool_]
    lattice: Lattice | None = None
    strain: Strain | None = None
    box: int | None = None
    pixel_size: float | None = None
    notes: tuple[str, ...] = ()
    comparison: StrainComparison | None = None
    powder: PowderLattice | None = None

    def __post_init__(self) -> None:
        """Check that all arrays speak of the same atoms."""
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
