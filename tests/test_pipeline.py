"""The pipeline as bookkeeping: what is computed, what is loaded, what a failure leaves.

The solver is a stand-in that knows the answer, so these tests say nothing about the orientation search.
"""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from single_rs.alignment import score_atoms, score_poses
from single_rs.background import clean_stack
from single_rs.base.errors import ConvergenceError, DataFileError, InputError, NoParticleError
from single_rs.cli import main
from single_rs.cli.tables import run_lines
from single_rs.export.atoms import read_xyz
from single_rs.io import read_map, read_stack, write_map, write_stack
from single_rs.io.star import read_poses, read_tracks
from single_rs.pipeline import entry, stages
from single_rs.pipeline import particle as particle_stages
from single_rs.pipeline.config import Config, load_config
from single_rs.records import Density, Poses
from single_rs.simulate import nanocrystal, simulate_movie, simulate_stack
from single_rs.store.folder import open_folder
from single_rs.store.read import load_stack

BOX, PIXEL, FRAMES = 64, 0.4, 30
# The stand-ins below know the truth; refined poses and atoms would no longer be theirs.
QUIET = {"report.enabled": "false", "refine.enabled": "false"}


@pytest.fixture(scope="module")
def made():
    crystal = nanocrystal("Pt", 12.0, ragged=0, disorder=0.02, seed=2)
    return simulate_stack(crystal, FRAMES, box=BOX, pixel_size=PIXEL, dose=30.0, seed=2)


