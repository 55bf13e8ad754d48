"""Steps of long stages: a run that is stopped after any of them goes on from there, with the same bytes at the end."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

from single_rs.background import clean_stack
from single_rs.base.steps import UNKEPT, Steps, current_steps, keeping
from single_rs.io import write_stack
from single_rs.orient import OrientConfig, find_poses
from single_rs.orient.indexing import intensity
from single_rs.pipeline import entry, stretch_work
from single_rs.pipeline.config import Config, load_config
from single_rs.pipeline.job import Job
from single_rs.pipeline.record import RunLog, versions
from single_rs.records import Atoms, CleanStack, ParticleStack, Poses
from single_rs.refine import RefineConfig, refine_atoms
from single_rs.refine.calibrate import fit_terms, with_lens
from single_rs.refine.problem import Model, RefinementProblem
from single_rs.refine.state import Fit
from single_rs.simulate import nanocrystal, simulate_stack
from single_rs.store import layout
from single_rs.store.folder import open_folder
from single_rs.store.inputs import InputRecord
from single_rs.store.record import RunRecord
from single_rs.store.steps import StepFiles

PIXEL, BOX, FRAMES = 0.4, 72, 80
COARSE = OrientConfig(lattice_scan=0.2, direction_step=6.0, candidates=12, map_rounds=3, fallback_engine="never")
REFINE = RefineConfig(rounds=2, resolution=0.85, anisotropic=True)

T = TypeVar("T")


class Killed(BaseException):
    """What no handler of errors takes for one of its own."""


class Mortal:
    """Keeps steps in a folder, counts those that are done, and dies after a number of them."""

    def __init__(self, folder: Path, last: int) -> None:
        self.files, self.last, self.done = StepFiles(folder, "key", "stage"), last, list[str]()

    def __call__(self, name: str, kind: type[T], make: Callable[[], T]) -> T:
        before = len(self.done)

        def counted() -> T:
            made = make()
            self.done.append(name)
            return made

        kept = self.files(name, kind, counted)
        if len(self.done) > before and len(self.done) >= self.last:
            raise Killed(name)
        return kept


def arrays(value: Any) -> Iterator[bytes]:
    """All that a result holds, to the last bit."""
    if isinstance(value, np.ndarray):
        yield value.tobytes()
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from arrays(one)
    elif is_dataclass(value):
        for field in fields(value):
            yield from arrays(getattr(value, field.name))
    else:
        yield repr(value).encode()


def same(one: Any, other: Any) -> bool:
    """Whether two results are the same to the last bit."""
    return list(arrays(one)) == list(arrays(other))


def dies_after_steps(folder: Path, work: Callable[[], T], last: int = 1) -> tuple[T, list[str], int]:
    """Do work that dies after `last` steps and is begun again; return what it gives, all steps done, and its deaths."""
    done: list[str] = []
    for deaths in range(100):
        keeper = Mortal(folder, last)
        try:
            with keeping(Steps(keeper)):
                return work(), done + keeper.done, deaths
        except Killed:
            done += keeper.done
    raise AssertionError("it never ends")


@pytest.fixture(scope="module")
def particle() -> tuple[CleanStack, Poses, Atoms]:
    """A 1.2 nm particle in 80 frames, its true poses, and its atoms 5 pm off."""
    crystal = nanocrystal("Pt", 12.0, seed=5)
    stack = simulate_stack(crystal, FRAMES, box=BOX, pixel_size=PIXEL, dose=20.0, step=10.0, seed=5)
    clean = clean_stack(ParticleStack(stack.images, PIXEL, np.arange(FRAMES), None))
    n = len(crystal.positions)
    places = crystal.positions + 0.05 * np.random.default_rng(6).normal(size=(n, 3))
    return clean, Poses.known(stack.rotations, stack.shifts, block=20), Atoms.bare(places, ["Pt"] * n)


# --- what is kept ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inner:
    lengths: NDArray[np.float32]
    name: str


@dataclass(frozen=True)
class Outer:
    spectra: NDArray[np.complex64]
    symbols: NDArray[np.str_]
    inside: NDArray[np.bool_]
    score: float
    count: int
    parts: tuple[Inner, ...]
    maybe: NDArray[np.float64] | None = None


def outer() -> Outer:
    random = np.random.default_rng(1)
    spectra = random.normal(size=(3, 4, 5)).astype(np.complex64).transpose(2, 0, 1)
    parts = (Inner(np.array([np.nan, -0.0, np.inf, 1e-45], np.float32), "é"), Inner(np.zeros((0, 3), np.float32), ""))
    return Outer(spectra, np.array(["Pt", "C"]), np.array([True, False]), float(np.nextafter(0.1, 1)), 7, parts)


def test_a_kept_step_comes_back_to_the_last_bit_in_the_same_order_of_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    files = StepFiles(tmp_path, "key", "stage")
    made = files("a step", Outer, outer)
    known = StepFiles(tmp_path, "key", "stage")("a step", Outer, lambda: pytest.fail("it was done before"))
    assert same(made, known)
    assert "stage: continued after a step" in caplog.text
    assert known.spectra.strides == outer().spectra.strides  # sums over it add in the same order
    assert known.symbols.dtype == outer().symbols.dtype
    assert known.spectra.flags.writeable


@pytest.mark.parametrize("harm", ["cut", "changed", "empty", "other form"])
def test_a_damaged_step_is_made_anew_with_a_word(tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture) -> None:
    StepFiles(tmp_path, "key", "stage")("a step", Outer, outer)
    (path,) = tmp_path.rglob("*.step")
    data = path.read_bytes()
    if harm == "other form":
        path.unlink()
        StepFiles(tmp_path, "key", "stage")("a step", Inner, lambda: Inner(np.zeros(2, np.float32), "other"))
    else:
        path.write_bytes({"cut": data[:-1], "changed": data[:-1] + bytes([data[-1] ^ 1]), "empty": b""}[harm])
    with caplog.at_level(logging.WARNING):
        again = StepFiles(tmp_path, "key", "stage")("a step", Outer, outer)
    assert same(again, outer())
    assert "made anew" in caplog.text
    assert same(StepFiles(tmp_path, "key", "stage")("a step", Outer, lambda: pytest.fail("it is whole now")), again)


def test_a_step_that_cannot_be_written_decides_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "key").write_text("in the way")
    files = StepFiles(tmp_path, "key", "stage")
    assert same(files("a step", Outer, outer), outer())
    assert same(files("another", Outer, outer), outer())
    assert caplog.text.count("steps are not kept") == 1


def test_a_part_of_an_array_is_the_same_to_who_makes_and_who_reads_it(tmp_path: Path) -> None:
    def part() -> Inner:
        return Inner(np.arange(24, dtype=np.float32).reshape(2, 12)[:, ::3], "with gaps")

    made = StepFiles(tmp_path, "key", "stage")("a step", Inner, part)
    read = StepFiles(tmp_path, "key", "stage")("a step", Inner, part)
    assert made.lengths.strides == read.lengths.strides


def test_steps_of_another_key_or_of_a_run_begun_anew_are_not_read(tmp_path: Path) -> None:
    StepFiles(tmp_path, "key", "stage")("a step", Outer, outer)
    other = replace(outer(), count=8)
    assert StepFiles(tmp_path, "other", "stage")("a step", Outer, lambda: other).count == 8
    assert StepFiles(tmp_path, "key", "stage", fresh=True)("a step", Outer, lambda: other).count == 8


def test_outside_a_run_nothing_is_kept() -> None:
    assert current_steps() is UNKEPT
    made = [current_steps().kept("a step", Outer, outer) for _ in range(2)]
    assert made[0] is not made[1]


# --- the stages --------------------------------------------------------------------------------------------------


def searched(
    particle: tuple[CleanStack, Poses, Atoms], tmp_path: Path, config: OrientConfig, last: int = 1
) -> list[str]:
    """Search poses undisturbed, and dying after each `last` steps; return the steps."""
    clean = particle[0]
    whole = find_poses(clean, "Pt", config)
    found, done, deaths = dies_after_steps(tmp_path / "steps", lambda: find_poses(clean, "Pt", config), last)
    assert same(found, whole)
    assert len(done) == len(set(done)), "a step that was finished was done again"
    assert (last + 1) * deaths + last > len(done), "the other half may finish one more"
    return done


def test_a_pose_search_goes_on_after_its_last_round(particle: tuple[CleanStack, Poses, Atoms], tmp_path: Path) -> None:
    done = searched(particle, tmp_path, COARSE)
    for half in (1, 2):
        assert {f"lattice half {half} growth", f"lattice half {half} round 1"} <= set(done)


@pytest.mark.slow
def test_the_other_engines_go_on_too(
    particle: tuple[CleanStack, Poses, Atoms], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intensity, "STARTS", 2)  # fewer and coarser: what they find is not the matter
    monkeypatch.setattr(intensity, "DIRECTION_STEP", 10.0)
    done = searched(particle, tmp_path / "both", replace(COARSE, fallback_engine="always", map_rounds=2), last=4)
    assert {"lattice engine", "lattice-free half 1 start 1", "lattice-free half 2 index"} <= set(done)
    done = searched(
        particle, tmp_path / "climb", replace(COARSE, engine="climb", climb_rounds=6, climb_batch=8), last=5
    )
    assert "climb half 2 round 6" in done


def test_a_refinement_goes_on_after_its_last_round(particle: tuple[CleanStack, Poses, Atoms], tmp_path: Path) -> None:
    whole = refine_atoms(*particle, REFINE)
    refined, done, deaths = dies_after_steps(tmp_path, lambda: refine_atoms(*particle, REFINE))
    assert same(refined, whole)
    assert deaths == len(done) == len(set(done))
    assert {"round 1", "round 2", "lens", "tensors", "half 1", "half 2"} <= set(done)


def test_the_frames_of_a_lens_come_back_by_its_turns(particle: tuple[CleanStack, Poses, Atoms]) -> None:
    clean, poses, atoms = particle
    packed = RefinementProblem.pack(clean, poses, 10.0, REFINE)
    model = Model(atoms.positions / PIXEL, np.ones(len(atoms)), np.zeros(len(atoms)))
    packed.fit_filters(model)
    lens = with_lens(packed, model, (0.0, 0.0, 300.0, 0.0, 0.0, 200.0))
    fit_terms(lens, model, judge=False)
    lens.frames = replace(lens.frames, ellipse=(0.001, -0.002))
    again = Fit.of(lens).put(packed)
    assert len(again.turns) == 2
    assert again.frames.spectra.tobytes() == lens.frames.spectra.tobytes() != packed.frames.spectra.tobytes()
    assert same(Fit.of(again), Fit.of(lens))


# --- the run -----------------------------------------------------------------------------------------------------

# Coarse settings: the steps are the matter, not the atoms.
QUICK = {
    "orient.lattice_scan": "0.2",
    "orient.direction_step": "6.0",
    "orient.candidates": "12",
    "orient.map_rounds": "2",
    "orient.fallback_engine": "never",
    "trace.rounds": "2",
    "trace.sweeps": "1",
    "refine.rounds": "1",
    "report.enabled": "false",
}
# Dies by SIGKILL after the step that its second argument numbers, as by the kernel where memory is short.
CHILD = """
import os, signal, sys
from single_rs.pipeline import entry
from single_rs.pipeline.config import Config, load_config
from single_rs.pipeline.job import Job
from single_rs.pipeline.record import RunLog, versions
from single_rs.store.steps import StepFiles
source, last, config = sys.argv[1], int(sys.argv[2]), dict(word.split("=") for word in sys.argv[3:])
call, done = StepFiles.__call__, []
def mortal(self, name, kind, make):
    made = []
    result = call(self, name, kind, lambda: (made.append(name), make())[1])
    done.extend(made)
    if len(done) >= last:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
