"""Poses modulo the particle's own symmetry with no lattice given: the frames' power spectra make up an intensity.

The power spectrum of a frame is a central section of the particle's three-dimensional intensity. The intensity grows
from *starting frames*: the section of a few frames in a row whose spots stand out most. Expand, maximise and compress
(``rust/orient/emc.rs``; Loh and Elser 2009, doi:10.1103/PhysRevE.80.026705) lets the other frames find their places in
it and extend it. Nothing is assumed of it, so that twins, icosahedra and grains come out as they are. From random
orientations, as EMC usually begins, several intensities grow at once, and below 5 e/px frames agree on their noise
instead (docs/notebook.md). A frame meets the intensity of the other folds only. The result has the form of
`indexing.lattice`: orientation candidates of every frame, whose mates follow from the rotations that map the intensity
onto itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from single_rs import _core
from single_rs.base.sampling import evenly
from single_rs.base.steps import UNKEPT, Steps
from single_rs.frames.packed import FOLDS
from single_rs.frames.volume import PAD
from single_rs.orient.config import OrientConfig
from single_rs.orient.indexing.lattice import Index, PowerRings, continuity, scrambled
from single_rs.orient.indexing.patterson import FoundLattice, lattice_of, lattice_symmetries
from single_rs.orient.indexing.rotation_search import approximate_symmetries, correlations
from single_rs.orient.indexing.template import LatticeTemplate, beam_directions
from single_rs.records import CleanStack, StartDiagnostics

__all__ = ["index_by_intensity"]

PERIODS = (2.9, 0.92)  # Å: longer ones than those of the index are shape and liquid, not order
STARTS = 8  # tried at most
START_FRAMES = 3  # frames of one, all taken to be in one orientation: of fast particles the slowest moments are chosen
APART = 20  # frames between starts
SPOT_WIDTH = 1.5  # samples of a ring
GROWTH = (*[2.5] * 9, *[3.0] * 3)  # log-likelihood per spread of the score, in each round; at 1.5 noise wins in time
FOUND = 0.4  # continuity from which no other start is tried
PROMISING = 0.1  # and from which poses are searched: wrong ones have 0.0 to 0.1, up to 0.3 at 2° a frame
WHOLE = 1000  # frames of a half, at most, that an intensity is made of
DIRECTION_STEP = 6.0  # deg, of the directions while the intensity is found: a spot is 5° wide
SAME_ROTATION = np.radians(9.0)  # rotations nearer than this are one
MOST_SYMMETRIES = 60  # of an icosahedron
ALIKE = 0.5  # correlation of the worst operation of a group, as a share of that of the best
ALL_DIRECTIONS_STEP = 5.0  # deg, least step of the index where no symmetry spares directions


def index_by_intensity(
    clean: CleanStack,
    select: NDArray[np.int64],
    fold: NDArray[np.int64],
    template: LatticeTemplate,
    config: OrientConfig,
    steps: Steps = UNKEPT,
) -> tuple[Index, StartDiagnostics]:
    """Index the frames `select` (n,), of folds `fold` (n,), against their own intensity.

    Parameters
    ----------
    clean, config
        As for `find_poses`.
    select, fold
        Frames of one half, in their order in time, and their folds.
    template
        Passed on with the symmetry replaced by the intensity's own; its lattice is not used.
    steps
        Of the half.

    Returns
    -------
    index
        Candidates of the frames `select`, as `lattice.index_frames` gives them.
    start
        How the intensity was found, and how far the frames' scores in it stand out.
    """
    found = steps.kept("index", _Indexed, partial(_indexed, clean, select, fold, config, steps))
    group, basis = found.group, found.basis
    own = replace(template, group=group) if basis is None else FoundLattice.of(template, basis, group)
    index = Index(own, found.rotations, found.scores, found.null)
    start = replace(
        index.significance(),
        trials=float(found.tried),
        intensity_continuity=found.continuity,
        symmetry_rotations=float(len(group)),
        lattice_found=float(basis is not None),
    )
    return index, start


@dataclass(frozen=True)
class _Indexed:
    """Candidates of frames as in `Index`, and of the intensity its symmetry, lattice, continuity and number of starts.

    group (g, 3, 3); basis (3, 3) Å.
    """

    rotations: NDArray[np.float64]
    scores: NDArray[np.float64]
    null: NDArray[np.float64]
    group: NDArray[np.float64]
    basis: NDArray[np.float64] | None
    continuity: float
    tried: int


def _indexed(
    clean: CleanStack, select: NDArray[np.int64], fold: NDArray[np.int64], config: OrientConfig, steps: Steps
) -> _Indexed:
    rings = PowerRings.measure(clean, select, PERIODS)
    frames = _Frames.of(rings, fold, rings.size * clean.pixel_size)
    found, tried = _from_starting_frames(frames, steps)
    if found.basis is not None and len(symmetries := lattice_symmetries(found.basis)) > len(found.group):
        # A slab grows first: frames take those of their mates that lie in it. The other mates complete it.
        found = frames.judged(frames.grown(frames.merged(found.rotations, symmetries)), symmetries)
    group = found.group
    step = config.direction_step if len(group) > 1 else max(config.direction_step, ALL_DIRECTIONS_STEP)
    directions = beam_directions(group, step).astype(np.float32)
    rotations, scores = frames.index(found.held_out, rings.spectra, fold, directions, config.candidates)
    sample = rings.sample()
    null = frames.index(found.held_out, scrambled(rings.spectra[sample]), fold[sample], directions, 1)[1][:, 0]
    return _Indexed(rotations, scores, null, group, found.basis, found.continuity, tried)


@dataclass(frozen=True)
class _Intensity:
    """An intensity and its figures of merit.

    held_out (fold, z, y, x), each of the other folds; rotations (n, 3, 3) of the frames in it; group (g, 3, 3) of
    rotations that map it onto itself; basis (3, 3) of its lattice, if it has one; continuity of neighbouring frames in
    it.
    """

    held_out: NDArray[np.float32]
    rotations: NDArray[np.float64]
    group: NDArray[np.float64]
    basis: NDArray[np.float64] | None
    continuity: float

    @property
    def merit(self) -> _Merit:
        """Larger for the better of two."""
        return _Merit(self.basis is not None, self.continuity)


@dataclass(frozen=True, order=True)
class _Merit:
    """Of an intensity: whether it shows a lattice, then the continuity of neighbouring frames in it."""

    lattice: bool
    continuity: float

    @property
    def enough(self) -> bool:
        """Whether no other start need be tried: noise shows neither continuity nor a lattice."""
        return self.continuity >= FOUND or self.lattice


@dataclass(frozen=True)
class _Frames:
    """The frames that an intensity is made of, all of a half or some.

    fold (n,) of all; some (m,) are the numbers of those, fold after fold; directions (d, 3) are tried for each; box Å.
    """

    rings: PowerRings
    fold: NDArray[np.int64]
    box: float
    some: NDArray[np.int64]
    merge: _core.IntensityMerge
    directions: NDArray[np.float32]

    @classmethod
    def of(cls, rings: PowerRings, fold: NDArray[np.int64], box: float) -> _Frames:
        """At most `WHOLE` of the frames, of folds `fold` (n,)."""
        directions = beam_directions(np.eye(3)[None], DIRECTION_STEP).astype(np.float32)
        some = evenly(len(fold), WHOLE)
        some = some[np.argsort(fold[some], kind="stable")]
        sizes = np.bincount(fold[some], minlength=FOLDS).tolist()
        spectra = np.ascontiguousarray(rings.spectra[some])
        merge = _core.IntensityMerge(spectra, rings.radii, rings.size, sizes, directions)
        return cls(rings, fold, box, some, merge, directions)

    def section(self, spectra: NDArray[np.float32]) -> NDArray[np.float32]:
        """Intensities (fold, z, y, x), all alike, of some spectra (m, ring, angle) in one orientation."""
        rings = self.rings
        alone = _core.IntensityMerge(spectra, rings.radii, rings.size, [len(spectra)], self.directions)
        return np.repeat(alone.merge(np.tile(np.eye(3, dtype=np.float32), (len(spectra), 1, 1))), FOLDS, axis=0)

    def grown(self, held_out: NDArray[np.float32]) -> NDArray[np.float32]:
        """Intensities after all rounds of growth."""
        for belief in GROWTH:
            held_out, *_ = self.merge.round(held_out, belief)
        return held_out

    def merged(self, rotations: NDArray[np.float64], group: NDArray[np.float64]) -> NDArray[np.float32]:
        """Held-out intensities (fold, z, y, x) of the frames in rotations (n, 3, 3) and all mates of these."""
        placed = rotations[self.some]
        total = sum(self.merge.merge((placed @ operation).astype(np.float32)) for operation in group)
        return np.asarray(total / len(group), np.float32)

    def index(
        self,
        held_out: NDArray[np.float32],
        spectra: NDArray[np.float32],
        fold: NDArray[np.int64],
        directions: NDArray[np.float32],
        count: int,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rotations (n, count, 3, 3) and scores (n, count) of spectra of folds (n,), in what the other folds make."""
        count = min(count, 2 * len(directions))  # the kernel finds two states along each direction
        rotations = np.empty((len(fold), count, 3, 3))
        scores = np.empty((len(fold), count))
        for number in range(FOLDS):
            own = fold == number
            rotations[own], scores[own] = _core.index_in_intensity(
                np.ascontiguousarray(spectra[own]),
                self.rings.radii,
                held_out[number],
                self.rings.size,
                directions,
                count,
            )
        return rotations, scores

    def judged(self, held_out: NDArray[np.float32], group: NDArray[np.float64] | None = None) -> _Intensity:
        """Intensities with their figures of merit; their symmetries are found unless `group` is given."""
        group = _symmetries(held_out.mean(axis=0), self.rings) if group is None else group
        rotations = self.index(held_out, self.rings.spectra, self.fold, self.directions, 1)[0]
        basis = lattice_of(self.merged(rotations[:, 0], group).mean(axis=0), self.box)
        return _Intensity(held_out, rotations[:, 0], group, basis, continuity(rotations[:, 0], group))


