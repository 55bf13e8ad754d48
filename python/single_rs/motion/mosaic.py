"""The parts of a large field that register its motion, kept from the statistics pass and read again from there.

A field of up to `WHOLE` parts an axis is kept whole, or read from the movie where that costs nothing. Of a larger one,
`patches` × `patches` squares spread over it, and the middle one for the first trajectory, are set side by side.
Where the specimen drifts farther than the margin of a square, the squares are cut again along the first trajectory.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from single_rs.base.progress import Progress
from single_rs.base.scratch import ScratchArray
from single_rs.frames.blocks import block_ranges, native, read_ahead

__all__ = ["PART", "TILE", "Layout", "Parts", "layout"]

TILE = 256
"""Edge, px, of the tiles that register the drift of a large field."""
MARGIN = 48
"""Drift, px, that a part holds on each side of its tile."""
PART = TILE + 2 * MARGIN
WHOLE = 3
"""A field up to this many parts wide is kept whole."""


@dataclass(frozen=True)
class Layout:
    """How the parts lie in the field.

    Attributes
    ----------
    shape : (y, x) px of the field.
    starts : for y and x, the first pixel of each part; None where the axis is whole.
    tiles : for y and x, which of the parts have tiles of the final trajectory.
    followed : (n, 2) int px (x, y), by how much the parts of each frame were moved; None: not at all.
    """

    shape: tuple[int, int]
    starts: tuple[np.ndarray | None, np.ndarray | None]
    tiles: tuple[np.ndarray, np.ndarray]
    followed: np.ndarray | None = field(default=None, repr=False)

    @property
    def whole(self) -> bool:
        """Whether the parts are the field."""
        return self.starts[0] is None and self.starts[1] is None

    @property
    def size(self) -> tuple[int, int]:
        """(y, x) px of the parts side by side."""
        y, x = (n if s is None else PART * len(s) for n, s in zip(self.shape, self.starts))
        return y, x

    def cut(self, block: np.ndarray, first: int) -> np.ndarray:
        """Return the parts of frames (m, y, x) from number `first` on; of an image (y, x) where none is followed."""
        if self.whole:
            return block
        if self.followed is None:
            return self._cut(block, (0, 0))
        moves = self.followed[first : first + len(block)]
        return np.stack([self._cut(frame, (int(x), int(y))) for frame, (x, y) in zip(block, moves)])

    def _cut(self, block: np.ndarray, move: tuple[int, int]) -> np.ndarray:
        for axis, starts, by in ((-2, self.starts[0], move[1]), (-1, self.starts[1], move[0])):
            if starts is not None:
                index = (starts[:, None] + np.arange(PART) + by).ravel()
                block = np.take(block, index, axis=axis)
        return block

    def following(self, shifts: np.ndarray) -> Layout:
        """Return parts that move with the specimen, placed where they stay in the field; shifts (n, 2) px (x, y)."""
        moves = np.rint(shifts).astype(np.int64)
        starts: list[np.ndarray | None] = []
        for n, old, move in zip(self.shape, self.starts, moves.T[::-1]):
            if old is None:
                move[:] = 0
                starts.append(None)
                continue
            first, last = int(max(-move.min(), 0)), int(n - PART - max(move.max(), 0))
            if last < first:
                first = last = (n - PART) // 2
                np.clip(move, -first, n - PART - last, out=move)
            starts.append(np.rint(np.linspace(first, last, len(old))).astype(np.int64))
        return replace(self, starts=(starts[0], starts[1]), followed=moves)

    def drifts_away(self, shifts: np.ndarray) -> bool:
        """Tell whether the specimen leaves the margins of parts that stand still."""
        far = np.abs(shifts).max(axis=0)
        return any(s is not None and far[axis] > MARGIN for axis, s in ((1, self.starts[0]), (0, self.starts[1])))


def layout(shape: tuple[int, int], patches: int) -> Layout:
    """Place parts for `patches` tiles along each axis of a field (y, x)."""
    count = patches + 1 - patches % 2
    starts: list[np.ndarray | None] = []
    for n in shape:
        if n <= max(WHOLE, count) * PART:
            starts.append(None)
            continue
        spread = np.linspace(0, n - PART, patches) if patches > 1 else np.array([(n - PART) / 2])
        middle = [] if patches % 2 else [(n - PART) / 2]
        starts.append(np.rint(np.sort([*spread, *middle])).astype(np.int64))
    chosen = np.array([i for i in range(count) if patches % 2 or i != count // 2])
    return Layout(shape, (starts[0], starts[1]), (chosen, chosen))


class Parts:
    """The parts of all frames, in the type of the file, as a movie (n, y, x) of their own."""

    def __init__(self, movie: Any, where: Layout) -> None:
        self.where = where
        self._kept = ScratchArray((movie.shape[0], *where.size), native(movie.read(0, 1)).dtype)

    def keep(self, start: int, block: np.ndarray) -> None:
        """Keep the parts of a block of whole frames."""
        self._kept.put(start, self.where.cut(block, start))

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the parts of frames ``start:stop``."""
        return self._kept.get(start, stop)

    @classmethod
    def again(cls, movie: Any, where: Layout, progress: Progress | None) -> Parts:
        """Cut the parts in a pass of its own."""
        parts = cls(movie, where)
        for start, stop, block in read_ahead(movie, block_ranges(movie), whole=False):
            parts.keep(start, block)
            if progress:
                progress("motion: following the drift", stop, movie.shape[0])
        return parts
