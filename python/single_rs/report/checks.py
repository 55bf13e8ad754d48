"""The checks of a validation as tables and figures: each number with its limit and the reason of that limit."""

from __future__ import annotations

from collections.abc import Iterator

from single_rs.records.check import Check, Criterion, Validation
from single_rs.report.data import figure_data
from single_rs.report.svg import figure_svg
from single_rs.report.views import Badge, Figure, Link, Table

__all__ = ["check_figures", "check_table", "criteria_table"]

_WIDE = 1.55  # width over height from which a figure gets a line of its own

# (check, figure) → how to read it.
_CAPTIONS: dict[tuple[str, str], str] = {
    ("reprojection", "pictures"): "Frames, and averages of frames in nearly one pose, above what the atoms predict for "
    "them; r is their correlation. The columns of atoms must lie on the spots of the averages.",
    ("reprojection", "shells"): "Blue should stay near 1 up to the resolution of the map; it falls where atoms or "
    "poses are off by that period. Grey is what the noise leaves of it in single frames.",
    ("reprojection", "frames"): "Blue must lie to the right of grey: a frame fits its own pose better than others.",
    ("halves", "distance"): "One point per atom: how far apart the two half models put it. Points that rise towards "
    "the rim are loose or badly seen atoms.",
    ("heldout", "gain"): "One point per frame. Right poses and atoms lie along the full line, wrong poses along the "
    "dashed one; grey is a ball without atoms.",
    ("coverage", "sampling"): "The half sphere of directions, in the axes of the map, z in the middle; atoms are least "
    "sharp along the dark ones, which few frames measured.",
    ("perfect", "bonds"): "One point per bond of the perfect crystal; the green means should lie on the line at zero, "
    "from the centre to the surface.",
    ("defocus", "effects"): "RMSD of a model crystal under each effect alone, as found and after the best uniform "
    "scale.",
    ("resimulation", "frames"): "Frames of the data, the same poses simulated from the atoms with noise in the same "
    "grey scale, and the simulation without noise.",
    ("resimulation", "distance"): "One point per atom: how far it came back from where it was put.",
    ("resimulation", "poses"): "Right poses lie left of the dashed line; a second heap at large angles is frames in a "
    "pose that is nearly equivalent, such as a turn of the lattice.",
    ("resimulation", "transfer"): "Where the curves differ, the microscope that was simulated is not that of the data: "
    "set validate.overfocus, c3, focal-spread and b-factor.",
}  # fmt: skip


def check_table(result: Validation, linked: bool = False) -> Table:
    """Return one line per check with its deciding number; `linked` leads to the section of each."""
    rows = []
    for check in result.checks:
        one = check.deciding
        title = Link(check.title, check.name) if linked and check.criteria else check.title
        found = ("", "") if one is None else (f"{one.name}: {amount(one.value, one.unit)}", _limit(one))
        rows.append((title, Badge(check.status), *found, check.message))
    return Table("Checks", ("Check", "Result", "Deciding number", "Limit", "What was found"), rows, prose=True)


def criteria_table(check: Check) -> Table:
    """Return every number of a check with its limit and the reason of that limit."""
    rows = [
        (c.name, amount(c.value, c.unit), _limit(c), Badge("passed" if c.passed else "failed"), c.reason)
        for c in check.criteria
    ]
    return Table(f"Numbers of {check.title}", ("Measured", "Value", "Limit", "", "Why this limit"), rows, prose=True)


def amount(value: float, unit: str = "") -> str:
    """Return a number with its unit, or that there is none."""
    return "none" if value != value else f"{value:.3g}{f' {unit}' if unit else ''}"


def _limit(c: Criterion) -> str:
    return f"{'at least' if c.at_least else 'at most'} {amount(c.limit, c.unit)}"


def check_figures(check: Check, prefix: str, titled: bool = True) -> Iterator[Figure]:
    """Give the figures of a check, each with how to read it.

    Parameters
    ----------
    check
        One that was made.
    prefix
        Makes their names unique on the page.
    titled
        Whether a figure has the title of the check, or, beneath that title, a name of its own.
    """
    from single_rs.plots.validation import plot_check

    for name, drawing in plot_check(check).items():
        caption = _CAPTIONS[check.name, name]
        width, height = drawing.get_size_inches()
        svg = figure_svg(drawing, f"{prefix}-{name}", f"{check.title}: {caption}")
        wide, data = width > _WIDE * height, figure_data(drawing)
        title = f"Check: {check.title}" if titled else name.capitalize()
        yield Figure(title, caption, svg, wide, f"{prefix}-{name}", data)
