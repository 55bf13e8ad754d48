"""A first look at a file: its pictures side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from single_rs.plots.style import image_axes, limits, new_axes, scale_bar, styled

__all__ = ["plot_first_look"]

EDGE = 2.2  # inches of one picture


@styled
def plot_first_look(images: Mapping[str, np.ndarray], pixel_size: float | None = None) -> np.ndarray:
    """Show pictures side by side, each in its own grey scale.

    Parameters
    ----------
    images
        Title → (y, x).
    pixel_size
        Å, for the scale bar of the first; None for none.

    Returns
    -------
    The axes, (k,).
    """
    axes: np.ndarray = new_axes(1, len(images), size=(EDGE * len(images), EDGE + 0.25), squeeze=False)[0]
    for ax, (title, image) in zip(axes, images.items(), strict=True):
        low, high = limits(np.asarray(image, np.float32), 0.5, 99.8)
        ax.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="none")
        image_axes(ax)
        ax.set_title(title)
    if pixel_size is not None:
        first = next(iter(images.values()))
        scale_bar(axes[0], pixel_size, first.shape[1])
    return axes
