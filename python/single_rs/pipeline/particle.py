"""One particle from its stack to its summary: the stages in order, each resumable, and a verdict in every case.

A particle that cannot be solved is a result, not an error: it gets the verdict ``failed`` with the reason, and the
other particles of the movie go on. Where the folder holds a finished result of the particle, that is kept.
"""

from __future__ import annotations

import functools
import html
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from single_rs.analysis import ParticleSummary, summarise
from single_rs.analysis.views import known_lengths
from single_rs.background import clean_stack, measure_pixel
from single_rs.base.errors import ConvergenceError, DataFileError, InputError, SingleError, WriteError
from single_rs.base.settings_text import settings_to_dict
from single_rs.base.stop import raise_if_stopped
from single_rs.export.atoms import read_xyz
from single_rs.io.star import read_poses, write_poses
from single_rs.pipeline import stages
from single_rs.pipeline.changes import judge_changes
from single_rs.pipeline.estimate import REPORT, estimate_particle, machine_speed
from single_rs.pipeline.job import Job
from single_rs.pipeline.record import StageLog, stage_key
from single_rs.pipeline.size import StackSize
from single_rs.pipeline.verdict import Verdict, judge
from single_rs.records import Atoms, Background, CleanStack, Density, ParticleStack, Poses
from single_rs.refine.change import Changes
from single_rs.store import layout
from single_rs.store.codecs import read_arrays, read_record, write_record
from single_rs.store.read import MapFrame, read_density

__all__ = ["ParticleResult", "Stages", "expect_particle", "particle_keys", "solve_stages"]

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, repr=False)
class ParticleResult:
    """What came out for one particle.

    Attributes
    ----------
    folder
        Where its files are.
    verdict
        "solved", "doubtful" or "failed".
    reasons
        Why, in sentences.
    summary
        The content of ``summary.json``.
    """

    folder: Path
    verdict: str
    reasons: tuple[str, ...]
    summary: ParticleSummary

    def __repr__(self) -> str:
        """Return one line."""
        return f"ParticleResult({self.folder}: {self.verdict})"

    @property
    def atoms(self) -> Atoms | None:
        """The atoms, read from the folder; None where none were found."""
        path = self.folder / layout.ATOMS
        return read_xyz(path) if path.is_file() else None

    @property
    def poses(self) -> Poses | None:
        """Pose of every frame, read from the folder; None where none were found."""
        path = self.folder / layout.POSES
        return read_poses(path) if path.is_file() else None

    @property
    def density(self) -> Density | None:
        """Map and half maps, read from the folder; None where there is none."""
        return read_density(self.folder.joinpath) if (self.folder / layout.MAP).is_file() else None

    def view(self) -> Any:
        """Show atoms and density in 3D in a notebook, as the report does."""
        from single_rs.report.inline import view

        seen = view(self.folder)
        if seen is None:
            raise InputError(f"{self.folder} has neither atoms nor a map to show")
        return seen

    def _repr_html_(self) -> str:
        """Return verdict, reasons and the 3D view for a notebook."""
        from single_rs.report.inline import view

        reasons = "".join(f"<li>{html.escape(reason)}</li>" for reason in self.reasons)
        seen = view(self.folder)
        drawn = "" if seen is None else seen._repr_html_()
        return f"<b>{html.escape(self.folder.name)}: {html.escape(self.verdict)}</b><ul>{reasons}</ul>{drawn}"

    @classmethod
    def from_summary(cls, folder: Path, summary: ParticleSummary) -> ParticleResult:
        """Return the result that a ``summary.json`` describes; one that nobody judged has failed."""
        return cls(folder, summary.verdict or "failed", summary.reasons, summary)


def solve_stages(work: Stages) -> ParticleResult:
    """Take the stages of a particle, or of one of its states, to their end; a failure is a verdict."""
    name = work.name
    try:
        return work.result()
    except (MemoryError, WriteError):
        raise  # of the machine, not of this particle: nothing that follows would fare better
    except (SingleError, ConvergenceError) as error:
        raise_if_stopped()
        log.warning("%s: failed: %s", name, error)
        return work.failed(str(error))
    except Exception as error:
        raise_if_stopped()
        # A defect of ours or of a library on one particle must not cost the user the others; the log has the trace.
        log.exception("%s: failed: %s", name, error)
        return work.failed(f"internal error in a stage, see {layout.LOG}: {type(error).__name__}: {error}")


def particle_keys(job: Job, key: str) -> dict[str, str]:
    """Return the key of each stage of a particle, from that of its stack."""
    of = settings_to_dict(job.config)
    keys = {"background": stage_key(key, of["background"])}
    keys["orient"] = stage_key(keys["background"], job.element, job.seed, of["orient"])
    keys["reconstruct"] = stage_key(keys["orient"], of["reconstruct"])
    keys["trace"] = stage_key(keys["reconstruct"], job.element, of["trace"])
    keys["refine"] = stage_key(keys["trace"], of["refine"])
    keys["changes"] = stage_key(keys["refine"], job.seed, of["states"])
    keys["analyze"] = stage_key(keys["changes"], of["lattice"], of["strain"], of["export"])
    return keys


def expect_particle(job: Job, name: str, key: str, size: StackSize) -> None:
    """Say what is left to do for a particle, where somebody listens."""
    if job.progress is None:
        return
    left = [stage for stage, of in particle_keys(job, key).items() if not job.log.has(f"{name}/{stage}", of)]
    if left:
        whole = estimate_particle(name, size, job.element, size.room_needed(job.config.strain), machine_speed())
        job.expect(name, whole.of((*left, REPORT)))


