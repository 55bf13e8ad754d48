"""The page of a run while it goes on: it loads itself anew every few seconds, and shows what is finished so far.

No server and no script is needed: the run writes the file again and again, and a browser reads it again. When the
run has ended, the page leads to the report, or says how the run ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from single_rs import __version__
from single_rs.report import figures, tables
from single_rs.report.content import RunFiles
from single_rs.report.files import read_movie, read_particle
from single_rs.report.numbers import Numbers
from single_rs.report.templating import render_page
from single_rs.report.views import Badge, Grid, Note, Page, Quantity, Row, Section, Table, Tile
from single_rs.store.layout import REPORT, particle_name
from single_rs.store.record import FINISHED, RunRecord

__all__ = ["Doing", "earlier_result", "ended_page", "live_page", "live_views"]

RELOAD = 5  # seconds after which the page is read again
FOOTER = f"Made by single_rs {__version__}."


@dataclass(frozen=True)
class Doing:
    """The part of a run that goes on: `done` of `total` steps of a stage after so many seconds."""

    stage: str
    done: int
    total: int
    seconds: float

    @property
    def left(self) -> float | None:
        """Return the seconds that are left of it, if it goes on as it did; ``None`` where that is not known yet."""
        return self.seconds * (self.total - self.done) / self.done if 0 < self.done <= self.total else None


def live_page(record: RunRecord, doing: Doing, whole: Doing, views: list[Section]) -> str:
    """Return the page of a run that goes on.

    Parameters
    ----------
    record
        Of the run, with the stages that are finished.
    doing
        What goes on.
    whole
        The whole run since its start, in seconds of expected work.
    views
        From `live_views`.
    """
    particles = _particles(record)
    said = f"{doing.stage}: {doing.done} of {doing.total}{_about(doing.left, ' of this step')}."
    if whole.left is not None:
        said += f" The whole run: {_about(whole.left, '').removeprefix(', ')}."
    sections = []
    if particles:
        sections.append(Section("particles", "Particles", [_particle_table(particles)]))
    sections += views
    if record.stages:
        sections.append(Section("stages", "Finished stages", [tables.timing_table(record.stages)]))
    tiles = [
        Tile("Elapsed", [(_time(whole.seconds), "")]),
        Tile("This step", [(f"{100 * doing.done / max(1, doing.total):.0f}", "%")]),
        Tile("Particles found", [(f"{len(particles)}" if particles else "–", "")]),
        Tile("Solved so far", [(f"{sum(verdict == 'solved' for _, verdict, _, _ in particles)}", "")]),
    ]
    page = Page(_title(record), f"Run in progress · started {record.started} · {record.element}", said, sections,
                FOOTER, tiles, refresh=f"{RELOAD}")  # fmt: skip
    return render_page(page)


def live_views(folder: Path, name: str | None) -> list[Section]:
    """Return figures of what is finished: tracks and drift, and frames, poses and map of a particle.

    Parameters
    ----------
    folder
        Of the run.
    name
        Of the particle that is solved; ``None`` for none.
    """
    run = RunFiles(folder)
    read_movie(run)
    sections = []
    if drawn := list(figures.movie_figures(run)):
        sections.append(Section("movie", "Movie", [Grid(drawn)]))
    if name is not None and (folder / name).is_dir():
        particle = read_particle(0, folder / name)
        drawn = [
            *figures.frame_figures(particle),
            *figures.pose_figures(particle, Numbers.of(particle)),
            *figures.map_figures(particle),
        ]
        if drawn:
            sections.append(Section("particle", f"Particle {particle.number} so far", [Grid(drawn)]))
    return sections


def earlier_result() -> list[Section]:
    """Return what stands in place of figures while the folder holds the finished result of an earlier run."""
    text = "This folder holds the finished result of an earlier run; what is made now takes its place when all is done."
    return [Section("movie", "Figures", [Note(text)])]


def ended_page(record: RunRecord, report: bool) -> str:
    """Return the page of a run that has ended: it leads to the report where there is one.

    Parameters
    ----------
    record
        Of the run.
    report
        Whether the report was written.
    """
    if record.status == FINISHED and report:
        note = Note(f"All is done; {REPORT} beside this page has the results, and opens by itself.")
        refresh = f"0; url={REPORT}"
    else:
        note, refresh = Note("This page is not written any more. What is finished is kept in the folder."), ""
    status = record.status.removeprefix("failed: ")
    lede = "The run is finished." if record.status == FINISHED else f"The run has ended: {status}"
    sections = [Section("end", "End of the run", [note])]
    if record.stages:
        sections.append(Section("stages", "Finished stages", [tables.timing_table(record.stages)]))
    return render_page(Page(_title(record), "Run", lede, sections, FOOTER, refresh=refresh))


def _particles(record: RunRecord) -> list[tuple[str, str, int | None, float]]:
    """Return name, verdict (empty while it is not judged), atoms and seconds of each particle that is known of."""
    names = {stage.split("/")[0] for stage in record.stages if "/" in stage}
    if "track" in record.stages:
        names |= {particle_name(k) for k in range(int(record.stages["track"].facts.get("particles", 0)))}
    found = []
    for name in sorted(names):
        own = {stage.removeprefix(f"{name}/"): entry for stage, entry in record.stages.items()
               if stage.startswith(f"{name}/")}  # fmt: skip
        verdict = str(own["analyze"].facts.get("verdict", "")) if "analyze" in own else ""
        atoms = next((own[k].facts["atoms"] for k in ("refine", "trace") if k in own and "atoms" in own[k].facts), None)
        found.append((name, verdict, atoms, sum(entry.seconds for entry in own.values())))
    return found


def _particle_table(particles: list[tuple[str, str, int | None, float]]) -> Table:
    """Return one line per particle."""
    rows: list[Row] = [
        (name.replace("_", " "), Badge(verdict) if verdict else "", Quantity(atoms, 0), Quantity(seconds, 0, "s"))
        for name, verdict, atoms, seconds in particles
    ]
    return Table("Particles so far", ("Particle", "Verdict", "Atoms", "Time"), rows)


def _title(record: RunRecord) -> str:
    """Return the name of the input."""
    return Path(record.input.path).name if record.input.path else "Array"


def _about(seconds: float | None, of: str) -> str:
    """Return what is left, as a part of a sentence."""
    return "" if seconds is None else f", about {_time(seconds)} left{of}"


def _time(seconds: float) -> str:
    """Return a time in words."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
