"""The record of a run while it goes on: stages are timed, written aside, published and recorded.

Each stage has a key, the SHA-256 of its settings and of the keys of the stages it builds on, down to every byte of the
input and the versions of the program, Python, NumPy and SciPy. A stage whose key is in the manifest and whose files are
as they were written is loaded instead of computed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import platform
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from single_rs import __version__
from single_rs.base.errors import DataFileError
from single_rs.base.memory import peak_memory, reset_peak
from single_rs.base.steps import UNKEPT, Steps, keeping
from single_rs.store.codecs import read_record, write_record
from single_rs.store.folder import RunFolder
from single_rs.store.layout import HIDDEN, RUN
from single_rs.store.record import FINISHED, RunRecord, StageRecord, VerdictRecord

__all__ = ["RunLog", "StageLog", "file_log", "stage_key", "versions"]

log = logging.getLogger(__name__)

PACKAGES = ("numpy", "scipy", "mrcfile", "tifffile", "gemmi", "ase", "matplotlib")
# Of these the bytes of results depend on the version.
DECISIVE = ("single_rs", "python", "numpy", "scipy")
MIB = 1 << 20


def versions() -> dict[str, str]:
    """Return the versions of single_rs, Python and the libraries whose numbers matter."""
    found = {"single_rs": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def stage_key(*parts: Any) -> str:
    """Return the key of a stage from everything that determines its result (plain values and other keys)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


@dataclass
class StageLog:
    """A stage while it runs: the folder it writes into, and numbers of interest for the record."""

    folder: Path
    facts: dict[str, Any]


