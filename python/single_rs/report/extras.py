"""Sections of a report that appear when their files are there: strain statistics, defects, energy, validation.

    summary.json    strain.statistics: mean, spread and quantiles of every measure, core and surface
    strain.csv, structure.csv, energy.xyz    columns per atom that the 3D view can colour by
    structure.json  grains, faults, dislocations, vacancies, shape
    distances.csv, pdf.csv, powder.csv       distances along rows, pair distribution, powder pattern
    energy.json     formation energy; validation.json  each check with its limit

An absent file is no gap: these are steps of their own. An unreadable one is named in the page. Files of other versions
may lack parts; what is there is shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from single_rs.io.json import number
from single_rs.report import tables
from single_rs.report.figures import ReportFigure, drawn
from single_rs.report.files import attempt, read_json, read_table
from single_rs.store import layout

if TYPE_CHECKING:
    from single_rs.report.files import ParticleFiles

__all__ = ["add_columns", "extra_figures", "extra_tables"]

# File → columns that atoms can be coloured by, with the name they get.
_COLUMNS = {
    layout.STRAIN_TABLE: {"von_mises": "von_mises", "rotation": "rotation"},
    layout.STRUCTURE_TABLE: {"grain": "grain", "fault": "fault"},
}
_QUANTILES = ("q05", "q25", "q50", "q75", "q95")
_MOST = 8  # defects of one kind that are listed one by one


def add_columns(particle: ParticleFiles) -> None:
    """Add the columns of strain.csv, structure.csv and energy.xyz to the atoms, where they speak of the same ones."""
    atoms = particle.atoms
    if atoms is None:
        return
    count = len(atoms.positions)
    for name, columns in _COLUMNS.items():
        path = particle.folder / name
        table = attempt(path, read_table, particle.gaps) if path.exists() else None
        for column, known in columns.items():
            texts = (table or {}).get(column, [])
            if len(texts) == count:
                atoms.columns[known] = np.array([float(t) if t.strip() else np.nan for t in texts])
    path = particle.folder / layout.ENERGY_ATOMS
    model = attempt(path, _energies, particle.gaps) if path.exists() else None
    if model is not None and len(model) == count:
        atoms.columns["formation_energy"] = model


def _energies(path: Any) -> np.ndarray | None:
    from ase.io import read

    found: Any = read(path, format="extxyz", index=0)
    return found.arrays.get("formation_energy")


def _content(particle: ParticleFiles, name: str) -> dict[str, Any]:
    """Return a JSON file of the particle, empty when it is not there."""
    path = particle.folder / name
    return (attempt(path, read_json, particle.gaps) or {}) if path.exists() else {}


def extra_figures(particle: ParticleFiles) -> Iterator[ReportFigure]:
    """Give the figures of what is there."""
    for figures in (_strain, _distances, _pairs, _powder, _sites, _energy, _validation):
        yield from _tolerant(particle, figures)


def _tolerant(
    particle: ParticleFiles, figures: Callable[[ParticleFiles], Iterator[ReportFigure]]
) -> Iterator[ReportFigure]:
    """Give figures; a file of another version that lacks what they need is named instead."""
    try:
        yield from list(figures(particle))
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        what = figures.__name__.strip("_")
        particle.gaps.append(f"the {what} has another form than this version knows: {str(error)[:120]}")


def _strain(particle: ParticleFiles) -> Iterator[ReportFigure]:
    """Give the statistics of all measures of strain."""
    from single_rs.plots.strain import plot_strain_statistics

    strain = particle.summary.get("strain")
    table = strain.get("statistics") if isinstance(strain, dict) else None
    if not table:
        return
    rows = [
        SimpleNamespace(
            measure=measure, group=group, mean=number(found["mean"]), mean_error=number(found.get("mean_err")),
            quantiles=[number(found[q]) for q in _QUANTILES],
        )
        for measure, groups in table.items()
        for group, found in groups.items()
    ]  # fmt: skip
    yield drawn(
        plot_strain_statistics(rows), f"p{particle.number}-strain-statistics", "Strain statistics",  # type: ignore[arg-type]
        "Means with their standard errors, quartiles (thick) and 5 to 95% (thin) of the atoms.", wide=True, height=4.4,
    )  # fmt: skip


def _distances(particle: ParticleFiles) -> Iterator[ReportFigure]:
    """Give the distances along the rows of the lattice."""
    path = particle.folder / layout.DISTANCES
    table = attempt(path, read_table, particle.gaps) if path.exists() else None
    if not table or not table.get("distance") or particle.atoms is None:
        return
    from single_rs.analysis.distances import RowDistances
    from single_rs.plots.distances import plot_row_distances

    def numbers(name: str) -> np.ndarray:
        return np.array(table[name], float)

    sigma = particle.atoms.get("sigma")
    positions = particle.atoms.positions
    rows = RowDistances(
        i=numbers("i").astype(int), j=numbers("j").astype(int), family=np.array(table["family"]),
        direction=np.column_stack([numbers(k) for k in "uvw"]).astype(int), distance=numbers("distance"),
        distance_err=numbers("distance_err"), radius=numbers("radius"), reference=numbers("reference"),
        positions=positions, sigma=np.full(len(positions), np.nan) if sigma is None else np.asarray(sigma, float),
    )  # fmt: skip
    yield drawn(
        plot_row_distances(rows), f"p{particle.number}-rows", "Distances along rows",
        "Distance of next neighbours along the rows of the lattice, against the fitted lattice: every pair, and the "
        "means of shells about the centre with their standard errors.", wide=True, height=3.6,
    )  # fmt: skip


def _columns(particle: ParticleFiles, name: str) -> tuple[dict[str, np.ndarray], str]:
    """Return the columns of a table of numbers and the comments above it; empty when it is not there."""
    path = particle.folder / name
    table = attempt(path, read_table, particle.gaps) if path.exists() else None
    if not table:
        return {}, ""
    lines = path.read_text(encoding="utf-8").splitlines()
    said = " ".join(line for line in lines[:4] if line.startswith("#"))
    return {key: np.array(values, float) for key, values in table.items()}, said


def _pairs(particle: ParticleFiles) -> Iterator[ReportFigure]:
    """Give the pair distribution function."""
    columns, said = _columns(particle, layout.PAIR_DISTRIBUTION)
    if not columns:
        return
    from single_rs.plots.distances import plot_pair_distribution

    stated = re.search(r"diameter: ([\d.]+)", said)
    result: Any = SimpleNamespace(**columns, diameter=float(stated[1]) if stated else float(columns["r"][-1]))
    yield drawn(
        plot_pair_distribution(result), f"p{particle.number}-pdf", "Pair distribution",
        "Pairs at each distance against atoms spread evenly in a body of the same size; the band is a standard error.",
    )  # fmt: skip


def _powder(particle: ParticleFiles) -> Iterator[ReportFigure]:
    """Give the powder pattern."""
    columns, said = _columns(particle, layout.POWDER)
    if not columns:
        return
    from single_rs.plots.powder import plot_powder

    radiation = "electron" if "electron" in said else "xray"
    edge = re.search(r"without the shift of the finite size: ([\d.]+ \+- [\d.]+)", said)
    size = f" Its peaks give a = {edge[1].replace('+-', '±')} Å, the size of the particle allowed for." if edge else ""
    yield drawn(
        plot_powder(SimpleNamespace(**columns, radiation=radiation)), f"p{particle.number}-powder", "Powder pattern",  # type: ignore[arg-type]
        f"What a powder of this particle would scatter, by the Debye equation.{size}",
    )  # fmt: skip


def _sites(particle: ParticleFiles) -> Iterator[ReportFigure]:
    """Give the kinds of surface site."""
    path = particle.folder / layout.STRUCTURE_TABLE
    table = attempt(path, read_table, particle.gaps) if path.exists() else None
    if not table or not table.get("site"):
        return
    from single_rs.analysis.structure.shape import SITES
    from single_rs.plots.structure import plot_site_types

    kinds = np.array([SITES.index(name) if name in SITES else -1 for name in table["site"]])
    if (kinds > 0).any():
        yield drawn(
            plot_site_types(kinds), f"p{particle.number}-sites", "Surface sites",
            "Atoms of the surface by the kind of their site, from their neighbours.",
        )  # fmt: skip


def _energy(particle: ParticleFiles) -> Iterator[ReportFigure]:
    """Give the formation energy of each atom."""
    from single_rs.plots.energy import plot_atom_energies

    atoms = particle.atoms
    energies = None if atoms is None else atoms.get("formation_energy")
    if atoms is None or energies is None:
        return
    calculator = _content(particle, layout.ENERGY).get("calculator") or "an unnamed calculator"
    yield drawn(
        plot_atom_energies(atoms.positions, energies, surface=atoms.surface), f"p{particle.number}-energies",
        "Formation energy of the atoms",
        f"Against the bulk, by {calculator}, at the measured positions without relaxation.", wide=True, height=3.4,
    )  # fmt: skip


def _validation(particle: ParticleFiles) -> Iterator[ReportFigure]:
    """Give the figures of the checks."""
    if not (particle.folder / layout.VALIDATION).exists():
        return
    from single_rs.base.errors import DataFileError
    from single_rs.plots.validation import plot_check
    from single_rs.store.validation import read_validation

    try:
        found = read_validation(particle.folder)
    except DataFileError as error:
        particle.gaps.append(str(error)[:200])
        return
    for check in found.checks:
        for name, figure in plot_check(check).items():
            width, height = figure.get_size_inches()
            wide = width > 1.8 * height
            caption = check.message or "See the table of checks."
            yield drawn(
                figure.axes, f"p{particle.number}-check-{check.name}-{name}", f"Check: {check.title}", caption,
                wide=wide, height=3.4,
            )  # fmt: skip


def extra_tables(particle: ParticleFiles) -> Iterator[tuple[str, str]]:
    """Give headings and cards (HTML) of structure, energy and validation."""
    structure = _content(particle, layout.STRUCTURE)
    if structure:
        yield "Structure and defects", _list_card(_structure(structure))
    energy = _content(particle, layout.ENERGY)
    if energy.get("formation_energy_per_atom") is not None:
        yield "Energy", _list_card(_energy_facts(energy))
    checks = _content(particle, layout.VALIDATION).get("checks")
    if isinstance(checks, list) and checks:
        yield "Validation", _checks(checks)


def _list_card(rows: list[tuple[str, str]]) -> str:
    return f'<div class="card facts two">{tables.facts(rows)}</div>'


def _structure(content: dict[str, Any]) -> list[tuple[str, str]]:
    """Return grains, defects and shape as names and values."""
    rows: list[tuple[str, str]] = []
    types = content.get("structure_types") or {}
    rows.append(("Structure", tables.text(", ".join(f"{n} {k}" for k, n in types.items() if n)) or tables.DASH))
    grains = content.get("grains") or []
    listed = ", ".join(f"{g.get('structure')} {g.get('atoms')}" for g in grains)
    rows.append(("Grains", tables.text(f"{len(grains)}: {listed}" if grains else "none")))
    boundaries = content.get("boundaries") or []
    if boundaries:
        listed = ", ".join(f"{b.get('relation')} {number(b.get('angle')):.1f}°" for b in boundaries[:_MOST])
        rows.append(("Boundaries", tables.text(listed)))
    for key, name in (("faults", "Planar faults"), ("dislocations", "Dislocations")):
        found = content.get(key) or []
        listed = ", ".join(" ".join(str(d[k]) for k in ("kind", "name") if d.get(k)) for d in found[:_MOST])
        rows.append((name, tables.text(f"{len(found)}: {listed}" if found else "none")))
    vacancies = content.get("vacancies") or []
    rows.append(("Vacancies", tables.text(len(vacancies) or "none")))
    bend = content.get("bend")
    if isinstance(bend, dict) and isinstance(bend.get("angle"), (int, float)):
        rows.append(("Bend", tables.number(bend["angle"], 2, "°")))
    shape = content.get("shape")
    if isinstance(shape, dict):
        radii = ", ".join(f"{number(r):.1f}" for r in shape.get("radii") or [])
        rows.append(("Principal radii", f"{tables.text(radii)}&nbsp;Å"))
        rows.append(("Sphericity", tables.number(shape.get("sphericity"), 3)))
        fractions = shape.get("facet_fractions") or {}
        if isinstance(fractions, dict):
            listed = ", ".join(
                f"{k if k == 'other' else f'{{{k}}}'} {100 * number(v):.0f}%" for k, v in fractions.items()
            )
            rows.append(("Facets", tables.text(listed)))
    return rows


def _energy_facts(content: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the formation energy as names and values."""
    value, error = content["formation_energy_per_atom"], content.get("formation_energy_per_atom_err")
    rows = [
        ("Formation energy per atom", f"{tables.concise(value, error, 3)}&nbsp;eV"),
        ("Calculator", tables.text(content.get("calculator") or tables.DASH)),
    ]
    if content.get("bias") is not None:
        rows.append(("Bias by position noise, taken off", tables.number(content["bias"], 3, "eV")))
    notes = content.get("notes")
    if isinstance(notes, list) and notes:
        rows.append(("Notes", tables.text("; ".join(map(str, notes)))))
    return rows


