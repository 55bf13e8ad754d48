"""Files of a formation energy: energy.json with the numbers, energy.xyz with the energy of each atom.

energy.xyz is extxyz as ASE and others read it: energy in the header, forces (eV/Å) per atom, and the columns
formation_energy, formation_energy_bias, formation_energy_sigma (eV) and sigma (Å). Positions are those of the file they
came from, (box//2)·pixel_size added for a map's atoms, so that it overlays the map as atoms.xyz does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from single_rs._core import __version__
from single_rs.analysis.structure import analyze_structure
from single_rs.energy.formation import FormationEnergy
from single_rs.export.atoms import file_offset, read_xyz
from single_rs.io import atomic
from single_rs.plots.energy import plot_atom_energies, plot_energy_views
from single_rs.records import Atoms, EnergyRecord, SurfaceEnergy
from single_rs.store import layout
from single_rs.store.codecs import write_record
from single_rs.store.read import MapFrame, frame_of

__all__ = ["read_atoms", "write_energy", "write_figures"]

FORMULA = "E_form = (E_particle - sum of N_e E_bulk,e) / N, positions as measured, no relaxation"


def read_atoms(path: Path) -> tuple[Atoms, MapFrame | None]:
    """Return the atoms of a file and, of our own files, the frame of their map."""
    atoms = read_xyz(path)
    return atoms, frame_of(path)


def energy_record(result: FormationEnergy, atoms: Atoms, seed: int) -> EnergyRecord:
    """Return the numbers of a formation energy as written to energy.json (eV, per atom where it says so)."""
    from ase import __version__ as ase_version

    symbols, counts = np.unique(np.asarray(atoms.symbols, dtype=str), return_counts=True)
    return EnergyRecord(
        calculator=result.calculator,
        formula=FORMULA,
        atoms=len(atoms),
        composition={str(s): int(n) for s, n in zip(symbols, counts, strict=True)},
        energy=result.energy,
        bulk=result.bulk,
        bulk_lattice_over_experiment=result.lattice_ratio,
        formation_energy_per_atom=result.corrected,
        formation_energy_per_atom_err=result.error,
        formation_energy_as_measured=result.per_atom,
        bias=result.bias,
        bias_error=result.bias_error,
        sigma=result.sigma,
        sigma_scale=result.sigma_scale,
        largest_force=float(np.linalg.norm(result.forces, axis=1).max()),
        surface_energy={c.element: SurfaceEnergy(c.computed, c.measured, c.ratio) for c in result.surface},
        draws=result.draws,
        seed=seed,
        notes=result.notes,
        program=f"single_rs {__version__}, ase {ase_version}",
    )


def write_energy(
    folder: Path, result: FormationEnergy, atoms: Atoms, frame: MapFrame | None = None, seed: int = 0
) -> list[Path]:
    """Write energy.json and energy.xyz into a folder; returns them.

    Parameters
    ----------
    folder
        It must exist.
    result
        Of `formation_energy`.
    atoms
        The atoms it was computed for.
    frame
        That of the map they belong to.
    seed
        Of the displacements.
    """
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    written = [folder / layout.ENERGY, folder / layout.ENERGY_ATOMS]
    write_record(written[0], energy_record(result, atoms, seed))
    particle = atoms.to_ase()
    particle.positions += file_offset(*(frame or (None, None)))
    particle.calc = SinglePointCalculator(particle, energy=result.energy, forces=result.forces)
    columns = {
        "sigma": atoms.sigma,
        "formation_energy": result.energies,
        "formation_energy_bias": result.energies_bias,
        "formation_energy_sigma": result.energies_sigma,
    }
    for name, values in columns.items():
        if values is not None:
            particle.arrays[name] = np.asarray(values, dtype=np.float64)
    particle.info |= {"calculator": result.calculator, "formation_energy_per_atom": result.corrected}
    if frame is not None:
        particle.info |= {"box": frame.box, "pixel_size": frame.pixel_size}
        if any(frame.origin):
            particle.info["origin"] = np.array(frame.origin)
    with atomic(written[1]) as temporary:
        write(temporary, particle, format="extxyz")
    return written


def write_figures(folder: Path, result: FormationEnergy, atoms: Atoms) -> list[Path]:
    """Write energy_atoms.png and energy_views.png of the energies of the atoms, if there are any; returns them."""
    if result.energies is None:
        return []
    surface = analyze_structure(atoms.positions).surface if len(atoms) > 1 else None
    figures = {
        layout.ENERGY_FIGURES[0]: plot_atom_energies(
            atoms.positions, result.energies, result.energies_sigma, surface
        ).figure,
        layout.ENERGY_FIGURES[1]: plot_energy_views(atoms.positions, result.energies)[0].figure,
    }
    for name, figure in figures.items():
        with atomic(folder / name) as temporary:
            figure.savefig(temporary, facecolor="white")
    return [folder / name for name in figures]
