"""Movies, (frame, y, x), read block by block in the type of the file.

The size is checked before any work, values in a few frames on opening and in every block that is read.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import DataFileError, InputError
from single_rs.base.paths import user_path
from single_rs.base.reading import AS_IS, Reading
from single_rs.io.arrays import ZARR
from single_rs.io.corrected import CorrectedSource
from single_rs.io.folder import LIST_SUFFIXES, FolderSource, listed_files
from single_rs.io.formats import open_source
from single_rs.io.growing import wait_until_still
from single_rs.io.pixels import check_pixel_size, unlikely_pixel, unusable
from single_rs.io.source import FrameSource

__all__ = ["Movie", "open_movie"]

HASHED_BLOCK = 64  # frames read at a time for the hash alone
CHECKED_FRAMES = 8  # looked at on opening; the others when they are read
LARGEST_ASPECT = 4  # frames longer than this may be wrong axes or a strip of a detector
PIXEL_TOLERANCE = 0.01  # relative; more between option and header is worth a warning

log = logging.getLogger(__name__)


class _ArraySource:
    """Frames of a NumPy array."""

    pixel_size: float | None = None
    pixel_aspect: float = 1.0

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        n, y, x = array.shape
        self.shape = (n, y, x)
        self.dtype = array.dtype

    def read(self, start: int, stop: int) -> NDArray[Any]:
        return self._array[start:stop]


class Movie:
    """A movie that stays on disk; use `open_movie` or `Movie.from_array` to make one.

    Attributes
    ----------
    path : Path or None
        File or folder; ``None`` for an array.
    shape : tuple
        (n, y, x).
    dtype : numpy.dtype
        Type of the file, in the byte order of the machine.
    pixel_size : float
        Å.
    files : tuple of Path
        Files and folders that its values depend on; empty for an array.
    reading : dict
        What was asked for besides the whole file as it is (`Reading`, axis), as it stands in run.json.
    """

    def __init__(
        self,
        source: FrameSource,
        pixel_size: float,
        path: Path | None = None,
        files: tuple[Path, ...] = (),
        reading: dict[str, Any] | None = None,
    ) -> None:
        self._source: FrameSource | None = source
        self.path, self.files, self.reading = path, files, reading or {}
        self.shape = source.shape
        self.dtype = source.dtype.newbyteorder("=")
        self.pixel_size = check_pixel_size(pixel_size)
        self._hash, self._hashed = hashlib.sha256(f"{self.shape}{self.dtype}".encode()), 0
        self._check_values()

    @classmethod
    def from_array(cls, array: NDArray[Any], pixel_size: float, path: Path | None = None) -> Movie:
        """Wrap an array as a movie.

        Parameters
        ----------
        array
            (n, y, x), real; not copied.
        pixel_size
            Å.
        path
            File that the array was read from, if any: names it in messages and records.

        Raises
        ------
        InputError
            Not three axes, fewer than two frames, complex, or NaN.
        """
        array = np.asanyarray(array)
        if array.ndim != 3 or array.shape[0] < 2 or array.size == 0:
            raise InputError(f"an array of shape {array.shape}; a movie is (frame, y, x) with at least 2 frames")
        return cls(_ArraySource(array), pixel_size, path, () if path is None else (path,))

    @property
    def name(self) -> str:
        """File name for messages."""
        return str(self.path) if self.path is not None else "the array"

    def __repr__(self) -> str:
        """Return one line."""
        n, y, x = self.shape
        return f"Movie({self.name}: {n} frames of {x} × {y} px, {self.dtype}, {self.pixel_size:.4g} Å per pixel)"

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.shape[0]

    def __enter__(self) -> Movie:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Iterate over frames, each (y, x) float32."""
        return (self.frame(i) for i in range(len(self)))

    def close(self) -> None:
        """Let go of the file; blocks already read stay valid."""
        self._source = None

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start:stop``, (m, y, x), in the type of the file.

        Uncompressed files give a read-only view of the memory map, so that nothing is copied.

        Raises
        ------
        InputError
            Frames outside the movie.
        DataFileError
            NaN or infinite values; the message names the first frame that has them.
        """
        if self._source is None:
            raise InputError(f"{self.name} is closed; open it again to read frames")
        if not 0 <= start <= stop <= len(self):
            raise InputError(f"frames {start} to {stop} of {self.name}; it has frames 0 to {len(self) - 1}")
        block = self._source.read(start, stop)
        if not block.dtype.isnative:
            block = block.astype(self.dtype)
        if block.dtype.kind == "f":
            for i, image in enumerate(block):
                if problem := unusable(image):
                    raise DataFileError(f"{self.name}: frame {start + i} holds {problem}")
        if start <= self._hashed < stop:
            self._hash.update(np.ascontiguousarray(block[self._hashed - start :]).data)
            self._hashed = stop
        return block

    def frame(self, index: int) -> NDArray[np.float32]:
        """Return one frame, (y, x) float32, a copy."""
        return np.array(self.read(index, index + 1)[0], np.float32)

    def content(self) -> str:
        """Return the SHA-256 of type, shape and all pixels.

        Frames that were read in their order are hashed by then; the others are read now.
        """
        for start in range(self._hashed, len(self), HASHED_BLOCK):
            self.read(start, min(start + HASHED_BLOCK, len(self)))
        return self._hash.hexdigest()

    def _check_values(self) -> None:
        if self.dtype.kind not in "iufb":
            raise InputError(f"{self.name} holds values of type {self.dtype}; real images are needed")
        for i in _spread(len(self), CHECKED_FRAMES):
            self.read(i, i + 1)


def _spread(n: int, count: int) -> list[int]:
    """Return up to `count` indices spread evenly over ``range(n)``, both ends included."""
    return sorted({int(i) for i in np.linspace(0, n - 1, min(n, count)).round()})


def open_movie(
    path: str | os.PathLike[str],
    pixel_size: float | None = None,
    axis: int | None = None,
    reading: Reading = AS_IS,
) -> Movie:
    """Open a movie without loading it.

    Parameters
    ----------
    path
        MRC/MRCS (memory-mapped; also ``.mrc.gz``), TIFF and EER, ``.npy``, DM3/DM4/SER/EMD, HDF5, Zarr and others
        through the extra ``io``, a folder of files with one frame or some each, taken in the order of the numbers in
        their names, or a text file that lists such files, one a line (``.txt``, the filetab of SIMPLE).
    pixel_size
        Å, of a pixel of the file; wins over the header. ``None`` takes it from the header.
    axis
        Which axis of the file's array, 0, 1 or 2, is time. ``None`` lets the format and its units tell, which is the
        first one in most.
    reading
        Part of the movie, binning, sums of frames, gain and dark reference; see `Reading`.

    Returns
    -------
    Movie
        Frames (n, y, x), in the type of the file where nothing is added or corrected.

    Raises
    ------
    InputError
        No pixel size anywhere, or one that cannot be true; one frame only; colour, spectra or volumes; a part that is
        not in the file, a reference of another size.
    DataFileError
        Missing, truncated, unknown or broken file, NaN values.
    """
    path = user_path(path)
    if axis is not None and axis not in range(-3, 3):
        raise InputError(f"axis is {axis}; 0, 1 or 2 is accepted, the axis of the array in {path} that is time")
    if reading.follow:
        wait_until_still(path)
    source, files = _source_of(path, axis, reading)
    _check_shape(path, source.shape, axis)
    pixel = _pixel_size(path, source, pixel_size)
    asked = {**({} if axis is None else {"axis": axis}), **reading.record()}
    if reading.changes:
        source = CorrectedSource(source, path, reading)
        if source.shape[0] < 2:
            raise InputError(f"{path}: one frame is left of what --frames and --group take; at least 2 are needed")
    return Movie(source, pixel * reading.bin, path, (*files, *reading.references), asked)


def _source_of(path: Path, axis: int | None, reading: Reading) -> tuple[FrameSource, tuple[Path, ...]]:
    """Return the reader of a file, folder or list of files, and the files it depends on."""
    suffix = path.suffix.lower()
    if suffix in LIST_SUFFIXES and path.is_file():
        listed = listed_files(path)
        source: FrameSource = FolderSource(path, listed)
    elif path.is_dir() and suffix != ZARR:
        listed, source = (), FolderSource(path)
    else:
        return open_source(path, axis, reading.key, reading.follow), (path,)
    if axis is not None or reading.key is not None:
        option = "--axis" if axis is not None else "--key"
        raise InputError(f"{path} holds several files, each with whole frames; {option} is for single files")
    return source, (path, *listed)


def _pixel_size(path: Path, source: FrameSource, given: float | None) -> float:
    """Return the pixel size in Å: the option, or that of the header if it can be true."""
    header = source.pixel_size
    if given is not None:
        value = check_pixel_size(given)
        if header is not None and abs(header / value - 1) > PIXEL_TOLERANCE:
            log.warning("%s says %.4g Å per pixel, the option %.4g Å; the option is used", path, header, value)
        return value
    if header is None:
        raise InputError(f"{path} does not say its pixel size; give it in Å, e.g. --pixel-size 0.358")
    if problem := unlikely_pixel(header):
        raise InputError(f"{path} says {problem}; give it with --pixel-size")
    if abs(source.pixel_aspect - 1) > PIXEL_TOLERANCE:
        raise InputError(
            f"{path} says pixels of {header:.4g} × {header * source.pixel_aspect:.4g} Å; square ones are needed: "
            "resample it, or give --pixel-size if the header is wrong"
        )
    return header


def _check_shape(path: Path, shape: tuple[int, int, int], axis: int | None) -> None:
    """Refuse single frames; warn of axes that look like those of another order."""
    n, y, x = shape
    if min(shape) < 1:
        raise DataFileError(f"{path} is empty: shape {shape} (frames, y, x)")
    if n < 2:
        raise InputError(f"{path} has one frame of {y} × {x}; a movie needs at least 2 (usually thousands)")
    # Detectors are square or nearly so; a movie that is square in (frame, y) or (frame, x) only may be transposed.
    if axis is None and ((y != x and n in (y, x)) or max(x, y) > LARGEST_ASPECT * min(x, y)):
        other = 2 if n == y or (n != x and x > y) else 1
        log.warning(
            "%s is read as %d frames of %d × %d; if its axis of %d is time, give --axis %d", path, n, y, x,
            shape[other], other,
        )  # fmt: skip
