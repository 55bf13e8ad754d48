"""Crystals of known structure for the tests of structure: stacked layers, bicrystals, and how tests look at them."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from single_rs.analysis.structure import adopt_orientations, match_templates
from single_rs.analysis.structure.grains import find_grains

A = 3.92  # Å, platinum
BOND = A / np.sqrt(2)
D111 = A / np.sqrt(3)
NOISE = 0.05  # Å per axis: the 5 pm that everything here must bear
TURN = Rotation.from_rotvec([0.4, -0.7, 1.1]).as_matrix()  # no axis of the crystal along an axis of the frame


def noisy(x: np.ndarray, seed: int = 0, sigma: float = NOISE) -> np.ndarray:
    return x + np.random.default_rng(seed).normal(0, sigma, x.shape)


def fcc_ball(radius: float = 13.2, centre: tuple[float, float, float] = (0.3, 0.2, 0.1)) -> np.ndarray:
    """Sites of fcc within a radius (Å) of a point near a site; 619 atoms by default."""
    n = np.stack(np.meshgrid(*[np.arange(-12, 13)] * 3), -1).reshape(-1, 3)
    sites = A / 2 * n[n.sum(1) % 2 == 0]
    return sites[np.linalg.norm(sites - np.array(centre), axis=1) < radius]


def stacked(letters: str, radius: float = 13.2) -> np.ndarray:
    """Close-packed layers of the given letters along z, cut to a ball; the middle letter is at z = 0."""
    a1, a2 = BOND * np.array([1, 0]), BOND * np.array([0.5, np.sqrt(0.75)])
    i, j = np.meshgrid(np.arange(-10, 11), np.arange(-10, 11))
    net = i.reshape(-1, 1) * a1 + j.reshape(-1, 1) * a2
    layers = [
        np.column_stack([net + "ABC".index(c) * (a1 + a2) / 3, np.full(len(net), (k - len(letters) // 2) * D111)])
        for k, c in enumerate(letters)
    ]
    x = np.concatenate(layers)
    return x[np.linalg.norm(x - np.array([0.4, 0.3, 0.1]), axis=1) < radius]


def bicrystal(angle: float, axis: tuple[float, float, float], radius: float = 13.0) -> np.ndarray:
    """Two crystals that meet at z = 0.6 Å, the upper one turned by an angle (degrees) about an axis."""
    turn = Rotation.from_rotvec(np.radians(angle) * np.array(axis) / np.linalg.norm(axis)).as_matrix()
    sites = fcc_ball(1.6 * radius)
    upper = sites @ turn.T
    x = np.concatenate([sites[sites[:, 2] < 0.1], upper[upper[:, 2] > 1.2]])
    return x[np.linalg.norm(x, axis=1) < radius]


def without_surface(x: np.ndarray, share: float = 0.15, seed: int = 5) -> np.ndarray:
    """Take out a share of the atoms with less than 10 neighbours, as a tracing that misses them would."""
    from single_rs.crystal.neighbours import coordination

    outer = np.flatnonzero(coordination(x) < 10)
    gone = np.random.default_rng(seed).choice(outer, int(share * len(outer)), replace=False)
    return np.delete(x, gone, axis=0)


def oriented(x: np.ndarray):
    """Template match with adopted orientations, and grains."""
    match = adopt_orientations(x, match_templates(x))
    return match, find_grains(x, match)
