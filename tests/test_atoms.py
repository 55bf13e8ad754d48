"""Tracing of atoms: known particles in maps with truncation rings, noise and a missing wedge."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import fft, ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from single_rs.atoms import TraceConfig, trace_atoms
from single_rs.atoms.gaussian import fit_atoms, start_fit
from single_rs.atoms.peaks import find_peaks, keep_highest, typical_peak
from single_rs.atoms.profile import FourierMap, structure_factor
from single_rs.atoms.support import nearest_neighbour_distance
from single_rs.base.errors import InputError, NoParticleError
from single_rs.crystal.prototypes import prototype
from single_rs.records import Atoms

PIXEL = 0.358
BOND = 2.772  # Å, 3.92 Å / sqrt(2)


def fcc_ball(radius: float, seed: int, ragged: float = 0.35, jitter: float = 0.06, a: float = 3.92) -> np.ndarray:
    """(n, 3) Å: an fcc ball, centre and orientation arbitrary, with part of its surface layer taken off."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    reach = int(radius / a) + 2
    corner = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    x = (corner[:, None] + basis).reshape(-1, 3) * a - rng.uniform(0, a, 3)
    x = x[np.linalg.norm(x, axis=1) < radius]
    drop = (np.linalg.norm(x, axis=1) > radius - 2.0) & (rng.random(len(x)) < ragged)
    x = x[~drop]
    while True:  # atoms with fewer than three neighbours would not stay
        count = cKDTree(x).query_ball_point(x, 1.2 * BOND, return_length=True) - 1
        if (count >= 3).all():
            break
        x = x[count >= 3]
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    x = x @ (q * np.sign(np.diag(r))).T + rng.normal(scale=jitter, size=x.shape)
    return x - x.mean(0) + rng.uniform(-0.5, 0.5, 3)


def band(n: int, resolution: float, wedge: float = 0.0) -> np.ndarray:
    """Transfer on the rfft grid: sharp cut-off, weak low frequencies, an empty cone of half-angle `wedge`° about z."""
    full, half = np.fft.fftfreq(n, PIXEL), np.fft.rfftfreq(n, PIXEL)
    k = np.sqrt(full[:, None, None] ** 2 + full[None, :, None] ** 2 + half**2)
    out = (k < 1.0 / resolution) * (1.0 - np.exp(-((k / 0.15) ** 2)))
    if wedge:
        out *= np.abs(full[:, None, None]) <= np.cos(np.deg2rad(wedge)) * k + 1e-9
    return out


