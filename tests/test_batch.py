"""Many movies: what is missing is done, a killed task is done again, and the files are those of a plain run.

The solver is the stand-in of `test_pipeline`, which worker processes have as well, since they are forked.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

import test_pipeline
from single_rs.base.errors import InputError, SingleError
from single_rs.cli import main
from single_rs.pipeline import batch as batch_module
from single_rs.pipeline import dispatch, entry, stages
from single_rs.pipeline.batch import MovieTask, as_text, close_movie, find_particles, movie_tasks, solve_one
from single_rs.pipeline.config import load_config
from single_rs.pipeline.dispatch import batch, batch_status
from single_rs.pipeline.record import RunLog
from single_rs.pipeline.slurm import SlurmExecutor, script
from single_rs.simulate import nanocrystal, simulate_movie
from single_rs.store.folder import open_folder
from single_rs.store.record import StageRecord

calls, made = test_pipeline.calls, test_pipeline.made
CONFIG = load_config(None, test_pipeline.QUIET)
# What tells of times, places and the run itself differs; all else is compared to the last byte.
OF_THE_RUN = {"run.json", "run.log", "manifest.json", "summary.json"}


@pytest.fixture(scope="module")
def movies(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("movies")
    crystal = nanocrystal("Pt", 18.0, seed=3)
    for name, seed in (("one", 3), ("two", 4)):
        simulate_movie(folder / f"{name}.mrc", [crystal], 70, shape=(160, 160), pixel_size=0.4, dose=20.0, seed=seed)
    return [folder / "one.mrc", folder / "two.mrc"]


def results(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files of a run but those that tell of the run."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name not in OF_THE_RUN)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def verdict_of(folder: Path) -> dict[str, object]:
    summary = json.loads((folder / "particle_00" / "summary.json").read_text())
    return {name: value for name, value in summary.items() if name != "seconds"}


@pytest.mark.slow
def test_a_batch_is_what_plain_runs_are_and_is_not_done_twice(tmp_path, movies, calls) -> None:
    plain = entry.run(movies[0], "Pt", tmp_path / "plain", None, CONFIG)
    result = batch(movies, "Pt", tmp_path / "batch", None, CONFIG)
    assert [(o.movie, o.particle, o.verdict) for o in result.outcomes] == [
        ("one", "particle_00", "solved"),
        ("two", "particle_00", "solved"),
    ]
    assert results(tmp_path / "batch" / "one") == results(plain.folder)
    assert verdict_of(tmp_path / "batch" / "one") == verdict_of(plain.folder)
    assert result.page is not None
    assert "one" in result.page.read_text()
    assert not (tmp_path / "batch" / "one" / ".single_rs").exists()
    record = json.loads((tmp_path / "batch" / "one" / "run.json").read_text())
    assert record["status"] == "finished"
    assert {s.split("/")[1] for s in record["stages"] if s.startswith("particle_00/")} >= {"stack", "orient", "analyze"}
    before = dict(calls)
    assert batch(movies, "Pt", tmp_path / "batch", None, CONFIG).outcomes == result.outcomes
    assert calls == before
    # A plain run takes what the batch left, and other settings are other work.
    entry.run(movies[0], "Pt", tmp_path / "batch" / "one", None, CONFIG)
    assert calls == before
    batch(movies[:1], "Pt", tmp_path / "batch", None, CONFIG, seed=5)
    assert calls["orient"] == before["orient"] + 1


@pytest.mark.slow
def test_a_killed_worker_costs_its_stage_alone(tmp_path, movies, calls, monkeypatch) -> None:
    """The pool breaks when a worker is killed in the pose search; the batch goes on with another."""
    search, mark = stages.find_poses, tmp_path / "killed"

    def find_poses(*args, **keywords):
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return search(*args, **keywords)

    plain = entry.run(movies[0], "Pt", tmp_path / "plain", None, CONFIG)
    monkeypatch.setattr(stages, "find_poses", find_poses)
    result = batch(
        movies, "Pt", tmp_path / "batch", None, CONFIG, executor=lambda: ProcessPoolExecutor(2, get_context("fork"))
    )
    assert mark.exists()
    assert [o.verdict for o in result.outcomes] == ["solved", "solved"]
    assert results(tmp_path / "batch" / "one") == results(plain.folder)


def test_a_worker_may_be_killed_between_the_files_of_a_stage_and_its_record(
    tmp_path, movies, calls, monkeypatch
) -> None:
    """The files are there, and the record does not name them; all are in the result, stage after stage."""
    put, killed = RunLog._put, set()

    def cut_short(log: RunLog, stage: str, entry: StageRecord) -> None:
        if stage not in killed:
            killed.add(stage)
            raise KeyboardInterrupt
        put(log, stage, entry)

    plain = entry.run(movies[0], "Pt", tmp_path / "plain", None, CONFIG)
    (task,) = movie_tasks([movies[0]], tmp_path / "batch", "Pt", None, CONFIG, 0)
    find_particles(task)
    monkeypatch.setattr(RunLog, "_put", cut_short)
    solved = None
    while solved is None:
        with contextlib.suppress(KeyboardInterrupt):
            (solved,) = solve_one(task, "particle_00")
    monkeypatch.setattr(RunLog, "_put", put)
    assert solved.verdict == "solved"
    assert {"particle_00/background", "particle_00/orient", "particle_00/analyze"} <= killed
    close_movie(task)
    assert results(task.out) == results(plain.folder)


def test_what_went_wrong_is_listed_and_only_that_is_done_again(tmp_path, movies, calls, monkeypatch) -> None:
    broken = tmp_path / "broken.mrc"
    broken.write_bytes(b"no movie")
    inputs = [broken, movies[0]]
    out = tmp_path / "batch"
    (task,) = movie_tasks([movies[0]], out, "Pt", None, CONFIG, 0)
    assert find_particles(task) == ["particle_00"]
    assert [as_text(o) for o in batch_status([task])] == ["one/particle_00: missing: stack cut"]
    with open_folder(out / "one" / ".single_rs" / "parts" / "particle_00"):
        first = batch(inputs, "Pt", out, None, CONFIG)
    assert [o.verdict for o in first.outcomes] == ["missing", "missing"]
    assert "broken.mrc" in first.outcomes[0].reasons[0]
    assert "use" in first.outcomes[1].reasons[0]  # another process works on it
    monkeypatch.setattr(stages, "reconstruct", lambda *args: (_ for _ in ()).throw(InputError("no map today")))
    second = batch(inputs, "Pt", out, None, CONFIG)
    assert [o.verdict for o in second.outcomes] == ["missing", "failed"]
    assert second.outcomes[1].reasons == ("no map today",)
    assert "no map today" in (out / "batch.json").read_text()
    before = dict(calls)
    assert batch(inputs, "Pt", out, None, CONFIG).outcomes == second.outcomes
    assert calls == before


def test_tasks_may_be_started_again_at_any_point(tmp_path, movies, calls) -> None:
    (task,) = movie_tasks([movies[1]], tmp_path, "Pt", None, CONFIG, 0)
    with pytest.raises(InputError, match=r"the passes over .* come first"):
        solve_one(task, "particle_00")
    for _ in range(2):
        assert find_particles(task) == ["particle_00"]
    with pytest.raises(InputError, match="is not finished"):
        close_movie(task)
    found = [solve_one(task, "particle_00") for _ in range(2)]
    assert found[0] == found[1]
    assert calls["orient"] == 1
    parts = tmp_path / "two" / ".single_rs" / "parts"
    kept = tmp_path / "kept"
    shutil.copytree(parts, kept)
    assert close_movie(task) == found[0]
    shutil.copytree(kept, parts)  # as if it had been killed before it tidied up
    assert close_movie(task) == found[0]


def test_what_a_stop_left_of_the_parts_goes_with_the_next_batch(tmp_path, movies, calls, monkeypatch) -> None:
    def stopped(task: MovieTask) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(batch_module, "_remove_parts", stopped)
        with pytest.raises(KeyboardInterrupt):
            batch(movies[:1], "Pt", tmp_path, None, CONFIG)
    assert (tmp_path / "one" / ".single_rs" / "parts").exists()
    before = dict(calls)
    assert [o.verdict for o in batch(movies[:1], "Pt", tmp_path, None, CONFIG).outcomes] == ["solved"]
    assert calls == before
    assert not (tmp_path / "one" / ".single_rs").exists()


def test_calls_run_as_jobs_of_slurm(tmp_path, monkeypatch) -> None:
    """A stand-in for sbatch runs the script that it is given, as sbatch --wait does."""
    command = tmp_path / "bin" / "sbatch"
    command.parent.mkdir()
    command.write_text('#!/bin/sh\nexec /bin/sh "$3"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    with SlurmExecutor(tmp_path / "jobs", 2, 4, ("--time=01:00:00",)) as executor:
        root, bad, lost = (executor.submit(f, a) for f, a in ((math.sqrt, 9.0), (math.sqrt, -1.0), (os._exit, 3)))
        assert root.result() == 3.0
        with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
            bad.result()
        with pytest.raises(SingleError, match="without a result"):
            lost.result()
    text = (tmp_path / "jobs" / "job_00000.sh").read_text()
    assert text == script(tmp_path / "jobs" / "job_00000.call", 4, ("--time=01:00:00",))
    assert "#SBATCH --cpus-per-task=4\n" in text
    assert "#SBATCH --time=01:00:00\n" in text


def test_the_command_says_what_it_would_do(tmp_path, movies, capsys) -> None:
    words = ["batch", *map(str, movies), "--element", "Pt", "--out", str(tmp_path / "out")]
    assert main([*words, "--cluster", "slurm", "--cpus", "8", "--at-once", "50", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "50 tasks of 8 processors at a time" in said
    assert "#SBATCH --cpus-per-task=8" in said
    assert not (tmp_path / "out").exists()
    assert main([*words, "--status"]) == 0
    assert "2 missing" in capsys.readouterr().out
    assert main([*words, "--at-once", "0"]) == 2
    assert main(["batch", str(movies[0]), str(movies[0]), "--element", "Pt", "--out", str(tmp_path)]) == 2
    assert "several movies are named one" in capsys.readouterr().err


def test_an_executor_that_is_none_is_refused(tmp_path, movies) -> None:
    with pytest.raises(InputError, match="executor is 3"):
        batch(movies, "Pt", tmp_path, None, CONFIG, executor=3)


@pytest.mark.slow
def test_a_cluster_of_dask_outlives_a_worker(tmp_path, movies, monkeypatch) -> None:
    """Workers of a LocalCluster are killed while the batch runs; Dask gives their tasks to others."""
    distributed = pytest.importorskip("distributed")
    quick = load_config(None, {**test_pipeline.QUIET, "orient.map_rounds": "1"})
    killed: list[int] = []
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):

        def progress(stage: str, done: int, total: int) -> None:
            if not killed:  # the passes over one movie are made, those over the other go on
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

        result = batch(movies, "Pt", tmp_path / "batch", None, quick, executor=client, progress=progress)
    assert killed
    assert "missing" not in {o.verdict for o in result.outcomes}
    assert dispatch.read_run(tmp_path / "batch" / "one").status == "finished"
