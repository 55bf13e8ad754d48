"""The engines that go from orientation candidates to poses: split in halves, solve each, bring them together.

They differ in where they begin. *lattice*: spots of an ideal crystal (`indexing.lattice`) and occupied lattice sites
(`seed`); *lattice-free*: the intensity that the frames make up themselves (`intensity`), and the sites of the lattice
that it shows (`patterson`), or the map of one segment where it shows none (`first_map`); *climb* begins as
either, with a ball of crystal for the sites, and goes on by the published rule (`climb`). All later steps (`half`,
`merge`) assume no lattice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import ConvergenceError
from single_rs.base.rotations import nearest_rotation
from single_rs.base.seeds import random_stream
from single_rs.base.steps import current_steps
from single_rs.frames.packed import TimeBlocks, time_blocks
from single_rs.orient.climb.hill import ball_seed, climb_half
from single_rs.orient.config import OrientConfig
from single_rs.orient.halves.merge import merge_halves
from single_rs.orient.indexing.intensity import index_by_intensity
from single_rs.orient.indexing.lattice import Index, index_frames, smooth_candidates
from single_rs.orient.indexing.patterson import FoundLattice
from single_rs.orient.indexing.template import lattice_template
from single_rs.orient.search.first_map import map_seed
from single_rs.orient.search.half import solve_half
from single_rs.orient.search.seed import site_seed
from single_rs.orient.search.solver import HalfPoses, HalfSolver, half_solver
from single_rs.records import CleanStack, HalfDiagnostics, PoseDiagnostics, Poses, StartDiagnostics

__all__ = ["solve_from_candidates"]


@dataclass(frozen=True)
class _Initialised:
    """One half: its frames, the index of them, and what was measured of that index."""

    select: NDArray[np.int64]
    index: Index
    start: StartDiagnostics


@dataclass(frozen=True)
class _Solved:
    """One half: its solver, its poses and their history."""

    solver: HalfSolver
    poses: HalfPoses
    diagnostics: HalfDiagnostics


def solve_from_candidates(
    clean: CleanStack,
    element: str,
    config: OrientConfig,
    progress: Callable[[str, int, int], None] | None,
    least_continuity: float = -1.0,
    seed: int = 0,
) -> Poses:
    """Poses by any of the engines; see `single_rs.orient.find_poses`.

    Raises `ConvergenceError` where neighbouring frames of a half agree by less than `least_continuity` after its start.
    """
    climbs = config.engine == "climb"
    given = config.engine == "lattice" or (climbs and config.climb_start == "crystal")  # a lattice
    tasks = 2 * (1 + config.climb_rounds if climbs else 3 + config.map_rounds) + 2
    done = 0
    lock = threading.Lock()

    def report(_: str) -> None:
        nonlocal done
        with lock:
            if progress is not None:
                progress("orient", done, tasks)
            done += 1

    steps = current_steps().of(config.engine)
    report("index")
    blocks = time_blocks(clean.frames, config.block, config.guard)
    template = lattice_template(element, config.structure, config.lattice_constant)
    index = steps.kept("index", Index, partial(index_frames, clean, template, config)) if given else None
    shared = None
    if index is not None:
        shared = replace(index.significance(), lattice_constant=index.template.lattice_constant)

    def initialise(number: int) -> _Initialised:
        select = np.flatnonzero(blocks.half == number)
        report("smooth")
        if index is not None and shared is not None:
            return _Initialised(select, index.take(select), shared)
        own, start = index_by_intensity(
            clean, select, blocks.fold[select], template, config, steps.of(f"half {number + 1}")
        )
        return _Initialised(select, own, start)

    def solve(half: _Initialised) -> _Solved:
        fold, block = blocks.fold[half.select], blocks.block[half.select]
        indexed = smooth_candidates(half.index, block)
        solver = partial(half_solver, clean, half.select, fold, block, half.index.template, config)
        sites_known = given or isinstance(half.index.template, FoundLattice)
        own = solver(config.search_resolution)
        number = int(blocks.half[half.select[0]])
        own_steps = steps.of(f"half {number + 1}")
        if climbs:
            random = random_stream(seed, number)
            seeds = ball_seed if sites_known else map_seed
            solution = climb_half(solver, half.index, indexed, seeds, random, report, own_steps)
        else:
            solution = solve_half(own, indexed, site_seed if sites_known else map_seed, report, own_steps)
        return _Solved(own, solution.poses, solution.diagnostics)

    # The halves share nothing; side by side they keep the processors busy where a step has but one thread.
    with ThreadPoolExecutor(2) as pool:
        halves = tuple(pool.map(initialise, (0, 1)))
        start = _worse_start(*(half.start for half in halves))
        if start.continuity is not None and start.continuity < least_continuity:
            raise ConvergenceError(f"neighbouring frames agree by {start.continuity:.2f}; {least_continuity} is needed")
        first, second = pool.map(solve, halves)
    report("merge")
    merged = merge_halves(first.solver, first.poses, second.solver, second.poses)
    if progress is not None:
        progress("orient", tasks, tasks)
    history = (first.diagnostics, second.diagnostics)
    diagnostics = PoseDiagnostics(
        engine=config.engine,
        start=start,
        joining_lead=merged.gap,
        mate_lead=_least(*(half.mate_lead for half in history)),
        own_share=_least(*(half.own_share for half in history)),
        lead_over_others=_least(*(half.lead_over_others for half in history)),
        jump_share=max(first.poses.transition.jump_probability, second.poses.transition.jump_probability),
        halves=history,
    )
    return _gathered(clean, blocks, tuple(h.select for h in halves), (first.poses, merged.second), diagnostics)


def _worse_start(first: StartDiagnostics, second: StartDiagnostics) -> StartDiagnostics:
    """Return of each number the smaller one."""
    return StartDiagnostics(**{f.name: _least(getattr(first, f.name), getattr(second, f.name)) for f in fields(first)})


def _least(*values: float | None) -> float | None:
    """Return the least of some numbers; None where one of them was not measured."""
    known = [value for value in values if value is not None]
    return min(known) if len(known) == len(values) else None


def _gathered(
    clean: CleanStack,
    blocks: TimeBlocks,
    selects: tuple[NDArray[np.int64], ...],
    halves: tuple[HalfPoses, ...],
    diagnostics: PoseDiagnostics,
) -> Poses:
    """Poses of both halves in the order of the stack."""
    n = len(clean.images)
    rotations, shifts = np.zeros((n, 3, 3)), np.zeros((n, 2))
    score, confidence, width = np.zeros(n), np.zeros(n), np.zeros(n)
    for select, half in zip(selects, halves, strict=True):
        rotations[select] = nearest_rotation(half.rotations)  # single precision left them orthonormal to 1e-6 only
        shifts[select] = clean.offsets[select] + half.shifts * clean.pixel_size
        score[select], confidence[select] = half.score, half.confidence
        width[select] = np.degrees(half.width)
    unused = blocks.guard | clean.bad
    return Poses(
        rotations=rotations,
        shifts=shifts,
        score=score,
        confidence=confidence,
        half=np.where(unused, 0, blocks.half + 1).astype(np.int8),
        weight=np.where(clean.bad, 0.0, confidence),
        frames=np.asarray(clean.frames, np.int64),
        width=width,
        diagnostics=diagnostics,
    )