class RunLog:
    """The record of one run, rewritten after every stage.

    While OUT holds the finished result of an earlier run, the record of this one stays among what is not finished yet,
    so that run.json always tells of the results beside it.

    Parameters
    ----------
    folder
        OUT, open for writing.
    record
        What is known at the start.
    resume
        Whether stages of an earlier run may be taken as done.
    content
        Gives the hash of the input's content, at the cost of reading what was not read yet.
    """

    def __init__(self, folder: RunFolder, record: RunRecord, resume: bool, content: Callable[[], str]) -> None:
        """Look for an earlier run."""
        self.folder, self.record, self._resume, self._content = folder, record, resume, content
        self._aside = folder.path / HIDDEN / RUN
        self.earlier = self._read(folder.path / RUN)
        self._hidden = self.earlier is not None and self.earlier.status == FINISHED
        interrupted = self._read(self._aside)
        # Where one stands aside, OUT holds an earlier result, although run.json may tell of this one already.
        folder.holding = self._hidden or interrupted is not None
        self._kept: set[str] = set()
        self._before = {**(self.earlier.stages if self.earlier else {}), **(interrupted.stages if interrupted else {})}

        for known in (interrupted, self.earlier):
            if known is not None and known.input.unchanged(record.input):
                self.record = replace(record, input=replace(record.input, content=known.input.content))
        if self.record.input.content is None and (self.earlier or interrupted or not record.input.files):
            self.learn_content()  # files that changed, or an array: the content alone decides

    def knows_input(self) -> bool:
        """Whether the content of the input is known without reading all of it."""
        return self.record.input.content is not None

    def learn_content(self) -> None:
        """Hash the content of the input; frames that were read before are not read again."""
        self.record = replace(self.record, input=replace(self.record.input, content=self._content()))

    def same_input(self, other: RunRecord) -> bool:
        """Whether another run was made of the same input."""
        return other.command == self.record.command and other.input.content == self.record.input.content

    @staticmethod
    def _read(path: Path) -> RunRecord | None:
        try:
            return read_record(path, RunRecord) if path.exists() else None
        except DataFileError as error:
            log.warning("%s", error)
            return None

    @property
    def base_key(self) -> str:
        """Key of the input and of the program; what all stages build on."""
        if not self.knows_input():
            self.learn_content()
        source = self.record.input
        decisive = [self.record.versions[name] for name in DECISIVE]
        return stage_key(self.record.command, source.content, source.shape, source.pixel_size, decisive)

    def note(self, **values: Any) -> None:
        """Put facts of the run, such as its status, into the record."""
        self.record = replace(self.record, **values)
        self.save()

    def save(self) -> None:
        """Write the record."""
        write_record(self._aside if self._hidden else self.folder.path / RUN, self.record)

    @property
    def waits(self) -> bool:
        """Whether what is made waits until all is done, as OUT holds the finished result of an earlier run."""
        return self._hidden

    def keeps(self, part: str) -> bool:
        """Keep the finished result of a particle where there is one; what this run made of it is not published."""
        if self.folder.published.key_of(f"{part}/analyze") is None:
            return False
        self._kept.add(part)
        return True

    def finish(self, verdicts: dict[str, VerdictRecord]) -> None:
        """Publish what was held back, and write the last facts."""
        # Before the files: run.json must not say of another run that it has finished while these take their places.
        self._hidden = False
        self.note(verdicts=verdicts)
        self.folder.finish(set(self.record.stages), self._kept)
        self._aside.unlink(missing_ok=True)

    def close(self) -> None:
        """Say that all is done."""
        self.note(status=FINISHED, finished=now())

    def reuse(self, stage: str, key: str) -> bool:
        """Return whether a stage was finished with this key and its files are as they were written.

        Files are hashed when a stage is first asked for in a run; what this run has reused or made is known.
        """
        done = self.record.stages.get(stage)
        if self._resume and done is not None and done.key == key and done.failed is None:
            return True
        if not self._resume or not self.folder.reuse(stage, key):
            return False
        log.info("%s: done before, loaded", stage)
        # A run that was killed between the files of a stage and its record left the files alone, or beside what the
        # record said of files before them: the files are the truth.
        entry = self._before.get(stage)
        if entry is None or entry.key != key:
            entry = StageRecord(key)
        self._put(stage, replace(entry, files=tuple(self.folder.files_of(stage)), reused=True, failed=None))
        return True

    def has(self, stage: str, key: str) -> bool:
        """Whether a stage was finished with this key, whatever became of its files; `reuse` looks at those too."""
        known = (self.folder.pending.key_of(stage), self.folder.published.key_of(stage))
        return self._resume and key in known

    def take(self, stage: str, entry: StageRecord, other: Path) -> None:
        """Take over a stage that another process finished in a folder of its own; its record says how it went."""
        if entry.failed is None and not self.reuse(stage, entry.key):
            head = stage.rpartition("/")[0]
            with self.folder.stage(stage, entry.key) as writing:
                for name in entry.files:
                    to = writing / Path(name).relative_to(head)
                    to.parent.mkdir(parents=True, exist_ok=True)
                    try:
                        os.link(other / name, to)
                    except OSError:  # a file system without links
                        shutil.copyfile(other / name, to)
        self._put(stage, replace(entry, reused=False))

    def reuse_all(self, part: str, states: Collection[str]) -> bool:
        """Take over all finished stages of a particle, and of its `states`; whether each of their files is there.

        Folders of other states are those of an earlier result.
        """
        keys = {}
        for stage in self.folder.stages_of(part):
            inside = stage.removeprefix(f"{part}/").rpartition("/")[0]
            if inside and inside not in states:
                continue
            keys[stage] = self.folder.pending.key_of(stage) or self.folder.published.key_of(stage) or ""
        return all([self.reuse(stage, key) for stage, key in keys.items()])

    @contextlib.contextmanager
    def stage(self, stage: str, key: str | Callable[[], str]) -> Iterator[StageLog]:
        """Time a stage, publish its files when it succeeds, and record it; on failure record why.

        Parameters
        ----------
        stage
            As in run.json, e.g. "particle_00/orient".
        key
            From `stage_key`; a function where it is known only when the stage has read its input.
        """
        reset_peak()
        start, cpu = time.perf_counter(), time.process_time()
        log.info("%s: started", stage)
        running = StageLog(Path(), {})
        failed = None
        known = ""
        try:
            # A key that is known at the end only tells no step of one input from that of another.
            steps = UNKEPT if callable(key) else self.steps(stage, key)
            with self.folder.stage(stage, key) as running.folder, keeping(steps):
                yield running
            self.folder.forget_steps(stage)
            known = key() if callable(key) else key
        except BaseException as error:
            failed = f"{type(error).__name__}: {error}"
            raise
        finally:
            seconds, memory = time.perf_counter() - start, peak_memory() / MIB
            entry = StageRecord(
                known,
                round(seconds, 3),
                round(time.process_time() - cpu, 3),
                round(memory, 1),
                tuple(self.folder.files_of(stage)),
                running.facts,
                failed=failed,
            )
            self._put(stage, entry)
            how = "failed" if failed else "finished"
            log.info("%s: %s in %.1f s, peak memory %.0f MB", stage, how, seconds, memory)

    def steps(self, stage: str, key: str) -> Steps:
        """Return the steps of a stage, kept until it has finished."""
        return Steps(self.folder.steps(stage, key, fresh=not self._resume))

    def _put(self, stage: str, entry: StageRecord) -> None:
        self.note(stages={**self.record.stages, stage: entry})

    def keys(self) -> dict[str, str]:
        """Return the keys of all stages of this run, by which its results are known."""
        return {name: entry.key for name, entry in self.record.stages.items()}

    def seconds(self, part: str) -> float:
        """Return the time that the stages of one particle took."""
        return sum(entry.seconds for name, entry in self.record.stages.items() if name.startswith(f"{part}/"))


def now() -> str:
    """Return the local time, ISO 8601."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


@contextlib.contextmanager
def file_log(path: str | os.PathLike[str]) -> Iterator[None]:
    """Send everything single_rs logs to a file as well, appended, while the block runs."""
    root = logging.getLogger("single_rs")
    try:
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise DataFileError(f"cannot write {path}: {error.strerror or error}") from None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()
