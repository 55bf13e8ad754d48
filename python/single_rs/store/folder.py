"""The output folder of a run and its one owner: who may write, what is finished, what may be replaced.

A stage writes into a folder of its own, ``OUT/.single_rs/writing/STAGE``. When it has finished, its files are hashed,
and moved to ``OUT/.single_rs/pending/STAGE``; from there they are *published*, that is renamed to their places in OUT.
In a new folder a stage is published at once. Where a stage would replace a result made with another key (another
input, setting, seed or version), nothing is published until the whole run has finished: OUT holds one whole result at
any time.

Publishing is a list of renames, written to ``journal.json`` before the first of them; a program that opens the folder
after a crash goes through the list again, which does no harm to what was done before it. Files that the manifest does
not name, and files that were changed since they were written, belong to the user: they are moved aside with a word,
never removed or replaced.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from single_rs.base.errors import DataFileError
from single_rs.base.stop import at_stop
from single_rs.io.atomic import remove_partials, writable_folder
from single_rs.store.codecs import read_record, write_record
from single_rs.store.layout import HIDDEN, MANIFEST, PARTS, STEPS
from single_rs.store.lock import FolderLock
from single_rs.store.manifest import FileEntry, Manifest, file_hash
from single_rs.store.steps import StepFiles

__all__ = ["RunFolder", "new_key", "one_stage", "open_folder", "stored_file"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Journal:
    """What publishing does: files that take their places, files that go, files that are kept aside.

    Attributes
    ----------
    files
        Relative path in OUT → entry of the file that takes this place.
    removed
        Relative paths of files of the program that go.
    aside
        Relative path → where it is moved, relative to OUT.
    """

    files: dict[str, FileEntry] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    aside: dict[str, str] = field(default_factory=dict)


class RunFolder:
    """An output folder that is open for writing, under its lock; made by `open_folder`.

    Attributes
    ----------
    path
        OUT.
    published
        The files in OUT.
    pending
        Files that are finished and not published yet.
    holding
        Whether what finishes waits for `finish`.
    """

    def __init__(self, path: Path, lock: FolderLock) -> None:
        """Read the manifests, and finish what a crash interrupted."""
        self.path, self._lock = path, lock
        self._hidden = path / HIDDEN
        self.holding = False
        shutil.rmtree(self._hidden / "writing", ignore_errors=True)
        self.published = Manifest.read(path / MANIFEST)
        self.pending = Manifest.read(self._hidden / "pending.json")
        journal = self._hidden / "journal.json"
        if journal.exists():
            self._carry_out(read_record(journal, Journal))

    # -- what is there -------------------------------------------------------------------------------------------

    def reuse(self, stage: str, key: str) -> bool:
        """Whether a stage was finished with this key and all its files are as they were written.

        Files are hashed: one that was cut, changed or replaced is made anew.
        """
        for manifest, place in ((self.pending, self.file), (self.published, self.path.joinpath)):
            entries = manifest.of_stage(stage)
            if entries and all(e.key == key for e in entries.values()):
                broken = [name for name, entry in entries.items() if not _whole(place(name), entry)]
                if not broken:
                    self._forget(stage) if manifest is self.published else self._place(stage, key)
                    return True
                log.warning("%s: %s is not as it was written; made anew", stage, ", ".join(broken))
        return False

    def file(self, name: str) -> Path:
        """Return where a file is read: among the pending ones, or in OUT."""
        entry = self.pending.files.get(name)
        return self._hidden / "pending" / entry.stage / _inside(name, entry.stage) if entry else self.path / name

    def stages_of(self, part: str) -> list[str]:
        """Return the finished stages of a particle, and of its states."""
        entries = [*self.published.files.values(), *self.pending.files.values()]
        return sorted({e.stage for e in entries if e.stage.startswith(f"{part}/") and not e.made_from})

    def files_of(self, stage: str) -> list[str]:
        """Return what a stage wrote last, relative to OUT."""
        return sorted(self.pending.of_stage(stage) or self.published.of_stage(stage))

    def _forget(self, stage: str) -> None:
        """Drop what a stopped run of another key has left of a stage, which else would be read and published."""
        if stale := self.pending.of_stage(stage):
            self._set_pending(self.pending.without(stale))
            shutil.rmtree(self._hidden / "pending" / stage, ignore_errors=True)

    # -- writing -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def stage(
        self,
        stage: str,
        key: str | Callable[[], str],
        made_from: Mapping[str, str] | None = None,
        hold: bool = True,
    ) -> Iterator[Path]:
        """Give an empty folder to write into; what is in it at the end are the files of the stage.

        Parameters
        ----------
        stage
            "motion", or "particle_00/orient": the last part is the stage, what stands before it the folder in OUT.
        key
            Hash of everything that determines the files; a function where it is known at the end only.
        made_from
            Relative path → hash of finished files that these are made from; see `FileEntry`.
        hold
            Whether files that would replace those of another key wait for `finish`.

        Raises
        ------
        DataFileError
            When the folder was taken over by another program, or cannot be written.
        """
        if not self._lock.held():
            raise DataFileError(f"the lock of {self.path} was taken over by another program; this run stops")
        writing = self._hidden / "writing" / stage
        shutil.rmtree(writing, ignore_errors=True)
        writing.mkdir(parents=True)
        try:
            yield writing
            known = key() if callable(key) else key
            entries = self._collect(writing, stage, known, dict(made_from or {}))
            self._put_aside(stage, writing, entries)
        finally:
            shutil.rmtree(writing, ignore_errors=True)
        self._place(stage, known, hold)

    def steps(self, stage: str, key: str, fresh: bool = False) -> StepFiles:
        """Return the steps of a stage that an earlier run has finished; `fresh` ones know of none."""
        return StepFiles(self._hidden / STEPS / stage, key, stage, fresh)

    def forget_steps(self, stage: str = "") -> None:
        """Remove the steps of a stage that has finished; of all stages where none is named."""
        shutil.rmtree(self._hidden / STEPS / stage, ignore_errors=True)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give an empty folder beside those of the stages, for what several of them write; removed at the end."""
        room = self._hidden / "writing" / "scratch"
        shutil.rmtree(room, ignore_errors=True)
        room.mkdir(parents=True)
        try:
            yield room
        finally:
            shutil.rmtree(room, ignore_errors=True)

    def finish(self, stages: set[str], kept: set[str] | None = None) -> None:
        """Publish what was held back; remove the published files of all other stages but those made from results.

        Parameters
        ----------
        stages
            All stages of this run, reused ones as well.
        kept
            Folders in OUT whose published files stay as they are, such as "particle_00".
        """
        stays = tuple(f"{part}/" for part in kept or ())
        # What a stopped run of other settings has finished, and this one did not ask for, waits for that run.
        new = {
            name: entry
            for name, entry in self.pending.files.items()
            if (entry.stage in stages or entry.made_from) and not name.startswith(stays)
        }
        outdated = {
            name
            for name, entry in self.published.files.items()
            if name not in new and entry.stage not in stages and not entry.made_from and not name.startswith(stays)
        }
        for stage in {entry.stage for entry in new.values()}:
            outdated |= self._outdated(stage, new)
        if new or outdated:
            self._publish(new, outdated)
        self.holding = False
        self.forget_steps()

    def _collect(self, writing: Path, stage: str, key: str, made_from: dict[str, str]) -> dict[str, FileEntry]:
        """Hash the files that a stage left, and have the disk keep them."""
        prefix = _folder_of(stage)
        entries = {}
        for path in sorted(p for p in writing.rglob("*") if p.is_file()):
            with open(path, "rb") as file:
                os.fsync(file.fileno())
            name = prefix + path.relative_to(writing).as_posix()
            entries[name] = FileEntry(path.stat().st_size, file_hash(path), stage, key, made_from)
        return entries

    def _put_aside(self, stage: str, writing: Path, entries: dict[str, FileEntry]) -> None:
        """Make what a stage wrote pending."""
        pending = self._hidden / "pending" / stage
        self._set_pending(self.pending.without(self.pending.of_stage(stage)))
        shutil.rmtree(pending, ignore_errors=True)
        pending.parent.mkdir(parents=True, exist_ok=True)
        os.replace(writing, pending)
        self._set_pending(self.pending.with_files(entries))

    def _place(self, stage: str, key: str, hold: bool = True) -> None:
        """Publish a pending stage; where it would replace files of another key, it and all that follow are held."""
        self.holding = self.holding or (hold and self.published.key_of(stage) not in (None, key))
        if not self.holding:
            entries = self.pending.of_stage(stage)
            self._publish(entries, self._outdated(stage, entries))

    def _set_pending(self, manifest: Manifest) -> None:
        self.pending = manifest
        manifest.write(self._hidden / "pending.json")

    def _outdated(self, stage: str, entries: Mapping[str, FileEntry]) -> set[str]:
        """Return the published files of a stage that its new ones do not replace."""
        return {name for name in self.published.of_stage(stage) if name not in entries}

    # -- publishing ----------------------------------------------------------------------------------------------

    def _publish(self, entries: Mapping[str, FileEntry], outdated: set[str]) -> None:
        aside: dict[str, str] = {}
        removed = []
        for name in [*entries, *outdated]:
            path = self.path / name
            entry = self.published.files.get(name)
            if not (path.exists() or path.is_symlink()):
                continue
            ours = entry is not None and path.is_file() and file_hash(path) == entry.sha256
            if not ours:
                aside[name] = self._free_name(name)
            elif name in outdated:
                removed.append(name)
        # What was made from results that change, such as energies, is kept beside what takes their place.
        new = {name: entry.sha256 for name, entry in entries.items()}
        for name, entry in self.published.files.items():
            old = any(new.get(source, sha) != sha or source in outdated for source, sha in entry.made_from.items())
            if old and name not in entries and (self.path / name).exists():
                aside[name] = self._free_name(name)
        journal = Journal(dict(entries), tuple(removed), aside)
        write_record(self._hidden / "journal.json", journal)
        self._carry_out(journal)

    def _carry_out(self, journal: Journal) -> None:
        """Do what a journal says; what was done before is passed over."""
        for name, target in journal.aside.items():
            source, kept = self.path / name, self.path / target
            entry = journal.files.get(name)
            placed = entry is not None and source.is_file() and file_hash(source) == entry.sha256
            if (source.exists() or source.is_symlink()) and not kept.exists() and not placed:
                os.rename(source, kept)
                log.warning(
                    "%s is not in the manifest, or was changed or outdated since; it is kept as %s", name, target
                )
        for name in journal.removed:
            (self.path / name).unlink(missing_ok=True)
        for name, entry in journal.files.items():
            source = self._hidden / "pending" / entry.stage / _inside(name, entry.stage)
            if source.exists():
                (self.path / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(source, self.path / name)
        gone = {*journal.removed, *journal.aside} - journal.files.keys()
        self.published = self.published.without(gone).with_files(journal.files)
        self.published.write(self.path / MANIFEST)
        # The journal goes last: until then a program that opens the folder does all of this again.
        self._set_pending(self.pending.without(journal.files))
        (self._hidden / "journal.json").unlink(missing_ok=True)
        for folder in {(self.path / name).parent for name in journal.removed} - {self.path}:
            with contextlib.suppress(OSError):
                folder.rmdir()  # only where nothing is left in it

    def _free_name(self, name: str) -> str:
        """Return a name beside a file under which it can be kept."""
        path = Path(name)
        for number in range(1, 10_000):
            kept = path.with_name(f"{path.stem}.kept{number}{path.suffix}").as_posix()
            if not (self.path / kept).exists():
                return kept
        raise DataFileError(f"{self.path / name} has no free name to be kept under; move it away")


@contextlib.contextmanager
def open_folder(path: str | os.PathLike[str]) -> Iterator[RunFolder]:
    """Open an output folder for writing; made if needed, locked until the end.

    Parameters
    ----------
    path
        OUT.

    Raises
    ------
    DataFileError
        When it cannot be written, another program uses it, or its manifest cannot be read.
    """
    folder = writable_folder(path)
    hidden = writable_folder(folder / HIDDEN)
    lock = FolderLock(hidden / "lock", folder)
    lock.acquire()
    try:
        remove_partials(folder, spared=hidden / PARTS)  # these have locks of their own, which others may hold
        with at_stop(lock.release):
            yield RunFolder(folder, lock)
    finally:
        lock.release()
        _tidy(hidden)


@contextlib.contextmanager
def one_stage(out: str | os.PathLike[str], stage: str, sources: Iterable[Path] = ()) -> Iterator[Path]:
    """Give a folder to write the files of one stage into, by itself; at the end they take their places in `out`.

    Parameters
    ----------
    out
        Any folder, or that of a particle in a run.
    stage
        Name of the stage, such as "energy".
    sources
        Files that the stage reads; where those in `out` change later, its files are out of date.
    """
    folder = Path(out)
    inside = folder.parent if (folder.parent / MANIFEST).exists() and not (folder / MANIFEST).exists() else folder
    name = stage if inside == folder else f"{folder.name}/{stage}"
    made_from = {}
    for source in sources:
        if source.is_file() and source.resolve().is_relative_to(inside.resolve()):
            made_from[source.resolve().relative_to(inside.resolve()).as_posix()] = file_hash(source)
    with open_folder(inside) as run, run.stage(name, new_key(stage, made_from), made_from, hold=False) as writing:
        yield writing


def stored_file(out: Path, name: str) -> Path:
    """Return where a finished file of a folder is read, pending or published, without opening the folder."""
    hidden = out / HIDDEN
    entry = Manifest.read(hidden / "pending.json").files.get(name)
    return hidden / "pending" / entry.stage / _inside(name, entry.stage) if entry else out / name


def new_key(stage: str, made_from: Mapping[str, str] | None = None) -> str:
    """Return the key of a stage that runs by itself: no other run has it."""
    return hashlib.sha256(repr((stage, sorted((made_from or {}).items()), time.time_ns())).encode()).hexdigest()[:16]


def _whole(path: Path, entry: FileEntry) -> bool:
    """Whether a file is as it was written."""
    return path.is_file() and path.stat().st_size == entry.size and file_hash(path) == entry.sha256


def _tidy(hidden: Path) -> None:
    """Remove the hidden folder when nothing in it is needed."""
    pending = hidden / "pending.json"
    with contextlib.suppress(OSError, DataFileError):
        if pending.exists() and not Manifest.read(pending).files:
            pending.unlink()
        for name in ("writing", "pending", STEPS):
            if not any((hidden / name).rglob("*.*")):
                shutil.rmtree(hidden / name, ignore_errors=True)
        hidden.rmdir()


def _folder_of(stage: str) -> str:
    """Return the folder in OUT that a stage writes into, with its "/"; empty for OUT itself."""
    head, slash, _ = stage.rpartition("/")
    return head + slash


def _inside(name: str, stage: str) -> str:
    """Return the path of a file of a stage relative to the folder of the stage."""
    return name.removeprefix(_folder_of(stage))
