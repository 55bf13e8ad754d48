"""MRC2014 files: density maps, and writing that passes `mrcfile.validate`; frames are read by `mrc_read`.

Reference: Cheng et al. 2015, doi:10.1016/j.jsb.2015.04.002.
"""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import DataFileError, InputError
from single_rs.io.atomic import atomic
from single_rs.io.pixels import check_pixel_size, unlikely_pixel

__all__ = ["HeaderStatistics", "read_map", "write_map", "write_mrc"]

VOXEL_TOLERANCE = 1e-3  # relative; headers hold float32 edges, often rounded
ANGLE_TOLERANCE = 0.1  # degrees
PLACE_TOLERANCE = 1e-3  # voxels
BLOCK_BYTES = 1 << 25  # written and summed in pieces of 32 MB, so that no float64 copy of a stack is made

log = logging.getLogger(__name__)


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
    import mrcfile
    from mrcfile import utils

    if data.ndim != 3 or data.size == 0:
        raise InputError(f"cannot write {path}: data of shape {data.shape}; three axes, none of them empty, are needed")
    check_pixel_size(pixel_size)
    kind = _file_type(data)
    step = max(1, BLOCK_BYTES // (data[0].size * 8))
    statistics = HeaderStatistics()
    with atomic(path) as partial, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # mrcfile warns of what we set right below
        mode = utils.mode_from_dtype(kind)
        with mrcfile.new_mmap(partial, data.shape, mrc_mode=mode, overwrite=True) as mrc:
            for start in range(0, len(data), step):
                block = np.asarray(data[start : start + step])
                wide = block.astype(np.float64)
                if not np.isfinite(wide.sum()):
                    raise InputError(f"cannot write {path}: NaN or infinite values")
                mrc.data[start : start + step] = block
                statistics.add(wide)
            if volume:
                mrc.set_volume()
            else:
                mrc.set_image_stack()
            statistics.write(mrc, pixel_size)


class HeaderStatistics:
    """What the header says of the values of a file that is written in pieces, and of their place."""

    def __init__(self) -> None:
        self._low, self._high, self._sum, self._squares, self._count = np.inf, -np.inf, 0.0, 0.0, 0

    def add(self, block: NDArray[np.float64]) -> None:
        """Count in the values of one piece."""
        self._low, self._high = min(self._low, block.min()), max(self._high, block.max())
        self._sum += block.sum()
        self._squares += np.square(block).sum()
        self._count += block.size

    def write(self, mrc: Any, pixel_size: float) -> None:
        """Put statistics, pixel size (Å), ORIGIN 0 and our label into the header of an open `mrcfile` object."""
        mrc.voxel_size = float(pixel_size)
        mrc.header.origin = (0.0, 0.0, 0.0)
        mean = self._sum / self._count
        mrc.header.dmin, mrc.header.dmax, mrc.header.dmean = self._low, self._high, mean
        mrc.header.rms = np.sqrt(max(self._squares / self._count - mean**2, 0.0))
        # Labels hold a date by default; ours must be the same for the same input.
        mrc.header.label[0] = b"single_rs"
        mrc.header.nlabl = 1


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
    from single_rs.io.formats import open_mrc

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
    place = source.header.place
    if max(abs(v) for v in place) > PLACE_TOLERANCE * x:
        log.warning(
            "%s lies at (%.4g, %.4g, %.4g) Å by its header; positions are those in a map at 0, add this to overlay it",
            path, *place,
        )  # fmt: skip
    out = np.array(source.read(0, source.shape[0]), np.float32, order="C")
    if not np.isfinite(out).all():
        raise DataFileError(f"{path} holds NaN or infinite values")
    return out, source.pixel_size
