"""Frames of one half at one resolution, and the three things a climb does with them: build, score, polish.

Volumes are jackknifed: volume f is made of all frames but those of fold f, and only frames of fold f meet it. Its map
is masked to the particle's ball and cut off below zero, since atoms scatter one way: that is all that is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs import _core
from single_rs.frames.packed import FrameSet
from single_rs.frames.volume import PAD, ball_mask, fourier_volume, grid_size, map_from_sums
from single_rs.orient.config import OrientConfig
from single_rs.orient.indexing.symmetry import best_of
from single_rs.records import CleanStack

__all__ = ["ClimbSolver", "Fit", "State"]

FOLDS = 4  # a volume keeps three quarters of the frames
STRETCHES = 3  # contiguous stretches of each fold in a half
MAP_MARGIN = 3.0  # Å beyond the ball of equal variance
MAP_EDGE = 2.0  # Å
FINE_GRID = 1.25  # voxels finer than Nyquist, so that cutting below zero makes no aliases
UNSAMPLED = 0.1  # added to the sampling density, as a share of its shell's mean
QUARTER_WAVE = 0.25  # spacing of the shift search, of the shortest period
POLISH_REACH = np.radians(4.0)  # farthest a polish may turn a pose

Volumes = list[NDArray[np.complex64]]


@dataclass
class State:
    """Poses of one half's frames: rotations (n, 3, 3), shifts (n, 2) px, weight (n,) in volumes, score (n,) nats."""

    rotations: NDArray[np.float64]
    shifts: NDArray[np.float64]
    weight: NDArray[np.float64]
    score: NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """Candidates (c,) against the volumes: overlap b and power a of each, shift (c, 2) px, frame (c,)."""

    overlap: NDArray[np.float64]
    power: NDArray[np.float64]
    shifts: NDArray[np.float64]
    frame: NDArray[np.int64]
    gain: NDArray[np.float64]

    def significance(self) -> NDArray[np.float64]:
        """b/√a: how many sigma the candidate explains, at the scale that suits it best."""
        return self.overlap / np.sqrt(np.maximum(self.power, 1e-9)) * np.sqrt(self.gain)

    def likelihood(self) -> NDArray[np.float64]:
        """2 s b − s² a, nats, with the one scale s that suits the best candidates of all frames."""
        top = best_of(self.frame, self.significance(), 1)[0][:, 0]
        s = max(float(self.overlap[top].sum() / max(self.power[top].sum(), 1e-9)), 1e-6)
        return (2 * s * self.overlap - s * s * self.power) * self.gain


class ClimbSolver:
    """The frames `select` of a stack down to `period` Å, shifts searched over `window` Å to each side."""

    def __init__(
        self, clean: CleanStack, select: NDArray[np.int64], config: OrientConfig, period: float, window: float
    ) -> None:
        """Pack the frames and lay out the grids."""
        centres = clean.offsets[select] / clean.pixel_size
        self.frames = FrameSet.pack(clean, select, centres, (config.low_resolution, period))
        n = len(select)
        self.fold = (np.arange(n) * (FOLDS * STRETCHES) // n % FOLDS).astype(np.int32)
        plane = self.frames.plane
        self.reach = plane.max_shell * PAD + 2
        self.spacing = QUARTER_WAVE * plane.size / plane.max_shell
        self.window = int(np.ceil(window / self.frames.pixel_size / self.spacing))
        self.size = grid_size(round(FINE_GRID * plane.max_shell))
        voxel = self.frames.box / self.size
        self.mask = ball_mask(self.size, (clean.diameter / 2 + MAP_MARGIN) / voxel, MAP_EDGE / voxel)

    def __len__(self) -> int:
        return len(self.fold)

    def held_out(self, state: State) -> Volumes:
        """Volume for each fold, made of all the other folds."""
        sums = self._insert(state, self.fold, FOLDS)
        above, below = (np.sum([s[0] for s in sums], axis=0), np.sum([s[1] for s in sums], axis=0))
        return [self._volume(above - numerator, below - denominator) for numerator, denominator in sums]

    def whole(self, state: State) -> NDArray[np.complex64]:
        """Volume of all frames."""
        return self._volume(*self._insert(state, np.zeros(len(self), np.int32), 1)[0])

    def separate(self, state: State) -> Volumes:
        """Two volumes without a common frame."""
        return [self._volume(*sums) for sums in self._insert(state, (self.fold % 2).astype(np.int32), 2)]

    def score(self, volumes: Volumes, rotations: NDArray[np.float64], frame: NDArray[np.int64]) -> Fit:
        """Fit rotations (c, 3, 3) of the frames `frame` (c,), ascending, at their best shifts.

        One volume serves all frames; of several each frame meets that of its fold.
        """
        overlap, power, shifts = _core.score_poses(
            self.frames.posed(rotations, frame_of=frame),
            np.stack(volumes),
            PAD,
            self._volume_of(volumes),
            self.window,
            self.spacing,
        )
        return self._fit(overlap, power, shifts, frame)

    def polish(
        self,
        volumes: Volumes,
        rotations: NDArray[np.float64],
        shifts: NDArray[np.float64],
        frame: NDArray[np.int64],
        iterations: int = 8,
    ) -> tuple[NDArray[np.float64], Fit]:
        """Refine poses (c,) continuously; returns the rotations and the fit."""
        turned, moved, overlap, power, _ = _core.polish_poses(
            self.frames.posed(rotations, shifts, frame),
            np.stack(volumes),
            PAD,
            self._volume_of(volumes),
            iterations,
            POLISH_REACH,
            2 * self.spacing,
        )
        return turned.astype(float), self._fit(overlap, power, moved, frame)

    def _fit(
        self,
        overlap: NDArray[np.float32],
        power: NDArray[np.float32],
        shifts: NDArray[np.float32],
        frame: NDArray[np.int64],
    ) -> Fit:
        gain = self.frames.gain[frame].astype(float)
        return Fit(overlap.astype(float), power.astype(float), shifts.astype(float), frame, gain)

    def _volume_of(self, volumes: Volumes) -> NDArray[np.int32]:
        return self.fold if len(volumes) > 1 else np.zeros(len(self), np.int32)

    def _insert(
        self, state: State, group: NDArray[np.int32], groups: int
    ) -> list[tuple[NDArray[np.complex64], NDArray[np.float32]]]:
        return _core.insert_slices(
            self.frames.posed(state.rotations, state.shifts),
            np.ascontiguousarray(state.weight * self.frames.gain, np.float32),
            group,
            groups,
            PAD,
        )

    def _volume(self, numerator: NDArray[np.complex64], denominator: NDArray[np.float32]) -> NDArray[np.complex64]:
        density = map_from_sums(numerator, denominator, UNSAMPLED, self.size) * self.mask
        return fourier_volume(np.maximum(density, 0).astype(np.float32), self.reach)
