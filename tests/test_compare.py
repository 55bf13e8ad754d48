"""Particles of known cells, strains and energies: the comparison gives back the laws they were made by."""

from __future__ import annotations

import csv
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

import single_rs as sr
from single_rs import compare_particles
from single_rs.analysis import ParticleSummary
from single_rs.analysis.lattice import Lattice
from single_rs.analysis.lattice.affine import CellParameters
from single_rs.analysis.lattice_record import LatticeRecord
from single_rs.analysis.strain import StrainConfig
from single_rs.base.errors import DataFileError, InputError
from single_rs.base.trend import fit_trend
from single_rs.cli import main
from single_rs.compare.record import ComparisonRecord
from single_rs.crystal.prototypes import bulk_reference
from single_rs.export import write_lattice
from single_rs.records import EnergyRecord
from single_rs.report.compare_files import write_comparison
from single_rs.store.codecs import read_record, write_record

BULK, STRESS = 3.92, 0.35  # Å and Å²: a = BULK - STRESS / d
ENERGY = (0.0, 11.0)  # eV and eV Å per atom: e = 11 / d, a surface energy
RADII = (9.0, 10.5, 12.0, 14.0)  # Å


def ball(radius: float) -> np.ndarray:
    """Return the sites (n, 3) of fcc with an edge of 1 within a ball, its radius in units of BULK Å."""
    cells = bulk("Pt", "fcc", a=BULK, cubic=True).repeat(10)
    points = cells.positions - BULK * 5  # a site in the middle of the block
    return points[np.linalg.norm(points, axis=1) < radius] / BULK


def diameter(count: int, edge: float) -> float:
    """Return the diameter of the sphere of n atoms of edge³/4 each: n v = π d³ / 6."""
    return (6 * count * edge**3 / 4 / np.pi) ** (1 / 3)


def write_particle(folder: Path, radius: float, verdict: str | None = "solved", error: float = 1e-4) -> float:
    """Write a particle that follows the laws exactly; return its diameter in Å."""
    folder.mkdir(parents=True)
    sites = ball(radius)
    edge = BULK
    for _ in range(50):  # the edge and the diameter depend on each other
        edge = BULK - STRESS / diameter(len(sites), edge)
    d = diameter(len(sites), edge)
    distance = np.linalg.norm(sites, axis=1) * edge
    surface = distance > distance.max() - 2.3
    atoms = Atoms("Pt" * len(sites), positions=sites * edge + 25.0)
    atoms.arrays |= {"radial_strain": np.where(surface, -0.02, 0.004), "surface": surface.astype(int)}
    atoms.info |= {"box": 100, "pixel_size": 0.5, "strain_kernel": 2.0}
    write(folder / "atoms.xyz", atoms, format="extxyz")
    n = len(sites)
    parameters = (edge,) * 3 + (90.0,) * 3 + (edge**3,) + (error,) * 3 + (0.0,) * 3 + (3 * edge**2 * error,)
    lattice = Lattice(
        "fcc", edge * np.eye(3), np.zeros(3), CellParameters(*parameters), sites, np.zeros((n, 3)), np.zeros(n, int),
        np.ones(n, bool), (), edge / np.sqrt(2), bulk_reference("Pt"),
    )  # fmt: skip
    write_lattice(folder / "lattice.json", lattice)
    if verdict is not None:
        write_record(folder / "summary.json", ParticleSummary(verdict, ("<known>",), resolution=0.8))
    write_energy(folder, ENERGY[0] + ENERGY[1] / d)
    return d


