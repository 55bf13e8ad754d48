"""Steps of long work, kept so that a run that was killed goes on after the last one that it finished.

A function that takes minutes works in named steps. Inside `keeping` a step that an earlier run has finished is read
instead of done; elsewhere every step is done and nothing is kept. A step gives a dataclass that holds all that later
steps build on, to the last bit, and depends on nothing but the steps before it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, TypeVar

__all__ = ["UNKEPT", "Keeper", "Steps", "current_steps", "keeping"]

T = TypeVar("T")
S = TypeVar("S")


class Keeper(Protocol):
    """Gives what a step of this name gave before, or does it and keeps what it gives."""

    def __call__(self, name: str, kind: type[T], make: Callable[[], T]) -> T:
        """Return the dataclass of class `kind` that `make` makes."""
        ...


class Holder(Protocol[S]):
    """Work with a state that its steps change."""

    def state(self) -> S:
        """Return all that a step may have changed."""
        ...

    def restore(self, state: S) -> None:
        """Be as after the step that left `state`."""
        ...


@dataclass(frozen=True)
class Steps:
    """The steps of a function, or of a part of it.

    Attributes
    ----------
    keeper
        None where nothing is kept.
    prefix
        Of their names.
    """

    keeper: Keeper | None = None
    prefix: str = ""

    def of(self, part: str) -> Steps:
        """Return the steps of a part of the work, whose names begin with its own."""
        return Steps(self.keeper, f"{self.prefix}{part} ")

    def kept(self, name: str, kind: type[T], make: Callable[[], T]) -> T:
        """Return what `make` makes, a dataclass of class `kind`; made once."""
        return make() if self.keeper is None else self.keeper(self.prefix + name, kind, make)

    def once(self, name: str, kind: type[S], holder: Holder[S], do: Callable[[], object]) -> None:
        """Do a step that changes the state of `holder`, of class `kind`, or give it the state that it left before."""
        done = False

        def make() -> S:
            nonlocal done
            do()
            done = True
            return holder.state()

        if self.keeper is None:
            do()
            return
        state = self.kept(name, kind, make)
        if not done:
            holder.restore(state)


UNKEPT = Steps()  # all are done, none is kept

_current: ContextVar[Steps] = ContextVar("the steps of the work that runs", default=UNKEPT)


@contextlib.contextmanager
def keeping(steps: Steps) -> Iterator[None]:
    """Have what runs in the block take its steps for a part of `steps`."""
    token = _current.set(steps)
    try:
        yield
    finally:
        _current.reset(token)


def current_steps() -> Steps:
    """Return the steps that a function is a part of; to be asked in the thread that called it, others know of none."""
    return _current.get()
