"""Headers and frames of MRC2014 files, memory-mapped, with the size checked first.

Modes 0 (bytes), 1 (int16), 2 (float32), 6 (uint16), 12 (float16) and 101 (4 bits) hold real images. Bytes are signed
in MRC2014 and unsigned in much of what is written: IMOD's stamp tells, else the extrema in the header, else the
values. Two 4-bit values in a byte, the first in its low half, are mode 101 or IMOD's flag 16 on bytes of half width.
mapc, mapr, maps say which axis of space runs fastest; arrays are given back as (z, y, x).
References: Cheng et al. 2015, doi:10.1016/j.jsb.2015.04.002; https://bio3d.colorado.edu/imod/doc/mrc_format.txt.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import DataFileError, InputError

__all__ = ["MrcHeader", "MrcSource"]

HEADER_BYTES = 1024  # MRC2014, fixed part of the header
MODES: dict[int, str] = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2", 101: "u1"}
KNOWN_MODES = {*MODES, 3, 4, 16}  # the others are complex or colour
FOUR_BIT_MODE = 101
IMOD_STAMP = 1146047817  # "IMOD" as int32
IMOD_SIGNED, IMOD_FOUR_BITS = 1, 16  # bits of IMOD's flags
LARGEST_EDGE = 1 << 20  # px; no detector comes near
SAMPLED_FRAMES = 8  # looked at where nothing but the values tells the sign of bytes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MrcHeader:
    """What an MRC header says that matters for reading; names are those of MRC2014, sizes in (x, y, z) or file order.

    Attributes
    ----------
    order
        "<" or ">".
    shape
        Numbers of columns, rows and sections.
    mode, extended
        Mode; bytes between header and data.
    start, intervals, cell, angles
        nstart in file order; intervals, edges (Å) and angles (degrees) of the cell on x, y, z.
    axes
        mapc, mapr, maps: the axis of space, 1 to 3, of columns, rows and sections.
    extrema
        dmin, dmax.
    origin
        Å on x, y, z.
    stamped, flags
        Whether IMOD's stamp is there, and its flags.
    """

    order: str
    shape: tuple[int, int, int]
    mode: int
    extended: int
    start: tuple[int, int, int]
    intervals: tuple[int, int, int]
    cell: tuple[float, float, float]
    angles: tuple[float, float, float]
    axes: tuple[int, int, int]
    extrema: tuple[float, float]
    origin: tuple[float, float, float]
    stamped: bool
    flags: int

    @classmethod
    def parse(cls, raw: bytes, order: str) -> MrcHeader:
        """Return the header in the first 1024 bytes of a file, read in one byte order."""
        words, real = np.frombuffer(raw, order + "i4"), np.frombuffer(raw, order + "f4")

        def whole(first: int) -> tuple[int, int, int]:
            x, y, z = (int(v) for v in words[first : first + 3])
            return x, y, z

        def numbers(first: int) -> tuple[float, float, float]:
            x, y, z = (float(v) for v in real[first : first + 3])
            return x, y, z

        return cls(
            order=order,
            shape=whole(0),
            mode=int(words[3]),
            extended=int(words[23]),
            start=whole(4),
            intervals=whole(7),
            cell=numbers(10),
            angles=numbers(13),
            axes=whole(16),
            extrema=(float(real[19]), float(real[20])),
            origin=numbers(49),
            stamped=int(words[38]) == IMOD_STAMP,
            flags=int(words[39]) if int(words[38]) == IMOD_STAMP else 0,
        )

    @property
    def four_bits(self) -> bool:
        """Whether a byte holds two values."""
        return self.mode == FOUR_BIT_MODE or (self.mode == 0 and bool(self.flags & IMOD_FOUR_BITS))

    @property
    def columns(self) -> int:
        """Pixels in a row; IMOD's packed bytes say half of them."""
        return self.shape[0] * (2 if self.four_bits and self.mode == 0 else 1)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        if self.four_bits:
            return (self.columns + 1) // 2
        return self.columns * np.dtype(MODES.get(self.mode, "u1")).itemsize

    @property
    def frame_bytes(self) -> int:
        """Bytes of a section."""
        return self.row_bytes * self.shape[1]

    @property
    def offset(self) -> int:
        """First byte of the data."""
        return HEADER_BYTES + self.extended

    def possible(self, size: int) -> bool:
        """Whether the header can be that of a file of `size` bytes, to the byte order of its words."""
        columns, rows, sections = self.shape
        return (
            min(columns, rows, sections) >= 0
            and max(columns, rows) <= LARGEST_EDGE
            and self.mode in KNOWN_MODES
            and 0 <= self.extended <= size
        )

    @property
    def voxel(self) -> tuple[float, float, float]:
        """Å per voxel on x, y, z; 0 where the header does not say."""
        x, y, z = (
            edge / count if count > 0 and np.isfinite(edge) and edge > 0 else 0.0
            for edge, count in zip(self.cell, self.intervals, strict=True)
        )
        return x, y, z

    @property
    def place(self) -> tuple[float, float, float]:
        """Å from the origin of space to voxel 0 on x, y, z: ORIGIN, or where that is 0, nstart · voxel."""
        if any(self.origin):
            return self.origin
        order = self.axes if sorted(self.axes) == [1, 2, 3] else (1, 2, 3)
        x, y, z = (self.start[order.index(k + 1)] * self.voxel[k] for k in range(3))
        return x, y, z


