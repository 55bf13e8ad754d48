"""Figures of the poses: where the views lie, how far the particle turns between frames, and how sure each pose is.

A pose R maps particle to laboratory, x_lab = R x_particle, and the beam is along lab z, so the direction of the beam
in the particle's frame is R^T e_z, the third row of R. The step between frames i and i+1 is the angle of
R_{i+1} R_i^T, with cos(angle) = (trace - 1) / 2.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from single_rs.base.rotations import rotation_angle
from single_rs.base.sampling import evenly
from single_rs.plots.style import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, new_axes, quiet_colorbar, styled

__all__ = ["plot_orientation_coverage", "plot_pose_steps", "plot_scores", "view_coverage"]

# Width of the kernel that turns single views into a density, degrees; about the step between frames at 2.5 ms.
_KERNEL_DEG = 7.0
# Views used for the density picture; more do not change it, and the cost is views x grid points.
_MAX_VIEWS = 4000
_ZONES = {
    "⟨100⟩": ((1, 0, 0),),
    "⟨110⟩": ((1, 1, 0), (1, -1, 0)),
    "⟨111⟩": ((1, 1, 1), (1, 1, -1), (1, -1, 1), (-1, 1, 1)),
}


def view_coverage(rotations: np.ndarray, within: float = 6.0) -> float:
    """Return the fraction of all view directions that have a frame within an angle.

    A view and the opposite one are the same projection up to a mirror, so both count.

    Parameters
    ----------
    rotations
        Poses (n, 3, 3).
    within
        Angle in degrees.
    """
    from scipy.spatial import cKDTree

    if len(rotations) == 0:
        return 0.0
    beams = np.concatenate([rotations[:, 2, :], -rotations[:, 2, :]])
    # A Fibonacci lattice covers the sphere evenly: 4000 points are about 3 degrees apart.
    index = np.arange(4000) + 0.5
    z = 1 - 2 * index / 4000
    angle = np.pi * (1 + np.sqrt(5)) * index
    ring = np.sqrt(1 - z * z)
    sphere = np.column_stack([ring * np.cos(angle), ring * np.sin(angle), z])
    distance, _ = cKDTree(beams).query(sphere)
    return float(np.mean(distance <= 2 * np.sin(np.radians(within) / 2)))


@styled
def plot_orientation_coverage(rotations: np.ndarray, *, cell: np.ndarray | None = None, ax: Axes | None = None) -> Axes:
    """Show the density of beam directions in the particle's frame on an equal-area (Mollweide) map of the sphere.

    Parameters
    ----------
    rotations
        Poses (n, 3, 3), particle to laboratory.
    cell
        Conventional lattice vectors a, b, c as rows (3, 3), Å, particle frame: marks the zone axes.
    ax
        Axes with a Mollweide projection; new ones without it.

    Returns
    -------
    The axes. Colour is the density relative to uniform coverage (1 = uniform).
    """
    ax = new_axes(size=(4.6, 2.9), subplot_kw={"projection": "mollweide"}) if ax is None else ax
    beams = np.asarray(rotations, float)[:, 2, :]
    beams = beams[evenly(len(beams), _MAX_VIEWS)]
    longitude = np.linspace(-np.pi, np.pi, 121)
    latitude = np.linspace(-np.pi / 2, np.pi / 2, 61)
    lon, lat = np.meshgrid(0.5 * (longitude[1:] + longitude[:-1]), 0.5 * (latitude[1:] + latitude[:-1]))
    grid = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1).astype(np.float32)
    # von Mises-Fisher kernel, normalised to mean 1 over the sphere: kappa / sinh(kappa) exp(kappa cos) with
    # sinh(kappa) = exp(kappa) / 2 to within exp(-2 kappa).
    kappa = 1 / np.radians(_KERNEL_DEG) ** 2
    density = np.zeros(lon.shape)
    for beam in np.array_split(beams.astype(np.float32), max(1, len(beams) // 500)):
        density += np.exp(kappa * (grid @ beam.T - 1)).sum(axis=-1)
    density *= 2 * kappa / max(len(beams), 1)
    mesh = ax.pcolormesh(longitude, latitude, density, cmap="viridis", vmin=0, rasterized=True, shading="flat")
    bar = ax.figure.colorbar(mesh, ax=ax, fraction=0.05, pad=0.03, shrink=0.75)
    quiet_colorbar(bar, "Views relative to uniform")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    if cell is not None:
        _mark_zones(ax, np.asarray(cell, float))
    return ax


def _mark_zones(ax: Axes, cell: np.ndarray) -> None:
    """Mark the low-index directions of a lattice, all their permutations and opposites."""
    markers = {"⟨100⟩": "s", "⟨110⟩": "D", "⟨111⟩": "^"}
    for name, seeds in _ZONES.items():
        found = {tuple(sign * v for v in np.roll(seed, k)) for seed in seeds for k in range(3) for sign in (1, -1)}
        directions = np.array(sorted(found), float) @ cell
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        ax.plot(
            np.arctan2(directions[:, 1], directions[:, 0]),
            np.arcsin(np.clip(directions[:, 2], -1, 1)),
            markers[name],
            ms=4.0,
            mfc="none",
            mec="#ffffff",
            mew=1.0,
            ls="none",
        )
    # White marks on white paper need a legend of their own colour.
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], marker=m, ls="none", mfc="none", mec=INK, ms=4, label=n) for n, m in markers.items()]
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=3, handletextpad=0.1)


@styled
def plot_pose_steps(rotations: np.ndarray, frames: np.ndarray, *, axes: np.ndarray | None = None) -> np.ndarray:
    """Plot the turn between consecutive frames over time, and its histogram.

    Parameters
    ----------
    rotations
        Poses (n, 3, 3).
    frames
        (n,) movie frame of each pose; pairs that are not consecutive are left out.
    axes
        Two axes, time and histogram; new ones without them.

    Returns
    -------
    The two axes. Steps are in degrees.
    """
    if axes is None:
        axes = new_axes(1, 2, size=(5.0, 2.3), sharey=True, gridspec_kw={"width_ratios": (3, 1)})
    frames = np.asarray(frames)
    rotations = np.asarray(rotations, float)
    pair = np.flatnonzero(np.diff(frames) == 1)
    trace = np.einsum("nij,nij->n", rotations[pair + 1], rotations[pair])
    step = rotation_angle(trace)
    # A few jumps of up to 180 degrees would flatten all else: they are counted, and marked at the upper edge.
    top = min(180.0, 1.8 * float(np.percentile(step, 98))) if len(step) else 1.0
    beyond = step > top
    axes[0].plot(frames[pair], step, ".", ms=2, color=BLUE, alpha=0.7, rasterized=True, label="step")
    if len(step) >= 51:
        from scipy.ndimage import median_filter

        axes[0].plot(frames[pair], median_filter(step, 51, mode="nearest"), color=ORANGE, label="median of 51")
    if beyond.any():
        edge = np.full(int(beyond.sum()), 0.97 * top)
        label = f"{len(edge)} beyond {top:.0f}°"
        axes[0].plot(frames[pair][beyond], edge, "^", ms=3, color=PURPLE, label=label)
    axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, handletextpad=0.3, columnspacing=1.0)
    axes[0].set_xlabel("Frame")
    axes[0].set_ylabel("Turn per frame (°)")
    axes[0].set_ylim(0, top if top > 0 else 1.0)
    axes[0].margins(x=0.01)
    if len(step):
        axes[1].hist(
            step[~beyond], bins=40, range=(0, top or 1.0), orientation="horizontal", histtype="stepfilled", color=BLUE
        )
        axes[1].axhline(float(np.median(step)), color=ORANGE, lw=1.3)
    axes[1].set_xlabel("Frames")
    return axes


@styled
def plot_scores(
    frames: np.ndarray,
    score: np.ndarray,
    confidence: np.ndarray | None = None,
    half: np.ndarray | None = None,
    *,
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """Plot the score and the confidence of the pose of every frame.

    Parameters
    ----------
    frames
        (n,) movie frames.
    score
        (n,) score of the best pose.
    confidence
        (n,) posterior probability of the pose, 0 to 1.
    half
        (n,) half set 1 or 2; 0 is a frame in neither (guard gap or bad).
    axes
        Two axes, score and confidence; new ones without them.

    Returns
    -------
    The two axes.
    """
    axes = new_axes(2, 1, size=(5.0, 2.9), sharex=True) if axes is None else axes
    half = np.ones(len(frames), int) if half is None else np.asarray(half)
    groups = ((1, BLUE, "half 1"), (2, GREEN, "half 2"), (0, MUTED, "in neither half"))
    panels = ((axes[0], np.asarray(score), "Score"), (axes[1], confidence, "Confidence"))
    for ax, values, name in panels:
        if values is None:
            ax.text(0.5, 0.5, "not recorded", transform=ax.transAxes, ha="center", color=MUTED)
            continue
        for number, colour, label in groups:
            here = half == number
            if here.any():
                ax.plot(np.asarray(frames)[here], np.asarray(values)[here], ".", ms=2.2, color=colour, alpha=0.6,
                        label=label, rasterized=True)  # fmt: skip
        ax.set_ylabel(name)
        ax.margins(x=0.01)
    axes[1].set_ylim(-0.03, 1.03)
    axes[1].set_xlabel("Frame")
    axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, markerscale=3)
    return axes
