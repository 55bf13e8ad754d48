"""GPAW: scripts for the particle (energy and forces), its parts, and its references (bulk at its own volume).

Atomic orbitals (LCAO, double zeta with polarisation) and PBE: minutes for tens of atoms. The particle has open
boundaries; LCAO gives no stress, so the bulk is computed at seven volumes and the minimum is that of the equation of
state.

References: J. J. Mortensen et al., J. Chem. Phys. 160, 092503 (2024), doi:10.1063/5.0182685; A. H. Larsen et al.,
Phys. Rev. B 80, 195112 (2009), doi:10.1103/PhysRevB.80.195112 (LCAO); the equation of state is that of
A. B. Alchagirov et al., Phys. Rev. B 63, 224115 (2001), doi:10.1103/PhysRevB.63.224115.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from single_rs.export.dft.calculation import Calculation, DftSet
from single_rs.export.dft.cells import beside
from single_rs.io import atomic, write_text

__all__ = ["gpaw_inputs"]

_PARTICLE = '''"""Energy and forces of {structure}: mpiexec -n N gpaw python {script}."""

from pathlib import Path

from ase.io import read
from gpaw import GPAW, FermiDirac

folder = Path(__file__).resolve().parent
atoms = read(folder / "{structure}")
atoms.calc = GPAW(
    mode="lcao",
    basis="dzp",
    xc="PBE",
    h={spacing:g},
    kpts={{"size": {mesh}, "gamma": True}},
    occupations=FermiDirac({width:.4f}),
    spinpol={spin},
    symmetry="off",
    convergence={{"energy": 1e-4}},
    txt=str(folder / "{stem}.txt"),
{dipole})
{dispersion}{relax}{charge}energy = atoms.get_potential_energy()
forces = atoms.get_forces()
atoms.write(folder / "{stem}_result.xyz", format="extxyz")
print(f"energy {{energy:.4f}} eV ({{energy / len(atoms):.4f}} eV/atom)")
print(f"largest force component {{abs(forces).max():.3f}} eV/Angstrom")
'''

_BULK = '''"""E_bulk of {element} in {structure} at the volume of least energy: mpiexec -n N gpaw python {script}."""

from pathlib import Path

import numpy as np
from ase.eos import EquationOfState
from ase.io import read
from gpaw import GPAW, FermiDirac
from gpaw.utilities import h2gpts

folder = Path(__file__).resolve().parent
start = read(folder / "{structure}")
volumes, energies = [], []
for scale in np.linspace(0.97, 1.03, 7):
    atoms = start.copy()
    atoms.set_cell(start.cell * scale, scale_atoms=True)
    atoms.calc = GPAW(
        mode="lcao",
        basis="dzp",
        xc="PBE",
        gpts=h2gpts({spacing:g}, start.cell),
        kpts={{"size": {mesh}, "gamma": True}},
        occupations=FermiDirac({width:.4f}),
        spinpol={spin},
        convergence={{"energy": 1e-5}},
        txt=str(folder / f"{stem}_{{scale:.2f}}.txt"),
    )
{inner}    volumes.append(atoms.get_volume() / len(atoms))
    energies.append(atoms.get_potential_energy() / len(atoms))
volume, energy, modulus = EquationOfState(volumes, energies, eos="sj").fit()
text = f"E_bulk {{energy:.4f}} eV/atom at {{volume:.3f}} Angstrom^3/atom"
(folder / "{stem}_result.txt").write_text(text + "\\n")
print(text)
'''


# Added to the scripts: D3 by the program dftd3, and the all-electron density as a cube, electrons per Bohr³.
_DISPERSION = """from ase.calculators.dftd3 import DFTD3  # runs the program dftd3
atoms.calc = DFTD3(dft=atoms.calc, xc="pbe", damping="bj")
"""
_RELAX = """from ase.optimize import BFGS
BFGS(atoms).run(fmax=0.03, steps=300)
"""
_CHARGE = """from ase.io.cube import write_cube
from ase.units import Bohr
atoms.get_potential_energy()
density = {calc}.get_all_electron_density(gridrefinement=2) * Bohr**3
with open(folder / "{stem}_charge.cube", "w") as file:
    write_cube(file, atoms, data=density)
"""


def _write_script(script: Path, template: str, atoms: Any, **values: object) -> list[Path]:
    from ase.io import write

    structure = script.with_suffix(".xyz")
    with atomic(structure) as temporary:
        write(temporary, atoms, format="extxyz")
    text = template.format(
        script=script.name, structure=structure.name, stem=script.stem, spin=atoms.has("initial_magmoms"), **values
    )
    write_text(script, text)
    return [script, structure]


def gpaw_inputs(target: Path, given: DftSet) -> list[Path]:
    """Write a script and its structure for each calculation, ``target`` for the particle; returns the files."""
    written = []
    for one in given.calculations:
        script = target if one.name == "particle" else beside(target, one.name)
        written += _bulk(script, one, given) if one.relax == "cell" else _single(script, one, given)
    return written


def _single(script: Path, one: Calculation, given: DftSet) -> list[Path]:
    chosen = given.settings
    calc = "atoms.calc.dft" if chosen.dispersion else "atoms.calc"
    return _write_script(
        script, _PARTICLE, one.atoms, spacing=chosen.gpaw_spacing, width=chosen.fermi_width, mesh=one.mesh or (1, 1, 1),
        dispersion=_DISPERSION if chosen.dispersion else "", relax=_RELAX if one.relax else "",
        charge=_CHARGE.format(stem=script.stem, calc=calc) if one.charge else "",
        dipole='    poissonsolver={"dipolelayer": "xy"},\n' if one.slab else "",
    )  # fmt: skip


def _bulk(script: Path, one: Calculation, given: DftSet) -> list[Path]:
    chosen = given.settings
    inner = "".join(f"    {line}\n" for line in _DISPERSION.splitlines()) if chosen.dispersion else ""
    element = one.atoms.get_chemical_formula(empirical=True)
    return _write_script(
        script, _BULK, one.atoms, spacing=chosen.gpaw_spacing, width=chosen.fermi_width, element=element,
        mesh=one.mesh, inner=inner,
    )  # fmt: skip
