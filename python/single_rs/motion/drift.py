"""Drift of the specimen from tile spectra: every frame against the aligned mean of all.

A frame at time t is ``X_t(k) = A(k) exp(-2 pi i k.s_t) + noise`` of power N(k); all that does not move with the
specimen (shot noise, tumbling particles, liquid) is in N. The gradient of the log-likelihood with the filter ``F =
2A/N``, divided by the information ``H = 2 sum (2 pi)^2 k k^T |A|^2/N``, gives the shift (Gauss-Newton); the sequence
of shifts is smoothed by a Kalman smoother whose noise levels are those of the largest likelihood. References:
doi:10.1364/OL.33.000156 (registration), doi:10.2514/3.3166 (smoother).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from single_rs import _core
from single_rs.base.progress import Progress
from single_rs.base.robust import SIGMA_PER_MAD
from single_rs.motion.mosaic import PART, TILE, Layout
from single_rs.motion.pixels import blocks

Reader = Callable[[int, int], np.ndarray]
"""(start, stop) -> repaired float32 frames (m, y, x)."""

TILE_SIZES = (16, 24, 32, 48, 64, 80, 96, 128, 160, 192, 240, 256, 288, 320, 384, 448, 512)
"""Tile edges with fast transforms, px."""
FINE_TILE = 384
"""Largest tile of the final trajectory, px."""
KEPT_FINE = 2048
"""Coefficients per tile: more than the reflections of several graphene sheets need."""
FAINT = 0.05
"""Coefficients below this share of the strongest ones are left out. The residual gain pattern of the detector is spread
thinly over all of them and would hold the specimen to the detector."""
TRUSTED_ERROR = 0.15
"""Frames are judged by the specimen's amplitude only if one frame measures it this well."""
SMEARED = 0.4
"""Amplitude of the specimen, over its mean, below which a well-measured frame is smeared."""
GRAPHENE = 2.13
"""Graphene (100) spacing, Å."""
HANN_EXCESS = 35 / 18
"""<w^4>/<w^2>^2 of a Hann window per axis: neighbouring coefficients share noise, so that H counts it this often."""
SPECTRA_BYTES = 64 * 2**20
"""Memory of the spectra of one block, bytes."""


@dataclass(frozen=True)
class Band:
    """Pass band in cycles per pixel, largest surprise in px, largest speed in px per frame."""

    low: float
    high: float
    radius: float
    fastest: float


@dataclass(frozen=True)
class DriftFit:
    """Fitted drift and what the local fit needs.

    Attributes
    ----------
    shifts, variance : (n, 2) px and px^2, order (x, y).
    quality : (n,) amplitude of the specimen in the frame over its mean, 1 for a good frame; 0 where not measured.
    smeared : (n,) bool, frames that hold clearly less of the specimen than the others; they have no part in `shifts`.
    gradient : (n, tiles, 2) 1/px, of the log-likelihood at `shifts`; zero in bad and smeared frames.
    information : (tiles, 3) px^-2, order xx, xy, yy.
    centres : (tiles, 2) px, tile centres (x, y) in the aligned frame.
    evidence : summed signal over noise power of one frame.
    """

    shifts: np.ndarray
    variance: np.ndarray
    quality: np.ndarray
    smeared: np.ndarray
    gradient: np.ndarray
    information: np.ndarray
    centres: np.ndarray
    evidence: float


def tile_size(available: float) -> int:
    """Return the largest tile edge (px) that fits into `available` px."""
    fitting = [s for s in TILE_SIZES if s <= available]
    return fitting[-1] if fitting else TILE_SIZES[0]


