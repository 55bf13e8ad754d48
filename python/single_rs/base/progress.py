"""How long work tells its caller where it is: one kind of function, for all stages.

In a notebook nobody has to ask for it: functions that are marked with `in_notebooks` draw bars in the cell that calls
them, unless a listener is given; `silent` is one that says nothing.
"""

from __future__ import annotations

import contextlib
import functools
import html
import inspect
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

__all__ = ["SHOWN", "WHOLE_RUN", "CellBars", "Progress", "in_notebooks", "silent"]

# progress(stage, done, total): `done` of `total` parts of the stage of that name are finished.
Progress = Callable[[str, int, int], None]

# `extra` of log records that the terminal shows although they are no warnings.
SHOWN = {"shown": True}

# The stage under which progress of the whole run is reported, in s of expected work.
WHOLE_RUN = "whole run"

P = ParamSpec("P")
R = TypeVar("R")

SHORT = 0.5  # s, work that is done sooner draws no bars
EVERY = 0.25  # s between two drawings
MOST = 12  # stages in a cell; those before are counted

_inside: ContextVar[bool] = ContextVar("a marked function is running", default=False)


def silent(stage: str, done: int, total: int) -> None:
    """Take what a stage tells and say nothing: for callers that do not listen."""


def in_notebooks(function: Callable[P, R]) -> Callable[P, R]:
    """Give a function that takes `progress` bars in the cell of a notebook where its caller gives none.

    Functions that it calls in turn draw none of their own.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def shown(*args: P.args, **keywords: P.kwargs) -> R:
        display = None if _inside.get() else _display()
        if display is None:
            return function(*args, **keywords)
        given = signature.bind(*args, **keywords)
        with _marked():
            if given.arguments.get("progress") is None:
                given.arguments["progress"] = CellBars(display)
            return function(*given.args, **given.kwargs)

    return shown


@contextlib.contextmanager
def _marked() -> Iterator[None]:
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


def _display() -> Callable[..., Any] | None:
    """Return IPython's ``display`` where a kernel of a notebook runs this; a terminal has none."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return ipython.display.display if getattr(shell, "kernel", None) is not None else None


class CellBars:
    """A listener that draws a bar for each stage in the cell of a notebook.

    Parameters
    ----------
    display
        IPython's ``display``.
    clock
        Gives seconds.
    """

    def __init__(self, display: Callable[..., Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._display, self._clock = display, clock
        self._began = self._drawn = clock()
        self._stages: dict[str, tuple[float, float, int, int]] = {}  # begin, end (s), done, total
        self._handle: Any = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take the progress of a stage."""
        now = self._clock()
        begin = self._stages[stage][0] if stage in self._stages else now
        self._stages[stage] = (begin, now, done, total)
        if now - self._began < SHORT or (now - self._drawn < EVERY and done < total):
            return
        self._drawn = now
        shown = {"text/html": self._table(), "text/plain": self._line(stage)}
        if self._handle is None:
            self._handle = self._display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)

    def _line(self, stage: str) -> str:
        begin, end, done, total = self._stages[stage]
        left = f", about {(end - begin) * (total - done) / done:.0f} s left" if 0 < done < total else ""
        return f"{stage}: {done} of {total}, {end - begin:.0f} s{left}"

    def _table(self) -> str:
        names = sorted(self._stages, key=WHOLE_RUN.__eq__)  # the whole below its stages
        rows = [f"<tr><td colspan=3>{len(names) - MOST} stages before</td></tr>"] if len(names) > MOST else []
        for name in names[-MOST:]:
            done, total = self._stages[name][2:]
            said = html.escape(self._line(name).removeprefix(f"{name}: "))
            bar = f'<progress value="{done}" max="{max(total, 1)}" aria-label="{html.escape(name)}"></progress>'
            rows.append(
                f"<tr><td style='text-align:left'>{html.escape(name)}</td><td>{bar}</td>"
                f"<td style='text-align:left'>{said}</td></tr>"
            )
        return f"<table>{''.join(rows)}</table>"
