"""The lattice engine: index, split in halves, solve each, bring them together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from single_rs.background import CleanStack
from single_rs.orient.frames import TimeBlocks, time_blocks
from single_rs.orient.half import solve_half
from single_rs.orient.merge import merge_halves
from single_rs.orient.quotient import index_frames, smooth_states
from single_rs.orient.solver import HalfPoses, HalfSolver, half_solver
from single_rs.orient.template import lattice_template
from single_rs.orient.types import OrientConfig, Poses

__all__ = ["solve_by_lattice"]


def solve_by_lattice(
    clean: CleanStack, element: str, config: OrientConfig, progress: Callable[[str, int, int], None] | None
) -> Poses:
    """Poses by the lattice engine; see `single_rs.orient.find_poses`."""
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
    index = index_frames(clean, lattice_template(element, config.structure, config.lattice_constant), config)

    def solve(number: int) -> tuple[NDArray[np.int64], HalfSolver, HalfPoses]:
        select = np.flatnonzero(blocks.half == number)
        report("smooth")
        states = smooth_states(index, select, blocks.block[select])
        period = config.search_resolution
        solver = half_solver(clean, select, blocks.fold[select], blocks.block[select], index.template, config, period)
        return select, solver, solve_half(solver, states, report)

    # Neither half knows of the other; side by side they keep the processors busy where a step has but one thread.
    with ThreadPoolExecutor(2) as pool:
        solved = list(pool.map(solve, (0, 1)))
    report("merge")
    (first, solver, poses), (second, other, others) = solved
    merged = merge_halves(solver, poses, other, others)
    if progress is not None:
        progress("orient", steps, steps)
    evidence = {
        **index.significance(),
        "lattice_constant": index.template.lattice_constant,
        "mate_gap": merged.gap,
        **{name: min(p.trail[name] for _, _, p in solved) for name in ("mate_lead", "gain_over_null")},
        **{f"half{i + 1}_{k}": v for i, (_, _, p) in enumerate(solved) for k, v in _chain(p).items()},
    }
    return _gathered(clean, blocks, (first, second), (poses, merged.second), evidence)


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
