"""The whole pipeline: a movie in, atoms out; only the calls, in their order.

movie → motion → tracks → stacks → per particle (background → poses → maps → atoms → lattice, strain → files, verdict)
→ report. Every stage is recorded in ``run.json``; a run that was stopped goes on where it was.
"""

from __future__ import annotations

import html
import itertools
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import InputError
from single_rs.base.paths import user_path
from single_rs.base.progress import Progress, in_notebooks
from single_rs.base.reading import AS_IS
from single_rs.base.scratch import scratch_in
from single_rs.base.seeds import check_seed
from single_rs.base.settings_text import settings_to_dict
from single_rs.base.stop import at_stop
from single_rs.crystal.material import check_material
from single_rs.io import Movie, Reading, open_movie
from single_rs.io.atomic import require_space
from single_rs.io.tracks import GivenTracks, given_tracks
from single_rs.pipeline import stages
from single_rs.pipeline.config import Config
from single_rs.pipeline.estimate import WholeRun
from single_rs.pipeline.front import FrontEnd, Input
from single_rs.pipeline.job import Job
from single_rs.pipeline.live import LivePage
from single_rs.pipeline.material import check_resolved, with_material
from single_rs.pipeline.particle import ParticleResult, expect_particle
from single_rs.pipeline.record import RunLog, file_log, now, stage_key, versions
from single_rs.pipeline.size import StackSize
from single_rs.pipeline.states import solve_track
from single_rs.records import ParticleStack
from single_rs.store import layout
from single_rs.store.folder import open_folder
from single_rs.store.inputs import check_out
from single_rs.store.read import load_stack
from single_rs.store.record import FINISHED, RunRecord, VerdictRecord

