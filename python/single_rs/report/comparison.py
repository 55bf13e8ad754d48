"""The page of a comparison: gallery, lattice, strain and energy against size, trends and the table of all particles.

Built from the same parts as the report of a run, and as self-contained: it loads nothing from the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from single_rs import __version__, plots
from single_rs.compare.trends import Comparison, SizeTrend
from single_rs.crystal.prototypes import bulk_reference
from single_rs.report.figures import drawn
from single_rs.report.numbers import count
from single_rs.report.templating import render_page
from single_rs.report.views import (
    DASH,
    Badge,
    Figure,
    Grid,
    Note,
    Page,
    Quantity,
    Row,
    Section,
    Table,
    Tile,
    concise,
)

__all__ = ["render_comparison"]

_CELL = ("a", "b", "c")
# Quantity → name, unit, decimals and factor in the tables.
_SHOWN = {
    "a": ("a", "Å", 4, 1.0),
    "b": ("b", "Å", 4, 1.0),
    "c": ("c", "Å", 4, 1.0),
    "mean_edge": ("Mean edge", "Å", 4, 1.0),
    "expansion": ("Mean edge against bulk", "%", 2, 100.0),
    "radial_strain": ("Mean radial strain", "%", 2, 100.0),
    "radial_strain_core": ("… of the core", "%", 2, 100.0),
    "radial_strain_surface": ("… of the surface", "%", 2, 100.0),
    "radial_strain_std": ("Spread of radial strain", "%", 2, 100.0),
    "formation_energy": ("Formation energy", "eV/atom", 3, 1.0),
}
# What strain is measured from, in words.
_REFERENCES = {"bulk": "the bulk", "fit": "the best fit", "not stated": "not stated"}
_CHANCE = 0.05  # a slope less likely than this by chance is one


def render_comparison(comparison: Comparison) -> str:
    """Return the whole page as HTML.

    Parameters
    ----------
    comparison
        Result of `single_rs.compare_particles`.
    """
    used = len(comparison.particles) - len(comparison.left_out)
    sections = [Section("particles", "Particles", [_table(comparison), *_grid(_gallery(comparison))])]
    for key, name, figures in (
        ("lattice", "Lattice", _lattice(comparison)),
        ("strain", "Strain", _strain(comparison)),
        ("energy", "Energy", _energy(comparison)),
    ):
        if blocks := _grid(figures):
            sections.append(Section(key, name, blocks))
    sections.append(Section("trends", "Trends", [_trend_table(comparison)]))
    page = Page(
        title=f"{count(len(comparison.particles), 'particle')} compared",
        eyebrow="Comparison",
        lede=" ".join(
            [f"{used} of them in the trends. Hand undetermined, as always with projections."]
            + [f"{note[0].upper()}{note[1:]}." for note in comparison.notes]
        ),
        tiles=_tiles(comparison),
        sections=sections,
        footer=f"Made by single_rs {__version__}. Diameter: of the sphere of the volume of the atoms. Trends are "
        "weighted lines in 1/diameter; their errors include the scatter between particles.",
    )
    return render_page(page)


def _grid(figures: Iterator[Figure]) -> list[Grid]:
    """Return figures as cards; nothing without any."""
    found = list(figures)
    return [Grid(found)] if found else []


def _tiles(comparison: Comparison) -> list[Tile]:
    """Return the headline numbers."""
    size, _ = comparison.column("diameter")
    atoms, _ = comparison.column("atoms")
    known = size[np.isfinite(size)] / 10
    span = (f"{known.min():.2f} to {known.max():.2f}", "nm") if len(known) else (DASH, "")
    solved = sum(p.verdict == "solved" for p in comparison.particles)
    tiles = [
        Tile("Particles solved", [(f"{solved}", f"of {len(comparison.particles)}")]),
        Tile("Diameters", [span]),
        Tile.of("Atoms in all", Quantity(np.nansum(atoms), 0)),
    ]
    tiles.append(Tile("Strain measured from", [(_REFERENCES[comparison.reference], "")]))
    return tiles


def _hollow(comparison: Comparison) -> np.ndarray:
    return np.array([p.name in comparison.left_out for p in comparison.particles])


def _against(comparison: Comparison, series: dict[str, str], trend: str, label: str, **more: Any) -> Any:
    """Plot quantities against size, with the trends of one of them; ``None`` when nothing is known."""
    columns = {name: comparison.column(key) for name, key in series.items()}
    size, size_err = comparison.column("diameter")
    if not any((np.isfinite(values) & np.isfinite(size)).any() for values, _ in columns.values()):
        return None
    kinds = [t for t in comparison.trends if t.quantity == trend]
    lines = [("trend" if len(kinds) == 1 else f"{t.element} {t.structure}".strip(), t.line) for t in kinds]
    return plots.plot_against_size(
        size, columns, diameter_err=size_err, trends=lines, label=label, hollow=_hollow(comparison), **more
    )


def _said(comparison: Comparison, quantity: str) -> str:
    """Return the trends of a quantity in words."""
    parts = []
    name, unit, decimals, factor = _SHOWN[quantity]
    for t in (t for t in comparison.trends if t.quantity == quantity):
        small, large = 0.1 / t.line.x_range[1], 0.1 / t.line.x_range[0]
        slope = concise(factor * t.line.slope / 10, factor * t.line.slope_err / 10, decimals)
        known = "a slope" if t.line.chance < _CHANCE else "no slope that differs significantly from zero"
        parts.append(
            f"{known} over {t.line.count} particles of {small:.2f} to {large:.2f} nm, {slope} {unit} nm "
            f"(p = {t.line.chance:.2g})."
        )
        if t.supported:
            value = concise(factor * t.line.value, factor * t.line.value_err, decimals)
            beside = f" (bulk {factor * t.limit:.{decimals}f})" if np.isfinite(t.limit) else ""
            parts.append(f"At infinite size {value} {unit}{beside}.")
    return f" {name}: {' '.join(parts)}" if parts else ""


def _gallery(comparison: Comparison) -> Iterator[Figure]:
    """Give the particles at one scale."""
    shown = [p for p in comparison.particles if len(p.positions)]
    if not shown:
        return
    names = [f"{p.name}, {p.values['diameter'] / 10:.2f} nm" if "diameter" in p.values else p.name for p in shown]
    axes = plots.plot_gallery([p.positions for p in shown], [p.radial for p in shown], [p.cell for p in shown], names)
    yield drawn(
        axes, "gallery", "The particles at one scale",
        f"Along [110] of each lattice, coloured by radial strain{_from(comparison)}; grey where it is not known.",
        wide=True, height=2.5 * len(axes),
    )  # fmt: skip


def _lattice(comparison: Comparison) -> Iterator[Figure]:
    """Give the edges of the cells and the mean edge against the bulk."""
    bulk = _bulk(comparison)
    axes = _against(comparison, {k: k for k in _CELL}, "mean_edge", "Edge of the cell (Å)", bulk=bulk)
    if axes is not None:
        yield drawn(
            axes, "cells", "Lattice parameters",
            f"a, b and c of each particle, and the trend of their mean.{_said(comparison, 'mean_edge')}",
        )  # fmt: skip
    label = "Mean edge against bulk (%)"
    axes = _against(comparison, {"mean edge": "expansion"}, "expansion", label, bulk=0.0, scale=100.0)
    if axes is not None:
        yield drawn(
            axes, "expansion", "Expansion", "Cube root of the volume of the cell against that of the bulk; below 0 the "
            f"particle is compressed.{_said(comparison, 'expansion')}",
        )  # fmt: skip


def _bulk(comparison: Comparison) -> float | None:
    """Return the edge of the bulk cell when all particles are of one cubic element."""
    elements = {p.element for p in comparison.particles if len(p.positions)}
    bulk = bulk_reference(next(iter(elements))) if len(elements) == 1 else None
    return bulk.a if bulk is not None and bulk.c == bulk.a else None


def _strain(comparison: Comparison) -> Iterator[Figure]:
    """Give the mean radial strains and the distributions."""
    series = {"all": "radial_strain", "core": "radial_strain_core", "surface": "radial_strain_surface"}
    label = f"Mean radial strain{_from(comparison)} (%)"
    axes = _against(comparison, series, "radial_strain", label, scale=100.0)
    if axes is not None:
        yield drawn(
            axes, "radial", "Mean radial strain",
            f"∂u/∂r along the radius{_from(comparison)}, mean over atoms.{_said(comparison, 'radial_strain')}",
        )  # fmt: skip
    spread = {"all": "radial_strain_std"}
    axes = _against(comparison, spread, "radial_strain_std", "Spread of radial strain (%)", scale=100.0)
    if axes is not None:
        yield drawn(
            axes, "spread", "Spread of radial strain",
            f"Standard deviation over the atoms{_from(comparison)}, errors of positions included.",
        )  # fmt: skip
    shown = [p for p in comparison.particles if np.isfinite(p.radial).any()]
    if shown:
        names = [f"{p.values['diameter'] / 10:.2f} nm" if "diameter" in p.values else p.name for p in shown]
        axes = plots.plot_strain_distributions([p.radial for p in shown], [p.surface for p in shown], names)
        yield drawn(
            axes, "distributions", "Strain distributions", f"Radial strain{_from(comparison)} of the atoms of each "
            "particle, by size: core left, surface right, bars at the medians.", wide=True, height=3.6,
        )  # fmt: skip


def _from(comparison: Comparison) -> str:
    """Name the reference of the strain, for labels."""
    return {"bulk": " against bulk", "fit": " against the best fit"}.get(comparison.reference, "")


def _energy(comparison: Comparison) -> Iterator[Figure]:
    """Give the formation energies where they are known."""
    label = "Formation energy (eV/atom)"
    axes = _against(comparison, {"energy": "formation_energy"}, "formation_energy", label)
    if axes is not None:
        yield drawn(
            axes, "energy-size", "Formation energy",
            f"Energy per atom above that of the bulk.{_said(comparison, 'formation_energy')}", wide=True, height=3.6,
        )  # fmt: skip


def _table(comparison: Comparison) -> Table:
    """Return one line per particle."""
    heads = ("Particle", "Verdict", "Atoms", "Diameter", "Resolution", "a (Å)", "b (Å)", "c (Å)", "Against bulk",
             "Radial strain", "Energy (eV/atom)")  # fmt: skip
    rows: list[Row] = []
    for p in comparison.particles:
        v, e = p.values, p.errors
        rows.append((
            p.name, Badge(p.verdict), Quantity(v.get("atoms"), 0), Quantity(v.get("diameter", np.nan) / 10, 2, "nm"),
            Quantity(v.get("resolution"), 2, "Å"), *(Quantity(v.get(k), 4, "", e.get(k), short=True) for k in _CELL),
            *(_percent(v.get(k), e.get(k)) for k in ("expansion", "radial_strain")),
            Quantity(v.get("formation_energy"), 3, "", e.get("formation_energy"), short=True),
        ))  # fmt: skip
    return Table("Particles, the smallest first", heads, rows, copy=True)


def _percent(value: float | None, error: float | None) -> Quantity:
    """Return a fraction in per cent with its error in the last digits."""
    shown = None if value is None else 100 * value
    return Quantity(shown, 2, "%", None if error is None else 100 * error, short=True)


def _trend_table(comparison: Comparison) -> Table | Note:
    """Return all trends with their errors."""
    if not comparison.trends:
        return Note("Not enough particles: a trend needs three of one kind and of different sizes.")
    heads = ("Quantity", "Particles", "Sizes (nm)", "Slope", "p", "Through the limit", "At infinite size", "Scatter",
             "χ² / freedom")  # fmt: skip
    return Table("Trends with size", heads, [_trend_row(t) for t in comparison.trends], copy=True)


def _trend_row(trend: SizeTrend) -> Row:
    """Return one trend; slopes are per 1/nm."""
    name, unit, decimals, factor = _SHOWN[trend.quantity]
    line, nm = trend.line, factor / 10
    kind = " ".join(part for part in (trend.element, trend.structure) if part)
    through = trend.through
    at_infinity = Quantity(factor * line.value, decimals, unit, factor * line.value_err, short=True)
    return (
        f"{name}, {kind}" if kind else name,
        Quantity(line.count, 0),
        f"{0.1 / line.x_range[1]:.2f} to {0.1 / line.x_range[0]:.2f}",
        Quantity(nm * line.slope, decimals, f"{unit} nm", nm * line.slope_err, short=True),
        f"{line.chance:.2g}",
        DASH if through is None else Quantity(nm * through[0], decimals, f"{unit} nm", nm * through[1], short=True),
        at_infinity if trend.supported else "not carried by the sizes",
        Quantity(factor * line.scatter, decimals, unit),
        f"{Quantity(line.chi2, 1)} / {line.count - 2}",
    )