def frequencies(size: int, index: np.ndarray) -> np.ndarray:
    """Frequencies (..., 2) float32 in cycles/px, order (kx, ky), of coefficient indices kx-major."""
    ky = np.fft.fftfreq(size)
    return np.stack([(index // size) / size, ky[index % size]], axis=-1).astype(np.float32)


def band_index(size: int, band: Band) -> np.ndarray:
    """Indices of the coefficients in the pass band; each conjugate pair on kx = 0 once, so that none counts twice."""
    index = np.arange((size // 2 + 1) * size)
    k = frequencies(size, index)
    radius = np.hypot(k[:, 0], k[:, 1])
    keep = (radius >= max(band.low, 2.5 / size)) & (radius <= band.high) & ((k[:, 0] > 0) | (k[:, 1] > 0))
    return np.asarray(index[keep].astype(np.uint32))


def best(rank: np.ndarray, kept: int) -> np.ndarray:
    """Indices (tiles, kept) of the largest values per tile, ascending; stable for ties."""
    return np.sort(np.argsort(-rank, axis=1, kind="stable")[:, :kept], axis=1)


def strongest(snr: np.ndarray) -> float:
    """Signal over noise of the strongest reflections: mean of the dozen largest values (six of each of two sheets)."""
    return float(np.sort(snr)[-12:].mean())


def matched_filter(total: np.ndarray, power: np.ndarray, n: float) -> tuple[np.ndarray, np.ndarray]:
    """Matched filter 2A/N (shrunk where the reference is noise) and signal over noise power, both (tiles, k)."""
    mean = total / n
    noise = np.maximum(power / n - np.abs(mean) ** 2, 1e-30 + 1e-6 * power / n)
    snr = np.maximum(np.abs(mean) ** 2 / noise - 1.0 / n, 0.0)
    trust = snr / (snr + 1.0 / n)
    return (2 * mean * trust / noise).astype(np.complex64), snr * trust


def fisher_information(snr: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Fisher information (tiles, 3: xx, xy, yy) px^-2 of one frame."""
    w = 2 * (2 * np.pi) ** 2 * snr
    kx, ky = k[..., 0].astype(np.float64), k[..., 1].astype(np.float64)
    return np.stack([(w * kx * kx).sum(1), (w * kx * ky).sum(1), (w * ky * ky).sum(1)], axis=1)


def newton(gradient: np.ndarray, information: np.ndarray, limit: float) -> np.ndarray:
    """Solve information . step = gradient for (n, 2) gradients; steps longer than `limit` px are cut."""
    h = np.array([[information[0], information[1]], [information[1], information[2]]])
    ridge = 1e-6 * np.trace(h) + 1e-12
    step = np.linalg.solve(h + ridge * np.eye(2), gradient.T).T
    length = np.maximum(np.hypot(step[:, 0], step[:, 1]), 1e-12)
    return step * np.minimum(1.0, limit / length)[:, None]


class _Tiles:
    """Tiles that follow the specimen by whole pixels, so that the window moves with what it shows.

    Corners are those in the parts of the field that `where` sets side by side, centres those in the field.
    """

    def __init__(self, where: Layout, patches: int, shifts: np.ndarray) -> None:
        ny, nx = where.shape
        low, high = shifts.min(axis=0), shifts.max(axis=0)
        room = np.array([nx, ny]) - np.ceil(high - low).astype(int) - 2
        share = 1.0 if patches == 1 else 0.55
        largest = FINE_TILE if where.whole else TILE
        self.size = tile_size(max(min(share * min(nx, ny), room.min(), largest), 16))
        corners, centres, limits = [], [], []
        for axis, (n, starts, chosen) in enumerate(zip((nx, ny), where.starts[::-1], where.tiles[::-1])):
            if starts is not None:
                margin = (PART - self.size) // 2
                corners.append(PART * chosen + margin)
                centres.append(starts[chosen] + margin + self.size // 2)
                limits.append((-margin, PART - self.size - margin))
                continue
            first = max(0, int(np.ceil(-low[axis])))
            last = min(n - self.size, int(np.floor(n - self.size - high[axis])))
            if last < first:
                first = last = (n - self.size) // 2
            edge = np.rint(np.linspace(first, last, patches) if patches > 1 else [(first + last) / 2]).astype(np.int64)
            corners.append(edge)
            centres.append(edge + self.size // 2)
            limits.append((-edge.min(), n - self.size - edge.max()))
        self.corner = np.array([(x, y) for y in corners[1] for x in corners[0]])
        self.centres = np.array([(x, y) for y in centres[1] for x in centres[0]])
        self.limit = np.array(limits).T
        self.followed = np.zeros_like(shifts, dtype=np.int64) if where.followed is None else where.followed

    def place(self, shifts: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Corners (m, tiles, 2) in the frames from `start` on, and the shift (m, 2) px that they do not follow."""
        followed = self.followed[start : start + len(shifts)]
        whole = np.clip(np.rint(shifts).astype(np.int64) - followed, self.limit[0], self.limit[1])
        return self.corner[None] + whole[:, None], shifts - whole - followed


def fine_drift(
    read: Reader,
    n: int,
    where: Layout,
    good: np.ndarray,
    band: Band,
    patches: int,
    shifts: np.ndarray,
    progress: Progress | None = None,
) -> DriftFit:
    """Register every good frame with the aligned mean of all, tile by tile, and smooth the result in time."""
    ny, nx = where.size
    tiles = _Tiles(where, patches, shifts)
    every = np.tile(band_index(tiles.size, band), (len(tiles.corner), 1))
    k = frequencies(tiles.size, every)
    total, power = np.zeros(every.shape, np.complex128), np.zeros(every.shape)
    limit = max(1, SPECTRA_BYTES // (8 * every.size)) * 4 * ny * nx
    for start, stop in blocks(n, 4 * ny * nx, limit):
        if good[start:stop].any():
            origins, residual = tiles.place(shifts[start:stop], start)
            spectra = _core.motion_tile_spectra(read(start, stop), origins, tiles.size, every)
            _core.motion_accumulate_reference(spectra, residual, k, good[start:stop].astype(float), total, power)
        if progress:
            progress("motion: reference", stop, n)
    count = float(good.sum())
    _, snr = matched_filter(total, power, count)
    faint = np.array([max(4 / count, FAINT * strongest(tile)) for tile in snr])[:, None]
    chosen = best(np.where(snr > faint, snr, 0.0) * (k**2).sum(-1), KEPT_FINE)
    every, k = np.take_along_axis(every, chosen, 1), np.take_along_axis(k, chosen[..., None], 1)
    matched, snr = matched_filter(np.take_along_axis(total, chosen, 1), np.take_along_axis(power, chosen, 1), count)
    snr = np.where(snr > faint, snr, 0.0)
    matched = np.where(snr > 0, matched, 0).astype(np.complex64)
    information = fisher_information(snr, k)
    score = np.zeros((n, len(tiles.corner), 3))
    for start, stop in blocks(n, 4 * ny * nx, limit):
        if good[start:stop].any():
            origins, residual = tiles.place(shifts[start:stop], start)
            spectra = _core.motion_tile_spectra(read(start, stop), origins, tiles.size, every)
            score[start:stop] = _core.motion_shift_score(spectra, residual, k, matched)
        if progress:
            progress("motion: shifts", stop, n)
    score[~good] = 0.0
    excess = _excess(score[good][:, :, 1:], information, patches)
    gradient, information = score[:, :, 1:] / excess, information / excess
    h = information.sum(axis=0)
    step = newton(gradient.sum(axis=1), h, band.radius)
    expected = max(2 * snr.sum(), 1e-30)
    # The score at the maximum, which the step leads to: c + s.H.s/2.
    rise = 0.5 * (h[0] * step[:, 0] ** 2 + 2 * h[1] * step[:, 0] * step[:, 1] + h[2] * step[:, 1] ** 2)
    quality = (score[:, :, 0].sum(axis=1) + excess * rise) / expected
    quality_error = float(np.sqrt(excess / expected))
    smeared = good & (quality < min(SMEARED, 1 - 5 * quality_error)) & (quality_error < TRUSTED_ERROR)
    good = good & ~smeared
    smoothed, variance, _, _ = _core.motion_smooth(shifts + step, good[:, None] * h[None])
    # The gradient is linear in the shift near the maximum, so it is carried over to the new trajectory.
    moved = (smoothed - shifts)[:, None]
    change = np.stack(
        [
            information[:, 0] * moved[..., 0] + information[:, 1] * moved[..., 1],
            information[:, 1] * moved[..., 0] + information[:, 2] * moved[..., 1],
        ],
        axis=-1,
    )
    return DriftFit(
        smoothed,
        variance,
        quality,
        smeared,
        np.where(good[:, None, None], gradient - change, 0.0),
        information,
        tiles.centres.astype(np.float64),
        float(snr.sum()),
    )


def _excess(gradient: np.ndarray, information: np.ndarray, patches: int) -> float:
    """How often H counts the same noise: from the scatter between two interleaved sets of tiles, free of drift.

    The window correlates neighbouring coefficients (35/18 per axis for Hann) and tiles overlap; the difference of the
    shifts seen by the two colours of a chess board has the variance H_a^-1 + H_b^-1 if H is right.
    """
    theory = HANN_EXCESS**2
    if patches < 2 or len(gradient) < 32:
        return theory
    colour = np.add.outer(np.arange(patches), np.arange(patches)).ravel() % 2 == 0
    difference, variance = np.zeros((len(gradient), 2)), np.zeros(2)
    for sign, chosen in ((1.0, colour), (-1.0, ~colour)):
        h = information[chosen].sum(axis=0)
        h = np.array([[h[0], h[1]], [h[1], h[2]]])
        if np.linalg.eigvalsh(h)[0] <= 1e-9 * np.trace(h) or not np.isfinite(h).all():
            return theory
        difference += sign * np.linalg.solve(h, gradient[:, chosen].sum(axis=1).T).T
        variance += np.diag(np.linalg.inv(h))
    # Second differences remove slow local motion; white noise of variance v gives them 6 v.
    bend = np.diff(difference, 2, axis=0) / np.sqrt(6)
    scatter = (SIGMA_PER_MAD * np.median(np.abs(bend), axis=0)) ** 2
    return float(np.clip(np.mean(scatter / variance), 1.0, 10 * theory))
