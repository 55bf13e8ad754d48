"""Bragg spots of a density map: which there are, how the atoms' image damps them, and one spot as a smooth field.

Convention: F(k) = Σ_r ρ(r) exp(−2πi k·r), r in Å from voxel N//2, and for one spot g with a Gaussian of width w

    H(r) = Σ_k F(k) / T(k) exp(−2π²w² |k − g|²) exp(2πi (k − g)·r),

T the damping by the image of an atom, relative to that at g. Only the frequencies within 4 standard deviations of g are
kept, some 30³ of them, so H and its derivatives (factors 2πi (k − g)) cost little: at points by three sums one after
the other, on a coarse grid by a small transform.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from single_rs.base.errors import InputError
from single_rs.crystal.prototypes import prototype

__all__ = ["Spot", "envelope", "reflections"]

# Spots beyond this Miller index are not needed: the fifth shell of diamond is 422.
_LARGEST_INDEX = 4
# Reflections of less than this part of the scattering of all atoms in phase are as good as forbidden.
_ALLOWED = 0.3
# Shells analysed at least, and shells that the damping is measured on.
_SHELLS, _ENVELOPE_SHELLS = 2, 5
# The Gaussian is cut where it is exp(−8), and must be below exp(−6) at the nearest other spot.
_CUT, _CROSSTALK = 4.0, np.sqrt(12.0)
# Spots of a particle are found in noise when 4% as strong as the strongest.
_WEAK = 0.04

# Orders of the derivatives by x, y, z: H, its slopes, its curvatures xx yy zz xy xz yz.
_ORDERS = (
    (0, 0, 0),
    (1, 0, 0), (0, 1, 0), (0, 0, 1),
    (2, 0, 0), (0, 2, 0), (0, 0, 2), (1, 1, 0), (1, 0, 1), (0, 1, 1),
)  # fmt: skip

Damping = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@lru_cache
def _shells(structure: str) -> list[tuple[NDArray[np.int64], NDArray[np.complex128]]]:
    """Allowed reflections, one of each Friedel pair, by length, with their structure factors."""
    kind = prototype(structure)
    one = np.arange(-_LARGEST_INDEX, _LARGEST_INDEX + 1)
    hkl = np.stack(np.meshgrid(one, one, one, indexing="ij"), axis=-1).reshape(-1, 3)
    # One of h and −h: the first index that is not zero is positive.
    hkl = hkl[hkl @ [(2 * _LARGEST_INDEX + 1) ** 2, 2 * _LARGEST_INDEX + 1, 1] > 0]
    factor = np.exp(-2j * np.pi * hkl @ kind.motif.T).mean(axis=1)
    hkl, factor = hkl[np.abs(factor) > _ALLOWED], factor[np.abs(factor) > _ALLOWED]
    length = np.round(np.linalg.norm(hkl @ np.linalg.inv(kind.cell).T, axis=1), 6)
    return [(hkl[length == value], factor[length == value]) for value in np.unique(length)]


def reflections(structure: str) -> tuple[NDArray[np.int64], NDArray[np.complex128]]:
    """Miller indices (m, 3) of the first shells that span space, one of each Friedel pair, and structure factors (m,).

    fcc: {111} and {200}, seven; bcc: {110} and {200}; hcp: {10-10} and {0002}; diamond: {111} and {220}.
    """
    for count in range(_SHELLS, _ENVELOPE_SHELLS + 1):
        hkl, factor = (np.concatenate([s[n] for s in _shells(structure)[:count]]) for n in (0, 1))
        if np.linalg.matrix_rank(hkl) == 3:
            break
    return hkl, factor


def envelope(
    density: NDArray[np.float32],
    pixel_size: float,
    x: NDArray[np.float64],
    used: NDArray[np.float64],
    structure: str,
    cell: NDArray[np.float64],
) -> Damping:
    """Damping ln T as a function of |k|², measured on the spots of the first shells of the fitted cell.

    ln(|F(g)| / |Σ_j exp(−2πi g·x_j)|) is fitted with a parabola in |k|² (a line where few shells are seen), each spot
    with the weight |F|²; x are the atoms of the map (n, 3), Å, `used` the spots (m, 3), 1/Å, that must be seen.
    """
    size = len(density)
    nyquist = 0.5 / pixel_size
    longest = float(np.linalg.norm(used, axis=1).max())
    if longest > 0.9 * nyquist:
        raise InputError(f"pixel_size is {pixel_size} Å; spots at {longest:.2f}/Å need at most {0.45 / longest:.2f} Å")
    hkl = np.concatenate([shell[0] for shell in _shells(structure)[:_ENVELOPE_SHELLS]])
    g = hkl @ np.linalg.inv(cell).T
    length = np.linalg.norm(g, axis=1)
    g, length = g[length < 0.9 * nyquist], length[length < 0.9 * nyquist]
    r = (np.arange(size) - size // 2) * pixel_size
    waves = np.exp(-2j * np.pi * r[:, None, None] * g).astype(np.complex64)  # (N, m, 3)
    part = (density.reshape(-1, size) @ waves[..., 0]).reshape(size, size, -1)
    found = np.abs(np.einsum("zym,ym,zm->m", part, waves[..., 1], waves[..., 2], optimize=True))
    ideal = np.abs(np.exp(-2j * np.pi * x @ g.T).sum(axis=0))
    seen = (found > _WEAK * found.max()) & (ideal > _WEAK * ideal.max())
    k2 = length[seen] ** 2
    order = min(2, len(np.unique(np.round(k2 / k2.max(), 1))) - 1)
    fit = np.polynomial.Polynomial.fit(k2, np.log(found[seen] / ideal[seen]), order, w=found[seen])
    # Beyond the spots that were seen the parabola is not known; it goes on as it ends.
    low, high = float(k2.min()), float(k2.max())
    slope = fit.deriv()

    def damping(square: NDArray[np.float64]) -> NDArray[np.float64]:
        inside = np.clip(square, low, high)
        return np.asarray(fit(inside) + (square - inside) * slope(inside))

    return damping


def _product(combine: np.ufunc, along: list[NDArray[Any]]) -> NDArray[Any]:
    """Combine values along x, y and z to an array (z, y, x)."""
    x, y, z = along
    return np.asarray(combine(combine(z[:, None, None], y[None, :, None]), x[None, None, :]))


def _filtered(
    transform: NDArray[np.complex64], steps: list[NDArray[np.int64]], kept: NDArray[np.complex64]
) -> NDArray[np.complex64]:
    """The frequencies `steps` of a transform, each times that of the filter `kept`."""
    size = len(transform)
    return np.asarray(transform[np.ix_(*(n % size for n in steps[::-1]))] * kept)


@dataclass(frozen=True)
class Spot:
    """One Bragg spot, filtered and moved to the origin of frequencies.

    Attributes
    ----------
    length
        Box, Å.
    steps
        Along x, y and z, the frequencies kept, in steps of the transform.
    k
        The same as k − g, 1/Å.
    filter, content
        (z, y, x), what the transform is multiplied by, and the product.
    """

    length: float
    steps: list[NDArray[np.int64]]
    k: list[NDArray[np.float64]]
    filter: NDArray[np.complex64]
    content: NDArray[np.complex64]

    @classmethod
    def cut(
        cls,
        transform: NDArray[np.complex64],
        pixel_size: float,
        g: NDArray[np.float64],
        width: float,
        damping: Damping,
    ) -> Spot:
        """Cut the spot at `g` (3,) 1/Å, with a Gaussian of `width` Å, out of the transform of a map."""
        size = len(transform)
        length = size * pixel_size
        s = 1 / (2 * np.pi * width)
        if float(np.linalg.norm(g)) < _CROSSTALK * s:
            raise InputError(
                f"kernel_width is {width} Å; geometric phase analysis needs at least "
                f"{_CROSSTALK / (2 * np.pi * float(np.linalg.norm(g))):.2f} Å to tell the spots of this lattice apart"
            )
        half = int(np.ceil(_CUT * s * length))
        centre = np.rint(g * length).astype(int)
        steps = [(c + np.arange(-half, half + 1)) for c in centre]  # x, y, z
        k = [n / length - one for n, one in zip(steps, g, strict=True)]
        away = _product(np.add, [along**2 for along in k])
        gaussian = np.where(away < (_CUT * s) ** 2, np.exp(-away / (2 * s**2)), 0)
        square = _product(np.add, [(along + one) ** 2 for along, one in zip(k, g, strict=True)])
        log = damping(square) - damping(np.array([g @ g]))
        # exp(2πi k·r₀) moves the origin of the transform, voxel 0, to voxel N//2.
        phase = _product(np.multiply, [np.exp(2j * np.pi * n * (size // 2) / size) for n in steps])
        kept = (gaussian * np.exp(-np.clip(log, -2, 2)) * phase).astype(np.complex64)
        return cls(length, steps, k, kept, _filtered(transform, steps, kept))

    def of(self, transform: NDArray[np.complex64]) -> Spot:
        """Return the same spot of another map of the same size."""
        return replace(self, content=_filtered(transform, self.steps, self.filter))

    def at(self, points: NDArray[np.float64], slopes: bool = True) -> NDArray[np.complex128]:
        """H (1, p), or with slopes H, ∂x ∂y ∂z, xx yy zz xy xz yz of H (10, p), at points (p, 3), Å."""
        waves = [np.exp(2j * np.pi * points[:, a, None] * self.k[a]).astype(np.complex64) for a in range(3)]
        factors = [(2j * np.pi * self.k[a]).astype(np.complex64) for a in range(3)]
        rows = len(self.k[2]) * len(self.k[1])
        flat = self.content.reshape(rows, -1)
        along_x = []
        for order in range(3 if slopes else 1):
            along_x.append((flat * factors[0] ** order @ waves[0].T).reshape(len(self.k[2]), len(self.k[1]), -1))

        def rest(x_order: int, y_order: int, z_order: int) -> NDArray[np.complex128]:
            y = waves[1] * factors[1] ** y_order
            z = waves[2] * factors[2] ** z_order
            return np.asarray(
                np.einsum("zp,pz->p", np.einsum("zyp,py->zp", along_x[x_order], y), z).astype(np.complex128)
            )

        return np.stack([rest(*orders) for orders in (_ORDERS if slopes else _ORDERS[:1])])

    def grid(self, size: int) -> NDArray[np.complex64]:
        """H and its derivatives (10, z, y, x) on a grid of the whole box whose voxel size//2 is the box centre."""
        shape = tuple(len(n) for n in self.steps[::-1])
        if size < max(shape):
            raise InputError(f"a grid of {size} voxels is too coarse for the spots; at least {max(shape)} are needed")
        # k − g is not a multiple of the grid's step: the remainder is a phase ramp that the ratios of H do not see, but
        # its derivatives and its phase do, so it is put back in space.
        middle = [len(n) // 2 for n in self.steps]
        rest = [self.k[a][middle[a]] for a in range(3)]
        r = (np.arange(size) - size // 2) * (self.length / size)
        ramp = [np.exp(2j * np.pi * rest[a] * r).astype(np.complex64) for a in range(3)]
        ramps = _product(np.multiply, ramp)
        places = [(np.arange(len(n)) - m) % size for n, m in zip(self.steps, middle, strict=True)]
        centring = [np.exp(-2j * np.pi * p * (size // 2) / size).astype(np.complex64) for p in places]
        factors = [(2j * np.pi * self.k[a]).astype(np.complex64) for a in range(3)]
        out = np.empty((len(_ORDERS), size, size, size), dtype=np.complex64)
        for n, orders in enumerate(_ORDERS):
            content = np.zeros((size, size, size), dtype=np.complex64)
            derived = _product(np.multiply, [centring[a] * factors[a] ** orders[a] for a in range(3)])
            content[np.ix_(*places[::-1])] = self.content * derived
            out[n] = scipy.fft.ifftn(content, norm="forward") * ramps
        return out
