"""The batch as a whole: which tasks are missing, sending them to an executor, and one page of all particles."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from single_rs.base.errors import DataFileError, InputError, NoParticleError
from single_rs.base.paths import user_path
from single_rs.base.progress import Progress, in_notebooks
from single_rs.base.reading import AS_IS
from single_rs.compare import compare_particles
from single_rs.io import Reading
from single_rs.pipeline.batch import (
    FAILED,
    MovieTask,
    Outcome,
    close_movie,
    find_particles,
    known_outcomes,
    movie_tasks,
    solve_one,
)
from single_rs.pipeline.config import Config
from single_rs.store import layout
from single_rs.store.codecs import write_record
from single_rs.store.record import read_run, read_started

__all__ = ["BatchRecord", "BatchResult", "batch", "batch_status"]

ATTEMPTS = 3  # of a task whose worker ended under it
LOOK = 0.05  # s between two looks at what is done, at first; twice as long each time nothing was, up to
LONGEST_LOOK = 2.0  # s
MISSING = "missing"


@dataclass(frozen=True)
class BatchRecord:
    """What became of every particle of a batch, and of every movie that gave none.

    Attributes
    ----------
    particles
        One for each particle, in the order of the movies, and one for each movie that gave none.
    """

    SCHEMA: ClassVar[int] = 1
    particles: tuple[Outcome, ...]


@dataclass(frozen=True)
class BatchResult:
    """What a batch made.

    Attributes
    ----------
    folder
        OUT, with a folder for each movie, batch.json and the comparison.
    outcomes
        One for each particle, and one for each movie that gave none.
    page
        compare.html; None where there is no particle with atoms.
    """

    folder: Path
    outcomes: tuple[Outcome, ...]
    page: Path | None


class _Here(Executor):
    """Runs each call where it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


@dataclass
class _Call:
    """One task: what is called, for which movie and which of its particles ("" for the movie)."""

    function: Callable[..., Any]
    movie: int
    name: str = ""
    attempts: int = 0


class _Dispatch:
    """Sends tasks to an executor, as many at once as are allowed, and follows what they lead to."""

    def __init__(
        self,
        tasks: Sequence[MovieTask],
        make: Callable[[], Executor],
        at_once: int,
        progress: Progress | None,
    ) -> None:
        self.tasks, self._make, self._at_once, self._progress = tasks, make, at_once, progress
        self._executor = make()
        self._waiting: deque[_Call] = deque()
        self._running: dict[Any, _Call] = {}
        self._left: dict[int, int] = {}  # movie → particles that are not solved yet
        self._found: dict[int, list[Outcome]] = {}
        self._done = self._total = 0

    def run(self) -> list[Outcome]:
        """Do all that is missing; return the outcomes in the order of the movies."""
        for number, task in enumerate(self.tasks):
            known = _known(task)
            if known is None:
                self._add(_Call(find_particles, number))
            else:
                self._found[number] = known
        pause = LOOK
        while self._waiting or self._running:
            while self._waiting and len(self._running) < self._at_once:
                self._send(self._waiting.popleft())
            finished = [future for future in self._running if future.done()]
            for future in finished:
                self._take(future, self._running.pop(future))
            pause = LOOK if finished else min(2 * pause, LONGEST_LOOK)
            if not finished:
                time.sleep(pause)
        return [outcome for number in range(len(self.tasks)) for outcome in self._found.get(number, [])]

    def _add(self, call: _Call, first: bool = False) -> None:
        (self._waiting.appendleft if first else self._waiting.append)(call)
        self._total += 1

    def _send(self, call: _Call) -> None:
        call.attempts += 1
        task = self.tasks[call.movie]
        try:
            future = self._executor.submit(call.function, task, *([call.name] if call.name else []))
        except BrokenExecutor:
            self._executor = self._make()
            future = self._executor.submit(call.function, task, *([call.name] if call.name else []))
        self._running[future] = call

    def _take(self, future: Any, call: _Call) -> None:
        """Follow up a call that ended."""
        try:
            found = future.result()
        except BrokenExecutor as error:
            if call.attempts < ATTEMPTS:
                self._waiting.appendleft(call)
                return
            found = error
        except Exception as error:
            found = error
        self._done += 1
        where = self._found.setdefault(call.movie, [])
        folder = self.tasks[call.movie].out.name
        if isinstance(found, Exception):
            verdict = FAILED if isinstance(found, NoParticleError) else MISSING
            where.append(Outcome(folder, call.name, verdict, (str(found) or type(found).__name__,)))
            self._left.pop(call.movie, None)  # the movie cannot be closed
        elif call.function is find_particles:
            self._left[call.movie] = len(found)
            for name in found:
                self._add(_Call(solve_one, call.movie, name))
        elif call.function is close_movie:
            self._found[call.movie] = found
        else:
            where.extend(found)
            if call.movie in self._left:
                self._left[call.movie] -= 1
                if self._left[call.movie] == 0:
                    self._add(_Call(close_movie, call.movie), first=True)
        if self._progress is not None:
            self._progress("batch: tasks", self._done, self._total)


