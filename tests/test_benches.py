"""What the benches of the whole solver measure with: thinning, mates of poses, maps in the frame of the truth."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from single_rs.background import clean_stack
from single_rs.reconstruction.fourier import reconstruct
from single_rs.records import ParticleStack
from single_rs.simulate import nanocrystal, simulate_stack


@pytest.fixture
def common(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benches"))
    import common

    return common


def test_thinned_counts_are_poisson_counts_of_the_lower_dose(common: ModuleType) -> None:
    counts = np.random.default_rng(1).poisson(10.0, (50, 64, 64)).astype(np.int8)
    thin = common.thinned(common.Scene("s", "Pt", counts, 0.358, 10.0, {}), 3.0)
    assert thin.dose == 3.0
    assert (thin.images <= counts).all()
    # 205,000 pixels: the mean is known to 0.13 %, the variance to 0.4 %.
    assert thin.images.mean() == pytest.approx(3.0, rel=0.01)
    assert thin.images.var() == pytest.approx(3.0, rel=0.02)


@pytest.mark.parametrize("defect", ["none", "twin", "marks_decahedron", "icosahedron"])
def test_mates_are_told_from_wrong_poses(common: ModuleType, defect: str) -> None:
    grains = nanocrystal("Pt", 14.0, defect=defect, ragged=0).frames
    assert grains is not None
    n, rng = 400, np.random.default_rng(2)
    truth = Rotation.random(n, random_state=1).as_matrix()
    wrong = np.arange(n) % 5 == 0
    pick = [rng.integers(len(grains), size=n) for _ in range(2)]
    mate = grains[pick[0]] @ common.cube_rotations()[rng.integers(24, size=n)] @ grains[pick[1]].transpose(0, 2, 1)
    axis = rng.standard_normal((n, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    tilt = Rotation.from_rotvec(np.radians(0.5) * axis).as_matrix()
    found = tilt @ truth @ np.where((np.arange(n) % 2)[:, None, None], mate, np.eye(3))
    found[::4] = np.diag([-1.0, -1.0, 1.0]) @ found[::4]
    found[wrong] = Rotation.random(int(wrong.sum()), random_state=9).as_matrix()
    poses = replace(common.true_poses({"R": truth, "shift": np.zeros((n, 2))}), rotations=found)
    error = common.mate_errors(poses, truth, grains)
    assert np.percentile(error[~wrong], 99) < 0.8  # 0.5° and what the few seeds of the alignment leave
    assert np.mean(error[wrong] < 3) < 0.2


def test_rows_are_chosen_by_number_or_name(common: ModuleType) -> None:
    import accuracy

    for rows in (common.MATRIX, accuracy.ROWS):
        assert len({row.name for row in rows}) == len(rows)
        assert common.chosen([], rows) == list(range(len(rows)))
        assert common.chosen(["2", rows[2].name, "0"], rows) == [2, 0]
    assert {common.MATRIX[i].crystal.get("bend") for i in common.chosen(["bent"], common.MATRIX)} == {0.02}
    with pytest.raises(SystemExit, match="no row '99'"):
        common.chosen(["99"], common.MATRIX)


def test_cached_stacks_are_what_is_simulated(common: ModuleType, tmp_path: Path) -> None:
    row = common.Case("small", 3.0, {"diameter": 10.0, "seed": 1}, {"box": 76, "seed": 1})
    fresh, kept, again = (common.simulated(row, 4, cache) for cache in (None, tmp_path / "c", tmp_path / "c"))
    for scene in (kept, again):
        np.testing.assert_array_equal(scene.images, fresh.images)
        np.testing.assert_array_equal(scene.truth["R"], fresh.truth["R"])
    assert fresh.images.mean() == pytest.approx(3.0, rel=0.05)


def test_a_turned_shifted_and_mirrored_solution_gives_the_map_of_the_truth(common: ModuleType) -> None:
    crystal = nanocrystal("Pt", 10.0, seed=2)
    made = simulate_stack(crystal, 120, box=72, dose=30.0, step=40.0, seed=2)
    truth = {"R": made.rotations, "shift": made.shifts, "atoms": crystal.positions}
    scene = common.Scene("s", "Pt", made.images, made.pixel_size, made.dose, truth)
    clean = clean_stack(ParticleStack(made.images, made.pixel_size, np.arange(120), None))
    true = common.true_poses(truth)
    turn, origin = Rotation.random(random_state=3).as_matrix(), np.array([0.7, -0.4, 0.5])
    found = replace(
        true,
        rotations=np.diag([-1.0, -1.0, 1.0]) @ made.rotations @ turn,
        shifts=made.shifts + (made.rotations @ origin)[:, :2],
    )
    solution = common.Solution(common.Clock(), clean=clean, poses=found)
    best = reconstruct(clean, true)
    assert common.map_resolution(solution, scene, best) <= 1 / best.frequency[-1] + 1e-6
    lost = replace(found, rotations=Rotation.random(120, random_state=4).as_matrix())
    assert common.map_resolution(replace(solution, poses=lost), scene, best) > 1.0


def test_the_affine_part_of_an_error_is_compared_with_its_stated_error(common: ModuleType) -> None:
    import errors

    random = np.random.default_rng(5)
    positions = 5 * random.normal(size=(200, 3))
    axis = np.array([0.6, 0.0, 0.8])
    wrong = 0.004 * np.outer(axis, axis)
    error = positions @ wrong + 1e-4 * random.normal(size=positions.shape)
    strain, ratio, softest = errors.affine(error, positions, np.diag([1e-6, 2e-6, 3e-6, 4e-6, 9e-6, 5e-6]))
    pairs = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
    np.testing.assert_allclose(strain, [wrong[pair] for pair in pairs], atol=1e-5)
    # xx, zz and xz are 1.44, 2.56 and 1.92 per mille, of standard errors 1, √3 and 3.
    assert ratio == pytest.approx(np.sqrt((1.44**2 + 2.56**2 / 3 + 1.92**2 / 9) / 6), rel=0.01)
    assert abs(softest) == pytest.approx(1.92 / 3, rel=0.01)
    beams = errors.views("cone20", 3)[:, 2]
    along = np.abs(beams @ np.linalg.eigh(beams.T @ beams)[1][:, 2])
    assert np.cos(np.deg2rad(23)) < along.min() < along.max() <= 1.0
