"""The lattice that an intensity shows: found where there is one, in any orientation, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from single_rs.orient.indexing.patterson import FoundLattice, lattice_of, lattice_symmetries
from single_rs.orient.indexing.template import LatticeTemplate, lattice_template

BOX = 46.0  # Å
REACH = 52  # of the intensity, steps of 1 / BOX
RINGS = (1 / 2.9, 1 / 0.92)  # 1/Å, between which intensities are measured
SPOT = 0.03  # 1/Å, width of a reflection


def _intensity(templates: list[LatticeTemplate], turns: list[NDArray[np.float64]]) -> NDArray[np.float32]:
    """Spots of turned crystals, compressed as those of power spectra are."""
    k = np.arange(-REACH, REACH + 1) / BOX
    power = np.zeros((2 * REACH + 1,) * 3)
    for template, turn in zip(templates, turns, strict=True):
        g, strength = template.reflections(RINGS[1])
        inside = np.linalg.norm(g, axis=1) > RINGS[0]
        for (x, y, z), s in zip(g[inside] @ turn.T, strength[inside], strict=True):
            wave = [np.exp(-0.5 * ((k - c) / SPOT) ** 2) for c in (z, y, x)]
            power += 60 * s * wave[0][:, None, None] * wave[1][:, None] * wave[2]
    return np.log1p(power).astype(np.float32)


def _turn(seed: int) -> NDArray[np.float64]:
    return Rotation.random(random_state=seed).as_matrix()


@pytest.mark.parametrize(("element", "turns", "atoms"), [("Pt", 24, 4), ("W", 24, 2)])
def test_a_bravais_lattice_is_found_in_any_orientation(element: str, turns: int, atoms: int):
    template = lattice_template(element)
    turn = _turn(3)
    basis = lattice_of(_intensity([template], [turn]), BOX)
    assert basis is not None
    assert abs(np.linalg.det(basis)) == pytest.approx(template.lattice_constant**3 / atoms, rel=0.01)
    assert np.linalg.norm(basis, axis=0).min() == pytest.approx(template.spacing, rel=0.005)
    group = lattice_symmetries(basis)
    assert len(group) == turns
    # They are those of the crystal that was put in.
    mates = np.einsum("ij,ajk,lk->ail", turn, template.group, turn).reshape(-1, 9)
    assert ((group.reshape(-1, 9) @ mates.T).max(axis=1) > 1 + 2 * np.cos(np.radians(1.0))).all()


@pytest.mark.parametrize("element", ["Ge", "Ru"])
def test_a_structure_with_a_basis_is_no_lattice(element: str):
    assert lattice_of(_intensity([lattice_template(element)], [_turn(4)]), BOX) is None


def test_a_twin_and_a_bicrystal_are_no_lattice():
    pt = lattice_template("Pt")
    about_111 = Rotation.from_rotvec(np.pi / np.sqrt(3) * np.ones(3)).as_matrix()
    for other in (about_111, _turn(5)):
        assert lattice_of(_intensity([pt, pt], [np.eye(3), other]), BOX) is None


def test_noise_is_no_lattice():
    noise = np.random.default_rng(6).exponential(size=(2 * REACH + 1,) * 3).astype(np.float32)
    assert lattice_of(noise + noise[::-1, ::-1, ::-1], BOX) is None


@pytest.mark.parametrize(
    ("edges", "turns"),
    [
        ([[1, 0, 0], [-0.5, 0.75**0.5, 0], [0, 0, 1.6]], 12),
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1.4]], 8),
        ([[1, 0, 0], [0, 1.2, 0], [0, 0, 1.5]], 4),
        ([[1, 0, 0], [0.15, 1.2, 0], [0.2, 0.25, 1.5]], 1),
    ],
)
def test_turns_are_those_of_the_crystal_system(edges: list[list[float]], turns: int):
    basis = _turn(7) @ (2.8 * np.array(edges)).T
    group = lattice_symmetries(basis)
    assert len(group) == turns
    np.testing.assert_allclose(group @ group.swapaxes(1, 2), np.tile(np.eye(3), (turns, 1, 1)), atol=1e-9)
    np.testing.assert_array_equal(group[0], np.eye(3))
    # Whole numbers of edges again.
    whole = np.linalg.inv(basis) @ group @ basis
    np.testing.assert_allclose(whole, np.rint(whole), atol=1e-6)


def test_sites_are_the_points_of_the_lattice():
    pt = lattice_template("Pt")
    primitive = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]).T * pt.lattice_constant / 2
    found = FoundLattice.of(pt, primitive, pt.group)
    own, given = (t.sites(11.0) * t.grid_step for t in (found, pt))
    assert len(own) == len(given)
    gap = np.linalg.norm(own[:, None] - given, axis=-1).min(axis=1)
    assert gap.max() < 0.5 * np.sqrt(3) * 0.35 + 1e-9, "half the diagonal of the grid that sites are rounded to"
    assert found.spacing == pytest.approx(pt.spacing)
