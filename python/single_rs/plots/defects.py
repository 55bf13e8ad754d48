"""Figures of domains and vacancies: two colours for the two sides of a bend or for grains, and the layers round a hole.

Lengths are in Å; atoms are ray-cast stills. The overlay puts the columns of the second domain, turned back by the
misorientation, on those of the first: columns that coincide are one lattice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from single_rs.analysis.structure.bending import Bend
from single_rs.analysis.structure.grains import Grains
from single_rs.analysis.structure.vacancies import Vacancy
from single_rs.plots.particles import Still, draw_still
from single_rs.plots.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    image_axes,
    new_axes,
    scale_bar_below,
    styled,
)

__all__ = ["plot_domains", "plot_vacancies"]

_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY)
_PAIR = ("#4c8fc4", "#e58a4e")  # of two domains, light enough for shading


@styled
def plot_domains(
    still: Still, grains: Grains, bend: Bend | None = None, *, axes: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Show the domains of a particle in colours, and the two sides of a bend overlaid as they are and turned back.

    Parameters
    ----------
    still
        The particle; its view is along the axis of the bend when there is one, so that the columns are seen to tilt.
    grains
        Result of `find_grains`; their colours where there is more than one.
    bend
        Result of `measure_bend` of a particle of one grain.
    axes
        Three axes, or one without a bend.

    Returns
    -------
    The axes, in Å.
    """
    several = len(grains.grains) > 1 or bend is None
    if axes is None:
        axes = np.ravel(new_axes(1, 1 if several else 3, size=(3.2 if several else 7.24, 2.75), squeeze=False))
    reach = still.reach
    if several:
        colours = np.array([to_rgb(_COLOURS[k % len(_COLOURS)] if k >= 0 else MUTED) for k in grains.label])
        pairs = sorted((b for b in grains.boundaries if b.bonds), key=lambda b: -b.bonds)[:3]
        frame = _edge_on(grains.grains[pairs[0].grains[0]].orientation, pairs[0].axis) if pairs else still.frame()
        draw_still(axes[0], still, colours, reach=reach, frame=frame, inches=2.4)
        said = [f"{b.relation}{f' Σ{b.sigma}' if b.sigma > 1 else ''}, {b.angle:.1f}°" for b in pairs]
        axes[0].set_title(f"{len(grains.grains)} grains" + (f": {'; '.join(said)}" if said else ""), fontsize=7)
        scale_bar_below(axes[0], 2 * reach)
        return axes
    assert bend is not None  # `several` says so
    frame = _along_bend(bend, grains)
    member = grains.label == bend.grain
    colours = np.array([to_rgb(_PAIR[int(s)]) if m else to_rgb(MUTED) for s, m in zip(bend.second, member)])
    draw_still(axes[0], still, colours, reach=reach, frame=frame, inches=2.2)
    axes[0].set_title(f"Two domains, {bend.angle:.2f} ± {bend.error:.2f}°")
    x = still.positions - still.middle
    turned = _turned_back(x, bend, grains)
    for ax, points, name, rms in (
        (axes[1], x, "as measured", bend.overlay_before),
        (axes[2], turned, "turned back", bend.overlay_after),
    ):
        _overlay(ax, points, bend.second, member, frame, reach, still.bond)
        ax.set_title(f"{name}: {100 * rms:.0f} pm rms off one lattice")
    for ax in axes:
        ax.set_xlim(-reach, reach)
        ax.set_ylim(-reach, reach)
    scale_bar_below(axes[0], 2 * reach)
    return axes


