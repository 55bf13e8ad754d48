"""Stacking, faults, vacancies and dislocations of particles of about 600 atoms, at 5 pm of noise."""

from __future__ import annotations

import numpy as np
import pytest

from single_rs.analysis.structure.burgers import ideal_vectors, tetrahedra
from single_rs.analysis.structure.dislocations import find_dislocations, miller_name
from single_rs.analysis.structure.faults import find_faults
from single_rs.analysis.structure.stacking import stacking_sequence, stacking_sequences
from single_rs.analysis.structure.vacancies import find_vacancies
from single_rs.base.errors import InputError
from single_rs.crystal.neighbours import coordination
from single_rs.simulate import nanocrystal
from single_rs.simulate.dislocations import DISLOCATIONS, dislocated_nanocrystal, dislocation_field
from structure_crystals import BOND, D111, NOISE, TURN, A, fcc_ball, noisy, oriented, stacked, without_surface


def layers_of(letters: str) -> str:
    """Cubic or hexagonal character of the inner layers of a sequence, from its definition."""
    return "".join("h" if a == c else "c" for a, c in zip(letters, letters[2:]))


@pytest.mark.parametrize(
    ("letters", "kinds"),
    [
        ("ABCABCABCABCA", []),
        ("ABCABCACBACBA", ["twin boundary"]),
        ("CABCABABCABCA", ["intrinsic stacking fault"]),
        ("CABCABACABCAB", ["extrinsic stacking fault"]),
        ("ABCABCBACABCA", ["twin boundary", "twin boundary"]),
        ("CABABCABACBAC", ["intrinsic stacking fault", "twin boundary"]),
        ("CABCABABCBACB", ["multiple fault"]),
    ],
)
def test_layers_letters_and_faults(letters, kinds):
    x = noisy(stacked(letters)) @ TURN.T
    match, grains = oriented(x)
    normal = TURN[:, 2]
    sequences = stacking_sequences(x, grains.grains[0].orientation, match.bond, grains.label == 0)
    assert len(sequences) == 4
    (along,) = [s for s in sequences if abs(s.direction @ normal) > 0.99]
    # The ball holds the middle 11 layers of the 13; from below or from above it reads the same by h and c.
    inner = letters[1:-1] if len(along.letters) == 11 else letters
    expected = layers_of(inner)
    found = along.hexagonal[1:-1]
    assert found in (expected, expected[::-1])
    assert along.spacing == pytest.approx(D111, rel=0.005)
    assert along.coherence[along.atoms > 10].min() > 0.95
    # A layer of 60 atoms is placed to 5 pm / √60, and so is the one below it.
    assert np.nanmax(np.linalg.norm(along.shift[along.atoms > 30], axis=1)) < 4 * NOISE / np.sqrt(30)
    assert np.mean(along.layer >= 0) > 0.99
    faults = find_faults(x, match, grains)
    assert sorted(f.kind for f in faults) == sorted(kinds)
    for fault in faults:
        assert abs(fault.normal @ normal) > np.cos(np.radians(1))
        np.testing.assert_allclose(np.abs(fault.plane), 1 / np.sqrt(3), atol=1e-9)


