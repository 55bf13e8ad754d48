"""Figures of the validation: what each check of `single_rs.validate` measured.

Every function takes the arrays of the check's data, as they stand in ``validation.json``; `plot_check` draws whatever
figures a check has. Distances in pm, log-likelihood ratios in nats, frequencies in 1/Å.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from single_rs.plots import resimulation as plots
from single_rs.plots.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    image_axes,
    limits,
    new_axes,
    quiet_colorbar,
    scale_bar,
    scatter_by_radius,
    styled,
)
from single_rs.records import Check

__all__ = [
    "plot_bond_radius",
    "plot_check",
    "plot_effects",
    "plot_fourier_sampling",
    "plot_frame_correlation",
    "plot_half_distance",
    "plot_heldout_gain",
    "plot_reprojections",
    "plot_shell_correlation",
]

_BINS = 50
_TOP = 1.1  # of the correlation axis: noise taken off a weak shell can leave more than 1


@styled
def plot_reprojections(
    pictures: np.ndarray,
    labels: Sequence[str],
    correlation: Sequence[float] | np.ndarray,
    pixel_size: float,
    *,
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """Show frames and averages of frames above the reprojections of the atoms.

    Parameters
    ----------
    pictures
        (k, 2, y, x): data, reprojection.
    labels
        (k,) what each is.
    correlation
        (k,) of data and reprojection.
    pixel_size
        Å.
    axes
        (2, k) axes; new ones without them.
    """
    count = len(pictures)
    if axes is None:
        axes = new_axes(2, count, size=(0.95 * count + 0.2, 2.35), squeeze=False)
    for k, (data, model) in enumerate(pictures):
        low, high = limits(model, 0.5, 99.8)
        noisy = limits(data, 0.5, 99.8)
        for row, (image, bounds) in enumerate(((data, noisy), (model, (low, high)))):
            ax = axes[row, k]
            ax.imshow(image, cmap="gray", vmin=bounds[0], vmax=bounds[1], origin="lower", interpolation="nearest")
            image_axes(ax)
            if k == 0:
                ax.set_ylabel(("data", "atoms")[row])
        axes[0, k].set_title(labels[k], fontsize=7)
        axes[1, k].set_title(f"r = {correlation[k]:.2f}", fontsize=7, color=MUTED)
    if count:
        scale_bar(axes[1, 0], pixel_size, pictures.shape[-1])
    return axes


@styled
def plot_shell_correlation(
    frequency: np.ndarray, noise_free: np.ndarray, raw: np.ndarray | None = None, *, ax: Axes | None = None
) -> Axes:
    """Plot the correlation of frames and reprojections per shell, with the noise taken off and as it is.

    Parameters
    ----------
    frequency
        (n,) 1/Å.
    noise_free, raw
        (n,) correlations.
    ax
        Axes; new ones without them.
    """
    ax = new_axes() if ax is None else ax
    ax.plot(frequency, np.clip(noise_free, -0.1, _TOP), color=BLUE, label="without noise")
    if raw is not None:
        ax.plot(frequency, raw, color=MUTED, label="with noise")
    ax.set_ylim(min(0.0, float(np.nanmin(np.append(noise_free, 0.0)))), _TOP)
    ax.set_xlabel("Spatial frequency (1/Å)")
    ax.set_ylabel("Correlation, frames and atoms")
    ax.legend()
    return ax


@styled
def plot_frame_correlation(correlation: np.ndarray, null: np.ndarray, *, ax: Axes | None = None) -> Axes:
    """Plot the correlation of frames with their own reprojection and, as quantiles, with those of other frames.

    Parameters
    ----------
    correlation
        (n,).
    null
        (q,) quantiles 0 to 1, evenly spaced.
    ax
        Axes; new ones without them.
    """
    ax = new_axes() if ax is None else ax
    edges = np.linspace(min(null.min(), correlation.min()), max(null.max(), correlation.max()), _BINS + 1)
    level = np.linspace(0, 1, len(null))
    density = np.diff(np.interp(edges, null, level)) * len(correlation)
    ax.stairs(density, edges, fill=True, color=MUTED, alpha=0.5, label="poses of other frames")
    ax.hist(correlation, bins=edges.tolist(), color=BLUE, alpha=0.85, label="own pose")
    ax.set_xlabel("Correlation, frame and reprojection")
    ax.set_ylabel("Frames")
    ax.legend()
    return ax


@styled
def plot_half_distance(
    radius: np.ndarray, distance: np.ndarray, surface: np.ndarray, *, ax: Axes | None = None
) -> Axes:
    """Plot how far apart the two half models put each atom.

    Parameters
    ----------
    radius
        (n,) Å from the particle's centre.
    distance
        (n,) pm.
    surface
        (n,) bool.
    ax
        Axes; new ones without them.
    """
    ax = new_axes() if ax is None else ax
    scatter_by_radius(ax, radius, distance, surface)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("Distance from the centre (Å)")
    ax.set_ylabel("Between the half models (pm)")
    ax.legend()
    return ax


@styled
def plot_heldout_gain(gain: np.ndarray, ball: np.ndarray, expected: np.ndarray, *, ax: Axes | None = None) -> Axes:
    """Plot the gain in log-likelihood of held-out frames against what the model predicts for it.

    Parameters
    ----------
    gain, ball
        (n,) nats, log-likelihood ratio to an empty frame of the atoms of the other half, and of a blurred ball.
    expected
        (n,) nats, mean log-likelihood ratio of right atoms in a right pose.
    ax
        Axes; new ones without them.
    """
    ax = new_axes() if ax is None else ax
    top = float(np.percentile(expected, 99.5)) if len(expected) else 1.0
    ax.plot([0, top], [0, top], color=INK, lw=0.8, label="right atoms, right pose")
    ax.plot([0, top], [0, -top], color=MUTED, lw=0.8, ls="--", label="wrong pose")
    ax.plot(expected, ball, ".", ms=2, color=MUTED, alpha=0.6, label="blurred ball", rasterized=True)
    ax.plot(expected, gain, ".", ms=2, color=BLUE, alpha=0.6, label="atoms", rasterized=True)
    ax.set_xlim(0, top)
    ax.set_xlabel("Predicted log-likelihood ratio (nats)")
    ax.set_ylabel("Gain of held-out frames (nats)")
    ax.legend(markerscale=3)
    return ax


@styled
def plot_fourier_sampling(directions: np.ndarray, sampling: np.ndarray, *, ax: Axes | None = None) -> Axes:
    """Show how often each direction of Fourier space was measured, as a disc (equal area) of the half sphere.

    Parameters
    ----------
    directions
        (n, 3) unit vectors with z > 0.
    sampling
        (n,) relative to the mean.
    ax
        Axes; new ones without them.
    """
    ax = new_axes(size=(3.1, 2.6)) if ax is None else ax
    # Lambert's projection: radius √(2(1 − z)) keeps areas.
    flat = directions[:, :2] * np.sqrt(2 / (1 + directions[:, 2:]))
    mesh = ax.tripcolor(flat[:, 0], flat[:, 1], sampling, cmap="viridis", vmin=0, shading="gouraud", rasterized=True)
    quiet_colorbar(ax.figure.colorbar(mesh, ax=ax, fraction=0.05), "Sampling relative to the mean")
    ax.set_aspect("equal")
    image_axes(ax)
    for axis, (x, y) in {"x": (1.52, 0.0), "y": (0.0, 1.52), "z": (0.0, 0.0)}.items():
        ax.text(x, y, axis, color=MUTED if axis != "z" else "#ffffff", ha="center", va="center")
    return ax


@styled
def plot_bond_radius(
    radius: np.ndarray, distance: np.ndarray, surface: np.ndarray, bulk: float, *, ax: Axes | None = None
) -> Axes:
    """Plot the interatomic distances of the perfect crystal against the radius.

    Parameters
    ----------
    radius
        (n,) Å, of the bond's middle from the centre.
    distance
        (n,) Å.
    surface
        (n,) bool, bonds of surface atoms.
    bulk
        Distance that was put in, Å.
    ax
        Axes; new ones without them.
    """
    ax = new_axes() if ax is None else ax
    off = 100 * (distance - bulk)
    scatter_by_radius(ax, radius, off, surface, size=2, alpha=0.5)
    if len(radius) > 20:
        edges = np.quantile(radius, np.linspace(0, 1, 9))
        which = np.clip(np.searchsorted(edges, radius, side="right") - 1, 0, 7)
        middle = [radius[which == k].mean() for k in np.unique(which)]
        ax.plot(middle, [off[which == k].mean() for k in np.unique(which)], "o-", ms=3, color=GREEN, label="mean")
    ax.axhline(0.0, color=INK, lw=0.8)
    ax.set_xlabel("Distance from the centre (Å)")
    ax.set_ylabel("Interatomic distance less bulk (pm)")
    ax.legend(markerscale=2)
    return ax


@styled
def plot_effects(rows: Sequence[Mapping[str, Any]], *, ax: Axes | None = None) -> Axes:
    """Plot the RMSD of a model crystal under each effect, as found and after the best scale.

    Parameters
    ----------
    rows
        With effect, recall, rmsd_pm and rmsd_scaled_pm; an effect under which no atoms were found has no bar.
    ax
        Axes; new ones without them.
    """
    ax = new_axes(size=(4.6, 0.32 * len(rows) + 0.7)) if ax is None else ax
    place = np.arange(len(rows))[::-1]
    found, scaled = (np.array([np.nan if r[k] is None else r[k] for r in rows], float) for k in
                     ("rmsd_pm", "rmsd_scaled_pm"))  # fmt: skip
    ax.barh(place + 0.2, np.nan_to_num(found), 0.36, color=BLUE, label="as found")
    ax.barh(place - 0.2, np.nan_to_num(scaled), 0.36, color=GREEN, label="after scaling")
    for y, row, value in zip(place, rows, found, strict=True):
        if not np.isfinite(value):
            ax.text(0.0, y, "  no atoms", va="center", color=MUTED, fontsize=7)
        elif row["recall"] < 1:
            ax.text(value, y + 0.2, f"  {100 * row['recall']:.0f} % of the atoms", va="center", color=MUTED, fontsize=7)
    ax.set_yticks(place, [str(r["effect"]) for r in rows])
    ax.set_xlabel("RMSD (pm)")
    ax.grid(False, axis="y")
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    return ax


def plot_check(check: Check) -> dict[str, Figure]:
    """Return the figures of a check by name; none for one that was not run.

    Parameters
    ----------
    check
        As returned by a check or read by `single_rs.validate.read_validation`.
    """
    d = check.data
    drawn: dict[str, Any] = {}
    if check.name == "reprojection" and "frequency" in d:
        if "pictures" in d:
            drawn["pictures"] = plot_reprojections(
                np.asarray(d["pictures"]), d["picture_labels"], d["picture_correlation"], d["picture_pixel_size"]
            )[0, 0]
        drawn["shells"] = plot_shell_correlation(d["frequency"], d["correlation_noise_free"], d["correlation_raw"])
        drawn["frames"] = plot_frame_correlation(d["correlation"], d["null"])
    elif check.name == "halves" and len(d.get("radius", ())):
        drawn["distance"] = plot_half_distance(d["radius"], d["distance"], d["surface"])
    elif check.name == "heldout" and "gain" in d:
        drawn["gain"] = plot_heldout_gain(d["gain"], d["gain_ball"], d["gain_expected"])
    elif check.name == "coverage" and "sampling" in d:
        drawn["sampling"] = plot_fourier_sampling(d["directions"], d["sampling"])
    elif check.name == "perfect" and "radius" in d:
        drawn["bonds"] = plot_bond_radius(d["radius"], d["distance"], d["surface_bond"], d["bulk"])
    elif check.name == "defocus" and "rows" in d:
        drawn["effects"] = plot_effects(d["rows"])
    elif check.name == "resimulation":
        drawn |= _resimulation(check)
    return {name: ax.figure for name, ax in drawn.items()}


def _resimulation(check: Check) -> dict[str, Any]:
    """Draw what there is: a repetition that found nothing has frames and transfers only."""
    d, drawn = check.data, {}
    if "pictures" in d:
        drawn["frames"] = plots.plot_simulated_frames(
            np.asarray(d["pictures"]), d["picture_labels"], d["picture_pixel_size"]
        )[0, 0]
    if len(d.get("radius", ())):
        drawn["distance"] = plots.plot_model_distance(d["radius"], d["distance"], d["surface"], check.criteria[0].limit)
    if len(d.get("pose_error", ())):
        drawn["poses"] = plots.plot_pose_errors(d["pose_error"])
    if len(d.get("frequency", ())):
        drawn["transfer"] = plots.plot_transfers(d["frequency"], d["transfer_data"], d["transfer_simulated"])
    return drawn
