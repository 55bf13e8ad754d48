"""run.json: what was run, on what, how long each stage took, and the verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from single_rs.store.codecs import read_record
from single_rs.store.inputs import InputRecord
from single_rs.store.layout import HIDDEN, RUN

__all__ = ["FINISHED", "RUNNING", "RunRecord", "StageRecord", "VerdictRecord", "read_run", "read_started"]

RUNNING, FINISHED = "running", "finished"


@dataclass(frozen=True)
class StageRecord:
    """One stage of a run.

    Attributes
    ----------
    key
        Hash of everything that determines its result.
    seconds, cpu_seconds
        Wall and processor time.
    peak_memory_mb
        Largest resident memory while it ran, MiB.
    files
        What it wrote, relative to the folder of the run.
    facts
        Numbers of interest, by name.
    reused
        Whether the result of an earlier run was loaded.
    failed
        Why it failed; ``None`` when it did not.
    """

    key: str
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    files: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    reused: bool = False
    failed: str | None = None


@dataclass(frozen=True)
class VerdictRecord:
    """Verdict of one particle.

    Attributes
    ----------
    verdict, reasons
        "solved", "doubtful" or "failed", and why.
    """

    verdict: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class RunRecord:
    """The record of one run.

    Attributes
    ----------
    command
        "run" or "solve".
    argv
        Words of the command line.
    versions
        Of single_rs, Python and the libraries whose numbers matter.
    input
        What was solved.
    element, seed, config
        As given, with the settings of all stages.
    started, finished
        Local time, ISO 8601.
    status
        "running", "finished", "interrupted" or "failed: …".
    stages
        Name, such as "particle_00/orient" → record.
    verdicts
        Name of the particle → verdict.
    """

    SCHEMA: ClassVar[int] = 1
    command: str
    argv: tuple[str, ...]
    versions: dict[str, str]
    input: InputRecord
    element: str
    seed: int
    config: dict[str, Any]
    started: str
    finished: str | None = None
    status: str = RUNNING
    stages: dict[str, StageRecord] = field(default_factory=dict)
    verdicts: dict[str, VerdictRecord] = field(default_factory=dict)


def read_started(folder: Path) -> RunRecord | None:
    """Read the record of the run that was started last in a folder, whether its results are published or not."""
    aside = folder / HIDDEN / RUN
    return read_record(aside, RunRecord) if aside.exists() else read_run(folder)


def read_run(folder: Path) -> RunRecord | None:
    """Read the record of the run in a folder, ``None`` where there is none.

    Raises
    ------
    DataFileError
        When there is one that cannot be read.
    """
    path = folder / RUN
    return read_record(path, RunRecord) if path.exists() else None
