"""First trajectory: velocities of short chunks of frames, then the chunks' aligned sums one after the other.

No reference is needed for a velocity: all pairs of frames in a chunk, up to 16 frames apart, vote with the phases of
their products. The sums of the chunks, aligned with it, are registered in turn, each within less than half a lattice
period of where the velocities predict it: so the registers of the periodic graphene cannot be confused. The method of
both steps is in `rust/motion/track.rs`.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import median_filter

from single_rs import _core
from single_rs.base.progress import Progress
from single_rs.base.sampling import evenly
from single_rs.motion.drift import (
    FAINT,
    HANN_EXCESS,
    Band,
    Reader,
    band_index,
    best,
    fisher_information,
    frequencies,
    matched_filter,
    newton,
    strongest,
    tile_size,
)

KEPT_COARSE = 1024
"""Coefficients: more than the reflections of several graphene sheets need."""
COARSE_TILE = 320
"""Largest tile of the first trajectory, px: a hundred Å of graphene are evidence enough, and memory stays small."""
CHUNK = 32
"""Frames of a chunk of the first trajectory: long against the tumbling of particles, short against changes of speed."""
SAMPLES = 16
"""Chunks, spread over the movie, from which the coefficients of the first trajectory are chosen."""
ODD_VELOCITY = 0.2
"""Disagreement of a chunk's velocity, px/frame, above which it is rejected."""
LEAST_CLARITY = 3.0
"""Height of the velocity's maximum in standard deviations of chance, mean over chunks, that makes a first trajectory;
movies of shot noise have 2.0 at most."""


