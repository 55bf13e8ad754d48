"""What every step on one half set needs: its frames, its folds, and the kernels bound to them.

A frame is scored by the log-likelihood ratio to an empty frame, 2 s b − s² a (``rust/orient/score.rs``), with one
scale s for all frames; volumes are given per fold, so that a frame never meets a volume that it is part of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs import _core
from single_rs.crystal.prototypes import prototype
from single_rs.frames.packed import FrameSet
from single_rs.frames.volume import PAD, ball_mask, grid_size, map_from_sums
from single_rs.orient.config import OrientConfig
from single_rs.orient.indexing.template import LatticeTemplate
from single_rs.orient.indexing.transition import TransitionModel
from single_rs.orient.models.atomic_model import atomic_reference
from single_rs.orient.models.ball import site_amplitude
from single_rs.orient.models.occupancy import SiteModel
from single_rs.orient.models.reference import Reference, likelihood
from single_rs.records import CleanStack

__all__ = [
    "CONFIDENT",
    "DOUBTFUL",
    "SITE_MARGIN",
    "Fitted",
    "HalfPoses",
    "HalfSolver",
    "Sums",
    "half_solver",
    "others",
    "total",
]

SITE_MARGIN = 3.5  # Å of empty lattice round the ball: the particle is no ball
CONFIDENT = 0.9  # posterior of the frames that models are built from
DOUBTFUL = 0.3  # posterior below which a frame enters no volume: it weighs by its posterior above
UNSAMPLED = 0.1  # added to the sampling density, as a share of its shell's mean
MAP_EDGE = 2.0  # Å, soft edge of the map's mask
FINE_GRID = 1.25  # finer than Nyquist, so that peaks are found where they are
POLISH_REACH = np.radians(4.0)  # farthest a polish may rotate a pose
WIDEST_WINDOW = 4.0  # Å to each side of a measured centre
MOST_STEPS = 15  # to each side, that a look-up takes (rust/orient/window.rs)
QUARTER_WAVE = 0.25  # spacing of the shift search, of the shortest period

Sums = tuple[NDArray[np.complex64], NDArray[np.float32]]  # Σ w X and Σ w on the grid of a volume


@dataclass(frozen=True)
class HalfPoses:
    """Poses of the frames of one half, in the half's own frame and hand.

    rotations (n, 3, 3); shifts (n, 2) px from the measured centres; score (n,) nats over an empty frame;
    confidence (n,); width (n,) rad, standard error of the rotation about an axis; lack (n,), standard errors by which
    the frame's own scale of the model lies below that of all frames; the transition model learnt from them.
    """

    rotations: NDArray[np.float64]
    shifts: NDArray[np.float64]
    score: NDArray[np.float64]
    confidence: NDArray[np.float64]
    width: NDArray[np.float64]
    scale_deficit: NDArray[np.float64]
    transition: TransitionModel

    @classmethod
    def gathered(cls, parts: Sequence[HalfPoses], members: NDArray[np.int64], transition: TransitionModel) -> HalfPoses:
        """Return the poses of all parts; `members` (n,) are the numbers of their frames, part after part."""
        order = np.argsort(members)

        def together(arrays: list[NDArray[np.float64]]) -> NDArray[np.float64]:
            return np.concatenate(arrays)[order]

        return cls(
            rotations=together([p.rotations for p in parts]),
            shifts=together([p.shifts for p in parts]),
            score=together([p.score for p in parts]),
            confidence=together([p.confidence for p in parts]),
            width=together([p.width for p in parts]),
            scale_deficit=together([p.scale_deficit for p in parts]),
            transition=transition,
        )

    def take(self, members: NDArray[np.int64]) -> HalfPoses:
        """Return the poses of the frames `members` (m,)."""
        return HalfPoses(
            rotations=self.rotations[members],
            shifts=self.shifts[members],
            score=self.score[members],
            confidence=self.confidence[members],
            width=self.width[members],
            scale_deficit=self.scale_deficit[members],
            transition=self.transition,
        )

    def replaced(self, other: HalfPoses, where: NDArray[np.bool_]) -> HalfPoses:
        """Return the poses with those of `other`, and its transition model, for the frames `where` (n,)."""

        def changed(old: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.float64]:
            out = old.copy()
            out[where] = new[where]
            return out

        return HalfPoses(
            rotations=changed(self.rotations, other.rotations),
            shifts=changed(self.shifts, other.shifts),
            score=changed(self.score, other.score),
            confidence=changed(self.confidence, other.confidence),
            width=changed(self.width, other.width),
            scale_deficit=changed(self.scale_deficit, other.scale_deficit),
            transition=other.transition,
        )


@dataclass(frozen=True)
class Fitted:
    """Refined poses: rotations (c, 3, 3), shifts (c, 2) px, likelihood (c,) nats."""

    rotations: NDArray[np.float64]
    shifts: NDArray[np.float64]
    likelihood: NDArray[np.float64]


@dataclass
class HalfSolver:
    """What all steps share: frames at search resolution, folds, and the settings."""

    frames: FrameSet
    fold: NDArray[np.int64]
    block: NDArray[np.int64]
    template: LatticeTemplate
    diameter: float
    config: OrientConfig

    def __post_init__(self) -> None:
        plane = self.frames.plane
        self.reach = plane.max_shell * PAD + 2
        self.spacing = QUARTER_WAVE * plane.size / plane.max_shell
        self.window = int(np.ceil(self.config.shift_window / self.frames.pixel_size / self.spacing))
        self.amplitude = site_amplitude(self.template, self.reach, self.frames.box)

    def widen(self) -> bool:
        """Double the window of shifts, up to the widest; whether there was room to."""
        widest = min(MOST_STEPS, int(WIDEST_WINDOW / self.frames.pixel_size / self.spacing))
        before, self.window = self.window, max(self.window, min(2 * self.window, widest))
        return self.window > before

    def score(
        self,
        frames: FrameSet,
        volumes: list[NDArray[np.complex64]],
        of: NDArray[np.int64],
        rotations: NDArray[np.float64],
        frame: NDArray[np.int64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Log-likelihood (c,) and best shift (c, 2) of rotations (c, 3, 3) of the frames `frame` (c,), ascending."""
        overlap, power, shifts = _core.score_poses(
            frames.posed(rotations, frame_of=frame),
            np.stack(volumes),
            PAD,
            of.astype(np.int32),
            self.window,
            self.spacing,
        )
        return likelihood(overlap, power, frame, frames.frame_weight), shifts

    def polish(
        self,
        frames: FrameSet,
        volumes: list[NDArray[np.complex64]],
        of: NDArray[np.int64],
        rotations: NDArray[np.float64],
        shifts: NDArray[np.floating],
        frame: NDArray[np.int64],
        iterations: int = 8,
    ) -> Fitted:
        """Refine poses of the frames `frame` (c,) continuously."""
        r, t, overlap, power, _ = _core.polish_poses(
            frames.posed(rotations, shifts, frame),
            np.stack(volumes),
            PAD,
            of.astype(np.int32),
            iterations,
            POLISH_REACH,
            2 * self.spacing,
        )
        return Fitted(r.astype(float), t.astype(float), likelihood(overlap, power, frame, frames.frame_weight))

    def sums(self, frames: FrameSet, poses: HalfPoses) -> Sums:
        """Accumulated slices of `frames`, each with the weight of its pose."""
        weight = poses.confidence * (poses.confidence > DOUBTFUL)
        return self.insert(frames, weight, poses.rotations, poses.shifts, np.zeros(len(weight), np.int64), 1)[0]

    def whole_reference(self, poses: HalfPoses) -> Reference:
        """Reference made of all confident frames of the half."""
        return self.map_reference(self.frames, self.sums(self.frames, poses))

    def density(self, numerator: NDArray[np.complex64], denominator: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map (z, y, x) of accumulated slices within the particle's ball."""
        size = grid_size(round(FINE_GRID * self.frames.plane.max_shell))
        voxel = self.frames.box / size
        mask = ball_mask(size, (self.diameter / 2 + SITE_MARGIN) / voxel, MAP_EDGE / voxel)
        return map_from_sums(numerator, denominator, UNSAMPLED, size) * mask

    def map_reference(self, frames: FrameSet, sums: Sums) -> Reference:
        """Reference made of the atoms that accumulated slices show within the particle's ball."""
        spacing = self.template.spacing
        expected = (
            4 / 3 * np.pi * (self.diameter / 2) ** 3 / (prototype(self.template.structure).site_volume * spacing**3)
        )
        return atomic_reference(frames, self.density(*sums), spacing, expected)

    def site_reference(self, model: SiteModel) -> Reference:
        """Reference made of the occupied sites of a lattice."""
        volume = model.volume(self.amplitude, self.reach, self.frames.box)
        return Reference.of(self.frames, model.positions, model.weight, self.amplitude, volume)

    def insert(
        self,
        frames: FrameSet,
        weight: NDArray[np.floating],
        rotations: NDArray[np.float64],
        shifts: NDArray[np.floating],
        group: NDArray[np.int64],
        groups: int,
    ) -> list[Sums]:
        """Accumulate posed frames, one pair of sums per group."""
        return _core.insert_slices(
            frames.posed(rotations, shifts),
            np.ascontiguousarray(weight * frames.frame_weight, np.float32),
            group.astype(np.int32),
            groups,
            PAD,
        )


def half_solver(
    clean: CleanStack,
    select: NDArray[np.int64],
    fold: NDArray[np.int64],
    block: NDArray[np.int64],
    template: LatticeTemplate,
    config: OrientConfig,
    period: float,
) -> HalfSolver:
    """Solver of the frames `select` with periods down to `period` Å; `fold` and `block` are per selected frame."""
    centres = clean.offsets[select] / clean.pixel_size
    frames = FrameSet.pack(clean, select, centres, (config.low_resolution, period))
    return HalfSolver(frames, fold, block, template, clean.diameter, config)


def total(sums: list[Sums]) -> Sums:
    """Accumulated slices of several groups put together."""
    data, weight = sums[0]
    return sum((s[0] for s in sums), np.zeros_like(data)), sum((s[1] for s in sums), np.zeros_like(weight))


def others(sums: list[Sums], number: int) -> Sums:
    """Accumulated slices of all groups but one."""
    return total([s for i, s in enumerate(sums) if i != number])
