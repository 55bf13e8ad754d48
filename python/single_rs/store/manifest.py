"""manifest.json: every file that the program wrote into a folder, with its size, hash, stage, key and schema.

A file that the manifest does not name belongs to the user and is never removed or replaced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from single_rs.base.errors import DataFileError
from single_rs.store.codecs import read_record, write_record

__all__ = ["FileEntry", "Manifest", "file_hash"]

BLOCK = 1 << 22  # bytes hashed at a time


@dataclass(frozen=True)
class FileEntry:
    """One file that the program wrote.

    Attributes
    ----------
    size
        Bytes.
    sha256
        Of its content.
    stage
        Stage that wrote it, such as "particle_00/orient".
    key
        Hash of everything that determines the content: input, settings, seed, versions.
    made_from
        Relative path and hash of the files that it was made from by a program that works on finished results, such as
        energies of atoms.xyz; it is out of date when they change.
    """

    size: int
    sha256: str
    stage: str
    key: str
    made_from: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """The files of a folder by their path relative to it.

    Attributes
    ----------
    files
        Path with "/" → entry.
    """

    SCHEMA: ClassVar[int] = 1
    files: dict[str, FileEntry] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest, an empty one where there is none.

        Raises
        ------
        DataFileError
            When there is one that cannot be read: then nobody knows what belongs to whom.
        """
        return read_record(path, cls) if path.exists() else cls()

    def write(self, path: Path) -> None:
        """Write the manifest, whole or not at all."""
        write_record(path, self)

    def of_stage(self, stage: str) -> dict[str, FileEntry]:
        """Return the entries that a stage wrote."""
        return {name: entry for name, entry in self.files.items() if entry.stage == stage}

    def key_of(self, stage: str) -> str | None:
        """Return the key of a stage, ``None`` when it wrote nothing."""
        return next((entry.key for entry in self.files.values() if entry.stage == stage), None)

    def without(self, names: Iterable[str]) -> Manifest:
        """Return the manifest without some files."""
        gone = set(names)
        return Manifest({name: entry for name, entry in self.files.items() if name not in gone})

    def with_files(self, entries: Mapping[str, FileEntry]) -> Manifest:
        """Return the manifest with files added or replaced, in the order of their paths."""
        return Manifest(dict(sorted({**self.files, **entries}.items())))


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file; `DataFileError` when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError as error:
        raise DataFileError(f"cannot read {path}: {error.strerror or error}") from None
    return digest.hexdigest()
