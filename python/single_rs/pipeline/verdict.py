"""Solved, doubtful or failed: a particle is judged by numbers that noise, bare graphene or a wrong crystal cannot fake.

Every test compares the data with a null that was measured on the same data, or two results that never met:

- the frames' spots against the same spectra with their rings turned at random (is there a lattice at all?);
- neighbouring frames against distant ones (does it tumble as one body, or are frames divided between equivalent
poses?);
- frames against models that do not hold them, in their own poses, in those of other frames, and in the nearest mates;
- the two half sets, solved apart (FSC; the lead of the mate that joins them);
- the frames' third moment against that of their surroundings (are atoms bright or dark?);
- the graphene of the windows against its lattice constant (is a pixel as large as it is said to be?);
- the views against as many from all sides (in which direction are lengths not known?);
- the fitted cell or the bonds against the bulk of the element, and of others (is it what it is said to be?).

One failed test fails the particle; else one doubtful test makes it doubtful. A test whose number was not measured makes
it doubtful as well: a verdict is never better than its evidence. Only a test that does not apply, because a second
search was not made, no graphene is in the frames or the element has no tabulated lattice, is named and left aside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from single_rs.analysis.model import Particle
from single_rs.analysis.views import LengthErrors, known_lengths
from single_rs.background import CLEAR_CONTRAST, measure_pixel
from single_rs.orient.agreement import MOST_JUMPS
from single_rs.pipeline.reasons import Reasons, Verdict
from single_rs.pipeline.substance import judge_substance
from single_rs.records import Background, Contrast, Density, Poses

__all__ = ["Verdict", "judge"]

# Windows are under tension of some tenths of a percent, and tilted by a few degrees, which is 0.3 % at most.
PIXEL_DOUBTFUL = 0.015
FEWEST_ATOMS = 30
CLEAR_POSE = 0.5  # posterior
CLEAR_NATS = 25.0  # nats over the poses of others, held out: noise has less than 2, a twin at 10 e/px a thousand
CLEAR_LEAD = 0.05  # share of log-likelihood: a half in wrong poses loses 10 to 25 %, right ones differ by 1 %


@dataclass(frozen=True)
class Evidence:
    """What the limits are about."""

    background: Background
    poses: Poses
    density: Density

    @property
    def clear(self) -> float:
        """Share of the good frames that have a clear pose."""
        good = ~np.asarray(self.background.bad, bool)
        return float((self.poses.confidence[good] > CLEAR_POSE).mean()) if good.any() else 0.0

    @property
    def steady(self) -> float | None:
        """Share of the steps from frame to frame that are no jumps."""
        jumps = self.poses.diagnostics.jump_share
        return None if jumps is None else 1 - jumps

    @property
    def detail(self) -> float:
        """Finest frequency to which the half maps agree, 1/Å; 0 where they do not."""
        return 1 / self.density.resolution


@dataclass(frozen=True)
class Limit:
    """What a number must reach: below `failed` it fails the particle, below `doubtful` it makes it doubtful.

    `what` says what was measured, `text` how much of it ("{}"), and `shown` writes a value or a limit. A number of the
    `start` is no doubt where held-out frames support the poses that came of it: spots of one lattice are weak
    in a twin, single frames at one electron per pixel, and what follows needs neither.
    """

    what: str
    text: str
    value: Callable[[Evidence], float | None]
    failed: float
    doubtful: float
    shown: Callable[[float], str]
    start: bool = False


LIMITS = (
    # A null frame scatters by one sigma, and the mean over many frames of a lattice stands well above. Noise: less than
    # 0.5 (tests/test_orient.py).
    Limit(
        "how far lattice spots stand above scrambled spectra",
        "lattice spots stand {} sigma above scrambled spectra",
        lambda e: e.poses.diagnostics.start.spot_significance,
        1.0,
        2.0,
        "{:.1f}".format,
        start=True,
    ),
    # Noise: 0.05 at most (tests/test_orient.py); wrong starts 0.0 to 0.1, right ones 0.4 to 0.9 (docs/notebook.md).
    Limit(
        "how much more neighbouring frames agree than distant ones",
        "neighbouring frames agree by {} more than distant ones",
        lambda e: e.poses.diagnostics.start.continuity,
        0.05,
        0.15,
        "{:.2f}".format,
        start=True,
    ),
    # Chosen, not measured: a map of less than a third of the frames leaves most of the movie unexplained.
    Limit(
        "how many frames have a clear pose",
        "{} of the frames have a clear pose",
        lambda e: e.clear,
        0.3,
        0.6,
        "{:.2f}".format,
    ),
    # Right poses: up to 4 % of jumps; frames divided between the orientations of a twin: 8 to 40 % (docs/orient.md).
    Limit(
        "how many steps from frame to frame are jumps to another pose",
        "{} of the steps from frame to frame are no jumps to another pose",
        lambda e: e.steady,
        0.0,
        1 - MOST_JUMPS,
        "{:.2f}".format,
    ),
    # Noise: less than 0.5 (tests/test_climb.py); the upper one is chosen.
    Limit(
        "by how much the best way to join the half sets leads",
        "the half sets join with a lead of {} nats per frame",
        lambda e: e.poses.diagnostics.joining_lead,
        0.5,
        2.0,
        "{:.1f}".format,
    ),
    # A lead below 0 says that another mate is the better one; the upper one is chosen. Mates of the 140 to 600 atoms of
    # docs/notebook.md differ by tens of nats.
    Limit(
        "by how much poses lead their nearest symmetry mates",
        "poses lead their nearest mates by {} nats per frame of held-out data",
        lambda e: e.poses.diagnostics.mate_lead,
        0.0,
        1.0,
        "{:.1f}".format,
    ),
    # Noise leads by less than 2, a twin at 10 e/px a thousand (see CLEAR_NATS).
    Limit(
        "lead in log-likelihood of frames in their own poses over those of others",
        "frames in their own poses lead those in others' by {} nats",
        lambda e: e.poses.diagnostics.lead_over_others,
        2.0,
        5.0,
        "{:.0f}".format,
    ),
    # {200} of platinum has 1.96 Å, {311} 1.18 Å: half maps that agree no better than to the one show no atoms, than to
    # the other not all of them. Solved rows of docs/results.md reach 0.74 to 0.89 Å.
    Limit(
        "to which period the half maps agree",
        "the half maps agree to {}",
        lambda e: e.detail,
        1 / 1.9,
        1 / 1.2,
        lambda frequency: f"{1 / frequency:.2f} Å" if frequency else "no period",
    ),
)
# Error of a length along the direction known least, over that of as many frames from all sides. Tumbling particles of
# 600 frames have 1.1 to 3.7, views within 35° of one direction 5, where lengths are right within their error once atoms
# and poses are refined together; within 20° 13, and about an axis near the beam 19, which was not shown
# (docs/verdict.md). It counts where the error is larger than strain that is reported, 0.1 %: what limits 2,400 frames
# from all sides is the ellipse of the magnification, 8 times what their views leave and 0.04 % in all.
ONE_SIDED, FINE = 6.0, 0.001
LENGTHS = 0.005  # relative error that leaves room for no statement about strain
# Right poses of single crystals have 0.99 and more; 0.5 says that another pose explains a frame as well as its own.
OWN_SHARE = 0.8
MATES_NAMED = 4
# Two right solutions share 95 to 100 % of the poses within 3°, a right and a wrong one 28 to 56 % (docs/results.md,
# particles that are not one fcc crystal).
STARTS_DOUBTFUL = 0.8


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
    evidence, reasons = Evidence(background, poses, density), Reasons()
    lead = poses.diagnostics.lead_over_others
    placed = lead is not None and lead > CLEAR_NATS
    for limit in LIMITS:
        _judge_limit(limit, limit.value(evidence), placed, reasons)
    _judge_mates(poses, reasons)
    _judge_starts(poses, reasons)
    _judge_contrast(background.contrast, reasons)
    _judge_pixel(background, reasons)
    _judge_atoms(model, poses, element, reasons)
    return reasons.verdict()


def _judge_limit(limit: Limit, value: float | None, placed: bool, reasons: Reasons) -> None:
    """Judge one number; `placed` where held-out frames clearly support the poses."""
    if value is None or math.isnan(value):
        reasons.doubtful.append(f"not measured: {limit.what}; {limit.shown(limit.doubtful)} needed")
        return
    least = limit.failed if limit.start and placed else limit.doubtful
    into = reasons.failed if value < limit.failed else reasons.doubtful if value < least else reasons.passed
    into.append(f"{limit.text.format(limit.shown(value))}; {limit.shown(least)} needed")


def _judge_mates(poses: Poses, reasons: Reasons) -> None:
    """Judge which share of the frames is in its own pose, and say which mates the others may be in."""
    own = poses.diagnostics.own_share
    if own is None or math.isnan(own):
        return  # what the nearest mates make of it is a number of its own, and missing as well
    shares = [(1.0 if half.own_share is None else half.own_share, half.mates) for half in poses.diagnostics.halves]
    _, mates = min(shares, key=lambda half: half[0], default=(1.0, ()))
    others = [
        f"{mate.share:.2f} one turned by {mate.angle_deg:.0f}°{' and seen from behind' if mate.from_behind else ''}"
        for mate in mates[:MATES_NAMED]
    ]
    fit = f", {', '.join(others)}" if others else ""
    text = f"{own:.2f} of the frames fit their own pose and no symmetry mate of it{fit}; {OWN_SHARE:.2f} needed"
    (reasons.passed if own >= OWN_SHARE else reasons.doubtful).append(text)


def _judge_starts(poses: Poses, reasons: Reasons) -> None:
    """Judge how far two searches agree, where there were two."""
    agreement, lead = poses.diagnostics.starts_agreement, poses.diagnostics.starts_lead
    if agreement is None:
        reasons.passed.append("no fallback engine was run, so that no second solution is compared")
    elif lead is not None and lead > CLEAR_LEAD:
        # The worse of two solutions is no evidence against one that explains the frames far better.
        reasons.passed.append(f"the better of two starts explains the frames by {100 * lead:.0f} % more")
    elif math.isnan(agreement):
        reasons.doubtful.append(f"not measured: how far two starts agree; {STARTS_DOUBTFUL:.2f} needed")
    else:
        text = f"starts with and without a lattice agree on {agreement:.2f} of the poses; {STARTS_DOUBTFUL:.2f} needed"
        (reasons.passed if agreement >= STARTS_DOUBTFUL else reasons.doubtful).append(text)


def _judge_contrast(contrast: Contrast, reasons: Reasons) -> None:
    """Judge whether the frames show atoms as bright or dark as they were taken to be."""
    sigma = contrast.sigma
    if sigma is None:
        return
    towards = sigma if contrast.atoms == "bright" else -sigma
    needed = f"{CLEAR_CONTRAST:.1f} needed"
    if contrast.stated:
        other = "dark" if contrast.atoms == "bright" else "bright"
        text = f"atoms are {contrast.atoms} as stated"
        if towards < -CLEAR_CONTRAST:
            reasons.doubtful.append(f"{text}; the frames show {other} ones by {-towards:.1f} sigma; {needed}")
        else:
            reasons.passed.append(f"{text}; by the frames they are by {towards:.1f} sigma")
    elif towards >= CLEAR_CONTRAST:
        reasons.passed.append(f"by the frames atoms are {contrast.atoms} by {towards:.1f} sigma; {needed}")
    else:
        reasons.doubtful.append(
            f"atoms are taken as bright, which the frames show by {towards:.1f} sigma; {needed}, or "
            "--background.contrast states it"
        )


def _judge_pixel(background: Background, reasons: Reasons) -> None:
    """Judge the pixel size by the graphene's lattice constant, where there is graphene."""
    ruler = measure_pixel(background.graphene, background.pixel_size)
    if ruler is None:
        reasons.passed.append("no graphene stands out of the frames, so that it does not check the pixel size")
        return
    excess = ruler.excess(background.pixel_size)
    text = (
        f"by the graphene a pixel is {ruler}, {100 * abs(excess):.1f} % from the {background.pixel_size:.4f} Å given; "
        f"{100 * PIXEL_DOUBTFUL:.1f} % allowed"
    )
    if abs(excess) > PIXEL_DOUBTFUL:
        reasons.doubtful.append(f"{text}; --pixel-size {ruler.pixel_size:.4f} follows the graphene")
    else:
        reasons.passed.append(text)


