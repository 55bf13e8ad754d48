"""Work on independent items in as many threads as the kernels use; NumPy and SciPy release the interpreter in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from single_rs import _core

__all__ = ["in_threads"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Results of `work` for each item, in the order of the items, whatever the number of threads."""
    with ThreadPoolExecutor(_core.threads()) as pool:
        yield from pool.map(work, items)
