"""Figures of the movie: tracks over the mean image, drift, and frames before and after cleaning.

Positions are (x, y) in pixels, (column, row), pixel centres at integers; drift is the shift of a frame, so a specimen
point seen at raw position p is at p - shift in the aligned frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes

from single_rs.plots.style import BLUE, MUTED, ORANGE, image_axes, limits, new_axes, quiet_colorbar, scale_bar, styled

__all__ = ["plot_drift", "plot_frames", "plot_tracks"]


class TrackLike(Protocol):
    """What a trajectory needs for a figure; `single_rs.Track` has it."""

    @property
    def frames(self) -> np.ndarray:
        """(m,) movie frames."""

    @property
    def x(self) -> np.ndarray:
        """(m,) px, column in the raw movie."""

    @property
    def y(self) -> np.ndarray:
        """(m,) px, row in the raw movie."""

    @property
    def diameter(self) -> float:
        """Å."""


@styled
def plot_tracks(
    tracks: Sequence[TrackLike],
    mean: np.ndarray | None = None,
    *,
    pixel_size: float | None = None,
    shape: tuple[int, int] | None = None,
    shifts: np.ndarray | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the trajectories of all particles over the mean image of the movie, coloured by time.

    Parameters
    ----------
    tracks
        Trajectories: ``frames`` (m,), ``x`` and ``y`` (m,) px in the raw movie, ``diameter`` Å.
    mean
        Mean image of the aligned frames (y, x); without it the tracks are drawn on an empty field.
    pixel_size
        Å per pixel, for the scale bar and the circles of the particles' size.
    shape
        Field (y, x) in pixels when there is no mean image.
    shifts
        Drift of every movie frame (frame, (x, y)), px; subtracted so that tracks lie on the aligned mean image.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Circle

    ax = new_axes(size=(4.0, 4.0)) if ax is None else ax
    if mean is not None:
        low, high = limits(mean)
        ax.imshow(mean, cmap="gray", vmin=low, vmax=high, interpolation="none")
        shape = (mean.shape[0], mean.shape[1])
    elif shape is None:
        largest = max((float(max(t.x.max(), t.y.max())) for t in tracks if len(t.x)), default=99.0)
        shape = (int(largest) + 1, int(largest) + 1)
    last = max((int(t.frames[-1]) for t in tracks if len(t.frames)), default=1)
    lines = None
    for number, track in enumerate(tracks):
        points = np.column_stack([track.x, track.y]).astype(float)
        if len(points) < 2:
            continue
        if shifts is not None and int(track.frames.max()) < len(shifts):
            points -= shifts[track.frames]
        segments = np.stack([points[:-1], points[1:]], axis=1)
        # Rasterised: thousands of separate segments would make a vector file of megabytes.
        lines = LineCollection(list(segments), cmap="plasma", linewidths=1.0, rasterized=True)
        lines.set_array(track.frames[:-1].astype(float))
        lines.set_clim(0, max(last, 1))
        ax.add_collection(lines)
        middle = points.mean(axis=0)
        radius = 0.5 * track.diameter / pixel_size if pixel_size and np.isfinite(track.diameter) else 20.0
        ax.add_patch(Circle((middle[0], middle[1]), radius, fill=False, color="#ffffff", lw=1.2, ls=(0, (4, 3))))
        ax.annotate(
            f"particle {number}",
            (middle[0], middle[1] - radius),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            color="#ffffff",
            fontsize=7.5,
            bbox={"boxstyle": "round,pad=0.25", "fc": "#000000", "ec": "none", "alpha": 0.6},
        )
    ax.set_xlim(-0.5, shape[1] - 0.5)
    ax.set_ylim(shape[0] - 0.5, -0.5)
    ax.set_aspect("equal")
    image_axes(ax)
    if mean is None:
        ax.patch.set(facecolor="#30363d", alpha=1.0)
    if lines is not None:
        bar = ax.figure.colorbar(lines, ax=ax, fraction=0.04, pad=0.02)
        quiet_colorbar(bar, "Frame")
    if pixel_size:
        scale_bar(ax, pixel_size, shape[1])
    return ax


@styled
def plot_drift(
    shifts: np.ndarray,
    *,
    bad_frames: np.ndarray | None = None,
    pixel_size: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot the drift of the movie against frame number, with bad frames marked.

    Parameters
    ----------
    shifts
        Shift of every frame (frame, (x, y)), px.
    bad_frames
        (frame,) bool: frames that are left out of everything.
    pixel_size
        Å per pixel; with it the drift is in Å.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes.
    """
    ax = new_axes(size=(5.0, 2.3)) if ax is None else ax
    scale, unit = (pixel_size, "Å") if pixel_size else (1.0, "px")
    bad = np.zeros(len(shifts), bool) if bad_frames is None else np.asarray(bad_frames, bool)
    frame = np.arange(len(shifts))
    # A bad frame has no measured shift: a gap in the line is the honest drawing of it.
    good = np.where(bad[:, None], np.nan, np.asarray(shifts, float) * scale)
    ax.plot(frame, good[:, 0], color=BLUE, label="x")
    ax.plot(frame, good[:, 1], color=ORANGE, label="y")
    for number, index in enumerate(np.flatnonzero(bad)):
        ax.axvline(float(index), color=MUTED, lw=0.8, ls=":", label="bad frame" if number == 0 else None)
    ax.set_xlabel("Frame")
    ax.set_ylabel(f"Drift ({unit})")
    ax.margins(x=0.01)
    ax.legend(ncols=3, loc="best")
    return ax


@styled
def plot_frames(
    raw: np.ndarray,
    cleaned: np.ndarray,
    frames: Sequence[int] | np.ndarray,
    *,
    pixel_size: float | None = None,
    cleaned_name: str = "cleaned",
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """Show typical frames of a particle: raw above, cleaned below, one column per frame.

    Parameters
    ----------
    raw, cleaned
        Images (k, y, x); each row of pictures has one common grey scale.
    frames
        (k,) frame numbers for the titles.
    pixel_size
        Å per pixel, for the scale bar.
    cleaned_name
        What the lower row is, as its label.
    axes
        Array (2, k) of axes; new ones without it.

    Returns
    -------
    The axes, (2, k).
    """
    count = len(raw)
    axes = new_axes(2, count, size=(1.35 * count + 0.3, 3.0), squeeze=False) if axes is None else axes
    for row, (images, name) in enumerate(((raw, "raw"), (cleaned, cleaned_name))):
        low, high = limits(np.asarray(images, np.float32), 0.5, 99.8)
        for column in range(count):
            ax = axes[row, column]
            ax.imshow(images[column], cmap="gray", vmin=low, vmax=high, interpolation="none")
            image_axes(ax)
            if row == 0:
                ax.set_title(f"frame {int(frames[column])}")
        axes[row, 0].set_ylabel(name)
    if pixel_size:
        scale_bar(axes[1, 0], pixel_size, raw.shape[2])
    return axes
