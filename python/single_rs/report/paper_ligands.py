"""Figures of ligands from folders of ``single-rs ligand``: where they sit, how they bind, and the charge that moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from single_rs.base.errors import DataFileError
from single_rs.ligands.binding import charge_difference, read_binding
from single_rs.ligands.files import read_ligands
from single_rs.plots.ligands import plot_binding, plot_charge_difference, plot_ligand_sites
from single_rs.plots.particles import Still
from single_rs.report.paper_recipes import Absent, Recipe
from single_rs.store import layout

__all__ = ["LIGAND_FIGURES", "is_ligand_folder"]


def is_ligand_folder(path: Path) -> bool:
    """Whether a source is a folder of ``single-rs ligand``."""
    return path.is_dir() and (path / layout.LIGAND_RECORD).exists()


def _suffix(folders: Sequence[Path], folder: Path) -> str:
    return "" if len(folders) == 1 else f"_{folder.resolve().name}"


def _name(surface: str, facet: str) -> str:
    return f"the {{{facet}}} facets of the particle" if surface == "particle" else f"a slab of {surface}"


def _sites(folders: Sequence[Path]) -> Iterator[tuple[str, Figure, str]]:
    if not folders:
        raise Absent("no folder of 'single-rs ligand' is given")
    for folder in folders:
        atoms, record = read_ligands(folder)
        still = Still(record.surface, np.asarray(atoms.positions), np.array(atoms.get_chemical_symbols()))
        slab = record.surface != "particle"
        axes = plot_ligand_sites(still, atoms.arrays["ligand"] > 0, cell=atoms.cell.array if slab else None)
        count = f"{record.count} molecules" if record.count > 1 else "One molecule"
        caption = f"{count} of {record.ligand} on {_name(record.surface, record.facet)}, from the side and from above."
        yield _suffix(folders, folder), axes[0].figure, caption


def _binding(folders: Sequence[Path]) -> Iterator[tuple[str, Figure, str]]:
    energies: dict[str, dict[str, float]] = {}
    codes, ligands, reasons = set(), set(), []
    for folder in folders:
        try:
            row = read_binding(folder)
        except DataFileError as reason:
            reasons.append(str(reason))
            continue
        series = "particle" if row.surface == "particle" else "slab"
        energies.setdefault(series, {})[row.facet] = row.energy
        codes.add(row.code)
        ligands.add(row.ligand)
    if not energies:
        raise Absent(reasons[0] if reasons else "no folder of 'single-rs ligand' is given")
    if len(codes) > 1:
        raise Absent(f"energies of several codes ({', '.join(sorted(codes))}) are not shown side by side")
    found = plot_binding(energies)
    missing = f" {len(reasons)} surfaces have no finished runs." if reasons else ""
    yield "", found.figure, f"Binding energy of {', '.join(sorted(ligands))} by plane, {codes.pop()}.{missing}"  # type: ignore[misc]


def _charge(folders: Sequence[Path]) -> Iterator[tuple[str, Figure, str]]:
    reasons = []
    drawn = False
    for folder in folders:
        try:
            one = charge_difference(folder)
        except DataFileError as reason:
            reasons.append(str(reason))
            continue
        _, record = read_ligands(folder)
        still = Still(record.surface, np.asarray(one.atoms.positions), np.array(one.atoms.get_chemical_symbols()))
        slab = record.surface != "particle"
        axes = plot_charge_difference(one.difference, one.cell, np.zeros(3), still, one.guest, slab=slab)
        drawn = True
        yield (
            _suffix(folders, folder), axes[0].figure, f"Charge that {record.ligand} gains (yellow) and loses (blue) on "
            f"{_name(record.surface, record.facet)}; {one.moved:.2f} electrons move. Right, its mean over planes.",
        )  # fmt: skip
    if not drawn:
        raise Absent(reasons[0] if reasons else "no folder of 'single-rs ligand' is given")


LIGAND_FIGURES = (
    Recipe("ligand_sites", "3E", "Ligands on their sites", _sites),
    Recipe("binding", "3E, table S2", "Binding energies by plane", _binding),
    Recipe("charge_difference", "3F", "Charge-density difference", _charge),
)
