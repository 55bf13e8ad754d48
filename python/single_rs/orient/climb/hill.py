"""Poses from nothing: stochastic hill climbing from random poses, with no lattice given.

Each half set is solved alone; within it the frames are cut into folds in time, and a frame only meets volumes of the
other folds: single frames share no electrons, so nothing can vote for itself.

1. *Climb* at low resolution. Each frame of a random pose is offered a random batch of rotations, part from all of
   SO(3), part near its own pose by a reach that shrinks; of those that fit better than the present one any is taken,
   not the best: early volumes are wrong, and the best fit to them is a trap (Elmlund et al. 2013,
   doi:10.1016/j.str.2013.07.002).
2. *Search.* The volume's approximate symmetries are read from the volume itself (`rotation_search`; 24 turns for a
   cubic lattice). One cell of SO(3) modulo them is searched for every frame, and the best few are polished before they
   are compared: a polished wrong pose beats an unpolished right one. That all frames come from one cell already
   breaks the symmetry in part.
3. *Break the symmetry* at a resolution in between: all alike poses of each frame compete, the best few polished. Each
   round some frames, and all without a clear pose, are also searched again.
4. *Polish* at full resolution.

The order in time is used nowhere, so that neighbouring frames come out alike is evidence. Measured, for 140 platinum
atoms at 20 e/px and 8° steps: one half of 150 frames came from random poses to 71 % and 93 % within 10° of the truth
with two seeds; the other half was still at 11 % before the symmetry was broken, and its end was not measured;
poses known to 7° come back, poses known to 15° do not. The lattice engine is the better one wherever there
is a lattice.
Reference: Reboul et al., Science Advances 7, eabe6679 (2021), doi:10.1126/sciadv.abe6679.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from single_rs.frames.packed import TimeBlocks, time_blocks
from single_rs.frames.volume import shell_correlation
from single_rs.orient.climb.solver import ClimbSolver, State
from single_rs.orient.config import OrientConfig
from single_rs.orient.halves.merge import robust_mean
from single_rs.orient.indexing.lattice import FRIEDEL
from single_rs.orient.indexing.rotation_search import (
    LONGEST_COMPARED,
    MOST_ALIKE,
    approximate_symmetries,
    laying_rotations,
    rotation_grid,
    unit_rotations,
)
from single_rs.orient.indexing.symmetry import all_mates, best_of
from single_rs.orient.search.centres import particle_translation
from single_rs.records import CleanStack, HalfDiagnostics, PoseDiagnostics, Poses, SearchRound, StartDiagnostics

__all__ = ["solve_by_climb"]

EARLY_WINDOW = 0.6  # Å, shifts searched while climbing: the measured centres are this good
NEAR_SHARE = 0.5  # of the offered rotations that are near the present pose, in the last round; 0 in the first
NEAR_REACH = (0.35, 0.03)  # rad, spread of those at the start and at the end
ROUGH = 0.06  # rad per axis, reach at the start when poses are known to 7° or so
CELL_STEP = np.radians(7.0)  # grid of the search; polishing reaches 4°, half the diagonal of a step
CELL_MOST = 1200  # rotations of the cell tried per frame and round; a random share of a larger cell
AGAIN_SHARE = 0.25  # of the frames that are searched again in each round: a wrong pose may well be a clear one
RIVALS = 3  # poses that such a search finds for a frame; in the last round for all, so that confidence has a measure
FINALISTS = 6  # poses polished before they are compared
SAME_POSE = np.radians(3.0)  # poses nearer than this are one
UNCLEAR = 0.9  # posterior below which a frame is searched again
DOUBTFUL = 0.3  # posterior below which a frame enters no volume
BELIEF = 0.1  # share of a log-likelihood that is believed: maps climbed to are wrong in places
SAMPLE = 160  # frames of the second half that choose how it lies on the first
JOIN_ROUNDS = 3
NEIGHBOUR = np.radians(12.0)  # poses nearer than this agree, as in `quotient`

# Stages of the random numbers.
START, CLIMB, CELL, AGAIN = range(4)


def _stream(seed: int, stage: int, half: int, item: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, (stage << 48) + (half << 32) + item]))


@dataclass
class _Half:
    """One half at the three resolutions, its poses, and numbers of each stage."""

    number: int
    coarse: ClimbSolver
    search: ClimbSolver
    fine: ClimbSolver
    config: OrientConfig
    seed: int
    state: State
    confidence: NDArray[np.float64]
    rounds: list[SearchRound] = field(default_factory=list)
    correlation: float | None = None

    @property
    def every(self) -> NDArray[np.int64]:
        return np.arange(len(self.coarse))


def solve_by_climb(
    clean: CleanStack, config: OrientConfig, progress: Callable[[str, int, int], None] | None, seed: int
) -> Poses:
    """Poses by the climb; see `single_rs.orient.find_poses`."""
    steps = 2 * (config.climb_rounds + config.search_rounds + config.break_rounds + config.polish_rounds) + 1
    done = 0

    def report() -> None:
        nonlocal done
        if progress is not None:
            progress("orient", done, steps)
        done += 1

    blocks = time_blocks(clean.frames, config.block, config.guard)
    selects = [np.flatnonzero(blocks.half == number) for number in (0, 1)]
    halves = []
    for number, select in enumerate(selects):
        half = _start(clean, select, config, seed, number)
        climb(half, report)
        _search(half, report)
        _break(half, report)
        _polish(half, report)
        halves.append(half)
    report()
    second, gap = _join(*halves)
    diagnostics = PoseDiagnostics(
        engine="climb",
        joining_lead=gap,
        half_correlation=_agreement_of_halves(halves[0], halves[1], second),
        halves=tuple(HalfDiagnostics(map_correlation=h.correlation, rounds=tuple(h.rounds)) for h in halves),
    )
    return _gathered(clean, blocks, selects, halves, [halves[0].state, second], diagnostics)


def _start(clean: CleanStack, select: NDArray[np.int64], config: OrientConfig, seed: int, number: int) -> _Half:
    n = len(select)
    coarse, search, fine = (
        ClimbSolver(clean, select, config, period, window)
        for period, window in (
            (config.climb_resolution, EARLY_WINDOW),
            (float(np.sqrt(config.climb_resolution * config.search_resolution)), config.shift_window),
            (config.polish_resolution, config.shift_window),
        )
    )
    rotations = unit_rotations(_stream(seed, START, number, 0), (n,))
    state = State(rotations, np.zeros((n, 2)), np.ones(n), np.zeros(n))
    return _Half(number, coarse, search, fine, config, seed, state, np.ones(n))


def climb(half: _Half, report: Callable[[], None], wander: bool = True) -> None:
    """Stochastic hill climb of all frames from the present poses, at climbing resolution.

    Without `wander` all rotations offered are near the present pose: for poses that are known roughly.
    """
    solver, rounds, batch = half.coarse, half.config.climb_rounds, half.config.climb_batch
    start = NEAR_REACH[0] if wander else ROUGH
    every, n = half.every, len(half.coarse)
    for number in range(rounds):
        report()
        random = _stream(half.seed, CLIMB, half.number, number)
        volumes = solver.held_out(half.state)
        share = number / max(rounds - 1, 1)
        near = round(batch * NEAR_SHARE * share) if wander else batch
        reach = start * (NEAR_REACH[1] / start) ** share
        far = unit_rotations(random, (n, batch - near))
        turns = Rotation.from_rotvec(reach * random.standard_normal((n * near + 1, 3)))[1:].as_matrix()
        close = turns.reshape(n, near, 3, 3) @ half.state.rotations[:, None]
        offered = np.concatenate([half.state.rotations[:, None], far, close], axis=1)
        count = offered.shape[1]
        fit = solver.score(volumes, offered.reshape(-1, 3, 3), np.repeat(every, count))
        value = fit.significance().reshape(n, count)
        lot = random.random((n, count)) * (value > value[:, :1])
        pick = lot.argmax(axis=1)  # 0, the present pose, when nothing is better
        half.state = State(
            offered[every, pick],
            fit.shifts.reshape(n, count, 2)[every, pick],
            np.ones(n),
            value[every, pick],
        )
        if number == 0:
            half.rounds.append(SearchRound("climb", float(value[:, 0].mean())))
        half.rounds.append(SearchRound("climb", float(half.state.score.mean())))


def _search(half: _Half, report: Callable[[], None]) -> None:
    """Search one cell of SO(3), modulo the symmetries of the volume, for every frame."""
    every, n, solver = half.every, len(half.coarse), half.coarse
    for number in range(half.config.search_rounds):
        report()
        volumes = solver.held_out(half.state)
        cell = _cell(_symmetries(half), _stream(half.seed, CELL, half.number, number))
        offered = np.concatenate(
            [np.broadcast_to(cell, (n, *cell.shape)), half.state.rotations[:, None]], axis=1
        ).reshape(-1, 3, 3)
        fit = solver.score(volumes, offered, np.repeat(every, len(cell) + 1))
        top, _ = best_of(fit.frame, fit.significance(), FINALISTS)
        frame = np.repeat(every, FINALISTS)
        turned, fit = solver.polish(volumes, offered[top.ravel()], fit.shifts[top.ravel()], frame)
        value = fit.significance().reshape(n, FINALISTS)
        at = (every, value.argmax(axis=1))
        half.state = State(
            turned.reshape(n, FINALISTS, 3, 3)[at], fit.shifts.reshape(n, FINALISTS, 2)[at], np.ones(n), value[at]
        )
        half.rounds.append(SearchRound("search", float(value[at].mean())))


def _break(half: _Half, report: Callable[[], None]) -> None:
    """Let all alike poses of each frame compete, round by round."""
    solver = half.search
    for number in range(half.config.break_rounds):
        report()
        volumes = solver.held_out(half.state)
        group = _symmetries(half)
        offered = all_mates(half.state.rotations[:, None], group)
        frame = np.repeat(half.every, offered.shape[1])
        rotations = offered.reshape(-1, 3, 3)
        random = _stream(half.seed, AGAIN, half.number, number)
        again = (random.random(len(solver)) < AGAIN_SHARE) | (number > 0) & (half.confidence < UNCLEAR)
        lost = half.every if number == half.config.break_rounds - 1 else np.flatnonzero(again)
        if len(lost):
            found = all_mates(_search_again(half, lost, group, random), group)
            frame = np.concatenate([frame, np.repeat(lost, found.shape[1])])
            order = np.argsort(frame, kind="stable")
            rotations, frame = np.concatenate([rotations, found.reshape(-1, 3, 3)])[order], frame[order]
        fit = solver.score(volumes, rotations, frame)
        _decide(half, solver, volumes, rotations, fit.shifts, best_of(frame, fit.likelihood(), FINALISTS))
        half.rounds.append(SearchRound("break", float(half.state.score.mean())))


def _search_again(
    half: _Half, lost: NDArray[np.int64], group: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float64]:
    """Best poses (len(lost), RIVALS, 3, 3) in the cell of each of the frames `lost`, at climbing resolution."""
    cell = _cell(group, random)
    offered = np.broadcast_to(cell, (len(lost), *cell.shape)).reshape(-1, 3, 3)
    fit = half.coarse.score(half.coarse.held_out(half.state), offered, np.repeat(lost, len(cell)))
    value = fit.significance().reshape(len(lost), len(cell))
    return cell[np.argsort(-value, axis=1, kind="stable")[:, :RIVALS]]


def _decide(
    half: _Half,
    solver: ClimbSolver,
    volumes: list[NDArray[np.complex64]],
    rotations: NDArray[np.float64],
    shifts: NDArray[np.float64],
    top: tuple[NDArray[np.int64], NDArray[np.bool_]],
) -> None:
    """Polish the finalists `top` of each frame, take the best; the posterior among them is its confidence."""
    index, there = top
    n, count = index.shape
    frame = np.repeat(half.every, count)
    turned, fit = solver.polish(volumes, rotations[index.ravel()], shifts[index.ravel()], frame)
    turned, moved = turned.reshape(n, count, 3, 3), fit.shifts.reshape(n, count, 2)
    value = fit.likelihood().reshape(n, count)
    # Finalists that polishing brought together are one pose: the first, which was best before, stands for all.
    trace = np.einsum("naij,nbij->nab", turned, turned)
    same = np.triu(trace > 1 + 2 * np.cos(SAME_POSE), k=1).any(axis=1)
    value = np.where(there & ~same, value, -np.inf)
    at = (half.every, value.argmax(axis=1))
    share = np.exp(BELIEF * (value - value[at][:, None]))
    half.confidence = 1 / share.sum(axis=1)
    weight = half.confidence * (half.confidence > DOUBTFUL)
    if not weight.any():  # noise: every pose is as good, and a volume is still needed to say so
        weight = np.ones(n)
    half.state = State(turned[at], moved[at], weight, value[at])


def _polish(half: _Half, report: Callable[[], None]) -> None:
    for _ in range(half.config.polish_rounds):
        report()
        volumes = half.fine.held_out(half.state)
        turned, fit = half.fine.polish(volumes, half.state.rotations, half.state.shifts, half.every, 10)
        half.state = replace(half.state, rotations=turned, shifts=fit.shifts, score=fit.likelihood())
    half.rounds.append(SearchRound("polish", float(half.state.score.mean())))
    correlation = shell_correlation(*half.search.separate(half.state))
    half.correlation = float(correlation[half.search.frames.plane.max_shell // 3 :].mean())


def _symmetries(half: _Half) -> NDArray[np.float64]:
    """Turns (m, 3, 3) of the half's volume that lay it on itself roughly, the identity first."""
    solver = half.coarse
    volume = solver.whole(half.state)
    return approximate_symmetries(volume, *_compared(solver))


