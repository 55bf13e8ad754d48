"""Files of a ligand model: ligands.xyz with a column ligand (0: particle), POSCAR, molecule.xyz alone, ligands.json.

Positions in ligands.xyz are those of the particle's file, so that it overlays; POSCAR has its cell with vacuum and
groups species, with its map of rows. Any of these files goes through ``single-rs export`` for complete inputs of a
code.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from single_rs.analysis.model import Particle
from single_rs.export.atoms import file_offset
from single_rs.export.dft import write_poscar
from single_rs.io import atomic
from single_rs.ligands.place import LigandModel, LigandPlace
from single_rs.store import layout
from single_rs.store.codecs import write_record
from single_rs.store.read import MapFrame

__all__ = ["LigandRecord", "write_ligands"]


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
    units: str = "Angstrom, degrees; atom counts from 0 in the order of ligands.xyz"
    binding_energy: str = "(E(ligands.xyz) - E(particle) - count * E(molecule.xyz)) / count, each relaxed or none"


def write_ligands(
    folder: Path, model: LigandModel, frame: MapFrame | None = None, vacuum: float = 10.0, seed: int = 0
) -> list[Path]:
    """Write ligands.xyz, POSCAR, molecule.xyz and ligands.json into a folder; returns them.

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
    """
    from ase import Atoms as AseAtoms
    from ase.io import write

    everything = model.atoms.to_ase()
    everything.positions += file_offset(*(frame or (None, None)))
    everything.arrays["ligand"] = model.ligand
    if frame is not None:
        everything.info |= {"box": frame.box, "pixel_size": frame.pixel_size}
        if any(frame.origin):
            everything.info["origin"] = np.array(frame.origin)
    alone = AseAtoms(list(model.molecule.symbols), positions=model.molecule.positions)
    written = [folder / name for name in (layout.LIGANDS, layout.MOLECULE, layout.LIGAND_RECORD)]
    for path, atoms in zip(written, (everything, alone), strict=False):
        with atomic(path) as temporary:
            write(temporary, atoms, format="extxyz")
    write_record(written[2], LigandRecord(model.molecule.name, len(model.places), seed, model.places))
    zero = np.zeros(len(model.atoms), dtype=np.int64)
    particle = Particle(model.atoms, zero, zero, zero.astype(bool))
    return written + write_poscar(folder / layout.POSCAR, particle, vacuum)
