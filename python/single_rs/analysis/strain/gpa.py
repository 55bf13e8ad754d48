"""Geometric phase analysis of a density map in three dimensions: strain from the phases of its Bragg spots.

Convention: k in 1/Å, positions r in Å from voxel N//2, F(k) = Σ_r ρ(r) exp(−2πi k·r). A spot g of the reference lattice
filtered with a Gaussian of standard deviation s = 1/(2πw) is the density smoothed with a Gaussian of width w,

    H_g(r) = Σ_k F(k) exp(−|k − g|²/2s²) exp(2πi (k − g)·r) = A(r) exp(iφ),      φ_g(r) = −2π g·u(r) + const,

so three spots that span space give u, and their phase gradients, Im(∇H/H) without unwrapping, give its slope; more
spots are weighted by |H|². u is a field of the present position here: F = (I − ∂u/∂x)⁻¹, strain = U − I.

Two things must be put right for a particle that is ten kernels small:

* At the rim the kernel is half empty and φ is that of the atoms' centroid r + w²∇ln A, so slopes are too small, by 0.36
  across a flat surface. The amplitude tells: with C = I + w² ∇∇ln A, the slope is C⁻¹ Im(∇H/H). This makes the analysis
  the Fourier twin of the local planes (`kernel`, without their widening), and a uniform strain exact.
* The image of an atom falls off with |k| and so tilts the spots, T(k) ≈ T(g)(1 + (k − g)·∇ln T), which puts a phase
  ramp where the amplitude falls. T is measured, |F(g)| / |Σ_j exp(−2πi g·x_j)| over the spots, and divided out.

Errors come from the noise of the map in each spot, P = ⟨|n|²⟩ after the filter; its gradient has P/2w² per axis.

References: M. J. Hÿtch, E. Snoeck and R. Kilaas, Ultramicroscopy 74, 131 (1998), doi:10.1016/S0304-3991(98)00035-7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from single_rs.analysis.lattice import Lattice, check_atoms
from single_rs.analysis.strain.field import Strain, StrainConfig, assemble, reference_cells, reference_positions
from single_rs.analysis.strain.spots import Spot, envelope, reflections
from single_rs.base.errors import InputError
from single_rs.base.tensors import COMPONENTS, components

__all__ = ["PhaseStrain", "phase_strain"]

# Least moment of the kernel in the flattest direction, as for the local planes.
_FLATTEST = 0.05
# Least atoms of a domain whose own spots are analysed: fewer fill no kernel of 2 Å.
_LEAST_DOMAIN = 40
# Grid of the maps in kernel widths: fields of a Gaussian of width w are smooth over half of w.
_GRID = 0.5
# A map has values this close to an atom, in nearest-neighbour distances, as those of the other methods.
_REACH = 0.75
# Noise is looked for this far from all atoms, kernel widths, at this number of points.
_OUTSIDE, _POINTS = 4.0, 400


@dataclass(frozen=True)
class PhaseStrain:
    """Strain from the phases of a map.

    Attributes
    ----------
    strain
        At the atoms, as that of the other methods; NaN errors where the noise of the map is not known.
    maps
        "xx" … "yz" (fractions, in the frame of `strain`) and "ux", "uy", "uz" (Å, frame of the map), (z, y, x) float32,
        of the main domain; 0 farther than 0.75 nearest-neighbour distances from its atoms. Their voxel N//2 is position
        0 and their box is the map's, with fewer voxels.
    pixel_size
        Å per voxel of `maps`.
    reflections
        (m, 3) Miller indices of the spots, one of each Friedel pair.
    amplitudes
        (m,) mean |H| of each over the atoms of the main domain, relative to the strongest.
    """

    strain: Strain
    maps: dict[str, NDArray[np.float32]]
    pixel_size: float
    reflections: NDArray[np.int64]
    amplitudes: NDArray[np.float64]


@dataclass(frozen=True)
class _Field:
    """Displacement (p, 3), slope ∂u/∂x (p, 3, 3) and its covariance (p, 3, 3, 3, 3) at some points."""

    displacement: NDArray[np.float64]
    slope: NDArray[np.float64]
    covariance: NDArray[np.float64]
    amplitude: NDArray[np.float64]


def phase_strain(
    density: ArrayLike,
    pixel_size: float,
    positions: ArrayLike,
    lattice: Lattice,
    config: StrainConfig = StrainConfig(),  # noqa: B008 (frozen)
    noise: ArrayLike | None = None,
) -> PhaseStrain:
    """Strain by geometric phase analysis of the map, at the atoms and on a grid.

    Parameters
    ----------
    density
        (z, y, x) map.
    pixel_size
        Å per voxel.
    positions
        (n, 3) Å from the box centre, the atoms of the map that `lattice` was fitted to.
    lattice
        Result of `fit_lattice`.
    config
        Reference, width of the Gaussian and frame of the components.
    noise
        (z, y, x) map of noise alone, half the difference of the half maps. None: the noise outside the particle, where
        the map has any.

    Raises
    ------
    InputError
        Wrong shapes, atoms outside the map, a pixel too large for the spots, or a kernel too narrow to tell them apart.
    """
    x = check_atoms(positions, lattice)
    if noise is not None and np.shape(noise) != np.shape(density):
        raise InputError(f"noise has shape {np.shape(noise)}, density {np.shape(density)}; both must be the same")
    rho = _checked(density, pixel_size, x)
    noise_map = None if noise is None else _checked(noise, pixel_size, x)
    length = len(rho) * pixel_size
    hkl, factor = reflections(lattice.structure)
    cells = reference_cells(lattice, config.reference)
    start = x - reference_positions(x, lattice, cells)
    transform = scipy.fft.fftn(rho)
    noise_transform = None if noise_map is None else scipy.fft.fftn(noise_map)
    away = _outside(x, length, config.sigma)
    slope, displacement = np.full((len(x), 3, 3), np.nan), np.full((len(x), 3), np.nan)
    covariance = np.full((len(x), 3, 3, 3, 3), np.nan)
    maps: dict[str, NDArray[np.float32]] = {}
    amplitudes = np.zeros(len(hkl))
    size = max(2 * int(np.ceil(length / (_GRID * config.sigma) / 2)), 2)
    for k, (domain, cell) in enumerate(zip(lattice.domains, cells, strict=True)):
        mine = np.flatnonzero(lattice.domain == k)
        if k > 0 and len(mine) < _LEAST_DOMAIN:
            continue
        g = hkl @ np.linalg.inv(cell).T
        falloff = envelope(rho, pixel_size, x, hkl @ np.linalg.inv(domain.cell).T, lattice.structure, domain.cell)
        spots = [Spot.cut(transform, pixel_size, one, config.sigma, falloff) for one in g]
        power = _noise_power(spots, noise_transform, x[mine], away)
        # The origin of the reference is where `compute_strain` puts it.
        expected = np.where(np.isfinite(start[mine]), start[mine], 0)
        held = np.flatnonzero(np.isfinite(start[mine, 0]))
        anchor = (
            x[mine[held[0]]] - start[mine[held[0]]] - lattice.sites[mine[held[0]]] @ cell
            if len(held)
            else domain.origin
        )
        phase0 = 2 * np.pi * g @ anchor - np.angle(factor)
        field = _solve([s.at(x[mine]) for s in spots], g, phase0, expected, x[mine], config.sigma, power)
        slope[mine], displacement[mine], covariance[mine] = field.slope, field.displacement, field.covariance
        if k == 0:
            amplitudes = field.amplitude
            maps = _maps(spots, g, phase0, expected, x[mine], config, lattice, size, length)
    known = np.isfinite(slope).all(axis=(1, 2))
    gradient = np.full_like(slope, np.nan)
    gradient[known] = np.linalg.inv(np.eye(3) - slope[known]) - np.eye(3)
    strain = assemble(x, lattice, config, gradient, covariance, method="gpa", displacement=displacement)
    return PhaseStrain(strain, maps, length / size, hkl, amplitudes / max(float(amplitudes.max()), 1e-300))


def _checked(density: ArrayLike, pixel_size: float, x: NDArray[np.float64]) -> NDArray[np.float32]:
    rho = np.asarray(density, dtype=np.float32)
    if rho.ndim != 3 or len(set(rho.shape)) != 1 or len(rho) < 16:
        raise InputError(f"density has shape {rho.shape}; a cube (z, y, x) of at least 16 voxels is needed")
    if not pixel_size > 0:
        raise InputError(f"pixel_size is {pixel_size} Å; it must be more than 0 Å")
    if not np.isfinite(rho).all():
        raise InputError("density holds NaN or infinite values; mask them with 0")
    if np.ptp(rho) == 0:
        raise InputError(f"density is {rho.flat[0]:g} in every voxel; give the map that the atoms were traced in")
    if np.abs(x).max() > len(rho) * pixel_size / 2:
        raise InputError(
            f"an atom is {np.abs(x).max():.1f} Å from the box centre, the map ends at "
            f"{len(rho) * pixel_size / 2:.1f} Å; positions are counted from voxel N//2"
        )
    return rho


def _outside(x: NDArray[np.float64], length: float, width: float) -> NDArray[np.float64]:
    """Points (p, 3) far from all atoms, evenly spread over the box; none where the particle fills it."""
    step = (np.arange(12) + 0.5) / 12 * length - length / 2
    points = np.stack(np.meshgrid(step, step, step), axis=-1).reshape(-1, 3)
    points = points[cKDTree(x).query(points)[0] > _OUTSIDE * width]
    return np.asarray(points[:: max(1, len(points) // _POINTS)])


def _noise_power(
    spots: list[Spot],
    noise_transform: NDArray[np.complex64] | None,
    x: NDArray[np.float64],
    away: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Mean |n|² of the filtered noise in each spot; NaN when it is not known."""
    if noise_transform is not None:
        return np.array([np.mean(np.abs(s.of(noise_transform).at(x, slopes=False)[0]) ** 2) for s in spots])
    if len(away) < _POINTS // 8:
        return np.full(len(spots), np.nan)
    power = np.array([np.mean(np.abs(s.at(away, slopes=False)[0]) ** 2) for s in spots])
    signal = np.array([np.mean(np.abs(s.at(x[:50], slopes=False)[0]) ** 2) for s in spots])
    # A map that was set to a constant outside the particle says nothing of its noise.
    return np.where(power > 1e-8 * signal, power, np.nan)


