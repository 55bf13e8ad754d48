"""The demo's comparison with the truth, on results that are the truth in another frame, order and hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from single_rs.analysis import ParticleSummary
from single_rs.analysis.model import Particle
from single_rs.cli import demo
from single_rs.export.atoms import write_xyz
from single_rs.io.star import write_poses, write_tracks
from single_rs.pipeline.entry import RunResult
from single_rs.pipeline.handedness import flip_positions, flip_rotations
from single_rs.pipeline.particle import ParticleResult
from single_rs.records import Poses, Track
from single_rs.simulate import SimulatedMovie
from single_rs.store.codecs import read_record
from single_rs.store.layout import ATOMS, DEMO, TRACKS

FRAMES = 16


@pytest.fixture
def truth(monkeypatch):
    """Keep the truth of the movie that the demo simulates."""
    kept: list[SimulatedMovie] = []
    write = SimulatedMovie.write_truth

    def write_and_keep(self):
        kept.append(self)
        return write(self)

    monkeypatch.setattr(SimulatedMovie, "write_truth", write_and_keep)
    return kept


def _found(truth, particle, folder):
    """Write what the pipeline would: the true particle turned, mirrored, one atom lost."""
    from single_rs.records import Atoms

    folder.mkdir()
    frames = np.arange(2, FRAMES)
    n, turn = len(frames), Rotation.random(random_state=particle).as_matrix()
    # x_found = -turn·x and R_found = F R turnᵀ give the same images as x and R.
    rotations = flip_rotations(truth.rotations[particle][frames] @ turn.T)
    write_poses(
        folder / "poses.star",
        Poses.known(rotations, np.zeros((n, 2)), frames),
        "s",
        0.4,
        64,
    )
    x = flip_positions(truth.crystals[particle].positions @ turn.T)[1:]
    unknown = np.full(len(x), 0.1)
    atoms = Atoms(x, np.full(len(x), "Pt"), unknown, unknown, unknown, unknown)
    nothing = np.zeros(len(x), int)
    write_xyz(folder / ATOMS, Particle(atoms, nothing, nothing, nothing.astype(bool), box=64, pixel_size=0.4))
    path = truth.centres[frames, particle] + truth.drift[frames] + [0.3, -0.4]
    return Track(frames, path[:, 0], path[:, 1], np.ones(n), 20.0, 1.0), ParticleResult(
        folder,
        "solved",
        ("it is the truth",),
        ParticleSummary(verdict="solved", frames_used=n, resolution=0.7, seconds=2.0),
    )


def test_the_demo_scores_each_particle_against_its_own_truth(tmp_path, truth, monkeypatch, capsys):
    def run(movie, element, out, pixel_size, config, seed, progress=None, live=False):
        both = [_found(truth[0], p, out / f"particle_{i:02d}") for i, p in enumerate((1, 0))]
        write_tracks(out / TRACKS, [t for t, _ in both], 0.358)
        return RunResult(out, tuple(r for _, r in both))

    monkeypatch.setattr(demo, "run", run)
    result = demo.run_demo(tmp_path, FRAMES, seed=1)
    assert [p.truth for p in result.particles] == [1, 0]
    for p in result.particles:
        count = len(truth[0].crystals[p.truth].positions)
        assert p.track_error == pytest.approx(0.5)
        assert (len(p.atoms.distance), p.atoms.counts[1]) == (count - 1, count)
        assert p.atoms.rmsd < 0.01
        assert p.atoms.match.hand == p.poses.hand == -1
        # Two frames without a pose count as wrong.
        assert p.poses.within_1deg == (FRAMES - 2) / FRAMES
    demo.print_table(result)
    text = capsys.readouterr().out
    for words in ("2 particles found of 2", "solved", "track px", "error pm", "0.50", "0.70", "report.html"):
        assert words in text
    assert all(len(line) < 80 for line in text.splitlines() if str(tmp_path) not in line)
    kept = read_record(tmp_path / DEMO, demo.DemoRecord).particles
    assert [p.truth for p in kept] == [1, 0]
    assert all(p.rmsd < 0.01 for p in kept)


def test_a_particle_without_results_is_shown_with_dashes(tmp_path, truth, monkeypatch, capsys):
    def run(movie, element, out, pixel_size, config, seed, progress=None, live=False):
        frames = np.arange(FRAMES)
        path = truth[0].centres[:, 0] + truth[0].drift
        (out / "particle_00").mkdir()
        write_tracks(out / TRACKS, [Track(frames, *path.T, np.ones(FRAMES), 20.0, 1.0)], 0.358)
        return RunResult(out, (ParticleResult(out / "particle_00", "failed", ("no",), ParticleSummary()),))

    monkeypatch.setattr(demo, "run", run)
    result = demo.run_demo(tmp_path, FRAMES, seed=1)
    assert (result.particles[0].atoms, result.particles[0].poses) == (None, None)
    demo.print_table(result)
    text = capsys.readouterr().out
    assert "1 particles found of 2" in text
    assert "failed" in text
