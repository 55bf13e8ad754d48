"""Scores against a known truth: exact where the answer is known, blind to what projections cannot tell."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from single_rs.alignment import align_poses, match_atoms, score_atoms, score_poses
from single_rs.base.errors import InputError
from single_rs.simulate import nanocrystal


def _ragged(seed=3):
    return nanocrystal("Pt", 16.0, ragged=0.3, disorder=0.05, seed=seed).positions


@pytest.mark.parametrize("hand", [1, -1])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_moved_copy_with_noise_scores_its_noise(seed, hand):
    truth = _ragged()
    rng = np.random.default_rng(seed)
    q = Rotation.random(random_state=seed).as_matrix()
    kept = rng.permutation(len(truth))[: int(0.9 * len(truth))]
    found = hand * (truth[kept] + rng.normal(0, 0.05, (len(kept), 3))) @ q.T + [5, -3, 8]
    ghosts = found.mean(0) + Rotation.random(6, random_state=seed).apply([30.0, 0, 0])
    score = score_atoms(np.vstack([found, ghosts]), truth)
    assert score.matched == len(kept)
    assert score.recall == len(kept) / len(truth)
    assert score.precision == len(kept) / (len(kept) + 6)
    # Six fitted parameters take little from 3n coordinates of 5 pm each.
    assert score.rmsd == pytest.approx(5 * np.sqrt(3), rel=0.1)
    assert score.hand == hand


@pytest.mark.parametrize("hand", [1, -1])
def test_errors_are_told_along_the_axes_of_the_found_atoms(hand):
    truth, rng = _ragged(), np.random.default_rng(1)
    spread = np.array([0.02, 0.05, 0.1])  # Å along x, y, z of the found atoms
    noise = spread * rng.standard_normal(truth.shape)
    found = hand * truth @ Rotation.random(random_state=4).as_matrix().T + noise + [1, 2, 3]
    match = match_atoms(found, truth)
    assert len(match.found) == len(truth)
    np.testing.assert_array_equal(match.found, match.true)
    # 1/√(2 · 180 atoms) is 5 % of a standard deviation.
    np.testing.assert_allclose(match.error.std(axis=0), spread, rtol=0.15)
    np.testing.assert_allclose(match.error, noise[match.found] - noise.mean(axis=0), atol=0.03)
    assert match.hand == hand
    assert 0 < match.core.sum() < len(truth)


@pytest.mark.parametrize("hand", [1, -1])
def test_tetrahedra_are_aligned_with_each_other(hand):
    # Zincblende: no two bonds of an atom are 60° apart, and its mirror image lays the species on each other.
    steps = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    fcc = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    x = 6.05 * np.concatenate([(steps + fcc).reshape(-1, 3), (steps + fcc + 0.25).reshape(-1, 3)]) - [1.1, 0.4, 0.7]
    x = x[(np.linalg.norm(x, axis=1) < 9.5) & (x @ [0.8, 0.6, 0.0] < 7.0) & (x @ [0.0, 0.3, 0.95] < 6.0)]
    turn = Rotation.random(random_state=3).as_matrix()
    found = hand * x @ turn.T + np.random.default_rng(1).normal(0, 0.02, x.shape) + [1.0, -2.0, 0.5]
    score = score_atoms(found, x)
    assert (score.recall, score.precision) == (1.0, 1.0)
    assert score.rmsd == pytest.approx(2 * np.sqrt(3), rel=0.15)


def test_an_exact_copy_has_no_error_and_noise_does_not_match():
    truth = _ragged()
    score = score_atoms(truth, truth)
    assert (score.recall, score.precision, score.matched) == (1, 1, len(truth))
    assert score.rmsd < 1e-6
    rng = np.random.default_rng(0)
    assert score_atoms(rng.uniform(-8, 8, truth.shape), truth).recall < 0.4


def test_nothing_found_is_a_score_and_no_truth_an_error():
    truth = _ragged()
    nothing = score_atoms(np.empty((0, 3)), truth)
    assert (nothing.recall, nothing.precision) == (0, 0)
    assert np.isnan(nothing.rmsd)
    with pytest.raises(InputError, match="true atoms"):
        score_atoms(truth, truth[:3])


@pytest.mark.parametrize("hand", [1, -1])
def test_poses_are_compared_up_to_one_rotation_and_the_hand(hand):
    n, rng = 1000, np.random.default_rng(0)
    truth = Rotation.random(n, random_state=0).as_matrix()
    axis = rng.normal(size=(n, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    error = np.where(np.arange(n) % 4, 0.5, 2.5)
    flip = np.diag([hand, hand, 1.0])
    found = flip @ Rotation.from_rotvec(np.radians(error)[:, None] * axis).as_matrix() @ truth
    found = found @ Rotation.random(random_state=5).as_matrix()
    found[::10] = Rotation.random(100, random_state=9).as_matrix()
    frames = np.arange(n)[: n // 2]
    score = score_poses(found[frames], frames, truth)
    right = np.ones(n, bool)
    right[::10] = False
    placed = np.arange(n) < n // 2
    # Frames without a pose are wrong; random poses come within 3° in 1 of 40,000 cases.
    assert score.within_3deg == pytest.approx((right & placed).mean(), abs=0.002)
    assert score.within_1deg == pytest.approx((right & placed & (error < 1)).mean(), abs=0.002)
    assert score.hand == hand
    assert (score.frames, score.placed) == (n, n // 2)


@pytest.mark.parametrize("hand", [1, -1])
def test_found_poses_are_turned_into_the_frame_of_the_truth(hand):
    truth = Rotation.random(200, random_state=1).as_matrix()
    found = np.diag([hand, hand, 1.0]) @ truth @ Rotation.random(random_state=2).as_matrix()
    alignment = align_poses(found, np.arange(200), truth)
    assert alignment.hand == hand
    np.testing.assert_allclose(alignment.in_true_frame(found), truth, atol=1e-7)
    np.testing.assert_allclose(alignment.error_deg, 0, atol=1e-5)
