"""Errors of lengths that views leave, with all poses free: against least squares done in full, and known cases."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from single_rs.analysis.views import MODEL, PAIRS, known_lengths
from single_rs.pipeline.verdict import ONE_SIDED
from single_rs.records import Atoms, Poses

SIGMA = 0.02


def atoms(count: int = 40, sigma: float | None = SIGMA) -> Atoms:
    x = 5 * np.random.default_rng(1).normal(size=(count, 3))
    unknown = np.full(count, np.nan)
    covariance = None if sigma is None else np.tile(np.eye(3) * sigma**2, (count, 1, 1))
    return Atoms(x, np.full(count, "Pt"), unknown, unknown, unknown, unknown, covariance=covariance)


def poses(rotations: NDArray[np.float64]) -> Poses:
    return Poses.known(rotations, np.zeros((len(rotations), 2)))


def cone(degrees: float, count: int = 400) -> NDArray[np.float64]:
    rng = np.random.default_rng(4)
    tilt = np.radians(degrees) * np.sqrt(rng.random(count))
    spins = rng.uniform(0, 2 * np.pi, (2, count))
    return Rotation.from_euler("ZXZ", np.stack([spins[0], tilt, spins[1]], 1)).as_matrix()


def test_errors_are_those_of_least_squares_over_strain_and_all_poses() -> None:
    particle, rotations = atoms(), cone(50, 12)
    x = particle.positions - particle.positions.mean(axis=0)
    # Positions of all atoms in all frames by six components of strain and three turns of each frame.
    design = np.zeros((len(rotations), len(x), 2, 6 + 3 * len(rotations)))
    for f, r in enumerate(rotations):
        for k, (i, j) in enumerate(PAIRS):
            strain = np.zeros((3, 3))
            strain[i, j] = strain[j, i] = 1.0
            design[f, :, :, k] = x @ strain @ r[:2].T
        for k in range(3):
            design[f, :, :, 6 + 3 * f + k] = np.cross(np.eye(3)[k], x) @ r[:2].T
    flat = design.reshape(-1, design.shape[-1])
    # An atom that all frames place to SIGMA per axis of three has this error in one frame, per axis of two.
    single = SIGMA * np.sqrt(2 * len(rotations) / 3)
    covariance = single**2 * np.linalg.inv(flat.T @ flat)[:6, :6]
    found = known_lengths(particle, poses(rotations))
    assert found is not None
    along = np.array([(1 if i == j else 2) * found.least_known[i] * found.least_known[j] for i, j in PAIRS])
    assert found.worst_noise == pytest.approx(np.sqrt(along @ covariance @ along), rel=1e-6)
    assert found.worst == pytest.approx(np.hypot(found.worst_noise, MODEL * found.excess))


def test_views_from_all_sides_know_all_lengths_alike() -> None:
    found = known_lengths(atoms(300), poses(Rotation.random(2000, random_state=1).as_matrix()))
    assert found is not None
    assert found.excess == pytest.approx(1, abs=0.08)


def test_the_narrower_the_cone_the_less_is_known_along_its_axis() -> None:
    found = [known_lengths(atoms(300), poses(cone(degrees))) for degrees in (75, 50, 35, 20)]
    excess = [f.excess for f in found if f is not None]
    assert len(excess) == 4
    assert (np.diff(excess) > 0).all()
    assert excess[1] < ONE_SIDED < excess[3]
    assert found[-1] is not None
    assert abs(found[-1].least_known[2]) > np.cos(np.radians(10))


def test_one_direction_of_view_says_nothing_of_lengths_along_it() -> None:
    found = known_lengths(atoms(), poses(cone(0.0)))
    assert found is not None
    assert np.isinf(found.excess)
    assert found.worst is not None
    assert np.isinf(found.worst)


def test_without_errors_of_the_atoms_only_the_excess_is_known() -> None:
    known, bare = (known_lengths(atoms(40, sigma), poses(cone(50))) for sigma in (SIGMA, None))
    assert known is not None
    assert bare is not None
    assert bare.worst is None
    assert bare.excess == pytest.approx(known.excess)
    assert known_lengths(atoms(3), poses(cone(50))) is None
