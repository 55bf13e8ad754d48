"""Change in time: found where there is one, dated, and not found where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import single_rs as sr
from changing import DATE, FRAMES, PIXEL, frames_of, layer_of
from single_rs.pipeline.changes import judge_changes
from single_rs.pipeline.verdict import Verdict
from single_rs.records import Atoms, CleanStack, Poses
from single_rs.refine import refine_atoms
from single_rs.refine.change import Changes, StatesConfig, find_changes
from single_rs.refine.change.segments import best_division, divide_shares, posterior_date, step_in_mean

CONFIG = StatesConfig(shortest=60)


@pytest.fixture(scope="module")
def crystal():
    return sr.nanocrystal("Pt", diameter=12.0, seed=3)


def solved(crystal, gone, known=FRAMES, dates=(DATE,)) -> tuple[CleanStack, Poses, Atoms]:
    """Frames of a crystal whose atoms `gone` leave at `dates`, refined at poses that are right before `known`."""
    rotations, images = frames_of(crystal, gone, dates)
    clean = sr.clean_stack(sr.ParticleStack(images, PIXEL, np.arange(FRAMES)))
    given = rotations.copy()
    given[known:] = Rotation.random(FRAMES - known, random_state=1).as_matrix() if known < FRAMES else given[known:]
    poses = Poses.known(given, np.zeros((FRAMES, 2)))
    n = len(crystal.positions)
    atoms = Atoms(crystal.positions, crystal.symbols, np.ones(n), np.ones(n), np.full(n, 0.1), np.ones(n))
    refined = refine_atoms(clean, poses, atoms)
    return clean, refined.poses, refined.atoms


def test_a_constant_particle_is_one_state(crystal):
    made = solved(crystal, np.zeros(len(crystal.positions), bool))
    found = find_changes(*made, CONFIG)
    assert found == find_changes(*made, CONFIG)
    assert not found.changes
    assert not found.atoms
    assert found.significance < 5
    assert [(a.first, a.last, a.clear) for a in found.alternations] == [(0, FRAMES - 1, False)]
    assert judge_changes(Verdict("solved", ()), found).verdict == "solved"


def test_a_layer_that_leaves_is_seen_and_dated(crystal):
    found = find_changes(*solved(crystal, layer_of(crystal)), CONFIG)
    assert [c.kind for c in found.changes] == ["structure"]
    assert abs(found.changes[0].frame - DATE) <= 3
    assert {a.event for a in found.atoms} == {"left"}
    assert all(abs(a.frame - DATE) <= 3 * a.frame_err for a in found.atoms)
    verdict = judge_changes(Verdict("solved", ()), found)
    assert verdict.verdict == "doubtful"
    assert f"changed at frame {found.changes[0].frame}" in verdict.reasons[0]


def test_two_structures_in_turn_are_never_one_state(crystal):
    found = find_changes(*solved(crystal, layer_of(crystal), dates=range(20, FRAMES, 20)), CONFIG)
    assert not found.changes
    (turns,) = found.alternations
    assert turns.clear
    assert 0.35 < turns.share <= 0.5
    assert turns.turns >= 9
    verdict = judge_changes(Verdict("solved", ()), found)
    assert verdict.verdict == "doubtful"
    assert "two structures in turn" in verdict.reasons[0]


def test_poses_that_end_are_a_change(crystal):
    found = find_changes(*solved(crystal, np.zeros(len(crystal.positions), bool), known=DATE), CONFIG)
    assert [c.kind for c in found.changes] == ["poses"]
    assert abs(found.changes[0].frame - DATE) <= 2
    assert found.stretches() == [(0, found.changes[0].image), (found.changes[0].image, FRAMES)]
    assert found.shown[0] > 0.9
    assert found.shown[1] < 0.2


def test_a_step_has_the_nats_and_the_date_of_the_likelihood():
    rng = np.random.default_rng(1)
    values = np.where(np.arange(100) < 37, 1.0, 0.0) + rng.normal(size=100) * 0.1
    weight = np.full(100, 50.0)  # 1 / (2 · 0.1²)
    step = step_in_mean(values, weight, 3)
    assert step is not None
    assert step.at == 37
    assert step.nats == pytest.approx(50 * 37 * 63 / 100, rel=0.05)
    toward = 50 * ((values - step.after) ** 2 - (values - step.before) ** 2)
    date, error = posterior_date(np.concatenate([[0.0], np.cumsum(toward)])[:-1])
    assert date == pytest.approx(37, abs=0.1)
    assert error < 0.5
    assert step_in_mean(values[:5], weight[:5], 3) is None


def test_random_orders_are_the_measure_of_a_division():
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(60, 400))
    share = np.full(60, 1 / 60)
    still = best_division(noise @ noise.T / 60, share, 5, rng)
    assert still is not None
    assert still.significance < 5
    moved = noise + np.where(np.arange(60) < 21, 1.0, -21 / 39)[:, None] * 0.5
    changed = best_division(moved @ moved.T / 60, share, 5, rng)
    assert changed is not None
    assert changed.block == 21
    assert changed.significance > 8
    assert best_division(noise @ noise.T, share, 31, rng) is None


def test_shares_that_step_or_dip_are_divided():
    count = np.full(60, 10.0)
    assert divide_shares(np.r_[np.full(20, 9.0), np.full(40, 1.0)], count, 6) == [20]
    assert divide_shares(np.r_[np.full(20, 9.0), np.full(20, 1.0), np.full(20, 9.0)], count, 6) == [20, 40]
    bursts = np.where(np.arange(60) % 7 == 0, 2.0, 9.0)  # frames that the search lost now and then
    assert divide_shares(bursts, count, 6) == []


def test_what_was_not_asked_is_said():
    verdict = judge_changes(Verdict("solved", ("good",)), None)
    assert verdict.verdict == "solved"
    assert "not asked" in verdict.reasons[-1]
    short = judge_changes(Verdict("solved", ()), Changes(90, (), (1.0,), None, None, ()))
    assert "too few" in short.reasons[-1]
    assert judge_changes(Verdict("failed", ("bad",)), None).reasons == ("bad",)
