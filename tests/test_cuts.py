"""A run that ends at any moment: each change of a name in the folder in turn is the last one, and the run is resumed.

Names change by `os.replace`, `os.rename`, `os.link` and `os.unlink` alone. After a cut every one of them fails, so that
no ``finally`` mends what a killed process would have left.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import test_batch
import test_pipeline
from single_rs.pipeline import entry
from single_rs.pipeline.batch import MovieTask, close_movie, find_particles, known_outcomes, movie_tasks, solve_one
from single_rs.pipeline.record import RunLog, stage_key, versions
from single_rs.store import layout
from single_rs.store.folder import open_folder
from single_rs.store.inputs import InputRecord
from single_rs.store.manifest import Manifest, file_hash
from single_rs.store.record import FINISHED, RunRecord, VerdictRecord, read_run


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What matters here is the order of names; no power is cut."""
    monkeypatch.setattr(os, "fsync", lambda number: None)


calls, made, movies = test_pipeline.calls, test_pipeline.made, test_batch.movies

STRIDE = 3  # changes by which each life of a process is longer than the one before
SECOND_LIFE = 6  # changes of a run that was resumed and is cut once more
CHANGES = ("replace", "rename", "link", "unlink", "rmdir")


class Cut(BaseException):
    """The end of a process."""


@contextmanager
def cut_before(number: int) -> Iterator[list[str]]:
    """End the block before the change of a name with this number; gives a list of those that were made."""
    made: list[str] = []

    def change(name: str, real: Callable[..., object], source: Any, *rest: Any, **keywords: Any) -> object:
        if os.fspath(source).endswith("lock"):  # of a process that is gone, as the next one sees
            return real(source, *rest, **keywords)
        if len(made) >= number:
            raise Cut
        result = real(source, *rest, **keywords)
        made.append(f"{name} {os.fspath(source)}")
        return result

    with pytest.MonkeyPatch.context() as patch:
        for name in CHANGES:
            patch.setattr(os, name, partial(change, name, getattr(os, name)))
        yield made


def checked(out: Path) -> None:
    """Demand that a folder is what its manifest says, and run.json too where it says that the run has finished."""
    with open_folder(out) as folder:  # as the next process does, which ends what was begun
        published: Manifest = folder.published
        for name, entry in published.files.items():
            assert file_hash(out / name) == entry.sha256, name
        record = read_run(out)
        if record is None or record.status != FINISHED:
            return
        for stage, known in record.stages.items():
            assert published.key_of(stage) == known.key, stage
            assert sorted(published.of_stage(stage)) == sorted(known.files), stage
        assert {entry.stage for entry in published.files.values()} == set(record.stages)


def content(out: Path) -> dict[str, bytes]:
    """All files of a folder but its records, and what a killed process leaves half written."""
    files = (p for p in out.rglob("*") if p.is_file() and p.name not in (layout.RUN, layout.MANIFEST))
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in files if ".partial" not in p.name}


# --- the folder and the record ------------------------------------------------------------------------------------

NEW = "particle_00/new"  # asked for before all others, as the stage of the states is

# Settings → stages and what they write; a stage that two settings share is loaded by the second.
PLANS: dict[str, dict[str, dict[str, str]]] = {
    "first": {
        "motion": {"motion.csv": "1"},
        "particle_00/orient": {"poses.star": "1", "old.star": "1"},
        "particle_00/states/01/analyze": {"atoms.xyz": "1"},
        "particle_00/analyze": {"summary.json": "1"},
        "report": {"report.html": "1"},
    },
    "second": {
        "motion": {"motion.csv": "1"},
        "particle_00/orient": {"poses.star": "2", "deep/new.star": "2"},
        NEW: {"new.json": "2"},
        "particle_00/analyze": {"summary.json": "2"},
        "report": {"report.html": "2"},
    },
}


def tiny_run(out: Path, plan: str) -> None:
    """A run with the bookkeeping of `single_rs.run`, and stages that do nothing."""
    record = RunRecord("run", (), versions(), InputRecord(None, (1, 1, 1), 1.0, ()), "Pt", 0, {"plan": plan}, "now")
    with open_folder(out) as folder:
        journal = RunLog(folder, record, True, lambda: "content")
        journal.save()
        finished = False
        keys = {stage: stage_key(sorted(files.items())) for stage, files in PLANS[plan].items()}
        journal.reuse(NEW, keys.get(NEW, ""))
        for stage, files in PLANS[plan].items():
            if stage == "report":
                journal.finish({"particle_00": VerdictRecord("solved", (plan,))})
                finished = True
            if journal.reuse(stage, keys[stage]):
                continue
            with journal.stage(stage, keys[stage]) as running:
                for name, text in files.items():
                    (running.folder / name).parent.mkdir(exist_ok=True)
                    (running.folder / name).write_text(text)
                running.facts["plan"] = plan
        assert finished
        journal.close()


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """What undisturbed runs leave."""
    folder = tmp_path_factory.mktemp("whole")
    for plan in PLANS:
        tiny_run(folder / plan, plan)
    return {plan: content(folder / plan) for plan in PLANS}


