"""Frames as `Reading` asks for them: corrected, cut, binned and summed while they are read, block by block."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import InputError
from single_rs.base.reading import Reading
from single_rs.io.references import read_references
from single_rs.io.source import FrameSource

__all__ = ["CorrectedSource"]

READ_BYTES = 1 << 25  # of frames of the file that are held at once while they are summed

log = logging.getLogger(__name__)


class CorrectedSource:
    """The frames of another source after its corrections; attributes of `FrameSource`."""

    def __init__(self, source: FrameSource, path: Path, reading: Reading) -> None:
        """Check that what is asked for is in the file."""
        self._source, self._bin, self._group = source, reading.bin, reading.group
        count, rows, columns = source.shape
        self._first, last = reading.first_and_last(count)
        self._part = reading.rows_and_columns(rows, columns)
        size = [s.stop - s.start for s in self._part]
        self.shape = ((last - self._first) // self._group, size[0] // self._bin, size[1] // self._bin)
        if min(self.shape) < 1:
            raise InputError(
                f"{path} has {last - self._first} frames of {size[0]} × {size[1]} px here; --group {self._group} and "
                f"--bin {self._bin} leave nothing of it"
            )
        if left := (last - self._first) % self._group:
            log.warning(
                "%s: the last %d of %d frames make no whole group and are left out", path, left, last - self._first
            )
        self._references = read_references(source, path, reading)
        self.dtype = self._type(source.dtype)
        self.pixel_size = None if source.pixel_size is None else source.pixel_size * self._bin
        self.pixel_aspect = source.pixel_aspect

    def _type(self, file: np.dtype[Any]) -> np.dtype[Any]:
        """Return a type that holds sums of values of the file exactly, else float32."""
        added = self._bin**2 * self._group
        if self._references is not None:
            return np.dtype(np.float32)
        if added == 1:
            return file.newbyteorder("=")
        wide = np.dtype(np.int16 if file.kind == "i" else np.uint16)
        small = file.kind in "iub" and file.itemsize == 1
        largest = 1 if file.kind == "b" else 128 if file.kind == "i" else 255
        return wide if small and largest * added <= np.iinfo(wide).max else np.dtype(np.float32)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start:stop``, (m, y, x); counted after the corrections."""
        if self._references is None and self._bin == 1 and self._group == 1:
            block = self._source.read(self._first + start, self._first + stop)[:, *self._part]
            return np.asarray(block, self.dtype)
        out = np.empty((stop - start, *self.shape[1:]), self.dtype)
        one = int(np.prod(self._source.shape[1:])) * 4
        most = max(1, READ_BYTES // one)
        for k in range(stop - start):
            total = np.zeros(self.shape[1:], self.dtype)
            begin = self._first + (start + k) * self._group
            for at in range(begin, begin + self._group, most):
                total += self._added(self._source.read(at, min(at + most, begin + self._group)))
            out[k] = total
        return out

    def _added(self, block: NDArray[Any]) -> NDArray[Any]:
        """Return the sum of corrected frames, binned."""
        block = block[:, *self._part]
        if self._references is not None:
            block = self._references.apply(block, self._part)
        _, y, x = self.shape
        b = self._bin
        whole = block[:, : y * b, : x * b].reshape(len(block), y, b, x, b)
        return np.asarray(whole.sum(axis=(0, 2, 4), dtype=self.dtype))
