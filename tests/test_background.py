"""Cleaning of particle stacks: what must go goes, what must stay stays, and the noise is told right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import uniform_filter1d

from single_rs.background import BackgroundConfig, clean_stack, measure_pixel
from single_rs.background.graphene import find_sheet, padded_power, spot_weights
from single_rs.background.nuisance import kept_fraction, slow_basis, subtract
from single_rs.base.errors import InputError, NoParticleError
from single_rs.frames.spectrum import annulus, radius_map, rfft_shells, shell_mean
from single_rs.records import CleanStack, ParticleStack
from tumbling_ball import PIXEL, balls, counts, graphene

SIZE, RADIUS, DOSE = 96, 26.0, 8.0
TWISTS = (7.3, 23.9)


def stack(images: np.ndarray, **known: object) -> ParticleStack:
    return ParticleStack(images, PIXEL, np.arange(len(images), dtype=np.int64), **known)


def walk(n: int, sigma: float, time: float, rng: np.random.Generator) -> np.ndarray:
    """Ornstein-Uhlenbeck path (n, 2)."""
    keep = np.exp(-1 / time)
    path = np.empty((n, 2))
    path[0] = rng.normal(0, sigma, 2)
    for i in range(1, n):
        path[i] = keep * path[i - 1] + rng.normal(0, sigma * np.sqrt(1 - keep**2), 2)
    return path


@pytest.fixture(scope="module")
def world() -> dict[str, np.ndarray]:
    """Frames of a ball between two sheets; contrast of each part, and the counts."""
    rng = np.random.default_rng(1)
    path = walk(400, 1.2, 25, rng)
    centre = SIZE // 2 + path
    ball = balls((SIZE, SIZE), centre, RADIUS, rng)
    drift = np.cumsum(rng.normal(0, 0.3, (400, 2)), axis=0)
    sheets = sum(graphene((SIZE, SIZE), twist, drift) for twist in TWISTS)
    return {"path": path, "ball": ball, "sheets": sheets, "counts": counts(ball + sheets, DOSE, rng)}


@pytest.fixture(scope="module")
def clean(world: dict[str, np.ndarray]) -> CleanStack:
    return clean_stack(stack(world["counts"]))


def test_both_sheets_are_found_to_a_tenth_of_a_degree(clean: CleanStack) -> None:
    found = sorted(g.twist_deg for g in clean.graphene)
    assert len(found) == 2
    np.testing.assert_allclose(found, TWISTS, atol=0.1)
    for sheet in clean.graphene:
        assert sheet.a == pytest.approx(2.461, rel=0.002)
        assert np.abs(sheet.strain).max() < 0.003


def test_strain_of_a_sheet_is_measured() -> None:
    rng = np.random.default_rng(2)
    frames = graphene((SIZE, SIZE), 11.0, rng.normal(0, 2, (60, 2)), stretch=0.02)
    frames += rng.normal(0, 0.3, frames.shape).astype(np.float32)
    mask = annulus(radius_map(SIZE), -200.0, 10.0)
    sheet = find_sheet(padded_power(frames, mask), PIXEL)
    assert sheet is not None
    # Stretched by 2% along x only: 1% in area, and ±1% of shear strain besides.
    assert sheet.a == pytest.approx(2.461 * 1.01, rel=0.002)
    assert sheet.strain[0] == pytest.approx(0.01, abs=0.002)
    assert sheet.strain[1] == pytest.approx(-0.01, abs=0.002)
    assert sheet.strain[2] == pytest.approx(0.0, abs=0.002)


def test_graphene_measures_the_pixel(world: dict[str, np.ndarray], clean: CleanStack) -> None:
    ruler = measure_pixel(clean.graphene, PIXEL)
    assert ruler is not None
    assert ruler.sheets == 2
    assert abs(ruler.pixel_size - PIXEL) < 2 * ruler.error < 0.006 * PIXEL
    # The same counts, said to be finer than they are.
    wrong = clean_stack(replace(stack(world["counts"][:200]), pixel_size=0.98 * PIXEL))
    told = measure_pixel(wrong.graphene, wrong.pixel_size)
    assert told is not None
    assert told.pixel_size == pytest.approx(PIXEL, rel=0.003)
    assert told.excess(wrong.pixel_size) == pytest.approx(-0.02, abs=0.003)
    assert measure_pixel([], PIXEL) is None


def test_a_stretched_sheet_is_a_ruler_with_a_large_error() -> None:
    rng = np.random.default_rng(2)
    frames = graphene((SIZE, SIZE), 11.0, rng.normal(0, 2, (60, 2)), stretch=0.02)
    frames += rng.normal(0, 0.3, frames.shape).astype(np.float32)
    sheet = find_sheet(padded_power(frames, annulus(radius_map(SIZE), -200.0, 10.0)), PIXEL)
    ruler = measure_pixel([sheet], PIXEL)
    assert ruler is not None
    assert abs(ruler.excess(PIXEL)) < 2 * ruler.error / PIXEL
    assert ruler.error > 0.005 * PIXEL


def test_particle_without_graphene_shows_none() -> None:
    rng = np.random.default_rng(3)
    ball = balls((SIZE, SIZE), np.full((200, 2), SIZE // 2.0), RADIUS, rng)
    assert clean_stack(stack(counts(ball, DOSE, rng))).graphene == []


def test_graphene_goes_and_the_particle_stays(world: dict[str, np.ndarray], clean: CleanStack) -> None:
    inside = radius_map(SIZE) < 0.8 * RADIUS
    ball, sheets = world["ball"][:, inside], world["sheets"][:, inside]
    parts = np.stack([ball.ravel(), sheets.ravel()], axis=1)
    kept, left = np.linalg.lstsq(parts, clean.images[:, inside].ravel(), rcond=None)[0]
    assert kept == pytest.approx(1.0, abs=0.02)
    assert abs(left) < 0.03
    # Noise aside, what the cleaned frames have besides the particle is little.
    untouched = counts(world["ball"], DOSE, np.random.default_rng(4)) / DOSE - 1
    without = np.corrcoef(untouched[:, inside].ravel(), ball.ravel())[0, 1]
    assert np.corrcoef(clean.images[:, inside].ravel(), ball.ravel())[0, 1] > 0.98 * without


def test_reflections_of_graphene_get_no_weight(clean: CleanStack) -> None:
    assert set(np.unique(clean.weights)) == {0.0, 1.0}
    assert clean.weights.shape == (SIZE, SIZE // 2 + 1)
    for twist in TWISTS:
        k = 2 / (np.sqrt(3) * 2.461) * SIZE * PIXEL
        for turn in (0, 60, 120):
            kx, ky = k * np.cos(np.radians(twist + turn)), k * np.sin(np.radians(twist + turn))
            sign = 1 if kx >= 0 else -1
            assert clean.weights[round(sign * ky) % SIZE, round(sign * kx)] == 0.0
    assert (clean.weights == 0).mean() < 0.04
    assert spot_weights([], SIZE, PIXEL, 1.5).min() == 1.0


def test_noise_is_shot_noise(clean: CleanStack) -> None:
    assert len(clean.noise) == rfft_shells(SIZE).max() + 1
    # Five shells together, for one of them alone is known to 2% from 400 frames.
    np.testing.assert_allclose(uniform_filter1d(clean.noise, 5)[6:44], 1 / DOSE, rtol=0.03)
    assert clean.frame_noise.mean() == pytest.approx(1.0, abs=1e-3)
    assert clean.frame_noise.std() < 0.05


def test_power_of_white_noise_under_a_mask_is_its_variance() -> None:
    rng = np.random.default_rng(5)
    images = rng.normal(0, 2, (200, 64, 64)).astype(np.float32)
    mask = annulus(radius_map(64), 20, 4)
    power = (np.abs(np.fft.rfft2(images * mask)) ** 2).mean(axis=0) / (mask.astype(float) ** 2).sum()
    np.testing.assert_allclose(shell_mean(power, rfft_shells(64))[3:40], 4.0, rtol=0.03)


def test_noise_that_the_fit_takes_away_is_accounted_for() -> None:
    rng = np.random.default_rng(12)
    outside = annulus(radius_map(48), 14, 4)
    basis = slow_basis(48, 2, rng.normal(size=(48 * 48, 20)).astype(np.float32))
    images = rng.normal(0, 1, (1500, 48, 48)).astype(np.float32)
    subtract(images, basis, outside)
    power = (np.abs(np.fft.rfft2(images * outside)) ** 2).mean(axis=0) / (outside.astype(float) ** 2).sum()
    shells = rfft_shells(48)
    expected = shell_mean(kept_fraction(basis, outside), shells)
    np.testing.assert_allclose(shell_mean(power, shells)[:30], expected[:30], rtol=0.06, atol=0.005)
    assert expected[0] < 1e-6


def test_offsets_follow_a_wandering_particle(world: dict[str, np.ndarray], clean: CleanStack) -> None:
    error = clean.offsets / PIXEL - world["path"]
    assert np.sqrt((error**2).mean(axis=0)).max() < 0.5
    assert np.abs(error.mean(axis=0)).max() < 0.1


def test_offsets_of_frames_that_stand_alone() -> None:
    rng = np.random.default_rng(6)
    path = rng.normal(0, 1.5, (200, 2))
    images = counts(balls((SIZE, SIZE), SIZE // 2 + path, RADIUS, rng), DOSE, rng)
    error = clean_stack(stack(images)).offsets / PIXEL - path
    assert np.sqrt((error**2).mean(axis=0)).max() < 1.2


def test_weak_frames_do_not_spoil_tracked_offsets() -> None:
    rng = np.random.default_rng(7)
    path = walk(400, 1.2, 12, rng)
    images = counts(balls((SIZE, SIZE), SIZE // 2 + path, RADIUS, rng), 1.0, rng)
    tracked = (path + walk(400, 0.3, 30, rng)) * PIXEL
    error = clean_stack(stack(images, offsets=tracked)).offsets - path * PIXEL
    assert error.std() < 1.1 * (tracked - path * PIXEL).std()


def test_diameter(clean: CleanStack) -> None:
    assert clean.diameter == pytest.approx(2 * RADIUS * PIXEL, rel=0.05)


def test_diameter_that_is_known_is_kept(world: dict[str, np.ndarray]) -> None:
    assert clean_stack(stack(world["counts"][:60], diameter=19.0)).diameter == 19.0


@pytest.mark.parametrize("dose", [8.0, 1.0])
def test_noise_alone_is_no_particle(dose: float) -> None:
    rng = np.random.default_rng(8)
    with pytest.raises(NoParticleError, match="sigma over the surroundings"):
        clean_stack(stack(rng.poisson(dose, (200, SIZE, SIZE)).astype(np.uint8)))


def test_graphene_alone_is_no_particle(world: dict[str, np.ndarray]) -> None:
    with pytest.raises(NoParticleError):
        clean_stack(stack(counts(world["sheets"][:200], DOSE, np.random.default_rng(9))))


def test_hot_pixel_is_no_particle() -> None:
    images = np.random.default_rng(10).poisson(DOSE, (100, SIZE, SIZE)).astype(np.uint8)
    images[:, SIZE // 2, SIZE // 2 + 3] = 200
    with pytest.raises(NoParticleError, match="hot pixels"):
        clean_stack(stack(images))


def test_strange_frames_are_flagged_and_do_no_harm(world: dict[str, np.ndarray], clean: CleanStack) -> None:
    images = world["counts"].astype(np.float32)
    images[17] = 0.0
    images[60] *= 1.8
    images[99, 3, 3] = np.nan
    found = clean_stack(stack(images))
    assert np.flatnonzero(found.bad).tolist() == [17, 60, 99]
    assert np.isfinite(found.images).all()
    assert np.isfinite(found.offsets).all()
    np.testing.assert_allclose(found.noise, clean.noise, rtol=0.05)


def test_two_doses_of_as_many_frames_each_are_both_used(world: dict[str, np.ndarray]) -> None:
    images = world["counts"][:64].astype(np.float32)
    images[32:] *= 3
    assert not clean_stack(stack(images)).bad.any()


def test_slow_liquid_background_goes(world: dict[str, np.ndarray]) -> None:
    ramp = 0.05 * np.linspace(-1, 1, SIZE, dtype=np.float32)
    images = counts(world["ball"][:150] + ramp[:, None] - ramp[None, :] ** 2 * 20, DOSE, np.random.default_rng(11))
    found = clean_stack(stack(images)).images.mean(axis=0)
    quiet = radius_map(SIZE) > RADIUS + 10
    assert abs(found[quiet].mean()) < 1e-3
    assert abs((found * quiet)[: SIZE // 2].sum() / quiet[: SIZE // 2].sum()) < 3e-3


def test_contrast_may_be_given_instead_of_counts(world: dict[str, np.ndarray], clean: CleanStack) -> None:
    found = clean_stack(stack(world["counts"] / np.float32(DOSE) - 1))
    np.testing.assert_allclose(found.noise[5:], clean.noise[5:], rtol=0.02)
    assert found.diameter == pytest.approx(clean.diameter, rel=0.02)


def test_result_does_not_depend_on_the_type_of_the_counts(world: dict[str, np.ndarray]) -> None:
    few = world["counts"][:64]
    a, b = clean_stack(stack(few)), clean_stack(stack(few.astype(np.float64)))
    np.testing.assert_array_equal(a.images, b.images)
    assert a.images.dtype == np.float32


def test_progress_reaches_its_total(world: dict[str, np.ndarray]) -> None:
    seen: list[tuple[str, int, int]] = []
    clean_stack(stack(world["counts"][:100]), progress=lambda *a: seen.append(a))
    assert {s for s, _, _ in seen} == {"background"}
    assert [d for _, d, _ in seen] == sorted(d for _, d, _ in seen)
    assert seen[-1][1] == seen[-1][2]


def test_errors_name_what_was_given() -> None:
    with pytest.raises(InputError, match="3 images"):
        clean_stack(stack(np.ones((3, 64, 64), np.uint8)))
    with pytest.raises(InputError, match="spot_reach"):
        BackgroundConfig(spot_reach=-1.0)
