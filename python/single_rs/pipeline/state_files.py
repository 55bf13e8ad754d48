"""What the files about the states of a particle say: states.json, timeline.csv, moved.csv and trajectory.xyz."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis.structure.table import StructureTable
from single_rs.crystal.neighbours import coordination
from single_rs.export.atoms import file_offset
from single_rs.pipeline.particle import ParticleResult
from single_rs.records import Atoms, ParticleStack
from single_rs.refine.change import Changes
from single_rs.refine.change.timeline import StateAtoms, Timeline, moved_between
from single_rs.store import layout
from single_rs.store.codecs import write_record
from single_rs.store.states import (
    EventRecord,
    MovedTable,
    StateRecord,
    StatesRecord,
    TimelineTable,
    write_trajectory,
)
from single_rs.store.tables import read_table, write_table

__all__ = [
    "events_of",
    "moved_table",
    "offset_of",
    "sites_of",
    "state_record",
    "timeline_table",
    "when",
    "write_one_state",
]

UNKNOWN = "unknown"  # kind of site, of atoms without one
MOVED_SIGMA, MOVED = 3.0, 0.1  # standard errors and Å beyond which an atom counts as moved


def write_one_state(
    folder: Path,
    result: ParticleResult,
    atoms: Atoms,
    sites: NDArray[np.str_],
    stack: ParticleStack,
    changes: Changes | None,
) -> None:
    """Write the files of a particle of one state.

    Parameters
    ----------
    folder
        Where they go.
    result, atoms, sites, stack
        Of the particle; kind of site of each atom.
    changes
        What was found of single atoms; None where nobody asked.
    """
    frames = np.asarray(stack.frames)
    span = int(frames[0]), int(frames[-1])
    count = len(atoms)
    first, last = np.full(count, span[0]), np.full(count, span[1])
    first_err, last_err = np.zeros(count), np.zeros(count)
    single = () if changes is None else changes.atoms
    for change in single:
        if change.atom is not None and change.event == "left":
            last[change.atom], last_err[change.atom] = change.frame - 1, change.frame_err
        elif change.atom is not None:
            first[change.atom], first_err[change.atom] = change.frame, change.frame_err
    numbers = np.arange(count)
    near = _coordination([atoms], [numbers])
    table = TimelineTable(numbers, atoms.symbols, first, first_err, last, last_err, numbers >= 0, near, sites)
    whole = () if changes is None else changes.changes
    events = (
        *(EventRecord("changed", c.frame, c.frame_err) for c in whole if c.kind != "window"),
        *(EventRecord(c.event, c.frame, c.frame_err, c.atom, c.position) for c in single),
    )
    state = state_record((span,), layout.ATOMS, result, count)
    write_record(folder / layout.STATES, StatesRecord((state,), tuple(sorted(events, key=when)), 0, count))
    write_table(folder / layout.TIMELINE, table)
    write_table(folder / layout.MOVED, _moved([]))
    write_trajectory(folder / layout.TRAJECTORY, {0: (atoms, numbers, (span,))}, offset_of(stack))


def offset_of(stack: ParticleStack) -> NDArray[np.float64]:
    """Å (3,), what is added to positions in the particle's files."""
    return file_offset(stack.box, stack.pixel_size)


def sites_of(path: Path, count: int) -> NDArray[np.str_]:
    """Kinds of site (count,) of the atoms by the structure.csv at `path`; unknown where there is none."""
    return read_table(path, StructureTable).site if path.is_file() else np.full(count, UNKNOWN)


def timeline_table(timeline: Timeline, states: Sequence[Atoms], sites: Sequence[NDArray[np.str_]]) -> TimelineTable:
    """Return what timeline.csv holds, from the atoms of all states and their kinds of site."""
    core = np.logical_and.reduce([np.isin(np.arange(len(timeline.symbols)), n) for n in timeline.numbers])
    times = ("first", "first_err", "last", "last_err")
    return TimelineTable(
        id=np.arange(len(core)),
        element=np.array(timeline.symbols),
        core=core,
        coordination=_coordination(states, timeline.numbers),
        site=_first_sites(sites, timeline.numbers, len(core)),
        **{name: np.array([getattr(interval, name) for interval in timeline.intervals]) for name in times},
    )


