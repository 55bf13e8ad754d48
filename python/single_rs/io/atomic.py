"""Files that are either complete or absent.

A writer works on ``name.partial.ext`` beside the target; a rename within one folder is atomic on every
file system we run on (POSIX rename(2)), so a reader sees the old file or the new one, never half of one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from single_rs.base.errors import DataFileError

__all__ = ["atomic", "atomic_text", "writable_folder", "write_text"]


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` on success, remove it on failure.

    The suffix is kept (``map.mrc`` → ``map.partial.mrc``), so writers that choose a format by it still work.

    Parameters
    ----------
    path
        The file to be written. Its folder must exist.

    Raises
    ------
    DataFileError
        When the file cannot be written; the message names it.
    """
    target = Path(path)
    partial = target.with_name(f"{target.stem}.partial{target.suffix}")
    try:
        yield partial
        os.replace(partial, target)
    except DataFileError:
        raise
    except OSError as error:
        raise DataFileError(
            f"cannot write {target}: {error.strerror or error}; check the folder and free space"
        ) from None
    finally:
        # After the rename nothing is left of this name; after a failure half a file may be.
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


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
    DataFileError
        When the file cannot be written; the message names it.
    """
    with atomic(path) as partial, open(partial, "w", encoding=encoding, newline="\n") as file:
        yield file


def write_text(path: str | os.PathLike[str], text: str, encoding: str = "utf-8") -> None:
    """Write a text with LF line ends, whole or not at all; parameters and errors as of `atomic_text`."""
    with atomic_text(path, encoding) as file:
        file.write(text)


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
    DataFileError
        When it cannot be made or written, before any work is done. Folders made on the way are removed.
    """
    folder = Path(path)
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    probe = folder / ".single_rs.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        for made in missing:
            with contextlib.suppress(OSError):
                made.rmdir()
        raise DataFileError(
            f"cannot write to the folder {folder}: {error.strerror or error}; choose another with --out"
        ) from None
    return folder
