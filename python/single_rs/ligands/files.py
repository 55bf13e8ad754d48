"""Files of a ligand model: ligands.xyz with a column ligand (0: particle), POSCAR, molecule.xyz alone, ligands.json.

Positions in ligands.xyz are those of the particle's file, so that it overlays; POSCAR has its cell with vacuum and
groups species, with its map of rows. Inputs of the codes are for all atoms, the surface alone and the ligands alone, in
one cell (`single_rs.export.dft.calculation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from single_rs.base.errors import DataFileError
from single_rs.export.atoms import file_offset
from single_rs.export.dft import DftSettings, poscar_of, with_ligands, write_inputs
from single_rs.export.dft.cells import start_moments
from single_rs.export.dft.finished import read_finished, relaxed_atoms
from single_rs.io import atomic
from single_rs.ligands.molecules import LIGANDS, molecule
from single_rs.ligands.place import LigandModel, LigandPlace
from single_rs.records import Atoms
from single_rs.store import layout
from single_rs.store.codecs import read_record, write_record
from single_rs.store.read import MapFrame

__all__ = ["LigandRecord", "read_ligands", "relaxed_model", "write_ligands"]


@dataclass(frozen=True)
class LigandRecord:
    """Ligands that were put onto a particle.

    Attributes
    ----------
    ligand, count
        Name of the molecule, and how many.
    seed
        That they were placed with.
    places
        Where each stands.
    surface, facet
        "particle", or the slab, such as "Pt (111)"; and the family of planes.
    units
        In words.
    binding_energy
        How energies of these files give it.
    """

    SCHEMA: ClassVar[int] = 1
    ligand: str
    count: int
    seed: int
    places: tuple[LigandPlace, ...]
    surface: str = "particle"
    facet: str = ""
    units: str = "Angstrom, degrees; atom counts from 0 in the order of ligands.xyz"
    binding_energy: str = "(E(ligands.xyz) - E(particle) - count * E(molecule.xyz)) / count, each relaxed or none"


def write_ligands(
    folder: Path,
    model: LigandModel,
    frame: MapFrame | None = None,
    vacuum: float = 10.0,
    seed: int = 0,
    *,
    codes: Sequence[str] = (),
    settings: DftSettings | None = None,
    relax: bool = False,
) -> list[Path]:
    """Write ligands.xyz, POSCAR, molecule.xyz, ligands.json and the inputs of codes into a folder; returns them.

    Parameters
    ----------
    folder
        It must exist.
    model
        Result of `place_ligands`.
    frame
        That of the map which the particle belongs to.
    vacuum
        Å on each side in POSCAR.
    seed
        That the ligands were placed with.
    codes
        vasp, qe, gpaw, cp2k, lammps: inputs for all atoms, the surface alone and the ligands alone.
    settings
        Of these calculations; None: the defaults.
    relax
        Whether they relax: the ligands, and the upper half of a slab.
    """
    from ase import Atoms as AseAtoms
    from ase.io import write

    everything = model.atoms.to_ase()
    everything.positions += file_offset(*(frame or (None, None)))
    everything.arrays["ligand"] = model.ligand
    if model.cell is not None:
        everything.set_cell(model.cell)
        everything.pbc = (True, True, False)
    if frame is not None:
        everything.info |= {"box": frame.box, "pixel_size": frame.pixel_size}
        if any(frame.origin):
            everything.info["origin"] = np.array(frame.origin)
    alone = AseAtoms(list(model.molecule.symbols), positions=model.molecule.positions)
    written = [folder / name for name in (layout.LIGANDS, layout.MOLECULE, layout.LIGAND_RECORD)]
    for path, atoms in zip(written, (everything, alone), strict=False):
        with atomic(path) as temporary:
            write(temporary, atoms, format="extxyz")
    count = int(model.ligand.max())
    record = LigandRecord(model.molecule.name, count, seed, model.places, model.surface, model.facet)
    write_record(written[2], record)
    chosen = DftSettings() if settings is None else settings
    placed = _in_cell(model, vacuum)
    written += poscar_of(folder / layout.POSCAR, placed, f"{placed.get_chemical_formula()} single_rs")
    if codes:
        moments = start_moments(placed.get_chemical_symbols(), chosen.spin)
        placed.set_initial_magnetic_moments(moments)
        given = with_ligands(placed, model.ligand > 0, chosen, relax=relax)
        written += write_inputs(folder, given, codes, vacuum, surface=model.surface, facet=model.facet)
    return written


def _in_cell(model: LigandModel, vacuum: float) -> Any:
    """Return ``ase.Atoms`` of particle or slab with its ligands, in the cell that is computed."""
    if model.cell is None:
        return model.atoms.to_ase(vacuum)
    atoms = model.atoms.to_ase()
    atoms.set_cell(model.cell)
    atoms.pbc = (True, True, False)
    return atoms


def read_ligands(folder: Path) -> tuple[Any, LigandRecord]:
    """Return ``ase.Atoms`` with their column ligand, and the record, of a folder of ``single-rs ligand``.

    Raises
    ------
    DataFileError
        The folder is none.
    """
    from ase.io import read

    if not (folder / layout.LIGAND_RECORD).exists():
        raise DataFileError(f"{folder} holds no {layout.LIGAND_RECORD}; give a folder of 'single-rs ligand'")
    record = read_record(folder / layout.LIGAND_RECORD, LigandRecord)
    path = folder / layout.LIGANDS
    try:
        atoms: Any = read(path, format="extxyz")
        atoms.arrays["ligand"] = np.asarray(atoms.arrays["ligand"], np.int64)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise DataFileError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    return atoms, record


def relaxed_model(folder: Path, code: str | None = None) -> LigandModel:
    """Return a ligand model at the positions where a finished run of ``single-rs ligand --relax`` left them.

    Parameters
    ----------
    folder
        Of ``single-rs ligand``, with the output of its particle.
    code
        vasp, qe or gpaw; None: the first with an output.

    Raises
    ------
    DataFileError
        No such folder or output.
    """
    first, record = read_ligands(folder)
    last = relaxed_atoms(folder, read_finished(folder, code).code, "particle")
    if len(last) != len(first):
        raise DataFileError(
            f"{folder}: the run has {len(last)} atoms, ligands.xyz {len(first)}; they do not belong together"
        )
    known = {title: name for name, (title, _) in LIGANDS.items()}
    slab = record.surface != "particle"
    return LigandModel(
        Atoms.bare(last.positions, np.array(first.get_chemical_symbols())), first.arrays["ligand"],
        molecule(known[record.ligand]), record.places, record.facet, first.cell.array if slab else None, record.surface,
    )  # fmt: skip
