"""Validation of a solved particle: tests that a wrong model could not pass by luck.

Reprojections of the atoms against the frames, two models from two halves, held-out likelihood, coverage of the
orientations, a perfect crystal in the same poses and noise, the effects of vertical movement, pixel size and binning,
and the atoms simulated again by an outside multislice program and solved from scratch. These are the tests of Kim et
al., Science 368, 60 (2020), doi:10.1126/science.aax3233; those of two halves, of held-out frames and of the graphene's
lattice constant besides.

`validate_folder` works on the files of a run, `validate_case` in memory; each check is a function of a `Case`.
"""

from __future__ import annotations

from single_rs.validate.case import Case, load_case
from single_rs.validate.run import validate_case, validate_folder

__all__ = [
    "Case",
    "load_case",
    "validate_case",
    "validate_folder",
]
