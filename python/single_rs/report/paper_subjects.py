"""Particles as the figures of a paper need them: from the folders of runs, or analysed here from plain coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis import Particle, analyze, summarise
from single_rs.analysis.strain import StrainConfig
from single_rs.analysis.structure import StructureSurvey, survey_structure
from single_rs.analysis.sublattice import close_packed_sublattice
from single_rs.base.errors import DataFileError, InputError, SingleError
from single_rs.base.progress import Progress
from single_rs.compare.rows import ParticleRow, find_particles, read_row
from single_rs.compare.trends import Comparison, compare_particles
from single_rs.export.atoms import read_xyz, write_xyz
from single_rs.export.lattice import write_lattice
from single_rs.plots.particles import Still
from single_rs.records import Poses, Validation
from single_rs.store import layout
from single_rs.store.codecs import write_record
from single_rs.store.read import Maps, frame_of, load_maps
from single_rs.store.validation import read_validation

__all__ = ["Subject", "compared", "read_subjects"]


@dataclass(frozen=True)
class Subject:
    """One particle and what is known of it.

    Attributes
    ----------
    name
        Of the particle, on figures and in the names of files.
    source
        Folder of the particle, or file of its atoms.
    model
        Analysis of its atoms.
    maps
        Its density and half maps; None without.
    row
        Its line in a comparison.
    """

    name: str
    source: Path
    model: Particle = field(repr=False)
    maps: Maps | None = field(repr=False)
    row: ParticleRow = field(repr=False)

    @property
    def bond(self) -> float:
        """Å, nearest-neighbour distance of the lattice, or of the atoms without one."""
        return self.model.lattice.nearest_neighbour if self.model.lattice is not None else self.still().bond

    @property
    def reference(self) -> str:
        """What its strain is measured from, in words."""
        known = {"bulk": "the bulk", "fit": "the best fit"}
        return known.get(self.model.strain.reference, "") if self.model.strain is not None else ""

    @cached_property
    def survey(self) -> StructureSurvey:
        """Structure and defects."""
        model = self.model
        return survey_structure(model.atoms.positions, close_packed_sublattice(model.atoms, model.lattice))

    def still(self, values: dict[str, NDArray[np.float64]] | None = None) -> Still:
        """What is drawn of it."""
        atoms, maps = self.model.atoms, self.maps
        size = self.row.values.get("diameter")
        return Still(
            name=self.name if size is None else f"{size / 10:.2f} nm",
            positions=np.asarray(atoms.positions, float),
            symbols=np.asarray(atoms.symbols, str),
            values=values or {},
            cell=None if self.model.lattice is None else self.model.lattice.cell,
            density=None if maps is None else maps.map,
            pixel_size=None if maps is None else maps.pixel_size,
        )

    def poses(self) -> Poses | None:
        """Poses of its frames; None without a folder that holds them."""
        from single_rs.io.star import read_poses

        path = self.source / layout.POSES
        return read_poses(path) if path.exists() else None

    def validation(self) -> Validation | None:
        """Its checks; None before ``single-rs validate``."""
        return read_validation(self.source) if (self.source / layout.VALIDATION).exists() else None


def read_subjects(
    sources: Sequence[Path],
    element: str | None = None,
    structure: str | None = None,
    strain: StrainConfig | None = None,
    progress: Progress | None = None,
    states: bool = False,
) -> list[Subject]:
    """Read particles and analyse their atoms, the smallest first.

    Parameters
    ----------
    sources
        Folders of runs or particles, or files of atoms.
    element, structure, strain
        As in `analyze`.
    progress
        Called as progress(stage, done, total).
    states
        Take each state of a particle that changed for one.

    Raises
    ------
    DataFileError
        A source that is neither, or a particle that cannot be read.
    """
    if not sources:
        raise InputError("nothing is given; give folders of runs or particles, or files of atoms")
    places: list[tuple[str, Path]] = []
    for source in sources:
        if source.is_dir():
            places += find_particles([source], states)
        elif source.exists():
            places.append((source.stem, source))
        else:
            raise DataFileError(f"{source} does not exist; give folders of runs or particles, or files of atoms")
    if len({name for name, _ in places}) < len(places):
        places = [(f"{path.parent.name}_{name}", path) for name, path in places]
    found = []
    for k, (name, place) in enumerate(places):
        if progress is not None:
            progress("analyze", k, len(places))
        found.append(_subject(name.replace("/", "_"), place, element, structure, strain))
    if progress is not None:
        progress("analyze", len(places), len(places))
    return sorted(found, key=lambda s: (len(s.model.atoms), s.name))


def _subject(
    name: str, source: Path, element: str | None, structure: str | None, strain: StrainConfig | None
) -> Subject:
    path = source / layout.ATOMS if source.is_dir() else source
    if not path.exists():
        raise DataFileError(f"{source} holds no {layout.ATOMS}; give folders of finished particles")
    atoms, frame = read_xyz(path), frame_of(path)
    density = path.with_name(layout.MAP)
    maps = load_maps(density) if source.is_dir() and frame is not None and density.exists() else None
    noise = None
    if maps is not None and maps.half1 is not None and maps.half2 is not None:
        noise = (maps.half1 - maps.half2) / np.float32(2)
    place = {} if frame is None else frame._asdict()
    try:
        model = analyze(
            atoms, element, structure, strain, density=None if maps is None else maps.map, noise=noise, **place
        )
    except SingleError as error:
        raise DataFileError(f"{path}: {error}") from None
    return Subject(name, source, model, maps, read_row(name, source) if source.is_dir() else _row(name, model))


def _row(name: str, model: Particle) -> ParticleRow:
    """Line of a comparison of atoms that have no folder."""
    with TemporaryDirectory() as folder:
        _write(Path(folder), model)
        return read_row(name, Path(folder))


def _write(folder: Path, model: Particle) -> None:
    write_xyz(folder / layout.ATOMS, model)
    write_record(folder / layout.SUMMARY, summarise(model))
    if model.lattice is not None:
        write_lattice(folder / layout.LATTICE, model.lattice)


def compared(subjects: Sequence[Subject]) -> Comparison:
    """Comparison of all particles, the strain of each as it was analysed here.

    Energies are those beside the atoms, where there are any.
    """
    with TemporaryDirectory() as top:
        folders = []
        for subject in subjects:
            folder = Path(top) / subject.name
            folder.mkdir()
            _write(folder, subject.model)
            energy = subject.source / layout.ENERGY
            if energy.exists():
                (folder / layout.ENERGY).write_bytes(energy.read_bytes())
            folders.append(folder)
        return compare_particles(folders)
