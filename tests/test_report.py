"""The report holds what the run wrote, says what is missing, and loads nothing from anywhere."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import re
import shutil
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import label

from report_run import BOX, FRAMES, LATTICE_CONSTANT, PIXEL, ball, walk, write_record_of, write_run
from single_rs.base.errors import DataFileError
from single_rs.compare.rows import read_row
from single_rs.report import write_report
from single_rs.report.certainty import least_known, reasons_with_limits
from single_rs.report.density import density_data
from single_rs.report.extras import extra_figures, extra_tables
from single_rs.report.files import read_run
from single_rs.report.numbers import Numbers
from single_rs.report.tumbling import project_map, tumbling_data
from single_rs.report.views import Quantity, concise
from single_rs.store.manifest import FileEntry, Manifest

MAX_BYTES = 5_000_000
TITLES = (
    "Tracks",
    "Motion",
    "Typical frames",
    "Radial strain",
    "Radial strain against radius",
    "Nearest-neighbour distances",
    "Uncertainty of positions",
    "Atom heights",
    "Coordination",
    "Strain components",
    "Strain maps",
    "Strain statistics",
    "Distances along rows",
    "Pair distribution",
    "Powder pattern",
    "Surface sites",
    "Formation energy of the atoms",
    "Orthogonal slices",
    "Zone axes",
    "Fourier shell correlation",
    "Orientation coverage",
    "Turn between frames",
    "Score and confidence",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("report") / "run")


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return write_report(run).read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Collect ids, resource addresses, and the balance of elements."""

    VOID = frozenset(("meta", "link", "input", "br", "image", "use", "path", "circle"))

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.targets: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name == "href" and tag == "a":
                self.targets.append(str(value))
            elif name in ("src", "href", "xlink:href", "srcset", "data", "action"):
                self.addresses.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open
            assert self.open.pop() == tag


def test_page_loads_nothing_from_outside(page: str) -> None:
    elements = Elements(page)
    assert all(a.startswith(("data:", "#")) for a in elements.addresses)
    assert all(t.startswith("#") for t in elements.targets)
    style = "".join(re.findall(r"<style>(.*?)</style>", page, re.DOTALL))
    assert "@import" not in style
    assert not re.search(r"url\((?!#)", style)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert "default-src 'none'" in policy.group(1)
    assert "http" not in policy.group(1)


def test_page_is_well_formed_and_small(page: str) -> None:
    elements = Elements(page)
    assert not elements.open
    assert len(elements.ids) == len(set(elements.ids))
    assert {t[1:] for t in elements.targets} <= set(elements.ids)
    assert len(page.encode()) < MAX_BYTES


def test_page_has_all_sections_and_verdicts(page: str) -> None:
    for section in ("summary", "movie", "particle-0", "particle-1", "timing", "settings"):
        assert f'<section id="{section}"' in page
    assert 'class="badge solved"' in page
    assert 'class="badge failed"' in page
    assert "the half maps do not agree beyond 2.4 Å" in page
    for title in TITLES:
        assert f"<h3>{title}</h3>" in page


def test_every_figure_has_a_description(page: str) -> None:
    figures = re.findall(r'<figure class="card.*?</figure>', page, re.DOTALL)
    assert len(figures) == len(TITLES) + 1  # all of the solved particle and its movie, and frames of the failed one
    for figure in figures:
        label = re.search(r'<svg [^>]*aria-label="([^"]{30,})"', figure)
        assert label
        assert "<figcaption>" in figure


def test_figures_follow_the_theme(page: str) -> None:
    drawings = "".join(re.findall(r'<div class="drawing.*?</svg>', page, re.DOTALL))
    assert "var(--fig-ink)" in drawings
    assert "#1f2328" not in drawings


def test_each_quantity_has_one_value_on_the_page(page: str, run: Path) -> None:
    """Numbers of the summary, the facts, the captions and the table to copy are the same ones, with their errors."""
    told = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "|", re.sub(r"<svg.*?</svg>", "", page, flags=re.S))))
    particle = read_run(run).particles[0]
    numbers = Numbers.of(particle)
    assert int(numbers.surface.value) == particle.atoms.surface.sum()
    assert float(numbers.diameter.value) == pytest.approx(read_row("", particle.folder).values["diameter"] / 10)
    assert told.count(numbers.frames_used) == 2
    assert f"Beam directions of {numbers.used} frames" in told
    assert f"{numbers.coverage} of all directions have a frame within 6°" in told
    assert f"{numbers.coverage} of all views have a frame within 6°" in told
    assert f"|diameter||{numbers.diameter.amount}||{numbers.diameter.spread}|" in told
    assert re.search(rf"{numbers.surface} of {numbers.atoms} atoms at the surface", page)
    assert f"{numbers.surface} atoms are at the surface" in told


