"""Numbers and tables of a report as HTML: verdict badges, summary, lattice, times, settings.

Everything that comes from a file is escaped; a value that is not known is an en dash, never a zero.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from single_rs.report.files import ParticleFiles

__all__ = [
    "badge",
    "concise",
    "facts",
    "header_cells",
    "lattice_facts",
    "nanometres",
    "number",
    "settings_tables",
    "summary_table",
    "table",
    "tile",
    "timing_table",
]

DASH = "–"
AUTO = "from the data"
_SYMBOLS = {"solved": "✓", "doubtful": "?", "failed": "✕"}


def text(value: Any) -> str:
    """Return any value as escaped text."""
    return html.escape(str(value))


def badge(verdict: str) -> str:
    """Return a verdict as a coloured label that also has a sign and the word, for those who see no colours."""
    return f'<span class="badge {verdict}"><span aria-hidden="true">{_SYMBOLS[verdict]}</span>{verdict}</span>'


def number(value: Any, decimals: int = 2, unit: str = "", error: Any = None) -> str:
    """Return a number with unit and standard error, or a dash when it is not known."""
    try:
        value = float(value)
    except (TypeError, ValueError):
        return DASH
    if not math.isfinite(value):
        return DASH
    shown = f"{value:,.{decimals}f}".replace("-", "−")
    try:
        spread = float(error)
        if math.isfinite(spread):
            shown += f' <span class="pm">± {spread:.{decimals}f}</span>'
    except (TypeError, ValueError):
        pass
    return f"{shown}{'' if unit in ('', '°', '%') else '&nbsp;'}{unit}"


def concise(value: Any, error: Any, decimals: int) -> str:
    """Return a number with its standard error in the last digits, 3.9023(14), as crystallographers write it.

    Without an error the number alone; an error that would round to zero in `decimals` gets one digit more.
    """
    try:
        value, error = float(value), float(error)
    except (TypeError, ValueError):
        return number(value, decimals)
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return number(value, decimals)
    digits = max(decimals, math.ceil(-math.log10(error)))
    return f"{value:.{digits}f}({round(error * 10**digits)})".replace("-", "−")


def tile(name: str, value: str) -> str:
    """Return one headline number; `value` is HTML."""
    return f'<div class="tile"><dt>{text(name)}</dt><dd>{value}</dd></div>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return name-value pairs as a definition list; values are HTML."""
    return "<dl>" + "".join(f"<dt>{text(name)}</dt><dd>{value}</dd>" for name, value in rows) + "</dl>"


def header_cells(names: Iterable[str], words: int) -> str:
    """Return the heads of columns (HTML), of which the first `words` hold words and the others numbers."""
    return "".join(f'<th scope="col"{" class=num" if k >= words else ""}>{h}</th>' for k, h in enumerate(names))


