"""A small particle of which a layer leaves, and files about states: what the tests of change and of states share."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

import single_rs as sr
from single_rs.records import Atoms
from single_rs.report.states import StateFiles
from single_rs.simulate.tumbling import brownian_rotations
from single_rs.store.codecs import write_record
from single_rs.store.states import (
    EventRecord,
    MovedTable,
    StateRecord,
    StatesRecord,
    TimelineTable,
    TrajectoryStep,
    write_trajectory,
)
from single_rs.store.tables import write_table

FRAMES, BOX, PIXEL, DOSE, DATE = 240, 72, 0.4, 8.0, 130


def layer_of(crystal):
    """(n,) whether each atom is in the outermost {111} layer along (1, 1, 1)."""
    height = crystal.positions @ np.ones(3) / np.sqrt(3)
    return height > height.max() - 2.5


def frames_of(crystal, gone, dates=(DATE,), frames=FRAMES):
    """Rotations, and counts of a crystal whose atoms `gone` leave, and come back, in turn at `dates`; shifts are 0."""
    rotations = brownian_rotations(frames, 8.0, 0.004, 5)
    less = replace(crystal, positions=crystal.positions[~gone], symbols=crystal.symbols[~gone], grain=None)
    common = {"box": BOX, "pixel_size": PIXEL, "dose": DOSE}
    edges = [0, *dates, frames]
    parts = [
        sr.simulate_stack(
            (crystal, less)[k % 2], b - a, rotations=rotations[a:b], shifts=np.zeros((b - a, 2)), seed=a, **common
        ).images
        for k, (a, b) in enumerate(pairwise(edges))
    ]
    return rotations, np.concatenate(parts)


def atoms_at(positions, sigma=0.03):
    n = len(positions)
    return Atoms(positions, np.full(n, "Pt"), np.ones(n), np.ones(n), np.full(n, sigma), np.ones(n))


def files_of_two_states():
    """Three atoms: one stays, one moves by 1 Å, one leaves at frame 100; then the first state comes back."""
    a = np.array([[0, 0, 0], [3, 0, 0], [0, 3, 0.0]])
    b = np.array([[0, 0, 0], [3, 1, 0.0]])
    states = (
        StateRecord(((0, 99), (200, 299)), "states/00/atoms.xyz", "solved", (), 3, (3.9, 3.9, 3.9), (0.01, None, 0.01)),
        StateRecord(((100, 199),), "states/01/atoms.xyz", "doubtful", ("few frames",), 2),
    )
    record = StatesRecord(states, (EventRecord("changed", 100, 1.5),), 0, 2)
    symbols = np.array(["Pt", "Pt", "Au"])
    last, last_err, near = np.array([299, 299, 99]), np.array([0.0, 0.0, 3.0]), np.full(3, 2)
    site = np.array(["bulk", "terrace 111", "unknown"])
    table = TimelineTable(np.arange(3), symbols, np.zeros(3, int), np.zeros(3), last, last_err, last > 200, near, site)
    steps = [
        TrajectoryStep(states[0].frames, np.arange(3), symbols, a, np.full(3, 0.02)),
        TrajectoryStep(states[1].frames, np.arange(2), symbols[:2], b, np.full(2, 0.02)),
    ]
    return StateFiles(record, table, steps)


def write_states(folder, found, offset):
    """Write the files about states into the folder of a particle."""
    write_record(folder / "states.json", found.record)
    write_table(folder / "timeline.csv", found.timeline)
    one, first, second = np.ones(1), found.steps[0], found.steps[1]
    moved = second.positions[1:] - first.positions[1:2]
    ids = np.ones(1, int)
    write_table(folder / "moved.csv", MovedTable(0 * ids, ids, ids, first.symbols[1:2], moved, one, 0.03 * one))
    atoms = [
        Atoms(s.positions, s.symbols, *np.ones((2, len(s.symbols))), s.sigma, np.ones(len(s.symbols)))
        for s in found.steps
    ]
    listed = [(a, s.numbers, s.frames) for a, s in zip(atoms, found.steps, strict=True)]
    write_trajectory(folder / "trajectory.xyz", dict(enumerate(listed)), offset)
