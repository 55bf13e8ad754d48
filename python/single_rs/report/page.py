"""Put the page together: header, summary, movie, one section per particle, times and settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import resources
from itertools import chain
from pathlib import Path

import numpy as np

from single_rs.report import figures, tables
from single_rs.report.extras import add_columns, extra_figures, extra_tables
from single_rs.report.files import ParticleFiles, RunFiles
from single_rs.report.interactive import MOVIE_FRAMES, player, viewer
from single_rs.report.tumbling import tumbling_data
from single_rs.report.view3d import view_data

__all__ = ["asset", "fill_page", "grid", "heading", "render"]


def render(run: RunFiles) -> str:
    """Return the whole page as HTML.

    Parameters
    ----------
    run
        From `single_rs.report.files.read_run`.
    """
    from single_rs import __version__

    sections = [("summary", "Summary", _summary(run))]
    if run.info.get("command") != "solve":
        sections.append(("movie", "Movie", _movie(run)))
    frames = max(30, MOVIE_FRAMES // max(1, len(run.particles)))
    sections += [(f"particle-{p.number}", f"Particle {p.number}", _particle(p, frames)) for p in run.particles]
    sections += [("timing", "Timing", _timing(run)), ("settings", "Settings", _settings(run))]
    slots = {
        "version": tables.text(__version__),
        "title": tables.text(_title(run)),
        "eyebrow": tables.text(_eyebrow(run)),
        "lede": _lede(run),
        "tiles": _tiles(run),
        "nav": "".join(f'<a href="#{key}">{tables.text(name)}</a>' for key, name, _ in sections),
        "body": "".join(
            f'<section id="{key}" aria-labelledby="h-{key}">{content}</section>' for key, _, content in sections
        ),
        "footer": _footer(run, __version__),
        "plotly": _plotly() if 'class="card viewer"' in "".join(content for *_, content in sections) else "",
        "js": "\n".join(asset(name) for name in ("density.js", "report.js", "player.js")),
    }
    return fill_page(slots)


def fill_page(slots: Mapping[str, str]) -> str:
    """Return the page with its slots (title, body, js …; HTML) filled and the common style sheet."""
    content = {**slots, "css": asset("report.css")}
    # One pass, so that braces in the content are never taken for slots.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: content[found.group(1)], asset("page.html"))


def asset(name: str) -> str:
    """Return a file that ships with the package."""
    return (resources.files("single_rs.report") / "assets" / name).read_text(encoding="utf-8")


def _plotly() -> str:
    """Return plotly.js, once for all views."""
    from plotly.offline import get_plotlyjs

    return f"<script>{get_plotlyjs().replace('</script', '<' + chr(92) + '/script')}</script>"


def _title(run: RunFiles) -> str:
    """Return the name of the input, or of the run directory."""
    source = run.info.get("input")
    path = source.get("path") if isinstance(source, dict) else source
    return Path(str(path)).name if path else run.folder.resolve().name


def _eyebrow(run: RunFiles) -> str:
    """Return one line on what was run and when."""
    parts = ["Run report"]
    parts += [str(run.info[key]) for key in ("finished", "started", "date") if run.info.get(key)][:1]
    if run.info.get("element"):
        parts.append(str(run.info["element"]))
    if run.pixel_size:
        parts.append(f"{run.pixel_size:.4g} Å per pixel")
    return " · ".join(parts)


def _lede(run: RunFiles) -> str:
    """Return the outcome in one sentence."""
    count = {v: sum(p.verdict == v for p in run.particles) for v in ("solved", "doubtful", "failed")}
    if not run.particles:
        return "No particle was found."
    said = ", ".join(f"{n} {v}" for v, n in count.items() if n)
    total = len(run.particles)
    return f"{total} particle{'' if total == 1 else 's'}: {said}. Hand undetermined, as always with projections."


def _tiles(run: RunFiles) -> str:
    """Return the headline numbers."""
    good = [p for p in run.particles if p.verdict != "failed"]
    atoms = sum(int(tables.atom_count(p) or 0) for p in good)
    resolutions = [float(p.summary["resolution"]) for p in good if p.summary.get("resolution")]
    sigmas = [
        float(np.nanmedian(p.atoms.columns["sigma"])) for p in good if p.atoms and p.atoms.get("sigma") is not None
    ]
    stages = run.info.get("stages")
    seconds = sum(float(s.get("seconds") or 0) for s in stages.values()) if isinstance(stages, dict) else None
    solved = sum(p.verdict == "solved" for p in run.particles)
    tiles = [
        tables.tile("Particles solved", f"{solved}<small>of {len(run.particles)}</small>"),
        tables.tile("Atoms placed", f"{atoms:,}"),
        tables.tile("Best resolution", f"{min(resolutions):.2f}<small>Å</small>" if resolutions else tables.DASH),
        tables.tile("Stated σ per axis", f"{min(sigmas) * 100:.1f}<small>pm</small>" if sigmas else tables.DASH),
        tables.tile("Time", _duration(seconds)),
    ]
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _duration(seconds: float | None) -> str:
    """Return a time as minutes and seconds."""
    if seconds is None:
        return tables.DASH
    if seconds < 60:
        return f"{seconds:.0f}<small>s</small>"
    return f"{int(seconds // 60)}<small>min</small> {int(seconds % 60)}<small>s</small>"


def heading(key: str, title: str, extra: str = "") -> str:
    """Return the heading of a section."""
    return f'<div class="head"><h2 id="h-{key}">{tables.text(title)}</h2>{extra}</div>'


def _gaps(gaps: Iterable[str]) -> str:
    """Return what is not in the page and why."""
    listed = "".join(f"<li>{tables.text(gap)}</li>" for gap in gaps)
    return f'<div class="gaps"><b>Not shown</b><ul>{listed}</ul></div>' if listed else ""


def grid(drawn: Iterable[figures.ReportFigure]) -> str:
    """Return figures as cards; empty without any."""
    drawn = list(drawn)
    cards = [
        f'<figure class="card{" wide" if f.wide or k in _alone(drawn) else ""}"><h3>{tables.text(f.title)}</h3>'
        f'<div class="drawing">{f.svg}</div><figcaption>{tables.text(f.caption)}</figcaption></figure>'
        for k, f in enumerate(drawn)
    ]
    return f'<div class="grid">{"".join(cards)}</div>' if cards else ""


def _alone(drawn: list[figures.ReportFigure]) -> set[int]:
    """Return which half-width figures have no partner, so that they may take the whole row."""
    alone, start = set(), 0
    for k in range(len(drawn) + 1):
        if k == len(drawn) or drawn[k].wide:
            if (k - start) % 2:
                alone.add(k - 1)
            start = k + 1
    return alone


def _summary(run: RunFiles) -> str:
    """Return the table of particles."""
    body = tables.summary_table(run.particles) if run.particles else '<p class="card">No particle was found.</p>'
    return heading("summary", "Summary") + body + _gaps(run.gaps)


def _movie(run: RunFiles) -> str:
    """Return tracks and motion."""
    body = grid(figures.movie_figures(run))
    return heading("movie", "Movie") + (body or '<p class="card">The run kept no tracks and no motion.</p>')


def _particle(particle: ParticleFiles, frames: int) -> str:
    """Return the section of one particle, with so many frames in its movie."""
    key = f"particle-{particle.number}"
    reasons = "".join(f"<li>{tables.text(reason)}</li>" for reason in particle.reasons)
    add_columns(particle)
    parts = [heading(key, f"Particle {particle.number}", tables.badge(particle.verdict))]
    if reasons:
        parts.append(f'<ul class="reasons {particle.verdict}" aria-label="Reasons of the verdict">{reasons}</ul>')
    parts.append(_stage(particle))
    tumbling = tumbling_data(particle, frames)
    if tumbling is not None:
        parts.append(player(particle, tumbling))
    groups = (
        ("Frames", figures.frame_figures(particle)),
        ("Atoms", chain(figures.atom_figures(particle), figures.strain_figures(particle))),
        ("Further analysis", extra_figures(particle)),
        ("Map", figures.map_figures(particle)),
        ("Poses and resolution", figures.pose_figures(particle)),
    )
    for name, drawn in groups:
        cards = grid(drawn)
        if cards:
            parts.append(f'<h3 class="group">{name}</h3>{cards}')
    parts += [f'<h3 class="group">{tables.text(name)}</h3>{card}' for name, card in extra_tables(particle)]
    notes = particle.summary.get("notes")
    parts.append(_gaps([*particle.gaps, *(notes if isinstance(notes, list) else [])]))
    return "".join(parts)


def _stage(particle: ParticleFiles) -> str:
    """Return the 3D view beside the facts of a particle."""
    data = view_data(particle, figures.unit_cell(particle))
    sides = f'<div class="card facts">{_facts(particle)}</div>'
    if data is None:
        return f'<div class="lone">{sides}</div><p class="gaps">No 3D view: there are neither atoms nor a map.</p>'
    return f'<div class="stage">{viewer(particle, data)}{sides}</div>'


def _facts(particle: ParticleFiles) -> str:
    """Return the numbers of one particle."""
    used, total = tables.frames_used(particle)
    summary, atoms = particle.summary, particle.atoms
    rows = [
        ("Atoms", tables.number(tables.atom_count(particle), 0)),
        ("Diameter", tables.number(tables.nanometres(summary.get("diameter")), 2, "nm")),
        ("Resolution, FSC 0.143", tables.number(summary.get("resolution"), 2, "Å")),
        ("Pixel size", tables.number(summary.get("pixel_size"), 4, "Å")),
    ]
    if ruler := summary.get("pixel_size_by_graphene"):
        rows.append(("Pixel size by graphene", tables.number(ruler["pixel_size"], 4, "Å", ruler["error"])))
    rows.append(("Frames used", f"{tables.number(used, 0)} of {tables.number(total, 0)}"))
    if particle.poses is not None and len(particle.poses.confidence):
        rows.append(("Mean pose confidence", tables.number(float(np.mean(particle.poses.confidence)), 3)))
    sigma = atoms.get("sigma") if atoms is not None else None
    if sigma is not None:
        rows.append(("Median σ per axis", tables.number(100 * float(np.nanmedian(sigma)), 1, "pm")))
    radial = atoms.get("radial_strain") if atoms is not None else None
    if atoms is not None and radial is not None:
        parts = [("Mean radial strain", np.ones(len(radial), bool))]
        if atoms.surface is not None:
            parts += [("of the core", ~atoms.surface), ("of the surface", atoms.surface)]
        rows += [(n, tables.number(100 * _mean(radial[m]), 2, "%")) for n, m in parts]
    hand = summary.get("hand") or getattr(particle.poses, "hand", None) or "undetermined"
    rows.append(("Hand", tables.text(hand)))
    return f"<h3>Particle</h3>{tables.facts(rows)}{tables.lattice_facts(particle)}"


def _mean(values: np.ndarray) -> float:
    """Return the mean of the finite values, NaN without any."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def _timing(run: RunFiles) -> str:
    """Return the times of the stages."""
    stages = run.info.get("stages")
    if not isinstance(stages, dict) or not stages:
        return heading("timing", "Timing") + '<p class="card">run.json records no times.</p>'
    return heading("timing", "Timing") + tables.timing_table(stages)


