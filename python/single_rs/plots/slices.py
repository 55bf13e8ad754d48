"""Slices through maps, in planes of atoms: density and strain.

Maps are (z, y, x) with their centre at index N//2.
"""

from __future__ import annotations

import numpy as np

from single_rs.plots.style import (
    INK,
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
_PER_ROW = 5  # maps in a row
# Maps that cannot be negative, and the label of their scales.
_POSITIVE = {"von_mises": "Von Mises strain (%)", "rotation": "Rotation (°)"}
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
    """Show the xy slice of strain maps through the fullest plane of atoms; blue is compressed, red stretched.

    Strains share one scale, symmetric about 0; the von Mises strain and the rotation, which cannot be negative, have
    scales of their own, from 0.

    Parameters
    ----------
    maps
        Name and map (z, y, x) of each, as `strain_maps` returns them: strains as fractions, "rotation" in degrees;
        exactly 0 or NaN where there is no atom.
    pixel_size
        Å per voxel.
    diameter
        Å; without atoms the field is cropped to 1.2 diameters when given.
    positions
        Atoms (n, 3) (x, y, z) in Å from the maps' centre; they frame the field, and the slice is through their plane
        that is fullest near the middle; without them it is through the middle.
    axes
        One axes per map; new ones without it.

    Returns
    -------
    The axes, one per map, in the order of the maps; per cent, degrees for the rotation. Scales end at the 98th
    percentile.
    """
    if axes is None:
        columns = min(len(maps), _PER_ROW)
        rows = -(-len(maps) // columns)
        axes = new_axes(rows, columns, size=(1.32 * columns + 0.6, 1.6 * rows), squeeze=False)
        for spare in np.ravel(axes)[len(maps) :]:
            spare.set_axis_off()
    axes = np.ravel(axes)[: len(maps)]
    kinds = [name if name in _POSITIVE else "strain" for name in maps]
    slices = []
    for name, volume in maps.items():
        (x, y, z), side = _window(volume.shape[0], pixel_size, diameter, positions)
        height = z + side // 2
        if positions is not None and len(positions):
            height = round(_fullest_plane(np.asarray(positions, float)[:, 2]) / pixel_size) + volume.shape[0] // 2
        image = np.asarray(volume[height, y : y + side, x : x + side], float) * (1 if name == "rotation" else 100)
        slices.append(np.where(image == 0, np.nan, image))
    for kind in dict.fromkeys(kinds):
        mine = [k for k, own in enumerate(kinds) if own == kind]
        values = np.abs(np.concatenate([slices[k][np.isfinite(slices[k])] for k in mine]))
        top = (float(np.percentile(values, 98)) if len(values) else 1.0) or 1.0
        label, low, colours = ("Strain (%)", -top, "RdBu_r") if kind == "strain" else (_POSITIVE[kind], 0.0, "viridis")
        for k in mine:
            shown = axes[k].imshow(slices[k], cmap=colours, vmin=low, vmax=top, origin="lower", interpolation="nearest")
            image_axes(axes[k])
            name = list(maps)[k]
            axes[k].set_title(f"$\\varepsilon_{{{name}}}$" if len(name) == 2 else name.replace("_", " "))
        # The scale of the strains beside all pictures; one of its own below a picture, which keeps the columns alike.
        figure, own = axes[0].figure, [axes[k] for k in mine]
        if kind == "strain":
            quiet_colorbar(figure.colorbar(shown, ax=list(axes), fraction=0.03, pad=0.02, shrink=0.9), label)
        else:
            bar = figure.colorbar(shown, ax=own, location="bottom", fraction=0.05, pad=0.03, shrink=0.8)
            quiet_colorbar(bar, "")
            bar.set_label(label, fontsize=7, color=INK)
    scale_bar(axes[0], pixel_size, slices[0].shape[1])
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
