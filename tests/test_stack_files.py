"""The single frames of particles in files: half the size, and no count of them changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from single_rs import correct_motion, extract
from single_rs.io import Movie, read_stack
from single_rs.pipeline.cutting import cut, stack_type
from single_rs.pipeline.size import stack_box
from single_rs.records import Track

SHAPE, FRAMES, PIXEL = (112, 128), 40, 0.4
TRACK = Track(np.arange(FRAMES), np.full(FRAMES, 60.0), np.full(FRAMES, 55.0), np.full(FRAMES, 0.3), 14.0, 9.0)


def _movie(kind: type, dose: float) -> Movie:
    counts = np.random.default_rng(3).poisson(dose, (FRAMES, *SHAPE))
    counts[:, 55, 62] = min(12 * dose, 65535)  # a hot pixel within the cut
    return Movie.from_array(counts.astype(kind), PIXEL)


@pytest.mark.parametrize(
    ("kind", "dose", "kept"),
    [
        (np.uint16, 9.0, np.int8),
        (np.uint8, 9.0, np.int8),
        (np.uint16, 90.0, np.int16),
        (np.uint16, 33000.0, np.float32),  # of whole numbers in MRC, 16 bits with a sign are what all programs read
        (np.int16, 9.0, np.float32),  # may be below zero without bound
        (np.float32, 9.0, np.float32),
    ],
)
def test_counts_are_kept_exactly_in_the_smallest_type_that_holds_them(kind, dose, kept, tmp_path: Path) -> None:
    movie = _movie(kind, dose)
    motion = correct_motion(movie)
    assert stack_type(movie, motion) == kept
    cut(movie, motion, [TRACK], [tmp_path])
    written = read_stack(tmp_path / "stack.mrcs").images
    assert written.dtype == kept
    known = extract(movie, motion, TRACK, stack_box(TRACK, movie)).images
    whole = known == np.rint(known)
    assert whole.mean() > 0.99
    np.testing.assert_array_equal(written[whole], known[whole])
    np.testing.assert_allclose(np.asarray(written, np.float32), known, atol=0 if kept == np.float32 else 0.5)
