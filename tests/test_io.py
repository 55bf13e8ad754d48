"""Reading and writing: what goes in comes out, nothing is loaded that need not be, nothing is half written."""

from __future__ import annotations

import sys
import tracemalloc
import types

import mrcfile
import numpy as np
import pytest
import tifffile

from single_rs.base.errors import DataFileError, InputError
from single_rs.io import (
    Movie,
    atomic,
    open_movie,
    read_map,
    read_stack,
    writable_folder,
    write_map,
    write_stack,
    write_text,
)
from single_rs.io.folder import natural_key

RNG = np.random.default_rng(7)


def _write_mrc(path, data, pixel=0.358):
    with mrcfile.new(path, data) as mrc:
        mrc.set_image_stack()
        if pixel is not None:
            mrc.voxel_size = pixel


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float32", "float16"])
def test_a_stack_of_every_mode_comes_back_exactly(tmp_path, dtype):
    images = RNG.integers(0, 100, (5, 16, 16)).astype(dtype)
    write_stack(tmp_path / "s.mrcs", images, 0.358)
    back = read_stack(tmp_path / "s.mrcs")
    assert back.images.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(back.images, images)
    np.testing.assert_array_equal(back.frames, np.arange(5))
    # The header holds float32; the six digits that were meant come back, not 0.35799998.
    assert back.pixel_size == 0.358


@pytest.mark.parametrize(("top", "dtype"), [(127, "int8"), (128, "uint16")])
def test_uint8_counts_take_the_smallest_mode_that_holds_them(tmp_path, top, dtype):
    images = np.zeros((3, 8, 8), np.uint8)
    images[1, 2, 3] = top
    write_stack(tmp_path / "s.mrcs", images, 0.4)
    back = read_stack(tmp_path / "s.mrcs").images
    assert back.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(back, images)


def test_all_that_is_written_is_valid_mrc2014(tmp_path, capsys):
    write_stack(tmp_path / "s.mrcs", RNG.integers(0, 30, (7, 12, 12)).astype(np.int8), 0.358)
    write_map(tmp_path / "m.mrc", RNG.normal(3, 2, (10, 12, 14)), 0.5)
    assert mrcfile.validate(tmp_path / "s.mrcs"), capsys.readouterr().out
    assert mrcfile.validate(tmp_path / "m.mrc"), capsys.readouterr().out
    with mrcfile.open(tmp_path / "s.mrcs") as stack, mrcfile.open(tmp_path / "m.mrc") as volume:
        assert stack.header.ispg == 0
        assert volume.header.ispg == 1
        assert tuple(volume.header.origin.item()) == (0, 0, 0)
        assert (volume.header.nxstart, volume.header.nystart, volume.header.nzstart) == (0, 0, 0)


def test_a_map_keeps_its_axes_and_pixel(tmp_path):
    density = np.zeros((8, 10, 12), np.float64)
    density[1, 2, 3] = 5
    write_map(tmp_path / "m.mrc", density, 0.25)
    back, pixel = read_map(tmp_path / "m.mrc")
    assert (back.dtype, back.shape, pixel) == (np.float32, (8, 10, 12), 0.25)
    assert np.unravel_index(back.argmax(), back.shape) == (1, 2, 3)


def test_the_same_map_gives_the_same_bytes(tmp_path):
    density = RNG.normal(size=(6, 6, 6))
    for name in ("a.mrc", "b.mrc"):
        write_map(tmp_path / name, density, 0.3)
    assert (tmp_path / "a.mrc").read_bytes() == (tmp_path / "b.mrc").read_bytes()


def test_big_endian_files_are_read(tmp_path):
    data = RNG.integers(-300, 300, (4, 6, 6)).astype(">i2")
    header = np.zeros(256, ">i4")
    header[[0, 1, 2, 3, 7, 8, 9]] = 6, 6, 4, 1, 6, 6, 4
    header[10:13] = np.full(3, 6 * 0.4, ">f4").view(">i4")
    (tmp_path / "b.mrc").write_bytes(header.tobytes() + data.tobytes())
    with open_movie(tmp_path / "b.mrc") as movie:
        assert movie.pixel_size == 0.4
        assert movie.read(0, 4).dtype.isnative
        np.testing.assert_array_equal(movie.read(0, 4), data)


def test_imod_bytes_are_unsigned_only_without_its_signed_flag(tmp_path):
    for flags, expected in ((0, 200), (1, 200 - 256)):
        header = np.zeros(256, "<i4")
        header[[0, 1, 2, 3, 7, 38, 39]] = 4, 4, 2, 0, 4, 1146047817, flags
        (tmp_path / "i.mrc").write_bytes(header.tobytes() + bytes([200]) * 32)
        with open_movie(tmp_path / "i.mrc", 0.4) as movie:
            assert int(movie.read(0, 1)[0, 0, 0]) == expected


