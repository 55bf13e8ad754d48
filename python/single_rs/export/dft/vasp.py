"""VASP: POSCAR, INCAR, KPOINTS and a note on POTCAR, for the particle, its parts and its references.

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
from single_rs.export.dft.calculation import Calculation, DftSet
from single_rs.export.dft.cells import by_species, particle_cell, write_ascii
from single_rs.export.dft.settings import DftSettings
from single_rs.io import atomic

__all__ = ["plane_wave_cutoff", "poscar_of", "vasp_inputs", "write_poscar"]

# Elements whose recommended PAW sets have ENMAX near 400 eV.
_HARD = {"B", "C", "N", "O", "F"}
_CUTOFF, _HARD_CUTOFF = 400.0, 520.0  # eV, see `DftSettings`
# Above this number of atoms projection in real space pays (VASP wiki, LREAL).
_REAL_SPACE = 30


def _title(atoms: Any, vacuum: float) -> str:
    return f"{atoms.get_chemical_formula()} single_rs, {vacuum:g} Angstrom of vacuum on each side"


def poscar_of(target: Path, atoms: Any, title: str) -> list[Path]:
    """Write a POSCAR of ``ase.Atoms`` in their cell, and its map of rows where species have to be grouped."""
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
    return poscar_of(Path(path), atoms, _title(atoms, vacuum))


def _incar(atoms: Any, one: Calculation, settings: DftSettings, title: str, cutoff: float) -> str:
    moments = atoms.get_initial_magnetic_moments()
    lines: list[tuple[str, object, str]] = [
        ("SYSTEM", title, ""),
        ("GGA", "PE", "PBE"),
        ("LASPH", ".TRUE.", "gradients inside the spheres"),
        ("PREC", "Accurate", ""),
        ("ENCUT", f"{cutoff:g}", "eV; at least 1.3 times the largest ENMAX in POTCAR, the same in particle and bulk"),
        ("ISMEAR", 0, "Gaussian; use the energy for sigma -> 0"),
        ("SIGMA", f"{settings.width:g}", "eV"),
        ("EDIFF", "1E-6", "eV"),
        ("NELM", 200, ""),
        ("ALGO", "Normal", ""),
        ("LREAL", "Auto" if len(atoms) > _REAL_SPACE else ".FALSE.", ""),
        ("LWAVE", ".FALSE.", ""),
        ("LCHARG", ".TRUE." if one.charge else ".FALSE.", ""),
    ]
    if one.charge:
        lines.append(("LAECHG", ".TRUE.", "all-electron density: AECCAR0 and AECCAR2, on the grid of CHGCAR"))
    if settings.dispersion:
        lines.append(("IVDW", 12, "D3 with Becke-Johnson damping"))
    if one.relax == "cell":
        lines += [
            ("IBRION", 2, "conjugate gradients"),
            ("ISIF", 3, "relaxes the cell: E_bulk belongs to the lattice constant of the functional"),
            ("NSW", 30, "then start again from CONTCAR: the plane waves belong to the first cell"),
        ]
    elif one.relax == "atoms":
        lines += [
            ("IBRION", 2, "conjugate gradients"),
            ("ISIF", 2, "the cell stays"),
            ("NSW", 200, ""),
            ("EDIFFG", -0.03, "eV/Angstrom"),
        ]
    else:
        lines += [("IBRION", -1, "the given positions are not relaxed"), ("NSW", 0, "")]
    if one.relax != "cell":
        lines += [
            ("ISYM", 0, "measured positions have no symmetry"),
            ("AMIN", 0.01, "damps charge sloshing in the long cell"),
        ]
    if one.slab:
        lines += [
            ("LDIPOL", ".TRUE.", "a slab that is covered on one side has a dipole"),
            ("IDIPOL", 3, "along c"),
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


def _write_folder(folder: Path, one: Calculation, settings: DftSettings, title: str, cutoff: float) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written = poscar_of(folder / "POSCAR", one.atoms, title)
    grouped = one.atoms[by_species(one.atoms)]
    points = " ".join(str(n) for n in one.mesh or (1, 1, 1))
    texts = {
        "INCAR": _incar(grouped, one, settings, title, cutoff),
        "KPOINTS": f"{'Gamma-centred mesh' if one.mesh else 'Gamma point'}\n0\nGamma\n{points}\n0 0 0\n",
        "POTCAR.txt": _potcar(grouped),
    }
    return written + [write_ascii(folder / name, text) for name, text in texts.items()]


def vasp_inputs(target: Path, given: DftSet) -> list[Path]:
    """Write a folder for each calculation, ``target`` for the particle; returns the files."""
    cutoff = plane_wave_cutoff(given)
    written = []
    for one in given.calculations:
        folder = target if one.name == "particle" else target.with_name(f"{target.name}_{one.name}")
        title = f"{one.atoms.get_chemical_formula()} {one.name} single_rs"
        written += _write_folder(folder, one, given.settings, title, cutoff)
    return written


def plane_wave_cutoff(given: DftSet) -> float:
    """Return ENCUT in eV: that set, or what the elements of all calculations need."""
    return given.settings.vasp_cutoff or (_HARD_CUTOFF if _HARD & set(given.elements) else _CUTOFF)
