"""What finished runs say of ligands: binding energies, and the charge that moves when they bind.

    E_bind = (E_both − E_surface − E_ligands) / k,    Δρ = ρ_both − ρ_surface − ρ_ligands

of the three runs that ``single-rs ligand --format`` wrote, in one cell and on one grid. Δρ integrates to zero
electrons, which is checked: a difference of unlike pseudopotentials or grids is no binding charge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import DataFileError
from single_rs.export.dft.finished import charge_density, read_finished
from single_rs.io import atomic, write_text
from single_rs.ligands.files import read_ligands
from single_rs.store import layout
from single_rs.store.codecs import write_record

__all__ = ["BindingRecord", "BindingRow", "ChargeDifference", "charge_difference", "read_binding", "write_binding"]

_NEUTRAL = 0.05  # electrons per ligand that Δρ may hold


@dataclass(frozen=True)
class BindingRow:
    """Binding of one ligand to one surface.

    Attributes
    ----------
    surface, facet
        "particle", or the slab, such as "Pt (111)"; and the family of planes.
    ligand, count
        Name of the molecule, and how many.
    energy
        eV per ligand; negative binds.
    code
        That computed it.
    folder
        Name of the folder of the runs.
    """

    surface: str
    facet: str
    ligand: str
    count: int
    energy: float
    code: str
    folder: str


@dataclass(frozen=True)
class BindingRecord:
    """Binding energies of ligands.

    Attributes
    ----------
    rows
        One of each surface.
    units
        In words.
    formula
        What is computed.
    """

    SCHEMA: ClassVar[int] = 1
    rows: tuple[BindingRow, ...]
    units: str = "eV per ligand"
    formula: str = "E_bind = (E_both - E_surface - E_ligands) / count, the ligands where they stand on the surface"


@dataclass(frozen=True)
class ChargeDifference:
    """Charge that moves when ligands bind.

    Attributes
    ----------
    difference
        (i, j, k) electrons per Å³.
    cell
        (3, 3) Å, vectors of the grid as rows.
    atoms
        ``ase.Atoms`` of surface and ligands in that cell.
    guest
        (n,) bool, atoms of ligands.
    moved
        Electrons that move per ligand, ∫ |Δρ| / 2.
    """

    difference: NDArray[np.float64]
    cell: NDArray[np.float64]
    atoms: Any
    guest: NDArray[np.bool_]
    moved: float


def read_binding(folder: Path, code: str | None = None) -> BindingRow:
    """Read the binding energy of the finished runs in a folder of ``single-rs ligand``.

    Parameters
    ----------
    folder
        With dft.json, ligands.json and the outputs.
    code
        Of `single_rs.export.dft.CODES`; None: the first with outputs.

    Raises
    ------
    DataFileError
        No such folder, or a run that is missing or did not converge.
    """
    _, record = read_ligands(folder)
    runs = read_finished(folder, code)
    return BindingRow(
        record.surface, record.facet, record.ligand, record.count, runs.binding(), runs.code, folder.resolve().name
    )  # fmt: skip


def charge_difference(folder: Path, code: str | None = None) -> ChargeDifference:
    """Return Δρ of the finished runs in a folder of ``single-rs ligand``, which kept their charge.

    Raises
    ------
    DataFileError
        A density is missing, grids differ, or Δρ does not integrate to zero.
    """
    first, record = read_ligands(folder)
    used = read_finished(folder, code).code
    found = {name: charge_density(folder, used, name) for name in ("particle", "bare", "ligands")}
    shapes = {data.shape for data, _ in found.values()}
    if len(shapes) > 1:
        raise DataFileError(
            f"{folder}: the charge densities have grids {sorted(shapes)}; one cell and cutoff are needed"
        )
    cell = found["particle"][1]
    difference = found["particle"][0] - found["bare"][0] - found["ligands"][0]
    point = abs(float(np.linalg.det(cell))) / difference.size
    total = float(difference.sum()) * point
    if abs(total) > _NEUTRAL * record.count:
        raise DataFileError(f"{folder}: the charge-density difference holds {total:.3f} electrons; it has to hold none")
    atoms = placed_atoms(first, cell)
    return ChargeDifference(
        difference, cell, atoms, first.arrays["ligand"] > 0, float(np.abs(difference).sum()) * point / 2 / record.count
    )


def placed_atoms(atoms: Any, cell: NDArray[np.float64]) -> Any:
    """Return atoms of ligands.xyz where they stand in the cell of the calculation: a particle in its middle."""
    out = atoms.copy()
    slab = bool(out.pbc.any())
    out.set_cell(cell)
    if not slab:
        low, high = out.positions.min(axis=0), out.positions.max(axis=0)
        out.positions += cell.sum(axis=0) / 2 - (low + high) / 2
    return out


def write_binding(
    folder: Path, rows: Sequence[BindingRow], charges: Sequence[tuple[str, ChargeDifference]] = ()
) -> list[Path]:
    """Write binding.json, binding.csv and a cube of each charge difference (electrons per Bohr³); returns the files.

    Parameters
    ----------
    folder
        It must exist.
    rows
        Binding energies.
    charges
        Name of the file and charge difference.
    """
    from ase.io.cube import write_cube
    from ase.units import Bohr

    written = [folder / name for name in layout.BINDING]
    write_record(written[0], BindingRecord(tuple(rows)))
    lines = ["surface,facet,ligand,count,binding_energy_eV,code,folder"]
    lines += [f"{r.surface},{r.facet},{r.ligand},{r.count},{r.energy:.4f},{r.code},{r.folder}" for r in rows]
    write_text(written[1], "\n".join(lines) + "\n")
    for name, one in charges:
        written.append(folder / layout.CHARGE_DIFFERENCE.format(surface=name))
        with atomic(written[-1]) as temporary, temporary.open("w", encoding="ascii", newline="\n") as file:
            write_cube(file, one.atoms, data=one.difference * Bohr**3, comment="charge-density difference, single_rs")
    return written
