"""Reassign runs of frames among the symmetry mates of their poses, by the map of other frames.

Where a particle changes, or few frames speak, a search may leave whole runs of frames in one wrong mate: their own
frames agree with each other, and the models that they are compared with are half made of them. A map of frames that are
known to be right decides. Frames between two jumps are in one mate as a whole, so that their log-likelihoods add up;
each half is compared with a map of its own half, as far as both have frames enough for one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import InputError
from single_rs.base.rotations import jumps, nearest_rotation
from single_rs.frames.packed import FrameSet
from single_rs.orient.config import OrientConfig
from single_rs.orient.indexing.lattice import FRIEDEL
from single_rs.orient.indexing.symmetry import symmetry_mates
from single_rs.orient.indexing.template import lattice_template
from single_rs.orient.models.reference import Reference, likelihood, look_up, polish
from single_rs.orient.search.cross_validation import BELIEF, compare_mates
from single_rs.orient.search.half import symmetries_of
from single_rs.orient.search.solver import half_solver
from single_rs.records import CleanStack, Poses

__all__ = ["reassign_runs"]

FEWEST = 40  # frames of a map; below, most of its peaks are noise
FINALISTS = 6  # mates of a run that are polished before they are compared
LEAD = 20.0  # nats by which a run must fit another mate better to be moved there
POLISH = 8  # iterations
CHUNK = 2000  # frames of which all mates are looked up at once


@single_blas_thread()
def reassign_runs(
    clean: CleanStack, poses: Poses, known: NDArray[np.bool_], element: str, config: OrientConfig | None = None
) -> Poses:
    """Return the poses with every run of frames in the mate that fits a map of the frames `known` best.

    Parameters
    ----------
    clean, poses
        Frames (n, y, x) and their poses.
    known
        (n,) frames whose poses are right; they stay. The diagnostics that come out are those of the others:
        `own_share` against the map, and the share of jumps.
    element
        Symbol, whose lattice says how many atoms the map holds.
    config
        Settings of the search.

    Raises
    ------
    InputError
        Too few known frames, no other frames, or an element without a known lattice.
    """
    config = config or OrientConfig()
    template = lattice_template(element, config.structure, config.lattice_constant)
    others = np.flatnonzero(~known)
    if not len(others):
        raise InputError("all frames are known; there is none to reassign")
    broken = jumps(poses.rotations[others]) | (np.diff(others) > 1)
    run = np.full(len(known), -1)
    run[others] = np.concatenate([[0], np.cumsum(broken)])
    symmetries: NDArray[np.float64] | None = None
    sides: list[_Side] = []
    for select in _sets(poses, known):
        nothing = np.zeros(len(select), np.int64)
        solver = half_solver(clean, select, nothing, nothing, template, config, config.search_resolution)
        while solver.widen():  # the origin of a wrong mate may be as far from the centre as the lattice is wide
            pass
        shifts = (poses.shifts[select] - clean.offsets[select]) / clean.pixel_size
        weight = np.where(known[select], poses.weight[select], 0.0)
        sums = solver.insert(solver.frames, weight, poses.rotations[select], shifts, nothing, 1)[0]
        reference = solver.map_reference(solver.frames, sums)
        symmetries = symmetries_of(solver, reference) if symmetries is None else symmetries
        asked = np.flatnonzero(~known[select])
        to = select[asked]
        if len(to):
            sides.append(_Side(to, run[to], solver.frames.take(asked), reference, poses.rotations[to], solver.window))
    assert symmetries is not None  # there is one set at least
    count = 2 * len(symmetries)
    total = np.zeros((int(run.max()) + 1, count))
    shifts_of = []
    for side in sides:
        value, moved = side.look_up(symmetries)
        np.add.at(total, side.run, value)
        shifts_of.append(moved)
    # The present mate, which has been polished, is the first of those that are compared.
    total[:, 0] = np.inf
    finalists = np.argsort(-total, axis=1, kind="stable")[:, :FINALISTS]
    total = np.zeros(finalists.shape)
    fitted = []
    for side, moved in zip(sides, shifts_of, strict=True):
        chosen = finalists[side.run]
        fitted.append(side.polish(symmetries, chosen, np.take_along_axis(moved, chosen[..., None], axis=1)))
        np.add.at(total, side.run, BELIEF * fitted[-1][0])
    best = np.where(total.max(1) > total[:, 0] + LEAD, total.argmax(1), 0)
    rotations, shifts = poses.rotations.copy(), poses.shifts.copy()
    shares, weights = [], []
    for side, (_, turned, moved) in zip(sides, fitted, strict=True):
        every, mate = np.arange(len(side.members)), best[side.run]
        at = np.where(mate > 0)[0]
        rotations[side.members[at]] = nearest_rotation(turned[at, mate[at]])  # of single precision
        shifts[side.members[at]] = clean.offsets[side.members[at]] + moved[at, mate[at]] * clean.pixel_size
        final = turned[every, mate], moved[every, mate]
        shares.append(compare_mates(side.frames, side.reference, *final, symmetries, side.window).share[0, 0])
        weights.append(len(side.members))
    diagnostics = replace(
        poses.diagnostics,
        own_share=float(np.average(shares, weights=weights)),
        jump_share=float(jumps(rotations[others]).mean()) if len(others) > 1 else 0.0,
    )
    return replace(poses, rotations=rotations, shifts=shifts, width=None, diagnostics=diagnostics)


def _sets(poses: Poses, known: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Numbers of the frames of each half, that with more known ones first; of all where a half has too few of them."""
    first = poses.half == 1
    counts = [int((known & (poses.weight > 0) & of).sum()) for of in (first, ~first)]
    if sum(counts) < FEWEST:
        raise InputError(f"{sum(counts)} frames are known; at least {FEWEST} are needed for a map")
    if min(counts) < FEWEST:
        return [np.arange(len(known))]
    sets = [np.flatnonzero(first), np.flatnonzero(~first)]
    return sets if counts[0] >= counts[1] else sets[::-1]


