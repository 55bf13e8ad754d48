"""What every stage of a run needs beside its data."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from single_rs.base.progress import SHOWN
from single_rs.pipeline.config import Config
from single_rs.pipeline.estimate import Estimate, WholeRun
from single_rs.pipeline.record import RunLog

__all__ = ["Job"]

log = logging.getLogger(__name__)


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
        Of the whole run and its stages; None where nobody listens, and nothing is estimated then.
    """

    element: str
    config: Config
    seed: int
    log: RunLog
    progress: WholeRun | None = None

    def report(self, part: str, stage: str, done: int, total: int) -> None:
        """Report the progress of a stage of one particle."""
        if self.progress is not None:
            self.progress(f"{part} {stage}", done, total)

    def expect(self, part: str, estimate: Estimate) -> None:
        """Say what a part of the run, a particle or "" for the movie, will cost."""
        log.info("expected: %s", estimate, extra=SHOWN)
        if self.progress is not None:
            self.progress.expect(part, estimate)

    def finish(self, part: str | None = None) -> None:
        """Say that a part of the run, or all of it, is done."""
        if self.progress is not None:
            self.progress.finish(part)