def _read_header(path: Path, file: BinaryIO, size: int) -> MrcHeader:
    """Return the header of an open file; raise `DataFileError` when it is none."""
    raw = file.read(HEADER_BYTES)
    if len(raw) < HEADER_BYTES:
        raise DataFileError(f"{path} is truncated: {len(raw)} bytes, an MRC header alone has {HEADER_BYTES}")
    heads = [MrcHeader.parse(raw, order) for order in "<>"]
    fitting = [h for h in heads if h.possible(size)]
    if not fitting:
        columns, rows, sections = heads[0].shape
        said = f"{sections} × {rows} × {columns}, mode {heads[0].mode}"
        raise DataFileError(f"{path} is not an MRC file: its header says {said}; give MRC, or rename the file")
    # A mode of 0 and small sizes can be read in both orders: then the data must fit, and last the stamp decides.
    whole = [h for h in fitting if h.offset + h.frame_bytes * h.shape[2] <= size and min(h.shape) > 0]
    stamped = [h for h in whole or fitting if h.order == (">" if raw[212] == 0x11 else "<")]
    return (stamped or whole or fitting)[0]


class MrcSource:
    """Frames of an MRC file, memory-mapped.

    Attributes
    ----------
    shape, dtype
        (n, y, x) and type in the file.
    pixel_size, pixel_aspect
        Å on x, or ``None`` when the header does not say; y over x.
    header
        The header.
    """

    def __init__(self, path: Path, file: BinaryIO | None = None, growing: bool = False) -> None:
        """Open `path`; `file` holds its bytes where the file itself is compressed.

        Of a `growing` file all frames are read that are whole, whatever its header says of their number.
        """
        try:
            with open(path, "rb") as opened:
                stream = file or opened
                size = os.fstat(stream.fileno()).st_size
                stream.seek(0)
                head = _read_header(path, stream, size)
                self._map(path, stream, head, size, growing)
        except OSError as error:
            if isinstance(error, DataFileError):
                raise
            raise DataFileError(f"cannot read {path}: {error.strerror or error}") from None
        self.header = head
        x, y, _ = head.voxel
        # The header holds float32; six digits give back the number that was meant. 1 Å exactly is what many programs
        # write when they do not know.
        self.pixel_size: float | None = float(f"{x:.6g}") if x > 0 and abs(x - 1) > 1e-6 else None
        self.pixel_aspect = y / x if x > 0 and y > 0 else 1.0

    def _map(self, path: Path, file: BinaryIO, head: MrcHeader, size: int, growing: bool) -> None:
        """Check the size and map the data."""
        if head.mode not in MODES:
            kind = "colour" if head.mode == 16 else "complex numbers"
            raise DataFileError(
                f"{path} has MRC mode {head.mode} ({kind}); accepted: {', '.join(map(str, MODES))} (real images)"
            )
        rows, sections = head.shape[1:]
        if growing and min(head.shape[:2]) > 0:
            said, sections = sections, max(size - head.offset, 0) // head.frame_bytes
            if said != sections:
                log.warning("%s: %d frames are whole and are read; its header says %d", path, sections, said)
        elif sections == 0 and min(head.shape[:2]) > 0 and size - head.offset >= head.frame_bytes:
            sections = (size - head.offset) // head.frame_bytes
            log.warning("%s: its header says no frames yet; the %d that are whole are read", path, sections)
        if min(*head.shape[:2], sections) < 1:
            raise DataFileError(f"{path} is empty: its header says {(sections, rows, head.shape[0])} (frames, y, x)")
        need = head.offset + head.frame_bytes * sections
        if size < need:
            raise DataFileError(
                f"{path} is truncated: {size:,} bytes where its header ({sections} frames of "
                f"{rows} × {head.columns}) needs {need:,}; {max(size - head.offset, 0) // head.frame_bytes} frames are "
                "whole; copy it again"
            )
        if more := (size - need) // head.frame_bytes:
            log.warning("%s holds %d frames more than the %d its header says; they are not read", path, more, sections)
        if sorted(head.axes) != [1, 2, 3]:
            if any(head.axes):
                raise DataFileError(
                    f"{path}: axes (mapc, mapr, maps) are {head.axes}; a permutation of 1 2 3 is needed"
                )
            turn = (0, 1, 2)
        else:
            # Array axis k of (z, y, x) is the file's axis whose map number is 3 - k.
            stored = head.axes[::-1]
            turn = (stored.index(3), stored.index(2), stored.index(1))
        self._packed = head.columns if head.four_bits else 0
        if self._packed:
            if turn != (0, 1, 2):
                raise InputError(f"{path}: 4-bit values with axes {head.axes}; write it as bytes (newstack -mode 0)")
            if head.flags & IMOD_SIGNED:
                raise InputError(f"{path}: IMOD's flags say 4-bit values and signed bytes at once; write it as bytes")
        kind = "u1" if self._packed else head.order + MODES[head.mode]
        columns = head.row_bytes if self._packed else head.columns
        data: NDArray[Any] = np.memmap(file, np.dtype(kind), "r", head.offset, (sections, rows, columns))
        if head.mode == 0 and not self._packed and _unsigned(path, head, data):
            data = data.view(np.uint8)
        self._data = data.transpose(turn)
        self.dtype = data.dtype
        n, y, x = (int(s) for s in self._data.shape)
        self.shape = (n, y, self._packed or x)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start:stop``, (m, y, x) in the type of the file."""
        block = self._data[start:stop]
        if not self._packed:
            return block
        out = np.empty((*block.shape[:2], 2 * block.shape[2]), np.uint8)
        out[..., 0::2], out[..., 1::2] = block & 15, block >> 4
        return out[..., : self._packed]


def _unsigned(path: Path, head: MrcHeader, data: NDArray[np.int8]) -> bool:
    """Whether the bytes of a file of mode 0 count from 0 to 255."""
    if head.stamped:
        return not head.flags & IMOD_SIGNED
    low, high = head.extrema
    if low < 0 <= high <= 127:
        return False
    if low >= 0 and 127 < high <= 255:
        return True
    picked = data[np.unique(np.linspace(0, len(data) - 1, SAMPLED_FRAMES).astype(int))]
    if picked.min() >= 0:
        return False
    # The wrong sign cuts the distribution of values in two and puts the parts at the ends: its variance is larger.
    answer = bool(np.var(picked.view(np.uint8), dtype=np.float64) < np.var(picked, dtype=np.float64))
    log.warning(
        "%s does not say whether its bytes are signed; its values look %s", path, "unsigned" if answer else "signed"
    )
    return answer
