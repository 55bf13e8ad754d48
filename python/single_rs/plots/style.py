"""The common look of all figures: palette, type sizes, scale bars, and figures without global state.

Colours are those of Okabe and Ito, which stay apart for the common kinds of colour blindness; images use
perceptually uniform colour maps. Figures are bare `matplotlib.figure.Figure` objects, so nothing here needs or
changes pyplot, its backend or its list of open figures.

References: M. Okabe, K. Ito, "Color universal design" (2008), https://jfly.uni-koeln.de/color/;
F. Crameri et al., Nature Communications 11, 5444 (2020), doi:10.1038/s41467-020-19160-7.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "GREEN",
    "GRID",
    "INK",
    "MUTED",
    "ORANGE",
    "PURPLE",
    "SERIES",
    "SKY",
    "STYLE",
    "new_axes",
    "scale_bar",
    "scale_bar_below",
]

# The report swaps exactly these colours for its light and dark themes, so all figures draw lines and text in them.
INK = "#1f2328"
MUTED = "#667085"
GRID = "#dfe3e8"
BLUE = "#0072b2"
ORANGE = "#d55e00"
GREEN = "#009e73"
PURPLE = "#cc79a7"
SKY = "#56b4e9"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY)

# Typed loosely: matplotlib types the keys as literals.
STYLE: Any = {
    "font.size": 8.0,  # pt, as journals print at column width
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=SERIES),
    "lines.linewidth": 1.3,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "figure.dpi": 150,
    "savefig.dpi": 200,
}

ROOM = 2.0  # Å round the atoms in pictures of a map
# Lengths a scale bar may have, Å; the longest below a quarter of the field is taken.
_BAR_LENGTHS_A = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Let a figure function draw in the common style, whatever the caller's settings are; they stay as they were."""

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context(STYLE):
            return draw(*args, **kwargs)

    return wrapper


def new_axes(rows: int = 1, columns: int = 1, size: tuple[float, float] = (3.5, 2.5), **options: Any) -> Any:
    """Make axes on a new figure in the common style.

    Parameters
    ----------
    rows, columns
        Grid of axes.
    size
        Width and height in inches; 3.5 is one journal column.
    **options
        Passed on to `Figure.subplots`.

    Returns
    -------
    Axes, or an array of them when there is more than one. The figure is ``ax.figure``.
    """
    with mpl.rc_context(STYLE):
        return Figure(figsize=size, layout="constrained").subplots(rows, columns, **options)


def core_and_surface(count: int, surface: np.ndarray | None) -> Iterator[tuple[np.ndarray, str, str]]:
    """Give the atoms of the core, then those of the surface, each with the colour and name they have in all figures.

    Parameters
    ----------
    count
        Atoms.
    surface
        (count,) bool; all are core when not given.

    Yields
    ------
    (count,) bool, colour and name, of groups that have atoms.
    """
    outer = np.zeros(count, bool) if surface is None else np.asarray(surface, bool)
    for chosen, colour, name in ((~outer, BLUE, "core"), (outer, ORANGE, "surface")):
        if chosen.any():
            yield chosen, colour, name


def scatter_by_radius(
    ax: Axes,
    radius: np.ndarray,
    value: np.ndarray,
    surface: np.ndarray | None,
    *,
    size: float = 3.0,
    alpha: float = 0.7,
    label: Callable[[str, np.ndarray], str] = lambda name, _: name,
) -> None:
    """Draw a dot per atom, core and surface apart.

    Parameters
    ----------
    ax
        Axes to draw in.
    radius, value
        (n,) in the units of the axes.
    surface
        (n,) bool; all are core when not given.
    size
        Of the dots, pt.
    alpha
        Opacity.
    label
        Name of a group and its values → text in the legend.
    """
    for chosen, colour, name in core_and_surface(len(radius), surface):
        text = label(name, value[chosen])
        ax.plot(radius[chosen], value[chosen], ".", ms=size, color=colour, alpha=alpha, label=text, rasterized=True)


