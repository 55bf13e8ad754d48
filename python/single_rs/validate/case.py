"""One solved particle with all that the checks ask of it; what several checks need is computed once."""

from __future__ import annotations

import functools
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis import ParticleSummary
from single_rs.background import clean_stack
from single_rs.base.errors import DataFileError, InputError, NoParticleError
from single_rs.base.progress import Progress
from single_rs.base.settings_text import settings_from_dict
from single_rs.export.atoms import read_xyz
from single_rs.frames.packed import MASK_EDGE, MASK_MARGIN, FrameSet
from single_rs.pipeline import stages
from single_rs.pipeline.config import Config
from single_rs.reconstruction.fourier import reconstruct
from single_rs.records import Atoms, CleanStack, Density, Poses
from single_rs.refine import refine_atoms
from single_rs.store.codecs import read_record
from single_rs.store.layout import ATOMS, FSC, MAPS, POSES, STACK, SUMMARY
from single_rs.store.read import load_posed, read_density
from single_rs.store.record import RunRecord, read_run

__all__ = ["Case", "load_case"]

LOW_RESOLUTION = 6.0  # Å: longer periods hold liquid and little of the particle
COARSEST = 1.5  # Å: a particle whose atoms are resolved shows at least these periods
QUARTER_RUN = 10  # frames in a row of one half that go to the same quarter
BEYOND_NYQUIST = 2.05  # pixels: shortest period compared

log = logging.getLogger(__name__)


