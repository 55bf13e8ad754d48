"""README of exported calculations: what to run, what it takes, which number to read, and the energies that follow.

    E_form = (E − Σ_r n_r E_r) / N,    E_bind = (E_particle − E_bare − E_ligands) / k

No relaxation, unless it was asked for: the positions are the measured ones. E_r is the energy per unit of reference r
(an atom of a bulk, a formula of a compound, half of a gas molecule) with the same code and settings.
"""

from __future__ import annotations

from pathlib import Path

from single_rs.export.dft.estimate import Estimate
from single_rs.export.dft.record import DftRecord
from single_rs.io import write_text

__all__ = ["README", "write_readme"]

README = "README_dft.md"

# Code → (how to run the particle, how to run another calculation, which numbers to read).
_CODES = {
    "vasp": (
        "`cd vasp && mpirun -n {n} {gamma}`, after POTCAR.txt",
        "`cd vasp_{name} && mpirun -n {n} {program}`{again}",
        "OUTCAR, `energy(sigma->0)`, eV per cell",
    ),
    "qe": (
        "`mpirun -n {n} pw.x -in qe.in > qe.out`, with the files named in ATOMIC_SPECIES in ./pseudo",
        "`mpirun -n {n} pw.x -in qe_{name}.in > qe_{name}.out`",
        "the last line that starts with `!`, Ry per cell; 1 Ry = 13.605693 eV",
    ),
    "gpaw": (
        "`mpiexec -n {n} gpaw python gpaw_particle.py`",
        "`mpiexec -n {n} gpaw python gpaw_{name}.py`",
        "printed in eV, extrapolated to zero width; `*_result.xyz`, `*_result.txt`",
    ),
    "cp2k": (
        "`mpirun -n {n} cp2k.psmp -i cp2k.inp -o cp2k.out`",
        "`mpirun -n {n} cp2k.psmp -i cp2k_{name}.inp -o cp2k_{name}.out`",
        "the last `ENERGY| Total FORCE_EVAL`, Hartree per cell; 1 Hartree = 27.211386 eV",
    ),
    "lammps": (
        "`lmp -in lammps.in -log lammps.log`, after the potential is set in lammps_potential.in",
        "`lmp -in lammps_{name}.in -log lammps_{name}.log`",
        "printed in eV; energies of the atoms in lammps_result.dump",
    ),
}


_READ_BACK = """- The hand of the particle is not known from projections; both hands have the same energy.
- `single-rs energy ATOMS --finished .` reads the finished runs of this folder into energy.json.
"""


def write_readme(folder: Path, record: DftRecord, vacuum: float) -> Path:
    """Write README_dft.md for the calculations of a record; returns the file."""
    target = folder / README
    write_text(
        target, "\n".join(part for part in (_head(record), _runs(record), _costs(record), _notes(record, vacuum)))
    )
    return target


def _head(record: DftRecord) -> str:
    total = ", ".join(f"{n} {e}" for e, n in record.composition.items())
    lines = [f"# {'Particle' if record.surface == 'particle' else record.surface}: {record.atoms} atoms, {total}", ""]
    if record.surface == "particle":
        first = "E_bare" if record.ligands else "E_particle"
        terms = " - ".join([first, *(f"{r.count} * E_{r.name.replace('_', ',')}" for r in record.references)])
        lines += [
            f"    E_form = ({terms}) / {record.atoms}",
            "",
            f"{first} is the energy at the measured positions, not relaxed. The others are energies per unit of the",
            "reference with the same code, functional, pseudopotentials, cutoffs and smearing; their cells are",
            "relaxed, so that strain of the particle costs energy. Divide the energy of a calculation by its units:",
            "",
            *(
                f"- E_{r.name.replace('_', ',')}: {r.formula}, {r.units} in the cell of {r.name}"
                for r in record.references
            ),
            "",
        ]
        if any(r.name.startswith("molecule") for r in record.references):
            lines += [
                "PBE binds O2 too strongly (by some 1.4 eV per molecule against oxides, Wang et al. 2006): correct",
                "it, or compare particles of one composition alone.",
                "",
            ]
        if record.missing:
            lines += [
                f"No reference is written for {', '.join(record.missing)}: choose its state and compute it with the",
                "same settings.",
                "",
            ]
    if record.ligands:
        lines += [
            f"    E_bind = (E_particle - E_bare - E_ligands) / {record.ligands}",
            "",
            "particle is all atoms, bare the surface alone, ligands all ligands where they stand: one cell, one grid,",
            "so that their charge densities can be subtracted. `single-rs binding FOLDER` reads the finished runs.",
            "",
        ]
    return "\n".join(lines)


