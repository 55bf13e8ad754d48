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
from single_rs.track.cut import part_of
from single_rs.track.detect import Blob, find_blobs
from single_rs.track.lattice_variance import CENTRED, cell_size, flat_gain, matched_gain, mean_variance, tile_shape

__all__ = ["FirstLook", "first_look", "radii_in_cells"]

# Windows of the sample, and the most frames taken of each, at first and when nothing was found in fewer.
WINDOWS = 6
WINDOW_FRAMES = 16
LONGER = (1, 4)
# Pixels of the sample, 400 MB in float32. Of a frame that would make a larger one only a field is taken.
LARGEST_SAMPLE = 1e8
# Frames of each of the windows in which the fields are looked for, and fields that are tried.
SEARCHED = (0.0, 0.5, 1.0)
SEARCHED_FRAMES = 8
FIELDS = 3
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
    for field in _fields(movie, motion, good, config):
        found = _look(movie, motion, good, config, field)
        if found is not None:
            return found
    return None


def _look(
    movie: MovieLike, motion: MotionLike, good: NDArray[np.int64], config: TrackConfig, field: tuple[slice, slice]
) -> FirstLook | None:
    """Look at one field of the movie."""
    pixel_size = movie.pixel_size
    shape = tile_shape((movie.shape[1], movie.shape[2]))
    cell = cell_size(pixel_size)
    most = max(int(LARGEST_SAMPLE / (WINDOWS * _extent(field[0]) * _extent(field[1]))), WINDOW_FRAMES)
    sheets: list[Graphene] | None = None
    for longer in LONGER:
        length = min(longer * min(config.window, WINDOW_FRAMES), most)
        samples = [
            read_contrast(movie, motion, _window(good, at, length), field) for at in np.linspace(0.0, 1.0, WINDOWS)
        ]
        if sheets is None:
            sheets = _sheets(np.concatenate([_middle(sample) for sample in samples]), pixel_size)
        flat = flat_gain(shape, pixel_size, sheets)
        variances = [mean_variance(sample, flat, pixel_size) for sample in samples]
        level = _level(variances)
        found = [_blobs(variance, level, pixel_size, config) for variance in variances]
        for rank in range(CANDIDATES):
            clean = _spectra(samples, [blobs[rank : rank + 1] for blobs in found], cell, pixel_size)
            if clean is not None:
                frequency = np.arange(len(clean.noise)) / (clean.images.shape[-1] * pixel_size)
                gain = matched_gain(shape, pixel_size, sheets, (frequency, clean.signal, clean.noise))
                level = _level([mean_variance(sample, gain, pixel_size) for sample in samples])
                return FirstLook(gain, level, longer * config.window)
    return None


def _fields(
    movie: MovieLike, motion: MotionLike, good: NDArray[np.int64], config: TrackConfig
) -> list[tuple[slice, slice]]:
    """Return the whole frame (y, x) when it is small, else fields about the places that stand out most."""
    _, rows, columns = movie.shape
    edge = int(np.sqrt(LARGEST_SAMPLE / (WINDOWS * WINDOW_FRAMES)))
    whole = (slice(0, rows), slice(0, columns))
    if rows * columns <= edge**2:
        return [whole]
    windows = [_window(good, at, SEARCHED_FRAMES) for at in SEARCHED]
    centre = tuple(slice((n - min(n, edge)) // 2, (n + min(n, edge)) // 2) for n in (rows, columns))
    sheets = _sheets(
        np.concatenate([_middle(read_contrast(movie, motion, w, (centre[0], centre[1]))) for w in windows]),
        movie.pixel_size,
    )
    gain = flat_gain(tile_shape((rows, columns)), movie.pixel_size, sheets)
    total, square, level = 0.0, 0.0, 0.0
    numbers = np.unique(np.concatenate(windows))
    for number in numbers:
        variance = mean_variance(read_contrast(movie, motion, np.array([number]), whole), gain, movie.pixel_size)[0]
        level = level or float(np.median(variance))
        bounded = variance / (variance + np.float32(HALF_LEVEL * level))
        total, square = total + bounded, square + np.square(bounded)
    mean = np.asarray(total, np.float64) / len(numbers)
    spread = np.sqrt(np.maximum(np.asarray(square, np.float64) / len(numbers) - mean**2, 0.0))
    scatter = float(np.median(spread)) / np.sqrt(len(numbers))
    blobs = find_blobs(mean, scatter, radii_in_cells(movie.pixel_size, config), LENIENT * config.min_significance)
    fields: list[tuple[slice, slice]] = []
    cell = cell_size(movie.pixel_size)
    for blob in blobs:
        y, x = (round((v + 0.5) * cell) for v in (blob.y, blob.x))
        if len(fields) < FIELDS and not any(f[0].start < y < f[0].stop and f[1].start < x < f[1].stop for f in fields):
            fields.append((_around(y, edge, rows), _around(x, edge, columns)))
    return fields


def _around(at: int, edge: int, length: int) -> slice:
    """Return `edge` of `length` pixels about one, or all where there are fewer."""
    start = min(max(at - edge // 2, 0), max(length - edge, 0))
    return slice(start, min(start + edge, length))


def _extent(part: slice) -> int:
    return int(part.stop - part.start)


def read_contrast(
    movie: MovieLike, motion: MotionLike, frames: NDArray[np.integer], field: tuple[slice, slice]
) -> NDArray[np.float32]:
    """Repaired fields (y, x) of frames as counts / mean - 1, (m, y, x) float32."""
    block = np.empty((len(frames), _extent(field[0]), _extent(field[1])), dtype=np.float32)
    for target, index in zip(block, frames):
        image = part_of(motion, movie.read(int(index), int(index) + 1)[0], int(index), *field)
        mean = float(image.mean(dtype=np.float64))
        # A frame that is centred on zero or below it has no dose to divide by.
        target[:] = image / mean - 1 if mean > CENTRED * float(image.std()) else image - mean
    return block


def radii_in_cells(pixel_size: float, config: TrackConfig) -> tuple[float, float]:
    """Smallest and largest radius looked for, in cells."""
    edge = 2 * pixel_size * cell_size(pixel_size)
    return config.min_diameter / edge, config.max_diameter / edge


def _window(good: NDArray[np.int64], at: float, length: int) -> NDArray[np.int64]:
    """Successive good frames at the fraction `at` of the movie."""
    count = min(length, len(good))
    start = round(at * (len(good) - count))
    return good[start : start + count]


def _middle(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the middle of frames (m, y, x), in which graphene is looked for."""
    rows, columns = frames.shape[1:]
    size = min(rows, columns, SHEET_FIELD) // 2 * 2
    y, x = (rows - size) // 2, (columns - size) // 2
    return np.ascontiguousarray(frames[:, y : y + size, x : x + size])


def _sheets(middle: NDArray[np.float32], pixel_size: float) -> list[Graphene]:
    """Graphene sheets in the middle of frames."""
    size = middle.shape[-1]
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
