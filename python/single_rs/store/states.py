"""The files of a particle's states: states.json, timeline.csv and trajectory.xyz.

Paths are relative to the folder of the particle; frames are those of the movie, first and last of each stretch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from single_rs.base.columns import Column
from single_rs.io.atomic import atomic_text
from single_rs.records import Atoms

__all__ = ["EventRecord", "StateRecord", "StatesRecord", "TimelineTable", "write_trajectory"]


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
    """

    frames: tuple[tuple[int, int], ...]
    atoms: str | None
    verdict: str
    reasons: tuple[str, ...]
    count: int


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
    """

    id: Annotated[NDArray[np.int64], Column()]
    element: Annotated[NDArray[np.str_], Column()]
    first: Annotated[NDArray[np.int64], Column()]
    first_err: Annotated[NDArray[np.float64], Column(".1f")]
    last: Annotated[NDArray[np.int64], Column()]
    last_err: Annotated[NDArray[np.float64], Column(".1f")]
    core: Annotated[NDArray[np.bool_], Column()]


def write_trajectory(
    path: str | os.PathLike[str],
    states: Sequence[tuple[Atoms, NDArray[np.int64], tuple[tuple[int, int], ...]]],
    offset: NDArray[np.float64],
) -> None:
    """Write the atoms of all states as extxyz, one frame each, in the order of their numbers.

    Parameters
    ----------
    path
        Target.
    states
        Atoms in one frame of reference, their numbers (n,), and the frames of the movie.
    offset
        Å (3,), added to positions: that of the particle's other files.
    """
    with atomic_text(path) as f:
        for number, (atoms, ids, frames) in enumerate(states):
            order = np.argsort(ids)
            spans = " ".join(f"{first}-{last}" for first, last in frames)
            f.write(f"{len(ids)}\nProperties=species:S:1:pos:R:3:id:I:1:sigma:R:1 ")
            f.write(f'state={number} frames="{spans}" pbc="F F F"\n')
            for k in order:
                x, y, z = atoms.positions[k] + offset
                f.write(f"{atoms.symbols[k]} {x:.5f} {y:.5f} {z:.5f} {ids[k]} {atoms.sigma[k]:.5f}\n")
