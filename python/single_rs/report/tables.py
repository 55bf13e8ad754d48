"""Tables and facts of a run: summary, particle, lattice, times, settings, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from single_rs.report.numbers import scaled
from single_rs.report.views import DASH, Badge, Code, FactList, Facts, Link, Meter, Quantity, Row, Table
from single_rs.store.record import RUNNING, RunRecord

if TYPE_CHECKING:
    from single_rs.report.content import ParticleFiles
    from single_rs.report.numbers import Numbers
    from single_rs.store.record import StageRecord

__all__ = ["number_table", "particle_facts", "record_table", "settings_tables", "summary_table", "timing_table"]

AUTO = "from the data"


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
        ("Frames used", numbers.frames_used),
        ("Mean pose confidence", numbers.confidence),
        ("Median σ per axis", numbers.sigma),
        *numbers.radial,
        ("Hand", particle.summary.hand),
    ]
    return FactList([Facts("Particle", rows), _lattice(particle, numbers)])


def _lattice(particle: ParticleFiles, numbers: Numbers) -> Facts:
    """Return the lattice with its errors, its strain against the bulk and its domains."""
    if not numbers.cell:
        return Facts("Lattice", [], "No lattice: the run found no atoms to fit one to.")
    rows: list[tuple[str, Any]] = [*numbers.cell, ("Volume", numbers.volume)]
    for name, quantity in (("Against bulk", numbers.against_bulk), ("Atoms on sites", numbers.on_sites)):
        if quantity.value is not None:
            rows.append((name, quantity))
    lattice = particle.summary.lattice if particle.lattice is None else particle.lattice.lattice
    if lattice is not None and len(lattice.domains) > 1:
        rows.append(("Domains", ", ".join(f"{d.relation} ({d.atoms})" for d in lattice.domains)))
    return Facts(f"Lattice, {'best fit' if lattice is None else lattice.structure}", rows)


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
    strain = particle.summary.strain
    for measure, groups in (strain.statistics if strain is not None else {}).items():
        factor, unit = (1.0, "°") if measure == "rotation" else (100.0, "%")
        for group, found in groups.items():
            value, error, spread = (Quantity(scaled(v, factor), 3) for v in (found.mean, found.mean_err, found.std))
            rows.append((f"strain {measure}, {group}".replace("_", " "), value, error, spread, unit))
    return Table("All numbers", ("Quantity", "Value", "Standard error", "Spread over atoms", "Unit"), rows, copy=True)


def timing_table(stages: Mapping[str, StageRecord]) -> Table:
    """Return time and peak memory of every stage, with a bar of its share."""
    seconds = [stage.seconds for stage in stages.values()]
    longest = max(seconds, default=0.0) or 1.0
    rows: list[Row] = []
    for name, stage in stages.items():
        state = "failed" if stage.failed else "from an earlier run" if stage.reused else ""
        rows.append((
            name.replace("/", " · ").replace("_", " "), Quantity(stage.seconds, 1, "s"),
            Meter(stage.seconds / longest), Quantity(stage.peak_memory_mb, 0, "MB"), state,
        ))  # fmt: skip
    rows.append(("All", Quantity(sum(seconds), 1, "s"), "", "", ""))
    return Table("Time and memory of the stages", ("Stage", "Time", "", "Peak memory", ""), rows)


def record_table(info: RunRecord) -> Table:
    """Return the command, the input and the versions."""
    source = info.input
    given = {"path": source.path, "shape": source.shape, "pixel_size": source.pixel_size, **source.reading}
    given["content"] = source.content
    said: list[tuple[str, str]] = [
        ("Command", " ".join(["single-rs", *info.argv]) if info.argv else ""),
        ("Seed", str(info.seed)),
        ("Input", ", ".join(f"{k} {v}" for k, v in given.items() if v)),
        ("Status", "" if info.status == RUNNING else info.status),  # the report is written before its run has ended
        ("Versions", ", ".join(f"{k} {v}" for k, v in info.versions.items())),
    ]
    return Table("How the run was made", ("", ""), [(name, Code(value)) for name, value in said if value])


def settings_tables(config: Mapping[str, Any]) -> list[Table]:
    """Return all settings, one table per stage."""
    tables = []
    for stage, values in config.items():
        listed = values if isinstance(values, dict) else {"value": values}
        rows = [(key, Code(AUTO if value is None else value)) for key, value in listed.items()]
        tables.append(Table(stage, ("", ""), rows))
    return tables
