"""Parts of a report that appear when their files are there: strain statistics, defects, energy, validation.

    summary.json    strain.statistics: mean, spread and quantiles of every measure, core and surface
    structure.json  grains, faults, dislocations, vacancies, shape
    distances.csv, pdf.csv, powder.csv       distances along rows, pair distribution, powder pattern
    energy.json     formation energy; validation.json  each check with its limit

An absent file is no gap: these are steps of their own. Files of other versions may lack parts; what is there is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from single_rs.report.checks import check_figures, check_table
from single_rs.report.figures import drawn
from single_rs.report.views import DASH, FactList, Facts, Figure, Quantity, Table, concise

if TYPE_CHECKING:
    from single_rs.report.content import ParticleFiles

__all__ = ["extra_figures", "extra_tables"]

_MOST = 8  # defects of one kind that are listed one by one


def extra_figures(particle: ParticleFiles) -> Iterator[Figure]:
    """Give the figures of what is there; a file of another version that lacks what they need is named instead."""
    for figures in (_states, _strain, _distances, _pairs, _powder, _sites, _energy, _validation):
        yield from _tolerant(particle, figures)


def _tolerant(particle: ParticleFiles, parts: Callable[[ParticleFiles], Iterator[Any]]) -> Iterator[Any]:
    """Give figures or tables; a file of another version that lacks what they need is named instead."""
    try:
        yield from list(parts(particle))
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        what = parts.__name__.strip("_")
        particle.gaps.append(f"the {what} has another form than this version knows: {str(error)[:120]}")


def _states(particle: ParticleFiles) -> Iterator[Figure]:
    """Give atoms, lattice, strain and survival against time, where anything changes."""
    if particle.states is None or not particle.states.changes:
        return
    from single_rs.report.states import STATES_CAPTION, states_figure

    yield drawn(
        states_figure(particle.states), f"p{particle.number}-states", "Against time", STATES_CAPTION, wide=True,
        height=4.8,
    )  # fmt: skip


def _strain(particle: ParticleFiles) -> Iterator[Figure]:
    """Give the statistics of all measures of strain."""
    from single_rs.analysis.strain.statistics import statistics_of
    from single_rs.plots.strain import plot_strain_statistics

    strain = particle.summary.strain
    if strain is None or not strain.statistics:
        return
    yield drawn(
        plot_strain_statistics(statistics_of(strain.statistics)), f"p{particle.number}-strain-statistics",
        "Strain statistics",
        "Means with their standard errors, quartiles (thick) and 5 to 95% (thin) of the atoms.", wide=True, height=4.4,
    )  # fmt: skip


def _distances(particle: ParticleFiles) -> Iterator[Figure]:
    """Give the distances along the rows of the lattice."""
    rows = particle.distances
    if rows is None or not len(rows.distance):
        return
    from single_rs.plots.distances import plot_row_distances

    yield drawn(
        plot_row_distances(rows), f"p{particle.number}-rows", "Distances along rows",
        "Distance of next neighbours along the rows of the lattice, against the fitted lattice: every pair, and the "
        "means of shells about the centre with their standard errors.", wide=True, height=3.6,
    )  # fmt: skip


def _pairs(particle: ParticleFiles) -> Iterator[Figure]:
    """Give the pair distribution function."""
    if particle.pairs is None:
        return
    from single_rs.plots.distances import plot_pair_distribution

    yield drawn(
        plot_pair_distribution(particle.pairs), f"p{particle.number}-pdf", "Pair distribution",
        "Pairs at each distance against atoms spread evenly in a body of the same size; the band is a standard error.",
    )  # fmt: skip


def _powder(particle: ParticleFiles) -> Iterator[Figure]:
    """Give the powder pattern."""
    if particle.powder is None:
        return
    from single_rs.plots.powder import plot_powder

    found = None if particle.lattice is None else particle.lattice.powder
    edge = "" if found is None else concise(found.a_corrected, found.a_err, 4)
    size = f" Its peaks lie at a = {edge} Å, the size of the particle allowed for." if edge else ""
    yield drawn(
        plot_powder(particle.powder), f"p{particle.number}-powder", "Powder pattern",
        f"What a powder of this particle would scatter, by the Debye equation.{size}",
    )  # fmt: skip


def _sites(particle: ParticleFiles) -> Iterator[Figure]:
    """Give the kinds of surface site."""
    if particle.sites is None:
        return
    from single_rs.analysis.structure.shape import SITES
    from single_rs.plots.structure import plot_site_types

    kinds = np.array([SITES.index(name) if name in SITES else -1 for name in particle.sites.site])
    surface = particle.atoms.surface if particle.atoms is not None else None
    if surface is not None and len(surface) == len(kinds):
        kinds[~surface] = SITES.index("bulk")
    if (kinds > 0).any():
        yield drawn(
            plot_site_types(kinds), f"p{particle.number}-sites", "Surface sites",
            "Atoms of the surface by the kind of their site, from their neighbours.",
        )  # fmt: skip


def _energy(particle: ParticleFiles) -> Iterator[Figure]:
    """Give the formation energy of each atom."""
    from single_rs.plots.energy import plot_atom_energies

    atoms = particle.atoms
    energies = None if atoms is None else atoms.get("formation_energy")
    if atoms is None or energies is None:
        return
    calculator = "an unnamed calculator" if particle.energy is None else particle.energy.calculator
    yield drawn(
        plot_atom_energies(atoms.positions, energies, surface=atoms.surface), f"p{particle.number}-energies",
        "Formation energy of the atoms",
        f"Against the bulk, by {calculator}, at the measured positions without relaxation.", wide=True, height=3.4,
    )  # fmt: skip


def _validation(particle: ParticleFiles) -> Iterator[Figure]:
    """Give the figures of the checks."""
    for check in particle.validation.checks if particle.validation is not None else ():
        yield from check_figures(check, f"p{particle.number}-check-{check.name}")


def extra_tables(particle: ParticleFiles) -> Iterator[tuple[str, Table | FactList]]:
    """Give headings and cards of structure, energy and validation."""
    for cards in (_structure_card, _energy_card):
        yield from _tolerant(particle, cards)
    if particle.validation is not None and particle.validation.checks:
        yield "Validation", check_table(particle.validation)


def _structure_card(particle: ParticleFiles) -> Iterator[tuple[str, FactList]]:
    """Give grains, defects and shape as names and values."""
    found = particle.structure
    if found is None:
        return
    types, grains = found.structure_types, found.grains
    listed = ", ".join(f"{grain.structure} {grain.atoms}" for grain in grains)
    surface = particle.atoms.surface if particle.atoms is not None else None
    kinds = ", ".join(f"{number} {kind}" for kind, number in types.items() if number)
    if types.get("other") and surface is not None:
        kinds += f"; {int(surface.sum())} atoms are at the surface, where most have too few neighbours to tell"
    rows: list[tuple[str, Any]] = [
        ("Structure by neighbours", kinds or DASH),
        ("Grains", f"{len(grains)}: {listed}" if grains else "none"),
    ]
    if found.boundaries:
        rows.append(("Boundaries", ", ".join(f"{b.relation} {b.angle:.1f}°" for b in found.boundaries[:_MOST])))
    for name, defects in (
        ("Planar faults", [fault.kind for fault in found.faults]),
        ("Dislocations", [f"{line.kind} {line.name}" for line in found.dislocations]),
    ):
        rows.append((name, f"{len(defects)}: {', '.join(defects[:_MOST])}" if defects else "none"))
    rows.append(("Vacancies", str(len(found.vacancies) or "none")))
    if found.bend is not None:
        rows.append(("Bend", str(Quantity(found.bend.angle, 2, "°", found.bend.error))))
    if (shape := found.shape) is not None:
        rows.append(("Principal radii", ", ".join(f"{r:.1f}" for r in shape.radii) + "\xa0Å"))
        rows.append(("Sphericity", str(Quantity(shape.sphericity, 3))))
        parts = (f"{k if k == 'other' else f'{{{k}}}'} {100 * v:.0f}%" for k, v in shape.fractions.items())
        rows.append(("Facets", ", ".join(parts)))
    yield "Structure and defects", FactList([Facts("", rows)], broad=True)


def _energy_card(particle: ParticleFiles) -> Iterator[tuple[str, FactList]]:
    """Give the formation energy as names and values."""
    energy = particle.energy
    if energy is None or energy.formation_energy_per_atom is None:
        return
    value = concise(energy.formation_energy_per_atom, energy.formation_energy_per_atom_err, 3)
    rows: list[tuple[str, Any]] = [("Formation energy per atom", f"{value}\xa0eV"), ("Calculator", energy.calculator)]
    if energy.bias is not None:
        rows.append(("Bias by position noise, taken off", str(Quantity(energy.bias, 3, "eV"))))
    if energy.notes:
        rows.append(("Notes", "; ".join(energy.notes)))
    yield "Energy", FactList([Facts("", rows)], broad=True)
