"""A movie of known truth, solved by the pipeline and compared: what a new user sees first.

The solver gets the movie file only; the truth is opened when it has finished.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from single_rs.alignment import AtomScore, PoseScore, score_atoms, score_poses
from single_rs.base.progress import Progress
from single_rs.io import writable_folder
from single_rs.io.star import read_poses, read_tracks
from single_rs.pipeline.config import Config
from single_rs.pipeline.entry import ParticleResult, RunResult, run
from single_rs.store.layout import ATOMS, POSES, TRACKS

__all__ = ["DemoParticle", "DemoResult", "print_table", "run_demo"]

FIELD = (344, 200)  # px, x and y: room for two boxes that wander
CENTRES = ((96.0, 100.0), (248.0, 100.0))  # px, (x, y)
DIAMETERS = (21.0, 25.0)  # Å
DOSE = 10.0  # e/px/frame


@dataclass(frozen=True)
class DemoParticle:
    """One particle found, and how it compares with the truth; scores are ``None`` where a stage failed."""

    result: ParticleResult
    truth: int
    track_error: float
    atoms: AtomScore | None
    poses: PoseScore | None


@dataclass(frozen=True)
class DemoResult:
    """The run, its particles, the number of true ones, and seconds for simulation and solution."""

    run: RunResult
    particles: tuple[DemoParticle, ...]
    true_particles: int
    frames: int
    simulation_seconds: float
    solution_seconds: float


def run_demo(
    out: str | Path, frames: int = 400, seed: int = 1, config: Config | None = None, progress: Progress | None = None
) -> DemoResult:
    """Simulate a short movie, solve it, and score every particle.

    Parameters
    ----------
    out
        Folder; the movie and its truth are OUT/movie.mrc and OUT/movie_truth*.
    frames
        Frames of the movie.
    seed
        Of the simulation and of the solver.
    config
        Settings of the pipeline.
    progress
        Called as progress(stage, done, total).
    """
    from single_rs.simulate import nanocrystal, simulate_movie

    folder = writable_folder(out)
    start = time.perf_counter()
    crystals = [nanocrystal("Pt", d, seed=seed, item=i) for i, d in enumerate(DIAMETERS)]
    truth = simulate_movie(
        folder / "movie.mrc",
        crystals,
        frames,
        shape=FIELD[::-1],
        dose=DOSE,
        centres=CENTRES,
        seed=seed,
        progress=progress,
    )
    middle = time.perf_counter()
    result = run(truth.path, "Pt", folder, None, config, seed, progress=progress)
    end = time.perf_counter()

    tracks = read_tracks(folder / TRACKS)
    particles = []
    for one, track in zip(result.particles, tracks, strict=True):
        true_path = truth.centres[track.frames] + truth.drift[track.frames, None]
        error = np.sqrt(np.square(np.stack([track.x, track.y], 1)[:, None] - true_path).sum(2).mean(0))
        nearest = int(np.argmin(error))
        positions = truth.crystals[nearest].positions
        scores = _scores(one.folder, positions, truth.rotations[nearest])
        particles.append(DemoParticle(one, nearest, float(error[nearest]), *scores))
    return DemoResult(result, tuple(particles), len(crystals), frames, middle - start, end - middle)


def _scores(folder: Path, positions: np.ndarray, rotations: np.ndarray) -> tuple[AtomScore | None, PoseScore | None]:
    """Score what a particle's folder holds."""
    from single_rs.export.atoms import read_xyz

    atoms = poses = None
    if (folder / ATOMS).exists():
        atoms = score_atoms(read_xyz(folder / ATOMS).positions, positions)
    if (folder / POSES).exists():
        found = read_poses(folder / POSES)
        poses = score_poses(found.rotations, found.frames, rotations)
    return atoms, poses


def print_table(result: DemoResult) -> None:
    """Print the comparison as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{len(result.particles)} particles found of {result.true_particles}, {result.frames} frames")
    for name in (
        "particle",
        "verdict",
        "frames used",
        "track error\n(px)",
        "poses within 3°\n(% of frames)",
        "resolution\n(Å)",
        "atoms\nfound / true",
        "recall",
        "precision",
        "RMSD\n(pm)",
        "a b c\n(Å)",
        "time\n(s)",
    ):
        table.add_column(name, justify="right")
    for p in result.particles:
        s = p.result.summary
        table.add_row(
            p.result.folder.name,
            p.result.verdict,
            _number(s.frames_used, "d"),
            f"{p.track_error:.2f}",
            _number(p.poses and 100 * p.poses.within_3deg, ".0f"),
            _number(s.resolution, ".2f"),
            f"{p.atoms.found} / {p.atoms.true}" if p.atoms else "-",
            _number(p.atoms and p.atoms.recall, ".3f"),
            _number(p.atoms and p.atoms.precision, ".3f"),
            _number(p.atoms and p.atoms.rmsd, ".1f"),
            " ".join(_number(getattr(s.lattice, k, None), ".3f") for k in "abc"),
            _number(s.seconds, ".0f"),
        )
    # A file or a pipe has no width of its own; the table must not be folded there.
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    console.print(table)
    console.print(
        f"simulated in {result.simulation_seconds:.0f} s, solved in {result.solution_seconds:.0f} s; "
        f"report: {result.run.folder / 'report.html'}",
        highlight=False,
        soft_wrap=True,
    )


def _number(value: object, form: str) -> str:
    return format(value, form) if isinstance(value, (int, float)) else "-"
