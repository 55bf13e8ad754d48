"""Three methods for one strain: each gives known fields back, says its error, and sees a dislocation for what it is."""

import numpy as np
import pytest

from single_rs.analysis.lattice import fit_lattice
from single_rs.analysis.strain import StrainConfig, compute_strain
from single_rs.analysis.strain.deformation import bond_strain
from single_rs.analysis.strain.gpa import phase_strain
from single_rs.analysis.strain.methods import compare_strain_methods
from single_rs.analysis.strain.spots import reflections
from single_rs.analysis.strain.summary import methods_summary
from single_rs.base.errors import InputError
from strained import SIX, TURN, UNIFORM, ball, breathing, density, edge_displacement, edge_frame, edge_strain

BULK = StrainConfig(reference="bulk")
PIXEL, BOX = 0.45, 64


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def test_bonds_give_a_uniform_strain_exactly_in_every_orientation():
    x = ball(300) @ (np.eye(3) + UNIFORM).T @ TURN.T
    found = bond_strain(x, fit_lattice(x, "fcc", element="Pt"), BULK)
    np.testing.assert_allclose(found.strain.tensor, np.broadcast_to(SIX, (300, 6)), atol=1e-12)
    np.testing.assert_allclose(found.nonaffine, 0, atol=1e-20)
    np.testing.assert_allclose(np.linalg.det(found.gradient), np.linalg.det(np.eye(3) + UNIFORM), rtol=1e-12)
    assert found.bonds.max() == 12
    assert found.strain.kernel_width == 0


def test_bonds_state_their_errors():
    """3 pm over 12 copies, σ given or taken from the bonds: unit pulls in the core and on the surface."""
    rng, x = np.random.default_rng(3), ball(200) @ (np.eye(3) + UNIFORM).T
    lattice = fit_lattice(x, "fcc", element="Pt")
    given, free = [], []
    for _ in range(12):
        noisy = x + rng.normal(0, 0.03, x.shape)
        for sigma, collect in ((np.full(len(x), 0.03), given), (None, free)):
            strain = bond_strain(noisy, lattice, BULK, sigma).strain
            collect.append((strain.tensor - SIX) / strain.error)
    for collect in (given, free):
        for part in (strain.surface, ~strain.surface):
            assert rms(np.array(collect)[:, part]) == pytest.approx(1, abs=0.1)
    assert np.mean(strain.error[~strain.surface, :3]) == pytest.approx(0.0055, rel=0.15)


def test_edge_dislocation_of_elasticity_theory():
    """a/2[110] in 600 atoms of fcc: beside the core the field of Volterra and Hooke comes back.

    The strain falls as 1/r, so the kernel (2 Å) blurs it by about w²/r² of itself and the bonds by a quarter of that:
    at 4 to 6 Å, where the components are 2.3% rms, by a fifth and a tenth.
    """
    y = ball(600) @ edge_frame().T + [0.7, 1.1, 0.0]
    true, radius = edge_strain(y), np.linalg.norm(y[:, :2], axis=1)
    x = y + edge_displacement(y)
    lattice = fit_lattice(x, "fcc", element="Pt")
    config = StrainConfig(reference="bulk", frame="lab", widening=1.0)
    kernel, bonds = compute_strain(x, lattice, config), bond_strain(x, lattice, config)
    for low, high, by_kernel, by_bonds in ((4, 6, 0.009, 0.006), (6, 8, 0.005, 0.0033), (8, 12, 0.003, 0.002)):
        ring = (radius >= low) & (radius < high) & ~kernel.surface
        assert ring.sum() > 60
        size = rms(true[ring])
        assert rms(kernel.matrix[ring] - true[ring]) < min(by_kernel, 0.4 * size)
        assert rms(bonds.strain.matrix[ring] - true[ring]) < min(by_bonds, 0.25 * size)
    assert np.isfinite(kernel.tensor).all()
    # The bonds of the core are no longer those of one crystal.
    assert np.median(bonds.nonaffine[radius < 2]) > 50 * np.median(bonds.nonaffine[radius > 8])
    # With 3 pm of noise the far field is still that of theory, within the stated errors and the blur.
    noisy = x + np.random.default_rng(0).normal(0, 0.03, x.shape)
    found = compute_strain(noisy, fit_lattice(noisy, "fcc", element="Pt"), config, np.full(600, 0.03))
    far = (radius > 8) & ~kernel.surface
    expected = np.sqrt(np.mean(found.error[far] ** 2) + rms(kernel.matrix[far] - true[far]) ** 2)
    wrong = (found.matrix - true)[:, [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]][far]
    assert rms(wrong) == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize(("bfactor", "turn"), [(9.0, np.eye(3)), (20.0, TURN)])