def render(
    x: np.ndarray,
    occupancy: np.ndarray,
    n: int = 96,
    resolution: float = 0.75,
    b: float = 4.0,
    wedge: float = 0.0,
    normalise: bool = True,
) -> np.ndarray:
    """Map of band-limited Gaussian atoms with temperature factor b (Å²), of typical height 1 if `normalise`."""
    s = structure_factor(x[:, ::-1] / PIXEL + n // 2, occupancy, n)
    full, half = np.fft.fftfreq(n, PIXEL), np.fft.rfftfreq(n, PIXEL)
    k2 = full[:, None, None] ** 2 + full[None, :, None] ** 2 + half**2
    volume = fft.irfftn(s * np.exp(-b * k2 / 4) * band(n, resolution, wedge), s=(n, n, n))
    if not normalise:
        return volume
    return volume / np.median(ndimage.map_coordinates(volume, (x[:, ::-1] / PIXEL + n // 2).T, order=3))


def noise(n: int, sigma: float, seed: int, resolution: float = 0.75, wedge: float = 0.0) -> np.ndarray:
    rng = np.random.Generator(np.random.Philox(key=seed))
    field = fft.irfftn(fft.rfftn(rng.normal(size=(n, n, n))) * band(n, resolution, wedge), s=(n, n, n))
    return sigma * field / field.std()


def compare(found: np.ndarray, truth: np.ndarray, cutoff: float = 0.8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matched pairs (found, true) and their errors (m, 3) Å; no alignment: the frame is the map's."""
    d = np.linalg.norm(found[:, None] - truth[None], axis=2)
    i, j = linear_sum_assignment(np.minimum(d, 3 * cutoff))
    ok = d[i, j] < cutoff
    return i[ok], j[ok], found[i[ok]] - truth[j[ok]]


def traced(
    x: np.ndarray, sigma: float, seed: int, halves: bool = True, occupancy: np.ndarray | None = None, **kw: float
) -> tuple[Atoms, np.ndarray]:
    clean = render(x, np.ones(len(x)) if occupancy is None else occupancy, **kw)
    n = clean.shape[0]
    keep = {k: v for k, v in kw.items() if k in ("resolution", "wedge")}
    first, second = (clean + noise(n, sigma * 2**0.5, seed + s, **keep) for s in (1, 2))
    mean = 0.5 * (first + second)
    atoms = trace_atoms(
        mean.astype(np.float32), PIXEL, "Pt", half1=first if halves else None, half2=second if halves else None
    )
    return atoms, mean


@pytest.fixture(scope="module")
def ball() -> np.ndarray:
    return fcc_ball(8.2, seed=3)


def test_a_clean_map_gives_back_its_atoms_to_a_tenth_of_a_picometre(ball: np.ndarray) -> None:
    atoms = trace_atoms(render(ball, np.ones(len(ball)), n=64), PIXEL, "Pt")
    i, _, error = compare(atoms.positions, ball)
    assert len(i) == len(ball) == len(atoms)
    # Rings of the sharp cut-off move a plain Gaussian fit by 1 pm; the measured profile takes them along.
    assert np.sqrt((error**2).sum(1).mean()) < 0.002


@pytest.mark.parametrize(
    ("sigma", "kw", "limit"),
    [(0.05, {}, 0.030), (0.1, {}, 0.060), (0.05, {"wedge": 30.0}, 0.035), (0.05, {"resolution": 1.0}, 0.040)],
)
def test_noise_and_missing_wedge(ball: np.ndarray, sigma: float, kw: dict[str, float], limit: float) -> None:
    atoms, _ = traced(ball, sigma, seed=5, n=64, **kw)
    i, _, error = compare(atoms.positions, ball)
    assert len(i) >= 0.99 * len(ball)
    assert len(i) >= 0.99 * len(atoms)
    assert np.sqrt((error**2).sum(1).mean()) < limit
    spread = np.sqrt(((error - error.mean(0)) ** 2 / atoms.sigma[i][:, None] ** 2).mean())
    assert 0.75 < spread < 1.25  # the stated errors are the true ones


def test_errors_without_half_maps_are_as_honest(ball: np.ndarray) -> None:
    atoms, _ = traced(ball, 0.06, seed=8, n=64, halves=False)
    i, _, error = compare(atoms.positions, ball)
    spread = np.sqrt(((error - error.mean(0)) ** 2 / atoms.sigma[i][:, None] ** 2).mean())
    assert 0.75 < spread < 1.25


def test_loose_surface_atoms_and_vacancies_without_atoms_from_rings() -> None:
    x = fcc_ball(8.5, seed=7, ragged=0.2, jitter=0.03)
    r = np.linalg.norm(x - x.mean(0), axis=1)
    vacancy = np.argsort(r)[[3, 20]]
    x, r = np.delete(x, vacancy, 0), np.delete(r, vacancy)
    rng = np.random.Generator(np.random.Philox(key=1))
    occupancy = np.where(r > 6.5, rng.uniform(0.55, 1.0, len(x)), 1.0)
    # B = 1 Å² leaves the cut-off at 0.75 Å sharp: rings of 9 % of the height.
    atoms, _ = traced(x, 0.03, seed=4, n=64, occupancy=occupancy, b=1.0)
    i, j, _ = compare(atoms.positions, x)
    assert len(i) == len(x) == len(atoms)
    assert np.corrcoef(atoms.height[i], occupancy[j])[0, 1] > 0.95


def test_width_tells_atoms_that_move(ball: np.ndarray) -> None:
    loose = ball[:, 0] > 0
    volume = render(ball[~loose], np.ones((~loose).sum()), n=64, b=4.0, normalise=False)
    volume += render(ball[loose], np.ones(loose.sum()), n=64, b=7.0, normalise=False)
    atoms = trace_atoms(volume, PIXEL, "Pt")
    i, j, _ = compare(atoms.positions, ball)
    b = atoms.bfactor[i]
    # The cut-off at 0.75 Å widens both, so that 3 Å² appear as less.
    assert 1.0 < np.median(b[loose[j]]) - np.median(b[~loose[j]]) < 4.0


@cache
def no_particle_maps() -> dict[str, np.ndarray]:
    n = 64
    axis = (np.arange(n) - n // 2) * PIXEL
    r = np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis**2)
    ball = fcc_ball(7.0, seed=2)
    return {
        "noise": noise(n, 1.0, 0),
        "noise in a mask": noise(n, 1.0, 1) * (r < 8),
        "noise at 1 Å": noise(n, 1.0, 2, resolution=1.0),
        "noise on a blob": (noise(n, 1.0, 3) + 1.0) * np.exp(-(r**2) / 60),
        "a ball without atoms": ndimage.gaussian_filter((r < 8).astype(float), 1) + noise(n, 0.05, 4),
        "dark atoms": -render(ball, np.ones(len(ball)), n=n),
        "nothing": np.zeros((n, n, n)),
    }


@pytest.mark.parametrize(
    "name",
    [
        "noise",
        "noise in a mask",
        "noise at 1 Å",
        "noise on a blob",
        "a ball without atoms",
        "dark atoms",
        "nothing",
    ],
)
def test_no_particle(name: str) -> None:
    with pytest.raises(NoParticleError, match="no particle in the map: "):
        trace_atoms(no_particle_maps()[name], PIXEL, "Pt")


def test_the_result_is_the_same_twice_and_in_order(ball: np.ndarray) -> None:
    calls: list[tuple[str, int, int]] = []
    volume = render(ball, np.ones(len(ball)), n=64)
    first = trace_atoms(volume, PIXEL, "Pt", progress=lambda *a: calls.append(a))
    second = trace_atoms(volume, PIXEL, "Pt")
    assert np.array_equal(first.positions, second.positions)
    assert (np.diff(first.positions[:, 2]) >= 0).all()
    assert set(first.symbols) == {"Pt"}
    assert ((first.probability >= 0.5) & (first.probability <= 1)).all()
    assert calls[0][:2] == ("atoms", 0)
    assert calls[-1][1] == calls[-1][2]


def test_positions_are_x_y_z_from_the_centre_voxel() -> None:
    x = fcc_ball(7.0, seed=5) + np.array([3.0, -2.0, 1.0])
    atoms = trace_atoms(render(x, np.ones(len(x)), n=64), PIXEL, "Pt", diameter=14.0)
    assert np.allclose(atoms.positions.mean(0), x.mean(0), atol=0.003)


def test_structure_factor_is_the_sum_over_atoms() -> None:
    rng = np.random.Generator(np.random.Philox(key=2))
    n, x, h = 24, rng.uniform(6, 18, (5, 3)), rng.uniform(0.5, 2, 5)
    s = structure_factor(x, h, n)
    for k in ((0, 0, 0), (1, 2, 3), (-4, 5, 2), (3, -6, 7)):
        exact = (h * np.exp(-2j * np.pi * (x @ np.array(k)) / n)).sum()
        assert abs(s[k] - exact) < 0.005 * h.sum()


def test_profile_slope_is_its_derivative(ball: np.ndarray) -> None:
    target = FourierMap(render(ball, np.ones(len(ball)), n=64))
    profile = target.measure(structure_factor(ball[:, ::-1] / PIXEL + 32, np.ones(len(ball)), 64), reach=8.0)
    r = np.linspace(0.3, 7.0, 50)
    numeric = (profile.at(r + 0.01)[0] - profile.at(r - 0.01)[0]) / 0.02
    assert np.allclose(profile.at(r)[1], numeric, atol=2e-3)
    assert profile.at(np.zeros(1))[0] == pytest.approx(1.0)


def test_fit_returns_from_displaced_starts(ball: np.ndarray) -> None:
    rng = np.random.Generator(np.random.Philox(key=3))
    truth = ball[:, ::-1] / PIXEL + 32
    start = start_fit(truth + rng.normal(scale=0.4, size=truth.shape), rng.uniform(0.7, 1.3, len(ball)))
    fit, _, residual = fit_atoms(FourierMap(render(ball, np.ones(len(ball)), n=64)), PIXEL, start, sweeps=8)
    assert np.abs(fit.positions - truth).max() < 0.02
    assert np.abs(residual).max() < 0.03


def test_peaks_and_thinning() -> None:
    grid = np.indices((20, 20, 20)).reshape(3, -1).T
    centre = np.array([[6.3, 7.8, 9.1], [13.2, 12.0, 8.6], [13.2, 15.0, 8.6]])
    height = np.array([1.0, 2.0, 1.5])
    volume = sum(h * np.exp(-((grid - c) ** 2).sum(1) / 2) for h, c in zip(height, centre)).reshape(20, 20, 20)
    position, value = find_peaks(volume, 0.1, min_distance=2.0)
    assert np.abs(position - centre[[1, 2, 0]]).max() < 0.15
    assert (np.diff(value) < 0).all()
    assert len(find_peaks(volume, 0.1, min_distance=4.0)[1]) == 2
    # The middle one goes with its higher neighbour, so it must not take the third along.
    assert keep_highest(np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), np.array([3.0, 2, 1]), 1.5).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("element", "length"),
    # Lattice constants of Kittel's Introduction to Solid State Physics, as tabulated in ASE.
    [("Pt", 2.772), ("Au", 2.885), ("Fe", 2.485), ("Si", 2.351), ("Co", 2.50)],
)
def test_neighbour_distance(element: str, length: float) -> None:
    assert nearest_neighbour_distance(element) == pytest.approx(length, abs=0.01)


def test_wrong_arguments_are_named() -> None:
    good = np.zeros((32, 32, 32), dtype=np.float32)
    for match, call in {
        "element is 'Xx'": lambda: trace_atoms(good, PIXEL, "Xx"),
        "pixel_size is 0": lambda: trace_atoms(good, 0.0, "Pt"),
        r"shape \(32, 32, 30\)": lambda: trace_atoms(good[..., :30], PIXEL, "Pt"),
        "only one half map": lambda: trace_atoms(good, PIXEL, "Pt", half1=good),
        "half2 has shape": lambda: trace_atoms(good, PIXEL, "Pt", half1=good, half2=np.zeros((4, 4, 4))),
        "not finite": lambda: trace_atoms(np.full_like(good, np.nan), PIXEL, "Pt"),
        "diameter is -1": lambda: trace_atoms(good, PIXEL, "Pt", diameter=-1.0),
        "TraceConfig.min_distance is 2": lambda: TraceConfig(min_distance=2.0),
    }.items():
        with pytest.raises(InputError, match=match):
            call()


def diamond_ball(radius: float, seed: int, bond: float = 2.62) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) Å and species (n,) of a ball of zinc blende without atoms of a single bond, slightly disordered."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    bulk = prototype("zincblende")
    reach = np.arange(-6, 7)
    cells = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), -1).reshape(-1, 1, 3)
    x = ((cells + bulk.motif).reshape(-1, 3)) @ bulk.cell * bond - rng.uniform(0, 3, 3)
    species = np.tile(bulk.species, len(cells))
    keep = np.linalg.norm(x, axis=1) < radius
    x, species = x[keep], species[keep]
    bonds = cKDTree(x).query_ball_point(x, 1.1 * bond, return_length=True) - 1
    x, species = x[bonds > 1], species[bonds > 1]
    return x + rng.normal(scale=0.04, size=x.shape), species