def _solve(
    fields: list[NDArray[np.complex128]],
    g: NDArray[np.float64],
    phase0: NDArray[np.float64],
    expected: NDArray[np.float64],
    points: NDArray[np.float64],
    width: float,
    power: NDArray[np.float64],
) -> _Field:
    """Displacement and slope from H, ∇H and ∇∇H, (10, p) for each spot, at the points."""
    count = len(points)
    normal, right, sums = np.zeros((count, 3, 3)), np.zeros((count, 3, 3)), np.zeros((count, 3))
    spread = []
    # Half maps that agree to the last bit say nothing of the noise.
    known_noise = bool(np.all(np.isfinite(power) & (power > 0)))
    for values, one, zero, noise in zip(fields, g, phase0, power, strict=True):
        h = np.where(np.abs(values[0]) > 0, values[0], 1)
        slope = (values[1:4] / h).T
        bend = np.empty((count, 3, 3), dtype=complex)
        for n, (p, q) in enumerate(((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))):
            bend[:, p, q] = bend[:, q, p] = values[4 + n] / h - slope[:, p] * slope[:, q]
        moments = np.eye(3) + width**2 * bend.real
        good = (np.linalg.eigvalsh(moments)[:, 0] > _FLATTEST) & (np.abs(values[0]) > 0)
        moments[~good] = np.eye(3)
        inverse = np.linalg.inv(moments)
        tilt = np.einsum("nij,nj->ni", inverse, slope.imag)
        weight = np.where(good, np.abs(values[0]) ** 2, 0) / (noise if known_noise else 1.0)
        # Phase at the point itself, not at the centroid, and on the branch that the atoms say.
        phase = np.angle(h) + zero - width**2 * np.sum(slope.real * tilt, axis=1)
        near = -2 * np.pi * expected @ one
        phase = near + np.angle(np.exp(1j * (phase - near)))
        normal += weight[:, None, None] * np.outer(one, one)
        right += weight[:, None, None] * one[:, None] * tilt[:, None, :]
        sums += (weight * phase)[:, None] * one
        if known_noise:
            core = np.eye(3) / (2 * width**2) + slope.real[:, :, None] * slope.real[:, None]
            # cov of the tilt times weight², where weight = |H|² / noise.
            spread.append((one, weight[:, None, None] / 2 * (inverse @ core @ inverse)))
    values_, _ = np.linalg.eigh(normal)
    good = values_[:, 0] > 1e-3 * np.maximum(values_[:, 2], 1e-300)
    normal[~good] = np.eye(3)
    solved = np.linalg.inv(normal)
    gradient = -(solved @ right) / (2 * np.pi)
    displacement = -np.einsum("nij,nj->ni", solved, sums) / (2 * np.pi)
    covariance = np.full((count, 3, 3, 3, 3), np.nan)
    if known_noise:
        covariance[:] = 0
        for one, tilted in spread:
            lever = solved @ one
            covariance += np.einsum("na,nc,nbd->nabcd", lever, lever, tilted) / (4 * np.pi**2)
    gradient[~good], displacement[~good], covariance[~good] = np.nan, np.nan, np.nan
    amplitude = np.array([np.abs(values[0]).mean() for values in fields])
    return _Field(displacement, gradient, covariance, amplitude)


