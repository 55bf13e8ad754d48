"""VASP: POSCAR, INCAR, KPOINTS and a note on POTCAR, for the particle and for the bulk of each element.

VASP wants the atoms of one species together; where that changes the order, ``POSCAR.map`` gives for each atom of
POSCAR its row in atoms.xyz, from 0. POTCAR is licensed and cannot be written: the note names the sets in the order of
POSCAR.

References: VASP wiki, POSCAR, INCAR; G. Kresse and J. Furthmüller, Phys. Rev. B 54, 11169 (1996),
doi:10.1103/PhysRevB.54.11169; PAW sets as recommended there, from ``ase.calculators.vasp.setups``.
"""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from single_rs.analysis.model import Particle
from single_rs.export.dft.cells import bulk_cells, by_species, particle_cell, write_ascii
from single_rs.export.dft.settings import DftSettings
from single_rs.io import atomic

__all__ = ["write_poscar", "write_vasp"]

# Elements whose recommended PAW sets have ENMAX near 400 eV.
_HARD = {"B", "C", "N", "O", "F"}
# Above this number of atoms projection in real space pays (VASP wiki, LREAL).
_REAL_SPACE = 30


def _title(atoms: Any, vacuum: float) -> str:
    return f"{atoms.get_chemical_formula()} single_rs, {vacuum:g} Angstrom of vacuum on each side"


def _write_poscar(target: Path, atoms: Any, title: str) -> list[Path]:
    from ase.io import write

    order = by_species(atoms)
    with atomic(target) as temporary:
        # sort=True would order atoms of one element by name and lose the rows of atoms.xyz.
        write(temporary, atoms[order], format="vasp", vasp5=True, direct=False, sort=False)
        # The first line is free text in VASP 5; ASE repeats the species there.
        rows = temporary.read_text(encoding="ascii").split("\n", 1)[1]
        temporary.write_text(f"{title}\n{rows}", encoding="ascii", newline="\n")
    rows_file = target.with_name(f"{target.name}.map")
    if np.all(np.diff(order) > 0):
        rows_file.unlink(missing_ok=True)
        return [target]
    return [target, write_ascii(rows_file, "".join(f"{k}\n" for k in order))]


def write_poscar(path: str | os.PathLike[str], model: Particle, vacuum: float = 10.0) -> list[Path]:
    """Write a POSCAR (VASP 5, Cartesian), and ``<name>.map`` if the grouping of species changes the order.

    Parameters
    ----------
    path
        File; replaced if it exists.
    model
        The particle.
    vacuum
        Å on each side.

    Returns
    -------
    list[Path]
        The files.
    """
    atoms = particle_cell(model, vacuum, DftSettings(spin=False))
    return _write_poscar(Path(path), atoms, _title(atoms, vacuum))


