"""Figures that compare particles: quantities against size with their trend, strain distributions, and a gallery.

Diameters come in Å and stand in nm on the axes; a trend is a line in 1/diameter (`single_rs.trend`), so a curve here,
with a band of one standard error. Strain is a fraction in arrays and per cent in figures.

Reference: figures of the same kind, B. H. Kim et al., Science 368, 60 (2020), doi:10.1126/science.aax3233.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes

from single_rs.base.trend import Trend
from single_rs.plots.maps import draw_atoms, zone_frame
from single_rs.plots.style import BLUE, GREEN, INK, MUTED, ORANGE, new_axes, quiet_colorbar, scale_bar, styled

__all__ = ["plot_against_size", "plot_gallery", "plot_strain_distributions"]

_ANGSTROM_PER_NM = 10.0
_FEWEST = 8  # values that a distribution needs to be drawn as one
_VIEW, _RIGHT = (1, 1, 0), (1, -1, 0)  # of the gallery: the densest columns of fcc


@styled
def plot_against_size(
    diameter: np.ndarray,
    series: dict[str, tuple[np.ndarray, np.ndarray]],
    *,
    diameter_err: np.ndarray | None = None,
    trends: Sequence[tuple[str, Trend]] = (),
    bulk: float | None = None,
    label: str = "",
    hollow: np.ndarray | None = None,
    scale: float = 1.0,
    ax: Axes | None = None,
) -> Axes:
    """Plot quantities of particles against their diameter with error bars and trends.

    Parameters
    ----------
    diameter
        (p,) Å.
    series
        Name → values and standard errors (p,); NaN where not known. At most three.
    diameter_err
        (p,) Å.
    trends
        Name and line in 1/diameter; drawn with its band.
    bulk
        Value of the bulk, as a dashed line.
    label
        Name and unit of the vertical axis.
    hollow
        (p,) bool: particles that take no part in the trends, drawn hollow.
    scale
        Factor on all values, 100 for per cent.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes.
    """
    ax = new_axes(size=(4.4, 3.0)) if ax is None else ax
    d = np.asarray(diameter, float) / _ANGSTROM_PER_NM
    dx = None if diameter_err is None else np.asarray(diameter_err, float) / _ANGSTROM_PER_NM
    hollow = np.zeros(len(d), bool) if hollow is None else np.asarray(hollow, bool)
    shown = np.isfinite(d)
    span = np.linspace(d[shown].min() * 0.95, d[shown].max() * 1.05, 80) if shown.any() else np.linspace(1, 2, 2)
    for name, line in trends:
        middle, error = line.predict(1 / (span * _ANGSTROM_PER_NM))
        ax.fill_between(span, scale * (middle - error), scale * (middle + error), color=MUTED, alpha=0.2, lw=0)
        ax.plot(span, scale * middle, color=INK, lw=1.1, label=name)
    styles = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"))
    # Points of one particle side by side, so that their bars do not cover each other.
    width = 0.006 * float(span[-1] - span[0])
    for number, ((name, (values, errors)), (colour, marker)) in enumerate(zip(series.items(), styles)):
        offset = (number - 0.5 * (len(series) - 1)) * width
        for chosen, face in ((shown & ~hollow, colour), (shown & hollow, "none")):
            if not chosen.any():
                continue
            ax.errorbar(
                d[chosen] + offset, scale * np.asarray(values, float)[chosen],
                yerr=scale * np.nan_to_num(np.asarray(errors, float)[chosen]), xerr=None if dx is None else dx[chosen],
                fmt=marker, ms=4.5, mfc=face, mec=colour, ecolor=colour, elinewidth=0.9, capsize=1.5,
                label=name if face != "none" and len(series) > 1 else None,
            )  # fmt: skip
    if bulk is not None and np.isfinite(bulk):
        ax.axhline(scale * bulk, color=MUTED, lw=0.9, ls="--", label="bulk")
    ax.set_xlabel("Diameter (nm)")
    ax.set_ylabel(label)
    if ax.get_legend_handles_labels()[0]:
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.2 * (high - low))  # room for the legend above the points
        ax.legend(loc="upper center", ncols=4, handletextpad=0.4, columnspacing=1.0)
    return ax


@styled
def plot_strain_distributions(
    radial: Sequence[np.ndarray],
    surface: Sequence[np.ndarray],
    names: Sequence[str],
    *,
    ax: Axes | None = None,
) -> Axes:
    """Plot the distribution of radial strain of each particle, core on the left and surface on the right of each.

    Parameters
    ----------
    radial
        (n,) radial strain of the atoms of each particle, fraction.
    surface
        (n,) bool for each particle.
    names
        Under the distributions, such as the diameters.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes, in per cent; bars mark the medians.
    """
    ax = new_axes(size=(6.6, 2.8)) if ax is None else ax
    extreme = 0.5
    side: Literal["low", "high"]
    for place, (values, outer) in enumerate(zip(radial, surface, strict=True)):
        percent, outer = 100 * np.asarray(values, float), np.asarray(outer, bool)
        for chosen, side, colour in ((~outer, "low", BLUE), (outer, "high", ORANGE)):
            found = percent[chosen & np.isfinite(percent)]
            if len(found) < _FEWEST or np.ptp(found) == 0:
                continue
            low, high = np.percentile(found, (0.5, 99.5))
            extreme = max(extreme, abs(low), abs(high))
            body: dict[str, Any] = ax.violinplot(
                [np.clip(found, low, high)], [place], widths=0.86, showextrema=False, showmedians=True, side=side
            )
            body["bodies"][0].set(facecolor=colour, edgecolor="none", alpha=0.65)
            body["cmedians"].set(color=INK, linewidth=1.1)
    ax.axhline(0, color=MUTED, lw=0.8)
    for name, colour in (("core", BLUE), ("surface", ORANGE)):
        ax.fill_between([], [], color=colour, alpha=0.65, label=name)
    ax.legend(loc="upper right", ncols=2)
    ax.set_xticks(range(len(names)), names)
    ax.set_xlim(-0.7, len(names) - 0.3)
    ax.set_ylim(-1.1 * extreme, 1.35 * extreme)
    ax.grid(axis="x", visible=False)
    ax.set_ylabel("Radial strain (%)")
    return ax


@styled
def plot_gallery(
    positions: Sequence[np.ndarray],
    radial: Sequence[np.ndarray],
    cells: Sequence[np.ndarray | None],
    names: Sequence[str],
    *,
    columns: int = 4,
) -> np.ndarray:
    """Show particles at one scale along [110] of their lattices, coloured by radial strain on one scale.

    Parameters
    ----------
    positions
        (n, 3) Å of each particle, from its middle.
    radial
        (n,) radial strain of each, fraction; NaN is grey.
    cells
        Lattice vectors as rows (3, 3), Å; without them the view is along z.
    names
        Titles.
    columns
        Particles in a row.

    Returns
    -------
    The axes, (rows, columns).
    """
    columns = min(columns, max(len(positions), 1))
    rows = -(-len(positions) // columns)
    axes: np.ndarray = new_axes(rows, columns, size=(1.75 * columns + 0.6, 1.9 * rows), squeeze=False)
    reach = max((float(np.abs(p).max()) for p in positions if len(p)), default=1.0) + 1.5
    finite = [np.abs(r[np.isfinite(r)]) for r in radial]
    pool = np.concatenate(finite) if any(len(f) for f in finite) else np.ones(1)
    top = 100 * float(np.percentile(pool, 97)) or 1.0
    discs = None
    for ax, points, strain, cell, name in zip(axes.ravel(), positions, radial, cells, names):
        frame = np.eye(3) if cell is None else zone_frame(np.asarray(cell, float), _VIEW, _RIGHT)
        if len(points):
            discs = draw_atoms(ax, points @ frame.T, reach, strain, top)
        ax.set_title(name)
    for ax in axes.ravel():
        ax.set_axis_off()
    if discs is not None:
        bar = axes[0, 0].figure.colorbar(discs, ax=axes, fraction=0.02, pad=0.02, shrink=0.8)
        quiet_colorbar(bar, "Radial strain (%)")
        scale_bar(axes[0, 0], 1.0, round(2 * reach))
    return axes
