"""Smoothing of paths: parameters come back from simulated walks, errors shrink and are told right."""

from __future__ import annotations

import numpy as np
import pytest

from single_rs.base.trajectory import correlated_part, smooth_path, walk_variances


def free_walk(n: int, q: float, rng: np.random.Generator) -> np.ndarray:
    return np.cumsum(rng.normal(0, np.sqrt(q), (n, 2)), axis=0)


def test_variances_of_a_noisy_walk_come_back() -> None:
    rng = np.random.default_rng(0)
    relative = rng.uniform(0.5, 2.0, 4000)
    values = free_walk(4000, 0.04, rng) + rng.normal(size=(4000, 2)) * np.sqrt(0.3 * relative)[:, None]
    q, r = walk_variances(np.arange(4000), values, relative)
    assert q == pytest.approx(0.04, rel=0.25)
    assert r == pytest.approx(0.3, rel=0.1)


def test_smoothing_helps_and_its_variance_is_honest() -> None:
    rng = np.random.default_rng(1)
    true = free_walk(3000, 0.04, rng)
    mean, variance = smooth_path(np.arange(3000), true + rng.normal(0, 1, true.shape), np.ones(3000), 0.04)
    error = mean - true
    assert error.std() < 0.4
    assert np.mean(error**2 / variance[:, None]) == pytest.approx(1.0, abs=0.15)


def test_gaps_are_bridged_by_a_straight_line_with_larger_sigma() -> None:
    times = np.concatenate([np.arange(50), np.arange(90, 140)])
    values = np.stack([times * 0.1, times * 0.0], axis=1)
    mean, variance = smooth_path(times, values, np.full(100, 1e-4), 0.01)
    np.testing.assert_allclose(mean, values, atol=0.05)
    missing = values.copy()
    missing[20:30] = np.nan
    mean, variance = smooth_path(times, missing, np.full(100, 1e-4), 0.01)
    np.testing.assert_allclose(mean, values, atol=0.05)
    assert variance[25] > 50 * variance[10]


def test_one_wild_measurement_does_not_bend_the_path() -> None:
    rng = np.random.default_rng(2)
    true = free_walk(300, 0.01, rng)
    values = true + rng.normal(0, 0.3, true.shape)
    values[150] += 40.0
    mean, _ = smooth_path(np.arange(300), values, np.full(300, 0.09), 0.01)
    assert np.abs(mean[145:156] - true[145:156]).max() < 1.0


def test_persistent_part_is_told_from_white_noise() -> None:
    rng = np.random.default_rng(3)
    keep = 0.9
    path = np.zeros((4000, 2))
    for i in range(1, 4000):
        path[i] = keep * path[i - 1] + rng.normal(0, np.sqrt(0.5 * (1 - keep**2)), 2)
    part = correlated_part(np.arange(4000), path + rng.normal(0, 1.0, path.shape))
    assert part.power == pytest.approx(0.5, rel=0.2)
    assert part.phi == pytest.approx(keep, abs=0.04)
    assert part.significance > 10
    white = correlated_part(np.arange(4000), rng.normal(0, 1.0, path.shape))
    assert abs(white.significance) < 4
