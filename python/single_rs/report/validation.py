"""``validation.html``: the checks of one particle on one page that needs no network.

A table of all checks first, each with its deciding number; then a section for each that was made: what it tells, every
number with its limit and the reason of that limit, and the figures with one sentence on how to read them.
"""

from __future__ import annotations

import html

from single_rs.records.check import FAILED, NOT_RUN, PASSED, UNDECIDED, Check, Criterion, Validation

__all__ = ["render"]

_STYLE = """
:root { color-scheme: light dark; --fig-ink: #1f2328; --fig-muted: #667085; --fig-grid: #dfe3e8; --fig-blue: #0072b2;
  --fig-orange: #d55e00; --fig-green: #009e73; --fig-purple: #cc79a7; --fig-sky: #56b4e9; --page: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --fig-ink: #e6e8eb; --fig-muted: #9aa4b2; --fig-grid: #3a3f47;
  --fig-blue: #56b4e9; --fig-orange: #ff9149; --fig-green: #2ec99b; --page: #16181c; } }
body { background: var(--page); color: var(--fig-ink); font: 15px/1.5 system-ui, sans-serif; max-width: 66rem;
  margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0 1rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0;
  border-bottom: 1px solid var(--fig-grid); }
th { font-weight: 600; color: var(--fig-muted); font-size: .85rem; }
td.number { white-space: nowrap; font-variant-numeric: tabular-nums; }
a { color: inherit; }
.passed { color: var(--fig-green); } .failed { color: var(--fig-orange); } .undecided { color: var(--fig-purple); }
.not { color: var(--fig-muted); } .status { white-space: nowrap; }
.figures { display: flex; flex-wrap: wrap; gap: 1.2rem; } svg { max-width: 100%; height: auto; display: block; }
figure { margin: 0; } figcaption { color: var(--fig-muted); font-size: .85rem; max-width: 28rem; }
figure.wide { flex-basis: 100%; } figure.wide figcaption { max-width: none; }
section { margin-top: 2.4rem; border-top: 2px solid var(--fig-grid); } h2 { margin: .8rem 0 .2rem; font-size: 1.15rem; }
details { color: var(--fig-muted); font-size: .85rem; } details table { width: auto; } p.meaning { margin: .2rem 0; }
.scroll { overflow-x: auto; }
"""
_MARKS = {PASSED: "✓ ", FAILED: "✗ ", UNDECIDED: "? "}
_WIDE = 1.55  # width over height from which a figure gets a line of its own

# (check, figure) → how to read it.
_CAPTIONS: dict[tuple[str, str], str] = {
    ("reprojection", "pictures"): "Frames, and averages of frames in nearly one pose, above what the atoms predict for "
    "them; r is their correlation. The columns of atoms must lie on the spots of the averages.",
    (
        "reprojection",
        "shells",
    ): "Blue should stay near 1 up to the resolution of the map; it falls where atoms or poses "
    "are off by that period. Grey is what the noise leaves of it in single frames.",
    ("reprojection", "frames"): "Blue must lie to the right of grey: a frame fits its own pose better than others.",
    ("halves", "distance"): "One point per atom: how far apart the two half models put it. Points that rise towards "
    "the rim are loose or badly seen atoms.",
    ("heldout", "gain"): "One point per frame. Right poses and atoms lie along the full line, wrong poses along the "
    "dashed one; grey is a ball without atoms.",
    ("coverage", "sampling"): "The half sphere of directions, in the axes of the map, z in the middle; atoms are least "
    "sharp along the dark ones, which few frames measured.",
    ("perfect", "bonds"): "One point per bond of the perfect crystal; the green means should lie on the line at zero, "
    "from the centre to the surface.",
    (
        "defocus",
        "effects",
    ): "RMSD of a model crystal under each effect alone, as found and after the best uniform scale.",
    ("resimulation", "frames"): "Frames of the data, the same poses simulated from the atoms with noise in the same "
    "grey scale, and the simulation without noise.",
    ("resimulation", "distance"): "One point per atom: how far it came back from where it was put.",
    ("resimulation", "poses"): "Right poses lie left of the dashed line; a second heap at large angles is frames in a "
    "pose that is nearly equivalent, such as a turn of the lattice.",
    ("resimulation", "transfer"): "Where the curves differ, the microscope that was simulated is not that of the data: "
    "set validate.overfocus, c3, focal-spread and b-factor.",
}


