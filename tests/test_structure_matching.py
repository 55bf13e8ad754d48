"""Templates, orientations and grains on crystals whose answers are known, at 5 pm of noise; OVITO as second opinion."""

from __future__ import annotations

import numpy as np
import pytest
from ase.cluster import Icosahedron
from ase.lattice.cubic import BodyCenteredCubic, FaceCenteredCubic, SimpleCubic
from ase.lattice.hexagonal import HexagonalClosedPacked
from scipy.spatial.transform import Rotation

from single_rs.analysis.structure import common_neighbours, match_templates
from single_rs.analysis.structure.bending import measure_bend
from single_rs.analysis.structure.grains import find_grains, misorientation, proper_rotations
from single_rs.analysis.structure.matching import TEMPLATES, template
from single_rs.base.errors import InputError
from single_rs.crystal.neighbours import coordination, generalised_coordination
from single_rs.simulate import nanocrystal
from structure_crystals import TURN, bicrystal, fcc_ball, noisy, oriented, without_surface

CRYSTALS = {
    "fcc": (1, FaceCenteredCubic("Pt", size=(5, 5, 5), latticeconstant=3.92).positions, 12),
    "hcp": (2, HexagonalClosedPacked("Co", size=(6, 6, 5), latticeconstant=(2.51, 4.07)).positions, 12),
    "bcc": (3, BodyCenteredCubic("Fe", size=(6, 6, 6), latticeconstant=2.87).positions, 14),
}


def test_generalised_coordination_of_known_sites():
    """Calle-Vallejo 2014: 12 in the bulk, 7.5 on (111) and 6.67 on (100) terraces, far from their edges."""
    slab = FaceCenteredCubic("Pt", directions=[[1, -1, 0], [1, 1, -2], [1, 1, 1]], size=(8, 5, 2)).positions
    square = FaceCenteredCubic("Pt", size=(6, 6, 4), latticeconstant=3.92).positions
    for x, terrace in ((slab, 7.5), (square, 20 / 3)):
        middle = np.linalg.norm((x - x.mean(0))[:, :2], axis=1) < 4
        top = middle & (x[:, 2] > x[:, 2].max() - 0.1)
        values = generalised_coordination(x, 3.3)
        assert top.any()
        np.testing.assert_allclose(values[top], terrace)
        assert values.max() == 12


def test_templates_are_shells_of_their_crystals():
    for name in TEMPLATES:
        shell = template(name)
        assert len(shell) == {"fcc": 12, "hcp": 12, "ico": 12, "bcc": 14, "sc": 6}[name]
        np.testing.assert_allclose(shell.sum(0), 0, atol=1e-12)
        np.testing.assert_allclose(np.linalg.norm(shell, axis=1).min(), 1)
    assert len(proper_rotations()) == 24
    assert len(proper_rotations("hcp")) == 12


@pytest.mark.parametrize("name", CRYSTALS)
def test_core_atoms_match_their_template_in_any_orientation(name):
    code, x, full = CRYSTALS[name]
    x = noisy(x @ TURN.T)
    match = match_templates(x)
    core = coordination(x) == full
    assert np.mean(match.structure_type[core] == code) == 1
    assert not np.any((match.structure_type != code) & (match.structure_type != 0))
    # Noise of 5 pm: σ √3 / b √(1 − 7/39) is 0.026 to 0.03 for these crystals.
    assert 0.015 < np.median(match.rmsd[core]) < 0.035
    if name != "hcp":
        errors = [misorientation(q, TURN)[0] for q in match.orientation[core]]
        assert np.sqrt(np.mean(np.square(errors))) < 0.9


def test_perfect_templates_have_no_misfit_and_the_exact_orientation():
    x = fcc_ball() @ TURN.T
    match = match_templates(x)
    found = match.structure_type == 1
    assert found.sum() > 250
    assert match.rmsd[found].max() < 1e-6
    assert max(misorientation(q, TURN)[0] for q in match.orientation[found]) < 1e-4
    assert match.bond == pytest.approx(3.92 / np.sqrt(2), abs=1e-9)


