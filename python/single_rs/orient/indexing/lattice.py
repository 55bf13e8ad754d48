"""Poses modulo the lattice's mates: index every frame, pool over time, refine against a ball of lattice.

A power spectrum of a frame fixes its rotation up to 2·|group| mates {f · R · o}: o in the Laue class of the
lattice, f the identity or half a turn about the beam (Friedel's law). Orientations modulo these mates are found:

1. correlate each frame with the ideal crystal (`_core.index_frames`); the lattice constant is the one that fits best;
2. forward-backward over the candidates of neighbouring frames, block by block, step size learnt on the way;
3. keep the candidates that this leaves possible.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from single_rs import _core
from single_rs.base.rotations import BEAM_HALF_TURN
from single_rs.frames.packed import shell_of
from single_rs.orient.config import OrientConfig
from single_rs.orient.indexing.template import LatticeTemplate, beam_directions
from single_rs.orient.indexing.transition import TransitionModel, smooth
from single_rs.records import CleanStack, StartDiagnostics

__all__ = [
    "FRIEDEL",
    "Index",
    "OrientationCandidates",
    "PowerRings",
    "continuity",
    "index_frames",
    "nearest_mates",
    "scrambled",
    "smooth_candidates",
    "to_quaternions",
]

FRIEDEL = np.stack([np.eye(3), BEAM_HALF_TURN])  # identity, half a turn about the beam

# Periods the index looks at, Å: below, spots are weak; above, shape and liquid dominate over the lattice.
INDEX_PERIODS = (3.8, 0.92)
PADDED = 256  # px the masked frame is padded to: 3 samples across a spot
SPOT_TO_PARTICLE = 0.85  # the ball that widens the spots, as part of the diameter: real particles are no balls
SPOT_POWER = 60.0  # power of the strongest reflection over the noise; only its logarithm matters
SCAN_FRAMES = 160  # frames that the lattice constant is measured on
TRANSITION_ROUNDS = 3  # of learning the transition model
BELIEF = 3.0  # log-likelihood per unit of index score; 2 to 4 give the same poses between 0.4 and 8 e/px
NULL_KEY = 20201  # of the random ring rotations that make the null
LEAST_POSTERIOR = 1e-3  # posterior below which a candidate is excluded: what is right is above it (docs/notebook.md)
NEIGHBOUR = np.radians(12.0)  # orientations nearer than this count as a small step
SAME_ORIENTATION = np.radians(8.0)  # candidates nearer than this are averaged


@dataclass(frozen=True)
class Index:
    """Candidates of single frames: rotations (n, k, 3, 3), scores (n, k) in spreads over all orientations.

    null (m,) are the best scores of sample frames whose rings were turned at random against each other: what a frame
    without any lattice would score.
    """

    template: LatticeTemplate
    rotations: NDArray[np.float64]
    scores: NDArray[np.float64]
    null: NDArray[np.float64]

    def take(self, select: NDArray[np.int64]) -> Index:
        """Return the index of the frames `select`; the null stays that of all."""
        return replace(self, rotations=self.rotations[select], scores=self.scores[select])

    def significance(self) -> StartDiagnostics:
        """Lead of the frames' scores over the null, and how much better neighbours agree than distant frames."""
        best = self.scores[:, 0]
        spread = max(float(self.null.std()), 1e-6)
        return StartDiagnostics(
            spot_score=float(best.mean()),
            scrambled_score=float(self.null.mean()),
            spot_significance=float((best.mean() - self.null.mean()) / spread),
            continuity=continuity(self.rotations[:, 0], self.template.group),
        )


@dataclass(frozen=True)
class OrientationCandidates:
    """Orientation candidates of each frame after indexing and smoothing in time, modulo mates.

    likeliest (n, 3, 3), mean of the most probable candidates; frame (c,) ascending, rotations (c, 3, 3) and probability
    (c,) of all candidates that are not excluded; the transition model learnt from them.
    """

    likeliest: NDArray[np.float64]
    frame: NDArray[np.int64]
    rotations: NDArray[np.float64]
    probability: NDArray[np.float64]
    transition: TransitionModel

    def take(self, members: NDArray[np.int64]) -> OrientationCandidates:
        """Return the candidates of the frames `members` (ascending), numbered anew."""
        keep = np.isin(self.frame, members)
        frame = np.searchsorted(members, self.frame[keep])
        return OrientationCandidates(
            self.likeliest[members], frame, self.rotations[keep], self.probability[keep], self.transition
        )


