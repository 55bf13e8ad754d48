"""Strain: known strain fields come back, exactly where the method is exact and within the stated errors elsewhere."""

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from single_rs.analysis.lattice import fit_lattice
from single_rs.analysis.strain import COMPONENTS, PRESETS, StrainConfig, compute_strain
from single_rs.analysis.strain.volumes import MAPS, strain_maps
from single_rs.base.errors import InputError
from single_rs.crystal.neighbours import SURFACE_RULES
from single_rs.crystal.prototypes import prototype

A = 3.92  # Å, the bulk lattice constant of Pt that the reference uses
UNIFORM = np.array([[0.012, 0.004, -0.003], [0.004, -0.008, 0.002], [-0.003, 0.002, 0.005]])
TURN = Rotation.from_rotvec([0.1, 0.2, -0.15]).as_matrix()
BULK = StrainConfig(reference="bulk")


def ball(count=400):
    """Ball of fcc Pt, axes along x, y, z, centred on its centre of mass."""
    kind = prototype("fcc")
    steps = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    x = (steps + kind.motif).reshape(-1, 3) * A
    x = x[np.argsort(np.linalg.norm(x - 0.1, axis=1), kind="stable")[:count]]
    return x - x.mean(axis=0)


@pytest.mark.parametrize("order", [1, 2])
def test_uniform_strain_comes_back_exactly_at_every_atom_and_in_every_orientation(order):
    x = ball() @ (np.eye(3) + UNIFORM).T @ TURN.T
    lattice = fit_lattice(x, "fcc", element="Pt")
    crystal = compute_strain(x, lattice, StrainConfig(reference="bulk", order=order))
    np.testing.assert_allclose(crystal.matrix, np.broadcast_to(UNIFORM, crystal.matrix.shape), atol=1e-12)
    np.testing.assert_allclose(crystal.axes, TURN.T, atol=1e-12)
    lab = compute_strain(x, lattice, StrainConfig(reference="bulk", frame="lab", order=order))
    np.testing.assert_allclose(lab.matrix, np.broadcast_to(TURN @ UNIFORM @ TURN.T, lab.matrix.shape), atol=1e-12)
    # Against its own best fit a uniformly strained crystal is not strained.
    np.testing.assert_allclose(compute_strain(x, lattice).tensor, 0, atol=1e-12)


def test_components_are_xx_yy_zz_xy_xz_yz_with_tensor_shear():
    x = ball() @ (np.eye(3) + UNIFORM).T
    tensor = compute_strain(x, fit_lattice(x, "fcc", element="Pt"), BULK).tensor[0]
    assert COMPONENTS == ("xx", "yy", "zz", "xy", "xz", "yz")
    np.testing.assert_allclose(tensor, [0.012, -0.008, 0.005, 0.004, -0.003, 0.002], atol=1e-12)


def test_rotating_one_half_adds_no_strain_away_from_the_joint():
    """U − I is free of rotation: 2° between the halves would look like 0.06% of strain in a linear theory."""
    x = ball(600)
    lattice = fit_lattice(x, "fcc", element="Pt")
    upper = x[:, 2] > 0
    angle = np.deg2rad(2.0)
    x[upper] = x[upper] @ Rotation.from_rotvec([0, 0, angle]).as_matrix().T
    strain = compute_strain(x, lattice, StrainConfig(reference="bulk", kernel_width=1.5))
    far = np.abs(x[:, 2]) > 5.5
    assert np.abs(strain.tensor[far]).max() < 1e-4
    np.testing.assert_allclose(strain.rotation[far & upper, 2], angle, rtol=0.01)


def test_linear_gradient_of_strain():
    """ε_xx grows from −2% to 2%: exact with order 2; with order 1 the rim reads its value further inside."""
    x = ball(600)
    slope = 0.02 / 12
    moved = x + np.outer(slope * x[:, 0] ** 2 / 2, [1, 0, 0])
    lattice = fit_lattice(moved, "fcc", element="Pt")
    exact = compute_strain(moved, lattice, StrainConfig(reference="bulk", order=2))
    np.testing.assert_allclose(exact.tensor[:, 0], slope * x[:, 0], atol=1e-9)
    np.testing.assert_allclose(exact.tensor[:, 1:], 0, atol=1e-9)
    plane = compute_strain(moved, lattice, BULK)
    assert np.abs(plane.tensor[:, 0] - slope * x[:, 0]).max() < slope * 2.5
    narrow = compute_strain(moved, lattice, StrainConfig(reference="bulk", widening=1.0))
    assert np.abs(narrow.tensor[:, 0] - slope * x[:, 0]).max() < slope * 2.0
    assert np.abs(plane.tensor[:, 0] - slope * x[:, 0])[~plane.surface].max() < slope * 1.25


