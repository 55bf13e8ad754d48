"""Joint fit of all atoms: remove the neighbours of each, fit it alone, repeat.

Each atom is f(r) = h p(|r − x| / s) + b in a soft window about it, p the image of an atom measured from the map
(`profile`), a Gaussian of width w₀ with its truncation rings, and s the atom's own width in units of w₀. The window
holds the map minus the images of all other atoms, so the fits are coupled only through that sum, which every sweep
renews; the atoms of a sweep are fitted at once, which converges as they hardly overlap. The normal equations of the six
unknowns (h, x, ln s, b) are solved by Gauss-Newton steps. Priors ln s ~ N(0, 0.15²) and b ~ N(0, (0.1 h)²) weigh
nothing in a clean map and keep height, width and background apart in a noisy one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from single_rs.atoms.profile import FourierMap, Profile, structure_factor

__all__ = ["Fit", "fit_atoms", "start_fit"]

# Cut-off and standard deviation of the window (Å): half a bond of Pt, and about twice the width of an atom.
WINDOW = 1.4
WINDOW_WIDTH = 0.7
# Largest move per Gauss-Newton step (voxels) and range of the width ratio s.
MAX_MOVE = 0.4
MIN_SCALE, MAX_SCALE = 0.5, 2.0
SCALE_PRIOR = 0.15
BACKGROUND_PRIOR = 0.1


@dataclass(frozen=True)
class Fit:
    """Fitted atoms, lengths in voxels.

    Attributes
    ----------
    positions
        (n, 3) (z, y, x).
    height
        (n,) h.
    scale
        (n,) s, width in units of that of the profile.
    background
        (n,) b.
    """

    positions: np.ndarray
    height: np.ndarray
    scale: np.ndarray
    background: np.ndarray

    def __len__(self) -> int:
        """Return the number of atoms."""
        return len(self.height)

    def take(self, index: np.ndarray) -> Fit:
        """Return the atoms of an index or mask."""
        return Fit(self.positions[index], self.height[index], self.scale[index], self.background[index])

    def join(self, other: Fit) -> Fit:
        """Return these atoms followed by others."""
        mine = (self.positions, self.height, self.scale, self.background)
        others = (other.positions, other.height, other.scale, other.background)
        return Fit(*(np.concatenate(pair) for pair in zip(mine, others, strict=True)))


def start_fit(positions: np.ndarray, heights: np.ndarray) -> Fit:
    """Start from peaks: positions (n, 3) in voxels and heights (n,)."""
    n = len(positions)
    return Fit(np.array(positions, dtype=np.float64), np.array(heights, dtype=np.float64), np.ones(n), np.zeros(n))


def fit_atoms(target: FourierMap, pixel_size: float, fit: Fit, sweeps: int) -> tuple[Fit, Profile, np.ndarray]:
    """Fit all atoms jointly.

    Parameters
    ----------
    target
        The map.
    pixel_size
        Å.
    fit
        Start.
    sweeps
        Number of sweeps, at least one.

    Returns
    -------
    Fit, Profile, residual
        The residual (n, n, n) is the map minus the images of all atoms.
    """
    offsets = _ball(WINDOW / pixel_size)
    current, residual = _remove(target, pixel_size, fit)
    for _ in range(sweeps):
        data, index = _windows(residual, fit, offsets, current)
        # A band-limited map has fewer independent voxels than voxels.
        noise = float(np.mean(residual[tuple(index.reshape(-1, 3).T)] ** 2)) / max(current.bandwidth, 0.01)
        for _ in range(2):
            fit = _gauss_newton(data, index, fit, current, noise, WINDOW_WIDTH / pixel_size)
        current, residual = _remove(target, pixel_size, fit)
    return fit, current, residual


def _remove(target: FourierMap, pixel_size: float, fit: Fit) -> tuple[Profile, np.ndarray]:
    """Image of one atom, and the map minus the images of all atoms."""
    factor = structure_factor(fit.positions, fit.height, target.side)
    profile = target.measure(factor, reach=MAX_SCALE * (WINDOW / pixel_size + 2.0))
    return profile, target.volume - target.render(factor, profile)


def _ball(radius: float) -> np.ndarray:
    """Voxel offsets (m, 3) within `radius` voxels."""
    reach = int(np.ceil(radius))
    axis = np.arange(-reach, reach + 1)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    return np.asarray(grid[(grid**2).sum(1) <= radius**2])


def _windows(residual: np.ndarray, fit: Fit, offsets: np.ndarray, profile: Profile) -> tuple[np.ndarray, np.ndarray]:
    """Map without the neighbours round each atom: values (n, m) and voxels (n, m, 3)."""
    index = np.rint(fit.positions).astype(np.intp)[:, None, :] + offsets
    index = np.clip(index, 0, residual.shape[0] - 1)
    own, _ = profile.at(np.linalg.norm(index - fit.positions[:, None, :], axis=2))
    return residual[index[..., 0], index[..., 1], index[..., 2]] + fit.height[:, None] * own, index


def _gauss_newton(data: np.ndarray, index: np.ndarray, fit: Fit, profile: Profile, noise: float, window: float) -> Fit:
    """Do one Gauss-Newton step of all atoms; `noise` is the variance per independent voxel, `window` in voxels."""
    delta = index - fit.positions[:, None, :]
    r = np.sqrt((delta**2).sum(2))
    weight = np.exp(-0.5 * (r / window) ** 2)
    scaled = r / fit.scale[:, None]
    shape, slope = profile.at(scaled)
    height = fit.height[:, None]
    jacobian = np.empty((*data.shape, 6))
    jacobian[..., 0] = shape
    jacobian[..., 1:4] = (-height * slope / (fit.scale[:, None] * np.maximum(r, 1e-9)))[..., None] * delta
    jacobian[..., 4] = -height * slope * scaled
    jacobian[..., 5] = 1.0
    weighted = (jacobian * weight[..., None]).transpose(0, 2, 1)
    normal = weighted @ jacobian
    gradient = (weighted @ (data - height * shape - fit.background[:, None])[..., None])[..., 0]
    top = max(float(np.abs(data).max()), 1e-30)
    level = max(float(np.median(np.abs(fit.height))), 1e-3 * top)
    log_scale = np.log(fit.scale)
    normal[:, 4, 4] += noise / SCALE_PRIOR**2
    gradient[:, 4] -= noise * log_scale / SCALE_PRIOR**2
    normal[:, 5, 5] += noise / (BACKGROUND_PRIOR * level) ** 2
    gradient[:, 5] -= noise * fit.background / (BACKGROUND_PRIOR * level) ** 2
    # Keeps the matrix regular for an atom whose height has gone to its lower bound.
    diagonal = np.einsum("aii->ai", normal)
    diagonal += 1e-6 * diagonal.max(axis=0)
    step = np.linalg.solve(normal, gradient[..., None])[..., 0]
    length = np.linalg.norm(step[:, 1:4], axis=1, keepdims=True)
    move = step[:, 1:4] * np.minimum(1.0, MAX_MOVE / np.maximum(length, 1e-12))
    return Fit(
        positions=np.clip(fit.positions + move, 0.0, float(index.max())),
        height=np.clip(fit.height + step[:, 0], 1e-3 * top, 2.0 * top),
        scale=np.exp(np.clip(log_scale + np.clip(step[:, 4], -0.2, 0.2), np.log(MIN_SCALE), np.log(MAX_SCALE))),
        background=np.clip(fit.background + step[:, 5], -top, top),
    )
