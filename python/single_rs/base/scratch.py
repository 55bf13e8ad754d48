"""Arrays that are filled once, in order, and read in parts: in memory while they are small, else in a nameless file.

The file lies in the folder of `scratch_in`, or where the system keeps temporary files; it has no name, so that nothing
of it stays behind whatever ends the program (POSIX).
"""

from __future__ import annotations

import contextlib
import tempfile
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from single_rs.base.errors import WriteError

__all__ = ["ScratchArray", "scratch_in"]

IN_MEMORY = 128 * 2**20  # bytes; larger arrays go to a file

_folder: ContextVar[Path | None] = ContextVar("scratch folder", default=None)


@contextlib.contextmanager
def scratch_in(folder: Path) -> Iterator[None]:
    """Have scratch files made in a folder, on the disk that holds the results."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


class ScratchArray:
    """Array (n, y, x), written by `put` and read by `get` and `window`.

    Attributes
    ----------
    shape
        (n, y, x).
    dtype
        Type of its elements.
    """

    def __init__(self, shape: tuple[int, int, int], dtype: DTypeLike) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize
        self._values: NDArray[Any] | None = None
        self._file: Any = None
        if size <= IN_MEMORY:
            self._values = np.empty(shape, self.dtype)
        else:
            self._file = tempfile.TemporaryFile(buffering=0, dir=_folder.get())  # noqa: SIM115
            weakref.finalize(self, self._file.close)

    def __len__(self) -> int:
        """Return n."""
        return self.shape[0]

    def put(self, start: int, block: NDArray[Any]) -> None:
        """Write `block` (m, y, x) at index `start`."""
        if self._values is not None:
            self._values[start : start + len(block)] = block
            return
        _, rows, columns = self.shape
        data = np.ascontiguousarray(block, self.dtype).data.cast("B")
        try:
            self._file.seek(start * rows * columns * self.dtype.itemsize)
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            why = error.strerror or error
            raise WriteError(f"cannot write a temporary file: {why}; make room, or set TMPDIR") from None

    def get(self, start: int, stop: int, step: int = 1) -> NDArray[Any]:
        """Return the indices ``start:stop:step``, (m, y, x)."""
        if self._values is not None:
            return self._values[start:stop:step]
        chosen = range(start, min(stop, len(self)), step)
        if step == 1:
            return self._read(start, 0, len(chosen) * self.shape[1]).reshape(-1, *self.shape[1:])
        out = np.empty((len(chosen), *self.shape[1:]), self.dtype)
        for to, index in zip(out, chosen):
            to[:] = self._read(index, 0, self.shape[1])
        return out

    def rows(self, index: int, first: int, last: int) -> NDArray[Any]:
        """Return the rows ``first:last`` of one index, (rows, x)."""
        if self._values is not None:
            return self._values[index, first:last]
        return self._read(index, first, last - first)

    def _read(self, index: int, row: int, count: int) -> NDArray[Any]:
        """Return `count` rows from `row` of `index` on, (count, x)."""
        columns = self.shape[2]
        out = np.empty((count, columns), self.dtype)
        self._file.seek((index * self.shape[1] + row) * columns * self.dtype.itemsize)
        data = out.data.cast("B")
        while data:
            read = self._file.readinto(data)
            if not read:
                raise WriteError("a temporary file is shorter than what was written; is the disk full?")
            data = data[read:]
        return out
