"""README of exported calculations: what to run, which number to read, and the formation energy that follows.

    E_form = (E_particle − Σ_e N_e E_bulk,e) / N,    no relaxation: the positions are the measured ones

E_bulk,e is the energy per atom of the bulk of element e with the same code and settings, at its own lattice constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from single_rs.analysis.model import Particle
from single_rs.export.dft.cells import bulk_cell, composition
from single_rs.io import write_text

__all__ = ["README", "write_readme"]

README = "README_dft.md"

# Code → (how to run the particle, how to run the bulk of an element, which numbers to read).
_CODES = {
    "vasp": (
        "`cd vasp && mpirun -n 8 vasp_gam`, after POTCAR.txt",
        "`cd vasp_bulk_{e} && mpirun -n 8 vasp_std`, then again from CONTCAR",
        "OUTCAR, `energy(sigma->0)`, eV per cell",
    ),
    "qe": (
        "`mpirun -n 8 pw.x -in qe.in > qe.out`, with the files named in ATOMIC_SPECIES in ./pseudo",
        "`mpirun -n 8 pw.x -in qe_bulk_{e}.in > qe_bulk_{e}.out`",
        "the last line that starts with `!`, Ry per cell; 1 Ry = 13.605693 eV",
    ),
    "gpaw": (
        "`mpiexec -n 8 gpaw python gpaw_particle.py`",
        "`mpiexec -n 8 gpaw python gpaw_bulk_{e}.py`",
        "printed in eV, extrapolated to zero width",
    ),
    "cp2k": (
        "`cp2k.psmp -i cp2k.inp -o cp2k.out`",
        "`cp2k.psmp -i cp2k_bulk_{e}.inp -o cp2k_bulk_{e}.out`",
        "the last `ENERGY| Total FORCE_EVAL`, Hartree per cell; 1 Hartree = 27.211386 eV",
    ),
    "lammps": (
        "`lmp -in lammps.in`, after the potential is set in lammps_potential.in",
        "`lmp -in lammps_bulk_{e}.in`",
        "printed in eV; energies of the atoms in lammps_result.dump",
    ),
}


def write_readme(folder: Path, model: Particle, codes: Sequence[str], vacuum: float) -> Path:
    """Write README_dft.md for the calculations of `codes` in `folder`; returns the file."""
    counts = composition(model)
    total = sum(counts.values())
    bulks = [e for e in counts if bulk_cell(e) is not None]
    terms = " - ".join(["E_particle", *(f"{n} * E_bulk,{e}" for e, n in counts.items())])
    rows = []
    for code in codes:
        run, bulk, read = _CODES[code]
        bulk_text = ", ".join(bulk.format(e=e) for e in bulks) or "none"
        rows.append(f"| {code} | {run} | {bulk_text} | {read} |")
    missing = [e for e in counts if e not in bulks]
    alone = (
        f"\nNo bulk input is written for {', '.join(missing)}: choose the reference state (for oxygen half of "
        "the molecule) and compute it with the same settings.\n"
        if missing
        else ""
    )
    text = f"""# Formation energy of the particle: {total} atoms, {", ".join(f"{n} {e}" for e, n in counts.items())}

    E_form = ({terms}) / {total}

E_particle is the energy at the measured positions, not relaxed. E_bulk is the energy per atom of the bulk crystal with
the same code, functional, pseudopotentials, cutoffs and smearing; its cell is relaxed, so that strain of the particle
costs energy.
{alone}
| code | particle | bulk (divide by the atoms in the cell) | energy |
|---|---|---|---|
{chr(10).join(rows)}

The particle stands in {vacuum:g} Angstrom of vacuum on each side. The atoms have the order of atoms.xyz; where a code
wants them grouped by species, POSCAR.map gives for each its row in atoms.xyz, from 0.

- Converge cutoff, vacuum, k-points of the bulk and smearing for your purpose: these are usual starting values.
- Errors of the positions raise the energy: with independent errors sigma_i per axis, on average by half the sum of
  sigma_i^2 times the second derivatives of the energy (10 meV per atom at 3 pm in Pt). `single-rs energy` measures
  this.
- Small clusters of Pt, Pd, Rh have magnetic moments though their bulks have none: export.dft.spin = true starts with
  some.
- Same settings means all but LREAL of VASP, which projects in real space in the particle (about 1 meV per atom) and
  not in the small bulk cell: set LREAL = .FALSE. for the last meV.
- Ligands need dispersion (export.dft.dispersion = true, in particle and bulk), and their reference is the molecule:
  E_bind = E(both) - E(particle) - E(molecule), all with these settings. export.dft.charge = true keeps the density.
- Pseudopotentials that are fully relativistic need export.dft.spin_orbit = true in Quantum ESPRESSO.
- The hand of the particle is not known from projections; both hands have the same energy.
"""
    target = folder / README
    write_text(target, text)
    return target
