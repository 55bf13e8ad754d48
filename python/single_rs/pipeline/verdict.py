"""Solved, doubtful or failed: a particle is judged by numbers that noise, bare graphene or a wrong crystal cannot fake.

Every test compares the data with a null that was measured on the same data, or two results that never met:

- the frames' spots against the same spectra with their rings turned at random (is there a lattice at all?);
- neighbouring frames against distant ones (does it tumble as one body, or do frames sit in several poses alike?);
- frames against models that do not hold them, in their own poses, in those of other frames, and in the nearest mates;
- the two half sets, solved apart (FSC; the lead of the mate that joins them);
- the graphene of the windows against its lattice constant (is a pixel as large as it is said to be?);
- the traced atoms against the lattice of the element (is it what it is said to be?).

One failed test fails the particle; else one doubtful test makes it doubtful.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from single_rs.background.ruler import measure_pixel
from single_rs.crystal.prototypes import Bulk, bulk_reference, prototype
from single_rs.orient.agreement import MOST_JUMPS, jump_share

if TYPE_CHECKING:
    from single_rs.analysis.model import Particle
    from single_rs.records import Background, Density, Poses

__all__ = ["Verdict", "judge"]


@dataclass(frozen=True)
class Limit:
    """What a number must reach: below `failed` it fails the particle, below `doubtful` it makes it doubtful.

    A number of the `start` is no doubt where held-out frames gain clearly from the poses that came of it: spots of one
    lattice are weak in a twin, single frames at one electron per pixel, and what follows needs neither.
    """

    name: str
    text: str
    failed: float
    doubtful: float
    start: bool = False


# A null frame scatters by one sigma; the mean over many frames of a lattice stands well above.
LIMITS = (
    Limit("index_sigma", "lattice spots stand {value:.1f} sigma above scrambled spectra", 1.0, 2.0, start=True),
    Limit("continuity", "neighbouring frames agree by {value:.2f} more than distant ones", 0.05, 0.15, start=True),
    Limit("confident", "{value:.2f} of the frames have a clear pose", 0.3, 0.6),
    Limit("steady", "{value:.2f} of the steps from frame to frame are no jumps to another pose", 0.0, 1 - MOST_JUMPS),
    Limit("mate_gap", "the half sets join with a lead of {value:.1f} nats per frame", 0.5, 2.0),
    Limit("mate_lead", "poses lead their nearest mates by {value:.1f} nats per frame of held-out data", 0.0, 1.0),
    Limit("gain_over_null", "frames gain {value:.0f} nats more from their own poses than from others'", 2.0, 5.0),
    Limit("starts_agree", "starts with and without a lattice agree on {value:.2f} of the poses", 0.0, 0.8),
    Limit("detail", "the half maps agree to {period:.2f} Å", 1 / 1.9, 1 / 1.2),
)
# Strained particles of 2 to 4 nm deviate by up to 3 % from bulk; other elements begin beyond.
EXPANSION_DOUBTFUL, EXPANSION_FAILED = 0.035, 0.055
# Windows are under tension of some tenths of a percent, and tilted by a few degrees, which is 0.3 % at most.
PIXEL_DOUBTFUL = 0.015
FEWEST_ATOMS = 30
SAME_SHELL = 1.07  # nearest neighbours of hcp differ in length, those of bcc are followed by others 15 % farther
CLEAR_POSE = 0.5  # posterior
CLEAR_GAIN = 25.0  # nats over the poses of others, held out: noise gains less than 2, a twin at 10 e/px a thousand
CLEAR_LEAD = 0.05  # share of log-likelihood: a half in wrong poses loses 10 to 25 %, right ones differ by 1 %


@dataclass(frozen=True)
class Verdict:
    """Judgement of one particle: verdict (solved, doubtful or failed) and its reasons, the worst first."""

    verdict: str
    reasons: tuple[str, ...]


def judge(
    background: Background,
    poses: Poses,
    density: Density,
    model: Particle | None,
    element: str,
) -> Verdict:
    """Judge a particle from all its stages.

    Parameters
    ----------
    background, poses, density
        Results of background, orient and reconstruct.
    model
        Analysed atoms, or None when no atom was found.
    element
        What the user says the particle is made of.
    """
    used = ~np.asarray(background.bad, bool)
    numbers = dict(poses.evidence)
    numbers["confident"] = float((poses.confidence[used] > CLEAR_POSE).mean()) if used.any() else 0.0
    if (jumps := jump_share(poses)) is not None:
        numbers["steady"] = 1 - jumps
    numbers["detail"] = 1 / density.resolution if np.isfinite(density.resolution) else 0.0
    failed: list[str] = []
    doubtful: list[str] = []
    passed: list[str] = []
    if numbers.get("starts_lead", 0.0) > CLEAR_LEAD:
        # The worse of two starts says nothing against one that explains the frames far better.
        passed.append(f"the better of two starts explains the frames by {100 * numbers['starts_lead']:.0f} % more")
        numbers.pop("starts_agree", None)
    for limit in LIMITS:
        if limit.name not in numbers:
            continue
        value = numbers[limit.name]
        text = limit.text.format(value=value, period=1 / max(value, 1e-6))
        placed = limit.start and numbers.get("gain_over_null", 0.0) > CLEAR_GAIN
        least = limit.failed if placed else limit.doubtful
        into = failed if value < limit.failed else doubtful if value < least else passed
        into.append(text)
    if "index_sigma" not in numbers:
        doubtful.append("poses of a climb from random ones, for which no null of scrambled spectra was measured for")
    _judge_pixel(background, doubtful, passed)
    _judge_atoms(model, numbers, element, failed, doubtful, passed)
    verdict = "failed" if failed else "doubtful" if doubtful else "solved"
    return Verdict(verdict, (*failed, *doubtful) if failed or doubtful else tuple(passed))


def _judge_pixel(background: Background, doubtful: list[str], passed: list[str]) -> None:
    """Judge the pixel size by the graphene's lattice constant, where there is graphene."""
    ruler = measure_pixel(background.graphene, background.pixel_size)
    if ruler is None:
        return
    excess = ruler.excess(background.pixel_size)
    text = f"by the graphene a pixel is {ruler}, {100 * abs(excess):.1f} % from the {background.pixel_size:.4f} Å given"
    if abs(excess) > PIXEL_DOUBTFUL:
        doubtful.append(f"{text}; --pixel-size {ruler.pixel_size:.4f} follows the graphene")
    else:
        passed.append(text)


