"""Crystals of known lattice, defects and shape; tumbling of known statistics."""

import itertools

import numpy as np
import pytest
from scipy.spatial import cKDTree

from single_rs.base.errors import DataFileError, InputError
from single_rs.simulate import brownian_rotations, nanocrystal, read_crystal
from single_rs.simulate.streams import Stage, stream
from single_rs.simulate.tumbling import ornstein_uhlenbeck, stage_drift

PT = 3.92  # Å, ASE's lattice constant of Pt
ROTATIONS_OF_CUBE = [
    np.array([[s * (i == p) for i in range(3)] for s, p in zip(signs, order)], dtype=float)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
    if np.linalg.det(np.array([[s * (i == p) for i in range(3)] for s, p in zip(signs, order)])) > 0
]


def not_inversion_symmetric(atoms: np.ndarray, nearest: float) -> np.ndarray:
    """Mark atoms with 12 neighbours that are not pairs ±v: fcc sites are pairs, hcp (fault) sites are not."""
    tree = cKDTree(atoms)
    marks = np.zeros(len(atoms), dtype=bool)
    for i, around in enumerate(tree.query_ball_point(atoms, 1.2 * nearest)):
        v = atoms[[j for j in around if j != i]] - atoms[i]
        if len(v) == 12:
            marks[i] = np.linalg.norm(v[:, None] + v[None], axis=2).min(axis=1).max() > 0.1 * nearest
    return marks


@pytest.mark.parametrize("shape", ["wulff", "sphere", "octahedron", "cube"])
def test_ideal_fcc_particle_has_its_lattice_and_volume(shape: str) -> None:
    c = nanocrystal("Pt", 25.0, shape, ragged=0, disorder=0)
    distance = cKDTree(c.positions).query(c.positions, k=2)[0][:, 1]
    np.testing.assert_allclose(distance, PT / np.sqrt(2), atol=1e-9)
    # Whole shells only, so the number may be off by part of one: about a quarter of the surface.
    assert len(c) == pytest.approx(np.pi / 6 * 25**3 / (PT**3 / 4), rel=0.25)
    np.testing.assert_allclose(c.positions.mean(axis=0), 0, atol=1e-9)


@pytest.mark.parametrize(
    ("element", "nearest", "volume"), [("Fe", 2.485, 11.8), ("Co", 2.49, 11.1), ("Si", 2.351, 20.0)]
)
def test_other_lattices_have_their_bond_length_and_density(element: str, nearest: float, volume: float) -> None:
    c = nanocrystal(element, 22.0, "sphere", disorder=0, seed=1)
    distance = cKDTree(c.positions).query(c.positions, k=2)[0][:, 1]
    np.testing.assert_allclose(distance, nearest, rtol=0.01)
    assert len(c) == pytest.approx(np.pi / 6 * 22**3 / volume, rel=0.02)


def test_ragged_particle_has_no_symmetry_left() -> None:
    def overlap(ragged: float) -> float:
        c = nanocrystal("Pt", 25.0, ragged=ragged, disorder=0, seed=4)
        tree = cKDTree(c.positions)
        # The best match over the other 23 rotations and small shifts of the lattice is a pose one could take for it.
        shifts = np.array(list(itertools.product((0.0, PT / 2, -PT / 2), repeat=3)))
        best = 0.0
        for turn in ROTATIONS_OF_CUBE:
            if np.allclose(turn, np.eye(3)):
                continue
            moved = c.positions @ turn.T
            register = c.positions[0] - moved[0]
            register -= np.round(register / (PT / 2)) * PT / 2
            for s in shifts[(np.round(shifts.sum(axis=1) / (PT / 2)) % 2) == 0]:
                best = max(best, float(np.mean(tree.query(moved + register + s)[0] < 0.1)))
        return best

    assert overlap(0.0) > 0.999
    assert overlap(0.3) < 0.95


@pytest.mark.parametrize(("defect", "layers"), [("none", 0), ("twin", 1), ("stacking_fault", 2)])
def test_planar_defects_have_their_number_of_hcp_layers(defect: str, layers: int) -> None:
    c = nanocrystal("Pt", 25.0, "sphere", defect=defect, ragged=0, disorder=0)
    nearest = PT / np.sqrt(2)
    assert cKDTree(c.positions).query(c.positions, k=2)[0][:, 1].min() == pytest.approx(nearest, rel=1e-6)
    heights = c.positions[not_inversion_symmetric(c.positions, nearest)] @ np.ones(3) / np.sqrt(3)
    assert len(np.unique(np.round(heights, 2))) == layers


@pytest.mark.parametrize("defect", ["decahedron", "icosahedron"])
def test_multiple_twins_are_compact(defect: str) -> None:
    c = nanocrystal("Au", 25.0, defect=defect, disorder=0, seed=2)
    assert len(c) == pytest.approx(np.pi / 6 * 25**3 / (4.08**3 / 4), rel=0.15)
    neighbours = cKDTree(c.positions).query_ball_point(c.positions, 1.2 * 4.08 / np.sqrt(2), return_length=True) - 1
    assert np.median(neighbours) >= 9
    assert neighbours.max() == 12
    assert not_inversion_symmetric(c.positions, 4.08 / np.sqrt(2)).sum() > 20


