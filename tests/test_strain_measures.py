"""Invariants, errors and statistics of the strain: textbook cases, and errors that match the scatter of copies."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from single_rs.analysis.lattice import fit_lattice
from single_rs.analysis.strain import COMPONENTS, StrainConfig, compute_strain
from single_rs.analysis.strain.invariants import MEASURES, strain_measures
from single_rs.analysis.strain.statistics import statistics_table, strain_statistics
from single_rs.base.errors import InputError
from single_rs.base.tensors import (
    components,
    matrices,
    position_covariance,
    principal,
    volumetric,
    von_mises,
)
from strained import SIX, TURN, UNIFORM, A, ball

BULK = StrainConfig(reference="bulk")


def test_textbook_cases_of_the_invariants():
    e = 0.02
    tension = np.array([[e, -e / 2, -e / 2, 0, 0, 0]])
    assert von_mises(tension)[0] == pytest.approx(e)  # tension at constant volume
    shear = np.array([[0, 0, 0, e, 0, 0]])  # engineering shear 2e
    assert von_mises(shear)[0] == pytest.approx(2 * e / np.sqrt(3))
    values, axes, _ = principal(shear, np.zeros((1, 6, 6)))
    np.testing.assert_allclose(values[0], [e, 0, -e], atol=1e-15)
    np.testing.assert_allclose(np.abs(axes[0, 0]), [np.sqrt(0.5), np.sqrt(0.5), 0], atol=1e-12)
    dilation = np.array([[e, e, e, 0, 0, 0]])
    assert von_mises(dilation)[0][0] == pytest.approx(0, abs=1e-8)
    assert volumetric(dilation)[0] == pytest.approx((1 + e) ** 3 - 1)
    np.testing.assert_allclose(components(matrices(SIX)), SIX)


def test_invariants_of_a_strained_particle_do_not_depend_on_its_orientation():
    x = ball(300) @ (np.eye(3) + UNIFORM).T
    values, vectors = np.linalg.eigh(UNIFORM)
    for turn in (np.eye(3), TURN):
        strain = compute_strain(x @ turn.T, fit_lattice(x @ turn.T, "fcc", element="Pt"), BULK)
        found = strain_measures(strain)
        np.testing.assert_allclose(found.principal, np.broadcast_to(values[::-1], (300, 3)), atol=1e-12)
        np.testing.assert_allclose(np.abs(found.principal_axes[0] @ vectors[:, ::-1]), np.eye(3), atol=1e-8)
        np.testing.assert_allclose(found.volumetric, np.linalg.det(np.eye(3) + UNIFORM) - 1, atol=1e-12)
        deviator = UNIFORM - np.trace(UNIFORM) / 3 * np.eye(3)
        np.testing.assert_allclose(found.von_mises, np.sqrt(2 / 3 * np.sum(deviator**2)), atol=1e-12)
        np.testing.assert_allclose(found.rotation, 0, atol=1e-5)
        assert tuple(found.table(strain)) == MEASURES


def test_local_rotation_has_its_angle_and_axis():
    """A twist about z: planes turn by 0.2° per Å, without strain to first order near the axis."""
    x = ball(600)
    angle = np.deg2rad(0.2) * x[:, 2]
    turned = Rotation.from_rotvec(np.outer(angle, [0, 0, 1])).apply(x)
    lattice = fit_lattice(turned, "fcc", element="Pt")
    strain = compute_strain(turned, lattice, BULK)
    # Nearer to the rim the local plane reads its rotation further inside.
    near = (np.linalg.norm(x[:, :2], axis=1) < 4) & (np.abs(x[:, 2]) < 6)
    np.testing.assert_allclose(strain.rotation[near, 2], angle[near], atol=np.deg2rad(0.05))
    np.testing.assert_allclose(
        strain_measures(strain).rotation[near], np.degrees(np.linalg.norm(strain.rotation[near], axis=1))
    )


def test_errors_of_the_invariants_are_those_of_draws():
    """Components far apart, so that first order holds: draws of the six components against the stated errors."""
    rng = np.random.default_rng(1)
    root = 1e-3 * rng.normal(size=(6, 6))
    covariance = root @ root.T
    tensor = np.array([0.03, -0.02, 0.005, 0.004, -0.003, 0.002])
    draws = tensor + rng.normal(size=(4000, 6)) @ root.T
    same = np.broadcast_to(covariance, (4000, 6, 6))
    one = tensor[None], covariance[None]
    np.testing.assert_allclose(np.std(principal(draws, same)[0], axis=0), principal(*one)[2][0], rtol=0.06)
    np.testing.assert_allclose(np.std(volumetric(draws)[0]), volumetric(*one)[1][0], rtol=0.06)
    np.testing.assert_allclose(np.std(von_mises(draws)[0]), von_mises(*one)[1][0], rtol=0.06)
    noise = von_mises(draws - tensor)[0]
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(von_mises(*one)[2][0], rel=0.05)


def _copies(count, draws, covariance=None, reference="bulk", seed=0):
    """Strain of noisy copies of one particle, each with a lattice of its own."""
    rng, x = np.random.default_rng(seed), ball(count) @ (np.eye(3) + UNIFORM).T
    spread = np.broadcast_to(0.03**2 * np.eye(3), (count, 3, 3)) if covariance is None else covariance
    root = np.linalg.cholesky(spread)
    for _ in range(draws):
        noisy = x + np.einsum("nij,nj->ni", root, rng.normal(size=x.shape))
        lattice = fit_lattice(noisy, "fcc", element="Pt")
        yield noisy, compute_strain(noisy, lattice, StrainConfig(reference=reference, frame="lab"), None, spread)


def test_a_covariance_of_each_atom_passes_to_strain_and_rotation():
    """Three times worse along z (as with few views), tilted from atom to atom: pulls have unit variance in the core and
    on the surface, for each component and for the rotation.
    """
    turns = Rotation.random(150, random_state=5).as_matrix()
    spread = turns @ np.diag([0.015, 0.015, 0.045]) ** 2 @ np.swapaxes(turns, 1, 2)
    pulls, turned = [], []
    for _, strain in _copies(150, 12, spread):
        pulls.append((strain.tensor - SIX) / strain.error)
        turned.append(strain.rotation / np.sqrt(np.einsum("nii->ni", strain.rotation_covariance)))
    for part in (strain.surface, ~strain.surface):
        np.testing.assert_allclose(np.sqrt(np.mean(np.array(pulls)[:, part] ** 2, axis=(0, 1))), 1, atol=0.15)
    assert np.sqrt(np.mean(np.square(turned))) == pytest.approx(1, abs=0.15)
    flat = compute_strain(ball(180), fit_lattice(ball(180)), StrainConfig(), np.full(180, 0.03))
    assert flat.covariance[0, 0, 3] == pytest.approx(flat.covariance[0, 3, 0])


def test_statistics_state_their_errors():
    """Means, spreads and medians over 12 copies, which know a scatter to 20%, scatter as stated."""
    found = []
    for x, strain in _copies(150, 12, reference="fit", seed=2):
        # Values need few draws; the errors of the last copy are compared, with draws enough to know them to 5%.
        last = len(found) == 11
        found.append(strain_statistics(x, strain, draws=200 if last else 2))
    stated = found[-1]
    for key, error in (("mean", "mean_error"), ("std", "std_error")):
        ratios = [
            np.std([getattr(copy[n], key) for copy in found]) / getattr(s, error)
            for n, s in enumerate(stated)
            if s.measure in (*COMPONENTS, "radial", "volumetric")
        ]
        assert np.sqrt(np.mean(np.square(ratios))) == pytest.approx(1, abs=0.3)
    medians = [np.std([copy[n].quantiles[2] for copy in found]) / s.quantile_errors[2] for n, s in enumerate(stated)]
    assert np.sqrt(np.mean(np.square(medians))) == pytest.approx(1, abs=0.3)


def test_statistics_are_those_of_the_atoms_and_tell_core_from_surface():
    x = ball(300) @ (np.eye(3) + UNIFORM).T
    strain = compute_strain(x, fit_lattice(x, "fcc", element="Pt"), BULK, np.full(300, 0.02))
    table = statistics_table(strain_statistics(x, strain))
    assert tuple(table) == MEASURES
    assert table["xx"]["all"].mean == pytest.approx(0.012)
    assert table["xx"]["core"].atoms + table["xx"]["surface"].atoms == 300
    neighbours = (np.linalg.norm(x[:, None] - x, axis=2) < 0.85 * A).sum(axis=1) - 1
    np.testing.assert_array_equal(strain.surface, neighbours <= 9)
    assert table["xx"]["core"].noise == pytest.approx(np.sqrt(np.mean(strain.error[~strain.surface, 0] ** 2)))
    assert table["xx"]["core"].noise < table["xx"]["surface"].noise
    assert table["yy"]["all"].q50 == pytest.approx(-0.008)
    again = strain_statistics(x, strain)
    assert statistics_table(again) == table  # the same draws for the same seed


def test_wrong_errors_and_sizes_are_named():
    x = ball(150)
    lattice = fit_lattice(x, "fcc")
    with pytest.raises(InputError, match=r"covariance has shape \(3, 3\); \(150, 3, 3\)"):
        compute_strain(x, lattice, covariance=np.eye(3))
    with pytest.raises(InputError, match="negative eigenvalues"):
        position_covariance(1, None, -np.eye(3)[None])
    strain = compute_strain(x, lattice)
    with pytest.raises(InputError, match="149 atoms"):
        strain_statistics(x[1:], strain)
    with pytest.raises(InputError, match="draws is 1"):
        strain_statistics(x, strain, draws=1)
