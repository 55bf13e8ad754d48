"""Known physics of scattering, lens, graphene, liquid and detector."""

import gemmi
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import poisson as poisson_law

from single_rs.base.errors import InputError
from single_rs.crystal.scattering import (
    POTENTIAL_PER_FACTOR,
    electron_wavelength,
    interaction_constant,
    scattering_factor,
    structure_factor,
)
from single_rs.simulate import (
    Detector,
    DetectorConfig,
    Graphene,
    Liquid,
    Microscope,
    OpticsConfig,
    SurroundingsConfig,
    nanocrystal,
)
from single_rs.simulate.detector import poisson
from single_rs.simulate.optics import aberration, transfer

PX = 0.358  # Å
ONE_PT = np.array(["Pt"])


def test_constants_agree_with_tables() -> None:
    # Kirkland (2020), tables of wavelength (Å) and interaction constant (1e-3 / (V Å)).
    for voltage, wavelength, sigma in [(100, 0.03701, 0.9244), (200, 0.02508, 0.7288), (300, 0.01969, 0.6526)]:
        assert electron_wavelength(voltage) == pytest.approx(wavelength, rel=3e-4)
        assert interaction_constant(voltage) * 1e3 == pytest.approx(sigma, rel=3e-4)
    assert pytest.approx(47.878, rel=1e-4) == POTENTIAL_PER_FACTOR


@pytest.mark.parametrize("symbol", ["C", "Fe", "Pt"])
def test_scattering_factors_obey_mott_and_bethe(symbol: str) -> None:
    # f_e(s) = 0.023934 (Z - f_x(s)) / s², with X-ray factors from an independent table.
    element = gemmi.Element(symbol)
    for s in (0.3, 0.5, 0.7):
        bethe = 0.0239337 * (element.atomic_number - element.it92.calculate_sf(s**2)) / s**2
        assert scattering_factor(symbol, np.array(2 * s)) == pytest.approx(bethe, rel=0.03)
    with pytest.raises(InputError, match="'Q'"):
        scattering_factor("Q", np.array(1.0))


def test_projection_is_the_central_slice() -> None:
    rng = np.random.default_rng(1)
    atoms, turn = rng.normal(0, 8, (40, 3)), Rotation.random(random_state=2).as_matrix()
    lab = atoms @ turn.T
    grid = structure_factor(lab[:, 0], lab[:, 1], 48, PX)
    kx, ky = np.fft.rfftfreq(48, PX), np.fft.fftfreq(48, PX)
    for row, column in [(0, 0), (3, 7), (40, 11), (25, 23), (23, 1), (47, 0)]:
        k = kx[column] * turn[0] + ky[row] * turn[1]
        assert grid[row, column] == pytest.approx(np.exp(-2j * np.pi * atoms @ k).sum(), abs=2e-4)


def test_zero_frequency_is_the_total_potential() -> None:
    scope = Microscope(64, PX, OpticsConfig(scattering="linear"))
    atoms = np.random.default_rng(0).normal(0, 3, (5, 3))
    symbols = np.array(["Pt", "Pt", "C", "C", "C"])
    total = 2 * scattering_factor("Pt", np.array(0.0)) + 3 * scattering_factor("C", np.array(0.0))
    expected = interaction_constant(300) * POTENTIAL_PER_FACTOR * total / PX**2
    assert scope.phase_transform(atoms, symbols)[0, 0].real == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("scattering", ["phase", "linear"])
def test_shift_moves_the_image_by_whole_pixels(scattering: str) -> None:
    scope = Microscope(96, PX, OpticsConfig(scattering=scattering))
    c = nanocrystal(diameter=15, seed=1)
    still = scope.image(c.positions, c.symbols)
    moved = scope.image(c.positions + np.array([3 * PX, -2 * PX, 5.0]), c.symbols)
    np.testing.assert_allclose(moved, np.roll(still, (-2, 3), axis=(0, 1)), atol=2e-4)


