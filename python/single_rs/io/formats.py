"""One reader per format, chosen by suffix; each gives shape, type, pixel size and blocks of frames.

TIFF and EER are read by tifffile, MRC by our own memory map, also compressed by gzip, bzip2 or xz, DM3/DM4/SER/EMD and
what else rosettasciio knows by that library if the extra ``io`` is installed; HDF5 and Zarr by h5py and zarr, which it
brings. Folders of frames are `folder`.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import DataFileError, InputError
from single_rs.io.arrays import ARRAY_SUFFIXES, ZARR, ArraySource
from single_rs.io.mrc_read import MrcSource
from single_rs.io.scientific import OTHER_SUFFIXES, ScientificSource
from single_rs.io.source import FrameSource
from single_rs.io.tiff import TiffSource

__all__ = ["SUFFIXES", "movie_suffix", "open_mrc", "open_source"]

MRC_SUFFIXES = (".mrc", ".mrcs", ".st", ".map", ".rec", ".ccp4", ".ali")
TIFF_SUFFIXES = (".tif", ".tiff", ".eer", ".gain")
SUFFIXES = MRC_SUFFIXES + TIFF_SUFFIXES[:3] + OTHER_SUFFIXES + ARRAY_SUFFIXES
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
PACKED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
# What some cameras write beside their frames, and why it cannot be opened.
NOT_MOVIES = {
    ".gtg": "holds the metadata of a K2 IS recording; export the movie as MRC, TIFF or DM4",
    ".bin": "is raw data of a camera; export the movie as MRC, TIFF or DM4",
}


def movie_suffix(path: Path) -> str | None:
    """Return the suffix by which a file may be a movie, as .mrc or .mrc.gz; ``None`` when no format has it."""
    suffix = path.suffix.lower()
    if suffix in PACKED:
        inner = Path(path.stem).suffix.lower()
        return inner + suffix if inner in MRC_SUFFIXES else None
    return suffix if suffix in SUFFIXES else None


def open_source(path: Path, axis: int | None = None, key: str | None = None, growing: bool = False) -> FrameSource:
    """Return the reader of a file; raise `DataFileError` when there is none or it cannot read the file.

    `axis` says which axis of the file's array is time, for files that do not tell it; `key` which array of HDF5 or Zarr
    is the movie. Of a `growing` file the frames that are whole are read.
    """
    if not path.exists():
        raise DataFileError(f"{path} does not exist")
    suffix = path.suffix.lower()
    if not path.is_file() and not (suffix == ZARR and path.is_dir()):
        raise DataFileError(f"{path} is no file; give MRC, TIFF or another movie")
    if path.is_file() and path.stat().st_size == 0:
        raise DataFileError(f"{path} is empty (0 bytes)")
    named = key is not None and path.is_file() and _is_hdf5(path)
    if key is not None and not named and suffix not in ARRAY_SUFFIXES:
        raise InputError(f"--key is {key}; {path} has no arrays with names, as HDF5 and Zarr have")
    if suffix in OTHER_SUFFIXES and not named:
        return ScientificSource(path, axis)
    source: FrameSource
    if suffix in ARRAY_SUFFIXES or named:
        source = ArraySource(path, key)
    elif suffix in MRC_SUFFIXES or suffix in PACKED:
        source = open_mrc(path, growing)
    elif suffix in TIFF_SUFFIXES:
        source = TiffSource(path, growing)
    else:
        if reason := NOT_MOVIES.get(suffix):
            raise DataFileError(f"{path} {reason}")
        raise DataFileError(
            f"{path}: unknown format {suffix or '(no suffix)'}; accepted: {' '.join(SUFFIXES)}, .mrc.gz, a folder of "
            "frames, or a list of files in a text file (.txt)"
        )
    return source if axis is None or axis % 3 == 0 else _AlongAxis(source, axis % 3)


def _is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does, whatever its suffix."""
    with open(path, "rb") as file:
        return file.read(len(HDF5_MAGIC)) == HDF5_MAGIC


def open_mrc(path: Path, growing: bool = False) -> MrcSource:
    """Return the reader of an MRC file, compressed or not."""
    suffix = path.suffix.lower()
    if suffix not in PACKED:
        return MrcSource(path, growing=growing)
    if movie_suffix(path) is None:
        raise DataFileError(f"{path}: of compressed files only MRC is read (name.mrc{suffix}); unpack it first")
    # Unpacked into a file without a name, which goes with the last reader: a movie may be larger than the memory.
    try:
        # The memory map holds the file open after this block.
        with tempfile.TemporaryFile(prefix="single_rs-") as file:
            with PACKED[suffix](path, "rb") as packed:
                shutil.copyfileobj(packed, file, 1 << 20)
            file.flush()
            return MrcSource(path, file)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise DataFileError(f"{path} is truncated or broken: {error}; copy it again") from None
    except OSError as error:
        if isinstance(error, DataFileError):
            raise
        raise DataFileError(
            f"cannot unpack {path}: {error.strerror or error}; it needs room in {tempfile.gettempdir()}, or is broken"
        ) from None


class _AlongAxis:
    """Frames along another axis of the data; a view where they are mapped, a copy in memory where they are not."""

    def __init__(self, source: FrameSource, axis: int) -> None:
        self._data: NDArray[Any] = np.moveaxis(source.read(0, source.shape[0]), axis, 0)
        n, y, x = (int(s) for s in self._data.shape)
        self.shape = (n, y, x)
        self.dtype = source.dtype
        # The axis x is that of the file unless it is time; then only y is one of the image.
        along = source.pixel_size is not None and axis == 2
        self.pixel_size = source.pixel_size * source.pixel_aspect if along and source.pixel_size else source.pixel_size
        self.pixel_aspect = 1.0

    def read(self, start: int, stop: int) -> NDArray[Any]:
        return self._data[start:stop]
