"""Figures of the map: Fourier shell correlation, and views along the zone axes of the lattice.

Maps are (z, y, x) with the particle's centre at index N//2; a direction [uvw] of the lattice is u a + v b + w c.
The resolution is where the FSC of the two half maps falls to 0.143.

Reference: P. B. Rosenthal, R. Henderson, J. Mol. Biol. 333, 721 (2003), doi:10.1016/j.jmb.2003.07.013.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection

from single_rs.plots.style import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    ROOM,
    image_axes,
    map_limits,
    new_axes,
    peak_bar,
    quiet_colorbar,
    scale_bar,
    styled,
)

__all__ = [
    "FSC_CRITERION",
    "ZONE_VIEWS",
    "draw_atoms",
    "plot_fsc",
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

    Each picture of the map has its own levels, from the space outside to its peaks.

    Parameters
    ----------
    density
        Map (z, y, x).
    pixel_size
        Å per voxel.
    cell
        Conventional lattice vectors a, b, c as rows (3, 3), Å, particle frame.
    origin
        A lattice point (x, y, z), Å from the map's centre; slices pass through the plane of atoms nearest the middle.
    diameter
        Å; without atoms the field is cropped to 1.2 diameters when given.
    thickness
        Å, thickness of the slices.
    positions
        Atoms (n, 3) (x, y, z) in Å from the map's centre; they frame the field, and a third row shows them, the nearest
        on top.
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
    axes = new_axes(rows, 3, size=(6.6, 2.05 * rows)) if axes is None else axes
    cell = np.asarray(cell, float)
    centre = density.shape[0] // 2
    middle, reach = np.zeros(3), 0.6 * diameter if diameter and np.isfinite(diameter) else np.inf
    if positions is not None and len(positions):
        middle = (positions.min(axis=0) + positions.max(axis=0)) / 2
        reach = float(np.linalg.norm(positions - middle, axis=1).max()) + ROOM
    half = int(min((density.shape[0] - 1) // 2, np.ceil(reach / pixel_size)))
    top = None if radial is None else _symmetric_top(100 * np.asarray(radial, float))
    steps = np.arange(-half, half + 1)
    depth, row, column = np.meshgrid(steps, steps, steps, indexing="ij")
    for index, (view, right) in enumerate(ZONE_VIEWS):
        frame = zone_frame(cell, view, right)
        # Voxel (x, y, z) of each point of the turned box; map_coordinates wants (z, y, x).
        points = [
            column * frame[0, k] + row * frame[1, k] + depth * frame[2, k] + centre + middle[k] / pixel_size
            for k in (2, 1, 0)
        ]
        turned = map_coordinates(density, points, order=1, mode="constant", cval=float(np.median(density)))
        offset = 0.0 if origin is None else _nearest_plane(cell, np.asarray(origin, float) - middle, view)
        chosen = np.abs(steps * pixel_size - offset) <= max(thickness, pixel_size) / 2
        label = "[" + "".join(str(v) for v in view) + "]"
        for ax, image in ((axes[0, index], turned.mean(axis=0)), (axes[1, index], turned[chosen].mean(axis=0))):
            low, high = map_limits(image)
            ax.imshow(image, cmap="magma", vmin=low, vmax=high, origin="lower", interpolation="bilinear")
            image_axes(ax)
        axes[0, index].set_title(label)
        if positions is not None:
            turned_atoms = (np.asarray(positions, float) - middle) @ frame.T
            discs = draw_atoms(axes[2, index], turned_atoms, (half + 0.5) * pixel_size, radial, top)
    axes[0, 0].set_ylabel("projection", color=INK)
    axes[1, 0].set_ylabel(f"{thickness:g} Å slice", color=INK)
    peak_bar(axes[:2].ravel())
    for ax in axes[:2, 0]:
        scale_bar(ax, pixel_size, 2 * half + 1)
    if positions is not None:
        axes[2, 0].set_ylabel("atoms", color=INK)
        if radial is not None:
            bar = axes[2, 0].figure.colorbar(discs, ax=list(axes[2]), fraction=0.03, pad=0.02)
            quiet_colorbar(bar, "Radial strain (%)")
    return axes


def _symmetric_top(percent: np.ndarray) -> float:
    """Return the end of a colour scale round zero: the 97th percentile of the sizes."""
    known = np.abs(percent[np.isfinite(percent)])
    return float(np.percentile(known, 97)) or 1.0 if len(known) else 1.0


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
    from matplotlib.patches import Circle
    from scipy.spatial import cKDTree

    radius = 0.4 * float(np.median(cKDTree(turned).query(turned, k=2)[0][:, 1])) if len(turned) > 1 else 1.0
    order = np.argsort(turned[:, 2], kind="stable")
    discs = PatchCollection([Circle((x, y), radius) for x, y in turned[order, :2]], lw=0.3, edgecolor="#30363d")
    if radial is None:
        discs.set_facecolor("#9aa4b2")
    else:
        percent = 100 * np.asarray(radial, float)[order]
        top = top or _symmetric_top(percent)
        discs.set_array(np.ma.masked_invalid(percent))
        discs.set_cmap("RdBu_r")
        discs.set_clim(-top, top)
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
