"""compare.json: particles side by side, and their trends with size."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from single_rs.compare.rows import ParticleRow
from single_rs.compare.trends import QUANTITIES, Comparison, SizeTrend

__all__ = ["ComparedParticle", "ComparisonRecord", "TrendRecord", "comparison_record"]


@dataclass(frozen=True)
class ComparedParticle:
    """One particle.

    Attributes
    ----------
    name, folder
        As short as it can be, and where its files are.
    verdict
        solved, doubtful, failed, or "not judged".
    element, structure
        Most frequent element, and lattice type or "".
    strain_reference
        What its strain is measured from: "bulk", "fit", or "".
    calculator
        Of the energy, "" without one.
    values, errors
        Quantity → value, and standard error; what is not known is absent.
    """

    name: str
    folder: str
    verdict: str
    element: str
    structure: str
    strain_reference: str
    calculator: str
    values: dict[str, float]
    errors: dict[str, float]

    @classmethod
    def of(cls, row: ParticleRow) -> ComparedParticle:
        """Return the record of a particle, its numbers to eight digits."""

        def rounded(values: dict[str, float]) -> dict[str, float]:
            return {key: float(f"{value:.8g}") for key, value in values.items()}

        return cls(
            name=row.name,
            folder=row.folder.as_posix(),
            verdict=row.verdict,
            element=row.element,
            structure=row.structure,
            strain_reference=row.reference,
            calculator=row.calculator,
            values=rounded(row.values),
            errors={key: value for key, value in rounded(row.errors).items() if math.isfinite(value)},
        )


@dataclass(frozen=True)
class TrendRecord:
    """One quantity against 1/diameter (1/Å) over the particles of one kind.

    Attributes
    ----------
    quantity, element, structure, particles
        What, of which kind, and the names of the particles.
    against
        In words.
    chi2, scatter
        Of the line, and between the particles beyond their errors.
    sizes
        Å, smallest and largest diameter.
    chance
        Of a slope as large without a trend.
    slope, slope_err
        Unit of the quantity times Å, and standard error.
    at_infinite_size, at_infinite_size_err
        Value at 1/d = 0; null where the sizes do not carry it.
    limit
        Known value there; null without one.
    slope_through_limit, slope_through_limit_err, chi2_through_limit
        The line through that value.
    """

    quantity: str
    against: str
    element: str
    structure: str
    particles: tuple[str, ...]
    chi2: float | None
    scatter: float | None
    sizes: tuple[float, float]
    chance: float | None
    slope: float
    slope_err: float | None
    at_infinite_size: float | None
    at_infinite_size_err: float | None
    limit: float | None
    slope_through_limit: float | None
    slope_through_limit_err: float | None
    chi2_through_limit: float | None

    @classmethod
    def of(cls, trend: SizeTrend) -> TrendRecord:
        """Return the record of a trend."""
        line, through = trend.line, trend.through or (None, None, None)
        return cls(
            quantity=trend.quantity,
            against="1/diameter (1/Å)",
            element=trend.element,
            structure=trend.structure,
            particles=trend.particles,
            chi2=line.chi2,
            scatter=line.scatter,
            sizes=(1 / line.x_range[1], 1 / line.x_range[0]),
            chance=line.chance,
            slope=line.slope,
            slope_err=line.slope_err,
            at_infinite_size=line.value if trend.supported else None,
            at_infinite_size_err=line.value_err if trend.supported else None,
            limit=trend.limit,
            slope_through_limit=through[0],
            slope_through_limit_err=through[1],
            chi2_through_limit=through[2],
        )


@dataclass(frozen=True)
class ComparisonRecord:
    """Particles by size, and their trends.

    Attributes
    ----------
    strain_reference
        What every strain is measured from: "bulk", "fit", or "not stated".
    notes
        What could not be compared, and why.
    units
        Quantity → unit.
    particles
        By diameter, the failed ones last.
    trends
        One per quantity and kind with at least three particles.
    left_out
        Name of a particle that is in no trend → reason.
    """

    SCHEMA: ClassVar[int] = 1
    strain_reference: str
    notes: tuple[str, ...] = ()
    units: dict[str, str] = field(default_factory=dict)
    particles: tuple[ComparedParticle, ...] = ()
    trends: tuple[TrendRecord, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)


def comparison_record(comparison: Comparison) -> ComparisonRecord:
    """Return what compare.json holds.

    Parameters
    ----------
    comparison
        Result of `compare_particles`.
    """
    return ComparisonRecord(
        strain_reference=comparison.reference,
        notes=comparison.notes,
        units={key: unit for key, (unit, _) in QUANTITIES.items()},
        particles=tuple(ComparedParticle.of(row) for row in comparison.particles),
        trends=tuple(TrendRecord.of(trend) for trend in comparison.trends),
        left_out=comparison.left_out,
    )
