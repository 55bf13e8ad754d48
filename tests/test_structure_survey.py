"""Shape and surface sites of known polyhedra, the survey as a whole, its files, its figures and its command."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from ase.cluster import Icosahedron, Octahedron
from matplotlib.axes import Axes

import single_rs
from single_rs.analysis.structure import STRUCTURE_NAMES, survey_structure
from single_rs.analysis.structure.shape import SITES, describe_shape, family, surface_sites
from single_rs.base.errors import InputError
from single_rs.crystal.neighbours import coordination
from single_rs.simulate.dislocations import dislocated_nanocrystal
from structure_crystals import BOND, D111, TURN, A, fcc_ball, noisy, oriented


def count(x: np.ndarray) -> dict[str, int]:
    return {name: int(n) for name, n in zip(SITES, np.bincount(surface_sites(x), minlength=len(SITES))) if n}


def test_sites_of_polyhedra():
    """By counting: 12 of an octahedron's 489 atoms … each edge of n atoms has n − 2 between its corners."""
    octahedron = Octahedron("Pt", 9, 0, latticeconstant=A).positions
    # 12 edges of 7, 6 corners, 8 triangles of 7·6/2.
    expected = {"bulk": 231, "terrace 111": 8 * 21, "edge": 12 * 7, "corner": 6}
    assert count(noisy(octahedron)) == expected
    truncated = Octahedron("Pt", 9, 3, latticeconstant=A).positions
    # 24 corners, 24 edges of a square (2 inner atoms) and 12 between hexagons (1 inner atom), 6 squares with 4 inside.
    found = count(noisy(truncated))
    assert found == {"bulk": 201, "terrace 111": 96, "terrace 100": 24, "edge": 60, "corner": 24}
    # Edges of an icosahedron have 8 neighbours and are no {100} terraces.
    assert count(Icosahedron("Pt", 4, latticeconstant=A).positions) == {
        "bulk": 55,
        "terrace 111": 20,
        "edge": 60,
        "corner": 12,
    }


def test_an_adatom_is_one():
    x = Octahedron("Pt", 9, 0, latticeconstant=A).positions
    normal = np.ones(3) / np.sqrt(3)
    top = x[x @ normal > (x @ normal).max() - 0.1]
    centre = top[np.argsort(np.linalg.norm(top - top.mean(0), axis=1))[:3]].mean(0)
    x = np.vstack([x, centre + normal * D111])
    assert coordination(x, 1.2 * BOND)[-1] == 3
    assert SITES[surface_sites(noisy(x, sigma=0.03))[-1]] == "adatom"


def test_shape_of_an_octahedron():
    """Edge L: volume √2/3 L³, area 2√3 L², sphericity 0.846; eight {111} facets at L/√6."""
    x = Octahedron("Pt", 9, 0, latticeconstant=A).positions @ TURN.T
    edge = 8 * BOND
    match, grains = oriented(x)
    shape = describe_shape(x, match.bond, grains)
    assert shape.volume == pytest.approx(np.sqrt(2) / 3 * edge**3, rel=1e-6)
    assert shape.area == pytest.approx(2 * np.sqrt(3) * edge**2, rel=1e-6)
    assert shape.sphericity == pytest.approx(0.846, abs=1e-3)
    assert shape.fractions["111"] == pytest.approx(1)
    assert len(shape.facets) == 8
    for facet in shape.facets:
        assert facet.distance == pytest.approx(edge / np.sqrt(6), rel=1e-6)
        assert facet.area == pytest.approx(np.sqrt(3) / 4 * edge**2, rel=1e-6)
    assert shape.size["100"] == pytest.approx([np.sqrt(2) * edge + BOND] * 3, rel=1e-3)
    assert shape.size["111"] == pytest.approx([2 * edge / np.sqrt(6) + BOND] * 3, rel=1e-3)
    assert np.ptp(shape.radii) < 1e-6
    np.testing.assert_allclose(shape.axes @ shape.axes.T, np.eye(3), atol=1e-9)


