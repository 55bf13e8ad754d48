"""A small run directory with known content, written by the project's own writers, for the tests of the report."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import ase
import ase.io
import numpy as np
from ase.cluster import Octahedron
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from single_rs.analysis import ParticleSummary, analyze, summarise
from single_rs.analysis.strain.summary import StrainSummary
from single_rs.analysis.views import LengthErrors
from single_rs.export.analysis import write_analysis
from single_rs.io import write_map, write_stack
from single_rs.io.motion import write_motion
from single_rs.io.star import write_poses, write_tracks
from single_rs.records import Atoms, Check, CleanExamples, Contrast, Criterion, EnergyRecord, Motion, Poses, Validation
from single_rs.records.density import ShellCorrelation
from single_rs.store.codecs import write_record
from single_rs.store.inputs import InputRecord
from single_rs.store.record import RunRecord, StageRecord, VerdictRecord
from single_rs.store.tables import write_table
from single_rs.store.validation import write_validation

BOX, PIXEL, FRAMES = 64, 0.5, 120  # px, Å, frames
LATTICE_CONSTANT = 3.92  # Å, Pt


def ball(seed: int = 0) -> np.ndarray:
    """Return a truncated Pt octahedron (n, 3) in Å with its surface drawn in by 1%, turned, with 3 pm of noise."""
    positions = Octahedron("Pt", 7, cutoff=2, latticeconstant=LATTICE_CONSTANT).positions
    positions -= positions.mean(axis=0)
    radius = np.linalg.norm(positions, axis=1, keepdims=True)
    positions *= 1 - 0.01 * (radius / radius.max()) ** 4
    turned = positions @ Rotation.from_euler("xyz", [20, 35, 10], degrees=True).as_matrix().T
    return turned + np.random.default_rng(seed).normal(0, 0.03, turned.shape)


def rendered(positions: np.ndarray, dimensions: int) -> np.ndarray:
    """Return Gaussians of 0.4 Å at positions, in a map (z, y, x) or an image (y, x)."""
    edges = [(np.arange(BOX + 1) - BOX // 2 - 0.5) * PIXEL] * dimensions
    counts, _ = np.histogramdd(positions[:, dimensions - 1 :: -1], bins=edges)
    return gaussian_filter(counts, 0.4 / PIXEL).astype(np.float32)


def walk(count: int, step_deg: float, seed: int) -> np.ndarray:
    """Return a random walk of rotations (count, 3, 3)."""
    turns = Rotation.from_rotvec(np.random.default_rng(seed).normal(0, np.radians(step_deg) / np.sqrt(3), (count, 3)))
    poses = [Rotation.random(rng=np.random.default_rng(seed))]
    for turn in turns[1:]:
        poses.append(turn * poses[-1])
    return Rotation.concatenate(poses).as_matrix()


def write_atoms(folder: Path, positions: np.ndarray) -> StrainSummary | None:
    """Write what an analysis writes of the atoms, and an energy and a check; return the strain of the summary."""
    rng, count = np.random.default_rng(3), len(positions)
    atoms = Atoms(
        positions, np.full(count, "Pt"), rng.normal(10, 1, count), np.full(count, 4.0), 0.03 + 0.01 * rng.random(count),
        np.ones(count),
    )  # fmt: skip
    model = analyze(atoms, structure="fcc", box=BOX, pixel_size=PIXEL)
    write_analysis(folder, model, formats=())
    energies = ase.Atoms("Pt" * count, positions=positions)
    energies.arrays["formation_energy"] = np.where(model.surface, 0.6, 0.01)
    ase.io.write(folder / "energy.xyz", energies, format="extxyz")
    energy = EnergyRecord("emt", formation_energy_per_atom=0.412, formation_energy_per_atom_err=0.003)
    write_record(folder / "energy.json", energy)
    good = Criterion("share of directions seen", 0.93, 0.8, True, "", "fewer leave a missing cone")
    check = Check("coverage", (good,), "Seen from nearly all sides.")
    write_validation(folder, Validation(folder.name, (check,)), "")
    return summarise(model).strain


def write_particle(folder: Path, seed: int = 0) -> None:
    """Write the folder of a solved particle."""
    folder.mkdir()
    positions, rotations, rng = ball(seed), walk(FRAMES, 8.0, seed), np.random.default_rng(seed)
    clean = np.stack([rendered(positions @ r.T, 2) for r in rotations])
    contrast = clean / clean.std()
    write_stack(folder / "stack.mrcs", rng.poisson(8 * (1 + 0.18 * contrast)).astype(np.uint8), PIXEL)
    density = rendered(positions, 3)
    write_map(folder / "map.mrc", density / density.std(), PIXEL)
    np.save(folder / "clean_examples.npy", contrast[:4])
    write_record(folder / "clean_examples.json", CleanExamples(np.arange(4)))
    half = np.where(np.arange(FRAMES) % 40 >= 36, 0, 1 + np.arange(FRAMES) // 40 % 2)
    score = rng.normal(30, 4, FRAMES)
    poses = Poses(
        rotations=rotations, shifts=np.zeros((FRAMES, 2)), score=score, confidence=1 / (1 + np.exp(24 - score)),
        half=half.astype(np.int8), weight=(half > 0) * 1.0, frames=np.arange(FRAMES), width=np.full(FRAMES, 0.3),
    )  # fmt: skip
    write_poses(folder / "poses.star", poses, "stack.mrcs", PIXEL, BOX)
    frequency = np.arange(BOX // 2 + 1) / (BOX * PIXEL)
    fsc = 1 / (1 + np.exp(14 * (frequency - 0.8)))
    write_table(folder / "fsc.csv", ShellCorrelation(1.07, frequency, fsc))
    strain = write_atoms(folder, positions)
    summary = ParticleSummary(
        "solved", ("both half sets give the same atoms", "confidence 0.97 & <rising>"), atoms=len(positions),
        diameter=23.0, resolution=1.07, frames=FRAMES, frames_used=108, strain=strain, contrast=Contrast("dark", -9.7),
        lengths=LengthErrors(
            least_known=(0.0, 0.0, 1.0), best_known=(1.0, 0.0, 0.0), worst=9e-4, best=1.4e-4, typical=3e-4,
            worst_noise=4e-4, excess=5.1,
        ),
    )  # fmt: skip
    write_record(folder / "summary.json", summary)


def write_record_of(folder: Path, verdicts: dict[str, str]) -> None:
    """Write the record of a run from a stack with these verdicts."""
    given = InputRecord(None, (0, 0, 0), PIXEL)
    made = {name: VerdictRecord(verdict, ()) for name, verdict in verdicts.items()}
    write_record(folder / "run.json", RunRecord("solve", (), {}, given, "Pt", 0, {}, "", verdicts=made))


def write_run(folder: Path) -> Path:
    """Write a run of one solved and one failed particle; return its directory."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, frames = np.random.default_rng(1), np.arange(FRAMES)
    tracks = [
        SimpleNamespace(
            frames=frames,
            x=x + np.cumsum(rng.normal(0, 0.4, FRAMES)),
            y=y + np.cumsum(rng.normal(0, 0.4, FRAMES)),
            sigma=np.full(FRAMES, 0.3),
            diameter=23.0,
            score=9.0,
        )
        for x, y in ((60.0, 70.0), (120.0, 110.0))
    ]
    write_tracks(folder / "tracks.star", tracks, PIXEL)
    field = rng.normal(8, 0.2, (160, 180))
    for track in tracks:
        y, x = np.indices(field.shape)
        field += 2 * np.exp(-((x - track.x.mean()) ** 2 + (y - track.y.mean()) ** 2) / 2 / 15**2)
    write_map(folder / "mean.mrc", field[None].astype(np.float32), PIXEL)
    bad = np.isin(frames, (17, 90))
    motion = Motion(
        shifts=np.cumsum(rng.normal(0.03, 0.15, (FRAMES, 2)), axis=0), bad_frames=bad, hot_pixels=np.array([[3, 4]]),
        dead_pixels=np.zeros((0, 2), int), shape=field.shape, quality=np.where(bad, 0.0, 1.0),
        sigma=np.full((FRAMES, 2), 0.05), reasons=np.where(bad, "dark", ""), ceiling=30.0, mean=None,
        local=np.zeros((FRAMES, 0, 0, 2)), patch_x=np.zeros(0), patch_y=np.zeros(0),
    )  # fmt: skip
    write_motion(folder / "motion.csv", motion)
    write_particle(folder / "particle_00")
    failed = folder / "particle_01"
    failed.mkdir()
    write_stack(failed / "stack.mrcs", rng.poisson(8, (20, BOX, BOX)).astype(np.uint8), PIXEL)
    reasons = ("the half maps do not agree beyond 2.4 Å",)
    write_record(failed / "summary.json", ParticleSummary("failed", reasons, frames=20, frames_used=0))
    stages = {
        "motion": StageRecord("", 12.3, peak_memory_mb=310.0),
        "track": StageRecord("", 4.1, peak_memory_mb=280.0),
        "particle_00/orient": StageRecord("", 80.4, peak_memory_mb=512.5),
        "particle_01/orient": StageRecord("", 60.2, peak_memory_mb=500.0, failed="ConvergenceError: no pose"),
    }
    info = RunRecord(
        command="run",
        argv=("run", "movie.mrc", "--pixel-size", "0.5", "--element", "Pt", "--out", "out"),
        versions={"single_rs": "0.1.0", "python": "3.11.2"},
        input=InputRecord("data/movie.mrc", (FRAMES, 160, 180), PIXEL, (), "4f1c"),
        element="Pt",
        seed=0,
        config={"motion": {"b_factor": 100.0, "patches": None}, "orient": {"step": 3.0}},
        started="2026-01-01T12:00:00",
        status="finished",
        stages=stages,
        verdicts={"particle_00": VerdictRecord("solved", ()), "particle_01": VerdictRecord("failed", reasons)},
    )
    write_record(folder / "run.json", info)
    return folder
