"""Figures of structure and defects: grains, stacking, dislocations, kinds of surface site, shape.

Atoms are drawn as seen along a direction, the nearest on top; lengths are in Å. Each function takes what
`survey_structure` returns and draws one figure.
"""

from __future__ import annotations

import re

import numpy as np
from matplotlib.axes import Axes

from single_rs.analysis.structure.dislocations import Dislocation
from single_rs.analysis.structure.grains import Grains
from single_rs.analysis.structure.shape import SITES, Shape
from single_rs.analysis.structure.stacking import Stacking
from single_rs.plots.style import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, SERIES, SKY, new_axes, styled

__all__ = ["plot_dislocation", "plot_grains", "plot_shape", "plot_site_types", "plot_stacking"]

# Letters of the layers, and what has none.
_LETTERS = {"A": BLUE, "B": ORANGE, "C": GREEN, "?": MUTED}
# In the order of `SITES`: bulk, terraces, step, edge, corner, adatom.
_SITES = (MUTED, BLUE, SKY, GREEN, ORANGE, PURPLE, INK)
# Area of a disc in points² such that 600 atoms of a 25 Å particle just touch in a figure 3 inches wide.
_DISC = 45.0


def _screen(direction: np.ndarray, up: np.ndarray | None = None) -> np.ndarray:
    """Return rows right, up and towards the viewer of a view along −direction."""
    towards = np.asarray(direction, float) / np.linalg.norm(direction)
    above = np.eye(3)[np.argmin(np.abs(towards))] if up is None else np.asarray(up, float)
    above = above - (above @ towards) * towards
    above = above / np.linalg.norm(above)
    return np.array([np.cross(above, towards), above, towards])


def _atoms(
    ax: Axes, x: np.ndarray, view: np.ndarray, colours: list[str] | np.ndarray, front: np.ndarray | None = None
) -> None:
    """Draw atoms as discs, the farthest first, and those in `front` last."""
    seen = (x - x.mean(axis=0)) @ view.T
    order = np.lexsort((seen[:, 2], np.zeros(len(x)) if front is None else front))
    chosen = np.asarray(colours, dtype=object)[order].tolist()
    ax.scatter(seen[order, 0], seen[order, 1], s=_DISC, c=chosen, edgecolors="white", linewidths=0.3)
    ax.set_aspect("equal")
    ax.grid(False)


