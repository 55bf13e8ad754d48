"""Mates of a pose: followed in time, undone, sorted and joined."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from single_rs.orient.indexing.lattice import nearest_mates, to_quaternions
from single_rs.orient.indexing.symmetry import Candidates, best_of, symmetry_mates, unfold
from single_rs.orient.indexing.template import lattice_template


def test_unfolding_follows_a_slow_rotation_through_its_mates():
    group = lattice_template("Pt").group
    random = np.random.default_rng(2)
    steps = Rotation.from_rotvec(random.normal(0, np.radians(2), (60, 3)))
    path = [Rotation.from_euler("xyz", [20, 35, 50], degrees=True)]
    for step in steps:
        path.append(step * path[-1])
    truth = np.stack([r.as_matrix() for r in path])
    mixed = symmetry_mates(truth[:, None], group)[np.arange(61), random.integers(0, 48, 61)]
    followed, segment = unfold(mixed, group, np.zeros(61, np.int64), np.radians(2.0))
    longest = np.bincount(segment).argmax()
    members = segment == longest
    # Within a segment one and the same mate takes the true path to the followed one.
    for f in (np.eye(3), np.diag([-1.0, -1.0, 1.0])):
        relation = np.einsum("nji,njk->nik", f @ truth[members], followed[members])
        if np.allclose(relation, relation[0], atol=1e-6):
            break
    else:
        pytest.fail("the segment changes its mate")


def test_nearest_mate_undoes_any_mate():
    group = lattice_template("Pt").group
    truth = Rotation.random(20, random_state=5).as_matrix()
    near = truth @ Rotation.from_rotvec([0.05, -0.02, 0.03]).as_matrix()
    mixed = symmetry_mates(near[:, None], group)[:, ::7]
    aligned, angle = nearest_mates(to_quaternions(mixed), to_quaternions(truth), group)
    np.testing.assert_allclose(angle, np.linalg.norm([0.05, -0.02, 0.03]), atol=2e-3)
    assert (np.einsum("nkc,nc->nk", aligned, to_quaternions(truth)) > 0.99).all()


def test_best_of_sorts_within_each_frame():
    frame = np.array([0, 0, 0, 1, 2, 2])
    index, there = best_of(frame, np.array([1.0, 3, 2, 5, 0, 4]), 2)
    assert index.tolist() == [[1, 2], [3, 3], [5, 4]]
    assert there.tolist() == [[True, True], [True, False], [True, True]]


def test_candidates_are_taken_and_joined_by_frame():
    candidates = Candidates(np.array([0, 0, 1, 2]), np.eye(3)[None].repeat(4, 0), np.arange(4.0))
    taken = candidates.of_frames(np.array([True, False, True]))
    assert taken.frame.tolist() == [0, 0, 2]
    assert taken.prior.tolist() == [0.0, 1.0, 3.0]
    joined = taken.joined(np.eye(3)[None].repeat(2, 0), np.array([1, 0]), -7.0)
    assert joined.frame.tolist() == [0, 0, 0, 1, 2]
    assert joined.prior.tolist() == [0.0, 1.0, -7.0, -7.0, 3.0]
