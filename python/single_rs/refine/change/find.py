"""Whether a particle changes in time, when, and which of its atoms come and go.

Questions, each answered without being told how many changes there are:

1. Are the atoms of the whole seen all the time? Where another particle takes over, or the search lost a changed one,
   frames do not show them in any pose: the share of those that do steps down.
2. Does one structure explain the frames that do show it as well as structures of their own times (`evidence`)?
3. Is each atom there all the time? Its height steps from or to nothing (a likelihood ratio, with the date's error from
   the likelihood).

A stretch that no division in time explains better may hold two structures in turn (`alternation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import InputError
from single_rs.records import Atoms, CleanStack, Poses
from single_rs.refine.change.alternation import find_alternation
from single_rs.refine.change.evidence import BlockEvidence, WholeModel
from single_rs.refine.change.segments import clear_division, divide_shares, posterior_date, step_in_mean
from single_rs.refine.change.types import AtomChange, Change, Changes, StatesConfig
from single_rs.refine.types import RefineConfig

__all__ = ["find_changes"]

ROUND = 3  # blocks on each side of a change within which its frame is looked for
# Of a step of one atom: (5/2) ln(frames) of its parameters and ln(atoms · dates) for the search are 25 at 1,000 frames.
CLEAR_NATS = 25.0
PRESENT, ABSENT = 0.7, 0.4  # least and greatest height of atoms that are there and of empty sites, of a usual atom's
LEAST_STEP = 0.5  # of a height
LEAST_BLOCKS = 3  # on each side of a step of one atom
FRAME_NOISE = 0.15  # of the scale of a frame that shows the atoms


@single_blas_thread()
def find_changes(
    clean: CleanStack,
    poses: Poses,
    atoms: Atoms,
    config: StatesConfig | None = None,
    refine: RefineConfig | None = None,
    seed: int = 0,
    ellipse: tuple[float, float] = (0.0, 0.0),
    lens: tuple[float, ...] | None = None,
) -> Changes:
    """Ask whether a refined particle changes in time.

    Parameters
    ----------
    clean
        Cleaned frames, (n, y, x), in order of time.
    poses, atoms
        As refined from all of them.
    config, refine
        Settings of this stage, and of the refinement that made the atoms.
    seed
        Of the random orders of blocks.
    ellipse
        Of the magnification, by which the refinement corrected the atoms (`Ellipse.applied`).
    lens
        Terms of the microscope's lens that the refinement fitted (`Optics.applied`); None where it needed none.

    Raises
    ------
    InputError
        Numbers of frames and poses that differ.
    """
    config = config or StatesConfig()
    if len(poses.rotations) != len(clean.images):
        raise InputError(f"{len(poses.rotations)} poses for {len(clean.images)} frames; one per frame is needed")
    whole = WholeModel(clean, poses, atoms, refine or RefineConfig(), ellipse, lens)
    good = ~np.asarray(clean.bad, bool)
    movie = np.asarray(clean.frames)
    if config.number is not None:
        images = np.rint(np.linspace(0, len(good), config.number + 1)).astype(int)
        windows = tuple(Change(int(movie[k]), 0.0, "window", None, None, int(k)) for k in images[1:-1])
        return Changes(len(good), windows, _shown(whole, good, windows), None, None, ())
    evidence = whole.blocks()
    edges = evidence.edges
    lengths = np.diff(edges)
    least = max(LEAST_BLOCKS, int(np.ceil(config.shortest / lengths.mean())))
    shown, count = (np.add.reduceat(v.astype(float), edges[:-1]) for v in (whole.shown & good, good))
    rng = np.random.default_rng(seed)
    products = evidence.products
    ends = [0, *divide_shares(shown, count, least), len(lengths)]
    changes: list[Change] = []
    undivided = None
    alternations = []
    for first, last in pairwise(ends):
        if first:
            image, error = _date_by_scale(whole.scale, good, edges, first)
            changes.append(Change(int(movie[image]), error, "poses", None, None, image))
        if shown[first:last].sum() < 0.5 * count[first:last].sum():
            continue
        best, clear = clear_division(products[first:last, first:last], evidence.share[first:last], least, rng)
        if best is not None and clear:
            cuts = [best.block] if best.end is None else [best.block, best.end]
            ends_of = [first, *(first + cut for cut in cuts), last]
            for start, cut, stop in zip(ends_of, ends_of[1:], ends_of[2:], strict=False):
                image, error = _date_by_structure(whole, evidence, start, cut, stop)
                changes.append(Change(int(movie[image]), error, "structure", best.gain, best.significance, image))
            continue
        alternation = find_alternation(evidence, slice(first, last), len(atoms), movie, rng)
        if alternation is not None:
            alternations.append(alternation)
        if best is not None and (undivided is None or best.significance > undivided.significance):
            undivided = best
    return Changes(
        frames=len(good),
        changes=tuple(changes),
        shown=_shown(whole, good, changes),
        nats=None if undivided is None else undivided.gain,
        significance=None if undivided is None else undivided.significance,
        atoms=tuple(_atom_changes(evidence, atoms.positions, whole.sites, movie)),
        alternations=tuple(alternations),
    )


def _shown(whole: WholeModel, good: NDArray[np.bool_], changes: Sequence[Change]) -> tuple[float, ...]:
    """Share of the good images of each stretch that show the atoms."""
    edges = [0, *(c.image for c in changes), len(good)]
    return tuple(float(whole.shown[a:b].sum() / max(good[a:b].sum(), 1)) for a, b in pairwise(edges))


def _date_by_scale(
    scale: NDArray[np.float64], good: NDArray[np.bool_], edges: NDArray[np.int64], block: int
) -> tuple[int, float]:
    """Image, and its error, at which the agreement of frames with the model steps, near the start of `block`."""
    around = edges[max(block - 2 * ROUND, 0)], edges[min(block + 2 * ROUND, len(edges) - 1)]
    images = np.flatnonzero(good[around[0] : around[1]]) + around[0]
    values = np.clip(scale[images] / np.median(scale[scale > 0]), 0.0, 1.5)
    step = step_in_mean(values, np.ones(len(values)), LEAST_BLOCKS)
    if step is None:
        return int(edges[block]), float(np.diff(edges).mean())
    residual = values - np.where(np.arange(len(values)) < step.at, step.before, step.after)
    variance = max(float(np.var(residual)), FRAME_NOISE**2)
    toward = ((values - step.after) ** 2 - (values - step.before) ** 2) / (2 * variance)
    mean, error = posterior_date(np.concatenate([[0.0], np.cumsum(toward)])[:-1])
    return int(images[min(round(mean), len(images) - 1)]), max(error, 0.5)


def _date_by_structure(
    whole: WholeModel, evidence: BlockEvidence, start: int, middle: int, end: int
) -> tuple[int, float]:
    """Image at which the structure of blocks `start` to `middle` - 1 gives way to that of those before `end`."""
    low = int(evidence.edges[max(middle - ROUND, start)])
    high = int(evidence.edges[min(middle + ROUND, end)])
    single = whole.frames(low, high)
    toward = np.zeros(high - low)
    # Frames at the change itself must not vouch for either side: the blocks next to it are left out.
    before = slice(start, max(middle - ROUND, start + 1))
    after = slice(min(middle + ROUND, end - 1), end)
    for sign, held in ((1.0, before), (-1.0, after)):
        share = max(float(evidence.share[held].sum()), 1e-12)
        step = evidence.steps[held].sum(0) / share
        products = evidence.vectors[held] @ evidence.steps[held].T
        square = float(products.sum() - np.trace(products)) / share**2  # without the noise of the step
        toward += sign * (2 * single.vectors @ step - single.share * max(square, 0.0))
    mean, error = posterior_date(np.concatenate([[0.0], np.cumsum(toward)]))
    return round(low + mean), max(error, 0.5)


def _atom_changes(
    evidence: BlockEvidence, positions: NDArray[np.float64], sites: NDArray[np.float64], movie: NDArray[np.int64]
) -> Sequence[AtomChange]:
    """Atoms and sites whose height steps from or to nothing."""
    information = evidence.information * evidence.share
    used = information > 1e-3 * information.mean()
    heights = evidence.heights + evidence.gradients[used] / information[used, None]
    edges = evidence.edges[:-1][used]
    everything = np.concatenate([positions, sites])
    found = []
    for k, place in enumerate(everything):
        step = step_in_mean(heights[:, k], information[used], LEAST_BLOCKS)
        if step is None or step.nats < CLEAR_NATS:
            continue
        low, high = sorted((step.before, step.after))
        if low > ABSENT or high < PRESENT or high - low < LEAST_STEP:
            continue
        toward = information[used] * ((heights[:, k] - step.after) ** 2 - (heights[:, k] - step.before) ** 2)
        mean, error = posterior_date(np.concatenate([[0.0], np.cumsum(toward)])[:-1])
        images = np.interp([mean, mean + 1], np.arange(len(edges) + 1), [*edges, evidence.edges[-1]])
        length = float(images[1] - images[0])
        found.append(
            AtomChange(
                atom=k if k < len(positions) else None,
                position=(float(place[0]), float(place[1]), float(place[2])),
                event="left" if step.after < step.before else "arrived",
                frame=int(movie[min(round(float(images[0])), len(movie) - 1)]),
                frame_err=float(np.hypot(error * length, length / np.sqrt(12))),
                before=step.before,
                after=step.after,
                nats=step.nats,
            )
        )
    return sorted(found, key=lambda change: change.frame)