def _from_starting_frames(frames: _Frames, steps: Steps) -> tuple[_Intensity, int]:
    """The best intensity that grows from starting frames, and how many starts were tried.

    Order in time is not used while one grows, so that continuity is an independent test of the result. Of starts that
    were tried before a stop the merit alone is kept, for intensities are large: the best one grows once more.
    """
    starts = _starting_frames(frames.rings)
    best: _Intensity | None = None
    last: _Intensity | None = None
    best_merit, chosen, tried = _Merit(False, -np.inf), 0, 0

    def grown(number: int) -> _Intensity:
        return frames.judged(frames.grown(frames.section(starts[number])))

    def tell(number: int) -> _Merit:
        nonlocal last
        last = grown(number)
        return last.merit

    for tried in range(1, len(starts) + 1):
        last = None
        merit = steps.kept(f"start {tried}", _Merit, partial(tell, tried - 1))
        if merit > best_merit:
            best, best_merit, chosen = last, merit, tried - 1
        if merit.enough:
            break
    best = best or grown(chosen)
    if best_merit.enough:
        return best, tried
    # At one electron per pixel an intensity may be on its way still.
    more = frames.judged(frames.grown(best.held_out))
    return max(best, more, key=lambda one: one.merit), tried


def _starting_frames(rings: PowerRings) -> list[NDArray[np.float32]]:
    """Spectra (m, ring, angle) of the runs of frames whose spots stand highest in their mean, best first."""
    y = gaussian_filter1d(rings.spectra, SPOT_WIDTH, axis=2, mode="wrap")
    length = min(START_FRAMES, len(y))
    mean = sum(y[i : len(y) - length + 1 + i] for i in range(length)) / length
    strength = np.einsum("nka,k->n", mean**2, np.asarray(rings.radii))
    chosen: list[int] = []
    for i in np.argsort(-strength, kind="stable"):
        if len(chosen) < STARTS and all(abs(i - j) >= APART for j in chosen):
            chosen.append(int(i))
    return [np.ascontiguousarray(rings.spectra[i : i + length]) for i in chosen]