@pytest.mark.parametrize("letters", ["ABCABCACBACBA", "CABCABABCABCA", "CABCABACABCAB"])
def test_a_fault_lies_where_it_was_put(letters):
    """Twin: on its layer; intrinsic: between its two layers; extrinsic: on the layer between them."""
    x = noisy(without_surface(stacked(letters)))
    (fault,) = find_faults(x, *oriented(x))
    hexagonal = [k + 1 for k, c in enumerate(layers_of(letters)) if c == "h"]
    expected = (np.mean(hexagonal) - len(letters) // 2) * D111
    assert fault.position @ [0, 0, 1] == pytest.approx(expected, abs=0.05)
    assert np.linalg.norm(fault.position[:2]) < 2.5
    # A disc of the ball's cross-section, less its rim.
    assert 250 < fault.area < np.pi * 13.2**2


def test_sequences_of_a_perfect_crystal_are_cubic_along_all_four():
    x = noisy(fcc_ball() @ TURN.T)
    match, grains = oriented(x)
    for s in stacking_sequences(x, grains.grains[0].orientation, match.bond):
        assert set(s.hexagonal[2:-2]) == {"c"}
        assert "ABCABC" in s.letters


def test_a_sheared_layer_shows_its_shift():
    """Everything above the middle slides by 0.2 Å along [1-10]: one layer has a shift, the others none."""
    x = stacked("ABCABCABCABCA")
    x[x[:, 2] > 0.5] += [0.2, 0, 0]
    match, grains = oriented(x)
    normals = stacking_sequences(x, grains.grains[0].orientation, match.bond)
    (along,) = [s for s in normals if abs(s.direction[2]) > 0.99]
    size = np.linalg.norm(along.shift[1:], axis=1)
    # The mean orientation of the sheared ball takes up a twelfth of the slide as a tilt.
    assert np.nanmax(size) == pytest.approx(0.2 * 11 / 12, abs=0.01)
    assert np.sum(size > 0.05) == 1


def test_faults_of_a_decahedron_are_its_five_planes():
    x = nanocrystal("Pt", 26, defect="decahedron", disorder=0.07, seed=3).positions @ TURN.T
    faults = find_faults(x, *oriented(x))
    assert [f.kind for f in faults] == ["twin boundary"] * 5
    # All five hold the fivefold axis, 72° apart.
    axis = np.linalg.svd(np.array([f.normal for f in faults]))[2][2]
    assert np.max(np.abs([f.normal @ axis for f in faults])) < 0.03


def test_a_faultless_crystal_has_no_fault_vacancy_or_dislocation():
    for seed in range(2):
        x = noisy(without_surface(fcc_ball(), seed=seed), seed) @ TURN.T
        match, grains = oriented(x)
        assert find_faults(x, match, grains) == ()
        assert find_dislocations(x, match, grains) == ()
        assert [v for v in find_vacancies(x, match) if v.kind == "bulk"] == []


@pytest.mark.parametrize("defect", ["none", "twin", "stacking_fault", "decahedron"])
def test_every_vacancy_is_found_where_it_is(defect):
    perfect = nanocrystal("Pt", 25, defect=defect, disorder=0.0, ragged=0.1, seed=1).positions
    inner = np.flatnonzero(coordination(perfect) == 12)
    rng = np.random.default_rng(0)
    for atom in rng.choice(inner, 3, replace=False):
        x = noisy(np.delete(perfect, atom, axis=0), int(atom))
        bulk = [v for v in find_vacancies(x, oriented(x)[0]) if v.kind == "bulk"]
        assert len(bulk) == 1
        assert np.linalg.norm(bulk[0].position - perfect[atom]) < 0.1
        assert bulk[0].confidence > 0.9
        assert bulk[0].neighbours == 12
        assert abs(bulk[0].relaxation) < 0.08


def test_a_missing_terrace_atom_is_a_surface_vacancy():
    x = stacked("ABCABC", radius=12.0)
    top = np.flatnonzero((x[:, 2] > x[:, 2].max() - 0.1) & (coordination(x) == 9))
    atom = top[np.argmin(np.linalg.norm(x[top, :2], axis=1))]
    place = x[atom]
    x = noisy(np.delete(x, atom, axis=0), sigma=0.03)
    found = find_vacancies(x, oriented(x)[0])
    assert [v.kind for v in found] == ["surface"]
    assert np.linalg.norm(found[0].position - place) < 0.15


def test_two_vacancies_side_by_side():
    x = fcc_ball()
    middle = np.argmin(np.linalg.norm(x, axis=1))
    other = np.argmin(np.linalg.norm(x - x[middle] - [A / 2, A / 2, 0], axis=1))
    found = find_vacancies(y := noisy(np.delete(x, [middle, other], axis=0)), oriented(y)[0])
    assert [(v.kind, v.neighbours) for v in found] == [("bulk", 11), ("bulk", 11)]


def test_field_of_a_screw_and_of_an_edge():
    """u grows by b on a circuit, and div u of an edge is −b/2π (1 − 2ν)/(1 − ν) y/r² (Hirth and Lothe, 3-44)."""
    angle = np.linspace(-np.pi + 1e-9, np.pi - 1e-9, 400)
    ring = 3.0 * np.column_stack([np.cos(angle), np.sin(angle), np.zeros(400)])
    for b in ([2.0, 0, 0], [0, 0, 1.5]):
        u = dislocation_field(ring, b, [0, 0, 1], [0, 1, 0], 0.3)
        np.testing.assert_allclose(u[-1] - u[0], b, atol=1e-6)
    point, h = np.array([1.3, 0.8, 0.2]), 1e-4
    steps = np.concatenate([h * np.eye(3), -h * np.eye(3)]) + point
    u = dislocation_field(steps, [2.0, 0, 0], [0, 0, 1], [0, 1, 0], 0.3)
    divergence = sum((u[k, k] - u[k + 3, k]) / (2 * h) for k in range(3))
    expected = -2.0 / (2 * np.pi) * (1 - 0.6) / 0.7 * point[1] / (point[0] ** 2 + point[1] ** 2)
    assert divergence == pytest.approx(expected, rel=1e-5)
    with pytest.raises(InputError, match="glide plane"):
        dislocation_field(ring, [0, 1, 0], [0, 0, 1], [0, 1, 0])
    with pytest.raises(InputError, match="kind is 'twin'"):
        dislocated_nanocrystal("twin")


def test_ideal_vectors_and_conservation():
    """6 + 3 pairs of the crystal, 12 + 12 of its twins; every tetrahedron lets out what enters."""
    vectors, faulted = ideal_vectors()
    assert (len(vectors), int(faulted.sum())) == (66, 48)
    assert {int(v @ v) for v in vectors} == {18, 36}
    x = dislocated_nanocrystal("mixed", diameter=26, shape="sphere", disorder=NOISE).positions
    match, grains = oriented(x)
    cells = tetrahedra(x, match, grains.grains[0].orientation, np.ones(len(x), bool))
    total = np.zeros((len(cells.cells), 3), int)
    for side, sign in ((0, -1), (1, 1)):
        there = cells.sides[:, side] >= 0
        np.add.at(total, cells.sides[there, side], sign * cells.burgers[there])
    assert np.any(cells.burgers)
    assert not total.any()


@pytest.mark.parametrize("kind", DISLOCATIONS)
@pytest.mark.parametrize(("noise", "offset", "missing"), [(0.0, 0.0, 0.0), (NOISE, 3.0, 0.15)])
def test_burgers_vector_line_and_glide_plane(kind, noise, offset, missing):
    """About 610 atoms: the exact vector, the line within 4° and 1.5 Å, the glide plane (111)."""
    x = dislocated_nanocrystal(kind, diameter=26, shape="sphere", offset=offset).positions
    assert 550 < len(x) < 650
    x = noisy(without_surface(x, missing) if missing else x, 2, noise) @ TURN.T
    match, grains = oriented(x)
    (found,) = find_dislocations(x, match, grains)
    burgers, line = (np.array(v) for v in DISLOCATIONS[kind])
    assert found.kind == ("Shockley partial" if kind == "shockley" else "perfect")
    assert found.agreement > 0.9
    # b and ξ may both change sign; their relation may not.
    direction = TURN.T @ found.line_vector
    sense = np.sign(direction @ line)
    assert sense * direction @ line / np.linalg.norm(line) > np.cos(np.radians(4))
    np.testing.assert_allclose(sense * TURN.T @ found.burgers_vector, A * burgers, atol=0.12)
    assert np.linalg.norm(found.burgers) == pytest.approx(np.linalg.norm(burgers), abs=1e-12)
    character = np.degrees(np.arccos(abs(burgers @ line) / np.linalg.norm(burgers) / np.linalg.norm(line)))
    assert found.character == pytest.approx(character, abs=4)
    assert len(found.glide_planes) == (2 if kind == "screw" else 1)
    normals = found.glide_planes @ grains.grains[0].orientation.T @ TURN
    assert np.max(np.abs(normals @ np.ones(3) / np.sqrt(3))) > np.cos(np.radians(4))
    # Chords of a ball of radius 13 Å; the last tetrahedra at both ends have no face across.
    assert 2 * np.sqrt(13**2 - offset**2) - 9 < found.length < 27


def test_the_line_lies_where_it_was_put():
    """Offsets in the glide plane move the path by as much, across the line."""
    places = []
    for offset in (-4.0, 0.0, 4.0):
        x = dislocated_nanocrystal("shockley", diameter=26, shape="sphere", offset=offset, disorder=0.03).positions
        (found,) = find_dislocations(x, *oriented(x))
        _, line = (np.array(v) for v in DISLOCATIONS["shockley"])
        aside = np.cross(np.ones(3), line) / np.linalg.norm(np.cross(np.ones(3), line))
        places.append(found.path.mean(0) @ aside)
    np.testing.assert_allclose(np.diff(places), 4.0, atol=1.0)


def test_a_shockley_partial_ends_its_stacking_fault():
    x = dislocated_nanocrystal("shockley", diameter=26, shape="sphere", disorder=NOISE).positions
    match, grains = oriented(x)
    (fault,) = find_faults(x, match, grains)
    (found,) = find_dislocations(x, match, grains)
    assert fault.kind == "intrinsic stacking fault"
    assert abs(found.burgers @ fault.plane) < 1e-9
    # The fault covers the side of the cut, about half of the disc, and its plane holds the line.
    assert 0.2 < fault.area / (np.pi * 13**2) < 0.6
    assert np.max(np.abs((found.path - fault.position) @ fault.normal)) < 1.2


def test_a_dissociated_edge_is_two_partials_and_a_ribbon_of_fault():
    """a/2[1-10] = a/6[2-1-1] + a/6[1-21], 10 Å apart: both exact, and hcp atoms between them."""
    x = dislocated_nanocrystal("edge", diameter=27, shape="sphere", separation=10.0, disorder=0.04).positions
    match, grains = oriented(x)
    lines = find_dislocations(x, match, grains)
    assert [d.kind for d in lines] == ["Shockley partial", "Shockley partial"]
    direction = np.array([1, 1, -2]) / np.sqrt(6)
    total = sum(np.sign(d.line_vector @ direction) * d.burgers_vector for d in lines)
    np.testing.assert_allclose(total, [A / 2, -A / 2, 0], atol=0.1)
    apart = (lines[1].path.mean(0) - lines[0].path.mean(0)) @ np.array([1, -1, 0]) / np.sqrt(2)
    assert abs(apart) == pytest.approx(10, abs=1.5)
    (fault,) = find_faults(x, match, grains)
    assert fault.kind == "intrinsic stacking fault"
    ends = sorted(d.path.mean(0) @ np.array([1, -1, 0]) / np.sqrt(2) for d in lines)
    assert ends[0] < fault.position @ np.array([1, -1, 0]) / np.sqrt(2) < ends[1]


@pytest.mark.parametrize("defect", ["twin", "stacking_fault", "decahedron", "icosahedron"])
def test_planar_defects_are_no_dislocations(defect):
    x = nanocrystal("Pt", 26, defect=defect, disorder=0.07, seed=1).positions @ TURN.T
    assert find_dislocations(x, *oriented(x)) == ()


def test_agrees_with_the_dislocation_analysis_of_ovito():
    """DXA needs whole shells, so a larger particle with its line in the middle; b and the line of both agree."""
    from ovito.data import DataCollection
    from ovito.modifiers import DislocationAnalysisModifier as Dxa

    x = dislocated_nanocrystal("shockley", diameter=36, shape="sphere", disorder=0.03).positions
    data = DataCollection()
    data.create_particles(count=len(x)).create_property("Position", data=x)
    data.create_cell(matrix=np.column_stack([200 * np.eye(3), np.full(3, -100)]), pbc=(False, False, False))
    data.apply(Dxa(input_crystal_structure=Dxa.Lattice.FCC))
    theirs = max(data.dislocations.lines, key=lambda line: line.length)
    (ours,) = find_dislocations(x, *oriented(x))
    assert np.linalg.norm(ours.burgers) == pytest.approx(np.linalg.norm(theirs.true_burgers_vector), abs=1e-6)
    tangent = theirs.points[-1] - theirs.points[0]
    sense = np.sign(tangent @ ours.line_vector)
    # OVITO counts the sum of the ideal vectors along the circuit, minus what u grows by.
    cosine = -ours.burgers_vector @ np.array(theirs.spatial_burgers_vector) * sense
    cosine /= np.linalg.norm(ours.burgers_vector) * np.linalg.norm(theirs.spatial_burgers_vector)
    assert cosine > np.cos(np.radians(5))
    assert abs(tangent @ ours.line_vector) / np.linalg.norm(tangent) > np.cos(np.radians(10))


def test_names_and_wrong_input():
    assert miller_name([1 / 6, 1 / 6, -1 / 3]) == "a/6[11-2]"
    assert miller_name([0.5, -0.5, 0]) == "a/2[1-10]"
    assert miller_name([1 / 3, 1 / 3, 1 / 3]) == "a/3[111]"
    assert miller_name([1, 0, 0]) == "a[100]"
    with pytest.raises(InputError, match="one of the"):
        stacking_sequence(fcc_ball(), np.eye(3), BOND, [1, 0, 0])
    with pytest.raises(InputError, match="bond is 0"):
        stacking_sequence(fcc_ball(), np.eye(3), 0.0)
