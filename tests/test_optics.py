"""A microscope that nobody calibrated: astigmatism, coma and focus come from the frames; what is absent stays out."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from report_run import write_run
from single_rs import plots
from single_rs.alignment import match_atoms
from single_rs.background import clean_stack
from single_rs.base.errors import InputError
from single_rs.cli import main
from single_rs.crystal.scattering import electron_wavelength
from single_rs.pipeline.config import load_config
from single_rs.records import Atoms, ParticleStack, Poses
from single_rs.refine import RefineConfig, refine_atoms
from single_rs.refine.calibrate import with_lens
from single_rs.refine.lens import Lens
from single_rs.refine.optics import Optics, OpticsConfig, OpticsTerm
from single_rs.refine.problem import Model, RefinementProblem
from single_rs.refine.strays import reassign_frames
from single_rs.refine.transfer import describe
from single_rs.refine.types import RefinementSummary
from single_rs.report.figures import pose_figures
from single_rs.report.files import read_run
from single_rs.report.numbers import Numbers
from single_rs.report.optics import optics_card
from single_rs.simulate import brownian_rotations, nanocrystal

PIXEL, BOX, FRAMES, DOSE = 0.4, 64, 80, 24.0
WAVELENGTH = electron_wavelength(300.0)
C1, C3, SCATTER = 44.0, -7.5e4, 15.0  # Å
ASTIGMATISM, COMA = (12.0, -16.0), (900.0, 500.0)  # Å
CONFIG = RefineConfig(rounds=2, resolution=0.85, select=False, halves=False)


def frames_of(positions: np.ndarray, rotations: np.ndarray, focus: np.ndarray, lens: Lens, dose: float) -> np.ndarray:
    """Counts of linear imaging: Σ_a exp(−2πi k·r_a) sin(χ − πλk² depth) exp(−iχ_o), with an envelope."""
    k = np.stack(np.meshgrid(np.fft.rfftfreq(BOX, PIXEL), np.fft.fftfreq(BOX, PIXEL)), -1).reshape(-1, 2)
    k2 = (k**2).sum(1)
    depth = np.array(lens.terms[:2]) @ lens.even(k)
    chi = np.pi * WAVELENGTH * C1 * k2 + np.pi / 2 * WAVELENGTH**3 * C3 * k2**2
    envelope = 0.9 * np.exp(-0.9 * k2 - 1j * lens.phase(k)) * (k2 > 0)
    random = np.random.default_rng(3)
    counts = np.empty((len(rotations), BOX, BOX), np.int32)
    for image, r, f in zip(counts, rotations, focus, strict=True):
        x = positions @ r.T
        wave = np.exp(-2j * np.pi * (k @ x[:, :2].T))
        wave *= np.sin(chi[:, None] - np.pi * WAVELENGTH * k2[:, None] * (x[:, 2] + f + depth[:, None]))
        spectrum = (envelope * wave.sum(1)).reshape(BOX, BOX // 2 + 1) * 4.0
        contrast = np.fft.fftshift(np.fft.irfft2(spectrum, (BOX, BOX)))
        image[:] = random.poisson(dose * np.maximum(1.0 + contrast, 0.0))
    return counts


def start_of(positions: np.ndarray, rotations: np.ndarray) -> tuple[Poses, Atoms]:
    """Poses 0.6° off, and atoms 5 pm off."""
    random, n = np.random.default_rng(4), len(positions)
    turn = Rotation.from_rotvec(np.deg2rad(0.6) / np.sqrt(3) * random.normal(size=(len(rotations), 3)))
    poses = Poses.known((turn * Rotation.from_matrix(rotations)).as_matrix(), np.zeros((len(rotations), 2)), block=20)
    moved = positions + 0.03 * random.normal(size=(n, 3))
    return poses, Atoms(moved, np.full(n, "Pt"), np.ones(n), np.full(n, 2.0), np.full(n, 0.1), np.ones(n))


@pytest.fixture(scope="module")
def crystal() -> np.ndarray:
    return nanocrystal("Pt", 13.0, seed=51).positions


@pytest.fixture(scope="module")
def rotations() -> np.ndarray:
    return brownian_rotations(FRAMES, 20.0, 0.0, 52)


def rms(found: Atoms, true: np.ndarray) -> float:
    match = match_atoms(found.positions, true)
    assert len(match.found) == len(true)
    return float(np.sqrt((match.error**2).sum(1).mean()))


@pytest.mark.slow
def test_astigmatism_coma_and_focus_are_found_and_atoms_gain(crystal, rotations):
    focus = SCATTER * np.random.default_rng(5).normal(size=FRAMES)
    lens = Lens(WAVELENGTH, 8.0, (*ASTIGMATISM, *COMA, 0.0, 0.0))
    images = frames_of(crystal, rotations, focus, lens, DOSE)
    clean = clean_stack(ParticleStack(images, PIXEL, np.arange(FRAMES), None))
    poses, atoms = start_of(crystal, rotations)
    refined = refine_atoms(clean, poses, atoms, CONFIG)
    optics = refined.summary.optics
    assert optics is not None
    astigmatism, coma, threefold = optics.terms
    # A depth against the beam is a defocus: the astigmatism of the frames is minus that of the depths.
    for term, true in ((astigmatism, np.negative(ASTIGMATISM)), (coma, COMA)):
        assert term.present
        assert not term.given
        # Found to 1 and 2 % with these frames, whose imaging is linear.
        assert np.hypot(term.x - true[0], term.y - true[1]) < 0.05 * np.hypot(*true)
        assert term.error < 0.1 * np.hypot(*true)
    assert not threefold.present
    assert optics.c1 == pytest.approx(C1 - np.mean(focus), abs=3 * optics.c1_error)
    assert optics.c3 == pytest.approx(C3, abs=3 * optics.c3_error)
    assert optics.focus_spread == pytest.approx(np.std(focus), rel=0.2)
    assert refined.depth is not None
    assert np.corrcoef(refined.depth, focus)[0, 1] > 0.9
    told = OpticsConfig(astigmatism=(-12.0, 16.0), coma=COMA)
    few = replace(poses, weight=poses.weight * (np.arange(FRAMES) < 40))
    given = refine_atoms(clean, few, atoms, replace(CONFIG, rounds=1, optics=told)).summary.optics
    assert [t.given for t in given.terms] == [True, True, False]
    assert (given.terms[0].x, given.terms[0].y) == pytest.approx((-12.0, 16.0))
    held = refine_atoms(clean, poses, atoms, replace(CONFIG, optics=OpticsConfig(calibrate=False)))
    assert held.summary.optics is None
    assert rms(refined.atoms, crystal) < 0.88 * rms(held.atoms, crystal)


@pytest.mark.slow
def test_a_round_microscope_gets_no_terms(crystal, rotations):
    images = frames_of(crystal, rotations, np.zeros(FRAMES), Lens(WAVELENGTH, 8.0), DOSE)
    clean = clean_stack(ParticleStack(images, PIXEL, np.arange(FRAMES), None))
    optics = refine_atoms(clean, *start_of(crystal, rotations), CONFIG).summary.optics
    if optics is not None:  # two round functions may explain the depth of the particle better than three filters
        assert not any(term.present for term in optics.terms)
        assert optics.applied == (0.0,) * 6


def test_the_expansion_in_the_depth_is_that_of_the_lens():
    lens, box = Lens(WAVELENGTH, 11.0, (10.0, -5.0, 0.0, 0.0, 0.0, 0.0)), 30.0
    waves = np.array([[0.4, 0.1], [-0.3, 0.8], [0.9, 0.6]])
    depth, z = 17.0, np.linspace(-10.0, 10.0, 9)
    parts, changes = lens.parts(waves, box, 3, depth)
    k2 = (waves**2).sum(1)
    phase = np.pi * WAVELENGTH * k2 * (z[:, None] + depth + np.array(lens.terms[:2]) @ lens.even(waves))
    powers = (2 * z / box)[:, None] ** np.arange(4)
    # The expansion of third order to 2 % of the amplitude at the finest detail.
    np.testing.assert_allclose(powers @ parts[0], np.cos(phase), atol=0.03)
    np.testing.assert_allclose(powers @ parts[1], np.sin(phase), atol=0.03)
    later = lens.parts(waves, box, 3, depth + 1e-3)[0]
    np.testing.assert_allclose((later - parts) / 1e-3, changes, atol=1e-4)


def test_what_is_known_of_the_microscope_is_a_setting(capsys):
    config = load_config(None, {"refine.optics.voltage": "200", "refine.optics.coma": "[100.0, -50.0]"})
    assert config.refine.optics == OpticsConfig(voltage=200.0, coma=(100.0, -50.0))
    assert main(["config", "--optics.c3", "-5e4"]) == 0
    assert "c3 = -50000.0" in capsys.readouterr().out
    with pytest.raises(InputError, match="voltage"):
        OpticsConfig(voltage=5.0)


def test_the_transfer_of_the_detector_is_read_from_a_file(tmp_path, capsys):
    star, text = tmp_path / "k3.star", tmp_path / "k3.txt"
    frequency = np.linspace(0, 0.5, 11)
    rows = [f"{f:.3f} {1 - f:.3f}" for f in frequency]
    star.write_text("data_\n\nloop_\n_rlnResolutionInversePixel #1\n_rlnMtfValue #2\n" + "\n".join(rows) + "\n")
    text.write_text("frequency (1/px), MTF\n# K3\n" + "\n".join(row.replace(" ", ", ") for row in rows) + "\n")
    for path in (star, text):
        config = load_config(None, {"refine.optics.mtf": str(path)}).refine.optics
        # Even steps from 0 to Nyquist, whatever those of the file.
        np.testing.assert_allclose(config.mtf, 1 - np.linspace(0, 0.5, len(config.mtf)), atol=1e-5)
        assert len(config.mtf) == 65
    assert main(["config", "--optics.mtf", str(star)]) == 0
    assert "mtf = [1.0, 0.99219," in capsys.readouterr().out
    assert load_config(None, {"refine.optics.mtf": "[1.0, 0.9, 0.64]"}).refine.optics.mtf == (1.0, 0.9, 0.64)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "0 1\n0.5 1 2\n", "line 2: '0.5 1 2'; two numbers are needed"),
        ("a.txt", "0 1\nhalf 1\n", "line 2: 'half 1'; two numbers are needed"),
        ("a.txt", "0 1\n1.0 0.4\n", "fractions of Nyquist are to be halved"),
        ("a.txt", "0 1\n0.3 0.8\n0.2 0.9\n0.5 0.6\n", "frequencies that do not rise"),
        ("a.txt", "0 1\n0.5 -0.2\n", "values from -0.2 to 1; at least 2"),
        ("a.txt", "", "0 frequencies that do not rise"),
        ("a.txt", "\x00\x01 \xff", "0 frequencies that do not rise"),
        ("a.star", "data_optics\n_rlnVoltage 300\n", "no block with the columns rlnResolutionInverse"),
        ("none.txt", None, "cannot read the modulation transfer"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_transfer_of_a_detector_is_refused_in_a_line(tmp_path, capsys, name, text, said):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    assert main(["config", "--optics.mtf", str(path)]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    with pytest.raises(InputError, match="1 values"):
        OpticsConfig(mtf=(0.9,))


def test_the_envelope_is_what_the_detector_does_not_take(crystal, rotations):
    images = frames_of(crystal, rotations[:30], np.zeros(30), Lens(WAVELENGTH, 8.0), DOSE)
    clean = clean_stack(ParticleStack(images, PIXEL, np.arange(30), None))
    poses = Poses.known(rotations[:30], np.zeros((30, 2)), block=10)
    model = Model(crystal / PIXEL, np.ones(len(crystal)), np.zeros(len(crystal)))
    found = []
    for mtf in ((), (1.0, 0.5)):
        config = replace(CONFIG, frame_focus=False, optics=OpticsConfig(mtf=mtf))
        problem = with_lens(RefinementProblem.pack(clean, poses, 8.0, config), model, (0.0,) * 6)
        found.append(describe(problem, model, problem.gradients(model)[1], (), 0.0, dark=False))
    alone, less = found
    kept = 1 - np.array(alone.frequency) * PIXEL  # half of it at Nyquist, 1 / 2 PIXEL
    # Each is given over its largest value.
    ratio = np.array(less.envelope) * kept / alone.envelope
    np.testing.assert_allclose(ratio / ratio[0], 1.0, atol=2e-3)


def test_the_report_draws_the_transfer_beside_the_power_and_says_what_is_absent(crystal, rotations, tmp_path):
    term = OpticsTerm("astigmatism", -12.9, -17.8, 1.3, 60.0, 2.4, present=True, given=False)
    absent = OpticsTerm("threefold", 4.0, 3.0, 9.0, 0.5, 0.01, present=False, given=False)
    k = tuple(np.linspace(0.1, 1.2, 30).tolist())
    curve = tuple(np.exp(-np.square(k)).tolist())
    optics = Optics(
        300.0, 52.0, (term, absent), 1, 20.0, 1.1, 44.0, 0.5, -7.5e4, 2e3, True, k, curve, curve, curve, curve
    )  # fmt: skip
    assert optics.said == (
        "Astigmatism 22 ± 1.3 Å at −63°; no threefold beyond its error; focus of frames scattered by 20 Å."
    )
    assert optics.applied == (12.9, 17.8, 0.0, 0.0)
    axes = plots.plot_optics(optics.frequency, optics.envelope, optics.aberration, optics.observed, optics.explained)
    np.testing.assert_allclose(axes[1].lines[-1].get_ydata(), curve * np.sin(curve))
    particle = read_run(write_run(tmp_path / "run")).particles[0]
    values = {field.name: 0.0 for field in fields(RefinementSummary) if field.default is MISSING}
    particle.summary = replace(particle.summary, refinement=RefinementSummary(**values, optics=optics))
    facts = dict(optics_card(particle).lists[0].rows)
    assert facts["Aberrations"] == optics.said
    assert facts["C1 and C3"].startswith("4.40 ± 0.05\xa0nm and −7.50 ± 0.20\xa0µm")
    figure = next(f for f in pose_figures(particle, Numbers.of(particle)) if f.title == "Microscope")
    assert optics.said in figure.caption


@pytest.mark.parametrize("step", [4.0, 18.0])
def test_a_run_of_frames_in_a_wrong_pose_goes_back_to_that_of_its_neighbours(crystal, step):
    """Also where it turns within the run by more than is tried round a neighbour's pose: as a whole, by the jump."""
    turns = np.full(40, 4.0)
    turns[16:21] = step  # degrees, from the frame before
    axes = np.random.default_rng(53).normal(size=(40, 3))
    steps = Rotation.from_rotvec(axes / np.linalg.norm(axes, axis=1)[:, None] * turns[:, None], degrees=True)
    rotations = np.empty((40, 3, 3))
    rotations[0] = steps[0].as_matrix()
    for k in range(1, 40):
        rotations[k] = steps[k].as_matrix() @ rotations[k - 1]
    images = frames_of(crystal, rotations, np.zeros(40), Lens(WAVELENGTH, 8.0), DOSE)
    clean = clean_stack(ParticleStack(images, PIXEL, np.arange(40), None))
    wrong = rotations.copy()
    wrong[15:21] = wrong[15:21] @ Rotation.from_euler("xyz", [50, 0, 80], degrees=True).as_matrix()
    poses = Poses.known(wrong, np.zeros((40, 2)), block=10)
    problem = RefinementProblem.pack(clean, poses, 8.0, CONFIG)
    model = Model(crystal / PIXEL, np.ones(len(crystal)), np.zeros(len(crystal)))
    problem.fit_filters(model)
    assert reassign_frames(problem, model) == 6
    turn = Rotation.from_matrix(problem.rotations.astype(float)) * Rotation.from_matrix(rotations).inv()
    assert np.rad2deg(turn.magnitude()).max() < 4.0
