"""Files and summary of the strain of one particle.

strain.csv     one row for each atom, in the order of atoms.xyz (`StrainTable`).
strain.vti     the measures between the atoms, for ParaView, on the part of the map's grid that holds the particle.
strain_*.mrc   the same on the whole grid, one file each, for programs that overlay maps.
gpa.vti        strain and displacement from the phases of the map, on its own coarser grid of the same box; gpa_*.mrc.

Volumes are written on request. They are 0 where there is no atom.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from single_rs.analysis.model import Particle
from single_rs.analysis.strain.invariants import MEASURES, strain_measures
from single_rs.analysis.strain.table import strain_table
from single_rs.analysis.strain.volumes import MAPS, in_box, strain_grid
from single_rs.export.atoms import file_offset
from single_rs.io import write_map
from single_rs.io.vtk import write_vti
from single_rs.store import layout
from single_rs.store.tables import write_table

__all__ = ["write_strain"]


def write_strain(folder: str | os.PathLike[str], model: Particle, volumes: bool = False) -> list[Path]:
    """Write all files of the strain of a particle into a folder; returns them.

    Parameters
    ----------
    folder
        It must exist.
    model
        Result of `analyze`.
    volumes
        Write strain.vti and strain_*.mrc when it has a box, gpa.vti and gpa_*.mrc when it was given the map.
    """
    if model.strain is None or model.lattice is None:
        return []
    target, x, comparison = Path(folder), model.atoms.positions, model.comparison
    written = [target / layout.STRAIN_TABLE]
    offset = file_offset(model.box, model.pixel_size, model.origin)
    write_table(written[0], strain_table(x, model.atoms.symbols, model.strain, comparison, offset))
    if not volumes:
        return written
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
        for name in MAPS:
            written.append(target / layout.STRAIN_MAP.format(name=name))
            write_map(written[-1], in_box(grid[MEASURES.index(name)], first, box), pixel, model.origin)
    if comparison is not None and comparison.phases is not None:
        phases = comparison.phases
        written.append(target / layout.GPA_VOLUMES)
        write_vti(written[-1], phases.maps, phases.pixel_size, model.origin)
        for name, volume in phases.maps.items():
            written.append(target / layout.GPA_MAP.format(name=name))
            write_map(written[-1], volume, phases.pixel_size, model.origin)
    return written
