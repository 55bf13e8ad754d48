"""What detectors and other programs make of counts: offsets, normalised frames, blank ones. Right, or one line."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from single_rs.background import clean_stack
from single_rs.base.errors import InputError
from single_rs.cli import main
from single_rs.io import write_stack
from single_rs.motion import correct_motion
from single_rs.records import ParticleStack
from single_rs.track.first_look import read_contrast
from tumbling_ball import PIXEL, balls, counts

SIZE, FRAMES, DOSE = 80, 96, 12.0


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    rng = np.random.default_rng(4)
    centre = SIZE // 2 + rng.normal(0, 1.0, (FRAMES, 2))
    return counts(balls((SIZE, SIZE), centre, 20.0, rng), DOSE, rng).astype(np.float32)


def _clean(images: np.ndarray):
    return clean_stack(ParticleStack(images, PIXEL, np.arange(len(images), dtype=np.int64)))


@pytest.fixture(scope="module")
def plain(frames):
    return _clean(frames)


def _each(x: np.ndarray, keep: float = 1.0) -> np.ndarray:
    """Every frame to mean 0 and standard deviation 1, as RELION does."""
    return keep * (x - x.mean(axis=(1, 2), keepdims=True)) / x.std(axis=(1, 2), keepdims=True)


SAME: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "an offset that brings all below zero": lambda x: x - 200,
    "an offset of a little more than the dose": lambda x: x - 1.3 * DOSE,
    "an offset of a little less than the dose": lambda x: x - 0.95 * DOSE,
    "negative and in large units": lambda x: 1e4 * (x - 3 * DOSE),
    "each frame normalised": _each,
    "each frame normalised, in 8 bits about 0": lambda x: np.rint(np.clip(30 * _each(x), -127, 127)).astype(np.int8),
    "contrast inverted": lambda x: x.max() - x,
    "negated": lambda x: -x,
    "counts over the dose": lambda x: x / DOSE,
    "a pedestal of 1000 counts": lambda x: x + 1000,
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME.keys())
def test_the_same_particle_is_found_whatever_the_zero_and_the_unit(frames, plain, change):
    other = _clean(change(frames))
    assert other.diameter == pytest.approx(plain.diameter, rel=0.02)
    np.testing.assert_array_equal(other.bad, plain.bad)
    # The images are the same up to one factor.
    a, b = plain.images.ravel(), other.images.ravel()
    assert abs(np.corrcoef(a, b)[0, 1]) > 0.99
    np.testing.assert_allclose(other.signal.argmax(), plain.signal.argmax(), atol=1)


@pytest.mark.parametrize(("value", "share"), [(0.0, 2), (DOSE, 3), (-5.0, 3)])
@pytest.mark.parametrize("change", [lambda x: x, _each, lambda x: x - 100], ids=["counts", "normalised", "negative"])
def test_blank_frames_are_bad_and_no_measure_of_the_others(frames, plain, value, share, change):
    images = change(frames).astype(np.float32)
    blank = np.zeros(FRAMES, bool)
    blank[1::share] = True
    images[blank] = value
    found = _clean(images)
    np.testing.assert_array_equal(found.bad, blank)
    assert found.diameter == pytest.approx(plain.diameter, rel=0.03)


def test_most_frames_may_be_blank(frames):
    images = frames.copy()
    images[30:] = 0
    found = _clean(images)
    assert (~found.bad).sum() == 30
    images[5:] = 0
    with pytest.raises(InputError, match="5 of 96 images"):
        _clean(images)


@pytest.mark.parametrize("value", [0.0, 7.0, -7.0, np.nan])
def test_a_stack_or_movie_of_one_value_is_told_as_such(value):
    images = np.full((20, 64, 64), value, np.float32)
    with pytest.raises(InputError, match="hold one value"):
        _clean(images)

    class Movie:
        shape, pixel_size = images.shape, PIXEL

        def read(self, start: int, stop: int) -> np.ndarray:
            return images[start:stop]

    with pytest.raises(InputError, match=r"one value|no finite value"):
        correct_motion(Movie())


def test_a_blank_stack_is_refused_before_any_work(tmp_path, capsys):
    write_stack(tmp_path / "s.mrcs", np.full((20, 64, 64), 3, np.int16), PIXEL)
    assert main(["solve", str(tmp_path / "s.mrcs"), "--element", "Pt", "--out", str(tmp_path / "o")]) == 2
    assert "is blank" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_tracking_sees_the_same_contrast_below_zero(frames):
    class Motion:
        def repair(self, frame: np.ndarray, index: int) -> np.ndarray:
            return np.asarray(frame, np.float32)

    def seen(images: np.ndarray) -> np.ndarray:
        class Movie:
            shape, pixel_size = images.shape, PIXEL

            def read(self, start: int, stop: int) -> np.ndarray:
                return images[start:stop]

        rows, columns = images.shape[1:]
        return read_contrast(Movie(), Motion(), np.arange(20), (slice(0, rows), slice(0, columns)))

    plain, other = seen(frames), seen(frames - 50)
    assert np.corrcoef(plain.ravel(), other.ravel())[0, 1] > 0.999
