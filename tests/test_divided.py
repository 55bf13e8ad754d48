"""Frames divided between equivalent mates come together; which engine is followed, and which one is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from single_rs.alignment import align_poses
from single_rs.background import clean_stack
from single_rs.frames.packed import time_blocks
from single_rs.orient import OrientConfig
from single_rs.orient.agreement import (
    MOST_JUMPS,
    agreement,
    better_of,
    has_pose_ambiguity,
)
from single_rs.orient.indexing.lattice import OrientationCandidates
from single_rs.orient.indexing.symmetry import Candidates
from single_rs.orient.indexing.template import lattice_template
from single_rs.orient.indexing.transition import TransitionModel
from single_rs.orient.search.half import _align_to_longest_run, _is_ambiguous
from single_rs.orient.search.round import fold_of
from single_rs.orient.search.segments import longest_run
from single_rs.orient.search.solver import HalfPoses, half_solver
from single_rs.records import ParticleStack, PoseDiagnostics, Poses
from single_rs.simulate import nanocrystal, simulate_stack

PIXEL = 0.4  # Å


def test_the_longest_run_ends_at_jumps_and_blocks():
    path = Rotation.from_rotvec(np.arange(12)[:, None] * [0.0, 0.05, 0.0]).as_matrix()
    path[3:] = path[3:] @ Rotation.from_rotvec([0.0, 0.0, 1.0]).as_matrix()
    one, block = np.ones(12), np.repeat([0, 1], [9, 3])
    assert np.flatnonzero(longest_run(path, one, block, 0.1)).tolist() == [3, 4, 5, 6, 7, 8]
    # Three frames in a clear pose are worth more than six in a poor one.
    unclear = np.repeat([1.0, 0.2, 0.5], [3, 6, 3])
    assert np.flatnonzero(longest_run(path, unclear, block, 0.1)).tolist() == [0, 1, 2]


@pytest.mark.slow
def test_an_ambiguous_half_is_aligned_to_its_longest_run():
    crystal = nanocrystal("Pt", 18.0, seed=31)
    stack = simulate_stack(crystal, 160, box=96, pixel_size=PIXEL, dose=12.0, step=6.0, jump_rate=0.0, seed=31)
    clean = clean_stack(ParticleStack(stack.images, PIXEL, np.arange(160), None))
    template, config, every = lattice_template("Pt"), OrientConfig(), np.arange(160)
    blocks = time_blocks(clean.frames, 20, 0)
    solver = half_solver(clean, every, blocks.fold, np.zeros(160, np.int64), template, config, config.search_resolution)
    # 60 frames in their pose, then 25 at a time in one mate after the other.
    mate = np.concatenate([np.zeros(60, int), np.repeat([5, 9, 14, 20], 25)])
    wrong = stack.rotations @ template.group[mate]
    shifts = (stack.shifts - clean.offsets) / PIXEL
    transition = TransitionModel(np.radians(6.0) / np.sqrt(3), 0.1)
    indexed = OrientationCandidates(wrong, every, wrong, np.ones(160), transition)
    poses = HalfPoses(wrong, shifts, np.ones(160), np.ones(160), np.full(160, 0.01), np.zeros(160), transition)
    folds = [fold_of(solver, indexed, number) for number in np.unique(blocks.fold)]
    for fold in folds:
        m = fold.members
        fold.poses = poses.take(m)
        fold.candidates = Candidates(np.arange(len(m)), wrong[m], np.zeros(len(m)))
    assert _is_ambiguous(folds)
    assert _align_to_longest_run(solver, folds) == 60
    found = np.empty_like(wrong)
    for fold in folds:
        found[fold.members] = fold.poses.rotations
    # The run itself stays as it is: no frame votes for itself.
    np.testing.assert_array_equal(found[:60], wrong[:60])
    assert (align_poses(wrong, every, stack.rotations).error_deg < 5).mean() < 0.5
    assert (align_poses(found, every, stack.rotations).error_deg < 5).mean() > 0.9
    assert not _is_ambiguous(folds)


def _poses(rotations: np.ndarray, weight: np.ndarray, score: float = 0.0, jumps: float | None = None) -> Poses:
    known = Poses.known(rotations, np.zeros((len(rotations), 2)))
    return replace(known, weight=weight, score=known.score + score, diagnostics=PoseDiagnostics(jump_share=jumps))


def test_poses_are_ambiguous_by_their_share_of_jumps():
    rotations, one = np.eye(3)[None].repeat(4, 0), np.ones(4)
    assert not has_pose_ambiguity(_poses(rotations, one))
    assert has_pose_ambiguity(_poses(rotations, one, jumps=MOST_JUMPS + 0.01))
    assert not has_pose_ambiguity(_poses(rotations, one, jumps=0.04))


def test_agreement_is_free_of_frame_and_counts_frames_in_use():
    rotations = Rotation.random(200, random_state=1).as_matrix()
    turned = rotations @ Rotation.from_euler("xyz", [0.3, 1.0, -2.0]).as_matrix()
    turned[:20] = Rotation.random(20, random_state=2).as_matrix()
    weight = np.ones(200)
    assert agreement(_poses(rotations, weight), _poses(turned, weight))[0] == pytest.approx(0.9)
    weight[:20] = 0
    assert agreement(_poses(rotations, weight), _poses(turned, weight))[0] == 1.0


def test_the_better_of_two_starts_is_kept():
    rotations = Rotation.random(50, random_state=1).as_matrix()
    worse, better = _poses(rotations, np.ones(50), 10.0), _poses(rotations[::-1], np.ones(50), 11.0)
    for pair in ((worse, better), (better, worse)):
        kept = better_of(*pair)
        np.testing.assert_array_equal(kept.rotations, better.rotations)
        assert kept.diagnostics.starts_agreement < 0.2
        assert kept.diagnostics.starts_lead == pytest.approx(0.1)