def test_verdict_comes_with_limits_and_with_what_is_least_known(page: str, run: Path) -> None:
    assert reasons_with_limits(["half maps agree to 0.8 Å; 1.20 Å needed", "a; b", "3 % off; 3.5 % allowed"]) == [
        ("half maps agree to 0.8 Å", "1.20 Å needed"), ("a; b", ""), ("3 % off", "3.5 % allowed"),
    ]  # fmt: skip
    particle = read_run(run).particles[0]
    facts = dict(least_known(particle, Numbers.of(particle)).rows)
    worst = int(np.argmax(particle.atoms.columns["sigma"]))
    assert f"atom {worst + 1}," in facts["Position"]
    assert re.fullmatch(
        r"known to 0\.09% along .*, 5\.1 times worse .*; to 0\.014% along the best axis", facts["Lengths"]
    )
    lengths = particle.summary.lengths
    assert lengths is not None
    unseen = replace(lengths, worst=None, excess=np.nan)  # an infinite error, as JSON has it
    unseen = replace(particle, summary=replace(particle.summary, lengths=unseen))
    assert dict(least_known(unseen, Numbers.of(unseen)).rows)["Lengths"].startswith("no frame shows them along")
    assert "dark (by 9.7 sigma)" in page
    # The frames see the particle from everywhere but one axis: its covariance says so.
    particle.atoms.columns["cov"] = np.tile([1e-4, 1e-4, 9e-4, 0, 0, 0], (len(particle.atoms.positions), 1))
    numbers = Numbers.of(particle)
    assert numbers.sigma_axes == pytest.approx((1.0, 3.0))
    assert "σ is 3.0 pm along an axis" in dict(least_known(particle, numbers).rows)["Direction"]
    assert page.index("Least known") < page.index('class="stage"')


def test_data_of_figures_are_the_numbers_that_are_drawn(page: str, run: Path) -> None:
    packed = re.findall(r'class="file" data-name="([^"]*)" data-content="([^"]*)"', page)
    files = {name: zlib.decompress(base64.b64decode(content)).decode("utf-8") for name, content in packed}
    assert len(files) > 15
    rows = list(csv.DictReader(line for line in files["p0-fsc.csv"].splitlines() if not line.startswith("#")))
    shells = read_run(run).particles[0].fsc
    frequency, fsc = shells.frequency, shells.fsc
    np.testing.assert_allclose([float(row["x"]) for row in rows[: len(fsc)]], frequency, rtol=1e-5)
    np.testing.assert_allclose([float(row["y"]) for row in rows[: len(fsc)]], fsc, rtol=1e-4)
    means = [row for row in csv.DictReader(
        line for line in files["p0-radial.csv"].splitlines() if not line.startswith("#")
    ) if row["series"] == "mean"]  # fmt: skip
    assert all(float(row["y_error"]) > 0 for row in means)
    assert len(means) > 5
    tracks = [line.split(",")[:2] for line in files["tracks.csv"].splitlines() if line[0].isdigit()]
    assert len(tracks) == 2 * FRAMES
    atoms = list(csv.DictReader(files["atoms_00.csv"].splitlines()))
    np.testing.assert_allclose([[float(row[k]) for k in "xyz"] for row in atoms], ball(), atol=1e-4)


def test_text_from_files_is_escaped(page: str) -> None:
    assert "confidence 0.97 &amp; &lt;rising&gt;" in page
    assert "<rising>" not in page


def test_view_has_the_atoms_and_what_to_colour_them_by(page: str, run: Path) -> None:
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL).group(1))
    truth = ball()
    np.testing.assert_allclose(data["positions"], truth - truth.mean(axis=0), atol=2e-3)
    names = [c["name"] for c in data["colourings"]]
    assert names[:4] == ["Radial strain", "Volume strain (trace)", "Coordination", "Structure type"]
    assert {"Uncertainty σ", "Von Mises strain", "Local rotation", "Formation energy"} <= set(names)
    assert all(len(c["values"]) == len(truth) for c in data["colourings"])
    assert [v["name"] for v in data["views"]] == ["[100]", "[110]", "[111]"]


