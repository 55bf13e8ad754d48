"""MRC2014 files: memory-mapped reading with the size checked first, and writing that passes `mrcfile.validate`.

Modes 0 (int8), 1 (int16), 2 (float32), 6 (uint16) and 12 (float16) hold real images; IMOD's unsigned mode 0 is
recognised by its stamp. Reference: Cheng et al. 2015, doi:10.1016/j.jsb.2015.04.002.
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

__all__ = ["MrcSource", "mrc_writer", "read_map", "write_map", "write_mrc"]

HEADER_BYTES = 1024  # MRC2014, fixed part of the header
MODES: dict[int, str] = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
IMOD_STAMP = 1146047817  # "IMOD" as int32 at byte 152, https://bio3d.colorado.edu/imod/doc/mrc_format.txt
IMOD_STAMP_AT, IMOD_FLAGS_AT = 152, 156  # bytes from the start of the file
IMOD_SIGNED_BIT = 1
MRC2014_VERSION = 20141
LITTLE_ENDIAN_STAMP = (0x44, 0x44, 0, 0)
BLOCK_BYTES = 1 << 25  # written and summed in pieces of 32 MB, so that no float64 copy of a stack is made


class MrcSource:
    """Frames of an MRC file, memory-mapped.

    Attributes
    ----------
    shape, dtype, pixel_size
        (n, y, x); type in the file; Å or ``None`` when the header does not say.
    """

    def __init__(self, path: Path) -> None:
        head = _header(path)
        little = head["little"]
        mode = head["mode"]
        if mode not in MODES:
            raise DataFileError(f"{path} has MRC mode {mode}; accepted: {', '.join(map(str, MODES))} (real images)")
        kind = "u1" if mode == 0 and head["unsigned"] else MODES[mode]
        self.dtype = np.dtype(("<" if little else ">") + kind)
        self.shape = (head["nz"], head["ny"], head["nx"])
        if min(self.shape) < 1:
            raise DataFileError(f"{path} is empty: its header says {self.shape} (frames, y, x)")
        offset = HEADER_BYTES + head["nsymbt"]
        need = offset + int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize
        have = path.stat().st_size
        if have < need:
            frames = max(have - offset, 0) // (self.dtype.itemsize * self.shape[1] * self.shape[2])
            raise DataFileError(
                f"{path} is truncated: {have:,} bytes where its header ({self.shape[0]} frames of "
                f"{self.shape[1]} × {self.shape[2]}) needs {need:,}; {frames} frames are whole; copy it again"
            )
        self._data: NDArray[Any] = np.memmap(path, self.dtype, "r", offset, self.shape)
        # Cell edge over intervals. 1 Å exactly is what many programs write when they do not know.
        pixel = head["cell_x"] / head["mx"] if head["mx"] > 0 else 0.0
        # The header holds float32; six digits give back the number that was meant.
        self.pixel_size: float | None = float(f"{pixel:.6g}") if pixel > 0 and abs(pixel - 1) > 1e-6 else None

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start:stop``, (m, y, x) in the type of the file."""
        return self._data[start:stop]


