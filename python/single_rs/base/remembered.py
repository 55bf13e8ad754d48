"""Results of the last calls of a function of arrays, for those that several steps ask for with the same atoms."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

__all__ = ["remembered"]

P = ParamSpec("P")
R = TypeVar("R")
_KEPT = 2


def remembered(function: Callable[P, R]) -> Callable[P, R]:
    """Give the result of an equal earlier call, of the last two; a result must not be changed by its users.

    Arguments are compared by their bytes, so the function must depend on nothing else.
    """
    known: OrderedDict[Any, R] = OrderedDict()

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        key = (*map(_key, args), *((name, _key(value)) for name, value in sorted(kwargs.items())))
        if key not in known:
            known[key] = function(*args, **kwargs)
        known.move_to_end(key)
        while len(known) > _KEPT:
            known.popitem(last=False)
        return known[key]

    return wrapper


def _key(value: Any) -> Any:
    if isinstance(value, (int, float, str, bytes, type(None))):
        return value
    array = np.asarray(value)
    return array.dtype.str, array.shape, array.tobytes()
