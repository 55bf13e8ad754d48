"""structure.csv and structure.json: structure and defects of a particle, for people and for other programs.

structure.csv has one row per atom, in the order of atoms.xyz: number (from 0), position (Å from the box centre),
coordination, generalised coordination, structure by common neighbours (cna) and by templates (ptm; with that of
surface atoms adopted from the grain: lattice), rmsd of the template, grain (−1 none), rotation against the mean of the
grain (degrees), kind of surface site, number of the planar fault (−1 none), layers along the four ⟨111⟩ (letters), and
bond order (`bond_order`: of the atom, averaged over its shell, share of coherent bonds, disorder).

structure.json holds what is one or a few per particle: ``{"atoms", "bond", "structure_types", "sites", "grains",
"boundaries", "bend", "stacking", "faults", "dislocations", "vacancies", "shape", "units"}``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.analysis.structure.dislocations import miller_name
from single_rs.analysis.structure.grains import nearest_equivalent
from single_rs.analysis.structure.local import STRUCTURE_NAMES
from single_rs.analysis.structure.shape import SITES
from single_rs.analysis.structure.survey import StructureSurvey
from single_rs.crystal.neighbours import check_positions
from single_rs.io import write_text
from single_rs.io.json import write_json
from single_rs.store import layout

__all__ = ["structure_to_dict", "write_structure"]

_UNITS = (
    "Å, degrees, fractions; particle frame, from the box centre; planes and Burgers vectors in crystal axes, b in a"
)
_COLUMNS = (
    "atom,x,y,z,coordination,generalised_coordination,cna,ptm,lattice,rmsd,grain,misorientation,site,fault,"
    "layer_1,layer_2,layer_3,layer_4,q4,q6,q4_mean,q6_mean,coherence,disorder"
)
_ORDER = ("q4", "q6", "q4_mean", "q6_mean", "coherence", "disorder")


def _plain(value: Any, digits: int = 5) -> Any:
    """Lists and numbers that JSON knows; null for what is not finite."""
    if isinstance(value, np.ndarray):
        return [_plain(v, digits) for v in value.tolist()]
    if isinstance(value, (list, tuple)):
        return [_plain(v, digits) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v, digits) for k, v in value.items()}
    if isinstance(value, float):
        # Adding 0 turns -0.0 into 0.0.
        return round(value, digits) + 0.0 if np.isfinite(value) else None
    return value


def _indices(direction: NDArray[np.float64]) -> list[float]:
    """Direction scaled so that a ⟨111⟩ reads 1, 1, 1."""
    return [float(v) for v in direction * np.sqrt(3.0)]


def _fields(of: Any, names: str) -> dict[str, Any]:
    """Attributes by their names, which spaces part."""
    return {name: getattr(of, name) for name in names.split()}


def structure_to_dict(survey: StructureSurvey) -> dict[str, Any]:
    """Return the content of structure.json.

    Parameters
    ----------
    survey
        Result of `survey_structure`.
    """
    match, bend, shape = survey.match, survey.bend, survey.shape
    known = survey.sites[survey.sites >= 0]
    content: dict[str, Any] = {
        "atoms": len(survey.sites),
        "bond": match.bond,
        "structure_types": {n: int(np.sum(match.structure_type == k)) for k, n in enumerate(STRUCTURE_NAMES)},
        "sites": {name: int(np.sum(known == k)) for k, name in enumerate(SITES)},
        "grains": [_fields(g, "structure atoms orientation spread") for g in survey.grains.grains],
        "boundaries": [
            _fields(b, "grains relation sigma angle axis deviation bonds") for b in survey.grains.boundaries
        ],
        "bend": None
        if bend is None
        else {name: getattr(bend, name) for name in bend.__dataclass_fields__ if name != "second"},
        "stacking": [
            {"plane": np.sign(s.normal), **_fields(s, "letters hexagonal atoms heights coherence shift spacing")}
            for s in survey.stacking
        ],
        "faults": [
            {
                **_fields(f, "kind pattern"),
                "plane": _indices(f.plane),
                **_fields(f, "normal grain position extent area"),
            }
            for f in survey.faults
        ],
        "dislocations": [
            {
                **_fields(d, "kind burgers"),
                "name": miller_name(d.burgers),
                **_fields(d, "burgers_vector line line_vector character"),
                "glide_planes": np.sign(d.glide_planes),
                **_fields(d, "length agreement path grain"),
            }
            for d in survey.dislocations
        ],
        "vacancies": [_fields(v, "position kind neighbours confidence relaxation") for v in survey.vacancies],
        "shape": None
        if shape is None
        else {
            **_fields(shape, "radii axes volume area sphericity size"),
            "facet_fractions": shape.fractions,
            "facets": [_fields(f, "family normal area distance grain") for f in shape.facets],
        },
        "units": _UNITS,
    }
    return dict(_plain(content))


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
    write_json(target / layout.STRUCTURE, structure_to_dict(survey))
    return [target / layout.STRUCTURE_TABLE, target / layout.STRUCTURE]
