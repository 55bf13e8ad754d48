"""What candidate poses are compared with: the atoms of a model, and their Fourier volume.

The overlap b of a frame with a candidate is looked up atom by atom (``rust/orient/lookup.rs``), at the candidate's best
shift. The power a of the candidate's slice is read from a table over half the sphere that is made once per model
(``rust/orient/power.rs``). A frame is then explained by the candidate with the largest log-likelihood ratio
2 s b − s² a, with one scale s for all frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs import _core
from single_rs.frames.packed import FrameSet
from single_rs.frames.volume import PAD
from single_rs.orient.indexing.symmetry import best_of

__all__ = ["Polished", "Reference", "exact_fit", "likelihood", "look_up", "polish"]

LARGEST_ROTATION = np.radians(4.0)  # by which a polish may move a pose
LONGEST_SHIFT = 0.5  # the same, of the shortest period
BALL = float(np.sqrt(5 / 3))  # radius of a ball over the root mean square radius of what is in it
LEAST_HEIGHT = 0.15  # of the highest atom: half the sites of a first model weigh less, all of them noise


@dataclass(frozen=True)
class Reference:
    """Atoms with one transfer function.

    Attributes
    ----------
    atoms
        (a, 3) float32 px from the particle's centre.
    heights
        (a,) float32.
    transfer
        (m,) float32, image of one atom at the packed frequencies.
    filter
        (m,) float32, the same times the weights of the frames.
    volume
        (2K+1, 2K+1, K+1) complex64.
    pad
        Grid steps of the volume per image shell.
    view_power
        (s, s) float32, power of the slice seen along each direction of a grid over half the sphere.
    """

    atoms: NDArray[np.float32]
    heights: NDArray[np.float32]
    transfer: NDArray[np.float32]
    filter: NDArray[np.float32]
    volume: NDArray[np.complex64]
    pad: int
    view_power: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        frames: FrameSet,
        positions: NDArray[np.float64],
        weight: NDArray[np.float64],
        transfer: NDArray[np.float64],
        volume: NDArray[np.complex64],
    ) -> Reference:
        """Reference for `frames` of atoms at positions (a, 3) Å, transfer given per grid shell of the volume."""
        keep = weight > LEAST_HEIGHT * weight.max()
        radius = float(np.sqrt(np.average((positions[keep] ** 2).sum(axis=1), weights=weight[keep])))
        shell = np.linalg.norm(frames.plane.frequencies(), axis=1) * PAD
        image = np.interp(shell, np.arange(len(transfer)), transfer).astype(np.float32)
        return cls(
            np.ascontiguousarray(positions[keep] / frames.pixel_size, np.float32),
            weight[keep].astype(np.float32),
            image,
            image * frames.weights,
            volume,
            PAD,
            _core.tabulate_power(volume, frames.plane, PAD, frames.weights, 2 * BALL * radius / frames.pixel_size),
        )

    def model(self) -> tuple[NDArray[np.float32], NDArray[np.float32], None, NDArray[np.float32]]:
        """Return positions, heights, no widths and the one transfer function, as kernels of models take them."""
        return self.atoms, self.heights, None, self.transfer[None]


def look_up(
    frames: FrameSet,
    reference: Reference,
    rotations: NDArray[np.floating],
    frame: NDArray[np.int64],
    starts: NDArray[np.floating],
    steps: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]:
    """Overlap b (c,), power a (c,) and best shift (c, 2) px of candidates.

    `frame` (c,) ascending names the frame of each of rotations (c, 3, 3); shifts are searched `steps` quarter waves to
    each side of `starts` (c, 2) px.
    """
    overlap, power, shifts = _core.look_up_poses(frames.posed(rotations, starts, frame), reference, steps)
    return overlap.astype(float), power.astype(float), shifts


def exact_fit(
    frames: FrameSet,
    reference: Reference,
    rotations: NDArray[np.floating],
    frame: NDArray[np.int64],
    shifts: NDArray[np.floating],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Overlap b (c,) and power a (c,) of poses (c,), neither read from an image nor from a table."""
    overlap, power, _ = _core.model_gain(frames.posed(rotations, shifts, frame), reference.model(), 0, 1.0)
    return overlap, power


@dataclass(frozen=True)
class Polished:
    """Refined poses.

    rotations (n, 3, 3); shifts (n, 2) px; overlap b (n,); power a (n,); error (n,) rad, that of a rotation
    about an axis, from the curvature at the top, root mean square over three axes.
    """

    rotations: NDArray[np.float64]
    shifts: NDArray[np.float64]
    overlap: NDArray[np.float32]
    power: NDArray[np.float32]
    error: NDArray[np.float64]


def polish(
    frames: FrameSet,
    reference: Reference,
    rotations: NDArray[np.floating],
    shifts: NDArray[np.floating],
    iterations: int,
    frame: NDArray[np.integer] | None = None,
) -> Polished:
    """Refine poses continuously: those of the frames `frame` (n,), or one of each frame."""
    posed = frames.posed(rotations, shifts, frame)
    farthest = LONGEST_SHIFT * frames.size / frames.plane.max_shell
    r, t, overlap, power, error = _core.polish_poses_to_atoms(
        posed, reference.model(), iterations, LARGEST_ROTATION, farthest
    )
    angles = error[:, :3].astype(float)
    return Polished(r.astype(float), t.astype(float), overlap, power, np.sqrt((angles**2).mean(axis=1)))


def likelihood(
    overlap: NDArray[np.floating],
    power: NDArray[np.floating],
    frame: NDArray[np.int64],
    frame_weight: NDArray[np.float32],
) -> NDArray[np.float64]:
    """2 s b − s² a (c,) with one scale s for all frames: the one that the best candidate of each asks for."""
    best = np.unique(best_of(frame, 2.0 * overlap - power, 1)[0])
    s = max(float(overlap[best].sum() / power[best].sum()), 1e-6)
    return (2 * s * overlap - s * s * power) * frame_weight[frame]
