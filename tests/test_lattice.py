"""The lattice fit: known crystals in random orientation come back within their stated errors."""

import doctest
import json

import numpy as np
import pytest
import spglib
from ase.cluster import Decahedron
from scipy.spatial.transform import Rotation

import single_rs.analysis.lattice
from single_rs.analysis.lattice import fit_lattice
from single_rs.analysis.lattice.affine import cell_parameters, fit_affine
from single_rs.analysis.lattice.expansion import expansion
from single_rs.base.errors import ConvergenceError, DataFileError, InputError
from single_rs.crystal.prototypes import STRUCTURES, bulk_reference, prototype
from single_rs.export.lattice import read_lattice, write_lattice
from single_rs.simulate import nanocrystal

BOND = 2.77  # Å, about that of Pt


def ball(structure, count, seed=0, noise=0.0, bond=BOND):
    """The `count` sites nearest to a random centre, randomly turned, with Gaussian noise (Å per axis)."""
    rng = np.random.default_rng(seed)
    kind = prototype(structure)
    steps = np.stack(np.meshgrid(*[np.arange(-8, 9)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    x = (steps + kind.motif).reshape(-1, 3) @ kind.cell * bond - rng.uniform(-1, 1, 3)
    x = x[np.argsort(np.linalg.norm(x, axis=1))[:count]]
    rotation = Rotation.random(random_state=seed).as_matrix()
    return x @ rotation.T + rng.normal(0, noise, (count, 3)) if noise else x @ rotation.T


def twinned(shift=False):
    """A ball of fcc atoms, its upper part mirrored in (111), or shifted along it as by a stacking fault."""
    kind = prototype("fcc")
    steps = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    x = (steps + kind.motif).reshape(-1, 3) @ kind.cell * BOND
    x = x[np.linalg.norm(x, axis=1) < 17]
    x = x @ Rotation.align_vectors([[0, 0, 1]], [[1, 1, 1]])[0].as_matrix().T
    layer = BOND * np.sqrt(2 / 3)
    if shift:
        lower = x[x[:, 2] < layer / 2]
        upper = x[x[:, 2] > layer / 2]
        # Hollow of the plane: a third of the sum of two bonds at 60°.
        plane = lower[np.abs(lower[:, 2]) < 0.1]
        bonds = plane[np.abs(np.linalg.norm(plane, axis=1) - BOND) < 0.1]
        pair = next(b for b in bonds[1:] if abs(b @ bonds[0] - BOND**2 / 2) < 0.1)
        trial = [upper + s * (bonds[0] + pair) / 3 for s in (1, -1)]
        upper = max(trial, key=lambda u: np.linalg.norm(u[:, None] - lower[None], axis=2).min())
        x = np.concatenate([lower, upper])
    else:
        lower = x[x[:, 2] < layer / 2]
        x = np.concatenate([lower, lower[lower[:, 2] < -layer / 2] * [1, 1, -1]])
    return x[np.linalg.norm(x - [0, 0, layer], axis=1) < 12.5]


@pytest.mark.parametrize("structure", STRUCTURES)
def test_600_atoms_with_5_pm_noise_give_the_cell_within_3_milliangstrom(structure):
    """Twelve crystals, so 36 lengths and 36 angles: within ±0.003 Å and ±0.05°, and as far off as they say.

    One length of a free cell of diamond, with its 8 atoms in a cell, is known to 1.05 mÅ, so ±3 mÅ is 2.9 σ of one and
    one of 36 lengths may be beyond it; the mean edge of a cell is better by √3 and always within 2 mÅ.
    |error|/σ of a calibrated Gaussian has root mean square 1; six parameters of 12 crystals know it to ±8%, and 68%
    of them lie within 1 σ (±6%). The bounds are at 3 standard deviations of that.
    """
    kind = prototype(structure)
    names = ("a", "b", "c", "alpha", "beta", "gamma")
    truth = [*np.linalg.norm(kind.cell, axis=1) * BOND, 90, 90, 120 if structure == "hcp" else 90]
    errors, stated = [], []
    for seed in range(12):
        # 5 pm is the length of the displacement, 2.9 pm per axis.
        # The structure is found once, and stated to save time for the others.
        lattice = fit_lattice(ball(structure, 600, seed, noise=0.05 / np.sqrt(3)), structure if seed else None)
        assert lattice.structure == structure
        assert lattice.fraction == 1.0
        assert len(lattice.domains) == 1
        assert np.linalg.det(lattice.cell) > 0
        assert np.sqrt(np.mean(lattice.residual**2)) == pytest.approx(0.05 / np.sqrt(3), rel=0.1)
        errors.append([getattr(lattice, n) - t for n, t in zip(names, truth, strict=True)])
        stated.append([getattr(lattice, f"{n}_err") for n in names])
    lengths, angles = np.abs(errors)[:, :3], np.abs(errors)[:, 3:]
    assert np.sum(lengths > 0.003) <= 1
    assert lengths.max() < 0.0035
    assert np.abs(np.mean(np.array(errors)[:, :3], axis=1)).max() < 0.002
    assert angles.max() < 0.05
    assert np.max(stated, axis=0)[:3].max() < 0.0016
    assert np.max(stated, axis=0)[3:].max() < 0.025
    pull = np.array(errors) / np.array(stated)
    assert np.sqrt(np.mean(pull**2)) == pytest.approx(1, abs=0.25)
    assert np.mean(np.abs(pull) < 1) == pytest.approx(0.68, abs=0.17)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("seed", range(3))
def test_any_orientation_gives_the_exact_cell_of_a_perfect_crystal(structure, seed):
    x = ball(structure, 200, seed)
    lattice = fit_lattice(x)
    assert lattice.structure == structure
    np.testing.assert_allclose(
        np.array([lattice.a, lattice.b, lattice.c]), np.linalg.norm(prototype(structure).cell, axis=1) * BOND, atol=1e-9
    )
    np.testing.assert_allclose(lattice.site_positions(), x, atol=1e-9)
    # Sites are those of the motif: whole numbers, halves, thirds, quarters.
    offset = lattice.sites[:, None] - prototype(structure).motif
    assert np.all(np.any(np.all(np.abs(offset - np.rint(offset)) < 1e-9, axis=2), axis=1))
    assert len(np.unique(np.rint(12 * lattice.sites), axis=0)) == len(x)


def test_axes_are_the_ones_nearest_to_the_frame():
    """A crystal turned by a few degrees keeps a along x, b along y, c along z, whichever mate the seed found."""
    for seed in range(4):
        x = ball("fcc", 200, seed)
        back = Rotation.random(random_state=seed).as_matrix()
        small = Rotation.from_rotvec([0.05, -0.08, 0.1])
        lattice = fit_lattice(x @ back @ small.as_matrix().T, "fcc")
        np.testing.assert_allclose(lattice.axes @ small.as_matrix(), np.eye(3), atol=1e-9)


def test_stated_errors_match_the_scatter_over_many_noisy_copies():
    """Monte Carlo: noise twice as large on the outer half. 200 copies know a standard error to 5%."""
    sites = np.linalg.solve((prototype("fcc").cell * BOND).T, ball("fcc", 300).T).T
    cell = prototype("fcc").cell * BOND + np.array([[0, 0.1, 0], [0.05, 0, 0], [0, 0.02, 0.1]])
    rng = np.random.default_rng(5)
    x = sites @ cell + [1.0, 2.0, 3.0]
    outer = np.linalg.norm(x - x.mean(0), axis=1) > np.median(np.linalg.norm(x - x.mean(0), axis=1))
    values, errors = [], []
    for _ in range(200):
        fit = fit_affine(sites, x + rng.normal(0, 0.04, x.shape) * np.where(outer, 2, 1)[:, None])
        p = cell_parameters(fit.cell, fit.covariance[3:, 3:])
        values.append([p.a, p.b, p.c, p.alpha, p.beta, p.gamma, p.volume])
        errors.append([p.a_err, p.b_err, p.c_err, p.alpha_err, p.beta_err, p.gamma_err, p.volume_err])
    truth = cell_parameters(cell, np.zeros((9, 9)))
    scatter = np.std(values, axis=0)
    np.testing.assert_allclose(np.mean(errors, axis=0), scatter, rtol=0.15)
    bias = np.mean(values, axis=0) - [truth.a, truth.b, truth.c, truth.alpha, truth.beta, truth.gamma, truth.volume]
    assert np.all(np.abs(bias) < 4 * scatter / np.sqrt(200))


def smooth_field(x, amplitude, length, rng):
    """A random displacement (n, 3) of given rms per axis and correlation length, Å: 60 waves."""
    k = rng.normal(0, 1 / length, (60, 3))
    phase, direction = rng.uniform(0, 2 * np.pi, 60), rng.normal(size=(60, 3))
    return amplitude * np.sqrt(2 / 60) * np.cos(x @ k.T + phase) @ direction


def test_errors_of_the_cell_hold_how_regions_of_a_strained_particle_differ():
    """A smooth random strain, 8 pm over 8 Å, in 1,500 atoms: the errors of the fit are ten times too small.

    The scatter of the cell over 4 such particles, 12 lengths, is known to 20 %, and strain over lengths near the
    diameter moves all octants alike, so up to twice the stated error is accepted.
    """
    x = ball("fcc", 1500, 1)
    alone, blocks = [], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        lattice = fit_lattice(x + smooth_field(x, 0.08, 8.0, rng) + rng.normal(0, 0.04, x.shape), "fcc")
        off = np.array([lattice.a, lattice.b, lattice.c]) - BOND * np.sqrt(2)
        alone += list(off / [lattice.independent.a_err, lattice.independent.b_err, lattice.independent.c_err])
        blocks += list(off / [lattice.a_err, lattice.b_err, lattice.c_err])
    assert np.sqrt(np.mean(np.square(alone))) > 5
    assert 0.5 < np.sqrt(np.mean(np.square(blocks))) < 2.2


def test_block_errors_are_the_standard_error_of_the_octants():
    """The octants fitted by plain least squares, the referee; none is added to independent noise."""
    x = ball("fcc", 1500, 1)
    whole = fit_lattice(x + smooth_field(x, 0.08, 8.0, np.random.default_rng(0)), "fcc")
    moved = whole.site_positions() + whole.residual
    octant = ((moved - moved.mean(axis=0)) @ whole.axes.T > 0) @ [4, 2, 1]
    cells = []
    for k in range(8):
        mine = octant == k
        cells.append(np.linalg.lstsq(np.c_[np.ones(mine.sum()), whole.sites[mine]], moved[mine], rcond=None)[0][1:])
    spread = np.std(np.linalg.norm(cells, axis=2), axis=0, ddof=1) / np.sqrt(8)
    np.testing.assert_allclose([whole.a_err, whole.b_err, whole.c_err], spread, rtol=0.35)
    quiet = fit_lattice(x + np.random.default_rng(1).normal(0, 0.04, x.shape), "fcc")
    assert quiet.parameters == quiet.independent


def test_gradients_of_the_cell_parameters_match_finite_differences():
    """With the covariance of one entry equal to h² each error is |∂p/∂entry| h."""
    cell = np.array([[3.9, 0.3, 0.1], [-0.2, 4.1, 0.2], [0.4, 0.1, 3.7]])
    names = ("a", "b", "c", "alpha", "beta", "gamma", "volume")
    for entry in range(9):
        step = np.zeros(9)
        step[entry] = 1e-5
        up = cell_parameters(cell + step.reshape(3, 3), np.zeros((9, 9)))
        down = cell_parameters(cell - step.reshape(3, 3), np.zeros((9, 9)))
        covariance = np.zeros((9, 9))
        covariance[entry, entry] = 1.0
        stated = cell_parameters(cell, covariance)
        for n in names:
            slope = abs(getattr(up, n) - getattr(down, n)) / 2e-5
            assert getattr(stated, f"{n}_err") == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_outliers_neither_move_the_cell_nor_count_as_on_site():
    x = ball("fcc", 400, 3, noise=0.03)
    rng = np.random.default_rng(0)
    bad = np.argsort(np.linalg.norm(x, axis=1))[-40:]
    x[bad] += rng.normal(0, 0.8, (40, 3))
    lattice = fit_lattice(x)
    good = np.setdiff1d(np.arange(400), bad)
    assert lattice.on_site[good].all()
    assert lattice.on_site[bad].mean() < 0.4
    assert abs(lattice.parameters.volume ** (1 / 3) - BOND * np.sqrt(2)) < 0.003


def test_twin_and_stacking_fault_are_second_domains():
    for shift, relation, angle in ((False, "twin", 60.0), (True, "shifted", 0.0)):
        x = twinned(shift)
        rng = np.random.default_rng(1)
        lattice = fit_lattice(x + rng.normal(0, 0.04, x.shape))
        assert lattice.structure == "fcc"
        assert [d.relation for d in lattice.domains] == ["main", relation]
        assert lattice.domains[1].disorientation == pytest.approx(angle, abs=0.5)
        assert lattice.off_lattice < 0.02
        assert 0.3 < lattice.fraction < 0.9
        assert sum(d.atoms for d in lattice.domains) == lattice.on_site.sum()


def test_a_fault_through_the_middle_does_not_make_platinum_hexagonal():
    # The layers of an hcp lattice hold 272 atoms of it, the larger part of the fcc one 283 of 560.
    x = nanocrystal("Pt", 25.0, defect="stacking_fault", seed=1252).positions
    lattice = fit_lattice(x + np.random.default_rng(1).normal(0, 0.03, x.shape))
    assert lattice.structure == "fcc"
    assert [d.relation for d in lattice.domains] == ["main", "shifted"]
    assert lattice.a == pytest.approx(3.92, abs=0.01)
    # Asked for hcp, it has domains of one layer, which keep the cell of the main one.
    layers = fit_lattice(x, "hcp").domains
    assert len(layers) > 2
    for layer in layers:
        assert abs(np.linalg.det(layer.cell)) == pytest.approx(np.linalg.det(layers[0].cell), rel=1e-6)


def test_decahedron_is_five_domains():
    lattice = fit_lattice(Decahedron("Pt", 5, 4, 0, latticeconstant=3.92).positions, "fcc")
    assert len(lattice.domains) == 5
    assert lattice.off_lattice < 0.02


def test_a_bent_crystal_is_still_one_domain():
    """Bent so that the rim is 0.6 Å from its site and sheared by 10%, no atom may lose or share its index."""
    x = ball("fcc", 600, 2)
    x[:, 2] += 0.004 * x[:, 0] ** 2
    lattice = fit_lattice(x, "fcc")
    assert np.isfinite(lattice.sites).all()
    assert len(lattice.domains) == 1
    assert len(np.unique(np.rint(lattice.sites[lattice.domain == 0] * 12), axis=0)) == (lattice.domain == 0).sum()


def test_a_cloud_of_random_points_has_no_lattice():
    rng = np.random.default_rng(4)
    with pytest.raises(ConvergenceError, match="no lattice"):
        fit_lattice(rng.uniform(-10, 10, (300, 3)))


def test_sigma_weights_the_precise_atoms():
    """Half of the atoms at 1 pm and half at 20 pm: with their errors the cell is several times better."""
    rng = np.random.default_rng(9)
    x = ball("fcc", 400, 6)
    sigma = np.where(rng.random(400) < 0.5, 0.01, 0.2)
    noisy = x + rng.normal(size=x.shape) * sigma[:, None]
    plain, weighted = fit_lattice(noisy, "fcc"), fit_lattice(noisy, "fcc", sigma=sigma)
    assert weighted.a_err < plain.a_err / 2
    assert abs(weighted.a - BOND * np.sqrt(2)) < 4 * weighted.a_err


def test_expansion_of_platinum_is_measured_against_3_92():
    lattice = fit_lattice(ball("fcc", 200, 1, bond=3.92 * 1.01 / np.sqrt(2)), element="Pt")
    found = expansion(lattice)
    assert found is not None
    assert found.mean == pytest.approx(0.01, abs=1e-6)
    assert found.a == pytest.approx(0.01, abs=1e-6)
    assert lattice.bulk.source.startswith("ase.data")
    assert fit_lattice(ball("fcc", 100, 1), "fcc", element="Fe").bulk is None


def test_bulk_bond_lengths_agree_with_handbooks():
    """Nearest-neighbour distances in C. Kittel, Introduction to Solid State Physics, chapter 1."""
    for element, nearest in (("Pt", 2.77), ("Fe", 2.48), ("Si", 2.35), ("Co", 2.50)):
        assert bulk_reference(element).nearest == pytest.approx(nearest, abs=0.02)


def test_lattice_json_holds_cell_domains_reference_and_comes_back(tmp_path):
    lattice = fit_lattice(ball("hcp", 200, 8, noise=0.02), element="Co")
    write_lattice(tmp_path / "lattice.json", lattice)
    content = json.loads((tmp_path / "lattice.json").read_text(encoding="utf-8"))
    assert {"lattice", "expansion"} <= set(content)
    assert {"cell", "structure", "domains", "bulk"} <= set(content["lattice"])
    assert {f"{n}{e}" for n in ("a", "b", "c", "alpha", "beta", "gamma") for e in ("", "_err")} <= set(
        content["lattice"]["parameters"]
    )
    back = read_lattice(tmp_path / "lattice.json")
    np.testing.assert_allclose(back.cell, lattice.cell, atol=1e-7)
    np.testing.assert_allclose(back.site_positions(), lattice.site_positions(), atol=1e-5)
    assert back.structure == "hcp"
    assert (back.bulk.a, back.bulk.source) == (lattice.bulk.a, lattice.bulk.source)
    (tmp_path / "bad.json").write_text("{}")
    for name in ("bad.json", "none.json"):
        with pytest.raises(DataFileError, match=name):
            read_lattice(tmp_path / name)


def test_wrong_input_is_named():
    x = ball("fcc", 50)
    with pytest.raises(InputError, match="structure is 'sc'"):
        fit_lattice(x, structure="sc")
    with pytest.raises(InputError, match="element is 'Xx'"):
        fit_lattice(x, element="Xx")
    with pytest.raises(InputError, match=r"\(50, 2\)"):
        fit_lattice(x[:, :2])
    with pytest.raises(InputError, match="at least 13"):
        fit_lattice(x[:5])
    with pytest.raises(InputError, match="sigma"):
        fit_lattice(x, sigma=np.full(50, np.nan))


def test_operations_of_the_prototypes_are_the_proper_rotations_of_their_groups():
    """24 for cubic structures, 12 for hcp; each maps the structure onto itself."""
    for name, order in (("fcc", 24), ("bcc", 24), ("hcp", 12), ("diamond", 24)):
        kind = prototype(name)
        rotations, translations = kind.operations
        assert len(rotations) == order
        for w, t in zip(rotations, translations, strict=True):
            moved = kind.motif @ w.T + t
            difference = moved[:, None] - kind.motif[None]
            assert np.all(np.any(np.all(np.abs(difference - np.rint(difference)) < 1e-9, axis=2), axis=1))


def test_prototypes_have_the_space_groups_of_spglib():
    """spglib as the outside referee: number, and as many proper operations per lattice point as ours."""
    for name, number in (("fcc", 225), ("bcc", 229), ("hcp", 194), ("diamond", 227)):
        kind = prototype(name)
        found = spglib.get_symmetry_dataset((kind.cell, kind.motif, [1] * len(kind.motif)))
        assert found.number == number
        proper = {r.tobytes() for r in found.rotations if np.linalg.det(r) > 0}
        assert proper == {np.rint(w).astype(found.rotations.dtype).tobytes() for w in kind.operations[0]}


def test_the_example_in_the_docstring_runs():
    assert doctest.testmod(single_rs.analysis.lattice).failed == 0
