"""One sheet per particle: the six strain components on planes of atoms at several heights, and their distributions.

Strain is a fraction in arrays and per cent in figures; components are xx, yy, zz, xy, xz, yz with tensor shear. All
panels of a sheet have one colour scale, symmetric about zero, or one pair of axes.

Reference: figures of the same kind, B. H. Kim et al., Science 368, 60 (2020), doi:10.1126/science.aax3233.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis.strain.volumes import strain_plane
from single_rs.plots.atoms import COMPONENTS
from single_rs.plots.style import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    image_axes,
    new_axes,
    quiet_colorbar,
    scale_bar_below,
    styled,
)

__all__ = ["atom_planes", "plot_strain_sheet", "plot_strain_table"]

_SAME_PLANE = 0.25  # nearest-neighbour distances between atoms of one plane
_FULL = 0.3  # share of the fullest plane's atoms that a plane needs to be shown


def atom_planes(
    positions: NDArray[np.float64], normal: NDArray[np.float64], bond: float, count: int
) -> NDArray[np.float64]:
    """Heights of planes of atoms along a direction, evenly chosen from bottom to top.

    Parameters
    ----------
    positions
        (n, 3) Å.
    normal
        (3,) unit vector.
    bond
        Å, nearest-neighbour distance.
    count
        Planes wanted; fewer are returned when there are fewer.

    Returns
    -------
    (k,) Å along the normal from the mean of the atoms.
    """
    height = np.sort((positions - positions.mean(axis=0)) @ normal)
    groups = np.split(height, np.flatnonzero(np.diff(height) > _SAME_PLANE * bond) + 1)
    full = [g for g in groups if len(g) >= _FULL * max(len(h) for h in groups)]
    chosen = np.unique(np.rint(np.linspace(0, len(full) - 1, min(count, len(full)))).astype(int))
    return np.array([full[k].mean() for k in chosen])


@styled
def plot_strain_sheet(
    positions: NDArray[np.float64],
    tensor: NDArray[np.float64],
    bond: float,
    *,
    frame: NDArray[np.float64] | None = None,
    planes: int = 5,
    top: float | None = None,
    label: str = "Strain (%)",
    width: float = 4.76,
) -> NDArray[Any]:
    """Show six strain components on planes of atoms, a column for each height.

    Parameters
    ----------
    positions
        Atoms (n, 3), Å.
    tensor
        (n, 6) strain, fraction.
    bond
        Å, nearest-neighbour distance.
    frame
        Rows right, up, normal of the planes; x, y, z without it.
    planes
        Heights shown.
    top
        Per cent at the ends of the colours; the 98th percentile without it.
    label
        Of the colour bar.
    width
        Inches.

    Returns
    -------
    The axes, (6, heights).
    """
    x, e = np.asarray(positions, float), np.asarray(tensor, float)
    right, _, normal = np.eye(3) if frame is None else np.asarray(frame, float)
    heights = atom_planes(x, normal, bond, planes)
    side = (width - 0.95) / len(heights)
    axes: NDArray[Any] = new_axes(6, len(heights), size=(width, 6 * side + 0.3), squeeze=False)
    cuts = [[strain_plane(x, e[:, k], normal, bond, h, right=right) for h in heights] for k in range(6)]
    seen = 100 * np.abs(np.concatenate([c.values[np.isfinite(c.values)] for row in cuts for c in row]))
    limit = top or (float(np.percentile(seen, 98)) if len(seen) else 1.0) or 1.0
    first = cuts[0][0]
    reach = max(np.abs(first.u).max(), np.abs(first.v).max())
    for line, row, name in zip(axes, cuts, COMPONENTS):
        for ax, cut in zip(line, row):
            half = (cut.u[1] - cut.u[0]) / 2
            shown = ax.imshow(
                100 * cut.values, cmap="RdBu_r", vmin=-limit, vmax=limit, origin="lower", interpolation="bilinear",
                extent=(cut.u[0] - half, cut.u[-1] + half, cut.v[0] - half, cut.v[-1] + half),
            )  # fmt: skip
            ax.plot(*cut.places.T, "o", ms=1.6, mfc="none", mec=INK, mew=0.3, alpha=0.6)
            image_axes(ax)
            ax.set_xlim(-reach, reach)
            ax.set_ylim(-reach, reach)
            ax.set_aspect("equal")
        line[0].set_ylabel(f"$\\varepsilon_{{{name}}}$", rotation=0, ha="right", va="center", color=INK)
    for ax, height in zip(axes[0], heights):
        ax.set_title(f"{height:+.1f} Å".replace("-", "−"))
    quiet_colorbar(axes[0, 0].figure.colorbar(shown, ax=axes, fraction=0.03, pad=0.01, shrink=0.5, aspect=30), label)
    scale_bar_below(axes[-1, 0], 2 * reach)
    return axes


def _groups(count: int, surface: NDArray[np.bool_] | None) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    yield "all", MUTED, np.ones(count, bool)
    if surface is not None:
        yield "core", BLUE, ~surface
        yield "surface", ORANGE, surface


@styled
def plot_strain_table(
    tensor: NDArray[np.float64],
    surface: NDArray[np.bool_] | None = None,
    *,
    reference: str = "",
    width: float = 7.24,
) -> NDArray[Any]:
    """Plot the distributions of six strain components over all, core and surface atoms, with mean and spread.

    Parameters
    ----------
    tensor
        (n, 6) strain, fraction.
    surface
        (n,) bool; one row without it.
    reference
        What strain is measured from, for the axis.
    width
        Inches.

    Returns
    -------
    The axes, (3, 6), in per cent of strain against atoms; μ ± s are mean and standard deviation over the atoms.
    """
    percent = 100 * np.asarray(tensor, float)
    groups = list(_groups(len(percent), None if surface is None else np.asarray(surface, bool)))
    axes: NDArray[Any] = new_axes(
        len(groups), 6, size=(width, 1.1 * len(groups) + 0.45), sharex=True, sharey="row", squeeze=False
    )
    known = percent[np.isfinite(percent)]
    reach = float(np.percentile(np.abs(known), 99.5)) * 1.1 if len(known) else 1.0
    edges = [float(v) for v in np.linspace(-reach, reach, 33)]
    for line, (group, colour, chosen) in zip(axes, groups):
        for k, ax in enumerate(line):
            values = percent[chosen, k]
            values = values[np.isfinite(values)]
            ax.hist(np.clip(values, -reach, reach), bins=edges, histtype="stepfilled", color=colour, alpha=0.8)
            ax.axvline(0, ymax=0.72, color=INK, lw=0.6)
            if len(values):
                mean = round(float(values.mean()), 2) + 0.0  # no −0.00
                text = f"{mean:+.2f} ± {values.std():.2f}".replace("-", "−")
                ax.text(0.5, 0.97, text, transform=ax.transAxes, ha="center", va="top", fontsize=6.5, color=INK)
        line[0].set_ylabel(f"{group}\nAtoms")
        line[0].set_ylim(top=1.4 * line[0].get_ylim()[1])
    for ax, name in zip(axes[0], COMPONENTS):
        ax.set_title(f"$\\varepsilon_{{{name}}}$")
    axes[0, 0].figure.supxlabel(f"Strain{f' against {reference}' if reference else ''} (%)", fontsize=8, color=INK)
    return axes