def test_an_extended_header_is_skipped(tmp_path):
    data = RNG.integers(0, 9, (3, 8, 8)).astype(np.int8)
    with mrcfile.new(tmp_path / "e.mrc", data) as mrc:
        mrc.set_extended_header(np.zeros(768, "V1"))
        mrc.set_image_stack()
    with open_movie(tmp_path / "e.mrc", 0.3) as movie:
        np.testing.assert_array_equal(movie.read(0, 3), data)


def test_memory_does_not_grow_with_the_movie(tmp_path):
    path = tmp_path / "long.mrc"
    with mrcfile.new_mmap(path, (2000, 64, 64), 0) as mrc:  # 8 MB of zeros, mostly a hole in the file
        mrc.voxel_size = 0.4
    tracemalloc.start()
    with open_movie(path) as movie:
        for i in range(0, len(movie), 100):
            movie.read(i, i + 100)
        movie.content()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"bigtiff": True}])
def test_tiff_stacks(tmp_path, options):
    data = RNG.integers(0, 1000, (5, 12, 10)).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "t.tif",
        data,
        photometric="minisblack",
        resolution=(1e8 / 0.36, 1e8 / 0.36),
        resolutionunit=3,
        **options,
    )
    with open_movie(tmp_path / "t.tif") as movie:
        assert movie.shape == (5, 12, 10)
        assert movie.pixel_size == pytest.approx(0.36, rel=1e-6)
        np.testing.assert_array_equal(movie.read(1, 4), data[1:4])
        np.testing.assert_array_equal(movie.frame(4), data[4])


def test_imagej_units_and_printing_resolutions(tmp_path):
    data = np.zeros((3, 8, 8), np.uint8)
    tifffile.imwrite(tmp_path / "i.tif", data, imagej=True, resolution=(1 / 0.05, 1 / 0.05), metadata={"unit": "nm"})
    tifffile.imwrite(tmp_path / "p.tif", data, photometric="minisblack", resolution=(72, 72), resolutionunit=2)
    with open_movie(tmp_path / "i.tif") as movie:
        assert movie.pixel_size == pytest.approx(0.5)
    with pytest.raises(InputError, match="--pixel-size"):
        open_movie(tmp_path / "p.tif")


def _rosettasciio(monkeypatch, *signals):
    """Put a reader of DM4 files in the place of rosettasciio's, which gives `signals`: (shape, units of the axes)."""

    class Reader(types.ModuleType):
        @staticmethod
        def file_reader(path, lazy):
            return [
                {
                    "data": np.arange(np.prod(shape), dtype=np.int32).reshape(shape),
                    "axes": [{"scale": 0.036, "units": unit, "index_in_array": k} for k, unit in enumerate(units)][
                        ::-1
                    ],
                    "metadata": {"General": {"title": f"signal {k}"}},
                }
                for k, (shape, units) in enumerate(signals)
            ]

    package = types.ModuleType("rsciio")
    package.IO_PLUGINS = [{"name": "DM", "file_extensions": ["dm3", "DM4"], "api": "rsciio.fake"}]
    monkeypatch.setitem(sys.modules, "rsciio", package)
    monkeypatch.setitem(sys.modules, "rsciio.fake", Reader("rsciio.fake"))


@pytest.mark.parametrize("unit", ["nm", "n_m", "[nm]"])
def test_other_formats_go_through_rosettasciio(tmp_path, monkeypatch, unit):
    (tmp_path / "m.dm4").write_bytes(b"x")
    _rosettasciio(monkeypatch, ((5,), ("s",)), ((3, 8, 8), ("s", unit, unit)))
    with open_movie(tmp_path / "m.dm4") as movie:
        assert movie.shape == (3, 8, 8)
        assert movie.pixel_size == pytest.approx(0.36)
        assert movie.read(1, 2)[0, 0, 0] == 64


@pytest.mark.parametrize(("units", "time"), [(("nm", "s", "nm"), 1), (("nm", "nm", "ms"), 2), (("", "nm", "nm"), 0)])
def test_time_is_the_axis_in_seconds(tmp_path, monkeypatch, units, time):
    (tmp_path / "m.dm4").write_bytes(b"x")
    _rosettasciio(monkeypatch, ((3, 4, 5), units))
    data = np.arange(60).reshape(3, 4, 5)
    with open_movie(tmp_path / "m.dm4") as movie:
        np.testing.assert_array_equal(movie.read(0, len(movie)), np.moveaxis(data, time, 0))
        assert movie.pixel_size == pytest.approx(0.36)
    np.testing.assert_array_equal(open_movie(tmp_path / "m.dm4", 0.36, 1).read(0, 4), np.moveaxis(data, 1, 0))


