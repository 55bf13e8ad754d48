"""Bimetallic particles: the mean lattice of two elements, and which atom is which.

Atomic volumes add (Zen's law, Vegard's to first order): v = (1 - f) v_1 + f v_2 with f the share of the second
element, and a is that of the first element's structure with v per atom. Both elements share one coherent lattice.

Reference: Denton and Ashcroft, Phys. Rev. A 43, 3161 (1991), doi:10.1103/PhysRevA.43.3161 (on both laws).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from single_rs.simulate.lattices import atomic_volume, reference_lattice

__all__ = ["MIXINGS", "mixed_constant", "mixed_symbols"]

MIXINGS = ("random", "core_shell")


def mixed_constant(structure: str, a: float, covera: float, second: str, fraction: float) -> float:
    """Return the lattice constant in Å of an alloy in the first element's structure.

    Parameters
    ----------
    structure, a, covera
        Lattice of the first element.
    second, fraction
        The second element and its share of the atoms, 0 to 1.

    Raises
    ------
    InputError
        When the second element has no known lattice.
    """
    own = atomic_volume(structure, a, covera)
    other = atomic_volume(*reference_lattice(second))
    return float(a * np.cbrt(1 + fraction * (other / own - 1)))


def mixed_symbols(
    depth: NDArray[np.float64],
    element: str,
    second: str | None,
    fraction: float,
    mixing: str,
    generator: np.random.Generator,
) -> NDArray[np.str_]:
    """Return the symbols (n,) of the atoms; the number of the second element is the rounded share.

    Parameters
    ----------
    depth
        (n,) of each atom below the surface, in any unit: the shell of a core-shell particle has the least.
    element, second, fraction
        Elements, and share of the second one; None for a pure particle.
    mixing
        "random" or "core_shell" (the second element outside).
    generator
        Random numbers.
    """
    symbols = np.full(len(depth), element, dtype="<U2")
    if second is None:
        return symbols
    count = round(fraction * len(depth))
    order = generator.permutation(len(depth))
    if mixing == "core_shell":
        order = order[np.argsort(depth[order], kind="stable")]  # atoms of equal depth in random order
    symbols[order[:count]] = second
    return symbols
