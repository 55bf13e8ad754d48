"""Atoms through all states: the same number for the same atom, when each came and went, and how far it moved.

All atoms of all states are compared with every frame at the poses of its state, with heights h = 1 of those that the
state has and 0 of the others. With G the gradient of ½ log-likelihood by a height and H its information from one block
of frames, the block prefers that an atom is there by

    λ_b = 2 G_b + (2h − 1) H_b

nats over its absence. An atom is there from block i to block j − 1 where Σ λ_b is greatest, by maximum likelihood; each
end is a step, whose date and error are mean and standard deviation over its likelihood. Ends that gain less than 25
nats over the end of the movie are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs.base.blas import single_blas_thread
from single_rs.records import Atoms, CleanStack, Poses
from single_rs.refine.change.evidence import WholeModel
from single_rs.refine.change.find import CLEAR_NATS
from single_rs.refine.change.segments import posterior_date
from single_rs.refine.change.stretches import displacement, mutual_pairs, part_of, within
from single_rs.refine.types import RefineConfig

__all__ = ["Interval", "StateAtoms", "Timeline", "moved_between", "number_atoms", "trace_timeline"]

SAME_DATE = 3.0  # standard errors; an atom whose own date is within them went with the change of the whole


@dataclass(frozen=True)
class StateAtoms:
    """One state: its stretches (first image, one after the last), full-length poses, atoms and their errors of dates.

    `errors` are those of the starts of the stretches, frames.
    """

    stretches: tuple[tuple[int, int], ...]
    poses: Poses
    atoms: Atoms
    errors: tuple[float, ...]


@dataclass(frozen=True)
class Interval:
    """When one atom was there.

    Attributes
    ----------
    first, last
        First and last frame of the movie with the atom.
    first_err, last_err
        Standard errors, frames; 0 at the ends of the movie.
    """

    first: int
    first_err: float
    last: int
    last_err: float


@dataclass(frozen=True)
class Timeline:
    """The atoms of all states.

    Attributes
    ----------
    numbers
        Of each state, (n,) number of each of its atoms, 0 and up.
    symbols
        (atom,) element.
    positions
        (atom, 3) Å, in the first state that has the atom.
    intervals
        One per atom.
    """

    numbers: tuple[NDArray[np.int64], ...]
    symbols: NDArray[np.str_]
    positions: NDArray[np.float64]
    intervals: tuple[Interval, ...]


def number_atoms(states: Sequence[Atoms]) -> tuple[tuple[NDArray[np.int64], ...], NDArray[np.float64], list[str]]:
    """Give the same number to the same atom of all states; return them, first positions (atom, 3) Å and symbols.

    Atoms are the same that are each other's nearest within 0.8 Å, in the state before or in the last one that had it.
    """
    numbers: list[NDArray[np.int64]] = []
    latest = np.empty((0, 3))
    first: list[NDArray[np.float64]] = []
    symbols: list[str] = []
    for atoms in states:
        mine = np.full(len(atoms), -1, np.int64)
        if len(latest):
            pairs = mutual_pairs(atoms.positions, latest)
            mine[pairs[:, 0]] = pairs[:, 1]
        new = np.flatnonzero(mine < 0)
        mine[new] = len(latest) + np.arange(len(new))
        latest = np.concatenate([latest, atoms.positions[new]])
        latest[mine] = atoms.positions
        first += list(atoms.positions[new])
        symbols += [str(s) for s in atoms.symbols[new]]
        numbers.append(mine)
    return tuple(numbers), np.array(first).reshape(-1, 3), symbols


@single_blas_thread()
def trace_timeline(clean: CleanStack, states: Sequence[StateAtoms], config: RefineConfig | None = None) -> Timeline:
    """Number the atoms of all states and find when each was there.

    Parameters
    ----------
    clean
        All frames.
    states
        In one frame of reference, in order of their first frame.
    config
        Settings of the refinement.
    """
    numbers, first, symbols = number_atoms([s.atoms for s in states])
    edges, nats, order = [], [], []
    for mine, state in zip(numbers, states, strict=True):
        there = np.isin(np.arange(len(first)), mine).astype(float)
        everyone = first.copy()
        for other, theirs in sorted(zip(numbers, states, strict=True), key=lambda item: item[1] is state):
            everyone[other] = theirs.atoms.positions  # its own places last
        for begin, end in state.stretches:
            images = slice(begin, end)
            atoms = _with_heights(everyone, symbols, there)
            own, poses = part_of(clean, images), within(state.poses, images)
            evidence = WholeModel(own, poses, atoms, config or RefineConfig()).blocks()
            information = evidence.information * evidence.share
            own_nats = 2 * evidence.gradients[:, : len(first)] + information[:, None] * (2 * there - 1)
            nats.append(own_nats)
            edges.append(evidence.edges[:-1] + begin)
            order.append(begin)
    turn = np.argsort(order)
    starts = np.concatenate([edges[k] for k in turn])
    ends = sorted(end for state in states for _, end in state.stretches)
    table = np.concatenate([nats[k] for k in turn])
    movie = np.asarray(clean.frames)
    common = sorted((b, e) for s in states for (b, _), e in zip(s.stretches, s.errors, strict=True) if e > 0)
    intervals = [_interval(column, starts, ends[-1], common, movie) for column in table.T]
    return Timeline(numbers, np.array(symbols), first, tuple(intervals))


def _with_heights(positions: NDArray[np.float64], symbols: list[str], heights: NDArray[np.float64]) -> Atoms:
    n = len(positions)
    return Atoms(positions, np.array(symbols), heights, np.zeros(n), np.full(n, np.nan), np.ones(n))


def _interval(
    nats: NDArray[np.float64],
    starts: NDArray[np.int64],
    end: int,
    common: list[tuple[int, float]],
    movie: NDArray[np.int64],
) -> Interval:
    """When an atom with `nats` (block,) for its presence in blocks that begin at images `starts` was there."""
    count = len(nats)
    total = np.concatenate([[0.0], np.cumsum(nats)])
    lowest = np.minimum.accumulate(total)
    stop = int(np.argmax(total[1:] - lowest[:-1])) + 1
    begin = int(np.argmin(total[:stop]))
    edges = np.concatenate([starts, [end]])
    first, first_err, last, last_err = 0, 0.0, end, 0.0
    if total[0] - total[begin] > CLEAR_NATS:
        first, first_err = _date(-total[: stop + 1], edges, 0, common)
    if total[stop] - total[count] > CLEAR_NATS:
        last, last_err = _date(total[begin:], edges, begin, common)
    return Interval(int(movie[min(first, end - 1)]), first_err, int(movie[max(min(last, end) - 1, 0)]), last_err)


def _date(
    likelihood: NDArray[np.float64], edges: NDArray[np.int64], offset: int, common: list[tuple[int, float]]
) -> tuple[int, float]:
    """Image of a step, and its error, from the log-likelihood of each edge of blocks from `offset` on."""
    mean, error = posterior_date(likelihood)
    at = np.interp([mean + offset, mean + offset + 1], np.arange(len(edges)), edges)
    length = max(float(at[1] - at[0]), float(np.diff(edges).min()))
    image, spread = float(at[0]), float(np.hypot(error * length, length / np.sqrt(12)))
    for when, common_error in common:
        if abs(when - image) < SAME_DATE * np.hypot(spread, common_error):
            return when, max(common_error, 1.0)
    return round(image), spread


def moved_between(one: Atoms, other: Atoms) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return pairs (m, 2) of the same atoms, how far each moved and the error of that, (m,) Å."""
    pairs = mutual_pairs(one.positions, other.positions)
    distance = np.linalg.norm(displacement(one.positions, other.positions, pairs), axis=1)
    sigma = np.sqrt(3 * (one.sigma[pairs[:, 0]] ** 2 + other.sigma[pairs[:, 1]] ** 2))
    return pairs, distance, sigma
