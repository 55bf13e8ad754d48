"""Every JSON and CSV file of ours comes back as it was written, and a broken one is named."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from report_run import write_record_of, write_run
from single_rs.analysis import ParticleSummary
from single_rs.analysis.distances import RowDistances
from single_rs.base.errors import DataFileError
from single_rs.pipeline.stages import Refinement, Tracing
from single_rs.records import Background, Graphene
from single_rs.report import write_report
from single_rs.store.codecs import read_record, write_record
from single_rs.store.states import TimelineTable
from single_rs.store.tables import read_table, write_table

DOCS = Path(__file__).parents[1] / "docs"


def _formats() -> ModuleType:
    spec = importlib.util.spec_from_file_location("formats", DOCS / "files.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_files_read_back(folder: Path, scratch: Path) -> set[str]:
    """Read every file of ours in the folder of a run and write it again, to the same bytes; return their names."""
    found = set()
    for name, kind in _formats().TABLES.items():
        for path in folder.glob(name.replace("particle_NN", "particle_*")):
            others = {"positions": None, "sigma": None} if kind is RowDistances else {}
            write_table(scratch / path.name, read_table(path, kind, **others))
            assert (scratch / path.name).read_bytes() == path.read_bytes(), path
            found.add(path.name)
    for name, kind in _formats().FILES.items():
        for path in folder.glob(name.replace("particle_NN", "particle_*")):
            write_record(scratch / path.name, read_record(path, kind))
            assert (scratch / path.name).read_bytes() == path.read_bytes(), path
            found.add(path.name)
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run with the files of all stages that write JSON."""
    folder = write_run(tmp_path_factory.mktemp("files") / "run")
    part = folder / "particle_00"
    sheet = Graphene(3.0, 2.461, (0.0, 0.001, 0.0), np.eye(2), np.array([[1, 0]]), np.array([5.5]))
    write_record(part / "background.json", Background(0.358, 21.5, [sheet], np.array([True, False])))
    write_record(part / "trace.json", Tracing(0, "no peak stands out"))
    write_record(part / "refine.json", Refinement(refused="the frames do not show the atoms"))
    return folder


def test_every_file_of_a_run_reads_back_equal(run, tmp_path):
    names = {"run.json", "background.json", "clean_examples.json", "trace.json", "refine.json", "summary.json"}
    assert assert_files_read_back(run, tmp_path) == names | {
        "lattice.json", "structure.json", "energy.json", "validation.json", "fsc.csv", "structure.csv", "strain.csv",
        "distances.csv", "pdf.csv", "powder.csv",
    }  # fmt: skip


def test_a_broken_file_gives_one_line_that_names_it(run, tmp_path):
    for name, kind in _formats().FILES.items():
        source = run / name.replace("NN", "00")
        if not source.exists():
            continue
        content = json.loads(source.read_text(encoding="utf-8"))
        path = tmp_path / source.name
        for broken in (
            source.read_text(encoding="utf-8")[:-20],
            json.dumps({**content, "schema": 99}),
            json.dumps({**content, "type": "Other"}),
            json.dumps([content]),
            json.dumps({**content, **{field: {"odd": [{}]} for field in kind.__dataclass_fields__}}),
        ):
            path.write_text(broken, encoding="utf-8")
            with pytest.raises(DataFileError, match=re.escape(source.name)) as raised:
                read_record(path, kind)
            assert "\n" not in str(raised.value)
            assert len(str(raised.value)) < 400


def test_what_a_summary_lacks_was_not_measured(tmp_path):
    (tmp_path / "particle_00").mkdir()
    write_record_of(tmp_path, {"particle_00": "doubtful"})
    path = tmp_path / "particle_00" / "summary.json"
    path.write_text('{"type": "ParticleSummary", "schema": 2, "verdict": "doubtful", "of a later version": 1}')
    summary = read_record(path, ParticleSummary)
    assert summary == ParticleSummary("doubtful")
    assert summary.resolution is None
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "<dt>Resolution</dt><dd>not measured</dd>" in page


def test_a_table_keeps_what_is_not_known_and_refuses_what_it_is_not(tmp_path):
    number = np.arange(3)
    error = np.array([0.5, np.nan, 12.0])
    text = np.array(["Pt", "=1", "'a"])
    table = TimelineTable(number, text, number, error, number + 9, error, number > 1, number, text)
    path = tmp_path / "timeline.csv"
    write_table(path, table)
    assert path.read_text(encoding="utf-8").splitlines()[2] == "1,'=1,1,,10,,0,1,'=1"  # no formula, and no number
    found = read_table(path, TimelineTable)
    for field in TimelineTable.__dataclass_fields__:
        values = getattr(table, field)
        np.testing.assert_array_equal(getattr(found, field), values)
        assert getattr(found, field).dtype.kind == values.dtype.kind
    whole = path.read_text(encoding="utf-8")
    for broken in (whole.replace("core", "other"), whole.replace("Pt,0", "Pt,zero"), whole[:-4], ""):
        path.write_text(broken, encoding="utf-8")
        with pytest.raises(DataFileError, match=r"timeline\.csv"):
            read_table(path, TimelineTable)
