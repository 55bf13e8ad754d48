"""One self-contained HTML page per run: verdicts, figures, an interactive 3D view of the atoms, times and settings.

The page is made from the files of a run directory alone, so it can be made again at any time and by anyone who has
them. It loads nothing from the network, and its content security policy forbids it to.
"""

from __future__ import annotations

import os
from pathlib import Path

from single_rs.io import write_text
from single_rs.report.files import read_run
from single_rs.report.page import render
from single_rs.store.layout import REPORT

__all__ = ["write_report"]


def write_report(out_dir: str | os.PathLike[str], path: Path | None = None) -> Path:
    """Write ``report.html`` of a run.

    Parameters
    ----------
    out_dir
        Directory that ``single-rs run`` or ``solve`` wrote (run.json, motion.csv, tracks.star, particle_XX/…). What is
        missing or unreadable is named in the page. Shown when present: ``mean.mrc``, the aligned mean image, and
        ``particle_XX/clean_examples.npy`` (k, y, x) with ``clean_examples.json``, ``{"index": [k images]}``.

    path
        Where the page is written; ``report.html`` in `out_dir` when not given.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    DataFileError
        When the directory is not a run, or the page cannot be written.
    """
    target = path or Path(out_dir) / REPORT
    page = render(read_run(out_dir))
    write_text(target, page)
    return target
