"""Frames whose focus differs: found where they do, and poses that are better for it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from single_rs.background import clean_stack
from single_rs.records import Atoms, ParticleStack, Poses
from single_rs.refine import RefineConfig, refine_atoms
from single_rs.simulate import Microscope, OpticsConfig, brownian_rotations, nanocrystal

PIXEL, BOX, FRAMES, DOSE = 0.36, 80, 160, 12.0
JITTER = 20.0  # Å


@pytest.mark.slow
def test_focus_of_each_frame_is_found_and_poses_gain():
    crystal = nanocrystal("Pt", 14.0, seed=41)
    random = np.random.default_rng(42)
    rotations = brownian_rotations(FRAMES, 20.0, 0.0, 43)
    # Steps of 4 Å, so that a few microscopes do.
    defocus = 4.0 * np.rint(JITTER / 4 * random.normal(size=FRAMES))
    scopes = {d: Microscope(BOX, PIXEL, OpticsConfig(defocus=44.0 + d, scattering="multislice")) for d in set(defocus)}
    images = np.empty((FRAMES, BOX, BOX), np.uint16)
    for image, r, d in zip(images, rotations, defocus, strict=True):
        image[:] = random.poisson(DOSE * scopes[d].image(crystal.positions @ r.T, crystal.symbols))
    clean = clean_stack(ParticleStack(images, PIXEL, np.arange(FRAMES), None))
    turn = Rotation.from_rotvec(np.deg2rad(0.8) / np.sqrt(3) * random.normal(size=(FRAMES, 3)))
    start = (turn * Rotation.from_matrix(rotations)).as_matrix()
    poses = Poses.known(start, np.zeros((FRAMES, 2)), block=20)
    n = len(crystal.positions)
    moved = crystal.positions + 0.03 * random.normal(size=(n, 3))
    atoms = Atoms(moved, np.full(n, "Pt"), np.ones(n), np.full(n, 2.0), np.full(n, 0.1), np.ones(n))
    error, found = [], None
    for frame_focus in (False, True):
        found = refine_atoms(clean, poses, atoms, RefineConfig(frame_focus=frame_focus, halves=False))
        assert (found.depth is not None) == frame_focus
        off = Rotation.from_matrix(found.poses.rotations).inv() * Rotation.from_matrix(rotations)
        error.append(np.median((off * off.mean().inv()).magnitude()))
    assert found is not None
    assert found.depth is not None
    assert error[1] < 0.97 * error[0]
    # More defocus is less depth; the order of the expansion takes some of the correlation.
    assert np.corrcoef(found.depth, defocus)[0, 1] < -0.5
