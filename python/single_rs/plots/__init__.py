"""One Matplotlib function per figure, each returning its axes, ready for print.

Every function takes plain NumPy arrays and optional axes; without axes it makes a new figure in the common style
(`single_rs.plots.style`), found as ``ax.figure``. Units stand on the axes; strain is a fraction in arrays and per
cent in figures.

Examples
--------
>>> import numpy as np
>>> from single_rs.plots import plot_fsc
>>> frequency = np.linspace(0, 1.4, 64)
>>> ax = plot_fsc(frequency, 1 / (1 + np.exp(12 * (frequency - 1.2))), resolution=0.74)
>>> ax.get_xlabel()
'Spatial frequency (1/Å)'
"""

from __future__ import annotations

from single_rs.plots.atoms import (
    neighbour_distances,
    plot_atom_heights,
    plot_coordination,
    plot_neighbour_distances,
    plot_radial_strain,
    plot_strain_components,
    plot_strain_histogram,
    plot_uncertainty,
)
from single_rs.plots.compare import plot_against_size, plot_gallery, plot_strain_distributions
from single_rs.plots.distances import plot_pair_distribution, plot_row_distances
from single_rs.plots.energy import plot_atom_energies, plot_energy_views
from single_rs.plots.maps import plot_fsc, plot_zone_axes
from single_rs.plots.movie import plot_drift, plot_frames, plot_tracks
from single_rs.plots.optics import plot_optics
from single_rs.plots.poses import plot_orientation_coverage, plot_pose_steps, plot_scores, view_coverage
from single_rs.plots.powder import plot_powder
from single_rs.plots.slices import plot_map_slices, plot_strain_slices
from single_rs.plots.strain import (
    plot_strain_measures,
    plot_strain_methods,
    plot_strain_plane,
    plot_strain_planes,
    plot_strain_statistics,
)
from single_rs.plots.structure import plot_dislocation, plot_grains, plot_shape, plot_site_types, plot_stacking

__all__ = [
    "neighbour_distances",
    "plot_against_size",
    "plot_atom_energies",
    "plot_atom_heights",
    "plot_coordination",
    "plot_dislocation",
    "plot_drift",
    "plot_energy_views",
    "plot_frames",
    "plot_fsc",
    "plot_gallery",
    "plot_grains",
    "plot_map_slices",
    "plot_neighbour_distances",
    "plot_optics",
    "plot_orientation_coverage",
    "plot_pair_distribution",
    "plot_pose_steps",
    "plot_powder",
    "plot_radial_strain",
    "plot_row_distances",
    "plot_scores",
    "plot_shape",
    "plot_site_types",
    "plot_stacking",
    "plot_strain_components",
    "plot_strain_distributions",
    "plot_strain_histogram",
    "plot_strain_measures",
    "plot_strain_methods",
    "plot_strain_plane",
    "plot_strain_planes",
    "plot_strain_slices",
    "plot_strain_statistics",
    "plot_tracks",
    "plot_uncertainty",
    "plot_zone_axes",
    "view_coverage",
]
