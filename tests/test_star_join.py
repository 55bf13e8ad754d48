"""Rows of a table are joined to images by their key: shuffled, selected and foreign tables of every kind."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import starfile
from scipy.spatial.transform import Rotation

import single_rs as sr
from single_rs.base.errors import DataFileError, InputError
from single_rs.cli import main
from single_rs.io import read_stack, write_stack
from single_rs.io.star import posed_stack, read_frames, read_poses, read_tracks, write_frames, write_poses
from single_rs.records import ParticleStack
from single_rs.store.read import load_stack

COUNT, BOX, PIXEL = 48, 40, 0.5


def poses_of(rotations: np.ndarray, shifts: np.ndarray, frames: np.ndarray) -> sr.Poses:
    """Return poses with numbers of their own in every column."""
    n, rng = len(frames), np.random.default_rng(4)
    half = (1 + np.arange(n) // 6 % 2).astype(np.int8)
    return sr.Poses(rotations, shifts, rng.normal(size=n), rng.random(n), half, 0.5 + rng.random(n), frames)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack of a cloud of Gaussians in known poses, with movie frames that are not the numbers of the images."""
    out, rng = tmp_path_factory.mktemp("join"), np.random.default_rng(3)
    atoms, grid = rng.normal(0, 3, (30, 3)), (np.arange(BOX) - BOX // 2) * PIXEL
    rotations = Rotation.random(COUNT, rng=rng).as_matrix()
    shifts = rng.uniform(-1, 1, (COUNT, 2))
    placed = np.einsum("nij,aj->nai", rotations, atoms)
    placed[:, :, :2] += shifts[:, None]
    x, y = (np.exp(-0.5 * ((grid - placed[:, :, k, None]) / 0.6) ** 2) for k in (0, 1))
    images = rng.poisson(20 * (1 + np.einsum("nay,nax->nyx", y, x))).astype(np.int16)
    frames = np.cumsum(rng.integers(1, 4, COUNT))
    write_stack(out / "stack.mrcs", images, PIXEL)
    write_frames(
        out / "stack.star", ParticleStack(images, PIXEL, frames, 14.0, rng.normal(size=(COUNT, 2))), "stack.mrcs"
    )
    write_poses(out / "poses.star", poses_of(rotations, shifts, frames), "stack.mrcs", PIXEL, BOX)
    return out


def rewritten(folder: Path, out: Path, change, name: str = "other.star") -> Path:
    """Write the poses again with starfile after `change` of the table of particles."""
    tables = starfile.read(folder / "poses.star")
    tables["particles"] = change(tables["particles"].copy())
    starfile.write(tables, out / name)
    return out / name


def test_shuffled_rows_come_back_in_the_order_of_the_stack(folder, tmp_path):
    path = rewritten(folder, tmp_path, lambda t: t.sample(frac=1, random_state=5))
    ours, again = read_poses(folder / "poses.star"), read_poses(path)
    assert again.images.tolist() == list(range(COUNT))
    for name in ("rotations", "shifts", "score", "confidence", "half", "weight", "frames"):
        np.testing.assert_allclose(getattr(again, name), getattr(ours, name), atol=1e-5)


def test_a_selection_takes_its_images_and_is_written_with_their_numbers(folder, tmp_path):
    rows = [40, 3, 17, 4]
    path = rewritten(folder, tmp_path, lambda t: t.iloc[rows])
    whole = read_frames(folder / "stack.star", read_stack(folder / "stack.mrcs"))
    stack, poses = posed_stack(path, whole, folder / "stack.mrcs")
    picked = sorted(rows)
    np.testing.assert_array_equal(stack.images, whole.images[picked])
    np.testing.assert_array_equal(stack.offsets, whole.offsets[picked])
    assert stack.frames.tolist() == poses.frames.tolist() == whole.frames[picked].tolist()
    np.testing.assert_allclose(poses.rotations, read_poses(folder / "poses.star").rotations[picked], atol=1e-5)
    write_poses(tmp_path / "w.star", poses, "stack.mrcs", PIXEL, BOX)
    assert read_poses(tmp_path / "w.star").images.tolist() == picked
    assert list(starfile.read(tmp_path / "w.star")["particles"]["rlnImageName"]) == [
        f"{i + 1:06d}@stack.mrcs" for i in picked
    ]


def test_rows_of_relion_take_their_frames_from_the_stack(folder, tmp_path):
    path = rewritten(folder, tmp_path, lambda t: t[[c for c in t if c.startswith("rln")]].sample(frac=1))
    stack, poses = posed_stack(
        path, read_frames(folder / "stack.star", read_stack(folder / "stack.mrcs")), folder / "stack.mrcs"
    )
    np.testing.assert_array_equal(poses.frames, stack.frames)


def test_the_commands_give_the_same_map_for_every_order_and_that_of_a_selection(folder, tmp_path):
    def maps(poses: Path, out: str, stack: Path = folder / "stack.mrcs") -> list[bytes]:
        main(["reconstruct", str(stack), str(poses), "--out", str(tmp_path / out)])
        return [(tmp_path / out / name).read_bytes() for name in ("map.mrc", "half1.mrc", "half2.mrc", "fsc.csv")]

    ordered = rewritten(folder, tmp_path, lambda t: t, "ordered.star")
    shuffled = rewritten(folder, tmp_path, lambda t: t.sample(frac=1, random_state=1), "shuffled.star")
    assert maps(ordered, "a") == maps(shuffled, "b")
    # A selection of rows is what a stack of these images alone gives.
    rows = np.sort(np.random.default_rng(0).permutation(COUNT)[:40])
    part = rewritten(folder, tmp_path, lambda t: t.iloc[rows[::-1]], "part.star")
    alone = tmp_path / "alone"
    alone.mkdir()
    whole = read_frames(folder / "stack.star", read_stack(folder / "stack.mrcs"))
    stack = whole.take(rows)
    write_stack(alone / "stack.mrcs", stack.images, PIXEL)
    write_frames(alone / "stack.star", stack, "stack.mrcs")

    def renumbered(table):
        table = table.iloc[rows]
        return table.assign(rlnImageName=[f"{i + 1:06d}@stack.mrcs" for i in range(len(rows))])

    rewritten(folder, alone, renumbered, "poses.star")
    assert maps(part, "c") == maps(alone / "poses.star", "d", alone / "stack.mrcs")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (lambda n: n.str.replace("stack", "other"), "not in"),
        (lambda n: n.str.replace("stack.mrcs", "../../../etc/passwd"), "not in"),
        (lambda n: n.str.replace("000048@", "000049@"), "names image 49"),
        (lambda n: n.str.replace("000048@", "999999@"), "names image 999999"),
        (lambda n: n.str.replace("000048@", "000047@"), "names image 47 2 times"),
        (lambda n: ["000001@stack.mrcs"] * len(n), "names image 1 48 times"),
        (lambda n: n.str.replace("000048@", "000000@"), "counted from 1"),
        (lambda n: n.str.replace("000048@", "-5@"), "counted from 1"),
        (lambda n: n.str.replace("000007@", "000007H@"), "counted from 1"),
        (lambda n: n.str.replace("000007@", "7.5@"), "counted from 1"),
        (lambda n: n.str.replace("000007@", "9" * 400 + "@"), "counted from 1"),
        (lambda n: n.str.replace("@stack", "_"), "number@stack"),
        (lambda n: n.str.replace("000048@stack", "000048@more"), "several stacks"),
    ],
)
def test_names_that_cannot_be_joined_are_refused_in_a_line(folder, tmp_path, names, said):
    path = rewritten(folder, tmp_path, lambda t: t.assign(rlnImageName=names(t.rlnImageName)))
    with pytest.raises((InputError, DataFileError), match=said):
        posed_stack(path, read_stack(folder / "stack.mrcs"), folder / "stack.mrcs")