__all__ = ["ParticleResult", "RunResult", "run", "solve"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        """Return one line."""
        verdicts = ", ".join(f"{p.folder.name} {p.verdict}" for p in self.particles)
        return f"RunResult({self.folder}: {verdicts or 'no particle'})"

    def _repr_html_(self) -> str:
        """Return a table of the particles for a notebook, and where the report is."""
        rows = "".join(
            f"<tr><td>{html.escape(p.folder.name)}</td><td>{html.escape(p.verdict)}</td><td>{p.summary.atoms or 0}</td>"
            f"<td style='text-align:left'>{html.escape(p.reasons[0] if p.reasons else '')}</td></tr>"
            for p in self.particles
        )
        head = "<tr><th>Particle</th><th>Verdict</th><th>Atoms</th><th style='text-align:left'>First reason</th></tr>"
        place = html.escape(str(self.folder))
        return f"<table>{head}{rows}</table>Files, and {layout.REPORT}, are in <code>{place}</code>."


@in_notebooks
@single_blas_thread()
def run(
    movie: Movie | str | os.PathLike[str],
    element: str,
    out: str | os.PathLike[str] = "single_rs_out",
    pixel_size: float | None = None,
    config: Config | None = None,
    seed: int = 0,
    resume: bool = True,
    progress: Progress | None = None,
    replace: bool = False,
    reading: Reading = AS_IS,
    live: bool = False,
    tracks: GivenTracks | None = None,
    diameter: float | None = None,
) -> RunResult:
    """Solve every particle in a movie.

    Parameters
    ----------
    movie
        Path, or an open `Movie`, (frame, y, x).
    element
        Chemical symbol of the particles, or formula of a compound of two elements ("CdSe").
    out
        Folder for all files; made if needed.
    pixel_size
        Å; ``None`` takes it from the file.
    config
        Settings of all stages; the defaults when not given.
    seed
        Seed of all random numbers.
    resume
        Load finished stages of an earlier run with the same input and settings instead of computing them again.
    progress
        Called as progress(stage, done, total).
    replace
        Whether the finished result of another input, which `out` holds, may be replaced.
    reading
        Part of the movie, binning, sums of frames, gain and dark reference, for a path; see `single_rs.io.Reading`.
    live
        Write ``OUT/live.html`` while the run goes on: a page that loads itself anew, with stages, time left, tracks,
        drift, first frames and poses so far. At the end it leads to the report.
    tracks
        Paths of the particles, which are cut out instead of those that would be found: files (``tracks.csv``,
        ``tracks.star``, ``.box``, ``.xy``) or `Track`; places in px and frames of the movie as it is read.
    diameter
        Å, rough, of the particles in `tracks`; needed where these do not hold it.

    Returns
    -------
    RunResult
        With a verdict per particle; one that cannot be solved is ``failed``, the run succeeds all the same.

    Raises
    ------
    InputError, DataFileError
        Input, element or folder that is not accepted, or a folder that another program uses; nothing is written.
    NoParticleError
        No particle in the movie.
    """
    element = check_material(element)
    config = with_material(element, config or Config())
    if not isinstance(movie, (Movie, str, os.PathLike)):
        raise InputError(
            f"movie is of type {type(movie).__name__}; give a path, or Movie.from_array(frames, pixel_size)"
        )
    movie = movie if isinstance(movie, Movie) else open_movie(movie, pixel_size, reading=reading)
    check_resolved(element, movie.pixel_size, config.orient)
    with movie:
        given, given_as = given_tracks(tracks, movie.shape, diameter)
        source = Input(movie, tracks=given_as)
        with open_job("run", source, element, out, config, seed, resume, replace, progress, live) as job:
            front = FrontEnd(movie, job, given)
            results: list[ParticleResult] = []
            names = front.particles()
            spare = (layout.particle_name(number) for number in itertools.count(len(names)))
            for number, name in enumerate(names):
                stack, stack_key = front.stack(name, number)
                results += solve_track(job, name, stack, stack_key, spare)
                job.finish(name)
            return finished(job, results)


@in_notebooks
@single_blas_thread()
def solve(
    stack: ParticleStack | str | os.PathLike[str],
    element: str,
    out: str | os.PathLike[str] = "single_rs_out",
    pixel_size: float | None = None,
    config: Config | None = None,
    seed: int = 0,
    resume: bool = True,
    progress: Progress | None = None,
    replace: bool = False,
    reading: Reading = AS_IS,
    live: bool = False,
) -> RunResult:
    """Solve one particle from its stack of single frames.

    Parameters
    ----------
    stack
        Path, or a `ParticleStack`, (n, y, x), centred on the particle to a few Å.
    element, out, pixel_size, config, seed, resume, progress, replace, reading, live
        As for `run`.

    Returns
    -------
    RunResult
        With one particle.

    Raises
    ------
    InputError, DataFileError
        Input, element or folder that is not accepted, or a folder that another program uses; nothing is written.
    """
    element = check_material(element)
    config = with_material(element, config or Config())
    if not isinstance(stack, (ParticleStack, str, os.PathLike)):
        given = type(stack).__name__
        raise InputError(f"stack is of type {given}; give a path, or ParticleStack(images, pixel_size, frames)")
    path = None if isinstance(stack, ParticleStack) else user_path(stack)
    stack = stack if isinstance(stack, ParticleStack) else load_stack(user_path(stack), pixel_size, reading)
    check_resolved(element, stack.pixel_size, config.orient)
    source = Input(Movie.from_array(stack.images, stack.pixel_size, path), stack, reading)
    with open_job("solve", source, element, out, config, seed, resume, replace, progress, live) as job:
        name = layout.particle_name(0)
        stage, key = f"{name}/stack", job.log.base_key
        size = StackSize.of(stack)
        if not job.log.reuse(stage, key):
            require_space(job.log.folder.path, size.room_needed(config.strain))
            with job.log.stage(stage, key) as running:
                stages.keep_stack(stack, running.folder)
        expect_particle(job, name, key, size)
        spare = (layout.particle_name(number) for number in itertools.count(1))
        return finished(job, solve_track(job, name, stack, key, spare))


@contextmanager
def open_job(
    command: str,
    source: Input,
    element: str,
    out: str | os.PathLike[str],
    config: Config,
    seed: int,
    resume: bool,
    may_replace: bool,
    progress: Progress | None,
    live: bool = False,
) -> Iterator[Job]:
    """Open the folder and the record of a run; write down how the run ended."""
    check_seed(seed)
    check_out(source.path, user_path(out))
    with open_folder(out) as folder, scratch_in(folder.path / layout.HIDDEN), file_log(folder.path / layout.LOG):
        record = RunRecord(
            command=command,
            argv=tuple(sys.argv[1:]),
            versions=versions(),
            input=source.record,
            element=element,
            seed=seed,
            config=settings_to_dict(config),
            started=now(),
        )
        journal = RunLog(folder, record, resume, source.content)
        _check_replaced(journal, folder.path, may_replace)
        page = LivePage(journal, progress) if live else None
        try:
            journal.save()
            with at_stop(lambda: journal.note(status="interrupted")):
                listener = page or progress
                yield Job(element, config, seed, journal, None if listener is None else WholeRun(listener))
        except BaseException as error:
            journal.note(status="interrupted" if isinstance(error, KeyboardInterrupt) else f"failed: {error}")
            log.info("ended: %s", journal.record.status)
            raise
        finally:
            if page is not None:
                page.end()


def _check_replaced(journal: RunLog, out: Path, may_replace: bool) -> None:
    """Refuse to replace the finished result of another input that nobody asked to replace."""
    earlier = journal.earlier
    # A run that was stopped while its files took the places of a finished result holds one as well.
    held = earlier is not None and (earlier.status == FINISHED or journal.folder.holding)
    if earlier is None or not held or may_replace or journal.same_input(earlier):
        return
    raise InputError(
        f"{out} holds the finished result of {earlier.input.path or 'another array'}; choose another --out, or give "
        "--replace"
    )


def finished(job: Job, results: list[ParticleResult]) -> RunResult:
    """Publish the results and write the report."""
    journal = job.log
    verdicts = {r.folder.name: VerdictRecord(r.verdict, tuple(r.reasons)) for r in results}
    journal.finish(verdicts)
    folder = journal.folder.path
    if job.config.report.enabled:
        key = stage_key(verdicts, {name: key for name, key in journal.keys().items() if name != "report"})
        if not journal.reuse("report", key):
            from single_rs.report import write_report  # loads Matplotlib, which no other stage needs

            with journal.stage("report", key) as running:
                write_report(folder, running.folder / layout.REPORT)
    journal.close()
    job.finish()
    for result in results:
        log.info("%s: %s: %s", result.folder.name, result.verdict, "; ".join(result.reasons))
    return RunResult(folder, tuple(results))
