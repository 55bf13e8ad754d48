"""Every figure draws known physics: axes, units and the numbers behind the pictures."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from scipy.spatial.transform import Rotation

from report_run import LATTICE_CONSTANT, ball, rendered, walk
from single_rs import plots
from single_rs.plots.maps import zone_frame
from single_rs.plots.style import SERIES


@pytest.fixture(scope="module")
def atoms() -> np.ndarray:
    return ball()


def test_figures_leave_global_state_alone(atoms: np.ndarray) -> None:
    before = dict(mpl.rcParams)
    ax = plots.plot_neighbour_distances(atoms)
    assert isinstance(ax, Axes)
    assert dict(mpl.rcParams) == before
    # pyplot knows nothing of the figure, so that a thousand figures in a loop are freed like any object.
    from matplotlib import pyplot

    assert not pyplot.get_fignums()


def test_given_axes_are_used(atoms: np.ndarray) -> None:
    own = plots.plot_fsc(np.linspace(0, 1, 9), np.ones(9))
    assert plots.plot_atom_heights(np.ones(len(atoms)), ax=own) is own


def test_neighbours_of_a_perfect_fcc_crystal_lie_at_a_over_root_two() -> None:
    cells = np.indices((4, 4, 4)).reshape(3, -1).T
    basis = np.array([(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)])
    crystal = LATTICE_CONSTANT * (cells[:, None] + basis).reshape(-1, 3)
    pairs, distance = plots.neighbour_distances(crystal)
    np.testing.assert_allclose(distance, LATTICE_CONSTANT / np.sqrt(2), rtol=1e-9)
    assert np.bincount(pairs.ravel()).max() == 12


def test_coverage_is_whole_for_random_views_and_thin_for_a_rotation_about_one_axis() -> None:
    random = Rotation.random(3000, rng=np.random.default_rng(0)).as_matrix()
    assert plots.view_coverage(random) > 0.999
    # Turning about x keeps the beam in one plane: a band of ±6° covers sin 6° of the sphere.
    about_x = Rotation.from_euler("x", np.arange(0, 360, 0.5)[:, None], degrees=True).as_matrix()
    assert plots.view_coverage(about_x) == pytest.approx(np.sin(np.radians(6)), abs=0.01)
    assert plots.view_coverage(np.zeros((0, 3, 3))) == 0


def test_density_of_uniform_views_is_one_everywhere_on_average() -> None:
    random = Rotation.random(3000, rng=np.random.default_rng(1)).as_matrix()
    ax = plots.plot_orientation_coverage(random, cell=LATTICE_CONSTANT * np.eye(3))
    density = ax.collections[0].get_array().reshape(60, 120)
    latitude = np.linspace(-np.pi / 2, np.pi / 2, 61)
    area = np.cos(0.5 * (latitude[1:] + latitude[:-1]))[:, None] * np.ones((1, 120))
    assert np.average(density, weights=area) == pytest.approx(1, abs=0.01)


def test_pose_steps_are_those_of_the_walk() -> None:
    constant = Rotation.from_rotvec(np.arange(80)[:, None] * np.radians(5) * np.array([[0.6, 0.0, 0.8]])).as_matrix()
    frames = np.r_[0:40, 60:100]  # a gap of 20 frames, whose turn is no step
    axes = plots.plot_pose_steps(constant, frames)
    steps = axes[0].lines[0].get_ydata()
    assert len(steps) == 78
    np.testing.assert_allclose(steps, 5, atol=1e-6)


def test_jumps_are_counted_and_do_not_flatten_the_rest() -> None:
    small = Rotation.from_rotvec(np.arange(100)[:, None] * np.radians(5) * np.array([[0.6, 0.0, 0.8]])).as_matrix()
    small[60:] = small[60:] @ Rotation.from_euler("x", 170, degrees=True).as_matrix()
    axes = plots.plot_pose_steps(small, np.arange(100))
    assert axes[0].get_ylim()[1] < 20
    assert "1 beyond 9°" in [t.get_text() for t in axes[0].get_legend().get_texts()]


def test_zone_frame_is_a_rotation_that_looks_along_the_axis() -> None:
    cell = LATTICE_CONSTANT * Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_matrix()
    for view, right in (((1, 0, 0), (0, 1, 0)), ((1, 1, 0), (1, -1, 0)), ((1, 1, 1), (1, -1, 0))):
        frame = zone_frame(cell, view, right)
        np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(frame) == pytest.approx(1)
        np.testing.assert_allclose(np.cross(frame[2], np.asarray(view) @ cell), 0, atol=1e-12)


def test_zone_axis_slice_finds_the_columns_of_the_crystal(atoms: np.ndarray) -> None:
    """Along its own [110] a crystal projects to sharp columns; along a wrong direction it smears."""
    from report_run import PIXEL

    own = Rotation.from_euler("xyz", [20, 35, 10], degrees=True).as_matrix().T * LATTICE_CONSTANT
    wrong = Rotation.from_euler("xyz", [50, 5, 70], degrees=True).as_matrix().T * LATTICE_CONSTANT
    density = rendered(atoms, 3)
    contrast = []
    for cell in (own, wrong):
        image = plots.plot_zone_axes(density, PIXEL, cell, diameter=23.0)[0, 1].images[0].get_array()
        middle = np.asarray(image)[15:-15, 15:-15]
        contrast.append(middle.std() / middle.mean())
    assert contrast[0] > 2 * contrast[1]


def test_atoms_of_a_zone_axis_stand_on_the_columns_of_the_map(atoms: np.ndarray) -> None:
    from report_run import PIXEL

    own = Rotation.from_euler("xyz", [20, 35, 10], degrees=True).as_matrix().T * LATTICE_CONSTANT
    axes = plots.plot_zone_axes(
        rendered(atoms, 3), PIXEL, own, diameter=23.0, positions=atoms, radial=np.linspace(-0.01, 0.01, len(atoms))
    )
    assert axes.shape == (3, 3)
    discs, image = axes[2, 1].collections[0], np.asarray(axes[0, 1].images[0].get_array())
    assert len(discs.get_paths()) == len(atoms)
    centres = np.array([path.get_extents().get_points().mean(axis=0) for path in discs.get_paths()])
    column, row = (np.rint(centres / PIXEL) + image.shape[0] // 2).astype(int).T
    assert np.median(image[row, column]) > 3 * np.median(image)


def test_slices_circle_the_atoms_where_the_map_has_them(atoms: np.ndarray) -> None:
    from report_run import PIXEL

    axes = plots.plot_map_slices(rendered(atoms, 3), PIXEL, diameter=23.0, positions=atoms)
    for ax in axes:
        image, marks = np.asarray(ax.images[0].get_array()), ax.lines[0]
        x, y = (np.rint(v).astype(int) for v in (marks.get_xdata(), marks.get_ydata()))
        # Every circled atom shows its own peak, not much lower than the highest one.
        assert len(x) > 10
        assert image[y, x].min() > 0.3 * image.max()


def test_slices_and_zone_axes_are_framed_on_atoms_that_are_off_the_centre(atoms: np.ndarray) -> None:
    """A slice through the box centre would miss the planes of atoms, and its field would cut the particle."""
    from report_run import PIXEL

    moved = atoms + np.array([2.1, -1.4, 1.1])
    density = rendered(moved, 3)
    for ax in plots.plot_map_slices(density, PIXEL, positions=moved):
        image, marks = np.asarray(ax.images[0].get_array()), ax.lines[0].get_xydata()
        assert (marks > 1.5).all()
        assert (marks < len(image) - 2.5).all()
        x, y = np.rint(marks).astype(int).T
        assert image[y, x].min() > 0.3 * image.max()
    axes = plots.plot_zone_axes(density, PIXEL, np.eye(3) * LATTICE_CONSTANT, positions=moved, radial=moved[:, 0])
    for ax in axes[2]:
        corners = np.concatenate([path.vertices for path in ax.collections[0].get_paths()])
        assert np.abs(corners).max() < ax.get_xlim()[1]


def test_fsc_marks_the_criterion_and_the_resolution() -> None:
    frequency = np.linspace(0, 1.4, 64)
    ax = plots.plot_fsc(frequency, np.exp(-(frequency**2)), resolution=0.72, reflections={"111": 2.27})
    assert any(np.allclose(line.get_ydata(), 0.143) for line in ax.lines)
    assert "0.72 Å" in [t.get_text() for t in ax.texts]
    assert ax.get_xlabel() == "Spatial frequency (1/Å)"


def test_drift_leaves_gaps_at_bad_frames_and_is_in_angstrom() -> None:
    shifts = np.column_stack([np.arange(50.0), np.zeros(50)])
    bad = np.arange(50) == 7
    ax = plots.plot_drift(shifts, bad_frames=bad, pixel_size=0.5)
    x = ax.lines[0].get_ydata()
    assert np.isnan(x[7])
    assert x[20] == pytest.approx(10)
    assert ax.get_ylabel() == "Drift (Å)"


def test_tracks_lie_on_the_aligned_mean() -> None:
    class Track:
        frames = np.arange(40)
        x = 30.0 + np.arange(40)
        y = np.full(40, 50.0)
        diameter = 20.0

    shifts = np.column_stack([np.arange(40.0), np.zeros(40)])
    ax = plots.plot_tracks([Track()], np.zeros((90, 100)), pixel_size=0.4, shifts=shifts)
    points = np.concatenate(ax.collections[0].get_segments())
    np.testing.assert_allclose(points[:, 0], 30, atol=1e-12)


def test_strain_statistics_are_in_the_legend(atoms: np.ndarray) -> None:
    surface = np.linalg.norm(atoms, axis=1) > 7
    strain = np.where(surface, -0.02, 0.01)
    ax = plots.plot_strain_histogram(strain, surface)
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert "core: mean +1.00%, spread 0.00%" in texts
    assert "surface: mean −2.00%, spread 0.00%" in texts


def test_unknown_values_do_not_break_a_figure(atoms: np.ndarray) -> None:
    strain = np.full((len(atoms), 6), np.nan)
    strain[:5] = 0.01
    plots.plot_strain_components(strain)
    plots.plot_radial_strain(atoms, strain[:, 0])
    plots.plot_uncertainty(np.full(len(atoms), np.nan))
    plots.plot_scores(np.arange(9), np.arange(9.0), None)


def test_frames_are_labelled_and_share_a_scale() -> None:
    images = np.random.default_rng(0).normal(size=(3, 32, 32))
    axes = plots.plot_frames(images, 2 * images, [4, 50, 600], pixel_size=0.36)
    assert axes.shape == (2, 3)
    assert [ax.get_title() for ax in axes[0]] == ["frame 4", "frame 50", "frame 600"]
    assert len({ax.images[0].get_clim() for ax in axes[0]}) == 1


def test_series_colours_stay_apart_without_green_receptors() -> None:
    """Deuteranopia as simulated by F. Viénot et al., Color Res. Appl. 24, 243 (1999), linear RGB, keeps them apart."""
    rgb = np.array([mpl.colors.to_rgb(c) for c in SERIES]) ** 2.2
    simulation = np.array([(0.29275, 0.70725, 0.0), (0.29275, 0.70725, 0.0), (-0.02234, 0.02234, 1.0)])
    seen = np.clip(rgb @ simulation.T, 0, 1) ** (1 / 2.2)
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=2)[np.triu_indices(len(SERIES), 1)]
    assert apart.min() > 0.1


def test_walk_has_the_asked_step() -> None:
    steps = np.einsum("nij,nij->n", walk(400, 8.0, 0)[1:], walk(400, 8.0, 0)[:-1])
    angle = np.degrees(np.arccos((steps - 1) / 2))
    assert np.sqrt(np.mean(angle**2)) == pytest.approx(8, rel=0.1)


def test_strain_slices_are_in_percent_and_empty_outside() -> None:
    volume = np.zeros((16, 16, 16), np.float32)
    volume[6:11, 6:11, 6:11] = 0.02
    axes = plots.plot_strain_slices({"xx": volume, "radial": -volume}, 0.5)
    first, second = (np.asarray(ax.images[0].get_array(), float) for ax in axes)
    assert np.nanmax(first) == pytest.approx(2, rel=1e-6)
    assert np.nanmin(second) == pytest.approx(-2, rel=1e-6)
    assert np.ma.getmaskarray(axes[0].images[0].get_array()).sum() == first.size - 25
    assert axes[0].images[0].get_clim() == axes[1].images[0].get_clim()


def test_coordination_counts_every_atom() -> None:
    ax = plots.plot_coordination(np.array([12, 12, 9, 6, 12]), np.array([0, 0, 1, 1, 0], bool))
    assert sum(bar.get_height() for bar in ax.patches) == 5
    assert {round(bar.get_x() + 0.4): bar.get_height() for bar in ax.patches[:7]}[12] == 3
