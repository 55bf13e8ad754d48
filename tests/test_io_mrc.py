"""MRC files of other programs are read as mrcfile and gemmi read them, or refused in one line."""

from __future__ import annotations

import bz2
import gzip
import struct

import gemmi
import mrcfile
import numpy as np
import pytest

from movie_files import MOVIE, frames_of, mrc_bytes, written
from single_rs.base.errors import DataFileError, InputError
from single_rs.cli import main
from single_rs.io import open_movie, read_map, read_origin

RNG = np.random.default_rng(11)


@pytest.mark.parametrize(("kind", "mode"), [("i1", 0), ("i2", 1), ("f4", 2), ("u2", 6), ("f2", 12)])
@pytest.mark.parametrize("order", "<>")
def test_mrc_modes_and_byte_orders_are_those_of_mrcfile(tmp_path, kind, mode, order):
    data = RNG.integers(-100 if kind[0] != "u" else 0, 100, (5, 6, 10)).astype(kind)
    path = written(tmp_path / "m.mrc", mrc_bytes(data, mode, order=order, extrema=(data.min(), data.max())))
    ours = frames_of(path)
    np.testing.assert_array_equal(ours, mrcfile.read(path))
    np.testing.assert_array_equal(ours, data)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("low", "high", "stamp", "extrema"),
    [
        (0, 255, None, (0, 255)),  # extrema in the header
        (0, 255, 0, (0, 255)),  # IMOD's stamp
        (-100, 100, None, (-100, 100)),
        (-100, 100, 1, (28, 228)),  # IMOD's signed bytes
        (0, 100, None, (0, 100)),
        (90, 200, None, (0, -1)),  # nothing but the values
        (-20, 20, None, (0, -1)),
        (90, 200, None, (3, 90)),  # extrema of an earlier frame
    ],
)
def test_bytes_have_the_sign_that_the_file_tells(tmp_path, order, low, high, stamp, extrema):
    values = RNG.integers(low, high + 1, (6, 8, 10))
    raw = values.astype(np.uint8 if high > 127 else np.int8)
    path = written(tmp_path / "m.mrc", mrc_bytes(raw.view(np.int8), 0, order=order, imod=stamp, extrema=extrema))
    np.testing.assert_array_equal(frames_of(path), values)


@pytest.mark.parametrize("columns", [10, 9])
def test_four_bit_values_low_half_first(tmp_path, columns):
    values = RNG.integers(0, 16, (5, 8, columns)).astype(np.uint8)
    even = np.concatenate([values, np.zeros((5, 8, columns % 2), np.uint8)], axis=2)
    packed = even[..., 0::2] | even[..., 1::2] << 4
    path = written(tmp_path / "m.mrc", mrc_bytes(packed, 101, columns=columns))
    np.testing.assert_array_equal(frames_of(path), values)
    if columns % 2 == 0:
        half = mrc_bytes(packed.view(np.int8), 0, imod=16, cell=(columns // 2 * 0.36, 8 * 0.36, 1.0))
        path = written(tmp_path / "h.mrc", half)
        np.testing.assert_array_equal(frames_of(path), values)
        with pytest.raises(InputError, match="signed"):
            open_movie(written(tmp_path / "s.mrc", mrc_bytes(packed.view(np.int8), 0, imod=17)))
    with pytest.raises(DataFileError, match="truncated"):
        open_movie(written(tmp_path / "c.mrc", path.read_bytes()[:-1]))


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_compressed_mrc_is_read_and_refused_when_cut(tmp_path, suffix, pack):
    content = pack(mrc_bytes(MOVIE, 6))
    path = written(tmp_path / f"m.mrcs{suffix}", content)
    np.testing.assert_array_equal(frames_of(path), MOVIE)
    for cut in (1, 9, len(content) // 2, len(content) - 12):
        with pytest.raises(DataFileError, match=r"m\.mrcs"):
            open_movie(written(path, content[:-cut]), 0.36)


def test_frames_beyond_the_header_are_told_and_a_growing_file_is_read_as_far_as_it_goes(tmp_path, caplog):
    content = mrc_bytes(MOVIE, 6)
    for sections, count in ((5, 5), (0, len(MOVIE) - 1)):
        head = content[:8] + struct.pack("<i", sections) + content[12:]
        path = written(tmp_path / "m.mrc", head if sections else head[:-7])
        np.testing.assert_array_equal(frames_of(path, 0.36), MOVIE[:count])
    assert "4 frames more" in caplog.text
    assert "8 that are whole" in caplog.text


AXES = [(1, 2, 3), (3, 2, 1), (3, 1, 2), (2, 1, 3), (2, 3, 1), (1, 3, 2)]


@pytest.mark.parametrize("axes", AXES)
def test_the_axes_of_a_map_are_those_that_gemmi_reads(tmp_path, axes):
    stored = RNG.normal(size=(4, 6, 10)).astype(np.float32)
    count = dict(zip(axes, stored.shape[::-1], strict=True))
    cell = tuple(count[k] * 0.36 for k in (1, 2, 3))
    content = mrc_bytes(stored, 2, axes=axes, cell=cell, intervals=tuple(count[k] for k in (1, 2, 3)))
    path = written(tmp_path / "m.mrc", content)
    density, pixel = read_map(path)
    other = gemmi.read_ccp4_map(str(path))
    other.setup(np.nan, gemmi.MapSetup.ReorderOnly)
    np.testing.assert_array_equal(density, np.asarray(other.grid).transpose(2, 1, 0))
    assert density.flags.c_contiguous
    assert pixel == pytest.approx(0.36)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"cell": (3.6, 2.16, 2.0)}, "voxels of"),
        ({"cell": (3.6, 4.32, 1.44)}, "voxels of"),
        ({"angles": (90, 94.3, 90)}, "angles"),
        ({"axes": (1, 1, 3)}, "mapc"),
        ({"cell": (0.36, 0.216, 0.144)}, r"in nm it is 0\.36"),
        ({"cell": (3.6e-10, 2.16e-10, 1.44e-10)}, r"in m it is 0\.36"),
    ],
)
def test_a_map_that_is_no_grid_of_cubes_is_refused(tmp_path, header, said):
    path = written(tmp_path / "m.mrc", mrc_bytes(np.ones((4, 6, 10), np.float32), 2, **header))
    with pytest.raises(DataFileError, match=said):
        read_map(path)