def _judge_atoms(model: Particle | None, poses: Poses, element: str, reasons: Reasons) -> None:
    """Judge the number of atoms, whether they are of the element, and whether all directions of them were seen."""
    count = 0 if model is None else len(model.atoms.positions)
    if model is None or count < FEWEST_ATOMS:
        reasons.failed.append(f"only {count} atoms stand out of the map; {FEWEST_ATOMS} are needed")
        return
    judge_substance(model, element, reasons)
    _judge_views(known_lengths(model.atoms, poses), reasons)


def _judge_views(lengths: LengthErrors | None, reasons: Reasons) -> None:
    """Judge whether the views are from enough sides for lengths in all directions."""
    limit = f"{ONE_SIDED:.1f} times beyond {100 * FINE:.1f} %, and {100 * LENGTHS:.1f} %, allowed"
    if lengths is None:
        reasons.doubtful.append(f"not measured: how well lengths are known in all directions; {limit}")
        return
    known = "" if lengths.worst is None else f"to {100 * lengths.worst:.2g} %, "
    text = (
        f"lengths along {lengths.axis} are known {known}{lengths.excess:.1f} times worse than views from all sides give"
    )
    if math.isinf(lengths.excess) or (lengths.worst or 0.0) >= 1:
        text = f"no frame shows lengths along {lengths.axis}"
    worst = math.inf if lengths.worst is None else lengths.worst
    if (lengths.excess > ONE_SIDED and worst > FINE) or (lengths.worst or 0.0) > LENGTHS:
        reasons.doubtful.append(f"seen from too few sides: {text}, and strain along it may be false; {limit}")
    else:
        reasons.passed.append(f"{text}; {limit}")