def test_another_stack_of_the_same_name_is_told_from_a_copy(folder, tmp_path):
    shutil.copy(folder / "poses.star", tmp_path)
    stack = read_stack(folder / "stack.mrcs")
    shutil.copy(folder / "stack.mrcs", tmp_path)
    assert len(posed_stack(tmp_path / "poses.star", stack, folder / "stack.mrcs")[0]) == COUNT
    write_stack(tmp_path / "stack.mrcs", np.array(stack.images[::-1]), PIXEL)
    with pytest.raises(DataFileError, match="which is not"):
        posed_stack(tmp_path / "poses.star", stack, folder / "stack.mrcs")


def test_names_of_a_project_folder_and_of_cryosparc_are_the_stack(folder, tmp_path):
    for name in ("Extract/job007/stack.mrcs", "J12/stack.mrc"):
        path = rewritten(folder, tmp_path, lambda t, n=name: t.assign(rlnImageName=t.rlnImageName.str[:7] + n))
        assert len(posed_stack(path, read_stack(folder / "stack.mrcs"), folder / "stack.mrcs")[0]) == COUNT


def test_poses_of_another_extraction_are_refused(folder, tmp_path):
    path = rewritten(folder, tmp_path, lambda t: t.assign(singleFrame=t.singleFrame + 1))
    whole = read_frames(folder / "stack.star", read_stack(folder / "stack.mrcs"))
    with pytest.raises(DataFileError, match="other frames"):
        posed_stack(path, whole, folder / "stack.mrcs")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("rlnAngleRot", "nan"),
        ("rlnAngleTilt", "inf"),
        ("rlnAnglePsi", "1e308"),
        ("rlnOriginXAngst", "nan"),
        ("singleWeight", "-1"),
        ("singleHalf", "3"),
        ("singleFrame", "2.5"),
        ("singleFrame", "-1"),
        ("singleFrame", "1e300"),
    ],
)
def test_numbers_that_cannot_be_are_refused(folder, tmp_path, column, value):
    path = rewritten(folder, tmp_path, lambda t: t.assign(**{column: [value, *t[column].astype(str)[1:]]}))
    with pytest.raises(InputError, match=r"other\.star"):
        read_poses(path)


