"""LAMMPS: the particle as a data file, a run of its energy per atom, and runs of the bulk of each element.

Units metal (Å, eV), atom_style atomic, types are the species, sorted. The interatomic potential stands in one file,
``<stem>_potential.in``, which all runs include: it names an EAM file that has to be put there, or is replaced.

Reference: A. P. Thompson et al., Comput. Phys. Commun. 271, 108171 (2022), doi:10.1016/j.cpc.2021.108171.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from single_rs.export.dft.calculation import DftSet
from single_rs.export.dft.cells import beside, write_ascii
from single_rs.io import atomic

__all__ = ["lammps_inputs"]

# Å of the edges of the bulk supercell: more than twice the cutoffs of metal potentials (5 to 7 Å).
_SUPERCELL = 16.0

_RUN = """# single_rs: energy of each atom of {data} at the given positions; run here: lmp -in {script} -log {stem}.log
units metal
atom_style atomic
boundary p p p
read_data {data}
include {potential}
compute energy all pe/atom
thermo_style custom step pe fmax
thermo_modify norm no format float %.10g
dump atoms all custom 1 {stem}_result.dump id type x y z c_energy fx fy fz
dump_modify atoms sort id format float %.10g
{move}run 0
variable energy equal pe
print "E_particle ${{energy}} eV"
"""

# Molecules and ligands find their places; fixed atoms of a slab are not known to this run.
_MOVE = "minimize 1e-12 1e-8 1000 10000\n"

_BULK = """# single_rs: E_bulk of {element}, cell relaxed; run in this folder: lmp -in {script} -log {stem}.log
units metal
atom_style atomic
boundary p p p
box tilt large
read_data {data}
include {potential}
thermo_style custom step pe press
thermo_modify norm no
fix cell all box/relax {kind} 0.0 vmax 0.001
minimize 1e-12 1e-8 1000 10000
variable energy equal pe/atoms
print "E_bulk ${{energy}} eV/atom"
"""


def _write_data(path: Path, atoms: Any, species: list[str]) -> None:
    from ase.io import write

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


def lammps_inputs(target: Path, given: DftSet) -> list[Path]:
    """Write data and run of each calculation, ``target`` for the particle; returns the files."""
    from ase.build import make_supercell

    potential = target.with_name(f"{target.stem}_potential.in")
    species = sorted(given.elements)
    written = []
    for one in given.calculations:
        data = target if one.name == "particle" else beside(target, one.name)
        run = data.with_suffix(".in")
        words = {"data": data.name, "script": run.name, "potential": potential.name, "stem": data.stem}
        if one.relax == "cell":
            element = one.atoms.get_chemical_formula(empirical=True)
            times = [int(-(-_SUPERCELL // length)) for length in one.atoms.cell.lengths()]
            _write_data(data, make_supercell(one.atoms, np.diag(times)), species)
            # A triclinic primitive cell keeps its shape: cubic crystals need the volume alone, and hcp c/a as well.
            kind = "aniso" if abs(one.atoms.cell.angles()[2] - 120) < 1e-6 else "iso"
            write_ascii(run, _BULK.format(element=element, kind=kind, **words))
        else:
            _write_data(data, one.atoms, species)
            write_ascii(run, _RUN.format(move=_MOVE if one.relax else "", **words))
        written += [data, run]
    name = "".join(species)
    write_ascii(
        potential,
        f"# The interatomic potential: any one for {' and '.join(species)}, in the order of the types.\n"
        f"pair_style eam/alloy\npair_coeff * * {name}.eam.alloy {' '.join(species)}\n",
    )
    return [*written, potential]
