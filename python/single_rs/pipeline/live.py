"""A run that writes what it does into ``OUT/live.html`` while it goes on (`single_rs.report.live`).

It listens to the progress of the stages: the page is written at most every few seconds, and figures are drawn only when
a stage has finished. A page that cannot be made never ends the run that it tells of.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from single_rs.base.progress import WHOLE_RUN, Progress, silent
from single_rs.io import write_text
from single_rs.pipeline.record import RunLog
from single_rs.store.layout import LIVE, PARTICLES, REPORT
from single_rs.store.record import RUNNING

if TYPE_CHECKING:
    from single_rs.report.views import Section

__all__ = ["LivePage"]

log = logging.getLogger(__name__)

EVERY = 3.0  # s between two writings; one takes some milliseconds, and one with new figures a second


class LivePage:
    """A listener to progress that keeps ``live.html`` up to date.

    Parameters
    ----------
    journal
        Record and folder of the run.
    listener
        Who listens beside it.
    every
        s between two writings.
    """

    def __init__(self, journal: RunLog, listener: Progress | None, every: float = EVERY) -> None:
        self._journal, self._listener, self._every = journal, listener or silent, every
        self._started = time.monotonic()
        self._stage, self._stage_started, self._written = "", self._started, -every
        self._whole = (0, 0)
        self._shown: tuple[str | None, int, bool] | None = None
        self._views: list[Section] = []
        self._works = True

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take the progress of a stage, as `single_rs.base.progress.Progress` says."""
        self._listener(stage, done, total)
        if stage == WHOLE_RUN:
            self._whole = (done, total)
            return
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._stage_started = stage, now
        if now - self._written >= self._every:
            self._write(lambda: self._page(done, total, now))
            self._written = time.monotonic()

    def end(self) -> None:
        """Say how the run has ended; the page leads to the report where it was written."""
        if self._journal.record.status != RUNNING:
            self._write(self._last)

    def _page(self, done: int, total: int, now: float) -> str:
        from single_rs.report.live import (
            Doing,
            earlier_result,
            live_page,
            live_views,
        )  # loads Matplotlib, which no stage needs

        head = self._stage.split(" ")[0].split("/")[0]
        name = head if fnmatch(head, PARTICLES) else None
        finished = (name, len(self._journal.record.stages), self._journal.waits)
        if finished != self._shown:
            self._shown = finished
            self._views = earlier_result() if self._journal.waits else live_views(self._journal.folder.path, name)
        elapsed = now - self._started
        step = Doing(self._stage, done, total, now - self._stage_started)
        return live_page(self._journal.record, step, Doing(WHOLE_RUN, *self._whole, elapsed), self._views)

    def _last(self) -> str:
        from single_rs.report.live import ended_page

        return ended_page(self._journal.record, (self._journal.folder.path / REPORT).exists())

    def _write(self, make: Callable[[], str]) -> None:
        """Write a page; one that fails is reported once and never tried again."""
        if not self._works:
            return
        try:
            write_text(self._journal.folder.path / LIVE, make())
        except Exception as error:  # whatever it is, hours of work are worth more than a look at them
            self._works = False
            log.warning("%s is not written any more: %s", LIVE, error)
