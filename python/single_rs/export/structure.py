"""structure.csv and structure.json: structure and defects of a particle, for people and for other programs.

structure.csv has one row per atom, in the order of atoms.xyz: number (from 0), position (Å from the box centre),
coordination, generalised coordination, structure by common neighbours (cna) and by templates (ptm; with that of
surface atoms adopted from the grain: lattice), rmsd of the template, grain (−1 none), rotation against the mean of the
grain (degrees), kind of surface site, number of the planar fault (−1 none), layers along the four ⟨111⟩ (letters), and
bond order (`bond_order`: of the atom, averaged over its shell, share of coherent bonds, disorder).

structure.json holds what is one or a few per particle; see `StructureRecord`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.analysis.structure.grains import nearest_equivalent
from single_rs.analysis.structure.local import STRUCTURE_NAMES
from single_rs.analysis.structure.record import structure_record
from single_rs.analysis.structure.shape import SITES
from single_rs.analysis.structure.survey import StructureSurvey
from single_rs.crystal.neighbours import check_positions
from single_rs.io import write_text
from single_rs.store import layout
from single_rs.store.codecs import write_record

__all__ = ["write_structure"]

DIGITS = 5  # of structure.json: 1e-5 Å and degrees are a thousandth of the errors

_COLUMNS = (
    "atom,x,y,z,coordination,generalised_coordination,cna,ptm,lattice,rmsd,grain,misorientation,site,fault,"
    "layer_1,layer_2,layer_3,layer_4,q4,q6,q4_mean,q6_mean,coherence,disorder"
)
_ORDER = ("q4", "q6", "q4_mean", "q6_mean", "coherence", "disorder")


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
    x = check_positions(positions)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    fault = np.full(len(x), -1)
    for k, found in enumerate(survey.faults):
        fault[found.atoms] = k
    turn, match, local = _misorientation(survey), survey.match, survey.local
    names = (*STRUCTURE_NAMES, "sc")
    lines = [_COLUMNS]
    for i, place in enumerate(x):
        layers = [s.letters[s.layer[i]] if s.layer[i] >= 0 else "?" for s in survey.stacking] or ["?"] * 4
        row = [str(i), *(f"{v:.4f}" for v in place), str(local.coordination[i]), f"{survey.generalised[i]:.3f}"]
        row += [names[local.structure_type[i]], names[match.structure_type[i]], names[match.site_type[i]]]
        row += [f"{match.rmsd[i]:.4f}", str(survey.grains.label[i]), f"{turn[i]:.3f}"]
        row += [SITES[survey.sites[i]] if survey.sites[i] >= 0 else "unknown", str(fault[i]), *layers]
        row += [f"{getattr(survey.order, name)[i]:.4f}" for name in _ORDER]
        lines.append(",".join(row))
    write_text(target / layout.STRUCTURE_TABLE, "\n".join(lines) + "\n")
    write_record(target / layout.STRUCTURE, structure_record(survey), DIGITS)
    return [target / layout.STRUCTURE_TABLE, target / layout.STRUCTURE]
