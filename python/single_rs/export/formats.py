"""Formats of other programs by name, each with its file in the folder of a particle.

Single files (xyz, pdb, cif, poscar) hold the structure alone; codes (vasp, qe, gpaw, cp2k, lammps) get complete inputs
for the particle, its ligands and its references, with dft.json and README_dft.md, see `single_rs.export.dft`. Atoms
keep their order unless the format groups species (POSCAR, which then has its map of rows).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from single_rs.analysis.model import Particle
from single_rs.base.errors import InputError
from single_rs.export.atoms import write_cif, write_pdb, write_xyz
from single_rs.export.dft import CODES, DftSettings, dft_set, write_inputs, write_poscar
from single_rs.store import layout

__all__ = ["FORMATS", "write_formats"]

Writer = Callable[[Path, Particle, float], list[Path]]


def _xyz(path: Path, model: Particle, vacuum: float) -> list[Path]:
    write_xyz(path, model)
    return [path]


def _pdb(path: Path, model: Particle, vacuum: float) -> list[Path]:
    write_pdb(path, model)
    return [path]


def _cif(path: Path, model: Particle, vacuum: float) -> list[Path]:
    write_cif(path, model, vacuum)
    return [path]


def _poscar(path: Path, model: Particle, vacuum: float) -> list[Path]:
    return write_poscar(path, model, vacuum)


# Structure alone: format → file in the folder of a particle, and its writer.
_FILES: dict[str, tuple[str, Writer]] = {
    "xyz": (layout.ATOMS, _xyz),
    "pdb": (layout.PDB, _pdb),
    "cif": (layout.CIF, _cif),
    "poscar": (layout.POSCAR, _poscar),
}
FORMATS = (*_FILES, *CODES)


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
        if name in _FILES:
            file, writer = _FILES[name]
            written += writer(Path(folder) / file, model if name == "xyz" else model.everything(), vacuum)
    codes = [name for name in dict.fromkeys(chosen) if name in CODES]
    if codes:
        written += write_inputs(Path(folder), dft_set(model, vacuum, settings), codes, vacuum)
    return written