def test_shift_theorem_below_a_pixel() -> None:
    scope = Microscope(96, PX, OpticsConfig(scattering="linear"))
    c = nanocrystal(diameter=15, seed=1)
    shift = np.array([0.11, -0.07, 0])
    still = np.fft.rfft2(scope.image(c.positions, c.symbols))
    moved = np.fft.rfft2(scope.image(c.positions + shift, c.symbols))
    ramp = np.fft.fftfreq(96, PX)[:, None] * shift[1] + np.fft.rfftfreq(96, PX)[None] * shift[0]
    np.testing.assert_allclose(moved, still * np.exp(-2j * np.pi * ramp), atol=1e-3 * np.abs(still[1:, 1:]).max())


def test_axes_are_column_for_x_and_row_for_y() -> None:
    scope = Microscope(64, PX)
    image = scope.image(np.array([[5 * PX, -8 * PX, 3.0]]), ONE_PT)
    assert np.unravel_index(image.argmax(), image.shape) == (32 - 8, 32 + 5)


def test_electrons_are_conserved() -> None:
    c = nanocrystal(seed=1)
    linear = Microscope(128, PX, OpticsConfig(scattering="linear")).image(c.positions, c.symbols)
    assert linear.mean() == pytest.approx(1, abs=1e-6)
    # A phase object only loses what leaves through the Nyquist circle and the focal envelope.
    assert 0.97 < Microscope(128, PX).image(c.positions, c.symbols).mean() < 1


def test_phase_object_becomes_linear_when_weak() -> None:
    atom, symbol = np.zeros((1, 3)), np.array(["H"])
    phase = Microscope(64, PX).image(atom, symbol) - 1
    linear = Microscope(64, PX, OpticsConfig(scattering="linear")).image(atom, symbol) - 1
    np.testing.assert_allclose(phase, linear, atol=0.02 * linear.max())


def test_atoms_are_bright_and_contrast_is_that_of_the_experiment() -> None:
    c = nanocrystal("Pt", 25.0, seed=1)
    scope = Microscope(128, PX)
    assert scope.image(np.zeros((1, 3)), ONE_PT)[64, 64] > 1.4
    turns = Rotation.random(20, random_state=1).as_matrix()
    spread = np.mean([scope.image(c.positions @ r.T, c.symbols).std() for r in turns])
    assert 0.11 < spread < 0.20  # 0.18 by multislice over particle and surroundings; 0.3 over the disc alone
    assert scope.image(c.positions, c.symbols).std() > 0.9 * spread
    under = Microscope(128, PX, OpticsConfig(defocus=-44.0, c3=7.5e4))
    assert under.image(np.zeros((1, 3)), ONE_PT)[64, 64] < 0.8


def test_transfer_has_its_known_zeros_and_envelope() -> None:
    optics = OpticsConfig(c3=0.0, defocus=500.0, focal_spread=0.0)
    for n in (1, 2, 3):
        zero = np.sqrt(n / (electron_wavelength(300) * 500.0))
        assert np.sin(aberration(np.array(zero), optics)) == pytest.approx(0, abs=1e-9)
    spread = OpticsConfig(focal_spread=30.0)
    expected = np.exp(-0.5 * (np.pi * electron_wavelength(300) * 30.0) ** 2)
    assert abs(transfer(np.array(1.0), spread)) == pytest.approx(expected, rel=1e-9)
    assert aberration(np.array(0.7), OpticsConfig(defocus=10.0), height=-34.0) == aberration(
        np.array(0.7), OpticsConfig()
    )


def test_defaults_transfer_flatly_to_seven_tenths_of_an_angstrom() -> None:
    k = np.linspace(0.44, 1.4, 200)  # {111} of Pt to Nyquist
    assert np.sin(aberration(k, OpticsConfig())).min() > 0.45


def test_bad_grids_are_refused() -> None:
    with pytest.raises(InputError, match="box is 65"):
        Microscope(65, PX)
    with pytest.raises(InputError, match="pixel size is -1"):
        Microscope(64, -1.0)