@styled
def plot_grains(
    positions: np.ndarray, grains: Grains, *, direction: np.ndarray | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the atoms in the colour of their grain, with the misorientations of neighbouring grains.

    Parameters
    ----------
    positions
        (n, 3) Å.
    grains
        Result of `find_grains`.
    direction
        (3,) from the particle to the viewer; None: z.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes, in Å.
    """
    ax = new_axes(size=(3.5, 3.3)) if ax is None else ax
    view = _screen(np.array([0.0, 0, 1]) if direction is None else direction)
    colours = [SERIES[k % len(SERIES)] if k >= 0 else MUTED for k in grains.label]
    _atoms(ax, np.asarray(positions, float), view, colours)
    for k, grain in enumerate(grains.grains[: len(SERIES)]):
        ax.scatter([], [], s=_DISC / 2, color=SERIES[k], label=f"grain {k}: {grain.structure}, {grain.atoms} atoms")
    touching = sorted((b for b in grains.boundaries if b.bonds), key=lambda b: -b.bonds)
    for b in touching[:4]:
        sigma = f"Σ{b.sigma} " if b.sigma > 1 else ""
        label = f"{b.grains[0]}–{b.grains[1]}: {b.relation} {sigma}{b.angle:.1f}°"
        ax.scatter([], [], s=0, label=label)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, handletextpad=0.3, fontsize=6.5)
    ax.set_xlabel("x' (Å)")
    ax.set_ylabel("y' (Å)")
    return ax


@styled
def plot_stacking(positions: np.ndarray, stacking: Stacking, *, ax: Axes | None = None) -> Axes:
    """Draw the particle from the side of its close-packed layers, each in the colour of its letter.

    Parameters
    ----------
    positions
        (n, 3) Å.
    stacking
        Result of `stacking_sequence`.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes, in Å; hexagonal layers are marked with h.
    """
    ax = new_axes(size=(3.5, 3.3)) if ax is None else ax
    x = np.asarray(positions, float)
    view = _screen(np.cross(stacking.direction, _screen(stacking.direction)[1]), stacking.direction)
    letters = [stacking.letters[k] if k >= 0 else "?" for k in stacking.layer]
    _atoms(ax, x, view, [_LETTERS[c] for c in letters])
    centre = float(x.mean(axis=0) @ stacking.direction)
    edge = 1.08 * float(np.abs((x - x.mean(axis=0)) @ view[0]).max())
    for letter, kind, height in zip(stacking.letters, stacking.hexagonal, stacking.heights):
        ax.text(edge, height - centre, letter, color=_LETTERS[letter], ha="left", va="center", fontsize=7.5)
        if kind == "h":
            ax.plot([-edge, 0.98 * edge], [height - centre] * 2, color=INK, lw=0.8, ls="--")
            ax.text(1.12 * edge, height - centre, "h", color=INK, ha="left", va="center", fontsize=7.5)
    ax.set_xlim(-1.1 * edge, 1.25 * edge)
    ax.margins(y=0.08)
    name = "".join("1" if v > 0 else "1\u0305" for v in stacking.normal)
    ax.set_xlabel("Across (Å)")
    ax.set_ylabel(f"Along [{name}] (Å)")
    return ax


@styled
def plot_dislocation(
    positions: np.ndarray,
    dislocation: Dislocation,
    structure_type: np.ndarray | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw the particle along a dislocation line, with the Burgers vector at the core.

    Parameters
    ----------
    positions
        (n, 3) Å.
    dislocation
        One of `find_dislocations`.
    structure_type
        (n,) int; atoms of a stacking fault (hcp, 2) are shown apart when given.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes, in Å; the glide plane, if there is one, lies horizontally.
    """
    ax = new_axes(size=(3.5, 3.3)) if ax is None else ax
    x, centre = np.asarray(positions, float), np.asarray(positions, float).mean(axis=0)
    b = dislocation.burgers_vector
    across = b - (b @ dislocation.line_vector) * dislocation.line_vector
    # b lies to the right for an edge; a screw points at the viewer and leaves the direction free.
    edge = np.linalg.norm(across) > 0.2 * np.linalg.norm(b)
    view = _screen(dislocation.line_vector, np.cross(dislocation.line_vector, across) if edge else None)
    hcp = np.zeros(len(x), bool) if structure_type is None else np.asarray(structure_type) == 2
    _atoms(ax, x, view, np.where(hcp, ORANGE, SKY), front=hcp)
    core = ((dislocation.path - centre) @ view.T)[:, :2]
    ax.plot(*core.T, color=INK, lw=1.5)
    place = core.mean(axis=0)
    ax.plot(*place, marker=r"$\perp$" if edge else "$\\odot$", color=INK, ms=11)
    if edge:
        tip = place + 2 * (view @ b)[:2]
        ax.annotate("", xy=tip, xytext=place, arrowprops={"arrowstyle": "->", "color": INK, "lw": 1.3})
    name = re.sub(r"-(\d)", "\\1\u0305", dislocation.name)
    ax.set_title(f"{dislocation.kind}, b = {name}, {dislocation.character:.0f}° to its line", loc="left")
    ax.set_xlabel("Across the line (Å)")
    ax.set_ylabel("Across the glide plane (Å)" if len(dislocation.glide_planes) else "Across the line (Å)")
    return ax


@styled
def plot_site_types(sites: np.ndarray, *, ax: Axes | None = None) -> Axes:
    """Plot how many atoms are on each kind of surface site.

    Parameters
    ----------
    sites
        (n,) int, result of `surface_sites`.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes; bulk atoms are left out, and counted in the title.
    """
    ax = new_axes(size=(3.5, 2.4)) if ax is None else ax
    kinds = np.asarray(sites, int)
    counts = np.bincount(kinds[kinds >= 0], minlength=len(SITES))
    bars = ax.bar(range(1, len(SITES)), counts[1:], color=_SITES[1:], alpha=0.9, width=0.75)
    ax.bar_label(bars, fontsize=7)
    ax.set_xticks(range(1, len(SITES)), SITES[1:], rotation=25, ha="right")
    ax.grid(axis="x", visible=False)
    ax.set_title(f"{counts[1:].sum()} of {counts.sum()} atoms at the surface", loc="left")
    ax.set_ylabel("Atoms")
    return ax


@styled
def plot_shape(shape: Shape, *, ax: Axes | None = None) -> Axes:
    """Plot the share of the surface in each family of facets, with radii, sphericity and sizes.

    Parameters
    ----------
    shape
        Result of `describe_shape`.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes, in per cent of the area of the convex hull.
    """
    ax = new_axes(size=(3.5, 2.4)) if ax is None else ax
    names = list(shape.fractions)
    bars = ax.bar(range(len(names)), [100 * shape.fractions[n] for n in names], color=(*SERIES[:3], MUTED), width=0.65)
    ax.bar_label(bars, fmt="%.0f", fontsize=7)
    ax.set_xticks(range(len(names)), [n if n == "other" else f"{{{n}}}" for n in names])
    ax.grid(axis="x", visible=False)
    radii = " × ".join(f"{r:.1f}" for r in shape.radii)
    sizes = ", ".join(f"⟨{k}⟩ {v[1]:.1f}" for k, v in shape.size.items())
    ax.set_title(f"radii {radii} Å, sphericity {shape.sphericity:.2f}\nsize {sizes or 'unknown'} Å", loc="left")
    ax.set_ylabel("Share of the hull (%)")
    return ax
