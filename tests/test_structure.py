"""Coordination, common neighbours and surface on crystals whose answers are known."""

import numpy as np
import pytest
from ase.cluster import Icosahedron, Octahedron
from ase.lattice.cubic import BodyCenteredCubic, FaceCenteredCubic
from ase.lattice.hexagonal import HexagonalClosedPacked
from scipy.spatial.transform import Rotation

from single_rs.analysis.structure import analyze_structure, common_neighbours
from single_rs.base.errors import InputError
from single_rs.crystal.neighbours import (
    coordination,
    neighbour_cutoff,
    surface_by_coordination,
    surface_by_radius,
)


def blocks():
    """Name, code, positions and bulk coordination of three crystals."""
    return [
        ("fcc", 1, FaceCenteredCubic("Pt", size=(5, 5, 5), latticeconstant=3.92).positions, 12),
        ("hcp", 2, HexagonalClosedPacked("Co", size=(6, 6, 5), latticeconstant=(2.51, 4.07)).positions, 12),
        ("bcc", 3, BodyCenteredCubic("Fe", size=(6, 6, 6), latticeconstant=2.87).positions, 14),
    ]


@pytest.mark.parametrize(("name", "code", "x", "full"), blocks(), ids=lambda v: v if isinstance(v, str) else "")
def test_core_atoms_have_the_code_of_their_crystal(name, code, x, full):
    rng = np.random.default_rng(0)
    turned = x @ Rotation.random(random_state=3).as_matrix().T + rng.normal(0, 0.04, x.shape)
    counts = coordination(turned)
    core = counts == full
    assert core.sum() > 60
    codes = common_neighbours(turned)
    assert np.mean(codes[core] == code) > 0.97
    assert not np.any((codes != code) & (codes != 0))
    assert np.mean(codes[~core] == 0) > 0.95


@pytest.mark.parametrize(("name", "code", "x", "full"), blocks(), ids=lambda v: v if isinstance(v, str) else "")
def test_a_fixed_cutoff_agrees_with_the_adaptive_one(name, code, x, full):
    cutoff = neighbour_cutoff(x)[1]
    np.testing.assert_array_equal(common_neighbours(x, cutoff), common_neighbours(x))


def test_icosahedron_of_147_atoms():
    """By geometry: a centre (ico), shells of 12, 42 and 92; 30 of the 42 in twin planes (hcp), 24 on fivefold axes."""
    x = Icosahedron("Pt", 4, latticeconstant=3.92).positions
    codes = common_neighbours(x)
    r = np.linalg.norm(x - x.mean(0), axis=1)
    assert codes[np.argmin(r)] == 4
    assert np.sum(coordination(x) == 12) == 55
    np.testing.assert_array_equal(np.bincount(codes, minlength=5), [92 + 24, 0, 30, 0, 1])
    assert surface_by_coordination(coordination(x)).sum() == 92


def test_strain_of_ten_percent_does_not_change_the_code():
    x = FaceCenteredCubic("Pt", size=(4, 4, 4), latticeconstant=3.92).positions
    for scale in (0.9, 1.0, 1.1):
        assert np.sum(common_neighbours(scale * x) == 1) == np.sum(coordination(x) == 12)


def test_cutoff_lies_between_the_shells():
    for _, _, x, _ in blocks():
        shells = np.unique(np.round(np.linalg.norm(x - x[len(x) // 2], axis=1), 3))[1:4]
        peak, minimum = neighbour_cutoff(x)
        assert shells[0] * 0.99 < peak < shells[1] * 1.01
        assert shells[0] < minimum < shells[2]


def test_octahedron_surface_by_both_rules():
    """An octahedron of edge 7 has 4·6² + 2 = 146 surface atoms of 231; by radius only the corners stand out."""
    x = Octahedron("Pt", 7, 0, latticeconstant=3.92).positions
    surface = analyze_structure(x).surface
    assert surface.sum() == 146
    outside = surface_by_radius(x, 3.92 / np.sqrt(3))
    assert 6 <= outside.sum() < 146
    assert surface[outside].all()


def test_distances_of_noisy_platinum():
    rng = np.random.default_rng(2)
    x = FaceCenteredCubic("Pt", size=(5, 5, 5), latticeconstant=3.92).positions
    found = analyze_structure(x + rng.normal(0, 0.03, x.shape))
    assert found.nearest_neighbour == pytest.approx(3.92 / np.sqrt(2), abs=0.02)
    core = found.coordination == 12
    assert found.bond_mean[core].mean() == pytest.approx(3.92 / np.sqrt(2), abs=0.005)
    # Two atoms of 3 pm each: √2 · 3 pm along the bond.
    assert found.bond_std[core].mean() == pytest.approx(0.03 * np.sqrt(2), rel=0.1)
    assert np.all(found.nearest <= found.bond_mean + 1e-9)


def test_wrong_input_is_named():
    with pytest.raises(InputError, match="not finite"):
        coordination(np.array([[0, 0, 0], [np.nan, 0, 0]]))
    with pytest.raises(InputError, match="cutoff is -1"):
        coordination(np.zeros((2, 3)), cutoff=-1.0)
    with pytest.raises(InputError, match="coincide"):
        neighbour_cutoff(np.zeros((5, 3)))
