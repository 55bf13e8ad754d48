"""The transfer of a microscope as physics has it: focus, astigmatism, coma and threefold astigmatism of all frames.

An atom of a weak object at depth z, in a frame whose focus is off by Δ, has the transfer

    P(k) = exp(−iχ_o(k)) [a(|k|) cos Θ + b(|k|) sin Θ],    Θ = πλk² (z + Δ + A₁ cos 2φ + A₂ sin 2φ)

with two round functions a and b that hold scattering, C1, C3, envelope and detector at once, a = E sin χ and
b = −E cos χ of the round aberration χ. A twofold astigmatism (A₁, A₂) is a focus that depends on the azimuth φ of k;
what is odd in k turns the phase of all atoms alike,

    χ_o(k) = ⅔ π λ² k³ (B₁ cos φ + B₂ sin φ + T₁ cos 3φ + T₂ sin 3φ),

coma B and threefold astigmatism T as C21 and C23 of Krivanek, Dellby and Lupini (Ultramicroscopy 78, 1 (1999),
doi:10.1016/S0304-3991(99)00013-3). What of the coma is a shift the poses take up. Θ within the particle is expanded in
the depth, so that channels of the kernels suffice; frames are dealt to bins of their focus.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["TERMS", "Lens"]

NODES = 41  # depths that the expansion is fitted to
# Each term has a cosine and a sine of a multiple of the azimuth.
TERMS = ("astigmatism", "coma", "threefold")


@dataclass(frozen=True)
class Lens:
    """What all frames share of the optics.

    Attributes
    ----------
    wavelength
        λ, Å.
    reach
        Half the depth of the particle, Å.
    terms
        (6,) A₁, A₂, B₁, B₂, T₁, T₂, Å.
    """

    wavelength: float
    reach: float
    terms: tuple[float, ...] = (0.0,) * 6

    def parts(
        self, waves: NDArray[np.float64], box: float, order: int, depth: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Channels (2, order + 1, m) that a and b weigh, and their change with the depth, 1/Å.

        Parameters
        ----------
        waves
            (m, 2) frequencies, 1/Å.
        box
            Å; the depths of the channels are in half boxes.
        order
            Of the expansion in the depth.
        depth
            Of the middle of the particle, Å: Δ.
        """
        per_depth = np.pi * self.wavelength * (waves**2).sum(1)
        cosine, sine = _expanded(self.reach, box, order, per_depth.tobytes())
        phase = per_depth * (depth + self.terms[:2] @ _azimuth(waves, 2))
        c, s = np.cos(phase), np.sin(phase)
        a, b = c * cosine - s * sine, s * cosine + c * sine
        return np.stack([a, b]), np.stack([-b, a]) * per_depth

    def phase(self, waves: NDArray[np.float64]) -> NDArray[np.float64]:
        """χ_o (m,), rad, at frequencies (m, 2) 1/Å."""
        return np.asarray(np.array(self.terms[2:]) @ self.odd(waves))

    def odd(self, waves: NDArray[np.float64]) -> NDArray[np.float64]:
        """Phases (4, m) of one Å of each odd term."""
        k = np.hypot(*waves.T)
        size = 2 / 3 * np.pi * self.wavelength**2 * k**3
        return np.concatenate([size * _azimuth(waves, 1), size * _azimuth(waves, 3)])

    def even(self, waves: NDArray[np.float64]) -> NDArray[np.float64]:
        """Depths (2, m) of one Å of each even term."""
        return _azimuth(waves, 2)


@lru_cache(4)
def _expanded(reach: float, box: float, order: int, per_depth: bytes) -> tuple[NDArray[np.float64], ...]:
    """Cosine and sine, (order + 1, m) each, of `per_depth` (m,) rad/Å times the depth, expanded in the depth."""
    z = np.linspace(-1.0, 1.0, NODES) * reach
    root = np.sqrt(np.maximum(1.0 - (z / reach) ** 2, 1e-3))  # a ball has few atoms far from its middle
    powers = (2 * z / box)[:, None] ** np.arange(order + 1)
    solve = np.linalg.pinv(powers * root[:, None]) * root
    inside = z[:, None] * np.frombuffer(per_depth)
    return np.asarray(solve @ np.cos(inside), np.float64), np.asarray(solve @ np.sin(inside), np.float64)


def _azimuth(waves: NDArray[np.float64], fold: int) -> NDArray[np.float64]:
    """(2, m) cos and sin of `fold` times the azimuth."""
    angle = fold * np.arctan2(waves[:, 1], waves[:, 0])
    return np.stack([np.cos(angle), np.sin(angle)])
