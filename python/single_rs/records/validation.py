"""validation.json: the checks of a particle as data, with what they say in words for those who have no program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from single_rs.records.check import Check, Criterion, Validation

__all__ = ["CheckRecord", "CriterionRecord", "ParticleChecks", "RunValidationRecord", "ValidationRecord"]

AT_LEAST, AT_MOST = "at least", "at most"


def _comparison(criterion: Criterion) -> str:
    return AT_LEAST if criterion.at_least else AT_MOST


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


@dataclass(frozen=True)
class CriterionRecord:
    """One number and what it must reach.

    Attributes
    ----------
    name
        What is measured.
    value, limit, unit
        As measured, what it must reach, and the unit of both.
    comparison
        "at least" or "at most".
    passed
        Whether the value keeps the limit.
    reason
        Why the limit lies there.
    """

    name: str
    value: float | None
    limit: float | None
    comparison: str
    unit: str
    passed: bool
    reason: str

    @classmethod
    def of(cls, one: Criterion) -> CriterionRecord:
        """Return the record of a criterion."""
        return cls(one.name, float(one.value), float(one.limit), _comparison(one), one.unit, one.passed, one.reason)

    def criterion(self) -> Criterion:
        """Return the criterion."""
        value, limit = _or_nan(self.value), _or_nan(self.limit)
        return Criterion(self.name, value, limit, self.comparison == AT_LEAST, self.unit, self.reason)


@dataclass(frozen=True)
class CheckRecord:
    """Result of one check; value and limit are those of the first criterion that failed, else of the first.

    Attributes
    ----------
    name, title
        On the command line, and in words.
    status
        "passed", "failed", "undecided" or "not run".
    message, meaning
        One sentence on the result, or why there is none; what a pass and a failure mean.
    undecided
        Why a failure proves nothing of the result; empty when it does.
    measured, value, unit, comparison, limit, reason
        The deciding criterion; null when the check was not run.
    criteria
        All of them.
    numbers
        Further measured numbers by name, with the unit in the name.
    data
        Arrays and tables of the figures.
    seconds
        Time that it took.
    """

    name: str
    title: str
    status: str
    message: str
    meaning: str
    undecided: str
    measured: str | None
    value: float | None
    unit: str
    comparison: str | None
    limit: float | None
    reason: str
    criteria: tuple[CriterionRecord, ...] = ()
    numbers: dict[str, float | None] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @classmethod
    def of(cls, check: Check, data: dict[str, Any] | None = None) -> CheckRecord:
        """Return the record of a check, with other data where they are given."""
        one = check.deciding
        return cls(
            name=check.name,
            title=check.title,
            status=check.status,
            message=check.message,
            meaning=check.meaning,
            undecided=check.undecided,
            measured=None if one is None else one.name,
            value=None if one is None else float(one.value),
            unit="" if one is None else one.unit,
            comparison=None if one is None else _comparison(one),
            limit=None if one is None else float(one.limit),
            reason=check.message if one is None else one.reason,
            criteria=tuple(CriterionRecord.of(criterion) for criterion in check.criteria),
            numbers=dict(check.numbers),
            data=check.data if data is None else data,
            seconds=check.seconds,
        )

    def check(self, data: dict[str, Any] | None = None) -> Check:
        """Return the check, with other data where they are given."""
        return Check(
            name=self.name,
            criteria=tuple(one.criterion() for one in self.criteria),
            message=self.message,
            numbers={name: _or_nan(value) for name, value in self.numbers.items()},
            data=self.data if data is None else data,
            seconds=self.seconds,
            undecided=self.undecided,
        )


@dataclass(frozen=True)
class ValidationRecord:
    """All checks of one particle.

    Attributes
    ----------
    particle
        Name of its folder.
    status
        The first of failed, passed and undecided that any check is; "not run" when none was.
    checks
        In the order of the report.
    inputs
        Hash of the atoms, poses and map that they were made of.
    """

    SCHEMA: ClassVar[int] = 1
    particle: str
    status: str
    checks: tuple[CheckRecord, ...]
    inputs: str | None = None


@dataclass(frozen=True)
class ParticleChecks:
    """How the checks of one particle ended.

    Attributes
    ----------
    status
        Of all.
    checks
        Name → status.
    """

    status: str
    checks: dict[str, str]


@dataclass(frozen=True)
class RunValidationRecord:
    """How the checks of all particles of a run ended.

    Attributes
    ----------
    particles
        Name of its folder → status.
    """

    SCHEMA: ClassVar[int] = 1
    particles: dict[str, ParticleChecks]

    @classmethod
    def of(cls, done: list[Validation]) -> RunValidationRecord:
        """Return the record of several particles."""
        return cls({v.particle: ParticleChecks(v.status, {c.name: c.status for c in v.checks}) for v in done})