def test_simple_cubic_is_found_when_asked_for():
    x = SimpleCubic("Po", size=(6, 6, 6), latticeconstant=3.35).positions
    match = match_templates(noisy(x @ TURN.T), templates=("fcc", "sc"))
    assert np.sum(match.structure_type == 5) == 4**3


def test_icosahedron_has_one_centre_and_thirty_twins():
    x = noisy(Icosahedron("Pt", 4, latticeconstant=3.92).positions @ TURN.T)
    match = match_templates(x)
    np.testing.assert_array_equal(np.bincount(match.structure_type, minlength=5), [92 + 24, 0, 30, 0, 1])


def test_ten_picometres_of_noise_leave_the_codes():
    x = fcc_ball()
    core = coordination(x) == 12
    match = match_templates(noisy(x, sigma=0.10))
    assert np.mean(match.structure_type[core] == 1) > 0.98
    assert not np.any(match.structure_type > 1)


def test_surface_atoms_adopt_the_crystal_below_them():
    x = noisy(without_surface(fcc_ball()) @ TURN.T)
    match, grains = oriented(x)
    assert np.mean(match.site_type == 1) > 0.98
    assert len(grains.grains) == 1
    assert grains.grains[0].atoms == len(x)
    outer = (match.structure_type == 0) & (match.site_type == 1)
    assert outer.sum() > 200
    assert np.median([misorientation(q, TURN)[0] for q in match.orientation[outer]]) < 1.5


@pytest.mark.parametrize("name", ["fcc", "hcp", "bcc"])
def test_one_crystal_is_one_grain(name):
    x = noisy(CRYSTALS[name][1] @ TURN.T, 3)
    _, grains = oriented(x)
    assert [g.structure for g in grains.grains] == [name]
    assert grains.boundaries == ()
    assert grains.grains[0].atoms > 0.98 * len(x)


@pytest.mark.parametrize(("angle", "axis"), [(12, (0, 0, 1)), (35, (1, 2, 3)), (25, (1, 1, 0))])
def test_two_grains_have_the_misorientation_that_was_built(angle, axis):
    x = noisy(bicrystal(angle, axis) @ TURN.T)
    _, grains = oriented(x)
    assert len(grains.grains) == 2
    (boundary,) = grains.boundaries
    assert boundary.angle == pytest.approx(angle, abs=0.3)
    expected = np.array(axis) / np.linalg.norm(axis)
    # The axis is known up to the 24 equivalent settings.
    assert np.max(proper_rotations() @ boundary.axis @ expected) > np.cos(np.radians(2))
    assert boundary.relation == ("low-angle" if angle < 15 else "high-angle")
    assert boundary.bonds > 50


def test_a_twin_is_sigma_three():
    x = nanocrystal("Pt", 26, defect="twin", disorder=0.05, seed=3).positions @ TURN.T
    _, grains = oriented(x)
    (boundary,) = grains.boundaries
    assert (boundary.relation, boundary.sigma) == ("twin", 3)
    assert boundary.angle == pytest.approx(60, abs=0.3)
    np.testing.assert_allclose(np.abs(boundary.axis), 1 / np.sqrt(3), atol=0.02)
    assert boundary.deviation < 0.3


def test_a_decahedron_has_five_grains_and_five_twins():
    x = nanocrystal("Pt", 26, defect="decahedron", disorder=0.05, seed=3).positions @ TURN.T
    _, grains = oriented(x)
    assert len(grains.grains) == 5
    relations = [b.relation for b in grains.boundaries]
    assert relations.count("twin") == 5
    assert relations.count("twin of a twin") == 5
    # Five gaps of 70.53° leave 7.35°, shared by strain: each twin is 1.47° from the ideal.
    off = [b.deviation for b in grains.boundaries if b.relation == "twin"]
    assert np.mean(off) == pytest.approx(7.35 / 5, abs=0.3)