def _maps(
    spots: list[Spot],
    g: NDArray[np.float64],
    phase0: NDArray[np.float64],
    expected: NDArray[np.float64],
    x: NDArray[np.float64],
    config: StrainConfig,
    lattice: Lattice,
    size: int,
    length: float,
) -> dict[str, NDArray[np.float32]]:
    """Strain and displacement on the grid of `size` voxels, about the atoms `x`."""
    step = (np.arange(size) - size // 2) * (length / size)
    z, y, x_ = np.meshgrid(step, step, step, indexing="ij")
    points = np.stack([x_, y, z], axis=-1).reshape(-1, 3)
    reach = _REACH * lattice.nearest_neighbour
    distance, nearest = cKDTree(x).query(points, distance_upper_bound=reach)
    inside = np.isfinite(distance)
    fields = [spot.grid(size).reshape(10, -1)[:, inside].astype(np.complex128) for spot in spots]
    unknown = np.full(len(spots), np.nan)
    field = _solve(fields, g, phase0, expected[nearest[inside]], points[inside], config.sigma, unknown)
    axes = lattice.axes if config.frame == "crystal" else np.eye(3)
    # To first order in the slope, U − I is its symmetric part; the maps are for display.
    stretch = (field.slope + np.swapaxes(field.slope, 1, 2)) / 2
    table = np.column_stack([components(np.einsum("ai,nij,bj->nab", axes, stretch, axes)), field.displacement])
    maps = {}
    for name, column in zip((*COMPONENTS, "ux", "uy", "uz"), table.T, strict=True):
        volume = np.zeros(size**3, dtype=np.float32)
        volume[inside] = np.nan_to_num(column)
        maps[name] = volume.reshape(size, size, size)
    return maps
