"""structure.json: structure and defects of a particle, for people and for other programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from single_rs.analysis.structure.bending import Bend
from single_rs.analysis.structure.dislocations import Dislocation
from single_rs.analysis.structure.faults import PlanarFault
from single_rs.analysis.structure.grains import Boundary, Grain
from single_rs.analysis.structure.local import STRUCTURE_NAMES
from single_rs.analysis.structure.shape import SITES, Shape
from single_rs.analysis.structure.stacking import Stacking
from single_rs.analysis.structure.survey import StructureSurvey
from single_rs.analysis.structure.vacancies import Vacancy

__all__ = ["StructureRecord", "structure_record"]


@dataclass(frozen=True)
class StructureRecord:
    """Structure and defects of a particle: what is one or a few per particle. structure.csv has the atoms.

    Attributes
    ----------
    atoms
        Number of atoms.
    bond
        Å, the bond length that templates were scaled to.
    structure_types
        Structure by templates → number of atoms.
    sites
        Kind of surface site → number of atoms.
    grains, boundaries
        Crystals, the largest first, and what relates each two.
    bend
        Bending of the largest grain; null when it is too small.
    stacking
        Along the four ⟨111⟩ of the largest grain; empty when that is not fcc.
    faults, dislocations, vacancies
        Defects, the largest or surest first.
    shape
        Radii, facets and sizes; null for atoms in a plane.
    sublattice_atoms
        Atoms of the close-packed sublattice that grains, defects and shape are found on (of diamond, zincblende,
        wurtzite, rocksalt, fluorite); null where it is all atoms.
    units
        In words.
    """

    SCHEMA: ClassVar[int] = 1
    atoms: int
    bond: float
    structure_types: dict[str, int]
    sites: dict[str, int]
    grains: tuple[Grain, ...] = ()
    boundaries: tuple[Boundary, ...] = ()
    bend: Bend | None = None
    stacking: tuple[Stacking, ...] = ()
    faults: tuple[PlanarFault, ...] = ()
    dislocations: tuple[Dislocation, ...] = ()
    vacancies: tuple[Vacancy, ...] = ()
    shape: Shape | None = None
    sublattice_atoms: int | None = None
    units: str = field(
        default="Å, degrees, fractions; particle frame, from the box centre; planes and Burgers vectors in crystal "
        "axes, b in a"
    )


def structure_record(survey: StructureSurvey) -> StructureRecord:
    """Return the content of structure.json.

    Parameters
    ----------
    survey
        Result of `survey_structure`.
    """
    match, known = survey.match, survey.sites[survey.sites >= 0]
    return StructureRecord(
        atoms=len(survey.sites),
        bond=match.bond,
        structure_types={n: int(np.sum(match.structure_type == k)) for k, n in enumerate(STRUCTURE_NAMES)},
        sites={name: int(np.sum(known == k)) for k, name in enumerate(SITES)},
        grains=survey.grains.grains,
        boundaries=survey.grains.boundaries,
        bend=survey.bend,
        stacking=survey.stacking,
        faults=survey.faults,
        dislocations=survey.dislocations,
        vacancies=survey.vacancies,
        shape=survey.shape,
        sublattice_atoms=None if survey.sublattice is None else int(survey.sublattice.sum()),
    )
