"""All figures for a paper: what is drawn, what is said of those that cannot be, and pictures whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

import single_rs as sr
from single_rs.base.errors import DataFileError, InputError
from single_rs.plots.particles import Still
from single_rs.plots.render import element_colours, render_spheres, render_surface, value_colours
from single_rs.plots.sheets import atom_planes
from single_rs.report.paper import KINDS


def test_the_nearer_sphere_hides_the_farther():
    colours = np.array([[1.0, 0, 0], [0, 0, 1.0]])
    for near, seen in ((0, 0), (1, 2)):
        height = np.array([[0.0, 0, 3], [0, 0, -3]]) * (1 if near == 0 else -1)
        picture = render_spheres(height, 1.0, colours, 2.0, 21)
        middle = picture[10, 10]
        assert middle[seen] == max(middle[:3])
        assert middle[3] == 1
    assert picture[0, 0, 3] == 0  # nothing in the corner


def test_a_sphere_covers_its_disc():
    picture = render_spheres(np.zeros((1, 3)), 1.0, np.ones((1, 3)), 2.0, 200)
    assert picture[..., 3].mean() * 16 == pytest.approx(np.pi, rel=0.01)


def test_the_surface_of_a_gaussian_is_a_disc_of_its_radius_where_it_lies():
    size, pixel, sigma = 32, 0.4, 0.8
    at = (np.arange(size) - size // 2) * pixel
    z, y, x = np.meshgrid(at, at, at, indexing="ij")
    density = np.exp(-((x - 1) ** 2 + y**2 + z**2) / 2 / sigma**2).astype(np.float32)
    picture = render_surface(density, pixel, 0.5, np.eye(3), middle=np.zeros(3), reach=4.0, pixels=160)
    opaque = picture[..., 3]
    radius = sigma * np.sqrt(2 * np.log(2))
    assert opaque.mean() * 64 == pytest.approx(np.pi * radius**2, rel=0.04)
    columns = (np.arange(160) + 0.5) / 160 * 8 - 4
    assert (opaque.sum(axis=0) @ columns) / opaque.sum() == pytest.approx(1.0, abs=0.05)


def test_colours_of_values_are_symmetric_and_grey_where_unknown():
    low, middle, high, unknown = value_colours(np.array([-2.0, 0, 2, np.nan]), 2.0)
    assert low[2] > low[0]
    assert high[0] > high[2]
    assert np.ptp(middle) < 0.05
    assert np.ptp(unknown) < 0.06
    assert element_colours(np.array(["Pt", "Au"])).shape == (2, 3)


def test_planes_of_atoms_are_found_at_their_heights():
    ideal = sr.nanocrystal("Pt", diameter=16, disorder=0.0, ragged=0.0).positions
    spacing = 3.924 / 2
    heights = atom_planes(ideal, np.array([0.0, 0, 1]), 2.775, 20)
    assert np.diff(heights) == pytest.approx(spacing, abs=0.01)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    crystal = sr.nanocrystal("Pt", diameter=15, disorder=0.04, seed=1)
    crystal.write(folder / "small.xyz")
    out = folder / "figures"
    return sr.figures([folder / "small.xyz"], out, formats=("png",)), out


@pytest.mark.slow
def test_plain_coordinates_give_their_figures_and_the_reasons_of_the_others(drawn):
    found, out = drawn
    made = {one.name for one in found if not one.absent}
    assert {"particles", "powder", "strain_sheet", "stacking", "distances", "strain_histograms", "coordination"} <= made
    for one in found:
        assert all(path.stat().st_size > 2000 for path in one.files)
        assert bool(one.absent) != bool(one.files)
    reasons = {one.name: one.absent for one in found if one.absent}
    assert "two particles" in reasons["cell_size"]
    assert "map" in reasons["zone_axes"]
    assert "validate" in reasons["reprojection"]
    listed = (out / "figures.md").read_text(encoding="utf-8")
    assert "strain_sheet" in listed
    assert reasons["zone_axes"] in listed
    assert len(KINDS) == len(set(KINDS))


def test_vector_files_are_the_same_each_time_and_hold_no_date(tmp_path):
    sr.nanocrystal("Pt", diameter=12, seed=2).write(tmp_path / "a.xyz")
    twice = []
    for k in range(2):
        out = tmp_path / str(k)
        sr.figures([tmp_path / "a.xyz"], out, only=("powder",), formats=("pdf", "svg"))
        twice.append([(out / f"powder.{kind}").read_bytes() for kind in ("pdf", "svg")])
    assert twice[0] == twice[1]
    assert b"CreationDate" not in twice[0][0]


def test_a_measured_powder_pattern_stands_beside(tmp_path):
    sr.nanocrystal("Pt", diameter=12, seed=2).write(tmp_path / "a.xyz")
    q = np.linspace(1, 9, 50)
    np.savetxt(tmp_path / "xrd.txt", np.column_stack([q, np.sin(q) + 2]))
    (one,) = sr.figures(
        [tmp_path / "a.xyz"], tmp_path / "o", only=("powder",), formats=("png",), measured=tmp_path / "xrd.txt"
    )
    assert "measured" in one.caption
    (tmp_path / "bad.txt").write_text("1\n2\n")
    with pytest.raises(DataFileError, match="two columns"):
        sr.figures([tmp_path / "a.xyz"], tmp_path / "o", measured=tmp_path / "bad.txt")


def test_what_is_not_known_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match="kind of figure is 'nice'; accepted: particles"):
        sr.figures([tmp_path], tmp_path / "o", only=("nice",))
    with pytest.raises(InputError, match="nothing is given"):
        sr.figures([], tmp_path / "o")
    with pytest.raises(DataFileError, match="does not exist"):
        sr.figures([tmp_path / "none.xyz"], tmp_path / "o")


def test_a_still_without_a_map_has_no_surface():
    with pytest.raises(InputError, match="map"):
        Still("a", np.zeros((1, 3)), np.array(["Pt"])).level()


def test_the_maps_of_strain_maps_go_into_the_slices_as_they_are():
    from single_rs.analysis.strain import strain_maps
    from single_rs.plots import plot_strain_slices

    crystal = sr.nanocrystal("Pt", diameter=14, disorder=0.05, seed=1)
    unknown = np.full(len(crystal.positions), np.nan)
    atoms = sr.Atoms(crystal.positions, np.full(len(unknown), "Pt"), unknown, unknown, unknown, unknown)
    model = sr.analyze(atoms, box=48, pixel_size=0.5)
    maps = strain_maps(model.atoms.positions, model.strain, 48, 0.5, model.lattice.nearest_neighbour)
    axes = plot_strain_slices(maps, 0.5, positions=model.atoms.positions)
    tops = {name: ax.images[0].get_clim() for name, ax in zip(maps, axes, strict=True)}
    assert len(axes) == 10
    assert len({tops[name] for name in ("xx", "yz", "radial", "volumetric")}) == 1
    assert tops["xx"][0] == -tops["xx"][1]
    assert 0.1 < tops["xx"][1] < 20  # per cent: the rotation, in degrees, has a scale of its own
    assert tops["rotation"][0] == 0


def test_a_bend_of_two_domains_is_drawn_turned_back():
    from single_rs.analysis.structure import survey_structure
    from single_rs.plots.defects import plot_domains, plot_vacancies

    x = np.asarray(sr.nanocrystal("Pt", diameter=20, disorder=0.0).positions)
    x = x - x.mean(axis=0)
    half = np.radians(1.75) * np.where(x[:, 0] > 0.4, 1, -1)
    x = np.column_stack(
        [np.cos(half) * x[:, 0] - np.sin(half) * x[:, 1], np.sin(half) * x[:, 0] + np.cos(half) * x[:, 1], x[:, 2]]
    )
    x = np.delete(x, np.linalg.norm(x - (3, 1, 0), axis=1).argmin(), axis=0)
    found = survey_structure(x)
    still = Still("bent", x, np.full(len(x), "Pt"))
    left, _, right = plot_domains(still, found.grains, found.bend)
    assert "3.5" in left.get_title()
    assert "turned back" in right.get_title()
    axes = plot_vacancies(still, found.vacancies)
    assert len(axes) == len(found.vacancies) == 1
