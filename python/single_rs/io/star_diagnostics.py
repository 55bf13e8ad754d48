"""Diagnostics of poses as a loop of a STAR file: one row per number, its name the path to it.

``data_single_diagnostics`` has the columns singleName and singleValue, with names like ``start.continuity`` and
``halves.1.rounds.0.score``; what was not measured has no row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from single_rs.base.errors import InputError
from single_rs.records.diagnostics import PoseDiagnostics, diagnostics_from

__all__ = ["diagnostics_block", "read_diagnostics"]

BLOCK, NAME, VALUE = "single_diagnostics", "singleName", "singleValue"


def diagnostics_block(diagnostics: PoseDiagnostics) -> dict[str, dict[str, list[str]]]:
    """Return the block by its name, and columns by theirs; nothing when nothing was measured."""
    rows = list(_flat(asdict(diagnostics), ""))
    return {BLOCK: {NAME: [name for name, _ in rows], VALUE: [value for _, value in rows]}} if rows else {}


def read_diagnostics(blocks: Mapping[str, Mapping[str, Sequence[str]]]) -> PoseDiagnostics:
    """Return the diagnostics in the blocks of a STAR file, nothing measured when it has none.

    Raises
    ------
    InputError
        A value that is no number where one is needed.
    """
    block = blocks.get(BLOCK, {})
    content: dict[str, Any] = {}
    for name, value in zip(block.get(NAME, ()), block.get(VALUE, ()), strict=False):
        *path, last = name.split(".")
        place = content
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise InputError(f"diagnostics: {name} stands beside a value of {part}; one of them is needed")
        place[last] = value
    return diagnostics_from(_lists(content))


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of each number that is there; twelve digits, as in the other columns."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, (list, tuple)):
        yield from _flat(dict(enumerate(value)), path)
    elif value is not None:
        yield path, value if isinstance(value, str) else f"{value:.12g}"


def _lists(value: Any) -> Any:
    """Turn mappings whose names are all numbers into lists."""
    if not isinstance(value, dict):
        return value
    inner = {name: _lists(one) for name, one in value.items()}
    if inner and all(name.isdigit() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner
