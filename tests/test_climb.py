"""The lattice-free climb: its parts on frames of known pose, its whole on what it must never do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from single_rs.background import clean_stack
from single_rs.frames.volume import PAD, fourier_volume
from single_rs.orient.climb.hill import _join, _start, climb, solve_by_climb
from single_rs.orient.climb.solver import State
from single_rs.orient.config import OrientConfig
from single_rs.orient.indexing.lattice import FRIEDEL
from single_rs.orient.indexing.rotation_search import laying_rotations, rotation_grid
from single_rs.records import CleanStack, ParticleStack
from single_rs.simulate import nanocrystal, simulate_stack

FRAMES, DIAMETER, BOX, DOSE = 200, 16.0, 92, 20.0  # 140 platinum atoms
QUICK = OrientConfig(climb_rounds=3, climb_batch=12, search_rounds=0, break_rounds=1, polish_rounds=1)


@pytest.fixture(scope="module")
def world() -> tuple[CleanStack, np.ndarray]:
    """Cleaned frames and their true rotations."""
    stack = simulate_stack(nanocrystal("Pt", DIAMETER, seed=3), FRAMES, box=BOX, dose=DOSE, step=8.0, seed=5)
    clean = clean_stack(ParticleStack(stack.images, stack.pixel_size, np.arange(FRAMES)))
    return clean, stack.rotations


def first_frames(clean: CleanStack, count: int) -> CleanStack:
    names = ("images", "frames", "offsets", "frame_noise", "bad")
    return replace(clean, **{name: getattr(clean, name)[:count] for name in names})


def angles(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Degrees between poses after the one rotation of the particle that brings most together."""
    turn = Rotation.from_matrix(np.einsum("nji,njk->nik", true, found))
    error = np.zeros(len(found))
    for _ in range(5):
        error = (turn[error <= np.median(error)].mean().inv() * turn).magnitude()
    return np.degrees(error)


def cloud(positions: np.ndarray) -> np.ndarray:
    """Fourier volume of Gaussian atoms at positions (n, 3) in voxels from the centre of 32."""
    x = np.arange(32) - 16
    one = np.exp(-((x - positions[:, :, None]) ** 2) / (2 * 0.9**2))
    return fourier_volume(np.einsum("nz,ny,nx->zyx", one[:, 2], one[:, 1], one[:, 0]).astype(np.float32), 14 * PAD)


def fcc(radius: float) -> np.ndarray:
    """(n, 3) voxels, nearest neighbours 5.2 apart, the cut off centre."""
    n = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing="ij"), -1).reshape(-1, 3)
    x = n[n.sum(1) % 2 == 0] * 3.7
    return x[np.linalg.norm(x - [1.1, 0.4, 0.8], axis=1) < radius]


def test_a_turned_and_moved_particle_is_laid_on_itself() -> None:
    atoms = np.random.Generator(np.random.Philox(key=1)).uniform(-7, 7, (40, 3))
    turn = Rotation.from_rotvec([1.1, -0.7, 1.9]).as_matrix()
    found, alike = laying_rotations(cloud(atoms), cloud(atoms @ turn.T + [0.7, -1.2, 0.4]), 3, 10, 8)
    error = np.degrees(Rotation.from_matrix(found[0] @ turn.T).magnitude())
    assert error < 2.0
    assert alike[0] > 1.5 * alike[1], "nothing else fits a shapeless cloud nearly as well"


def test_a_cut_of_fcc_has_the_24_turns_of_the_cube() -> None:
    volume = cloud(fcc(11.0))
    turns, alike = laying_rotations(volume, volume, 3, 10, 40)
    assert (alike > 0.55 * alike[1]).sum() == 24
    cube = Rotation.create_group("O").as_matrix()
    trace = np.einsum("nij,mij->nm", turns[:24], cube).max(axis=1)
    assert np.degrees(np.arccos((trace.min() - 1) / 2)) < 3.0


def test_the_grid_covers_every_rotation() -> None:
    step = np.radians(15.0)
    trial = Rotation.random(200, random_state=0).as_matrix()
    trace = np.einsum("nij,mij->nm", trial, rotation_grid(step)).max(axis=1)
    # A body-centred cell of edge `step`, the roundest cover there is, reaches 0.7 steps; the spiral is a little worse.
    assert np.arccos(np.clip((trace - 1) / 2, -1, 1)).max() < 1.2 * step


