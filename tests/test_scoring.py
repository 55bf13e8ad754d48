"""Scores against a known truth: exact where the answer is known, blind to what projections cannot tell."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from single_rs.errors import InputError
from single_rs.scoring import score_atoms, score_poses
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
