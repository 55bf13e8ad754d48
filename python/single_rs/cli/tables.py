"""What a run found, in tables that an 80-column terminal, a pipe and a file show alike."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from single_rs.pipeline.entry import ParticleResult, RunResult

__all__ = ["WIDTH", "number", "run_lines", "table"]

WIDTH = 79  # characters


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of columns, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    lines = []
    for row in (head, *rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:]))]
        lines.append("  ".join(cells).rstrip())
    return lines


def run_lines(result: RunResult) -> list[str]:
    """Return a table of the particles, and below it why each is what it is."""
    head = ("particle", "verdict", "frames", "atoms", "σ pm", "map Å", "a b c Å")
    lines = table(head, [_row(p) for p in result.particles])
    for p in result.particles:
        reasons = p.reasons
        if p.verdict == "solved":
            shown = [f"{len(reasons)} tests passed; they stand in the report"]
            shown += [r for r in reasons if "cannot" in r or "not known" in r]
        else:
            shown = list(reasons)
        lines += ["", f"{p.folder.name}: {p.verdict}"]
        for reason in shown:
            lines += textwrap.wrap(reason, WIDTH, initial_indent="  - ", subsequent_indent="    ")
    return lines


def number(value: object, form: str) -> str:
    """Return a number as text, a dash where there is none."""
    return format(value, form) if isinstance(value, (int, float)) else "-"


def _row(particle: ParticleResult) -> tuple[str, ...]:
    s, atoms = particle.summary, particle.atoms
    cell = None if s.lattice is None else s.lattice.cell
    sigma = np.nan if atoms is None or not len(atoms) else float(np.nanmedian([*atoms.sigma, np.nan]))
    return (
        particle.folder.name,
        particle.verdict,
        number(s.frames_used, "d"),
        number(None if atoms is None else len(atoms), "d"),
        "-" if np.isnan(sigma) else f"{100 * sigma:.1f}",
        number(s.resolution, ".2f"),
        "-" if cell is None else f"{cell.a:.3f} {cell.b:.3f} {cell.c:.3f}",
    )
