"""Stretches of time, each with poses and atoms of its own; stretches of one structure make a state.

A search of all frames compares each with models that mix their structures, and may leave whole runs of frames in wrong
mates. Where its poses of a stretch are clear they are a start that is nearly right. Else the runs of the stretch are
reassigned to the mates that fit the map of the largest stretch best, and then, a part of the stretch by the map of the
rest, in those that fit its own; that costs a tenth of a search. Where they are not clear then, the stretch is searched
anew, as if it were another movie, and what explains its frames better is kept. A stretch is then placed, that is
reconstructed, traced and refined, so that models are of their own time, and asked again whether it changes. Atoms that
were found anew are turned into the frame of the others: with A = Q · (h · x) + t, h the hand, the pose (R, s) of x
becomes

    R_A = D · R · Qᵀ,    s_A = s − (R_A t)_xy,    D = 1 for h = 1, diag(−1, −1, 1) for h = −1,

which gives the same images. Where hardly any atom of the smaller of two sets is missing in the larger one, both are the
same particle; else the track holds two.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.alignment import match_atoms
from single_rs.base.errors import ConvergenceError, SingleError
from single_rs.base.rotations import BEAM_HALF_TURN, rigid_motion
from single_rs.base.sampling import block_edges
from single_rs.records import Atoms, CleanStack, Poses
from single_rs.refine.change.same import FEWEST_PAIRS, SAME_ATOM, maybe_same_structure, same_particle
from single_rs.refine.change.settling import Known, Reassign, is_clear, settled
from single_rs.refine.change.types import Changes

__all__ = ["Placed", "Stretch", "Work", "at_most", "find_stretches", "joined", "part_of", "within"]

log = logging.getLogger(__name__)

SHOWN = 0.5  # share of the frames of a stretch that show the atoms of the whole where its poses are tried
LEAST_HALF = 0.35  # share of a stretch's frames in the smaller half
HALVES_BLOCK = 50  # frames of a block where the halves of a stretch are dealt anew
CLEARLY_SHOWN = 0.9  # below that a stretch at known poses is searched as well
FEWEST_SEARCHED = 150  # frames that a search is tried with


@dataclass(frozen=True)
class Placed:
    """Poses of a stretch's images, the atoms refined at them, and how many nats both explain over empty frames."""

    poses: Poses
    atoms: Atoms
    gain: float = 0.0


@dataclass(frozen=True)
class Work:
    """What is done with a stretch: search its poses, place its atoms, ask whether it changes; and its fewest frames.

    `reassign` moves the runs of frames that are not in its last argument to the mates that fit the map of those best.
    """

    search: Callable[[CleanStack], Poses]
    reassign: Reassign
    place: Callable[[CleanStack, Poses], Placed]
    ask: Callable[[CleanStack, Poses, Atoms], Changes]
    shortest: int


def at_most(frames: int, search: Callable[[CleanStack], Poses]) -> Callable[[CleanStack], Poses]:
    """Return a search that refuses what would make it more than `frames` frames in all: a hopeless case must end."""
    left = frames

    def limited(clean: CleanStack) -> Poses:
        nonlocal left
        if len(clean.images) > left:
            raise ConvergenceError(f"{len(clean.images)} frames are not searched anew: {left} are left to be")
        left -= len(clean.images)
        return search(clean)

    return limited


@dataclass(frozen=True)
class Stretch:
    """Contiguous images of one structure.

    Attributes
    ----------
    first, last
        First image, and the one after the last.
    error
        Standard error of `first`, frames; 0 at the start of the movie.
    placed
        Poses and atoms; None where nothing was found.
    searched
        Whether its poses were searched anew.
    same
        Whether it is the particle of the longest stretch.
    """

    first: int
    last: int
    error: float
    placed: Placed | None
    searched: bool
    same: bool = True

    def __len__(self) -> int:
        """Return the number of images."""
        return self.last - self.first


def part_of(clean: CleanStack, images: slice | NDArray[np.bool_]) -> CleanStack:
    """Return some of the images alone."""
    return replace(
        clean,
        images=clean.images[images],
        frames=clean.frames[images],
        frame_noise=clean.frame_noise[images],
        offsets=clean.offsets[images],
        bad=clean.bad[images],
    )


def within(poses: Poses, images: slice | NDArray[np.bool_]) -> Poses:
    """Return the poses of some of the images; halves are dealt anew where one has too few of them."""
    half = poses.half[images]
    shares = [(half == number).mean() for number in (1, 2)]
    if min(shares) < LEAST_HALF:
        edges = block_edges(len(half), HALVES_BLOCK)
        half = (1 + np.repeat(np.arange(len(edges) - 1), np.diff(edges)) % 2).astype(np.int8)
    return replace(
        poses,
        rotations=poses.rotations[images],
        shifts=poses.shifts[images],
        score=poses.score[images],
        confidence=poses.confidence[images],
        half=half,
        weight=poses.weight[images],
        frames=poses.frames[images],
        width=None if poses.width is None else poses.width[images],
        images=None,
    )


