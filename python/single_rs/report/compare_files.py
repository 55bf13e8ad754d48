"""Files of a comparison: compare.csv, compare.json and the page compare.html."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

from single_rs.compare.record import comparison_record
from single_rs.compare.trends import QUANTITIES, Comparison
from single_rs.io import atomic_text, writable_folder, write_text
from single_rs.report.comparison import render_comparison
from single_rs.store.codecs import write_record
from single_rs.store.layout import COMPARISON
from single_rs.store.tables import text_cell

__all__ = ["write_comparison"]


def write_comparison(comparison: Comparison, out: str | os.PathLike[str]) -> list[Path]:
    """Write compare.csv, compare.json and the page compare.html.

    Parameters
    ----------
    comparison
        Result of `compare_particles`.
    out
        Folder; made if needed.

    Returns
    -------
    list of Path
        The three files.
    """
    folder = writable_folder(out)
    paths = [folder / name for name in COMPARISON]
    page = render_comparison(comparison)
    with atomic_text(paths[0]) as file:
        _write_table(csv.writer(file, lineterminator="\n"), comparison)
    write_record(paths[1], comparison_record(comparison))
    write_text(paths[2], page)
    return paths


def _write_table(table: Any, comparison: Comparison) -> None:
    """Write one line per particle, values and errors side by side, empty where not known."""
    columns = [name for key in QUANTITIES for name in (key, f"{key}_err")]
    table.writerow(
        ["particle", "folder", "verdict", "element", "structure", "strain_reference", "calculator", *columns]
    )
    for row in comparison.particles:
        cells = []
        for key in QUANTITIES:
            cells += [_cell(row.values.get(key)), _cell(row.errors.get(key))]
        words = (
            row.name,
            row.folder.as_posix(),
            row.verdict,
            row.element,
            row.structure,
            row.reference,
            row.calculator,
        )
        table.writerow([*(text_cell(word) for word in words), *cells])


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.8g}"
