"""CP2K: Quickstep inputs for the particle (energy and forces, Γ) and the bulk of each element (relaxed cell, k-points).

Goedecker-Teter-Hutter pseudopotentials and MOLOPT basis sets, both shipped with CP2K; Fermi-Dirac occupations and
Broyden mixing for metals, with empty orbitals to smear into.

References: T. D. Kühne et al., J. Chem. Phys. 152, 194103 (2020), doi:10.1063/5.0007045; J. VandeVondele and J. Hutter,
J. Chem. Phys. 127, 114105 (2007), doi:10.1063/1.2770708 (basis sets).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from single_rs.analysis.model import Particle
from single_rs.export.dft.cells import beside, bulk_cells, particle_cell, write_ascii
from single_rs.export.dft.settings import DftSettings

__all__ = ["write_cp2k"]

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


def _input(atoms: Any, settings: DftSettings, project: str, mesh: tuple[int, int, int] | None) -> str:
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
    motion = (
        ""
        if mesh is None
        else "&MOTION\n  &CELL_OPT\n    KEEP_ANGLES .TRUE.\n    MAX_ITER 30\n  &END CELL_OPT\n&END MOTION\n"
    )
    dispersion = _DISPERSION if settings.dispersion else ""
    charge = "    &PRINT\n      &E_DENSITY_CUBE\n      &END E_DENSITY_CUBE\n    &END PRINT\n"
    charge = charge if settings.charge and mesh is None else ""
    return f"""&GLOBAL
  PROJECT {project}
  RUN_TYPE {"ENERGY_FORCE" if mesh is None else "CELL_OPT"}
  PRINT_LEVEL MEDIUM
&END GLOBAL
{motion}&FORCE_EVAL
  METHOD QUICKSTEP
{"" if mesh is None else "  STRESS_TENSOR ANALYTICAL" + chr(10)}  &PRINT
    &FORCES ON
    &END FORCES
  &END PRINT
  &DFT
    BASIS_SET_FILE_NAME BASIS_MOLOPT
    POTENTIAL_FILE_NAME GTH_POTENTIALS
    UKS {".TRUE." if spin else ".FALSE."}
    &MGRID
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


def write_cp2k(
    path: str | os.PathLike[str], model: Particle, vacuum: float = 10.0, settings: DftSettings | None = None
) -> list[Path]:
    """Write inputs of CP2K: the particle, and ``<stem>_bulk_<element>.inp`` beside it for each bulk.

    Parameters
    ----------
    path
        File; replaced if it exists.
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
    target = Path(path)
    atoms = particle_cell(model, vacuum, chosen)
    texts = {target: _input(atoms, chosen, "particle", None)}
    for element, cell, mesh in bulk_cells(atoms, chosen.k_spacing):
        texts[beside(target, f"bulk_{element}")] = _input(cell, chosen, f"bulk_{element}", mesh)
    return [write_ascii(file, text) for file, text in texts.items()]
