"""The pages open in a browser at two widths: they draw, are used and saved from, and load nothing from anywhere."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from changing import files_of_two_states, write_states
from report_run import write_run
from single_rs import compare_particles
from single_rs.report import write_report
from single_rs.report.compare_files import write_comparison
from single_rs.report.inline import view
from single_rs.report.live import Doing, ended_page, live_page, live_views
from single_rs.report.validation import render
from single_rs.store.codecs import read_record
from single_rs.store.record import RunRecord
from single_rs.store.validation import read_validation

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("browser") / "run")


@pytest.mark.parametrize("width", [1280, 400])
def test_browser_draws_the_atoms_without_errors_or_requests(run: Path, tmp_path: Path, width: int) -> None:
    api = pytest.importorskip("playwright.sync_api")
    path, requests, errors = write_report(run), [], []
    flags = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        tab = browser.new_page(viewport={"width": width, "height": 800})
        tab.set_default_timeout(120_000)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(path.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        tab.locator(".viewer canvas").scroll_into_view_if_needed()
        tab.wait_for_selector(".viewer .legend span")
        before = tab.evaluate(PAINTED, ".viewer canvas")
        assert len(set(before)) > 30
        tab.select_option(".viewer .colour", label="Structure type")
        assert "fcc" in tab.inner_text(".viewer .legend")
        assert tab.evaluate(PAINTED, ".viewer canvas") != before
        tab.focus(".viewer canvas")
        before = tab.evaluate(PAINTED, ".viewer canvas")
        tab.keyboard.press("ArrowLeft")
        tab.wait_for_function(f"before => JSON.stringify(({PAINTED})('.viewer canvas')) !== before",
                              arg=json.dumps(before, separators=(",", ":")))  # fmt: skip
        tab.select_option(".viewer .form", label="density")
        api.expect(tab.locator(".viewer .legend").first).to_contain_text("density at")
        assert len(set(tab.evaluate(PAINTED, ".viewer canvas"))) > 30
        tab.locator(".player").scroll_into_view_if_needed()
        api.expect(tab.locator(".player .said").first).to_contain_text("frame")
        for name in ("raw", "projected", "atoms"):
            assert len(set(tab.evaluate(PAINTED, f".player canvas.{name}"))) > 5
        at = tab.input_value(".player .at")
        api.expect(tab.locator(".player .at").first).not_to_have_value(at)  # it plays by itself in sight
        drawing = _saved(tab, "#particle-0 .save .svg >> nth=1", tmp_path)
        assert drawing.startswith("<svg")
        assert "var(" not in drawing
        ElementTree.fromstring(drawing)
        assert "series,x,y" in _saved(tab, "#particle-0 .grid .save .file >> nth=0", tmp_path)
        picture = _saved_picture(tab, "#particle-0 .save .png >> nth=1", tmp_path)
        assert picture.size[0] >= 1200  # at 300 dpi
        assert len(picture.convert("RGB").getcolors(maxcolors=1 << 20)) > 20
        assert not tab.evaluate(EMPTY)
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        tab.click("#theme")
        assert tab.evaluate("document.documentElement.dataset.theme") in ("dark", "light")
        browser.close()
    assert not errors
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [path.as_uri()]


def test_the_film_of_the_states_goes_through_time(run: Path, tmp_path: Path) -> None:
    api = pytest.importorskip("playwright.sync_api")
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    write_states(folder / "particle_00", files_of_two_states(), np.zeros(3))
    path, errors = write_report(folder), []
    flags = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        tab = browser.new_page(viewport={"width": 400, "height": 800})
        tab.set_default_timeout(120_000)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(path.as_uri())
        tab.locator("#states-0 canvas").scroll_into_view_if_needed()
        tab.wait_for_selector("#states-0 .legend span")
        assert "leaves (1)" in tab.inner_text("#states-0 .legend")
        assert "frames 0 to 99: state 0, 3 atoms, solved" in tab.inner_text("#states-0 .said")
        before = tab.evaluate(PAINTED, "#states-0 canvas")
        tab.focus("#states-0 .when")
        tab.keyboard.press("ArrowRight")
        tab.wait_for_function(f"before => JSON.stringify(({PAINTED})('#states-0 canvas')) !== before",
                              arg=json.dumps(before, separators=(",", ":")))  # fmt: skip
        assert "frames 100 to 199: state 1, 2 atoms, doubtful" in tab.inner_text("#states-0 .said")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        browser.close()
    assert not errors


def test_pages_of_a_comparison_and_of_checks_fit_and_run_without_errors(run: Path, tmp_path: Path) -> None:
    api = pytest.importorskip("playwright.sync_api")
    checks = tmp_path / "validation.html"
    checks.write_text(render(read_validation(run / "particle_00")), encoding="utf-8")
    pages = [write_comparison(compare_particles([run]), tmp_path)[2], checks]
    errors: list[str] = []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for page, width in itertools.product(pages, (1280, 400)):
            tab = browser.new_page(viewport={"width": width, "height": 800})
            tab.on("pageerror", lambda error: errors.append(str(error)))
            tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            tab.goto(page.as_uri())
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), (page.name, width)
            assert tab.locator("section h2").count() >= 2
            assert all(len(text) > 20 for text in tab.locator("section").all_inner_texts())
        browser.close()
    assert not errors


@pytest.mark.parametrize("width", [900, 400])
def test_view_of_a_notebook_draws_in_its_frame(run: Path, tmp_path: Path, width: int) -> None:
    api = pytest.importorskip("playwright.sync_api")
    page, errors = tmp_path / "cell.html", []
    page.write_text(f"<!doctype html><body>{view(run / 'particle_00')._repr_html_()}</body>", encoding="utf-8")
    flags = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        tab = browser.new_page(viewport={"width": width, "height": 700})
        tab.set_default_timeout(120_000)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.goto(page.as_uri())
        frame = tab.frame_locator("iframe")
        api.expect(frame.locator(".legend span").first).to_be_visible()
        inner = tab.frames[1]
        assert len(set(inner.evaluate(PAINTED, ".viewer canvas"))) > 30
        assert inner.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert inner.evaluate("document.documentElement.scrollHeight <= innerHeight")
        browser.close()
    assert not errors


def test_live_page_reloads_and_leads_to_the_report(run: Path, tmp_path: Path) -> None:
    api = pytest.importorskip("playwright.sync_api")
    record = read_record(run / "run.json", RunRecord)
    still, live, errors = tmp_path / "still.html", tmp_path / "live.html", []
    page = live_page(
        record, Doing("particle_00 orient", 3, 36, 9.0), Doing("run", 30, 200, 60.0), live_views(run, "particle_00")
    )
    live.write_text(page, encoding="utf-8")
    still.write_text(re.sub(r"<meta http-equiv=.refresh[^>]*>", "", page), encoding="utf-8")
    (tmp_path / "report.html").write_text("<!doctype html><title>The report</title>", encoding="utf-8")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 400, "height": 800})
        tab.set_default_timeout(120_000)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(still.as_uri())  # without its reload, which may come between two questions
        for width in (1280, 400):
            tab.set_viewport_size({"width": width, "height": 800})
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert not tab.evaluate(EMPTY)
        tab.goto(live.as_uri(), wait_until="commit")
        live.write_text(ended_page(replace(record, status="finished"), report=True), encoding="utf-8")
        tab.wait_for_url("**/report.html")  # by itself: the page loads itself anew, and then leads on
        browser.close()
    assert not errors


# Colours of a grid of pixels in the middle of a canvas.
PAINTED = """name => {
  const c = document.querySelector(name), n = Math.min(c.width, c.height) >> 1;
  const d = c.getContext("2d").getImageData((c.width - n) >> 1, (c.height - n) >> 1, n, n).data, found = [];
  for (let k = 0; k < d.length; k += 4 * 97) found.push((d[k] << 16) + (d[k + 1] << 8) + d[k + 2]);
  return found;
}"""


# Titles of figures whose drawing is not seen, or holds next to nothing.
EMPTY = """() => [...document.querySelectorAll("figure.card")].filter(card => {
  const drawing = card.querySelector(".drawing svg"), { width, height } = drawing.getBoundingClientRect();
  return width < 150 || height < 60 || drawing.querySelectorAll("path, use, image, text").length < 5;
}).map(card => card.querySelector("h3").textContent)"""


def _saved_picture(tab: Any, button: str, folder: Path) -> Image.Image:
    """Return the picture that a click saves."""
    with tab.expect_download() as waiting:
        tab.click(button)
    waiting.value.save_as(folder / "saved.png")
    picture = Image.open(folder / "saved.png")
    assert picture.format == "PNG"
    return picture


def _saved(tab: Any, button: str, folder: Path) -> str:
    """Return the file that a click saves."""
    with tab.expect_download() as waiting:
        tab.click(button)
    waiting.value.save_as(folder / "saved")
    return (folder / "saved").read_text(encoding="utf-8")
