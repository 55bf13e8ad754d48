"""Simulated stacks and movies: agreement with their truth, files, and sameness of bytes."""

import io
import os
import subprocess
import sys

import mrcfile
import numpy as np
import pytest

from single_rs.base.errors import InputError
from single_rs.simulate import (
    CrystalConfig,
    DetectorConfig,
    Microscope,
    MovementConfig,
    SimulateConfig,
    SurroundingsConfig,
    nanocrystal,
    simulate,
    simulate_movie,
    simulate_stack,
)

SMALL = {"box": 80, "frames": 12, "seed": 3}
EMPTY = SurroundingsConfig(graphene=0, liquid=0.0)


@pytest.fixture(scope="module")
def crystal():
    return nanocrystal("Pt", 13.0, seed=1)


def test_images_are_poisson_about_the_true_projection(crystal) -> None:
    s = simulate_stack(crystal, dose=20.0, detector=DetectorConfig(mtf=1.0), **SMALL)
    scope = Microscope(80, s.pixel_size)
    chi2 = []
    for i, counts in enumerate(s.images):
        atoms = crystal.positions @ s.rotations[i].T
        atoms[:, :2] += s.shifts[i]
        expected = 20.0 * scope.image(atoms, crystal.symbols)
        chi2.append(np.mean((counts - expected) ** 2 / expected))
        wrong = 20.0 * scope.image(-atoms, crystal.symbols)
        assert np.mean((counts - wrong) ** 2 / wrong) > chi2[-1] + 0.05
    # One chi² per pixel has variance about 2 over 6,400 px and 12 images.
    assert np.mean(chi2) == pytest.approx(1.0, abs=5 * np.sqrt(2 / (12 * 6400)))


def test_stack_is_a_function_of_the_seed_and_the_frame(crystal) -> None:
    long = simulate_stack(crystal, **SMALL)
    short = simulate_stack(crystal, **{**SMALL, "frames": 5})
    np.testing.assert_array_equal(long.images[:5], short.images)
    np.testing.assert_array_equal(long.shifts[:5], short.shifts)
    other = simulate_stack(crystal, **{**SMALL, "seed": 4})
    assert not np.array_equal(long.images, other.images)


def test_bytes_do_not_depend_on_threads() -> None:
    code = (
        "import hashlib; from single_rs.simulate import *;"
        "s = simulate_stack(nanocrystal(diameter=14, seed=1), 6, box=96, seed=1, dose=100.0);"
        "print(hashlib.sha256(s.images.tobytes()).hexdigest())"
    )
    prints = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OPENBLAS_NUM_THREADS": n, "OMP_NUM_THREADS": n},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for n in ("1", "2")
    }
    assert len(prints) == 1


def test_given_poses_are_used_and_checked(crystal) -> None:
    poses, shifts = np.tile(np.eye(3), (12, 1, 1)), np.full((12, 2), 0.5)
    s = simulate_stack(crystal, rotations=poses, shifts=shifts, **SMALL)
    np.testing.assert_array_equal(s.rotations, poses)
    np.testing.assert_array_equal(s.shifts, shifts)
    with pytest.raises(InputError, match=r"rotations has shape \(3, 3\)"):
        simulate_stack(crystal, rotations=np.eye(3), **SMALL)
    with pytest.raises(InputError, match=r"radius .* needs"):
        simulate_stack(crystal, **{**SMALL, "box": 32})
    with pytest.raises(InputError, match="frames is 0"):
        simulate_stack(crystal, 0)


def test_stack_files(crystal, tmp_path) -> None:
    seen = []
    s = simulate_stack(crystal, progress=lambda *a: seen.append(a), **SMALL)
    assert seen[-1] == ("simulate", 12, 12)
    path = s.write(tmp_path / "small")
    assert mrcfile.validate(path, print_file=io.StringIO())
    with mrcfile.open(path) as mrc:
        np.testing.assert_array_equal(mrc.data, s.images)
        assert mrc.data.dtype == np.int8
    truth = np.load(tmp_path / "small_truth.npz")
    assert {"R", "shift", "atoms", "px", "dose"} <= set(truth)
    np.testing.assert_array_equal(truth["R"], s.rotations)
    assert (tmp_path / "small_truth.xyz").exists()
    assert s.write(tmp_path) == tmp_path / "stack.mrcs"