def write_energy(folder: Path, energy: float, calculator: str = "emt") -> None:
    """Write a formation energy per atom, eV."""
    record = EnergyRecord(calculator, formation_energy_per_atom=energy, formation_energy_per_atom_err=0.01)
    write_record(folder / "energy.json", record)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two runs: three solved particles, one doubtful, one failed that has no atoms."""
    folder = tmp_path_factory.mktemp("compare")
    write_particle(folder / "monday" / "particle_00", RADII[0])
    write_particle(folder / "monday" / "particle_01", RADII[2])
    write_particle(folder / "tuesday" / "particle_00", RADII[1])
    write_particle(folder / "tuesday" / "particle_01", RADII[3], verdict="doubtful")
    failed = folder / "tuesday" / "particle_02"
    failed.mkdir()
    write_record(failed / "summary.json", ParticleSummary("failed", ("noise",)))
    return folder


def test_line_and_its_errors_are_those_of_the_points() -> None:
    rng = np.random.default_rng(4)
    x = np.linspace(0.03, 0.06, 8)
    pulls, scatters = [], []
    for _ in range(150):
        y = 3.92 - 0.35 * x + rng.normal(0, 0.002, 8) + rng.normal(0, 0.004, 8)
        line = fit_trend(x, y, np.full(8, 0.002))
        pulls.append(((line.value - 3.92) / line.value_err, (line.slope + 0.35) / line.slope_err))
        scatters.append(line.scatter)
    # Student's t of 6 degrees of freedom has a standard deviation of 1.22; the scatter is found from the same points.
    assert 0.95 < np.std(pulls) < 1.5
    assert abs(np.mean(pulls)) < 0.2
    assert np.median(scatters) == pytest.approx(0.004, rel=0.25)


def test_errors_that_explain_the_points_leave_no_scatter_and_weigh_them() -> None:
    x, error = np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, 1.0, 1.0, 1e-4])
    line = fit_trend(x, 2 - 0.5 * x + np.array([0.1, -0.1, 0.1, 0]), error)
    assert line.scatter == 0
    at, at_err = line.predict(3.0)
    assert at == pytest.approx(0.5, abs=1e-6)
    assert at_err == pytest.approx(1e-4, rel=1e-3)
    # The error of x counts as slope times itself.
    wide = fit_trend(x, 2 - 0.5 * x, np.zeros(4), np.full(4, 0.2))
    same = fit_trend(x, 2 - 0.5 * x, np.full(4, 0.1))
    assert wide.slope_err == pytest.approx(same.slope_err, rel=1e-6)


def test_particles_are_found_named_and_sorted_by_size(runs: Path) -> None:
    found = compare_particles([runs])
    assert [p.name for p in found.particles] == [
        "monday/particle_00", "tuesday/particle_00", "monday/particle_01", "tuesday/particle_01", "tuesday/particle_02",
    ]  # fmt: skip
    assert found.left_out == {"tuesday/particle_01": "doubtful", "tuesday/particle_02": "failed"}
    size, error = found.column("diameter")
    for row, radius, d, dd in zip(found.particles, RADII, size, error, strict=False):
        count = len(ball(radius))
        assert row.values["atoms"] == count
        assert row.values["a"] == pytest.approx(BULK - STRESS / d, abs=1e-8)
        assert d == pytest.approx(2 * radius, rel=0.06)  # a ball that starts at an atom holds whole shells
        assert dd == pytest.approx(d * 2 * count ** (-2 / 3) / 3)
    # The same folder twice is one particle.
    assert len(compare_particles([runs, runs / "monday"]).particles) == 5


def test_trends_give_back_the_laws(runs: Path) -> None:
    found = compare_particles([runs], doubtful=True)
    lines = {t.quantity: t.line for t in found.trends}
    edge = lines["mean_edge"]
    assert edge.count == 4
    assert edge.value == pytest.approx(BULK, abs=1e-6)
    assert edge.slope == pytest.approx(-STRESS, abs=1e-5)
    assert edge.scatter == 0
    assert 0 < edge.slope_err < 0.05
    # Which axis of a cubic particle is a is arbitrary, and a spread has no limit.
    assert not {"a", "b", "c", "radial_strain_std"} & set(lines)
    # Through the known limit the law is the same, and the sizes (18 to 28 Å) do not carry a line to infinity.
    through = {t.quantity: t.through for t in found.trends}
    assert through["mean_edge"][0] == pytest.approx(-STRESS, abs=1e-5)
    assert through["formation_energy"][0] == pytest.approx(ENERGY[1], abs=1e-4)
    assert through["radial_strain"] is None
    assert not any(t.supported for t in found.trends)
    assert lines["expansion"].slope == pytest.approx(-STRESS / BULK, abs=1e-5)
    assert lines["formation_energy"].value == pytest.approx(ENERGY[0], abs=1e-6)
    assert lines["formation_energy"].slope == pytest.approx(ENERGY[1], abs=1e-4)
    assert lines["radial_strain_core"].value == pytest.approx(0.004, abs=1e-9)
    assert lines["radial_strain_surface"].slope == pytest.approx(0, abs=1e-7)
    # The smaller the particle, the more of it is surface, and the more negative the mean strain.
    assert lines["radial_strain"].slope < 0
    # Doubtful particles stay out unless they are asked for.
    assert {t.line.count for t in compare_particles([runs]).trends} == {3}


def test_no_value_at_infinite_size_without_a_range_of_sizes() -> None:
    """The paper's own six cells: any three or four of them lead anywhere from 3.5 to 4.7 Å at 1/d = 0."""
    d = np.array([22.5, 24.1, 24.2, 25.2, 26.6, 29.2])
    a = np.array([3.96, 4.02, 4.00, 3.99, 3.96, 3.97])
    for chosen in (slice(0, 3), slice(1, 5), slice(None)):
        line = fit_trend(1 / d[chosen], a[chosen], np.full(len(d[chosen]), 0.003), 0.02 / d[chosen])
        assert not line.supports(0)
        assert line.supports(1 / 25.0)
        assert line.chance > 0.05
    wide = np.array([15.0, 20.0, 30.0, 60.0])
    line = fit_trend(1 / wide, 3.92 - 0.3 / wide, np.full(4, 1e-3))
    assert line.supports(0)
    assert line.value == pytest.approx(3.92, abs=1e-6)
    # Student's t, tabulated: two degrees of freedom, a ratio of 4.303 is 5 %.
    ratio = 4.303
    assert replace(line, slope=ratio, slope_err=1.0).chance == pytest.approx(0.05, abs=1e-4)


