"""The frames of one particle as the kernels take them: time blocks, packed spectra, weights, poses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs import _core
from single_rs.base.errors import InputError
from single_rs.base.sampling import HALVES_BLOCKS, block_edges
from single_rs.records import CleanStack

__all__ = ["FrameSet", "PosedFrames", "TimeBlocks", "shell_of", "time_blocks"]

MASK_MARGIN = 3.0  # Å beyond the ball of equal variance: corners of the particle stick out of it
MASK_EDGE = 2.0  # Å, soft edge of the mask
FOLDS = 4  # of each half: what a frame is compared with is made of three quarters of its half


@dataclass(frozen=True)
class TimeBlocks:
    """Contiguous time blocks, dealt to the halves in turn and within each half to folds in turn.

    Attributes
    ----------
    block
        (n,) number of the block of each image.
    half
        (n,) 0 or 1.
    fold
        (n,) 0 to `FOLDS` − 1, within its half.
    guard
        (n,) whether the image is within the guard gap of a block's ends.
    """

    block: NDArray[np.int64]
    half: NDArray[np.int64]
    fold: NDArray[np.int64]
    guard: NDArray[np.bool_]


def time_blocks(frames: NDArray[np.int64], length: int, guard: int) -> TimeBlocks:
    """Cut frames (n,) (0-based, ascending) into blocks of about `length` images each.

    Raises
    ------
    InputError
        Fewer images than four blocks of ten.
    """
    n = len(frames)
    if n < 10 * HALVES_BLOCKS:
        raise InputError(f"the stack has {n} frames; at least {10 * HALVES_BLOCKS} are needed for two half sets")
    edges = block_edges(n, length)
    count = len(edges) - 1
    stretch = np.repeat(np.arange(count), np.diff(edges))
    from_start = np.arange(n) - edges[stretch]
    from_end = edges[stretch + 1] - 1 - np.arange(n)
    near = np.minimum(from_start, from_end) < guard
    near[: edges[0] + guard] = False  # the movie's own ends border on nothing
    near[n - guard :] = False
    # Where a half has fewer stretches than folds, each is cut in two, without a guard: noise is new in each frame.
    parts = 2 if count < 2 * FOLDS else 1
    part = parts * from_start // np.diff(edges)[stretch]
    return TimeBlocks(parts * stretch + part, stretch % 2, (parts * (stretch // 2) + part) % FOLDS, near)


def shell_of(resolution: float, size: int, pixel_size: float) -> int:
    """Image shell of a period of `resolution` Å, kept below Nyquist."""
    return int(min(np.floor(size * pixel_size / resolution), size // 2 - 2))


@dataclass(frozen=True)
class PosedFrames:
    """Frames with poses of theirs, in the types that the kernels read.

    Attributes
    ----------
    spectra, plane, weights
        As those of `FrameSet`: n frames of m frequencies.
    rotations
        (c, 3, 3) float32.
    shifts
        (c, 2) float32 px from the frame's centre; a search over shifts that takes no start leaves them aside.
    frame_of
        (c,) int32, the frame that each pose is one of.
    ellipse
        As that of `FrameSet`.
    """

    spectra: NDArray[np.complex64]
    plane: _core.HalfPlane
    weights: NDArray[np.float32]
    rotations: NDArray[np.float32]
    shifts: NDArray[np.float32]
    frame_of: NDArray[np.int32]
    ellipse: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class FrameSet:
    """Packed spectra of frames, each referred to its particle's measured centre.

    Attributes
    ----------
    spectra
        (n, m) complex64.
    plane
        The m frequencies.
    weights
        (m,) 1/σ² of each frequency, 0 where graphene was removed.
    frame_weight
        (n,) factor on `weights` of each frame: inverse relative noise, 0 for bad frames.
    centres
        (n, 2) px, particle's centre from the box centre that the phases refer to.
    pixel_size
        Å.
    ellipse
        (e₁, e₂) of the magnification: what belongs at (x, y) stands e₁ (x, −y) + e₂ (y, x) from there. The kernels of
        the atomic model alone have it.
    """

    spectra: NDArray[np.complex64]
    plane: _core.HalfPlane
    weights: NDArray[np.float32]
    frame_weight: NDArray[np.float32]
    centres: NDArray[np.float64]
    pixel_size: float
    ellipse: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def pack(
        cls,
        clean: CleanStack,
        select: NDArray[np.int64],
        centres: NDArray[np.float64],
        band: tuple[float, float],
        mask_radius: float | None = None,
    ) -> FrameSet:
        """Pack frames `select` about `centres` (px) with periods from the first of `band` down to its second, Å.

        Outside `mask_radius` Å of the centre the images are 0; None takes the particle's radius and `MASK_MARGIN`.
        """
        longest, shortest = band
        reach = clean.diameter / 2 + MASK_MARGIN if mask_radius is None else mask_radius
        radius = reach / clean.pixel_size
        edge = MASK_EDGE / clean.pixel_size
        images, residual = _crop(clean.images, select, centres, 2 * (radius + edge))
        size = images.shape[-1]
        plane = _core.HalfPlane(
            size,
            max(1, shell_of(longest, size, clean.pixel_size)),
            shell_of(shortest, size, clean.pixel_size),
        )
        spectra = plane.pack(images, np.ascontiguousarray(residual, np.float32), radius, edge)
        # The noise and the graphene mask are given on the grid of the whole box.
        whole = clean.images.shape[-1]
        k = plane.frequencies() * (whole / size)
        row, column = (np.rint(k[:, i]).astype(int) for i in (1, 0))
        noise = np.interp(np.hypot(k[:, 0], k[:, 1]), np.arange(len(clean.noise)), clean.noise)
        weights = clean.weights[row % whole, column] / noise
        frame_weight = np.where(clean.bad[select], 0.0, 1.0 / clean.frame_noise[select])
        factors = weights.astype(np.float32), frame_weight.astype(np.float32)
        return cls(spectra, plane, *factors, centres, clean.pixel_size)

    @property
    def size(self) -> int:
        """Box, px."""
        return self.plane.size

    @property
    def box(self) -> float:
        """Box, Å."""
        return self.size * self.pixel_size

    def posed(
        self,
        rotations: NDArray[np.floating],
        shifts: NDArray[np.floating] | None = None,
        frame_of: NDArray[np.integer] | None = None,
    ) -> PosedFrames:
        """Return the frames with poses of theirs: shifts are 0 and the poses one per frame, unless given."""
        count = len(rotations)
        return PosedFrames(
            self.spectra,
            self.plane,
            self.weights,
            np.ascontiguousarray(rotations, np.float32),
            np.zeros((count, 2), np.float32) if shifts is None else np.ascontiguousarray(shifts, np.float32),
            np.arange(count, dtype=np.int32) if frame_of is None else np.ascontiguousarray(frame_of, np.int32),
            self.ellipse,
        )

    def take(self, select: NDArray[np.int64]) -> FrameSet:
        """Return the frames `select` only."""
        return FrameSet(
            np.ascontiguousarray(self.spectra[select]),
            self.plane,
            self.weights,
            self.frame_weight[select],
            self.centres[select],
            self.pixel_size,
            self.ellipse,
        )


def _crop(
    images: NDArray[np.float32], select: NDArray[np.int64], centres: NDArray[np.float64], width: float
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Cut `width` px round the particle out of each image; returns the cuts and the centres left over (px).

    A slice has no detail finer than one over the particle's width, so a tight box loses nothing, and the cost of
    everything that follows falls with its square (images) and cube (volumes).
    """
    box = images.shape[-1]
    size = min(box, 2 * int(np.ceil(width / 2)))
    whole = np.rint(centres).astype(int)
    start = np.clip(whole + box // 2 - size // 2, 0, box - size)
    cuts = np.empty((len(select), size, size), np.float32)
    for cut, i, (x, y) in zip(cuts, select, start, strict=True):
        cut[:] = images[i, y : y + size, x : x + size]
    return cuts, centres - (start + size // 2 - box // 2)