@pytest.mark.parametrize("block", ["", "images", "particles"])
@pytest.mark.parametrize("size", ["detector", "pixel", "stack"])
def test_relion_3_0_has_origins_in_pixels_and_no_optics(folder, tmp_path, block, size):
    table = starfile.read(folder / "poses.star")["particles"]
    columns = {c: table[c] for c in ("rlnImageName", "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnRandomSubset")}
    columns |= {f"rlnOrigin{a}": table[f"rlnOrigin{a}Angst"] / PIXEL for a in "XY"}
    if size == "detector":
        columns |= {"rlnDetectorPixelSize": [5.0] * COUNT, "rlnMagnification": [5e4 / PIXEL] * COUNT}
    elif size == "pixel":
        columns["rlnPixelSize"] = [PIXEL] * COUNT
    head = "".join(f"_{name} #{i}\n" for i, name in enumerate(columns, 1))
    rows = "".join(" ".join(map(str, row)) + "\n" for row in zip(*columns.values(), strict=True))
    path = tmp_path / "r30.star"
    path.write_bytes(b"\xef\xbb\xbf" + f"data_{block}\r\n\r\nloop_\r\n{head}{rows}\r\n".encode())
    poses = posed_stack(path, read_stack(folder / "stack.mrcs"), folder / "stack.mrcs")[1]
    ours = read_poses(folder / "poses.star")
    np.testing.assert_allclose(poses.shifts, ours.shifts, atol=2e-6)
    np.testing.assert_allclose(poses.rotations, ours.rotations, atol=1e-6)
    if size == "stack":
        with pytest.raises(DataFileError, match="rlnPixelSize"):
            read_poses(path)


def test_without_half_sets_blocks_of_frames_take_turns(folder, tmp_path, caplog):
    path = rewritten(folder, tmp_path, lambda t: t.drop(columns=["rlnRandomSubset", "singleHalf"]))
    half = read_poses(path).half
    assert half.tolist() == [1] * 12 + [2] * 12 + [1] * 12 + [2] * 12
    assert "no half sets" in caplog.text


def test_a_table_without_names_is_not_joined_by_its_rows(folder, tmp_path):
    path = rewritten(folder, tmp_path, lambda t: t.drop(columns=["rlnImageName"]))
    with pytest.raises(DataFileError, match="rlnImageName"):
        read_poses(path)


def test_frames_of_a_stack_are_joined_by_number_too(folder, tmp_path):
    tables = starfile.read(folder / "stack.star", always_dict=True)
    tables["particles"] = tables["particles"].iloc[::-1]
    starfile.write(tables, tmp_path / "stack.star")
    bare = read_stack(folder / "stack.mrcs")
    ours, back = (read_frames(p / "stack.star", bare) for p in (folder, tmp_path))
    np.testing.assert_array_equal(back.frames, ours.frames)
    np.testing.assert_allclose(back.offsets, ours.offsets, atol=1e-5)


def test_a_foreign_star_file_beside_a_stack_is_left_aside(folder, tmp_path, caplog):
    shutil.copy(folder / "stack.mrcs", tmp_path)
    shutil.copy(folder / "poses.star", tmp_path / "stack.star")
    stack = load_stack(tmp_path / "stack.mrcs")
    assert stack.offsets is None
    assert "not used" in caplog.text


def test_places_of_a_track_are_in_the_order_of_frames_and_each_frame_once(tmp_path):
    track = sr.Track(np.arange(3), np.array([1.0, 2, 3]), np.ones(3), np.ones(3), diameter=20.0, score=1.0)
    sr.io.star.write_tracks(tmp_path / "t.star", [track], PIXEL)
    text = (tmp_path / "t.star").read_text()
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("0 0 "))
    (tmp_path / "t.star").write_text("\n".join([*lines[:first], *lines[first : first + 3][::-1]]) + "\n")
    (back,) = read_tracks(tmp_path / "t.star")
    assert back.x.tolist() == [1, 2, 3]
    (tmp_path / "t.star").write_text("\n".join([*lines[: first + 3], lines[first]]) + "\n")
    with pytest.raises(DataFileError, match="two places"):
        read_tracks(tmp_path / "t.star")
