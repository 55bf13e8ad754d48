"""What the benches of the whole solver share: a particle of known truth, simulate → solve → score.

A `Case` names a particle and its movie. It is simulated once (multislice, 10 e/px/frame) and thinned binomially to the
dose of the row: a thinned Poisson count is a Poisson count, and rows of one particle see the same motion. The solver
gets counts and a pixel size and nothing else; the truth is opened after it has ended.

Errors modulo lattice mates are the least angle over A ≈ f R T_j O T_k⁻¹, with R the truth, f in {1, 180° about the
beam}, O the 24 rotations of the cube and T the orientations of the grains: what spots alone cannot tell apart.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from single_rs.alignment import align_poses
from single_rs.atoms import trace_atoms
from single_rs.background import clean_stack
from single_rs.base.errors import SingleError
from single_rs.base.rotations import BEAM_HALF_TURN, rotation_angle
from single_rs.frames.volume import fourier_volume, shell_correlation
from single_rs.io import read_stack
from single_rs.orient import find_poses
from single_rs.reconstruction.fourier import fsc_resolution, reconstruct
from single_rs.records import Atoms, CleanStack, Density, ParticleStack, Poses
from single_rs.simulate import Crystal, SimulatedStack, nanocrystal, simulate_stack
from single_rs.simulate.optics import OpticsConfig

if TYPE_CHECKING:
    from single_rs.pipeline.verdict import Verdict

Array = NDArray[np.float64]

FULL_DOSE = 10.0  # e/px/frame of every simulated stack, thinned to what a row asks for
BOX_STEP = 16  # px; boxes are multiples of it
PIXEL = 0.358  # Å
SIMULATION = 2  # counted up when the simulation changes, so that cached stacks are made anew
JUMP_RATE = 0.01  # per frame
LAST_FILE = "_truth.xyz"  # that a simulated stack is written to
BLOCK = 50  # frames of a block of the half sets with true poses
THINNING_KEY = 1  # of the random numbers of the thinning
KINDS: dict[str, dict[str, Any]] = {
    "single": {},
    "bent": {"bend": 0.02},
    "fault": {"defect": "stacking_fault"},
    "fivefold": {"defect": "marks_decahedron"},
    "twin": {"defect": "twin"},
}


@dataclass(frozen=True)
class Case:
    """One particle and its movie; `crystal` and `movie` are keywords of `nanocrystal` and `simulate_stack`."""

    name: str
    dose: float
    crystal: dict[str, Any]
    movie: dict[str, Any]
    frames: int = 2000


def case(kind: str, diameter: int, dose: float, step: float, frames: int = 2000) -> Case:
    """Return a row of a matrix; particles of one kind and size are the same in all rows."""
    seed = 1000 + 10 * diameter + list(KINDS).index(kind)
    crystal = {"element": "Pt", "diameter": float(diameter), "seed": seed, **KINDS[kind]}
    return Case(f"{kind}-{diameter}A-{dose:g}e-{step:g}deg", dose, crystal, {"step": float(step), "seed": seed}, frames)


# 16 of the 135 combinations: each size meets each dose, and each kind but the twin two or more sizes, doses and speeds.
MATRIX = [
    case("single", 22, 10, 6),
    case("single", 22, 3, 12),
    case("single", 22, 1, 6),
    case("single", 25, 3, 2),
    case("single", 25, 1, 12),
    case("single", 30, 10, 12),
    case("single", 30, 1, 2),
    case("bent", 22, 3, 6),
    case("bent", 25, 10, 12),
    case("bent", 30, 1, 6),
    case("fault", 25, 1, 6),
    case("fault", 30, 3, 12),
    case("fivefold", 22, 1, 12),
    case("fivefold", 25, 10, 6),
    case("fivefold", 30, 3, 2),
    case("twin", 25, 10, 6),
]


@dataclass(frozen=True)
class Scene:
    """Counts for the solver, and the truth (`R`, `shift`, `atoms`) for the score."""

    name: str
    element: str
    images: NDArray[Any]
    pixel_size: float
    dose: float
    truth: dict[str, Array]
    grains: Array = field(default_factory=lambda: np.eye(3)[None])  # (g, 3, 3) orientations of the fcc grains


def simulated(row: Case, frames: int | None, cache: Path | None) -> Scene:
    """Simulate a case of its own or another number of frames, or read it from the cache, and thin it to its dose."""
    count = frames or row.frames
    element, crystal = row.crystal.get("element", "Pt"), nanocrystal(**row.crystal)
    assert crystal.frames is not None  # every built crystal knows its grains
    movie = {"jump_rate": JUMP_RATE, "dose": FULL_DOSE, **row.movie}
    if cache is None:
        made = _simulate(crystal, {**movie, "frames": count})
        truth = {"R": made.rotations, "shift": made.shifts, "atoms": made.crystal.positions}
        scene = Scene(row.name, element, made.images, made.pixel_size, made.dose, truth, crystal.frames)
        return thinned(scene, row.dose)
    # A longer movie begins with the shorter one.
    whole, prefix = (_kept(cache, row, movie, n) for n in (max(count, row.frames), count))
    if whole.with_name(whole.name + LAST_FILE).exists():
        prefix = whole
    elif not prefix.with_name(prefix.name + LAST_FILE).exists():
        cache.mkdir(parents=True, exist_ok=True)
        _simulate(crystal, {**movie, "frames": count}).write(prefix)
    scene = from_files(prefix.with_suffix(".mrcs"), prefix.with_name(prefix.name + "_truth.npz"), element, count)
    return thinned(replace(scene, name=row.name, grains=crystal.frames), row.dose)


def _kept(cache: Path, row: Case, movie: dict[str, Any], frames: int) -> Path:
    """Return the prefix of the files of a simulated stack: a hash of all that it follows from."""
    words = json.dumps([row.crystal, {**movie, "frames": frames}, PIXEL, SIMULATION], sort_keys=True)
    return cache / f"stack_{hashlib.sha256(words.encode()).hexdigest()[:16]}"


def _simulate(crystal: Crystal, of_movie: dict[str, Any]) -> SimulatedStack:
    wanted = (2 * crystal.radius + 12.5) / PIXEL  # room for the delocalised image
    of_movie = {"box": max(128, BOX_STEP * int(np.ceil(wanted / BOX_STEP))), "pixel_size": PIXEL, **of_movie}
    return simulate_stack(crystal, optics=OpticsConfig(scattering="multislice"), **of_movie)


def from_files(stack: Path, truth: Path, element: str, frames: int | None = None) -> Scene:
    """Open a stack of counts and its truth; only the first `frames` when given."""
    opened = read_stack(stack)
    with np.load(truth) as data:
        known, dose = {k: np.asarray(data[k]) for k in ("R", "shift", "atoms")}, float(data["dose"])
    known["R"], known["shift"] = known["R"][:frames], known["shift"][:frames]
    return Scene(stack.stem, element, np.asarray(opened.images[:frames]), opened.pixel_size, dose, known)


def thinned(scene: Scene, dose: float) -> Scene:
    """Keep each electron with probability dose / scene.dose."""
    if dose >= scene.dose:
        return scene
    random = np.random.Generator(np.random.Philox(key=THINNING_KEY))
    kept = np.empty_like(scene.images)
    for i, image in enumerate(scene.images):
        kept[i] = random.binomial(image.astype(np.int64), dose / scene.dose)
    return replace(scene, images=kept, dose=dose)


@dataclass
class Clock:
    """Processor and wall seconds of each stage."""

    cpu: dict[str, float] = field(default_factory=dict)
    wall: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            self.cpu[name], self.wall[name] = time.process_time() - cpu, time.perf_counter() - wall


@dataclass
class Solution:
    """What the solver found; stages after a failure are None and `failure` says why."""

    clock: Clock
    clean: CleanStack | None = None
    poses: Poses | None = None
    density: Density | None = None
    atoms: Atoms | None = None
    verdict: Verdict | None = None
    failure: str = ""
    memory: float = 0.0  # GB, peak of the process when the solver ended


def solve(
    scene: Scene, *, poses_only: bool = False, until_atoms: bool = False, known: Callable[[], Poses] | None = None
) -> Solution:
    """Run the stages with default settings, as `single_rs.pipeline` does; never reads the truth.

    `known` gives poses to use instead of searching them, where a later stage is what a bench is about.
    """
    found = Solution(Clock())
    clock, element = found.clock, scene.element
    stack = ParticleStack(scene.images, scene.pixel_size, np.arange(len(scene.images)), None)
    try:
        with clock.stage("background"):
            found.clean = clean_stack(stack)
        with clock.stage("orient"):
            found.poses = known() if known is not None else find_poses(found.clean, element)
        if not poses_only:
            with clock.stage("reconstruct"):
                found.density = reconstruct(found.clean, found.poses)
            with clock.stage("trace"):
                d = found.density
                found.atoms = trace_atoms(d.map, d.pixel_size, element, found.clean.diameter, d.half1, d.half2)
            if not until_atoms:
                from single_rs.analysis.analyze import analyze
                from single_rs.pipeline.verdict import judge

                with clock.stage("analyze"):
                    model = analyze(found.atoms, element)
                    found.verdict = judge(found.clean, found.poses, found.density, model, element)
    except SingleError as error:
        found.failure = f"{type(error).__name__}: {error}"
    found.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return found


def true_poses(truth: dict[str, Array]) -> Poses:
    """Return the truth as poses: every frame counts, half sets of contiguous blocks."""
    return Poses.known(truth["R"], truth["shift"], block=BLOCK)


def poses_file(options: argparse.Namespace, scene: Scene) -> Path | None:
    """Return where the poses of a simulated row are kept; None when they are not."""
    if not options.keep_poses or options.stack is not None:
        return None
    return Path(options.cache) / f"{scene.name}_{len(scene.images)}_poses.npz"


POSE_FIELDS = ("rotations", "shifts", "score", "confidence", "half", "weight", "frames")


def write_poses(path: Path, poses: Poses) -> None:
    """Keep found poses for later runs."""
    np.savez(path, **{name: getattr(poses, name) for name in POSE_FIELDS})


def poses_from_file(path: Path) -> Poses:
    """Return poses that `write_poses` kept."""
    with np.load(path) as data:
        return Poses(**{name: data[name] for name in POSE_FIELDS})


def map_resolution(found: Solution, scene: Scene, truth: Density) -> float:
    """Return the resolution in Å at which the found map and that of true poses correlate to 0.143.

    The found poses are turned into the frame of the truth and their centre is moved onto the true one.
    """
    assert found.clean is not None
    assert found.poses is not None
    alignment = align_poses(found.poses.rotations, found.poses.frames, scene.truth["R"])
    rotations = alignment.in_true_frame(found.poses.rotations)
    # Centres differ by one vector d of the particle: shift - true shift = (R d)xy; bad frames must not count.
    good = alignment.error_deg < 3
    if good.sum() < 10:
        return float("inf")
    residual = found.poses.shifts - scene.truth["shift"][found.poses.frames]
    rows = rotations[:, :2].reshape(-1, 3)
    use = np.repeat(good, 2)
    for _ in range(3):
        d = np.linalg.lstsq(rows[use], residual.reshape(-1)[use], rcond=None)[0]
        left = np.abs(residual.reshape(-1) - rows @ d)
        use = np.repeat(good, 2) & (left < max(0.1, 3 * float(np.median(left[use]))))
    moved = replace(found.poses, rotations=rotations, shifts=found.poses.shifts - (rows @ d).reshape(-1, 2))
    mine = reconstruct(found.clean, moved)
    reach = 2 * (len(mine.fsc) - 1)
    fsc = shell_correlation(*(fourier_volume(r.half1 + r.half2, reach) for r in (mine, truth)))[: len(mine.fsc)]
    return fsc_resolution(fsc, mine.frequency)


def cube_rotations() -> Array:
    """Return the 24 rotations of the cube, (24, 3, 3)."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.create_group("O").as_matrix())


