"""Figures of the atoms: peak heights, uncertainties, strain and nearest-neighbour distances.

Strain is a fraction in arrays and per cent in figures; the tensor order is xx, yy, zz, xy, xz, yz (tensor shear). Core
and surface are always shown apart: a surface atom has lost neighbours and its bonds contract for that reason alone.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from single_rs.plots.style import BLUE, INK, MUTED, ORANGE, core_and_surface, new_axes, scatter_by_radius, styled

__all__ = [
    "neighbour_distances",
    "plot_atom_heights",
    "plot_coordination",
    "plot_neighbour_distances",
    "plot_radial_strain",
    "plot_strain_components",
    "plot_strain_histogram",
    "plot_uncertainty",
]

# Of the strain tensor, as in `single_rs.strain`, whose import would cost more than all of this module.
COMPONENTS = ("xx", "yy", "zz", "xy", "xz", "yz")


@styled
def plot_atom_heights(height: np.ndarray, surface: np.ndarray | None = None, *, ax: Axes | None = None) -> Axes:
    """Plot the histogram of the peak heights of the atoms.

    Parameters
    ----------
    height
        (n,) fitted heights, in units of the map.
    surface
        (n,) bool; core and surface are stacked when given.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes.
    """
    ax = new_axes(size=(3.5, 2.4)) if ax is None else ax
    _stacked(ax, height, surface)
    ax.set_xlabel("Peak height (map units)")
    ax.set_ylabel("Atoms")
    return ax


@styled
def plot_uncertainty(sigma: np.ndarray, surface: np.ndarray | None = None, *, ax: Axes | None = None) -> Axes:
    """Plot the histogram of the stated uncertainty of the positions.

    Parameters
    ----------
    sigma
        (n,) one standard deviation per axis, Å.
    surface
        (n,) bool; core and surface are stacked when given.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes, in pm.
    """
    ax = new_axes(size=(3.5, 2.4)) if ax is None else ax
    picometre = np.asarray(sigma, float) * 100
    _stacked(ax, picometre, surface)
    middle = float(np.nanmedian(picometre)) if np.isfinite(picometre).any() else float("nan")
    if np.isfinite(middle):
        _mark(ax, middle, f"median {middle:.1f} pm")
    ax.set_xlabel("Position uncertainty σ per axis (pm)")
    ax.set_ylabel("Atoms")
    return ax


BINS = 36  # of a histogram


def _bins(values: np.ndarray) -> list[float]:
    """Return bin edges over the central 99.5% of finite values, so that one outlier cannot flatten a histogram."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return [float(v) for v in np.linspace(0, 1, BINS + 1)]
    low, high = np.percentile(finite, (0.25, 99.75))
    room = 0.05 * (high - low) or max(abs(high) * 0.05, 1e-6)
    return [float(v) for v in np.linspace(low - room, high + room, BINS + 1)]


def _stacked(ax: Axes, values: np.ndarray, surface: np.ndarray | None) -> None:
    """Draw a histogram, core and surface stacked when they are known; outliers count in the end bins."""
    values = np.asarray(values, float)
    edges = _bins(values)
    values = np.clip(values, edges[0], edges[-1])
    if surface is None:
        ax.hist(values[np.isfinite(values)], bins=edges, histtype="stepfilled", color=BLUE, alpha=0.9)
        return
    surface = np.asarray(surface, bool)
    parts = [values[~surface & np.isfinite(values)], values[surface & np.isfinite(values)]]
    ax.hist(
        parts,
        bins=edges,
        stacked=True,
        histtype="stepfilled",
        color=[BLUE, ORANGE],
        alpha=0.9,
        label=["core", "surface"],
    )
    # Room above the bars keeps the legend off the data.
    ax.set_ylim(top=ax.get_ylim()[1] * 1.25)
    ax.legend(loc="upper right", ncols=2, handlelength=1.2)


def _mark(ax: Axes, value: float, text: str) -> None:
    """Draw a vertical line at a value, with its name above the axes, where no bar can hide it."""
    ax.axvline(value, color=INK, lw=1.0, ls="--")
    ax.text(value, 1.02, text, transform=ax.get_xaxis_transform(), ha="center", fontsize=7.5, color=INK)


