"""Tracing of atoms: known particles in maps with truncation rings, noise and a missing wedge."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import fft, ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from single_rs.atoms import Atoms, trace_atoms
from single_rs.atoms.profile import structure_factor
from single_rs.errors import NoParticleError

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
    x: np.ndarray, occupancy: np.ndarray, n: int = 96, resolution: float = 0.75, b: float = 4.0, wedge: float = 0.0
) -> np.ndarray:
    """Map of band-limited Gaussian atoms whose typical height is 1."""
    s = structure_factor(x[:, ::-1] / PIXEL + n // 2, occupancy, n)
    full, half = np.fft.fftfreq(n, PIXEL), np.fft.rfftfreq(n, PIXEL)
    k2 = full[:, None, None] ** 2 + full[None, :, None] ** 2 + half**2
    volume = fft.irfftn(s * np.exp(-b * k2 / 4) * band(n, resolution, wedge), s=(n, n, n))
    heights = ndimage.map_coordinates(volume, (x[:, ::-1] / PIXEL + n // 2).T, order=3)
    return volume / np.median(heights)


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
    return fcc_ball(9.5, seed=3)


def test_a_clean_map_gives_back_its_atoms_to_a_tenth_of_a_picometre(ball: np.ndarray) -> None:
    atoms = trace_atoms(render(ball, np.ones(len(ball)), n=80), PIXEL, "Pt")
    i, _, error = compare(atoms.positions, ball)
    assert len(i) == len(ball) == len(atoms)
    # Rings of the sharp cut-off move a plain Gaussian fit by 1 pm; the measured profile takes them along.
    assert np.sqrt((error**2).sum(1).mean()) < 0.002


@pytest.mark.parametrize(
    ("sigma", "kw", "limit"),
    [(0.05, {}, 0.030), (0.1, {}, 0.060), (0.05, {"wedge": 30.0}, 0.035), (0.05, {"resolution": 1.0}, 0.040)],
)
def test_noise_and_missing_wedge(ball: np.ndarray, sigma: float, kw: dict[str, float], limit: float) -> None:
    atoms, _ = traced(ball, sigma, seed=5, n=80, **kw)
    i, _, error = compare(atoms.positions, ball)
    assert len(i) >= 0.99 * len(ball)
    assert len(i) >= 0.99 * len(atoms)
    assert np.sqrt((error**2).sum(1).mean()) < limit
    spread = np.sqrt(((error - error.mean(0)) ** 2 / atoms.sigma[i][:, None] ** 2).mean())
    assert 0.75 < spread < 1.25  # the stated errors are the true ones


def test_noise_alone_is_no_particle() -> None:
    for seed in range(3):
        with pytest.raises(NoParticleError, match="no particle"):
            trace_atoms(noise(64, 1.0, seed), PIXEL, "Pt")