def _compared(solver: ClimbSolver) -> tuple[int, int]:
    return round(solver.frames.box / LONGEST_COMPARED), solver.frames.plane.max_shell


def _cell(group: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Rotations (m, 3, 3) of the grid that are the nearest to the identity among their mates f R o."""
    grid = rotation_grid(CELL_STEP) @ Rotation.from_rotvec(0.5 * CELL_STEP * random.standard_normal(3)).as_matrix()
    own = np.einsum("nii->n", grid)
    nearest = np.full(len(grid), -np.inf)
    for f in FRIEDEL:
        # trace(f g o) = Σ (o f)ᵀ ∘ g for all o at once
        product = (group @ f).transpose(0, 2, 1).reshape(len(group), 9)
        nearest = np.maximum(nearest, (grid.reshape(-1, 9) @ product.T).max(axis=1))
    inside = np.flatnonzero(own >= nearest - 0.02)
    if len(inside) > CELL_MOST:
        inside = np.sort(random.choice(inside, CELL_MOST, replace=False))
    return grid[inside]


def _join(first: _Half, second: _Half) -> tuple[State, float]:
    """Lay the second half's poses on the first half's volume; also the lead of the best way, nats per frame.

    The ways are the rotations that lay one volume's power on the other's, in both hands; the second half's frames
    choose among them by their likelihood.
    """
    solver, state = second.search, second.state
    volume = first.search.whole(first.state)
    ways, _ = laying_rotations(volume, solver.whole(state), *_compared(first.coarse), MOST_ALIKE)
    sample = np.sort(np.argsort(-second.confidence, kind="stable")[:SAMPLE])
    offered = all_mates(state.rotations[sample][:, None], ways)
    count = offered.shape[1]
    fit = solver.score([volume], offered.reshape(-1, 3, 3), np.repeat(sample, count))
    # likelihood() wants every frame of the half to have a candidate: number the sample anew
    fit = replace(fit, frame=np.repeat(np.arange(len(sample)), count))
    total = fit.likelihood().reshape(len(sample), count).mean(axis=0)
    order = np.argsort(-total, kind="stable")
    f, way = divmod(int(order[0]), len(ways))
    rotations, shifts = FRIEDEL[f] @ state.rotations @ ways[way], state.shifts
    for _ in range(JOIN_ROUNDS):
        start = rotations[sample]
        found = solver.score([volume], start, sample).shifts
        turned, fit = solver.polish([volume], start, found, sample)
        turn = robust_mean(np.einsum("nji,njk->nik", start, turned))
        moved = particle_translation(turned, fit.shifts - shifts[sample])
        rotations = rotations @ turn
        shifts = shifts + (rotations @ moved)[:, :2]
    gap = float(total[order[0]] - total[order[1]]) if len(order) > 1 else 0.0
    return replace(state, rotations=rotations, shifts=shifts), gap


def _agreement_of_halves(first: _Half, second: _Half, joined: State) -> float:
    """Mean shell correlation of the two halves' volumes in the upper two thirds of the search resolution."""
    solver = first.search
    correlation = shell_correlation(solver.whole(first.state), second.search.whole(joined))
    return float(correlation[solver.frames.plane.max_shell // 3 : solver.frames.plane.max_shell].mean())


def _continuity(rotations: NDArray[np.float64]) -> float:
    """Share of frames that agree with the next one, less the share that agree with one a third of the movie later."""

    def agreement(lag: int) -> float:
        trace = np.einsum("nij,nij->n", rotations[lag:], rotations[:-lag])
        return float((trace > 1 + 2 * np.cos(NEIGHBOUR)).mean())

    return agreement(1) - agreement(max(2, len(rotations) // 3))


def _gathered(
    clean: CleanStack,
    blocks: TimeBlocks,
    selects: list[NDArray[np.int64]],
    halves: list[_Half],
    states: list[State],
    diagnostics: PoseDiagnostics,
) -> Poses:
    """Poses of both halves in the order of the stack."""
    n = len(clean.images)
    rotations, shifts = np.zeros((n, 3, 3)), np.zeros((n, 2))
    score, confidence = np.zeros(n), np.zeros(n)
    for select, half, state in zip(selects, halves, states, strict=True):
        u, _, vt = np.linalg.svd(state.rotations)  # single precision left them orthonormal to 1e-6 only
        rotations[select] = u @ vt
        shifts[select] = clean.offsets[select] + state.shifts * clean.pixel_size
        score[select], confidence[select] = state.score, half.confidence
    return Poses(
        rotations=rotations,
        shifts=shifts,
        score=score,
        confidence=confidence,
        half=np.where(blocks.guard | clean.bad, 0, blocks.half + 1).astype(np.int8),
        weight=np.where(clean.bad, 0.0, confidence),
        frames=np.asarray(clean.frames, np.int64),
        diagnostics=replace(diagnostics, start=StartDiagnostics(continuity=_continuity(rotations[~clean.bad]))),
    )
