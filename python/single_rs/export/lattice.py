"""lattice.json: the best-fit lattice of a particle, for people and for later stages.

``{"structure", "form", "cell": {a, b, c (Å), alpha, beta, gamma (degrees), volume (Å³) and *_err, "vectors"}, "origin",
"independent_errors", "fraction_on_sites",
"fraction_off_lattice", "species", "antisites", "u", "u_err", "domains": […], "reference": {…},
"expansion": {…}, "atoms": {…}}`` and, of an analysis, "powder" and "bond" with the constants that these yield;
positions and vectors in the particle frame, Å, from the box centre. NaN has no place in JSON and is written as null.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis.lattice.affine import CellParameters
from single_rs.analysis.lattice.expansion import expansion
from single_rs.analysis.lattice.fit import Domain, Lattice
from single_rs.base.errors import DataFileError
from single_rs.crystal.prototypes import Bulk
from single_rs.io import write_text

__all__ = ["lattice_from_dict", "lattice_to_dict", "read_lattice", "write_lattice"]


def _numbers(values: NDArray[np.float64], digits: int) -> list[Any]:
    """Nested lists with null for rows or values that are not finite."""
    rounded = np.round(np.asarray(values, dtype=np.float64), digits)
    if rounded.ndim > 1:
        return [_numbers(row, digits) for row in rounded]
    return [float(v) if np.isfinite(v) else None for v in rounded]


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def _cell(parameters: CellParameters, vectors: NDArray[np.float64]) -> dict[str, Any]:
    values = {k: round(v, 6) for k, v in dataclasses.asdict(parameters).items()}
    return {**values, "vectors": _numbers(vectors, 8)}


def lattice_to_dict(lattice: Lattice) -> dict[str, Any]:
    """Return the content of lattice.json."""
    domains = [
        {
            "relation": d.relation,
            "partner": d.partner,
            "disorientation": round(d.disorientation, 4),
            "atoms": d.atoms,
            "fraction": round(d.atoms / len(lattice.sites), 6),
            "scatter": round(d.scatter, 6),
            "own_cell": d.affine,
            "origin": _numbers(d.origin, 8),
            "cell": _cell(d.parameters, d.cell),
        }
        for d in lattice.domains
    ]
    reference: dict[str, Any] = {"lattice": "best fit"}
    if lattice.bulk is not None:
        reference["bulk"] = dataclasses.asdict(lattice.bulk)
    return {
        "structure": lattice.structure,
        "form": lattice.form,
        "cell": _cell(lattice.parameters, lattice.cell),
        "independent_errors": None
        if lattice.independent is None
        else {k: round(v, 6) for k, v in dataclasses.asdict(lattice.independent).items() if k.endswith("_err")},
        "origin": _numbers(lattice.origin, 8),
        "nearest_neighbour": round(lattice.nearest_neighbour, 6),
        "fraction_on_sites": round(lattice.fraction, 6),
        "fraction_off_lattice": round(lattice.off_lattice, 6),
        "species": list(lattice.species),
        "antisites": _number(lattice.antisites),
        "u": _number(lattice.u),
        "u_err": _number(lattice.u_err),
        "domains": domains,
        "reference": reference,
        "expansion": expansion(lattice),
        "units": "Å, degrees; fractions; particle frame, from the box centre",
        "atoms": {
            "domain": lattice.domain.tolist(),
            "on_site": lattice.on_site.astype(int).tolist(),
            "sites": _numbers(lattice.sites, 8),
            "residual": _numbers(lattice.residual, 6),
        },
    }


def lattice_from_dict(content: dict[str, Any]) -> Lattice:
    """Return the lattice that `lattice_to_dict` described."""

    def parameters(cell: dict[str, Any]) -> CellParameters:
        return CellParameters(**{f.name: float(cell[f.name]) for f in dataclasses.fields(CellParameters)})

    def array(rows: list[Any]) -> NDArray[np.float64]:
        return np.array(rows, dtype=np.float64).reshape(-1, 3)

    domains = tuple(
        Domain(
            cell=array(d["cell"]["vectors"]),
            origin=np.array(d["origin"], dtype=np.float64),
            parameters=parameters(d["cell"]),
            atoms=int(d["atoms"]),
            scatter=float(d["scatter"]),
            affine=bool(d["own_cell"]),
            disorientation=float(d["disorientation"]),
            relation=str(d["relation"]),
            partner=int(d["partner"]),
        )
        for d in content["domains"]
    )

    def number(name: str) -> float:
        return float("nan") if content.get(name) is None else float(content[name])

    bulk = content["reference"].get("bulk")
    atoms = content["atoms"]
    return Lattice(
        structure=str(content["structure"]),
        cell=array(content["cell"]["vectors"]),
        origin=np.array(content["origin"], dtype=np.float64),
        parameters=parameters(content["cell"]),
        sites=array(atoms["sites"]),
        residual=array(atoms["residual"]),
        domain=np.array(atoms["domain"], dtype=np.int64),
        on_site=np.array(atoms["on_site"], dtype=bool),
        domains=domains,
        nearest_neighbour=float(content["nearest_neighbour"]),
        bulk=None if bulk is None else Bulk(**bulk),
        species=tuple(str(e) for e in content.get("species", ())),
        antisites=number("antisites"),
        u=number("u"),
        u_err=number("u_err"),
        form=str(content.get("form", "")),
        independent=None
        if not content.get("independent_errors")
        else dataclasses.replace(domains[0].parameters, **content["independent_errors"]),
    )


def write_lattice(path: str | os.PathLike[str], lattice: Lattice, more: dict[str, Any] | None = None) -> None:
    """Write lattice.json, whole or not at all.

    Parameters
    ----------
    path
        File; replaced if it exists.
    lattice
        Result of `fit_lattice`; lengths in Å, angles in degrees.
    more
        Further entries of the file, without NaN; `read_lattice` passes over them.
    """
    # Indented for people, but one row per line for the long lists of atoms.
    content = {**lattice_to_dict(lattice), **(more or {})}
    atoms = content.pop("atoms")
    head = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    rows = ",\n  ".join(f'"{k}": {json.dumps(v, allow_nan=False, separators=(",", ":"))}' for k, v in atoms.items())
    write_text(path, f'{head[:-2]},\n "atoms": {{\n  {rows}\n }}\n}}\n')


def read_lattice(path: str | os.PathLike[str]) -> Lattice:
    """Read lattice.json.

    Parameters
    ----------
    path
        File.

    Raises
    ------
    DataFileError
        If the file is missing or not what `write_lattice` writes.
    """
    try:
        return lattice_from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise DataFileError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataFileError(
            f"{path} is not a lattice.json of this program: {error!r}; run `single-rs analyze`"
        ) from None
