"""Which input a run was made of: every byte of it, without reading it twice.

The content is hashed while frames are read in their order for the first time (`single_rs.io.Movie.content`). A later
run compares size, time of change and inode of the files; where one differs, the content is hashed again, and it alone
decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from single_rs.base.errors import InputError

__all__ = ["InputFile", "InputRecord", "check_out", "input_files"]


@dataclass(frozen=True)
class InputFile:
    """A file of the input.

    Attributes
    ----------
    path
        As given.
    size, changed, inode
        Bytes, time of change in ns, and inode.
    """

    path: str
    size: int
    changed: int
    inode: int


@dataclass(frozen=True)
class InputRecord:
    """The input of a run.

    Attributes
    ----------
    path
        File or folder as given; ``None`` for an array.
    shape
        (n, y, x).
    pixel_size
        Å.
    files
        Its files as they were; empty for an array.
    content
        SHA-256 of type, shape and all pixels, and of what stands beside them (offsets, diameter); ``None`` while the
        frames were not read.
    reading
        What was asked for besides the whole file as it is: frames, region, binning, references, axis.
    """

    path: str | None
    shape: tuple[int, int, int]
    pixel_size: float
    files: tuple[InputFile, ...] = ()
    content: str | None = None
    reading: dict[str, Any] = field(default_factory=dict)

    def unchanged(self, other: InputRecord) -> bool:
        """Whether another record is of the same files, none of them changed."""
        same = self.files == other.files and self.shape == other.shape and self.reading == other.reading
        return bool(self.files) and same


def check_out(source: Path | None, out: Path) -> None:
    """Refuse a folder for results in which the input would find them as frames of its own."""
    if source is not None and source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise InputError(f"--out {out} lies in the folder of frames {source}; choose a folder beside it")


def input_files(paths: Iterable[Path]) -> tuple[InputFile, ...]:
    """Return size, time of change and inode of files; folders are given with all files in them."""
    found = []
    for path in paths:
        for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
            status = file.stat()
            found.append(InputFile(file.as_posix(), status.st_size, status.st_mtime_ns, status.st_ino))
    return tuple(found)
