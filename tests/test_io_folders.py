"""A movie in several files: order, types, and what is no frame."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from movie_files import MOVIE, frames_of, put, written
from single_rs.base.errors import DataFileError, InputError
from single_rs.io import open_movie
from single_rs.io.folder import ordered

RNG = np.random.default_rng(11)


@pytest.mark.parametrize(
    "kinds", [("int16", "float32"), ("uint8", "uint16"), ("int8", "int16"), ("uint16", "int16"), ("float16", "float32")]
)
@pytest.mark.parametrize("suffix", [".mrc", ".tif"])
def test_a_folder_takes_the_type_that_holds_all_its_files(tmp_path, kinds, suffix, caplog):
    if suffix == ".mrc" and "uint8" in kinds:
        kinds = ("int8", "uint16")
    frames = [(f * (1 if i < 3 else 2.5)).astype(kinds[i >= 3]) for i, f in enumerate(MOVIE)]
    for i, frame in enumerate(frames):
        put(tmp_path / f"f{i}{suffix}", frame)
    np.testing.assert_array_equal(frames_of(tmp_path, 0.36), np.array([f.astype(float) for f in frames]))
    assert kinds[1] in caplog.text


def test_a_folder_of_two_pixel_sizes_or_shapes_is_refused(tmp_path):
    for name, change in (("pixel", {"pixel": 0.72}), ("shape", {})):
        (tmp_path / name).mkdir()
        for i, frame in enumerate(MOVIE):
            late = i == len(MOVIE) - 1
            put(
                tmp_path / name / f"f{i}.mrc",
                frame[:-1] if late and name == "shape" else frame,
                **(change if late else {}),
            )
        with pytest.raises(InputError, match=r"f8\.mrc"):
            open_movie(tmp_path / name)


@pytest.mark.parametrize(
    "names",
    [
        ["t_0", "t_0.25", "t_0.5", "t_0.75", "t_1", "t_1.25", "t_2", "t_10", "t_10.5"],
        ["a_0.10", "a_0.20", "a_0.90", "a_1.05", "a_1.10", "a_9.00", "a_10.00", "a_10.25", "a_11.50"],
        ["f1.1", "f1.2", "f1.3", "f1.9", "f1.10", "f1.11", "f2.1", "f2.2", "f2.10"],
        ["x_1", "x_2", "x_3", "x_4", "x_8", "x_9", "x_10", "x_11", "x_100"],
        ["s0_f9", "s0_f10", "s0_f11", "s1_f0", "s1_f1", "s2_f0", "s10_f0", "s10_f2", "s10_f10"],
        ["m_08", "m_09", "m_0a", "m_0b", "m_0f", "m_10", "m_11", "m_1a", "m_a0"],
        ["Frame 1", "Frame 2", "Frame 3", "Frame 4", "Frame 5", "Frame 6", "Frame 7", "Frame 8", "Frame 12"],
        ["2024.11.30_1", "2024.11.30_2", "2024.11.30_3", "2024.11.30_4", "2024.11.30_5", "2024.11.30_6",
         "2024.11.30_7", "2024.11.30_8", "2024.11.30_10"],
    ],
)  # fmt: skip
def test_numbers_in_names_give_the_order(tmp_path, names):
    shuffled = list(RNG.permutation(names))
    assert ordered(shuffled) == names
    for name, frame in zip(names, MOVIE, strict=True):
        put(tmp_path / f"{name}.tif", frame)
    np.testing.assert_array_equal(frames_of(tmp_path, 0.36), MOVIE)


@pytest.mark.parametrize(
    "extra",
    ["gain.mrc", "sum.mrc", "Gain_ref_2024.mrc", "movie_sum.mrc", "dark.tif", "mean.mrc", "half1.mrc", "map.mrc"],
)
def test_what_is_no_frame_is_left_out_with_a_word(tmp_path, extra, caplog):
    for i, frame in enumerate(MOVIE):
        put(tmp_path / f"f{i}.mrc", frame)
    put(tmp_path / extra, MOVIE.sum(0).astype(np.float32))
    np.testing.assert_array_equal(frames_of(tmp_path, 0.36), MOVIE)
    assert extra in caplog.text


def test_two_series_in_a_folder_and_a_number_twice_are_refused(tmp_path):
    for i, frame in enumerate(MOVIE):
        put(tmp_path / f"a{i}.mrc", frame)
    put(tmp_path / "other.mrc", MOVIE[0])
    with pytest.raises(InputError, match="several series"):
        open_movie(tmp_path)
    (tmp_path / "other.mrc").rename(tmp_path / "a01.mrc")
    with pytest.raises(InputError, match="one number twice"):
        open_movie(tmp_path)
    (tmp_path / "a01.mrc").unlink()
    put(tmp_path / "a1.tif", MOVIE[0])
    with pytest.raises(InputError, match="several series"):
        open_movie(tmp_path)


@pytest.mark.parametrize("letters", ["ab", "fd", "xy"])
def test_series_that_a_letter_tells_apart_are_no_hexadecimal_numbers(tmp_path, letters):
    for letter in letters:
        for i, frame in enumerate(MOVIE):
            put(tmp_path / f"{letter}{i:02d}.tif", frame)
    with pytest.raises(InputError, match="several series"):
        open_movie(tmp_path, 0.36)


def test_a_link_to_a_frame_that_is_not_there_is_refused(tmp_path):
    for i, frame in enumerate(MOVIE):
        put(tmp_path / f"f{i}.tif", frame)
    (tmp_path / f"f{len(MOVIE)}.tif").symlink_to(tmp_path / "nowhere.tif")
    with pytest.raises(DataFileError, match="link to a file that is not there"):
        open_movie(tmp_path, 0.36)


def test_frames_in_a_folder_beside_the_frames_are_told(tmp_path, caplog):
    (tmp_path / "more").mkdir()
    (tmp_path / "other").mkdir()
    for i, frame in enumerate(MOVIE):
        put(tmp_path / f"f{i}.tif", frame)
    put(tmp_path / "other" / "m.mrc", MOVIE[0])
    np.testing.assert_array_equal(frames_of(tmp_path, 0.36), MOVIE)
    assert not caplog.text
    put(tmp_path / "more" / "f0.tif", MOVIE[0])
    np.testing.assert_array_equal(frames_of(tmp_path, 0.36), MOVIE)
    assert "not those in its folders (more)" in caplog.text


def test_packed_files_in_a_folder_make_one_movie(tmp_path):
    for k, part in enumerate((MOVIE[:4], MOVIE[4:])):
        put(tmp_path / f"part_{k}.mrc", part)
        data = (tmp_path / f"part_{k}.mrc").read_bytes()
        (tmp_path / f"part_{k}.mrc").unlink()
        (tmp_path / f"part_{k}.mrc.gz").write_bytes(gzip.compress(data))
    np.testing.assert_array_equal(frames_of(tmp_path, 0.36), MOVIE)


def test_a_missing_number_is_told(tmp_path, caplog):
    for i in (0, 1, 2, 5, 6):
        put(tmp_path / f"f{i:04d}.mrc", MOVIE[i])
    assert len(frames_of(tmp_path)) == 5
    assert "2 to 5" in caplog.text


def test_folders_nested_by_time_are_one_movie_beside_its_mean(tmp_path):
    for i, frame in enumerate(MOVIE):
        folder = tmp_path / "Hour_00" / f"Minute_{i // 6:02d}" / f"Second_{i // 3 % 2:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        put(folder / f"x_Minute_{i // 6:02d}_Second_{i // 3 % 2:02d}_Frame_{i % 3:04d}.tif", frame)
    put(tmp_path / "mean.mrc", MOVIE.mean(0).astype(np.float32))
    np.testing.assert_array_equal(frames_of(tmp_path, 0.36), MOVIE)
    (tmp_path / "second movie").mkdir()
    put(tmp_path / "second movie" / "f1.tif", MOVIE[0])
    with pytest.raises(InputError, match="give the one"):
        open_movie(tmp_path, 0.36)


def test_several_files_of_several_frames_make_one_movie(tmp_path):
    for k, part in enumerate((MOVIE[:4], MOVIE[4:5], MOVIE[5:])):
        put(tmp_path / f"part_{8 + k}.mrc", part)
    np.testing.assert_array_equal(frames_of(tmp_path, 0.36), MOVIE)


def test_metadata_of_a_k2_is_named_for_what_it_is(tmp_path):
    with pytest.raises(DataFileError, match="K2"):
        open_movie(written(tmp_path / "m.gtg", b"\0" * 100))
