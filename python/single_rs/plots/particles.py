"""Particles side by side at one scale, as ray-cast stills: density, atoms, any value of the atoms, coordination.

Views are along one direction of each particle's own lattice. Colours of values have one scale for all particles,
symmetric about zero. Strain is a fraction in arrays and per cent in figures.

Reference: figures of the same kind, B. H. Kim et al., Science 368, 60 (2020), doi:10.1126/science.aax3233.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from single_rs.base.errors import InputError
from single_rs.plots.atoms import plot_coordination
from single_rs.plots.maps import zone_frame
from single_rs.plots.render import element_colours, render_spheres, render_surface, value_colours
from single_rs.plots.style import image_axes, new_axes, quiet_colorbar, scale_bar_below, styled

__all__ = ["Still", "draw_still", "plot_coordination_still", "plot_particles"]

_VIEW, _RIGHT = (1, 1, 0), (1, -1, 0)  # the densest columns of fcc
_TILT = (9.0, -13.0)  # degrees about right and up, so that columns are seen as columns and not as one atom
_RADIUS = 0.49  # of a sphere, in nearest-neighbour distances: neighbours just touch
_MARGIN = 0.8  # Å round the atoms
# Of the surface, between the density outside and the median peak of the atoms.
_LEVEL = 0.25
_DPI = 300  # of the stills, in print


@dataclass(frozen=True)
class Still:
    """What a still shows of one particle.

    Attributes
    ----------
    name
        Above the particle.
    positions
        (n, 3) Å from the centre of the map.
    symbols
        (n,) elements.
    values
        Name → (n,) values of the atoms, in the unit of the figure; NaN where unknown.
    cell
        (3, 3) lattice vectors as rows, Å; None looks along z.
    density, pixel_size
        Map (z, y, x) and Å per voxel; None without one.
    """

    name: str
    positions: NDArray[np.float64] = field(repr=False)
    symbols: NDArray[np.str_] = field(repr=False)
    values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)
    cell: NDArray[np.float64] | None = field(default=None, repr=False)
    density: NDArray[np.float32] | None = field(default=None, repr=False)
    pixel_size: float | None = None

    @property
    def middle(self) -> NDArray[np.float64]:
        """(3,) Å, middle of the atoms."""
        return np.asarray((self.positions.min(axis=0) + self.positions.max(axis=0)) / 2)

    @property
    def bond(self) -> float:
        """Å, median distance of nearest neighbours."""
        from scipy.spatial import cKDTree

        if len(self.positions) < 2:
            return 2.8
        return float(np.median(cKDTree(self.positions).query(self.positions, k=2)[0][:, 1]))

    @property
    def reach(self) -> float:
        """Å from the middle to the rim of the farthest atom."""
        away = np.linalg.norm(self.positions - self.middle, axis=1)
        return float(away.max()) + _RADIUS * self.bond + _MARGIN

    def reach_in(self, frame: NDArray[np.float64]) -> float:
        """Å, half the square field that holds the particle as seen along a frame's third row."""
        flat = (self.positions - self.middle) @ frame[:2].T
        return float(np.abs(flat).max()) + _RADIUS * self.bond + _MARGIN

    def tilted(self) -> NDArray[np.float64]:
        """View near [110], tilted so that columns are seen as such."""
        from scipy.spatial.transform import Rotation

        return np.asarray(Rotation.from_euler("xy", _TILT, degrees=True).as_matrix() @ self.frame())

    def frame(self, view: tuple[int, int, int] = _VIEW, right: tuple[int, int, int] = _RIGHT) -> NDArray[np.float64]:
        """Rows (3, 3) right, up, towards the viewer along a direction of the lattice; the axes without a lattice."""
        return np.eye(3) if self.cell is None else zone_frame(np.asarray(self.cell, float), view, right)

    def level(self) -> float:
        """Density of the surface that is shown."""
        from scipy.ndimage import map_coordinates

        if self.density is None or self.pixel_size is None:
            raise InputError("a particle without a map has no surface; give density and pixel_size")
        places = (self.positions / self.pixel_size + self.density.shape[0] // 2)[:, ::-1].T
        peaks = map_coordinates(self.density, places, order=1, mode="nearest")
        outside = float(np.median(self.density))
        return outside + _LEVEL * (float(np.median(peaks)) - outside)


def draw_still(
    ax: Axes,
    still: Still,
    colours: NDArray[np.float64] | None,
    *,
    reach: float,
    frame: NDArray[np.float64] | None = None,
    chosen: NDArray[np.bool_] | None = None,
    radius: float | NDArray[np.float64] | None = None,
    inches: float = 1.2,
) -> None:
    """Draw atoms, or without colours the surface of the density, into axes in Å from the middle of the particle.

    Parameters
    ----------
    ax
        Axes.
    still
        The particle.
    colours
        (n, 3) of the atoms; None draws the surface.
    reach
        Å, half the field.
    frame
        Rows right, up, towards the viewer; that of the still without it.
    chosen
        (n,) bool, atoms that are drawn.
    radius
        Å; neighbours touch without it.
    inches
        Width of the axes in print.
    """
    turn = still.frame() if frame is None else frame
    pixels = int(inches * _DPI)
    if colours is None:
        if still.density is None or still.pixel_size is None:
            raise InputError("a particle without a map has no surface; give density and pixel_size")
        picture = render_surface(
            still.density, still.pixel_size, still.level(), turn, middle=still.middle, reach=reach, pixels=pixels
        )
    else:
        some = np.ones(len(still.positions), bool) if chosen is None else chosen
        sphere = _RADIUS * still.bond if radius is None else radius
        sphere = sphere[some] if isinstance(sphere, np.ndarray) else sphere
        turned = (still.positions - still.middle)[some] @ turn.T
        picture = render_spheres(turned, sphere, colours[some], reach, pixels)
    ax.imshow(picture, extent=(-reach, reach, -reach, reach), origin="lower", interpolation="antialiased")
    image_axes(ax)


@styled
def plot_particles(
    stills: Sequence[Still],
    rows: Sequence[str] = ("density", "atoms"),
    *,
    labels: Mapping[str, str] | None = None,
    tops: Mapping[str, float] | None = None,
    width: float = 7.24,
) -> NDArray[Any]:
    """Show particles side by side at one scale, a row for each quantity.

    Parameters
    ----------
    stills
        The particles, the smallest first.
    rows
        "density" (surface of the map), "atoms" (colours of the elements), or names of values.
    labels
        Name → text of its colour bar.
    tops
        Name → end of its colour scale; the 97th percentile of all sizes without it.
    width
        Inches.

    Returns
    -------
    The axes, (rows, particles).
    """
    count = max(len(stills), 1)
    side = min((width - 0.75) / count, 1.9)
    size = (count * side + 0.75, len(rows) * side + 0.35)
    axes: NDArray[Any] = new_axes(len(rows), count, size=size, squeeze=False)
    frames = [s.tilted() for s in stills]
    reach = max(s.reach_in(f) for s, f in zip(stills, frames))
    for line, kind in zip(axes, rows):
        top = (tops or {}).get(kind, 0.0) or _top([s.values[kind] for s in stills if kind in s.values])
        for ax, still, frame in zip(line, stills, frames):
            if kind == "atoms":
                draw_still(ax, still, element_colours(still.symbols), reach=reach, frame=frame, inches=side)
            elif kind == "density" and still.density is not None:
                draw_still(ax, still, None, reach=reach, frame=frame, inches=side)
            elif kind in still.values:
                draw_still(ax, still, value_colours(still.values[kind], top), reach=reach, frame=frame, inches=side)
            else:
                image_axes(ax)
                ax.text(0.5, 0.5, "no map" if kind == "density" else "unknown", transform=ax.transAxes, ha="center")
            ax.set_xlim(-reach, reach)
            ax.set_ylim(-reach, reach)
            ax.set_aspect("equal")
        if kind not in ("atoms", "density"):
            _symmetric_bar(list(line), top, (labels or {}).get(kind, kind))
    for ax, still in zip(axes[0], stills):
        ax.set_title(still.name)
    scale_bar_below(axes[-1, 0], 2 * reach)
    return axes


@styled
def plot_coordination_still(
    still: Still, coordination: NDArray[np.int64], surface: NDArray[np.bool_] | None = None
) -> NDArray[Any]:
    """Show the atoms by their number of neighbours, beside how many there are of each.

    Parameters
    ----------
    still
        The particle.
    coordination
        (n,) neighbours.
    surface
        (n,) bool; core and surface are stacked when given.

    Returns
    -------
    The two axes.
    """
    import matplotlib as mpl
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm

    axes: NDArray[Any] = new_axes(1, 2, size=(4.76, 2.3), width_ratios=(1.1, 1))
    low, high = int(coordination.min()), max(int(coordination.max()), int(coordination.min()) + 1)
    levels = mpl.colormaps["viridis"].resampled(high - low + 1)
    colours = levels((coordination - low) / (high - low))[:, :3]
    frame = still.tilted()
    draw_still(axes[0], still, colours, reach=still.reach_in(frame), frame=frame, inches=2.2)
    shown = ScalarMappable(BoundaryNorm(np.arange(low, high + 2) - 0.5, high - low + 1), levels)
    bar = axes[0].figure.colorbar(shown, ax=axes[0], fraction=0.05, pad=0.02, shrink=0.85, ticks=range(low, high + 1))
    quiet_colorbar(bar, "Neighbours")
    scale_bar_below(axes[0], 2 * still.reach_in(frame))
    plot_coordination(coordination, surface, ax=axes[1])
    return axes


def _top(values: Sequence[NDArray[np.float64]]) -> float:
    """End of a symmetric scale: the 97th percentile of the sizes of all values."""
    known = [np.abs(v[np.isfinite(v)]) for v in values]
    pool = np.concatenate(known) if known else np.zeros(0)
    return (float(np.percentile(pool, 97)) if len(pool) else 0.0) or 1.0


def _symmetric_bar(axes: list[Axes], top: float, label: str, **options: Any) -> None:
    """Put a colour bar from −top to top beside axes."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    shown = ScalarMappable(Normalize(-top, top), "RdBu_r")
    bar = axes[0].figure.colorbar(shown, ax=axes, **{"fraction": 0.03, "pad": 0.01, "shrink": 0.85, **options})
    quiet_colorbar(bar, label)