StepFiles.__call__ = mortal
entry.solve(source, "Pt", os.path.join(os.path.dirname(source), "out"), None, load_config(None, config))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX")
def test_a_process_that_is_killed_in_its_stages_gives_the_same_files(tmp_path: Path) -> None:
    stack = simulate_stack(nanocrystal("Pt", 12.0, seed=5), FRAMES, box=BOX, pixel_size=PIXEL, dose=20.0, seed=5)
    path = tmp_path / "in.mrcs"
    write_stack(path, stack.images, PIXEL)
    config = load_config(None, QUICK)
    entry.solve(path, "Pt", tmp_path / "whole", None, config)
    words = [f"{name}={value}" for name, value in QUICK.items()]
    steps = tmp_path / "out" / layout.HIDDEN / layout.STEPS
    for last in (3, 5):
        ended = subprocess.run([sys.executable, "-c", CHILD, str(path), str(last), *words], env=os.environ, timeout=600)
        assert ended.returncode == -signal.SIGKILL
        assert list(steps.rglob("*.step"))
    entry.solve(path, "Pt", tmp_path / "out", None, config)
    assert "continued after" in (tmp_path / "out" / layout.LOG).read_text()
    assert not (tmp_path / "out" / layout.HIDDEN).exists()
    for name in (layout.SEARCHED, layout.POSES, layout.MAP, layout.REFINED, layout.ATOMS, layout.LATTICE):
        one, other = (tmp_path / run / "particle_00" / name for run in ("whole", "out"))
        assert one.read_bytes() == other.read_bytes(), name


