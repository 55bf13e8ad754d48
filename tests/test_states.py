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
from changing import DATE, FRAMES, PIXEL, frames_of, layer_of
from single_rs.alignment import score_atoms
from single_rs.base.errors import ConvergenceError, InputError
from single_rs.cli.options import settings_of
from single_rs.compare.trends import compare_particles
from single_rs.io.atom_files import read_atom_file
from single_rs.pipeline import stages, states, stretch_work
from single_rs.pipeline.handedness import flip_folder
from single_rs.records import Atoms, Poses
from single_rs.refine.change import Change, Changes
from single_rs.refine.change.grouping import group_states
from single_rs.refine.change.same import same_particle
from single_rs.refine.change.settling import moved_frames, settled
from single_rs.refine.change.stretches import Placed, Stretch, Work, at_most, find_stretches
from single_rs.refine.change.timeline import _span, number_atoms
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

    def seat(clean, poses, seen, *args):
        tried.append(len(poses.rotations))
        return poses

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "find_poses", known)
        patch.setattr(stretch_work, "seat_runs", seat)
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


def atoms_at(positions, sigma=0.03):
    n = len(positions)
    return Atoms(positions, np.full(n, "Pt"), np.ones(n), np.ones(n), np.full(n, sigma), np.ones(n))


def worlds(crystal, second, found=None, join=False):
    """Stretches of a track whose second half is searched anew and gives the atoms `second`, at poses `found`."""
    n = 400
    rotations = Rotation.random(n, random_state=1).as_matrix()
    poses = Poses.known(rotations, np.zeros((n, 2)))
    clean = sr.CleanStack.bare(np.zeros((n, 8, 8), np.float32), 1.0, 4.0, 1.0)
    changes = Changes(n, (Change(200, 0.5, "poses", None, None, 200),), (1.0, 0.0), None, None, ())

    whole = Placed(poses, atoms_at(crystal.positions))

    def seat(part, given, known):
        return given

    def search(part):
        if found is None:
            raise ConvergenceError("nothing there")
        return Poses.known(found(rotations[part.frames]), np.zeros((len(part.frames), 2)))

    def place(part, given):
        return Placed(given, atoms_at(crystal.positions if part.frames[0] < 200 else second))

    def ask(part, given, atoms):
        return Changes(len(part.frames), (), (1.0,), None, None, ())

    return rotations, find_stretches(clean, whole, changes, Work(search, seat, place, ask, 100), join)


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
    assert [[(s.first, s.last) for s in state] for state in group_states([first, second])] == [[(0, 400)]]
    assert group_states([first, second], merge=False) == [[first], [second]]


def test_neighbours_of_one_structure_are_one_stretch(crystal):
    """The second one has a false atom, since it has few frames; both together do not change."""
    second = np.concatenate([crystal.positions, 1.3 * crystal.positions[:1]])
    _, (both,) = worlds(crystal, second, lambda r: r, join=True)
    assert (both.first, both.last, len(both.placed.atoms)) == (0, 400, len(crystal.positions))
    gone = layer_of(crystal)
    assert len(worlds(crystal, crystal.positions[~gone], lambda r: r, join=True)[1]) == 2


def test_a_stretch_in_wrong_mates_is_seated_by_maps_and_not_searched(crystal):
    n = 400
    truth = Rotation.random(n, random_state=1).as_matrix()
    lost = truth.copy()
    lost[200:] = truth[200:] @ Rotation.from_rotvec([0, 0, np.pi]).as_matrix()
    whole = Poses.known(lost, np.zeros((n, 2)), block=25)
    whole = replace(whole, diagnostics=replace(whole.diagnostics, own_share=0.6, jump_share=0.0))
    clean = sr.CleanStack.bare(np.zeros((n, 8, 8), np.float32), 1.0, 4.0, 1.0)
    changes = Changes(n, (Change(200, 0.5, "structure", 9.0, 9.0, 200),), (1.0, 1.0), None, None, ())

    def search(part):
        raise AssertionError("nothing is to be searched")

    def seat(part, given, known):
        moved, from_first = given.rotations.copy(), bool((part.frames[known] < 200).all())
        if from_first:  # the map of the first stretch, or of one of its parts, shows where the others belong
            moved[~known] = truth[part.frames[~known]]
        right = np.allclose(moved, truth[part.frames])
        return replace(given, rotations=moved, diagnostics=replace(given.diagnostics, own_share=0.95 if right else 0.5))

    def place(part, given):
        assert np.allclose(given.rotations, truth[part.frames])
        return Placed(given, atoms_at(crystal.positions))

    def ask(part, given, atoms):
        return Changes(len(part.frames), (), (1.0,), None, None, ())

    work = Work(search, seat, place, ask, 100)
    both = find_stretches(clean, Placed(whole, atoms_at(crystal.positions)), changes, work, join=False)
    assert [(s.first, s.last, s.searched, s.same) for s in both] == [(0, 200, False, True), (200, 400, False, True)]
    (joined,) = find_stretches(clean, Placed(whole, atoms_at(crystal.positions)), changes, work)
    assert np.allclose(joined.placed.poses.rotations, truth)