def coarse_drift(
    read: Reader, shape: tuple[int, int, int], good: np.ndarray, band: Band, progress: Progress | None = None
) -> np.ndarray | None:
    """First trajectory (n, 2) px, interpolated from chunks of frames; None when nothing is coherent in time."""
    n, ny, nx = shape
    size = tile_size(min(ny, nx, COARSE_TILE))
    origin = np.array([(nx - size) // 2, (ny - size) // 2])
    chunk = int(np.clip(n // 4, 2, CHUNK))
    starts = np.arange(0, n, chunk)

    def load(start: int, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Spectra (m, k) of the good frames of one chunk, and their numbers (m,)."""
        stop = min(start + chunk, n)
        which = np.flatnonzero(good[start:stop])
        if len(which) == 0:
            return np.zeros((0, keep.shape[1]), np.complex64), which
        x = _core.motion_tile_spectra(read(start, stop), np.tile(origin, (stop - start, 1, 1)), size, keep)
        return x[which, 0], start + which

    every = band_index(size, band)[None]
    sample = evenly(len(starts), SAMPLES)
    loaded = [load(int(starts[c]), every) for c in sample]
    if _clarity(loaded, frequencies(size, every[0]), band) < LEAST_CLARITY:
        return None
    chosen, weight = _coherent(loaded, frequencies(size, every[0]), band)
    if not len(chosen):
        return None
    keep, k = every[:, chosen], frequencies(size, every[0, chosen])
    sums = np.zeros((len(starts), 1, len(chosen)), np.complex64)
    velocity, middle = np.zeros((len(starts), 2)), np.zeros(len(starts))
    for c, start in enumerate(starts):
        x, times = load(int(start), keep)
        if len(times) > 1:
            *velocity[c], _ = _core.motion_chunk_velocity(x, times, k, weight, band.fastest)
        elif c > 0:
            velocity[c] = velocity[c - 1]
        middle[c] = times.mean() if len(times) else start + 0.5 * chunk
        if len(times):
            sums[c, 0] = _aligned_mean(x, (times - middle[c])[:, None] * velocity[c], k)
        if progress:
            progress("motion: first trajectory", min(int(start) + chunk, n), n)
    seen = np.abs(sums).sum(axis=(1, 2)) > 0
    # A chunk that went wrong (a jump, little evidence) must not throw its neighbours.
    typical = median_filter(velocity, (min(5, len(starts)), 1), mode="nearest")
    smooth = np.where(np.abs(velocity - typical) > ODD_VELOCITY, typical, velocity)
    way = np.diff(middle, prepend=middle[0])[:, None] * 0.5 * (smooth + np.roll(smooth, 1, axis=0))
    shifts = _core.motion_track_chunks(sums[:, 0], way, k, weight, band.radius)
    shifts = _refine_chunks(sums, k[None], seen.astype(np.float64), shifts, band.radius)
    # Before the middle of the first chunk and after that of the last the specimen keeps its velocity.
    t, s, ends = middle[seen], shifts[seen], velocity[seen][[0, -1]]
    first, last = s[0] - ends[0] * t[0], s[-1] + ends[1] * (n - 1 - t[-1])
    t, s = np.concatenate([[0.0], t, [n - 1.0]]), np.concatenate([[first], s, [last]])
    return np.stack([np.interp(np.arange(n), t, s[:, i]) for i in (0, 1)], axis=1)


def _aligned_mean(x: np.ndarray, shifts: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Mean (k,) of spectra (m, k) moved back by `shifts` (m, 2) px."""
    total, power = np.zeros((1, x.shape[1]), np.complex128), np.zeros((1, x.shape[1]))
    ones = np.ones(len(x))
    _core.motion_accumulate_reference(x[:, None], np.ascontiguousarray(shifts), k[None], ones, total, power)
    return np.asarray((total[0] / len(x)).astype(np.complex64))


def _clarity(samples: list[tuple[np.ndarray, np.ndarray]], k: np.ndarray, band: Band) -> float:
    """Mean clarity of the velocities of each half of the samples with the coefficients that the other half chooses.

    Those that chose the coefficients cannot tell whether these are more than chance.
    """
    found = []
    for chooser, tested in ((samples[::2], samples[1::2]), (samples[1::2], samples[::2])):
        chosen, weight = _coherent(chooser, k, band)
        for x, t in tested:
            if len(t) > 1 and len(chosen):
                part = np.ascontiguousarray(x[:, chosen])
                found.append(_core.motion_chunk_velocity(part, t, k[chosen], weight, band.fastest)[2])
    return float(np.mean(found)) if found else 0.0


def _coherent(samples: list[tuple[np.ndarray, np.ndarray]], k: np.ndarray, band: Band) -> tuple[np.ndarray, np.ndarray]:
    """Choose the coefficients that stay coherent over a chunk, and their weights signal / (noise (signal + error)).

    First by the correlation of neighbouring frames, where tumbling particles still take part; with the velocities
    that these give, by the mean over whole chunks, which the particles do not survive.
    """
    samples = [(x, t) for x, t in samples if len(t) > 3]
    if not samples:
        return np.zeros(0, int), np.zeros(0, np.float32)
    power = sum((np.abs(x) ** 2).sum(axis=0, dtype=np.float64) for x, _ in samples) / sum(len(t) for _, t in samples)
    power = np.maximum(power, 1e-6 * power.mean() + 1e-30)
    pairs = sum(len(t) - 1 for _, t in samples)
    cross = np.abs(sum((x[1:] * x[:-1].conj()).sum(axis=0, dtype=np.complex128) for x, _ in samples)) / pairs
    first = best((cross / power * (k**2).sum(-1))[None], KEPT_COARSE)[0]
    coherent, error = [], 0.0
    for x, t in samples:
        weight = (1 / power[first]).astype(np.float32)
        *velocity, _ = _core.motion_chunk_velocity(np.ascontiguousarray(x[:, first]), t, k[first], weight, band.fastest)
        mean = _aligned_mean(x, (t - t.mean())[:, None] * np.asarray(velocity), k)
        # Without a coherent part the mean of m spectra has a power P/m, exponentially distributed: median ln 2 P/m.
        coherent.append(np.abs(mean) ** 2 - np.log(2) * power / len(t))
        error += 1 / len(t) / len(samples)
    # The median over the movie: graphene is always there, a reflection of a particle now and then.
    signal = np.median(coherent, axis=0)
    error /= np.sqrt(len(samples))
    share = np.clip(signal / power, 0.0, 1 - 1e-3)
    snr = share / (1 - share)
    rank = np.where(snr > max(2 * error, FAINT * strongest(snr)), snr, 0.0) * (k**2).sum(-1)
    chosen = best(rank[None], KEPT_COARSE)[0]
    chosen = chosen[rank[chosen] > 0]
    noise = power * (1 - share)
    return chosen, (snr / (snr + error) / noise)[chosen].astype(np.float32)


def _refine_chunks(
    sums: np.ndarray, k: np.ndarray, weight: np.ndarray, shifts: np.ndarray, radius: float
) -> np.ndarray:
    """Register all chunks with their common mean until none moves by more than 0.01 px (at most 20 times)."""
    n = float(weight.sum())
    for _ in range(20):
        total, power = np.zeros(sums.shape[1:], np.complex128), np.zeros(sums.shape[1:])
        _core.motion_accumulate_reference(sums, shifts, k, weight, total, power)
        matched, snr = matched_filter(total, power, n)
        information = fisher_information(snr, k)[0]
        score = _core.motion_shift_score(sums, shifts, k, matched)[:, 0, 1:]
        measured = shifts + newton(score, information, 0.5 * radius)
        new = _core.motion_smooth(measured, weight[:, None] * information / HANN_EXCESS**2)[0]
        moved = np.abs((new - new.mean(axis=0)) - (shifts - shifts.mean(axis=0))).max()
        shifts = new - new.mean(axis=0)
        if moved < 0.01:
            break
    return shifts