def test_a_stretch_that_was_searched_is_not_searched_again(
    particle: tuple[CleanStack, Poses, Atoms], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean, poses, _ = particle
    calls = []
    monkeypatch.setattr(stretch_work, "find_poses", lambda *args, **keywords: calls.append(current_steps()) or poses)
    record = RunRecord("run", (), versions(), InputRecord(None, (1, 1, 1), 1.0, ()), "Pt", 0, {}, "now")
    with open_folder(tmp_path / "out") as folder:
        for resume, expected in ((True, 2), (True, 2), (False, 4)):
            job = Job("Pt", Config(), 0, RunLog(folder, record, resume, lambda: "content"))
            whole: Any = SimpleNamespace(job=job, name="particle_00", diameter=12.0, stack=range(2 * len(clean.images)))
            work = stretch_work.stretch_work(whole, "particle_00/timeline", "key")
            assert same([work.search(clean), work.search(clean)], [poses, poses])
            assert len(calls) == expected
    assert [steps.prefix for steps in calls] == ["part 1 ", "part 2 "] * 2


def test_steps_go_when_their_stage_has_finished(tmp_path: Path) -> None:
    with open_folder(tmp_path / "out") as folder:
        folder.steps("particle_00/orient", "key")("a step", Outer, outer)
        folder.steps("particle_00/refine", "key")("a step", Outer, outer)
        folder.forget_steps("particle_00/orient")
        assert [p.parent.parent.name for p in folder.path.rglob("*.step")] == ["refine"]
        folder.finish(set())
    assert not list((tmp_path / "out").rglob("*.step"))
    assert not (tmp_path / "out" / layout.HIDDEN).exists()