class Case:
    """A solved particle.

    Parameters
    ----------
    clean
        Cleaned frames, (n, y, x).
    poses
        One per frame.
    density
        Map and half maps.
    atoms
        The atomic model, Å from the centre of the box.
    element
        Chemical symbol.
    config
        Settings of the run.
    seed
        Seed of the run.
    folder
        Where files may be written; None keeps all in memory.
    progress
        Called as progress(stage, done, total).
    """

    def __init__(
        self,
        clean: CleanStack,
        poses: Poses,
        density: Density,
        atoms: Atoms,
        element: str,
        config: Config | None = None,
        seed: int = 0,
        folder: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        if len(poses.rotations) != len(clean.images):
            raise InputError(f"{len(poses.rotations)} poses for {len(clean.images)} frames; one per frame is needed")
        self.clean, self.poses, self.density, self.atoms = clean, poses, density, atoms
        self.element, self.seed, self.folder = element, seed, folder
        self.config = config or Config()
        self._progress = progress
        self._halves: dict[int, Atoms | str] = {}

    def changed(self, **changes: Any) -> Case:
        """Return the same particle with other atoms, poses, frames or maps, named as the arguments of the class.

        The models of the halves are kept as long as frames, poses and settings are.
        """
        names = ("clean", "poses", "density", "atoms", "element", "config", "seed", "folder")
        other = Case(**{**{name: getattr(self, name) for name in names}, **changes})
        if not changes.keys() - {"atoms", "density", "seed", "folder"}:
            other._halves = self._halves
        return other

    def tell(self, check: str, done: int, total: int) -> None:
        """Report progress of a check."""
        if self._progress is not None:
            self._progress(f"validate {check}", done, total)

    @property
    def pixel_size(self) -> float:
        """Å."""
        return self.clean.pixel_size

    @functools.cached_property
    def period(self) -> float:
        """Shortest period in Å at which frames and model are compared."""
        finest = BEYOND_NYQUIST * self.pixel_size
        resolution = self.density.resolution if np.isfinite(self.density.resolution) else COARSEST
        return float(max(finest, min(resolution, COARSEST)))

    @functools.cached_property
    def used(self) -> NDArray[np.int64]:
        """Frames (n,) that entered the map."""
        return np.flatnonzero((self.poses.weight > 0) & ~np.asarray(self.clean.bad, bool))

    @property
    def mask(self) -> tuple[float, float]:
        """Radius and soft edge in px of the disc about the particle in each frame."""
        return (self.clean.diameter / 2 + MASK_MARGIN) / self.pixel_size, MASK_EDGE / self.pixel_size

    @functools.cached_property
    def frames(self) -> FrameSet:
        """Masked spectra of the used frames, referred to the posed centres."""
        centres = self.poses.shifts[self.used] / self.pixel_size
        return FrameSet.pack(self.clean, self.used, centres, (LOW_RESOLUTION, self.period))

    @functools.cached_property
    def electrons(self) -> float:
        """Electrons per pixel and frame whose shot noise is the measured noise: 1 / (variance of the contrast)."""
        middle = len(self.clean.images[0]) // 4
        return float(1 / np.mean(self.clean.noise[middle : 2 * middle]))

    def _trace_halves(self) -> None:
        """Reconstruct and trace each half as the whole is, with halves of its own for noise and filter."""
        for number in (1, 2):
            own = np.flatnonzero((self.poses.half == number) & (self.poses.weight > 0))
            half, weight = np.zeros_like(self.poses.half), np.zeros_like(self.poses.weight)
            # Within a half nothing need be kept apart: short runs give both quarters the same views.
            half[own] = np.arange(len(own)) // QUARTER_RUN % 2 + 1
            weight[own] = self.poses.weight[own]
            try:
                density = reconstruct(
                    self.clean, replace(self.poses, half=half, weight=weight), self.config.reconstruct
                )
                self._halves[number] = stages.trace(density, self.element, self.clean.diameter, self.config.trace)
            except (NoParticleError, InputError) as error:
                self._halves[number] = str(error)
        # Refined atoms have a covariance: what they are compared with goes the same road, each half alone.
        if self.atoms.covariance is not None:
            for number, model in self._halves.items():
                if not isinstance(model, str):
                    self._halves[number] = self._refined(number, model)

    def _refined(self, number: int, model: Atoms) -> Atoms:
        """Refine the atoms of a half against its frames; frames that do not show them leave them as traced."""
        weight = np.where(self.poses.half == number, self.poses.weight, 0.0)
        settings = replace(self.config.refine, halves=False, select=False)
        try:
            return refine_atoms(self.clean, replace(self.poses, weight=weight), model, settings).atoms
        except InputError as error:
            log.warning("atoms of half %d were not refined: %s", number, error)
            return model

    def half_model(self, number: int) -> Atoms:
        """Atoms of the frames of half 1 or 2 alone, traced, and refined when those of the whole are.

        Raises
        ------
        NoParticleError
            When its map holds none.
        """
        if number not in self._halves:
            self._trace_halves()
        model = self._halves[number]
        if isinstance(model, str):
            raise NoParticleError(f"half map {number}: {model}")
        return model


def load_case(folder: Path, config: Config | None = None, progress: Progress | None = None) -> Case:
    """Read a particle's folder and clean its frames again.

    Parameters
    ----------
    folder
        With stack.mrcs, poses.star, the maps, fsc.csv, atoms.xyz and summary.json.
    config
        Settings; those of the run, in run.json of this folder or the one above, when not given.
    progress
        Called as progress(stage, done, total).

    Raises
    ------
    DataFileError
        A file that is missing or cannot be read.
    """
    needed = (STACK, POSES, *MAPS, FSC, ATOMS, SUMMARY)
    missing = [name for name in needed if not (folder / name).exists()]
    if missing:
        raise DataFileError(f"{folder} has no {', '.join(missing)}; give the folder of a solved particle")
    summary = read_record(folder / SUMMARY, ParticleSummary)
    run = read_run(folder) or read_run(folder.parent)
    settings = config or (Config() if run is None else _settings(run))
    stack, poses = load_posed(folder / STACK, folder / POSES)
    clean = clean_stack(stack, settings.background, progress=progress)
    return Case(
        clean,
        poses,
        read_density(lambda name: folder / name),
        read_xyz(folder / ATOMS),
        summary.element or (run.element if run is not None else "Pt"),
        settings,
        run.seed if run is not None else 0,
        folder,
        progress,
    )


def _settings(run: RunRecord) -> Config:
    """Return the settings that a run was made with, as far as the record tells them and this version knows them."""
    settings = Config()
    for stage in ("background", "orient", "reconstruct", "trace", "refine"):
        for name, value in run.config.get(stage, {}).items():
            try:
                settings = settings_from_dict(settings, {stage: {name: value}})
            except InputError as error:
                # A run of another version: a check with the default is worth more than none.
                log.warning("run.json: %s; the default of this version is used", error)
    return settings
