"""Files and summary of the strain of one particle.

strain.csv     one row for each atom, in the order of atoms.xyz; docs/strain.md tells the columns. Positions in the
               frame of our files (index × pixel size), displacements in Å, strain as fractions, rotation in degrees.
strain.vti     the measures between the atoms, for ParaView, on the part of the map's grid that holds the particle.
strain_*.mrc   the same on the whole grid, one file each, for programs that overlay maps; on request.
gpa.vti        strain and displacement from the phases of the map, on its own coarser grid of the same box; gpa_*.mrc.

Empty cells of the CSV are values that could not be determined. Volumes are 0 where there is no atom.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.analysis.model import Particle
from single_rs.analysis.strain.field import Strain
from single_rs.analysis.strain.invariants import MEASURES, strain_measures
from single_rs.analysis.strain.methods import StrainComparison
from single_rs.analysis.strain.volumes import MAPS, in_box, strain_grid
from single_rs.base.tensors import COMPONENTS
from single_rs.export.atoms import file_offset
from single_rs.io import atomic_text, write_map
from single_rs.io.table import text_cell
from single_rs.io.vtk import write_vti
from single_rs.store import layout

__all__ = ["strain_columns", "write_strain", "write_strain_csv"]

# Digits kept: 1e-4 Å and 1e-6 of strain are a hundredth of the best errors.
_DIGITS = 7


def strain_columns(
    positions: ArrayLike,
    symbols: ArrayLike,
    strain: Strain,
    comparison: StrainComparison | None = None,
    offset: NDArray[np.float64] | float = 0.0,
) -> dict[str, NDArray[Any]]:
    """Columns of strain.csv, (n,) each.

    Parameters
    ----------
    positions, symbols
        (n, 3) Å and (n,).
    strain
        Result of `compute_strain`.
    comparison
        Result of `compare_strain_methods`, for the columns of the other methods.
    offset
        Å added to the coordinates; see `export.file_offset`.
    """
    x = np.asarray(positions, dtype=np.float64)
    found = strain_measures(strain)
    out: dict[str, NDArray[Any]] = {"atom": np.arange(len(x)), "element": np.asarray(symbols)}
    for k, axis in enumerate("xyz"):
        out[axis] = x[:, k] + np.broadcast_to(offset, 3)[k]
    for k, axis in enumerate("xyz"):
        out[f"u_{axis}"] = strain.displacement[:, k]
    for name, (values, errors) in found.table(strain).items():
        out[name], out[f"{name}_err"] = values, errors
    out["von_mises_noise"], out["rotation_noise"] = found.von_mises_noise, found.rotation_noise
    for n in range(3):
        for k, axis in enumerate("xyz"):
            out[f"axis_{n + 1}_{axis}"] = found.principal_axes[:, n, k]
    for k, axis in enumerate("xyz"):
        out[f"rotation_{axis}"] = np.degrees(strain.rotation[:, k])
    out["surface"], out["domain"] = strain.surface.astype(int), strain.domain
    if comparison is not None:
        for method, other in comparison.strains.items():
            if method != "kernel":
                for k, name in enumerate(COMPONENTS):
                    out[f"{method}_{name}"], out[f"{method}_{name}_err"] = other.tensor[:, k], other.error[:, k]
        out["nonaffine"] = comparison.deformation.nonaffine
    return out


def write_strain_csv(path: str | os.PathLike[str], columns: dict[str, NDArray[Any]]) -> None:
    """Write columns of one length as a table with a header; values that are not finite become empty cells."""
    texts = []
    for values in columns.values():
        if values.dtype.kind == "f":
            rounded, finite = (np.round(values, _DIGITS) + 0.0).tolist(), np.isfinite(values).tolist()
            texts.append([f"{v:.{_DIGITS}g}" if known else "" for v, known in zip(rounded, finite, strict=True)])
        else:
            texts.append([text_cell(str(v)) if values.dtype.kind in "US" else str(v) for v in values])
    with atomic_text(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*texts, strict=True))


def write_strain(folder: str | os.PathLike[str], model: Particle, volumes: bool = False) -> list[Path]:
    """Write all files of the strain of a particle into a folder; returns them.

    Parameters
    ----------
    folder
        It must exist.
    model
        Result of `analyze`; strain.vti is written when it has a box, gpa.vti when it was given the map.
    volumes
        Also write each of their measures as an MRC volume.
    """
    if model.strain is None or model.lattice is None:
        return []
    target, x, comparison = Path(folder), model.atoms.positions, model.comparison
    written = [target / layout.STRAIN_TABLE]
    offset = file_offset(model.box, model.pixel_size, model.origin)
    write_strain_csv(written[0], strain_columns(x, model.atoms.symbols, model.strain, comparison, offset))
    if model.box is not None and model.pixel_size is not None:
        box, pixel = model.box, float(model.pixel_size)
        table = strain_measures(model.strain).table(model.strain)
        values = np.column_stack([table[name][0] for name in MEASURES])
        first, grid = strain_grid(x, values, box, pixel, model.lattice.nearest_neighbour)
        written.append(target / layout.STRAIN_VOLUMES)
        corner = (
            first[2] * pixel + model.origin[0],
            first[1] * pixel + model.origin[1],
            first[0] * pixel + model.origin[2],
        )
        write_vti(written[-1], dict(zip(MEASURES, grid, strict=True)), pixel, corner)
        for name in MAPS if volumes else ():
            written.append(target / layout.STRAIN_MAP.format(name=name))
            write_map(written[-1], in_box(grid[MEASURES.index(name)], first, box), pixel, model.origin)
    if comparison is not None and comparison.phases is not None:
        phases = comparison.phases
        written.append(target / layout.GPA_VOLUMES)
        write_vti(written[-1], phases.maps, phases.pixel_size, model.origin)
        for name, volume in phases.maps.items() if volumes else ():
            written.append(target / layout.GPA_MAP.format(name=name))
            write_map(written[-1], volume, phases.pixel_size, model.origin)
    return written
