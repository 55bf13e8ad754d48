"""What records refuse when they are made, in one line that says what was given and what is needed."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import single_rs as sr
from single_rs.base.errors import InputError
from single_rs.frames.packed import time_blocks
from single_rs.orient import OrientConfig
from single_rs.records import (
    Atoms,
    CleanStack,
    Density,
    HalfDiagnostics,
    MateShare,
    PoseDiagnostics,
    Poses,
    SearchRound,
    StartDiagnostics,
    diagnostics_from,
)

COUNT, BOX = 60, 32


@pytest.fixture(scope="module")
def poses() -> Poses:
    return Poses.known(Rotation.random(COUNT, random_state=1).as_matrix(), np.zeros((COUNT, 2)))


@pytest.fixture(scope="module")
def clean() -> CleanStack:
    images = np.random.default_rng(1).normal(0, 0.1, (COUNT, BOX, BOX)).astype(np.float32)
    return CleanStack.bare(images, 0.4, 8.0, 0.01)


@pytest.fixture(scope="module")
def density() -> Density:
    maps = np.random.default_rng(2).normal(0, 1, (3, 8, 8, 8)).astype(np.float32)
    return Density(*maps, 0.4, np.ones(5), np.arange(5) / 3.2, 1.0)


@pytest.fixture(scope="module")
def atoms() -> Atoms:
    one = np.ones(4)
    return Atoms(
        np.arange(12.0).reshape(4, 3), np.full(4, "Pt"), one, one, 0.02 * one, one, np.eye(3)[None].repeat(4, 0)
    )


def put(array: np.ndarray, where: tuple[int, ...] | int, value: float) -> np.ndarray:
    """Return a copy with one element changed."""
    out = np.array(array)
    out[where] = value
    return out


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("rotations", lambda r: r[:, :2], r"rotations has shape \(60, 2, 3\); \(60, 3, 3\) is needed"),
        ("rotations", lambda r: put(r, (7, 0, 0), np.nan), "rotations holds 1 NaN or infinite values"),
        ("rotations", lambda r: 0 * r, "60 of 60 are no proper rotations, as number 0, off by 1 with determinant 0"),
        ("rotations", lambda r: 10 * r, "60 of 60 are no proper rotations"),
        ("rotations", lambda r: put(r, 7, -r[7]), "1 of 60 are no proper rotations, as number 7"),
        ("rotations", lambda r: r * (1 + 1e-3), "no proper rotations"),
        ("shifts", lambda t: t[:5], r"shifts has shape \(5, 2\)"),
        ("shifts", lambda t: put(t, (0, 0), np.inf), "shifts holds 1 NaN or infinite values; finite ones are needed"),
        ("score", lambda s: put(s, 3, np.nan), "score holds 1 NaN"),
        ("confidence", lambda c: put(c, 3, 1.5), "confidence holds 1 values above 1, as 1.5; 0 to 1 is needed"),
        ("confidence", lambda c: put(c, 3, -0.5), "confidence holds 1 values below"),
        ("half", lambda h: put(h, 3, 3), "half holds 3; 0, 1 and 2 are the half sets"),
        ("weight", lambda w: put(w, 3, -1), "weight holds 1 values below 0, as -1"),
        ("weight", lambda w: put(w, 3, np.inf), "weight holds 1 NaN or infinite"),
        ("frames", lambda f: f + 0.5, "frames are of type float64; integers are needed"),
        ("frames", lambda f: f - 1, "frames holds 1 values below 0"),
        ("frames", lambda f: f[1:], r"frames has shape \(59,\); \(60,\) is needed"),
        ("width", lambda _: np.full(COUNT, -1.0), "width holds 60 values below 0"),
    ],
)
def test_poses_that_cannot_be_are_refused(poses, name, change, words):
    with pytest.raises(InputError, match=words):
        replace(poses, **{name: change(getattr(poses, name))})


def test_rotations_of_single_precision_and_of_files_are_accepted(poses):
    assert len(replace(poses, rotations=poses.rotations.astype(np.float32)).rotations) == COUNT
    assert len(replace(poses, rotations=poses.rotations.round(5)).rotations) == COUNT


@pytest.mark.parametrize("factor", [np.nan, 0.0, 10.0])
def test_reconstruct_cannot_be_given_what_is_no_rotation(clean, poses, factor):
    assert np.isfinite(sr.reconstruct(clean, poses).map).all()
    with pytest.raises(InputError, match="rotations"):
        sr.reconstruct(clean, replace(poses, rotations=factor * poses.rotations))


def test_known_poses_deal_blocks_to_the_halves_as_the_search_does():
    n, config = 1000, OrientConfig()
    rotations = np.eye(3)[None].repeat(n, 0)
    known = Poses.known(rotations, np.zeros((n, 2)), block=config.block)
    np.testing.assert_array_equal(known.half, 1 + time_blocks(np.arange(n), config.block, 0).half)
    assert known.diagnostics == PoseDiagnostics()
    np.testing.assert_array_equal(known.frames, np.arange(n))
    other = Poses.known(rotations, np.zeros((n, 2)), frames=np.arange(5, n + 5), block=20)
    assert (other.frames[0], len(np.unique(other.half))) == (5, 2)
    assert np.diff(np.flatnonzero(np.diff(other.half))).max() <= 22


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (
            "images",
            lambda x: x[:, :, :30],
            r"images have shape \(60, 32, 30\); \(n, y, x\) with y = x, even, is needed",
        ),
        ("images", lambda x: x[:, :31, :31], "even"),
        ("images", lambda x: put(x, (9, 3, 3), np.nan), "images: 1 of 60 hold NaN or infinite values, as number 9"),
        ("images", lambda x: put(x, (9, 3, 3), np.inf), "images: 1 of 60 hold NaN or infinite values, as number 9"),
        ("pixel_size", lambda _: 0.0, "pixel_size is 0 Å; a positive number is needed"),
        ("pixel_size", lambda _: np.nan, "pixel_size is nan Å"),
        ("diameter", lambda _: -1.0, "diameter is -1 Å"),
        ("frames", lambda f: f[1:], r"frames has shape \(59,\)"),
        ("offsets", lambda t: t[:, :1], r"offsets has shape \(60, 1\)"),
        ("noise", lambda x: 0 * x, "noise holds 24 values of 0 or less; all must be above 0"),
        ("noise", lambda x: x[:5], r"noise has shape \(5,\); one value for each of the shells 0 to 16 is needed"),
        ("signal", lambda x: x[:5], r"signal has shape \(5,\); \(24,\) is needed"),
        ("frame_noise", lambda x: put(x, 0, 0), "frame_noise holds 1 values of 0 or less"),
        ("weights", lambda w: w[:, :5], r"weights has shape \(32, 5\); \(32, 17\) is needed"),
        ("weights", lambda w: put(w, (0, 0), -1), "weights holds 1 values below 0"),
    ],
)
def test_frames_that_cannot_be_are_refused(clean, name, change, words):
    with pytest.raises(InputError, match=words):
        replace(clean, **{name: change(getattr(clean, name))})


def test_images_as_large_as_single_precision_holds_are_finite(clean):
    images = np.full_like(clean.images, np.finfo(np.float32).max)
    assert len(replace(clean, images=images).images) == COUNT


def test_bare_frames_have_the_noise_they_are_given(clean):
    assert (clean.noise == np.float32(0.01)).all()
    spectrum = np.linspace(1, 2, 40).astype(np.float32)
    other = CleanStack.bare(clean.images, 0.4, 8.0, spectrum)
    np.testing.assert_array_equal(other.noise, spectrum)
    assert not other.bad.any()


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("map", lambda m: m[:7, :7, :7], r"map has shape \(7, 7, 7\); a cube of an even number of voxels is needed"),
        ("map", lambda m: m[:, :6], "a cube of an even number"),
        ("half1", lambda m: m[:6], r"half1 has shape \(6, 8, 8\); \(8, 8, 8\) is needed"),
        ("half2", lambda m: put(m, (0, 0, 0), np.nan), "half2 holds 1 NaN"),
        ("pixel_size", lambda _: -0.4, "pixel_size is -0.4 Å"),
        ("fsc", lambda f: f[:3], r"fsc has shape \(3,\); \(5,\) is needed"),
        ("resolution", lambda _: np.nan, "resolution is nan Å; a positive number is needed"),
    ],
)
def test_maps_that_cannot_be_are_refused(density, name, change, words):
    with pytest.raises(InputError, match=words):
        replace(density, **{name: change(getattr(density, name))})


def test_half_maps_that_nowhere_agree_are_a_result(density):
    assert replace(density, resolution=np.inf).resolution == np.inf


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("positions", lambda x: x[:, :2], r"positions has shape \(4, 2\); \(4, 3\) is needed"),
        ("positions", lambda x: put(x, (0, 0), np.nan), "positions holds 1 NaN"),
        ("symbols", lambda s: s[:3], r"symbols has shape \(3,\); \(4,\) is needed"),
        ("height", lambda h: h[:3], r"height has shape \(3,\)"),
        ("sigma", lambda s: -s, "sigma holds 4 values below 0, as -0.02"),
        ("probability", lambda p: 2 * p, "probability holds 4 values above 1, as 2"),
        ("covariance", lambda c: c[:, :2], r"covariance has shape \(4, 2, 3\); \(4, 3, 3\) is needed"),
        ("covariance", lambda c: put(c, (2, 0, 1), 0.5), "covariance: 1 of 4 matrices are not symmetric"),
    ],
)
def test_atoms_that_cannot_be_are_refused(atoms, name, change, words):
    with pytest.raises(InputError, match=words):
        replace(atoms, **{name: change(getattr(atoms, name))})


def test_what_is_not_known_of_atoms_is_nan(atoms):
    unknown = np.full(4, np.nan)
    assert len(replace(atoms, sigma=unknown, probability=unknown, covariance=None)) == 4


def test_a_particle_has_a_positive_pixel_and_box(atoms):
    count = np.zeros(4, np.int64)
    with pytest.raises(InputError, match="pixel_size is 0 Å"):
        sr.analysis.model.Particle(atoms, count, count, count > 0, box=8, pixel_size=0.0)
    with pytest.raises(InputError, match="box is 0 px"):
        sr.analysis.model.Particle(atoms, count, count, count > 0, box=0, pixel_size=0.4)


def test_diagnostics_come_back_from_plain_content_and_missing_ones_are_none():
    whole = PoseDiagnostics(
        engine="lattice-free",
        start=StartDiagnostics(continuity=0.5, trials=2.0),
        mate_lead=3.0,
        halves=(
            HalfDiagnostics(
                jump_share=0.01, mates=(MateShare(72.0, 1.0, 0.2),), rounds=(SearchRound("map", 1.0, 0.9),)
            ),
            HalfDiagnostics(),
        ),
    )
    assert diagnostics_from(asdict(whole)) == whole
    assert diagnostics_from({}) == PoseDiagnostics()
    # A name of another version of the program is left aside; the number it had here is then not measured.
    assert diagnostics_from({"mate_lead_renamed": 3.0}).mate_lead is None


@pytest.mark.parametrize(
    "content", [{"mate_lead": "much"}, {"halves": "two"}, {"halves": [1]}, {"start": 3}, {"halves": [{"rounds": 1}]}]
)
def test_diagnostics_that_cannot_be_are_refused(content):
    with pytest.raises(InputError, match="diagnostics"):
        diagnostics_from(content)
