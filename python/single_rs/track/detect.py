"""Discs in a map of mean variance, and their links from window to window.

At each radius R of a geometric scale the map is filtered with a disc minus the ring around it; divided by the standard
deviation that noise gives, this is the matched filter of a disc of that size. Links between windows are the cheapest
assignment (Jonker & Volgenant, Computing 38, 325 (1987), doi:10.1007/BF02278710) of ends of tracks to detections.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.optimize import linear_sum_assignment

__all__ = ["Blob", "Chain", "find_blobs", "link"]

# Ratio of successive radii, and the ring's inner and outer radius in units of the disc's.
SCALE_STEP = 1.15
RING = (1.15, 1.6)
# Weakest excess of the bounded variance (its range is 0 to 1, noise lies at about 0.3) that can be a particle.
MIN_CONTRAST = 0.012
# A link costs distance / reach plus |ln of the radii's ratio|; above this it is not made.
MAX_COST = 1.5
FORBIDDEN = 1e3
# Transformed kernels that are kept: those of all radii, for one size of maps.
KERNELS = 16


@dataclass(frozen=True)
class Blob:
    """A disc: centre (x, y) and radius in cells, excess variance in [0, 1], and significance in sigma."""

    x: float
    y: float
    radius: float
    contrast: float
    sigma: float


@dataclass
class Chain:
    """Detections of one particle: indices of windows and blobs with positions corrected for drift."""

    windows: list[int] = field(default_factory=list)
    blobs: list[Blob] = field(default_factory=list)


def find_blobs(mean: NDArray[np.floating], scatter: float, radii: tuple[float, float], min_sigma: float) -> list[Blob]:
    """Discs that stand out of a mean variance map, strongest first.

    Parameters
    ----------
    mean
        (y, x) mean bounded variance, 0 to 1.
    scatter
        Standard deviation of a cell of the map.
    radii
        Smallest and largest radius, cells.
    min_sigma
        Weakest significance.
    """
    count = int(np.ceil(np.log(radii[1] / radii[0]) / np.log(SCALE_STEP))) + 1
    scale = [r for r in np.geomspace(radii[0], radii[1], max(count, 2)) if 2 * r < min(mean.shape)]
    pad = int(np.ceil(RING[1] * scale[-1])) + 2 if scale else 0
    shape = tuple(fft.next_fast_len(n + 2 * pad, real=True) for n in mean.shape)
    padded = (
        np.pad(mean - np.median(mean), pad, mode="reflect")
        if pad < min(mean.shape)
        else np.pad(mean - np.median(mean), pad, mode="edge")
    )
    spectrum = fft.rfft2(padded.astype(np.float32), s=shape)
    best = np.full(mean.shape, -np.inf, np.float32)
    which = np.zeros(mean.shape, np.uint8)
    norms = []
    for number, radius in enumerate(scale):
        kernel, norm = _transformed(radius, shape)
        norms.append(scatter * norm)
        response = fft.irfft2(spectrum * (kernel / np.float32(norms[-1])), s=shape, overwrite_x=True)
        sigma = response[pad : pad + mean.shape[0], pad : pad + mean.shape[1]]
        np.copyto(which, np.uint8(number), where=sigma > best)
        np.maximum(best, sigma, out=best)
    contrast = best * np.array(norms or [0.0], np.float32)[which]
    free = (best >= min_sigma) & (contrast >= MIN_CONTRAST)
    blobs: list[Blob] = []
    places = np.argwhere(free)
    for j, i in places[np.argsort(-best[free], kind="stable")]:
        if not free[j, i]:
            continue
        radius = float(scale[which[j, i]])
        if all(np.hypot(i - b.x, j - b.y) > 0.8 * (radius + b.radius) for b in blobs):
            blobs.append(Blob(float(i), float(j), radius, float(contrast[j, i]), float(best[j, i])))
        reach = int(radius) + 1
        y, x = (slice(max(v - reach, 0), v + reach + 1) for v in (j, i))
        rows, columns = np.ogrid[y.start : min(y.stop, mean.shape[0]), x.start : min(x.stop, mean.shape[1])]
        free[y, x] &= np.hypot(columns - i, rows - j) > radius
    return blobs


def link(windows: list[list[Blob]], max_gap: int) -> list[Chain]:
    """Chains of blobs through successive windows (positions already free of drift), with gaps up to `max_gap` windows.

    A particle may move by its radius from window to window, and by the square root of the gap more across a gap.
    """
    chains: list[Chain] = []
    for now, blobs in enumerate(windows):
        active = [c for c in chains if now - c.windows[-1] <= max_gap + 1]
        cost = np.full((len(active), len(blobs)), np.inf)
        for a, chain in enumerate(active):
            last = chain.blobs[-1]
            reach = last.radius * np.sqrt(now - chain.windows[-1])
            for b, blob in enumerate(blobs):
                distance = np.hypot(blob.x - last.x, blob.y - last.y)
                cost[a, b] = distance / reach + abs(np.log(blob.radius / last.radius))
        taken = set()
        if cost.size:
            # All forbidden links cost the same, or the solver would trade a good link for two less forbidden ones.
            rows, columns = linear_sum_assignment(np.where(cost <= MAX_COST, cost, FORBIDDEN))
            for a, b in zip(rows, columns):
                if cost[a, b] <= MAX_COST:
                    active[a].windows.append(now)
                    active[a].blobs.append(blobs[b])
                    taken.add(int(b))
        chains += [Chain([now], [blob]) for b, blob in enumerate(blobs) if b not in taken]
    return chains


@lru_cache(maxsize=KERNELS)
def _transformed(radius: float, shape: tuple[int, int]) -> tuple[NDArray[np.complex64], float]:
    """Conjugate transform of `_disc_minus_ring`, and the root of the kernel's sum of squares."""
    kernel = _disc_minus_ring(radius, shape)
    return np.conj(fft.rfft2(kernel.astype(np.float32))), float(np.sqrt(np.sum(kernel**2)))


def _disc_minus_ring(radius: float, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Disc of weight +1 and ring of weight -1 about the origin of a periodic grid."""
    axes = [np.minimum(np.arange(n), n - np.arange(n)) for n in shape]
    distance = np.hypot(axes[0][:, None], axes[1][None, :])
    disc = np.clip(radius + 0.5 - distance, 0.0, 1.0)
    ring = ((distance > RING[0] * radius + 0.5) & (distance <= RING[1] * radius + 1.0)).astype(float)
    return np.asarray(disc / disc.sum() - ring / ring.sum())
