"""The page of a run: summary, movie, one section per particle, times and settings."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

from single_rs import __version__
from single_rs.report import figures, tables
from single_rs.report.certainty import least_known, reasons_with_limits
from single_rs.report.content import VERDICTS, ParticleFiles, RunFiles
from single_rs.report.data import atom_data
from single_rs.report.extras import extra_figures, extra_tables
from single_rs.report.film import film_data
from single_rs.report.numbers import Numbers, count, unit_cell
from single_rs.report.optics import optics_card
from single_rs.report.templating import render_page
from single_rs.report.tumbling import tumbling_data
from single_rs.report.view3d import view_data
from single_rs.report.views import (
    DASH,
    Badge,
    Details,
    Downloads,
    Figure,
    Film,
    Gaps,
    Grid,
    Group,
    Note,
    Page,
    Player,
    Quantity,
    Section,
    Stage,
    Tile,
    Verdict,
    Viewer,
)
from single_rs.store.record import RunRecord

__all__ = ["render"]

MOVIE_FRAMES = 100  # of all particles together: 6 to 12 kB each, so that the movies stay near 1 MB
_PANELS = {
    "raw": "Frame as recorded",
    "denoised": "Denoised for display",
    "projected": "Map projected at the pose",
    "atoms": "Atoms at the pose",
}


def render(run: RunFiles) -> str:
    """Return the whole page as HTML.

    Parameters
    ----------
    run
        From `single_rs.report.files.read_run`.
    """
    known = [(particle, Numbers.of(particle)) for particle in run.particles]
    summary = tables.summary_table(known) if known else Note("No particle was found.")
    sections = [Section("summary", "Summary", [summary, *_gaps(run.gaps)])]
    if not run.from_stack:
        drawn = list(figures.movie_figures(run))
        movie = Grid(drawn) if drawn else Note("The run kept no tracks and no motion.")
        sections.append(Section("movie", "Movie", [movie]))
    frames = max(30, MOVIE_FRAMES // max(1, len(known)))
    sections += [_particle(particle, numbers, frames) for particle, numbers in known]
    timed = tables.timing_table(run.info.stages) if run.info is not None and run.info.stages else None
    sections.append(Section("timing", "Timing", [timed or Note("run.json records no times.")]))
    sections.append(Section("settings", "Settings", _settings(run.info)))
    page = Page(
        title=_title(run),
        eyebrow=_eyebrow(run),
        lede=_lede(run.particles),
        tiles=_tiles(run, known),
        sections=sections,
        footer=f"Made by single_rs {__version__} from {run.folder.resolve().name}. Positions are in the particle's own "
        "frame. σ is one standard deviation per axis as stated by the program; resolution is where the half maps' "
        "correlation falls to 0.143.",
        scripts=("report.js", "density.js", "viewer.js", "player.js"),
    )
    return render_page(page)


def _title(run: RunFiles) -> str:
    """Return the name of the input, or of the run directory."""
    path = run.info.input.path if run.info is not None else None
    return Path(path).name if path else run.folder.resolve().name


def _eyebrow(run: RunFiles) -> str:
    """Return one line on what was run and when."""
    parts = ["Run report"]
    if run.info is not None:
        parts += [run.info.finished or run.info.started, run.info.element]
    if run.pixel_size:
        parts.append(f"{run.pixel_size:.4g} Å per pixel")
    return " · ".join(parts)


def _lede(particles: list[ParticleFiles]) -> str:
    """Return the outcome in one sentence."""
    if not particles:
        return "No particle was found."
    found = {verdict: sum(p.verdict == verdict for p in particles) for verdict in VERDICTS}
    said = ", ".join(f"{number} {verdict}" for verdict, number in found.items() if number)
    return f"{count(len(particles), 'particle')}: {said}. Hand undetermined, as always with projections."


def _tiles(run: RunFiles, known: list[tuple[ParticleFiles, Numbers]]) -> list[Tile]:
    """Return the headline numbers."""
    good = [numbers for particle, numbers in known if particle.verdict != "failed"]
    solved = sum(particle.verdict == "solved" for particle, _ in known)
    seconds = sum(stage.seconds for stage in run.info.stages.values()) if run.info is not None else None
    return [
        Tile("Particles solved", [(f"{solved}", f"of {len(known)}")]),
        Tile.of("Atoms placed", Quantity(sum(int(numbers.atoms.value or 0) for numbers in good), 0)),
        _range("Resolution", [numbers.resolution for numbers in good]),
        _range("Stated σ per axis", [numbers.sigma for numbers in good]),
        _duration(seconds),
    ]


def _range(name: str, quantities: list[Quantity]) -> Tile:
    """Return the values of all particles, from the least to the largest."""
    known = sorted((q for q in quantities if q.amount != DASH), key=lambda q: float(q.value))
    if not known:
        return Tile(name, [(DASH, "")])
    amounts = dict.fromkeys(q.amount for q in (known[0], known[-1]))
    return Tile(name, [(" to ".join(amounts), known[0].suffix.strip())])


def _duration(seconds: float | None) -> Tile:
    """Return a time as minutes and seconds."""
    if seconds is None:
        return Tile("Time", [(DASH, "")])
    minutes, rest = divmod(round(seconds), 60)
    return Tile("Time", [*([(f"{minutes}", "min")] if minutes else []), (f"{rest}", "s")])


def _gaps(gaps: Iterable[Any]) -> list[Gaps]:
    """Return what is not in the page and why; nothing when all is."""
    listed = [str(gap) for gap in gaps]
    return [Gaps(listed)] if listed else []


def _particle(particle: ParticleFiles, numbers: Numbers, frames: int) -> Section:
    """Return the section of one particle, with so many frames in its movie."""
    reasons = reasons_with_limits(particle.reasons)
    blocks: list[Any] = [Verdict(particle.verdict, reasons, least_known(particle, numbers))]
    data = view_data(particle, unit_cell(particle))
    viewer = None if data is None else Viewer(particle.number, data)
    blocks.append(Stage(viewer, tables.particle_facts(particle, numbers)))
    table: list[Any] = [tables.number_table(particle, numbers)]
    if particle.atoms is not None:
        name = f"atoms_{particle.number:02d}.csv"
        table.append(Downloads([("All atoms as CSV", name, atom_data(particle.atoms))]))
    blocks.append(Details("All numbers as a table", table, printed=True))
    film = None if particle.states is None else film_data(particle.states)
    if film is not None:
        blocks += [Group("States"), Film(particle.number, film)]
    tumbling = tumbling_data(particle, frames)
    if tumbling is not None:
        atoms = particle.atoms is not None and len(particle.atoms.positions) > 0
        names = [*tumbling["panels"], *(["atoms"] if atoms else [])]
        blocks.append(Player(particle.number, tumbling, [(name, _PANELS[name]) for name in names]))
    if (optics := optics_card(particle)) is not None:
        blocks += [Group("Optics"), optics]
    groups: tuple[tuple[str, Iterable[Figure]], ...] = (
        ("Frames", figures.frame_figures(particle)),
        ("Atoms", chain(figures.atom_figures(particle), figures.strain_figures(particle))),
        ("Further analysis", extra_figures(particle)),
        ("Map", figures.map_figures(particle)),
        ("Poses and resolution", figures.pose_figures(particle, numbers)),
    )
    for name, drawn in groups:
        if cards := list(drawn):
            blocks += [Group(name), Grid(cards)]
    for name, card in extra_tables(particle):
        blocks += [Group(name), card]
    blocks += _gaps([*particle.gaps, *particle.summary.notes])
    return Section(f"particle-{particle.number}", f"Particle {particle.number}", blocks, Badge(particle.verdict))


def _settings(info: RunRecord | None) -> list[Any]:
    """Return settings, versions and the command."""
    if info is None:
        return [Note("run.json records no settings.")]
    blocks: list[Any] = [tables.record_table(info)]
    if info.config:
        blocks.append(Details("All settings of all stages", tables.settings_tables(info.config)))
    return blocks