def test_facets_of_a_noisy_truncated_octahedron():
    """Edges m = 2 bonds: 8 hexagons less the hull's noise, and 6 squares of 9 atoms."""
    x = noisy(Octahedron("Pt", 9, 3, latticeconstant=A).positions @ TURN.T)
    match, grains = oriented(x)
    exact = describe_shape(Octahedron("Pt", 9, 3, latticeconstant=A).positions, BOND, grains)
    shape = describe_shape(x, match.bond, grains)
    squares = 6 * (3 * BOND) ** 2
    assert shape.fractions["100"] == pytest.approx(squares / exact.area, abs=0.02)
    assert shape.fractions["other"] < 0.02
    assert {f.family for f in shape.facets} == {"111", "100"}


def test_radii_of_an_ellipsoid():
    sites = fcc_ball(30)
    x = sites[np.linalg.norm(sites / [15, 12, 9], axis=1) < 1] @ TURN.T
    shape = describe_shape(x, BOND, oriented(x)[1])
    np.testing.assert_allclose(shape.radii, [15, 12, 9], rtol=0.03)
    assert abs(shape.axes[0] @ TURN[:, 0]) > 0.99
    assert len(family("111")) == 8
    assert len(family("110")) == 12
    with pytest.raises(InputError, match="family is '11'"):
        family("11")


@pytest.mark.parametrize("count", [2, 3, 5, 14, 30])
def test_small_particles_have_answers_too(count):
    x = fcc_ball()
    x = x[np.argsort(np.linalg.norm(x, axis=1), kind="stable")[:count]]
    found = survey_structure(x)
    assert found.dislocations == found.faults == ()
    assert len(found.sites) == count


def test_atoms_in_a_plane_have_no_shape():
    x = fcc_ball()
    flat = survey_structure(x[np.abs(x[:, 2]) < 0.1])
    assert flat.shape is None
    assert flat.grains.grains == ()


def test_command_line_files_and_figures(tmp_path):
    from single_rs import plots
    from single_rs.cli.main import main
    from single_rs.plots import structure as figures

    crystal = dislocated_nanocrystal("shockley", diameter=24, shape="sphere", disorder=0.03)
    crystal.write(tmp_path / "particle.xyz")
    assert main(["analyze", str(tmp_path / "particle.xyz"), "--out", str(tmp_path / "out")]) == 0
    content = json.loads((tmp_path / "out" / "structure.json").read_text(encoding="utf-8"))
    assert content["atoms"] == len(crystal)
    assert [d["kind"] for d in content["dislocations"]] == ["Shockley partial"]
    assert content["dislocations"][0]["name"].startswith("a/6[")
    assert [f["kind"] for f in content["faults"]] == ["intrinsic stacking fault"]
    assert content["vacancies"] == []
    assert len(content["stacking"]) == 4
    with (tmp_path / "out" / "structure.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == len(crystal)
    found = single_rs.analysis.structure.survey_structure(crystal.positions)
    assert [r["ptm"] for r in rows] == [STRUCTURE_NAMES[k] for k in found.match.structure_type]
    assert {r["site"] for r in rows} <= set(SITES)
    assert sum(r["fault"] == "0" for r in rows) == found.faults[0].extent
    np.testing.assert_allclose([float(r["x"]) for r in rows], crystal.positions[:, 0], atol=1e-3)

    x = crystal.positions
    drawn = [
        figures.plot_grains(x, found.grains),
        figures.plot_stacking(x, found.stacking[0]),
        figures.plot_dislocation(x, found.dislocations[0], found.match.structure_type),
        figures.plot_site_types(found.sites),
        figures.plot_shape(found.shape),
    ]
    for ax in drawn:
        assert isinstance(ax, Axes)
        assert ax.get_ylabel()
        ax.figure.canvas.draw()
    assert "a/6" in drawn[2].get_title("left")
    assert sum(bar.get_height() for bar in drawn[3].patches) == np.sum(found.sites > 0)
    assert sum(bar.get_height() for bar in drawn[4].patches) == pytest.approx(100)
    assert plots.plot_site_types is figures.plot_site_types


def test_the_page_on_structure_is_true(capsys):
    page = (Path(__file__).parents[1] / "docs" / "structure.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        exec(compile(block, "docs/structure.md", "exec"), names)
    text = capsys.readouterr().out
    assert "Shockley partial" in text
    assert "character 9" in text or "character 8" in text
    assert "intrinsic stacking fault" in text