@pytest.fixture
def calls(made, monkeypatch):
    """Replace pose search, reconstruction and verdict by ones that know the truth, and count what is called."""
    count: dict[str, int] = {}

    def counted(name, function):
        def wrapped(*args, **keywords):
            count[name] = count.get(name, 0) + 1
            return function(*args, **keywords)

        return wrapped

    def find_poses(clean, element, config, progress=None, seed=0):
        n = len(clean.images)  # not those simulated when they come from a movie; then the poses are not looked at
        half = np.where(np.arange(n) < n // 2, 1, 2).astype(np.int8)
        rotations, shifts = np.resize(made.rotations, (n, 3, 3)), np.resize(made.shifts, (n, 2))
        return Poses(rotations, shifts, np.ones(n), np.ones(n), half, np.ones(n), clean.frames)

    def reconstruct(clean, poses, config=None, progress=None):
        axis = (np.arange(BOX) - BOX // 2) * PIXEL
        x, y, z = (np.exp(-np.square(axis - p[:, None]) / 0.5) for p in made.crystal.positions.T)
        density = np.einsum("nz,ny,nx->zyx", z, y, x).astype(np.float32)
        # Halves that agree to the last bit would tell of no noise at all, which no frames give.
        noise = 0.01 * np.random.default_rng(4).normal(size=density.shape).astype(np.float32)
        k = np.arange(BOX // 2) / (BOX * PIXEL)
        return Density(
            map=density,
            half1=density + noise,
            half2=density - noise,
            pixel_size=PIXEL,
            fsc=np.ones(len(k)),
            frequency=k,
            resolution=0.8,
        )

    def judge(*args, **keywords):
        return SimpleNamespace(verdict="solved", reasons=["the stand-in knows the truth"])

    monkeypatch.setattr(stages, "find_poses", counted("orient", find_poses))
    monkeypatch.setattr(stages, "reconstruct", counted("reconstruct", reconstruct))
    monkeypatch.setattr(particle_stages, "judge", judge)
    cleaning = counted("background", clean_stack)
    monkeypatch.setattr(stages, "clean_stack", cleaning)
    monkeypatch.setattr(particle_stages, "clean_stack", cleaning)
    monkeypatch.setattr(stages, "trace", counted("trace", stages.trace))
    return count


def _solve(tmp_path, made, overrides=None, **keywords):
    path = tmp_path / "in.mrcs"
    if not path.exists():
        write_stack(path, made.images, PIXEL)
    config = load_config(None, {**QUIET, **(overrides or {})})
    return entry.solve(path, "Pt", tmp_path / "out", None, config, **keywords)


def test_a_run_writes_the_files_of_the_design_and_they_agree(tmp_path, made, calls):
    result = _solve(tmp_path, made)
    (particle,) = result.particles
    assert particle.verdict == "solved"
    names = {p.name for p in particle.folder.iterdir()}
    expected = "stack.mrcs poses.star half1.mrc half2.mrc map.mrc fsc.csv atoms.xyz POSCAR lattice.json summary.json"
    assert set(expected.split()) <= names
    assert not [n for n in names if "partial" in n]

    np.testing.assert_array_equal(read_stack(particle.folder / "stack.mrcs").images, made.images)
    poses = read_poses(particle.folder / "poses.star")
    assert score_poses(poses.rotations, poses.frames, made.rotations).within_1deg == 1
    np.testing.assert_allclose(poses.shifts, made.shifts, atol=1e-9)
    atoms = read_xyz(particle.folder / "atoms.xyz")
    assert score_atoms(atoms.positions, made.crystal.positions).recall == 1
    # In the file an atom lies where the map, ORIGIN 0, has its peak.
    density, pixel = read_map(particle.folder / "map.mrc")
    index = np.rint((atoms.positions / pixel) + BOX // 2).astype(int)
    assert density[index[:, 2], index[:, 1], index[:, 0]].min() > 0.5 * density.max()

    summary = json.loads((particle.folder / "summary.json").read_text())
    assert summary["atoms"] == len(made.crystal.positions)
    assert summary["lattice"]["structure"] == "fcc"
    run = json.loads((result.folder / "run.json").read_text())
    assert run["status"] == "finished"
    assert run["verdicts"]["particle_00"]["verdict"] == "solved"
    assert {"versions", "seed", "config", "input", "stages"} <= set(run)
    assert set(run["config"]) == set(Config.__dataclass_fields__)
    assert all(s["seconds"] >= 0 and s["peak_memory_mb"] > 1 for s in run["stages"].values())
    assert "particle_00/orient: finished" in (result.folder / "run.log").read_text()

    row = run_lines(result)[1].split()  # of the table that the command prints
    cell = [summary["lattice"]["cell"][name] for name in "abc"]
    assert row[:4] == ["particle_00", "solved", str(summary["frames_used"]), str(summary["atoms"])]
    np.testing.assert_allclose([float(word) for word in row[-3:]], cell, atol=6e-4)


def test_atoms_and_poses_are_refined_and_those_of_the_search_are_kept(tmp_path, made, calls):
    (particle,) = _solve(tmp_path, made, {"refine.enabled": "true", "refine.rounds": "1"}).particles
    atoms = read_xyz(particle.folder / "atoms.xyz")
    np.testing.assert_allclose(np.einsum("nii->n", atoms.covariance) / 3, atoms.sigma**2, rtol=2e-3)
    # Thirty frames hold no more: the stated errors say so as well.
    rmsd = score_atoms(atoms.positions, made.crystal.positions).rmsd
    assert rmsd < 1.5 * np.sqrt(3) * 100 * np.sqrt(np.mean(atoms.sigma**2)) < 15
    numbers = json.loads((particle.folder / "summary.json").read_text())["refinement"]
    assert numbers["frames"] <= FRAMES
    assert numbers["sigma_pm"] == pytest.approx(100 * np.sqrt(np.mean(atoms.sigma**2)), rel=1e-3)
    searched, refined = (read_poses(particle.folder / f) for f in ("poses_searched.star", "poses.star"))
    np.testing.assert_allclose(searched.shifts, made.shifts, atol=1e-9)
    assert 1e-4 < np.abs(refined.shifts - made.shifts).max() < 0.2
    first = (particle.folder / "atoms.xyz").read_bytes()
    (particle.folder / "atoms.xyz").unlink()
    (again,) = _solve(tmp_path, made, {"refine.enabled": "true", "refine.rounds": "1"}).particles
    assert (again.folder / "atoms.xyz").read_bytes() == first
    assert calls["orient"] == 1


def test_a_finished_run_is_loaded_and_a_change_redoes_what_depends_on_it(tmp_path, made, calls):
    first = _solve(tmp_path, made)
    before = dict(calls)
    assert before == {"background": 1, "orient": 1, "reconstruct": 1, "trace": 1}
    again = _solve(tmp_path, made)
    assert calls == before
    assert again.particles[0].summary == first.particles[0].summary

    _solve(tmp_path, made, {"trace.rounds": "4"})
    assert (calls["orient"], calls["reconstruct"], calls["trace"]) == (1, 1, 2)
    _solve(tmp_path, made, {"trace.rounds": "4"}, seed=1)
    assert (calls["orient"], calls["reconstruct"], calls["trace"]) == (2, 2, 3)
    (tmp_path / "out" / "particle_00" / "map.mrc").unlink()
    (tmp_path / "out" / "particle_00" / "summary.json").unlink()
    (tmp_path / "out" / "particle_00" / "notes.txt").write_text("the user's own")
    _solve(tmp_path, made, {"trace.rounds": "4"}, seed=1)
    # The map that was lost is made again, to the same byte: what was made of it stands.
    assert (calls["orient"], calls["reconstruct"], calls["trace"]) == (2, 3, 3)
    _solve(tmp_path, made, {"trace.rounds": "4"}, seed=1, resume=False)
    assert (calls["orient"], calls["reconstruct"], calls["trace"]) == (3, 4, 4)
    assert (tmp_path / "out" / "particle_00" / "notes.txt").exists()


def test_a_changed_strain_setting_redoes_the_strain_alone(tmp_path, made, calls):
    first = _solve(tmp_path, made, {"refine.enabled": "true", "refine.rounds": "1"})
    calls.clear()
    settings = {"refine.enabled": "true", "refine.rounds": "1", "strain.kernel_width": "2.5"}
    again = _solve(tmp_path, made, settings)
    assert not calls  # neither the frames are cleaned again, nor atoms traced
    reused = {k for k, v in json.loads((again.folder / "run.json").read_text())["stages"].items() if v["reused"]}
    before = ("stack", "background", "orient", "reconstruct", "trace", "refine", "changes")
    assert reused == {f"particle_00/{s}" for s in before}
    assert again.particles[0].summary.strain != first.particles[0].summary.strain
    assert again.particles[0].summary.resolution == first.particles[0].summary.resolution


def test_what_an_other_version_wrote_is_made_anew(tmp_path, made, calls, monkeypatch):
    _solve(tmp_path, made)
    calls.clear()
    read = particle_stages.read_record

    def of_an_older_schema(path, kind):
        if kind is particle_stages.ParticleSummary and "writing" not in path.parts:
            raise DataFileError(f"{path} is of schema 0")
        return read(path, kind)

    monkeypatch.setattr(particle_stages, "read_record", of_an_older_schema)
    again = _solve(tmp_path, made)
    assert not calls
    assert again.particles[0].verdict == "solved"
    run = json.loads((again.folder / "run.json").read_text())
    assert [k for k, v in run["stages"].items() if not v["reused"]] == ["particle_00/analyze"]


def test_a_live_page_tells_of_the_run_until_it_has_ended(tmp_path, made, calls, monkeypatch):
    page, seen = tmp_path / "out" / "live.html", []

    def listen(stage, done, total):
        if page.exists():
            seen.append(page.read_text(encoding="utf-8"))

    _solve(tmp_path, made, live=True, progress=listen)
    assert all('content="5"' in text for text in seen)
    assert seen
    assert "The run is finished" in page.read_text(encoding="utf-8")

    def stopped(*args, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "reconstruct", stopped)
    with pytest.raises(KeyboardInterrupt):
        _solve(tmp_path, made, {"reconstruct.mask_margin": "3"}, live=True)
    assert "The run has ended: interrupted" in page.read_text(encoding="utf-8")


def test_folders_that_are_not_of_the_run_are_left_alone(tmp_path, made, calls):
    _solve(tmp_path, made)
    (tmp_path / "out" / "particle_01").mkdir()
    (tmp_path / "out" / "particle_01" / "atoms.xyz").write_text("precious")
    assert len(_solve(tmp_path, made).particles) == 1
    assert (tmp_path / "out" / "particle_01" / "atoms.xyz").read_text() == "precious"


def test_another_input_needs_a_word_to_replace_a_finished_result(tmp_path, made, calls):
    _solve(tmp_path, made)
    atoms = tmp_path / "out" / "particle_00" / "stack.mrcs"
    before = atoms.read_bytes()
    other = made.images.copy()
    other[7, 3, 3] += 1
    write_stack(tmp_path / "in.mrcs", other, PIXEL)
    with pytest.raises(InputError, match=r"holds the finished result of .*--replace"):
        _solve(tmp_path, made)
    assert atoms.read_bytes() == before
    assert calls["orient"] == 1
    _solve(tmp_path, made, replace=True)
    assert calls["orient"] == 2
    np.testing.assert_array_equal(read_stack(atoms).images, other)


def test_offsets_beside_the_stack_are_part_of_the_input(tmp_path, made, calls):
    first = _solve(tmp_path, made).particles[0].folder
    for name in ("stack.mrcs", "stack.star"):
        (tmp_path / name).write_bytes((first / name).read_bytes())
    config = load_config(None, QUIET)
    entry.solve(tmp_path / "stack.mrcs", "Pt", tmp_path / "b", None, config)
    count = calls["orient"]
    entry.solve(tmp_path / "stack.mrcs", "Pt", tmp_path / "b", None, config)
    assert calls["orient"] == count
    stack = load_stack(tmp_path / "stack.mrcs")
    moved = dataclasses.replace(stack, offsets=np.full((FRAMES, 2), 0.3), diameter=14.0)
    stages.keep_stack(moved, tmp_path)
    entry.solve(tmp_path / "stack.mrcs", "Pt", tmp_path / "b", None, config, replace=True)
    assert calls["orient"] == count + 1


def test_results_cannot_lie_among_the_frames_they_are_made_of(tmp_path, made, capsys):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, image in enumerate(made.images[:6]):
        write_map(folder / f"f{number}.mrc", image[None].astype(np.float32), PIXEL)
    for out in (folder, folder / "out"):
        assert main(["run", str(folder), "--pixel-size", "0.4", "--element", "Pt", "--out", str(out)]) == 2
        assert "lies in the folder of frames" in capsys.readouterr().err
    assert len(list(folder.iterdir())) == 6


def test_two_runs_in_one_folder_are_one_and_a_clear_line(tmp_path, made, calls, capsys):
    write_stack(tmp_path / "in.mrcs", made.images, PIXEL)
    command = ["solve", str(tmp_path / "in.mrcs"), "--element", "Pt", "--out", str(tmp_path / "out")]
    with open_folder(tmp_path / "out"):
        assert main(command) == 2
    assert "in use by process" in capsys.readouterr().err
    assert not calls


def test_a_run_that_was_stopped_goes_on_and_gives_the_same(tmp_path, made, calls, monkeypatch):
    whole = _solve(tmp_path, made)
    atoms = (whole.particles[0].folder / "atoms.xyz").read_bytes()
    poses = (whole.particles[0].folder / "poses.star").read_bytes()

    def stopped(*args, **keywords):
        raise KeyboardInterrupt

    other = tmp_path / "other"
    other.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(stages, "rebuild", stopped)
        with pytest.raises(KeyboardInterrupt):
            _solve(other, made)
    assert json.loads((other / "out" / "run.json").read_text())["status"] == "interrupted"
    calls.clear()
    _solve(other, made)
    assert "orient" not in calls
    assert (other / "out" / "particle_00" / "atoms.xyz").read_bytes() == atoms
    assert (other / "out" / "particle_00" / "poses.star").read_bytes() == poses


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ConvergenceError("no mate wins"), "no mate wins"), (ZeroDivisionError("oops"), "internal error in a stage")],
)
def test_a_particle_that_fails_is_a_result(tmp_path, made, calls, monkeypatch, error, reason, capsys):
    def fails(*args, **keywords):
        raise error

    monkeypatch.setattr(stages, "find_poses", fails)
    write_stack(tmp_path / "in.mrcs", made.images, PIXEL)
    code = main(["solve", str(tmp_path / "in.mrcs"), "--element", "Pt", "--out", str(tmp_path / "out")])
    assert code == 0
    out, err = capsys.readouterr()
    assert "particle_00: failed" in out
    assert "Traceback" not in err
    summary = json.loads((tmp_path / "out" / "particle_00" / "summary.json").read_text())
    assert summary["verdict"] == "failed"
    assert reason in summary["reasons"][0]
    assert (tmp_path / "out" / "report.html").exists()
    trace = (tmp_path / "out" / "run.log").read_text()
    assert str(error) in trace
    assert ("Traceback" in trace) == isinstance(error, ZeroDivisionError)


def test_a_failure_keeps_the_finished_result(tmp_path, made, calls, monkeypatch):
    _solve(tmp_path, made)
    part = tmp_path / "out" / "particle_00"
    before = {p.name: p.read_bytes() for p in part.iterdir()}

    def fails(*args, **keywords):
        raise ConvergenceError("no mate wins")

    monkeypatch.setattr(stages, "find_poses", fails)
    (particle,) = _solve(tmp_path, made, seed=5).particles
    assert particle.verdict == "failed"
    assert "the result of the run before is kept" in particle.reasons
    assert {p.name: p.read_bytes() for p in part.iterdir()} == before


def test_a_map_without_atoms_is_judged(tmp_path, made, calls, monkeypatch):
    seen = []

    def judge(clean, poses, density, model, element):
        seen.append(model)
        return SimpleNamespace(verdict="failed", reasons=("only 0 atoms",))

    def trace(*args, **keywords):
        raise NoParticleError("the map holds no atoms")

    monkeypatch.setattr(particle_stages, "judge", judge)
    monkeypatch.setattr(stages, "trace", trace)
    (particle,) = _solve(tmp_path, made).particles
    assert seen == [None]
    assert particle.reasons == ("only 0 atoms", "the map holds no atoms")
    assert particle.summary.frames_used == FRAMES


def test_a_movie_goes_from_frames_to_atoms(tmp_path, made, calls):
    """The front end is real here: motion, tracks and cutting; what they measure is tested with them."""
    crystal = nanocrystal("Pt", 18.0, seed=3)
    truth = simulate_movie(tmp_path / "m.mrc", [crystal], 80, shape=(176, 192), pixel_size=PIXEL, dose=20.0, seed=3)
    config = load_config(None, QUIET)
    result = entry.run(truth.path, "Pt", tmp_path / "out", None, config, seed=3)
    assert [p.verdict for p in result.particles] == ["solved"]
    written = {p.name for p in (tmp_path / "out").iterdir()}
    tables = {"motion.csv", "tracks.star", "tracks.csv"}
    assert written == {"run.json", "run.log", "manifest.json", "mean.mrc", "particle_00", *tables}
    (track,) = read_tracks(tmp_path / "out" / "tracks.star")
    stack = load_stack(tmp_path / "out" / "particle_00" / "stack.mrcs")
    assert set(stack.frames) <= set(track.frames)
    assert stack.diameter == track.diameter
    # Cut at whole pixels: the offsets are what is left of the tracked centre.
    assert np.abs(stack.offsets).max() <= PIXEL / 2 + 1e-9
    before = dict(calls)
    again = entry.run(truth.path, "Pt", tmp_path / "out", None, config, seed=3)
    assert calls == before
    assert again.particles[0].summary == result.particles[0].summary
    assert json.loads((tmp_path / "out" / "run.json").read_text())["stages"]["motion"]["reused"]


def test_a_movie_without_particles_ends_in_one_line(tmp_path, monkeypatch, capsys):
    write_stack(tmp_path / "m.mrc", np.random.default_rng(0).poisson(8, (60, 96, 96)).astype(np.int8), 0.4)
    code = main(["run", str(tmp_path / "m.mrc"), "--element", "Pt", "--out", str(tmp_path / "out")])
    assert code == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("single-rs: no particle found in")
    names = "run.json run.log manifest.json motion.csv mean.mrc tracks.star tracks.csv"
    assert {p.name for p in (tmp_path / "out").iterdir()} == set(names.split())
    assert "no particle" in json.loads((tmp_path / "out" / "run.json").read_text())["status"]
