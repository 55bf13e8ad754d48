"""Errors of lengths that views leave, with all poses free: against least squares done in full, and known cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from single_rs.analysis.views import MODEL, PAIRS, known_lengths
from single_rs.base.tensors import strain_information
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
    # Poses have errors, whose part is taken off: 2e-4 of the information here.
    assert found.worst_noise == pytest.approx(np.sqrt(along @ covariance @ along), rel=1e-3)
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
    assert bare.excess == pytest.approx(known.excess, rel=0.01)  # which knows the errors of the poses besides
    assert known_lengths(atoms(3), poses(cone(50))) is None


def test_errors_that_atoms_share_are_those_of_lengths_and_no_error_of_the_model() -> None:
    particle, seen = atoms(300), poses(cone(50))
    alone = known_lengths(particle, seen)
    x = particle.positions - particle.positions.mean(axis=0)
    axis = np.array(alone.least_known)
    # An ellipse that nobody knows may leave lengths free by 3 % where the views alone know them well.
    mode = 0.03 * (x @ axis)[:, None] * axis
    both = known_lengths(replace(particle, modes=mode[None]), seen)
    assert both.worst_noise == pytest.approx(0.03, rel=0.01)
    assert both.worst == pytest.approx(np.hypot(both.worst_noise, MODEL * alone.excess), rel=1e-3)
    assert both.excess > 50


def test_errors_of_poses_do_not_pass_for_views() -> None:
    x = atoms(200).positions
    moment, share = 4e4 * np.eye(3) * np.mean(x**2), 0.1
    turn = np.random.default_rng(7).uniform(0, 2 * np.pi, (4000, 1))
    axis = np.array([np.sin(0.23), 0.0, np.cos(0.23)])
    seen = Rotation.from_rotvec(turn * axis).as_matrix()
    # About one axis a stretch along it, and an ellipse of the magnification, answer each other. Poses with the errors
    # that `share` leaves, at twice the variance of noise alone: a turn about the beam moves atoms by both coordinates.
    error = np.sqrt(2.0 / (share * moment[0, 0] * np.array([1, 1, 2])))
    off = Rotation.from_rotvec(error * np.random.default_rng(8).normal(size=(len(turn), 3)))
    found = (off * Rotation.from_matrix(seen)).as_matrix()
    true, noisy, corrected = (
        strain_information(moment, r, s).mean(axis=0) for r, s in ((seen, None), (found, None), (found, share))
    )
    confused = np.linalg.eigh(true)[1][:, 0]
    told = [float(confused @ information @ confused) for information in (true, noisy, corrected)]
    assert told[0] < 1e-3 * told[1]
    assert abs(told[2]) < 0.1 * told[1]
