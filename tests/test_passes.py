"""A movie is read as often as it is said, whatever its size and the number of its particles."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from single_rs.base import scratch
from single_rs.base.scratch import ScratchArray, scratch_in
from single_rs.frames.blocks import block_ranges, is_view, native, read_ahead
from single_rs.io import Movie
from single_rs.motion import correct_motion, drift, mosaic
from single_rs.records import Track
from single_rs.track import extract, extract_all, find_tracks
from test_motion import PIXEL, rms, simulate, smooth_path


class Decoded:
    """A movie of an array whose frames are decoded each time they are read, and counted."""

    def __init__(self, frames: np.ndarray) -> None:
        self.shape, self.pixel_size, self.dtype = frames.shape, PIXEL, frames.dtype
        self._frames, self.decoded = frames, Counter[int]()

    def read(self, start: int, stop: int) -> np.ndarray:
        self.decoded.update(range(start, stop))
        return self._frames[start:stop].copy()


@pytest.fixture(scope="module")
def small_parts() -> tuple[np.ndarray, np.ndarray]:
    """Drift and counts of a field that is large against the parts of `small`."""
    path = smooth_path(96, 0.05, 21)
    return path, simulate(path, size=320, particles=2, seed=21)


@pytest.fixture
def small(monkeypatch):
    """Parts of 80 px with margins of 8, so that a field of 320 px is large."""
    for module in (mosaic, drift):
        monkeypatch.setattr(module, "TILE", 64)
        monkeypatch.setattr(module, "PART", 80)
    monkeypatch.setattr(mosaic, "MARGIN", 8)


def test_a_scratch_array_in_a_file_is_one_in_memory(tmp_path, monkeypatch) -> None:
    values = np.random.default_rng(0).integers(0, 255, (7, 5, 6), dtype=np.uint8)
    kept = [ScratchArray(values.shape, np.uint8)]
    monkeypatch.setattr(scratch, "IN_MEMORY", 10)
    with scratch_in(tmp_path):
        kept.append(ScratchArray(values.shape, np.uint8))
    for array in kept:
        array.put(4, values[4:])
        array.put(0, values[:4])
        np.testing.assert_array_equal(array.get(1, 6), values[1:6])
        np.testing.assert_array_equal(array.get(0, 7, 3), values[::3])
        np.testing.assert_array_equal(array.rows(5, 1, 4), values[5, 1:4])
    assert not list(tmp_path.iterdir())  # a file without a name


@pytest.mark.parametrize("kind", ["i1", ">u2", "f8", "?"])
def test_blocks_are_read_ahead_in_their_order(kind: str) -> None:
    frames = (np.random.default_rng(1).random((150, 16, 16)) * 2).astype(kind)
    movie = Decoded(frames)
    blocks = list(read_ahead(movie, block_ranges(movie)))
    assert [block[:2] for block in blocks] == [(0, 64), (64, 128), (128, 150)]
    kept = np.dtype({"f8": "f4", "?": "f4", ">u2": "u2"}.get(kind, kind))
    assert native(frames).dtype == kept
    np.testing.assert_array_equal(np.concatenate([block[2] for block in blocks]), frames.astype(kept))
    assert set(movie.decoded.values()) == {1}
    assert is_view(Movie.from_array(frames, PIXEL)) == (kind != ">u2")  # bytes are swapped as they are read
    assert not is_view(movie)


def test_an_error_while_reading_ahead_arrives() -> None:
    class Broken(Decoded):
        def read(self, start: int, stop: int) -> np.ndarray:
            if start:
                raise OSError("gone")
            return super().read(start, stop)

    movie = Broken(np.zeros((100, 16, 16), np.uint8))
    with pytest.raises(OSError, match="gone"):
        list(read_ahead(movie, block_ranges(movie)))


def test_the_parts_of_a_large_field_tell_its_drift_in_one_pass(small, small_parts) -> None:
    path, counts = small_parts
    movie = Decoded(counts)
    found = correct_motion(movie)
    assert rms(found.shifts, path) < 0.08
    # One pass; and looks at 16 frames for the range of their values, and at the first for its type.
    assert sum(movie.decoded.values()) <= len(counts) + 16 + 3
    assert found.local.size == 0 or found.patch_x[0] > 30
    np.testing.assert_array_equal(found.shifts, correct_motion(Movie.from_array(counts, PIXEL)).shifts)


def test_a_drift_that_leaves_the_parts_is_followed_in_one_pass_more(small) -> None:
    path = np.linspace([0, 0], [24, -18], 96)
    path -= path.mean(axis=0)
    movie = Decoded(simulate(path, size=320, particles=0, seed=23))
    assert rms(correct_motion(movie).shifts, path) < 0.08
    assert sum(movie.decoded.values()) <= 2 * 96 + 16 + 3


def test_all_particles_are_cut_in_one_pass() -> None:
    rng = np.random.default_rng(3)
    counts = rng.poisson(8.0, (120, 96, 128)).astype(np.uint8)
    counts[:, 40, 60] = 200
    motion = correct_motion(Movie.from_array(counts, PIXEL))
    movie = Decoded(counts)
    tracks = []
    for first, ends in ((0, ((40.2, 60.7), (40.0, 44.0))), (30, ((80.0, 70.1), (50.0, 40.0)))):
        n = 120 - first
        x, y = (np.linspace(a, b, n) for a, b in ends)
        tracks.append(Track(np.arange(first, 120), x, y, np.ones(n), 20.0, 9.0))
    stacks = extract_all(movie, motion, tracks, [48, 32])
    assert set(movie.decoded.values()) == {1}
    for stack, track, box in zip(stacks, tracks, [48, 32]):
        alone = extract(Movie.from_array(counts, PIXEL), motion, track, box)
        np.testing.assert_array_equal(stack.images, alone.images)
        x, y = (round(float(v)) - box // 2 for v in (track.x[7], track.y[7]))
        whole = motion.repair(counts[track.frames[7]], int(track.frames[7]))
        np.testing.assert_array_equal(stack.images[7], whole[y : y + box, x : x + box])
        assert stack.images.max() < 100  # the hot pixel is gone


def test_tracking_reads_a_movie_once_and_samples_of_it(monkeypatch, tmp_path) -> None:
    counts = simulate(np.zeros((60, 2)), size=144, seed=24)
    motion = correct_motion(Movie.from_array(counts, PIXEL))
    held = find_tracks(Movie.from_array(counts, PIXEL), motion)
    movie = Decoded(counts)
    monkeypatch.setattr(scratch, "IN_MEMORY", 1000)
    with scratch_in(tmp_path):
        tracks = find_tracks(movie, motion)
    # One pass, one frame for its level, a sample of 6 windows of at most 16 frames, a check of at most 160 frames.
    assert sum(movie.decoded.values()) <= len(counts) + 1 + 6 * 16 + len(counts)
    assert len(tracks) == len(held) == 1
    np.testing.assert_array_equal(tracks[0].x, held[0].x)