def test_projection_of_the_map_is_the_image_of_the_turned_and_shifted_atoms() -> None:
    atoms, rotations = ball(), walk(5, 40.0, 2)
    shifts = np.array([(0, 0), (1.5, 0), (0, -2.0), (0.8, 1.1), (-1.2, 0.4)])

    def profiles(points: np.ndarray) -> list[np.ndarray]:
        """Return Gaussians of 0.5 Å (atom, voxel) along each axis: their product is the atom, with no rounding."""
        grid = (np.arange(BOX) - BOX // 2) * PIXEL
        return [np.exp(-0.5 * ((grid - points[:, k, None]) / 0.5) ** 2) for k in range(3)]

    x, y, z = profiles(atoms)
    density = np.einsum("nz,ny,nx->zyx", z, y, x).astype(np.float32)
    images = project_map(density, PIXEL, rotations, shifts, BOX)
    for image, rotation, shift in zip(images, rotations, shifts, strict=True):
        x, y, _ = profiles(atoms @ rotation.T + (*shift, 0))
        expected = np.einsum("ny,nx->yx", y, x)
        assert np.corrcoef(image.ravel(), expected.ravel())[0, 1] > 0.999
        # In map units times Å: the line through an atom of height 1 is √(2π) 0.5 Å.
        assert image.std() == pytest.approx(np.sqrt(2 * np.pi) * 0.5 * expected.std(), rel=0.02)


def test_movie_of_the_particle_has_its_frames_poses_and_projections(run: Path) -> None:
    particle = read_run(run).particles[0]
    data = tumbling_data(particle, 50)
    assert len(data["frames"]) == len(data["rotations"]) == len(data["agreement"]) == 50
    assert np.array_equal(np.diff(data["frames"]), np.ones(49))
    first = data["frames"][0]
    np.testing.assert_allclose(np.reshape(data["rotations"][0], (3, 3)), walk(FRAMES, 8.0, 0)[first], atol=1e-4)
    # The frames are those of the atoms at these poses with 8 e/px of shot noise.
    assert np.median(data["agreement"]) > 0.8
    with Image.open(io.BytesIO(base64.b64decode(data["sheet"].split(",")[1]))) as sheet:
        pictures = np.asarray(sheet)
    side, columns = data["side"], data["columns"]
    assert pictures.shape == (-(-50 // columns) * side, columns * 3 * side)
    cell = pictures[side : 2 * side, 3 * side : 6 * side].astype(float)  # frame columns + 1
    denoised, projected = cell[:, side : 2 * side].ravel(), cell[:, 2 * side :].ravel()
    assert np.corrcoef(denoised, projected)[0, 1] == pytest.approx(data["agreement"][columns + 1], abs=0.1)


def test_isosurface_has_a_peak_at_every_atom(run: Path) -> None:
    particle = read_run(run).particles[0]
    middle = particle.atoms.positions.mean(axis=0)
    data = density_data(particle, middle)
    values = np.frombuffer(zlib.decompress(base64.b64decode(data["values"])), np.uint8).reshape((data["side"],) * 3)
    index = np.rint((particle.atoms.positions - middle) / data["voxel"]).astype(int) + data["side"] // 2
    assert (values[tuple(index.T[::-1])] > 255 * data["level"]).mean() > 0.97
    # Atoms are apart: at this level each is a body of its own, as a surface of the crystal should show.
    bodies = label(values > 255 * data["level"])[1]
    assert 0.9 < bodies / len(index) <= 1.02
    assert LATTICE_CONSTANT / data["voxel"] > 8


def test_files_are_read_back_in_library_frame(run: Path) -> None:
    particle = read_run(run).particles[0]
    np.testing.assert_allclose(particle.atoms.positions, ball(), atol=1e-5)
    assert particle.density.shape == (BOX,) * 3
    assert particle.pixel_size == pytest.approx(PIXEL)
    assert particle.raw.shape == particle.cleaned.shape == (4, BOX, BOX)
    assert particle.verdict == "solved"


def test_lattice_and_times_are_in_the_tables(page: str, run: Path) -> None:
    cell = json.loads((run / "particle_00" / "lattice.json").read_text(encoding="utf-8"))["lattice"]["parameters"]
    assert concise(cell["a"], cell["a_err"], 4) in page
    assert "particle 00 · orient" in page
    assert "157.0\xa0s" in page  # the sum of the four stages


def test_defects_energy_and_checks_are_told_where_their_files_are(page: str) -> None:
    told = html.unescape(re.sub(r"<[^>]+>", "|", page))
    assert "|Structure and defects|" in told
    assert re.search(r"\|Dislocations\|+none\|", told)
    assert "|0.412(3)\xa0eV|" in told
    assert "|Seen from nearly all sides.|" in told
    assert re.search(r'class="badge passed">.{,50}passed', page)
    # Absent files of further steps are no gaps.
    assert "validation.json is missing" not in page


def test_files_of_another_form_are_named_and_spoil_nothing(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "particle_00", tmp_path / "particle_00")
    folder = tmp_path / "particle_00"
    (folder / "distances.csv").write_text("family,distance\n110,2.77\n", encoding="utf-8")
    (folder / "structure.json").write_text("[1]", encoding="utf-8")
    (folder / "energy.xyz").unlink()
    particle = read_run(tmp_path).particles[0]
    titles = [figure.title for figure in extra_figures(particle)]
    cards = dict(extra_tables(particle))
    assert "Pair distribution" in titles
    assert "Distances along rows" not in titles
    assert "Formation energy of the atoms" not in titles
    assert set(cards) == {"Energy", "Validation"}
    assert any("distances" in gap for gap in particle.gaps)
    assert any("structure.json cannot be read" in gap for gap in particle.gaps)


def test_same_run_gives_the_same_page(page: str, run: Path) -> None:
    assert write_report(run).read_text(encoding="utf-8") == page


def test_missing_and_broken_files_are_named(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    particle = folder / "particle_00"
    for name in ("fsc.csv", "clean_examples.npy", "summary.json"):
        (particle / name).unlink()
    (particle / "atoms.xyz").write_text("not atoms\n", encoding="utf-8")
    (particle / "poses.star").write_bytes((particle / "poses.star").read_bytes()[:500])
    (folder / "run.json").write_text("{", encoding="utf-8")
    page = html.unescape(write_report(folder).read_text(encoding="utf-8"))
    for gap in (
        "fsc.csv is missing",
        "atoms.xyz cannot be read",
        "poses.star cannot be read",
        "run.json cannot be read",
    ):
        assert gap in page
    # Without a summary nothing is called solved, and a frame that was not cleaned is not called cleaned.
    assert 'class="badge solved"' not in page
    assert "band-passed" in page


def test_folders_that_the_run_does_not_name_are_not_shown(run: Path, tmp_path: Path) -> None:
    for name in ("particle_01", "particle_99"):
        shutil.copytree(run / "particle_01", tmp_path / name)
    assert len(read_run(tmp_path).particles) == 2  # of single stages, without a record of a run
    write_record_of(tmp_path, {"particle_00": "solved"})
    Manifest({"particle_01/summary.json": FileEntry(1, "", "particle_01/analyze", "")}).write(
        tmp_path / "manifest.json"
    )
    found = read_run(tmp_path)
    assert [p.folder.name for p in found.particles] == ["particle_01"]
    assert found.gaps == ["particle_00 is missing"]


def test_run_without_particles_says_so(tmp_path: Path) -> None:
    write_record_of(tmp_path, {})
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "No particle was found." in page
    assert 'class="card viewer"' not in page


def test_run_from_a_stack_misses_no_movie(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "particle_01", tmp_path / "particle_00")
    write_record_of(tmp_path, {"particle_00": "solved"})
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "motion.csv" not in page
    assert 'id="movie"' not in page


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"run\.json"):
        write_report(tmp_path)
    with pytest.raises(DataFileError, match="not a directory"):
        write_report(tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())


def test_errors_stand_in_the_last_digits() -> None:
    assert concise(3.92314, 0.0014, 4) == "3.9231(14)"
    assert concise(3.92314, 0.00004, 4) == "3.92314(4)"
    assert concise(90.0, None, 2) == "90.00"
    assert (concise(-0.00004, 0.02, 2), str(Quantity(-0.004, 2, "%"))) == ("0.00(2)", "0.00%")
    assert concise(None, None, 2) == str(Quantity(float("nan"))) == "–"
    assert str(Quantity(-1.5, 1, "%")) == "−1.5%"
    assert str(Quantity(3.9231, 3, "Å", 0.0014)) == "3.923 ± 0.001\xa0Å"
