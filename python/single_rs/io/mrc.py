"""MRC2014 files: density maps, and writing that passes `mrcfile.validate`; frames are read by `mrc_read`.

Reference: Cheng et al. 2015, doi:10.1016/j.jsb.2015.04.002.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import DataFileError, InputError
from single_rs.io.atomic import atomic_binary
from single_rs.io.formats import open_mrc
from single_rs.io.mrc_read import HEADER_BYTES, MODES
from single_rs.io.pixels import check_pixel_size, unlikely_pixel, unusable

__all__ = ["mrc_writer", "read_map", "read_origin", "write_map", "write_mrc"]

VOXEL_TOLERANCE = 1e-3  # relative; headers hold float32 edges, often rounded
ANGLE_TOLERANCE = 0.1  # degrees
PLACE_TOLERANCE = 1e-3  # voxels; nearer to 0 is 0
LARGEST_ORIGIN = 1e6  # Å; 0.1 mm
MRC2014_VERSION = 20141
NO_ORIGIN = (0.0, 0.0, 0.0)
LITTLE_ENDIAN_STAMP = (0x44, 0x44, 0, 0)
BLOCK_BYTES = 1 << 25  # written and summed in pieces of 32 MB, so that no float64 copy of a stack is made


def write_mrc(
    path: str | os.PathLike[str],
    data: NDArray[Any],
    pixel_size: float,
    *,
    volume: bool,
    origin: tuple[float, float, float] = NO_ORIGIN,
) -> None:
    """Write an image stack (ISPG 0) or a volume (ISPG 1) in pieces, with correct statistics.

    Parameters
    ----------
    path
        Target; written aside and renamed.
    data
        (n, y, x) or (z, y, x). Types MRC has no mode for are widened: float64 to float32, uint8 to int8 when its
        counts fit (half the size of the uint16 that mrcfile would choose) and to uint16 when not, bool to int8.
    pixel_size
        Å.
    volume
        True for a map.
    origin
        (x, y, z) Å of voxel 0, the header's ORIGIN.
    """
    if data.ndim != 3 or data.size == 0:
        raise InputError(f"cannot write {path}: data of shape {data.shape}; three axes, none of them empty, are needed")
    step = max(1, BLOCK_BYTES // (data[0].size * 8))
    with mrc_writer(path, data.shape, _file_type(data), pixel_size, volume=volume, origin=origin) as put:
        for start in range(0, len(data), step):
            put(np.asarray(data[start : start + step]))


@contextlib.contextmanager
def mrc_writer(
    path: str | os.PathLike[str],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    pixel_size: float,
    *,
    volume: bool = False,
    origin: tuple[float, float, float] = NO_ORIGIN,
) -> Iterator[Callable[[NDArray[Any]], None]]:
    """Give a function put(sections) that appends to an MRC file; the file appears when all sections are written.

    The room of the whole file is reserved at the start.

    Parameters
    ----------
    path
        Target; written aside and renamed.
    shape
        (n, y, x) or (z, y, x) of the whole file.
    dtype
        Type in the file: int8, int16, uint16, float16 or float32.
    pixel_size
        Å.
    volume
        True for a map (ISPG 1), False for an image stack (ISPG 0).
    origin
        (x, y, z) Å of voxel 0.

    Raises
    ------
    InputError
        Pixel size, NaN or infinite values, or values that the type of the file does not hold.
    WriteError
        Not writable, or no room.
    """
    check_pixel_size(pixel_size)
    kind = np.dtype(dtype).newbyteorder("<")
    size = HEADER_BYTES + int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    statistics = _Statistics()
    with atomic_binary(path, size) as file:
        file.write(bytes(HEADER_BYTES))

        def put(sections: NDArray[Any]) -> None:
            low, high = np.min(sections), np.max(sections)
            if not (np.isfinite(low) and np.isfinite(high)):
                raise InputError(f"cannot write {path}: NaN or infinite values")
            limits = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
            if low < limits.min or high > limits.max:
                raise InputError(f"cannot write {path}: values from {low:g} to {high:g}, which {kind} does not hold")
            block = np.ascontiguousarray(sections, dtype=kind)
            file.write(block.data)
            statistics.add(np.asarray(sections, np.float64))

        yield put
        if statistics.count != np.prod(shape, dtype=np.int64):
            raise InputError(f"cannot write {path}: {statistics.count} values were given, shape {shape} needs others")
        file.seek(0)
        file.write(_new_header(shape, kind, pixel_size, statistics, volume, origin).tobytes())


class _Statistics:
    """What the header says of the values of a file that is written in pieces."""

    def __init__(self) -> None:
        self.low, self.high, self._sum, self._squares, self.count = np.inf, -np.inf, 0.0, 0.0, 0

    def add(self, block: NDArray[np.float64]) -> None:
        """Count in the values of one piece."""
        self.low, self.high = min(self.low, block.min()), max(self.high, block.max())
        self._sum += block.sum()
        self._squares += np.square(block).sum()
        self.count += block.size

    @property
    def mean(self) -> float:
        """Mean of all values."""
        return self._sum / self.count

    @property
    def rms(self) -> float:
        """Standard deviation of all values."""
        return float(np.sqrt(max(self._squares / self.count - self.mean**2, 0.0)))


def _new_header(
    shape: tuple[int, ...],
    kind: np.dtype[Any],
    pixel_size: float,
    statistics: _Statistics,
    volume: bool,
    origin: tuple[float, float, float],
) -> NDArray[Any]:
    """Return the header of a little-endian file of ours: pixel size and ORIGIN (Å), statistics, and our label."""
    from mrcfile.dtypes import HEADER_DTYPE

    nz, ny, nx = shape
    intervals = (nx, ny, nz if volume else 1)
    header = np.zeros((), HEADER_DTYPE.newbyteorder("<"))
    header["nx"], header["ny"], header["nz"] = nx, ny, nz
    header["mode"] = next(mode for mode, name in MODES.items() if np.dtype(name) == kind.newbyteorder("="))
    header["mx"], header["my"], header["mz"] = intervals
    header["cella"] = tuple(float(pixel_size) * m for m in intervals)
    header["cellb"] = (90.0, 90.0, 90.0)
    header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
    header["dmin"], header["dmax"] = statistics.low, statistics.high
    header["dmean"], header["rms"] = statistics.mean, statistics.rms
    header["origin"] = origin
    header["ispg"] = 1 if volume else 0
    header["nversion"] = MRC2014_VERSION
    header["map"] = b"MAP "
    header["machst"] = LITTLE_ENDIAN_STAMP
    # Without a date: the same input gives the same file.
    header["label"][0] = b"single_rs"
    header["nlabl"] = 1
    return header


def _file_type(data: NDArray[Any]) -> np.dtype[Any]:
    """Return the type of the smallest MRC mode that holds `data` exactly (float64 excepted)."""
    kind = data.dtype
    if kind.kind == "b":
        return np.dtype("i1")
    if kind == np.uint8:
        return np.dtype("i1" if int(data.max()) < 128 else "u2")
    if kind.kind in "iu" and kind.itemsize <= 2:
        return kind.newbyteorder("=")
    if kind.kind in "iuf":
        return np.dtype("f2" if kind == np.float16 else "f4")
    raise InputError(f"cannot write data of type {kind}; real numbers are needed")


def write_map(
    path: str | os.PathLike[str],
    map: NDArray[Any],
    pixel_size: float,
    origin: tuple[float, float, float] = NO_ORIGIN,
) -> None:
    """Write a density map as a float32 MRC volume, ISPG 1.

    An atom at library position p (Å from the box centre) lies at p + (N//2)·pixel + ORIGIN in viewers.

    Parameters
    ----------
    path
        Target ``.mrc``; written aside and renamed.
    map
        (z, y, x), any real type.
    pixel_size
        Å.
    origin
        (x, y, z) Å of voxel 0; that of the map it was made from, where there is one.

    Raises
    ------
    InputError
        Wrong shape, non-finite values or pixel size.
    DataFileError
        Not writable.
    """
    write_mrc(path, np.asarray(map, np.float32), pixel_size, volume=True, origin=origin)


def read_origin(path: str | os.PathLike[str]) -> tuple[float, float, float]:
    """Return (x, y, z) Å of voxel 0 of a map: ORIGIN of its header, or where that is 0, nstart · voxel.

    Values that are 0 but for rounding are 0.
    """
    source = open_mrc(Path(path))
    place, voxel = source.header.place, source.header.voxel[0]
    if not (np.abs(place) <= LARGEST_ORIGIN).all():
        raise DataFileError(f"{path} has ORIGIN {place} in its header; numbers up to {LARGEST_ORIGIN:g} Å are needed")
    if max(abs(v) for v in place) <= PLACE_TOLERANCE * voxel:
        return NO_ORIGIN
    x, y, z = (float(f"{v:.6g}") for v in place)
    return x, y, z


def read_map(path: str | os.PathLike[str]) -> tuple[NDArray[np.float32], float]:
    """Read a density map.

    Parameters
    ----------
    path
        MRC volume, its axes in any order.

    Returns
    -------
    map : ndarray
        (z, y, x) float32.
    pixel_size : float
        Å.

    Raises
    ------
    DataFileError
        Missing, truncated, non-finite, without a pixel size, or with voxels that are no cubes.
    """
    source = open_mrc(Path(path))
    x, y, z = source.header.voxel
    if source.pixel_size is None:
        raise DataFileError(f"{path} has no pixel size in its header; a map needs one")
    if max(x, y, z) - min(x, y, z) > VOXEL_TOLERANCE * x:
        raise DataFileError(f"{path} has voxels of {x:.4g} × {y:.4g} × {z:.4g} Å; resample it to cubes")
    if any(angle and abs(angle - 90) > ANGLE_TOLERANCE for angle in source.header.angles):
        a, b, c = source.header.angles
        raise DataFileError(f"{path} has cell angles {a:.4g} {b:.4g} {c:.4g}°; resample it to a cell of 90°")
    if problem := unlikely_pixel(source.pixel_size):
        raise DataFileError(f"{path} says {problem}; correct its header")
    values = source.read(0, source.shape[0])
    if problem := unusable(values):
        raise DataFileError(f"{path} holds {problem}")
    out = np.array(values, np.float32, order="C")
    return out, source.pixel_size
