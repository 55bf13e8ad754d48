"""The output folder: what is ours, what is the user's, and what a crash, a second program or a changed file does.

`Folder` stands for any two stages of a particle; that the pipeline's own go this way is tested in test_pipeline.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from single_rs.base.errors import DataFileError
from single_rs.pipeline.record import RunLog
from single_rs.records import Atoms, Background, Graphene
from single_rs.store import folder as folder_module
from single_rs.store import layout, lock
from single_rs.store.codecs import read_arrays, read_record, write_arrays, write_record
from single_rs.store.folder import one_stage, open_folder
from single_rs.store.inputs import InputRecord, input_files
from single_rs.store.manifest import Manifest, file_hash
from single_rs.store.record import RunRecord

PACKAGE = Path(folder_module.__file__).parents[1]
MINE = ("vasp/OUTCAR", "atoms.pse", "energy.dat", "lammps_run.log", "strain_mine.mrc", "notes.txt")


def _run(out: Path, settings: str, *, last: int = 3, part: str = "particle_00") -> list[str]:
    """Run three stages that write what their settings are; return those that were not reused."""
    made = []
    with open_folder(out) as run:
        for number, name in enumerate(("orient", "trace", "analyze")[:last]):
            stage, key = f"{part}/{name}", f"{name} {settings if number else 'fixed'}"
            if run.reuse(stage, key):
                continue
            made.append(name)
            with run.stage(stage, key) as writing:
                (writing / f"{name}.txt").write_text(key)
                if name == "analyze":
                    (writing / "vasp").mkdir()
                    (writing / "vasp" / "POSCAR").write_text(key)
        if last == 3:
            run.finish({f"{part}/{name}" for name in ("orient", "trace", "analyze")})
    return made


def _contents(out: Path) -> dict[str, str]:
    """Return the files of the user's side of a folder."""
    files = (p for p in out.rglob("*") if p.is_file() and layout.HIDDEN not in p.parts and p.name != layout.MANIFEST)
    return {p.relative_to(out).as_posix(): p.read_text() for p in files}


def test_a_stage_is_published_whole_and_reused(tmp_path):
    assert _run(tmp_path, "a") == ["orient", "trace", "analyze"]
    names = {f"particle_00/{n}" for n in ("orient.txt", "trace.txt", "analyze.txt", "vasp/POSCAR")}
    assert set(_contents(tmp_path)) == names == set(Manifest.read(tmp_path / layout.MANIFEST).files)
    assert _run(tmp_path, "a") == []
    assert not (tmp_path / layout.HIDDEN).exists()


def test_a_second_run_keeps_every_file_of_the_user(tmp_path):
    _run(tmp_path, "a")
    part = tmp_path / "particle_00"
    for name in MINE:
        (part / name).parent.mkdir(exist_ok=True)
        (part / name).write_text("hours of a cluster\n")
    (part / "lammps_run").mkdir()
    (part / "lammps_run" / "dump.0").write_text("dump")
    assert _run(tmp_path, "b") == ["trace", "analyze"]
    assert all((part / name).read_text() == "hours of a cluster\n" for name in MINE)
    assert (part / "lammps_run" / "dump.0").read_text() == "dump"
    assert (part / "vasp" / "POSCAR").read_text() == "analyze b"


def test_a_file_or_folder_of_the_user_in_our_place_is_kept_aside(tmp_path, caplog):
    part = tmp_path / "particle_00"
    (part / "trace.txt").mkdir(parents=True)
    (part / "trace.txt" / "inside").write_text("mine")
    (part / "analyze.txt").write_text("mine")
    _run(tmp_path, "a")
    assert (part / "trace.txt").read_text() == "trace a"
    assert (part / "trace.kept1.txt" / "inside").read_text() == "mine"
    assert (part / "analyze.kept1.txt").read_text() == "mine"
    assert "it is kept as particle_00/analyze.kept1.txt" in caplog.text