def test_strain_bend_and_disorder_are_what_was_asked() -> None:
    gradient = np.array([[0.02, 0.01, 0], [0, -0.01, 0], [0, 0, 0.005]])
    still = nanocrystal(ragged=0.3, disorder=0, seed=5).positions
    strained = nanocrystal(ragged=0.3, disorder=0, strain=gradient, seed=5).positions
    np.testing.assert_allclose(strained, still @ (np.eye(3) + gradient).T, atol=1e-9)
    bent = nanocrystal(ragged=0.3, disorder=0, bend=0.03, seed=5).positions - still
    slope = np.linalg.lstsq(np.column_stack([still[:, 0] * still[:, 2], np.ones(len(still))]), bent[:, 0], rcond=None)[
        0
    ][0]
    assert slope * np.linalg.norm(still, axis=1).max() == pytest.approx(0.03, rel=1e-3)
    shaken = nanocrystal(ragged=0.3, disorder=0.1, seed=5).positions - still
    assert 0.03 < shaken.std() < 0.1
    with pytest.raises(InputError, match="displacement gradient"):
        nanocrystal(strain=[1.0, 2.0])


def test_wrong_crystals_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="only fcc"):
        nanocrystal("Fe", defect="twin")
    with pytest.raises(InputError, match="'Xx'"):
        nanocrystal("Xx")
    with pytest.raises(InputError, match="reference structure of N is"):
        nanocrystal("N")
    with pytest.raises(InputError, match="lattice_constant too"):
        nanocrystal("Pt", structure="bcc")
    with pytest.raises(InputError, match="at most 150"):
        nanocrystal(diameter=1000)
    with pytest.raises(InputError, match="wulff, sphere"):
        nanocrystal(shape="brick")
    with pytest.raises(DataFileError, match="missing"):
        read_crystal(tmp_path / "missing.xyz")
    assert len(nanocrystal("Pt", 15.0, structure="bcc", lattice_constant=3.1)) > 50


def test_file_round_trip(tmp_path) -> None:
    c = nanocrystal("Pt", 12.0, seed=1)
    c.write(tmp_path / "c.xyz")
    back = read_crystal(tmp_path / "c.xyz")
    np.testing.assert_allclose(back.positions, c.positions, atol=1e-7)
    assert set(back.symbols) == {"Pt"}


def test_rotations_are_proper_and_turn_by_the_step() -> None:
    r = brownian_rotations(4000, step=8.0, seed=1)
    np.testing.assert_allclose(r @ r.transpose(0, 2, 1), np.broadcast_to(np.eye(3), r.shape), atol=1e-12)
    assert np.linalg.det(r).min() > 0
    trace = np.einsum("nij,nij->n", r[1:], r[:-1])
    angle = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
    assert np.sqrt(np.mean(angle**2)) == pytest.approx(8.0, rel=0.03)


def test_jumps_are_uniform_and_as_frequent_as_asked() -> None:
    r = brownian_rotations(4000, step=0.0, jump_rate=0.25, seed=2)
    jumped = np.einsum("nij,nij->n", r[1:], r[:-1]) < 3 - 1e-9
    assert jumped.mean() == pytest.approx(0.25, abs=0.025)
    fresh = brownian_rotations(6000, jump_rate=1.0, seed=2)
    # On SO(3) the entries have mean 0 and variance 1/3.
    np.testing.assert_allclose(fresh.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose((fresh**2).mean(axis=0), 1 / 3, atol=0.02)


def test_longer_runs_begin_with_the_shorter_ones() -> None:
    np.testing.assert_array_equal(
        brownian_rotations(50, jump_rate=0.1, seed=3)[:20], brownian_rotations(20, jump_rate=0.1, seed=3)
    )
    assert not np.allclose(brownian_rotations(5, seed=3), brownian_rotations(5, seed=3, item=1))
    assert not np.allclose(brownian_rotations(5, seed=3), brownian_rotations(5, seed=4))


def test_wandering_has_its_spread_and_memory() -> None:
    x = ornstein_uhlenbeck(stream(0, Stage.WANDER), 200_000, 0.45, 20.0)
    np.testing.assert_allclose(x.std(axis=0), 0.45, rtol=0.05)
    lag = np.mean(x[20:] * x[:-20], axis=0) / np.mean(x**2, axis=0)
    np.testing.assert_allclose(lag, np.exp(-1), atol=0.05)
    white = ornstein_uhlenbeck(stream(0, Stage.WANDER), 20_000, 1.0, 0.0)
    assert abs(np.mean(white[1:] * white[:-1])) < 0.03


def test_drift_is_smooth_and_has_its_speed() -> None:
    d = stage_drift(50_000, 0.05, 100.0, seed=1)
    assert np.diff(d, axis=0).std() == pytest.approx(0.05, rel=0.1)
    assert np.diff(d, 2, axis=0).std() == pytest.approx(0.05 * np.sqrt(2 * (1 - np.exp(-0.01))), rel=0.1)
    np.testing.assert_allclose(d.mean(axis=0), 0, atol=1e-9)


def test_streams_refuse_what_they_cannot_key() -> None:
    with pytest.raises(InputError, match="seed is -1"):
        stream(-1, Stage.CRYSTAL)
    with pytest.raises(InputError, match="item"):
        stream(0, Stage.CRYSTAL, 2**32)
    with pytest.raises(InputError, match="jump_rate"):
        brownian_rotations(3, jump_rate=2)
    with pytest.raises(InputError, match="frames is 0"):
        brownian_rotations(0)
    with pytest.raises(InputError, match="step is -1"):
        brownian_rotations(3, step=-1)