def cross_shift(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the (x, y) px by which b is moved against a, to a tenth of a pixel, by cross-correlation."""
    n = 10
    spectrum = np.conj(np.fft.fft2(a - a.mean())) * np.fft.fft2(b - b.mean())
    fine = np.zeros((n * a.shape[0], n * a.shape[1]), dtype=complex)
    hy, hx = a.shape[0] // 2, a.shape[1] // 2
    for ys, yd in ((slice(0, hy), slice(0, hy)), (slice(-hy, None), slice(-hy, None))):
        for xs, xd in ((slice(0, hx), slice(0, hx)), (slice(-hx, None), slice(-hx, None))):
            fine[yd, xd] = spectrum[ys, xs]
    row, column = np.unravel_index(np.fft.ifft2(fine).real.argmax(), fine.shape)
    wrap = [(column + fine.shape[1] // 2) % fine.shape[1], (row + fine.shape[0] // 2) % fine.shape[0]]
    return (np.array(wrap) - [fine.shape[1] // 2, fine.shape[0] // 2]) / n


def test_particle_is_at_its_centre_plus_drift(crystal, tmp_path) -> None:
    still = MovementConfig(step=0.0, drift_speed=0.5, vibration=0.3, wander=1.0, wander_time=3)
    m = simulate_movie(
        tmp_path / "m.mrc",
        [crystal],
        12,
        shape=(96, 112),
        dose=300.0,
        centres=[(60, 45)],
        movement=still,
        surroundings=EMPTY,
        detector=DetectorConfig(hot_pixels=0, dead_pixels=0, bad_frames=0),
        seed=2,
    )
    raw = m.centres[:, 0] + m.drift
    with mrcfile.open(m.path) as mrc:
        frames = mrc.data.astype(np.float32)
    for i in (1, 5, 11):
        np.testing.assert_allclose(cross_shift(frames[0], frames[i]), raw[i] - raw[0], atol=0.11)
    # And absolutely: the same atoms drawn about the truth correlate best there.
    model = np.ones((96, 112), dtype=np.float32)
    drawn = Microscope(80, m.pixel_size).image(crystal.positions @ m.rotations[0, 0].T, crystal.symbols)
    model[5:85, 20:100] = drawn  # centre at (column, row) = (60, 45)
    np.testing.assert_allclose(cross_shift(model, frames[0]), raw[0] - [60, 45], atol=0.11)


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    crystals = [nanocrystal("Pt", 12.0, seed=1), nanocrystal("Au", 13.0, seed=1, item=1)]
    folder = tmp_path_factory.mktemp("movie")
    return simulate_movie(folder / "cell.mrc", crystals, 20, shape=(160, 176), seed=7)


def test_movie_file_and_truth(movie) -> None:
    assert mrcfile.validate(movie.path, print_file=io.StringIO())
    with mrcfile.mmap(movie.path) as mrc:
        assert mrc.data.shape == (20, 160, 176)
        assert int(mrc.header.mode) == 0
        assert mrc.voxel_size.x == pytest.approx(0.358)
        good = np.setdiff1d(np.arange(20), movie.bad)
        assert mrc.data[good].mean() == pytest.approx(8.0, rel=0.02)
        assert float(mrc.header.dmean) == pytest.approx(mrc.data.mean(), rel=1e-5)
        assert float(mrc.header.rms) == pytest.approx(mrc.data.std(), rel=1e-5)
    truth = np.load(movie.path.with_name("cell_truth.npz"))
    shapes = {k: truth[k].shape for k in truth}
    assert shapes["R"] == (2, 20, 3, 3)
    assert shapes["centres"] == (20, 2, 2)
    assert shapes["drift"] == (20, 2)
    assert shapes["bad"] == (2,)
    assert shapes["hot"] == (6, 2)
    assert shapes["dead"] == (4, 2)
    assert shapes["px"] == shapes["dose"] == ()
    assert shapes["atoms0"] == movie.crystals[0].positions.shape
    assert shapes["atoms1"] == movie.crystals[1].positions.shape
    assert movie.path.with_name("cell_truth_1.xyz").exists()


def test_graphene_is_seen_in_the_movie(movie) -> None:
    with mrcfile.mmap(movie.path) as mrc:
        good = np.setdiff1d(np.arange(20), movie.bad)
        mean = mrc.data[good].mean(axis=0) - 8
    y, x = np.mgrid[:160, :176]
    for spacing, offset in ((2.131, 30.0), (1.2305, 0.0)):
        angle = np.deg2rad(movie.graphene[0] + offset + np.array([0.0, 60.0, 120.0]))
        k = movie.pixel_size / spacing * np.stack([np.cos(angle), np.sin(angle)], axis=1)

        def power(scale: float, k: np.ndarray = k) -> float:
            waves = [np.exp(-2j * np.pi * scale * (kx * x + ky * y)) for kx, ky in k]
            return float(np.mean([np.abs((mean * w).mean()) ** 2 for w in waves]))

        background = np.mean([power(s) for s in (0.85, 0.88, 0.91, 0.94, 1.06, 1.09, 1.12, 1.15)])
        assert power(1.0) > 3 * background


def test_same_seed_same_bytes(movie, tmp_path) -> None:
    again = simulate_movie(tmp_path / "cell.mrc", movie.crystals, 20, shape=(160, 176), seed=7)
    assert again.path.read_bytes() == movie.path.read_bytes()
    other = simulate_movie(tmp_path / "other.mrc", movie.crystals, 20, shape=(160, 176), seed=8)
    assert other.path.read_bytes() != movie.path.read_bytes()


def test_particles_may_leave_the_field(crystal, tmp_path) -> None:
    m = simulate_movie(
        tmp_path / "edge.mrc", [crystal, crystal], 2, shape=(64, 64), centres=[(0, 60), (-200, 10)], surroundings=EMPTY
    )
    with mrcfile.mmap(m.path) as mrc:
        assert mrc.data.shape == (2, 64, 64)


def test_impossible_movies_are_refused_and_leave_no_file(crystal, tmp_path) -> None:
    with pytest.raises(InputError, match="the field is 40 × 40"):
        simulate_movie(tmp_path / "a.mrc", [crystal], 5, shape=(40, 40))
    with pytest.raises(InputError, match="do not fit"):
        simulate_movie(tmp_path / "a.mrc", [crystal] * 9, 5, shape=(128, 128))
    with pytest.raises(InputError, match="at least 2"):
        simulate_movie(tmp_path / "a.mrc", [crystal], 1)
    with pytest.raises(InputError, match="shape is"):
        simulate_movie(tmp_path / "a.mrc", [crystal], 3, shape=(8, 64))
    with pytest.raises(InputError, match="centres has shape"):
        simulate_movie(tmp_path / "a.mrc", [crystal], 3, centres=[(1, 2), (3, 4)])

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_movie(tmp_path / "a.mrc", [crystal], 3, shape=(96, 96), progress=stop)
    assert not list(tmp_path.iterdir())


def test_settings_make_both_kinds(tmp_path) -> None:
    small = CrystalConfig(diameter=12.0)
    config = SimulateConfig(frames=3, particles=1, width=128, height=96, crystal=small)
    movie = simulate(config, tmp_path / "film")
    assert movie.path == tmp_path / "film.mrc"
    stack_config = SimulateConfig(kind="stack", frames=3, box=80, crystal=small, detector=DetectorConfig(dose=3.0))
    stack = simulate(stack_config, tmp_path / "one.mrcs")
    assert (tmp_path / "one.mrcs").exists()
    assert stack.dose == 3.0
    from_file = SimulateConfig(kind="stack", frames=2, box=80, atoms=str(tmp_path / "one_truth.xyz"))
    assert len(simulate(from_file, tmp_path / "two").crystal) == len(stack.crystal)
    with pytest.raises(InputError, match="movie, stack"):
        SimulateConfig(kind="film")
