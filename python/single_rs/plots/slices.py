"""Slices through maps: density in planes of atoms, and strain through the middle of the particle.

Maps are (z, y, x) with their centre at index N//2.
"""

from __future__ import annotations

import numpy as np

from single_rs.plots.style import (
    ROOM,
    image_axes,
    map_limits,
    new_axes,
    peak_bar,
    quiet_colorbar,
    scale_bar,
    styled,
)

__all__ = ["plot_map_slices", "plot_strain_slices"]

_SLAB = 0.5  # Å, half the thickness of a slice through atoms: their peaks are 0.3 to 0.4 Å wide (sigma)
_ATOM_WIDTH = 0.3  # Å, sigma of an atom in the count of those in a plane
_PLANE_SEARCH = 2.0  # Å from the middle within which a plane of atoms is sought: more than any plane spacing of a metal


@styled
def plot_map_slices(
    density: np.ndarray,
    pixel_size: float,
    *,
    diameter: float | None = None,
    positions: np.ndarray | None = None,
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """Show three orthogonal slices of a map, each through the fullest plane of atoms near the middle of the particle.

    With atoms, a slice is the maximum over a slab of 1 Å, so that every atom that is circled shows its own peak;
    without them it is one layer of voxels through the centre.

    Parameters
    ----------
    density
        Map (z, y, x).
    pixel_size
        Å per voxel.
    diameter
        Å; without atoms the field is cropped to 1.2 diameters when given.
    positions
        Atoms (n, 3) (x, y, z) in Å from the map's centre; they frame the field, and those of each slab are circled.
    axes
        Three axes; new ones without them.

    Returns
    -------
    The three axes: xy, xz and yz slices; titles tell their heights in Å from the map's centre.
    """
    axes = new_axes(1, 3, size=(6.6, 2.4)) if axes is None else axes
    first, side = _window(density.shape[0], pixel_size, diameter, positions)
    middle = density.shape[0] // 2
    inside = [slice(start, start + side) for start in first]
    atoms = np.zeros((0, 3)) if positions is None else np.asarray(positions, float)
    heights = (np.arange(density.shape[0]) - middle) * pixel_size
    images, marks = [], []
    for across, up, through in ((0, 1, 2), (0, 2, 1), (1, 2, 0)):
        depth = _fullest_plane(atoms[:, through]) if len(atoms) else 0.0
        slab = max(_SLAB, pixel_size / 2) if len(atoms) else 0.0
        cut: list[slice | np.ndarray] = [inside[2], inside[1], inside[0]]
        cut[2 - through] = np.flatnonzero(np.abs(heights - depth) <= slab)
        images.append(density[tuple(cut)].max(axis=2 - through))
        near = atoms[np.abs(atoms[:, through] - depth) <= _SLAB]
        marks.append((near / pixel_size + middle - first)[:, [across, up]])
        axes[len(images) - 1].set_title(
            f"{'xyz'[across]}{'xyz'[up]}, {'xyz'[through]} = {f'{depth:+.1f}'.replace('-', '−')} Å"
        )
    # One scale for the three, so that they can be compared.
    low, high = map_limits(np.stack(images))
    for ax, image, pixels in zip(axes, images, marks):
        ax.imshow(image, cmap="magma", vmin=low, vmax=high, origin="lower", interpolation="bilinear")
        image_axes(ax)
        if len(pixels):
            ax.plot(pixels[:, 0], pixels[:, 1], "o", ms=6, mfc="none", mec="#ffffff", mew=0.6, alpha=0.8)
        ax.set_xlim(-0.5, side - 0.5)
        ax.set_ylim(-0.5, side - 0.5)
    peak_bar(axes)
    scale_bar(axes[0], pixel_size, side)
    return axes


def _fullest_plane(heights: np.ndarray) -> float:
    """Return the height near the middle of the particle at which most atoms (n,) lie, Å."""
    middle = float(heights.mean())
    near = heights[np.abs(heights - middle) <= _PLANE_SEARCH]
    if not len(near):
        return middle
    fullness = np.exp(-0.5 * ((heights - near[:, None]) / _ATOM_WIDTH) ** 2).sum(axis=1)
    best = float(near[np.argmax(fullness)])
    return float(heights[np.abs(heights - best) <= _SLAB].mean())


@styled
def plot_strain_slices(
    maps: dict[str, np.ndarray],
    pixel_size: float,
    *,
    diameter: float | None = None,
    positions: np.ndarray | None = None,
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """Show the xy slice through the middle of strain maps on one colour scale; blue is compressed, red stretched.

    Parameters
    ----------
    maps
        Name and map (z, y, x) of each strain, fraction; exactly 0 or NaN where there is no atom.
    pixel_size
        Å per voxel.
    diameter
        Å; without atoms the field is cropped to 1.2 diameters when given.
    positions
        Atoms (n, 3) (x, y, z) in Å from the maps' centre; they frame the field.
    axes
        One axes per map; new ones without it.

    Returns
    -------
    The axes, in per cent; the scale is symmetric, up to the 98th percentile.
    """
    axes = np.ravel(new_axes(1, len(maps), size=(1.65 * len(maps) + 0.6, 1.9)) if axes is None else axes)
    slices = {}
    for name, volume in maps.items():
        (x, y, z), side = _window(volume.shape[0], pixel_size, diameter, positions)
        image = 100 * np.asarray(volume[z + side // 2, y : y + side, x : x + side], float)
        slices[name] = np.where(image == 0, np.nan, image)
    values = np.abs(np.concatenate([image[np.isfinite(image)] for image in slices.values()]))
    top = float(np.percentile(values, 98)) if len(values) else 1.0
    for ax, (name, image) in zip(axes, slices.items()):
        shown = ax.imshow(image, cmap="RdBu_r", vmin=-top, vmax=top, origin="lower", interpolation="none")
        image_axes(ax)
        ax.set_title("radial" if name == "radial" else f"$\\varepsilon_{{{name}}}$")
    quiet_colorbar(axes[0].figure.colorbar(shown, ax=list(axes), fraction=0.03, pad=0.02), "Strain (%)")
    scale_bar(axes[0], pixel_size, image.shape[1])
    return axes


def _window(
    size: int, pixel_size: float, diameter: float | None, positions: np.ndarray | None
) -> tuple[np.ndarray, int]:
    """Return the first voxel (x, y, z) and the odd width of a cube round the atoms, or round the centre of the map."""
    middle = np.zeros(3)
    reach = 0.6 * diameter if diameter and np.isfinite(diameter) else np.inf
    if positions is not None and len(positions):
        low, high = positions.min(axis=0), positions.max(axis=0)
        middle, reach = (low + high) / 2, float((high - low).max()) / 2 + ROOM
    half = int(min((size - 1) // 2, np.ceil(reach / pixel_size)))
    first = np.rint(middle / pixel_size).astype(int) + size // 2 - half
    return np.clip(first, 0, size - (2 * half + 1)), 2 * half + 1
