"""Motion correction on movies of known drift: graphene waves, particles that tumble and walk, Poisson counts."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from single_rs import _core
from single_rs.base.errors import DataFileError, InputError
from single_rs.io import Movie
from single_rs.io.motion import read_motion, write_motion
from single_rs.motion import MotionConfig, correct_motion, window_average
from single_rs.motion.local import local_shifts
from single_rs.motion.pixels import bad_frames
from single_rs.records import Motion

PIXEL = 0.358
"""Pixel size of the simulated movies, Å."""


def random(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=list(key)))


def smooth_path(n: int, speed: float, seed: int) -> np.ndarray:
    """Integrated velocity of the given rms speed (px/frame) that forgets itself in 100 frames."""
    noise, keep = random(seed, 1).standard_normal((n, 2)), np.exp(-1 / 100)
    v = np.zeros((n, 2))
    v[0] = noise[0] * speed
    for t in range(1, n):
        v[t] = keep * v[t - 1] + noise[t] * speed * np.sqrt(1 - keep**2)
    s = np.cumsum(v, axis=0)
    return s - s.mean(axis=0)


def simulate(
    drift: np.ndarray, size: int = 160, dose: float = 8.0, particles: int = 1, seed: int = 0, bend: float = 0.0
) -> np.ndarray:
    """Counts (n, size, size): two graphene sheets at `drift`, particles that walk; `bend` stretches x in time."""
    r = random(seed, 2)
    n = len(drift)
    waves = [
        (PIXEL / d * np.exp(1j * np.deg2rad(twist + 60 * i + turn)), 0.014 * r.uniform(0.6, 1.2), r.uniform(0, 6.28))
        for twist in r.uniform(0, 60, 2)
        for d, turn in ((2.13, 0), (1.23, 30))
        for i in range(3)
    ]
    axis = np.arange(size, dtype=np.float64)
    centre = r.uniform(0.3 * size, 0.7 * size, (particles, 2))
    out = np.empty((n, size, size), np.uint8)
    for t, (dx, dy) in enumerate(drift):
        stretch = bend * (t / n - 0.5) * (axis / size - 0.5)
        image = np.ones((size, size))
        for g, amplitude, phase in waves:
            along_x = np.exp(2j * np.pi * g.real * (axis - dx - stretch))
            image += amplitude * np.outer(np.exp(2j * np.pi * g.imag * (axis - dy) + 1j * phase), along_x).real
        centre += 0.1 * r.standard_normal((particles, 2)) + 0.01
        for cx, cy in centre:
            x, y = axis[None] - cx - dx, axis[:, None] - cy - dy
            inside = np.exp(-(x**2 + y**2) / (2 * (0.08 * size) ** 2))
            for d in (2.27, 1.96):
                a = r.uniform(0, np.pi)
                image += 0.25 * inside * (0.4 + np.cos(2 * np.pi * PIXEL / d * (x * np.cos(a) + y * np.sin(a))))
        out[t] = np.minimum(r.poisson(dose * np.maximum(image, 0.02)), 255)
    return out


def rms(found: np.ndarray, true: np.ndarray) -> float:
    error = found - true
    return float(np.sqrt(((error - error.mean(axis=0)) ** 2).mean()))


@pytest.fixture(scope="module")
def faulty() -> tuple[np.ndarray, np.ndarray, dict[str, Any], Motion]:
    """A movie with bad pixels, an X-ray and a frame of each kind of fault, its drift, the faults, what was found."""
    drift = smooth_path(192, 0.04, 14)
    counts = simulate(drift, seed=3)
    blank, double, smeared = 40, 100, 150
    r = random(4, 4)
    counts[blank] = r.poisson(0.15, counts[blank].shape)
    counts[double] = r.poisson(16.0, counts[double].shape)
    # Two halves of an exposure three pixels apart: the reflections of the graphene cancel.
    counts[smeared] = r.poisson(8.0, counts[smeared].shape)
    hot, dead = [(30, 120), (77, 5), (0, 0)], [(120, 33), (159, 80)]
    for x, y in hot:
        counts[:, y, x] = 110
    for x, y in dead:
        counts[:, y, x] = 0
    counts[60, 81, 50] = 250
    faults = {"bad": [blank, double, smeared], "hot": hot, "dead": dead, "xray": (60, 81, 50)}
    return counts, drift, faults, correct_motion(Movie.from_array(counts, PIXEL))


def test_drift_at_high_dose_is_found_to_a_twentieth_of_a_pixel() -> None:
    drift = smooth_path(160, 0.04, 1)
    motion = correct_motion(Movie.from_array(simulate(drift, dose=25.0, particles=0, seed=1), PIXEL))
    assert rms(motion.shifts, drift) < 0.02
    assert np.abs(motion.shifts - drift - (motion.shifts - drift).mean(axis=0)).max() < 0.06
    assert not motion.bad_frames.any()
    assert len(motion.hot_pixels) == len(motion.dead_pixels) == 0


def test_particles_that_walk_at_low_dose_do_not_take_the_drift_along() -> None:
    drift = smooth_path(192, 0.04, 2)
    motion = correct_motion(Movie.from_array(simulate(drift, dose=2.0, particles=2, seed=2), PIXEL))
    assert np.ptp(drift, axis=0).max() > 4
    assert rms(motion.shifts, drift) < 0.15
    assert not motion.bad_frames.any()
    # The stated error is the true one within a factor of two.
    assert 0.5 < rms(motion.shifts, drift) / np.sqrt((motion.sigma**2).mean()) < 2.0


def test_no_register_slips_when_the_stage_runs() -> None:
    # 0.15 px a frame: one graphene period in 40 frames, four periods in all.
    n = 160
    drift = np.stack([0.15 * np.arange(n), 4 * np.sin(np.arange(n) / 40)], axis=1)
    motion = correct_motion(Movie.from_array(simulate(drift, seed=5), PIXEL))
    assert rms(motion.shifts, drift) < 0.1


def test_white_vibration_is_followed() -> None:
    drift = smooth_path(192, 0.03, 6) + 0.3 * random(6, 6).standard_normal((192, 2))
    motion = correct_motion(Movie.from_array(simulate(drift, dose=25.0, particles=0, seed=6), PIXEL))
    assert rms(motion.shifts, drift) < 0.08


def test_movie_of_noise_has_no_drift() -> None:
    counts = random(7, 7).poisson(8.0, (128, 128, 128)).astype(np.uint8)
    motion = correct_motion(Movie.from_array(counts, PIXEL))
    assert (motion.shifts == 0).all()
    assert np.isinf(motion.sigma).all()
    assert not motion.bad_frames.any()
    assert len(motion.hot_pixels) == len(motion.dead_pixels) == 0


def test_faults_are_found_and_nothing_else(faulty: Any) -> None:
    _, drift, faults, motion = faulty
    assert np.flatnonzero(motion.bad_frames).tolist() == faults["bad"]
    assert motion.reasons[faults["bad"]].tolist() == ["blank", "double exposure", "smeared"]
    assert sorted(map(tuple, motion.hot_pixels.tolist())) == sorted(faults["hot"])
    assert sorted(map(tuple, motion.dead_pixels.tolist())) == sorted(faults["dead"])
    assert rms(motion.shifts, drift) < 0.08


def test_repair_replaces_bad_pixels_by_their_neighbours_mean_and_nothing_else(faulty: Any) -> None:
    counts, _, faults, motion = faulty
    t, y, x = faults["xray"]
    repaired = motion.repair(counts[t], t)
    changed = {(int(x), int(y)) for y, x in np.argwhere(repaired != counts[t])}
    assert changed <= {*faults["hot"], *faults["dead"], (x, y)}
    assert {*faults["hot"], (x, y)} <= changed
    around = counts[t, y - 1 : y + 2, x - 1 : x + 2].astype(float)
    assert repaired[y, x] == pytest.approx((around.sum() - around[1, 1]) / 8)
    assert repaired[0, 0] == pytest.approx(counts[t, [0, 1, 1], [1, 0, 1]].mean())
    assert motion.mean is not None
    assert motion.mean[5, 77] == pytest.approx(8.0, abs=1.0)


def test_window_average_puts_the_specimen_where_the_convention_says(faulty: Any) -> None:
    counts, drift, _, motion = faulty
    movie = Movie.from_array(counts, PIXEL)
    # The aligned averages of two distant windows show the same graphene, the raw ones do not.
    band = np.s_[20:140, 20:140]

    def correlate(a: np.ndarray, b: np.ndarray) -> float:
        k = np.hypot(np.fft.fftfreq(120)[:, None], np.fft.rfftfreq(120)[None])
        keep = np.abs(k - PIXEL / 2.13) < 0.012
        a, b = (
            np.fft.irfft2(np.fft.rfft2(i[band] * np.hanning(120) * np.hanning(120)[:, None]) * keep) for i in (a, b)
        )
        return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))

    first, last = 20, 170
    assert np.abs(drift[last] - drift[first]).max() > 1
    aligned = correlate(window_average(movie, motion, first, 15), window_average(movie, motion, last, 15))
    raw = correlate(counts[5:36].mean(0), counts[155:186].mean(0))
    assert aligned > 0.6
    assert aligned > raw + 0.3


def test_bending_is_seen_as_local_shift_only_when_it_is_there() -> None:
    drift = smooth_path(160, 0.02, 8)
    flat = correct_motion(Movie.from_array(simulate(drift, dose=20.0, seed=8), PIXEL))
    bent = correct_motion(Movie.from_array(simulate(drift, dose=20.0, seed=8, bend=3.0), PIXEL))
    left, right = (np.array([bent.at(t, x, 80.0)[0] for t in range(160)]) for x in (40.0, 120.0))
    # Between x = 40 and 120 of 160 px the stretch grows from -0.75 to +0.75 px.
    slope = np.polyfit(np.arange(160) / 160, right - left, 1)[0]
    assert slope == pytest.approx(1.5, abs=0.35)
    assert np.abs(flat.local).max(initial=0.0) < 0.15


def test_local_shifts_of_pure_noise_are_zero() -> None:
    information = np.tile([100.0, 10.0, 80.0], (9, 1))
    root = np.linalg.cholesky([[100.0, 10.0], [10.0, 80.0]])
    gradient = random(9, 9).standard_normal((400, 9, 2)) @ root.T
    centres = np.array([(x, y) for y in (40, 80, 120) for x in (40, 80, 120)], float)
    assert (local_shifts(gradient, information, centres, np.ones(400, bool)) == 0).all()


def test_frames_of_shot_noise_are_never_bad() -> None:
    r = random(10, 10)
    statistics = np.stack([r.normal(8, 0.02, 5000), r.normal(8, 0.08, 5000), *r.normal(0, 0.007, (2, 5000))], axis=1)
    assert (bad_frames(statistics, 8.0) == "").all()


def test_file_gives_the_same_motion_back(faulty: Any, tmp_path: Any) -> None:
    motion = faulty[3]
    write_motion(tmp_path / "motion.csv", motion)
    again = read_motion(tmp_path / "motion.csv")
    assert again.mean is None
    for name in ("shifts", "sigma", "quality", "bad_frames", "reasons", "hot_pixels", "dead_pixels", "local", "mask"):
        np.testing.assert_array_equal(getattr(again, name), getattr(motion, name))
    assert (again.shape, again.ceiling) == (motion.shape, motion.ceiling)
    text = (tmp_path / "motion.csv").read_text()
    (tmp_path / "cut.csv").write_text(text[: len(text) // 2])
    with pytest.raises(DataFileError, match="motion table"):
        read_motion(tmp_path / "cut.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataFileError, match="first line"):
        read_motion(tmp_path / "other.csv")


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="16 x 16"):
        correct_motion(Movie.from_array(np.ones((4, 8, 8), np.float32), PIXEL))
    with pytest.raises(InputError, match=r"MotionConfig\.patches"):
        MotionConfig(patches=0)
    with pytest.raises(ValueError, match="tiles of 16 px must lie inside"):
        _core.motion_tile_spectra(
            np.zeros((1, 20, 20), np.float32), np.full((1, 1, 2), 10), 16, np.zeros((1, 1), np.uint32)
        )


class Watched:
    """A movie that remembers the largest block it was asked for."""

    def __init__(self, counts: np.ndarray) -> None:
        self.counts, self.largest = counts, 0
        self.shape, self.pixel_size = counts.shape, PIXEL

    def read(self, start: int, stop: int) -> np.ndarray:
        self.largest = max(self.largest, stop - start)
        return self.counts[start:stop]


def test_movie_is_read_in_blocks() -> None:
    movie = Watched(simulate(smooth_path(200, 0.02, 11), size=64, particles=0, seed=11))
    correct_motion(movie)
    assert movie.largest <= 64


@pytest.mark.parametrize("n", [2, 5])
def test_shortest_movies_are_taken(n: int) -> None:
    motion = correct_motion(Movie.from_array(simulate(np.zeros((n, 2)), size=64, particles=0), PIXEL))
    assert motion.shifts.shape == (n, 2)
    assert np.isfinite(motion.shifts).all()


THREADED = """
import hashlib, sys
import numpy as np
from single_rs.io import Movie
from single_rs.motion import correct_motion
m = correct_motion(Movie.from_array(np.load(sys.argv[1]), 0.358))
parts = (m.shifts, m.sigma, m.quality, m.local, m.mean, m.hot_pixels)
print(hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in parts)).hexdigest())
"""


def test_same_bytes_for_any_number_of_threads(tmp_path: Any) -> None:
    np.save(tmp_path / "movie.npy", simulate(smooth_path(64, 0.04, 12), size=96, seed=12))
    found = {
        subprocess.run(
            [sys.executable, "-c", THREADED, str(tmp_path / "movie.npy")],
            env={**os.environ, "RAYON_NUM_THREADS": threads},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for threads in ("1", "3")
    }
    assert len(found) == 1


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 3), st.integers(0, 2**31))
def test_score_has_its_gradient(dx: float, dy: float, seed: int) -> None:
    r = random(seed, 13)
    k = r.uniform(-0.4, 0.4, (1, 40, 2)).astype(np.float32)
    x = (r.standard_normal((1, 1, 40)) + 1j * r.standard_normal((1, 1, 40))).astype(np.complex64)
    f = (r.standard_normal((1, 40)) + 1j * r.standard_normal((1, 40))).astype(np.complex64)

    def score(*s: float) -> np.ndarray:
        return _core.motion_shift_score(x, np.array([s]), k, f)[0, 0]

    # Step 1e-2: single precision phases leave 1e-5 in the score and so 1e-3 in the difference quotient.
    h = 1e-2
    slope = [score(dx + h, dy)[0] - score(dx - h, dy)[0], score(dx, dy + h)[0] - score(dx, dy - h)[0]]
    np.testing.assert_allclose(np.array(slope) / (2 * h), score(dx, dy)[1:], atol=0.05)
