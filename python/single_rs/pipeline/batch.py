"""Many movies: one task for the passes over each, then one for each of its particles, on any executor.

A task leaves everything it did in the folder of its movie, under a lock with a heartbeat and with a manifest: it may
be killed, sent again, or started twice, and whoever asks for what is there gets it without work. Particles of one movie
are solved in folders of their own, ``OUT/MOVIE/.single_rs/parts/particle_NN``, so that several processes write side by
side; the last task of the movie takes their files over, as if one program had made them all.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from single_rs.analysis import ParticleSummary
from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import DataFileError, InputError
from single_rs.base.reading import AS_IS
from single_rs.base.seeds import check_seed
from single_rs.base.settings_text import settings_to_dict
from single_rs.crystal.material import check_material
from single_rs.io import Reading, open_movie
from single_rs.pipeline.config import Config
from single_rs.pipeline.entry import finished, open_job
from single_rs.pipeline.front import FrontEnd, Input
from single_rs.pipeline.job import Job
from single_rs.pipeline.material import with_material
from single_rs.pipeline.particle import ParticleResult
from single_rs.pipeline.record import RunLog, file_log, versions
from single_rs.pipeline.states import solve_track
from single_rs.store import layout
from single_rs.store.codecs import read_record
from single_rs.store.folder import open_folder, stored_file
from single_rs.store.read import load_stack
from single_rs.store.record import FINISHED, RunRecord, VerdictRecord, read_run, read_started

__all__ = ["MovieTask", "Outcome", "close_movie", "find_particles", "known_outcomes", "movie_tasks", "solve_one"]

log = logging.getLogger(__name__)

FAILED = "failed"
SPLIT = 100  # numbers that each track has for particles that are split from it


@dataclass(frozen=True)
class MovieTask:
    """One movie of a batch: what is solved, how, and into which folder."""

    movie: Path
    out: Path
    pixel_size: float | None
    element: str
    config: Config
    seed: int
    reading: Reading = AS_IS


@dataclass(frozen=True)
class Outcome:
    """What became of a particle, or of a movie that gave none.

    Attributes
    ----------
    movie
        Name of the movie's folder.
    particle
        "particle_NN"; empty where it is the whole movie.
    verdict
        "solved", "doubtful", "failed", or "missing" where there is no result yet.
    reasons
        Why.
    """

    movie: str
    particle: str
    verdict: str
    reasons: tuple[str, ...] = ()


def movie_tasks(
    inputs: Sequence[Path],
    out: Path,
    element: str,
    pixel_size: float | None,
    config: Config,
    seed: int,
    reading: Reading = AS_IS,
) -> list[MovieTask]:
    """Make the tasks of a batch; each movie gets the folder of its name in `out`."""
    check_seed(seed)
    element = check_material(element)
    config = with_material(element, config)
    names = [path.stem for path in inputs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"several movies are named {', '.join(twice)}; give each another name")
    if not names:
        raise InputError("no movies are given; one or more are needed")
    return [
        MovieTask(path, out / name, pixel_size, element, config, seed, reading) for path, name in zip(inputs, names)
    ]


def known_outcomes(task: MovieTask) -> list[Outcome] | None:
    """Return what is known of a movie that was finished with these settings and versions; None where work is left."""
    record = read_run(task.out)
    if record is None or record.status != FINISHED or not _same(record, task):
        return None
    with open_movie(task.movie, task.pixel_size, reading=task.reading) as movie:
        if not record.input.unchanged(Input(movie).record):
            return None
    if (task.out / layout.HIDDEN / layout.PARTS).exists():
        _remove_parts(task)
    return [Outcome(task.out.name, name, v.verdict, v.reasons) for name, v in record.verdicts.items()]


def _same(record: RunRecord, task: MovieTask) -> bool:
    asked = (settings_to_dict(task.config), task.element, task.seed, versions())
    return (record.config, record.element, record.seed, record.versions) == asked


@single_blas_thread()
def find_particles(task: MovieTask) -> list[str]:
    """Make the passes over a movie: motion, tracks, stacks; return the names of its particles."""
    with (
        open_movie(task.movie, task.pixel_size, reading=task.reading) as movie,
        open_job("run", Input(movie), task.element, task.out, task.config, task.seed, True, False, None) as job,
    ):
        names = FrontEnd(movie, job).particles()
        job.log.note(status="interrupted")  # until `close_movie`
        return names


def _part(task: MovieTask, name: str) -> Path:
    return task.out / layout.HIDDEN / layout.PARTS / name


@single_blas_thread()
def solve_one(task: MovieTask, name: str) -> list[Outcome]:
    """Solve one track of a movie whose passes are made, in a folder of its own; it may hold several particles.

    The first has the name of the track, those that are split from it get numbers from 100 times its number on: no other
    track gives these away.
    """
    record = read_started(task.out)
    stage = f"{name}/stack"
    if record is None or stage not in record.stages:
        raise InputError(f"{task.out} holds no stack of {name}; the passes over {task.movie} come first")
    key = record.stages[stage].key
    alone = replace(record, status="running", stages={}, verdicts={}, finished=None)
    with open_folder(_part(task, name)) as folder, file_log(folder.path / layout.LOG):
        journal = RunLog(folder, alone, True, lambda: str(record.input.content))
        earlier = journal.earlier
        if earlier is not None and earlier.status == FINISHED and _same(earlier, task) and journal.same_input(earlier):
            return [Outcome(task.out.name, one, v.verdict, v.reasons) for one, v in earlier.verdicts.items()]
        stack = load_stack(stored_file(task.out, f"{name}/{layout.STACK}"))
        number = int(name.rpartition("_")[2]) + 1
        spare = (layout.particle_name(SPLIT * number + k) for k in itertools.count())
        results = solve_track(Job(task.element, task.config, task.seed, journal), name, stack, key, spare)
        journal.finish({r.folder.name: VerdictRecord(r.verdict, tuple(r.reasons)) for r in results})
        journal.close()
        return [Outcome(task.out.name, r.folder.name, r.verdict, tuple(r.reasons)) for r in results]


@single_blas_thread()
def close_movie(task: MovieTask) -> list[Outcome]:
    """Take over what the tasks of the particles made, and write record and report of the movie."""
    with (
        open_movie(task.movie, task.pixel_size, reading=task.reading) as movie,
        open_job("run", Input(movie), task.element, task.out, task.config, task.seed, True, False, None) as job,
    ):
        results = [result for name in FrontEnd(movie, job).particles() for result in _taken_over(task, job, name)]
        finished(job, results)
    _remove_parts(task)
    return [Outcome(task.out.name, r.folder.name, r.verdict, tuple(r.reasons)) for r in results]


def _remove_parts(task: MovieTask) -> None:
    """Remove the folders of the particles of a finished movie; where that fails, the next batch does it."""
    with contextlib.suppress(OSError, DataFileError), open_folder(task.out) as folder, folder.scratch() as room:
        # All at once: what is left of a folder that was being removed would pass for that of a particle.
        os.replace(task.out / layout.HIDDEN / layout.PARTS, room / layout.PARTS)


def _taken_over(task: MovieTask, job: Job, name: str) -> list[ParticleResult]:
    """Publish the files of one track in the folder of its movie."""
    part = _part(task, name)
    record = read_run(part)
    if record is None or record.status != FINISHED or name not in record.verdicts:
        raise InputError(f"{name} of {task.movie} is not finished; run the batch again")
    verdict = record.verdicts[name]
    if verdict.verdict == FAILED and job.log.keeps(name):
        reasons = (*verdict.reasons, "the result of the run before is kept")
        summary = read_record(part / name / layout.SUMMARY, ParticleSummary)
        return [ParticleResult(job.log.folder.path / name, FAILED, reasons, summary)]
    for stage, entry in record.stages.items():
        job.log.take(stage, entry, part)
    results = []
    for one in record.verdicts:
        summary = read_record(job.log.folder.file(f"{one}/{layout.SUMMARY}"), ParticleSummary)
        results.append(ParticleResult.from_summary(job.log.folder.path / one, summary))
    return results


def as_text(outcome: Outcome) -> str:
    """Return one line for people."""
    what = f"{outcome.movie}/{outcome.particle}" if outcome.particle else outcome.movie
    return f"{what}: {outcome.verdict}" + (f": {'; '.join(outcome.reasons)}" if outcome.reasons else "")