def test_poses_disturbed_by_7_degrees_come_back(world: tuple[CleanStack, np.ndarray]) -> None:
    clean, true = world
    select = np.arange(FRAMES // 2)
    config = OrientConfig(climb_rounds=14, climb_batch=24)
    half = _start(clean, select, config, 0, 0)
    random = np.random.Generator(np.random.Philox(key=2))
    axes = random.standard_normal((len(select), 3))
    turns = Rotation.from_rotvec(np.radians(7.0) * axes / np.linalg.norm(axes, axis=1, keepdims=True))
    half.state.rotations = turns.as_matrix() @ true[select]
    climb(half, lambda: None, wander=False)
    found = half.state
    volumes = half.coarse.held_out(found)
    rotations, _ = half.coarse.polish(volumes, found.rotations, found.shifts, select)
    error = angles(rotations, true[select])
    assert np.median(error) < 3.0


def test_frames_of_random_pose_explain_each_other_better_as_they_climb(world: tuple[CleanStack, np.ndarray]) -> None:
    clean, _ = world
    half = _start(clean, np.arange(FRAMES // 2), OrientConfig(climb_rounds=12, climb_batch=30), 0, 0)
    climb(half, lambda: None)
    scores = [one.score for one in half.rounds if one.stage == "climb"]
    # Held out: in a heap of random poses no volume explains frames that it was not made of.
    assert scores[-1] > 2.0 * scores[0]
    assert np.mean(np.diff(scores) > 0) > 0.7


def test_halves_are_joined_through_any_rotation_hand_and_shift(world: tuple[CleanStack, np.ndarray]) -> None:
    clean, true = world
    halves = []
    for number in (0, 1):
        select = np.arange(FRAMES // 2) + number * FRAMES // 2
        half = _start(clean, select, OrientConfig(), 0, number)
        n = len(select)
        half.state = State(true[select], np.zeros((n, 2)), np.ones(n), np.zeros(n))
        halves.append(half)
    turn = Rotation.from_rotvec([0.4, 2.1, -0.9]).as_matrix()
    moved = np.array([1.5, -1.0, 0.8])  # px
    second = halves[1].state
    rotations = FRIEDEL[1] @ second.rotations @ turn
    halves[1].state = replace(second, rotations=rotations, shifts=(rotations @ moved)[:, :2])
    joined, gap = _join(*halves)
    trace = np.einsum("nij,nij->n", joined.rotations, second.rotations)
    assert np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))).max() < 1.0
    assert np.abs(joined.shifts).max() * clean.pixel_size < 0.3
    assert gap > 2.0, "the verdict's limit for a clear join"


def test_the_same_seed_gives_the_same_bytes(world: tuple[CleanStack, np.ndarray]) -> None:
    clean, _ = world
    few = first_frames(clean, 60)
    first, again = (solve_by_climb(few, QUICK, None, 7) for _ in range(2))
    assert first.rotations.tobytes() == again.rotations.tobytes()
    assert first.shifts.tobytes() == again.shifts.tobytes()
    assert first.diagnostics == again.diagnostics
    starts = [_start(few, np.arange(30), QUICK, seed, 0).state.rotations for seed in (7, 8)]
    assert not np.allclose(*starts)
    product = first.rotations @ first.rotations.transpose(0, 2, 1)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-12)


def test_noise_gives_no_evidence(world: tuple[CleanStack, np.ndarray]) -> None:
    clean, _ = world
    random = np.random.Generator(np.random.Philox(key=3))
    noise = random.standard_normal(clean.images.shape, dtype=np.float32) * np.float32(np.sqrt(clean.noise[10]))
    poses = solve_by_climb(first_frames(replace(clean, images=noise), 100), QUICK, None, 0)
    assert poses.diagnostics.start.continuity < 0.05, "the verdict's limit for failed"
    assert poses.diagnostics.joining_lead < 0.5
    assert (poses.confidence > 0.5).mean() < 0.3