def find_stretches(clean: CleanStack, whole: Placed, changes: Changes, work: Work, join: bool = True) -> list[Stretch]:
    """Return all stretches in order of time, in the frame of the longest one where they are the same particle.

    Parameters
    ----------
    clean, whole
        All frames, and what was refined from them.
    changes
        What was found of it.
    work
        What is done with a stretch.
    join
        Whether neighbours that one structure explains as well become one stretch.
    """
    if not changes.changes:
        return [Stretch(0, len(clean.images), 0.0, whole, False)]
    found = _divided(clean, whole, changes, work, 0, 0.0)
    placed = [s for s in found if s.placed is not None]
    if not placed:
        return found
    longest = found.index(max(placed, key=len))
    # Outwards from the longest one, each is compared with the nearest in time that is the same particle.
    for order in (range(longest + 1, len(found)), range(longest - 1, -1, -1)):
        nearest = found[longest]
        for k in order:
            found[k] = _in_frame(found[k], nearest)
            if found[k].same and found[k].placed is not None:
                nearest = found[k]
    if not join:
        return found
    kept = found[:1]
    for stretch in found[1:]:
        union = _union(clean, kept[-1], stretch, work)
        kept[-1:] = [kept[-1], stretch] if union is None else [union]
    return kept


def _union(clean: CleanStack, one: Stretch, other: Stretch, work: Work) -> Stretch | None:
    """Return two stretches that follow each other as one; None where two structures explain them better.

    What parted them may have been poses that were lost and are found by now; and few frames give a false atom or miss
    one, so that counts do not tell. The frames of both together are placed and asked whether they change, as all are.
    """
    if one.placed is None or other.placed is None or not (one.same and other.same):
        return None
    both = joined(one, other)
    if both.placed is None or not maybe_same_structure(one.placed.atoms, other.placed.atoms):
        return None
    own = part_of(clean, slice(both.first, both.last))
    try:
        placed = work.place(own, both.placed.poses)
        found = work.ask(own, placed.poses, placed.atoms)
    except (SingleError, ConvergenceError) as problem:
        log.info("images %d to %d are not one stretch: %s", both.first, both.last - 1, problem)
        return None
    return None if found.changes or any(a.clear for a in found.alternations) else replace(both, placed=placed)


def _divided(
    clean: CleanStack, whole: Placed, changes: Changes, work: Work, offset: int, error: float
) -> list[Stretch]:
    spans = changes.stretches()
    errors = [error, *(change.frame_err for change in changes.changes)]
    # What shows the atoms of the whole longest comes first: the others are reassigned by its map.
    lengths = [last - first for first, last in spans]
    largest = max(range(len(spans)), key=lambda k: (changes.shown[k] * lengths[k], lengths[k]))
    order = [largest, *(k for k in range(len(spans)) if k != largest)]
    found: dict[int, list[Stretch]] = {}
    for k in order:
        first, last = spans[k]
        own = part_of(clean, slice(first, last))
        known = None
        if changes.shown[k] >= SHOWN:
            known = _known(clean, whole, (first, last), found.get(largest, []), offset, work)
        found[k] = _stretch(own, known, work, offset + first, errors[k])
        # What a search does not find in most of the frames it will not find in fewer: a hopeless case ends early.
        if k == largest and not any(s.placed is not None and is_clear(s.placed.poses) for s in found[k]):
            work = replace(work, search=at_most(0, work.search))
    return [stretch for k in range(len(spans)) for stretch in found[k]]


def _stretch(own: CleanStack, known: Known | None, work: Work, first: int, error: float) -> list[Stretch]:
    """Place the frames of a stretch from image `first` on, and divide it where it changes."""
    last = first + len(own.images)
    try:
        placed, searched = _place(own, known, work)
        inner = work.ask(own, placed.poses, placed.atoms)
        if not searched and _seen(inner) < CLEARLY_SHOWN:
            placed, searched = _better(own, placed, work)
            inner = work.ask(own, placed.poses, placed.atoms) if searched else inner
    except (SingleError, ConvergenceError) as problem:
        log.warning("images %d to %d: %s", first, last - 1, problem)
        return [Stretch(first, last, error, None, False)]
    if inner.changes and last - first >= 2 * work.shortest:
        parts = _divided(own, placed, inner, work, first, error)
        return [replace(p, searched=p.searched or searched) for p in parts]
    return [Stretch(first, last, error, placed, searched)]


def _known(
    clean: CleanStack, whole: Placed, span: tuple[int, int], largest: list[Stretch], offset: int, work: Work
) -> Known:
    """Poses of the whole of the images of `span`; where they are not clear, reassigned to the mates that maps show."""
    images = slice(*span)
    own, poses = part_of(clean, images), within(whole.poses, images)
    if is_clear(poses):
        return Known(poses, True)
    alone = settled(own, poses, work.reassign)
    if alone.clear or not largest:
        return alone
    mapped = _in_frame(max(largest, key=len), Stretch(0, len(clean.images), 0.0, whole, False))
    if not mapped.same or mapped.placed is None:
        return alone
    inside, known = np.zeros((2, len(clean.images)), bool)
    inside[images] = known[mapped.first - offset : mapped.last - offset] = True
    both = inside | known
    given = within(_put(whole.poses, known, mapped.placed.poses), both)
    try:
        reassigned = within(work.reassign(part_of(clean, both), given, known[both]), inside[both])
    except (SingleError, ConvergenceError) as problem:
        log.info("images %d to %d stay in their mates: %s", offset + span[0], offset + span[1] - 1, problem)
        return alone
    # A map that is itself of several mates reassigns frames to any: the stretch's own agreement decides.
    return max(alone, settled(own, reassigned, work.reassign), key=lambda one: one.own_share)