def _symmetries(intensity: NDArray[np.float32], rings: PowerRings) -> NDArray[np.float64]:
    """Rotations (m, 3, 3) of the largest group that maps the intensity onto itself; the identity comes first."""
    reach = intensity.shape[0] // 2
    half = np.maximum(intensity[:, :, reach:], 0).astype(np.complex64)
    shells = tuple(round(radius * rings.size / PAD) for radius in (rings.radii[0], rings.radii[-1]))
    symmetries = approximate_symmetries(half, *shells)
    best = symmetries[:1]
    for count in range(2, len(symmetries) + 1):
        group = _closed(symmetries[:count])
        if group is None or len(group) <= len(best):
            continue
        alike = correlations(half, group, *shells)[1:]
        if alike.min() > ALIKE * alike.max():
            best = group
    return best


def _closed(symmetries: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """All products of `symmetries` (m, 3, 3), the identity first; None where they are more than any solid has."""
    least = 1 + 2 * np.cos(SAME_ROTATION)
    while True:
        products = np.einsum("aij,bjk->abik", symmetries, symmetries).reshape(-1, 3, 3)
        far = products[(products.reshape(-1, 9) @ symmetries.reshape(-1, 9).T).max(axis=1) < least]
        if not len(far):
            return symmetries
        # One at a time: the next may be the same rotation again.
        symmetries = np.concatenate([symmetries, far[:1]])
        if len(symmetries) > MOST_SYMMETRIES:
            return None