def _checks(checks: list[dict[str, Any]]) -> str:
    """Return one line per check: what was measured, the limit, and the sentence on it."""
    rows = []
    for check in checks:
        status = str(check.get("status"))
        shown = tables.text(status)
        label = f'<span class="badge {status}">{shown}</span>' if status in ("passed", "failed") else shown
        unit = str(check.get("unit") or "")
        limit = check.get("limit")
        wanted = (
            f"{tables.text(check.get('comparison') or '')} {tables.number(limit, 3, unit)}" if limit is not None else ""
        )
        rows.append(
            f'<tr><th scope="row">{tables.text(check.get("title") or check.get("name"))}</th><td>{label}</td>'
            f'<td class="num">{tables.number(check.get("value"), 3, unit)}</td><td class="num">{wanted}</td>'
            f"<td>{tables.text(check.get('message') or '')}</td></tr>"
        )
    heads = ("Check", "Result", "Measured", "Limit", "What it says")
    header = "".join(f'<th scope="col"{" class=num" if k in (2, 3) else ""}>{h}</th>' for k, h in enumerate(heads))
    head, body = f"<thead><tr>{header}</tr></thead>", f"<tbody>{''.join(rows)}</tbody>"
    return f'<div class="card scroll"><table class="checks">{head}{body}</table></div>'