def _judge_atoms(
    model: Particle | None,
    numbers: dict[str, float],
    element: str,
    failed: list[str],
    doubtful: list[str],
    passed: list[str],
) -> None:
    """Judge the number of atoms, and the lattice or, where the poses needed none, the bonds against the element's."""
    count = 0 if model is None else len(model.atoms.positions)
    if count < FEWEST_ATOMS:
        failed.append(f"only {count} atoms stand out of the map; {FEWEST_ATOMS} are needed")
        return
    bulk = bulk_reference(element)
    if bulk is None:
        return
    constant = numbers.get("lattice_constant")
    if constant is not None:
        expansion, name = constant / bulk.a - 1, f"lattice constant {constant:.3f} Å"
    else:
        bond = typical_bond(model.atoms.positions, bulk)
        expansion, name = bond / bulk.nearest - 1, f"bonds of {bond:.3f} Å"
    text = f"{name}, {100 * expansion:+.1f} % from bulk {element}"
    wrong, odd = abs(expansion) > EXPANSION_FAILED, abs(expansion) > EXPANSION_DOUBTFUL
    (failed if wrong else doubtful if odd else passed).append(text)


def typical_bond(positions: NDArray[np.float64], bulk: Bulk) -> float:
    """Median over the atoms (n, 3) Å of the middle one of as many nearest distances as the bulk has neighbours.

    The nearest of all would be too short by what positions scatter.
    """
    from scipy.spatial import KDTree

    shell = np.linalg.norm(prototype(bulk.structure).shells[0] @ bulk.cell(), axis=1)
    middle = max(int((shell < SAME_SHELL * bulk.nearest).sum()) // 2, 1)
    return float(np.median(KDTree(positions).query(positions, k=[middle + 1])[0]))
