"""The chemical order of a particle for its summary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis.chemical_order import ChemicalOrder, LongRangeOrder

__all__ = ["ChemistrySummary", "chemistry_summary"]

ByElement = dict[str, float | None]


@dataclass(frozen=True)
class Occupancy:
    """Share of an element on a sublattice.

    Attributes
    ----------
    share, err
        Fraction, and its standard error.
    """

    share: float | None
    err: float | None


@dataclass(frozen=True)
class LongRangeSummary:
    """Order on the sublattices of the main domain.

    Attributes
    ----------
    kind
        "L1_0", "L1_2", "B2" or "disordered".
    S, S_err, S_random
        Order parameter, its error, and what a random alloy scatters by.
    beta
        The element on the sublattice β.
    axis
        "a", "b" or "c", along which L1_0 is layered; "" for the others.
    c_over_a, c_over_a_err
        The edge along the axis to the mean of the other two, of L1_0.
    atoms
        Atoms on the sites.
    occupancies
        Sublattice ("alpha", "beta") → element → share.
    """

    kind: str
    S: float | None
    S_err: float | None
    S_random: float | None
    beta: str
    axis: str
    c_over_a: float | None
    c_over_a_err: float | None
    atoms: int
    occupancies: dict[str, dict[str, Occupancy]]


@dataclass(frozen=True)
class ShellSummary:
    """Warren-Cowley parameters of one shell.

    Attributes
    ----------
    distance, pairs
        Å, mean of the shell, and its number of pairs.
    alpha, err, random
        Element → element → α, its standard error, and what a random alloy scatters by.
    """

    distance: float | None
    pairs: int
    alpha: dict[str, ByElement]
    err: dict[str, ByElement]
    random: dict[str, ByElement]


@dataclass(frozen=True)
class BinSummary:
    """Composition of a spherical shell about the centre.

    Attributes
    ----------
    inner, outer, atoms
        Radii in Å, and number of atoms.
    share, err
        Element → share, and its standard error.
    """

    inner: float | None
    outer: float | None
    atoms: int
    share: ByElement
    err: ByElement


@dataclass(frozen=True)
class ChemistrySummary:
    """Chemical order of a particle of several elements.

    Attributes
    ----------
    share, share_err
        Element → share of all atoms, and its standard error.
    certain
        Mean probability of the elements.
    long_range
        Order on the sublattices; null for more than two elements, or without an fcc or bcc lattice.
    warren_cowley
        Short-range order by shell, the nearest first.
    profile
        Composition from the centre outwards.
    """

    share: ByElement
    share_err: ByElement
    certain: float | None
    long_range: LongRangeSummary | None
    warren_cowley: tuple[ShellSummary, ...]
    profile: tuple[BinSummary, ...]


def chemistry_summary(order: ChemicalOrder) -> ChemistrySummary:
    """Return the numbers for summary.json: shares, errors, parameters, to six decimals."""

    def one(values: NDArray[np.float64]) -> ByElement:
        return {e: _rounded(v) for e, v in zip(order.elements, values, strict=True)}

    def two(values: NDArray[np.float64]) -> dict[str, ByElement]:
        return {e: one(row) for e, row in zip(order.elements, values, strict=True)}

    return ChemistrySummary(
        share=one(order.share),
        share_err=one(order.share_err),
        certain=_rounded(order.certain),
        long_range=None if order.long_range is None else _long_range(order.long_range),
        warren_cowley=tuple(
            ShellSummary(_rounded(s.distance), s.pairs, two(s.alpha), two(s.error), two(s.random))
            for s in order.short_range
        ),
        profile=tuple(
            BinSummary(_rounded(b.inner), _rounded(b.outer), b.atoms, one(b.share), one(b.error)) for b in order.profile
        ),
    )


def _long_range(long: LongRangeOrder) -> LongRangeSummary:
    return LongRangeSummary(
        kind=long.kind,
        S=_rounded(long.s),
        S_err=_rounded(long.s_err),
        S_random=_rounded(long.random),
        beta=long.element,
        axis=long.axis,
        c_over_a=_rounded(long.ratio),
        c_over_a_err=_rounded(long.ratio_err),
        atoms=long.atoms,
        occupancies={
            name: {e: Occupancy(_rounded(v), _rounded(s)) for e, (v, s) in of.items()}
            for name, of in long.occupancies.items()
        },
    )


def _rounded(value: float) -> float:
    return round(float(value), 6)
