"""What a run will cost, before it starts: passes over the movie, time on this machine, memory and disk.

Processor time of a stage is its number of operations times what one costs, measured on one core of the reference
machine (an Intel Xeon of the Emerald Rapids generation at 2.3 GHz, docs/performance.md), with n frames of b px of a
particle of diameter d that has N atoms:

    background     0.21 µs n b²
    orient         (10 s min(1, n / 250) + 22 ms n) d / 25 Å
    reconstruct    0.3 s + 0.55 µs b³
    trace          0.3 s + 6.5 ms N
    refine         1.5 s + 16 µs n N + 4 µs N² + 1.5 ns N³
    changes        3.3 µs n N
    analyze        0.8 s + 3.3 ms N
    report         3 s + 2 s for each particle
    movie          20 ns (motion) + 92 ns (track) + 2 ns (cut) for each pixel of each frame

How fast this machine is, now and with its other work, is measured in a second: projections of an atomic model, compared
with images, on one thread and on all. A particle whose poses are hard to find, or that changes, takes longer.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np
import scipy.fft

from single_rs import _core
from single_rs.base.memory_limit import movie_memory, stack_memory
from single_rs.base.progress import WHOLE_RUN, Progress
from single_rs.crystal.material import compound_bulk
from single_rs.crystal.prototypes import bulk_reference, prototype
from single_rs.frames.packed import PosedFrames
from single_rs.pipeline.size import StackSize

__all__ = ["Estimate", "MachineSpeed", "WholeRun", "estimate_movie", "estimate_particle", "machine_speed"]

# A second of one core of the reference machine: calls of `_transforms`, frames of `_comparisons`.
TRANSFORMS, COMPARISONS = 2_400.0, 23_700.0
CALIBRATION = 0.5  # s for one thread, and again for all
BOX, SHELL, ATOMS, FRAMES = 96, 36, 400, 16  # of the images and the model of the calibration
ATOM_VOLUME = 15.0  # Å³, where the element's bulk is not known
REPORT = "report"
# Share of a stage that runs on all threads, measured with two (docs/performance.md).
PARALLEL = {"motion": 0.9, "track": 0.9, "cut": 0.5, "orient": 0.95, "reconstruct": 0.5, "refine": 0.95}
NAMES = {"atoms": "trace"}  # of progress → of the stage
MEAN_BYTES = 4  # of a pixel of mean.mrc
PASSES = {"motion": 4, "track": 1, "cut": 1}  # readings of a movie


@dataclass(frozen=True)
class MachineSpeed:
    """Speed of this machine, in cores of the reference machine.

    Attributes
    ----------
    one, all
        Of one thread, and of all threads together.
    threads
        Their number.
    """

    one: float
    all: float
    threads: int

    def seconds(self, stage: str, work: float) -> float:
        """Return the time that `work` seconds of the reference machine's core take here."""
        parallel = PARALLEL.get(stage, 0.0)
        return work * ((1 - parallel) / self.one + parallel / self.all)


@dataclass(frozen=True)
class Estimate:
    """What work will cost.

    Attributes
    ----------
    what
        What is worked on, in words.
    seconds
        Stage → s of wall time, in the order of the stages.
    memory
        Bytes, at most.
    disk
        Bytes of the files that stay.
    passes
        Readings of the movie; 0 for a stack.
    """

    what: str
    seconds: dict[str, float]
    memory: int
    disk: int
    passes: int = 0

    @property
    def total(self) -> float:
        """All stages, s."""
        return sum(self.seconds.values())

    def of(self, stages: Collection[str]) -> Estimate:
        """Return the cost of some stages alone; the others were finished before."""
        return replace(self, seconds={stage: s for stage, s in self.seconds.items() if stage in stages})

    def __str__(self) -> str:
        """Return one line."""
        passes = f"{self.passes} passes, " if self.passes else ""
        size = f"at most {self.memory / 1e9:.1f} GB of memory, {self.disk / 1e6:.0f} MB on disk"
        return f"{self.what}: {passes}about {duration(self.total)}, {size}"