def _runs(record: DftRecord) -> str:
    others = [name for name in record.calculations if name != "particle"]
    cost = {(c.code, c.name): c for c in record.costs}

    def filled(text: str, code: str, name: str) -> str:
        found = cost.get((code, name))
        bulk = name.startswith("bulk")
        slab = record.surface != "particle"
        return text.format(
            n=1 if found is None else found.cores[0], name=name, gamma="vasp_std" if slab else "vasp_gam",
            program="vasp_std" if bulk or slab else "vasp_gam", again=", then again from CONTCAR" if bulk else "",
        )  # fmt: skip

    rows = ["| code | particle | other calculations | energy |", "|---|---|---|---|"]
    for code in record.codes:
        run, other, read = _CODES[code]
        cells = ", ".join(filled(other, code, name) for name in others) or "none"
        rows.append(f"| {code} | {filled(run, code, 'particle')} | {cells} | {read} |")
    return "\n".join([*rows, ""])


def _costs(record: DftRecord) -> str:
    if not record.costs:
        return ""
    rows = [
        "## Memory and cores",
        "",
        "| code | calculation | electrons | bands x spins | basis | k-points | memory of all cores | cores |",
        "|---|---|---|---|---|---|---|---|",
        *(_cost(one) for one in record.costs),
        "",
        "Plane waves: N = V k^3 / (6 pi^2) with k = sqrt(2 m E_cut) / hbar, half of them with the Gamma point alone;",
        "wave functions take 16 bytes * N * bands * spins * k-points (VASP wiki, Memory requirements), in pw.x 7",
        "copies more at one k-point. Orbitals (GPAW, CP2K): 10 matrices of 8 bytes * N^2. To this come the grids of",
        "the density. Good to a factor of two. k-points are counted without symmetry. Cores: as many at least as",
        "leave each 2 GB, at most so many that each has 8 bands. VASP: NCORE near the square root of the cores, KPAR",
        "a divisor of the k-points.",
        "",
    ]
    return "\n".join(rows)


def _cost(one: Estimate) -> str:
    kind = "plane waves" if one.code in ("vasp", "qe") else "orbitals"
    return (
        f"| {one.code} | {one.name} | {one.electrons} | {one.bands} x {one.spins} | {one.basis:,} {kind} "
        f"| {one.kpoints} | {one.memory:.2g} GB | {one.cores[0]} to {one.cores[1]} |"
    )


def _notes(record: DftRecord, vacuum: float) -> str:
    place = (
        f"The particle stands in {vacuum:g} Angstrom of vacuum on each side. The atoms have the order of atoms.xyz;"
        if record.surface == "particle"
        else "The slab is periodic along a and b; the atoms have the order of ligands.xyz;"
    )
    return f"""{place} where a code
wants them grouped by species, POSCAR.map gives for each its row there, from 0.

- Converge cutoff, vacuum, k-points of the bulk and smearing for your purpose: these are usual starting values.
- Errors of the positions raise the energy: with independent errors sigma_i per axis, on average by half the sum of
  sigma_i^2 times the second derivatives of the energy (10 meV per atom at 3 pm in Pt). `single-rs energy` measures
  this.
- Small clusters of Pt, Pd, Rh have magnetic moments though their bulks have none: export.dft.spin = true starts with
  some.
- Same settings means all but LREAL of VASP, which projects in real space in the particle (about 1 meV per atom) and
  not in the small bulk cell: set LREAL = .FALSE. for the last meV.
- Ligands need dispersion (export.dft.dispersion = true, in all calculations); export.dft.charge = true keeps the
  density.
- Pseudopotentials that are fully relativistic need export.dft.spin_orbit = true in Quantum ESPRESSO.
{_READ_BACK if record.surface == "particle" else ""}"""
