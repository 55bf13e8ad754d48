"""Structure and surroundings of each atom as the columns of structure.csv."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.analysis.structure.grains import nearest_equivalent
from single_rs.analysis.structure.local import STRUCTURE_NAMES
from single_rs.analysis.structure.shape import SITES
from single_rs.analysis.structure.survey import StructureSurvey
from single_rs.base.columns import Column
from single_rs.crystal.neighbours import check_positions

__all__ = ["StructureTable", "structure_table"]

DIRECTIONS = 4  # ⟨111⟩ along which layers are named


@dataclass(frozen=True)
class StructureTable:
    """Structure of n atoms, in the order of atoms.xyz.

    Attributes
    ----------
    atom, position
        Number from 0, and (n, 3) Å from the box centre.
    coordination, generalised_coordination
        Number of neighbours, and the same weighted by their own.
    cna, ptm, lattice
        Structure by common neighbours, by templates, and by these with that of surface atoms adopted from the grain.
    rmsd
        Of the template.
    grain, misorientation
        Number of the grain, −1 none, and degrees of rotation against its mean.
    site
        Kind of surface site, "bulk" inside, "unknown" where it has no template.
    fault
        Number of the planar fault, −1 none.
    layers
        (n, 4) along the ⟨111⟩: A, B, C, or ?.
    q4, q6, q4_mean, q6_mean, coherence, disorder
        Bond order: of the atom, averaged over its shell, share of coherent bonds, disorder (`BondOrder`).
    """

    atom: Annotated[NDArray[np.int64], Column()]
    position: Annotated[NDArray[np.float64], Column(".4f", ("x", "y", "z"))]
    coordination: Annotated[NDArray[np.int64], Column()]
    generalised_coordination: Annotated[NDArray[np.float64], Column(".3f")]
    cna: Annotated[NDArray[np.str_], Column()]
    ptm: Annotated[NDArray[np.str_], Column()]
    lattice: Annotated[NDArray[np.str_], Column()]
    rmsd: Annotated[NDArray[np.float64], Column(".4f")]
    grain: Annotated[NDArray[np.int64], Column()]
    misorientation: Annotated[NDArray[np.float64], Column(".3f")]
    site: Annotated[NDArray[np.str_], Column()]
    fault: Annotated[NDArray[np.int64], Column()]
    layers: Annotated[NDArray[np.str_], Column(names=tuple(f"layer_{k + 1}" for k in range(DIRECTIONS)))]
    q4: Annotated[NDArray[np.float64], Column(".4f")]
    q6: Annotated[NDArray[np.float64], Column(".4f")]
    q4_mean: Annotated[NDArray[np.float64], Column(".4f")]
    q6_mean: Annotated[NDArray[np.float64], Column(".4f")]
    coherence: Annotated[NDArray[np.float64], Column(".4f")]
    disorder: Annotated[NDArray[np.float64], Column(".4f")]


def structure_table(positions: ArrayLike, survey: StructureSurvey) -> StructureTable:
    """Return the table of the structure of all atoms.

    Parameters
    ----------
    positions
        (n, 3) Å from the box centre, those of the survey.
    survey
        Result of `survey_structure`.
    """
    x = check_positions(positions)
    names, sites = np.array([*STRUCTURE_NAMES, "sc"]), np.array([*SITES, "unknown"])
    fault = np.full(len(x), -1)
    for k, found in enumerate(survey.faults):
        fault[found.atoms] = k
    layers = np.full((len(x), DIRECTIONS), "?")
    for k, stacking in enumerate(survey.stacking):
        inside = stacking.layer >= 0
        layers[inside, k] = np.array(list(stacking.letters))[stacking.layer[inside]]
    order = survey.order
    return StructureTable(
        atom=np.arange(len(x)),
        position=x,
        coordination=survey.local.coordination,
        generalised_coordination=survey.generalised,
        cna=names[survey.local.structure_type],
        ptm=names[survey.match.structure_type],
        lattice=names[survey.match.site_type],
        rmsd=survey.match.rmsd,
        grain=survey.grains.label,
        misorientation=_misorientation(survey),
        site=sites[survey.sites],  # −1, not known, is the last
        fault=fault,
        layers=layers,
        q4=order.q4,
        q6=order.q6,
        q4_mean=order.q4_mean,
        q6_mean=order.q6_mean,
        coherence=order.coherence,
        disorder=order.disorder,
    )


def _misorientation(survey: StructureSurvey) -> NDArray[np.float64]:
    """Degrees (n,) of each atom against the mean of its grain, NaN without an orientation of its own structure."""
    out = np.full(len(survey.sites), np.nan)
    for k, grain in enumerate(survey.grains.grains):
        code = STRUCTURE_NAMES.index(grain.structure)
        mine = np.flatnonzero((survey.grains.label == k) & (survey.match.site_type == code))
        if len(mine):
            angle = nearest_equivalent(survey.match.orientation[mine], grain.orientation, grain.structure)[1]
            out[mine] = np.degrees(angle)
    return out
