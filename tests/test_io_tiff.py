"""TIFF files of all writers are one movie, and a cut one is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageSequence

from movie_files import MOVIE, frames_of, written
from single_rs.base.errors import DataFileError, InputError
from single_rs.io import open_movie

RNG = np.random.default_rng(11)


def tiff_in_libtiffs_order(frames: np.ndarray, compress=lambda b: b, compression: int = 1) -> bytes:
    """Return a TIFF as libtiff writes it: data, then its tag list, then the place of it in the list before."""
    out = bytearray(b"II*\0\0\0\0\0")
    link = 4
    for frame in frames:
        data = compress(frame.tobytes())
        where = len(out)
        out += data + b"\0" * (len(data) % 2)
        struct.pack_into("<I", out, link, len(out))
        y, x = frame.shape
        tags = [(256, 3, x), (257, 3, y), (258, 3, 16), (259, 3, compression), (262, 3, 1), (273, 4, where),
                (277, 3, 1), (278, 3, y), (279, 4, len(data)), (339, 3, 1)]  # fmt: skip
        out += struct.pack("<H", len(tags))
        for tag, kind, value in tags:
            out += struct.pack("<HHI", tag, kind, 1) + struct.pack("<I", value)
        link = len(out)
        out += b"\0\0\0\0"
    return bytes(out)


@pytest.mark.parametrize("packed", [False, True])
def test_a_tiff_cut_anywhere_is_refused(tmp_path, packed):
    import zlib

    content = tiff_in_libtiffs_order(MOVIE, zlib.compress, 8) if packed else tiff_in_libtiffs_order(MOVIE)
    path = written(tmp_path / "m.tif", content)
    np.testing.assert_array_equal(tifffile.imread(path), MOVIE)
    np.testing.assert_array_equal(frames_of(path, 0.36), MOVIE)
    places = np.unique(np.r_[RNG.integers(1, len(content), 120), len(content) - np.arange(1, 60)])
    for place in places:
        written(path, content[:place])
        with pytest.raises(DataFileError, match=r"m\.tif"):
            open_movie(path, 0.36)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"compression": "zlib", "tile": (16, 16)}])
def test_a_tiff_of_tifffile_cut_inside_its_last_page_is_refused(tmp_path, order, big, options):
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, MOVIE, photometric="minisblack", byteorder=order, bigtiff=big, **options)
    np.testing.assert_array_equal(frames_of(path, 0.36), MOVIE)
    content = path.read_bytes()
    for place in RNG.integers(len(content) // 8, len(content) - 8, 40):
        written(path, content[:place])
        with pytest.raises(DataFileError, match=r"m\.tif"):
            frames_of(path, 0.36)


def pieces(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        for k in (0, 3, 6):
            file.write(MOVIE[k : k + 3], photometric="minisblack")


def one_by_one(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        for frame in MOVIE:
            file.write(frame, photometric="minisblack", compression="zlib")


def appended(path: Path) -> None:
    for k in (0, 5):
        tifffile.imwrite(path, MOVIE[k : k + 5], photometric="minisblack", append=k > 0)


def imagej(path: Path) -> None:
    tifffile.imwrite(path, MOVIE, imagej=True, metadata={"axes": "TYX"})


def ome(path: Path) -> None:
    tifffile.imwrite(path, MOVIE, ome=True, photometric="minisblack", metadata={"axes": "TYX"})


@pytest.mark.parametrize("write", [pieces, one_by_one, appended, imagej, ome])
def test_a_tiff_is_one_movie_however_it_was_written(tmp_path, write):
    write(tmp_path / "m.tif")
    np.testing.assert_array_equal(frames_of(tmp_path / "m.tif", 0.36), MOVIE)


@pytest.mark.parametrize("packed", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_values_are_those_of_pillow(tmp_path, packed, kind):
    """Pillow decodes with libtiff, which we do not use."""
    if packed in ("tiff_lzw", "packbits"):
        pytest.importorskip("imagecodecs")
    first, *others = (Image.fromarray(frame.astype(kind)) for frame in MOVIE)
    path = tmp_path / "m.tif"
    first.save(path, save_all=True, append_images=others, compression=packed)
    with Image.open(path) as image:
        theirs = [np.asarray(page) for page in ImageSequence.Iterator(image)]
    np.testing.assert_array_equal(frames_of(path, 0.36), theirs)


def test_single_pages_of_another_kind_are_left_out_and_two_kinds_refused(tmp_path, caplog):
    path = tmp_path / "m.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(MOVIE.sum(0).astype(np.float32), photometric="minisblack")
        file.write(MOVIE[:4], photometric="minisblack")
        file.write(MOVIE[0, ::4, ::4], photometric="minisblack")
        file.write(MOVIE[4:], photometric="minisblack")
    np.testing.assert_array_equal(frames_of(path, 0.36), MOVIE)
    assert "page 1 (20 × 28 float32)" in caplog.text
    with tifffile.TiffWriter(path) as file:
        file.write(MOVIE[:4], photometric="minisblack")
        file.write(MOVIE[4:].astype(np.float32), photometric="minisblack")
    with pytest.raises(InputError, match="several kinds"):
        open_movie(path, 0.36)


@pytest.mark.parametrize(
    "options",
    [
        {"resolution": (1e8 / 0.36,) * 2, "resolutionunit": "CENTIMETER"},
        {"resolution": (2.54e8 / 0.36,) * 2, "resolutionunit": "INCH"},
        {"imagej": True, "resolution": (1 / 0.036,) * 2, "metadata": {"unit": "nm", "axes": "TYX"}},
        {"imagej": True, "resolution": (1 / 0.36,) * 2, "metadata": {"unit": "Angstrom", "axes": "TYX"}},
        {"ome": True, "metadata": {"axes": "TYX", "PhysicalSizeX": 0.036, "PhysicalSizeXUnit": "nm"}},
        {"ome": True, "metadata": {"axes": "TYX", "PhysicalSizeX": 0.36, "PhysicalSizeXUnit": "Å"}},
        {"ome": True, "metadata": {"axes": "TYX", "PhysicalSizeX": 3.6e-5}},
    ],
)
def test_pixel_sizes_of_tiff_in_all_their_units(tmp_path, options):
    tifffile.imwrite(tmp_path / "m.tif", MOVIE, photometric="minisblack", **options)
    with open_movie(tmp_path / "m.tif") as movie:
        assert movie.pixel_size == pytest.approx(0.36, rel=1e-4)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_is_no_movie(tmp_path, planar):
    data = np.zeros((3, 20, 28) if planar == "separate" else (20, 28, 3), np.uint8)
    tifffile.imwrite(tmp_path / "m.tif", data, photometric="rgb", planarconfig=planar)
    with pytest.raises(InputError, match="colour"):
        open_movie(tmp_path / "m.tif", 0.36)
