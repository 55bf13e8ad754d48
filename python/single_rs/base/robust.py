"""Scatter that outliers do not move: the standard deviation by the median absolute deviation.

    σ ≈ 1.4826 · median |v − median v|,    1.4826 = 1 / Φ⁻¹(3/4), which makes it σ for a normal law.

Reference: P. J. Rousseeuw and C. Croux, J. Am. Stat. Assoc. 88, 1273 (1993), doi:10.1080/01621459.1993.10476408.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIGMA_PER_MAD", "robust_sigma"]

SIGMA_PER_MAD = 1.4826


def robust_sigma(values: NDArray[Any]) -> float:
    """Return the robust standard deviation of values (any shape, finite), in their unit."""
    return SIGMA_PER_MAD * float(np.median(np.abs(values - np.median(values))))
