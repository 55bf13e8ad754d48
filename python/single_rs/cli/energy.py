"""Commands on the atoms of finished particles: their energy, and ligands on their facets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from single_rs.base.errors import InputError
from single_rs.cli.app import app
from single_rs.cli.options import ConfigFile, Out, Seed, settings_of

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
    finished: Path | None = None,
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
    finished
        Folder of 'single-rs export' whose runs have finished: their energies are read instead of computed.
        --calculator then names the code, vasp, qe, gpaw, cp2k or lammps; the first with output when not given.
    """
    from single_rs.cli.progress import progress_bars
    from single_rs.energy import formation_energy, read_atoms, write_energy
    from single_rs.energy.files import write_figures
    from single_rs.store.folder import one_stage
    from single_rs.store.read import atom_files

    given = _energies(bulk_energy or [])
    inputs = atom_files(atoms)
    if finished is not None:
        _read_back(inputs, finished, calculator, out)
        return
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
    surface: str,
    *,
    out: Out,
    facet: str = "111",
    count: int = 1,
    molecule: str = "nep",
    distance: float | None = None,
    vacuum: float = 10.0,
    thickness: float = 6.7,
    width: float = 11.0,
    lattice_constant: float | None = None,
    format: list[str] | None = None,
    relax: bool = False,
    config: ConfigFile = None,
    seed: Seed = 0,
) -> None:
    """Atoms or slab → ligands.xyz, POSCAR: pyrrolidone groups of PVP on facets, with inputs for their binding.

    Parameters
    ----------
    surface
        File of a particle's atoms (extxyz, xyz, PDB, CIF, POSCAR); or a metal, such as Pt, for a slab; or a folder of
        this command whose relaxation has finished, to go on from there.
    facet
        Family of planes: 111, 100, ...
    count
        Number of ligands.
    molecule
        nep: N-ethyl-pyrrolidone, the unit of PVP; nvp: N-vinyl-pyrrolidone, its monomer.
    distance
        Å from the oxygen to the surface atom under it; covalent radii and 0.3 Å when not given.
    vacuum
        Å round the model.
    thickness, width, lattice_constant
        Å, of a slab; the lattice constant is that of experiment when not given.
    format
        vasp, qe, gpaw, cp2k, lammps: inputs for all atoms, the surface alone and the ligands alone, with the settings
        export.dft; may be repeated.
    relax
        Relax the ligands, and the upper half of a slab.
    """
    from single_rs.energy import read_atoms
    from single_rs.export.dft import CODES
    from single_rs.ligands import place_ligands, place_on_slab, relaxed_model, write_ligands
    from single_rs.store.folder import one_stage

    codes = tuple(dict.fromkeys(format or ()))
    for code in codes:
        if code not in CODES:
            raise InputError(f"format is {code!r}; accepted: {', '.join(CODES)}")
    dft = settings_of(config).export.dft
    frame = None
    if Path(surface).is_dir():
        model = relaxed_model(Path(surface))
    elif Path(surface).exists() or "." in surface or "/" in surface:
        found, frame = read_atoms(Path(surface))
        model = place_ligands(found, facet, count, ligand=molecule, distance=distance, seed=seed)
    else:
        model = place_on_slab(
            surface, facet, count, ligand=molecule, distance=distance, vacuum=vacuum, thickness=thickness, width=width,
            lattice_constant=lattice_constant, seed=seed,
        )  # fmt: skip
    for place in model.places:
        plane = " ".join(str(i) for i in place.plane)
        print(
            f"{model.molecule.name} on atom {place.atom}, facet ({plane}): O at {place.distance:.2f} Å, height "
            f"{place.height:.2f} Å, tilt {place.tilt:.0f}°, nearest other contact {place.contact:.2f} Å"
        )
    with one_stage(out, "ligand") as writing:
        files = write_ligands(writing, model, frame, vacuum, seed, codes=codes, settings=dft, relax=relax)
        written = [path.relative_to(writing) for path in files]
    for path in written:
        print(out / path)


@app.command(group=PHYSICS, sort_key=2)
def binding(*folders: Path, out: Out, code: str | None = None, charge: bool = False) -> None:
    """Finished runs of 'single-rs ligand' → binding.csv, binding.json: binding energies, and cubes of the moved charge.

    Parameters
    ----------
    folders
        Of 'single-rs ligand --format', with the outputs of their runs.
    code
        vasp, qe, gpaw, cp2k or lammps; the first with outputs when not given.
    charge
        Write the charge-density difference of each as well, a Gaussian cube.
    """
    from single_rs.ligands import charge_difference, read_binding, write_binding
    from single_rs.store.folder import one_stage

    if not folders:
        raise InputError("no folder is given; give folders of 'single-rs ligand' whose runs have finished")
    rows = [read_binding(folder, code) for folder in folders]
    charges = [(f"{folder.resolve().name}", charge_difference(folder, code)) for folder in folders] if charge else []
    for k, row in enumerate(rows):
        moved = f"; {charges[k][1].moved:.3f} electrons move" if charges else ""
        print(f"{row.surface} {{{row.facet}}}: {row.energy:.3f} eV per {row.ligand} with {row.code}{moved}")
    with one_stage(out, "binding") as writing:
        names = [path.relative_to(writing) for path in write_binding(writing, rows, charges)]
    for path in names:
        print(out / path)


def _read_back(inputs: list[Path], finished: Path, calculator: str, out: Path | None) -> None:
    """Write the energy.json of finished runs."""
    from single_rs.energy import finished_energy, read_atoms
    from single_rs.export.dft.finished import read_finished
    from single_rs.store import layout
    from single_rs.store.codecs import write_record
    from single_rs.store.folder import one_stage

    if len(inputs) > 1:
        raise InputError(f"{len(inputs)} particles are given; finished runs belong to one, e.g. {inputs[0].parent}")
    runs = read_finished(finished, None if calculator == "emt" else calculator)
    record = finished_energy(runs, read_atoms(inputs[0])[0])
    with one_stage(inputs[0].parent if out is None else out, "energy", [inputs[0]]) as writing:
        write_record(writing / layout.ENERGY, record)
    note = "".join(f"; {text}" for text in record.notes)
    print(f"{inputs[0]}: {record.formation_energy_per_atom:.4f} eV/atom with {record.calculator}{note}")


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