def mate_errors(found: Poses, truth: Array, grains: Array) -> Array:
    """Return the angle in degrees of each frame to the nearest mate of its true pose."""
    alignment = align_poses(found.rotations, found.frames, truth)
    aligned, true = alignment.in_true_frame(found.rotations), truth[found.frames]
    mates = np.einsum("aij,ojk,blk->aboil", grains, cube_rotations(), grains).reshape(-1, 9)
    best = np.full(len(true), -1.0)
    for flip in (np.eye(3), BEAM_HALF_TURN):
        apart = np.swapaxes(true, 1, 2) @ flip @ aligned  # trace(apart · mateᵀ) is 1 + 2 cos of the angle
        best = np.maximum(best, (apart.reshape(-1, 9) @ mates.T).max(axis=1))
    return rotation_angle(best)


def within(error: Array, frames: int) -> list[float]:
    """Return the fractions of all frames within 1, 2 and 3 degrees."""
    return [float((error < limit).sum() / frames) for limit in (1, 2, 3)]


def commit() -> str:
    """Return the commit that is measured, with + when files differ from it."""
    words = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def chosen(words: list[str], rows: list[Case]) -> list[int]:
    """Return the numbers of the rows named by number, name or part of a name; all rows for no words."""
    out: list[int] = []
    for word in words:
        if word.isdigit():
            hits = [int(word)] if int(word) < len(rows) else []
        else:
            hits = [i for i, row in enumerate(rows) if word in row.name]
        if not hits:
            raise SystemExit(f"no row {word!r}; --list shows them")
        out += [i for i in hits if i not in out]
    return out or list(range(len(rows)))