def analysed(folder: Path, reference: str, grown: float, seed: int, diameter: float = 20.0) -> None:
    """Write a particle of Pt, stretched, analysed against the bulk or the best fit."""
    x = sr.nanocrystal("Pt", diameter=diameter, seed=seed).positions @ np.diag(1 + grown * np.array([1.0, 1.2, 0.8]))
    model = sr.analyze(x, "Pt", "fcc", StrainConfig(reference=reference))
    sr.export.write_analysis(folder, model, formats=())


def test_strains_are_measured_from_one_lattice_whatever_each_was_analysed_with(tmp_path: Path) -> None:
    """A change of reference adds the strain of the cell: it gives what an analysis against the other gives itself."""
    for reference in ("bulk", "fit"):
        analysed(tmp_path / f"{reference}_0", reference, 0.015, 1)
    both = compare_particles([tmp_path / "bulk_0", tmp_path / "fit_0"])
    assert both.reference == "bulk"
    one, two = both.particles
    assert one.reference == two.reference == "bulk"
    # Strain on strain adds to first order: 1.5 % of 1 % of noise, more only where the smoothing sees another frame.
    assert np.median(np.abs(one.radial - two.radial)) < 2e-4
    assert np.quantile(np.abs(one.radial - two.radial), 0.95) < 1e-3
    assert one.values["radial_strain"] == pytest.approx(0.015, abs=2e-3)
    fitted = compare_particles([tmp_path / "bulk_0", tmp_path / "fit_0"], reference="fit")
    assert fitted.reference == "fit"
    for row in fitted.particles:
        assert row.values["radial_strain"] == pytest.approx(0.0, abs=2e-3)
    # Nothing is known of the bulk of one: both are measured from the fit, or that one has no strain.
    path = tmp_path / "fit_0" / "lattice.json"
    record = read_record(path, LatticeRecord)
    write_record(path, replace(record, lattice=replace(record.lattice, bulk=None, structure="bcc")))
    mixed = compare_particles([tmp_path / "bulk_0", tmp_path / "fit_0"])
    assert mixed.reference == "fit"
    forced = compare_particles([tmp_path / "bulk_0", tmp_path / "fit_0"], reference="bulk")
    assert any("no strain of fit_0" in note for note in forced.notes)
    page = write_comparison(both, tmp_path / "page")[2].read_text(encoding="utf-8")
    assert "Mean radial strain" in page
    assert "against bulk" in page


def test_energies_of_one_calculator_are_compared(tmp_path: Path) -> None:
    for number, radius in enumerate(RADII):
        d = write_particle(tmp_path / f"p{number}", radius)
        write_energy(tmp_path / f"p{number}", ENERGY[1] / d, "mace" if number == 3 else "emt")
    found = compare_particles([tmp_path])
    energy = next(t for t in found.trends if t.quantity == "formation_energy")
    assert energy.particles == ("p0", "p1", "p2")
    assert any("several calculators" in note for note in found.notes)


def test_error_of_the_mean_strain_counts_what_the_kernel_ties_together(runs: Path) -> None:
    row = compare_particles([runs / "monday"]).particles[0]
    tied = (4 * np.pi * 2.0**2) ** 1.5 / (row.values["a"] ** 3 / 4)
    expected = row.values["radial_strain_std"] * np.sqrt(tied / row.values["atoms"])
    assert row.errors["radial_strain"] == pytest.approx(expected, rel=1e-6)


