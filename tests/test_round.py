"""One round of the search: what is centred, how wide it looks, which poses are doubted, and twins as a whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from single_rs.alignment import align_poses
from single_rs.background import clean_stack
from single_rs.frames.packed import time_blocks
from single_rs.orient import OrientConfig, find_poses
from single_rs.orient.indexing.lattice import OrientationCandidates
from single_rs.orient.indexing.symmetry import Candidates
from single_rs.orient.indexing.template import lattice_template
from single_rs.orient.indexing.transition import TransitionModel
from single_rs.orient.search.centres import centre, widen
from single_rs.orient.search.half import cross_validated
from single_rs.orient.search.round import Fold, fold_of, in_doubt, search_doubted, search_round, with_own
from single_rs.orient.search.solver import HalfPoses, HalfSolver, half_solver
from single_rs.records import HalfDiagnostics, ParticleStack
from single_rs.simulate import SimulatedStack, nanocrystal, simulate_stack

PIXEL = 0.4  # Å
FRAMES = 160


@pytest.fixture(scope="module")
def stack() -> SimulatedStack:
    """A single crystal of 18 Å that turns by 6° a frame."""
    crystal = nanocrystal("Pt", 18.0, seed=31)
    return simulate_stack(crystal, FRAMES, box=96, pixel_size=PIXEL, dose=12.0, step=6.0, jump_rate=0.0, seed=31)


@pytest.fixture
def half(stack: SimulatedStack) -> tuple[HalfSolver, list[Fold]]:
    return true_half(stack)


def true_half(stack: SimulatedStack) -> tuple[HalfSolver, list[Fold]]:
    """All frames of a stack in their true poses, as one half."""
    clean = clean_stack(ParticleStack(stack.images, PIXEL, np.arange(FRAMES), None))
    config, every = OrientConfig(), np.arange(FRAMES)
    blocks = time_blocks(clean.frames, 20, 0)
    solver = half_solver(
        clean, every, blocks.fold, np.zeros(FRAMES, np.int64), lattice_template("Pt"), config, config.search_resolution
    )
    transition = TransitionModel(np.radians(6.0) / np.sqrt(3), 0.01)
    indexed = OrientationCandidates(stack.rotations, every, stack.rotations, np.ones(FRAMES), transition)
    shifts = (stack.shifts - clean.offsets) / PIXEL
    one = np.ones(FRAMES)
    poses = HalfPoses(stack.rotations, shifts, one, one, 0.01 * one, 0 * one, transition)
    folds = [fold_of(solver, indexed, number) for number in np.unique(blocks.fold)]
    for fold in folds:
        m = fold.members
        fold.poses = poses.take(m)
    return solver, folds


def _shifted(folds: list[Fold], by: np.ndarray) -> None:
    for fold in folds:
        fold.poses = replace(fold.poses, shifts=fold.poses.shifts + by[fold.members])


def test_a_particle_off_its_centre_is_moved_there(half):
    solver, folds = half
    centre(solver, folds)
    before = [fold.poses.shifts for fold in folds]
    assert not centre(solver, folds)
    off = np.array([1.5, -2.0, 1.0])
    rotations = np.zeros((FRAMES, 3, 3))
    for fold in folds:
        rotations[fold.members] = fold.poses.rotations
    _shifted(folds, (rotations @ off)[:, :2])
    assert centre(solver, folds)
    for fold, shifts in zip(folds, before, strict=True):
        np.testing.assert_allclose(fold.poses.shifts, shifts, atol=0.1 / PIXEL)


def test_the_window_widens_by_what_persists_in_time_and_by_nothing_else(half):
    solver, folds = half
    narrow, random = solver.window, np.random.default_rng(3)
    assert not widen(solver, folds)
    # Wrong poses: any shift within the window, another one in each frame.
    reach = narrow * solver.spacing
    any_shift = random.uniform(-reach, reach, (FRAMES, 2))
    _shifted(folds, any_shift)
    assert not widen(solver, folds)
    assert solver.window == narrow
    # Centres off by what their grains outshine, for as long as these diffract.
    slowly = reach * np.stack([np.sin(np.arange(FRAMES) / 11), np.cos(np.arange(FRAMES) / 14)], axis=1)
    _shifted(folds, slowly - any_shift)
    assert widen(solver, folds)
    assert solver.window == 2 * narrow


def _own_share(solver: HalfSolver, folds: list[Fold]) -> HalfDiagnostics:
    sums = [solver.sums(fold.frames, fold.poses) for fold in folds]
    group = lattice_template("Pt").group
    turned = np.einsum("nii->n", group) < 2.9
    return cross_validated(solver, folds, sums, np.concatenate([np.eye(3)[None], group[turned]]))


def test_frames_of_a_crystal_without_symmetry_are_in_their_own_poses(half):
    found = _own_share(*half)
    assert found.own_share is not None
    assert found.own_share > 0.99
    assert found.mates == ()


def test_mates_of_a_nearly_symmetric_particle_are_told_with_their_shares():
    """A ball of lattice less a cap: most mates fit a frame as well as its own pose."""
    grid = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3), -1).reshape(-1, 3)
    sites = 1.96 * grid[grid.sum(axis=1) % 2 == 0]
    ball = sites[(np.linalg.norm(sites, axis=1) < 8.6) & (sites.sum(axis=1) / np.sqrt(3) < 6.5)]
    crystal = replace(nanocrystal("Pt", 18.0, seed=31), positions=ball, symbols=np.full(len(ball), "Pt"))
    made = simulate_stack(crystal, FRAMES, box=96, pixel_size=PIXEL, dose=12.0, step=6.0, jump_rate=0.0, seed=31)
    found = _own_share(*true_half(made))
    assert found.own_share is not None
    assert found.own_share < 0.8
    assert found.own_share + sum(mate.share for mate in found.mates) == pytest.approx(1, abs=0.05)
    assert [mate.share for mate in found.mates] == sorted((mate.share for mate in found.mates), reverse=True)
    assert {round(mate.angle_deg) for mate in found.mates} <= {0, 90, 120, 180}


def test_frames_some_degrees_off_have_a_scale_deficit_and_are_found_again(half):
    solver, folds = half
    fold = folds[0]
    sums = [solver.sums(f.frames, f.poses) for f in folds[1:]]
    reference = solver.map_reference(fold.frames, (sum(s[0] for s in sums), sum(s[1] for s in sums)))
    true = fold.poses.rotations
    wrong = np.arange(len(true)) % 4 == 3
    turn = Rotation.from_rotvec(np.radians(7.0) * np.array([0.6, 0.0, 0.8])).as_matrix()
    off = np.where(wrong[:, None, None], true @ turn, true)
    fold.poses = replace(fold.poses, rotations=off)
    fold.candidates = Candidates(np.arange(len(off)), off, np.zeros(len(off)))
    # Only their own poses are tried, so that the wrong ones stay, and say so.
    stay = search_round(solver, fold, reference, with_own(fold.candidates, fold.poses), None)
    fold.take(stay, np.zeros(len(off), bool))
    doubt = in_doubt(fold)
    still = np.einsum("nij,nij->n", stay.rotations, true) < 1 + 2 * np.cos(np.radians(3.0))
    assert still.sum() >= 5  # others climbed back
    assert doubt[still].mean() > 0.7
    assert doubt[~still].mean() < 0.2
    # What was searched all over and stayed is left alone, unless time does not place it.
    fold.take(stay, np.ones(len(off), bool))
    assert in_doubt(fold).sum() < doubt.sum()


def test_frames_in_doubt_are_found_again_and_the_others_left_as_they_are(half):
    solver, folds = half
    fold = folds[0]
    sums = [solver.sums(f.frames, f.poses) for f in folds[1:]]
    reference = solver.map_reference(fold.frames, (sum(s[0] for s in sums), sum(s[1] for s in sums)))
    true = fold.poses.rotations
    lost = np.isin(np.arange(len(true)), [0, 7, 8, len(true) - 1])
    turn = Rotation.from_rotvec([0.0, 0.0, 2.0]).as_matrix()
    fold.poses = replace(fold.poses, rotations=np.where(lost[:, None, None], true @ turn, true))
    fold.candidates = Candidates(np.arange(len(true)), true, np.zeros(len(true)))
    before = fold.poses
    search_doubted(solver, fold, reference, lost, np.eye(3)[None])
    np.testing.assert_array_equal(fold.poses.rotations[~lost], before.rotations[~lost])
    np.testing.assert_array_equal(fold.poses.score[~lost], before.score[~lost])
    assert (np.einsum("nij,nij->n", fold.poses.rotations, true)[lost] > 1 + 2 * np.cos(np.radians(3.0))).all()


@pytest.mark.slow
def test_a_decahedron_is_solved_from_one_of_its_lattices():
    # Its five grains outshine each other, so that measured centres are off by more than the first window.
    crystal = nanocrystal("Pt", 20.0, defect="marks_decahedron", seed=5)
    made = simulate_stack(crystal, 400, box=104, pixel_size=0.38, dose=12.0, step=6.0, jump_rate=0.01, seed=5)
    clean = clean_stack(ParticleStack(made.images, 0.38, np.arange(400), None))
    poses = find_poses(clean, "Pt", OrientConfig(fallback_engine="never"))
    assert (align_poses(poses.rotations, poses.frames, made.rotations).error_deg < 3).mean() > 0.95
