"""Evenly spread indices, and scatter that outliers do not move."""

from __future__ import annotations

import numpy as np
import pytest

from single_rs.base.robust import robust_sigma
from single_rs.base.sampling import evenly


@pytest.mark.parametrize(("count", "most"), [(1, 5), (5, 5), (7, 3), (1000, 16), (12345, 4000)])
def test_indices_are_spread_evenly_from_the_first_to_the_last(count, most):
    chosen = evenly(count, most)
    assert len(chosen) == min(count, most)
    assert chosen[0] == 0
    assert chosen[-1] == (count - 1 if most > 1 else 0)
    steps = np.diff(chosen)
    assert (steps > 0).all()
    assert np.ptp(steps) <= 1 if len(steps) else True


def test_nothing_has_no_indices():
    assert len(evenly(0, 5)) == 0


def test_the_robust_scatter_is_the_standard_deviation_and_deaf_to_outliers():
    values = 3.0 + 0.5 * np.random.default_rng(1).standard_normal(20000)
    assert robust_sigma(values) == pytest.approx(0.5, rel=0.02)
    values[:2000] = 1e6
    assert robust_sigma(values) == pytest.approx(0.5, rel=0.2)