def to_quaternions(matrices: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rotations (..., 3, 3) to unit quaternions (..., 4) in order (w, x, y, z)."""
    flat = Rotation.from_matrix(np.asarray(matrices, float).reshape(-1, 3, 3)).as_quat()
    return np.ascontiguousarray(np.roll(flat, 1, axis=1), np.float32).reshape(*matrices.shape[:-2], 4)


def continuity(rotations: NDArray[np.floating], group: NDArray[np.float64]) -> float:
    """How much more often neighbours among rotations (n, 3, 3) agree than distant ones, modulo mates.

    They agree within `NEIGHBOUR`; distant ones are a third of all apart.
    """
    q = to_quaternions(rotations)
    left, right = to_quaternions(FRIEDEL), to_quaternions(group)

    def agreement(lag: int) -> float:
        targets = _product(_product(left[:, None], q[lag:, None, None]), right).reshape(len(q) - lag, -1, 4)
        overlap = np.abs(np.einsum("nc,nmc->nm", q[:-lag], targets)).max(axis=1)
        return float((2 * np.arccos(np.clip(overlap, 0, 1)) < NEIGHBOUR).mean())

    return agreement(1) - agreement(max(2, len(q) // 3))


@dataclass(frozen=True)
class PowerRings:
    """Power spectra of frames on rings, compressed and free of their ring means (``rust/orient/polar.rs``).

    spectra (n, ring, angle) over half a turn; radii of the rings in cycles per px; size px of the images, so that
    radius · size counts image frequencies.
    """

    spectra: NDArray[np.float32]
    radii: list[float]
    size: int

    @classmethod
    def measure(cls, clean: CleanStack, select: NDArray[np.int64] | slice, periods: tuple[float, float]) -> PowerRings:
        """Rings of the frames `select` between two `periods` in Å, the longer first."""
        size, pixel = clean.images.shape[-1], clean.pixel_size
        first, last = (shell_of(period, size, pixel) for period in periods)
        radii = [shell / size for shell in range(first, last + 1)]
        spectra = _core.polar_power(
            np.ascontiguousarray(clean.images[select], np.float32),
            np.ascontiguousarray(clean.offsets[select] / pixel, np.float32),
            (clean.diameter / 2 + 0.7) / pixel,
            max(PADDED, 2 * round(1.25 * clean.diameter / pixel)),
            radii,
            np.ascontiguousarray(clean.weights, np.float32),
        )
        return cls(spectra, radii, size)

    def sample(self) -> NDArray[np.int64]:
        """Return the numbers of some `SCAN_FRAMES` frames, evenly spread."""
        return np.arange(0, len(self.spectra), max(1, len(self.spectra) // SCAN_FRAMES))


def scrambled(spectra: NDArray[np.float32]) -> NDArray[np.float32]:
    """Spectra (n, ring, angle) with their rings turned at random against each other."""
    # A fixed key: the null is part of the measurement, not of the solution.
    steps = np.random.Generator(np.random.Philox(key=NULL_KEY)).integers(0, spectra.shape[2], spectra.shape[:2])
    angle = (np.arange(spectra.shape[2]) + steps[..., None]) % spectra.shape[2]
    return np.ascontiguousarray(np.take_along_axis(spectra, angle, axis=2))


def index_frames(clean: CleanStack, template: LatticeTemplate, config: OrientConfig) -> Index:
    """Index every frame on its own; the lattice constant is scanned first, unless the scan is one point."""
    pixel = clean.pixel_size
    rings = PowerRings.measure(clean, slice(None), INDEX_PERIODS)
    farthest = (rings.radii[-1] + 2 / rings.size) / pixel
    directions = beam_directions(template.group, config.direction_step).astype(np.float32)

    def run(
        crystal: LatticeTemplate, spectra: NDArray[np.float32], count: int, reach: float = farthest
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        g, power = crystal.reflections(reach)
        return _core.index_frames(
            spectra,
            rings.radii,
            np.ascontiguousarray(g * pixel, np.float32),
            (SPOT_POWER * power).tolist(),
            SPOT_TO_PARTICLE * clean.diameter / pixel,
            directions,
            min(count, 2 * len(directions)),  # the kernel finds two orientations along each direction
        )

    sample = np.ascontiguousarray(rings.spectra[rings.sample()])
    best = template
    for half_width, steps in ((config.lattice_scan, 9), (config.lattice_scan / 5, 7)):
        factors = 1 + half_width * np.linspace(-1, 1, steps)
        # The same reflections at every constant, all within the rings: those that come into reach as the crystal grows
        # would make it fit the better for it, and the constant 0.3 to 0.7 % too large.
        shared = rings.radii[-1] / pixel * factors[0]
        fit = [run(best.scaled(f), sample, 1, shared / f)[1].mean() for f in factors]
        top = int(np.clip(np.argmax(fit), 1, steps - 2))
        low, mid, high = fit[top - 1 : top + 2]
        bend = low - 2 * mid + high
        offset = np.clip(0.5 * (low - high) / bend, -1, 1) if bend < 0 else 0.0
        best = best.scaled(factors[top] + offset * (factors[1] - factors[0]))
    rotations, scores = run(best, rings.spectra, config.candidates)
    null = run(best, scrambled(sample), 1)[1][:, 0]
    return Index(best, rotations.astype(float), scores.astype(float), null.astype(float))


def smooth_candidates(index: Index, block: NDArray[np.int64]) -> OrientationCandidates:
    """Pool the candidates of frames over time; sequences do not cross `block` (n,)."""
    quaternions = to_quaternions(index.rotations)
    emission = (BELIEF * index.scores).astype(np.float32)
    mates = (to_quaternions(FRIEDEL), to_quaternions(index.template.group))
    transition = TransitionModel(np.radians(4.0), 0.05)
    for _ in range(TRANSITION_ROUNDS):
        probability, _, transition = smooth(quaternions, emission, mates, block, transition)
    keep = probability >= LEAST_POSTERIOR
    keep[np.arange(len(keep)), probability.argmax(axis=1)] = True
    frame, place = np.nonzero(keep)
    likeliest = _likeliest(quaternions, probability, index.template.group)
    return OrientationCandidates(
        likeliest, frame, index.rotations[keep], probability[frame, place].astype(float), transition
    )


def _product(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
    """Hamilton product of quaternions (..., 4), order (w, x, y, z), broadcast."""
    aw, av, bw, bv = a[..., :1], a[..., 1:], b[..., :1], b[..., 1:]
    scalar = aw * bw - (av * bv).sum(axis=-1, keepdims=True)
    return np.concatenate([scalar, aw * bv + bw * av + np.cross(av, bv)], axis=-1)


def nearest_mates(
    quaternions: NDArray[np.float32], target: NDArray[np.float32], group: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of each candidate (n, k, 4) the mate nearest to its frame's target (n, 4), same sign, and its angle (n, k), rad.

    |⟨l c r, t⟩| = |⟨c, l⁻¹ t r⁻¹⟩| lets the mates of the one target be compared with all candidates by a product of
    matrices.
    """
    left, right = to_quaternions(FRIEDEL), to_quaternions(group)
    conjugate = np.array([1, -1, -1, -1], np.float32)
    targets = _product(_product(left[:, None], target[:, None, None]), right).reshape(len(target), -1, 4)
    overlap = np.einsum("nkc,nmc->nkm", quaternions, targets)
    mate = np.abs(overlap).argmax(axis=2)
    nearest = np.take_along_axis(overlap, mate[..., None], axis=2)[..., 0]
    turn_left = left[mate // len(right)] * conjugate
    turn_right = right[mate % len(right)] * conjugate
    aligned = _product(_product(turn_left, quaternions), turn_right) * np.sign(nearest)[..., None]
    return aligned, 2 * np.arccos(np.clip(np.abs(nearest), 0, 1))


def _likeliest(
    quaternions: NDArray[np.float32], probability: NDArray[np.float32], group: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean (n, 3, 3) of the candidates (n, k, 4) within `SAME_ORIENTATION` of the most probable one, in its mate."""
    top = quaternions[np.arange(len(quaternions)), probability.argmax(axis=1)]
    aligned, angle = nearest_mates(quaternions, top, group)
    weight = np.where(angle < SAME_ORIENTATION, probability + 1e-9, 0.0)
    # Within a few degrees the sum of like-signed quaternions is the chordal mean.
    mean = (aligned * weight[..., None]).sum(axis=1)
    return np.asarray(Rotation.from_quat(np.roll(mean, -1, axis=1)).as_matrix())