def render(result: Validation) -> str:
    """Return the page.

    Parameters
    ----------
    result
        All checks of one particle.
    """
    title = f"Validation of {html.escape(result.particle)}"
    rows = "".join(_row(c) for c in result.checks)
    sections = "".join(_section(c) for c in result.checks if c.criteria)
    head = "<tr><th>check</th><th>result</th><th>deciding number</th><th>limit</th><th>what was found</th></tr>"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>\n'
        f"<h1>{title}</h1>\n<p>{_status(result.status)}: {_summary(result)}</p>\n"
        f'<div class="scroll"><table>{head}{rows}</table></div>\n{sections}</body></html>\n'
    )


def _summary(result: Validation) -> str:
    """Return how many checks ended how."""
    states = [c.status for c in result.checks]
    made = len(states) - states.count(NOT_RUN)
    parts = [f"{states.count(s)} {s}" for s in (PASSED, FAILED, UNDECIDED) if s in states]
    text = f"{made} of {len(states)} checks were made" + (f", {', '.join(parts)}" if parts else "")
    return text + ". Each number has a limit; a check passes when all of its numbers keep theirs."


def _status(status: str) -> str:
    kind = status if status in _MARKS else "not"
    return f'<strong class="status {kind}">{_MARKS.get(status, "")}{status}</strong>'


def _value(value: float, unit: str) -> str:
    """Return a number with its unit, or that there is none."""
    return "none" if value != value else f"{value:.3g}{f' {html.escape(unit)}' if unit else ''}"


def _limit(c: Criterion) -> str:
    return f"{'at least' if c.at_least else 'at most'} {_value(c.limit, c.unit)}"


def _row(check: Check) -> str:
    title, message = html.escape(check.title), html.escape(check.message)
    one = check.deciding
    if one is None:
        return (
            f'<tr><td>{title}</td><td>{_status(check.status)}</td><td></td><td></td><td class="not">{message}</td></tr>'
        )
    return (
        f'<tr><td><a href="#{check.name}">{title}</a></td><td>{_status(check.status)}</td>'
        f"<td>{html.escape(one.name)}: {_value(one.value, one.unit)}</td>"
        f'<td class="number">{_limit(one)}</td><td>{message}</td></tr>'
    )


def _criterion(c: Criterion) -> str:
    return (
        f'<tr><td>{html.escape(c.name)}</td><td class="number">{_value(c.value, c.unit)}</td>'
        f'<td class="number">{_limit(c)}</td><td>{_status(PASSED if c.passed else FAILED)}</td>'
        f"<td>{html.escape(c.reason)}</td></tr>"
    )


def _section(check: Check) -> str:
    head = "<tr><th>measured</th><th>value</th><th>limit</th><th></th><th>why this limit</th></tr>"
    criteria = "".join(_criterion(c) for c in check.criteria)
    excuse = f"<p>{_status(UNDECIDED)}: {html.escape(check.undecided)}</p>" if check.status == UNDECIDED else ""
    rows = "".join(f"<tr><td>{html.escape(k)}</td><td class=number>{_value(v, '')}</td></tr>"
                   for k, v in check.numbers.items())  # fmt: skip
    return (
        f'<section id="{check.name}"><h2>{html.escape(check.title)} {_status(check.status)}</h2>'
        f'<p class="meaning">{html.escape(check.meaning)}</p><p>Found: {html.escape(check.message)}.</p>{excuse}'
        f'<div class="scroll"><table>{head}{criteria}</table></div><div class="figures">{_figures(check)}</div>'
        f"<details><summary>All numbers of this check ({check.seconds:.0f} s)</summary><table>{rows}</table></details>"
        "</section>\n"
    )


def _figures(check: Check) -> str:
    from single_rs.plots.validation import plot_check
    from single_rs.report.svg import figure_svg

    parts = []
    for name, drawing in plot_check(check).items():
        caption = _CAPTIONS[check.name, name]
        width, height = drawing.get_size_inches()
        wide = ' class="wide"' if width > _WIDE * height else ""
        picture = figure_svg(drawing, f"{check.name}-{name}", f"{check.title}: {caption}")
        parts.append(f"<figure{wide}>{picture}<figcaption>{html.escape(caption)}</figcaption></figure>")
    return "".join(parts)
