"""States: each solved by itself, in one frame, with the same number for the same atom."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import ase.io
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import single_rs as sr
from changing import DATE, FRAMES, PIXEL, frames_of, layer_of
from single_rs.alignment import score_atoms
from single_rs.base.errors import ConvergenceError, InputError
from single_rs.cli.options import settings_of
from single_rs.pipeline import stages, states
from single_rs.records import Atoms, Poses
from single_rs.refine.change import Change, Changes
from single_rs.refine.change.stretches import Placed, Stretch, Work, find_stretches, group_states, same_particle
from single_rs.refine.change.timeline import _interval, number_atoms

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
        patch.setattr(states, "find_poses", known)
        first = sr.solve(stack, element="Pt", out=out, config=config)
        again = sr.solve(stack, element="Pt", out=out, config=config)
    return out / "particle_00", crystal.positions, gone, first, again


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
    events = json.loads((folder / "states.json").read_text())["events"]
    assert [(e["event"], e["left"]) for e in events if e["id"] is None] == [("changed", gone.sum())]


def test_a_second_run_computes_nothing(solved):
    folder, _, _, first, again = solved
    record = json.loads((folder.parent / "run.json").read_text())
    assert all(stage["reused"] for stage in record["stages"].values())
    assert again.particles[0].reasons == first.particles[0].reasons
    assert (folder / "states" / "01" / "atoms.xyz").exists()


def atoms_at(positions, sigma=0.03):
    n = len(positions)
    return Atoms(positions, np.full(n, "Pt"), np.ones(n), np.ones(n), np.full(n, sigma), np.ones(n))


def worlds(crystal, second, found=None):
    """Stretches of a track whose second half is searched anew and gives the atoms `second`, at poses `found`."""
    n = 400
    rotations = Rotation.random(n, random_state=1).as_matrix()
    poses = Poses.known(rotations, np.zeros((n, 2)))
    clean = sr.CleanStack.bare(np.zeros((n, 8, 8), np.float32), 1.0, 4.0, 1.0)
    changes = Changes(n, (Change(200, 0.5, "poses", None, None, 200),), (1.0, 0.0), None, None, ())

    def search(part):
        if found is None:
            raise ConvergenceError("nothing there")
        return Poses.known(found(rotations[part.frames]), np.zeros((len(part.frames), 2)))

    def place(part, given):
        return Placed(given, atoms_at(crystal.positions if part.frames[0] < 200 else second))

    def ask(part, given, atoms):
        return Changes(len(part.frames), (), (1.0,), None, None, ())

    return rotations, find_stretches(clean, poses, changes, Work(search, place, ask, 100))


def test_a_state_that_was_searched_anew_is_turned_into_the_frame_of_the_others(crystal):
    turn = Rotation.random(random_state=7).as_matrix()
    mirrored = -(crystal.positions @ turn.T) + [0.3, -0.2, 0.1]
    _, (first, second) = worlds(crystal, mirrored, lambda r: np.diag([-1.0, -1.0, 1.0]) @ r @ turn.T)
    assert second.same
    assert np.allclose(second.placed.atoms.positions, crystal.positions, atol=1e-6)
    # Each frame shows the same projection of the turned atoms as of those that were found.
    poses = second.placed.poses
    for k in (0, 77):
        given = np.diag([-1.0, -1.0, 1.0]) @ worlds(crystal, mirrored)[0][200 + k] @ turn.T
        shown = second.placed.atoms.positions @ poses.rotations[k].T
        assert np.allclose(shown[:, :2] + poses.shifts[k], (mirrored @ given.T)[:, :2], atol=1e-6)
    assert group_states([first, second]) == [[first, second]]
    assert group_states([first, second], merge=False) == [[first], [second]]


def test_another_particle_is_none_of_the_states(crystal):
    other = sr.nanocrystal("Pt", diameter=12.0, defect="icosahedron", seed=9).positions
    _, (first, second) = worlds(crystal, other, lambda r: r)
    assert first.same
    assert not second.same
    assert group_states([first, second]) == [[first]]


def test_particles_of_one_lattice_are_told_apart_by_what_moves_inside(crystal):
    rng = np.random.default_rng(4)
    inner = sr.nanocrystal("Pt", diameter=20.0, seed=1, disorder=0.0, ragged=0.0).positions
    noise = 0.015 * rng.normal(size=(2, *inner.shape))
    high, low = (inner @ d > np.sort(inner @ d)[-9] for d in (np.array([0.3, 0.5, 0.8]), -np.array([0.3, 0.5, 0.8])))
    one = atoms_at((inner + noise[0])[~high], 0.015)
    assert same_particle(one, atoms_at((inner + noise[1])[~high], 0.015))
    assert same_particle(one, atoms_at((inner + noise[1])[~(high | low)], 0.015))  # atoms left
    bent = inner + 0.004 * (inner @ [1, 0, 0])[:, None] ** 2 * np.array([0, 0, 1]) + noise[1]
    assert same_particle(one, atoms_at(bent[~low], 0.015))  # atoms left, others came, and it bends
    other = inner + 0.04 * rng.normal(size=inner.shape) + noise[1]
    assert not same_particle(one, atoms_at(other[~low], 0.015))


def test_a_stretch_without_a_structure_is_left_over(crystal):
    _, (first, second) = worlds(crystal, crystal.positions)
    assert second.placed is None
    assert group_states([first, second]) == [[first]]


def test_states_of_one_structure_are_joined_only_where_errors_allow(crystal):
    rng = np.random.default_rng(3)
    one = atoms_at(crystal.positions + 0.03 * rng.normal(size=crystal.positions.shape))
    moved = replace(one, positions=crystal.positions * [1.04, 1.0, 0.96])
    poses = Poses.known(np.eye(3)[None], np.zeros((1, 2)))
    parts = [Stretch(100 * k, 100 * (k + 1), 0.0, Placed(poses, a), False)
             for k, a in enumerate((atoms_at(crystal.positions), moved, one, one))]  # fmt: skip
    assert [[s.first for s in state] for state in group_states(parts)] == [[0, 200, 300], [100]]


def test_the_same_atom_has_the_same_number():
    grid = np.array([[x, y, 0.0] for x in range(3) for y in range(3)]) * 2.8
    numbers, first, symbols = number_atoms([atoms_at(grid), atoms_at(grid[2:] + 0.2), atoms_at(grid[::-1])])
    assert numbers[0].tolist() == list(range(9))
    assert numbers[1].tolist() == list(range(2, 9))
    assert numbers[2].tolist() == list(range(9))[::-1]
    assert len(first) == len(symbols) == 9


def test_an_interval_has_the_ends_of_the_likelihood():
    starts, movie = np.arange(0, 400, 10), np.arange(1000, 1400)
    nats = np.where((starts >= 100) & (starts < 250), 8.0, -8.0)
    interval = _interval(nats, starts, 400, [], movie)
    assert (interval.first, interval.last) == (1100, 1249)
    assert 2 < interval.first_err < 4
    always = _interval(np.full(40, 8.0), starts, 400, [], movie)
    assert (always.first, always.first_err, always.last, always.last_err) == (1000, 0.0, 1399, 0.0)
    common = _interval(nats, starts, 400, [(252, 0.5)], movie)
    assert (common.last, common.last_err) == (1251, 1.0)


def test_the_command_line_takes_find_one_or_a_number():
    assert settings_of(None, None, "find").states.number is None
    assert settings_of(None, None, "one").states.number == 1
    assert settings_of(None, None, "4").states.number == 4
    with pytest.raises(InputError, match="'find', 'one' or a number"):
        settings_of(None, None, "many")
