"""STAR files: what RELION reads is what we mean, and everything comes back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from single_rs.base.errors import DataFileError
from single_rs.io.star import (
    angles_from_rotations,
    read_frames,
    read_poses,
    read_tracks,
    rotations_from_angles,
    write_frames,
    write_poses,
    write_tracks,
)
from single_rs.records import (
    HalfDiagnostics,
    ParticleStack,
    PoseDiagnostics,
    Poses,
    SearchRound,
    StartDiagnostics,
    Track,
)


def _poses(n=200, seed=0):
    rng = np.random.default_rng(seed)
    return Poses(
        rotations=Rotation.random(n, random_state=seed).as_matrix(),
        shifts=rng.normal(size=(n, 2)),
        score=rng.normal(size=n) * 100,
        confidence=rng.random(n),
        half=np.r_[0, rng.integers(0, 3, n - 1)].astype(np.int8),
        weight=rng.random(n),
        frames=np.cumsum(rng.integers(1, 4, n)),
        width=rng.random(n),
        hand="undetermined",
        diagnostics=PoseDiagnostics(
            engine="lattice",
            start=StartDiagnostics(lattice_constant=3.92),
            mate_lead=float("inf"),
            halves=(
                HalfDiagnostics(jump_share=0.01, rounds=(SearchRound("growth", 1.5, 0.9), SearchRound("map", 2.5))),
                HalfDiagnostics(jump_share=0.02),
            ),
        ),
    )


def test_angles_are_those_of_scipys_intrinsic_zyz():
    r = Rotation.random(500, random_state=1)
    angles = angles_from_rotations(r.as_matrix())
    back = Rotation.from_euler("ZYZ", angles, degrees=True).inv()
    assert (back * r.inv()).magnitude().max() < 1e-12
    assert angles[:, 1].min() >= 0


@pytest.mark.parametrize("tilt", [0.0, 1e-9, 1e-5, 180.0 - 1e-9, 180.0])
def test_angles_are_exact_where_euler_angles_degenerate(tilt):
    rng = np.random.default_rng(2)
    angles = np.stack([rng.uniform(-180, 180, 50), np.full(50, tilt), rng.uniform(-180, 180, 50)], 1)
    r = rotations_from_angles(angles)
    np.testing.assert_allclose(rotations_from_angles(angles_from_rotations(r)), r, atol=1e-12)


def test_a_known_view_and_shift_have_relions_signs(tmp_path):
    # A particle turned so that its x axis points along lab y: R x = y. RELION's rotation is the inverse.
    poses = _poses(1)
    turned = Poses(
        rotations=np.array([[[0, -1, 0], [1, 0, 0], [0, 0, 1]]], float),
        shifts=np.array([[0.5, -0.25]]),
        **{k: getattr(poses, k) for k in ("score", "confidence", "half", "weight", "frames")},
    )
    write_poses(tmp_path / "p.star", turned, "stack.mrcs", 0.358, 128)
    row = next(line for line in (tmp_path / "p.star").read_text().splitlines() if line.startswith("000001@")).split()
    rot, tilt, psi, x, y = map(float, row[2:7])
    assert tilt == 0
    assert read_poses(tmp_path / "p.star").width is None  # not known, not written
    assert (rot + psi) % 360 == pytest.approx(270)
    assert (x, y) == (-0.5, 0.25)


def test_poses_come_back(tmp_path):
    poses = _poses()
    write_poses(tmp_path / "p.star", poses, "stack.mrcs", 0.358, 128)
    back = read_poses(tmp_path / "p.star")
    np.testing.assert_allclose(back.rotations, poses.rotations, atol=1e-10)
    for name in ("shifts", "score", "confidence", "weight", "width"):
        np.testing.assert_allclose(getattr(back, name), getattr(poses, name), rtol=1e-11, atol=1e-11)
    np.testing.assert_array_equal(back.half, poses.half)
    np.testing.assert_array_equal(back.frames, poses.frames)
    assert (back.hand, back.diagnostics) == (poses.hand, poses.diagnostics)
    # Reading and writing again must not wander, or a resumed run would differ from one that was not stopped.
    write_poses(tmp_path / "q.star", back, "stack.mrcs", 0.358, 128)
    np.testing.assert_allclose(read_poses(tmp_path / "q.star").rotations, back.rotations, atol=1e-13)


def _loop(text, block):
    """Read one loop as RELION does: tags line by line, then a row per line."""
    lines = text.split(f"data_{block}\n")[1].split("\ndata_")[0].splitlines()
    tags = [line.split()[0][1:] for line in lines if line.startswith("_")]
    rows = [line.split() for line in lines if line and line[0] not in "_#" and line != "loop_"]
    return {tag: [row[i] for row in rows] for i, tag in enumerate(tags)}


def test_the_file_is_star_3_1_for_other_programs(tmp_path):
    write_poses(tmp_path / "p.star", _poses(), "stack.mrcs", 0.358, 128)
    raw = (tmp_path / "p.star").read_bytes()
    assert b"\r" not in raw
    # Without this line RELION takes the file for one from before 3.1 and converts it.
    assert raw.startswith(b"# version 30001\n\ndata_optics\n")
    optics, particles = (_loop(raw.decode(), block) for block in ("optics", "particles"))
    assert optics["rlnOpticsGroupName"] == ["opticsGroup1"]
    assert optics["rlnImagePixelSize"] == ["0.358"]
    assert particles["rlnImageName"][0] == "000001@stack.mrcs"
    assert {len(column) for column in particles.values()} == {200}
    # RELION knows half sets 1 and 2 only; our 0 (guard frames) stands in singleHalf.
    assert set(particles["rlnRandomSubset"]) == {"1", "2"}
    assert set(particles["singleHalf"]) == {"0", "1", "2"}


def test_a_file_of_relion_without_our_columns_is_read(tmp_path):
    (tmp_path / "r.star").write_text(
        "data_optics\n\nloop_\n_rlnOpticsGroup #1\n1\n\ndata_particles\n\nloop_\n_rlnImageName #1\n_rlnAngleRot #2\n"
        "_rlnAngleTilt #3\n_rlnAnglePsi #4\n_rlnOriginXAngst #5\n_rlnOriginYAngst #6\n"
        "000003@a.mrcs 10 20 30 1.5 0\n000007@a.mrcs 0 0 0 0 0\n"
    )
    poses = read_poses(tmp_path / "r.star")
    assert poses.frames.tolist() == [2, 6]
    assert poses.shifts[0].tolist() == [-1.5, 0]
    assert poses.half.tolist() == [1, 1]
    np.testing.assert_allclose(
        poses.rotations[0], Rotation.from_euler("ZYZ", [10, 20, 30], degrees=True).inv().as_matrix(), atol=1e-12
    )


def test_what_is_missing_is_named(tmp_path):
    (tmp_path / "p.star").write_text("data_particles\nloop_\n_rlnAngleRot\n1\n")
    with pytest.raises(DataFileError, match="rlnAngleTilt"):
        read_poses(tmp_path / "p.star")
    (tmp_path / "q.star").write_text("data_other\nloop_\n_a\n1\n")
    with pytest.raises(DataFileError, match="no data_particles; it has data_other"):
        read_poses(tmp_path / "q.star")
    (tmp_path / "r.star").write_text("this is not STAR")
    with pytest.raises(DataFileError, match="not a STAR file"):
        read_poses(tmp_path / "r.star")
    with pytest.raises(DataFileError, match="does not exist"):
        read_poses(tmp_path / "s.star")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_tracks_come_back(tmp_path, count):
    rng = np.random.default_rng(count)
    tracks = [
        Track(
            frames=np.arange(5 + i) * 2 + i,
            x=rng.normal(100, 20, 5 + i),
            y=rng.normal(100, 20, 5 + i),
            sigma=rng.random(5 + i),
            diameter=20.0 + i,
            score=12.5,
        )
        for i in range(count)
    ]
    write_tracks(tmp_path / "t.star", tracks, 0.358)
    back = read_tracks(tmp_path / "t.star")
    assert len(back) == count
    for a, b in zip(tracks, back, strict=True):
        np.testing.assert_array_equal(a.frames, b.frames)
        for name in ("x", "y", "sigma"):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-11)
        assert (a.diameter, a.score) == (b.diameter, b.score)


@pytest.mark.parametrize("diameter", [None, 24.5])
def test_frames_and_offsets_of_a_stack_come_back(tmp_path, diameter):
    offsets = np.random.default_rng(0).normal(size=(4, 2))
    stack = ParticleStack(np.zeros((4, 8, 8)), 0.358, np.array([3, 4, 8, 9]), diameter, offsets)
    write_frames(tmp_path / "stack.star", stack, "stack.mrcs")
    bare = ParticleStack(stack.images, 0.358, np.arange(4))
    back = read_frames(tmp_path / "stack.star", bare)
    assert back.frames.tolist() == [3, 4, 8, 9]
    assert back.diameter == diameter
    np.testing.assert_allclose(back.offsets, offsets, rtol=1e-11)
    with pytest.raises(DataFileError, match="4 rows, its stack 3 images"):
        read_frames(tmp_path / "stack.star", ParticleStack(np.zeros((3, 8, 8)), 0.358, np.arange(3)))