def _edge_on(orientation: NDArray[np.float64], axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """View along the ⟨110⟩ of a grain that is most perpendicular to an axis of the crystal, which points up."""
    rows = np.array([[1, 1, 0], [1, -1, 0], [1, 0, 1], [1, 0, -1], [0, 1, 1], [0, 1, -1]]) / np.sqrt(2.0)
    towards = orientation @ rows[np.argmin(np.abs(rows @ axis))]
    up = orientation @ axis
    up = up - (up @ towards) * towards
    up = up / np.linalg.norm(up)
    return np.stack([np.cross(up, towards), up, towards])


def _along_bend(bend: Bend, grains: Grains) -> NDArray[np.float64]:
    """View along a ⟨110⟩ or ⟨100⟩ that is near the axis of the bend and in the plane between the domains.

    Along the axis columns stay columns on both sides; in the plane both sides are seen, side by side.
    """
    q = grains.grains[bend.grain].orientation
    rows = np.array(
        [[1, 1, 0], [1, -1, 0], [1, 0, 1], [1, 0, -1], [0, 1, 1], [0, 1, -1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    )
    close = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    seen = np.sqrt(np.maximum(1 - (close @ q.T @ bend.normal) ** 2, 0))
    towards = q @ close[np.argmax((0.3 + np.abs(close @ bend.axis)) * seen**2)]
    right = bend.normal - (bend.normal @ towards) * towards
    right = right / np.linalg.norm(right)
    return np.stack([right, np.cross(towards, right), towards])


def _turned_back(x: NDArray[np.float64], bend: Bend, grains: Grains) -> NDArray[np.float64]:
    """Positions with the second domain turned by minus the misorientation about the middle of the plane between."""
    from scipy.spatial.transform import Rotation

    axis = grains.grains[bend.grain].orientation @ bend.axis
    place = x[bend.second].mean(axis=0) if bend.second.any() else np.zeros(3)
    place = place - bend.normal * ((place - x.mean(axis=0)) @ bend.normal)
    tries = []
    for sign in (1, -1):
        out = x.copy()
        turn = Rotation.from_rotvec(sign * np.radians(bend.angle) * axis)
        out[bend.second] = turn.apply(x[bend.second] - place) + place
        tries.append((_misfit(out, bend), sign, out))
    return min(tries, key=lambda t: (t[0], -t[1]))[2]


def _misfit(x: NDArray[np.float64], bend: Bend) -> float:
    """Spread of the bonds across the plane between the domains, Å."""
    from scipy.spatial import cKDTree

    distance = cKDTree(x[~bend.second]).query(x[bend.second])[0]
    return float(np.sort(distance)[: max(len(distance) // 8, 1)].std())


def _overlay(
    ax: Axes,
    x: NDArray[np.float64],
    second: NDArray[np.bool_],
    member: NDArray[np.bool_],
    frame: NDArray[np.float64],
    reach: float,
    bond: float,
) -> None:
    """Draw the columns of both domains, rings for the first and dots for the second."""
    flat = x @ frame.T
    first, other = flat[member & ~second], flat[member & second]
    ax.plot(first[:, 0], first[:, 1], "o", ms=3.6, mfc="none", mec=_PAIR[0], mew=0.6, alpha=0.8)
    ax.plot(other[:, 0], other[:, 1], ".", ms=3.2, color=_PAIR[1], alpha=0.8)
    ax.set_aspect("equal")
    image_axes(ax)


@styled
def plot_vacancies(
    still: Still, vacancies: Sequence[Vacancy], *, most: int = 4, axes: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Show the layer of atoms round each vacancy, the empty site as a dashed circle.

    Parameters
    ----------
    still
        The particle; layers are perpendicular to its direction of view.
    vacancies
        Result of `find_vacancies`; bulk ones first, then the surest.
    most
        Vacancies shown.
    axes
        One axes per vacancy.

    Returns
    -------
    The axes, in Å.
    """
    from matplotlib.patches import Circle

    shown = sorted(vacancies, key=lambda v: (v.kind != "bulk", -v.confidence))[:most]
    if axes is None:
        axes = np.ravel(new_axes(1, max(len(shown), 1), size=(1.81 * max(len(shown), 1), 2.05), squeeze=False))
    frame, reach = still.frame(), still.reach
    towards = frame[2]
    base = np.array(to_rgb(SKY))
    for ax, hole in zip(axes, shown):
        height = (still.positions - hole.position) @ towards
        layer = np.abs(height) < 0.35 * still.bond
        below = (height < 0) & ~layer
        colours = np.tile(base, (len(height), 1))
        colours[below] = 0.80
        draw_still(ax, still, colours, reach=reach, frame=frame, chosen=layer | below, inches=1.6)
        place = (hole.position - still.middle) @ frame.T
        ax.add_patch(
            Circle(
                (float(place[0]), float(place[1])), 0.49 * still.bond, fill=False, ls=(0, (3, 1.5)), lw=1.2, ec=ORANGE
            )
        )
        ax.set_title(f"{hole.kind}, {hole.neighbours} neighbours,\nconfidence {hole.confidence:.2f}", fontsize=7)
    scale_bar_below(axes[0], 2 * reach)
    axes[0].figure.supxlabel("Layer of the vacancy (blue) above the atoms below it (grey)", fontsize=7, color=INK)
    return axes
