"""Figures of the map: Fourier shell correlation, orthogonal slices, and views along the zone axes of the lattice.

Maps are (z, y, x) with the particle's centre at index N//2; a direction [uvw] of the lattice is u a + v b + w c.
The resolution is where the FSC of the two half maps falls to 0.143.

Reference: P. B. Rosenthal, R. Henderson, J. Mol. Biol. 333, 721 (2003), doi:10.1016/j.jmb.2003.07.013.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from single_rs.plots.style import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    image_axes,
    limits,
    new_axes,
    quiet_colorbar,
    scale_bar,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PatchCollection

__all__ = [
    "FSC_CRITERION",
    "ZONE_VIEWS",
    "draw_atoms",
    "plot_fsc",
    "plot_map_slices",
    "plot_strain_slices",
    "plot_zone_axes",
    "zone_frame",
]

FSC_CRITERION = 0.143  # half-map correlation at which the full map correlates 0.5 with the truth (Rosenthal, Henderson)
# View and right of each picture as lattice directions; orthogonal in cubic lattices, made so in others.
ZONE_VIEWS = (((1, 0, 0), (0, 1, 0)), ((1, 1, 0), (1, -1, 0)), ((1, 1, 1), (1, -1, 0)))


@styled
def plot_fsc(
    frequency: np.ndarray,
    fsc: np.ndarray,
    *,
    resolution: float | None = None,
    reflections: dict[str, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot the Fourier shell correlation of the half maps.

    Parameters
    ----------
    frequency
        (n_shell,) spatial frequency, 1/Å.
    fsc
        (n_shell,) correlation.
    resolution
        Å at the 0.143 criterion, marked when given.
    reflections
        Name and spacing in Å of lattice reflections to mark at the top, e.g. ``{"111": 2.27}``.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes.
    """
    ax = new_axes(size=(5.0, 2.6)) if ax is None else ax
    ax.axhline(0, color=MUTED, lw=0.7)
    ax.axhline(FSC_CRITERION, color=MUTED, lw=1.0, ls="--")
    right = float(np.max(frequency))
    ax.text(0.01 * right, FSC_CRITERION + 0.01, "0.143", va="bottom", ha="left", color=MUTED, fontsize=7)
    for name, spacing in (reflections or {}).items():
        if 1 / spacing < right:
            ax.axvline(1 / spacing, color=MUTED, lw=0.5, ls=":", zorder=0)
            top = ax.get_xaxis_transform()
            ax.text(1 / spacing, 1.02, name, transform=top, ha="center", rotation=90, fontsize=6.5, color=MUTED)
    ax.plot(frequency, fsc, color=BLUE)
    if resolution is not None and np.isfinite(resolution) and resolution > 0:
        ax.plot([1 / resolution], [FSC_CRITERION], "o", ms=5, color=ORANGE)
        # The curve falls to the right, so the room is left below the line or right above it.
        below = 1 / resolution > 0.6 * right
        ax.annotate(
            f"{resolution:.2f} Å",
            (1 / resolution, FSC_CRITERION),
            xytext=(-7, -5) if below else (7, 5),
            textcoords="offset points",
            ha="right" if below else "left",
            va="top" if below else "bottom",
            color=ORANGE,
            fontweight="bold",
        )
    ax.set_xlim(0, right)
    ax.set_ylim(min(-0.1, float(np.nanmin(fsc)) - 0.02), 1.05)
    ax.set_xlabel("Spatial frequency (1/Å)")
    ax.set_ylabel("Fourier shell correlation")
    return ax


