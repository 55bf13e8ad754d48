"""The whole road: a movie in, atoms out; only the calls, in their order.

movie → motion → tracks → stacks → per particle (background → poses → maps → atoms → lattice, strain → files, verdict)
→ report. Every stage is recorded in ``run.json``; a run that was stopped goes on where it was.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from single_rs.base.errors import NoParticleError
from single_rs.base.progress import Progress
from single_rs.base.settings_text import settings_to_dict
from single_rs.crystal.material import check_material
from single_rs.io import Movie, open_movie, writable_folder, write_stack
from single_rs.io.star import read_tracks, write_frames
from single_rs.pipeline import stages
from single_rs.pipeline.config import Config
from single_rs.pipeline.material import with_material
from single_rs.pipeline.particle import ParticleResult, solve_particle
from single_rs.pipeline.record import RunLog, file_log, stage_key
from single_rs.records import ParticleStack
from single_rs.store.layout import MOTION_FILES, STACK, STACK_FRAMES, TRACK_FILE, particle_folder
from single_rs.store.read import load_stack, read_motion

__all__ = ["ParticleResult", "RunResult", "run", "solve"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """What a run made.

    Attributes
    ----------
    folder
        OUT; docs/conventions.md lists its files.
    particles
        One result per particle found.
    """

    folder: Path
    particles: tuple[ParticleResult, ...]


def run(
    movie: Movie | str | os.PathLike[str],
    pixel_size: float | None = None,
    element: str = "Pt",
    out: str | os.PathLike[str] = "single_rs_out",
    config: Config | None = None,
    seed: int = 0,
    resume: bool = True,
    progress: Progress | None = None,
) -> RunResult:
    """Solve every particle in a movie.

    Parameters
    ----------
    movie
        Path, or an open `Movie`, (frame, y, x).
    pixel_size
        Å; ``None`` takes it from the file.
    element
        Chemical symbol of the particles, or formula of a compound of two elements ("CdSe").
    out
        Folder for all files; made if needed.
    config
        Settings of all stages; the defaults when not given.
    seed
        Seed of all random numbers.
    resume
        Load finished stages of an earlier run with the same input and settings instead of computing them again.
    progress
        Called as progress(stage, done, total).

    Returns
    -------
    RunResult
        With a verdict per particle; one that cannot be solved is ``failed``, the run succeeds all the same.

    Raises
    ------
    InputError, DataFileError
        Input, element or folder that is not accepted; nothing is written.
    NoParticleError
        No particle in the movie.
    """
    element = check_material(element)
    config = with_material(element, config or Config())
    movie = movie if isinstance(movie, Movie) else open_movie(movie, pixel_size)
    with movie, _recorded(movie, "run", out, element, config, seed, resume) as (folder, record, key):
        of = settings_to_dict(config)
        keys = {"motion": stage_key(key, of["motion"])}
        keys["track"] = stage_key(keys["motion"], of["track"])
        motion = None
        if not record.done("motion", keys["motion"]):
            with record.stage("motion", keys["motion"], [folder / f for f in MOTION_FILES]):
                motion = stages.correct(movie, folder, config.motion, progress)
        if record.done("track", keys["track"]):
            tracks = read_tracks(folder / TRACK_FILE)
        else:
            motion = motion or read_motion(folder)
            with record.stage("track", keys["track"], [folder / TRACK_FILE]) as entry:
                tracks = stages.find(movie, motion, folder, config.track, progress)
                entry["particles"] = len(tracks)
        if not tracks:
            raise NoParticleError(f"no particle found in {movie.name}; look at {folder / 'mean.mrc'} and at [track]")
        results = []
        for number, track in enumerate(tracks):
            part = particle_folder(folder, number)
            name, stack_key = f"{part.name}/stack", stage_key(keys["track"], number)
            if not record.done(name, stack_key):
                motion = motion or read_motion(folder)
                with record.stage(name, stack_key, [part / STACK, part / STACK_FRAMES]):
                    stages.cut(movie, motion, track, part)
            stack = load_stack(part / STACK)
            results.append(solve_particle(stack, part, element, config, seed, record, stack_key, progress))
        return _finished(folder, record, results, config)


def solve(
    stack: ParticleStack | str | os.PathLike[str],
    pixel_size: float | None = None,
    element: str = "Pt",
    out: str | os.PathLike[str] = "single_rs_out",
    config: Config | None = None,
    seed: int = 0,
    resume: bool = True,
    progress: Progress | None = None,
) -> RunResult:
    """Solve one particle from its stack of single frames.

    Parameters
    ----------
    stack
        Path, or a `ParticleStack`, (n, y, x), centred on the particle to a few Å.
    pixel_size, element, out, config, seed, resume, progress
        As for `run`.

    Returns
    -------
    RunResult
        With one particle.

    Raises
    ------
    InputError, DataFileError
        Input, element or folder that is not accepted; nothing is written.
    """
    element = check_material(element)
    config = with_material(element, config or Config())
    path = None if isinstance(stack, ParticleStack) else Path(stack)
    stack = stack if isinstance(stack, ParticleStack) else load_stack(Path(stack), pixel_size)
    source = Movie.from_array(stack.images, stack.pixel_size, path)
    with _recorded(source, "solve", out, element, config, seed, resume) as (folder, record, key):
        part = particle_folder(folder, 0)
        if not record.done(f"{part.name}/stack", key):
            files = [part / STACK, part / STACK_FRAMES]
            with record.stage(f"{part.name}/stack", key, files):
                write_stack(files[0], stack.images, stack.pixel_size)
                write_frames(files[1], stack, STACK)
        result = solve_particle(stack, part, element, config, seed, record, key, progress)
        return _finished(folder, record, [result], config)


@contextmanager
def _recorded(
    source: Movie,
    command: str,
    out: str | os.PathLike[str],
    element: str,
    config: Config,
    seed: int,
    resume: bool,
) -> Iterator[tuple[Path, RunLog, str]]:
    """Give the folder, the record and the key of the input; write down how the run ended."""
    checksum = source.checksum()
    folder = writable_folder(out)
    with file_log(folder / "run.log"):
        record = RunLog(folder, resume)
        facts = {"shape": source.shape, "pixel_size": source.pixel_size, "checksum": checksum}
        record.note(
            command=command,
            input={"path": source.name, **facts},
            element=element,
            seed=seed,
            config=settings_to_dict(config),
        )
        try:
            yield folder, record, stage_key(command, facts)
        except BaseException as error:
            record.note(status="interrupted" if isinstance(error, KeyboardInterrupt) else f"failed: {error}")
            log.info("ended: %s", record.data["status"])
            raise


def _finished(folder: Path, record: RunLog, results: list[ParticleResult], config: Config) -> RunResult:
    """Write the verdicts and the report."""
    verdicts: dict[str, Any] = {r.folder.name: {"verdict": r.verdict, "reasons": list(r.reasons)} for r in results}
    for leftover in sorted(folder.glob("particle_*"))[len(results) :]:
        # Of an earlier run that found more particles; the report must not show them.
        leftover.rename(_free_name(folder / f"earlier_{leftover.name}"))
    record.note(verdicts=verdicts)
    if config.report.enabled:
        key = stage_key(verdicts, record.keys())
        if not record.done("report", key):
            from single_rs.report import write_report

            with record.stage("report", key, [folder / "report.html"]):
                write_report(folder)
    record.finish()
    for result in results:
        log.info("%s: %s: %s", result.folder.name, result.verdict, "; ".join(result.reasons))
    return RunResult(folder, tuple(results))


def _free_name(path: Path) -> Path:
    """Return `path`, or the first of path_1, path_2 … that does not exist."""
    names = itertools.chain([path], (path.with_name(f"{path.name}_{i}") for i in itertools.count(1)))
    return next(p for p in names if not p.exists())
