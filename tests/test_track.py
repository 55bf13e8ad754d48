"""Tracking: every particle and no other, the right path with the right error, clean cuts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from single_rs.base.errors import InputError
from single_rs.io import Movie
from single_rs.records import Track
from single_rs.track import TrackConfig, extract, find_tracks
from single_rs.track.detect import Blob, find_blobs, link
from tumbling_ball import PIXEL, balls, counts, graphene

SHAPE, FRAMES, DOSE = (192, 224), 160, 8.0
RADII = (24.0, 20.0)
MEANS = np.array([[62.0, 70.0], [160.0, 128.0]])
BAD = (40, 41, 97)
HOT = np.array([[100, 30], [62, 75]])


@dataclass(frozen=True)
class FakeMotion:
    """Known motion of a simulated movie."""

    shifts: np.ndarray
    bad_frames: np.ndarray
    pixels: np.ndarray

    def repair(self, frame: np.ndarray, index: int) -> np.ndarray:
        image = frame.astype(np.float32)
        image[self.pixels[:, 1], self.pixels[:, 0]] = np.median(image)
        return image


def still(n: int) -> FakeMotion:
    return FakeMotion(np.zeros((n, 2)), np.zeros(n, bool), np.empty((0, 2), int))


@dataclass(frozen=True)
class World:
    movie: Movie
    motion: FakeMotion
    centres: np.ndarray  # (frame, particle, 2) raw px
    frames: np.ndarray


@pytest.fixture(scope="module")
def world() -> World:
    rng = np.random.default_rng(0)
    drift = np.cumsum(rng.normal(0.02, 0.03, (FRAMES, 2)), axis=0)
    drift[90:] += [3.0, -2.0]  # a jump of the stage is no motion of the particle
    walks = 6.0 * np.sin(np.linspace(0, 4, FRAMES))[:, None, None] + np.cumsum(
        rng.normal(0, 0.3, (FRAMES, 2, 2)), axis=0
    )
    centres = MEANS + walks + drift[:, None]
    contrast = sum(balls(SHAPE, centres[:, p], RADII[p], rng) for p in (0, 1))
    contrast += graphene(SHAPE, 12.0, drift) + graphene(SHAPE, 31.0, drift)
    frames = counts(contrast, DOSE, rng)
    frames[:, HOT[:, 1], HOT[:, 0]] = 250
    frames[list(BAD)] = 0
    bad = np.isin(np.arange(FRAMES), BAD)
    return World(Movie.from_array(frames, PIXEL), FakeMotion(drift, bad, HOT), centres, frames)


@pytest.fixture(scope="module")
def tracks(world: World) -> list[Track]:
    return find_tracks(world.movie, world.motion)


def of_particle(tracks: list[Track], particle: int) -> Track:
    return min(tracks, key=lambda t: np.hypot(t.x.mean() - MEANS[particle, 0], t.y.mean() - MEANS[particle, 1]))


def test_all_particles_and_no_others(tracks: list[Track]) -> None:
    assert len(tracks) == 2
    assert all(t.score > 5 for t in tracks)


@pytest.mark.parametrize("particle", [0, 1])
def test_path_and_its_sigma(world: World, tracks: list[Track], particle: int) -> None:
    track = of_particle(tracks, particle)
    error = np.stack([track.x, track.y], axis=1) - world.centres[track.frames, particle]
    assert np.sqrt((error**2).sum(axis=1).mean()) < 1.0
    assert 0.5 < np.sqrt(np.mean((error / track.sigma[:, None]) ** 2)) < 2.0
    assert track.diameter == pytest.approx(2 * RADII[particle] * PIXEL, rel=0.1)
    assert track.frames.tolist() == [i for i in range(FRAMES) if i not in BAD]


def test_cuts_hold_the_particle_at_the_stated_offset(world: World, tracks: list[Track]) -> None:
    track = of_particle(tracks, 0)
    stack = extract(world.movie, world.motion, track, 80)
    assert stack.images.shape == (FRAMES - len(BAD), 80, 80)
    assert stack.images.dtype == np.float32
    np.testing.assert_array_equal(stack.frames, track.frames)
    assert np.abs(stack.offsets).max() <= 0.5 * PIXEL + 1e-9
    corner = np.stack([track.x, track.y], axis=1) - stack.offsets / PIXEL - 40
    np.testing.assert_allclose(corner, np.rint(corner), atol=1e-9)
    x, y = np.rint(corner[5]).astype(int)
    repaired = world.motion.repair(world.frames[track.frames[5]], int(track.frames[5]))
    np.testing.assert_array_equal(stack.images[5], repaired[y : y + 80, x : x + 80])
    assert stack.images.max() < 100  # the hot pixel is gone
    assert stack.diameter == track.diameter


def test_box_that_leaves_the_field_is_refused(world: World, tracks: list[Track]) -> None:
    with pytest.raises(InputError, match="leaves the field"):
        extract(world.movie, world.motion, of_particle(tracks, 0), 180)
    with pytest.raises(InputError, match="even"):
        extract(world.movie, world.motion, tracks[0], 81)


@pytest.mark.parametrize("dose", [8.0, 1.0])
def test_noise_has_no_particle(dose: float) -> None:
    frames = np.random.default_rng(1).poisson(dose, (60, 128, 128)).astype(np.uint8)
    assert find_tracks(Movie.from_array(frames, PIXEL), still(60)) == []


def test_graphene_has_no_particle() -> None:
    rng = np.random.default_rng(2)
    drift = np.cumsum(rng.normal(0, 0.2, (60, 2)), axis=0)
    contrast = graphene((128, 128), 5.0, drift) + graphene((128, 128), 8.0, drift)
    movie = Movie.from_array(counts(contrast, DOSE, rng), PIXEL)
    assert find_tracks(movie, FakeMotion(drift, np.zeros(60, bool), np.empty((0, 2), int))) == []


def test_particle_at_the_edge_is_refused_and_one_that_comes_late_is_kept() -> None:
    rng = np.random.default_rng(3)
    inside, edge = np.full((140, 2), (60.0, 64.0)), np.full((140, 2), (150.0, 12.0))
    first = balls((128, 176), inside, 20.0, rng)
    first[:60] = 0
    movie = Movie.from_array(counts(first + balls((128, 176), edge, 20.0, rng), DOSE, rng), PIXEL)
    tracks = find_tracks(movie, still(140))
    assert len(tracks) == 1
    assert np.hypot(tracks[0].x - 60, tracks[0].y - 64).max() < 3
    assert abs(int(tracks[0].frames[0]) - 60) <= 20
    assert tracks[0].frames[-1] == 139


def test_touching_particles_are_refused() -> None:
    rng = np.random.default_rng(4)
    left, right = np.full((80, 2), (52.0, 64.0)), np.full((80, 2), (96.0, 64.0))
    contrast = balls((128, 160), left, 20.0, rng) + balls((128, 160), right, 20.0, rng)
    assert find_tracks(Movie.from_array(counts(contrast, DOSE, rng), PIXEL), still(80)) == []


def test_blob_is_found_where_and_as_large_as_it_is() -> None:
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:80, :90]
    mean = 0.3 + 0.1 * (np.hypot(x - 30, y - 50) < 11) + rng.normal(0, 0.02, (80, 90))
    (blob,) = find_blobs(mean, 0.02, (4.0, 25.0), 8.0)
    assert (blob.x, blob.y) == (pytest.approx(30, abs=1.5), pytest.approx(50, abs=1.5))
    assert blob.radius == pytest.approx(11, rel=0.15)
    assert blob.contrast == pytest.approx(0.1, rel=0.15)
    assert find_blobs(0.3 + rng.normal(0, 0.02, (80, 90)), 0.02, (4.0, 25.0), 8.0) == []


def test_links_cross_gaps_and_never_swap() -> None:
    a = [Blob(10.0 + i, 20.0, 5.0, 0.1, 20.0) for i in range(8)]
    b = [Blob(40.0 - i, 24.0, 5.0, 0.1, 20.0) for i in range(8)]
    windows = [[a[i], b[i]] if i % 2 else [b[i], a[i]] for i in range(8)]
    windows[4] = [b[4]]
    chains = link(windows, max_gap=2)
    assert sorted(len(c.blobs) for c in chains) == [7, 8]
    for chain in chains:
        assert len({blob.y for blob in chain.blobs}) == 1
    assert len(link([[a[0]], [], [], [], [a[1]]], max_gap=2)) == 2


def test_a_false_blob_far_away_does_not_break_a_link() -> None:
    steady = [Blob(20.0, 20.0, 8.0, 0.1, 20.0) for _ in range(4)]
    false = [Blob(90.0, 90.0, 8.0, 0.1, 9.0), Blob(20.0, 150.0, 8.0, 0.1, 9.0)]
    chains = link([[steady[0], false[0]], [steady[1], false[1]], [false[0], steady[2]], [steady[3]]], max_gap=3)
    assert max(len(c.blobs) for c in chains if c.blobs[0].x == 20 and c.blobs[0].y == 20) == 4


def test_settings_and_motion_are_checked(world: World) -> None:
    with pytest.raises(InputError, match="max_diameter"):
        TrackConfig(min_diameter=50.0, max_diameter=20.0)
    with pytest.raises(InputError, match="motion of 10 frames"):
        find_tracks(world.movie, still(10))
