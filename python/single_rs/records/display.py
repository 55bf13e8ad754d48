"""How records show themselves: one line as text, a table and a picture in a notebook, tables and figures on request.

Figures and other libraries lie in layers above the records. They are loaded by name when somebody asks for them, so
that a record can be shown where it is used, and knows no more of them than that name.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import importlib
import io
import re
from typing import Any

import numpy as np

from single_rs.base.errors import InputError

__all__ = ["Displayed"]

FIGURES = "single_rs.plots.records"  # has draw(record) → axes, or None for what has no figure
VIEWS = "single_rs.report.inline"  # has view(record) → a 3D view, or None for what has no place in space
LONGEST = 40  # characters of a value in the one line
SHOWN = 6  # fields in the one line
MOST_COLUMNS = 16  # components of one field in a table


class Displayed:
    """A dataclass that shows itself; it needs ``@dataclass(repr=False)``."""

    def __repr__(self) -> str:
        """Return one line: shapes of arrays, values of numbers."""
        if line := self._headline():
            return f"{type(self).__name__}({line})"
        parts = [f"{name}={_brief(value)}" for name, value in _fields(self)]
        more = f", … {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""
        return f"{type(self).__name__}({', '.join(parts[:SHOWN])}{more})"

    def _headline(self) -> str:
        """Return what the record says in one line; empty where its fields say it best."""
        return ""

    def _repr_html_(self) -> str:
        """Return a table of all fields, what the docstring says of them, and a picture where there is one."""
        meaning = _meanings(type(self).__doc__ or "")
        rows = "".join(
            f"<tr><td><code>{name}</code></td><td>{html.escape(_brief(value))}</td>"
            f"<td style='text-align:left'>{html.escape(meaning.get(name, ''))}</td></tr>"
            for name, value in _fields(self)
        )
        title = html.escape(self._headline() or type(self).__name__)
        return f"<b>{title}</b>{_picture(self)}<table>{rows}</table>"

    def plot(self) -> Any:
        """Draw the record with Matplotlib.

        Returns
        -------
        The axes, one or an array of them.

        Raises
        ------
        InputError
            For a record that has no figure.
        """
        axes = importlib.import_module(FIGURES).draw(self)
        if axes is None:
            raise InputError(f"{type(self).__name__} has no figure of its own; see single_rs.plots")
        return axes

    def view(self) -> Any:
        """Show the record in 3D in a notebook, as the report does: turn, zoom, cut, colours, PNG.

        Returns
        -------
        An object that draws itself in a cell.

        Raises
        ------
        InputError
            For a record that has no place in space.
        """
        seen = importlib.import_module(VIEWS).view(self)
        if seen is None:
            raise InputError(f"{type(self).__name__} has no 3D view; atoms, particles and densities have one")
        return seen

    def to_dataframe(self) -> Any:
        """Return a table with one row for each atom, frame or pose, as a pandas.DataFrame.

        Fields of n rows become columns, those of n vectors or matrices one column for each component (``positions_0``).

        Raises
        ------
        InputError
            When pandas is not installed, or the record holds nothing of one length.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise InputError("tables need pandas, which is not installed; pip install pandas") from None
        return pandas.DataFrame(_columns(self))


def _fields(record: Any) -> list[tuple[str, Any]]:
    return [(f.name, getattr(record, f.name)) for f in dataclasses.fields(record)]


def _brief(value: Any) -> str:
    """Return a value, or what kind of thing it is."""
    if isinstance(value, np.ndarray):
        return f"array {value.shape} {value.dtype}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)) and len(value) > 3:
        return f"{len(value)} × {type(value[0]).__name__}"
    text = type(value).__name__ if dataclasses.is_dataclass(value) else repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _meanings(doc: str) -> dict[str, str]:
    """Return the sentences of a NumPy docstring's attributes by name."""
    section = re.search(r"Attributes\n\s*-+\n(.*?)(?:\n\s*\n\s*\w+\n\s*-+\n|\Z)", doc, re.DOTALL)
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section[1].splitlines() if section else ():
        indent = len(line) - len(line.lstrip())
        if line.strip() and indent <= 4:
            head, _, tail = line.partition(":")
            names = [name.strip() for name in head.split(",")]
            found.update(dict.fromkeys(names, tail.strip()))
        elif line.strip():
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return found


def _columns(record: Any) -> dict[str, np.ndarray]:
    """Return the columns of a table of the records' most common length."""
    arrays = {n: v for n, v in _fields(record) if isinstance(v, np.ndarray) and v.ndim}
    if not arrays:
        raise InputError(f"{type(record).__name__} holds no arrays, so that there is no table of it")
    lengths = [len(v) for v in arrays.values()]
    rows = max(set(lengths), key=lengths.count)
    columns = {}
    for name, values in arrays.items():
        flat = values.reshape(len(values), -1) if len(values) else values.reshape(0, 1)
        if len(values) != rows or flat.shape[1] > MOST_COLUMNS:
            continue
        parts = [name] if values.ndim == 1 else [f"{name}_{k}" for k in range(flat.shape[1])]
        columns.update({part: flat[:, k] for k, part in enumerate(parts)})
    return columns


def _picture(record: Any) -> str:
    """Return the figure as an HTML image, empty where there is none."""
    axes = importlib.import_module(FIGURES).draw(record)
    if axes is None:
        return ""
    figure = np.ravel(axes)[0].figure
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=80)
    importlib.import_module("matplotlib.pyplot").close(figure)
    data = base64.b64encode(target.getvalue()).decode()
    return f'<br><img alt="{type(record).__name__}" src="data:image/png;base64,{data}">'
