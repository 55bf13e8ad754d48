"""One particle from its stack to its summary: the stages in order, each resumable, and a verdict in every case.

A particle that cannot be solved is a result, not an error: it gets the verdict ``failed`` with the reason, and the
other particles of the movie go on.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from single_rs.base.errors import ConvergenceError, InputError, NoParticleError, SingleError
from single_rs.base.progress import Progress
from single_rs.base.settings_text import settings_to_dict
from single_rs.io.json import write_json
from single_rs.pipeline import stages
from single_rs.pipeline.config import Config
from single_rs.pipeline.record import RunLog, stage_key
from single_rs.store.layout import ATOMS, FSC, MAPS, POSES, RESULTS, SUMMARY
from single_rs.store.read import load_reconstruction

if TYPE_CHECKING:
    from single_rs.analysis.model import Particle
    from single_rs.records import Atoms, CleanStack, Density, ParticleStack, Poses

__all__ = ["ParticleResult", "solve_particle"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
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
    summary: Mapping[str, Any]

    @classmethod
    def from_summary(cls, folder: Path, summary: Mapping[str, Any]) -> ParticleResult:
        """Return the result that a ``summary.json`` speaks of."""
        return cls(folder, str(summary["verdict"]), tuple(summary["reasons"]), summary)


def solve_particle(
    stack: ParticleStack,
    folder: Path,
    element: str,
    config: Config,
    seed: int,
    record: RunLog,
    key: str,
    progress: Progress | None = None,
) -> ParticleResult:
    """Take one particle from its stack to ``summary.json``.

    Parameters
    ----------
    stack
        Its single frames.
    folder
        Where its files go.
    element
        Chemical symbol.
    config, seed
        Settings of all stages; seed of all random numbers.
    record
        The run's record, which knows what need not be done again.
    key
        Key of the stack.
    progress
        Called as progress(stage, done, total).

    Returns
    -------
    ParticleResult
        With the verdict ``failed`` and the reason when a stage raised an error.
    """
    work = _Particle(stack, folder, element, config, seed, record, key, progress)
    try:
        return work.solve()
    except (SingleError, ConvergenceError) as error:
        log.warning("%s: failed: %s", folder.name, error)
        return work.failed(str(error))
    except Exception as error:
        # A defect of ours or of a library on one particle must not cost the user the others; the log has the trace.
        log.exception("%s: failed: %s", folder.name, error)
        return work.failed(f"internal error in a stage, see run.log: {type(error).__name__}: {error}")


class _Particle:
    """The stages of one particle; what is not needed because a later result is there is not computed."""

    def __init__(
        self,
        stack: ParticleStack,
        folder: Path,
        element: str,
        config: Config,
        seed: int,
        record: RunLog,
        key: str,
        progress: Progress | None,
    ) -> None:
        self.stack, self.folder, self.element, self.config, self.seed = stack, folder, element, config, seed
        self.record, self.progress = record, progress
        of = settings_to_dict(config)
        self.keys = {"background": stage_key(key, of["background"])}
        self.keys["orient"] = stage_key(self.keys["background"], element, seed, of["orient"])
        self.keys["reconstruct"] = stage_key(self.keys["orient"], of["reconstruct"])
        self.keys["trace"] = stage_key(self.keys["reconstruct"], element, of["trace"])
        self.keys["refine"] = stage_key(self.keys["trace"], of["refine"])
        self.keys["analyze"] = stage_key(self.keys["refine"], of["lattice"], of["strain"], of["export"])

    def _stage(self, name: str, files: Sequence[str]) -> Any:
        # What an earlier run derived from what is about to change must not survive a failure on the way. Cleaning is
        # repeated whenever a stage needs it, with the same result: nothing follows from that.
        order = list(self.keys)
        for later in order[order.index(name) :] if name != "background" else []:
            for pattern in RESULTS.get(later, ()):
                for old in self.folder.glob(pattern):
                    old.unlink()
        return self.record.stage(f"{self.folder.name}/{name}", self.keys[name], [self.folder / f for f in files])

    def _done(self, name: str) -> bool:
        return self.record.done(f"{self.folder.name}/{name}", self.keys[name])

    def _tell(self, stage: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(f"{self.folder.name} {stage}", done, total)

    def solve(self) -> ParticleResult:
        """Do what is not done yet and judge."""
        if self._done("analyze"):
            for name in self.keys:
                self._done(name)  # so that the record of what was reused is whole
            summary = json.loads((self.folder / SUMMARY).read_text(encoding="utf-8"))
            return ParticleResult.from_summary(self.folder, summary)
        poses = self._poses()
        density = self._density(poses)
        atoms, note = self._atoms(density)
        numbers: dict[str, Any] = {}
        if atoms is not None and self.config.refine.enabled:
            atoms, numbers, note = self._refined(poses, atoms)
        with self._stage("analyze", [SUMMARY] + [ATOMS] * (atoms is not None)) as entry:
            frame = (len(density.map), density.pixel_size)
            model = None
            if atoms is not None:
                model = stages.analyze(atoms, self.element, self.folder, self.config, frame, self._tell)
            summary = self._summary(poses, density, model, note) | ({"refinement": numbers} if numbers else {})
            write_json(self.folder / SUMMARY, summary)
            entry["verdict"] = summary["verdict"]
        return ParticleResult.from_summary(self.folder, summary)

    def _atoms(self, density: Density) -> tuple[Atoms | None, list[str]]:
        """Return the atoms; or, where the map holds none, the reason why, which the verdict then names."""
        with self._stage("trace", []) as entry:
            try:
                atoms = stages.trace(density, self.element, self._diameter(), self.config.trace, self._tell)
            except NoParticleError as error:
                entry["atoms"] = 0
                return None, [str(error)]
            entry["atoms"] = len(atoms.positions)
            return atoms, []

    def _refined(self, poses: Poses, atoms: Atoms) -> tuple[Atoms, dict[str, Any], list[str]]:
        """Return the refined atoms and numbers; or the traced ones, and why, when the frames do not show them."""
        from single_rs.refine.files import refine

        clean = self.clean()
        with self._stage("refine", [POSES]) as entry:
            try:
                refined = refine(clean, poses, atoms, self.folder, self.config.refine, self._tell)
            except InputError as error:
                entry["refused"] = str(error)
                return atoms, {}, [f"atoms are as traced, not refined: {error}"]
            entry["atoms"] = len(refined.atoms)
            return refined.atoms, asdict(refined.summary), []

    def _summary(self, poses: Poses, density: Density, model: Particle | None, notes: list[str]) -> dict[str, Any]:
        """Return the content of summary.json: the verdict first, then the numbers it rests on."""
        from single_rs.analysis.analyze import summarise
        from single_rs.background import measure_pixel
        from single_rs.pipeline.verdict import judge

        clean = self.clean()
        verdict = judge(clean, poses, density, model, self.element)
        ruler = measure_pixel(clean.graphene, clean.pixel_size)
        return {
            "verdict": verdict.verdict,
            "reasons": [*verdict.reasons, *notes],
            "element": self.element,
            "frames": len(self.stack),
            "frames_used": int(np.sum(np.asarray(poses.weight) > 0)),
            "mean_confidence": float(np.mean(poses.confidence)),
            "diameter": float(clean.diameter),
            "pixel_size": float(clean.pixel_size),
            "pixel_size_by_graphene": asdict(ruler) if ruler is not None else None,
            "resolution": float(density.resolution),
            **(summarise(model) if model is not None else {"atoms": 0, "hand": "undetermined"}),
            "diagnostics": asdict(poses.diagnostics),
            "seconds": self.seconds(),
        }

    def seconds(self) -> float:
        """Return the time that the finished stages of this particle took."""
        times = self.record.times()
        return sum(t for name, t in times.items() if name.startswith(f"{self.folder.name}/"))

    def failed(self, reason: str) -> ParticleResult:
        """Write a summary with the verdict ``failed``; files of stages that succeeded stay."""
        summary = {
            "verdict": "failed",
            "reasons": [reason],
            "hand": "undetermined",
            "element": self.element,
            "frames": len(self.stack),
        }
        write_json(self.folder / SUMMARY, summary)
        return ParticleResult.from_summary(self.folder, summary)

    @functools.cached_property
    def _clean(self) -> CleanStack:
        from single_rs.background import clean_stack

        with self._stage("background", ["clean_examples.npy"]):
            clean = clean_stack(self.stack, self.config.background, progress=self._tell)
            stages.write_examples(clean, self.folder)
        return clean

    def clean(self) -> CleanStack:
        """Return the cleaned stack; it is not kept in a file, since making it is quicker than reading it."""
        return self._clean

    def _diameter(self) -> float | None:
        return self.stack.diameter if self.stack.diameter is not None else float(self.clean().diameter)

    def _poses(self) -> Poses:
        if self._done("orient"):
            from single_rs.refine.files import searched_poses

            return searched_poses(self.folder)
        clean = self.clean()
        with self._stage("orient", [POSES]) as entry:
            poses = stages.orient(clean, self.element, self.folder, self.config.orient, self.seed, self._tell)
            entry["mean_confidence"] = float(np.mean(poses.confidence))
        return poses

    def _density(self, poses: Poses) -> Density:
        if self._done("reconstruct"):
            return load_reconstruction(self.folder)
        clean = self.clean()
        with self._stage("reconstruct", [*MAPS, FSC]) as entry:
            density = stages.rebuild(clean, poses, self.folder, self.config.reconstruct, self._tell)
            entry["resolution"] = float(density.resolution)
        return density
