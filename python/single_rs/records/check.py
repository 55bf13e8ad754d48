"""Settings of the validation, and what a check says.

A check measures something that a wrong result could not pass by luck. It holds one or more criteria, each a number with
its limit and the reason of that limit; it passes when all of them do. A check that could not be made says why; one
whose failure would prove nothing of the result, because the test itself was too weak, is undecided and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "CHECKS",
    "FAILED",
    "MEANING",
    "NOT_RUN",
    "PASSED",
    "UNDECIDED",
    "Check",
    "Criterion",
    "Validation",
]

PASSED, FAILED, UNDECIDED, NOT_RUN = "passed", "failed", "undecided", "not run"

# Name on the command line → title, in the order of the report.
CHECKS: dict[str, str] = {
    "reprojection": "Reprojections of the atoms against the frames",
    "halves": "Two models from two halves of the frames",
    "heldout": "Frames that the model of the other half predicts",
    "coverage": "Directions in which the particle was seen",
    "pixel": "The pixel size by the graphene in the frames",
    "perfect": "A perfect crystal in the same poses and noise",
    "defocus": "Vertical movement, pixel size and binning on a model crystal",
    "resimulation": "The atoms simulated again by multislice and solved from scratch",
}

# What a reader who does not know the check learns from it: what a pass and what a failure mean.
MEANING: dict[str, str] = {
    "reprojection": "The atoms, seen in the poses found, should look like the frames. A failure means wrong poses or "
    "wrong atoms; a pass does not exclude single wrong atoms.",
    "halves": "Two models that share no frame should be the same, atom by atom; half of their difference is the error "
    "of the full model. A failure means too few frames, or atoms that only one half of the movie shows.",
    "heldout": "Atoms should predict frames that they were not made from. A failure means that the poses or the atoms "
    "follow the noise.",
    "coverage": "The particle must have turned through enough views. A failure means that atoms are smeared along the "
    "direction named, whatever else is right.",
    "pixel": "The graphene of the windows, a ruler in every frame, should have its own lattice constant. A failure "
    "means that all distances and lattice constants are off by the same factor, or that the windows are strained.",
    "perfect": "A crystal without strain, put through the same poses and noise, should come back without strain. A "
    "failure means that strain of this size is made by the method.",
    "defocus": "What a drift along the beam, a wrong pixel size and binning do to atoms at this dose. A failure means "
    "that data of this kind do not carry picometres.",
    "resimulation": "Frames simulated from the atoms, solved from scratch, should give the same atoms. A failure means "
    "that scattering, noise or the search move atoms by more than the limit. Wrong atoms come back as well as right "
    "ones: what this checks is the method.",
}


@dataclass(frozen=True)
class Criterion:
    """One number and what it must reach.

    Attributes
    ----------
    name
        What is measured.
    value
        As measured; NaN never passes.
    limit
        The least value that passes, or the largest one.
    at_least
        Whether the limit is the least value.
    unit
        Of both; empty for pure numbers.
    reason
        Why the limit lies there.
    """

    name: str
    value: float
    limit: float
    at_least: bool
    unit: str
    reason: str

    @property
    def passed(self) -> bool:
        """Whether the value keeps the limit."""
        return bool(self.value >= self.limit if self.at_least else self.value <= self.limit)


@dataclass(frozen=True)
class Check:
    """Result of one check.

    Attributes
    ----------
    name
        One of the names in `CHECKS`.
    criteria
        Numbers with their limits; empty when the check was not run.
    message
        One sentence on the result, or why there is none.
    numbers
        Further measured numbers by name, with the unit in the name.
    data
        Arrays and tables for the figures.
    seconds
        Time that it took.
    undecided
        Why a failure proves nothing of the result; empty when it does.
    """

    name: str
    criteria: tuple[Criterion, ...]
    message: str
    numbers: dict[str, float] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    undecided: str = ""

    @property
    def title(self) -> str:
        """What is checked."""
        return CHECKS[self.name]

    @property
    def meaning(self) -> str:
        """What a pass and what a failure mean."""
        return MEANING[self.name]

    @property
    def status(self) -> str:
        """Whether it passed, failed, is undecided or was not run."""
        if not self.criteria:
            return NOT_RUN
        if all(c.passed for c in self.criteria):
            return PASSED
        return UNDECIDED if self.undecided else FAILED

    @property
    def deciding(self) -> Criterion | None:
        """The first criterion that failed, else the first of all; None when the check was not run."""
        failed = [c for c in self.criteria if not c.passed]
        return next(iter(failed or self.criteria), None)


@dataclass(frozen=True)
class Validation:
    """All checks of one particle.

    Attributes
    ----------
    particle
        Name of its folder.
    checks
        In the order of `CHECKS`.
    """

    particle: str
    checks: tuple[Check, ...]

    @property
    def status(self) -> str:
        """The first of failed, passed and undecided that any check is; not run when none was."""
        states = {c.status for c in self.checks}
        return next((s for s in (FAILED, PASSED, UNDECIDED) if s in states), NOT_RUN)

    def check(self, name: str) -> Check:
        """Return the check called `name`.

        Raises
        ------
        KeyError
            When there is none.
        """
        return {c.name: c for c in self.checks}[name]
