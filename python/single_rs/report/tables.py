"""Tables and facts of a run: summary, particle, lattice, times, settings, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from single_rs.report.numbers import scaled
from single_rs.report.views import DASH, Badge, Code, FactList, Facts, Link, Meter, Quantity, Row, Table

if TYPE_CHECKING:
    from single_rs.report.content import ParticleFiles
    from single_rs.report.numbers import Numbers

__all__ = ["number_table", "particle_facts", "record_table", "settings_tables", "summary_table", "timing_table"]

AUTO = "from the data"
# Names in run.json → names on the page.
_RECORD = (
    ("argv", "Command"), ("seed", "Seed"), ("input", "Input"), ("threads", "Threads"), ("status", "Status"),
    ("versions", "Versions"),
)  # fmt: skip


def summary_table(particles: list[tuple[ParticleFiles, Numbers]]) -> Table:
    """Return one line per particle."""
    heads = ("Particle", "Verdict", "Atoms", "Diameter", "Resolution", "σ per axis", "Frames used",
             "a (Å)", "b (Å)", "c (Å)")  # fmt: skip
    rows = []
    for particle, numbers in particles:
        cell = [Quantity(q.value, 4, "", q.error, short=True) for _, q in numbers.cell[:3]] or [Quantity(None)] * 3
        rows.append((
            Link(f"Particle {particle.number}", f"particle-{particle.number}"), Badge(particle.verdict), numbers.atoms,
            numbers.diameter, numbers.resolution, numbers.sigma, numbers.frames_used, *cell,
        ))  # fmt: skip
    return Table("Particles of the run", heads, rows, copy=True)


def particle_facts(particle: ParticleFiles, numbers: Numbers) -> FactList:
    """Return the numbers of one particle, and those of its lattice."""
    rows: list[tuple[str, Any]] = [
        ("Atoms", numbers.atoms),
        ("… of the surface", numbers.surface),
        ("Diameter", numbers.diameter),
        ("Resolution", numbers.resolution),
        ("Pixel size", numbers.pixel_size),
    ]
    if numbers.graphene_pixel is not None:
        rows.append(("Pixel size by graphene", numbers.graphene_pixel))
    if numbers.contrast:
        rows.append(("Atoms in the frames", numbers.contrast))
    rows += [
        ("Frames used", numbers.frames_used),
        ("Mean pose confidence", numbers.confidence),
        ("Median σ per axis", numbers.sigma),
        *numbers.radial,
    ]
    summary = particle.summary
    rows.append(("Hand", str(summary.get("hand") or getattr(particle.poses, "hand", None) or "undetermined")))
    return FactList([Facts("Particle", rows), _lattice(particle, numbers)])


def _lattice(particle: ParticleFiles, numbers: Numbers) -> Facts:
    """Return the lattice with its errors, its strain against the bulk and its domains."""
    if not numbers.cell:
        return Facts("Lattice", [], "No lattice: the run found no atoms to fit one to.")
    rows: list[tuple[str, Any]] = [*numbers.cell, ("Volume", numbers.volume)]
    for name, quantity in (("Against bulk", numbers.against_bulk), ("Atoms on sites", numbers.on_sites)):
        if quantity.value is not None:
            rows.append((name, quantity))
    domains = particle.lattice.get("domains") or []
    if len(domains) > 1:
        rows.append(("Domains", ", ".join(f"{d.get('relation')} ({d.get('atoms')})" for d in domains)))
    return Facts(f"Lattice, {particle.lattice.get('structure', 'best fit')}", rows)


def number_table(particle: ParticleFiles, numbers: Numbers) -> Table:
    """Return all numbers of a particle with error, spread over the atoms and unit, in columns to copy."""
    named: list[tuple[str, Quantity]] = [
        ("atoms", numbers.atoms),
        ("surface atoms", numbers.surface),
        ("diameter", numbers.diameter),
        ("resolution", numbers.resolution),
        ("pixel size", numbers.pixel_size),
        ("frames", Quantity(numbers.frames, 0)),
        ("frames used", Quantity(numbers.used, 0)),
        ("views covered", numbers.coverage),
        ("median σ per axis", numbers.sigma),
        *numbers.cell,
        ("volume of the cell", numbers.volume),
        ("mean edge against bulk", numbers.against_bulk),
    ]
    rows: list[Row] = [
        (name, Quantity(q.value, q.decimals), Quantity(q.error, q.decimals), "", q.unit)
        for name, q in named
        if q.amount != DASH
    ]
    strain = particle.summary.get("strain")
    measures = strain.get("statistics") if isinstance(strain, dict) else None
    for measure, groups in (measures if isinstance(measures, dict) else {}).items():
        factor, unit = (1.0, "°") if measure == "rotation" else (100.0, "%")
        for group, found in groups.items():
            value, error, spread = (Quantity(scaled(found.get(k), factor), 3) for k in ("mean", "mean_err", "std"))
            rows.append((f"strain {measure}, {group}".replace("_", " "), value, error, spread, unit))
    return Table("All numbers", ("Quantity", "Value", "Standard error", "Spread over atoms", "Unit"), rows, copy=True)


def timing_table(stages: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return time and peak memory of every stage, with a bar of its share."""
    seconds = {name: float(stage.get("seconds") or 0) for name, stage in stages.items()}
    longest = max(seconds.values(), default=0.0) or 1.0
    rows: list[Row] = []
    for name, stage in stages.items():
        state = "failed" if stage.get("failed") else "from an earlier run" if stage.get("reused") else ""
        rows.append((
            name.replace("/", " · ").replace("_", " "), Quantity(seconds[name], 1, "s"),
            Meter(seconds[name] / longest), Quantity(stage.get("peak_memory_mb"), 0, "MB"), state,
        ))  # fmt: skip
    rows.append(("All", Quantity(sum(seconds.values()), 1, "s"), "", "", ""))
    return Table("Time and memory of the stages", ("Stage", "Time", "", "Peak memory", ""), rows)


def record_table(info: Mapping[str, Any]) -> Table | None:
    """Return the command, the input and the versions, ``None`` when nothing of them is recorded."""
    rows: list[Row] = []
    for key, name in _RECORD:
        value = info.get(key)
        if value in (None, [], {}, "running"):  # the report is written before its run has ended
            continue
        if key == "argv":
            value = "single-rs " + " ".join(map(str, value))
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items() if k != "files")
        rows.append((name, Code(value)))
    return Table("How the run was made", ("", ""), rows) if rows else None


def settings_tables(config: Mapping[str, Any]) -> list[Table]:
    """Return all settings, one table per stage."""
    tables = []
    for stage, values in config.items():
        listed = values if isinstance(values, dict) else {"value": values}
        rows = [(key, Code(AUTO if value is None else value)) for key, value in listed.items()]
        tables.append(Table(stage, ("", ""), rows))
    return tables
