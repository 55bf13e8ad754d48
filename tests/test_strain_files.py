"""Files, figures and page of the strain: what is written is what was found, and other programs' rules hold."""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from single_rs import plots
from single_rs.analysis import ParticleSummary, analyze, summarise
from single_rs.analysis.lattice import fit_lattice
from single_rs.analysis.strain import StrainConfig, compute_strain
from single_rs.analysis.strain.invariants import MEASURES, strain_measures
from single_rs.analysis.strain.methods import compare_strain_methods
from single_rs.analysis.strain.statistics import strain_statistics
from single_rs.analysis.strain.volumes import MAPS, plane_normal, strain_plane
from single_rs.base.errors import DataFileError, InputError
from single_rs.cli import main
from single_rs.export.strain import write_strain
from single_rs.io import read_map, write_map
from single_rs.io.vtk import read_vti, write_vti
from single_rs.store.codecs import decode, encode, read_record, write_record
from strained import SIX, UNIFORM, ball, density

PIXEL, BOX, COUNT = 0.45, 64, 200


@pytest.fixture(scope="module")
def atoms():
    return ball(COUNT) @ (np.eye(3) + UNIFORM).T + [0.4, 0.0, -0.3]


@pytest.fixture(scope="module")
def model(atoms):
    settings = StrainConfig(reference="bulk")
    rho = density(atoms, BOX, PIXEL)
    return analyze(atoms, "Pt", "fcc", settings, box=BOX, pixel_size=PIXEL, density=rho)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    target = tmp_path_factory.mktemp("strain")
    written = write_strain(target, model, volumes=True)
    assert sorted(target.iterdir()) == sorted(written)
    return target


