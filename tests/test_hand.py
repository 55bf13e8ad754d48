"""The other hand explains every image equally well: that is what "undetermined" means."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from single_rs.pipeline.handedness import flip_map, flip_positions, flip_rotations


def test_projected_atoms_are_the_same_for_both_hands():
    rng = np.random.default_rng(0)
    atoms = rng.normal(size=(40, 3)) * 8
    rotations = Rotation.random(30, random_state=0).as_matrix()
    mirrored = flip_rotations(rotations)
    np.testing.assert_allclose(np.linalg.det(mirrored), 1)
    before = np.einsum("nij,aj->nai", rotations, atoms)
    after = np.einsum("nij,aj->nai", mirrored, flip_positions(atoms))
    np.testing.assert_allclose(after[..., :2], before[..., :2], atol=1e-12)
    np.testing.assert_allclose(after[..., 2], -before[..., 2], atol=1e-12)


def test_map_and_atoms_are_mirrored_together():
    n, rng = 32, np.random.default_rng(1)
    density = rng.normal(size=(n, n, n)).astype(np.float32)
    atoms = rng.uniform(-10, 10, (20, 3))

    def at(volume, positions):
        return map_coordinates(volume, (positions + n // 2).T[::-1], order=1)

    np.testing.assert_allclose(at(flip_map(density), flip_positions(atoms)), at(density, atoms), atol=1e-5)


def test_flipping_twice_changes_nothing():
    density = np.random.default_rng(2).normal(size=(8, 8, 8))
    np.testing.assert_array_equal(flip_map(flip_map(density)), density)
    rotations = Rotation.random(3, random_state=2).as_matrix()
    np.testing.assert_array_equal(flip_rotations(flip_rotations(rotations)), rotations)