def test_folders_of_analyses_have_no_verdict_and_take_part(tmp_path: Path) -> None:
    for number, radius in enumerate(RADII[:3]):
        write_particle(tmp_path / f"p{number}", radius, verdict=None)
    found = compare_particles(sorted(tmp_path.iterdir()))
    assert [p.name for p in found.particles] == ["p0", "p1", "p2"]
    assert {p.verdict for p in found.particles} == {"not judged"}
    assert not found.left_out
    assert found.trends[0].particles == ("p0", "p1", "p2")


def test_kinds_are_never_mixed_in_one_trend(tmp_path: Path) -> None:
    for number, radius in enumerate(RADII[:3]):
        write_particle(tmp_path / f"p{number}", radius)
    path = tmp_path / "p0" / "atoms.xyz"
    path.write_text(path.read_text(encoding="utf-8").replace("Pt ", "Au "), encoding="utf-8")
    assert not compare_particles([tmp_path]).trends


def test_command_writes_table_json_and_page(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    assert main(["compare", str(runs / "monday"), str(runs / "tuesday"), "--doubtful", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "5 particles, 4 in the trends" in said
    with (out / "compare.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["verdict"] for row in table] == ["solved", "solved", "solved", "doubtful", "failed"]
    assert float(table[0]["a"]) == pytest.approx(BULK - STRESS / float(table[0]["diameter"]), abs=1e-6)
    assert table[4]["a"] == table[4]["diameter_err"] == ""
    content = read_record(out / "compare.json", ComparisonRecord)
    assert len(content.particles) == 5
    trend = next(t for t in content.trends if t.quantity == "formation_energy")
    assert trend.slope == pytest.approx(ENERGY[1], abs=1e-3)
    assert content.units["formation_energy"] == "eV/atom"
    page = (out / "compare.html").read_text(encoding="utf-8")
    for title in ("The particles at one scale", "Lattice parameters", "Expansion", "Mean radial strain",
                  "Strain distributions", "Formation energy"):  # fmt: skip
        assert f"<h3>{title}</h3>" in page
    assert not re.search(r'(src|href)="(https?:)?//', page)
    # The same particles give the same files.
    again = write_comparison(compare_particles([runs / "monday", runs / "tuesday"], doubtful=True), tmp_path / "again")
    assert [p.read_bytes() for p in again] == [(out / p.name).read_bytes() for p in again]


def test_one_particle_is_compared_with_no_trend(runs: Path, tmp_path: Path) -> None:
    found = compare_particles([runs / "monday" / "particle_00"])
    assert not found.trends
    page = write_comparison(found, tmp_path)[2].read_text(encoding="utf-8")
    assert "Not enough particles" in page
    assert any("not enough particles" in note for note in found.notes)


def test_the_page_of_the_documentation_runs(capsys: pytest.CaptureFixture) -> None:
    text = (Path(__file__).parents[1] / "docs" / "compare.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(source, "compare.md", "exec"), names)
    assert len(names["found"].particles) == 3
    assert re.search(r"slope -?\d+\.\d\d ± .*through bulk -0\.\d\d ± ", capsys.readouterr().out)


def test_wrong_input_is_named(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(InputError, match="no folder"):
        compare_particles([])
    with pytest.raises(DataFileError, match="holds no particle"):
        compare_particles([tmp_path])
    assert main(["compare", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 2
    assert "nowhere is not a folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    shutil.copytree(runs / "monday" / "particle_00", tmp_path / "broken")
    (tmp_path / "broken" / "lattice.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataFileError, match=r"lattice\.json cannot be read"):
        compare_particles([tmp_path / "broken"])
    with pytest.raises(InputError, match="at two or more places"):
        fit_trend([1, 1, 1], [1, 2, 3], [1, 1, 1])
    with pytest.raises(InputError, match="quantity is 'colour'"):
        compare_particles([runs]).column("colour")


def test_atoms_that_cannot_be_true_are_named(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "particle_00"
    shutil.copytree(runs / "monday" / "particle_00", folder)
    lines = (folder / "atoms.xyz").read_text().split("\n")
    words = lines[4].split()
    lines[4] = " ".join([words[0], "1e308", *words[2:]])
    (folder / "atoms.xyz").write_text("\n".join(lines))
    assert main(["compare", str(folder), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "atoms.xyz: atom 3 lies at (1e+308, " in said
    assert said.count("\n") == 1
