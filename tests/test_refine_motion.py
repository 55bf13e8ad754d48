"""Atoms that move more in one direction than in another: found where they do, and not found where they do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import fft
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from single_rs.alignment import match_atoms
from single_rs.background import clean_stack
from single_rs.crystal.scattering import POTENTIAL_PER_FACTOR, interaction_constant, scattering_factor
from single_rs.records import Atoms, ParticleStack, Poses
from single_rs.refine import RefineConfig, Refined, refine_atoms
from single_rs.refine.adp import DisplacementTable, displacement_table
from single_rs.simulate import OpticsConfig, brownian_rotations, nanocrystal
from single_rs.simulate.optics import transfer
from single_rs.store.layout import DISPLACEMENT
from single_rs.store.tables import read_table, write_table

PIXEL, BOX, FRAMES, DOSE = 0.4, 72, 240, 40.0
ALONG = 0.015  # Å², excess of ⟨u²⟩ along the surface's normal: some 1.2 Å² of B
SIX = ([0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2])


def blurred_frames(positions: np.ndarray, tensors: np.ndarray, poses: Poses) -> np.ndarray:
    """Linear images of atoms whose waves lose exp(−2π² kᵀU k), at the poses."""
    ky, kx = fft.fftfreq(BOX, PIXEL)[:, None], fft.rfftfreq(BOX, PIXEL)[None]
    k = np.hypot(kx, ky)
    sign = (-1.0) ** np.add.outer(np.arange(BOX), np.arange(kx.size))
    factor = scattering_factor("Pt", k) * np.exp(-0.6 * k**2 / 4) * POTENTIAL_PER_FACTOR / PIXEL**2
    factor *= -2 * interaction_constant(300.0) * transfer(k, OpticsConfig()).imag * sign * (k < 0.5 / PIXEL)
    random = np.random.default_rng(4)
    images = np.empty((len(poses.rotations), BOX, BOX), np.float32)
    for image, r, t in zip(images, poses.rotations, poses.shifts, strict=True):
        x, u = positions @ r.T, r @ tensors @ r.T
        waves = np.exp(-2j * np.pi * (x[:, 0] + t[0])[:, None, None] * kx)
        waves = waves * np.exp(-2j * np.pi * (x[:, 1] + t[1])[:, None, None] * ky)
        form = u[:, 0, 0, None, None] * kx**2 + 2 * u[:, 0, 1, None, None] * kx * ky + u[:, 1, 1, None, None] * ky**2
        spectrum = (waves * np.exp(-2 * np.pi**2 * form)).sum(0) * factor
        # Noise of the empty beam everywhere: what is tested is the blur, not the noise of bright atoms.
        image[:] = DOSE * (1 + fft.irfft2(spectrum, s=(BOX, BOX))) + np.sqrt(DOSE) * random.normal(size=image.shape)
    return images


@pytest.fixture(scope="module")
def vibrating():
    """Positions of a 1.3 nm particle, which are at the surface, normals, U along them, poses, disturbed atoms."""
    x = nanocrystal("Pt", 13.0, seed=31, disorder=0.02).positions
    near = cKDTree(x).query_ball_point(x, 3.3)
    surface = np.array([len(k) - 1 < 10 for k in near])
    normal = np.array([a - x[k].mean(0) for a, k in zip(x, near, strict=True)])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    tensors = ALONG * surface[:, None, None] * normal[:, :, None] * normal[:, None, :]
    random = np.random.default_rng(32)
    rotations = brownian_rotations(FRAMES, 20.0, 0.0, 33)
    shifts = 0.4 * random.normal(size=(FRAMES, 2))
    poses = Poses.known(rotations, shifts, block=20)
    n = len(x)
    moved = x + 0.03 * random.normal(size=x.shape)
    atoms = Atoms(moved, np.full(n, "Pt"), np.ones(n), np.full(n, 2.0), np.full(n, 0.1), np.ones(n))
    return x, surface, normal, tensors, poses, atoms


def refined(vibrating, tensors: np.ndarray, folder=None) -> Refined:
    x, _, _, _, poses, atoms = vibrating
    clean = clean_stack(ParticleStack(blurred_frames(x, tensors, poses), PIXEL, np.arange(FRAMES), None))
    turn = Rotation.from_rotvec(np.deg2rad(0.5) / np.sqrt(3) * np.random.default_rng(5).normal(size=(FRAMES, 3)))
    start = replace(poses, rotations=(turn * Rotation.from_matrix(poses.rotations)).as_matrix())
    config = RefineConfig(resolution=0.85, anisotropic=True, halves=False)
    if folder is not None:
        found = refine_atoms(clean, start, atoms, config)
        write_table(folder / DISPLACEMENT, displacement_table(found.displacement, found.displacement_error))
        return found
    return refine_atoms(clean, start, atoms, config)


def test_surface_atoms_move_along_their_normals(vibrating, tmp_path):
    x, surface, normal, true, _, _ = vibrating
    found = refined(vibrating, true, tmp_path)
    assert found.summary.anisotropic_nats > 20
    assert found.displacement is not None
    assert found.displacement_error is not None
    match = match_atoms(found.atoms.positions, x)
    assert len(match.found) == len(x) == len(found.atoms)
    order = cKDTree(x).query(found.atoms.positions)[1]
    u = found.displacement[surface[order]]
    along = np.einsum("ai,aij,aj->a", normal[order][surface[order]], u, normal[order][surface[order]])
    across = (np.einsum("aii->a", u) - along) / 2
    # The learnt prior shrinks what the noise could have made, here to some 60 %.
    assert 0.4 * ALONG < (along - across).mean() < 1.1 * ALONG
    expected = true - np.trace(true.mean(0)) / 3 * np.eye(3)
    error = (found.displacement - expected[order])[:, *SIX]
    # 300 numbers scatter by 4 %; shrinkage and higher orders of the blur take some more.
    assert 0.75 < np.sqrt(np.mean(error**2 / found.displacement_error**2)) < 1.35
    table = read_table(tmp_path / DISPLACEMENT, DisplacementTable)
    np.testing.assert_allclose(table.tensor, found.displacement[:, *SIX], atol=1e-5)


def test_no_anisotropy_is_found_where_there_is_none(vibrating):
    found = refined(vibrating, 0 * vibrating[3])
    assert found.summary.anisotropic_nats < np.log(FRAMES)
    assert found.displacement is None