def test_a_result_that_the_user_edited_is_made_anew_and_the_edit_kept(tmp_path):
    _run(tmp_path, "a")
    edited = tmp_path / "particle_00" / "trace.txt"
    edited.write_text("trace A")  # as long as before
    assert _run(tmp_path, "a") == ["trace"]
    assert edited.read_text() == "trace a"
    assert edited.with_name("trace.kept1.txt").read_text() == "trace A"


@pytest.mark.parametrize("change", ["cut", "swapped", "gone"])
def test_what_is_reused_is_verified(tmp_path, change):
    _run(tmp_path, "a")
    _run(tmp_path / "other", "b")
    path = tmp_path / "particle_00" / "analyze.txt"
    if change == "cut":
        path.write_text("anal")
    elif change == "swapped":  # a file of another run, with its times
        other = tmp_path / "other" / "particle_00" / "analyze.txt"
        status = path.stat()
        path.write_bytes(other.read_bytes())
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        path.unlink()
    assert _run(tmp_path, "a") == ["analyze"]
    assert path.read_text() == "analyze a"


def test_what_is_reused_is_hashed_once_in_a_run(tmp_path, monkeypatch):
    versions = dict.fromkeys(("single_rs", "python", "numpy", "scipy"), "1")
    given = InputRecord(None, (1, 2, 2), 0.4, content="hash")
    record = RunRecord("solve", (), versions, given, "Pt", 0, {}, "")
    with open_folder(tmp_path) as folder:
        log = RunLog(folder, record, True, lambda: "hash")
        with log.stage("particle_00/stack", "key") as running:
            (running.folder / "stack.mrcs").write_text("frames")
        log.finish({})
        log.close()
    hashed = []
    monkeypatch.setattr(folder_module, "file_hash", lambda path: hashed.append(path) or file_hash(path))
    with open_folder(tmp_path) as folder:
        log = RunLog(folder, record, True, lambda: "hash")
        assert all(log.reuse("particle_00/stack", "key") for _ in range(3))
        assert not log.reuse("particle_00/stack", "another key")
    assert len(hashed) == 1


def test_a_run_that_was_stopped_leaves_the_finished_result_whole(tmp_path):
    _run(tmp_path, "a")
    before = _contents(tmp_path)
    assert _run(tmp_path, "b", last=2) == ["trace"]  # stopped before its last stage
    assert _contents(tmp_path) == before
    assert _run(tmp_path, "b") == ["analyze"]  # goes on where it was
    assert _contents(tmp_path) == {k: v.replace(" a", " b") for k, v in before.items()}


def test_what_a_stopped_run_of_other_settings_left_is_not_taken_for_ours(tmp_path):
    _run(tmp_path, "a")
    before = _contents(tmp_path)
    assert _run(tmp_path, "b", last=2) == ["trace"]
    assert _run(tmp_path, "a") == []
    assert _contents(tmp_path) == before
    assert not (tmp_path / layout.HIDDEN).exists()


def test_what_a_stopped_run_made_of_a_part_that_ours_has_not_waits_for_that_run(tmp_path):
    _run(tmp_path, "a")
    before = _contents(tmp_path)
    with open_folder(tmp_path) as run:  # a second particle, after what changes the first
        for stage in ("particle_00/trace", "particle_01/orient"):
            with run.stage(stage, "b") as writing:
                (writing / "made.txt").write_text("b")
    assert _run(tmp_path, "a") == []
    assert _contents(tmp_path) == before
    with open_folder(tmp_path) as run:
        assert run.reuse("particle_01/orient", "b")


def test_files_that_the_new_result_has_not_are_removed_where_they_are_ours(tmp_path):
    _run(tmp_path, "a", part="particle_01")
    (tmp_path / "particle_01" / "notes.txt").write_text("mine")
    _run(tmp_path, "a")
    assert _contents(tmp_path / "particle_01") == {"notes.txt": "mine"}


def test_what_was_made_of_replaced_results_is_kept_aside(tmp_path):
    _run(tmp_path, "a")
    part = tmp_path / "particle_00"
    with one_stage(part, "energy", [part / "analyze.txt"]) as writing:
        (writing / "energy.json").write_text("of a")
    assert _run(tmp_path, "a") == []
    assert (part / "energy.json").read_text() == "of a"
    _run(tmp_path, "b")
    assert not (part / "energy.json").exists()
    assert (part / "energy.kept1.json").read_text() == "of a"


