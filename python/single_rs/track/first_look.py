"""What a sample of the movie tells before tracking: graphene sheets, and the spectra of particle and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs.background.clean import clean_stack
from single_rs.background.envelope import HALF_LEVEL
from single_rs.background.nuisance import find_sheets
from single_rs.base.errors import NoParticleError
from single_rs.frames.spectrum import annulus, radius_map
from single_rs.records import CleanStack, Graphene, ParticleStack
from single_rs.records.track import MotionLike, MovieLike
from single_rs.track.config import TrackConfig
from single_rs.track.detect import Blob, find_blobs
from single_rs.track.lattice_variance import cell_size, flat_gain, matched_gain, mean_variance, read_contrast

__all__ = ["FirstLook", "first_look", "radii_in_cells"]

# Windows of the sample, and the most frames taken of each, at first and when nothing was found in fewer.
WINDOWS = 6
WINDOW_FRAMES = 16
LONGER = (1, 4)
# Pixels of the sample, 400 MB in float32.
LARGEST_SAMPLE = 1e8
# Edge, px, of the middle of the frame in which graphene is looked for; 90 Å resolve two sheets 1.5° apart.
SHEET_FIELD = 256
MAX_SHEETS = 4
# The first filter is not matched, so it must let weaker blobs through, as a fraction of the significance asked for.
LENIENT = 0.6
# Candidates tried, strongest first, until one holds a particle.
CANDIDATES = 3
# Box of the crops in radii of the blob: half of it is surroundings.
CROP = 3.4


@dataclass(frozen=True)
class FirstLook:
    """Matched filter for the whole frame, the variance of the noise behind it, and frames averaged for detection."""

    gain: NDArray[np.float32]
    level: float
    window: int


def first_look(movie: MovieLike, motion: MotionLike, good: NDArray[np.int64], config: TrackConfig) -> FirstLook | None:
    """Find a particle in a sample of windows, short ones first; None when there is none."""
    shape = (movie.shape[1], movie.shape[2])
    cell = cell_size(movie.pixel_size)
    most = max(int(LARGEST_SAMPLE / (WINDOWS * shape[0] * shape[1])), WINDOW_FRAMES)
    sheets: list[Graphene] | None = None
    for longer in LONGER:
        length = min(longer * min(config.window, WINDOW_FRAMES), most)
        samples = [read_contrast(movie, motion, _window(good, at, length)) for at in np.linspace(0.0, 1.0, WINDOWS)]
        if sheets is None:
            sheets = _sheets(np.concatenate(samples), movie.pixel_size)
        flat = flat_gain(shape, movie.pixel_size, sheets)
        variances = [mean_variance(sample, flat, cell) for sample in samples]
        level = _level(variances)
        found = [_blobs(variance, level, movie.pixel_size, config) for variance in variances]
        for rank in range(CANDIDATES):
            clean = _spectra(samples, [blobs[rank : rank + 1] for blobs in found], cell, movie.pixel_size)
            if clean is not None:
                frequency = np.arange(len(clean.noise)) / (clean.images.shape[-1] * movie.pixel_size)
                gain = matched_gain(shape, movie.pixel_size, sheets, (frequency, clean.signal, clean.noise))
                level = _level([mean_variance(sample, gain, cell) for sample in samples])
                return FirstLook(gain, level, longer * config.window)
    return None


def radii_in_cells(pixel_size: float, config: TrackConfig) -> tuple[float, float]:
    """Smallest and largest radius looked for, in cells."""
    edge = 2 * pixel_size * cell_size(pixel_size)
    return config.min_diameter / edge, config.max_diameter / edge


def _window(good: NDArray[np.int64], at: float, length: int) -> NDArray[np.int64]:
    """Successive good frames at the fraction `at` of the movie."""
    count = min(length, len(good))
    start = round(at * (len(good) - count))
    return good[start : start + count]


def _sheets(frames: NDArray[np.float32], pixel_size: float) -> list[Graphene]:
    """Graphene sheets in the middle of the frames."""
    rows, columns = frames.shape[1:]
    size = min(rows, columns, SHEET_FIELD) // 2 * 2
    y, x = (rows - size) // 2, (columns - size) // 2
    middle = np.ascontiguousarray(frames[:, y : y + size, x : x + size])
    whole = annulus(radius_map(size), -2.0 * size, 0.1 * size)  # the taper alone: there is no disc to leave out
    return find_sheets(middle, whole, pixel_size, MAX_SHEETS)


def _level(variances: list[NDArray[np.float32]]) -> float:
    """Variance of the noise: the median place of the mean map, as particles cover less than half of the field."""
    return float(np.median(np.mean([e.mean(axis=0) for e in variances], axis=0)))


def _blobs(variance: NDArray[np.float32], level: float, pixel_size: float, config: TrackConfig) -> list[Blob]:
    """Blobs of one window."""
    bounded = variance / (variance + np.float32(HALF_LEVEL * level))
    scatter = float(np.median(bounded.std(axis=0))) / np.sqrt(len(bounded))
    radii = radii_in_cells(pixel_size, config)
    return find_blobs(bounded.mean(axis=0), scatter, radii, LENIENT * config.min_significance)


def _spectra(
    samples: list[NDArray[np.float32]], found: list[list[Blob]], cell: int, pixel_size: float
) -> CleanStack | None:
    """Clean the crops about one blob per window; None when they hold no particle."""
    radii = [blob.radius for blobs in found for blob in blobs]
    if not radii:
        return None
    rows, columns = samples[0].shape[1:]
    box = int(min(max(CROP * float(np.median(radii)) * cell, 32), rows, columns)) // 2 * 2
    crops = []
    for frames, blobs in zip(samples, found):
        for blob in blobs:
            x, y = (round(v * cell + 0.5 * (cell - 1)) - box // 2 for v in (blob.x, blob.y))
            moved = np.hypot(x - np.clip(x, 0, columns - box), y - np.clip(y, 0, rows - box))
            if moved < 0.3 * blob.radius * cell:  # a box may move a little to stay in the field
                x, y = int(np.clip(x, 0, columns - box)), int(np.clip(y, 0, rows - box))
                crops.append(frames[:, y : y + box, x : x + box])
    if sum(map(len, crops)) < 8 or box < 32:
        return None
    images = np.concatenate(crops)
    try:
        return clean_stack(ParticleStack(images, pixel_size, np.arange(len(images), dtype=np.int64)))
    except NoParticleError:
        return None
