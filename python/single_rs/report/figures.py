"""The figures of a report, each with the caption that says what to see in it.

A figure is made only when its data exist; the page states the gap otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from single_rs import plots
from single_rs.frames.spectrum import rfft_frequencies
from single_rs.report.data import figure_data
from single_rs.report.numbers import Numbers, count, unit_cell, used_frames
from single_rs.report.svg import figure_svg
from single_rs.report.views import Figure, Quantity, concise

if TYPE_CHECKING:
    from single_rs.report.content import ParticleFiles, RunFiles

__all__ = [
    "atom_figures",
    "drawn",
    "frame_figures",
    "map_figures",
    "movie_figures",
    "pose_figures",
    "strain_figures",
]

# Band kept for the display of a frame that the pipeline left no cleaned example of, 1/Å: below are slow background
# and shot noise of large areas, above is noise alone in a single frame.
_DISPLAY_BAND = (0.08, 0.65)
# Widths of figures in inches: half of the page and all of it, at `svg.PIXELS_PER_INCH`.
_HALF, _WIDE = 4.2, 9.6
# Low-order reflections that are marked in the FSC, by lattice type.
_REFLECTIONS = {
    "fcc": ((1, 1, 1), (2, 0, 0), (2, 2, 0), (3, 1, 1), (3, 3, 1), (4, 2, 2)),
    "bcc": ((1, 1, 0), (2, 0, 0), (2, 1, 1), (3, 1, 0)),
    "diamond": ((1, 1, 1), (2, 2, 0), (3, 1, 1), (4, 0, 0)),
}


def drawn(axes: Any, name: str, title: str, caption: str, *, wide: bool = False, height: float = 2.5) -> Figure:
    """Draw the figure that owns axes, laid out anew for a half or the full width of the page (height in inches)."""
    figure = np.ravel(axes)[0].figure
    figure.set_size_inches(_WIDE if wide else _HALF, height)
    return Figure(title, caption, figure_svg(figure, name, f"{title}. {caption}"), wide, name, figure_data(figure))


def movie_figures(run: RunFiles) -> Iterator[Figure]:
    """Give the figures of the whole movie: tracks and drift."""
    # Both are as high as the field is, within the width that the colour bar leaves.
    field = 1.0 if run.mean is None else run.mean.shape[0] / run.mean.shape[1]
    height = float(np.clip(0.8 * _HALF * field + 0.7, 2.5, _HALF))
    if run.tracks:
        axes = plots.plot_tracks(run.tracks, run.mean, pixel_size=run.pixel_size, shifts=run.shifts)
        base = "over the mean of the aligned frames" if run.mean is not None else "(the run kept no mean image)"
        yield drawn(
            axes, "tracks", "Tracks", f"Path of {count(len(run.tracks), 'particle')} {base}; "
            "dashed circles have the particles' diameters.", height=height,
        )  # fmt: skip
    if run.shifts is not None and run.bad_frames is not None:
        good = run.shifts[~run.bad_frames]
        reach = np.ptp(good, axis=0) if len(good) else np.zeros(2)
        bad = np.flatnonzero(run.bad_frames)
        listed = f": {', '.join(map(str, bad[:12]))}{' …' if len(bad) > 12 else ''}" if len(bad) else ""
        axes = plots.plot_drift(run.shifts, bad_frames=run.bad_frames, pixel_size=run.pixel_size)
        yield drawn(
            axes, "drift", "Motion",
            f"Drift of the field over {count(len(run.shifts), 'frame')}, {reach[0]:.1f} × {reach[1]:.1f} px in all. "
            f"{count(len(bad), 'bad frame')} left out{listed}.", height=height,
        )  # fmt: skip


def frame_figures(particle: ParticleFiles) -> Iterator[Figure]:
    """Give typical frames, raw and cleaned."""
    if particle.raw is None or particle.raw_frames is None:
        return
    if particle.cleaned is not None:
        cleaned, name = particle.cleaned, "cleaned"
        caption = "Single frames as extracted (top) and after removal of graphene and liquid background (bottom)."
    else:
        cleaned, name = band_pass(particle.raw, particle.pixel_size or 1.0), "band-passed"
        caption = (
            f"Single frames as extracted (top) and band-passed to {1 / _DISPLAY_BAND[1]:.1f} to "
            f"{1 / _DISPLAY_BAND[0]:.0f} Å for display (bottom); the run kept no cleaned examples."
        )
    axes = plots.plot_frames(
        particle.raw, cleaned, particle.raw_frames, pixel_size=particle.pixel_size, cleaned_name=name
    )
    height = 2 * _WIDE / len(particle.raw) * particle.raw.shape[1] / particle.raw.shape[2] + 0.3
    yield drawn(axes, f"p{particle.number}-frames", "Typical frames", caption, wide=True, height=min(height, 5.5))


def band_pass(images: np.ndarray, pixel_size: float) -> np.ndarray:
    """Return images (k, y, x) with only the display band of spatial frequencies, edges smooth."""
    k = np.hypot(*rfft_frequencies(images.shape[1:], pixel_size))
    low, high = _DISPLAY_BAND
    window = (1 - np.exp(-((k / low) ** 4))) * np.exp(-((k / high) ** 4))
    return np.fft.irfft2(np.fft.rfft2(images) * window, s=images.shape[1:]).astype(np.float32)


def pose_figures(particle: ParticleFiles, numbers: Numbers) -> Iterator[Figure]:
    """Give FSC, coverage, steps and scores of the poses."""
    poses, key, used = particle.poses, f"p{particle.number}", used_frames(particle)
    yield from _fsc_figure(particle)
    yield from _optics_figure(particle)
    if poses is None or used is None:
        return
    cell = unit_cell(particle)
    yield drawn(
        plots.plot_orientation_coverage(poses.rotations[used], cell=cell), f"{key}-coverage", "Orientation coverage",
        f"Beam directions of {count(int(used.sum()), 'frame')} in the particle's frame, equal-area map. "
        f"{numbers.coverage} of all views have a frame within 6°.",
    )  # fmt: skip
    yield drawn(
        plots.plot_pose_steps(poses.rotations, poses.frames), f"{key}-steps", "Turn between frames",
        "Angle between the poses of consecutive frames. A lone large step is a jump of the particle or a wrong pose.",
    )  # fmt: skip
    yield drawn(
        plots.plot_scores(poses.frames, poses.score, poses.confidence, poses.half), f"{key}-scores",
        "Score and confidence", "Fit of the best pose and its posterior probability, frame by frame. Half sets are "
        "contiguous blocks with guard gaps, so that they share no electrons.", height=3.2,
    )  # fmt: skip


def _fsc_figure(particle: ParticleFiles) -> Iterator[Figure]:
    """Give the FSC when the run kept one."""
    if particle.fsc is None:
        return
    resolution = particle.summary.resolution
    said = f"Below 0.143 for good from {resolution:.2f} Å." if resolution else "No resolution was stated."
    axes = plots.plot_fsc(
        particle.fsc.frequency, particle.fsc.fsc, resolution=resolution, reflections=_reflections(particle)
    )
    yield drawn(
        axes, f"p{particle.number}-fsc", "Fourier shell correlation",
        f"Agreement of two maps made from independent halves of the frames. {said} It dips between the reflections of "
        "the lattice (marked), where a crystal scatters little.",
    )  # fmt: skip


def _optics_figure(particle: ParticleFiles) -> Iterator[Figure]:
    """Give the microscope where the refinement calibrated it."""
    refinement = particle.summary.refinement
    optics = None if refinement is None else refinement.optics
    if optics is None:
        return
    axes = plots.plot_optics(
        optics.frequency, optics.envelope, optics.aberration, optics.observed, optics.explained
    )  # fmt: skip
    yield drawn(
        axes, f"p{particle.number}-optics", "Microscope", "Power of the frames over that of their noise, with what "
        "atoms, poses and fitted transfer explain of it (left), and the transfer at the middle of the focus (right): "
        f"envelope times sine of the phase of the round aberrations. {optics.said}", wide=True, height=2.6,
    )  # fmt: skip


def map_figures(particle: ParticleFiles) -> Iterator[Figure]:
    """Give orthogonal slices and zone-axis views of the map."""
    key, diameter, cell = f"p{particle.number}", particle.summary.diameter, unit_cell(particle)
    if particle.density is None or particle.pixel_size is None:
        return
    positions = None if particle.atoms is None else particle.atoms.positions
    axes = plots.plot_map_slices(particle.density, particle.pixel_size, diameter=diameter, positions=positions)
    said = "Central slices of the map."
    if positions is not None:
        said = (
            "The fullest plane of atoms near the middle along each axis of the map: the highest density within 0.5 Å "
            "of it, and circles round all atoms in this slab."
        )
    yield drawn(
        axes,
        f"{key}-slices",
        "Orthogonal slices",
        f"{said} Black is the level outside.",
        wide=True,
        height=3.4,
    )
    if cell is not None:
        origin = None if particle.lattice is None else particle.lattice.lattice.origin
        axes = plots.plot_zone_axes(
            particle.density, particle.pixel_size, cell, diameter=diameter,
            origin=origin, positions=positions,
            radial=None if particle.atoms is None else particle.atoms.get("radial_strain"),
        )  # fmt: skip
        rows = len(axes)
        below = "" if rows < 3 else "; the atoms, blue where compressed along the radius and red where stretched"
        yield drawn(
            axes, f"{key}-zones", "Zone axes", "Along directions of the particle's own lattice: the map projected "
            f"through the whole particle; a slice of it 1 Å thick through a plane of atoms{below}. One scale for all; "
            "each picture of the map from the level outside to its peak.", wide=True,
            height=3.2 * rows,
        )  # fmt: skip


def atom_figures(particle: ParticleFiles) -> Iterator[Figure]:
    """Give heights, uncertainties, strains and distances of the atoms."""
    atoms, key = particle.atoms, f"p{particle.number}"
    if atoms is None or len(atoms.positions) == 0:
        return
    surface = atoms.surface
    radial, strain, sigma, height = (atoms.get(name) for name in ("radial_strain", "strain", "sigma", "height"))
    if radial is not None:
        yield drawn(
            plots.plot_strain_histogram(radial, surface), f"{key}-strain", "Radial strain",
            f"∂u/∂r along the radius, against {_reference(particle)}; the spread is the standard deviation over "
            "the atoms. Outliers count in the end bins.",
        )  # fmt: skip
        yield drawn(
            plots.plot_radial_strain(atoms.positions, radial, surface), f"{key}-radial", "Radial strain against radius",
            "Every atom, and means of equal groups with their standard errors.",
        )  # fmt: skip
    distances = plots.neighbour_distances(atoms.positions)[1]
    if len(distances):
        fitted = None if particle.lattice is None else particle.lattice.lattice.nearest_neighbour
        spread = 100 * float(distances.std())
        mean = concise(distances.mean(), distances.std() / np.sqrt(len(distances)), 3)
        spread_err = spread / np.sqrt(2 * len(distances))
        yield drawn(
            plots.plot_neighbour_distances(atoms.positions, surface, reference=fitted),
            f"{key}-bonds", "Nearest-neighbour distances", f"{count(len(distances), 'bond')}: "
            f"mean {mean} Å, standard deviation of single bonds {Quantity(spread, 1, 'pm', spread_err)}.",
        )  # fmt: skip
    if sigma is not None:
        yield drawn(
            plots.plot_uncertainty(sigma, surface), f"{key}-sigma", "Uncertainty of positions",
            "Stated standard deviation of each position, per axis.",
        )  # fmt: skip
    if height is not None:
        yield drawn(
            plots.plot_atom_heights(height, surface), f"{key}-heights", "Atom heights",
            "Fitted peak heights. A tail to the left holds partly occupied or moving atoms.",
        )  # fmt: skip
    number = atoms.get("cn")
    if number is not None:
        yield drawn(
            plots.plot_coordination(number, surface), f"{key}-neighbours", "Coordination",
            "Neighbours of each atom: 12 in the bulk of close-packed crystals, 9 on their (111) facets, 8 on (100).",
        )  # fmt: skip
    if strain is not None and strain.ndim == 2 and strain.shape[1] == 6:
        yield drawn(
            plots.plot_strain_components(strain, surface), f"{key}-components", "Strain components",
            f"The six components (tensor shear) against {_reference(particle)}{_axes(particle)}.",
            wide=True, height=3.8,
        )  # fmt: skip


def _reference(particle: ParticleFiles) -> str:
    """Return what strain is measured from."""
    strain = particle.summary.strain
    return "the bulk lattice" if strain is not None and strain.reference == "bulk" else "the best-fit lattice"


def _axes(particle: ParticleFiles) -> str:
    """Return the axes of the strain components, when the run says them."""
    names = {"crystal": ", along the axes a, b, c of the lattice", "lab": ", along x, y, z of the map"}
    strain = particle.summary.strain
    return names.get(strain.frame or "", "") if strain is not None else ""


def strain_figures(particle: ParticleFiles) -> Iterator[Figure]:
    """Give slices of the strain maps."""
    if particle.strain_maps and particle.pixel_size:
        axes = plots.plot_strain_slices(
            particle.strain_maps, particle.pixel_size, diameter=particle.summary.diameter,
            positions=None if particle.atoms is None else particle.atoms.positions,
        )  # fmt: skip
        yield drawn(
            axes, f"p{particle.number}-strainmap", "Strain maps", "Slice through the fullest plane of atoms near "
            "the middle, of the strain "
            "on the grid of the map; blue is compressed, red stretched.", wide=True, height=2.7,
        )  # fmt: skip


def _reflections(particle: ParticleFiles) -> dict[str, float]:
    """Return names and spacings (Å) of low-order reflections of a cubic lattice."""
    if particle.lattice is None:
        return {}
    lattice = particle.lattice.lattice
    reflections = _REFLECTIONS.get(lattice.structure, ())
    return {"".join(map(str, hkl)): lattice.a / float(np.linalg.norm(hkl)) for hkl in reflections}
