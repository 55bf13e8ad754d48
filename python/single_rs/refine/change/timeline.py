"""Atoms through all states: the same number for the same atom, when each came and went, and how far it moved.

All atoms of all states are compared with every frame at the poses of its state. With G the gradient of ½ log-likelihood
by an atom's height and H its information from one frame, at the model's height h, 1 where the atom is and 0 where not,
the frame prefers that the atom is there by

    λ = 2 G + (2h − 1) H

nats over its absence, of mean ±H and variance 2 H. What sums of ten frames scatter beyond that is error of the model,
and divides λ. An atom is there from image i to image j − 1 where Σ λ is greatest, by maximum likelihood; each end is a
step, whose date and error are mean and standard deviation over its likelihood. Ends that gain less than 25 nats over
the end of the movie are none. A second pass has each atom at its own height, and only while the first found it there:
atoms that are wrongly in the model or missing bend the gradients of its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from single_rs.base.blas import single_blas_thread
from single_rs.records import Atoms, CleanStack, Poses
from single_rs.refine.change.evidence import WholeModel
from single_rs.refine.change.find import CLEAR_NATS
from single_rs.refine.change.same import displacement, mutual_pairs
from single_rs.refine.change.segments import posterior_date
from single_rs.refine.change.stretches import part_of, within
from single_rs.refine.types import RefineConfig

__all__ = ["Interval", "StateAtoms", "Timeline", "moved_between", "number_atoms", "trace_timeline"]

PASSES = 2
MOST_NUMBERS = 2_000_000  # of blocks times atoms; above it a block has several frames
SHORTEST_PIECE = 10  # images with one set of atoms in the model
HEIGHTS = (0.7, 1.3)  # by which the height of an atom may differ from a usual one's
TOGETHER = 10  # blocks whose sums say how much more than noise they scatter: errors of the model go with the view


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
    whole = []
    for mine, state in zip(numbers, states, strict=True):
        there = np.isin(np.arange(len(first)), mine)
        everyone = first.copy()
        for other, theirs in sorted(zip(numbers, states, strict=True), key=lambda item: item[1] is state):
            everyone[other] = theirs.atoms.positions  # its own places last
        for begin, end in state.stretches:
            images = slice(begin, end)
            atoms = _with_heights(everyone, symbols, there.astype(float))
            seen = WholeModel(part_of(clean, images), within(state.poses, images), atoms, config or RefineConfig())
            whole.append(_Seen(begin, end, seen, there))
    whole.sort(key=lambda one: one.begin)
    length = int(np.ceil(len(clean.images) * max(len(first), 1) / MOST_NUMBERS))
    heights = np.ones(len(first))
    spans: list[_Span] = []
    for _ in range(PASSES):
        parts = [part for one in whole for part in one.presence(heights, spans, length)]
        edges = np.concatenate([*(part.edges[:-1] for part in parts), [whole[-1].end]])
        gradient, information = (
            np.concatenate([getattr(p, name) for p in parts]) for name in ("gradient", "information")
        )
        model = np.concatenate([np.tile(part.there, (len(part.gradient), 1)) for part in parts])
        nats = 2 * gradient + (2 * model - 1) * information
        spans = [_span(*columns, edges) for columns in zip(nats.T, information.T, strict=True)]
        here = np.stack([span.there(edges[:-1]) for span in spans], axis=1)
        own = ((gradient + model * information) * here).sum(0) / np.maximum((information * here).sum(0), 1e-12)
        heights = heights * np.clip(own, *HEIGHTS)
    movie = np.asarray(clean.frames)
    return Timeline(numbers, np.array(symbols), first, tuple(span.interval(movie) for span in spans))


@dataclass(frozen=True)
class _Span:
    """Images from `first` to `last` - 1 that show an atom, and the errors of both ends; 0 of the movie's own."""

    first: float
    first_err: float
    last: float
    last_err: float

    def there(self, images: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each of `images` shows it."""
        return np.asarray((images >= self.first - 0.5) & (images < self.last - 0.5))

    def interval(self, movie: NDArray[np.int64]) -> Interval:
        """Return the same in frames (image,) of the movie."""
        first, last = (int(np.clip(np.rint(end), 0, len(movie))) for end in (self.first, self.last))
        end = int(movie[max(last - 1, 0)])
        return Interval(int(movie[min(first, len(movie) - 1)]), self.first_err, end, self.last_err)


@dataclass(frozen=True)
class _Part:
    """G and H (block, n) of blocks with `edges` (block + 1,), and whether the model has each atom (n,)."""

    edges: NDArray[np.int64]
    gradient: NDArray[np.float64]
    information: NDArray[np.float64]
    there: NDArray[np.bool_]


@dataclass(frozen=True)
class _Seen:
    """A stretch against all atoms at the poses of its state, of which it has those that are `there` (n,)."""

    begin: int
    end: int
    model: WholeModel
    there: NDArray[np.bool_]

    def presence(self, heights: NDArray[np.float64], spans: Sequence[_Span], length: int) -> Iterator[_Part]:
        """What blocks of `length` images say of each atom; of pieces of time in which the same atoms are there."""
        cuts = sorted({round(end) for span in spans for end in (span.first, span.last)})
        ends = [self.begin]
        for cut in cuts:
            if min(cut - ends[-1], self.end - cut) >= SHORTEST_PIECE:
                ends.append(cut)
        for first, last in pairwise([*ends, self.end]):
            middle = np.array([(first + last) // 2])
            there = np.array([span.there(middle)[0] for span in spans]) if spans else self.there
            edges = np.unique([*range(first, last, length), last])
            yield _Part(edges, *self.model.presence(edges - self.begin, heights, there), there)


def _with_heights(positions: NDArray[np.float64], symbols: list[str], heights: NDArray[np.float64]) -> Atoms:
    n = len(positions)
    return Atoms(positions, np.array(symbols), heights, np.zeros(n), np.full(n, np.nan), np.ones(n))


def _span(nats: NDArray[np.float64], information: NDArray[np.float64], edges: NDArray[np.int64]) -> _Span:
    """When an atom with `nats` (block,) for its presence in blocks between `edges` (block + 1,) was there."""
    count = len(nats)
    total = np.concatenate([[0.0], np.cumsum(nats)])
    lowest = np.minimum.accumulate(total)
    stop = int(np.argmax(total[1:] - lowest[:-1])) + 1
    begin = int(np.argmin(total[:stop]))
    total = total / _overdispersion(nats, information, begin, stop)
    first, first_err, last, last_err = float(edges[0]), 0.0, float(edges[-1]), 0.0
    if total[0] - total[begin] > CLEAR_NATS:
        first, first_err = _date(-total[: stop + 1], edges[: stop + 1])
    if total[stop] - total[count] > CLEAR_NATS:
        last, last_err = _date(total[begin:], edges[begin:])
    return _Span(first, first_err, last, last_err)


def _overdispersion(nats: NDArray[np.float64], information: NDArray[np.float64], begin: int, stop: int) -> float:
    """Variance of sums of some blocks over what the noise of the frames gives them; at least 1."""
    squares, expected = 0.0, 0.0
    for part in (slice(0, begin), slice(begin, stop), slice(stop, len(nats))):
        starts = np.arange(0, len(nats[part]) - TOGETHER + 1, TOGETHER)
        if len(starts) < 2:
            continue
        last = starts[-1] + TOGETHER
        sums, amount = (np.add.reduceat(values[part][:last], starts) for values in (nats, information))
        residual = sums - amount * sums.sum() / max(amount.sum(), 1e-12)
        squares += float((residual**2).sum()) * len(starts) / (len(starts) - 1)
        expected += 2 * float(amount.sum())
    return max(squares / expected, 1.0) if expected > 0 else 1.0


def _date(likelihood: NDArray[np.float64], edges: NDArray[np.int64]) -> tuple[float, float]:
    """Image of a step, and its error, from the log-likelihood of each edge of blocks."""
    mean, error = posterior_date(likelihood)
    at = np.interp([mean, mean + 0.5, mean - 0.5], np.arange(len(edges)), edges)
    length = float(at[1] - at[2])
    return float(at[0]), max(float(np.hypot(error * length, length / np.sqrt(12))), 0.5)  # a date is a whole frame


def moved_between(one: Atoms, other: Atoms) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return pairs (m, 2) of the same atoms, how far (m, 3) Å each moved, and its error along each axis, (m,) Å."""
    pairs = mutual_pairs(one.positions, other.positions)
    sigma = np.sqrt(one.sigma[pairs[:, 0]] ** 2 + other.sigma[pairs[:, 1]] ** 2)
    return pairs, displacement(one.positions, other.positions, pairs), sigma
