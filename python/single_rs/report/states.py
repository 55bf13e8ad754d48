"""States of a particle in reports and figures: what their files hold, and that drawn against time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis.survival import atoms_in_time, survival_by_coordination, survival_by_site
from single_rs.records import EnergyRecord
from single_rs.store import layout
from single_rs.store.codecs import read_record
from single_rs.store.states import (
    StatesRecord,
    TimelineTable,
    TrajectoryStep,
    read_trajectory,
)
from single_rs.store.tables import read_table

__all__ = ["STATES_CAPTION", "StateFiles", "read_states", "states_figure"]

STATES_CAPTION = (
    "Atoms that are there at each frame, with one standard error from the errors of their dates, and the changes of "
    "the whole (grey); share of the atoms of the surface that are still there by their number of neighbours when first "
    "there, and by their facet or other kind of site, by the product-limit estimate with Greenwood's errors; lattice "
    "constants, mean radial strain and, where it was computed, formation energy of each state with their standard "
    "errors."
)


@dataclass(frozen=True)
class StateFiles:
    """states.json, timeline.csv and trajectory.xyz of one particle.

    `energies` are the formation energies of the states and their standard errors, eV per atom; None where
    ``single-rs energy`` has not computed that of a state.
    """

    record: StatesRecord
    timeline: TimelineTable
    steps: list[TrajectoryStep]
    energies: tuple[tuple[float | None, float | None] | None, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether there is anything to see in time."""
        return len(self.record.states) > 1 or bool(((self.timeline.first_err > 0) | (self.timeline.last_err > 0)).any())

    @property
    def spans(self) -> list[tuple[int, int, int]]:
        """First frame, last frame and state of each stretch, in order of time."""
        return sorted((a, b, k) for k, state in enumerate(self.record.states) for a, b in state.frames)


def read_states(folder: Path) -> StateFiles:
    """Read the files about the states of a particle.

    Parameters
    ----------
    folder
        Of the particle.

    Raises
    ------
    DataFileError
        A file that is missing or cannot be read.
    """
    record = read_record(folder / layout.STATES, StatesRecord)
    timeline = read_table(folder / layout.TIMELINE, TimelineTable)
    energies = tuple(_energy(folder / layout.state_folder(k)) for k in range(len(record.states)))
    return StateFiles(record, timeline, read_trajectory(folder / layout.TRAJECTORY), energies)


def _energy(folder: Path) -> tuple[float | None, float | None] | None:
    if not (folder / layout.ENERGY).is_file():
        return None
    found = read_record(folder / layout.ENERGY, EnergyRecord)
    return found.formation_energy_per_atom, found.formation_energy_per_atom_err


def states_figure(found: StateFiles) -> Any:
    """Draw atoms, lattice, survival, strain and energy against time; (3, 2) axes."""
    from single_rs.plots.states import plot_states

    table, states = found.timeline, found.record.states
    begin, end = found.spans[0][0], max(span[1] for span in found.spans)
    frames = np.unique(np.rint(np.linspace(begin, end, min(end - begin + 1, 1000))).astype(int))
    unknown = (None, None, None)
    energies = [energy or (None, None) for energy in found.energies or [None] * len(states)]
    fates = table.first, table.last, table.last_err > 0
    return plot_states(
        (frames, *atoms_in_time(frames, table.first, table.first_err, table.last, table.last_err)),
        found.spans,
        (_numbers([s.cell or unknown for s in states]), _numbers([s.cell_err or unknown for s in states])),
        (_numbers([s.radial_strain for s in states]), _numbers([s.radial_strain_err for s in states])),
        (_numbers([value for value, _ in energies]), _numbers([error for _, error in energies])),
        (survival_by_coordination(table.coordination, *fates), survival_by_site(table.site, *fates)),
        [(e.frame, e.frame_err) for e in found.record.events if e.event in ("changed", "swapped")],
    )


def _numbers(values: Any) -> NDArray[np.float64]:
    return np.array(values, dtype=float)  # None becomes NaN
