"""Formats of other programs by name, each with its file in the folder of a particle.

Single files (xyz, pdb, cif, poscar) hold the structure alone; codes (vasp, qe, gpaw, cp2k, lammps) get complete inputs
for the particle and for the bulk of each element, with README_dft.md, see `single_rs.dft`. Atoms keep their order
unless the format groups species (POSCAR, which then has its map of rows).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from single_rs.analysis.model import Particle
from single_rs.base.errors import InputError
from single_rs.export.atoms import write_cif, write_pdb, write_xyz
from single_rs.export.dft import (
    DftSettings,
    write_cp2k,
    write_gpaw,
    write_lammps,
    write_poscar,
    write_qe,
    write_readme,
    write_vasp,
)
from single_rs.store import layout

__all__ = ["FORMATS", "write_formats"]

Writer = Callable[[Path, Particle, float, DftSettings | None], list[Path]]


def _xyz(path: Path, model: Particle, vacuum: float, settings: DftSettings | None) -> list[Path]:
    write_xyz(path, model)
    return [path]


def _pdb(path: Path, model: Particle, vacuum: float, settings: DftSettings | None) -> list[Path]:
    write_pdb(path, model)
    return [path]


def _cif(path: Path, model: Particle, vacuum: float, settings: DftSettings | None) -> list[Path]:
    write_cif(path, model, vacuum)
    return [path]


def _poscar(path: Path, model: Particle, vacuum: float, settings: DftSettings | None) -> list[Path]:
    return write_poscar(path, model, vacuum)


# Format → file (or folder) in the folder of a particle, and its writer.
FORMATS: dict[str, tuple[str, Writer]] = {
    "xyz": (layout.ATOMS, _xyz),
    "pdb": (layout.PDB, _pdb),
    "cif": (layout.CIF, _cif),
    "poscar": (layout.POSCAR, _poscar),
    "vasp": ("vasp", write_vasp),
    "qe": ("qe.in", write_qe),
    "gpaw": ("gpaw_particle.py", write_gpaw),
    "cp2k": ("cp2k.inp", write_cp2k),
    "lammps": ("lammps.data", write_lammps),
}
# Formats that are calculations, with a bulk reference each.
_CODES = ("vasp", "qe", "gpaw", "cp2k", "lammps")


def write_formats(
    folder: str | os.PathLike[str],
    model: Particle,
    formats: Iterable[str],
    vacuum: float = 10.0,
    settings: DftSettings | None = None,
) -> list[Path]:
    """Write the particle in several formats, by their names in `FORMATS`, into a folder; returns the files.

    Parameters
    ----------
    folder
        It must exist.
    model
        Atoms with what is known of each.
    formats
        Names in `FORMATS`.
    vacuum
        Å round the particle in periodic formats.
    settings
        Cutoffs, smearing, spin and k-points of the calculations; None: the defaults.

    Raises
    ------
    InputError
        Unknown format.
    DataFileError
        A file cannot be written.
    """
    chosen = list(formats)
    for name in chosen:
        if name not in FORMATS:
            raise InputError(f"format is {name!r}; accepted: {', '.join(FORMATS)}")
    written = []
    for name in chosen:
        file, writer = FORMATS[name]
        written += writer(Path(folder) / file, model if name == "xyz" else model.everything(), vacuum, settings)
    codes = [name for name in chosen if name in _CODES]
    if codes:
        written.append(write_readme(Path(folder), model.everything(), codes, vacuum))
    return written
