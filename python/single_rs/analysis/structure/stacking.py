"""Stacking of the close-packed layers along each ⟨111⟩ of an fcc grain: letters, registry, hcp layers.

Along a normal n the layers are d111 = b √(2/3) apart (b the bond length); their phase is the argument of Σ exp(2πi h/d)
over the heights h of the atoms. Within a layer the registry is the mean phase of the planar net,

    z_m = Σ_layer exp(2πi g_m · x) / N,   m = 1, 2, 3,    g_1 + g_2 + g_3 = 0,    |g_m| = 2 / (√3 b),

with |z| the coherence of the layer. From a layer to the next one all three phases change together, by +2π/3 (A→B→C→A)
or −2π/3: the letters are the sums of these steps, and what is left of each step after rounding is the shift of the
layer, a displacement in Å. A layer is hexagonal (h) when the steps on its two sides differ. The side on which the
letters go A, B, C is a convention: the first two coherent layers are A and B.

Layers with too few atoms or without coherence (a twin with other layers, a dislocation core) have the letter "?".

Reference: J. P. Hirth and J. Lothe, Theory of Dislocations, 2nd ed., Wiley (1982), chapter 10.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.base.errors import InputError
from single_rs.crystal.neighbours import check_positions

__all__ = ["CLOSE_PACKED_NORMALS", "Stacking", "stacking_sequence", "stacking_sequences"]

# The four ⟨111⟩ axes in crystal axes, unit vectors.
CLOSE_PACKED_NORMALS = np.array([[1, 1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / np.sqrt(3.0)
# Atoms within this part of a layer spacing belong to the layer.
_IN_LAYER = 0.3
# A layer needs three atoms to have a net.
_LEAST_ATOMS = 3
# Coherence of a layer disturbed by 0.1 bond lengths rms per axis is 0.77; random positions of ten atoms have 0.3.
_COHERENT = 0.6
# A step is one of the two stackings when within this part of a period of both; the two are 1/3 apart.
_STEP_TOLERANCE = 0.12


@dataclass(frozen=True)
class Stacking:
    """Stacking along one ⟨111⟩, k layers from below.

    Attributes
    ----------
    normal
        (3,) unit vector in crystal axes.
    direction
        (3,) the same in the particle frame.
    letters
        k letters of "ABC", "?" where the layer has no registry.
    hexagonal
        k characters: "c" cubic, "h" hexagonal, "?" unknown (the end layers too).
    heights
        (k,) Å, mean height of each layer along `direction`.
    atoms
        (k,) int.
    coherence
        (k,) 0 to 1, |z| of the layer's net.
    shift
        (k, 3) Å, particle frame, from the ideal place on the layer below; NaN where unknown.
    layer
        (n,) int, layer of each atom, −1 for none.
    spacing
        Å, mean layer spacing.
    """

    normal: NDArray[np.float64]
    direction: NDArray[np.float64]
    letters: str
    hexagonal: str
    heights: NDArray[np.float64]
    atoms: NDArray[np.int64]
    coherence: NDArray[np.float64]
    shift: NDArray[np.float64]
    layer: NDArray[np.int64]
    spacing: float


def _spacing(height: NDArray[np.float64], guess: float) -> tuple[float, float]:
    """Layer spacing within 4% of a guess, and the height of one layer, where Σ exp(2πi h/d) is largest."""
    trials = guess * np.linspace(0.96, 1.04, 81)
    sums = np.exp(2j * np.pi * height[None] / trials[:, None]).sum(axis=1)
    best = int(np.argmax(np.abs(sums)))
    return float(trials[best]), float(np.angle(sums[best]) / (2 * np.pi) * trials[best])


def stacking_sequence(
    positions: ArrayLike, orientation: ArrayLike, bond: float, normal: ArrayLike = CLOSE_PACKED_NORMALS[0]
) -> Stacking:
    """Layers, letters and registry along one ⟨111⟩.

    Parameters
    ----------
    positions
        (n, 3) Å, particle frame.
    orientation
        (3, 3) of the grain, x_particle = Q · x_crystal.
    bond
        Å, nearest-neighbour distance.
    normal
        (3,) a ⟨111⟩ in crystal axes.
    """
    x = check_positions(positions)
    q, n = np.asarray(orientation, dtype=np.float64), np.asarray(normal, dtype=np.float64)
    n = n / max(float(np.linalg.norm(n)), 1e-12)
    if not np.allclose(np.abs(n), 1 / np.sqrt(3.0), atol=1e-3):
        raise InputError(f"normal is {np.round(n, 3).tolist()}; one of the ⟨111⟩ is needed")
    if not bond > 0:
        raise InputError(f"bond is {bond} Å; it must be more than 0 Å")
    direction = q @ n
    x = x - x.mean(axis=0)
    height = x @ direction
    d, phase = _spacing(height, bond * np.sqrt(2 / 3))
    number = np.rint((height - phase) / d).astype(np.int64)
    first = int(number.min())
    inside = np.abs(height - phase - number * d) < _IN_LAYER * d
    layer = np.where(inside, number - first, -1)
    count = int(number.max()) - first + 1
    atoms = np.bincount(layer[inside], minlength=count)
    heights = np.bincount(layer[inside], height[inside], minlength=count) / np.maximum(atoms, 1)
    net = _net(q, n, bond)
    sums = np.zeros((count, 3), dtype=np.complex128)
    np.add.at(sums, layer[inside], np.exp(2j * np.pi * (x[inside] @ net.T)))
    mean = sums / np.maximum(atoms, 1)[:, None]
    coherence = np.abs(mean).mean(axis=1)
    known = (atoms >= _LEAST_ATOMS) & (coherence > _COHERENT)
    steps, shift = _steps(mean, known, net)
    return Stacking(
        normal=n,
        direction=direction,
        letters=_letters(steps, known),
        hexagonal=_hexagonal(steps, count),
        heights=heights + float(np.asarray(positions, dtype=np.float64).mean(axis=0) @ direction),
        atoms=atoms,
        coherence=coherence,
        shift=shift,
        layer=layer,
        spacing=d,
    )


def _net(q: NDArray[np.float64], n: NDArray[np.float64], bond: float) -> NDArray[np.float64]:
    """Rows g_1, g_2, g_3 (3, 3), 1/Å: the shortest reciprocal vectors of the planar net, 120° apart."""
    # In-plane ⟨112⟩ directions, n × ⟨110⟩, 120° apart.
    first = np.cross(n, [1.0, -1.0, 0.0]) if abs(n @ [1.0, -1.0, 0.0]) < 1e-6 else np.cross(n, [1.0, 1.0, 0.0])
    first = first / np.linalg.norm(first)
    second = np.cross(n, first)
    angles = np.arange(3) * 2 * np.pi / 3
    vectors = np.cos(angles)[:, None] * first + np.sin(angles)[:, None] * second
    return np.asarray(2 / (np.sqrt(3.0) * bond) * vectors @ q.T)


def _steps(
    mean: NDArray[np.complex128], known: NDArray[np.bool_], net: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Step (+1, −1, or 0 unknown) from each layer to the next, and the shift (k, 3), Å, of each from its place."""
    steps = np.zeros(len(mean), dtype=np.int64)
    shift = np.full((len(mean), 3), np.nan)
    for k in np.flatnonzero(known[:-1] & known[1:]):
        change = mean[k + 1] * np.conj(mean[k])
        change = change / np.abs(change)
        rests = [np.angle(change * np.exp(-2j * np.pi * s / 3)) / (2 * np.pi) for s in (1, -1)]
        best = int(np.argmin([np.abs(r).max() for r in rests]))
        if np.abs(rests[best]).max() < _STEP_TOLERANCE:
            steps[k] = (1, -1)[best]
            # Σ g gᵀ = (3/2)|g|² in the plane, so the shift is its own back-projection.
            shift[k + 1] = rests[best] @ net / (1.5 * np.sum(net[0] ** 2))
    return steps, shift


