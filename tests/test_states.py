"""States: each solved by itself, in one frame, with the same number for the same atom."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import single_rs as sr
from changing import DATE, FRAMES, PIXEL, atoms_at, frames_of, layer_of
from single_rs.alignment import score_atoms
from single_rs.base.errors import ConvergenceError, InputError
from single_rs.cli.options import settings_of
from single_rs.compare.trends import compare_particles
from single_rs.io.atom_files import read_atom_file
from single_rs.pipeline import stages, states, stretch_work
from single_rs.pipeline.handedness import flip_folder
from single_rs.records import Poses
from single_rs.report.extras import extra_figures
from single_rs.report.files import read_run
from single_rs.report.film import film_data
from single_rs.store.states import MovedTable
from single_rs.store.tables import read_table

MEASURED = Path(__file__).parents[2] / "shared" / "data" / "real" / "pt_233.xyz"
CONFIG = {"states.shortest": "60", "report.enabled": "false"}


@pytest.fixture(scope="module")
def crystal():
    return sr.nanocrystal("Pt", diameter=12.0, seed=3)


@pytest.fixture(scope="module")
def solved(crystal, tmp_path_factory):
    """Folder of a particle whose layer leaves, solved at known poses, and what a second run of it gives."""
    gone = layer_of(crystal)
    rotations, images = frames_of(crystal, gone)

    def known(clean, *args, **kwargs):
        return Poses.known(rotations[clean.frames], np.zeros((len(clean.frames), 2)), clean.frames, block=30)

    out = tmp_path_factory.mktemp("states") / "out"
    stack = sr.ParticleStack(images, PIXEL, np.arange(FRAMES))
    config = sr.pipeline.config.load_config(None, CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "find_poses", known)
        patch.setattr(stretch_work, "find_poses", known)
        first = sr.solve(stack, element="Pt", out=out, config=config)
        again = sr.solve(stack, element="Pt", out=out, config=config)
    return out / "particle_00", crystal.positions, gone, first, again


@pytest.mark.slow
def test_each_state_has_its_atoms_and_its_frames(solved):
    folder, truth, gone, first, _ = solved
    record = json.loads((folder / "states.json").read_text())
    assert [[list(span) for span in s["frames"]] for s in record["states"]] == [[[0, DATE - 1]], [[DATE, FRAMES - 1]]]
    for state, true in zip(record["states"], (truth, truth[~gone]), strict=True):
        score = score_atoms(ase.io.read(folder / state["atoms"]).positions, true)
        assert score.recall == score.precision == 1
        assert score.rmsd < 8
        assert state["count"] == len(true)
        assert {"poses.star", "map.mrc", "half1.mrc", "summary.json"} <= {
            p.name for p in (folder / state["atoms"]).parent.iterdir()
        }
    assert record["core"] == len(truth) - gone.sum()
    assert record["top"] == 0
    assert (folder / "atoms.xyz").read_bytes() == (folder / "states" / "00" / "atoms.xyz").read_bytes()
    reasons = " ".join(first.particles[0].reasons)
    assert f"changed at frame {DATE}" in reasons
    assert "state 0 of 2, which holds most frames" in reasons


def test_atoms_keep_their_numbers_and_leave_at_their_date(solved):
    folder, truth, gone, _, _ = solved
    rows = list(csv.DictReader((folder / "timeline.csv").read_text().splitlines()))
    assert [int(r["id"]) for r in rows] == list(range(len(truth)))
    left = [r for r in rows if float(r["last_err"]) > 0]
    assert len(left) == gone.sum()
    assert all(abs(int(r["last"]) + 1 - DATE) <= 3 * float(r["last_err"]) for r in left)
    assert all(r["core"] == "0" for r in left)
    whole, rest = ase.io.read(folder / "trajectory.xyz", index=":")
    assert len(whole) == len(truth)
    common = np.isin(whole.arrays["id"], rest.arrays["id"])
    assert np.array_equal(whole.arrays["id"][common], rest.arrays["id"])
    assert np.sqrt(((whole.positions[common] - rest.positions) ** 2).sum(1).mean()) < 0.12
    moved = read_table(folder / "moved.csv", MovedTable)
    assert len(moved.id) == len(truth) - gone.sum()
    assert np.mean((moved.moved**2).sum(1) / (3 * moved.sigma**2)) < 3  # no atom of the rest moved
    assert moved.distance == pytest.approx(np.linalg.norm(moved.moved, axis=1), abs=1e-4)
    assert {r["site"] for r in rows} - {"bulk"}
    events = json.loads((folder / "states.json").read_text())["events"]
    assert [(e["event"], e["left"]) for e in events if e["id"] is None] == [("changed", gone.sum())]


def test_a_second_run_computes_nothing(solved):
    folder, _, _, first, again = solved
    record = json.loads((folder.parent / "run.json").read_text())
    assert all(stage["reused"] for stage in record["stages"].values())
    assert again.particles[0].reasons == first.particles[0].reasons
    assert (folder / "states" / "01" / "atoms.xyz").exists()


def test_both_hands_of_a_particle_have_its_states(solved, tmp_path):
    folder, _, _, _, _ = solved
    out = tmp_path / "mirrored"
    written = flip_folder(folder, out, sr.pipeline.config.load_config(None, CONFIG))
    assert all(path.exists() for path in written)
    frame = ase.io.read(folder / "atoms.xyz").info
    centre = frame["box"] // 2 * frame["pixel_size"]
    pairs = zip(*(ase.io.read(top / "trajectory.xyz", index=":") for top in (folder, out)), strict=True)
    for (before, after), place in zip(pairs, ("states/00", "states/01"), strict=True):
        assert after.positions - centre == pytest.approx(centre - before.positions, abs=1e-4)
        assert np.array_equal(before.arrays["id"], after.arrays["id"])
        own, mirrored = (ase.io.read(top / place / "atoms.xyz").positions - centre for top in (folder, out))
        assert mirrored == pytest.approx(-own, abs=1e-4)
        assert {"map.mrc", "half1.mrc", "poses.star"} <= {p.name for p in (out / place).iterdir()}
    assert (out / "timeline.csv").read_bytes() == (folder / "timeline.csv").read_bytes()
    moved, mirrored = (read_table(top / "moved.csv", MovedTable).moved for top in (folder, out))
    assert len(moved)
    assert mirrored == pytest.approx(-moved)
    events = [json.loads((top / "states.json").read_text())["events"] for top in (folder, out)]
    for before, after in zip(*events, strict=True):
        assert before["frame"] == after["frame"]
        assert before["position"] is None or np.allclose(after["position"], -np.array(before["position"]))


def test_states_are_compared_drawn_and_shown(solved, tmp_path):
    folder, truth, gone, _, _ = solved
    assert len(compare_particles([folder]).particles) == 1
    states = compare_particles([folder], states=True).particles
    assert sorted(row.values["atoms"] for row in states) == [len(truth) - gone.sum(), len(truth)]
    found = sr.figures([folder], tmp_path / "figures", only=("states",), formats=("svg",))
    assert [(one.name, one.absent) for one in found] == [("states", "")]
    particle = read_run(folder.parent).particles[0]
    film = film_data(particle.states)
    assert [len([p for p in step["positions"] if p]) for step in film["steps"]] == [len(truth), len(truth) - gone.sum()]
    assert "Against time" in [figure.title for figure in extra_figures(particle)]


@pytest.mark.slow
def test_a_state_that_comes_back_is_one_state_of_two_times(crystal, tmp_path):
    frames, dates = 390, (130, 260)
    rotations, images = frames_of(crystal, layer_of(crystal), dates, frames)

    def known(clean, *args, **kwargs):
        return Poses.known(rotations[clean.frames], np.zeros((len(clean.frames), 2)), clean.frames, block=20)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "find_poses", known)
        patch.setattr(stretch_work, "find_poses", known)
        config = sr.pipeline.config.load_config(None, CONFIG)
        stack = sr.ParticleStack(images, PIXEL, np.arange(frames))
        sr.solve(stack, element="Pt", out=tmp_path / "out", config=config)
    record = json.loads((tmp_path / "out" / "particle_00" / "states.json").read_text())
    spans = [np.array(state["frames"]) for state in record["states"]]
    assert [len(span) for span in spans] == [2, 1]
    assert np.abs(spans[0] - [[0, 129], [260, 389]]).max() <= 3
    assert np.abs(spans[1] - [[130, 259]]).max() <= 3


@pytest.mark.slow
def test_a_constant_particle_in_unclear_poses_is_tried_in_others_once(crystal, tmp_path):
    rotations, images = frames_of(crystal, np.zeros(len(crystal.positions), bool))
    tried = []

    def known(clean, *args, **kwargs):
        poses = Poses.known(rotations[clean.frames], np.zeros((len(clean.frames), 2)), clean.frames, block=30)
        return replace(poses, diagnostics=replace(poses.diagnostics, jump_share=0.5))

    def reassign(clean, poses, seen, *args):
        tried.append(len(poses.rotations))
        return poses

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "find_poses", known)
        patch.setattr(stretch_work, "reassign_runs", reassign)
        config = sr.pipeline.config.load_config(None, CONFIG)
        stack = sr.ParticleStack(images, PIXEL, np.arange(FRAMES))
        sr.solve(stack, element="Pt", out=tmp_path / "out", config=config)
        once = len(tried)
        sr.solve(stack, element="Pt", out=tmp_path / "out", config=config)
    assert len(tried) == once > 0
    record = json.loads((tmp_path / "out" / "particle_00" / "states.json").read_text())
    assert [state["atoms"] for state in record["states"]] == ["atoms.xyz"]
    stages_of = json.loads((tmp_path / "out" / "run.json").read_text())["stages"]
    assert all(stage["reused"] for stage in stages_of.values())


@pytest.mark.slow
def test_states_that_cannot_be_solved_leave_the_whole_with_its_doubts(crystal, tmp_path):
    rotations, images = frames_of(crystal, layer_of(crystal))

    def known(clean, *args, **kwargs):
        return Poses.known(rotations[clean.frames], np.zeros((len(clean.frames), 2)), clean.frames, block=30)

    def nothing(*args):
        raise ConvergenceError("no stretch of time shows atoms")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "find_poses", known)
        patch.setattr(states, "find_stretches", nothing)
        config = sr.pipeline.config.load_config(None, CONFIG)
        stack = sr.ParticleStack(images, PIXEL, np.arange(FRAMES))
        particle = sr.solve(stack, element="Pt", out=tmp_path / "out", config=config).particles[0]
    assert particle.verdict != "solved"
    record = json.loads((particle.folder / "states.json").read_text())
    assert [state["verdict"] for state in record["states"]] == [particle.verdict]
    assert [e["frame"] for e in record["events"] if e["event"] == "changed"] == [DATE]
    assert ase.io.read(particle.folder / "trajectory.xyz").info["state"] == 0


def test_the_command_line_takes_find_one_or_a_number():
    assert settings_of(None, None, "find").states.number is None
    assert settings_of(None, None, "one").states.number == 1
    assert settings_of(None, None, "4").states.number == 4
    with pytest.raises(InputError, match="'find', 'one' or a number"):
        settings_of(None, None, "many")


@pytest.mark.slow
@pytest.mark.skipif(not MEASURED.exists(), reason="the measured particle is not beside the project")
def test_a_window_of_250_frames_keeps_all_atoms_of_a_disordered_particle():
    places = read_atom_file(MEASURED).positions
    places = places - places.mean(0)
    start = sr.nanocrystal("Pt", diameter=12.0, seed=1)
    crystal = replace(start, positions=places, symbols=np.full(len(places), "Pt"), grain=None)
    made = sr.simulate_stack(crystal, 250, box=96, pixel_size=PIXEL, dose=10.0, seed=1)
    clean = sr.clean_stack(sr.ParticleStack(made.images, PIXEL, np.arange(250)))
    turned = Rotation.from_rotvec(np.deg2rad(1.0) * np.random.default_rng(0).normal(size=(250, 3))).as_matrix()
    poses = Poses.known(turned @ made.rotations, made.shifts, block=25)
    refined = sr.refine_atoms(clean, poses, atoms_at(places))
    assert (refined.summary.removed, refined.summary.added) == (0, 0)
    assert score_atoms(refined.atoms.positions, places).rmsd < 5