def test_radial_strain_is_the_derivative_of_the_gaussian_convolution():
    """u = (a + b r²) x; convolved with a Gaussian of width w, du_r/dr = a + 3 b r² + 5 b w², everywhere in the core."""
    x = ball(600)
    a, b, width = 0.004, 0.02 / 3 / 12**2, 2.0
    r = np.linalg.norm(x, axis=1)
    moved = x * (1 + a + b * r**2)[:, None]
    strain = compute_strain(moved, fit_lattice(moved, "fcc", element="Pt"), BULK)
    core = (r > 2) & (r < 6)
    smoothed = a + 3 * b * r**2 + 5 * b * width**2
    np.testing.assert_allclose(strain.radial[core], smoothed[core], atol=3e-4)
    across = (np.trace(strain.matrix, axis1=1, axis2=2) - strain.radial) / 2
    np.testing.assert_allclose(across[core], (a + b * r**2 + 5 * b * width**2)[core], atol=3e-4)
    curved = compute_strain(moved, fit_lattice(moved, "fcc", element="Pt"), StrainConfig(reference="bulk", order=2))
    assert np.abs(curved.radial - a - 3 * b * r**2).max() < 8 * b * width**2


@pytest.mark.parametrize("order", [1, 2])
def test_stated_errors_match_the_scatter(order):
    """2 pm of noise over 12 copies: pulls have unit variance, on the surface as in the core, with σ given or not."""
    rng = np.random.default_rng(3)
    x = ball(250) @ (np.eye(3) + UNIFORM).T
    settings = StrainConfig(reference="bulk", order=order)
    lattice = fit_lattice(x, "fcc", element="Pt")
    pulls, free = [], []
    for _ in range(12):
        noisy = x + rng.normal(0, 0.02, x.shape)
        for sigma, collect in ((np.full(len(x), 0.02), pulls), (None, free)):
            strain = compute_strain(noisy, lattice, settings, sigma)
            true = UNIFORM[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
            collect.append((strain.tensor - true) / strain.error)
    surface = strain.surface
    for collect in (pulls, free):
        spread = np.std(collect, axis=0)
        assert np.sqrt(np.mean(spread**2)) == pytest.approx(1, abs=0.1)
        for part in (surface, ~surface):
            assert np.sqrt(np.mean(spread[part] ** 2)) == pytest.approx(1, abs=0.15)


def test_three_picometres_of_noise_give_three_permille_of_strain():
    """The bar: components good to 0.3% per atom, in the core and on the surface, at 3 pm; σ stated to within 10%."""
    rng = np.random.default_rng(0)
    x = ball(600) @ (np.eye(3) + UNIFORM).T
    errors = []
    for _ in range(3):
        noisy = x + rng.normal(0, 0.03, x.shape)
        strain = compute_strain(noisy, fit_lattice(noisy, "fcc", element="Pt"), BULK, np.full(len(x), 0.03))
        errors.append(strain.tensor - UNIFORM[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]])
    for part, six, normal in ((~strain.surface, 0.0020, 0.0023), (strain.surface, 0.0025, 0.0029)):
        found = np.array(errors)[:, part]
        rms = np.sqrt(np.mean(found**2))
        assert rms == pytest.approx(six, rel=0.08)
        assert np.sqrt(np.mean(found[..., :3] ** 2)) == pytest.approx(normal, rel=0.08)
        assert np.sqrt(np.mean(found**2, axis=(0, 1))).max() < 0.0032
        assert np.sqrt(np.mean(strain.error[part] ** 2)) == pytest.approx(rms, rel=0.1)


def test_atoms_off_the_lattice_get_the_strain_around_them_or_nan():
    x = ball(400)
    x[7] += [0.9, 0.3, 0.0]
    far = np.vstack([x, [[40.0, 0, 0]]])
    lattice = fit_lattice(far, "fcc", element="Pt")
    strain = compute_strain(far, lattice, BULK)
    assert not lattice.on_site[7]
    assert np.isnan(strain.displacement[7]).all()
    np.testing.assert_allclose(strain.tensor[7], 0, atol=1e-9)
    assert np.isnan(strain.tensor[-1]).all()
    assert np.isfinite(strain.tensor[:-1]).all()