@styled
def plot_map_slices(
    density: np.ndarray,
    pixel_size: float,
    *,
    diameter: float | None = None,
    positions: np.ndarray | None = None,
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """Show the three central slices of a map, with the atoms that lie in them.

    Parameters
    ----------
    density
        Map (z, y, x).
    pixel_size
        Å per voxel.
    diameter
        Å; the field is cropped to 1.2 diameters when given.
    positions
        Atoms (n, 3) (x, y, z) in Å from the map's centre; those within 0.7 Å of a slice are circled.
    axes
        Three axes; new ones without them.

    Returns
    -------
    The three axes: xy, xz and yz slices.
    """
    axes = new_axes(1, 3, size=(6.6, 2.4)) if axes is None else axes
    size = density.shape[0]
    centre = size // 2
    half = _half_field(size, pixel_size, diameter)
    inside = slice(centre - half, centre + half + 1)
    planes = (
        ("xy", density[centre, inside, inside], (0, 1, 2)),
        ("xz", density[inside, centre, inside], (0, 2, 1)),
        ("yz", density[inside, inside, centre], (1, 2, 0)),
    )
    # One grey scale for the three, so that they can be compared.
    low, high = _levels(np.stack([image for _, image, _ in planes]))
    for ax, (name, image, (across, up, through)) in zip(axes, planes):
        ax.imshow(image, cmap="magma", vmin=low, vmax=high, origin="lower", interpolation="bilinear")
        image_axes(ax)
        ax.set_title(f"{name} slice")
        if positions is not None and len(positions):
            near = positions[np.abs(positions[:, through]) < 0.7]
            pixels = near / pixel_size + half
            ax.plot(pixels[:, across], pixels[:, up], "o", ms=4, mfc="none", mec="#ffffff", mew=0.6, alpha=0.8)
            ax.set_xlim(-0.5, image.shape[1] - 0.5)
            ax.set_ylim(-0.5, image.shape[0] - 0.5)
    scale_bar(axes[0], pixel_size, 2 * half + 1)
    return axes


@styled
def plot_strain_slices(
    maps: dict[str, np.ndarray],
    pixel_size: float,
    *,
    diameter: float | None = None,
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """Show the central xy slice of strain maps on one colour scale; blue is compressed, red stretched.

    Parameters
    ----------
    maps
        Name and map (z, y, x) of each strain, fraction; exactly 0 or NaN where there is no atom.
    pixel_size
        Å per voxel.
    diameter
        Å; the field is cropped to 1.2 diameters when given.
    axes
        One axes per map; new ones without it.

    Returns
    -------
    The axes, in per cent; the scale is symmetric, up to the 98th percentile.
    """
    axes = np.ravel(new_axes(1, len(maps), size=(1.65 * len(maps) + 0.6, 1.9)) if axes is None else axes)
    slices = {}
    for name, volume in maps.items():
        centre, half = volume.shape[0] // 2, _half_field(volume.shape[0], pixel_size, diameter)
        inside = slice(centre - half, centre + half + 1)
        image = 100 * np.asarray(volume[centre, inside, inside], float)
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


def _levels(images: np.ndarray) -> tuple[float, float]:
    """Return the colour limits of pictures of a map: from the level at their rims, outside the particle, to the peaks.

    Troughs below that level are the rings of a sharp resolution limit; shown, they would make empty space look full.
    """
    rim = np.concatenate([images[..., 0, :], images[..., -1, :], images[..., :, 0], images[..., :, -1]], axis=-1)
    low, (_, high) = float(np.median(rim)), limits(images, 0.0, 99.8)
    return low, high if high > low else low + 1.0


def _half_field(size: int, pixel_size: float, diameter: float | None) -> int:
    """Return half the width in pixels of a field that holds a particle with some room round it."""
    most = (size - 1) // 2
    return most if not diameter or not np.isfinite(diameter) else min(most, int(np.ceil(0.6 * diameter / pixel_size)))


def zone_frame(cell: np.ndarray, view: tuple[int, int, int], right: tuple[int, int, int]) -> np.ndarray:
    """Return the orthonormal frame (right, up, view) as rows for looking along a lattice direction.

    Parameters
    ----------
    cell
        Lattice vectors a, b, c as rows (3, 3), Å.
    view, right
        Lattice directions [uvw] towards the viewer and to the right (made orthogonal to the view).
    """
    towards = np.asarray(view, float) @ cell
    towards /= np.linalg.norm(towards)
    across = np.asarray(right, float) @ cell
    across -= (across @ towards) * towards
    across /= np.linalg.norm(across)
    return np.stack([across, np.cross(towards, across), towards])


@styled
def plot_zone_axes(
    density: np.ndarray,
    pixel_size: float,
    cell: np.ndarray,
    *,
    origin: np.ndarray | None = None,
    diameter: float | None = None,
    thickness: float = 1.0,
    positions: np.ndarray | None = None,
    radial: np.ndarray | None = None,
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """Show map and atoms along [100], [110] and [111] of the lattice: projection, thin slice, and the atoms.

    Parameters
    ----------
    density
        Map (z, y, x).
    pixel_size
        Å per voxel.
    cell
        Conventional lattice vectors a, b, c as rows (3, 3), Å, particle frame.
    origin
        A lattice point (x, y, z), Å from the map's centre; slices pass through the plane of atoms nearest the centre.
    diameter
        Å; the field is cropped to 1.2 diameters when given.
    thickness
        Å, thickness of the slices.
    positions
        Atoms (n, 3) (x, y, z) in Å from the map's centre; a third row shows them, the nearest on top.
    radial
        (n,) radial strain of the atoms, fraction, as their colour.
    axes
        Array (2, 3) of axes, (3, 3) with atoms; new ones without it.

    Returns
    -------
    The axes, (2, 3) or (3, 3).
    """
    from scipy.ndimage import map_coordinates

    rows = 2 if positions is None else 3
    axes = new_axes(rows, 3, size=(6.6, 2.25 * rows)) if axes is None else axes
    cell = np.asarray(cell, float)
    centre = density.shape[0] // 2
    half = _half_field(density.shape[0], pixel_size, diameter)
    steps = np.arange(-half, half + 1)
    depth, row, column = np.meshgrid(steps, steps, steps, indexing="ij")
    for index, (view, right) in enumerate(ZONE_VIEWS):
        frame = zone_frame(cell, view, right)
        # Voxel (x, y, z) of each point of the turned box; map_coordinates wants (z, y, x).
        points = [column * frame[0, k] + row * frame[1, k] + depth * frame[2, k] + centre for k in (2, 1, 0)]
        turned = map_coordinates(density, points, order=1, mode="constant", cval=float(np.median(density)))
        offset = 0.0 if origin is None else _nearest_plane(cell, np.asarray(origin, float), view)
        chosen = np.abs(steps * pixel_size - offset) <= max(thickness, pixel_size) / 2
        label = "[" + "".join(str(v) for v in view) + "]"
        for ax, image in ((axes[0, index], turned.mean(axis=0)), (axes[1, index], turned[chosen].mean(axis=0))):
            low, high = _levels(image)
            ax.imshow(image, cmap="magma", vmin=low, vmax=high, origin="lower", interpolation="bilinear")
            image_axes(ax)
        axes[0, index].set_title(label)
        if positions is not None:
            turned_atoms = np.asarray(positions, float) @ frame.T
            draw_atoms(axes[2, index], turned_atoms, (half + 0.5) * pixel_size, radial)
    axes[0, 0].set_ylabel("projection", color=INK)
    axes[1, 0].set_ylabel(f"{thickness:g} Å slice", color=INK)
    if positions is not None:
        axes[2, 0].set_ylabel("atoms" if radial is None else "atoms, radial strain", color=INK)
    scale_bar(axes[0, 0], pixel_size, 2 * half + 1)
    return axes


def draw_atoms(
    ax: Axes, turned: np.ndarray, reach: float, radial: np.ndarray | None, top: float | None = None
) -> PatchCollection:
    """Draw atoms as shaded-by-strain discs of 0.4 bonds, the nearest to the viewer on top.

    Parameters
    ----------
    ax
        Axes to draw in.
    turned
        (n, 3) right, up, towards the viewer, Å.
    reach
        Å, half the field.
    radial
        (n,) radial strain, fraction, as colour.
    top
        Per cent at the ends of the colours; the 97th percentile without it.
    """
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Circle
    from scipy.spatial import cKDTree

    radius = 0.4 * float(np.median(cKDTree(turned).query(turned, k=2)[0][:, 1])) if len(turned) > 1 else 1.0
    order = np.argsort(turned[:, 2], kind="stable")
    discs = PatchCollection([Circle((x, y), radius) for x, y in turned[order, :2]], lw=0.3, edgecolor="#30363d")
    if radial is None:
        discs.set_facecolor("#9aa4b2")
    else:
        percent = 100 * np.asarray(radial, float)[order]
        if top is None:
            top = float(np.nanpercentile(np.abs(percent), 97)) if np.isfinite(percent).any() else 1.0
        discs.set_array(np.ma.masked_invalid(percent))
        discs.set_cmap("RdBu_r")
        discs.set_clim(-(top or 1.0), top or 1.0)
    # Hundreds of discs per view are a picture; as outlines they would make a vector file of megabytes.
    discs.set_rasterized(True)
    ax.add_collection(discs)
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-reach, reach)
    ax.set_aspect("equal")
    image_axes(ax)
    return discs


def _nearest_plane(cell: np.ndarray, origin: np.ndarray, view: tuple[int, int, int]) -> float:
    """Return the signed distance in Å along the view of the lattice plane nearest the map's centre.

    Planes of conventional lattice points perpendicular to [uvw] of a cubic lattice are |a| / |uvw| apart for
    primitive points; with face centring there are more, but a plane through a conventional point always holds atoms.
    """
    direction = np.asarray(view, float) @ cell
    spacing = float(np.linalg.norm(cell[0])) / float(np.linalg.norm(view))
    height = float(origin @ direction / np.linalg.norm(direction))
    return height - spacing * round(height / spacing)
