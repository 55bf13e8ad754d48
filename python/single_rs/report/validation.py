"""``validation.html``: the checks of one particle.

A table of all checks first, each with its deciding number; then a section for each that was made: what it tells, every
number with its limit and the reason of that limit, and the figures with one sentence on how to read them.
"""

from __future__ import annotations

from typing import Any

from single_rs import __version__
from single_rs.records.check import FAILED, NOT_RUN, PASSED, UNDECIDED, Check, Validation
from single_rs.report.checks import amount, check_figures, check_table, criteria_table
from single_rs.report.templating import render_page
from single_rs.report.views import Badge, Details, Grid, Note, Page, Section, Table

__all__ = ["render"]


def render(result: Validation) -> str:
    """Return the page.

    Parameters
    ----------
    result
        All checks of one particle.
    """
    states = [check.status for check in result.checks]
    made = len(states) - states.count(NOT_RUN)
    parts = ", ".join(f"{states.count(s)} {s}" for s in (PASSED, FAILED, UNDECIDED) if s in states)
    checks = Section("checks", "Checks", [check_table(result, linked=True)], Badge(result.status))
    page = Page(
        title=f"Validation of {result.particle}",
        eyebrow="Validation",
        lede=f"{made} of {len(states)} checks were made{f', {parts}' if parts else ''}. Each number has a limit; a "
        "check passes when all of its numbers keep theirs.",
        sections=[checks, *(_section(check) for check in result.checks if check.criteria)],
        footer=f"Made by single_rs {__version__}.",
    )
    return render_page(page)


def _section(check: Check) -> Section:
    """Return the section of one check that was made."""
    blocks: list[Any] = [Note(check.meaning, quiet=True), Note(f"Found: {check.message}.")]
    if check.status == UNDECIDED:
        blocks.append(Note(f"Undecided: {check.undecided}"))
    blocks.append(criteria_table(check))
    if drawn := list(check_figures(check, check.name, titled=False)):
        blocks.append(Grid(drawn))
    numbers = Table(f"Further numbers of {check.title}", ("", ""), [(k, amount(v)) for k, v in check.numbers.items()])
    blocks.append(Details(f"All numbers of this check ({check.seconds:.0f} s)", [numbers]))
    return Section(check.name, check.title, blocks, Badge(check.status), check.name.capitalize())
