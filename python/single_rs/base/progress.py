"""How long work tells its caller where it is: one kind of function, for all stages."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["TOLD", "Progress", "silent"]

# progress(stage, done, total): `done` of `total` parts of the stage of that name are finished.
Progress = Callable[[str, int, int], None]

# `extra` of log records that the terminal shows although they are no warnings.
TOLD = {"told": True}


def silent(stage: str, done: int, total: int) -> None:
    """Take what a stage tells and say nothing: for callers that do not listen."""
