"""Local structure and defects of a particle, from the positions of its atoms alone.

Modules in the order of use: `local` (coordination, common neighbours, surface), `matching` (polyhedral templates:
structure and orientation of each atom), `grains`, `stacking`, `vacancies`, `dislocations`, `shape`; `survey` runs them
all and `files` writes structure.csv and structure.json. Positions are (n, 3) in Å in any frame; directions in braces or
brackets are of the conventional cubic cell of the grain.
"""

from single_rs.structure.local import (
    STRUCTURE_NAMES,
    LocalStructure,
    analyse_structure,
    check_positions,
    check_sigma,
    common_neighbours,
    coordination,
    generalised_coordination,
    neighbour_cutoff,
    surface_by_coordination,
    surface_by_radius,
)
from single_rs.structure.matching import TemplateMatch, adopt_orientations, match_templates
from single_rs.structure.survey import StructureSurvey, survey_structure

__all__ = [
    "STRUCTURE_NAMES",
    "LocalStructure",
    "StructureSurvey",
    "TemplateMatch",
    "adopt_orientations",
    "analyse_structure",
    "check_positions",
    "check_sigma",
    "common_neighbours",
    "coordination",
    "generalised_coordination",
    "match_templates",
    "neighbour_cutoff",
    "surface_by_coordination",
    "surface_by_radius",
    "survey_structure",
]
