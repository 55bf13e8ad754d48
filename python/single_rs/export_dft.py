"""Inputs of other programs: POSCAR (VASP), Quantum ESPRESSO, GPAW, LAMMPS; complete, each with its cell and vacuum.

The particle is put in the middle of an orthorhombic cell with `vacuum` Å on each side, so positions differ from those
of atoms.xyz by a translation; atoms keep their order unless the format groups species (see `write_poscar`). The numbers
of a calculation (cutoffs, functional, smearing) are starting values that must be converged for the purpose.

References: VASP wiki, POSCAR; P. Giannozzi et al., J. Phys.: Condens. Matter 29, 465901 (2017),
doi:10.1088/1361-648X/aa8f79; J. J. Mortensen et al., J. Chem. Phys. 160, 092503 (2024), doi:10.1063/5.0182685;
A. P. Thompson et al., Comput. Phys. Commun. 271, 108171 (2022), doi:10.1016/j.cpc.2021.108171.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from single_rs.errors import InputError
from single_rs.export import ParticleModel, to_ase, write_cif, write_pdb, write_xyz

__all__ = ["FORMATS", "write_formats", "write_gpaw", "write_lammps", "write_poscar", "write_qe"]

# Plane-wave cutoffs (Ry) at which the transition metals of the SSSP library are converged to 1 meV/atom
# (G. Prandini et al., npj Comput. Mater. 4, 72 (2018), doi:10.1038/s41524-018-0127-2: 45 to 90 Ry; density 8 times).
_CUTOFF, _DENSITY_CUTOFF = 60.0, 480.0
# Width of the electronic smearing, Ry: 0.02 Ry is usual for metals.
_SMEARING = 0.02


def write_poscar(path: str | os.PathLike[str], model: ParticleModel, vacuum: float = 10.0) -> None:
    """Write a POSCAR (VASP 5, Cartesian).

    VASP wants the atoms of one species together. When that changes the order, the file ``<name>.map`` beside it gives
    for each POSCAR atom its row in atoms.xyz, from 0; particles of one element keep their order and need none.
    """
    from ase.io import write

    from single_rs.io import atomic

    atoms = to_ase(model.atoms, vacuum)
    species = list(dict.fromkeys(atoms.get_chemical_symbols()))
    order = np.argsort([species.index(s) for s in atoms.get_chemical_symbols()], kind="stable")
    target = Path(path)
    with atomic(target) as temporary:
        write(
            temporary,
            atoms[order],
            format="vasp",
            vasp5=True,
            direct=False,
            sort=False,
        )
        # The first line is free text in VASP 5; ASE repeats the species there.
        rows = temporary.read_text(encoding="ascii").split("\n", 1)[1]
        title = f"{atoms.get_chemical_formula()} single_rs, {vacuum:g} Angstrom of vacuum on each side"
        temporary.write_text(f"{title}\n{rows}", encoding="ascii", newline="\n")
    if np.any(np.diff(order) < 0):
        with atomic(target.with_name(f"{target.name}.map")) as temporary:
            temporary.write_text("".join(f"{k}\n" for k in order), encoding="ascii", newline="\n")


def write_qe(path: str | os.PathLike[str], model: ParticleModel, vacuum: float = 10.0) -> None:
    """Write an input of Quantum ESPRESSO's pw.x: one self-consistent calculation with forces, Γ point.

    The pseudopotentials are named ``<element>.UPF`` in ``./pseudo``: put files there or change the names. For metals
    that come with fully relativistic pseudopotentials only, add ``noncolin=.true., lspinorb=.true.`` to &SYSTEM.
    ``mixing_mode='local-TF'`` is what lets clusters in vacuum converge.
    """
    from ase.io import write

    from single_rs.io import atomic

    atoms = to_ase(model.atoms, vacuum)
    atoms.pbc = True
    species = sorted(set(atoms.get_chemical_symbols()))
    settings = {
        "control": {
            "calculation": "scf",
            "tprnfor": True,
            "pseudo_dir": "./pseudo",
            "outdir": "./out",
            "prefix": "particle",
        },
        "system": {
            "ecutwfc": _CUTOFF,
            "ecutrho": _DENSITY_CUTOFF,
            "occupations": "smearing",
            "smearing": "marzari-vanderbilt",
            "degauss": _SMEARING,
        },
        "electrons": {"mixing_mode": "local-TF", "mixing_beta": 0.3, "conv_thr": 1e-6, "electron_maxstep": 200},
    }
    with atomic(path) as temporary:
        write(
            temporary,
            atoms,
            format="espresso-in",
            input_data=settings,
            pseudopotentials={s: f"{s}.UPF" for s in species},
            kpts=None,
        )
        text = temporary.read_text(encoding="utf-8")
        note = f"! single_rs: {len(atoms)} atoms; put {', '.join(f'{s}.UPF' for s in species)} into ./pseudo\n"
        temporary.write_text(note + text, encoding="utf-8", newline="\n")


_GPAW_SCRIPT = '''"""Energy and forces of the particle in {structure}: mpiexec -n N gpaw python {script}."""

from pathlib import Path

from ase.io import read
from gpaw import GPAW, FermiDirac

folder = Path(__file__).resolve().parent
atoms = read(folder / "{structure}")
atoms.calc = GPAW(
    mode="lcao",
    basis="dzp",
    xc="PBE",
    h=0.18,
    kpts=(1, 1, 1),
    occupations=FermiDirac(0.1),
    convergence={{"energy": 1e-4}},
    txt=str(folder / "{stem}.txt"),
)
energy = atoms.get_potential_energy()
forces = atoms.get_forces()
atoms.write(folder / "{stem}_result.xyz", format="extxyz")
print(f"energy {{energy:.4f}} eV ({{energy / len(atoms):.4f}} eV/atom)")
print(f"largest force component {{abs(forces).max():.3f}} eV/Angstrom")
'''


def write_gpaw(path: str | os.PathLike[str], model: ParticleModel, vacuum: float = 10.0) -> None:
    """Write a GPAW script (LCAO dzp, PBE: minutes for tens of atoms) and the structure it reads, ``<stem>.xyz``."""
    from ase.io import write

    from single_rs.io import atomic

    script = Path(path)
    structure = script.with_suffix(".xyz")
    with atomic(structure) as temporary:
        write(temporary, to_ase(model.atoms, vacuum), format="extxyz")
    with atomic(script) as temporary:
        text = _GPAW_SCRIPT.format(script=script.name, structure=structure.name, stem=script.stem)
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_lammps(path: str | os.PathLike[str], model: ParticleModel, vacuum: float = 10.0) -> None:
    """Write a LAMMPS data file (atom_style atomic, units metal, masses); types are the species, sorted."""
    from ase.io import write

    from single_rs.io import atomic

    atoms = to_ase(model.atoms, vacuum)
    species = sorted(set(atoms.get_chemical_symbols()))
    with atomic(path) as temporary:
        write(
            temporary,
            atoms,
            format="lammps-data",
            specorder=species,
            masses=True,
            units="metal",
            atom_style="atomic",
        )


# Format → file name in the folder of a particle, and its writer.
FORMATS: dict[str, tuple[str, Callable[[Path, ParticleModel, float], None]]] = {
    "xyz": ("atoms.xyz", lambda path, model, vacuum: write_xyz(path, model)),
    "pdb": ("atoms.pdb", lambda path, model, vacuum: write_pdb(path, model)),
    "cif": ("atoms.cif", write_cif),
    "poscar": ("POSCAR", write_poscar),
    "qe": ("qe.in", write_qe),
    "gpaw": ("gpaw_particle.py", write_gpaw),
    "lammps": ("lammps.data", write_lammps),
}


def write_formats(
    folder: str | os.PathLike[str], model: ParticleModel, formats: Iterable[str], vacuum: float = 10.0
) -> list[Path]:
    """Write the particle in several formats, by their names in `FORMATS`, into a folder; returns the files.

    Parameters
    ----------
    folder
        Made if needed.
    model
        Atoms with what is known of each.
    formats
        Names in `FORMATS`.
    vacuum
        Å round the particle in periodic formats.

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
        writer(Path(folder) / file, model, vacuum)
        written.append(Path(folder) / file)
    return written