def test_surface_of_a_ball_by_each_rule():
    x = ball(600)
    lattice, r = fit_lattice(x, "fcc"), np.linalg.norm(x, axis=1)
    found = {rule: compute_strain(x, lattice, StrainConfig(surface=rule)).surface for rule in SURFACE_RULES}
    np.testing.assert_array_equal(found["radius"], r > r.max() - A / np.sqrt(3))
    near = np.sum(np.linalg.norm(x[:, None] - x[None], axis=2) < 1.2 * A / np.sqrt(2), axis=1) - 1
    np.testing.assert_array_equal(found["coordination"], near <= 9)
    # Every corner of the convex hull is at the surface, nothing two planes below it is.
    assert found["hull"][ConvexHull(x).vertices].all()
    assert not found["hull"][r < r.max() - 2 * A / np.sqrt(3)].any()


def test_the_definitions_of_a_publication():
    """A uniform strain: against bulk by any smoothing inside; a convolution flattens it at the rim, planes do not."""
    x = ball(600) @ (np.eye(3) + UNIFORM).T
    lattice = fit_lattice(x, "fcc", element="Pt")
    kim = StrainConfig(**PRESETS["kim2020"])
    assert kim.sigma == 2.0
    assert StrainConfig(kernel_measure="fwhm").sigma == pytest.approx(2 / 2.3548, rel=1e-4)
    deep = np.linalg.norm(x, axis=1) < 4.0
    for smoothing in ("planes", "normalised", "convolution"):
        strain = compute_strain(x, lattice, StrainConfig(reference="bulk", smoothing=smoothing))
        wanted = UNIFORM[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
        np.testing.assert_allclose(strain.tensor[deep].mean(axis=0), wanted, atol=0.02 * 0.012 + 3e-4)
        assert strain.smoothing == smoothing
    flat = compute_strain(x, lattice, kim)
    rim = np.linalg.norm(x, axis=1) > np.linalg.norm(x, axis=1).max() - 1.0
    assert np.abs(flat.tensor[rim, 0]).mean() < 0.8 * UNIFORM[0, 0]
    r = np.linalg.norm(x - x.mean(axis=0), axis=1)
    np.testing.assert_array_equal(flat.surface, r > r.max() - lattice.layer_spacing)


def test_a_convolution_over_the_atoms_is_that_of_plain_numpy():
    """Direct sums over all atoms and finite differences of the smoothed field, an independent program."""
    rng = np.random.default_rng(2)
    x = ball(150) + rng.normal(0, 0.05, (150, 3))
    lattice = fit_lattice(x, "fcc", element="Pt")
    strain = compute_strain(x, lattice, StrainConfig(smoothing="normalised", frame="lab"))
    sites = x - strain.displacement

    def field(at):
        weight = np.exp(-np.sum((sites - at) ** 2, axis=1) / (2 * 2.0**2))
        return weight @ strain.displacement / weight.sum()

    h = 1e-5
    for atom in (0, 70, 149):
        step = h * np.eye(3)
        gradient = np.stack([(field(sites[atom] + s) - field(sites[atom] - s)) / (2 * h) for s in step], axis=1)
        stretch = np.linalg.svd(np.eye(3) + gradient)
        wanted = stretch[2].T @ np.diag(stretch[1]) @ stretch[2] - np.eye(3)
        np.testing.assert_allclose(strain.matrix[atom], wanted, atol=2e-5)


def test_maps_are_zyx_with_the_centre_at_half_the_box():
    x = ball(300) @ (np.eye(3) + UNIFORM).T
    x += [4.0, 0.0, -2.0]
    strain = compute_strain(x, fit_lattice(x, "fcc", element="Pt"), BULK)
    maps = strain_maps(x, strain, 64, 0.6, 2.77)
    assert tuple(maps) == MAPS
    for name, value in zip(COMPONENTS, strain.tensor[0], strict=True):
        volume = maps[name]
        assert volume.shape == (64, 64, 64)
        assert volume.dtype == np.float32
        inside = volume != 0
        np.testing.assert_allclose(volume[inside], value, atol=1e-6)
    z, y, w = (np.mean(i) for i in np.nonzero(maps["xx"]))
    np.testing.assert_allclose([(w - 32) * 0.6, (y - 32) * 0.6, (z - 32) * 0.6], x.mean(axis=0), atol=0.15)
    # The ball and three quarters of a bond round it, without holes: 1.25 of the volume of its atoms.
    assert inside.sum() * 0.6**3 == pytest.approx(1.25 * 300 * A**3 / 4, rel=0.1)


def test_wrong_input_is_named():
    x = ball(200)
    lattice = fit_lattice(x)
    with pytest.raises(InputError, match="reference is 'bulk'"):
        compute_strain(x, lattice, BULK)
    with pytest.raises(InputError, match="199 atoms"):
        compute_strain(x[1:], lattice)
    with pytest.raises(InputError, match=r"StrainConfig\.kernel_width"):
        StrainConfig(kernel_width=0.0)
    with pytest.raises(InputError, match="accepted: crystal, lab"):
        StrainConfig(frame="sample")
