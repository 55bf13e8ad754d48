"""Two structures in turn: blocks of frames sorted by what one half of the atoms shows, judged by the other half.

A particle that goes to and fro between two structures faster than a state lasts cannot be divided in time, yet its
blocks are of two kinds. With K^u_bb' the inner products (`evidence`) over the gradients of a random half u of all atoms
and sites, blocks are sorted by the sign of the leading eigenvector of K^u / √(p_b p_b'): the best axis along which they
differ. The other half of the atoms, which had no say, gains

    Σ_{T} Σ_{b≠b'∈T} K^v_bb' / p_T − Σ_{b≠b'} K^v_bb'

nats over both kinds T where they are real, and 0 on average where they are not; 100 random assignments into kinds of
the same sizes say how far that may be chance. Neighbours in time are left out, as they share views.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from single_rs.refine.change.evidence import BlockEvidence
from single_rs.refine.change.segments import CLEAR, NEAR
from single_rs.refine.change.types import Alternation

__all__ = ["find_alternation"]

TRIALS = 100
FEWEST = 20  # blocks; fewer sort themselves by chance


def find_alternation(
    evidence: BlockEvidence, blocks: slice, atoms: int, movie: NDArray[np.int64], rng: np.random.Generator
) -> Alternation | None:
    """Return how clearly a stretch of blocks holds two structures in turn; None where there are too few blocks.

    Parameters
    ----------
    evidence
        Of all blocks.
    blocks
        Those of the stretch.
    atoms
        Number of atoms, without the empty sites.
    movie
        (image,) frame of the movie.
    rng
        Of the halves and of the random assignments.
    """
    share = evidence.share[blocks]
    used = np.flatnonzero(share > 0.1 * share.mean())  # blocks that hardly any frame shows say nothing
    if len(used) < FEWEST:
        return None
    vectors, steps, share = evidence.vectors[blocks][used], evidence.steps[blocks][used], share[used]
    part = share / share.sum()
    vectors = vectors - part[:, None] * vectors.sum(0)  # over one structure of the stretch
    steps = steps - part[:, None] * steps.sum(0)
    of = np.concatenate([np.repeat(np.arange(atoms), 3), np.arange(vectors.shape[1] - 3 * atoms)])
    half = rng.random(of.max() + 1) < 0.5
    near = np.abs(used[:, None] - used) <= NEAR
    products = [np.where(near, 0.0, vectors[:, mine] @ steps[:, mine].T) for mine in (half[of], ~half[of])]
    products = [(k + k.T) / 2 for k in products]
    found = []
    for sorting, judging in (products, products[::-1]):
        scale = 1 / np.sqrt(share)
        axis = np.linalg.eigh(sorting * scale[:, None] * scale)[1][:, -1]
        kind = axis > 0
        null = np.array([_gain(judging, share, rng.permutation(kind)) for _ in range(TRIALS)])
        gain = _gain(judging, share, kind)
        found.append(((gain - null.mean()) / max(float(null.std()), 1e-12), gain, kind))
    # Both halves must agree that there are two kinds.
    significance, gain, kind = min(found, key=lambda item: item[0])
    edges = evidence.edges[:-1][blocks][used]
    return Alternation(
        first=int(movie[edges[0]]),
        last=int(movie[evidence.edges[blocks.stop] - 1]),
        nats=float(gain),
        significance=float(significance),
        share=float(min(part[kind].sum(), part[~kind].sum())),
        turns=int((kind[1:] != kind[:-1]).sum()),
        clear=bool(significance >= CLEAR),
    )


def _gain(products: NDArray[np.float64], share: NDArray[np.float64], kind: NDArray[np.bool_]) -> float:
    """Held-out gain of two kinds of blocks over one, nats."""
    total = -float(products.sum()) / float(share.sum())
    for mine in (kind, ~kind):
        total += float(products[np.ix_(mine, mine)].sum()) / max(float(share[mine].sum()), 1e-12)
    return total
