"""structure.csv and structure.json: structure and defects of a particle, for people and for other programs.

structure.csv has one row per atom (`StructureTable`); structure.json what is one or a few per particle
(`StructureRecord`).
"""

from __future__ import annotations

import os
from pathlib import Path

from numpy.typing import ArrayLike

from single_rs.analysis.structure.record import structure_record
from single_rs.analysis.structure.survey import StructureSurvey
from single_rs.analysis.structure.table import structure_table
from single_rs.store import layout
from single_rs.store.codecs import write_record
from single_rs.store.tables import write_table

__all__ = ["write_structure"]

DIGITS = 5  # of structure.json: 1e-5 Å and degrees are a thousandth of the errors


def write_structure(folder: str | os.PathLike[str], positions: ArrayLike, survey: StructureSurvey) -> list[Path]:
    """Write structure.csv and structure.json into a folder; returns the files.

    Parameters
    ----------
    folder
        Made if needed.
    positions
        (n, 3) Å from the box centre, those of the survey.
    survey
        Result of `survey_structure`.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    written = [target / layout.STRUCTURE_TABLE, target / layout.STRUCTURE]
    write_table(written[0], structure_table(positions, survey))
    write_record(written[1], structure_record(survey), DIGITS)
    return written
