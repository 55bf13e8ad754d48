"""The best-fit lattice of a particle as lattice.json holds it, for people and for later stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from single_rs.analysis.distances.powder_fit import PowderLattice
from single_rs.analysis.distances.summary import BondConstant, PowderSummary, powder_summary
from single_rs.analysis.lattice.expansion import Expansion, expansion
from single_rs.analysis.lattice.result import Lattice

__all__ = ["LatticeRecord", "lattice_record"]


@dataclass(frozen=True)
class LatticeRecord:
    """The best-fit lattice of a particle, and what follows from it; particle frame, from the box centre.

    Attributes
    ----------
    lattice
        Cell, domains, and every atom against them, in the order of atoms.xyz.
    fraction_on_sites, fraction_off_lattice
        Shares of all atoms on sites of the main domain, and on no site of any.
    expansion
        Of the cell against the bulk; null without a bulk of this structure.
    powder
        The lattice constant that the powder pattern yields.
    bond
        The one that the mean bond yields.
    units
        In words.
    """

    SCHEMA: ClassVar[int] = 2
    lattice: Lattice
    fraction_on_sites: float
    fraction_off_lattice: float
    expansion: Expansion | None
    powder: PowderSummary | None
    bond: BondConstant | None
    units: str = "Å, degrees; fractions; particle frame, from the box centre"


def lattice_record(
    lattice: Lattice, powder: PowderLattice | None = None, bond: BondConstant | None = None
) -> LatticeRecord:
    """Return the content of lattice.json.

    Parameters
    ----------
    lattice
        Result of `fit_lattice`.
    powder, bond
        Results of `powder_lattice` and `bond_summary`.
    """
    return LatticeRecord(
        lattice=lattice,
        fraction_on_sites=lattice.fraction,
        fraction_off_lattice=lattice.off_lattice,
        expansion=expansion(lattice),
        powder=None if powder is None else powder_summary(powder),
        bond=bond,
    )
