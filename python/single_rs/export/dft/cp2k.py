"""CP2K: Quickstep inputs for the particle (energy and forces, Γ), its parts and its references (relaxed, k-points).

Goedecker-Teter-Hutter pseudopotentials and MOLOPT basis sets, both shipped with CP2K; Fermi-Dirac occupations and
Broyden mixing for metals, with empty orbitals to smear into.

References: T. D. Kühne et al., J. Chem. Phys. 152, 194103 (2020), doi:10.1063/5.0007045; J. VandeVondele and J. Hutter,
J. Chem. Phys. 127, 114105 (2007), doi:10.1063/1.2770708 (basis sets).
"""

from __future__ import annotations

from pathlib import Path

from single_rs.export.dft.calculation import Calculation, DftSet
from single_rs.export.dft.cells import beside, write_ascii
from single_rs.export.dft.settings import DftSettings

__all__ = ["cp2k_inputs"]

_BOLTZMANN = 8.617333262e-5  # eV/K, CODATA 2018
# Empty orbitals: at 0.2 eV some tenths of an orbital per atom are partly filled; two per atom leave a margin.
_EMPTY, _LEAST_EMPTY = 2, 10


_DISPERSION = """      &VDW_POTENTIAL
        POTENTIAL_TYPE PAIR_POTENTIAL
        &PAIR_POTENTIAL
          TYPE DFTD3(BJ)
          PARAMETER_FILE_NAME dftd3.dat
          REFERENCE_FUNCTIONAL PBE
        &END PAIR_POTENTIAL
      &END VDW_POTENTIAL
"""


_CELL = "&MOTION\n  &CELL_OPT\n    KEEP_ANGLES .TRUE.\n    MAX_ITER 30\n  &END CELL_OPT\n&END MOTION\n"
_ATOMS = "&MOTION\n  &GEO_OPT\n    MAX_ITER 300\n  &END GEO_OPT\n{fixed}&END MOTION\n"
_FIXED = "  &CONSTRAINT\n    &FIXED_ATOMS\n{lists}    &END FIXED_ATOMS\n  &END CONSTRAINT\n"
_LIST = 16  # atoms on a line


def _motion(one: Calculation) -> str:
    """Section on what moves."""
    if one.relax != "atoms":
        return _CELL if one.relax else ""
    held = [int(k) + 1 for c in one.atoms.constraints for k in c.index]
    rows = [held[k : k + _LIST] for k in range(0, len(held), _LIST)]
    lists = "".join(f"      LIST {' '.join(map(str, row))}\n" for row in rows)
    return _ATOMS.format(fixed=_FIXED.format(lists=lists) if held else "")


def _input(one: Calculation, settings: DftSettings) -> str:
    atoms, mesh = one.atoms, one.mesh
    moments = atoms.get_initial_magnetic_moments()
    spin = bool(moments.any())
    empty = max(_LEAST_EMPTY, _EMPTY * len(atoms))
    if mesh is not None:
        empty = _EMPTY * len(atoms)  # a primitive cell has no more to give
    symbols = atoms.get_chemical_symbols()
    kinds = "".join(
        f"    &KIND {s}\n      BASIS_SET DZVP-MOLOPT-SR-GTH\n      POTENTIAL GTH-PBE\n"
        + (f"      MAGNETIZATION {moments[symbols.index(s)]:g}\n" if spin else "")
        + "    &END KIND\n"
        for s in dict.fromkeys(symbols)
    )
    vectors = "".join(
        f"      {name} {v[0]:.10f} {v[1]:.10f} {v[2]:.10f}\n" for name, v in zip("ABC", atoms.cell, strict=True)
    )
    places = "".join(
        f"      {s} {x:.10f} {y:.10f} {z:.10f}\n" for s, (x, y, z) in zip(symbols, atoms.positions, strict=True)
    )
    points = "" if mesh is None else f"    &KPOINTS\n      SCHEME MACDONALD {mesh[0]} {mesh[1]} {mesh[2]} 0 0 0\n"
    points += "" if mesh is None else "      FULL_GRID .FALSE.\n    &END KPOINTS\n"
    motion = _motion(one)
    run = {"": "ENERGY_FORCE", "atoms": "GEO_OPT", "cell": "CELL_OPT"}[one.relax]
    dipole = "    SURFACE_DIPOLE_CORRECTION .TRUE.\n    SURF_DIP_DIR Z\n" if one.slab else ""
    dispersion = _DISPERSION if settings.dispersion else ""
    charge = "    &PRINT\n      &E_DENSITY_CUBE\n      &END E_DENSITY_CUBE\n    &END PRINT\n"
    charge = charge if one.charge else ""
    return f"""&GLOBAL
  PROJECT {one.name}
  RUN_TYPE {run}
  PRINT_LEVEL MEDIUM
&END GLOBAL
{motion}&FORCE_EVAL
  METHOD QUICKSTEP
{"" if one.relax != "cell" else "  STRESS_TENSOR ANALYTICAL" + chr(10)}  &PRINT
    &FORCES ON
    &END FORCES
  &END PRINT
  &DFT
    BASIS_SET_FILE_NAME BASIS_MOLOPT
    POTENTIAL_FILE_NAME GTH_POTENTIALS
    UKS {".TRUE." if spin else ".FALSE."}
{dipole}    &MGRID
      CUTOFF {settings.cp2k_cutoff:g}
      REL_CUTOFF 60
    &END MGRID
    &QS
      EPS_DEFAULT 1.0E-12
    &END QS
{points}    &SCF
      SCF_GUESS ATOMIC
      EPS_SCF 1.0E-6
      MAX_SCF 300
      ADDED_MOS {empty}{f" {empty}" if spin else ""}
      &DIAGONALIZATION
        ALGORITHM STANDARD
      &END DIAGONALIZATION
      &SMEAR ON
        METHOD FERMI_DIRAC
        ELECTRONIC_TEMPERATURE [K] {settings.fermi_width / _BOLTZMANN:.0f}
      &END SMEAR
      &MIXING
        METHOD BROYDEN_MIXING
        ALPHA 0.1
        BETA 1.5
        NBROYDEN 8
      &END MIXING
    &END SCF
    &XC
      &XC_FUNCTIONAL PBE
      &END XC_FUNCTIONAL
{dispersion}    &END XC
{charge}  &END DFT
  &SUBSYS
    &CELL
{vectors}      PERIODIC XYZ
    &END CELL
    &COORD
{places}    &END COORD
{kinds}  &END SUBSYS
&END FORCE_EVAL
"""


def cp2k_inputs(target: Path, given: DftSet) -> list[Path]:
    """Write an input for each calculation, ``target`` for the particle; returns the files."""
    written = []
    for one in given.calculations:
        path = target if one.name == "particle" else beside(target, one.name)
        written.append(write_ascii(path, _input(one, given.settings)))
    return written
