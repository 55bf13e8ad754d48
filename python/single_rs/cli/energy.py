"""Commands on the atoms of finished particles: their energy, and ligands on their facets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from single_rs.base.errors import InputError
from single_rs.cli.app import app
from single_rs.cli.options import Out, Seed

PHYSICS = Group("Physics, on atoms", sort_key=2.5)

Folder = Annotated[Path | None, Parameter(help="Folder for the results; that of the atoms when not given.")]


@app.command(group=PHYSICS, sort_key=0)
def energy(
    atoms: Path,
    *,
    calculator: str = "emt",
    out: Folder = None,
    bulk_energy: list[str] | None = None,
    scale_error: float = 0.0,
    draws: int = 8,
    seed: Seed = 0,
) -> None:
    """Atoms → energy.json, energy.xyz: formation energy per atom, as measured, with its error.

    Parameters
    ----------
    atoms
        extxyz, xyz, PDB, CIF, POSCAR; or the folder of a run or a particle.
    calculator
        emt, gpaw, mace, sevenn (those that are installed), or any ASE calculator as module:factory.
    bulk_energy
        E_bulk of an element in eV per atom, e.g. Pt=-6.05; computed when not given; may be repeated.
    scale_error
        Relative standard error of the pixel size, e.g. 0.005.
    draws
        Pairs of displaced particles from which bias and error are found; 0 for none.
    """
    from single_rs.cli.progress import progress_bars
    from single_rs.energy import formation_energy, read_atoms, write_energy
    from single_rs.energy.files import write_figures
    from single_rs.store.folder import one_stage
    from single_rs.store.read import atom_files

    given = _energies(bulk_energy or [])
    inputs = atom_files(atoms)
    for path in inputs:
        found, frame = read_atoms(path)
        with progress_bars() as progress:
            result = formation_energy(
                found,
                calculator,
                bulk=given,
                scale_error=scale_error,
                draws=draws,
                seed=seed,
                progress=progress,
            )
        folder = path.parent if out is None else out / path.parent.name if len(inputs) > 1 else out
        with one_stage(folder, "energy", [path]) as writing:
            write_energy(writing, result, found, frame, seed)
            write_figures(writing, result, found)
        error = f" ± {result.error:.4f}" if result.draws else ""
        text = f"{path}: {result.corrected:.4f}{error} eV/atom with {result.calculator}"
        text += f" (as measured {result.per_atom:.4f}, noise adds {result.bias:.4f})" if result.draws else ""
        print("; ".join([text, *result.notes]))


@app.command(group=PHYSICS, sort_key=1)
def ligand(
    atoms: Path,
    *,
    out: Out,
    facet: str = "111",
    count: int = 1,
    molecule: str = "nep",
    distance: float | None = None,
    vacuum: float = 10.0,
    seed: Seed = 0,
) -> None:
    """Atoms → ligands.xyz, POSCAR: pyrrolidone groups of PVP on facets, to start binding calculations from.

    Parameters
    ----------
    atoms
        extxyz, xyz, PDB, CIF, POSCAR.
    facet
        Family of planes: 111, 100, ...
    count
        Number of ligands.
    molecule
        nep: N-ethyl-pyrrolidone, the unit of PVP; nvp: N-vinyl-pyrrolidone, its monomer.
    distance
        Å from the oxygen to the surface atom under it; covalent radii and 0.3 Å when not given.
    vacuum
        Å round the model in POSCAR.
    """
    from single_rs.energy import read_atoms
    from single_rs.ligands import place_ligands, write_ligands
    from single_rs.store.folder import one_stage

    found, frame = read_atoms(atoms)
    model = place_ligands(found, facet, count, ligand=molecule, distance=distance, seed=seed)
    for place in model.places:
        plane = " ".join(str(i) for i in place.plane)
        print(
            f"{model.molecule.name} on atom {place.atom}, facet ({plane}): O at {place.distance:.2f} Å, height "
            f"{place.height:.2f} Å, tilt {place.tilt:.0f}°, nearest other contact {place.contact:.2f} Å"
        )
    with one_stage(out, "ligand") as writing:
        written = [path.relative_to(writing) for path in write_ligands(writing, model, frame, vacuum, seed)]
    for path in written:
        print(out / path)


def _energies(words: list[str]) -> dict[str, float]:
    """Return element → energy from ``Pt=-6.05``."""
    found = {}
    for word in words:
        element, _, value = word.partition("=")
        try:
            found[element] = float(value)
        except ValueError:
            raise InputError(f"--bulk-energy is {word!r}; ELEMENT=eV is needed, e.g. Pt=-6.05") from None
    return found
