"""What every stage of a run needs beside its data."""

from __future__ import annotations

from dataclasses import dataclass

from single_rs.base.progress import Progress
from single_rs.pipeline.config import Config
from single_rs.pipeline.record import RunLog

__all__ = ["Job"]


@dataclass(frozen=True)
class Job:
    """One run while it goes on.

    Attributes
    ----------
    element
        Chemical symbol, or formula of a compound.
    config
        Settings of all stages.
    seed
        Of all random numbers.
    log
        Record and folder of the run.
    progress
        Called as progress(stage, done, total).
    """

    element: str
    config: Config
    seed: int
    log: RunLog
    progress: Progress | None = None

    def report(self, part: str, stage: str, done: int, total: int) -> None:
        """Report the progress of a stage of one particle."""
        if self.progress is not None:
            self.progress(f"{part} {stage}", done, total)
