"""A movie of known truth, solved by the pipeline and compared: what a new user sees first.

The solver gets the movie file only; the truth is opened when it has finished.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from single_rs.alignment import PoseScore, score_poses
from single_rs.base.progress import Progress
from single_rs.cli.tables import number, run_lines, table
from single_rs.compare import compare_atoms
from single_rs.compare.atoms import Agreement
from single_rs.io import writable_folder
from single_rs.io.star import read_tracks
from single_rs.pipeline.config import Config
from single_rs.pipeline.entry import ParticleResult, RunResult, run
from single_rs.records import Atoms
from single_rs.store.codecs import write_record
from single_rs.store.layout import DEMO, REPORT, TRACKS

__all__ = ["DemoParticle", "DemoRecord", "DemoResult", "DemoScore", "print_table", "run_demo"]

FIELD = (344, 200)  # px, x and y: room for two boxes that wander
CENTRES = ((96.0, 100.0), (248.0, 100.0))  # px, (x, y)
DIAMETERS = (21.0, 25.0)  # Å
DOSE = 10.0  # e/px/frame
MIN_ATOMS = 4  # that can be aligned


@dataclass(frozen=True)
class DemoParticle:
    """One particle found, and how it compares with the truth; ``None`` where a stage failed or atoms are too few."""

    result: ParticleResult
    truth: int
    track_error: float
    atoms: Agreement | None
    poses: PoseScore | None


@dataclass(frozen=True)
class DemoScore:
    """One particle of the demo against its truth; null where a stage failed.

    Attributes
    ----------
    particle, truth
        Name of the particle, and number of the true one.
    track_error
        px, root mean square.
    atoms_found, atoms_true, recall, precision
        Of the atoms.
    rmsd
        pm, of matched atoms.
    error_over_sigma
        Root mean square of the errors over the stated ones.
    poses_within_3deg
        Share of the frames.
    """

    particle: str
    truth: int
    track_error: float
    atoms_found: int | None
    atoms_true: int | None
    recall: float | None
    precision: float | None
    rmsd: float | None
    error_over_sigma: float | None
    poses_within_3deg: float | None


@dataclass(frozen=True)
class DemoRecord:
    """The demo's particles against the truth.

    Attributes
    ----------
    particles
        In the order of the run.
    """

    particles: tuple[DemoScore, ...]


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
    out: str | Path,
    frames: int = 400,
    seed: int = 1,
    config: Config | None = None,
    progress: Progress | None = None,
    live: bool = False,
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
    live
        Write OUT/live.html while the movie is solved.
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
    result = run(truth.path, "Pt", folder, None, config, seed, progress=progress, live=live)
    end = time.perf_counter()

    tracks = read_tracks(folder / TRACKS)
    particles = []
    for one, track in zip(result.particles, tracks, strict=True):
        true_path = truth.centres[track.frames] + truth.drift[track.frames, None]
        error = np.sqrt(np.square(np.stack([track.x, track.y], 1)[:, None] - true_path).sum(2).mean(0))
        nearest = int(np.argmin(error))
        found, poses, true = one.atoms, one.poses, Atoms.bare(truth.crystals[nearest].positions, "Pt")
        atoms = compare_atoms(found, true) if found is not None and len(found) >= MIN_ATOMS else None
        rotations = truth.rotations[nearest]
        scored = None if poses is None else score_poses(poses.rotations, poses.frames, rotations)
        particles.append(DemoParticle(one, nearest, float(error[nearest]), atoms, scored))
    write_record(folder / DEMO, DemoRecord(tuple(_record(p) for p in particles)))
    return DemoResult(result, tuple(particles), len(crystals), frames, middle - start, end - middle)


def _record(particle: DemoParticle) -> DemoScore:
    """Return what a file keeps of the comparison."""
    atoms, poses = particle.atoms, particle.poses
    return DemoScore(
        particle=particle.result.folder.name,
        truth=particle.truth,
        track_error=particle.track_error,
        atoms_found=atoms.counts[0] if atoms else None,
        atoms_true=atoms.counts[1] if atoms else None,
        recall=atoms.recall if atoms else None,
        precision=atoms.precision if atoms else None,
        rmsd=atoms.rmsd if atoms else None,
        error_over_sigma=atoms.error_over_sigma if atoms else None,
        poses_within_3deg=poses.within_3deg if poses else None,
    )


def print_table(result: DemoResult) -> None:
    """Print what was found, and how it compares with the truth."""
    print(f"{len(result.particles)} particles found of {result.true_particles}, {result.frames} frames")
    lines = run_lines(result.run)
    head = ("truth", "found/true", "recall", "precision", "error pm", "/ σ", "in 3°", "track px")
    rows = [
        (
            p.result.folder.name,
            "/".join(map(str, p.atoms.counts)) if p.atoms else "-",
            number(p.atoms and p.atoms.recall, ".3f"),
            number(p.atoms and p.atoms.precision, ".3f"),
            number(p.atoms and p.atoms.rmsd, ".1f"),
            number(p.atoms and p.atoms.error_over_sigma, ".2f"),
            f"{100 * p.poses.within_3deg:.0f} %" if p.poses else "-",
            f"{p.track_error:.2f}",
        )
        for p in result.particles
    ]
    print("\n".join([*lines, "", *table(head, rows), ""]))
    print(f"simulated in {result.simulation_seconds:.0f} s, solved in {result.solution_seconds:.0f} s")
    print(f"report: {result.run.folder / REPORT}; these numbers: {result.run.folder / DEMO}")
