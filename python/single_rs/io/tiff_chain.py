"""The chain of pages of a TIFF file, checked to its end: what a reader that stops at the first failure does not tell.

A file is a chain of tag lists, each with the place of the next one, 0 at the end (TIFF 6.0, Adobe 1992; BigTIFF has
8-byte places). A copy that was cut holds a place beyond its end: of a tag list, of values, or of image data.
"""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from single_rs.base.errors import DataFileError

__all__ = ["Page", "Pages", "read_pages"]

WIDTH, HEIGHT, BITS, PHOTOMETRIC = 256, 257, 258, 262
STRIPS, SAMPLES, STRIP_SIZES = 273, 277, 279
TILES, TILE_SIZES, FORMAT = 324, 325, 339
COLOURS = {2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "CIELab"}  # values of PhotometricInterpretation
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
READ = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # types of whole numbers
WANTED = {
    WIDTH,
    HEIGHT,
    BITS,
    PHOTOMETRIC,
    STRIPS,
    SAMPLES,
    STRIP_SIZES,
    TILES,
    TILE_SIZES,
    FORMAT,
}
LARGEST_COUNT = 1 << 24  # values of one tag that are read; no frame has as many strips
TAIL = 64  # bytes behind the last page that may be padding

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """Shape (y, x), samples per pixel, bits and format of one sample, colour or ``None`` for grey."""

    shape: tuple[int, int]
    samples: int
    bits: int
    format: int
    colour: str | None


@dataclass(frozen=True)
class Pages:
    """All pages in the order of the file, and the bytes behind the last one that belong to none."""

    pages: list[Page]
    tail: int


def read_pages(path: Path, growing: bool = False) -> Pages:
    """Return the pages of a TIFF file; of a `growing` one those that are whole.

    Raises
    ------
    DataFileError
        Not TIFF, or cut: a place in it is beyond its end.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or len(head) < 8:
            raise DataFileError(f"cannot read {path} as TIFF: it begins with other bytes")
        (version,) = struct.unpack(order + "H", head[2:4])
        if version not in (42, 43) or (version == 43 and len(head) < 16):
            raise DataFileError(f"cannot read {path} as TIFF: version {version}")
        chain = _Chain(path, file, size, order, version == 43)
        (first,) = struct.unpack(order + "Q", head[8:16]) if version == 43 else struct.unpack(order + "I", head[4:8])
        try:
            return chain.follow(first)
        except DataFileError:
            if not growing or not chain.pages:
                raise
        log.warning("%s: %d pages are whole and are read, the next one is not yet", path, len(chain.pages))
        return Pages(chain.pages, 0)


class _Chain:
    """One open file and its byte order."""

    def __init__(self, path: Path, file: BinaryIO, size: int, order: str, big: bool) -> None:
        self.path, self.file, self.size, self.order = path, file, size, order
        self.count, self.entry, self.place = ("Q", 20, "Q") if big else ("H", 12, "I")
        self.pages: list[Page] = []
        self.end = 0

    def follow(self, place: int) -> Pages:
        """Read the tag lists from `place` on to the end of the chain."""
        seen = set()
        while place:
            if place in seen:
                raise DataFileError(f"{self.path}: the chain of its pages runs in a circle; write the file again")
            seen.add(place)
            place = self._tags(place)
        if not self.pages:
            raise DataFileError(f"{self.path} holds no images")
        return Pages(self.pages, max(self.size - self.end, 0) if self.size - self.end > TAIL else 0)

    def _cut(self, stop: int) -> DataFileError:
        if not self.pages:
            return DataFileError(
                f"cannot read {self.path}: its first page reaches to byte {stop:,} of {self.size:,}; copy it again"
            )
        return DataFileError(
            f"{self.path} is truncated: page {len(self.pages) + 1} reaches to byte {stop:,} of {self.size:,}; "
            f"{len(self.pages)} pages are whole; copy it again"
        )

    def _bytes(self, start: int, length: int) -> bytes:
        """Return bytes that must be there."""
        if start + length > self.size:
            raise self._cut(start + length)
        self.end = max(self.end, start + length)
        self.file.seek(start)
        return self.file.read(length)

    def _tags(self, place: int) -> int:
        """Read one tag list, check that its data are in the file, and return the place of the next list."""
        width = struct.calcsize(self.order + self.count)
        (number,) = struct.unpack(self.order + self.count, self._bytes(place, width))
        if number > 4096:
            raise DataFileError(f"cannot read {self.path}: page {len(self.pages) + 1} has {number} tags; it is broken")
        inline = struct.calcsize(self.order + self.place)
        raw = self._bytes(place + width, number * self.entry + inline)
        values: dict[int, tuple[int, ...]] = {}
        for k in range(number):
            entry = raw[k * self.entry : (k + 1) * self.entry]
            tag, kind, count = struct.unpack(self.order + "HH" + self.place, entry[: 4 + inline])
            length = SIZES.get(kind, 0) * count
            content = entry[4 + inline :][:length]
            if length > inline:
                (where,) = struct.unpack(self.order + self.place, entry[4 + inline :])
                if where + length > self.size:
                    raise self._cut(where + length)
                self.end = max(self.end, where + length)
                if tag in WANTED and kind in READ and count <= LARGEST_COUNT:
                    content = self._bytes(where, length)
            if tag in WANTED and kind in READ and count <= LARGEST_COUNT:
                values[tag] = struct.unpack(f"{self.order}{count}{READ[kind]}", content)
        self._check_data(values)
        self.pages.append(self._page(values))
        (following,) = struct.unpack(self.order + self.place, raw[number * self.entry :])
        if following >= self.size:
            raise self._cut(following)
        return int(following)

    def _check_data(self, values: dict[int, tuple[int, ...]]) -> None:
        """Raise `DataFileError` when strips or tiles reach beyond the end of the file."""
        for places, lengths in ((STRIPS, STRIP_SIZES), (TILES, TILE_SIZES)):
            starts, sizes = values.get(places, ()), values.get(lengths, ())
            if len(starts) != len(sizes) and sizes:
                raise DataFileError(
                    f"{self.path}: page {len(self.pages) + 1} has {len(starts)} strips of {len(sizes)} sizes"
                )
            for start, size in zip(starts, sizes, strict=False):
                if start + size > self.size:
                    raise self._cut(start + size)
                self.end = max(self.end, start + size)

    def _page(self, values: dict[int, tuple[int, ...]]) -> Page:
        """Return what the tags say of the image."""

        def one(tag: int, default: int) -> int:
            return int(values[tag][0]) if values.get(tag) else default

        if WIDTH not in values or HEIGHT not in values:
            raise DataFileError(f"cannot read {self.path}: page {len(self.pages) + 1} has no size")
        colour = COLOURS.get(one(PHOTOMETRIC, 1))
        return Page((one(HEIGHT, 0), one(WIDTH, 0)), one(SAMPLES, 1), one(BITS, 1), one(FORMAT, 1), colour)