@styled
def plot_coordination(coordination: np.ndarray, surface: np.ndarray | None = None, *, ax: Axes | None = None) -> Axes:
    """Plot how many atoms have each number of neighbours.

    Parameters
    ----------
    coordination
        (n,) int, neighbours of each atom.
    surface
        (n,) bool; core and surface are stacked when given.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes.
    """
    ax = new_axes(size=(3.5, 2.4)) if ax is None else ax
    number = np.asarray(coordination, int)
    surface = np.zeros(len(number), bool) if surface is None else np.asarray(surface, bool)
    core, outer = (np.bincount(number[chosen], minlength=13) for chosen in (~surface, surface))
    core, outer = (np.pad(c, (0, max(len(core), len(outer)) - len(c))) for c in (core, outer))
    first = int(np.flatnonzero(core + outer)[0]) if len(number) else 0
    ticks = np.arange(first, len(core))
    ax.bar(ticks, core[first:], width=0.8, color=BLUE, alpha=0.9, label="core")
    if outer.any():
        ax.bar(ticks, outer[first:], width=0.8, bottom=core[first:], color=ORANGE, alpha=0.9, label="surface")
        ax.legend(loc="upper left", handlelength=1.2)
    ax.set_xticks(ticks)
    ax.grid(axis="x", visible=False)
    ax.set_xlabel("Neighbours")
    ax.set_ylabel("Atoms")
    return ax


@styled
def plot_strain_histogram(
    strain: np.ndarray,
    surface: np.ndarray | None = None,
    *,
    label: str = "Radial strain",
    ax: Axes | None = None,
) -> Axes:
    """Plot the distribution of one strain measure over all, core and surface atoms.

    Parameters
    ----------
    strain
        (n,) strain, fraction.
    surface
        (n,) bool.
    label
        Name of the strain for the axis.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes, in per cent.
    """
    ax = new_axes(size=(3.5, 2.4)) if ax is None else ax
    percent = 100 * np.asarray(strain, float)
    edges = _bins(percent)
    everything = (np.ones(len(percent), bool), INK, "all")
    for chosen, colour, name in (everything, *core_and_surface(len(percent), surface)):
        values = percent[chosen & np.isfinite(percent)]
        if not len(values):
            continue
        text = f"{name}: mean {values.mean():+.2f}%, spread {values.std():.2f}%".replace("-", "−")
        clipped = np.clip(values, edges[0], edges[-1])
        if name == "all":
            ax.hist(clipped, bins=edges, histtype="step", color=colour, lw=1.1, label=text)
        else:
            ax.hist(clipped, bins=edges, histtype="stepfilled", color=colour, alpha=0.55, label=text)
    ax.axvline(0, color=MUTED, lw=0.8)
    # Room above the bars keeps the numbers in the legend off the data.
    ax.set_ylim(top=ax.get_ylim()[1] * 1.45)
    ax.legend(loc="upper center", fontsize=7, ncols=1)
    ax.set_xlabel(f"{label} (%)")
    ax.set_ylabel("Atoms")
    return ax


@styled
def plot_strain_components(
    tensor: np.ndarray, surface: np.ndarray | None = None, *, axes: np.ndarray | None = None
) -> np.ndarray:
    """Plot the distributions of the six strain components, core and surface.

    Parameters
    ----------
    tensor
        (n, 6) strain, fraction, order xx, yy, zz, xy, xz, yz.
    surface
        (n,) bool.
    axes
        Array (2, 3) of axes; new ones without it.

    Returns
    -------
    The axes (2, 3), in per cent, with common axes so that components compare.
    """
    axes = new_axes(2, 3, size=(6.6, 3.3), sharex=True, sharey=True) if axes is None else axes
    percent = 100 * np.asarray(tensor, float)
    edges = _bins(percent.ravel())
    for index, (ax, name) in enumerate(zip(axes.ravel(), COMPONENTS)):
        for chosen, colour, label in core_and_surface(len(percent), surface):
            values = percent[chosen, index]
            values = np.clip(values[np.isfinite(values)], edges[0], edges[-1])
            if len(values):
                ax.hist(
                    values,
                    bins=edges,
                    histtype="stepfilled",
                    color=colour,
                    alpha=0.6,
                    label=label if index == 0 else None,
                )
        ax.axvline(0, color=MUTED, lw=0.8)
        ax.set_title(f"$\\varepsilon_{{{name}}}$", loc="left")
    for ax in axes[1]:
        ax.set_xlabel("Strain (%)")
    for ax in axes[:, 0]:
        ax.set_ylabel("Atoms")
    axes[0, 0].legend(loc="upper right", handlelength=1)
    return axes