@pytest.mark.parametrize("words", [{"origin": (-3.6, 0, 0)}, {"start": (-10, 0, 0)}])
def test_the_place_of_a_map_is_read(tmp_path, words):
    path = written(tmp_path / "m.mrc", mrc_bytes(np.ones((4, 6, 10), np.float32), 2, **words))
    assert read_origin(path) == (-3.6, 0, 0)


def test_nstart_is_that_of_the_axis_of_space(tmp_path):
    path = written(tmp_path / "m.mrc", mrc_bytes(np.ones((8, 8, 8), np.float32), 2, axes=(3, 1, 2), start=(1, 2, 3)))
    assert read_origin(path) == pytest.approx((0.72, 1.08, 0.36))  # columns are z, rows x, sections y


@pytest.mark.parametrize(
    ("scale", "said"), [(1e-10, "in m "), (0.1, "in nm "), (100, "in pm "), (1e9, "cannot be true"), (1e-4, "in µm ")]
)
def test_a_pixel_size_that_cannot_be_is_named_with_its_factor(tmp_path, scale, said):
    cell = (28 * 0.36 * scale, 20 * 0.36 * scale, 1.0)
    path = written(tmp_path / "m.mrc", mrc_bytes(MOVIE, 6, cell=cell))
    with pytest.raises(InputError, match=said):
        open_movie(path)
    assert open_movie(path, 0.36).pixel_size == 0.36
    for absurd in (1e-300, 1e300, float("nan")):
        with pytest.raises(InputError, match="pixel size"):
            open_movie(path, absurd)


def test_pixels_that_are_not_square_are_refused(tmp_path):
    path = written(tmp_path / "m.mrc", mrc_bytes(MOVIE, 6, cell=(28 * 0.36, 20 * 0.72, 1.0)))
    with pytest.raises(InputError, match=r"0\.36 × 0\.72"):
        open_movie(path)
    assert open_movie(path, 0.36).shape == MOVIE.shape


@pytest.mark.parametrize("shape", [(20, 20, 28), (28, 20, 28), (6, 8, 60), (20, 20, 120), (6, 60, 8)])
def test_a_good_movie_of_any_shape_is_read_and_another_axis_on_request(tmp_path, shape, caplog):
    data = RNG.poisson(6, shape).astype(np.uint16)
    path = written(tmp_path / "m.mrc", mrc_bytes(data, 6))
    np.testing.assert_array_equal(frames_of(path), data)
    assert "--axis" in caplog.text
    caplog.clear()
    for axis in (0, 1, 2):
        np.testing.assert_array_equal(frames_of(path, axis=axis), np.moveaxis(data, axis, 0))
    assert "--axis" not in caplog.text
    with pytest.raises(InputError, match="axis is 3"):
        open_movie(path, axis=3)


def test_the_command_line_takes_the_axis(tmp_path, capsys):
    data = RNG.poisson(6, (32, 32, 12)).astype(np.uint16)
    path = written(tmp_path / "m.mrc", mrc_bytes(data, 6))
    assert main(["motion", str(path), "--axis", "2", "--out", str(tmp_path / "out")]) in (0, None)
    assert capsys.readouterr().out.startswith("12 frames")