def test_a_stage_alone_belongs_to_the_run_of_its_particle(tmp_path):
    _run(tmp_path, "a")
    with one_stage(tmp_path / "particle_00", "energy") as writing:
        (writing / "energy.json").write_text("1")
    assert not (tmp_path / "particle_00" / layout.MANIFEST).exists()
    files = Manifest.read(tmp_path / layout.MANIFEST).files
    assert files["particle_00/energy.json"].stage == "particle_00/energy"


def test_a_stage_that_fails_leaves_nothing(tmp_path):
    _run(tmp_path, "a")
    before = _contents(tmp_path)

    def fails(run):
        with run.stage("particle_00/trace", "new") as place:
            (place / "trace.txt").write_text("half")
            (place / "missing").read_text()

    with open_folder(tmp_path) as run, pytest.raises(FileNotFoundError):
        fails(run)
    assert _contents(tmp_path) == before
    assert _run(tmp_path, "a") == []


@pytest.mark.parametrize("step", range(12))
def test_a_crash_at_any_rename_is_made_good(tmp_path, monkeypatch, step):
    """The machine stops at the n-th rename or removal of publishing; the next program finds old or new, never both."""
    _run(tmp_path, "a")
    (tmp_path / "particle_00" / "vasp" / "POSCAR").write_text("edited by hand")
    count = 0

    def stops(real):
        def wrapped(*args, **keywords):
            nonlocal count
            count += 1
            if count > step:
                raise SystemExit("power cut")
            return real(*args, **keywords)

        return wrapped

    with monkeypatch.context() as patch:
        for name in ("replace", "rename"):
            patch.setattr(folder_module.os, name, stops(getattr(os, name)))
        try:
            _run(tmp_path, "b")
        except SystemExit:
            pass
        else:
            assert step > 8  # else the crash was not where it was meant to be
    _run(tmp_path, "b")
    expected = {"orient": "orient fixed", "trace": "trace b", "analyze": "analyze b"}
    files = _contents(tmp_path / "particle_00")
    assert {name: files[f"{name}.txt"] for name in expected} == expected
    assert files["vasp/POSCAR"] == "analyze b"
    assert "edited by hand" in [text for name, text in files.items() if name.startswith("vasp/POSCAR.kept")]
    assert _run(tmp_path, "b") == []


def test_a_second_program_is_told_who_is_first(tmp_path):
    code = (
        "import sys, time; from single_rs.store.folder import open_folder\n"
        f"with open_folder({str(tmp_path)!r}):\n    print('locked', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "locked\n"
        with pytest.raises(DataFileError, match=rf"in use by process {first.pid} .*--out"), open_folder(tmp_path):
            pass
        first.kill()
        first.wait()
        with open_folder(tmp_path):  # the lock of a dead process is taken over
            assert (tmp_path / layout.HIDDEN / "lock").exists()
    assert not (tmp_path / layout.HIDDEN).exists()


def test_the_lock_of_another_host_is_taken_over_when_its_heart_stands_still(tmp_path, monkeypatch):
    held = tmp_path / "lock"
    held.write_text(json.dumps({"host": "elsewhere", "pid": 1, "token": "x", "since": "yesterday"}))
    with pytest.raises(DataFileError, match="process 1 on elsewhere since yesterday"):
        lock.FolderLock(held, tmp_path).acquire()
    past = time.time() - 2 * lock.SILENCE
    os.utime(held, (past, past))
    mine = lock.FolderLock(held, tmp_path)
    mine.acquire()
    assert mine.held()
    mine.release()
    assert not held.exists()


def test_a_run_whose_lock_was_taken_over_stops(tmp_path):
    with open_folder(tmp_path) as run:
        owner = json.loads((tmp_path / layout.HIDDEN / "lock").read_text())
        (tmp_path / layout.HIDDEN / "lock").write_text(json.dumps({**owner, "token": "another"}))
        with pytest.raises(DataFileError, match="taken over"), run.stage("motion", "key"):
            pass


def test_the_heart_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.02)
    held = lock.FolderLock(tmp_path / "lock", tmp_path)
    held.acquire()
    try:
        os.utime(held.path, (0, 0))
        end = time.monotonic() + 10
        while held.path.stat().st_mtime == 0:
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        held.release()