def _letters(steps: NDArray[np.int64], known: NDArray[np.bool_]) -> str:
    """Letters from the steps; after a layer without registry the letters begin again at A."""
    if not steps.any():
        return "".join("A" if k else "?" for k in known)
    sense = steps[np.flatnonzero(steps)[0]]
    out, value = [], 0
    for k, coherent in enumerate(known):
        out.append("ABC"[value % 3] if coherent else "?")
        value = (value + int(steps[k] * sense)) if steps[k] else 0
    return "".join(out)


def _hexagonal(steps: NDArray[np.int64], count: int) -> str:
    out = ["?"] * count
    for k in range(1, count - 1):
        if steps[k - 1] and steps[k]:
            out[k] = "c" if steps[k - 1] == steps[k] else "h"
    return "".join(out)


def stacking_sequences(
    positions: ArrayLike, orientation: ArrayLike, bond: float, members: ArrayLike | None = None
) -> tuple[Stacking, ...]:
    """Stacking along the four ⟨111⟩ of an fcc grain.

    Parameters
    ----------
    positions
        (n, 3) Å, of the whole particle.
    orientation
        (3, 3) of the grain.
    bond
        Å.
    members
        (n,) bool, atoms of the grain. Beyond a twin or fault the layers continue across its own ⟨111⟩ only: along each
        axis the sequence of all atoms or of the grain alone is given, whichever knows the stacking of more layers.
    """
    x = check_positions(positions)
    own = np.ones(len(x), dtype=bool) if members is None else np.asarray(members, dtype=bool)
    if own.shape != (len(x),) or own.sum() < 2:
        raise InputError(
            f"members have shape {own.shape} with {own.sum()} atoms; ({len(x)},) with 2 or more are needed"
        )
    out = []
    for normal in CLOSE_PACKED_NORMALS:
        everyone = stacking_sequence(x, orientation, bond, normal)
        if own.all():
            out.append(everyone)
            continue
        alone = stacking_sequence(x[own], orientation, bond, normal)
        layer = np.full(len(x), -1)
        layer[own] = alone.layer
        alone = replace(alone, layer=layer)
        known = [len(s.hexagonal) - s.hexagonal.count("?") for s in (everyone, alone)]
        out.append(everyone if known[0] >= known[1] else alone)
    return tuple(out)
