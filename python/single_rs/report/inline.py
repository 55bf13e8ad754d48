"""The report's 3D view by itself, for a notebook: atoms, density, or both, in a frame that loads nothing."""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np

from single_rs.analysis import Particle
from single_rs.analysis.strain import Strain
from single_rs.records import Atoms, Density
from single_rs.report.content import AtomTable, ParticleFiles
from single_rs.report.files import read_particle
from single_rs.report.numbers import unit_cell
from single_rs.report.templating import render_view
from single_rs.report.view3d import view_data
from single_rs.report.views import Viewer

__all__ = ["HEIGHT", "View", "view"]

HEIGHT = 600  # px, of the frame
_UPPER = ((0, 1, 2, 0, 0, 1), (0, 1, 2, 1, 2, 2))  # xx, yy, zz, xy, xz, yz


@dataclass(frozen=True, repr=False)
class View:
    """A 3D view that shows itself in a notebook.

    Attributes
    ----------
    page
        A whole HTML page.
    said
        What it shows, in a few words.
    """

    page: str
    said: str

    def __repr__(self) -> str:
        """Return one line, where there is no browser."""
        return f"View({self.said}; a notebook draws it)"

    def _repr_html_(self) -> str:
        """Return the page in a frame that may run its own scripts, save pictures, and do nothing else."""
        return (
            f'<iframe title="{html.escape(self.said)} in 3D" sandbox="allow-scripts allow-downloads" '
            f'style="width:100%;height:{HEIGHT}px;border:0" srcdoc="{html.escape(self.page)}"></iframe>'
        )


def view(record: Any) -> View | None:
    """Return the 3D view of a record or of the folder of a particle; ``None`` for what has no place in space."""
    found = _shown(record)
    if found is None:
        return None
    particle, cell = found
    data = view_data(particle, cell)
    if data is None:
        return None
    parts = [f"{len(data['positions'])} atoms"] if data["positions"] else []
    parts += ["density"] if data["density"] else []
    return View(render_view(Viewer(particle.number, data)), " and ".join(parts))


@singledispatch
def _shown(record: Any) -> tuple[ParticleFiles, np.ndarray | None] | None:
    """Return what the report would have read of a record, and its unit cell (3, 3) Å."""
    return None


@_shown.register
def _of_folder(record: Path) -> tuple[ParticleFiles, np.ndarray | None]:
    particle = read_particle(0, record)
    return particle, unit_cell(particle)


@_shown.register
def _of_density(record: Density) -> tuple[ParticleFiles, np.ndarray | None]:
    return ParticleFiles(0, Path(), density=record.map, pixel_size=record.pixel_size), None


@_shown.register
def _of_atoms(record: Atoms) -> tuple[ParticleFiles, np.ndarray | None]:
    return ParticleFiles(0, Path(), atoms=_table(record)), None


@_shown.register
def _of_particle(record: Particle) -> tuple[ParticleFiles, np.ndarray | None]:
    atoms, strain = _table(record.atoms), record.strain
    atoms.columns.update(
        cn=record.coordination, structure_type=record.structure_type, surface=record.surface, **_strains(strain)
    )
    cell = None if record.lattice is None else np.asarray(record.lattice.cell)
    return ParticleFiles(0, Path(), atoms=atoms), cell


def _table(atoms: Atoms) -> AtomTable:
    """Return atoms as the report reads them from their file."""
    columns = {"sigma": atoms.sigma, "height": atoms.height, "probability": atoms.probability}
    if atoms.covariance is not None:
        columns["cov"] = np.asarray(atoms.covariance)[:, *_UPPER]
    return AtomTable(np.asarray(atoms.positions), np.asarray(atoms.symbols), columns)


def _strains(strain: Strain | None) -> dict[str, np.ndarray]:
    return {} if strain is None else {"strain": strain.tensor, "radial_strain": strain.radial}
