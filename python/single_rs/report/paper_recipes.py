"""What is drawn for a paper: one function per figure, from one particle or from all, and what it needs.

The kinds and their order are those of B. H. Kim et al., Science 368, 60 (2020), doi:10.1126/science.aax3233. A function
raises `Absent` with the reason where its data are not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from single_rs import plots
from single_rs.analysis.distances.powder import powder_pattern
from single_rs.analysis.distances.rows import row_distances
from single_rs.analysis.distances.summary import known_sigma
from single_rs.analysis.strain import strain_maps, strain_statistics
from single_rs.compare.trends import Comparison
from single_rs.crystal.prototypes import bulk_reference
from single_rs.plots import defects, particles, sheets
from single_rs.plots.distances import plot_row_lengths
from single_rs.plots.energy import plot_energy_trends
from single_rs.plots.maps import zone_frame
from single_rs.plots.powder import plot_powders
from single_rs.plots.strain import plot_strain_methods, plot_strain_statistics
from single_rs.plots.validation import plot_check
from single_rs.records.density import ShellCorrelation
from single_rs.report.paper_subjects import Subject, compared
from single_rs.report.states import STATES_CAPTION, read_states, states_figure
from single_rs.store import layout
from single_rs.store.tables import read_table

__all__ = ["EACH", "TOGETHER", "Absent", "Recipe"]

_BENT = 1.0  # degrees from which two sides of a crystal are called domains
_ROW = 8  # particles side by side
_REFLECTIONS = {
    "fcc": ((1, 1, 1), (2, 0, 0), (2, 2, 0), (3, 1, 1), (2, 2, 2)),
    "bcc": ((1, 1, 0), (2, 0, 0), (2, 1, 1), (2, 2, 0)),
}


class Absent(Exception):
    """A figure cannot be drawn; the reason is its text."""


@dataclass(frozen=True)
class Recipe:
    """One kind of figure.

    Attributes
    ----------
    name
        Of its files.
    like
        Figures of Kim et al. that show the same, "" where none does.
    title
        In the list of figures.
    draw
        Particles → (suffix of the name, figure, caption).
    """

    name: str
    like: str
    title: str
    draw: Callable[..., Iterator[tuple[str, Figure, str]]]


def _figure(axes: Any) -> Figure:
    return np.ravel(axes)[0].figure  # type: ignore[no-any-return]


def _lattice(subject: Subject) -> Any:
    if subject.model.lattice is None:
        raise Absent("there is no lattice")
    return subject.model.lattice


def _strain(subject: Subject) -> Any:
    if subject.model.strain is None:
        raise Absent("there is no strain")
    return subject.model.strain


def _against(subjects: Sequence[Subject]) -> str:
    names = {s.reference for s in subjects if s.reference}
    return next(iter(names)) if len(names) == 1 else "the lattice named for each"


# All particles together


def _side_by_side(subjects: Sequence[Subject]) -> Iterator[tuple[str, Figure, str]]:
    rows = ["density"] if any(s.maps is not None for s in subjects) else []
    rows += ["atoms"] + (["xx"] if any(s.model.strain is not None for s in subjects) else [])
    stills = [s.still({} if s.model.strain is None else {"xx": 100 * s.model.strain.tensor[:, 0]}) for s in subjects]
    for k in range(0, len(stills), _ROW):
        axes = particles.plot_particles(
            stills[k : k + _ROW], rows, labels={"xx": f"$\\varepsilon_{{xx}}$ against\n{_against(subjects)} (%)"}
        )
        yield (
            f"_{k // _ROW + 1}" if len(stills) > _ROW else "",
            _figure(axes),
            "Particles at one scale, near [110] of each lattice, by diameter: density at 25 % of the height of the "
            f"atoms' peaks, atoms, and strain εxx against {_against(subjects)}.",
        )


def _sizes(subjects: Sequence[Subject]) -> Comparison:
    if len(subjects) < 2:
        raise Absent("a comparison with size needs two particles")
    return compared(subjects)


def _cells(subjects: Sequence[Subject]) -> Iterator[tuple[str, Figure, str]]:
    found = _sizes(subjects)
    d, d_err = found.column("diameter")
    mean, _ = found.column("mean_edge")
    edges = [found.column(k) for k in "abc"]
    if not np.isfinite(mean).any():
        raise Absent("no particle has a lattice")
    # The error bar of Kim et al.: how the three axes of one particle differ.
    spread = np.std([e[0] for e in edges], axis=0, ddof=1)
    stated = found.column("mean_edge")[1]
    elements = {p.element for p in found.particles}
    bulk = bulk_reference(next(iter(elements))) if len(elements) == 1 else None
    axes = plots.plot_against_size(
        d, {"mean of a, b, c": (mean, np.where(spread > stated, spread, stated))}, diameter_err=d_err,
        bulk=bulk.a if bulk is not None and bulk.a == bulk.c else None, label="Lattice constant (Å)"
    )  # fmt: skip
    yield (
        "", _figure(axes), "Mean edge of the fitted cell against diameter; bars are the larger of its standard error "
        "and the standard deviation of a, b and c, and the error of the size.",
    )  # fmt: skip


def _radial(subjects: Sequence[Subject]) -> Iterator[tuple[str, Figure, str]]:
    found = _sizes(subjects)
    d, d_err = found.column("diameter")
    series = {name: found.column(f"radial_strain{s}") for name, s in (("core", "_core"), ("surface", "_surface"))}
    if not any(np.isfinite(v).any() for v, _ in series.values()):
        raise Absent("no particle has a strain with one reference")
    reference = {"bulk": "the bulk", "fit": "the best fit"}.get(found.reference, "")
    axes = plots.plot_against_size(
        d, series, diameter_err=d_err, label=f"Mean radial strain against {reference} (%)", scale=100.0
    )  # fmt: skip
    axes.axhline(0, color="#667085", lw=0.8)
    yield "", _figure(axes), f"Mean radial strain ∂u/∂r against {reference}; bars are standard errors."


def _powder(
    subjects: Sequence[Subject], measured: tuple[np.ndarray, np.ndarray] | None = None
) -> Iterator[tuple[str, Figure, str]]:
    patterns = {}
    for s in subjects:
        atoms = s.model.atoms
        patterns[s.still().name if s.still().name not in patterns else s.name] = powder_pattern(
            atoms.positions, atoms.symbols
        )
    lattice = next((s.model.lattice for s in subjects if s.model.lattice is not None), None)
    bulk = None if lattice is None else lattice.bulk
    marks = {}
    if bulk is not None and bulk.structure in _REFLECTIONS:
        inverse = np.linalg.inv(bulk.cell()).T
        for hkl in _REFLECTIONS[bulk.structure]:
            marks["".join(map(str, hkl))] = float(2 * np.pi * np.linalg.norm(np.array(hkl) @ inverse))
    axes = plot_powders(patterns, bulk=marks, measured=measured)
    beside = "; a measured pattern on top" if measured is not None else ""
    yield (
        "", _figure(axes), "Powder pattern of each particle by the Debye equation (X-rays, S(q)), by diameter; dotted, "
        f"the reflections of the bulk{beside}.",
    )  # fmt: skip


def _energies(subjects: Sequence[Subject]) -> Iterator[tuple[str, Figure, str]]:
    found = _sizes(subjects)
    energy, error = found.column("formation_energy")
    if np.isfinite(energy).sum() < 2:
        raise Absent("fewer than two particles have an energy: run 'single-rs energy' on them, or give finished runs")
    by_name = {s.name: s for s in subjects}
    mean, spread = np.full(len(energy), np.nan), np.full(len(energy), np.nan)
    for k, row in enumerate(found.particles):
        model = by_name[row.name].model
        if model.strain is not None and model.lattice is not None and model.lattice.bulk is not None:
            bulk = model.lattice.bulk
            grown = abs(np.linalg.det(model.lattice.cell)) / np.linalg.det(bulk.cell()) - 1
            volume = model.strain.tensor[:, :3].sum(axis=1) + (grown if model.strain.reference == "fit" else 0.0)
            mean[k], spread[k] = np.nanmean(volume), np.nanstd(volume)
    calculators = {p.calculator for p in found.particles if p.calculator}
    axes = plot_energy_trends(
        found.column("diameter")[0], (energy, error), (mean, spread), reference="the bulk",
        calculator="" if len(calculators) != 1 else next(iter(calculators)).upper(),
    )  # fmt: skip
    yield (
        "", _figure(axes), "Formation energy per atom by diameter, and by the mean of εxx + εyy + εzz against the bulk "
        "over the atoms, whose spread is the horizontal bar.",
    )  # fmt: skip


# Each particle


def _sheet(subject: Subject) -> Iterator[tuple[str, Figure, str]]:
    strain, lattice = _strain(subject), _lattice(subject)
    frame = zone_frame(lattice.cell, (0, 0, 1), (1, 0, 0))
    label = f"Strain against {subject.reference} (%)"
    axes = sheets.plot_strain_sheet(
        subject.model.atoms.positions, strain.tensor, subject.bond, frame=frame, label=label
    )
    yield (
        "", _figure(axes), f"Strain against {subject.reference} on planes of atoms (001), heights from the centre of "
        "mass; circles are the atoms of each plane.",
    )  # fmt: skip


def _slices(subject: Subject) -> Iterator[tuple[str, Figure, str]]:
    model = subject.model
    strain = _strain(subject)
    if model.box is None or model.pixel_size is None:
        raise Absent("the atoms belong to no map")
    maps = strain_maps(model.atoms.positions, strain, model.box, model.pixel_size, subject.bond)
    axes = plots.plot_strain_slices(maps, model.pixel_size, positions=model.atoms.positions)
    yield "", _figure(axes), f"All strain maps in the plane of atoms nearest the middle, against {subject.reference}."


def _zones(subject: Subject) -> Iterator[tuple[str, Figure, str]]:
    if subject.maps is None:
        raise Absent("there is no map")
    model, lattice = subject.model, _lattice(subject)
    axes = plots.plot_zone_axes(
        subject.maps.map, subject.maps.pixel_size, lattice.cell, origin=lattice.origin,
        positions=model.atoms.positions, radial=None if model.strain is None else model.strain.radial,
    )  # fmt: skip
    yield "", _figure(axes), "Map projected, a slice through a plane of atoms, and the atoms, along three zone axes."


def _stacking(subject: Subject) -> Iterator[tuple[str, Figure, str]]:
    found = subject.survey.stacking
    if not found:
        raise Absent("the largest grain has no close-packed layers")
    named = [[letter != "?" for letter in s.letters] for s in found]
    held = [float(np.sum(s.atoms[np.array(known)])) for s, known in zip(found, named)]
    best = found[int(np.argmax(held))]
    axes = plots.plot_stacking(subject.model.atoms.positions, best)
    yield "", _figure(axes), "Close-packed layers from the side, by their letter; h marks hexagonal layers."


def _distances(subject: Subject) -> Iterator[tuple[str, Figure, str]]:
    atoms = subject.model.atoms
    rows = row_distances(atoms.positions, _lattice(subject), known_sigma(atoms))
    if not len(rows.distance):
        raise Absent("no two atoms are neighbours along a row")
    yield (
        "", _figure(plot_row_lengths(rows)), "Distances of neighbours along the rows of the lattice against the "
        "distance from the centre; black, mean and spread of shells 2 Å thick.",
    )  # fmt: skip


def _domains(subject: Subject) -> Iterator[tuple[str, Figure, str]]:
    survey = subject.survey
    if not survey.grains.grains:
        raise Absent("there is no grain")
    one, bend = len(survey.grains.grains) == 1, survey.bend
    if one and (bend is None or bend.angle < max(_BENT, 3 * bend.error)):
        raise Absent("the particle is one domain" + ("" if bend is None else f", bent by {bend.angle:.2f}°"))
    axes = defects.plot_domains(subject.still(), survey.grains, survey.bend)
    yield (
        "", _figure(axes), "The two domains of the crystal, and their columns overlaid as they are and with the second "
        "turned back by the misorientation." if one else "Grains of the particle in colours.",
    )  # fmt: skip


def _vacancies(subject: Subject) -> Iterator[tuple[str, Figure, str]]:
    found = subject.survey.vacancies
    if not found:
        raise Absent("there are no vacancies")
    axes = defects.plot_vacancies(subject.still(), found)
    yield "", _figure(axes), f"{len(found)} vacancies; the layer of each along [110]."


def _dislocations(subject: Subject) -> Iterator[tuple[str, Figure, str]]:
    found = subject.survey.dislocations
    if not found:
        raise Absent("there are no dislocations")
    for k, line in enumerate(found):
        axes = plots.plot_dislocation(subject.model.atoms.positions, line, subject.model.structure_type)
        yield (
            f"_{k + 1}" if len(found) > 1 else "", _figure(axes), "Along the dislocation line; orange are atoms of its "
            "stacking fault, the arrow is the Burgers vector (twice its length).",
        )  # fmt: skip


def _histograms(subject: Subject) -> Iterator[tuple[str, Figure, str]]:
    strain = _strain(subject)
    axes = sheets.plot_strain_table(strain.tensor, strain.surface, reference=subject.reference)
    yield (
        "", _figure(axes), "Strain components over all, core and surface atoms, with mean ± standard deviation (%).",
    )  # fmt: skip


def _coverage(subject: Subject) -> Iterator[tuple[str, Figure, str]]:
    poses = subject.poses()
    if poses is None:
        raise Absent("there are no poses")
    cell = None if subject.model.lattice is None else subject.model.lattice.cell
    axes = plots.plot_orientation_coverage(poses.rotations, cell=cell)
    covered = 100 * plots.view_coverage(poses.rotations)
    yield "", _figure(axes), f"Beam directions of the frames; {covered:.0f} % of all views have a frame within 6°."


def _fsc(subject: Subject) -> Iterator[tuple[str, Figure, str]]:
    path = subject.source / layout.FSC
    if not path.exists():
        raise Absent("there is no Fourier shell correlation")
    shells = read_table(path, ShellCorrelation)
    axes = plots.plot_fsc(shells.frequency, shells.fsc, resolution=subject.row.values.get("resolution"))
    yield "", _figure(axes), "Fourier shell correlation of maps from independent halves of the frames."


def _coordination(subject: Subject) -> Iterator[tuple[str, Figure, str]]:
    model = subject.model
    axes = particles.plot_coordination_still(subject.still(), model.coordination, model.surface)
    yield "", _figure(axes), "Atoms by number of neighbours, near [110], and how many there are of each."


def _methods(subject: Subject) -> Iterator[tuple[str, Figure, str]]:
    if subject.model.comparison is None:
        raise Absent("there is no strain")
    axes = plot_strain_methods(subject.model.atoms.positions, subject.model.comparison)
    beside = "" if subject.model.comparison.phases is not None else "; without a map there is none from its phases"
    yield "", _figure(axes), f"Strain from displacements, from bonds and from the phases of the map{beside}."


def _statistics(subject: Subject) -> Iterator[tuple[str, Figure, str]]:
    rows = strain_statistics(subject.model.atoms.positions, _strain(subject))
    yield (
        "", _figure(plot_strain_statistics(rows)), "Mean with standard error, quartiles (thick) and 5 to 95 % (thin) "
        f"of each strain against {subject.reference}.",
    )  # fmt: skip


def _check(*names: str) -> Callable[[Subject], Iterator[tuple[str, Figure, str]]]:
    """Figures of checks of ``single-rs validate``."""

    def draw(subject: Subject) -> Iterator[tuple[str, Figure, str]]:
        found = subject.validation()
        if found is None:
            raise Absent("run 'single-rs validate' on the folder first")
        drawings = {
            f"_{name}": (figure, check.title)
            for check in found.checks
            if check.name in names
            for name, figure in plot_check(check).items()
        }
        if not drawings:
            raise Absent(f"'single-rs validate' did not make the check {' or '.join(names)}")
        for suffix, (figure, title) in drawings.items():
            yield suffix, figure, title

    return draw


def _states(subject: Subject) -> Iterator[tuple[str, Figure, str]]:
    if not (subject.source / layout.STATES).is_file():
        raise Absent("there is no states.json: nobody asked whether it changes")
    if not (found := read_states(subject.source)).changes:
        raise Absent("it does not change in time")
    yield "", _figure(states_figure(found)), STATES_CAPTION


TOGETHER = (
    Recipe("particles", "1A-C", "Particles side by side", _side_by_side),
    Recipe("cell_size", "3A", "Lattice constant against size", _cells),
    Recipe("radial_size", "3B", "Radial strain against size", _radial),
    Recipe("powder", "3C", "Powder patterns", _powder),
    Recipe("energy", "3D", "Energy against size and strain", _energies),
)
EACH = (
    Recipe("states", "", "Atoms, lattice, strain and survival against time", _states),
    Recipe("strain_sheet", "1D, 5A, 5C, S20-S21", "Six strain components at several heights", _sheet),
    Recipe("strain_slices", "5A", "All strain maps in one plane", _slices),
    Recipe("zone_axes", "2A-C, 3G", "Zone axes of map and atoms", _zones),
    Recipe("stacking", "2D", "Stacking of close-packed layers", _stacking),
    Recipe("distances", "2E", "Distances against radius", _distances),
    Recipe("domains", "4A, 4C", "Domains and their overlay", _domains),
    Recipe("vacancies", "4B", "Vacancies", _vacancies),
    Recipe("dislocation", "4D-F", "Dislocations", _dislocations),
    Recipe("strain_histograms", "5B, 5D", "Distributions of the strain", _histograms),
    Recipe("strain_statistics", "S23", "Statistics of the strain", _statistics),
    Recipe("strain_methods", "S22", "Displacements beside phases of the map", _methods),
    Recipe("fsc", "S2", "Fourier shell correlation", _fsc),
    Recipe("coverage", "S15", "Coverage of orientations", _coverage),
    Recipe("coordination", "S17", "Coordination", _coordination),
    Recipe("reprojection", "S12-S13", "Frames beside reprojections", _check("reprojection")),
    Recipe("simulation", "S7-S11, S14, S16", "Simulations", _check("perfect", "defocus", "resimulation")),
)
