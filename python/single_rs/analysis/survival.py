"""Atoms against time: how many there are, and how long sites last, from the interval in which each atom is there.

An atom with the dates a ± σ_a and b ± σ_b is there at time t with probability p = Φ((t − a)/σ_a) Φ((b − t)/σ_b), so
that Σ p atoms are there, with the variance Σ p (1 − p) where dates are independent. The share of a group that is still
there is the product-limit estimate

    S(t) = Π_{t_i ≤ t} (1 − d_i / n_i),    σ² = S² Σ d_i / (n_i (n_i − d_i)),

with d_i of the n_i atoms at risk leaving at t_i; atoms that stay to the end of the movie, or arrive within it, count
only while they are seen (E. L. Kaplan, P. Meier, J. Am. Stat. Assoc. 53, 457 (1958),
doi:10.1080/01621459.1958.10501452; the error is Greenwood's).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.analysis.structure.shape import SITES
from single_rs.base.errors import InputError

__all__ = ["Survival", "atoms_in_time", "survival", "survival_by_coordination", "survival_by_site"]

# Neighbours of an atom of the surface of a close-packed crystal, in the groups of figures: corners, edges, facets.
GROUPS = ((0, 5), (6, 6), (7, 7), (8, 8), (9, 9))
FEWEST = 3  # atoms of a group


@dataclass(frozen=True)
class Survival:
    """Share of a group of atoms that is still there.

    Attributes
    ----------
    name, count
        Of the group, and its atoms.
    frames
        (k,) frames at which atoms left, the first frame of the movie before them.
    share, error
        (k,) share that is there from that frame on, and its standard error.
    """

    name: str
    count: int
    frames: NDArray[np.float64]
    share: NDArray[np.float64]
    error: NDArray[np.float64]


def atoms_in_time(
    frames: ArrayLike, first: ArrayLike, first_err: ArrayLike, last: ArrayLike, last_err: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the number of atoms at each frame (f,), and its standard error.

    Parameters
    ----------
    frames
        (f,) of the movie.
    first, last
        (n,) first and last frame of each atom.
    first_err, last_err
        (n,) their standard errors, frames; 0 where the movie begins or ends.
    """
    from scipy.special import ndtr

    a, a_err, b, b_err = (np.asarray(v, float)[:, None] for v in (first, first_err, last, last_err))
    t = np.asarray(frames, float)[None]
    here = ndtr((t - a + 0.5) / np.maximum(a_err, 1e-3)) * ndtr((b - t + 0.5) / np.maximum(b_err, 1e-3))
    return here.sum(0), np.sqrt((here * (1 - here)).sum(0))


def survival(name: str, first: ArrayLike, last: ArrayLike, left: ArrayLike) -> Survival:
    """Return the share of some atoms that is still there.

    Parameters
    ----------
    name
        Of the group.
    first, last
        (n,) first and last frame of each.
    left
        (n,) whether it left within the movie; else its end is not known.

    Raises
    ------
    InputError
        No atoms.
    """
    a, b, gone = np.asarray(first, float), np.asarray(last, float), np.asarray(left, bool)
    if not len(a):
        raise InputError(f"the group {name!r} holds no atoms; at least one is needed")
    frames, share, error = [float(a.min())], [1.0], [0.0]
    now, spread = 1.0, 0.0
    for frame in np.unique(b[gone]):
        risk, leaving = int(((a <= frame) & (b >= frame)).sum()), int((gone & (b == frame)).sum())
        now *= 1 - leaving / risk
        spread += leaving / (risk * (risk - leaving)) if leaving < risk else 0.0
        frames.append(float(frame) + 1)
        share.append(now)
        error.append(now * float(np.sqrt(spread)))
    return Survival(name, len(a), np.array(frames), np.array(share), np.array(error))


def survival_by_coordination(
    coordination: ArrayLike, first: ArrayLike, last: ArrayLike, left: ArrayLike
) -> list[Survival]:
    """Return the survival of atoms of the surface, those with fewest neighbours first; groups of a few are left out.

    Parameters
    ----------
    coordination
        (n,) neighbours of each atom when it is first there.
    first, last, left
        As in `survival`.
    """
    near, a, b, gone = np.asarray(coordination), np.asarray(first), np.asarray(last), np.asarray(left, bool)
    found = []
    for low, high in GROUPS:
        mine = (near >= low) & (near <= high)
        if mine.sum() >= FEWEST:
            name = f"{high} neighbours" if low == high else f"{high} or fewer"
            found.append(survival(name, a[mine], b[mine], gone[mine]))
    return found


def survival_by_site(site: ArrayLike, first: ArrayLike, last: ArrayLike, left: ArrayLike) -> list[Survival]:
    """Return the survival of atoms of the surface by facet and other kinds of site; groups of a few are left out.

    Parameters
    ----------
    site
        (n,) kind of site of each atom when it is first there, of `single_rs.analysis.structure.shape.SITES`.
    first, last, left
        As in `survival`.
    """
    kind, a, b, gone = np.asarray(site), np.asarray(first), np.asarray(last), np.asarray(left, bool)
    groups = [(name, kind == name) for name in SITES if name != "bulk"]
    return [survival(name, a[mine], b[mine], gone[mine]) for name, mine in groups if mine.sum() >= FEWEST]