@dataclass(frozen=True)
class _Side:
    """Frames of one half that are asked.

    Their numbers (n,) and runs (n,), the map, their present rotations (n, 3, 3), and the window of shifts.
    """

    members: NDArray[np.int64]
    run: NDArray[np.int64]
    frames: FrameSet
    reference: Reference
    rotations: NDArray[np.float64]
    window: int

    def look_up(self, symmetries: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log-likelihood (n, m) of all mates, nats, and their shifts (n, m, 2) px from the measured centres."""
        n, count = len(self.members), 2 * len(symmetries)
        overlap, power = np.zeros((2, n * count))
        moved = np.zeros((n * count, 2))
        for start in range(0, n, CHUNK):
            frame = np.repeat(np.arange(start, min(start + CHUNK, n)), count)
            mates = symmetry_mates(self.rotations[start : start + CHUNK, None], symmetries).reshape(-1, 3, 3)
            rows = slice(count * start, count * start + len(frame))
            starts = np.zeros((len(frame), 2))
            overlap[rows], power[rows], moved[rows] = look_up(
                self.frames, self.reference, mates, frame, starts, self.window
            )
        frame = np.repeat(np.arange(n), count)
        value = likelihood(overlap, power, frame, self.frames.frame_weight)
        return value.reshape(n, count), moved.reshape(n, count, 2)

    def polish(
        self, symmetries: NDArray[np.float64], chosen: NDArray[np.int64], shifts: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Log-likelihood (n, k), rotations (n, k, 3, 3) and shifts (n, k, 2) px of the mates `chosen`, polished."""
        n, k = chosen.shape
        half_turn, symmetry = np.divmod(chosen, len(symmetries))
        start = FRIEDEL[half_turn] @ self.rotations[:, None] @ symmetries[symmetry]
        frame = np.repeat(np.arange(n), k)
        found = polish(self.frames, self.reference, start.reshape(-1, 3, 3), shifts.reshape(-1, 2), POLISH, frame)
        value = likelihood(found.overlap, found.power, frame, self.frames.frame_weight)
        return value.reshape(n, k), found.rotations.reshape(n, k, 3, 3), found.shifts.reshape(n, k, 2)