def _put(poses: Poses, part: NDArray[np.bool_], own: Poses) -> Poses:
    """Return `poses` with those of `own` for the images `part` (n,)."""
    arrays: dict[str, Any] = {name: np.array(getattr(poses, name)) for name in ("rotations", "shifts", "weight")}
    for name, values in arrays.items():
        values[part] = getattr(own, name)
    return replace(poses, **arrays, width=None)


def _place(clean: CleanStack, known: Known | None, work: Work) -> tuple[Placed, bool]:
    """Place a stretch at `known` poses, or at poses of its own search; return it and whether its poses are its own.

    Known poses are taken where they are clear; else what explains the frames better of those and of its own.
    """
    found: list[tuple[Placed, bool]] = []
    problem = ConvergenceError(f"{len(clean.images)} frames are too few for a search of their own")
    own: Poses | None = None

    def attempt(poses: Callable[[], Poses], searched: bool) -> None:
        nonlocal problem
        try:
            found.append((work.place(clean, poses()), searched))
        except (SingleError, ConvergenceError) as error:
            problem = ConvergenceError(str(error))

    def search() -> Poses:
        nonlocal own
        own = work.search(clean)
        return own if is_clear(own) else settled(clean, own, work.reassign).poses

    if known is not None and known.clear:
        attempt(lambda: known.poses, False)
    if not found and len(clean.images) >= FEWEST_SEARCHED:
        attempt(search, True)
        if own is not None and not is_clear(own):  # maps of few frames may reassign what was right
            attempt(lambda: own, True)
    if known is not None and not known.clear and not any(is_clear(placed.poses) for placed, _ in found):
        attempt(lambda: known.poses, False)
    if not found:
        raise problem
    return max(found, key=lambda one: one[0].gain)


def _better(clean: CleanStack, placed: Placed, work: Work) -> tuple[Placed, bool]:
    """Search a stretch that was placed at known poses; return what explains its frames better."""
    try:
        own, searched = _place(clean, None, work)
    except ConvergenceError:
        return placed, False
    return (own, searched) if own.gain > placed.gain else (placed, False)


def _seen(changes: Changes) -> float:
    """Share of the frames that show the atoms."""
    lengths = [last - first for first, last in changes.stretches()]
    return float(np.average(changes.shown, weights=lengths))


def _in_frame(stretch: Stretch, nearest: Stretch) -> Stretch:
    """Return a stretch in the frame of another one; or as it is, and not the same particle."""
    if stretch.placed is None or nearest.placed is None:
        return stretch
    mine, theirs = stretch.placed.atoms, nearest.placed.atoms
    if not stretch.searched and same_particle(mine, theirs):
        return stretch
    # Poses that a search of few frames has not found again say nothing of another particle.
    strange = replace(stretch, same=False) if len(stretch) >= FEWEST_SEARCHED else replace(stretch, placed=None)
    match = match_atoms(mine.positions, theirs.positions, SAME_ATOM)
    if len(match.found) < FEWEST_PAIRS:
        return strange
    x = match.hand * mine.positions
    source, target = x[match.found], theirs.positions[match.true]
    turn, shift = rigid_motion(source, target)
    poses = stretch.placed.poses
    flip = np.eye(3) if match.hand == 1 else BEAM_HALF_TURN
    rotations = flip @ poses.rotations @ turn.T
    covariance = None if mine.covariance is None else turn @ mine.covariance @ turn.T
    atoms = replace(mine, positions=x @ turn.T + shift, covariance=covariance)
    shifts = poses.shifts - (rotations @ shift)[:, :2]
    if not same_particle(atoms, theirs):
        return strange
    return replace(
        stretch, placed=replace(stretch.placed, poses=replace(poses, rotations=rotations, shifts=shifts), atoms=atoms)
    )


def joined(one: Stretch, other: Stretch) -> Stretch:
    """Return two placed stretches of one structure that follow each other as one, with the atoms of the longer."""
    longer = max(one, other, key=len)
    if one.placed is None or other.placed is None or longer.placed is None:
        return longer
    a, b = one.placed.poses, other.placed.poses
    names = ("rotations", "shifts", "score", "confidence", "half", "weight", "frames")
    arrays: dict[str, Any] = {name: np.concatenate([getattr(a, name), getattr(b, name)]) for name in names}
    arrays["width"] = None if a.width is None or b.width is None else np.concatenate([a.width, b.width])
    poses = replace(longer.placed.poses, **arrays)
    placed = replace(longer.placed, poses=poses, gain=one.placed.gain + other.placed.gain)
    return replace(one, last=other.last, placed=placed, searched=longer.searched)
