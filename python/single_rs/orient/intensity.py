"""Poses modulo the particle's own symmetry with no lattice given: the frames' power spectra make up an intensity.

The power spectrum of a frame is a central section of the particle's three-dimensional intensity. Expand, maximise and
compress (``rust/orient/emc.rs``; Loh and Elser 2009, doi:10.1103/PhysRevE.80.026705) finds the intensity from random
orientations; nothing is assumed of it, so that twins, icosahedra and grains come out as they are. A frame meets the
intensity of the other folds only. What comes out has the form of `quotient`: candidates of every frame, whose mates
are the turns that lay the intensity on itself.

Limit: at 3 e/px starts of single crystals end in several orientations at once, at 1 e/px frames agree on their noise;
the continuity tells both. The lattice engine goes to 1 e/px.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from single_rs import _core
from single_rs.background import CleanStack
from single_rs.orient.frames import FOLDS
from single_rs.orient.quotient import Index, PowerRings, scrambled
from single_rs.orient.rotation_search import approximate_symmetries, correlations, unit_rotations
from single_rs.orient.template import LatticeTemplate, beam_directions
from single_rs.orient.types import OrientConfig
from single_rs.orient.volumes import PAD
from single_rs.sampling import evenly

__all__ = ["index_by_intensity"]

PERIODS = (2.9, 0.92)  # Å: longer ones than those of the index are shape and liquid, not order
SAMPLE = 400  # frames of a half that starts are made with
RUN = 5  # of them in a row, so that neighbours can be compared
STARTS = 8  # random starts at most; about every second one stays in two orientations at once
ROUNDS = 40  # of each start; a good one is there in 20 to 40
BELIEFS = (1.5, 1.7, 1.4)  # of the starts in turn: log-likelihood per spread of the score; 3 freezes any
FOUND = 0.45  # continuity from which a start is right; neighbours agree by 0.1 to 0.3 in wrong ones
WHOLE = 1000  # frames of a half, at most, that go on held out
RISING_BELIEFS = (2.0, 2.5, 3.0)  # of the last rounds, up to that of the index
DIRECTION_STEP = 6.0  # deg, of the directions while the intensity is found: a spot is 5° wide
SAME_TURN = np.radians(9.0)  # turns nearer than this are one
MOST_TURNS = 60  # of an icosahedron
ALIKE = 0.5  # correlation of the least alike turn of a group, of that of the turn it was made from
ALL_DIRECTIONS_STEP = 5.0  # deg, least step of the index where no symmetry spares directions


def index_by_intensity(
    clean: CleanStack,
    select: NDArray[np.int64],
    fold: NDArray[np.int64],
    template: LatticeTemplate,
    config: OrientConfig,
    random: np.random.Generator,
) -> tuple[Index, dict[str, float]]:
    """Index the frames `select` (n,), of folds `fold` (n,), against their own intensity.

    Parameters
    ----------
    clean, config
        As for `find_poses`.
    select, fold
        Frames of one half, in their order in time, and their folds.
    template
        Passed on with the symmetry replaced by the intensity's own; its lattice is not used.
    random
        Draws the starts.

    Returns
    -------
    index
        Candidates of the frames `select`, as `quotient.index_frames` gives them.
    numbers
        How the intensity was found.
    """
    rings = PowerRings.measure(clean, select, PERIODS)
    held_out, numbers = _intensities(rings, fold, template, random)
    group = _symmetries(held_out.mean(axis=0), rings)
    step = config.direction_step if len(group) > 1 else max(config.direction_step, ALL_DIRECTIONS_STEP)
    directions = beam_directions(group, step).astype(np.float32)

    def run(spectra: NDArray[np.float32], of: NDArray[np.int64], count: int) -> tuple[NDArray, NDArray]:
        rotations = np.empty((len(of), count, 3, 3), np.float32)
        scores = np.empty((len(of), count), np.float32)
        for number in range(FOLDS):
            own = of == number
            rotations[own], scores[own] = _core.index_in_intensity(
                np.ascontiguousarray(spectra[own]), rings.radii, held_out[number], rings.size, directions, count
            )
        return rotations, scores

    rotations, scores = run(rings.spectra, fold, config.candidates)
    sample = rings.sample()
    null = run(scrambled(rings.spectra[sample]), fold[sample], 1)[1][:, 0]
    index = Index(replace(template, group=group), rotations.astype(float), scores.astype(float), null.astype(float))
    return index, numbers | {"turns": float(len(group))}


def _intensities(
    rings: PowerRings, fold: NDArray[np.int64], template: LatticeTemplate, random: np.random.Generator
) -> tuple[NDArray[np.float32], dict[str, float]]:
    """Held-out intensities (fold, z, y, x) from the random start whose neighbouring frames agree.

    Time is used nowhere while an intensity is found, so that it can tell the right one.
    """
    everywhere = beam_directions(np.eye(3)[None], DIRECTION_STEP).astype(np.float32)
    n = len(fold)
    runs = np.unique(np.linspace(0, max(n - RUN, 0), min(SAMPLE, n) // RUN).astype(int))
    some = np.unique(runs[:, None] + np.arange(RUN))
    spectra = np.ascontiguousarray(rings.spectra[some])
    # Starts are made without folds: held out from the beginning, frames come to one orientation half as fast.
    start = _core.IntensityMerge(spectra, rings.radii, rings.size, [len(some)], everywhere)
    found: tuple[float, NDArray[np.float32]] | None = None
    tried = 0
    while tried < STARTS and (found is None or found[0] < FOUND):
        intensity = start.merge(unit_rotations(random, (len(some),)).astype(np.float32))
        for belief in (*np.full(ROUNDS, BELIEFS[tried % len(BELIEFS)]), *RISING_BELIEFS):
            intensity, *_ = start.round(intensity, belief)
        best = _core.index_in_intensity(spectra, rings.radii, intensity[0], rings.size, everywhere, 1)
        group = _symmetries(intensity[0], rings)
        continuity = Index(replace(template, group=group), *best, np.zeros(0)).continuity()
        tried += 1
        if found is None or continuity > found[0]:
            found = (continuity, intensity)
    assert found is not None  # STARTS is not 0
    order = evenly(n, WHOLE)
    order = order[np.argsort(fold[order], kind="stable")]
    sizes = np.bincount(fold[order], minlength=FOLDS).tolist()
    spectra = np.ascontiguousarray(rings.spectra[order])
    whole = _core.IntensityMerge(spectra, rings.radii, rings.size, sizes, everywhere)
    held_out = np.repeat(found[1], FOLDS, axis=0)
    for belief in RISING_BELIEFS:
        held_out, *_ = whole.round(held_out, belief)
    return held_out, {"starts": float(tried), "start_continuity": found[0]}


def _symmetries(intensity: NDArray[np.float32], rings: PowerRings) -> NDArray[np.float64]:
    """Turns (m, 3, 3) of the largest group that lays the intensity on itself; the identity comes first."""
    reach = intensity.shape[0] // 2
    half = np.maximum(intensity[:, :, reach:], 0).astype(np.complex64)
    shells = tuple(round(radius * rings.size / PAD) for radius in (rings.radii[0], rings.radii[-1]))
    turns = approximate_symmetries(half, *shells)
    best = turns[:1]
    for count in range(2, len(turns) + 1):
        group = _closed(turns[:count])
        if group is None or len(group) <= len(best):
            continue
        alike = correlations(half, group, *shells)[1:]
        if alike.min() > ALIKE * alike.max():
            best = group
    return best


def _closed(turns: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """All products of `turns` (m, 3, 3), the identity first; None where they are more than any solid has."""
    least = 1 + 2 * np.cos(SAME_TURN)
    while True:
        products = np.einsum("aij,bjk->abik", turns, turns).reshape(-1, 3, 3)
        far = products[(products.reshape(-1, 9) @ turns.reshape(-1, 9).T).max(axis=1) < least]
        if not len(far):
            return turns
        # One at a time: the next may be the same turn again.
        turns = np.concatenate([turns, far[:1]])
        if len(turns) > MOST_TURNS:
            return None