def _incar(atoms: Any, settings: DftSettings, title: str, bulk: bool, cutoff: float) -> str:
    moments = atoms.get_initial_magnetic_moments()
    lines: list[tuple[str, object, str]] = [
        ("SYSTEM", title, ""),
        ("GGA", "PE", "PBE"),
        ("LASPH", ".TRUE.", "gradients inside the spheres"),
        ("PREC", "Accurate", ""),
        ("ENCUT", f"{cutoff:g}", "eV; at least 1.3 times the largest ENMAX in POTCAR, the same in particle and bulk"),
        ("ISMEAR", 0, "Gaussian; use the energy for sigma -> 0"),
        ("SIGMA", f"{settings.smearing:g}", "eV"),
        ("EDIFF", "1E-6", "eV"),
        ("NELM", 200, ""),
        ("ALGO", "Normal", ""),
        ("LREAL", "Auto" if len(atoms) > _REAL_SPACE else ".FALSE.", ""),
        ("LWAVE", ".FALSE.", ""),
        ("LCHARG", ".TRUE." if settings.charge and not bulk else ".FALSE.", ""),
    ]
    if settings.charge and not bulk:
        lines.append(("LAECHG", ".TRUE.", "all-electron density: AECCAR0 and AECCAR2, on the grid of CHGCAR"))
    if settings.dispersion:
        lines.append(("IVDW", 12, "D3 with Becke-Johnson damping"))
    if bulk:
        lines += [
            ("IBRION", 2, "conjugate gradients"),
            ("ISIF", 3, "relaxes the cell: E_bulk belongs to the lattice constant of the functional"),
            ("NSW", 30, "then start again from CONTCAR: the plane waves belong to the first cell"),
        ]
    else:
        lines += [
            ("IBRION", -1, "the measured positions are not relaxed"),
            ("NSW", 0, ""),
            ("ISYM", 0, "measured positions have no symmetry"),
            ("AMIN", 0.01, "damps charge sloshing in the long cell"),
        ]
    if moments.any():
        # Lines of INCAR end at some 250 characters; atoms of one species and moment stand together.
        text = " ".join(f"{len(list(same))}*{m:g}" for m, same in groupby(moments.tolist()))
        lines += [("ISPIN", 2, ""), ("MAGMOM", text, "muB, in the order of POSCAR")]
    return "".join(f"{name} = {value}" + (f"  ! {note}" if note else "") + "\n" for name, value, note in lines)


def _potcar(atoms: Any) -> str:
    from ase.calculators.vasp.setups import setups_defaults

    recommended: dict[str, str] = setups_defaults["recommended"]
    names = [f"{s}{recommended.get(s, '')}" for s in dict.fromkeys(atoms.get_chemical_symbols())]
    return (
        "POTCAR is licensed with VASP and must be put here from the set potpaw_PBE, in the order of POSCAR:\n\n"
        f"    cat {' '.join(f'$VASP_PP_PATH/potpaw_PBE/{name}/POTCAR' for name in names)} > POTCAR\n\n"
        "Take the same sets for the bulk. grep -E 'TITEL|ENMAX' POTCAR tells which they are, "
        "and whether ENCUT is high enough.\n"
    )


def _write_folder(
    folder: Path, atoms: Any, settings: DftSettings, title: str, cutoff: float, mesh: tuple[int, int, int] | None
) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written = _write_poscar(folder / "POSCAR", atoms, title)
    grouped = atoms[by_species(atoms)]
    points = " ".join(str(n) for n in mesh or (1, 1, 1))
    texts = {
        "INCAR": _incar(grouped, settings, title, mesh is not None, cutoff),
        "KPOINTS": f"{'Gamma-centred mesh' if mesh else 'Gamma point'}\n0\nGamma\n{points}\n0 0 0\n",
        "POTCAR.txt": _potcar(grouped),
    }
    return written + [write_ascii(folder / name, text) for name, text in texts.items()]


def write_vasp(
    folder: str | os.PathLike[str], model: Particle, vacuum: float = 10.0, settings: DftSettings | None = None
) -> list[Path]:
    """Write complete inputs of VASP: a folder for the particle, ``<folder>_bulk_<element>`` for each bulk.

    Parameters
    ----------
    folder
        Made if needed.
    model
        The particle.
    vacuum
        Å on each side of the particle.
    settings
        None: the defaults.

    Returns
    -------
    list[Path]
        The files.
    """
    chosen = DftSettings() if settings is None else settings
    target = Path(folder)
    atoms = particle_cell(model, vacuum, chosen)
    cutoff = chosen.vasp_cutoff or (520.0 if _HARD & set(atoms.get_chemical_symbols()) else 400.0)
    written = _write_folder(target, atoms, chosen, _title(atoms, vacuum), cutoff, None)
    for element, cell, mesh in bulk_cells(atoms, chosen.k_spacing):
        bulk = target.with_name(f"{target.name}_bulk_{element}")
        written += _write_folder(bulk, cell, chosen, f"bulk {element} single_rs", cutoff, mesh)
    return written