def image_axes(ax: Axes) -> None:
    """Turn axes into a bare picture: no ticks, no grid, no frame."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def quiet_colorbar(bar: Colorbar, label: str) -> None:
    """Label a colour bar in the common colours, which a caller's settings would otherwise choose."""
    axis = bar.ax
    axis.set_ylabel(label, color=INK, fontsize=8)
    axis.tick_params(color=MUTED, labelcolor=INK, labelsize=7.5)
    axis.grid(False)
    bar.outline.set_visible(False)


def scale_bar(ax: Axes, pixel_size: float, width: int) -> None:
    """Draw a scale bar in the lower left corner of an image whose data coordinates are pixels.

    Parameters
    ----------
    ax
        Axes of the image.
    pixel_size
        Å per pixel.
    width
        Width of the image, pixels.
    """
    field = width * pixel_size
    length = max((bar for bar in _BAR_LENGTHS_A if bar <= field / 4), default=_BAR_LENGTHS_A[0])
    label = f"{length / 10:g} nm" if length >= 10 else f"{length} Å"
    # White on a dark strip reads on any image.
    from matplotlib.patches import Rectangle

    fraction = length / field
    ax.add_patch(
        Rectangle((0.03, 0.03), fraction + 0.06, 0.13, transform=ax.transAxes, color="#000000", alpha=0.55, lw=0)
    )
    ax.add_patch(Rectangle((0.06, 0.045), fraction, 0.02, transform=ax.transAxes, color="#ffffff", lw=0))
    ax.text(
        0.06 + fraction / 2,
        0.075,
        label,
        transform=ax.transAxes,
        color="#ffffff",
        ha="center",
        va="bottom",
        fontsize=6.5,
    )


def scale_bar_below(ax: Axes, field: float) -> None:
    """Draw a scale bar under the left end of a picture on white, whose data coordinates are Å.

    Parameters
    ----------
    ax
        Axes of the picture.
    field
        Å, width of the picture.
    """
    from matplotlib.patches import Rectangle

    length = max((bar for bar in _BAR_LENGTHS_A if bar <= field / 3), default=_BAR_LENGTHS_A[0])
    label = f"{length / 10:g} nm" if length >= 10 else f"{length} Å"
    fraction = length / field
    options: dict[str, Any] = {"transform": ax.transAxes, "clip_on": False}
    ax.add_patch(Rectangle((0.02, -0.045), fraction, 0.02, color=INK, lw=0, **options))
    ax.text(0.02 + fraction / 2, -0.06, label, ha="center", va="top", fontsize=7, color=INK, **options)


def limits(image: np.ndarray, low: float = 1.0, high: float = 99.5) -> tuple[float, float]:
    """Return grey limits of an image from its percentiles, never equal.

    Parameters
    ----------
    image
        Any array; NaN is ignored.
    low, high
        Percentiles in percent.
    """
    finite = image[np.isfinite(image)]
    if finite.size == 0:
        return 0.0, 1.0
    lower, upper = np.percentile(finite, (low, high))
    return float(lower), float(upper if upper > lower else lower + 1.0)


def map_limits(images: np.ndarray) -> tuple[float, float]:
    """Return the colour limits of pictures of a map: from the level at their rims, outside the particle, to the peaks.

    Troughs below that level are the rings of a sharp resolution limit; shown, they would make empty space look full.
    """
    rim = np.concatenate([images[..., 0, :], images[..., -1, :], images[..., :, 0], images[..., :, -1]], axis=-1)
    low, (_, high) = float(np.median(rim)), limits(images, 0.0, 99.8)
    return low, high if high > low else low + 1.0


def peak_bar(axes: np.ndarray) -> None:
    """Put a colour bar beside pictures of a map whose levels run from the space outside to the peaks."""
    from matplotlib.cm import ScalarMappable

    shown = ScalarMappable(cmap="magma")
    quiet_colorbar(axes[0].figure.colorbar(shown, ax=list(axes), fraction=0.03, pad=0.02), "Density / peak")


def centres(shape: int, pixel_size: float) -> np.ndarray:
    """Return coordinates of pixel centres in Å, zero at index ``shape // 2``, as everywhere."""
    return (np.arange(shape) - shape // 2) * pixel_size
