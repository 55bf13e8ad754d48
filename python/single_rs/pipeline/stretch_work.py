"""What the stages of a particle do with a stretch of its frames, and with all of them once more.

Poses that are divided between symmetry mates make a constant particle seem to change, and a changing one to change at
other times. Where the frames' own maps show other mates, and those explain the frames better, they take the place of
what was refined from all frames before anything is divided.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import ConvergenceError, SingleError
from single_rs.base.steps import keeping
from single_rs.io.star import read_poses
from single_rs.orient import find_poses
from single_rs.orient.search.reassignment import reassign_runs
from single_rs.pipeline import stages
from single_rs.pipeline.material import lattice_seed
from single_rs.pipeline.particle import Stages
from single_rs.reconstruction import reconstruct
from single_rs.records import Atoms, CleanStack, Poses
from single_rs.refine import refine_atoms
from single_rs.refine.change import Changes, find_changes
from single_rs.refine.change.settling import is_clear, moved_frames, settled
from single_rs.refine.change.stretches import Placed, Work, at_most
from single_rs.store import layout

__all__ = ["may_settle", "placed_whole", "settled_whole", "stretch_work"]

log = logging.getLogger(__name__)

T = TypeVar("T")

LEAST_GAIN = 1.01  # of what poses in other symmetry mates must explain, over those that the search found


def placed_whole(whole: Stages) -> Placed | None:
    """Return what was refined from all frames; None where the frames do not show its atoms."""
    atoms, outcome = whole.refined
    if atoms is None or outcome.summary is None:
        return None
    gain = outcome.summary.nats_per_frame * outcome.summary.frames
    return Placed(read_poses(whole.file(layout.POSES)), atoms, gain)


def may_settle(whole: Stages, found: Placed) -> bool:
    """Whether frames of the whole seem to lie in wrong symmetry mates; never where the user sets the states."""
    return whole.job.config.states.number is None and not is_clear(found.poses)


def settled_whole(whole: Stages, found: Placed, changes: Changes, work: Work) -> tuple[Placed, Changes, int]:
    """Try what the frames' own maps say of their symmetry mates; keep it where it explains the frames better.

    Returns
    -------
    placed
        What is refined from all frames.
    changes
        What is found of it.
    turned
        How many frames were moved to another mate.
    """
    if not may_settle(whole, found):
        return found, changes, 0
    try:
        poses = settled(whole.clean, found.poses, work.reassign).poses
        turned = moved_frames(found.poses, poses)
        if turned and (placed := work.place(whole.clean, poses)).gain > LEAST_GAIN * found.gain:
            return placed, work.ask(whole.clean, placed.poses, placed.atoms), turned
    except (SingleError, ConvergenceError) as error:
        log.info("%s: its frames stay in their symmetry mates: %s", whole.name, error)
    return found, changes, 0


def stretch_work(whole: Stages, stage: str, key: str) -> Work:
    """Return what is done with a stretch of the frames of `whole`; what is finished is kept for `stage` with `key`."""
    job, of = whole.job, whole.job.config
    symbol, orient = lattice_seed(job.element, of.orient)
    diameter = whole.diameter
    steps, numbers = job.log.steps(stage, key), itertools.count(1)

    def once(kind: type[T], make: Callable[[], T]) -> T:
        """Do what is done with a stretch as a step of the states, with steps of its own."""
        own = steps.of(f"part {next(numbers)}")
        with keeping(own):
            return own.kept("whole", kind, make)

    def search(clean: CleanStack) -> Poses:
        return once(Poses, lambda: find_poses(clean, symbol, orient, seed=job.seed))

    def reassign(clean: CleanStack, poses: Poses, known: NDArray[np.bool_]) -> Poses:
        return once(Poses, lambda: reassign_runs(clean, poses, known, symbol, orient))

    def place(clean: CleanStack, poses: Poses) -> Placed:
        return once(Placed, lambda: placed(clean, poses))

    def placed(clean: CleanStack, poses: Poses) -> Placed:
        density = reconstruct(clean, poses, of.reconstruct)
        atoms = stages.trace(density, job.element, diameter, of.trace)
        refined = refine_atoms(clean, poses, atoms, of.refine)
        return Placed(refined.poses, refined.atoms, refined.summary.nats_per_frame * refined.summary.frames)

    def ask(clean: CleanStack, poses: Poses, atoms: Atoms) -> Changes:
        if of.states.number is not None:
            return Changes(len(clean.images), (), (1.0,), None, None, ())
        settings = of.states, of.refine, job.seed, *whole.imaging
        return once(Changes, lambda: find_changes(clean, poses, atoms, *settings))

    return Work(at_most(len(whole.stack), search), reassign, place, ask, of.states.shortest)
