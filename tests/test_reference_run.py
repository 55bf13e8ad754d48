"""One run of 300 simulated frames against what it gave before: a change that only moves code moves no number.

``tests/reference`` holds poses and atoms of the run. On the machine that made them they are the same to the byte;
others round sums differently, by less than the limits here, which are a hundredth of the errors that the run states. A
change that is meant to move the numbers makes them anew, says by how much in docs/results.md, and why:

    python tests/test_reference_run.py
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from single_rs.alignment import score_atoms, score_poses
from single_rs.analysis import ParticleSummary
from single_rs.export import read_xyz
from single_rs.io.star import read_poses
from single_rs.pipeline.entry import solve
from single_rs.records import ParticleStack
from single_rs.simulate import nanocrystal, simulate_stack
from single_rs.store.codecs import read_record
from single_rs.store.layout import ATOMS, LATTICE, POSES, STRUCTURE, SUMMARY
from test_files import assert_files_read_back

REFERENCE = Path(__file__).parent / "reference"
FRAMES = 300


def _run(out: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """Solve; return the particle's folder, its true positions and its true rotations."""
    crystal = nanocrystal("Pt", 16.0, seed=3)
    made = simulate_stack(crystal, FRAMES, box=128, pixel_size=0.358, dose=8.0, seed=3)
    stack = ParticleStack(made.images, made.pixel_size, np.arange(FRAMES))
    return solve(stack, element="Pt", out=out / "run", seed=3).particles[0].folder, crystal.positions, made.rotations


@pytest.mark.slow
def test_three_hundred_frames_give_what_they_gave(tmp_path):
    folder, positions, rotations = _run(tmp_path)
    summary = read_record(folder / SUMMARY, ParticleSummary)
    assert summary.verdict == "solved", summary.reasons
    assert {"run.json", "manifest.json", SUMMARY, LATTICE, STRUCTURE} <= assert_files_read_back(folder.parent, tmp_path)
    found, poses = read_xyz(folder / ATOMS), read_poses(folder / POSES)
    score = score_atoms(found.positions, positions)
    assert (score.recall, score.precision) == (1, 1)
    assert score.rmsd < 3.0
    assert score_poses(poses.rotations, poses.frames, rotations).within_2deg > 0.97
    # Stated errors are the true ones: three axes of one σ each.
    assert 0.7 < score.rmsd / (np.sqrt(3) * 100 * np.sqrt(np.mean(found.sigma**2))) < 1.4

    before, known = read_xyz(REFERENCE / ATOMS), read_poses(REFERENCE / POSES)
    np.testing.assert_array_equal(found.symbols, before.symbols)
    np.testing.assert_allclose(found.positions, before.positions, atol=1e-4)
    np.testing.assert_allclose(found.sigma, before.sigma, rtol=0.01)
    np.testing.assert_allclose(poses.rotations, known.rotations, atol=1e-4)
    np.testing.assert_allclose(poses.shifts, known.shifts, atol=1e-3)
    np.testing.assert_array_equal(poses.half, known.half)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        made, *_ = _run(Path(scratch))
        REFERENCE.mkdir(exist_ok=True)
        for name in (ATOMS, POSES):
            shutil.copyfile(made / name, REFERENCE / name)
    sys.exit(0)
