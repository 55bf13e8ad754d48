"""The files of a particle's states: states.json, timeline.csv, moved.csv and trajectory.xyz.

Paths are relative to the folder of the particle; frames are those of the movie, first and last of each stretch.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from single_rs.base.columns import Column
from single_rs.base.errors import DataFileError
from single_rs.io.atomic import atomic_text
from single_rs.records import Atoms
from single_rs.store import layout
from single_rs.store.codecs import read_record, write_record
from single_rs.store.tables import read_table, write_table

__all__ = [
    "EventRecord",
    "MovedTable",
    "StateRecord",
    "StatesRecord",
    "TimelineTable",
    "TrajectoryStep",
    "flip_states",
    "read_trajectory",
    "write_trajectory",
]


@dataclass(frozen=True)
class StateRecord:
    """One state.

    Attributes
    ----------
    frames
        First and last frame of the movie of each stretch.
    atoms, count
        File of its atoms, null without any, and how many they are.
    verdict, reasons
        On this state alone.
    cell, cell_err
        Edges a, b, c of the fitted conventional cell and their standard errors, Å; null without a lattice.
    radial_strain, radial_strain_err
        Mean of the radial strain over the atoms and its standard error, fractions; null without a strain.
    """

    frames: tuple[tuple[int, int], ...]
    atoms: str | None
    verdict: str
    reasons: tuple[str, ...]
    count: int
    cell: tuple[float, float, float] | None = None
    cell_err: tuple[float | None, float | None, float | None] | None = None
    radial_strain: float | None = None
    radial_strain_err: float | None = None


@dataclass(frozen=True)
class EventRecord:
    """What happened.

    Attributes
    ----------
    event
        "changed" or "swapped" (the whole), "left" or "arrived" (one atom).
    frame, frame_err
        First frame of the movie after it, and its standard error.
    id, position
        Of the one atom; Å from the box centre.
    left, arrived, moved
        Of "changed": how many atoms left, arrived and moved, by more than three standard errors and 0.1 Å.
    rms_displacement_pm
        Of "changed": root mean square displacement, pm.
    particle
        Of "swapped": folder of the other particle.
    """

    event: str
    frame: int
    frame_err: float
    id: int | None = None
    position: tuple[float, float, float] | None = None
    left: int | None = None
    arrived: int | None = None
    moved: int | None = None
    rms_displacement_pm: float | None = None
    particle: str | None = None


@dataclass(frozen=True)
class StatesRecord:
    """All states of one particle, and the events between them.

    Attributes
    ----------
    states, events
        In order of time.
    top
        Number of the state that the particle's own folder holds.
    core
        Number of the atoms that all states have.
    others
        Folders of the other particles that the same frames show.
    """

    states: tuple[StateRecord, ...]
    events: tuple[EventRecord, ...]
    top: int
    core: int | None = None
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class TimelineTable:
    """When each of n atoms was there.

    Attributes
    ----------
    id, element
        Number of the atom in all states, and its symbol.
    first, first_err, last, last_err
        First and last frame of the movie with it, and their standard errors.
    core
        Whether all states have it.
    coordination
        Number of its neighbours in the first state that has it.
    site
        Kind of surface site that it stood on there, as in structure.csv; "bulk" inside, "unknown" where it has none.
    """

    id: Annotated[NDArray[np.int64], Column()]
    element: Annotated[NDArray[np.str_], Column()]
    first: Annotated[NDArray[np.int64], Column()]
    first_err: Annotated[NDArray[np.float64], Column(".1f")]
    last: Annotated[NDArray[np.int64], Column()]
    last_err: Annotated[NDArray[np.float64], Column(".1f")]
    core: Annotated[NDArray[np.bool_], Column()]
    coordination: Annotated[NDArray[np.int64], Column()]
    site: Annotated[NDArray[np.str_], Column()]


@dataclass(frozen=True)
class MovedTable:
    """How far atoms moved from one state to the next in time; one row per atom that both have.

    Attributes
    ----------
    before, after
        Numbers of the two states.
    id, element
        As in timeline.csv.
    moved
        (n, 3) Å, with the best common rotation and translation of all atoms of both taken off.
    distance
        Its length, Å.
    sigma
        Standard error of `moved` along each axis, Å; without motion distance² / (3 sigma²) is 1 on average.
    """

    before: Annotated[NDArray[np.int64], Column()]
    after: Annotated[NDArray[np.int64], Column()]
    id: Annotated[NDArray[np.int64], Column()]
    element: Annotated[NDArray[np.str_], Column()]
    moved: Annotated[NDArray[np.float64], Column(".5f", ("dx", "dy", "dz"), decimals=5)]
    distance: Annotated[NDArray[np.float64], Column(".5f")]
    sigma: Annotated[NDArray[np.float64], Column(".5f")]


class TrajectoryStep(NamedTuple):
    """The atoms of one state.

    ``frames``, first and last of each stretch; ``numbers`` (n,); ``symbols`` (n,); ``positions`` (n, 3) Å as in the
    file; ``sigma`` (n,) Å per axis.
    """

    frames: tuple[tuple[int, int], ...]
    numbers: NDArray[np.int64]
    symbols: NDArray[np.str_]
    positions: NDArray[np.float64]
    sigma: NDArray[np.float64]


def write_trajectory(
    path: str | os.PathLike[str],
    states: Mapping[int, tuple[Atoms, NDArray[np.int64], tuple[tuple[int, int], ...]]],
    offset: NDArray[np.float64],
) -> None:
    """Write the atoms of all states as extxyz, one frame each, in the order of their numbers.

    Parameters
    ----------
    path
        Target.
    states
        Number of a state → its atoms, all in one frame of reference, their numbers (n,), and the frames of the movie.
    offset
        Å (3,), added to positions: that of the particle's other files.
    """
    with atomic_text(path) as f:
        for number, (atoms, ids, frames) in states.items():
            order = np.argsort(ids)
            spans = " ".join(f"{first}-{last}" for first, last in frames)
            f.write(f"{len(ids)}\nProperties=species:S:1:pos:R:3:id:I:1:sigma:R:1 ")
            f.write(f'state={number} frames="{spans}" pbc="F F F"\n')
            for k in order:
                x, y, z = atoms.positions[k] + offset
                f.write(f"{atoms.symbols[k]} {x:.5f} {y:.5f} {z:.5f} {ids[k]} {atoms.sigma[k]:.5f}\n")


def read_trajectory(path: str | os.PathLike[str]) -> list[TrajectoryStep]:
    """Read trajectory.xyz: one step for each state.

    Raises
    ------
    DataFileError
        A file that cannot be read as a trajectory with numbers of atoms.
    """
    from ase.io import read

    try:
        frames: Any = read(os.fspath(path), format="extxyz", index=":")
        if not frames:
            raise ValueError("it holds no atoms")
        return [
            TrajectoryStep(
                tuple((int(a), int(b)) for a, b in (span.split("-") for span in str(frame.info["frames"]).split())),
                np.asarray(frame.arrays["id"], np.int64),
                np.array(frame.get_chemical_symbols()),
                np.array(frame.positions, np.float64),
                np.asarray(frame.arrays["sigma"], np.float64),
            )
            for frame in frames
        ]
    except (OSError, ValueError, KeyError, IndexError, TypeError, RuntimeError) as error:
        said = " ".join(str(error).split())[:200]
        raise DataFileError(f"{path} cannot be read as a trajectory of states: {said}; solve it anew") from None


def flip_states(folder: Path, out: Path, offset: NDArray[np.float64]) -> list[str]:
    """Write the files about the states of a particle for its mirror image, inverted about the box centre.

    Parameters
    ----------
    folder, out
        Of the particle, and of the mirrored one.
    offset
        Å (3,), added to positions in files.

    Returns
    -------
    list of str
        Names of the files.
    """
    record = read_record(folder / layout.STATES, StatesRecord)

    def inverted(event: EventRecord) -> EventRecord:
        at = event.position
        return event if at is None else replace(event, position=(0.0 - at[0], 0.0 - at[1], 0.0 - at[2]))

    write_record(out / layout.STATES, replace(record, events=tuple(inverted(event) for event in record.events)))
    shutil.copyfile(folder / layout.TIMELINE, out / layout.TIMELINE)
    moved = read_table(folder / layout.MOVED, MovedTable)
    write_table(out / layout.MOVED, replace(moved, moved=0.0 - moved.moved))
    text = (folder / layout.TRAJECTORY).read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(text):
        count = int(text[at])
        for k in range(at + 2, at + 2 + count):
            symbol, *numbers = text[k].split()
            places = 2 * offset - np.array(numbers[:3], float)
            text[k] = " ".join([symbol, *(f"{v:.5f}" for v in places), *numbers[3:]])
        at += 2 + count
    with atomic_text(out / layout.TRAJECTORY) as f:
        f.write("\n".join(text) + "\n")
    return [layout.STATES, layout.TIMELINE, layout.MOVED, layout.TRAJECTORY]
