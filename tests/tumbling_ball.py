"""A quick stand-in for a tumbling crystal in a graphene cell, in contrast: balls of random lattice planes and waves.

Each frame of a ball of radius R about c shows Σ_j a_j t(x - c) cos(2π g_j · x + φ_j), t = sqrt(1 - |x|²/R²), with fresh
directions of the {111}, {200} and {220} planes of platinum: the envelope stays, the lattice does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PIXEL = 0.36
SPACINGS = (2.27, 1.96, 1.39)  # Å, Pt {111}, {200}, {220}
GRAPHENE_A = 2.461


def balls(
    shape: tuple[int, int], centres: NDArray[np.float64], radius: float, rng: np.random.Generator, contrast: float = 0.3
) -> NDArray[np.float32]:
    """Frames (n, y, x) with one ball each at centres (n, 2) px (x, y); radius in px; rms contrast in the middle."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    frames = np.zeros((len(centres), *shape), dtype=np.float32)
    for frame, (cx, cy) in zip(frames, centres):
        y0, y1 = max(int(cy - radius) - 1, 0), int(cy + radius) + 2
        x0, x1 = max(int(cx - radius) - 1, 0), int(cx + radius) + 2
        part = np.s_[y0:y1, x0:x1]
        u, v = x[part] - np.float32(cx), y[part] - np.float32(cy)
        thickness = np.sqrt(np.clip(1 - (u * u + v * v) / np.float32(radius**2), 0, None))
        for spacing in SPACINGS:
            angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
            k = 2 * np.pi * PIXEL / spacing
            wave = np.cos(np.float32(k * np.cos(angle)) * u + np.float32(k * np.sin(angle)) * v + np.float32(phase))
            frame[part] += np.float32(contrast * np.sqrt(2 / len(SPACINGS))) * thickness * wave
    return frames


def graphene(
    shape: tuple[int, int], twist_deg: float, shifts: NDArray[np.float64], amplitude: float = 0.02, stretch: float = 0.0
) -> NDArray[np.float32]:
    """A sheet's waves (n, y, x), {10} and {11}, moved by shifts (n, 2) px; stretched along x by the given fraction."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64) * PIXEL
    length = 2 / (np.sqrt(3) * GRAPHENE_A)
    frames = np.zeros((len(shifts), *shape), dtype=np.float32)
    for size, turn in ((length, 0.0), (length * np.sqrt(3), 30.0)):
        for third in (0.0, 60.0, 120.0):
            angle = np.radians(twist_deg + turn + third)
            gx, gy = size * np.cos(angle) / (1 + stretch), size * np.sin(angle)
            for frame, (dx, dy) in zip(frames, shifts * PIXEL):
                frame += (amplitude * np.cos(2 * np.pi * (gx * (x - dx) + gy * (y - dy)))).astype(np.float32)
    return frames


def counts(contrast: NDArray[np.float32], dose: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Electrons per pixel of frames with that contrast."""
    return rng.poisson(np.maximum(dose * (1 + contrast), 0)).astype(np.uint8)
