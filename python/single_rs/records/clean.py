"""Cleaned frames of one particle, and the graphene that was found in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.base.errors import InputError
from single_rs.records.display import Displayed
from single_rs.records.invariants import need_at_least, need_finite, need_finite_images, need_positive, need_shape

__all__ = ["Background", "CleanExamples", "CleanStack", "Contrast", "Graphene"]


@dataclass(frozen=True)
class Graphene:
    """One graphene sheet seen in the box.

    Attributes
    ----------
    twist_deg
        Direction of a {10} reflection, degrees from +x towards +y, in [0, 60).
    a
        Lattice constant, Å, by the given pixel size (2.461 for a sheet at rest).
    strain
        (xx, yy, xy) of the sheet without its isotropic part, fraction, lab frame.
    reciprocal
        (2, 2) rows b₁, b₂ in 1/Å, (x, y).
    spots
        (m, 2) indices (h, k) of the reflections that stand above the background, one of each Friedel pair.
    excess
        (m,) power of each above its ring, in units of the ring's power.
    """

    twist_deg: float
    a: float
    strain: tuple[float, float, float]
    reciprocal: NDArray[np.float64]
    spots: NDArray[np.intp]
    excess: NDArray[np.float64]


@dataclass(frozen=True)
class Contrast:
    """Whether atoms were bright or dark in the frames; cleaned frames are turned so that they are bright.

    Attributes
    ----------
    atoms
        "bright" or "dark".
    sigma
        Third moment of the particle's contrast in standard errors, positive for bright atoms; None where not measured.
    stated
        Whether the user said so.
    """

    atoms: str = "bright"
    sigma: float | None = None
    stated: bool = False

    def __str__(self) -> str:
        """Return what atoms are and what says so, as sentences quote it."""
        said = ["as stated"] if self.stated else []
        if self.sigma is not None:
            shown = "dark" if self.sigma < 0 else "bright"
            other = "" if shown == self.atoms else f"the frames show {shown} ones "
            said.append(f"{other}by {abs(self.sigma):.1f} sigma")
        return f"{self.atoms} ({', '.join(said) or 'not measured'})"


@dataclass(frozen=True)
class Background:
    """What was measured of the frames while they were cleaned; the part of a `CleanStack` that is small.

    Attributes
    ----------
    pixel_size
        Å.
    diameter
        Å, of the ball with the same variance profile.
    graphene
        The sheets found.
    bad
        (n,) bool.
    contrast
        Of the atoms, in the frames as they were given.
    """

    pixel_size: float
    diameter: float
    graphene: list[Graphene]
    bad: NDArray[np.bool_]
    contrast: Contrast = Contrast()


@dataclass(frozen=True)
class CleanExamples:
    """Which frames are kept cleaned, for the report.

    Attributes
    ----------
    index
        (k,) rows of the stack, from 0.
    """

    index: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Check that they are numbers of rows."""
        need_shape("index", self.index, (np.size(self.index),))
        need_at_least("index", self.index, 0)


@dataclass(frozen=True, repr=False)
class CleanStack(Displayed):
    """Single frames ready for the solver.

    Attributes
    ----------
    images
        (n, y, x) float32 contrast, ±(counts / dose - 1), square and even, atoms bright; surroundings have mean 0.
    pixel_size
        Å.
    frames
        (n,) 0-based frame of the movie.
    diameter
        Å, of the ball with the same variance profile (not the widest corner to corner distance).
    noise
        (n_shell,) float32 power |FFT|² / N² of the noise in shell round(|k|), to the corner of the grid; white noise of
        variance v has v in every shell.
    frame_noise
        (n,) float32 factor on `noise`, mean 1 over good frames.
    weights
        (y, x // 2 + 1) float32 in [0, 1] on the rfft2 grid; 0 where graphene was.
    graphene
        The sheets found.
    offsets
        (n, 2) Å (x, y), particle's centre from the box centre.
    bad
        (n,) bool.
    signal
        (n_shell,) float32 power of the particle, per pixel of its area.
    contrast
        Of the atoms, in the frames as they were given.

    Raises
    ------
    InputError
        Arrays of other shapes or values: images that are not square and even or not finite, noise that is not above 0.
    """

    images: NDArray[np.float32]
    pixel_size: float
    frames: NDArray[np.int64]
    diameter: float
    noise: NDArray[np.float32]
    frame_noise: NDArray[np.float32]
    weights: NDArray[np.float32]
    graphene: list[Graphene]
    offsets: NDArray[np.float64]
    bad: NDArray[np.bool_]
    signal: NDArray[np.float32]
    contrast: Contrast = Contrast()

    def __post_init__(self) -> None:
        """Refuse frames that cannot be."""
        shape = np.shape(self.images)
        if len(shape) != 3 or shape[1] != shape[2] or shape[1] % 2 or not shape[1]:
            raise InputError(f"images have shape {shape}; (n, y, x) with y = x, even, is needed")
        n, box = shape[:2]
        need_finite_images("images", self.images)
        need_positive("pixel_size", self.pixel_size, "Å")
        need_positive("diameter", self.diameter, "Å")
        for name in ("frames", "frame_noise", "bad"):
            need_shape(name, getattr(self, name), (n,))
        need_shape("offsets", self.offsets, (n, 2))
        need_finite("offsets", self.offsets)
        need_shape("weights", self.weights, (box, box // 2 + 1))
        need_at_least("weights", self.weights, 0.0)
        shells = np.shape(self.noise)
        if len(shells) != 1 or shells[0] <= box // 2:
            raise InputError(f"noise has shape {shells}; one value for each of the shells 0 to {box // 2} is needed")
        need_shape("signal", self.signal, shells)
        for name, values in (
            ("noise", self.noise),
            ("frame_noise", np.asarray(self.frame_noise)[~np.asarray(self.bad, bool)]),
        ):
            need_finite(name, values)
            if (values <= 0).any():
                raise InputError(f"{name} holds {int((values <= 0).sum())} values of 0 or less; all must be above 0")

    @classmethod
    def bare(cls, images: NDArray[np.float32], pixel_size: float, diameter: float, noise: ArrayLike) -> CleanStack:
        """Frames that need no cleaning: contrast of a centred particle and noise of known power.

        Parameters
        ----------
        images
            (n, y, x) contrast, square and even.
        pixel_size, diameter
            Å.
        noise
            Power |FFT|² / N² of the noise: one number, the variance of white noise, or (n_shell,) to the corner.
        """
        n, box = np.shape(images)[:2]
        shells = int(np.hypot(box // 2, box // 2)) + 2
        power = np.asarray(noise, np.float32)
        return cls(
            images=images,
            pixel_size=pixel_size,
            frames=np.arange(n),
            diameter=diameter,
            noise=np.full(shells, power) if power.ndim == 0 else power,
            frame_noise=np.ones(n, np.float32),
            weights=np.ones((box, box // 2 + 1), np.float32),
            graphene=[],
            offsets=np.zeros((n, 2)),
            bad=np.zeros(n, bool),
            signal=np.zeros(shells if power.ndim == 0 else len(power), np.float32),
        )

    @property
    def background(self) -> Background:
        """What was measured of the frames, without the frames."""
        return Background(self.pixel_size, self.diameter, self.graphene, self.bad, self.contrast)
