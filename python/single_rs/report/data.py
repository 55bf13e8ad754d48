"""The data of a figure as CSV: what is drawn as points, lines, bars and steps, in the units of the axes.

Pictures are not in it: they are views of the map and the stack, which lie beside the page.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from single_rs.report.content import AtomTable

__all__ = ["atom_data", "figure_data"]

_DIGITS = 6  # significant ones
_HEAD = ("panel", "series", "x", "y", "x_error", "y_error")


def figure_data(figure: Figure) -> str:
    """Return the data of a figure as CSV, empty when it holds pictures alone.

    Parameters
    ----------
    figure
        Any figure made by `single_rs.plots`.
    """
    panels = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    rows = [(k, *row) for k, ax in enumerate(panels, 1) for row in _rows(ax)]
    if not rows:
        return ""
    target = io.StringIO()
    for k, ax in enumerate(panels, 1):
        names = " | ".join(filter(None, (ax.get_title() or ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel())))
        target.write(f"# panel {k}: {names}\n".replace("$", ""))
    table = csv.writer(target, lineterminator="\n")
    table.writerow(_HEAD)
    table.writerows((panel, series, *map(_text, numbers)) for panel, series, *numbers in rows)
    return target.getvalue()


def atom_data(atoms: AtomTable) -> str:
    """Return all columns of the atoms as CSV, positions in Å from the box centre."""
    columns: dict[str, Any] = {"element": atoms.symbols}
    columns |= dict(zip(("x", "y", "z"), atoms.positions.T))
    for name, values in atoms.columns.items():
        if values.ndim == 1 and name != "species":
            columns[name] = values
        elif values.ndim == 2:
            columns |= {f"{name}_{k}": column for k, column in enumerate(values.T)}
    target = io.StringIO()
    table = csv.writer(target, lineterminator="\n")
    table.writerow(["atom", *columns])
    for k, row in enumerate(zip(*columns.values()), 1):
        table.writerow([k, *(value if isinstance(value, str) else _text(value) for value in row)])
    return target.getvalue()


def _text(value: Any) -> str:
    """Return a number, empty when it is not known."""
    return "" if value is None or not np.isfinite(value) else f"{float(value):.{_DIGITS}g}"


def _rows(ax: Axes) -> Iterator[tuple[Any, ...]]:
    """Give (series, x, y, x error, y error) of what is drawn in data coordinates."""
    from matplotlib.collections import LineCollection, PatchCollection, PathCollection
    from matplotlib.container import BarContainer, ErrorbarContainer
    from matplotlib.patches import Polygon

    inside: set[Any] = set()
    for number, container in enumerate(ax.containers, 1):
        name = _name(container, f"group {number}")
        if isinstance(container, ErrorbarContainer):
            line, caps, bars = container.lines
            inside |= {line, *caps, *bars}
            errors = [_half_lengths(bar) for bar in bars]
            across, along = (next((e for axis, e in errors if axis == k), None) for k in (0, 1))
            if line is not None:
                yield from _points(name, *line.get_data(), across, along)
        elif isinstance(container, BarContainer):
            for bar in container:
                inside.add(bar)
                if isinstance(bar, Polygon):
                    yield from _points(name, *bar.get_xy().T)
                else:
                    yield name, bar.get_x() + bar.get_width() / 2, bar.get_y() + bar.get_height(), None, None
    for number, line in enumerate(ax.lines, 1):
        # Guides such as the line at zero are not in the coordinates of the data: a blended transform has no branch.
        if line not in inside and line.get_transform().contains_branch(ax.transData):
            yield from _points(_name(line, f"line {number}"), *line.get_data())
    for number, patch in enumerate(ax.patches, 1):
        if isinstance(patch, Polygon) and patch not in inside:
            yield from _points(_name(patch, f"steps {number}"), *patch.get_xy().T)
    for number, drawn in enumerate(ax.collections, 1):
        if isinstance(drawn, PathCollection):
            yield from _points(_name(drawn, f"points {number}"), *np.ma.getdata(drawn.get_offsets()).T)
        elif isinstance(drawn, LineCollection) and drawn not in inside:
            yield from _points(_name(drawn, f"path {number}"), *_joined(drawn.get_segments()).T)
        elif isinstance(drawn, PatchCollection):
            # The control points of a circle stand round its centre.
            corners = [np.asarray(path.vertices, float) for path in drawn.get_paths()]
            centres = [(c.min(axis=0) + c.max(axis=0)) / 2 for c in corners]
            yield from _points("atoms", *np.reshape(centres, (-1, 2)).T)


def _name(artist: Any, otherwise: str) -> str:
    """Return the label of the legend, or a name of its own."""
    label = str(artist.get_label() or "")
    return otherwise if not label or label.startswith("_") else label


def _points(
    name: str, x: Any, y: Any, x_error: np.ndarray | None = None, y_error: np.ndarray | None = None
) -> Iterator[tuple[Any, ...]]:
    """Give one row per point."""
    for k, (a, b) in enumerate(zip(np.atleast_1d(x), np.atleast_1d(y))):
        yield name, a, b, None if x_error is None else x_error[k], None if y_error is None else y_error[k]


def _joined(segments: Any) -> np.ndarray:
    """Return the points (n, 2) of pieces of lines; a piece that begins where the last one ended goes on from there."""
    parts = [np.zeros((0, 2))]
    for segment in segments:
        goes_on = len(parts[-1]) and np.array_equal(parts[-1][-1], segment[0])
        parts.append(np.asarray(segment[1:] if goes_on else segment, float))
    return np.concatenate(parts)


def _half_lengths(bars: Any) -> tuple[int, np.ndarray]:
    """Return the axis along which error bars lie, and half their lengths (n,)."""
    ends = np.array([segment for segment in bars.get_segments() if len(segment) == 2])
    if not len(ends):
        return -1, np.zeros(0)
    lengths = np.abs(ends[:, 1] - ends[:, 0]) / 2
    axis = int(np.argmax(lengths.max(axis=0)))
    return axis, lengths[:, axis]
