"""Rotations: what is nearest to a matrix, what lays two sets of points on each other, and angles."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from single_rs.base.rotations import BEAM_HALF_TURN, nearest_rotation, rotation_angle, superposition


def test_nearest_rotation_is_proper_and_nearest():
    rng = np.random.default_rng(3)
    matrices = rng.normal(size=(40, 3, 3))
    found = nearest_rotation(matrices)
    np.testing.assert_allclose(found @ np.swapaxes(found, 1, 2), np.broadcast_to(np.eye(3), (40, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(found), 1, atol=1e-12)
    distance = np.linalg.norm(found - matrices, axis=(1, 2))
    for other in Rotation.random(200, random_state=1).as_matrix():
        assert (np.linalg.norm(other - matrices, axis=(1, 2)) >= distance - 1e-12).all()
    rotations = Rotation.random(5, random_state=2).as_matrix()
    np.testing.assert_allclose(nearest_rotation(rotations), rotations, atol=1e-12)


def test_superposition_finds_the_rotation_and_no_mirror():
    points = np.random.default_rng(4).normal(size=(9, 3))
    rotation = Rotation.random(random_state=5).as_matrix()
    np.testing.assert_allclose(superposition(points, points @ rotation.T), rotation, atol=1e-12)
    assert np.linalg.det(superposition(points, -points)) > 0.999


def test_angles_and_the_half_turn():
    angles = np.array([0.0, 12.5, 90.0, 180.0])
    traces = Rotation.from_rotvec(np.radians(angles)[:, None] * [[0, 0.6, 0.8]]).as_matrix().trace(axis1=1, axis2=2)
    np.testing.assert_allclose(rotation_angle(traces), angles, atol=1e-5)
    assert rotation_angle(np.trace(BEAM_HALF_TURN)) == 180