def duration(seconds: float) -> str:
    """Return a time in s, min or h with two digits."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 100 * size else f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"


@functools.cache
def machine_speed() -> MachineSpeed:
    """Measure the speed of this machine, once in a process."""
    threads = _core.threads()
    one = _rate(_transforms()) / TRANSFORMS
    return MachineSpeed(one, _rate(_comparisons(FRAMES * threads)) * FRAMES * threads / COMPARISONS, threads)


def _rate(work: Callable[[], object]) -> float:
    """Return how often a second `work` can be done."""
    work()  # plans of the transforms are made
    calls, start, passed = 0, time.perf_counter(), 0.0
    while passed < CALIBRATION:
        work()
        calls, passed = calls + 1, time.perf_counter() - start
    return calls / passed


def _transforms() -> Callable[[], object]:
    """Give the Fourier transforms of some images, on one thread: what the stages in Python do most."""
    images = np.random.default_rng(0).normal(size=(FRAMES, BOX, BOX)).astype(np.float32)
    return lambda: scipy.fft.rfft2(images, workers=1)


def _comparisons(frames: int) -> Callable[[], object]:
    """Give the comparison of frames with projections of an atomic model, on all threads: what the kernels do most."""
    rng = np.random.default_rng(0)
    plane = _core.HalfPlane(BOX, 1, SHELL)
    count, f4 = len(plane), np.float32
    directions = rng.normal(size=(ATOMS, 3))
    radii = 0.3 * BOX * np.cbrt(rng.random(ATOMS)) / np.linalg.norm(directions, axis=1)
    atoms = ((directions * radii[:, None]).astype(f4), np.ones(ATOMS, f4), None, np.ones((1, count), f4))
    ones, zeros = np.ones(frames, f4), np.zeros((frames, 2), f4)
    posed = PosedFrames(
        spectra=rng.normal(size=(frames, count, 2)).astype(f4).view(np.complex64)[..., 0],
        plane=plane,
        weights=np.ones(count, f4),
        rotations=np.tile(np.eye(3, dtype=f4), (frames, 1, 1)),
        shifts=zeros,
        frame_of=np.arange(frames, dtype=np.int32),
    )
    return lambda: _core.model_filter_sums(posed, ones, ones, atoms)


def estimate_movie(shape: tuple[int, ...], speed: MachineSpeed) -> Estimate:
    """Return the cost of motion, tracking and cutting of a movie (frames, rows, columns)."""
    pixels = math.prod(shape)
    work = {"motion": 20e-9 * pixels, "track": 92e-9 * pixels, "cut": 2e-9 * pixels}
    frames, rows, columns = shape
    return Estimate(
        f"movie of {frames:,} frames of {rows:,} x {columns:,} px",
        {stage: speed.seconds(stage, s) for stage, s in work.items()},
        movie_memory(rows, columns),
        rows * columns * MEAN_BYTES,
        sum(PASSES.values()),
    )


def estimate_particle(name: str, size: StackSize, element: str, disk: int, speed: MachineSpeed) -> Estimate:
    """Return the cost of one particle of `diameter` Å from its stack to its files and its part of the report."""
    frames, box = size.frames, size.box
    atoms = math.pi / 6 * size.diameter**3 / _atom_volume(element)
    work = {
        "background": 0.21e-6 * frames * box**2,
        "orient": (10 * min(1.0, frames / 250) + 0.022 * frames) * size.diameter / 25,
        "reconstruct": 0.3 + 0.55e-6 * box**3,
        "trace": 0.3 + 6.5e-3 * atoms,
        "refine": 1.5 + 16e-6 * frames * atoms + 4e-6 * atoms**2 + 1.5e-9 * atoms**3,
        "changes": 3.3e-6 * frames * atoms,
        "analyze": 0.8 + 3.3e-3 * atoms,
        "report": 2.0,
    }
    return Estimate(
        f"{name}, {frames:,} frames, about {_rounded(atoms):,} atoms",
        {stage: speed.seconds(stage, s) for stage, s in work.items()},
        stack_memory(frames, box),
        disk,
    )


def _rounded(number: float) -> int:
    """Return two digits of a number that is known no better."""
    return int(float(f"{number:.2g}"))


def _atom_volume(element: str) -> float:
    """Å³ for each atom of the bulk."""
    bulk = compound_bulk(element) or bulk_reference(element)
    if bulk is None:
        return ATOM_VOLUME
    return float(np.linalg.det(bulk.cell())) / len(prototype(bulk.structure).motif)


class WholeRun:
    """Progress of a whole run, in seconds of expected work, made of the progress of its stages.

    Parameters
    ----------
    progress
        Called as progress(stage, done, total) for the stages, and as progress("whole run", done, total) in s.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._seconds: dict[str, dict[str, float]] = {}  # part ("" for the movie) → stage → s, in their order
        self._share: dict[tuple[str, str], float] = {}  # part, stage → share that is done
        self._names: dict[tuple[str, str], list[str]] = {}  # the passes of a stage that were seen
        self._shown: tuple[int, int] | None = None

    def expect(self, part: str, estimate: Estimate) -> None:
        """Add work that is known now; `part` is the name of a particle, "" for the movie."""
        self._seconds[part] = dict(estimate.seconds)
        self._tell()

    def finish(self, part: str | None = None) -> None:
        """Take all stages of a part but its report as done, also those that it did not need; None is the whole run."""
        for name, stages in self._seconds.items():
            for stage in stages:
                if part is None or (name == part and stage != REPORT):
                    self._share[name, stage] = 1.0
        self._tell()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Pass the progress of a stage on, and with it that of the whole."""
        self._progress(stage, done, total)
        words = stage.partition(" ")
        part, name = (words[0], words[2]) if words[0] in self._seconds else ("", stage.partition(":")[0])
        name = NAMES.get(name, name)
        stages = list(self._seconds.get(part, {}))
        if name in stages:
            seen = self._names.setdefault((part, name), [])
            if stage not in seen:
                seen.append(stage)
            share = (len(seen) - 1 + done / max(total, 1)) / PASSES.get(name, 1)
            # Stages of a part come in their order: those before are done, or were reused.
            self._share.update({(part, before): 1.0 for before in stages[: stages.index(name)]})
            self._share[part, name] = min(max(share, self._share.get((part, name), 0.0)), 1.0)
            self._tell()

    def _tell(self) -> None:
        total = sum(sum(stages.values()) for stages in self._seconds.values())
        done = sum(self._seconds[part].get(stage, 0.0) * share for (part, stage), share in self._share.items())
        shown = min(int(done), int(total)), int(total)
        if shown != self._shown:
            self._shown = shown
            self._progress(WHOLE_RUN, *shown)
