"""What to expect of an experiment before it is made: its frames are simulated, solved, and scored against the truth.

One simulated particle is one sample: other seeds, shapes and surfaces differ, so that several runs tell the spread.
The simulation holds shot noise, the optics and the detector of its settings, and none of what nobody can foresee.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

from single_rs.base.progress import Progress, in_notebooks
from single_rs.compare.atoms import Agreement, compare_atoms
from single_rs.io import writable_folder
from single_rs.pipeline.config import Config
from single_rs.pipeline.entry import solve
from single_rs.records import Atoms
from single_rs.simulate import SimulateConfig, SimulatedStack, simulate

__all__ = ["Plan", "plan"]

ROOM, MARGIN = 1.25, 14.0  # edge of the box: so many diameters, and Å for defocused waves and for shifts
STACK = "planned"  # name of the simulated stack, without suffix


@dataclass(frozen=True)
class Plan:
    """What came out of one simulated experiment.

    Attributes
    ----------
    folder
        Where the simulated frames and their solution are.
    frames, atoms
        Frames simulated, true atoms.
    verdict, reasons
        Of the solution, as of any run.
    agreement
        Atoms found against true ones; None where no atoms came out.
    cpu_seconds
        Processor time of the solution, all threads.
    """

    folder: Path
    frames: int
    atoms: int
    verdict: str
    reasons: tuple[str, ...]
    agreement: Agreement | None
    cpu_seconds: float


@in_notebooks
def plan(
    settings: SimulateConfig, out: str | Path, config: Config | None = None, progress: Progress | None = None
) -> Plan:
    """Simulate the frames of one particle, solve them without the truth, and compare.

    Parameters
    ----------
    settings
        The experiment: element, diameter, frames, dose, pixel size, turn per frame. The box is chosen
        to hold the particle and its defocused waves.
    out
        Folder for the frames and the run.
    config
        Settings of the solver.
    progress
        Called as progress(stage, done, total).

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        Settings that cannot be simulated or solved; the message names them.
    """
    folder = writable_folder(out)
    box = 2 * math.ceil((ROOM * settings.crystal.diameter + MARGIN) / settings.pixel_size / 2)
    made = simulate(replace(settings, kind="stack", box=box), folder / STACK, progress)
    assert isinstance(made, SimulatedStack)  # what kind="stack" makes
    start = time.process_time()
    result = solve(
        (folder / STACK).with_suffix(".mrcs"),
        settings.crystal.element,
        folder / "solved",
        None,
        config,
        settings.seed,
        progress=progress,
        replace=True,
    ).particles[0]
    seconds = time.process_time() - start
    found = result.atoms
    true = Atoms.bare(made.crystal.positions, made.crystal.symbols)
    agreement = None if found is None else compare_atoms(found, true)
    return Plan(folder, settings.frames, len(true), result.verdict, result.reasons, agreement, seconds)
