"""Typed, validated settings: every stage keeps its own frozen dataclass of them.

A setting declares its default, unit and meaning once; `config.py` prints them, reads them from
TOML, and the command line turns them into flags.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from typing import Any

from single_rs.base.errors import InputError

__all__ = ["Settings", "setting"]


def setting(
    default: Any,
    help: str,
    unit: str = "",
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    choices: tuple[Any, ...] | None = None,
) -> Any:
    """Declare one field of a `Settings` class.

    Parameters
    ----------
    default
        Default value; ``None`` means "found from the data".
    help
        Meaning, one sentence.
    unit
        Unit as printed, e.g. ``"Å"``, ``"px"``, ``"frames"``; empty when dimensionless.
    ge, gt, le
        Bounds: greater or equal, strictly greater, less or equal.
    choices
        The accepted values, when there are few.
    """
    meta = {"help": help, "unit": unit, "ge": ge, "gt": gt, "le": le, "choices": choices}
    return dataclasses.field(default=default, metadata=meta)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base of all settings classes: checks every field against what it declares."""

    def __post_init__(self) -> None:
        """Raise `InputError` naming the setting, the value given and what is accepted."""
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            meta = f.metadata
            if value is None or isinstance(value, Settings) or not meta:
                continue
            name = f"{type(self).__name__}.{f.name}"
            if meta.get("choices") is not None and value not in meta["choices"]:
                raise InputError(f"{name} is {value!r}; accepted: {', '.join(map(str, meta['choices']))}")
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                unit = f" {meta['unit']}" if meta.get("unit") else ""
                if not math.isfinite(value):
                    raise InputError(f"{name} is {value}; a finite number is needed")
                for key, bad, word in (
                    ("ge", operator.lt, "at least"),
                    ("gt", operator.le, "more than"),
                    ("le", operator.gt, "at most"),
                ):
                    bound = meta.get(key)
                    if bound is not None and bad(value, bound):
                        raise InputError(f"{name} is {value}{unit}; it must be {word} {bound}{unit}")
