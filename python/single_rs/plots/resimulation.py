"""Figures of the resimulation: frames of data and simulation, the two models, their poses, and the two microscopes.

Every function takes the arrays of the check's data, as they stand in ``validation.json``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from single_rs.plots.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    image_axes,
    limits,
    new_axes,
    scale_bar,
    scatter_by_radius,
    styled,
)

__all__ = ["plot_model_distance", "plot_pose_errors", "plot_simulated_frames", "plot_transfers"]

_ROWS = ("data", "simulated", "no noise")
_BINS = 40
_SMALLEST = 0.05  # degrees: smaller errors of poses are drawn here


@styled
def plot_simulated_frames(
    pictures: np.ndarray, labels: Sequence[str], pixel_size: float, *, axes: np.ndarray | None = None
) -> np.ndarray:
    """Show frames of the data above the same poses simulated, with noise and without.

    Parameters
    ----------
    pictures
        (k, 3, y, x): data, simulation with noise, simulation without.
    labels
        (k,) what each is.
    pixel_size
        Å.
    axes
        (3, k) axes; new ones without them.
    """
    count = len(pictures)
    if axes is None:
        axes = new_axes(3, count, size=(1.5 * count + 0.3, 4.7), squeeze=False)
    for k, triple in enumerate(pictures):
        noisy = limits(triple[:2], 0.5, 99.8)  # one grey scale for both: contrast is compared as well
        for row, image in enumerate(triple):
            low, high = noisy if row < 2 else limits(image, 0.5, 99.8)
            ax = axes[row, k]
            ax.imshow(image, cmap="gray", vmin=low, vmax=high, origin="lower", interpolation="nearest")
            image_axes(ax)
            if k == 0:
                ax.set_ylabel(_ROWS[row])
        axes[0, k].set_title(labels[k], fontsize=7)
    if count:
        scale_bar(axes[2, 0], pixel_size, pictures.shape[-1])
    return axes


@styled
def plot_model_distance(
    radius: np.ndarray,
    distance: np.ndarray,
    surface: np.ndarray,
    limit: float | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Plot how far each atom of the repeated model lies from where it was put.

    Parameters
    ----------
    radius
        (n,) Å from the particle's centre.
    distance
        (n,) pm.
    surface
        (n,) bool.
    limit
        RMSD that passes, pm; not drawn when not given.
    ax
        Axes; new ones without them.
    """
    ax = new_axes() if ax is None else ax
    scatter_by_radius(ax, radius, distance, surface, label=lambda name, d: f"{name}, RMSD {np.sqrt(np.mean(d**2)):.1f}")
    if limit is not None:
        ax.axhline(limit, color=INK, lw=0.8, ls="--", label=f"limit of the RMSD, {limit:.0f}")
    ax.set_ylim(bottom=0)
    ax.set_xlabel("Distance from the centre (Å)")
    ax.set_ylabel("Between the two models (pm)")
    ax.legend()
    return ax


@styled
def plot_pose_errors(error: np.ndarray, near: float = 3.0, *, ax: Axes | None = None) -> Axes:
    """Plot the histogram of the angles between the poses found again and those that were put in.

    Parameters
    ----------
    error
        (n,) degrees.
    near
        Degrees within which a pose counts as found again.
    ax
        Axes; new ones without them.
    """
    ax = new_axes() if ax is None else ax
    edges = np.geomspace(_SMALLEST, 180.0, _BINS + 1)
    ax.hist(np.maximum(error, _SMALLEST), bins=edges.tolist(), color=BLUE, alpha=0.85)
    ax.axvline(near, color=INK, lw=0.8, ls="--")
    share = float(np.mean(error < near)) if len(error) else 0.0
    ax.set_title(f"{100 * share:.1f} % of {len(error)} frames within {near:.0f}°")
    ax.set_xscale("log")
    ax.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    ax.set_xlabel("Error of the pose found again (°)")
    ax.set_ylabel("Frames")
    return ax


@styled
def plot_transfers(frequency: np.ndarray, data: np.ndarray, simulated: np.ndarray, *, ax: Axes | None = None) -> Axes:
    """Plot the transfer from atoms to frames as measured in the data and in the simulation.

    Parameters
    ----------
    frequency
        (n,) 1/Å.
    data, simulated
        (n,) transfers, in one unit.
    ax
        Axes; new ones without them.
    """
    ax = new_axes() if ax is None else ax
    scale = max(float(np.nanmax(np.abs(data))), float(np.nanmax(np.abs(simulated))), 1e-30)
    ax.axhline(0.0, color=MUTED, lw=0.6)
    ax.plot(frequency, np.asarray(data) / scale, color=BLUE, label="data")
    ax.plot(frequency, np.asarray(simulated) / scale, color=GREEN, label="simulated")
    ax.set_xlabel("Spatial frequency (1/Å)")
    ax.set_ylabel("Transfer from atoms to frames")
    ax.legend()
    return ax
