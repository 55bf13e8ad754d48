"""Stretches of time: reassigned, searched, brought into one frame, joined and dated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import single_rs as sr
from changing import atoms_at, layer_of
from single_rs.base.errors import ConvergenceError, InputError
from single_rs.records import Poses
from single_rs.refine.change import Change, Changes
from single_rs.refine.change.grouping import group_states
from single_rs.refine.change.same import same_particle
from single_rs.refine.change.settling import moved_frames, settled
from single_rs.refine.change.stretches import Placed, Stretch, Work, at_most, find_stretches
from single_rs.refine.change.timeline import _span, number_atoms


@pytest.fixture(scope="module")
def crystal():
    return sr.nanocrystal("Pt", diameter=12.0, seed=3)


def worlds(crystal, second, found=None, join=False):
    """Stretches of a track whose second half is searched anew and gives the atoms `second`, at poses `found`."""
    n = 400
    rotations = Rotation.random(n, random_state=1).as_matrix()
    poses = Poses.known(rotations, np.zeros((n, 2)))
    clean = sr.CleanStack.bare(np.zeros((n, 8, 8), np.float32), 1.0, 4.0, 1.0)
    changes = Changes(n, (Change(200, 0.5, "poses", None, None, 200),), (1.0, 0.0), None, None, ())

    whole = Placed(poses, atoms_at(crystal.positions))

    def reassign(part, given, known):
        return given

    def search(part):
        if found is None:
            raise ConvergenceError("nothing there")
        return Poses.known(found(rotations[part.frames]), np.zeros((len(part.frames), 2)))

    def place(part, given):
        return Placed(given, atoms_at(crystal.positions if part.frames[0] < 200 else second))

    def ask(part, given, atoms):
        return Changes(len(part.frames), (), (1.0,), None, None, ())

    return rotations, find_stretches(clean, whole, changes, Work(search, reassign, place, ask, 100), join)


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

    def reassign(part, given, known):
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

    work = Work(search, reassign, place, ask, 100)
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

    def reassign(part, given, known):
        """Only a map of frames in one mate shows where the others belong."""
        of_one = np.allclose(given.rotations[known], truth[known])
        found = np.where((known | (not of_one))[:, None, None], given.rotations, truth)
        right = float(np.isclose(found, truth).all((1, 2)).mean())
        return replace(given, rotations=found, diagnostics=replace(given.diagnostics, own_share=right))

    known = settled(clean, poses, reassign)
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
