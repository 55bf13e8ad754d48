"""Refinement: atoms and poses that come back, atoms that exist, and errors that can be believed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from single_rs.alignment import match_atoms
from single_rs.analysis.model import Particle
from single_rs.background import clean_stack
from single_rs.base.errors import InputError
from single_rs.cli import main
from single_rs.export.atoms import read_xyz, write_xyz
from single_rs.io import write_stack
from single_rs.io.star import write_poses
from single_rs.records import Atoms, ParticleStack, Poses
from single_rs.refine import RefineConfig, refine_atoms
from single_rs.refine.covariance import bootstrap, by_cells, pooled, total
from single_rs.refine.occupancy_test import empty_sites
from single_rs.refine.species import classify, surroundings
from single_rs.simulate import nanocrystal, simulate_stack

PIXEL, BOX, FRAMES = 0.4, 80, 160
CONFIG = RefineConfig(rounds=3, resolution=0.85)


def atoms_at(positions: np.ndarray) -> Atoms:
    n = len(positions)
    return Atoms(positions, np.full(n, "Pt"), np.ones(n), np.full(n, 2.0), np.full(n, 0.1), np.ones(n))


@pytest.fixture(scope="module")
def case():
    """A 1.5 nm particle: cleaned frames, disturbed poses (1.5°, 0.05 Å) and true positions."""
    crystal = nanocrystal("Pt", 15.0, seed=21)
    stack = simulate_stack(crystal, FRAMES, box=BOX, pixel_size=PIXEL, dose=12.0, step=20.0, seed=21)
    clean = clean_stack(ParticleStack(stack.images, PIXEL, np.arange(FRAMES), None))
    random = np.random.default_rng(22)
    turn = Rotation.from_rotvec(np.deg2rad(1.5) / np.sqrt(3) * random.normal(size=(FRAMES, 3)))
    rotations = (turn * Rotation.from_matrix(stack.rotations)).as_matrix()
    poses = Poses.known(rotations, stack.shifts + 0.05 * random.normal(size=(FRAMES, 2)), block=20)
    return clean, poses, crystal.positions, stack


@pytest.fixture(scope="module")
def refined(case):
    """Refined from atoms 5 pm off, one corner atom missing, one false atom at the rim."""
    clean, poses, true, _ = case
    random = np.random.default_rng(23)
    corner = int(np.argmax(np.linalg.norm(true, axis=1)))
    start = np.delete(true, corner, axis=0) + 0.05 * random.normal(size=(len(true) - 1, 3))
    sites = empty_sites(start)
    false = sites[np.argmax(np.linalg.norm(sites - true[corner], axis=1))]
    return refine_atoms(clean, poses, atoms_at(np.vstack([start, false])), CONFIG)


def test_atoms_come_back_and_false_ones_go(case, refined):
    true = case[2]
    match = match_atoms(refined.atoms.positions, true)
    assert len(refined.atoms) == len(match.found) == len(true)
    assert refined.summary.added == refined.summary.removed == 1
    # From 8.7 pm in 3D; the bound of this dose and these frames is about 2 pm.
    assert np.sqrt((match.error**2).sum(1).mean()) < 0.03
    assert refined.atoms.probability.min() > 0.9


def test_merged_and_doubled_atoms_come_apart(case):
    clean, poses, true, _ = case
    tree = cKDTree(true)
    neighbours = [np.setdiff1d(near, [i]) for i, near in enumerate(tree.query_ball_point(true, 3.3))]
    surface = [i for i, near in enumerate(neighbours) if len(near) < 9]
    one = surface[0]
    other = next(j for j in neighbours[one] if j in surface)
    # Far from the merged pair, so that each stands for itself.
    doubled = max(surface, key=lambda i: np.linalg.norm(true[i] - true[one]))
    start = np.delete(true, [one, other], axis=0)
    extra = [(true[one] + true[other]) / 2, true[doubled] + [0.5, -0.4, 0.3]]
    found = refine_atoms(clean, poses, atoms_at(np.vstack([start, extra])), replace(CONFIG, halves=False)).atoms
    match = match_atoms(found.positions, true)
    assert len(found) == len(match.found) == len(true)
    # The pair starts 1.4 Å off; twice the error of the rest is what two rounds leave.
    assert np.linalg.norm(match.error, axis=1).max() < 0.12


def test_errors_are_the_stated_ones(case, refined):
    match = match_atoms(refined.atoms.positions, case[2])
    variance = np.einsum("nii->ni", refined.covariance)[match.found]
    # Squares of 3n errors scatter by √(2/3n), 7 % for 130 atoms: half of that on the ratio, and some for the model.
    assert 0.8 < np.sqrt(np.mean(match.error**2 / variance)) < 1.25
    bound = np.einsum("nii->n", refined.fisher)
    np.testing.assert_allclose(np.mean(np.einsum("nii->n", refined.bootstrap)) / np.mean(bound), 1.0, atol=0.4)
    assert (np.linalg.eigvalsh(refined.covariance) > 0).all()
    np.testing.assert_allclose(refined.atoms.sigma**2, np.einsum("nii->n", refined.covariance) / 3)


def test_poses_are_nearer_to_the_truth(case, refined):
    _, poses, _, stack = case
    error = [
        np.median((Rotation.from_matrix(p.rotations).inv() * Rotation.from_matrix(stack.rotations)).magnitude())
        for p in (poses, refined.poses)
    ]
    # What is left, 0.45°, is the noise of single frames of so small a particle.
    assert error[1] < 0.5 * error[0]


def test_strangers_are_left_out(case, refined):
    clean, poses, _, _ = case
    rotations = poses.rotations.copy()
    rotations[:20] = rotations[20:40]
    config = replace(CONFIG, rounds=1, halves=False, select=False)
    found = refine_atoms(clean, replace(poses, rotations=rotations), refined.atoms, config)
    assert (found.scale[:20] == 0).sum() >= 18
    assert (found.scale[20:] == 0).sum() <= 2


def test_the_command_refines_files(case, refined, tmp_path, capsys):
    _, poses, true, stack = case
    write_stack(tmp_path / "stack.mrcs", stack.images, PIXEL)
    write_poses(tmp_path / "poses.star", poses, "stack.mrcs", PIXEL, BOX)
    shape = (np.zeros(len(true), int), np.zeros(len(true), int), np.zeros(len(true), bool))
    write_xyz(tmp_path / "atoms.xyz", Particle(atoms_at(true), *shape, box=BOX, pixel_size=PIXEL))
    files = [str(tmp_path / name) for name in ("stack.mrcs", "poses.star", "atoms.xyz")]
    flags = ["--refine.rounds", "1", "--refine.halves", "false", "--refine.resolution", "0.85"]
    assert main(["refine", *files, "--out", str(tmp_path / "out"), *flags]) == 0
    assert f"{len(true)} atoms" in capsys.readouterr().out
    found = read_xyz(tmp_path / "out" / "atoms.xyz")
    assert found.covariance is not None
    assert np.sqrt(((found.positions - true) ** 2).sum(1).mean()) < 0.04
    assert {"poses.star", "refine.json"} <= {f.name for f in (tmp_path / "out").iterdir()}


def test_bad_input_is_refused(case, refined):
    clean, poses, _, _ = case
    with pytest.raises(InputError, match="poses for"):
        refine_atoms(clean, Poses.known(poses.rotations[:5], poses.shifts[:5]), refined.atoms)
    with pytest.raises(InputError, match="at least 4"):
        refine_atoms(clean, poses, atoms_at(np.zeros((2, 3))))


def test_empty_sites_of_a_crystal_are_its_missing_atoms():
    grid = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), -1).reshape(-1, 3)
    fcc = grid[grid.sum(1) % 2 == 0] * 1.96
    hole = int(np.argmin(np.linalg.norm(fcc, axis=1)))
    sites = empty_sites(np.delete(fcc, hole, axis=0))
    assert np.linalg.norm(sites - fcc[hole], axis=1).min() < 1e-9
    # Every site continues the lattice.
    assert np.abs(sites / 1.96 - np.rint(sites / 1.96)).max() < 1e-9
    assert (np.rint(sites / 1.96).sum(1) % 2 == 0).all()


def test_bootstrap_is_the_covariance_of_the_sum():
    random = np.random.default_rng(1)
    scale = np.array([1.0, 2.0, 0.5])
    steps = random.normal(size=(400, 50, 3)) * scale
    found = bootstrap(steps).mean(0)
    np.testing.assert_allclose(found, 400 * np.diag(scale**2), atol=0.03 * 1600)


def test_total_error_grows_to_what_the_halves_show():
    own = np.tile(np.eye(3), (90, 1, 1))
    surface = np.arange(90) < 45
    halves = np.where(surface[:, None], 4.0, 0.1) * np.ones((90, 3))
    found = total(pooled(own, own, 50, surface), halves, np.full((90, 3), 0.5), surface)
    np.testing.assert_allclose(found[0], np.eye(3) * 4.25)
    np.testing.assert_allclose(found[-1], np.eye(3) * 1.25)


def test_two_elements_are_told_apart():
    random = np.random.default_rng(2)
    heavy = random.random(300) < 0.4
    heights = np.where(heavy, 1.0, 0.5) * (1 + 0.06 * random.normal(size=300))
    probability, gain = classify(heights, 0.1 * random.normal(size=300), ("Pd", "Pt"))
    np.testing.assert_allclose(probability.sum(1), 1.0)
    assert ((probability[:, 1] > 0.5) == heavy).mean() > 0.99
    assert gain > 100


def test_elements_of_nearly_equal_height_are_told_by_height_and_width_together():
    random = np.random.default_rng(3)
    heavy = random.random(280) < 0.5
    # As measured on simulated PtPd: heights 1.09 and 0.91, and within an element 0.06 that goes with the width.
    common = random.normal(size=280)
    heights = np.where(heavy, 1.09, 0.91) + 0.06 * common
    widths = np.where(heavy, -0.27, 0.27) + 0.3 * (0.85 * common + 0.53 * random.normal(size=280))
    probability, gain = classify(heights, widths, ("Pt", "Pd"))
    right = (probability[:, 0] > 0.5) == heavy
    assert gain > 50
    assert right.mean() > 0.97
    # Probabilities mean what they say: expected and found errors of some 280 atoms.
    assert abs(probability.max(1).mean() - right.mean()) < 0.02


@pytest.mark.slow
def test_a_pure_particle_stays_pure_though_surroundings_change_its_heights():
    # As measured on simulated Pt at 10 e/px: heights of 0.06, mostly by where the atom is, that go with the width, and
    # a few atoms in the tails.
    split = []
    for seed in range(12):
        random = np.random.default_rng(seed)
        crystal = nanocrystal("Pt", 19.0, seed=seed).positions
        around = surroundings(crystal)
        n = len(crystal)
        common = random.normal(size=n) * np.where(random.random(n) < 0.04, 3.0, 1.0)
        heights = 1 + 0.12 * around[:, 1] ** 2 + 0.035 * common
        widths = 0.3 * around[:, 1] + 0.25 * (0.85 * common + 0.5 * random.normal(size=n))
        split.append(classify(heights, widths, ("Pt", "Pd"), around)[1] > 0)
    assert not any(split)


def test_a_shell_of_another_element_is_not_taken_for_surroundings():
    random = np.random.default_rng(5)
    crystal = nanocrystal("Pd", 19.0, second="Pt", mixing="core_shell", seed=5)
    heavy, n = crystal.symbols == "Pt", len(crystal)
    common = random.normal(size=n)
    heights = np.where(heavy, 1.09, 0.91) + 0.06 * common
    widths = np.where(heavy, -0.27, 0.27) + 0.3 * (0.85 * common + 0.53 * random.normal(size=n))
    probability, gain = classify(heights, widths, ("Pt", "Pd"), surroundings(crystal.positions))
    assert gain > 20
    assert ((probability[:, 0] > 0.5) == heavy).mean() > 0.95


def test_one_element_is_not_made_two():
    random = np.random.default_rng(4)
    probability, gain = classify(1 + 0.05 * random.normal(size=300), 0.2 * random.normal(size=300), ("Pt", "Pd"))
    assert gain <= 0
    np.testing.assert_allclose(probability, 0.5)


def test_what_the_model_does_wrong_in_a_view_shows_in_cells_of_views_and_not_in_blocks_of_time():
    random, frames, atoms, cells = np.random.default_rng(7), 1200, 40, 60
    noise = random.normal(size=(frames, atoms, 3))
    view = random.integers(0, cells, frames)
    wrong = 0.5 * random.normal(size=(cells, atoms, 3))[view]
    time = np.arange(frames) // 50
    # All atoms to one side is no error of any of them.
    basis = np.tile(np.eye(3), atoms) / np.sqrt(atoms)
    together = 5 * random.normal(size=(cells, 1, 3))[view]

    def variance(frame: np.ndarray, group: np.ndarray) -> float:
        count = int(group.max()) + 1
        steps = np.stack([frame[group == k].sum(0) for k in range(count)]) / frames
        return by_cells(steps, np.bincount(group, minlength=count) / frames, basis)

    ratio = [variance(noise + w + together, view) / variance(noise + w + together, time) for w in (0.0, wrong)]
    # Twenty frames share each cell's error: (1 + 20 · 0.25) / (1 + 0.25) times the variance that time blocks see.
    assert ratio[0] == pytest.approx(1.0, abs=0.1)
    assert ratio[1] == pytest.approx(6.0 / 1.25, rel=0.15)
