"""The command for many movies."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from single_rs.cli.app import app
from single_rs.cli.options import WHOLE, ConfigFile, Element, Out, Part, PixelSize, Preset, Seed, settings_of

if TYPE_CHECKING:
    from single_rs.pipeline.batch import MovieTask, Outcome

Cluster = Literal["local", "dask", "slurm"]


@app.command(group=WHOLE, sort_key=3)
def batch(
    *movies: Path,
    element: Element,
    out: Out,
    cluster: Cluster = "local",
    cpus: Annotated[int, Parameter(help="Processors, and threads, of one task.")] = 1,
    at_once: Annotated[int, Parameter(help="Tasks that run at a time.")] = 2,
    sbatch: Annotated[tuple[str, ...], Parameter(help="More for sbatch, as in --sbatch --time=08:00:00.")] = (),
    dry_run: Annotated[bool, Parameter(negative=(), help="Say what would be done, and do nothing.")] = False,
    status: Annotated[bool, Parameter(negative=(), help="Say how far the batch is, and do nothing.")] = False,
    pixel_size: PixelSize = None,
    reading: Part = None,
    config: ConfigFile = None,
    seed: Seed = 0,
    preset: Preset = None,
) -> None:
    """Solve every particle of many movies: a task for each movie, then one for each particle.

    The same command again does only what is missing. OUT/MOVIE is what 'single-rs run' makes; OUT/compare.html compares
    all particles.

    Parameters
    ----------
    movies
        As for 'single-rs run'.
    cluster
        local: processes here; dask: the scheduler of DASK_SCHEDULER_ADDRESS, or one of its own here; slurm: sbatch.
    """
    from single_rs.base.errors import InputError
    from single_rs.base.reading import AS_IS
    from single_rs.pipeline.batch import movie_tasks
    from single_rs.pipeline.dispatch import batch as solve_all
    from single_rs.pipeline.dispatch import batch_status

    if min(cpus, at_once) < 1:
        raise InputError(f"--cpus is {cpus} and --at-once {at_once}; 1 or more are needed")
    settings = settings_of(config, preset)
    tasks = movie_tasks(movies, out, element, pixel_size, settings, seed, reading or AS_IS)
    if status:
        _tell(batch_status(tasks))
        return
    if dry_run:
        _say_what(tasks, cluster, cpus, at_once, sbatch, out)
        return
    from single_rs.cli.progress import progress_bars

    with progress_bars() as progress:
        make = _maker(cluster, cpus, at_once, sbatch, out)
        result = solve_all(movies, element, out, pixel_size, settings, seed, make, at_once, progress, reading or AS_IS)
    _tell(result.outcomes)
    print(f"files: {result.folder}" + (f", all particles: {result.page}" if result.page else ""))


def _tell(outcomes: Sequence[Outcome]) -> None:
    """Print every particle, those that want a look last, and a count."""
    from single_rs.pipeline.batch import as_text

    order = ("solved", "doubtful", "failed", "missing")
    for outcome in sorted(outcomes, key=lambda o: order.index(o.verdict)):
        print(as_text(outcome))
    counts = [(verdict, sum(o.verdict == verdict for o in outcomes)) for verdict in order]
    print(", ".join(f"{count} {verdict}" for verdict, count in counts if count) or "nothing yet")


def _say_what(
    tasks: Sequence[MovieTask], cluster: Cluster, cpus: int, at_once: int, sbatch: Sequence[str], out: Path
) -> None:
    """Print what a batch would do."""
    from single_rs.pipeline.batch import known_outcomes

    for task in tasks:
        known = known_outcomes(task)
        what = "passes over the movie, then a task for each particle" if known is None else "finished, nothing to do"
        print(f"{task.movie} → {task.out}: {what}")
    print(f"{at_once} tasks of {cpus} processors at a time, --cluster {cluster}")
    if cluster == "slurm":
        from single_rs.pipeline.slurm import script
        from single_rs.store.layout import CLUSTER_FILES

        print(script((out / CLUSTER_FILES / "job_00000.call").absolute(), cpus, sbatch), end="")


def _maker(cluster: Cluster, cpus: int, at_once: int, sbatch: Sequence[str], out: Path) -> Callable[[], Executor] | Any:
    """Return what `single_rs.batch` takes as its executor."""
    os.environ["RAYON_NUM_THREADS"] = str(cpus)  # for the processes that are started from here
    if cluster == "slurm":
        from single_rs.pipeline.slurm import SlurmExecutor
        from single_rs.store.layout import CLUSTER_FILES

        return SlurmExecutor(out / CLUSTER_FILES, at_once, cpus, sbatch)
    if cluster == "dask":
        return _dask(at_once)
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    return lambda: ProcessPoolExecutor(at_once, get_context("spawn"))


def _dask(workers: int) -> Any:
    """Return a client of Dask: of the scheduler that the environment names, or of one with its own workers here."""
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        from single_rs.base.errors import InputError

        raise InputError("--cluster dask needs Dask: pip install 'single-rs[cluster]'") from None
    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    if address:
        return Client(address)
    return Client(LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None))