@pytest.mark.parametrize("angle", [3, 5])
def test_two_domains_below_the_threshold_of_grains(angle):
    """A sharp boundary of a few degrees: one grain of two domains, explained by a step, and an overlay."""
    x = noisy(bicrystal(angle, (1, 0, 0)) @ TURN.T, sigma=0.03)
    match, grains = oriented(x)
    assert len(grains.grains) == 1
    bend = measure_bend(x, match, grains)
    assert bend.angle == pytest.approx(angle, abs=0.25)
    assert abs(bend.normal @ TURN[:, 2]) > np.cos(np.radians(12))
    assert np.abs(bend.axis).max() > 0.98
    assert bend.overlay_after < 0.045 < 0.1 < bend.overlay_before


def test_a_smooth_bend_is_a_slope():
    """u = κ (x z, 0, −x²/2) turns the lattice by κ x about y, κ = bend / R."""
    bend_strain = 0.06
    x = nanocrystal("Pt", 26, bend=bend_strain, disorder=0.05, seed=3).positions
    radius = np.linalg.norm(x, axis=1).max()
    match, grains = oriented(x @ TURN.T)
    bend = measure_bend(x @ TURN.T, match, grains)
    assert bend.explained_by_slope > 0.85
    assert bend.explained_by_slope > bend.explained_by_step + 0.1
    curvature = TURN.T @ bend.curvature @ TURN
    assert curvature[1, 0] == pytest.approx(np.degrees(bend_strain / radius), rel=0.05)
    curvature[1, 0] = 0
    assert np.abs(curvature).max() < 0.04


def test_a_straight_crystal_is_not_bent():
    x = noisy(fcc_ball() @ TURN.T)
    match, grains = oriented(x)
    bend = measure_bend(x, match, grains)
    assert bend.angle < 0.6
    assert max(bend.explained_by_slope, bend.explained_by_step) < 0.1


def test_agrees_with_ovito():
    """The same code for every atom, rmsd to 0.005 and orientations to 0.3° (OVITO picks neighbours by solid angle)."""
    from ovito.data import DataCollection
    from ovito.modifiers import PolyhedralTemplateMatchingModifier as Ptm

    for defect in ("twin", "decahedron", "icosahedron"):
        x = nanocrystal("Pt", 24, defect=defect, disorder=0.07, seed=1).positions @ TURN.T
        data = DataCollection()
        data.create_particles(count=len(x)).create_property("Position", data=x)
        data.create_cell(matrix=200 * np.eye(3), pbc=(False, False, False))
        modifier = Ptm(output_rmsd=True, output_orientation=True, rmsd_cutoff=0.1)
        modifier.structures[Ptm.Type.ICO].enabled = True
        data.apply(modifier)
        theirs = np.array(data.particles["Structure Type"])
        match = match_templates(x)
        np.testing.assert_array_equal(match.structure_type, theirs)
        np.testing.assert_array_equal(common_neighbours(x)[theirs > 0], theirs[theirs > 0])
        found = theirs > 0
        np.testing.assert_allclose(match.rmsd[found], np.array(data.particles["RMSD"])[found], atol=5e-3)
        cubic = theirs == 1
        turns = Rotation.from_quat(np.array(data.particles["Orientation"])[cubic]).as_matrix()
        angles = [misorientation(p, q)[0] for p, q in zip(match.orientation[cubic], turns)]
        assert np.max(angles) < 0.3


def test_wrong_input_is_named():
    with pytest.raises(InputError, match="rmsd_max is 0"):
        match_templates(fcc_ball(), rmsd_max=0)
    with pytest.raises(InputError, match="template is 'cubic'"):
        match_templates(fcc_ball(), templates=("cubic",))
    # Five atoms match nothing, and that is an answer.
    few = match_templates(fcc_ball()[:5])
    assert not few.structure_type.any()
    assert find_grains(fcc_ball()[:5], few).grains == ()
