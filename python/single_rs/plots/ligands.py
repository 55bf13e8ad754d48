"""Figures of ligands: where they sit on a particle or slab, their binding energies, and the charge they move.

The charge-density difference is Δρ = ρ(both) − ρ(surface) − ρ(ligand), in electrons per Å³, all three on one grid and
at the positions of both. Surfaces of +Δρ (charge gained) and −Δρ (charge lost) are drawn over the atoms, translucent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from single_rs.plots.particles import Still
from single_rs.plots.render import element_colours, render_spheres, render_surface
from single_rs.plots.style import BLUE, INK, MUTED, ORANGE, image_axes, new_axes, scale_bar_below, styled

__all__ = ["plot_binding", "plot_charge_difference", "plot_ligand_sites"]

_GAIN, _LOSS = (0.95, 0.80, 0.15), (0.20, 0.65, 0.85)  # of the surfaces, as VESTA has them
_OPACITY = 0.75
_SHOWN = 1 / 3  # of the moved charge lies within the surfaces
_SPACING = 0.15  # Å, of the grid on which surfaces are drawn
_BALL, _STICK = 0.55, 0.13  # radius of a ligand's atom in covalent radii, and Å of its bonds
_BONDED = 1.2  # sums of covalent radii within which atoms of a ligand are bonded
_BEADS = 30  # spheres that make a bond
_AROUND = 9.0  # Å
_LIFT = np.radians(12.0)


def _radii(symbols: NDArray[np.str_]) -> NDArray[np.float64]:
    """Covalent radii (n,) in Å."""
    from ase.data import atomic_numbers, covalent_radii

    return np.array([covalent_radii[atomic_numbers[str(s)]] for s in symbols])


@dataclass(frozen=True)
class _Spheres:
    """What is drawn: positions (m, 3) and radii (m,) in Å, colours (m, 3)."""

    positions: NDArray[np.float64]
    radii: NDArray[np.float64]
    colours: NDArray[np.float64]

    def picture(
        self, middle: NDArray[np.float64], frame: NDArray[np.float64], reach: float, pixels: int
    ) -> NDArray[np.float32]:
        """Render them round a middle."""
        return render_spheres((self.positions - middle) @ frame.T, self.radii, self.colours, reach, pixels)


def _spheres(
    still: Still, guest: NDArray[np.bool_], share: float, cell: NDArray[np.float64] | None, around: float
) -> _Spheres:
    """Surface as balls of a share of half its bond, ligands as balls and sticks; a slab goes on round the ligands."""
    x, symbols = np.asarray(still.positions, float), np.asarray(still.symbols, str)
    own, colours = _radii(symbols), element_colours(symbols)
    solid, bond = x[~guest], Still(still.name, x[~guest], symbols[~guest]).bond
    copies = np.zeros((1, 3))
    if cell is not None:
        copies = np.array([i * cell[0] + j * cell[1] for i in (-1, 0, 1) for j in (-1, 0, 1)])
    hosts = (solid[None] + copies[:, None]).reshape(-1, 3)
    shades = np.tile(colours[~guest], (len(copies), 1))
    if cell is not None:
        near = np.linalg.norm((hosts - x[guest].mean(axis=0))[:, :2], axis=1) < around
        hosts, shades = hosts[near], shades[near]
    parts = [(hosts, np.full(len(hosts), share * bond / 2), shades), (x[guest], _BALL * own[guest], colours[guest])]
    inside = np.flatnonzero(guest)
    apart = np.linalg.norm(x[inside, None] - x[inside][None], axis=2)
    for p, q in np.argwhere(np.triu(apart < _BONDED * (own[inside, None] + own[inside]), 1)):
        along = np.linspace(0, 1, _BEADS)[:, None]
        i, j = inside[p], inside[q]
        parts.append(
            (x[i] + along * (x[j] - x[i]), np.full(_BEADS, _STICK), np.where(along < 0.5, colours[i], colours[j]))
        )
    positions, radii, shown = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _Spheres(positions, radii, shown)


def _side_view(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows right, up, towards the viewer with a normal up."""
    up = normal / np.linalg.norm(normal)
    towards = np.cross(up, np.eye(3)[np.argmin(np.abs(up))])
    towards /= np.linalg.norm(towards)
    return np.stack([np.cross(up, towards), up, towards])


