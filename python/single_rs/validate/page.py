"""``validation.html``: the checks of one particle on one page that needs no network."""

from __future__ import annotations

import html

from single_rs.validate.types import FAILED, PASSED, Check, Criterion, Validation

__all__ = ["render"]

_STYLE = """
:root { color-scheme: light dark; --fig-ink: #1f2328; --fig-muted: #667085; --fig-grid: #dfe3e8; --fig-blue: #0072b2;
  --fig-orange: #d55e00; --fig-green: #009e73; --fig-purple: #cc79a7; --fig-sky: #56b4e9; --page: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --fig-ink: #e6e8eb; --fig-muted: #9aa4b2; --fig-grid: #3a3f47;
  --fig-blue: #56b4e9; --fig-orange: #ff9149; --fig-green: #2ec99b; --page: #16181c; } }
body { background: var(--page); color: var(--fig-ink); font: 15px/1.5 system-ui, sans-serif; max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0 1rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .7rem .25rem 0;
  border-bottom: 1px solid var(--fig-grid); }
td.number { white-space: nowrap; font-variant-numeric: tabular-nums; }
.passed { color: var(--fig-green); } .failed { color: var(--fig-orange); } .not { color: var(--fig-muted); }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; } svg { max-width: 100%; height: auto; }
h2 { margin-top: 2.2rem; font-size: 1.15rem; } small { color: var(--fig-muted); }
"""


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
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>\n'
        f"<h1>{title}</h1>\n<p>{_status(result.status)}</p>\n"
        f"<table><tr><th>check</th><th>result</th><th></th></tr>{rows}</table>\n{sections}</body></html>\n"
    )


def _status(status: str) -> str:
    kind = {PASSED: "passed", FAILED: "failed"}.get(status, "not")
    return f'<strong class="{kind}">{status}</strong>'


def _row(check: Check) -> str:
    title, message = html.escape(check.title), html.escape(check.message)
    return f"<tr><td>{title}</td><td>{_status(check.status)}</td><td>{message}</td></tr>"


def _criterion(c: Criterion) -> str:
    word = "at least" if c.at_least else "at most"
    unit = f" {html.escape(c.unit)}" if c.unit else ""
    state = _status(PASSED if c.passed else FAILED)
    return (
        f'<tr><td>{html.escape(c.name)}</td><td class="number">{c.value:.4g}{unit}</td>'
        f'<td class="number">{word} {c.limit:.4g}{unit}</td><td>{state}</td><td>{html.escape(c.reason)}</td></tr>'
    )


def _section(check: Check) -> str:
    from single_rs.plots.validation import plot_check
    from single_rs.report.svg import figure_svg

    head = "<tr><th>measured</th><th>value</th><th>limit</th><th></th><th>why</th></tr>"
    criteria = "".join(_criterion(c) for c in check.criteria)
    numbers = "; ".join(f"{html.escape(k)} {v:.4g}" for k, v in check.numbers.items())
    drawings = "".join(
        figure_svg(drawing, f"{check.name}-{name}", f"{check.title}: {name}")
        for name, drawing in plot_check(check).items()
    )
    return (
        f"<h2>{html.escape(check.title)}</h2><p>{html.escape(check.message)}</p><table>{head}{criteria}</table>"
        f'<div class="figures">{drawings}</div><p><small>{numbers}</small></p>\n'
    )