class Stages:
    """The stages of one particle; what no later stage asks for is neither computed nor loaded."""

    def __init__(self, job: Job, name: str, stack: ParticleStack, key: str, given: Poses | None = None) -> None:
        self.job, self.name, self.stack, self.given = job, name, stack, given
        self.stack_name = layout.STACK
        self.key, self.keys = key, particle_keys(job, key)

    def result(self) -> ParticleResult:
        """Do what is not done yet and judge."""
        summary = self._stage("analyze", self._analyze, self._summary)
        for stage, key in self.keys.items():
            self.job.log.reuse(f"{self.name}/{stage}", key)  # so that the record of what was not needed is whole
        return ParticleResult.from_summary(self.job.log.folder.path / self.name, summary)

    def _summary(self) -> ParticleSummary:
        return read_record(self.file(layout.SUMMARY), ParticleSummary)

    def failed(self, reason: str) -> ParticleResult:
        """Give a summary with the verdict ``failed``; what stages finished stays, and so does a finished result."""
        summary = ParticleSummary("failed", (reason,), self.job.element, len(self.stack))
        log_of_run, stage = self.job.log, f"{self.name}/failure"
        if log_of_run.keeps(self.name):
            reasons = (reason, "the result of the run before is kept")
            return ParticleResult(log_of_run.folder.path / self.name, "failed", reasons, summary)
        with log_of_run.stage(stage, stage_key(self.keys["analyze"], reason)) as running:
            write_record(running.folder / layout.SUMMARY, summary)
        return ParticleResult.from_summary(log_of_run.folder.path / self.name, summary)

    def _stage(self, name: str, make: Callable[[StageLog], T], load: Callable[[], T]) -> T:
        """Load what a stage gave before, or make it."""
        stage, key = f"{self.name}/{name}", self.keys[name]
        if self.job.log.reuse(stage, key):
            try:
                return load()
            except DataFileError as error:  # whole, but of a form that this program does not read
                log.warning("%s: %s", stage, error)
        # What is made in the stage asks for the stages before it; those must not be timed within this one.
        self._needs(name)
        with self.job.log.stage(stage, key) as running:
            return make(running)

    def _needs(self, name: str) -> None:
        """Have the results at hand that a stage builds on."""
        for needed in NEEDS[name]:
            getattr(self, needed)

    def file(self, name: str) -> Path:
        """Return where a file of the particle is read."""
        return self.job.log.folder.file(f"{self.name}/{name}")

    def _report(self, stage: str, done: int, total: int) -> None:
        self.job.report(self.name, stage, done, total)

    @functools.cached_property
    def clean(self) -> CleanStack:
        """The cleaned frames; made anew where a stage needs them, since they are in no file."""
        if self.job.log.reuse(f"{self.name}/background", self.keys["background"]):
            return clean_stack(self.stack, self.job.config.background, progress=self._report)
        with self.job.log.stage(f"{self.name}/background", self.keys["background"]) as running:
            clean = stages.background(self.stack, running.folder, self.job.config.background, self._report)
            running.facts["contrast"] = clean.contrast.atoms
        if self.stack.diameter is None:  # guessed from the box until now
            size = replace(StackSize.of(self.stack), diameter=clean.diameter)
            expect_particle(self.job, self.name, self.key, size)
        return clean

    @functools.cached_property
    def background(self) -> Background:
        """What was measured of the frames."""
        if "clean" not in self.__dict__ and self.job.log.reuse(f"{self.name}/background", self.keys["background"]):
            return read_record(self.file(layout.BACKGROUND), Background)
        return self.clean.background

    @functools.cached_property
    def poses(self) -> Poses:
        """The poses that the search found."""
        return self._stage("orient", self._orient, lambda: read_poses(self.file(layout.SEARCHED)))

    def _orient(self, running: StageLog) -> Poses:
        job, path = self.job, running.folder / layout.SEARCHED
        if self.given is not None:
            write_poses(path, self.given, self.stack_name, self.stack.pixel_size, self.stack.box)
            return read_poses(path)
        poses = stages.orient(self.clean, job.element, path, job.config.orient, job.seed, self._report)
        running.facts["mean_confidence"] = float(np.mean(poses.confidence))
        return poses

    @functools.cached_property
    def density(self) -> Density:
        """The map and its halves."""
        return self._stage("reconstruct", self._reconstruct, lambda: read_density(self.file))

    def _reconstruct(self, running: StageLog) -> Density:
        density = stages.rebuild(self.clean, self.poses, running.folder, self.job.config.reconstruct, self._report)
        running.facts["resolution"] = float(density.resolution)
        return density

    @functools.cached_property
    def traced(self) -> tuple[Atoms | None, stages.Tracing]:
        """The atoms of the map; or, where it holds none, the reason why."""

        def load() -> tuple[Atoms | None, stages.Tracing]:
            found = read_record(self.file(layout.TRACING), stages.Tracing)
            return read_arrays(self.file(layout.TRACED), Atoms) if found.atoms else None, found

        return self._stage("trace", self._trace, load)

    def _trace(self, running: StageLog) -> tuple[Atoms | None, stages.Tracing]:
        config, element = self.job.config.trace, self.job.element
        atoms, found = stages.traced(self.density, element, self.diameter, config, running.folder, self._report)
        running.facts["atoms"] = found.atoms
        return atoms, found

    @functools.cached_property
    def refined(self) -> tuple[Atoms | None, stages.Refinement]:
        """The refined atoms; as they were traced where the frames do not show them."""

        def load() -> tuple[Atoms | None, stages.Refinement]:
            outcome = read_record(self.file(layout.REFINEMENT), stages.Refinement)
            return read_arrays(self.file(layout.REFINED), Atoms) if self.traced[1].atoms else None, outcome

        return self._stage("refine", self._refine, load)

    def _refine(self, running: StageLog) -> tuple[Atoms | None, stages.Refinement]:
        atoms, _ = self.traced
        found, outcome = stages.refine(
            self.clean, self.poses, atoms, running.folder, self.job.config.refine, self._report, self.stack_name
        )
        running.facts["atoms"] = 0 if found is None else len(found)
        return found, outcome

    @functools.cached_property
    def changes(self) -> Changes | None:
        """Whether the particle changes in time; None where nobody asks, or the frames do not show its atoms."""
        found = self._stage("changes", self._changes, lambda: read_record(self.file(layout.CHANGES), stages.Asked))
        return found.changes

    def _changes(self, running: StageLog) -> stages.Asked:
        atoms, outcome = self.refined
        shown = atoms if outcome.summary is not None else None
        poses = read_poses(self.file(layout.POSES))
        asked = self.ask(poses, shown, running.folder)
        running.facts["changes"] = 0 if asked.changes is None else len(asked.changes.changes)
        return asked

    def ask(self, poses: Poses, atoms: Atoms | None, folder: Path) -> stages.Asked:
        """Ask whether the particle changes, from refined poses and atoms."""
        return stages.ask_changes(self.clean, poses, atoms, folder, self.job.config, self.job.seed, self.imaging)

    @property
    def imaging(self) -> stages.Imaging:
        """What the refinement found of the microscope."""
        summary = self.refined[1].summary
        if summary is None:
            return stages.Imaging()
        return stages.Imaging(
            (0.0, 0.0) if summary.ellipse is None else summary.ellipse.applied,
            None if summary.optics is None else summary.optics.applied,
        )

    @property
    def diameter(self) -> float:
        """Å, of the particle."""
        return float(self.background.diameter if self.stack.diameter is None else self.stack.diameter)

    def _analyze(self, running: StageLog) -> ParticleSummary:
        """Analyse the atoms and write summary.json: the verdict first, then the numbers it rests on."""
        job, poses, density, background = self.job, self.poses, self.density, self.background
        _, found = self.traced
        notes = [found.reason] if found.reason else []
        atoms, outcome = self.refined
        if outcome.refused:
            notes.append(f"atoms are as traced, not refined: {outcome.refused}")
        model = None
        if atoms is not None:
            frame = MapFrame(len(density.map), density.pixel_size)
            model = stages.analyze_atoms(atoms, job.element, running.folder, job.config, frame, self._report, density)
        verdict = self.judged(judge(background, poses, density, model, job.element))
        running.facts["verdict"] = verdict.verdict
        ruler = measure_pixel(background.graphene, background.pixel_size)
        summary = ParticleSummary(
            verdict=verdict.verdict,
            reasons=(*verdict.reasons, *notes),
            element=job.element,
            frames=len(self.stack),
            frames_used=int(np.sum(np.asarray(poses.weight) > 0)),
            mean_confidence=float(np.mean(poses.confidence)),
            diameter=float(background.diameter),
            contrast=background.contrast,
            pixel_size=float(background.pixel_size),
            pixel_size_by_graphene=ruler,
            resolution=float(density.resolution),
            atoms=0,
            lengths=None if model is None else known_lengths(model.atoms, poses),
            diagnostics=poses.diagnostics,
            seconds=job.log.seconds(self.name),
            refinement=outcome.summary,
        )
        path = running.folder / layout.SUMMARY
        write_record(path, summary if model is None else summarise(model, summary))
        return read_record(path, ParticleSummary)  # as a later run will read it

    def judged(self, verdict: Verdict) -> Verdict:
        """Return the verdict with what is known of changes in time."""
        return judge_changes(verdict, self.changes)


# Stage → results that it builds on.
NEEDS: dict[str, tuple[str, ...]] = {
    "orient": ("clean",),
    "reconstruct": ("clean", "poses"),
    "trace": ("density", "background"),
    "refine": ("clean", "poses", "traced"),
    "changes": ("clean", "refined"),
    "analyze": ("poses", "density", "background", "traced", "refined", "changes"),
}
