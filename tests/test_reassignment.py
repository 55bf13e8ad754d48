"""Runs of frames in a wrong mate are moved to the right one by the map of others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import single_rs as sr
from changing import FRAMES, PIXEL, frames_of
from single_rs.base.errors import InputError
from single_rs.base.rotations import jumps, rotation_angle
from single_rs.orient.search.reassignment import reassign_runs
from single_rs.records import Poses

TURN = Rotation.from_rotvec(np.pi / np.sqrt(2) * np.array([1, -1, 0])).as_matrix()  # about [1 -1 0] of the lattice


@pytest.fixture(scope="module")
def seen():
    """Frames of a constant particle, its true rotations, and poses of which a run is in one wrong mate."""
    crystal = sr.nanocrystal("Pt", diameter=12.0, seed=3)
    rotations, images = frames_of(crystal, np.zeros(len(crystal.positions), bool))
    clean = sr.clean_stack(sr.ParticleStack(images, PIXEL, np.arange(FRAMES)))
    given = rotations.copy()
    given[150:200] = rotations[150:200] @ TURN
    return clean, rotations, Poses.known(given, np.zeros((FRAMES, 2)), block=30)


def off(poses, rotations):
    """Degrees (n,) by which poses miss."""
    return rotation_angle(np.einsum("nij,nij->n", poses.rotations, rotations))


def test_a_run_in_a_wrong_mate_is_moved_to_the_right_one(seen):
    clean, rotations, poses = seen
    known = np.arange(FRAMES) < 130
    found = reassign_runs(clean, poses, known, "Pt")
    assert np.median(off(poses, rotations)[150:200]) > 90
    assert (off(found, rotations) < 3).mean() > 0.97
    assert np.array_equal(found.rotations[known], poses.rotations[known])
    assert np.array_equal(found.shifts[known], poses.shifts[known])
    assert np.abs(found.shifts[150:200]).max() < 0.6
    assert found.diagnostics.own_share > 0.75  # of one half of 130 frames
    again = reassign_runs(clean, poses, known, "Pt")
    assert np.array_equal(found.rotations, again.rotations)


def test_a_run_that_nothing_tells_from_the_others_stays(seen):
    clean, rotations, _ = seen
    right = Poses.known(rotations, np.zeros((FRAMES, 2)), block=30)
    found = reassign_runs(clean, right, np.arange(FRAMES) < 130, "Pt")
    assert np.array_equal(found.rotations, right.rotations)


def test_a_map_needs_frames(seen):
    clean, rotations, poses = seen
    one_half = (poses.half == 1) & ((np.arange(FRAMES) < 150) | (np.arange(FRAMES) >= 200))
    assert (off(reassign_runs(clean, poses, one_half, "Pt"), rotations) < 3).mean() > 0.97
    with pytest.raises(InputError, match="30 frames are known; at least 40"):
        reassign_runs(clean, poses, np.arange(FRAMES) < 30, "Pt")
    with pytest.raises(InputError, match="none to reassign"):
        reassign_runs(clean, poses, np.ones(FRAMES, bool), "Pt")


def test_a_jump_is_far_longer_than_most_steps():
    steps = Rotation.from_rotvec(np.deg2rad(np.array([[0, 0, 2.0]] * 4 + [[0, 90.0, 0]] + [[0, 0, 2.0]] * 3)))
    path = [np.eye(3)]
    for step in steps.as_matrix():
        path.append(step @ path[-1])
    assert jumps(np.array(path)).tolist() == [False] * 4 + [True] + [False] * 3
    assert jumps(np.eye(3)[None]).tolist() == []