def test_graphene_reflects_at_its_spacings() -> None:
    config = SurroundingsConfig(graphene=2, twist=17.0)
    sheets = Graphene((320, 300), PX, OpticsConfig(), config, seed=1)
    assert (sheets.angles[1] - sheets.angles[0]) % 60 == pytest.approx(17)
    spacing = np.unique(np.round(1 / np.linalg.norm(sheets.reflections, axis=1), 3))[::-1]
    np.testing.assert_allclose(spacing[:2], [2.131, 1.2305], atol=0.001)
    assert np.sum(np.abs(np.linalg.norm(sheets.reflections, axis=1) - 1 / 2.131) < 1e-3) == 12
    image = np.abs(1 + sheets.scattered_wave(np.zeros(2))) ** 2 - 1
    y, x = np.mgrid[:320, :300]
    for length in (2.131, 1.2305):
        inside = sheets.reflections[np.abs(1 / np.linalg.norm(sheets.reflections, axis=1) - length) < 2e-3]
        wave = np.exp(-2j * np.pi * PX * (inside[0, 0] * x + inside[0, 1] * y))
        off = np.exp(-2j * np.pi * PX * ((inside[0, 0] + 0.05) * x + (inside[0, 1] + 0.05) * y))
        assert np.abs((image * wave).mean()) > 20 * np.abs((image * off).mean())
    # The first lattice direction has a ring of six reflections 30° off it.
    angle = np.degrees(np.arctan2(sheets.reflections[:, 1], sheets.reflections[:, 0]))
    first = np.abs(np.linalg.norm(sheets.reflections, axis=1) - 1 / 2.131) < 1e-3
    assert np.min((angle[first] - sheets.angles[0] - 30) % 60) == pytest.approx(0, abs=1e-6)


def test_graphene_moves_with_the_drift() -> None:
    sheets = Graphene((64, 64), PX, OpticsConfig(), SurroundingsConfig(), seed=1)
    moved = sheets.scattered_wave(np.array([3.0, -2.0]))
    np.testing.assert_allclose(moved[:60, 10:], sheets.scattered_wave(np.zeros(2))[2:62, 7:61], atol=1e-6)
    none = Graphene((32, 32), PX, OpticsConfig(), SurroundingsConfig(graphene=0), seed=1)
    assert not none.scattered_wave(np.zeros(2)).any()


def test_liquid_has_its_contrast_length_and_time() -> None:
    config = SurroundingsConfig(liquid=0.04, liquid_length=6.0, liquid_time=10.0)
    liquid = Liquid((256, 200), PX, config, seed=1)
    fields = np.array([liquid.next() for _ in range(400)])
    assert fields.std() == pytest.approx(0.04, rel=0.03)
    along = np.mean(fields[:, :, 17:] * fields[:, :, :-17]) / fields.var()
    assert along == pytest.approx(np.exp(-((17 * PX) ** 2) / (2 * 6.0**2)), abs=0.05)
    later = np.mean(fields[10:] * fields[:-10]) / fields.var()
    assert later == pytest.approx(np.exp(-1), abs=0.05)


@pytest.mark.parametrize("mean", [0.1, 1.0, 8.0, 19.0, 60.0])
def test_counts_follow_poissons_law(mean: float) -> None:
    n = poisson(stream_of(mean), np.full((500, 400), mean, dtype=np.float32))
    assert n.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean / n.size))
    assert n.var() == pytest.approx(mean, rel=0.02)
    expected = poisson_law.pmf(np.arange(n.max() + 1), mean) * n.size
    often = expected > 20
    chi2 = np.sum((np.bincount(n.ravel())[often] - expected[often]) ** 2 / expected[often])
    assert chi2 < often.sum() + 5 * np.sqrt(2 * often.sum())


def stream_of(mean: float) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=int(mean * 10)))


def test_counts_do_not_depend_on_the_order() -> None:
    camera = Detector((32, 32), 10, DetectorConfig(gain_sigma=0.05, hot_pixels=2, bad_frames=2), seed=5)
    image = np.ones((32, 32), dtype=np.float32)
    forward = {i: camera.counts(image, i) for i in range(10)}
    for i in (7, 2, 9, 0):
        np.testing.assert_array_equal(camera.counts(image, i), forward[i])


