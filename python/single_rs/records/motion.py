"""The motion of a movie: shifts per frame, bad frames, bad pixels.

Convention: `shifts[t]` (x, y) in px moves the specimen in frame t by plus that much: a specimen point at raw position
p of the frame is at ``p - shift`` in the aligned frame. Only differences between frames mean anything; the mean over
frames is zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from single_rs import _core
from single_rs.base.errors import InputError
from single_rs.records.display import Displayed


@dataclass(frozen=True, repr=False)
class Motion(Displayed):
    """Motion of a movie of n frames of (y, x) pixels.

    Attributes
    ----------
    shifts : (n, 2) float64 px, order (x, y), drift common to the whole frame.
    bad_frames : (n,) bool, frames not to be used.
    hot_pixels, dead_pixels : (k, 2) int, order (x, y).
    shape : (y, x) px of a frame.
    quality : (n,) amplitude of the specimen over its mean, about 1 in a good frame; 0 in bad frames and where
        the movie has nothing that moves with the frame.
    sigma : (n, 2) px, one standard deviation of `shifts`; infinite when the drift could not be measured.
    reasons : (n,) str, why a frame is bad, else empty.
    ceiling : counts; single values above it are X-rays and are repaired.
    mean : (y, x) float32 mean of the good frames in counts with bad pixels repaired, or None when read from a file.
    local : (n, py, px, 2) px, shift of each patch beyond `shifts`; (n, 0, 0, 2) when there is none.
    patch_x, patch_y : (px,) and (py,) px, patch centres in the aligned frame.
    mask : (y, x) bool, the hot and dead pixels.
    """

    shifts: np.ndarray
    bad_frames: np.ndarray
    hot_pixels: np.ndarray
    dead_pixels: np.ndarray
    shape: tuple[int, int]
    quality: np.ndarray
    sigma: np.ndarray
    reasons: np.ndarray
    ceiling: float
    mean: np.ndarray | None
    local: np.ndarray
    patch_x: np.ndarray
    patch_y: np.ndarray
    mask: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check that all parts tell of the same frames and pixels, and draw the mask of bad pixels."""
        n = len(self.shifts)
        if self.shifts.shape != (n, 2) or not np.isfinite(self.shifts).all():
            raise InputError(f"Motion.shifts has shape {self.shifts.shape}; finite values (n, 2) in px are needed")
        for name in ("bad_frames", "quality", "sigma", "reasons", "local"):
            if len(getattr(self, name)) != n:
                raise InputError(f"Motion.{name} has {len(getattr(self, name))} entries for {n} frames")
        mask = np.zeros(self.shape, bool)
        for name in ("hot_pixels", "dead_pixels"):
            xy = np.asarray(getattr(self, name), int).reshape(-1, 2)
            if len(xy) and ((xy < 0).any() or (xy >= (self.shape[1], self.shape[0])).any()):
                raise InputError(f"Motion.{name} has pixels outside of the {self.shape[1]} x {self.shape[0]} frame")
            mask[xy[:, 1], xy[:, 0]] = True
        object.__setattr__(self, "mask", mask)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.shifts)

    def at(self, frame: int, x: float | np.ndarray, y: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Total shift (dx, dy) in px of the specimen at raw position (x, y) px of `frame`.

        Local shifts are bilinear between the patch centres and constant beyond them.
        """
        if not 0 <= frame < len(self):
            raise InputError(f"frame is {frame}; the movie has frames 0 to {len(self) - 1}")
        sx, sy = self.shifts[frame]
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        dx, dy = np.full(x.shape, sx), np.full(x.shape, sy)
        if self.local.size:
            i, u = _cell(self.patch_x, x - sx)
            j, v = _cell(self.patch_y, y - sy)
            patch = self.local[frame]
            corners = ((0, 0, (1 - v) * (1 - u)), (0, 1, (1 - v) * u), (1, 0, v * (1 - u)), (1, 1, v * u))
            for dj, di, w in corners:
                value = patch[np.minimum(j + dj, patch.shape[0] - 1), np.minimum(i + di, patch.shape[1] - 1)]
                dx, dy = dx + w * value[..., 0], dy + w * value[..., 1]
        return dx, dy

    def repair(self, frame: np.ndarray, index: int) -> np.ndarray:
        """Frame (y, x) number `index` as new float32 counts, bad pixels and X-rays replaced by their neighbours' mean.

        Nothing else is changed. In a bad frame no value counts as an X-ray, so that it is seen as it is.
        """
        if np.shape(frame) != self.shape:
            raise InputError(f"frame has shape {np.shape(frame)}; (y, x) = {self.shape} is needed")
        if not 0 <= index < len(self):
            raise InputError(f"index is {index}; the movie has frames 0 to {len(self) - 1}")
        out = np.array(frame, np.float32, order="C", copy=True)[None]
        _core.motion_repair(out, self.mask, np.inf if self.bad_frames[index] else self.ceiling)
        return np.asarray(out[0])


def _cell(nodes: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the node below each position and the fraction towards the next, clamped to the nodes' range."""
    if len(nodes) < 2:
        return np.zeros(at.shape, int), np.zeros(at.shape)
    i = np.clip(np.searchsorted(nodes, at) - 1, 0, len(nodes) - 2)
    return i, np.clip((at - nodes[i]) / (nodes[i + 1] - nodes[i]), 0.0, 1.0)
