"""All files of an analysed particle."""

from __future__ import annotations

import os
from pathlib import Path

from single_rs.analysis.distances.summary import bond_summary
from single_rs.analysis.model import Particle
from single_rs.analysis.structure import survey_structure
from single_rs.analysis.sublattice import close_packed_sublattice
from single_rs.export.atoms import write_xyz
from single_rs.export.dft import DftSettings
from single_rs.export.distances import write_distances
from single_rs.export.formats import write_formats
from single_rs.export.lattice import write_lattice
from single_rs.export.strain import write_strain
from single_rs.export.structure import write_structure
from single_rs.store import layout

__all__ = ["write_analysis"]


def write_analysis(
    folder: str | os.PathLike[str],
    model: Particle,
    formats: tuple[str, ...] = ("pdb", "cif", "poscar"),
    vacuum: float = 10.0,
    dft: DftSettings | None = None,
    volumes: bool = False,
) -> list[Path]:
    """Write atoms.xyz, structure.csv and .json, lattice.json, distances, strain, the formats; return the files.

    Parameters
    ----------
    folder
        Made if needed.
    model
        Result of `analyze`.
    formats
        Names in `export_dft.FORMATS`.
    vacuum
        Å round the particle in periodic formats.
    dft
        Settings of the calculations among the formats; None: the defaults.
    volumes
        Also write strain and phases as VTK and MRC volumes.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    written = [target / layout.ATOMS]
    write_xyz(written[0], model)
    packed = close_packed_sublattice(model.atoms, model.lattice)
    written += write_structure(target, model.atoms.positions, survey_structure(model.atoms.positions, packed))
    written += write_distances(target, model)
    if model.lattice is not None:
        bond = bond_summary(model.atoms, model.lattice)
        write_lattice(target / layout.LATTICE, model.lattice, model.powder, bond)
        written.append(target / layout.LATTICE)
        written += write_strain(target, model, volumes)
    return written + write_formats(target, model, [f for f in formats if f != "xyz"], vacuum, dft)