def _header(path: Path) -> dict[str, Any]:
    """Return the words of an MRC header that matter for reading; raise `DataFileError` when it is none."""
    try:
        with open(path, "rb") as f:
            raw = f.read(HEADER_BYTES)
    except OSError as error:
        raise DataFileError(f"cannot read {path}: {error.strerror or error}") from None
    if len(raw) < HEADER_BYTES:
        raise DataFileError(f"{path} is truncated: {len(raw)} bytes, an MRC header alone has {HEADER_BYTES}")
    # The machine stamp is often wrong; the mode is a small number in one byte order only.
    little = 0 <= int.from_bytes(raw[12:16], "little", signed=True) < 128
    order = "<" if little else ">"
    words = np.frombuffer(raw, order + "i4")
    real = np.frombuffer(raw, order + "f4")
    nx, ny, nz, mode = (int(w) for w in words[:4])
    nsymbt = int(words[23])
    if min(nx, ny, nz) < 0 or not 0 <= mode < 128 or nsymbt < 0 or max(nx, ny) > 1 << 20:
        raise DataFileError(f"{path} is not an MRC file: its header says {nz} × {ny} × {nx}, mode {mode}")
    stamp, flags = int(words[IMOD_STAMP_AT // 4]), int(words[IMOD_FLAGS_AT // 4])
    return {
        "little": little,
        "nx": nx,
        "ny": ny,
        "nz": nz,
        "mode": mode,
        "mx": int(words[7]),
        "cell_x": float(real[10]),
        "nsymbt": nsymbt,
        "unsigned": stamp == IMOD_STAMP and not flags & IMOD_SIGNED_BIT,
    }


def write_mrc(path: str | os.PathLike[str], data: NDArray[Any], pixel_size: float, *, volume: bool) -> None:
    """Write an image stack (ISPG 0) or a volume (ISPG 1) in pieces, with ORIGIN 0 and correct statistics.

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
    """
    if data.ndim != 3 or data.size == 0:
        raise InputError(f"cannot write {path}: data of shape {data.shape}; three axes, none of them empty, are needed")
    step = max(1, BLOCK_BYTES // (data[0].size * 8))
    with mrc_writer(path, data.shape, _file_type(data), pixel_size, volume=volume) as put:
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

    Raises
    ------
    InputError
        Pixel size, or NaN or infinite values; also values that are infinite in the type of the file.
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
            with np.errstate(over="ignore"):  # said below
                block = np.ascontiguousarray(sections, dtype=kind)
            if kind.kind == "f" and not np.isfinite(block).all():
                raise InputError(f"cannot write {path}: NaN or infinite values")
            file.write(block.data)
            statistics.add(np.asarray(sections, np.float64))

        yield put
        if statistics.count != np.prod(shape, dtype=np.int64):
            raise InputError(f"cannot write {path}: {statistics.count} values were given, shape {shape} needs others")
        file.seek(0)
        file.write(_new_header(shape, kind, pixel_size, statistics, volume).tobytes())


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
    shape: tuple[int, ...], kind: np.dtype[Any], pixel_size: float, statistics: _Statistics, volume: bool
) -> NDArray[Any]:
    """Return the header of a little-endian file of ours: pixel size (Å), ORIGIN 0, statistics, and our label."""
    from mrcfile.dtypes import HEADER_DTYPE  # type: ignore[import-untyped]

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


def check_pixel_size(pixel_size: float) -> float:
    """Return `pixel_size` (Å) as a float; raise `InputError` when it is not a positive number."""
    value = float(pixel_size)
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"pixel size is {pixel_size} Å; a positive number is needed (e.g. --pixel-size 0.358)")
    return value


def write_map(path: str | os.PathLike[str], map: NDArray[Any], pixel_size: float) -> None:
    """Write a density map as a float32 MRC volume, ISPG 1 and ORIGIN 0.

    With ORIGIN 0 an atom at library position p (Å from the box centre) lies at p + (N//2)·pixel in viewers.

    Parameters
    ----------
    path
        Target ``.mrc``; written aside and renamed.
    map
        (z, y, x), any real type.
    pixel_size
        Å.

    Raises
    ------
    InputError
        Wrong shape, non-finite values or pixel size.
    DataFileError
        Not writable.
    """
    write_mrc(path, np.asarray(map, np.float32), pixel_size, volume=True)


def read_map(path: str | os.PathLike[str]) -> tuple[NDArray[np.float32], float]:
    """Read a density map.

    Parameters
    ----------
    path
        MRC volume.

    Returns
    -------
    map : ndarray
        (z, y, x) float32.
    pixel_size : float
        Å.

    Raises
    ------
    DataFileError
        Missing, truncated, non-finite, or without a pixel size.
    """
    source = MrcSource(Path(path))
    if source.pixel_size is None:
        raise DataFileError(f"{path} has no pixel size in its header; a map needs one")
    out = np.array(source.read(0, source.shape[0]), np.float32)
    if not np.isfinite(out).all():
        raise DataFileError(f"{path} holds NaN or infinite values")
    return out, source.pixel_size
