"""The microscope as the refinement found it, beside the power of the frames that it was found from."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from single_rs.plots.style import BLUE, GREEN, MUTED, new_axes, styled

__all__ = ["plot_optics"]


@styled
def plot_optics(
    frequency: ArrayLike,
    envelope: ArrayLike,
    aberration: ArrayLike,
    observed: ArrayLike,
    explained: ArrayLike,
    *,
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """Plot the power of the frames and of the fitted model, and the transfer that the model has.

    Parameters
    ----------
    frequency
        (n,) 1/Å.
    envelope, aberration
        (n,) amplitude of the transfer, and phase χ of its round part, rad.
    observed, explained
        (n,) power of the frames and of the model, over the variance of the noise.
    axes
        (2,) axes; new ones without them.
    """
    if axes is None:
        axes = new_axes(1, 2, size=(9.6, 2.6))
    k, amplitude, chi = (np.asarray(v, float) for v in (frequency, envelope, aberration))
    axes[0].semilogy(k, np.asarray(observed, float), color=BLUE, label="frames")
    axes[0].semilogy(k, np.maximum(np.asarray(explained, float), 1e-4), color=GREEN, label="fitted model")
    axes[0].set_ylabel("Power over noise")
    axes[1].axhline(0.0, color=MUTED, lw=0.6)
    axes[1].plot(k, np.sin(chi), color=BLUE, label="sin χ")
    axes[1].plot(k, amplitude, color=MUTED, ls="--", label="envelope")
    axes[1].plot(k, amplitude * np.sin(chi), color=GREEN, label="transfer")
    axes[1].set_ylabel("Contrast of a weak atom")
    for ax in axes:
        ax.set_xlabel("Spatial frequency (1/Å)")
        ax.legend()
    return axes
