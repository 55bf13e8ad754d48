"""Movies in files of other programs, as the tests of reading make them."""

from __future__ import annotations

import struct
from pathlib import Path

import mrcfile
import numpy as np
import tifffile

from single_rs.io import open_movie

MOVIE = np.random.default_rng(11).poisson(6, (9, 20, 28)).astype(np.uint16)


def mrc_bytes(data, mode, *, order="<", cell=None, imod=None, extrema=None, columns=None, **words) -> bytes:
    """Return an MRC file with any header."""
    n, y, x = data.shape
    head = bytearray(1024)
    x = columns or x
    struct.pack_into(order + "4i", head, 0, x, y, words.get("sections", n), mode)
    struct.pack_into(order + "3i", head, 16, *words.get("start", (0, 0, 0)))
    struct.pack_into(order + "3i", head, 28, *words.get("intervals", (x, y, n)))
    struct.pack_into(order + "6f", head, 40, *(cell or (x * 0.36, y * 0.36, n * 0.36)), *words.get("angles", (90,) * 3))
    struct.pack_into(order + "3i", head, 64, *words.get("axes", (1, 2, 3)))
    struct.pack_into(order + "3f", head, 76, *(extrema or (0.0, -1.0)), 0.0)
    struct.pack_into(order + "3f", head, 196, *words.get("origin", (0, 0, 0)))
    head[208:212], head[212:214] = b"MAP ", b"\x44\x44" if order == "<" else b"\x11\x11"
    if imod is not None:
        struct.pack_into(order + "2i", head, 152, 1146047817, imod)
    return bytes(head) + data.astype(data.dtype.newbyteorder(order)).tobytes()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def frames_of(path: Path, pixel_size: float | None = None, axis: int | None = None) -> np.ndarray:
    with open_movie(path, pixel_size, axis) as movie:
        whole = movie.read(0, len(movie))
        for start, stop in ((0, 1), (3, 5), (len(movie) - 1, len(movie))):
            np.testing.assert_array_equal(movie.read(start, stop), whole[start:stop])
        return np.array(whole)


def put(path: Path, frame: np.ndarray, pixel: float = 0.36) -> None:
    if path.suffix == ".mrc":
        with mrcfile.new(path, frame) as file:
            file.voxel_size = pixel
    else:
        tifffile.imwrite(path, frame, photometric="minisblack")
