"""The page of a run that goes on: it reloads, shows what is finished, leads to the report, and never ends the run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from report_run import write_run
from single_rs.pipeline.live import LivePage
from single_rs.report.live import Doing, ended_page, live_page, live_views
from single_rs.store.codecs import read_record
from single_rs.store.record import RunRecord, StageRecord

RELOADS = '<meta http-equiv="refresh" content="5">'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("live") / "run")


@pytest.fixture(scope="module")
def record(run: Path) -> RunRecord:
    stages = {
        "track": StageRecord("", 4.0, facts={"particles": 3}),
        "particle_00/orient": StageRecord("", 80.0),
        "particle_00/refine": StageRecord("", 30.0, facts={"atoms": 201}),
        "particle_00/analyze": StageRecord("", 10.0, facts={"verdict": "solved"}),
    }
    return replace(read_record(run / "run.json", RunRecord), status="running", stages=stages, verdicts={})


def _text(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"<(style|script).*?</\1>", "", page, flags=re.S)))


def test_the_page_says_what_goes_on_and_how_long_it_takes(record: RunRecord) -> None:
    page = live_page(record, Doing("particle_01 orient", 9, 36, 20.0), Doing("whole run", 50, 130, 150.0), [])
    told = _text(page)
    assert RELOADS in page
    assert "particle_01 orient: 9 of 36, about 1 min 0 s left of this step." in told  # 20 s for 9, so 60 s for 27
    assert "The whole run: about 4 min 0 s left." in told  # 150 s for 50, so 240 s for 80
    assert "2 min 30 s" in told
    assert 'class="badge solved"' in page
    assert "201" in told


def test_figures_are_those_of_what_is_finished(run: Path) -> None:
    sections = live_views(run, "particle_00")
    titles = [figure.title for section in sections for block in section.blocks for figure in block.figures]
    assert titles[:3] == ["Tracks", "Motion", "Typical frames"]
    assert {"Orientation coverage", "Fourier shell correlation", "Orthogonal slices"} <= set(titles)
    assert [section.title for section in live_views(run, None)] == ["Movie"]


def test_poses_of_the_search_are_shown_before_they_are_refined(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "particle_00"
    folder.mkdir()
    for name, source in (("stack.mrcs", "stack.mrcs"), ("poses_searched.star", "poses.star")):
        (folder / name).write_bytes((run / "particle_00" / source).read_bytes())
    (section,) = live_views(tmp_path, "particle_00")
    assert "Orientation coverage" in [figure.title for figure in section.blocks[0].figures]


@pytest.mark.parametrize(
    ("status", "report", "refresh", "said"),
    [
        ("finished", True, '"0; url=report.html"', "The run is finished"),
        ("finished", False, None, "The run is finished"),
        ("interrupted", False, None, "The run has ended: interrupted"),
        ("failed: no <room>", True, None, "The run has ended: no &lt;room&gt;"),
    ],
)
def test_at_the_end_it_leads_to_the_report_or_says_how_it_ended(record, status, report, refresh, said) -> None:
    page = ended_page(replace(record, status=status), report)
    assert said in page
    assert ('http-equiv="refresh"' in page) == (refresh is not None)
    assert refresh is None or refresh in page


def test_a_listener_writes_the_page_and_passes_on_what_it_hears(run: Path, record: RunRecord, tmp_path: Path) -> None:
    heard = []
    journal = SimpleNamespace(record=record, folder=SimpleNamespace(path=tmp_path), waits=False)
    page = LivePage(journal, lambda *told: heard.append(told), every=0.0)
    page("motion: shifts", 3, 4)
    assert "motion: shifts: 3 of 4" in _text((tmp_path / "live.html").read_text(encoding="utf-8"))
    journal.waits = True  # the figures would be those of the earlier result
    page("track", 1, 4)
    assert "holds the finished result of an earlier run" in (tmp_path / "live.html").read_text(encoding="utf-8")
    page.end()  # the run still goes on for its record: a page that says otherwise would be wrong
    assert RELOADS in (tmp_path / "live.html").read_text(encoding="utf-8")
    journal.record = replace(record, status="finished")
    page.end()
    assert "The run is finished" in (tmp_path / "live.html").read_text(encoding="utf-8")
    assert heard == [("motion: shifts", 3, 4), ("track", 1, 4)]


def test_a_page_that_cannot_be_written_does_not_end_the_run(record: RunRecord, tmp_path: Path, caplog) -> None:
    journal = SimpleNamespace(record=record, folder=SimpleNamespace(path=tmp_path / "is not there"), waits=False)
    heard = []
    page = LivePage(journal, lambda *told: heard.append(told), every=0.0)
    for done in range(3):
        page("track", done, 2)
    assert len(heard) == 3
    assert caplog.text.count("live.html is not written any more") == 1