def table(header: str, rows: Iterable[str]) -> str:
    """Return a table that scrolls within its card, from the cells of its header and whole rows, all HTML."""
    return (
        f'<div class="card scroll"><table><thead><tr>{header}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def frames_used(particle: ParticleFiles) -> tuple[int | None, int | None]:
    """Return frames used and frames in all, from the summary or else from the poses."""
    used, total = particle.summary.get("frames_used"), particle.summary.get("frames", particle.frames)
    if used is None and particle.poses is not None:
        used = int((particle.poses.half > 0).sum())
    return used, total


def atom_count(particle: ParticleFiles) -> int | None:
    """Return the number of atoms from the file of atoms, or else from the summary."""
    return len(particle.atoms.positions) if particle.atoms is not None else particle.summary.get("atoms")


def cell_of(particle: ParticleFiles) -> Mapping[str, Any]:
    """Return the cell of lattice.json, or of the summary."""
    for source in (particle.lattice, particle.summary.get("lattice")):
        if isinstance(source, dict):
            cell = source.get("cell", source)
            if isinstance(cell, dict) and "a" in cell:
                return cell
    return {}


def summary_table(particles: list[ParticleFiles]) -> str:
    """Return the table of all particles."""
    heads = ("Particle", "Verdict", "Atoms", "Diameter", "Resolution", "Frames used",
             "a (Å)", "b (Å)", "c (Å)", "α (°)", "β (°)", "γ (°)")  # fmt: skip
    rows = []
    for p in particles:
        cell = cell_of(p)
        used, total = frames_used(p)
        cells = [
            f'<th scope="row" rowspan="2"><a href="#particle-{p.number}">Particle {p.number}</a></th>',
            f"<td>{badge(p.verdict)}</td>",
            f'<td class="num">{number(atom_count(p), 0)}</td>',
            f'<td class="num">{number(nanometres(p.summary.get("diameter")), 2, "nm")}</td>',
            f'<td class="num">{number(p.summary.get("resolution"), 2, "Å")}</td>',
            f'<td class="num">{number(used, 0)} <span class="pm">of {number(total, 0)}</span></td>',
        ]
        for key in ("a", "b", "c", "alpha", "beta", "gamma"):
            decimals = 4 if len(key) == 1 else 2
            cells.append(f'<td class="num">{concise(cell.get(key), cell.get(f"{key}_err"), decimals)}</td>')
        why = text("; ".join(p.reasons)) or DASH
        rows.append(f'<tr class="first">{"".join(cells)}</tr><tr><td class="why" colspan="11">{why}</td></tr>')
    return table(header_cells(heads, 2), rows)


def nanometres(value: Any) -> float | None:
    """Return Å as nm."""
    return value / 10 if isinstance(value, (int, float)) else None


def lattice_facts(particle: ParticleFiles) -> str:
    """Return the lattice with its errors, its strain against the bulk and its domains."""
    cell, lattice = cell_of(particle), particle.lattice
    if not cell:
        return "<h3>Lattice</h3><p class='gaps'>No lattice: the run found no atoms to fit one to.</p>"
    rows = [(name, number(cell.get(name), 4, "Å", cell.get(f"{name}_err"))) for name in ("a", "b", "c")]
    rows += [
        (sign, number(cell.get(name), 2, "°", cell.get(f"{name}_err")))
        for name, sign in (("alpha", "α"), ("beta", "β"), ("gamma", "γ"))
    ]
    rows.append(("Volume", number(cell.get("volume"), 2, "Å³", cell.get("volume_err"))))
    grown = lattice.get("expansion")
    if isinstance(grown, dict) and "mean" in grown:
        rows.append(("Against bulk", number(100 * grown["mean"], 2, "%", 100 * grown.get("mean_err", math.nan))))
    if "fraction_on_sites" in lattice:
        rows.append(("Atoms on sites", number(100 * lattice["fraction_on_sites"], 1, "%")))
    domains = lattice.get("domains") or []
    if len(domains) > 1:
        named = text(", ".join(f"{d.get('relation')} ({d.get('atoms')})" for d in domains))
        rows.append(("Domains", f'<span class="prose">{named}</span>'))
    return f"<h3>Lattice, {text(lattice.get('structure', 'best fit'))}</h3>{facts(rows)}"


def timing_table(stages: Mapping[str, Mapping[str, Any]]) -> str:
    """Return time and peak memory of every stage, with a bar of its share."""
    longest = max((float(s.get("seconds") or 0) for s in stages.values()), default=0.0) or 1.0
    rows = []
    for name, stage in stages.items():
        seconds = float(stage.get("seconds") or 0)
        state = "failed" if stage.get("failed") else "from an earlier run" if stage.get("reused") else ""
        said = text(name.replace("/", " · ").replace("_", " "))
        rows.append(
            f'<tr><th scope="row">{said}</th><td class="num">{seconds:,.1f} s</td>'
            f'<td class="meter-cell"><span class="meter" style="width:{100 * seconds / longest:.1f}%"></span></td>'
            f'<td class="num">{number(stage.get("peak_memory_mb"), 0, "MB")}</td><td>{state}</td></tr>'
        )
    total = sum(float(s.get("seconds") or 0) for s in stages.values())
    rows.append(
        f'<tr><th scope="row">All</th><td class="num"><b>{total:,.1f} s</b></td><td></td><td></td><td></td></tr>'
    )
    header = (
        '<th scope="col">Stage</th><th scope="col" class="num">Time</th><th scope="col"></th>'
        '<th scope="col" class="num">Peak memory</th><th scope="col"></th>'
    )
    return table(header, rows)


def settings_tables(config: Mapping[str, Any]) -> str:
    """Return all settings, one table per stage."""
    tables = []
    for stage, values in config.items():
        if not isinstance(values, dict):
            values = {"value": values}
        rows = "".join(
            f'<tr><th scope="row">{text(key)}</th><td class="num"><code>{AUTO if v is None else text(v)}</code></td>'
            "</tr>"
            for key, v in values.items()
        )
        tables.append(f"<table><caption>{text(stage)}</caption><tbody>{rows}</tbody></table>")
    return f'<div class="settings">{"".join(tables)}</div>'