def last_changes(out: Path, plan: str, before: str | None) -> Iterator[Path]:
    """Yield a folder for each change of a run after which it ends; `before` has finished there."""
    for number in itertools.count():
        folder = out / f"{before}_{plan}_{number}"
        if before is not None:
            tiny_run(folder, before)
        try:
            with cut_before(number) as changes:
                tiny_run(folder, plan)
        except Cut:
            yield folder
            continue
        assert len(changes) > 30
        return


def without_report(files: dict[str, bytes]) -> dict[str, bytes]:
    """A result whose report was not written yet."""
    return {name: data for name, data in files.items() if name != layout.REPORT}


def visible(out: Path) -> dict[str, bytes]:
    """The files of a folder that a user sees."""
    return {name: data for name, data in content(out).items() if not name.startswith(layout.HIDDEN)}


def test_a_run_that_ends_after_any_change_is_resumed_to_the_same_files(
    tmp_path: Path, wholes: dict[str, dict[str, bytes]]
) -> None:
    for folder in last_changes(tmp_path, "second", None):
        checked(folder)
        tiny_run(folder, "second")
        checked(folder)
        assert content(folder) == wholes["second"], folder


def test_a_finished_result_is_whole_while_another_takes_its_place(
    tmp_path: Path, wholes: dict[str, dict[str, bytes]]
) -> None:
    """And whichever of the two is asked for after the cut is what is there at the end."""
    allowed = [of for plan in PLANS for of in (wholes[plan], without_report(wholes[plan]))]
    for folder, then in zip(last_changes(tmp_path, "second", "first"), itertools.cycle(PLANS)):
        checked(folder)
        assert visible(folder) in allowed, folder
        with suppress(Cut), cut_before(SECOND_LIFE):
            tiny_run(folder, "second")
        checked(folder)
        assert visible(folder) in allowed, folder
        tiny_run(folder, then)
        checked(folder)
        assert visible(folder) == wholes[then], folder
        record = read_run(folder)
        assert record is not None
        assert record.status == FINISHED
        assert record.config == {"plan": then}
        # What the record says of a stage is of the files that are there; where the cut took it, it says nothing.
        told = {known.facts.get("plan") for stage, known in record.stages.items() if stage != "motion"}
        assert told <= {then, None}


# --- a batch ------------------------------------------------------------------------------------------------------


def one_movie(task: MovieTask) -> None:
    """What `batch` does for a movie of one particle."""
    if known_outcomes(task) is None:
        for name in find_particles(task):
            solve_one(task, name)
        close_movie(task)


@pytest.mark.slow
def test_the_tasks_of_a_movie_may_end_at_any_change(tmp_path: Path, movies, calls) -> None:
    """Each life of the process is a few changes longer than the one before, until one is long enough."""
    plain = entry.run(movies[0], "Pt", tmp_path / "plain", None, test_batch.CONFIG)
    (task,) = movie_tasks([movies[0]], tmp_path / "batch", "Pt", None, test_batch.CONFIG, 0)
    for lives in itertools.count(1):
        try:
            with cut_before(STRIDE * lives):
                one_movie(task)
            break
        except Cut:
            checked(task.out)
    assert lives > 20
    checked(task.out)
    assert test_batch.results(task.out) == test_batch.results(plain.folder)
    assert test_batch.verdict_of(task.out) == test_batch.verdict_of(plain.folder)
    assert not (task.out / layout.HIDDEN).exists()


def test_states_of_an_earlier_result_are_not_taken_for_those_of_the_last(tmp_path: Path) -> None:
    record = RunRecord("run", (), versions(), InputRecord(None, (1, 1, 1), 1.0, ()), "Pt", 0, {}, "now")
    stages = ["particle_00/analyze", "particle_00/states/00/analyze", "particle_00/states/01/analyze"]
    with open_folder(tmp_path / "out") as folder:
        for stage in stages:
            with folder.stage(stage, "key") as writing:
                (writing / layout.SUMMARY).write_text(stage)
        journal = RunLog(folder, record, True, lambda: "content")
        assert journal.reuse_all("particle_00", {layout.state_folder(0)})
        assert sorted(journal.record.stages) == stages[:2]