@styled
def plot_radial_strain(
    positions: np.ndarray,
    radial: np.ndarray,
    surface: np.ndarray | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Plot radial strain against the distance from the particle's centre, with the mean of equal groups of atoms.

    Parameters
    ----------
    positions
        Atoms (n, 3), Å.
    radial
        (n,) radial strain du_r/dr, fraction.
    surface
        (n,) bool.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes, in Å and per cent. Error bars are the standard error of each mean.
    """
    ax = new_axes(size=(3.5, 2.4)) if ax is None else ax
    radius = np.linalg.norm(positions - positions.mean(axis=0), axis=1)
    percent = 100 * np.asarray(radial, float)
    scatter_by_radius(ax, radius, percent, surface, alpha=0.45)
    order = np.argsort(radius[np.isfinite(percent)])
    r, e = radius[np.isfinite(percent)][order], percent[np.isfinite(percent)][order]
    groups = [g for g in np.array_split(np.arange(len(r)), min(12, max(1, len(r) // 10))) if len(g) > 1]
    if groups:
        ax.errorbar(
            [r[g].mean() for g in groups],
            [e[g].mean() for g in groups],
            yerr=[e[g].std(ddof=1) / np.sqrt(len(g)) for g in groups],
            color=INK, lw=1.3, marker="o", ms=3, capsize=2, label="mean",
        )  # fmt: skip
        low, high = np.percentile(e, (0.5, 99.5))
        room = 0.25 * (high - low) or 0.1
        ax.set_ylim(low - room, high + room)
    ax.axhline(0, color=MUTED, lw=0.8)
    ax.set_xlabel("Distance from centre (Å)")
    ax.set_ylabel("Radial strain (%)")
    ax.legend(loc="best", ncols=3, handletextpad=0.2, columnspacing=0.8)
    return ax


def neighbour_distances(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of nearest neighbours and their distances.

    Neighbours are closer than 1.2 times the median nearest distance: between the first shell and the second, which
    is at 1.41 (fcc, hcp) or 1.15 (bcc, whose eight nearest and six next ones then count together).

    Parameters
    ----------
    positions
        Atoms (n, 3), Å.

    Returns
    -------
    Pairs (m, 2) of atom numbers and distances (m,) in Å.
    """
    from scipy.spatial import cKDTree

    if len(positions) < 2:
        return np.zeros((0, 2), int), np.zeros(0)
    tree = cKDTree(positions)
    nearest = tree.query(positions, k=2)[0][:, 1]
    pairs = tree.query_pairs(1.2 * float(np.median(nearest)), output_type="ndarray")
    return pairs, np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)


@styled
def plot_neighbour_distances(
    positions: np.ndarray,
    surface: np.ndarray | None = None,
    *,
    reference: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot the histogram of nearest-neighbour distances; bonds with a surface atom are shown apart.

    Parameters
    ----------
    positions
        Atoms (n, 3), Å.
    surface
        (n,) bool.
    reference
        Distance in Å to mark, such as that of the best-fit lattice.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes, in Å.
    """
    ax = new_axes(size=(3.5, 2.4)) if ax is None else ax
    pairs, distance = neighbour_distances(np.asarray(positions, float))
    outer = None if surface is None else np.asarray(surface, bool)[pairs].any(axis=1)
    _stacked(ax, distance, outer)
    if reference:
        _mark(ax, reference, f"lattice {reference:.3f} Å")
    ax.set_xlabel("Nearest-neighbour distance (Å)")
    ax.set_ylabel("Bonds")
    return ax