Report = Callable[[Scene, argparse.Namespace], None]


def row_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that every bench of rows has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="numbers or parts of names; all when none is given")
    parser.add_argument("--list", action="store_true", help="print the rows and end")
    parser.add_argument("--frames", type=int, help="of each row instead of its own number")
    parser.add_argument("--cache", type=Path, help="folder where simulated stacks are kept and found again")
    parser.add_argument("--keep-poses", action="store_true", help="keep found poses in the cache for benches/atoms.py")
    parser.add_argument("--append", type=Path, help="file that gets the lines too")
    parser.add_argument("--stack", type=Path, help="solve this stack of counts instead")
    parser.add_argument("--truth", type=Path, help="its truth: npz with R, shift, atoms, dose")
    parser.add_argument("--thin-to", type=float, metavar="DOSE", help="e/px/frame left of its counts")
    parser.add_argument("--element", default="Pt", help="of --stack")
    return parser


def parsed(parser: argparse.ArgumentParser, rows: list[Case]) -> argparse.Namespace:
    """Read the command line; end here when it asks for the rows alone."""
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{i:2d}  {row.name}" for i, row in enumerate(rows)))
        parser.exit()
    if (options.stack is None) != (options.truth is None):
        parser.error("--stack and --truth go together")
    if options.keep_poses and options.cache is None:
        parser.error("--keep-poses needs --cache")
    return options


def report_each(report: Report, rows: list[Case], options: argparse.Namespace) -> None:
    """Call `report` with the stack of the options, or with each chosen row, simulated in a process of its own."""
    if options.stack:
        scene = from_files(options.stack, options.truth, options.element, options.frames)
        report(thinned(scene, options.thin_to or scene.dose), options)
        return
    for number in chosen(options.rows, rows):
        apart(_report_row, report, rows[number], options)


def _report_row(report: Report, row: Case, options: argparse.Namespace) -> None:
    report(simulated(row, options.frames, options.cache), options)


def append_line(path: Path | None, head: str, line: str) -> None:
    """Append a table row to a file; a new file gets the head first."""
    if path is None:
        return
    fresh = not path.exists()
    with open(path, "a", encoding="utf-8") as file:
        file.write((head if fresh else "") + line + "\n")


def apart(function: Callable[..., None], *arguments: Any) -> None:
    """Run a function in a process of its own: peak memory is the row's, and what fails costs one row."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        print(f"the row ended with exit code {process.exitcode}", file=sys.stderr)
