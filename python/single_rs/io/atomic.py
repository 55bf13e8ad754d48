"""Files that are either complete or absent, and the room they need.

A writer works on ``name.PID-RANDOM.partial.ext`` beside the target, so that two processes never share a file; its bytes
are on the disk before it takes the name. A rename within one folder is atomic on every file system we run on (POSIX
rename(2)), so a reader sees the old file or the new one, never half of one, after a power cut as well.

Files are written with ``write``, never through a memory map: where no block is left, the one raises ENOSPC and the
other ends the process with SIGBUS. Nor by a library that writes without looking (`numpy.save` of a small array, gemmi).
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import DataFileError, InputError, WriteError
from single_rs.base.paths import user_path
from single_rs.base.stop import at_stop

__all__ = [
    "atomic",
    "atomic_binary",
    "atomic_text",
    "remove_partials",
    "require_space",
    "writable_folder",
    "write_array",
    "write_text",
]

PARTIAL = re.compile(r".*\.\d+-[0-9a-f]{8}\.partial(\.[^.]*)?")
# posix_fallocate where the file system cannot (POSIX and Linux name it differently): the writing itself will tell.
NO_RESERVE = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.ENODEV)


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` on success, remove it on failure.

    The suffix is kept (``map.mrc`` → ``map.71-0a1b2c3d.partial.mrc``), so writers that choose a format by it
    still work.

    Parameters
    ----------
    path
        The file to be written. Its folder must exist.

    Raises
    ------
    WriteError
        When the file cannot be written; the message names it.
    """
    target = Path(path)
    partial = _partial(target)

    def remove() -> None:
        # After the rename nothing is left of this name; after a failure half a file may be.
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)

    try:
        with at_stop(remove):
            yield partial
            _to_disk(partial, os.O_RDWR)  # Windows syncs only what could be written
            os.replace(partial, target)
        with contextlib.suppress(OSError):  # some file systems have no fsync of folders
            _to_disk(target.parent, os.O_RDONLY)
    except DataFileError:
        raise
    except OSError as error:
        raise WriteError(f"cannot write {target}: {error.strerror or error}; check the folder and free space") from None
    finally:
        remove()


def _partial(target: Path) -> Path:
    return target.with_name(f"{target.stem}.{os.getpid()}-{secrets.token_hex(4)}.partial{target.suffix}")


def _to_disk(path: Path, how: int) -> None:
    """Have the system write a file, or the names in a folder, to the disk (fsync(2))."""
    number = os.open(path, how)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextlib.contextmanager
def atomic_text(path: str | os.PathLike[str], encoding: str = "utf-8") -> Iterator[TextIO]:
    """Give an open text file with LF line ends that takes the name `path` when all of it is written, as `atomic` does.

    Parameters
    ----------
    path
        The file to be written. Its folder must exist.
    encoding
        "ascii" for programs that read nothing else.

    Raises
    ------
    WriteError
        When the file cannot be written; the message names it.
    """
    # Bytes of a file name that are not UTF-8 can stand in a text; nothing else is not encodable.
    errors = "backslashreplace" if encoding == "utf-8" else "strict"
    with atomic(path) as partial, open(partial, "w", encoding=encoding, errors=errors, newline="\n") as file:
        yield file


@contextlib.contextmanager
def atomic_binary(path: str | os.PathLike[str], size: int = 0) -> Iterator[BinaryIO]:
    """Give an open binary file that takes the name `path` when all of it is written, as `atomic` does.

    Parameters
    ----------
    path
        The file to be written. Its folder must exist.
    size
        Bytes that it will have, when known: the room is reserved first, so that a full disk is reported before the
        work.

    Raises
    ------
    WriteError
        When the file cannot be written, or its room not be reserved; the message names it.
    """
    with atomic(path) as partial, open(partial, "wb") as file:
        if size and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                if error.errno not in NO_RESERVE:
                    raise
        yield file


def write_text(path: str | os.PathLike[str], text: str, encoding: str = "utf-8") -> None:
    """Write a text with LF line ends, whole or not at all; parameters and errors as of `atomic_text`."""
    with atomic_text(path, encoding) as file:
        file.write(text)


def write_array(path: str | os.PathLike[str], array: NDArray[np.generic]) -> None:
    """Write an array as ``.npy``, whole or not at all; errors as of `atomic_binary`.

    `numpy.save` hands a real file to C's stdio and does not look whether its last bytes found room.
    """
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    with atomic_binary(path, buffer.getbuffer().nbytes) as file:
        file.write(buffer.getbuffer())


def require_space(folder: str | os.PathLike[str], size: int) -> None:
    """Raise when the file system of `folder` has less room than `size`; quotas are not seen.

    Parameters
    ----------
    folder
        Folder; it need not exist yet.
    size
        Bytes.

    Raises
    ------
    WriteError
        Too little room; the message says how much there is and how much is needed.
    """
    place = Path(folder).absolute()
    place = next(p for p in (place, *place.parents) if p.exists())
    free = shutil.disk_usage(place).free
    if free < size:
        raise WriteError(
            f"{folder} has {_in_units(free)} of free space, {_in_units(size)} are needed; make room, or choose another "
            "folder with --out"
        )


def _in_units(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def remove_partials(folder: str | os.PathLike[str], spared: Path | None = None) -> list[Path]:
    """Remove what killed processes left half written in `folder` and below, but in `spared`; return the files.

    Only for who holds the lock of the folder: a file of a process that still writes is half written too.
    """
    found = [p for p in sorted(Path(folder).rglob("*.partial*")) if PARTIAL.fullmatch(p.name) and p.is_file()]
    found = [p for p in found if spared is None or not p.is_relative_to(spared)]
    for path in found:
        with contextlib.suppress(OSError):
            path.unlink()
    return found


def writable_folder(path: str | os.PathLike[str]) -> Path:
    """Make the folder `path` if needed and prove that a file can be written there.

    Parameters
    ----------
    path
        Folder; parents are made as well.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        An empty name, which would be the current folder.
    WriteError
        When it cannot be made or written, before any work is done. Folders made on the way are removed.
    """
    if not os.fspath(path):
        raise InputError("the folder for the results has an empty name; give one, or . for the current folder")
    folder = user_path(path)
    missing: list[Path] = []
    try:
        missing = [p for p in (folder, *folder.parents) if not p.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        probe = _partial(folder / "single_rs")
        probe.touch()
        probe.unlink()
    except OSError as error:
        for made in missing:
            with contextlib.suppress(OSError):
                made.rmdir()
        raise WriteError(
            f"cannot write to the folder {folder}: {error.strerror or error}; choose another with --out"
        ) from None
    return folder