def test_any_change_of_the_input_is_seen(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.mrc").write_bytes(bytes(8))
    first = InputRecord("x", (3, 2, 2), 0.4, input_files([tmp_path]))
    assert first.unchanged(InputRecord("x", (3, 2, 2), 0.4, input_files([tmp_path])))
    (tmp_path / "1.mrc").write_bytes(b"\1" + bytes(7))
    assert not first.unchanged(InputRecord("x", (3, 2, 2), 0.4, input_files([tmp_path])))


@dataclass(frozen=True)
class _Numbers:
    value: float | None
    name: str


def test_records_come_back_as_they_were_and_others_are_refused(tmp_path):
    sheet = Graphene(3.0, 2.461, (0.0, 0.001, 0.0), np.eye(2), np.array([[1, 0]]), np.array([5.5]))
    record = Background(0.358, 21.5, [sheet], np.array([True, False]))
    write_record(tmp_path / "a.json", record)
    again = read_record(tmp_path / "a.json", Background)
    np.testing.assert_array_equal(again.bad, record.bad)
    np.testing.assert_array_equal(again.graphene[0].reciprocal, np.eye(2))
    assert again.graphene[0].strain == sheet.strain

    write_record(tmp_path / "n.json", _Numbers(float("nan"), "é"))
    assert json.loads((tmp_path / "n.json").read_text()) == {
        "type": "_Numbers",
        "schema": 1,
        "value": None,
        "name": "é",
    }
    assert read_record(tmp_path / "n.json", _Numbers).value is None
    for text, word in (
        ('{"type": "_Numbers", "schema": 2, "value": 1, "name": ""}', "schema 2"),
        ('{"type": "Background", "schema": 1}', "Background"),
        ('{"type": "_Numbers", "schema": 1, "value": "1", "name": ""}', r"\$.value"),
        ('{"type": "_Numbers", "schema": 1, "value": 1}', "name"),
        ("[" * 100_000, "cannot be read"),
        ("[1]", "JSON object"),
    ):
        (tmp_path / "n.json").write_text(text)
        with pytest.raises(DataFileError, match=word):
            read_record(tmp_path / "n.json", _Numbers)


def test_arrays_come_back_to_the_last_bit(tmp_path):
    x = np.random.default_rng(0).normal(size=(5, 3))
    n = np.full(5, np.nan)
    atoms = Atoms(x, np.array(["Pt", "Fe", "Pt", "Pt", "Fe"]), np.ones(5), n, np.ones(5), np.ones(5))
    write_arrays(tmp_path / "a.npz", atoms)
    again = read_arrays(tmp_path / "a.npz", Atoms)
    assert again.positions.tobytes() == x.tobytes()
    assert list(again.symbols) == list(atoms.symbols)
    assert again.covariance is None
    first = file_hash(tmp_path / "a.npz")
    time.sleep(0.01)
    write_arrays(tmp_path / "a.npz", atoms)
    assert file_hash(tmp_path / "a.npz") == first
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:200])
    with pytest.raises(DataFileError, match="cannot be read"):
        read_arrays(tmp_path / "a.npz", Atoms)


def test_names_of_files_stand_in_the_store_alone():
    names = [v for v in vars(layout).values() if isinstance(v, str) and re.search(r"\w\.\w{3,5}$", v) and "/" not in v]
    names += [n for v in vars(layout).values() if isinstance(v, tuple) for n in v]
    assert len(names) > 40
    literal = re.compile("|".join(rf'(?<=["/]){re.escape(n)}(?=")' for n in names if "{" not in n))
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name != "store":
            code = re.sub(r'"""(.|\n)*?"""', "", path.read_text(encoding="utf-8"))
            assert not (found := literal.search(code)), f"{path.name}: {found[0]}"
