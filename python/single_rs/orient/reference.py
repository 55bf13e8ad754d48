"""What candidate poses are compared with: the atoms of a model, and their Fourier volume.

The overlap b of a frame with a candidate is looked up atom by atom (``rust/orient/lookup.rs``). The power a of the
candidate's slice depends only on the direction of view, so it is tabulated over half the sphere once per model; b
comes at each candidate's best shift. A frame is then explained by the candidate with the largest gain of log-likelihood
2 s b − s² a, with one scale s for all frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs import _core
from single_rs.orient.frames import FrameSet
from single_rs.orient.mates import best_of
from single_rs.orient.volumes import PAD

__all__ = ["Reference", "exact_fit", "likelihood", "look_up"]

VIEW_STEP = 2.0  # degrees between tabulated directions; a zone axis is about as wide
BATCH = 500  # slices held at a time
LEAST_HEIGHT = 0.02  # of the highest atom: what weighs less changes nothing


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
    volume
        (2K+1, 2K+1, K+1) complex64.
    view_power
        (polar, azimuth) power of the slice seen along each direction of a grid over half the sphere.
    """

    atoms: NDArray[np.float32]
    heights: NDArray[np.float32]
    transfer: NDArray[np.float32]
    volume: NDArray[np.complex64]
    view_power: NDArray[np.float64]

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
        shell = np.linalg.norm(frames.plane.frequencies(), axis=1) * PAD
        return cls(
            np.ascontiguousarray(positions[keep] / frames.pixel_size, np.float32),
            weight[keep].astype(np.float32),
            np.interp(shell, np.arange(len(transfer)), transfer).astype(np.float32),
            volume,
            _view_power(frames, volume),
        )

    def power(self, directions: NDArray[np.floating]) -> NDArray[np.float64]:
        """Power (c,) of the slices seen along `directions` (c, 3), read bilinearly from the table."""
        table = self.view_power
        d = np.where(directions[:, 2:] < 0, -directions, directions)  # Friedel: from behind as from the front
        polar = np.arccos(np.clip(d[:, 2], -1, 1)) / (np.pi / 2) * (len(table) - 1)
        azimuth = np.arctan2(d[:, 1], d[:, 0]) / (2 * np.pi) % 1.0 * table.shape[1]
        i, j = np.minimum(polar.astype(int), len(table) - 2), azimuth.astype(int) % table.shape[1]
        f, g = polar - i, azimuth - np.floor(azimuth)
        right = (j + 1) % table.shape[1]
        return np.asarray(
            (1 - f) * ((1 - g) * table[i, j] + g * table[i, right])
            + f * ((1 - g) * table[i + 1, j] + g * table[i + 1, right])
        )


def _view_power(frames: FrameSet, volume: NDArray[np.complex64]) -> NDArray[np.float64]:
    polar = np.radians(np.linspace(0, 90, round(90 / VIEW_STEP) + 1))
    azimuth = np.radians(np.arange(0, 360, VIEW_STEP))
    t, p = (a.ravel() for a in np.meshgrid(polar, azimuth, indexing="ij"))
    beam = np.stack([np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)], axis=1)
    across = np.stack([np.cos(t) * np.cos(p), np.cos(t) * np.sin(p), -np.sin(t)], axis=1)
    turns = np.stack([across, np.cross(beam, across), beam], axis=1).astype(np.float32)
    power = np.empty(len(turns))
    for start in range(0, len(turns), BATCH):
        part = slice(start, start + BATCH)
        slices = _core.project_slices(volume, frames.plane, PAD, np.ascontiguousarray(turns[part]))
        power[part] = (slices.real**2 + slices.imag**2) @ frames.weights
    return power.reshape(len(polar), len(azimuth))


def look_up(
    frames: FrameSet,
    references: list[Reference],
    of: NDArray[np.int64],
    rotations: NDArray[np.floating],
    frame: NDArray[np.int64],
    starts: NDArray[np.floating],
    steps: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]:
    """Overlap b (c,), power a (c,) and best shift (c, 2) px of candidates, each against the reference of its frame.

    `frame` (c,) ascending names the frame of each of rotations (c, 3, 3), `of` (n,) the reference of each frame;
    shifts are searched `steps` quarter waves to each side of `starts` (c, 2) px.
    """
    overlap, shifts = _core.look_up_poses(
        frames.posed(rotations, starts, frame),
        np.stack([r.transfer * frames.weights for r in references]),
        np.concatenate([r.atoms for r in references]),
        np.concatenate([r.heights for r in references]),
        [len(r.atoms) for r in references],
        of.astype(np.int32),
        steps,
    )
    power = np.empty(len(frame))
    for number, reference in enumerate(references):
        here = of[frame] == number
        power[here] = reference.power(rotations[here, 2])
    return overlap.astype(float), power, shifts


def exact_fit(
    frames: FrameSet,
    reference: Reference,
    rotations: NDArray[np.floating],
    frame: NDArray[np.int64],
    shifts: NDArray[np.floating],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Overlap b (c,) and power a (c,) of poses (c,), neither read from an image nor from a table."""
    overlap, power, _ = _core.model_gain(
        frames.posed(rotations, shifts, frame),
        (reference.atoms, reference.heights, None, reference.transfer[None]),
        0,
        1.0,
    )
    return overlap, power


def likelihood(
    overlap: NDArray[np.floating], power: NDArray[np.floating], frame: NDArray[np.int64], gain: NDArray[np.float32]
) -> NDArray[np.float64]:
    """2 s b − s² a (c,) with one scale s for all frames: the one that the best candidate of each asks for."""
    best = np.unique(best_of(frame, 2.0 * overlap - power, 1)[0])
    s = max(float(overlap[best].sum() / power[best].sum()), 1e-6)
    return (2 * s * overlap - s * s * power) * gain[frame]
