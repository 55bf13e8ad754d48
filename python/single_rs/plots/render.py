"""Stills of atoms and density surfaces, ray-cast along the direction of view (orthographic projection).

A ray through (u, v) meets the sphere of an atom at (x, y, z) with radius r at z + √(r² − (u − x)² − (v − y)²), and a
surface of constant density ρ₀ where ρ passes ρ₀ first, from the viewer on. With the normal n, the light l and
h = (l + view)/|l + view|, the brightness is that of Blinn,

    a + d max(0, n·l) + s max(0, n·h)^p,

darkened in hollows (the height lies below its surroundings) and along outlines (the height jumps), and paled with the
depth, so that the order of the atoms is seen without perspective.

Reference: J. F. Blinn, SIGGRAPH '77, 192 (1977), doi:10.1145/563858.563893.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["element_colours", "render_spheres", "render_surface", "value_colours"]

# Samples per pixel and axis; two leave no steps at outlines in print.
_SAMPLES = 2
_LIGHT = np.array([-0.45, 0.55, 0.70]) / np.linalg.norm([-0.45, 0.55, 0.70])
_AMBIENT, _DIFFUSE, _SHINE, _POWER = 0.42, 0.62, 0.28, 40.0
_HOLLOW = 0.55  # greatest darkening in hollows
_PALE = 0.30  # share of white at the far side
_OUTLINE = 0.55  # brightness at outlines
_JUMP = 0.5  # Å between neighbouring samples that is an outline
_UNKNOWN = (0.72, 0.74, 0.77)  # atoms without a value


def element_colours(symbols: NDArray[np.str_]) -> NDArray[np.float64]:
    """Colours (n, 3) of elements, as Jmol has them."""
    from ase.data import atomic_numbers
    from ase.data.colors import jmol_colors

    return np.array([jmol_colors[atomic_numbers[str(s)]] for s in symbols]).reshape(-1, 3)


def value_colours(values: NDArray[np.float64], top: float) -> NDArray[np.float64]:
    """Colours (n, 3) of values (n,) on a scale from −top to top; grey where there is none."""
    import matplotlib as mpl

    value = np.asarray(values, float)
    out = mpl.colormaps["RdBu_r"](np.clip(0.5 + 0.5 * np.nan_to_num(value) / top, 0, 1))[:, :3]
    out[~np.isfinite(value)] = _UNKNOWN
    return np.asarray(out, dtype=np.float64)


def render_spheres(
    turned: NDArray[np.float64],
    radius: NDArray[np.float64] | float,
    colours: NDArray[np.float64],
    reach: float,
    pixels: int = 400,
) -> NDArray[np.float32]:
    """Picture of atoms as shaded spheres.

    Parameters
    ----------
    turned
        (n, 3) right, up, towards the viewer, Å from the middle of the picture.
    radius
        (n,) or one, Å.
    colours
        (n, 3) red, green, blue, 0 to 1.
    reach
        Å, half the field.
    pixels
        On an edge.

    Returns
    -------
    (pixels, pixels, 4) red, green, blue and opacity; row 0 is at the bottom, as ``origin="lower"`` draws it.
    """
    size = pixels * _SAMPLES
    step = 2 * reach / size
    at = (np.arange(size) + 0.5) * step - reach
    height = np.full((size, size), -np.inf, np.float32)
    owner = np.full((size, size), -1, np.int32)
    radii = np.broadcast_to(np.asarray(radius, float), (len(turned),))
    for k, ((x, y, z), r) in enumerate(zip(turned, radii, strict=True)):
        (left, right), (low, high) = (np.searchsorted(at, (c - r, c + r)) for c in (x, y))
        room = r**2 - (at[left:right] - x)[None] ** 2 - (at[low:high] - y)[:, None] ** 2
        top = np.where(room > 0, z + np.sqrt(np.maximum(room, 0)), -np.inf)
        window = (slice(low, high), slice(left, right))
        nearer = top > height[window]
        height[window][nearer] = top[nearer]
        owner[window][nearer] = k
    hit = owner >= 0
    normal = np.zeros((size, size, 3), np.float32)
    row, column = np.nonzero(hit)
    mine = owner[hit]
    normal[hit] = np.column_stack([at[column], at[row], height[hit]]) - turned[mine]
    normal[hit] /= radii[mine, None]
    base = np.zeros((size, size, 3), np.float32)
    base[hit] = colours[mine]
    return _shaded(height, normal, base, step)


def render_surface(
    density: NDArray[np.float32],
    pixel_size: float,
    level: float,
    frame: NDArray[np.float64],
    *,
    middle: NDArray[np.float64],
    reach: float,
    colour: tuple[float, float, float] = (0.94, 0.78, 0.36),
    pixels: int = 400,
) -> NDArray[np.float32]:
    """Picture of the surface of constant density.

    Parameters
    ----------
    density
        Map (z, y, x) with its centre at index N//2.
    pixel_size
        Å per voxel.
    level
        Density on the surface.
    frame
        (3, 3) rows right, up, towards the viewer.
    middle
        (3,) Å from the centre of the map, in the middle of the picture.
    reach
        Å, half the field and half the depth.
    colour
        Red, green, blue.
    pixels
        On an edge.

    Returns
    -------
    (pixels, pixels, 4), as `render_spheres`.
    """
    from scipy.ndimage import map_coordinates, maximum_filter

    fine, spacing, corner = _finer(density, pixel_size, middle, reach)
    size = pixels * 2
    step = 2 * reach / size
    at = (np.arange(size) + 0.5) * step - reach
    right, up, towards = np.asarray(frame, float)

    def sample(points: NDArray[np.float64], values: NDArray[np.float32] = fine, order: int = 1) -> NDArray[np.float32]:
        index = ((points - corner) / spacing)[:, ::-1].T
        return np.asarray(map_coordinates(values, index, order=order, mode="nearest", output=np.float32))

    # Where the surface may be, on a coarse grid along the rays: within three fine voxels of a density above the level.
    coarse = np.arange(-reach, reach, pixel_size)
    w, v, u = (a.ravel()[:, None] for a in np.meshgrid(coarse, coarse, coarse, indexing="ij"))
    highest = sample(u * right + v * up + w * towards + middle, maximum_filter(fine, size=7), 0)
    near: NDArray[np.bool_] = highest.reshape((len(coarse),) * 3) >= np.float32(level)
    cell = np.clip(np.rint((at + reach) / pixel_size).astype(int), 0, len(coarse) - 1)
    v, u = np.meshgrid(at, at, indexing="ij")
    live = np.flatnonzero(np.asarray(near.any(axis=0))[np.ix_(cell, cell)].ravel())
    u, v, row, column = u.ravel(), v.ravel(), np.repeat(cell, size), np.tile(cell, size)
    height = np.full(size * size, -np.inf, np.float32)
    before = np.full(size * size, -np.inf, np.float32)
    for z in np.arange(reach, -reach, -spacing):
        layer = near[min(round((z + reach) / pixel_size), len(coarse) - 1)]
        ray = live[layer[row[live], column[live]]]
        here = sample(u[ray, None] * right + v[ray, None] * up + (z * towards + middle))
        met = here >= level
        rise = np.maximum(here[met] - before[ray[met]], 1e-12)
        height[ray[met]] = z + spacing * np.clip((here[met] - level) / rise, 0, 1)
        before[ray] = here
        if met.any():
            live = live[~np.isfinite(height[live])]
    hit = np.isfinite(height)
    found = u[hit, None] * right + v[hit, None] * up + height[hit, None] * towards + middle
    slope = np.column_stack([sample(found + spacing * e) - sample(found - spacing * e) for e in np.eye(3)])
    slope /= -np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-12)
    normal = np.zeros((size * size, 3), np.float32)
    normal[hit] = slope @ np.stack([right, up, towards]).T
    base = np.zeros((size * size, 3), np.float32)
    base[hit] = colour
    return _shaded(height.reshape(size, size), normal.reshape(size, size, 3), base.reshape(size, size, 3), step, 2)


def _finer(
    density: NDArray[np.float32], pixel_size: float, middle: NDArray[np.float64], reach: float
) -> tuple[NDArray[np.float32], float, NDArray[np.float64]]:
    """Part of a map round the middle on half its pixel, by zeros in Fourier space; pixel and (x, y, z) of voxel 0."""
    size, centre = density.shape[0], density.shape[0] // 2
    half = int(min(np.ceil(reach / pixel_size) + 2, size // 2))
    first = np.clip(np.rint(middle / pixel_size).astype(int) + centre - half, 0, max(size - 2 * half, 0))
    part = density[tuple(slice(a, a + 2 * half) for a in first[::-1])]
    spectrum = np.fft.rfftn(part)
    n = part.shape[0]
    wide = np.zeros((2 * n, 2 * n, n + 1), spectrum.dtype)
    keep = np.r_[0 : n // 2, 2 * n - n // 2 : 2 * n]
    wide[np.ix_(keep, keep, np.arange(n // 2))] = spectrum[:, :, : n // 2]
    fine = 8 * np.fft.irfftn(wide, s=(2 * n,) * 3, axes=(0, 1, 2))
    return fine.astype(np.float32), pixel_size / 2, (first - centre) * pixel_size


def _shaded(
    height: NDArray[np.float32],
    normal: NDArray[np.float32],
    base: NDArray[np.float32],
    step: float,
    samples: int = _SAMPLES,
) -> NDArray[np.float32]:
    """Colours of what was met, by the module's equation; the samples of each pixel are averaged."""
    from scipy.ndimage import gaussian_filter, maximum_filter

    hit = np.isfinite(height)
    out = np.zeros((*height.shape, 4), np.float32)
    if hit.any():
        far, near = float(height[hit].min()), float(height[hit].max())
        filled = np.where(hit, height, far).astype(np.float32)
        half = _LIGHT + np.array([0.0, 0, 1])
        half /= np.linalg.norm(half)
        light = _AMBIENT + _DIFFUSE * np.maximum(normal @ _LIGHT.astype(np.float32), 0)
        # The surroundings are smooth: a value for each pixel is enough.
        rows, columns = height.shape[0] // samples, height.shape[1] // samples
        pooled = filled.reshape(rows, samples, columns, samples).mean(axis=(1, 3))
        around = gaussian_filter(pooled, 1.2 / step / samples, mode="nearest")
        below = np.repeat(np.repeat(around, samples, axis=0), samples, axis=1) - filled
        light *= 1 - _HOLLOW * np.clip(below / 2.5, 0, 1)
        light *= np.where(maximum_filter(filled, size=samples) - filled > _JUMP, _OUTLINE, 1.0)
        colour = np.minimum(base * light[..., None], 1)
        colour += _SHINE * np.maximum(normal @ half.astype(np.float32), 0)[..., None] ** _POWER
        pale = _PALE * (near - filled) / max(near - far, 1e-6)
        colour += (1 - colour) * pale[..., None]
        out[..., :3] = np.clip(colour, 0, 1) * hit[..., None]
        out[..., 3] = hit
    rows, columns = height.shape[0] // samples, height.shape[1] // samples
    mean = out.reshape(rows, samples, columns, samples, 4).mean(axis=(1, 3))
    opaque = mean[..., 3:]
    mean[..., :3] = np.where(opaque > 0, mean[..., :3] / np.maximum(opaque, 1e-6), 1)
    return np.asarray(np.clip(mean, 0, 1))
