"""The frames of a movie, block by block; the next block is read while the caller works on this one."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import InputError
from single_rs.records.track import MovieLike

__all__ = ["block_ranges", "is_view", "native", "read_ahead"]

BLOCK_BYTES = 64 * 2**20  # of one block in the type of the file; three are held
LONGEST = 64  # frames
# Types that the kernels take as they are.
NATIVE = ("i1", "u1", "i2", "u2", "f4")


def native(block: NDArray[Any]) -> NDArray[Any]:
    """Return frames (m, y, x), contiguous, in their type where the kernels know it and in float32 where not."""
    if block.ndim != 3:
        raise InputError(f"movie.read gave an array of shape {block.shape}; (frames, y, x) is needed")
    kind = block.dtype.newbyteorder("=")
    return np.ascontiguousarray(block, kind if kind.str[1:] in NATIVE else np.float32)


def block_ranges(movie: MovieLike) -> list[tuple[int, int]]:
    """Return (start, stop) of consecutive blocks of the movie, each an even number of frames unless one is large.

    Parameters
    ----------
    movie
        Its shape, and its type where it says it.
    """
    n, rows, columns = movie.shape
    size = np.dtype(getattr(movie, "dtype", np.float32)).itemsize
    step = max(1, min(LONGEST, BLOCK_BYTES // (rows * columns * size) // 2 * 2))
    return [(start, min(start + step, n)) for start in range(0, n, step)]


def is_view(movie: MovieLike) -> bool:
    """Tell whether reading gives views of what is there, an array or a mapped file, and decodes nothing."""
    return np.shares_memory(movie.read(0, 1), movie.read(0, 1))


def read_ahead(
    movie: MovieLike, ranges: Sequence[tuple[int, int]], whole: bool = True
) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """Yield (start, stop, frames) for each range, in order, while a thread reads the next one.

    Parameters
    ----------
    movie
        Read by that thread alone as long as the iteration goes on.
    ranges
        (start, stop) frames.
    whole
        Whether all pixels are needed: they are read into memory. If not, a mapped file is read where it is looked at.
    """

    def read(start: int, stop: int) -> tuple[NDArray[Any], NDArray[Any]]:
        source = movie.read(start, stop)
        if not whole:
            return source, source
        block = native(source)
        # A view of a mapped file would be read by whoever looks at it, and count as memory until it is let go.
        return source, block.copy() if np.shares_memory(block, source) and _mapping(source) is not None else block

    with ThreadPoolExecutor(1, thread_name_prefix="read ahead") as reader:
        coming = None
        try:
            for i, (start, stop) in enumerate(ranges):
                source, block = (coming or reader.submit(read, start, stop)).result()
                coming = reader.submit(read, *ranges[i + 1]) if i + 1 < len(ranges) else None
                if whole:
                    _let_go(source)
                yield start, stop, block
                if not whole:
                    _let_go(source)
        finally:
            if coming is not None:
                coming.cancel()


def _mapping(block: NDArray[Any]) -> mmap.mmap | None:
    """Return the mapped file that an array is a view of."""
    base: Any = block
    while base is not None:
        if isinstance(base, mmap.mmap):
            return base
        base = getattr(base, "base", None)
    return None


def _let_go(block: NDArray[Any]) -> None:
    """Tell the system that the pages of a mapped file are not needed; they stay in its cache and count as free."""
    mapping = _mapping(block)
    if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
        with contextlib.suppress(OSError, ValueError):
            mapping.madvise(mmap.MADV_DONTNEED)