def _view(
    still: Still, guest: NDArray[np.bool_], normal: NDArray[np.float64] | None, cell: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Rows right, up, towards the viewer: the surface's normal up, a slab's first vector to the right."""
    if cell is not None:
        right, up = cell[0] / np.linalg.norm(cell[0]), np.array([0.0, 0, 1])
        return np.stack([right, up, np.cross(right, up)])
    away = still.positions[guest].mean(axis=0) - still.positions[~guest].mean(axis=0) if normal is None else normal
    return _side_view(np.asarray(away if np.linalg.norm(away) > 1e-6 else (0.0, 0, 1), float))


@styled
def plot_ligand_sites(
    still: Still,
    guest: NDArray[np.bool_],
    *,
    cell: NDArray[np.float64] | None = None,
    axes: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Show a particle or slab with its ligands from two sides.

    Parameters
    ----------
    still
        Particle and ligands together.
    guest
        (n,) bool, atoms of ligands.
    cell
        (3, 3) vectors of a slab as rows, Å, which is shown as far as `_AROUND` from its ligands; None for a particle.
    axes
        Two axes; new ones without them.

    Returns
    -------
    The axes, in Å; ligands point up in the first, towards the viewer in the second.
    """
    axes = new_axes(1, 2, size=(4.76, 2.5)) if axes is None else axes
    side = _view(still, guest, None, cell)
    above = np.stack([side[0], -side[2], side[1]])
    # Seen a little from above, so that the rows of the surface are told apart.
    sine, cosine = np.sin(_LIFT), np.cos(_LIFT)
    lifted = np.stack([side[0], cosine * side[1] - sine * side[2], sine * side[1] + cosine * side[2]])
    spheres = _spheres(still, guest, 0.98, cell, _AROUND)
    middle = (spheres.positions.min(axis=0) + spheres.positions.max(axis=0)) / 2
    rim = float(spheres.radii.max()) + 0.3
    for ax, frame in zip(axes, (lifted, above), strict=True):
        flat = (spheres.positions - middle) @ frame[:2].T
        centre = middle + (flat.max(axis=0) + flat.min(axis=0)) / 2 @ frame[:2]
        reach = float(np.ptp(flat, axis=0).max()) / 2 + rim
        picture = spheres.picture(centre, frame, reach, int(2.3 * 300))
        ax.imshow(picture, extent=(-reach, reach, -reach, reach), origin="lower", interpolation="antialiased")
        image_axes(ax)
        scale_bar_below(ax, 2 * reach)
    _legend(axes[0], still.symbols)
    return axes


def _level(rho: NDArray[np.float64]) -> float:
    """Size of Δρ above which a third of ∫ |Δρ| lies: peaks at nuclei are high, and hold little."""
    ordered = np.sort(np.abs(rho).ravel())[::-1]
    held = np.cumsum(ordered)
    return float(ordered[np.searchsorted(held, _SHOWN * held[-1])])


def _legend(ax: Axes, symbols: NDArray[np.str_]) -> None:
    for symbol in dict.fromkeys(map(str, symbols)):
        colour = element_colours(np.array([symbol]))[0]
        ax.plot([], [], "o", ms=5, mfc=colour, mec=MUTED, mew=0.5, label=symbol)
    ax.legend(loc="upper left", fontsize=7, handletextpad=0.1, borderpad=0.1)


@styled
def plot_binding(energies: Mapping[str, Mapping[str, float]], *, ax: Axes | None = None) -> Axes:
    """Plot binding energies of ligands, E(both) − E(surface) − E(ligand), by surface.

    Parameters
    ----------
    energies
        Series ("slab", "particle") → surface ("111") → eV per ligand; negative binds.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes, in eV.
    """
    ax = new_axes(size=(3.3, 2.3)) if ax is None else ax
    surfaces = list(dict.fromkeys(s for found in energies.values() for s in found))
    width = min(0.8 / max(len(energies), 1), 0.55)
    for k, (name, found) in enumerate(energies.items()):
        places = [surfaces.index(s) + (k - (len(energies) - 1) / 2) * width for s in found]
        bars = ax.bar(places, list(found.values()), width=0.92 * width, color=(BLUE, ORANGE)[k % 2], label=name)
        ax.bar_label(bars, fmt=lambda v: f"{v:.2f}".replace("-", "−"), fontsize=6.5, padding=1.5)
    ax.axhline(0, color=INK, lw=0.7)
    ax.set_xticks(range(len(surfaces)), [f"{{{s}}}" for s in surfaces])
    room = 0.6 + max(0.0, (3 - len(surfaces)) / 2)  # a bar of one surface is no wider than one of three
    ax.set_xlim(-room, len(surfaces) - 1 + room)
    ax.grid(axis="x", visible=False)
    ax.margins(y=0.15)
    ax.set_ylabel("Binding energy (eV)")
    if len(energies) > 1:
        ax.legend(loc="best")
    return ax


@styled
def plot_charge_difference(
    difference: NDArray[np.float64],
    cell: NDArray[np.float64],
    origin: NDArray[np.float64],
    still: Still,
    guest: NDArray[np.bool_],
    *,
    slab: bool = False,
    level: float | None = None,
    axes: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Show where charge is gained and lost when a ligand binds, and its mean in layers along the surface's normal.

    Parameters
    ----------
    difference
        (i, j, k) Δρ along the three vectors of the cell, electrons per Å³.
    cell
        (3, 3) vectors of the whole grid as rows, Å.
    origin
        (3,) Å, position of the first point.
    still
        Surface and ligand together.
    guest
        (n,) bool, atoms of the ligand.
    slab
        The surface goes on along the first two vectors of the cell; the normal is the third axis. Without it the
        direction from the surface's to the ligand's middle points up.
    level
        Electrons per Å³ on the surfaces; without it that which holds a third of the moved charge.
    axes
        Two axes; new ones without them.

    Returns
    -------
    The axes: surfaces in Å, and Δρ averaged over planes of the grid's third vector, electrons per Å.
    """
    from scipy.ndimage import map_coordinates

    axes = new_axes(1, 2, size=(4.76, 2.7), width_ratios=(1.6, 1)) if axes is None else axes
    box = np.asarray(cell, float)
    frame = _view(still, guest, None, box if slab else None)
    rho = np.asarray(difference, float)
    limit = _level(rho) if level is None else level
    # The picture is round the ligand and the surface below it; the grid repeats where the cell does.
    own = still.positions[guest].mean(axis=0)
    middle = own - 2.0 * frame[1]
    reach = float(np.linalg.norm(still.positions[guest] - middle, axis=1).max()) + 2.5
    size = 2 * int(np.ceil(reach / _SPACING)) + 2
    at = (np.arange(size) - size // 2) * _SPACING
    w, v, u = np.meshgrid(at, at, at, indexing="ij")
    points = np.stack([u, v, w], axis=-1) + middle
    index = ((points - origin) @ np.linalg.inv(box) * rho.shape).reshape(-1, 3).T
    cube = map_coordinates(rho, index, order=1, mode="grid-wrap").reshape(size, size, size).astype(np.float32)
    # The charge of this ligand alone: half a cell on each side of it.
    away = (points - own) @ np.linalg.inv(box)
    cube[np.abs(away[..., : 2 if slab else 3]).max(axis=-1) > 0.5] = 0.0
    pixels = int(2.6 * 300)
    spheres = _spheres(still, guest, 0.55, box if slab else None, 1.3 * reach)
    picture = spheres.picture(middle, frame, reach, pixels)
    extent = (-reach, reach, -reach, reach)
    axes[0].imshow(picture, extent=extent, origin="lower", interpolation="antialiased")
    for sign, colour in ((1, _GAIN), (-1, _LOSS)):
        lobes = render_surface(
            np.float32(sign) * cube, _SPACING, limit, frame, middle=np.zeros(3), reach=reach, colour=colour,
            pixels=pixels,
        )  # fmt: skip
        lobes[..., 3] *= _OPACITY
        axes[0].imshow(lobes, extent=extent, origin="lower", interpolation="antialiased")
    image_axes(axes[0])
    axes[0].set_title(f"±{limit:.2g} e/Å³", fontsize=7.5)
    _legend(axes[0], still.symbols)
    scale_bar_below(axes[0], 2 * reach)
    area = float(np.linalg.norm(np.cross(cell[0], cell[1])))
    height = np.arange(rho.shape[2]) / rho.shape[2] * float(np.linalg.norm(cell[2]))
    axes[1].plot(rho.mean(axis=(0, 1)) * area, height, color=INK, lw=1.0)
    axes[1].axvline(0, color=MUTED, lw=0.7)
    axes[1].set_xlabel("Δρ summed over a plane (e/Å)")
    axes[1].set_ylabel("Height (Å)")
    return np.asarray(axes)