def _known(task: MovieTask) -> list[Outcome] | None:
    """Return what is known of a finished movie; one that cannot be opened is left to its task, which says why."""
    try:
        return known_outcomes(task)
    except (InputError, DataFileError):
        return None


@in_notebooks
def batch(
    inputs: Sequence[str | os.PathLike[str]],
    element: str,
    out: str | os.PathLike[str] = "single_rs_batch",
    pixel_size: float | None = None,
    config: Config | None = None,
    seed: int = 0,
    executor: Executor | Callable[[], Executor] | Any = None,
    at_once: int = 64,
    progress: Progress | None = None,
    reading: Reading = AS_IS,
) -> BatchResult:
    """Solve every particle of many movies, each movie and then each particle as a task of its own.

    Parameters
    ----------
    inputs
        Movies; each gets the folder of its name, without suffix, in `out`.
    element
        As for `single_rs.run`.
    out
        Folder of the batch.
    pixel_size, config, seed, reading
        As for `single_rs.run`, the same for all movies.
    executor
        Any `concurrent.futures.Executor`, or a client of Dask; a function that makes one lets the batch go on when a
        pool breaks because a worker was killed. None: one task after the other, here.
    at_once
        Most tasks that are sent at a time.
    progress
        Called as progress("batch: tasks", done, total); the total grows as particles are found.

    Returns
    -------
    BatchResult
        The same call again does only what is missing.

    Raises
    ------
    InputError
        No movies, two of one name, or settings that are not accepted.
    """
    folder = user_path(out)
    tasks = movie_tasks([user_path(p) for p in inputs], folder, element, pixel_size, config or Config(), seed, reading)
    if at_once < 1:
        raise InputError(f"at_once is {at_once}; 1 or more is needed")
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = _Dispatch(tasks, _maker(executor), at_once, progress).run()
    page = _close(folder, tasks)
    write_record(folder / layout.BATCH, BatchRecord(tuple(outcomes)))
    return BatchResult(folder, tuple(outcomes), page)


def _maker(executor: Any) -> Callable[[], Executor]:
    """Return a function that gives an executor: an own one, the one that was given, or that of a client."""
    if executor is None:
        return _Here
    if hasattr(executor, "get_executor"):  # a client of Dask
        wrapped = executor.get_executor(pure=False)
        return lambda: wrapped
    if callable(executor) and not hasattr(executor, "submit"):
        make: Callable[[], Executor] = executor
        return make
    if not hasattr(executor, "submit"):
        raise InputError(f"executor is {executor!r}; a concurrent.futures.Executor is needed")
    given: Executor = executor
    return lambda: given


def _close(folder: Path, tasks: Sequence[MovieTask]) -> Path | None:
    """Write one page of all particles that there are."""
    from single_rs.report import write_comparison  # loads Matplotlib

    try:
        found = compare_particles([task.out for task in tasks if read_run(task.out) is not None])
    except (InputError, DataFileError):
        return None  # nothing that could be compared
    files = write_comparison(found, folder)
    return next((Path(path) for path in files if str(path).endswith(".html")), None)


def batch_status(tasks: Sequence[MovieTask]) -> list[Outcome]:
    """Return how far each movie and each particle of a batch is, from what lies in their folders; nothing is opened."""
    outcomes = []
    for task in tasks:
        record = read_started(task.out)
        if record is None:
            outcomes.append(Outcome(task.out.name, "", MISSING, ("not begun",)))
            continue
        names = sorted({stage.split("/")[0] for stage in record.stages if stage.endswith("/stack")})
        if not names:
            outcomes.append(Outcome(task.out.name, "", MISSING, (f"passes: {record.status}",)))
        for name in names:
            done = read_run(task.out / layout.HIDDEN / layout.PARTS / name)
            verdict = record.verdicts.get(name) or (None if done is None else done.verdicts.get(name))
            if verdict is not None:
                outcomes.append(Outcome(task.out.name, name, verdict.verdict, verdict.reasons))
            else:
                stages = [] if done is None else [s.split("/")[1] for s, e in done.stages.items() if e.failed is None]
                why = f"after {stages[-1]}" if stages else "stack cut"
                outcomes.append(Outcome(task.out.name, name, MISSING, (why,)))
    return outcomes