@pytest.mark.parametrize(
    ("shape", "units", "said"),
    [
        ((20, 6, 6), ("eV", "nm", "nm"), "spectrum"),
        ((6, 6, 20), ("nm", "nm", "keV"), "spectrum"),
        ((4, 6, 6), ("mrad", "nm", "nm"), "detector"),
        ((4, 6, 6), ("nm", "nm", "nm"), "volume"),
        ((4, 6, 6), ("s", "1/nm", "1/nm"), "diffraction"),
        ((3, 4, 6, 6), ("nm", "nm", "1/nm", "1/nm"), "more than 3 axes"),
    ],
)
def test_spectra_detectors_and_volumes_are_no_movies(tmp_path, monkeypatch, shape, units, said):
    (tmp_path / "m.dm4").write_bytes(b"x")
    _rosettasciio(monkeypatch, (shape, units))
    with pytest.raises(InputError, match=said):
        open_movie(tmp_path / "m.dm4", 0.36)


def test_of_several_signals_the_movie_is_read_and_named(tmp_path, monkeypatch, caplog):
    (tmp_path / "m.dm4").write_bytes(b"x")
    _rosettasciio(monkeypatch, ((50, 8, 8), ("eV", "nm", "nm")), ((4, 8, 8), ("s", "nm", "nm")))
    assert open_movie(tmp_path / "m.dm4").shape == (4, 8, 8)
    assert not caplog.text
    _rosettasciio(monkeypatch, ((4, 8, 8), ("s", "nm", "nm")), ((4, 8, 8), ("s", "nm", "nm")))
    assert open_movie(tmp_path / "m.dm4").shape == (4, 8, 8)
    assert "signal 0 4×8×8 is read" in caplog.text


def test_without_rosettasciio_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "m.dm4").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "rsciio", None)
    with pytest.raises(DataFileError, match=r"single-rs\[io\]"):
        open_movie(tmp_path / "m.dm4", 0.36)


def test_a_folder_of_frames_is_read_in_natural_order(tmp_path):
    for i in (1, 2, 10):
        _write_mrc(tmp_path / f"frame_{i}.mrc", np.full((1, 6, 6), i, np.int16))
    (tmp_path / "notes.txt").write_text("not a frame")
    with open_movie(tmp_path) as movie:
        assert movie.shape == (3, 6, 6)
        assert movie.read(0, 3)[:, 0, 0].tolist() == [1, 2, 10]
    assert sorted(["f10", "f2", "F1"], key=natural_key) == ["F1", "f2", "f10"]


def test_the_option_wins_over_the_header_and_a_difference_is_said(tmp_path, caplog):
    _write_mrc(tmp_path / "m.mrc", np.zeros((3, 8, 8), np.int8))
    assert open_movie(tmp_path / "m.mrc", 0.4).pixel_size == 0.4
    assert "the option is used" in caplog.text


def test_movie_from_an_array_is_the_array():
    data = RNG.integers(0, 9, (4, 6, 8)).astype(np.uint8)
    with Movie.from_array(data, 0.5) as movie:
        assert np.shares_memory(movie.read(0, 4), data)
        assert movie.frame(2).dtype == np.float32
        assert len(list(movie)) == len(movie) == 4
        with pytest.raises(InputError, match="frames 0 to 3"):
            movie.read(2, 5)
    with pytest.raises(InputError, match="closed"):
        movie.read(0, 1)


def test_the_content_is_that_of_the_data_and_not_of_the_file(tmp_path):
    data = RNG.integers(0, 9, (30, 8, 8)).astype(np.int8)
    _write_mrc(tmp_path / "a.mrc", data)
    other = data.copy()
    other[11, 3, 3] += 1
    sums = [Movie.from_array(d, 0.358).content() for d in (data, other)]
    with open_movie(tmp_path / "a.mrc") as movie:
        assert movie.content() == sums[0] != sums[1]


def test_an_odd_box_keeps_its_centre(tmp_path):
    images = np.zeros((3, 9, 9), np.float32)
    images[:, 4, 4] = 1
    write_stack(tmp_path / "s.mrcs", images, 0.4)
    stack = read_stack(tmp_path / "s.mrcs")
    assert stack.box == 8
    assert np.all(stack.images[:, stack.box // 2, stack.box // 2] == 1)


def test_atomic_leaves_the_old_file_when_writing_fails(tmp_path):
    target = tmp_path / "x.txt"
    target.write_text("old")

    def fail():
        with atomic(target) as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]
    with atomic(target) as partial:
        partial.write_text("new")
    assert target.read_text() == "new"


def test_a_text_has_lf_ends_and_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "notes.txt"
    write_text(path, "one\ntwo, 3 Å\n")
    assert path.read_bytes() == "one\ntwo, 3 Å\n".encode()
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "3 Å\n", encoding="ascii")
    assert path.read_bytes().startswith(b"one")
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(DataFileError, match="cannot write"):
        write_text(tmp_path / "none" / "notes.txt", "")


def test_a_map_with_nan_is_not_written(tmp_path):
    density = np.zeros((4, 4, 4))
    density[1, 1, 1] = np.nan
    with pytest.raises(InputError, match="NaN"):
        write_map(tmp_path / "m.mrc", density, 0.3)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named_and_nothing_is_left(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFileError, match="--out"):
        writable_folder(tmp_path / "file" / "deep" / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert writable_folder(tmp_path / "a" / "b").is_dir()
