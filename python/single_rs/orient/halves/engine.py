"""The engines that go from states modulo symmetry to poses: split in halves, solve each, bring them together.

They differ in where they begin. *lattice*: spots of an ideal crystal (`quotient`) and occupied lattice sites (`seed`);
*free*: the intensity that the frames make up themselves (`intensity`), and the sites of the lattice that it shows
(`patterson`), or the map of one segment where it shows none (`first_map`); *climb* begins as either, with a ball of
crystal for the sites, and goes on by the published rule (`climb`). All that follows (`half`, `merge`) needs no lattice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import ConvergenceError
from single_rs.frames.packed import TimeBlocks, time_blocks
from single_rs.orient.climb.hill import ball_seed, climb_half
from single_rs.orient.config import OrientConfig
from single_rs.orient.halves.merge import merge_halves
from single_rs.orient.indexing.intensity import index_by_intensity
from single_rs.orient.indexing.lattice import Index, index_frames, smooth_states
from single_rs.orient.indexing.patterson import FoundLattice
from single_rs.orient.indexing.template import lattice_template
from single_rs.orient.search.first_map import map_seed
from single_rs.orient.search.half import solve_half
from single_rs.orient.search.seed import site_seed
from single_rs.orient.search.solver import HalfPoses, HalfSolver, half_solver
from single_rs.records import CleanStack, Poses

__all__ = ["solve_from_states"]


@dataclass(frozen=True)
class _Begun:
    """One half: its frames, the index of them, and what the start says of itself."""

    select: NDArray[np.int64]
    index: Index
    start: dict[str, float]


@dataclass(frozen=True)
class _Solved:
    """One half: its solver and its poses."""

    solver: HalfSolver
    poses: HalfPoses


def solve_from_states(
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
    steps = 2 * (1 + config.climb_rounds if climbs else 3 + config.map_rounds) + 2
    done = 0
    lock = threading.Lock()

    def report(_: str) -> None:
        nonlocal done
        with lock:
            if progress is not None:
                progress("orient", done, steps)
            done += 1

    report("index")
    blocks = time_blocks(clean.frames, config.block, config.guard)
    template = lattice_template(element, config.structure, config.lattice_constant)
    index = index_frames(clean, template, config) if given else None
    shared = {} if index is None else {**index.significance(), "lattice_constant": index.template.lattice_constant}

    def begin(number: int) -> _Begun:
        select = np.flatnonzero(blocks.half == number)
        report("smooth")
        if index is not None:
            return _Begun(select, index.take(select), shared)
        own, start = index_by_intensity(clean, select, blocks.fold[select], template, config)
        return _Begun(select, own, start | own.significance())

    def solve(half: _Begun) -> _Solved:
        fold, block = blocks.fold[half.select], blocks.block[half.select]
        states = smooth_states(half.index, block)
        solver = partial(half_solver, clean, half.select, fold, block, half.index.template, config)
        sites_known = given or isinstance(half.index.template, FoundLattice)
        if climbs:
            number = int(blocks.half[half.select[0]])
            random = np.random.Generator(np.random.Philox(key=[seed, number]))
            found = climb_half(solver, half.index, states, ball_seed if sites_known else map_seed, random, report)
            return _Solved(solver(config.search_resolution), found)
        own = solver(config.search_resolution)
        return _Solved(own, solve_half(own, states, site_seed if sites_known else map_seed, report))

    # Neither half knows of the other; side by side they keep the processors busy where a step has but one thread.
    with ThreadPoolExecutor(2) as pool:
        halves = tuple(pool.map(begin, (0, 1)))
        continuity = min(half.start["continuity"] for half in halves)
        if continuity < least_continuity:
            raise ConvergenceError(f"neighbouring frames agree by {continuity:.2f}; {least_continuity} are needed")
        first, second = pool.map(solve, halves)
    report("merge")
    merged = merge_halves(first.solver, first.poses, second.solver, second.poses)
    if progress is not None:
        progress("orient", steps, steps)
    solved = (first.poses, second.poses)
    evidence = {
        **{name: min(h.start[name] for h in halves) for name in halves[0].start},
        "mate_gap": merged.gap,
        **{name: min(poses.trail[name] for poses in solved) for name in ("mate_lead", "gain_over_null")},
        **{f"half{i + 1}_{k}": v for i, poses in enumerate(solved) for k, v in _chain(poses).items()},
    }
    return _gathered(clean, blocks, tuple(h.select for h in halves), (first.poses, merged.second), evidence)


def _chain(poses: HalfPoses) -> dict[str, float]:
    return {"step_deg": float(np.degrees(poses.chain.step) * np.sqrt(3)), "jump_share": poses.chain.jump, **poses.trail}


def _gathered(
    clean: CleanStack,
    blocks: TimeBlocks,
    selects: tuple[NDArray[np.int64], ...],
    halves: tuple[HalfPoses, ...],
    evidence: dict[str, float],
) -> Poses:
    """Poses of both halves in the order of the stack."""
    n = len(clean.images)
    rotations, shifts = np.zeros((n, 3, 3)), np.zeros((n, 2))
    score, confidence, width = np.zeros(n), np.zeros(n), np.zeros(n)
    for select, half in zip(selects, halves, strict=True):
        u, _, vt = np.linalg.svd(half.rotations)  # single precision left them orthonormal to 1e-6 only
        rotations[select] = u @ vt
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
        evidence=evidence,
    )
