"""Local structure and defects of a particle, from the positions of its atoms alone.

Modules in the order of use: `local` (coordination, common neighbours, surface), `matching` (polyhedral templates:
structure and orientation of each atom), `grains`, `stacking`, `vacancies`, `dislocations`, `shape`; `survey` runs them
all and `files` writes structure.csv and structure.json. Positions are (n, 3) in Å in any frame; directions in braces or
brackets are of the conventional cubic cell of the grain.
"""

from single_rs.analysis.structure.local import (
    STRUCTURE_NAMES,
    LocalStructure,
    analyze_structure,
    common_neighbours,
)
from single_rs.analysis.structure.matching import TemplateMatch, adopt_orientations, match_templates
from single_rs.analysis.structure.survey import StructureSurvey, survey_structure

__all__ = [
    "STRUCTURE_NAMES",
    "LocalStructure",
    "StructureSurvey",
    "TemplateMatch",
    "adopt_orientations",
    "analyze_structure",
    "common_neighbours",
    "match_templates",
    "survey_structure",
]