def test_table_has_a_row_for_each_atom_with_every_measure_and_method(model, folder):
    with (folder / "strain.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == COUNT
    first = rows[0]
    assert {*MEASURES, *(f"{m}_err" for m in MEASURES)} <= set(first)
    assert float(first["x"]) == pytest.approx(model.atoms.positions[0, 0] + BOX // 2 * PIXEL, abs=1e-5)
    for k, name in enumerate(("xx", "yy", "zz", "xy", "xz", "yz")):
        for column in (name, f"bonds_{name}"):
            assert float(first[column]) == pytest.approx(SIX[k], abs=1e-6)
        assert float(first[f"gpa_{name}"]) == pytest.approx(SIX[k], abs=1e-3)
    axis = np.array([float(first[f"axis_1_{c}"]) for c in "xyz"])
    assert axis @ UNIFORM @ axis == pytest.approx(float(first["principal_1"]), abs=1e-6)
    assert {row["surface"] for row in rows} == {"0", "1"}
    # The errors of a map without noise are not known: an empty cell, not a number.
    assert first["gpa_xx_err"] == ""


def test_volumes_agree_and_overlay_the_atoms(model, folder):
    volumes, spacing, origin = read_vti(folder / "strain.vti")
    assert tuple(volumes) == MEASURES
    assert spacing == pytest.approx(PIXEL)
    corner = np.rint(np.array(origin) / PIXEL).astype(int)
    for name in MAPS:
        whole, pixel = read_map(folder / f"strain_{name}.mrc")
        assert (whole.shape, pixel) == ((BOX, BOX, BOX), pytest.approx(PIXEL))
        part = volumes[name]
        window = tuple(slice(c, c + n) for c, n in zip(corner[::-1], part.shape, strict=True))
        np.testing.assert_array_equal(whole[window], part)
        assert np.count_nonzero(whole) == np.count_nonzero(part)
    # Every atom lies in a voxel that has a strain, at its place in the files.
    place = np.rint((model.atoms.positions + BOX // 2 * PIXEL - origin) / PIXEL).astype(int)
    np.testing.assert_allclose(volumes["xx"][tuple(place.T[::-1])], SIX[0], atol=1e-6)
    phases, coarse, _ = read_vti(folder / "gpa.vti")
    assert coarse * len(phases["xx"]) == pytest.approx(BOX * PIXEL)
    place = np.rint((model.atoms.positions + BOX // 2 * PIXEL) / coarse).astype(int)
    np.testing.assert_allclose(phases["xx"][tuple(place.T[::-1])], SIX[0], atol=1e-3)
    np.testing.assert_array_equal(read_map(folder / "gpa_ux.mrc")[0], phases["ux"])


def test_vti_follows_the_format(tmp_path):
    """Read by the rules of the format, not by our reader: XML, an extent in points, 64-bit headers, zlib blocks."""
    rng = np.random.default_rng(0)
    volumes = {"one": rng.normal(size=(30, 20, 25)).astype(np.float32), "two": np.zeros((30, 20, 25), np.float32)}
    path = tmp_path / "a.vti"
    write_vti(path, volumes, 0.5, (1.0, 2.0, 3.0))
    raw = path.read_bytes()
    start = raw.index(b"_", raw.index(b"<AppendedData")) + 1
    tree = ET.fromstring(raw[: start - 1] + raw[raw.index(b"\n  </AppendedData>", start) :])
    image = tree.find("ImageData")
    assert tree.attrib["header_type"] == "UInt64"
    assert image.attrib["WholeExtent"] == image.find("Piece").attrib["Extent"] == "0 24 0 19 0 29"
    assert image.attrib["Origin"] == "1 2 3"
    for array in image.iter("DataArray"):
        at = start + int(array.attrib["offset"])
        count, block, last = np.frombuffer(raw, "<u8", 3, at).astype(int)
        sizes = np.frombuffer(raw, "<u8", count, at + 24).astype(int)
        assert (count - 1) * block + last == 4 * 30 * 20 * 25
        at += 24 + 8 * count
        data = b"".join(zlib.decompress(raw[at + a : at + a + n]) for a, n in zip(np.cumsum(sizes) - sizes, sizes))
        np.testing.assert_array_equal(np.frombuffer(data, "<f4").reshape(30, 20, 25), volumes[array.attrib["Name"]])
    again, spacing, origin = read_vti(path)
    np.testing.assert_array_equal(again["one"], volumes["one"])
    assert (spacing, origin) == (0.5, (1.0, 2.0, 3.0))
    with pytest.raises(InputError, match="holds NaN"):
        write_vti(tmp_path / "b.vti", {"bad": np.full((2, 2, 2), np.nan)}, 1.0)
    assert not (tmp_path / "b.vti").exists()
    (tmp_path / "c.vti").write_text("no")
    with pytest.raises(DataFileError, match=r"c\.vti is not"):
        read_vti(tmp_path / "c.vti")


def test_summary_holds_statistics_and_methods(model):
    strain = decode(encode(summarise(model)), ParticleSummary, "summary").strain
    assert strain.reference == "bulk"
    assert strain.components["xx"].mean == pytest.approx(0.012)
    assert set(strain.statistics) == set(MEASURES)
    assert set(strain.statistics["von_mises"]) == {"all", "core", "surface"}
    assert strain.methods.pairs["kernel-gpa"]["all"].rms < 5e-4
    assert strain.methods.methods["gpa"]["all"].error is None


def test_analyze_with_a_map_from_the_command_line(atoms, tmp_path, capsys):
    """A file of another program that overlays the map; then our own, whose map is found beside it."""
    write_map(tmp_path / "map.mrc", density(atoms, BOX, PIXEL), PIXEL)
    place = atoms + BOX // 2 * PIXEL
    lines = [f"Pt {p[0]:.6f} {p[1]:.6f} {p[2]:.6f}" for p in place]
    (tmp_path / "other.xyz").write_text("\n".join([str(COUNT), "", *lines]) + "\n")
    words = ["analyze", str(tmp_path / "other.xyz"), "--map", str(tmp_path / "map.mrc"), "--out", str(tmp_path / "a")]
    assert main([*words, "--strain.reference", "bulk"]) == 0
    assert not {".mrc", ".vti"} & {p.suffix for p in (tmp_path / "a").iterdir()}  # volumes are written on request only
    assert main([*words, "--strain.reference", "bulk", "--strain.volumes", "true"]) == 0
    summary = read_record(tmp_path / "a" / "summary.json", ParticleSummary)
    assert summary.strain.statistics["yy"]["all"].mean == pytest.approx(-0.008, abs=1e-4)
    assert summary.strain.methods.pairs["kernel-gpa"]["all"].rms < 5e-4
    for name in ("strain.csv", "strain.vti", "strain_volumetric.mrc", "gpa.vti", "gpa_xx.mrc"):
        assert (tmp_path / "a" / name).exists(), name
    # What a run wrote into the summary stays; a folder with a map needs no --map.
    write_record(tmp_path / "summary.json", ParticleSummary("solved"))
    (tmp_path / "atoms.xyz").write_bytes((tmp_path / "a" / "atoms.xyz").read_bytes())
    assert main(["analyze", str(tmp_path / "atoms.xyz"), "--out", str(tmp_path)]) == 0
    summary = read_record(tmp_path / "summary.json", ParticleSummary)
    assert summary.verdict == "solved"
    assert "gpa" in summary.strain.methods.methods
    capsys.readouterr()
    write_map(tmp_path / "wrong.mrc", np.ones((32, 32, 32), np.float32), PIXEL)
    words = ["analyze", str(tmp_path / "atoms.xyz"), "--map", str(tmp_path / "wrong.mrc"), "--out", str(tmp_path / "b")]
    assert main(words) == 2
    assert "give the map of these atoms" in capsys.readouterr().err


def test_a_plane_cuts_the_field_it_passes_through():
    """A field linear in the position is its own picture on any plane, also tilted and off the centre."""
    x = ball(400)
    slope = np.array([0.01, -0.02, 0.03])
    lattice = fit_lattice(x, "fcc")
    normal = plane_normal(lattice, (1, 1, 1))
    np.testing.assert_allclose(normal, np.ones(3) / np.sqrt(3), atol=1e-9)
    cut = strain_plane(x, x @ slope, normal, lattice.nearest_neighbour, offset=1.5)
    np.testing.assert_allclose(np.cross(cut.right, cut.up), normal, atol=1e-12)
    u, v = np.meshgrid(cut.u, cut.v)
    true = (u[..., None] * cut.right + v[..., None] * cut.up + 1.5 * normal) @ slope
    inside = np.isfinite(cut.values) & (np.hypot(u, v) < 7)
    assert inside[np.hypot(u, v) < 7].all()
    # Between unevenly placed atoms the weighted mean is off by some tenths of an Å times the slope.
    assert np.abs(cut.values - true)[inside].max() < 0.95 * np.linalg.norm(slope)
    assert np.sqrt(np.mean((cut.values - true)[inside] ** 2)) < 0.4 * np.linalg.norm(slope)
    assert np.isnan(cut.values[0, 0])
    assert (np.abs((x - x.mean(axis=0))[cut.atoms] @ normal - 1.5) < lattice.nearest_neighbour / 2).all()
    with pytest.raises(InputError, match="not all 0"):
        strain_plane(x, x[:, 0], (0, 0, 0), 2.8)
    with pytest.raises(InputError, match="parallel to the normal"):
        strain_plane(x, x[:, 0], (0, 0, 1), 2.8, right=(0, 0, 2))
    with pytest.raises(InputError, match="not all 0"):
        plane_normal(lattice, (0, 0, 0))


def test_figures_show_the_numbers():
    x = ball(150) @ (np.eye(3) + UNIFORM).T
    x = x + np.random.default_rng(1).normal(0, 0.02, x.shape)
    lattice = fit_lattice(x, "fcc", element="Pt")
    found = compare_strain_methods(x, lattice, StrainConfig(reference="bulk"), np.full(len(x), 0.02))
    strain = found.strains["kernel"]
    before = dict(mpl.rcParams)
    page = plots.plot_strain_methods(x, found, measure="xx")
    assert page.shape == (3, 2)
    shown = np.asarray(page[0, 0].images[0].get_array(), float)
    assert np.nanmean(shown) == pytest.approx(1.2, abs=0.3)  # per cent
    assert page[0, 0].images[0].get_clim() == page[0, 1].images[0].get_clim()
    assert page[1, 0].get_ylim() == page[1, 1].get_ylim()
    six = page[2, 1].get_lines()[0].get_ydata()
    np.testing.assert_allclose(np.sort(six), np.sort(100 * found.strains["bonds"].tensor[~strain.surface].ravel()))
    panels = plots.plot_strain_measures(strain)
    assert [ax.get_xlabel() for ax in panels.ravel()][1:3] == ["Volumetric strain (%)", "Von Mises strain (%)"]
    planes = plots.plot_strain_planes(x, strain, lattice, measure="rotation", planes=((1, 0, 0), (1, -1, 0)))
    assert planes[0].images[0].get_clim()[0] == 0
    assert planes[1].get_title() == "(1$\\bar{1}$0)"
    ax = plots.plot_strain_statistics(strain_statistics(x, strain, draws=10))
    assert len(ax.get_yticks()) == len(MEASURES) - 1
    cut = strain_plane(x, strain_measures(strain).volumetric, (0, 0, 1), lattice.nearest_neighbour)
    assert plots.plot_strain_plane(cut, "Volumetric strain").get_xlabel() == "Å"
    for figure in (page[0, 0].figure, panels[0, 0].figure, planes[0].figure, ax.figure):
        figure.canvas.draw()
    assert dict(mpl.rcParams) == before


def test_the_python_of_the_page_runs():
    page = (Path(__file__).parents[1] / "docs" / "strain.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "docs/strain.md", "exec"), names)
    columns = set(re.findall(r"`(\w+)`", page[page.index("## The table") :]))
    assert {"u_x", "principal_1", "rotation_noise", "nonaffine", "gpa_xx"} <= columns


def test_positions_alone_give_a_table_without_volumes(tmp_path):
    model = analyze(ball(150), "Pt", "fcc")
    assert [p.name for p in write_strain(tmp_path, model)] == ["strain.csv"]
    assert compute_strain(ball(150), model.lattice).method == "kernel"