def test_what_is_not_found_in_most_frames_is_not_searched_in_the_others(crystal):
    n, searched = 600, []
    rotations = Rotation.random(n, random_state=1).as_matrix()
    poses = Poses.known(rotations, np.zeros((n, 2)))
    clean = sr.CleanStack.bare(np.zeros((n, 8, 8), np.float32), 1.0, 4.0, 1.0)
    cuts = tuple(Change(k, 0.5, "poses", None, None, k) for k in (180, 420))
    changes = Changes(n, cuts, (0.0, 0.0, 0.0), None, None, ())

    def search(part):
        searched.append(len(part.frames))
        given = Poses.known(rotations[part.frames], np.zeros((len(part.frames), 2)))
        return replace(given, diagnostics=replace(given.diagnostics, own_share=0.4))

    def ask(part, given, atoms):
        return Changes(len(part.frames), (), (1.0,), None, None, ())

    work = Work(
        search,
        lambda part, given, known: given,
        lambda part, given: Placed(given, atoms_at(crystal.positions)),
        ask,
        100,
    )
    found = find_stretches(clean, Placed(poses, atoms_at(crystal.positions)), changes, work, join=False)
    assert searched == [240]
    assert [s.placed is None for s in found] == [True, False, True]


def test_poses_are_settled_by_the_maps_of_their_own_frames():
    n = 200
    truth = Rotation.from_rotvec(np.deg2rad(3.0) * np.arange(n)[:, None] * np.array([0, 0, 1.0])).as_matrix()
    lost = truth.copy()
    lost[130:180] = truth[130:180] @ np.diag([1.0, -1.0, -1.0])
    poses = Poses.known(lost, np.zeros((n, 2)), block=25)
    clean = sr.CleanStack.bare(np.zeros((n, 8, 8), np.float32), 1.0, 4.0, 1.0)

    def seat(part, given, known):
        """Only a map of frames in one mate shows where the others belong."""
        of_one = np.allclose(given.rotations[known], truth[known])
        found = np.where((known | (not of_one))[:, None, None], given.rotations, truth)
        right = float(np.isclose(found, truth).all((1, 2)).mean())
        return replace(given, rotations=found, diagnostics=replace(given.diagnostics, own_share=right))

    known = settled(clean, poses, seat)
    assert known.clear
    assert np.allclose(known.poses.rotations, truth)
    assert moved_frames(poses, known.poses) == 50

    def refuse(part, given, known):
        raise InputError("too few frames")

    unknown = settled(clean, poses, refuse)
    assert (unknown.clear, unknown.poses) == (False, poses)


def test_no_more_frames_are_searched_anew_than_there_are():
    clean = sr.CleanStack.bare(np.zeros((60, 8, 8), np.float32), 1.0, 4.0, 1.0)
    search = at_most(100, lambda part: Poses.known(np.tile(np.eye(3), (len(part.frames), 1, 1)), np.zeros((60, 2))))
    assert len(search(clean).rotations) == 60
    with pytest.raises(ConvergenceError, match="60 frames are not searched anew: 40 are left to be"):
        search(clean)


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
    states = group_states(parts)
    assert [[(s.first, s.last) for s in state] for state in states] == [[(0, 100), (200, 400)], [(100, 200)]]
    assert len(states[0][1].placed.poses.rotations) == 2  # one of each part that was joined
    assert len(group_states(parts, merge=False)) == 4


def test_the_same_atom_has_the_same_number():
    grid = np.array([[x, y, 0.0] for x in range(3) for y in range(3)]) * 2.8
    numbers, first, symbols = number_atoms([atoms_at(grid), atoms_at(grid[2:] + 0.2), atoms_at(grid[::-1])])
    assert numbers[0].tolist() == list(range(9))
    assert numbers[1].tolist() == list(range(2, 9))
    assert numbers[2].tolist() == list(range(9))[::-1]
    assert len(first) == len(symbols) == 9


def test_an_atom_was_there_while_the_likelihood_says():
    edges = np.arange(0, 401, 10)
    nats = np.where((edges[:-1] >= 100) & (edges[:-1] < 250), 8.0, -8.0)
    span = _span(nats, np.full(40, 8.0), edges)
    assert (span.first, span.last) == pytest.approx((100, 250), abs=0.1)
    assert 2 < span.first_err < 4  # of a block
    interval = span.interval(np.arange(1000, 1400))
    assert (interval.first, interval.last) == (1100, 1249)
    always = _span(np.full(40, 8.0), np.full(40, 8.0), edges).interval(np.arange(1000, 1400))
    assert (always.first, always.first_err, always.last, always.last_err) == (1000, 0.0, 1399, 0.0)


def test_errors_of_dates_hold_where_the_model_errs():
    rng = np.random.default_rng(5)
    edges, misses, stated = np.arange(401), [], []
    for spread in (1.0, 3.0):  # of what the frames say, over their noise
        for _ in range(100):
            date = int(rng.integers(100, 300))
            sign = np.where(edges[:-1] < date, 1.0, -1.0)
            span = _span(4 * sign + spread * np.sqrt(8) * rng.normal(size=400), np.full(400, 4.0), edges)
            misses.append(span.last - date)
            stated.append(span.last_err)
    within = np.abs(misses) <= 2 * np.array(stated)
    assert within[:100].mean() >= 0.9
    assert within[100:].mean() >= 0.9
    assert np.median(stated[100:]) > 4 * np.median(stated[:100])


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