def test_detector_faults_are_where_the_truth_says() -> None:
    config = DetectorConfig(dose=8.0, hot_pixels=5, dead_pixels=7, bad_frames=3)
    camera = Detector((64, 48), 30, config, seed=1)
    frames = np.array([camera.counts(np.ones((64, 48), dtype=np.float32), i) for i in range(30)])
    good = np.setdiff1d(np.arange(30), camera.bad)
    mean = frames[good].mean(axis=0)
    assert mean[camera.hot[:, 1], camera.hot[:, 0]].min() > 40
    assert mean[camera.dead[:, 1], camera.dead[:, 0]].max() == 0
    assert (mean > 30).sum() == 5
    assert (mean < 3).sum() == 7
    level = frames[camera.bad].mean(axis=(1, 2))
    np.testing.assert_allclose(level / level[2], [0.02, 2, 1], atol=0.15)


def test_transfer_of_the_detector_is_as_given() -> None:
    x = np.arange(64)
    image = np.tile(1 + 0.5 * np.cos(2 * np.pi * x * 24 / 64), (64, 1)).astype(np.float32)
    camera = Detector((64, 64), 1, DetectorConfig(dose=10.0, mtf=0.5), seed=0)
    swing = np.abs(np.fft.rfft(camera.expected(image, 0)[0]))[24] / 32 / 10
    assert swing == pytest.approx(0.5 * 0.5 ** ((24 / 32) ** 2), rel=1e-4)


def test_type_holds_the_counts() -> None:
    assert Detector((8, 8), 1, DetectorConfig(dose=8.0, hot_pixels=1, bad_frames=1), seed=0).dtype == np.int8
    assert Detector((8, 8), 1, DetectorConfig(dose=100.0), seed=0).dtype == np.uint16
    with pytest.raises(InputError, match="exceed 64 pixels"):
        Detector((8, 8), 1, DetectorConfig(hot_pixels=65), seed=0)
    with pytest.raises(InputError, match="bad_frames is 5"):
        Detector((8, 8), 1, DetectorConfig(bad_frames=5), seed=0)


def test_multislice_puts_each_atom_at_its_own_focus() -> None:
    thin = OpticsConfig(scattering="multislice", slice_thickness=5.0)
    for plane, z in ((-3, -12.5), (0, 2.5), (2, 12.5)):
        atom = np.array([[0.3, -0.2, 5.0 * plane + 2.5]])
        phase = Microscope(64, PX, OpticsConfig(defocus=44.0 - z))
        np.testing.assert_allclose(Microscope(64, PX, thin).image(atom, ONE_PT), phase.image(atom, ONE_PT), atol=1e-4)
    with pytest.raises(InputError, match=r"needs \(n, 3\)"):
        Microscope(64, PX, thin).image(np.zeros((1, 2)), ONE_PT)


def test_multislice_is_the_phase_object_of_weak_atoms_and_propagation() -> None:
    # Two weak atoms far apart along the beam: the waves add, each with its own defocus.
    thin = OpticsConfig(scattering="multislice", slice_thickness=5.0)
    atoms, symbols = np.array([[-4.0, 1.0, -27.5], [4.0, -2.0, 22.5]]), np.array(["C", "C"])
    wave = Microscope(96, PX, thin).scattered_wave(atoms, symbols)
    parts = [Microscope(96, PX, OpticsConfig(defocus=44.0 - a[2])).scattered_wave(a[None], symbols[:1]) for a in atoms]
    np.testing.assert_allclose(wave, sum(parts), atol=0.02 * np.abs(wave).max())


def test_multislice_of_a_zone_axis_differs_from_the_phase_object() -> None:
    c = nanocrystal("Pt", 25.0, seed=1, disorder=0)
    phase = Microscope(128, PX).image(c.positions, c.symbols)
    thin = Microscope(128, PX, OpticsConfig(scattering="multislice")).image(c.positions, c.symbols)
    finer = OpticsConfig(scattering="multislice", slice_thickness=2.5)
    finest = Microscope(128, PX, finer).image(c.positions, c.symbols)
    assert np.std(thin - finest) < 0.35 * np.std(phase - finest)
    assert 0.97 < finest.mean() < 1.0