def _settings(run: RunFiles) -> str:
    """Return settings, versions and the command."""
    info, rows = run.info, []
    for name, key in (
        ("Command", "argv"),
        ("Seed", "seed"),
        ("Input", "input"),
        ("Threads", "threads"),
        ("Status", "status"),
    ):
        value = info.get(key)
        if value in (None, [], {}, "running"):  # the report is written before its run has ended
            continue
        if key == "argv":
            value = "single-rs " + " ".join(map(str, value))
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        rows.append(f'<tr><th scope="row">{name}</th><td><code>{tables.text(value)}</code></td></tr>')
    versions = info.get("versions")
    if isinstance(versions, dict):
        listed = ", ".join(f"{k} {v}" for k, v in versions.items())
        rows.append(f'<tr><th scope="row">Versions</th><td>{tables.text(listed)}</td></tr>')
    parts = [heading("settings", "Settings")]
    if rows:
        parts.append(f'<div class="card scroll"><table><tbody>{"".join(rows)}</tbody></table></div>')
    if isinstance(info.get("config"), dict) and info["config"]:
        tables_of_stages = tables.settings_tables(info["config"])
        parts.append(f'<details class="card"><summary>All settings of all stages</summary>{tables_of_stages}</details>')
    elif not rows:
        parts.append('<p class="card">run.json records no settings.</p>')
    return "".join(parts)


def _footer(run: RunFiles, version: str) -> str:
    """Return what the numbers mean, for those who meet the page without its makers."""
    return (
        f"Made by single_rs {tables.text(version)} from <code>{tables.text(run.folder.resolve().name)}</code>. "
        "Positions are in the particle's own frame. σ is one standard deviation per axis as stated by the program; "
        "resolution is where the half maps' correlation falls to 0.143."
    )
