"""The two engines that go from states modulo symmetry to poses: split in halves, solve each, bring them together.

They differ in where they begin. *lattice*: spots of an ideal crystal (`quotient`) and occupied lattice sites (`seed`);
*free*: the intensity that the frames make up themselves (`intensity`) and the map of one segment (`first_map`). All
that follows (`half`, `merge`) knows no lattice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs.background import CleanStack
from single_rs.orient.first_map import map_seed
from single_rs.orient.frames import TimeBlocks, time_blocks
from single_rs.orient.half import solve_half
from single_rs.orient.intensity import index_by_intensity
from single_rs.orient.merge import merge_halves
from single_rs.orient.quotient import index_frames, smooth_states
from single_rs.orient.seed import site_seed
from single_rs.orient.solver import HalfPoses, HalfSolver, half_solver
from single_rs.orient.template import lattice_template
from single_rs.orient.types import OrientConfig, Poses

__all__ = ["solve_from_states"]


@dataclass(frozen=True)
class _Solved:
    """One half: its frames, its solver, its poses, and what its start says of itself."""

    select: NDArray[np.int64]
    solver: HalfSolver
    poses: HalfPoses
    start: dict[str, float]


def solve_from_states(
    clean: CleanStack,
    element: str,
    config: OrientConfig,
    progress: Callable[[str, int, int], None] | None,
    seed: int,
) -> Poses:
    """Poses by the lattice engine or the free one; see `single_rs.orient.find_poses`."""
    steps = 2 * (3 + config.map_rounds) + 2
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
    index = index_frames(clean, template, config) if config.engine == "lattice" else None
    shared = {} if index is None else {**index.significance(), "lattice_constant": index.template.lattice_constant}

    def solve(number: int) -> _Solved:
        select = np.flatnonzero(blocks.half == number)
        fold, block = blocks.fold[select], blocks.block[select]
        report("smooth")
        if index is not None:
            own, first, start = index.take(select), site_seed, shared
        else:
            random = np.random.Generator(np.random.Philox(key=[seed, number]))
            own, start = index_by_intensity(clean, select, fold, template, config, random)
            first, start = map_seed, start | own.significance()
        states = smooth_states(own, block)
        solver = half_solver(clean, select, fold, block, own.template, config, config.search_resolution)
        return _Solved(select, solver, solve_half(solver, states, first, report), start)

    # Neither half knows of the other; side by side they keep the processors busy where a step has but one thread.
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(solve, (0, 1))
    report("merge")
    merged = merge_halves(first.solver, first.poses, second.solver, second.poses)
    if progress is not None:
        progress("orient", steps, steps)
    halves = (first, second)
    evidence = {
        **{name: min(h.start[name] for h in halves) for name in first.start},
        "mate_gap": merged.gap,
        **{name: min(h.poses.trail[name] for h in halves) for name in ("mate_lead", "gain_over_null")},
        **{f"half{i + 1}_{k}": v for i, h in enumerate(halves) for k, v in _chain(h.poses).items()},
    }
    return _gathered(clean, blocks, (first.select, second.select), (first.poses, merged.second), evidence)


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
