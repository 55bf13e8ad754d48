"""All figures for a paper from finished particles or plain coordinates, as PDF, SVG and PNG, with a list of captions.

Figures have the widths of a journal (5.7, 12.1 or 18.4 cm) or less, type of 6 to 8.5 points, one style and one colour
scale per quantity. Fonts are embedded as outlines in PDF and as paths in SVG, and no dates are written: the same input
gives the same files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from single_rs.analysis.strain import StrainConfig
from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import DataFileError, InputError
from single_rs.base.progress import Progress, in_notebooks
from single_rs.io import atomic, write_text
from single_rs.report.paper_ligands import LIGAND_FIGURES, is_ligand_folder
from single_rs.report.paper_recipes import EACH, TOGETHER, Absent, Recipe
from single_rs.report.paper_subjects import Subject, read_subjects
from single_rs.store import layout
from single_rs.store.folder import one_stage

__all__ = ["KINDS", "DrawnFigure", "figures"]

KINDS = tuple(recipe.name for recipe in (*TOGETHER, *EACH, *LIGAND_FIGURES))
FORMATS = ("pdf", "svg", "png")
_DPI = 300


@dataclass(frozen=True)
class DrawnFigure:
    """One figure that was drawn, or why it was not.

    Attributes
    ----------
    name
        Of its files, without suffix.
    title, caption
        What it shows.
    like
        Figures of Kim et al. (2020) that show the same, "" where none does.
    files
        PDF, SVG and PNG; none when it was not drawn.
    absent
        Why it was not drawn, "" when it was.
    """

    name: str
    title: str
    caption: str
    like: str
    files: tuple[Path, ...] = ()
    absent: str = ""


@in_notebooks
@single_blas_thread()
def figures(
    sources: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    only: Sequence[str] = (),
    formats: Sequence[str] = FORMATS,
    element: str | None = None,
    structure: str | None = None,
    strain: StrainConfig | None = None,
    measured: str | os.PathLike[str] | None = None,
    states: bool = False,
    progress: Progress | None = None,
) -> list[DrawnFigure]:
    """Draw every figure of a paper that the data allow.

    Parameters
    ----------
    sources
        Folders of runs or of particles, or files of atoms (extxyz, xyz, PDB, CIF, POSCAR); and folders of
        ``single-rs ligand``, whose sites, binding energies and moved charge are drawn.
    out
        Folder for the figures and their list, figures.md.
    only
        Kinds to draw, of `KINDS`; all without it.
    formats
        Any of "pdf", "svg", "png".
    element, structure, strain
        As in `single_rs.analyze`.
    measured
        Text file of a measured powder pattern, two columns: q (1/Å) and intensity.
    states
        Draw each state of a particle that changed like a particle of its own.
    progress
        Called as progress(stage, done, total).

    Returns
    -------
    list of DrawnFigure
        Those drawn and those that were not, in the order of the kinds.

    Raises
    ------
    InputError
        An unknown kind or format.
    DataFileError
        A source that cannot be read.
    """
    for given, known, what in ((only, KINDS, "kind of figure"), (formats, FORMATS, "format")):
        for name in given:
            if name not in known:
                raise InputError(f"{what} is {name!r}; accepted: {', '.join(known)}")
    pattern = None if measured is None else _read_pattern(Path(measured))
    places = [Path(s) for s in sources]
    bound = [path for path in places if is_ligand_folder(path)]
    rest = [path for path in places if path not in bound]
    subjects = read_subjects(rest, element, structure, strain, progress, states) if rest or not bound else []
    tasks: list[tuple[Recipe, Subject | None]] = [(r, None) for r in TOGETHER if subjects]
    tasks += [(r, s) for s in subjects for r in EACH]
    tasks += [(r, None) for r in LIGAND_FIGURES]
    tasks = [task for task in tasks if not only or task[0].name in only]
    drawn: list[DrawnFigure] = []
    target = Path(out)
    with one_stage(target, "figures") as writing:
        for k, (recipe, subject) in enumerate(tasks):
            if progress is not None:
                progress("figures", k, len(tasks))
            if recipe in LIGAND_FIGURES:
                made = recipe.draw(bound)
            elif subject is not None:
                made = recipe.draw(subject)
            else:
                made = recipe.draw(subjects, pattern) if recipe.name == "powder" else recipe.draw(subjects)
            name = recipe.name if subject is None or len(subjects) == 1 else f"{subject.name}_{recipe.name}"
            drawn += _draw(recipe, name, made, writing, formats, target)
        write_text(writing / layout.FIGURE_LIST, _listed(drawn))
    if progress is not None:
        progress("figures", len(tasks), len(tasks))
    return drawn


def _draw(
    recipe: Recipe,
    name: str,
    made: Iterator[tuple[str, Figure, str]],
    writing: Path,
    formats: Sequence[str],
    target: Path,
) -> list[DrawnFigure]:
    """Draw the figures of one kind into a folder."""
    out = []
    try:
        for suffix, figure, caption in made:
            files = _save(figure, f"{name}{suffix}", writing, formats)
            placed = tuple(target / file.name for file in files)
            out.append(DrawnFigure(f"{name}{suffix}", recipe.title, caption, recipe.like, placed))
    except Absent as reason:
        out.append(DrawnFigure(name, recipe.title, "", recipe.like, absent=str(reason)))
    except InputError as reason:
        out.append(DrawnFigure(name, recipe.title, "", recipe.like, absent=str(reason)))
    return out


def _save(figure: Figure, name: str, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write one figure in all formats, on white."""
    files = []
    with mpl.rc_context({"svg.hashsalt": name, "pdf.fonttype": 42, "svg.fonttype": "path"}):
        for kind in formats:
            files.append(folder / layout.FIGURE.format(name=name, kind=kind))
            none = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}[kind]
            with atomic(files[-1]) as partial:
                figure.savefig(
                    partial,
                    format=kind,
                    dpi=_DPI,
                    facecolor="white",
                    bbox_inches="tight",
                    pad_inches=0.03,
                    metadata=none,
                )
    return files


def _listed(drawn: Sequence[DrawnFigure]) -> str:
    """Markdown list of the figures, then of those that are absent."""
    lines = ["# Figures", ""]
    for one in drawn:
        if not one.absent:
            like = f" (as Fig. {one.like} of Kim et al. 2020)" if one.like else ""
            lines += [f"**{one.name}** - {one.title}{like}. {one.caption}", ""]
    if any(one.absent for one in drawn):
        lines += ["## Not drawn", ""]
        for one in drawn:
            if one.absent:
                lines.append(f"- {one.name}{f' (as Fig. {one.like})' if one.like else ''}: {one.absent}")
    return "\n".join(lines).rstrip() + "\n"


def _read_pattern(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read q and intensity of a measured powder pattern."""
    try:
        table = np.loadtxt(path, delimiter="," if path.suffix == ".csv" else None, comments="#", ndmin=2)
    except (OSError, ValueError) as error:
        raise DataFileError(f"{path} cannot be read as two columns, q (1/Å) and intensity: {error}") from None
    if table.shape[1] < 2 or len(table) < 2:
        raise DataFileError(f"{path} has shape {table.shape}; two columns, q (1/Å) and intensity, are needed")
    return table[:, 0], table[:, 1]
