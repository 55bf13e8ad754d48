"""Progress of stages: bars on a terminal, a line per quarter elsewhere.

Nobody has to listen: a standard error that is closed, full or broken must not end the work that it tells of.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import IO, Any, cast

from single_rs.base.progress import Progress

__all__ = ["progress_bars"]

QUARTERS = 4  # lines per stage when the output is a file


@contextlib.contextmanager
def progress_bars() -> Iterator[Progress]:
    """Give a function ``progress(stage, done, total)`` that shows where the work is, on stderr."""
    stream = cast(IO[str], _Tolerant(sys.stderr))
    if not sys.stderr.isatty():
        yield _Lines(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(file=stream)) as bars:
        tasks: dict[str, object] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)  # type: ignore[arg-type]  # a TaskID

        yield show


class _Tolerant:
    """A stream whose `write` and `flush` never raise `OSError`."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush if it can be done."""
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        """Be the stream in all else."""
        return getattr(self._stream, name)


class _Lines:
    """Print a stage when it starts and at each quarter."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._last: dict[str, int] = {}
        self._start: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        start = self._start.setdefault(stage, now)
        quarter = QUARTERS * done // max(total, 1)
        if quarter != self._last.get(stage):
            self._last[stage] = quarter
            left = f", about {(now - start) * (total - done) / done:.0f} s left" if 0 < done < total else ""
            print(f"{stage}: {done} of {total}, {now - start:.0f} s{left}", file=self._stream, flush=True)
