"""A good model passes every check of the validation, a spoiled one fails the check that is there for it."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import single_rs as sr
from single_rs.analysis import ParticleSummary
from single_rs.background.graphene import GRAPHENE_A
from single_rs.base.errors import InputError, NoParticleError
from single_rs.cli import main
from single_rs.io.star import write_poses
from single_rs.pipeline.config import Config, ValidateConfig
from single_rs.pipeline.stages import rebuild, write_atoms
from single_rs.plots.validation import plot_check
from single_rs.reconstruction.fourier import reconstruct
from single_rs.records import CHECKS, Graphene
from single_rs.refine import RefineConfig
from single_rs.store.codecs import write_record
from single_rs.store.inputs import InputRecord
from single_rs.store.read import load_maps
from single_rs.store.record import RunRecord
from single_rs.validate import Case, validate_case, validate_folder
from single_rs.validate.case import load_case
from single_rs.validate.coverage import check_coverage
from single_rs.validate.effects import EFFECTS, check_effects
from single_rs.validate.halves import check_halves
from single_rs.validate.heldout import check_heldout
from single_rs.validate.matching import match_in_place
from single_rs.validate.perfect import check_perfect
from single_rs.validate.pixel import check_pixel
from single_rs.validate.reprojection import check_reprojection
from single_rs.validate.resimulated import FOLDER, simulated_frames
from single_rs.validate.resimulation import check_resimulation
from single_rs.validate.simulators import make_simulator

FRAMES, BOX, PIXEL, DOSE = 240, 84, 0.4, 40.0


@pytest.fixture(scope="module")
def good() -> Case:
    """A particle of 16 Å with the poses it was simulated in."""
    crystal = sr.nanocrystal("Pt", diameter=16.0, seed=1)
    rotations = Rotation.random(FRAMES, rng=np.random.default_rng(5)).as_matrix()
    made = sr.simulate_stack(
        crystal, FRAMES, box=BOX, pixel_size=PIXEL, dose=DOSE, rotations=rotations, seed=1
    )  # fmt: skip
    clean = sr.clean_stack(sr.ParticleStack(made.images, PIXEL, np.arange(FRAMES)))
    poses = sr.Poses.known(made.rotations, made.shifts, block=40)
    density = reconstruct(clean, poses)
    atoms = sr.trace_atoms(density.map, PIXEL, "Pt", clean.diameter, density.half1, density.half2)
    assert len(atoms) == len(crystal)
    return Case(clean, poses, density, atoms, "Pt")


def displaced(case: Case, rms: float) -> sr.Atoms:
    """Atoms moved at random, by `rms` Å per axis."""
    move = rms * np.random.default_rng(2).standard_normal(case.atoms.positions.shape)
    return replace(case.atoms, positions=case.atoms.positions + move)


def test_reprojections_know_right_atoms_and_poses(good):
    check = check_reprojection(good)
    assert check.status == "passed", check.message
    # Multiple scattering is all that a projection of right atoms leaves out; 0.97 measured.
    assert check.criteria[0].value > 0.93
    assert check.data["pictures"].shape[1] == 2
    # An average of frames shows more of the atoms than the frames do.
    singles = [
        r for r, name in zip(check.data["picture_correlation"], check.data["picture_labels"]) if "frame " in name
    ]
    groups = [r for r, name in zip(check.data["picture_correlation"], check.data["picture_labels"]) if "frames" in name]
    assert min(groups) > np.mean(singles)
    moved = check_reprojection(good.changed(atoms=displaced(good, 0.3)))
    assert moved.status == "failed"
    assert not moved.criteria[0].passed
    turned = replace(good.poses, rotations=np.roll(good.poses.rotations, 7, axis=0))
    assert check_reprojection(good.changed(poses=turned)).criteria[1].value < 0.3


def test_noise_taken_off_leaves_the_correlation_of_the_signal(good):
    """With frames made by the model itself, plus noise of the given spectrum, nothing is left unexplained."""
    from single_rs.validate.perfect import predicted_frames

    ideal = sr.simulate.Crystal(good.atoms.positions, good.atoms.symbols)
    images = predicted_frames(good, ideal, 1)
    check = check_reprojection(good.changed(clean=replace(good.clean, images=images)))
    assert check.criteria[0].value == pytest.approx(1.0, abs=0.03)


@pytest.mark.slow
def test_halves_agree_and_wrong_ones_do_not(good):
    check = check_halves(good)
    assert check.status == "passed", check.message
    assert check.numbers["pairs"] == len(good.atoms)
    assert 0 < check.numbers["implied_full_pm"] < 6  # the RMSD of the full model from the true atoms is 2 to 3
    # A half that was solved in another orientation shares next to no atom.
    turn = Rotation.from_euler("z", 20, degrees=True).as_matrix()
    second = (good.poses.half == 2)[:, None, None]
    turned = np.where(second, good.poses.rotations @ turn, good.poses.rotations)
    assert check_halves(good.changed(poses=replace(good.poses, rotations=turned))).status == "failed"
    assert not check_halves(good.changed(atoms=displaced(good, 0.3))).criteria[2].passed


def test_halves_find_a_single_atom_too_many_or_too_few(good):
    centre = int(np.argmin(np.linalg.norm(good.atoms.positions, axis=1)))
    pick = np.delete(np.arange(len(good.atoms)), centre)
    arrays = {k: v for k, v in vars(good.atoms).items() if isinstance(v, np.ndarray)}
    few = replace(good.atoms, **{k: v[pick] for k, v in arrays.items()})
    check = check_halves(good.changed(atoms=few))
    assert [c.passed for c in check.criteria] == [True, True, True, True, False]
    np.testing.assert_allclose(check.data["lacking_positions"], good.atoms.positions[[centre]], atol=0.1)
    far = arrays["positions"][np.argmax(arrays["positions"][:, 0])] + [2.7, 0, 0]
    many = replace(good.atoms, **{k: np.concatenate([v, v[:1]]) for k, v in arrays.items()})
    many = replace(many, positions=np.vstack([good.atoms.positions, far]))
    check = check_halves(good.changed(atoms=many))
    assert [c.passed for c in check.criteria] == [True, True, True, False, True]
    assert check.data["unseen_atoms"].tolist() == [len(good.atoms)]


def test_frames_of_one_half_are_predicted_by_the_other(good):
    check = check_heldout(good)
    assert check.status == "passed", check.message
    assert check.numbers["median_over_null_nats"] > 50
    assert check.criteria[1].value == pytest.approx(1.0, abs=0.15)
    second = (good.poses.half == 2) & (np.arange(FRAMES) % 2 == 0)
    wrong = good.poses.rotations.copy()
    wrong[second] = np.roll(wrong[second], 7, axis=0)
    lost = check_heldout(good.changed(poses=replace(good.poses, rotations=wrong)))
    assert lost.status == "failed"
    assert lost.criteria[0].value == pytest.approx(0.75, abs=0.05)  # a quarter of the frames is in the pose of another
    assert lost.criteria[1].value < 0.7


def test_a_missing_wedge_is_seen(good):
    assert check_coverage(good).status == "passed"
    # Beams within 35° of one axis: the Fourier directions about that axis are crossed by no plane.
    axis = Rotation.from_rotvec(np.radians(35) * np.random.default_rng(3).uniform(-0.7, 0.7, (FRAMES, 3)) * [1, 1, 0])
    narrow = check_coverage(good.changed(poses=replace(good.poses, rotations=axis.as_matrix())))
    assert narrow.status == "failed"
    assert not narrow.criteria[0].passed
    assert abs(narrow.data["worst_axis"][2]) > 0.9


def test_a_wrong_pixel_size_is_seen_by_the_graphene(good):
    assert check_pixel(good).status == "not run"  # a stack without windows
    ideal = 2 / (np.sqrt(3) * GRAPHENE_A) * np.array([[1.0, 0.0], [0.5, np.sqrt(0.75)]])
    for scale, status in ((1.003, "passed"), (1.02, "failed"), (0.98, "failed")):
        sheet = Graphene(0.0, scale * GRAPHENE_A, (0.001, -0.001, 0.0), ideal / scale, np.array([[1, 0]]), np.ones(1))
        check = check_pixel(good.changed(clean=replace(good.clean, graphene=[sheet])))
        assert check.status == status
        assert check.numbers["pixel_size"] == pytest.approx(PIXEL / scale)


def test_a_perfect_crystal_comes_back_as_one(good):
    check = check_perfect(good)
    assert check.status == "passed", check.message
    assert check.numbers["bulk_distance_A"] == pytest.approx(3.92 / np.sqrt(2), abs=0.005)
    assert check.numbers["rmsd_pm"] < 5
    # Poses that are not those of the frames would not show here: the crystal is put in with the same ones. Too little
    # noise would, so the noise must be that of the data.
    assert check.numbers["resolution_A"] < 1.1


@pytest.mark.slow
def test_effects_are_of_the_right_size(good, monkeypatch):
    names = ("none", "vertical movement of 20 Å rms", "pixel size 1 % too large")
    monkeypatch.setattr("single_rs.validate.effects.EFFECTS", tuple(e for e in EFFECTS if e.name in names))
    check = check_effects(good, ValidateConfig(model_diameter=16.0, model_frames=200))
    rows = {row["effect"]: row for row in check.data["rows"]}
    assert check.status == "passed", check.message
    wrong = rows["pixel size 1 % too large"]
    assert wrong["scale"] == pytest.approx(1 / 1.01, abs=1e-3)
    # A uniform scale of 1 % moves an atom at r by r/100; the best scale takes all of that off.
    radius = np.sqrt(np.mean(np.sum(sr.nanocrystal("Pt", 16.0).positions ** 2, axis=1)))
    assert wrong["rmsd_pm"] == pytest.approx(radius, rel=0.15)  # radius in Å times 1 % is radius pm
    assert wrong["rmsd_scaled_pm"] < 0.5 * wrong["rmsd_pm"]
    moved = rows["vertical movement of 20 Å rms"]
    assert rows["none"]["rmsd_pm"] < moved["rmsd_pm"] < 10


def test_matching_takes_the_rigid_motion_off(good):
    x = good.atoms.positions
    turn = Rotation.from_rotvec([0.0, 0.01, 0.0]).as_matrix()
    match = match_in_place(x, x @ turn.T + [0.1, 0.0, 0.0])
    assert match.shared == 1.0
    assert match.rmsd() < 1e-6
    assert match.turn == pytest.approx(np.degrees(0.01))
    assert match_in_place(x, x + np.array([0.1, 0.0, 0.0]), rigid=False).rmsd() == pytest.approx(10.0)


def test_both_multislice_programs_make_the_same_image(good):
    """Two programs that share no scattering code; without the outside one the error says how to get it."""
    settings = ValidateConfig(b_factor=0.5, sampling=0.18)
    radius = float(np.linalg.norm(good.atoms.positions, axis=1).max())
    box, pixel = 60, 0.4
    own = make_simulator(replace(settings, simulator="multislice"), box, pixel, radius)
    atoms, symbols = good.atoms.positions @ good.poses.rotations[0].T, good.atoms.symbols
    image = own(atoms, symbols, 0)
    if importlib.util.find_spec("abtem") is None:
        with pytest.raises(InputError, match=r"pip install single-rs\[validate\]"):
            make_simulator(settings, box, pixel, radius)
        return
    other = make_simulator(settings, box, pixel, radius)(atoms, symbols, 0)
    assert other.shape == image.shape
    assert np.corrcoef(image.ravel(), other.ravel())[0, 1] > 0.98
    assert other.std() == pytest.approx(image.std(), rel=0.15)


def test_simulated_frames_are_picked_up_again(good, tmp_path, monkeypatch):
    settings = ValidateConfig(simulator="multislice", slice_thickness=6.0)
    case = good.changed(folder=tmp_path)
    first = simulated_frames(case, case.used[:30], settings)
    assert first.mean() == pytest.approx(1.0, abs=0.05)
    files = sorted((tmp_path / FOLDER).iterdir())
    assert [f.name for f in files] == ["frames_00000.npz", "frames_00025.npz"]
    files[1].unlink()
    calls = []
    whole = make_simulator

    def counting(*arguments):
        inner = whole(*arguments)
        return lambda *a: (calls.append(a), inner(*a))[1]

    monkeypatch.setattr("single_rs.validate.resimulated.make_simulator", counting)
    again = simulated_frames(case, case.used[:30], settings)
    assert len(calls) == 5  # the chunk that was missing
    np.testing.assert_array_equal(first, again)
    simulated_frames(case, case.used[:5], replace(settings, overfocus=50.0))
    assert len(calls) == 10  # another microscope: none of the chunks is of use


@pytest.mark.slow
def test_the_atoms_simulated_again_come_back(good, tmp_path, monkeypatch):
    """The whole pipeline but the pose search, which has tests of its own: poses are given, right or wrong ones."""
    asked = []

    def searched(clean, *_, **__):
        asked.append(len(clean.images))
        return found

    monkeypatch.setattr("single_rs.validate.repetition.find_poses", searched)
    settings = ValidateConfig(simulator="multislice", slice_thickness=6.0)
    case = good.changed(folder=tmp_path)
    found = good.poses
    check = check_resimulation(case, FRAMES, settings)
    assert check.status == "passed", check.message
    assert 0 < check.numbers["rmsd_pm"] < 10
    assert check.numbers["poses_within_1deg"] == 1.0
    assert check.numbers["told_rmsd_pm"] < 10
    # The particle, its dose and its microscope are those that the data were simulated with.
    d = check.data
    near = np.abs(d["transfer_simulated"] - d["transfer_data"]) < 0.25 * np.abs(d["transfer_data"]).max()
    assert near.mean() > 0.9
    assert set(plot_check(check)) == {"frames", "distance", "poses", "transfer"}
    # The search is the long part: its poses are picked up again.
    case = case.changed(config=Config(refine=RefineConfig(enabled=False)))
    again = check_resimulation(case, FRAMES, settings)
    assert asked == [FRAMES]
    # To rounding, since poses that are read back have the digits of a file.
    for name in ("rmsd_traced_pm", "rmsd_pm"):
        assert again.numbers[name] == pytest.approx(check.numbers["rmsd_traced_pm"], rel=1e-9)
    # A mirrored result is as good: projections cannot tell the hand.
    (tmp_path / FOLDER / "poses.npz").unlink()
    found = replace(good.poses, rotations=np.diag([-1.0, -1.0, 1.0]) @ good.poses.rotations)
    mirrored = check_resimulation(case, FRAMES, settings)
    assert mirrored.status == "passed"
    assert "mirrored" in mirrored.message
    # Poses of other frames: with all frames of the particle that is a failure, with some of them nothing is decided.
    (tmp_path / FOLDER / "poses.npz").unlink()
    found = replace(good.poses, rotations=np.roll(good.poses.rotations, 7, axis=0))
    wrong = check_resimulation(case, FRAMES, settings)
    assert wrong.status == "failed"
    assert wrong.criteria[3].passed
    assert not wrong.criteria[2].passed
    fewer = check_resimulation(case.changed(clean=_longer(good.clean), poses=_longer(good.poses)), FRAMES, settings)
    assert fewer.status == "undecided"
    assert "--resimulate 480" in fewer.undecided


def _longer(stack):
    """The same frames twice, one after the other."""
    double = {}
    for name, value in vars(stack).items():
        if isinstance(value, np.ndarray) and len(value) == FRAMES:
            double[name] = np.concatenate([value, value])
    return replace(stack, **double)


def test_a_repetition_that_finds_nothing_says_so(good, tmp_path, monkeypatch):
    def nothing(*_, **__):
        raise NoParticleError("nothing stands out")

    monkeypatch.setattr("single_rs.validate.repetition.find_poses", nothing)
    settings = ValidateConfig(simulator="multislice", slice_thickness=10.0)
    check = check_resimulation(good.changed(folder=tmp_path), 100, settings)
    assert "nothing stands out" in check.message
    assert [c.passed for c in check.criteria[:3]] == [False, False, False]
    assert set(plot_check(check)) == {"frames", "transfer"}


def test_the_command_writes_json_and_page_and_keeps_what_was_done(good, tmp_path, capsys):
    part = tmp_path / "run" / "particle_00"
    part.mkdir(parents=True)
    counts = np.maximum(np.rint((good.clean.images + 1) * DOSE), 0).astype(np.uint16)
    sr.io.write_stack(part / "stack.mrcs", counts, PIXEL)
    write_poses(part / "poses.star", good.poses, "stack.mrcs", PIXEL, BOX)
    rebuild(good.clean, good.poses, part, None)
    write_atoms(good.atoms, load_maps(part / "map.mrc"), part)
    write_record(part / "summary.json", ParticleSummary("solved", element="Pt"))
    assert main(["validate", str(tmp_path / "run"), "--only", "reprojection"]) == 0
    text = capsys.readouterr().out
    assert "particle_00: passed" in text
    assert "not run   halves" in text
    assert "ok share of frames above" in text
    assert "validation.html\n" in text
    content = json.loads((part / "validation.json").read_text())
    checks = {c["name"]: c for c in content["checks"]}
    assert list(checks) == list(CHECKS)
    assert checks["reprojection"]["status"] == "passed"
    assert checks["reprojection"]["reason"]
    assert checks["halves"]["status"] == "not run"
    assert "--resimulate" in checks["resimulation"]["message"]
    assert np.load(part / "validation_pictures_reprojection.npy").shape[1] == 2
    page = (part / "validation.html").read_text()
    assert page.count('<svg viewBox="') - page.count('aria-hidden="true"><g') == 3
    assert "://" not in page.replace("http://www.w3.org", "")
    assert (
        json.loads((tmp_path / "run" / "validation.json").read_text())["particles"]["particle_00"]["status"] == "passed"
    )
    # A later call for another check keeps those that were made of the same atoms.
    (result,) = validate_folder(part, ["coverage"])
    assert [c.name for c in result.checks if c.criteria] == ["reprojection", "coverage"]
    assert set(plot_check(result.check("reprojection"))) == {"pictures", "shells", "frames"}
    # A run of another version had settings that this one does not know.
    given = InputRecord(None, counts.shape, PIXEL)
    config = {"orient": {"temper": 0.1, "guard": 3}}
    write_record(part / "run.json", RunRecord("solve", (), {}, given, "Pt", 0, config, ""))
    assert load_case(part).config.orient.guard == 3
    again = sr.store.validation.read_validation(part)
    assert again.check("coverage").criteria[1].value == pytest.approx(result.check("coverage").criteria[1].value)


def test_bad_input_is_told_in_one_line(good, tmp_path, capsys):
    with pytest.raises(InputError, match="accepted: reprojection, halves"):
        validate_case(good, ["nonsense"])
    with pytest.raises(InputError, match="at least 80"):
        validate_case(good, ["coverage"], resimulate=5)
    assert main(["validate", str(tmp_path)]) == 2
    assert "holds no particle" in capsys.readouterr().err


def test_the_example_of_the_page_runs(capsys):
    page = (Path(__file__).parents[1] / "docs" / "validate.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/validate.md", "exec"), names)
    assert [c.status for c in names["result"].checks if c.criteria] == ["passed", "passed"]
    assert capsys.readouterr().out.startswith("passed 0.9")
    for name in CHECKS:
        assert f"`{name}`" in page
