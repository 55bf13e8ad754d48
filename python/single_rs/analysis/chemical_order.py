"""Chemical order of an alloy: long-range order on sublattices, Warren-Cowley parameters, composition against radius.

Long-range order. Sites 2n = (h, k, l) of fcc fall into four simple cubic sublattices by their parities. L1_0 puts one
element on the even, the other on the odd layers along one axis (three variants), L1_2 one element on one sublattice of
four (four variants); B2 parts bcc into corners and centres. With r_β(B) the share of β sites that hold B,

    S = r_β(B) − r_α(B),    1 in the perfect compound, 0 at random,    Bragg and Williams (1934).

Of all variants the one with the highest likelihood of the occupancies is taken, and none where that is not beyond what
a lattice with one composition gives, by the Bayesian information criterion and by 4 standard deviations of S over
random permutations of the atoms: then S is that of the best variant, named "disordered".

Short-range order. With p_n(B|A) the share of B among the n-th neighbours of A atoms and c_B that among all atoms,

    α_n(A, B) = 1 − p_n(B|A) / c_B,    −1/3 in the first shell of L1_0, 0 at random, > 0 where A and B part.

In a particle α(A, B) and α(B, A) differ as far as the surface has a composition of its own.

Errors. The elements of atoms are known with a probability each (`Atoms.probability`). Elements are drawn anew from it
`draws` times, a wrong one by the shares of the others, and every number is taken again: the error holds the spread
over the draws and the shift of their mean, as misnamed atoms hide order, and for shares and S the binomial law of so
many atoms. `random` is the standard deviation over permutations of the atoms, what a random alloy of this size has.

References: W. L. Bragg and E. J. Williams, Proc. R. Soc. A 145, 699 (1934), doi:10.1098/rspa.1934.0132; J. M. Cowley,
Phys. Rev. 77, 669 (1950), doi:10.1103/PhysRev.77.669; G. Schwarz, Ann. Statist. 6, 461 (1978),
doi:10.1214/aos/1176344136.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from single_rs.analysis.lattice import Lattice
from single_rs.crystal.neighbours import neighbour_cutoff
from single_rs.records import Atoms

__all__ = ["ChemicalOrder", "LongRangeOrder", "ProfileBin", "ShortRangeOrder", "chemical_order"]

# Shells of neighbours in first-neighbour distances; pairs are counted with the shell they are nearest to.
_SHELLS = {
    "fcc": (1.0, np.sqrt(2.0), np.sqrt(3.0), 2.0),
    "bcc": (1.0, np.sqrt(4 / 3), np.sqrt(8 / 3), np.sqrt(11 / 3)),
    "hcp": (1.0, np.sqrt(2.0), np.sqrt(8 / 3), np.sqrt(3.0)),
}
_SHELL_WIDTH = 0.12  # of a first-neighbour distance to either side
_SURE = 4.0  # standard deviations of a random alloy
_BIN_ATOMS, _BINS = 25, 8
_LEAST_ATOMS = 13


@dataclass(frozen=True)
class LongRangeOrder:
    """Order on the sublattices of the main domain.

    Attributes
    ----------
    kind
        "L1_0", "L1_2", "B2" or "disordered".
    s, s_err, random
        Order parameter, its error, and what a random alloy scatters by.
    element
        The element that is on the sublattice β.
    axis
        "a", "b" or "c", along which L1_0 is layered; "" for the others.
    c_over_a, c_over_a_err
        The edge along the axis to the mean of the other two, for L1_0; NaN for the others.
    occupancies
        Sublattice ("alpha", "beta") → element → (share, error).
    atoms
        Atoms on the sites.
    """

    kind: str
    s: float
    s_err: float
    random: float
    element: str
    axis: str
    c_over_a: float
    c_over_a_err: float
    occupancies: dict[str, dict[str, tuple[float, float]]]
    atoms: int


@dataclass(frozen=True)
class ShortRangeOrder:
    """Warren-Cowley parameters of one shell.

    Attributes
    ----------
    distance, pairs
        Å, mean of the shell, and its number of pairs.
    alpha, error, random
        (e, e) α of the elements A (rows) and B, its standard error, and what a random alloy scatters by.
    """

    distance: float
    pairs: int
    alpha: NDArray[np.float64]
    error: NDArray[np.float64]
    random: NDArray[np.float64]


@dataclass(frozen=True)
class ProfileBin:
    """Composition of a spherical shell about the centre.

    Attributes
    ----------
    inner, outer, atoms
        Radii in Å, and number of atoms.
    share, error
        (e,) of each element, and its standard error.
    """

    inner: float
    outer: float
    atoms: int
    share: NDArray[np.float64]
    error: NDArray[np.float64]


@dataclass(frozen=True)
class ChemicalOrder:
    """Chemical order of a particle of several elements; e elements in alphabetical order.

    Attributes
    ----------
    elements
        Chemical symbols.
    share, share_err
        (e,) of all atoms.
    long_range
        None for more than two elements, or without an fcc or bcc lattice.
    short_range
        By shell, the nearest first; the first alone without a lattice.
    profile
        From the centre outwards, equal numbers of atoms.
    certain
        Mean probability of the elements; NaN where the file does not know it: errors then hold none of it.
    """

    elements: tuple[str, ...]
    share: NDArray[np.float64]
    share_err: NDArray[np.float64]
    long_range: LongRangeOrder | None
    short_range: tuple[ShortRangeOrder, ...]
    profile: tuple[ProfileBin, ...]
    certain: float


def chemical_order(atoms: Atoms, lattice: Lattice | None, draws: int = 100, seed: int = 0) -> ChemicalOrder | None:
    """Chemical order of a particle, None for one element.

    Parameters
    ----------
    atoms
        Positions (Å), symbols, and the probability of each atom.
    lattice
        Its lattice; None leaves the first shell and the profile.
    draws
        Draws of the elements and permutations; errors are good to 1 / √(2 · draws).
    seed
        Seed of the draws.
    """
    x, names = np.asarray(atoms.positions), np.asarray(atoms.symbols, dtype=str)
    elements = tuple(sorted(set(names.tolist())))
    if len(elements) < 2 or len(x) < _LEAST_ATOMS:
        return None
    code = np.searchsorted(np.array(elements), names)
    generator = np.random.default_rng([seed, 0xC4E3])
    drawn = _drawn(code, np.asarray(atoms.probability, dtype=np.float64), len(elements), draws, generator)
    mixed = [generator.permutation(code) for _ in range(draws)]
    count = len(elements)

    def errors(value: Any, of: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Error by the draws, and spread of a random alloy, of a function of the codes."""
        again = np.array([of(c) for c in drawn])
        known = again.std(axis=0) ** 2 + (again.mean(axis=0) - value) ** 2 if len(drawn) else np.zeros_like(value)
        return np.sqrt(known), np.std([of(c) for c in mixed], axis=0)

    def share(c: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.bincount(c, minlength=count) / len(c)

    short = []
    for distance, pairs in _shells(x, lattice):

        def alpha(c: NDArray[np.int64], pairs: NDArray[np.int64] = pairs) -> NDArray[np.float64]:
            table = np.bincount(count * c[pairs[:, 0]] + c[pairs[:, 1]], minlength=count**2).reshape(count, count)
            ends = np.maximum(table.sum(axis=1, keepdims=True), 1)
            return np.asarray(1 - table / ends / np.maximum(share(c), 1e-12))

        value = alpha(code)
        short.append(ShortRangeOrder(distance, len(pairs) // 2, value, *errors(value, alpha)))
    profile = _profile(x, code, drawn, count)
    overall = share(code)
    sure = float(np.nanmean(atoms.probability)) if np.isfinite(atoms.probability).any() else float("nan")
    long = None if lattice is None or count != 2 else _long_range(lattice, code, elements, errors)
    return ChemicalOrder(elements, overall, errors(overall, share)[0], long, tuple(short), profile, sure)


def _drawn(
    code: NDArray[np.int64], probability: NDArray[np.float64], count: int, draws: int, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Elements drawn from their probabilities; none where these are not known."""
    if not np.isfinite(probability).any():
        return []
    wrong = 1 - np.clip(np.nan_to_num(probability, nan=1.0), 0, 1)
    share = np.bincount(code, minlength=count) / len(code)
    out = []
    for _ in range(draws):
        new = code.copy()
        for i in np.flatnonzero(generator.random(len(code)) < wrong):
            rest = share * (np.arange(count) != code[i])
            new[i] = generator.choice(count, p=rest / rest.sum())
        out.append(new)
    return out


def _shells(x: NDArray[np.float64], lattice: Lattice | None) -> list[tuple[float, NDArray[np.int64]]]:
    """Mean distance and ordered pairs (p, 2), both ways, of the shells of neighbours."""
    tree = cKDTree(x)
    if lattice is None or lattice.structure not in _SHELLS:
        pairs = tree.query_pairs(neighbour_cutoff(x)[1], output_type="ndarray")
        lengths = np.linalg.norm(x[pairs[:, 0]] - x[pairs[:, 1]], axis=1)
        return [(float(lengths.mean()), np.concatenate([pairs, pairs[:, ::-1]]))]
    radii = np.array(_SHELLS[lattice.structure])
    bond = lattice.nearest_neighbour
    pairs = tree.query_pairs((radii[-1] + _SHELL_WIDTH) * bond, output_type="ndarray")
    lengths = np.linalg.norm(x[pairs[:, 0]] - x[pairs[:, 1]], axis=1) / bond
    which = np.abs(lengths[:, None] - radii).argmin(axis=1)
    near = np.abs(lengths - radii[which]) < _SHELL_WIDTH
    out = []
    for k in range(len(radii)):
        mine = near & (which == k)
        if mine.any():
            both = np.concatenate([pairs[mine], pairs[mine][:, ::-1]])
            out.append((float(lengths[mine].mean() * bond), both))
    return out


def _profile(
    x: NDArray[np.float64], code: NDArray[np.int64], drawn: list[NDArray[np.int64]], count: int
) -> tuple[ProfileBin, ...]:
    """Composition in spherical shells of equal numbers of atoms, from the centre outwards."""
    radius = np.linalg.norm(x - x.mean(axis=0), axis=1)
    order = np.argsort(radius)
    bins = []
    for part in np.array_split(order, int(np.clip(len(x) // _BIN_ATOMS, 1, _BINS))):
        share = np.bincount(code[part], minlength=count) / len(part)
        # Of so few atoms the share is known to the binomial law, with a half atom of each kind added.
        smooth = (share * len(part) + 0.5) / (len(part) + 0.5 * count)
        variance = smooth * (1 - smooth) / len(part)
        if drawn:
            again = np.array([np.bincount(c[part], minlength=count) / len(part) for c in drawn])
            variance = variance + again.std(axis=0) ** 2 + (again.mean(axis=0) - share) ** 2
        bins.append(
            ProfileBin(float(radius[part].min()), float(radius[part].max()), len(part), share, np.sqrt(variance))
        )
    return tuple(bins)


def _variants(lattice: Lattice) -> list[tuple[str, str, NDArray[np.int64], NDArray[np.bool_]]]:
    """Kind, axis, atoms (m,) of the main domain and which of them are on β, of every ordered variant."""
    mine = np.flatnonzero((lattice.domain == 0) & lattice.on_site)
    site = np.rint(2 * lattice.sites[mine]).astype(np.int64) % 2
    if lattice.structure == "bcc":
        return [("B2", "", mine, site[:, 0] == 1)]
    if lattice.structure != "fcc":
        return []
    layered = [("L1_0", axis, mine, site[:, k] == 1) for k, axis in enumerate("abc")]
    cubic = [
        ("L1_2", "", mine, np.all(site == corner, axis=1)) for corner in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0))
    ]
    return layered + cubic


def _likelihood(second: NDArray[np.bool_], beta: NDArray[np.bool_]) -> float:
    """Log-likelihood of the occupancies with a composition of its own on each sublattice."""
    total = 0.0
    for group in (second[beta], second[~beta]):
        if len(group):
            p = np.clip(group.mean(), 1e-9, 1 - 1e-9)
            total += len(group) * float(p * np.log(p) + (1 - p) * np.log(1 - p))
    return total


def _long_range(
    lattice: Lattice, code: NDArray[np.int64], elements: tuple[str, ...], errors: Any
) -> LongRangeOrder | None:
    """Order parameter of the best variant, see the module."""
    variants = _variants(lattice)
    if not variants or len(variants[0][2]) < _LEAST_ATOMS:
        return None

    def order(c: NDArray[np.int64], kind: str, mine: NDArray[np.int64], beta: NDArray[np.bool_]) -> float:
        second = c[mine] == 1
        return float(second[beta].mean() - second[~beta].mean()) if beta.any() and not beta.all() else 0.0

    second = code[variants[0][2]] == 1
    scores = [_likelihood(code[mine] == 1, beta) for _, _, mine, beta in variants]
    best = int(np.argmax(scores))
    kind, axis, mine, beta = variants[best]
    s = order(code, kind, mine, beta)
    # A negative S is the other element on β; L1_2 has the rarer one there only if that fits better, as its sign says.
    sign = 1.0 if s >= 0 else -1.0
    error, random = errors(s, lambda c: order(c, kind, mine, beta))
    gain = scores[best] - _likelihood(second, np.zeros(len(second), dtype=bool)) - np.log(len(mine)) / 2
    found = gain > np.log(len(variants)) and abs(s) > _SURE * float(random)
    element = elements[1] if sign > 0 else elements[0]
    occupancies: dict[str, dict[str, tuple[float, float]]] = {}
    for name, group in (("alpha", ~beta), ("beta", beta)):
        occupancies[name] = {}
        for k, symbol in enumerate(elements):
            share = float(np.mean(code[mine][group] == k)) if group.any() else float("nan")
            smooth = (share * group.sum() + 0.5) / (group.sum() + 1)
            by_draw = float(errors(share, lambda c, k=k, group=group: np.mean(c[mine][group] == k))[0])
            occupancies[name][symbol] = (share, float(np.hypot(by_draw, np.sqrt(smooth * (1 - smooth) / group.sum()))))
    ratio, ratio_err = (float("nan"),) * 2
    if kind == "L1_0" and found:
        p = lattice.parameters
        lengths = np.array([p.a, p.b, p.c])
        spread = np.array([p.a_err, p.b_err, p.c_err])
        k = "abc".index(axis)
        others = np.delete(lengths, k)
        ratio = float(lengths[k] / others.mean())
        of_others = np.linalg.norm(np.delete(spread, k)) / 2 / others.mean()
        ratio_err = ratio * float(np.hypot(spread[k] / lengths[k], of_others))
    own = [occupancies[name][elements[1]][1] for name in ("alpha", "beta")]
    return LongRangeOrder(
        kind=kind if found else "disordered",
        s=abs(s),
        s_err=max(float(error), float(np.linalg.norm(own))),
        random=float(random),
        element=element,
        axis=axis if found else "",
        c_over_a=ratio,
        c_over_a_err=ratio_err,
        occupancies=occupancies,
        atoms=len(mine),
    )
