"""Multiple twins, grain boundaries, disordered and bimetallic particles; rotation that is not Brownian."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from single_rs.base.errors import InputError
from single_rs.simulate import (
    CrystalConfig,
    DetectorConfig,
    Microscope,
    MovementConfig,
    SimulateConfig,
    brownian_rotations,
    nanocrystal,
    read_crystal,
    simulate,
)

PT = 3.92  # Å, ASE's lattice constant of Pt
BOND = PT / np.sqrt(2)
IDEAL = {"ragged": 0.0, "disorder": 0.0}


def coordination(positions: NDArray[np.float64], reach: float = 1.2 * BOND) -> NDArray[np.int64]:
    return cKDTree(positions).query_ball_point(positions, reach, return_length=True) - 1


def shortest(positions: NDArray[np.float64]) -> float:
    return float(cKDTree(positions).query(positions, k=2)[0][:, 1].min())


def maps_onto_itself(positions: NDArray[np.float64], turn: NDArray[np.float64]) -> bool:
    return bool(cKDTree(positions).query(positions @ turn.T)[0].max() < 1e-6)


@pytest.mark.parametrize(("diameter", "shells"), [(16.0, 3), (20.6, 4), (25.0, 5)])
def test_icosahedra_are_mackays(diameter: float, shells: int) -> None:
    c = nanocrystal("Pt", diameter, defect="icosahedron", **IDEAL)
    # (10 n³ + 15 n² + 11 n + 3) / 3: 147, 309, 561 atoms; 12 corners, 30 edges, 20 faces on the outer shell.
    n = shells
    assert len(c) == (10 * n**3 + 15 * n**2 + 11 * n + 3) // 3
    found = np.bincount(coordination(c.positions), minlength=13)
    inside = (10 * (n - 1) ** 3 + 15 * (n - 1) ** 2 + 11 * (n - 1) + 3) // 3
    expected = {6: 12, 8: 30 * (n - 1), 9: 10 * (n - 1) * (n - 2), 12: inside}
    assert {k: int(v) for k, v in enumerate(found) if v} == expected
    assert len(np.unique(c.grain)) == 20


def test_marks_decahedra_have_the_magic_numbers_of_marks() -> None:
    from ase.cluster import Decahedron

    for diameter, (p, q, r), atoms in [(12.4, (2, 2, 1), 75), (14.4, (2, 3, 1), 101), (20.8, (4, 3, 1), 318)]:
        c = nanocrystal("Pt", diameter, defect="marks_decahedron", **IDEAL)
        assert len(c) == atoms
        ideal = Decahedron("Pt", p, q, r, latticeconstant=PT).get_positions()
        assert cKDTree(ideal - ideal.mean(axis=0)).query(c.positions)[0].max() < 1e-6


@pytest.mark.parametrize("defect", ["decahedron", "marks_decahedron"])
def test_decahedra_have_a_fivefold_axis_and_five_crystals(defect: str) -> None:
    c = nanocrystal("Pt", 25.0, defect=defect, **IDEAL)
    assert maps_onto_itself(c.positions, Rotation.from_rotvec([0, 0, 2 * np.pi / 5]).as_matrix())
    assert not maps_onto_itself(c.positions, Rotation.from_rotvec([0, 0, np.pi / 5]).as_matrix())
    assert c.grain is not None
    assert c.frames is not None
    assert (np.bincount(c.grain) > 0.1 * len(c)).all()
    tree = cKDTree(c.positions)
    bonds = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, -1, 0], [1, 0, -1], [0, 1, -1]]) * PT / 2
    for g, frame in enumerate(c.frames):
        assert np.linalg.det(frame) == pytest.approx(1)
        # An atom in the middle of its wedge has the neighbours of fcc in the grain's axes; 72° for 70.5° strains them.
        own = c.positions @ frame
        off_middle = np.abs(own[:, 0] + own[:, 1]) - own[:, 2]  # the wedge opens along the grain's [001]
        wedge = np.flatnonzero((c.grain == g) & (coordination(c.positions) == 12))
        atom = wedge[np.argmin(off_middle[wedge])]
        around = c.positions[tree.query_ball_point(c.positions[atom], 1.2 * BOND)] - c.positions[atom]
        ideal = np.concatenate([bonds, -bonds]) @ frame.T
        assert cKDTree(around).query(ideal)[0].max() < 0.06 * BOND


def test_ino_decahedra_are_without_notches() -> None:
    ino, marks = (nanocrystal("Pt", 22.0, defect=d, **IDEAL).positions for d in ("decahedron", "marks_decahedron"))
    # Atoms on the five outer edges: Ino's reach them, Marks's re-entrant facets cut them off.
    assert np.hypot(*ino[:, :2].T).max() > 1.1 * np.hypot(*marks[:, :2].T).max()


@pytest.mark.parametrize(("element", "angle"), [("Pt", 20.0), ("Fe", 35.0), ("Co", None)])
def test_grain_boundary_joins_two_lattices_of_the_misorientation(element: str, angle: float | None) -> None:
    c = nanocrystal(element, 25.0, defect="grain_boundary", misorientation=angle, disorder=0, seed=3)
    whole = nanocrystal(element, 25.0, disorder=0)
    assert c.frames is not None
    assert c.grain is not None
    turn = Rotation.from_matrix(c.frames[1]).magnitude()
    if angle is not None:
        assert np.degrees(turn) == pytest.approx(angle)
    assert (np.bincount(c.grain) > 0.15 * len(c)).all()
    assert shortest(c.positions) > 0.85 * shortest(whole.positions) - 1e-9
    # Each grain, turned back, has the bonds of the perfect crystal.
    tree = cKDTree(whole.positions)
    reach = 1.2 * shortest(whole.positions)
    middle = whole.positions[np.argmax(tree.query_ball_point(whole.positions, reach, return_length=True))]
    ideal = whole.positions[tree.query_ball_point(middle, reach)] - middle
    for g in (0, 1):
        own = c.positions[c.grain == g] @ c.frames[g]
        grain = cKDTree(own)
        atom = own[np.argmax(grain.query_ball_point(own, reach, return_length=True))]
        around = own[grain.query_ball_point(atom, reach)] - atom
        # hcp: the two sites of a cell have bonds that are inverses of each other.
        assert min(cKDTree(s * ideal).query(around)[0].max() for s in (1, -1)) < 1e-6


def test_amorphous_particles_are_dense_without_order_or_overlap() -> None:
    a, crystal = nanocrystal("Pt", 28.0, structure="amorphous", seed=2), nanocrystal("Pt", 28.0, disorder=0)
    assert 0.93 < len(a) / len(crystal) < 0.96
    assert shortest(a.positions) > 0.9 * BOND
    near = coordination(a.positions, 1.35 * BOND)
    inside = np.linalg.norm(a.positions, axis=1) < 9
    assert 11 < near[inside].mean() < 14  # random close packing: 12 to 13 up to the first minimum
    # fcc has a shell at √2 bonds, random packing its minimum there.
    share = []
    for p in (a.positions, crystal.positions):
        pairs = cKDTree(p).query_pairs(1.6 * BOND, output_type="ndarray")
        d = np.linalg.norm(p[pairs[:, 0]] - p[pairs[:, 1]], axis=1) / BOND
        share.append(np.mean((d > 1.36) & (d < 1.46)))
    assert share[0] < 0.4 * share[1]
    assert a.grain is not None
    assert (a.grain == -1).all()


@pytest.mark.parametrize("defect", ["none", "marks_decahedron"])
def test_disordered_shell_lies_on_an_untouched_core(defect: str) -> None:
    still = nanocrystal("Pt", 26.0, defect=defect, disorder=0, seed=4)
    c = nanocrystal("Pt", 26.0, defect=defect, disorder=0, shell=3.5, seed=4)
    assert 0.97 < len(c) / len(still) <= 1
    assert c.grain is not None
    core = c.grain >= 0
    assert 0.15 < core.mean() < 0.6
    # Both are centred on their mean: compare differences of core atoms.
    offset = c.positions[core][0] - still.positions[cKDTree(still.positions).query(c.positions[core][0])[1]]
    moved = cKDTree(still.positions).query(c.positions - offset)[0]
    assert moved[core].max() < 1e-6
    assert np.median(moved[~core]) > 0.5
    assert shortest(c.positions) > 0.8 * BOND
    assert np.percentile(coordination(c.positions, 1.3 * BOND), 1) >= 3  # nothing floats
    assert c.radius < still.radius + 0.5 * BOND


def test_bimetallic_particles_have_their_shares_and_places() -> None:
    mixed = nanocrystal("Pt", 24.0, second="Fe", fraction=0.25, disorder=0, seed=1)
    assert np.mean(mixed.symbols == "Fe") == pytest.approx(0.25, abs=0.5 / len(mixed) + 1e-9)
    radius = np.linalg.norm(mixed.positions, axis=1)
    assert radius[mixed.symbols == "Fe"].mean() == pytest.approx(radius[mixed.symbols == "Pt"].mean(), rel=0.05)
    # Volumes add: Pt 15.06 Å³, Fe 11.82 Å³ an atom.
    assert shortest(mixed.positions) == pytest.approx(np.cbrt(4 * (0.75 * 15.06 + 0.25 * 11.82)) / np.sqrt(2), rel=1e-3)
    clad = nanocrystal("Pd", 24.0, "sphere", second="Pt", fraction=0.4, mixing="core_shell", **IDEAL)
    radius = np.linalg.norm(clad.positions, axis=1)
    outside = clad.symbols == "Pt"
    assert np.mean(outside) == pytest.approx(0.4, abs=0.01)
    assert radius[outside].min() > radius[~outside].max() - 1e-6
    assert set(nanocrystal("Fe", 14.0, second="Co", structure="amorphous").symbols) == {"Fe", "Co"}


def test_heights_in_the_image_are_those_of_the_species() -> None:
    scope = Microscope(64, 0.358)
    spots = [scope.image(np.zeros((1, 3)), np.array([s])).max() - 1 for s in ("Pt", "Pd", "Fe")]
    assert spots[0] > 1.2 * spots[1] > 1.4 * spots[2]
    both = scope.image(np.array([[-6.0, 0, 0], [6.0, 0, 0]]), np.array(["Pt", "Fe"])) - 1
    assert both[:, :32].max() == pytest.approx(spots[0], rel=0.1)
    assert both[:, 32:].max() == pytest.approx(spots[2], rel=0.1)


@pytest.mark.parametrize(
    "kind",
    [
        {"defect": "marks_decahedron"},
        {"defect": "icosahedron"},
        {"defect": "grain_boundary"},
        {"structure": "amorphous"},
        {"shell": 3.0},
        {"second": "Pd"},
    ],
)
def test_particles_depend_on_their_seed_alone(kind: dict) -> None:
    first, again, other, item = (
        nanocrystal("Pt", 16.0, **kind, seed=s, item=i) for s, i in ((1, 0), (1, 0), (2, 0), (1, 1))
    )
    np.testing.assert_array_equal(first.positions, again.positions)
    np.testing.assert_array_equal(first.symbols, again.symbols)
    for c in (other, item):
        same = first.positions.shape == c.positions.shape and np.array_equal(first.positions, c.positions)
        assert not same


def test_impossible_particles_are_refused() -> None:
    with pytest.raises(InputError, match="amorphous particle has no lattice"):
        nanocrystal(structure="amorphous", defect="twin")
    with pytest.raises(InputError, match="only fcc"):
        nanocrystal("Co", defect="icosahedron")
    with pytest.raises(InputError, match="random, core_shell"):
        nanocrystal(second="Pd", mixing="janus")
    with pytest.raises(InputError, match="'Qq'"):
        nanocrystal(second="Qq")
    with pytest.raises(InputError, match="fraction"):
        nanocrystal(second="Pd", fraction=1.5)
    with pytest.raises(InputError, match="misorientation"):
        nanocrystal(defect="grain_boundary", misorientation=270.0)


def angles(rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    vectors = Rotation.from_matrix(rotations[1:] @ rotations[:-1].transpose(0, 2, 1)).as_rotvec()
    return np.degrees(vectors)


@pytest.mark.parametrize("motion", ["brownian", "drift", "bursts", "heavy_tailed"])
def test_every_motion_has_its_step_and_begins_alike(motion: str) -> None:
    r = brownian_rotations(20_000, 5.0, seed=3, motion=motion)
    vectors = angles(r)
    # Student's t of three degrees of freedom converges slowly: its fourth moment is infinite.
    tolerance = 0.15 if motion == "heavy_tailed" else 0.05
    assert np.sqrt((vectors**2).sum(axis=1).mean()) == pytest.approx(5.0, rel=tolerance)
    assert vectors.var(axis=0).max() < (1 + 4 * tolerance) * vectors.var(axis=0).min()
    np.testing.assert_array_equal(r[:300], brownian_rotations(300, 5.0, seed=3, motion=motion))


def test_motions_differ_in_memory_and_tails() -> None:
    vectors = {
        m: angles(brownian_rotations(20_000, 5.0, seed=4, motion=m)) for m in ("drift", "bursts", "heavy_tailed")
    }
    memory = {m: float(np.mean(v[20:] * v[:-20]) / np.mean(v**2)) for m, v in vectors.items()}
    assert memory["drift"] == pytest.approx(np.exp(-1), abs=0.06)
    assert abs(memory["bursts"]) < 0.02
    length = {m: np.linalg.norm(v, axis=1) for m, v in vectors.items()}
    # Shares of steps beyond 3 rms: Brownian 6e-6; bursts have 15 % of steps five times larger than the rest.
    assert np.mean(length["heavy_tailed"] > 15) > 2e-3
    assert np.median(length["heavy_tailed"]) < 3.7  # 4.4 for a Gaussian
    slow = np.log(length["bursts"])
    assert np.mean((slow[1:] - slow.mean()) * (slow[:-1] - slow.mean())) / slow.var() > 0.3  # spells, not single steps
    with pytest.raises(InputError, match="heavy_tailed"):
        brownian_rotations(5, motion="levy")
    with pytest.raises(InputError, match="motion_time"):
        brownian_rotations(5, motion="bursts", motion_time=0.5)


def test_settings_reach_particle_and_motion(tmp_path) -> None:
    crystal = CrystalConfig(diameter=13.0, second="Pd", mixing="core_shell", fraction=0.3, shell=2.0)
    movement = MovementConfig(step=4.0, motion="drift", motion_time=50.0)
    config = SimulateConfig(
        kind="stack", frames=3, box=96, crystal=crystal, movement=movement, detector=DetectorConfig(dose=2.0), seed=7
    )
    made = simulate(config, tmp_path / "alloy")
    expected = nanocrystal(diameter=13.0, second="Pd", mixing="core_shell", fraction=0.3, shell=2.0, seed=7)
    np.testing.assert_array_equal(made.crystal.positions, expected.positions)
    back = read_crystal(tmp_path / "alloy_truth.xyz")
    np.testing.assert_array_equal(back.symbols, expected.symbols)
    poses = brownian_rotations(3, 4.0, seed=7, motion="drift", motion_time=50.0)
    np.testing.assert_array_equal(made.rotations, poses)