def state_record(spans: tuple[tuple[int, int], ...], atoms: str, result: ParticleResult, count: int) -> StateRecord:
    """Return what states.json says of a state."""
    lattice, strain = result.summary.lattice, result.summary.strain
    radial = None if strain is None else strain.statistics.get("radial", {}).get("all")
    return StateRecord(
        spans,
        atoms,
        result.verdict,
        result.reasons,
        count,
        cell=None if lattice is None else (lattice.cell.a, lattice.cell.b, lattice.cell.c),
        cell_err=None if lattice is None else (lattice.cell.a_err, lattice.cell.b_err, lattice.cell.c_err),
        radial_strain=None if radial is None else radial.mean,
        radial_strain_err=None if radial is None else radial.mean_err,
    )


def _coordination(states: Sequence[Atoms], numbers: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Number of neighbours of each numbered atom in the first state that has it."""
    found = np.zeros(max((int(mine.max()) + 1 for mine in numbers if len(mine)), default=0), np.int64)
    for atoms, mine in zip(reversed(states), reversed(numbers), strict=True):
        found[mine] = coordination(atoms.positions) if len(atoms) > 1 else 0
    return found


def _first_sites(
    sites: Sequence[NDArray[np.str_]], numbers: Sequence[NDArray[np.int64]], count: int
) -> NDArray[np.str_]:
    """Kind of site of each numbered atom in the first state that has it."""
    found = np.full(count, UNKNOWN, "U16")
    for kinds, mine in zip(reversed(sites), reversed(numbers), strict=True):
        found[mine] = kinds
    return found


def moved_table(timeline: Timeline, states: Sequence[StateAtoms], names: Sequence[int]) -> MovedTable:
    """Return what moved.csv holds: each two states that follow each other in time, once; `names` are their numbers."""
    order = [k for _, k in sorted((first, k) for k, state in enumerate(states) for first, _ in state.stretches)]
    rows = []
    for before, after in dict.fromkeys(pair for pair in pairwise(order) if pair[0] != pair[1]):
        pairs, moved, sigma = moved_between(states[before].atoms, states[after].atoms)
        ids = timeline.numbers[before][pairs[:, 0]]
        both = np.full(len(ids), names[before]), np.full(len(ids), names[after])
        rows.append((*both, ids, timeline.symbols[ids], moved, np.linalg.norm(moved, axis=1), sigma))
    return _moved(rows)


def _moved(rows: Sequence[tuple[NDArray[Any], ...]]) -> MovedTable:
    whole, text, number = np.empty(0, np.int64), np.empty(0, np.str_), np.empty(0)
    nothing = whole, whole, whole, text, np.empty((0, 3)), number, number
    return MovedTable(*(np.concatenate(column) for column in zip(nothing, *rows, strict=True)))


def when(event: EventRecord) -> tuple[int, int]:
    """Order of events: by frame, the whole before single atoms."""
    return event.frame, -1 if event.id is None else event.id


def events_of(timeline: Timeline, states: list[StateAtoms], frames: NDArray[np.int64]) -> Iterator[EventRecord]:
    """Changes of the whole between stretches that follow each other, and atoms that came and went."""
    begins = sorted(
        (stretch, error, k)
        for k, state in enumerate(states)
        for stretch, error in zip(state.stretches, state.errors, strict=True)
    )
    for (_, _, before), (stretch, error, after) in pairwise(begins):
        if before == after:
            continue  # nothing but frames without a structure lies between
        _, moved, sigma = moved_between(states[before].atoms, states[after].atoms)
        distance = np.linalg.norm(moved, axis=1)
        one, other = timeline.numbers[before], timeline.numbers[after]
        yield EventRecord(
            "changed",
            int(frames[stretch[0]]),
            error,
            left=len(np.setdiff1d(one, other)),
            arrived=len(np.setdiff1d(other, one)),
            moved=int(((distance > MOVED_SIGMA * np.sqrt(3) * sigma) & (distance > MOVED)).sum()),
            rms_displacement_pm=float(100 * np.sqrt(np.mean(distance**2))) if len(distance) else None,
        )
    for k, (interval, place) in enumerate(zip(timeline.intervals, timeline.positions, strict=True)):
        where = (float(place[0]), float(place[1]), float(place[2]))
        if interval.first_err > 0:
            yield EventRecord("arrived", interval.first, interval.first_err, k, where)
        if interval.last_err > 0:
            yield EventRecord("left", interval.last + 1, interval.last_err, k, where)