def test_phases_give_a_uniform_strain_to_the_rim(bfactor, turn):
    """The emptied kernel and the falling off of the atoms' image would each cost per cents at the surface."""
    x = ball(300) @ (np.eye(3) + UNIFORM).T @ turn.T + [0.3, -0.2, 0.1]
    lattice = fit_lattice(x, "fcc", element="Pt")
    found = phase_strain(density(x, BOX, PIXEL, bfactor), PIXEL, x, lattice, BULK)
    assert np.abs(found.strain.tensor - SIX).max() < 1e-3
    assert rms(found.strain.tensor - SIX) < 3e-4
    np.testing.assert_allclose(found.strain.displacement, compute_strain(x, lattice, BULK).displacement, atol=0.003)
    assert len(found.reflections) == 7
    for k, name in enumerate(("xx", "yy", "zz", "xy", "xz", "yz")):
        inside = found.maps[name] != 0
        # The maps are linear: U − I differs from the symmetric slope by the square of the strain. Up to 2 Å outside the
        # outermost atoms there is little left to take a phase of.
        wrong = np.abs(found.maps[name][inside] - SIX[k])
        assert rms(wrong) < 5e-4
        assert np.quantile(wrong, 0.98) < 1e-3
        assert inside.sum() * found.pixel_size**3 == pytest.approx(1.25 * 300 * 3.92**3 / 4, rel=0.1)
    # Against its own best fit there is nothing left.
    assert np.abs(phase_strain(density(x, BOX, PIXEL, bfactor), PIXEL, x, lattice).strain.tensor).max() < 1e-3


def test_phases_and_kernel_agree_on_a_breathing_particle():
    """Core compressed, shell grown: the Fourier method and the local planes smooth alike, to a tenth of the field."""
    x = breathing(ball(300), 0.004, 0.01)
    config = StrainConfig(reference="bulk", widening=1.0)
    lattice = fit_lattice(x, "fcc", element="Pt")
    found = compare_strain_methods(x, lattice, config, density=density(x, BOX, PIXEL), pixel_size=PIXEL)
    rows = {(p.first, p.second, p.group): p for p in found.pairs}
    core = rows["kernel", "gpa", "core"]
    assert core.rms < 3e-4
    assert core.correlation > 0.98
    assert rows["kernel", "gpa", "all"].rms < 1e-3
    assert found.phases is not None
    assert set(found.strains) == {"kernel", "bonds", "gpa"}
    text = found.text()
    assert "gpa-kernel" in text
    assert len(text.splitlines()) == 2 + 9 + 9
    assert methods_summary(found).pairs["kernel-gpa"]["core"].rms == core.rms


@pytest.mark.slow
def test_phases_state_their_errors():
    """Noise in the map, coloured as after a resolution limit: unit pulls, from the half maps and from outside alike."""
    from scipy.ndimage import gaussian_filter

    x = ball(200) @ (np.eye(3) + UNIFORM).T
    lattice, clean = fit_lattice(x, "fcc", element="Pt"), density(x, BOX, PIXEL)
    rng = np.random.default_rng(4)
    pulls: dict[bool, list] = {True: [], False: []}
    for _ in range(8):
        one, two = (gaussian_filter(rng.normal(0, 0.1, clean.shape), 0.6) for _ in range(2))
        for halves, collect in pulls.items():
            noise = (one - two) / 2 if halves else None
            strain = phase_strain(clean + (one + two) / 2, PIXEL, x, lattice, BULK, noise).strain
            collect.append((strain.tensor - SIX) / strain.error)
    for collect in pulls.values():
        for part in (strain.surface, ~strain.surface):
            assert rms(np.array(collect)[:, part]) == pytest.approx(1, abs=0.2)
    assert 0.0005 < np.mean(strain.error[~strain.surface]) < 0.005
    masked = phase_strain(clean, PIXEL, x, lattice, BULK).strain
    assert np.isnan(masked.error).all()
    assert np.isfinite(masked.tensor).all()


def test_reflections_of_each_structure():
    for name, count in (("fcc", 7), ("bcc", 9), ("hcp", 4), ("diamond", 10)):
        hkl, factor = reflections(name)
        assert len(hkl) == count, name
        assert np.linalg.matrix_rank(hkl) == 3
        assert (np.abs(factor) > 0.3).all()


def test_wrong_maps_are_named():
    x = ball(150)
    lattice, rho = fit_lattice(x, "fcc", element="Pt"), density(x, 56, 0.5)
    with pytest.raises(InputError, match="pixel_size is not given"):
        compare_strain_methods(x, lattice, density=rho)
    with pytest.raises(InputError, match="a cube"):
        phase_strain(rho[:30], 0.5, x, lattice)
    with pytest.raises(InputError, match="the map ends at"):
        phase_strain(rho[:24, :24, :24], 0.5, x, lattice)
    with pytest.raises(InputError, match="at most"):
        phase_strain(rho, 1.0, x, lattice)
    with pytest.raises(InputError, match=r"kernel_width is 0\.8"):
        phase_strain(rho, 0.5, x, lattice, StrainConfig(kernel_width=0.8))
    with pytest.raises(InputError, match="noise has shape"):
        phase_strain(rho, 0.5, x, lattice, noise=rho[:32, :32, :32])