@pytest.mark.parametrize("element", ["CdSe", "Cd"])
@pytest.mark.parametrize("halves", [True, False])
def test_atoms_of_a_semiconductor_have_four_neighbours(element: str, halves: bool) -> None:
    x, species = diamond_ball(8.5, seed=3)
    clean = render(x, np.where(species == 0, 1.0, 0.75), n=64)
    first, second = (clean + noise(64, 0.05, s) for s in (1, 2))
    pair = {"half1": first, "half2": second} if halves else {}
    atoms = trace_atoms(0.5 * (first + second), PIXEL, element, **pair)
    i, j, error = compare(atoms.positions, x)
    # A quarter of twelve neighbours, asked of atoms that have four, takes all of them away from the surface inwards.
    assert len(i) == len(x) == len(atoms)
    assert np.sqrt((error**2).sum(1).mean()) < 0.03
    assert np.median(atoms.height[i][species[j] == 0]) > 1.2 * np.median(atoms.height[i][species[j] == 1])
    assert set(atoms.symbols) == {"Cd"}


def test_typical_peak_among_many_low_ones() -> None:
    atoms, false = np.linspace(1.0, 0.6, 100), np.linspace(0.2, 0.01, 900)
    assert typical_peak(np.concatenate([atoms, false]), 13) == pytest.approx(0.8, abs=0.01)
    # Where half of the peaks are atoms, as it was without the low ones.
    assert typical_peak(atoms, 13) >= 0.8


def test_a_filtered_map_without_half_maps_is_traced(ball: np.ndarray) -> None:
    # Weak peaks everywhere, outside the particle nothing: the noise outside tells nothing of that inside.
    axis = (np.arange(64) - 32) * PIXEL
    r = np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis**2)
    volume = (render(ball, np.ones(len(ball)), n=64) + noise(64, 0.06, 5, resolution=0.9)) * (r < 13)
    atoms = trace_atoms(volume, PIXEL, "Pt")
    i, _, _ = compare(atoms.positions, ball)
    assert len(i) == len(ball) == len(atoms)
