"""Whatever fails, the program ends with one line and an exit code that says whose fault it was: 2 or 1."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from report_run import write_record_of
from single_rs.analysis import ParticleSummary
from single_rs.analysis.analyze import analyze
from single_rs.analysis.lattice import fit_lattice
from single_rs.analysis.lattice_record import lattice_record
from single_rs.base.errors import InputError
from single_rs.cli import commands, main
from single_rs.cli.options import check_threads
from single_rs.export.analysis import write_analysis
from single_rs.io import writable_folder, write_array, write_map, write_stack, write_text
from single_rs.store.codecs import encode, read_record, write_record
from single_rs.store.tables import text_cell
from strained import ball

PROGRAM = "import sys; from single_rs.cli import main; sys.exit(main())"


def _shell(command, cwd, **environment):
    """Run a line of bash in which ``sr`` is the program; return exit code, output and errors."""
    script = f'sr() {{ "{sys.executable}" -c \'{PROGRAM}\' "$@"; }}\n{command}'
    done = subprocess.run(["bash", "-c", script], cwd=cwd, env={**os.environ, **environment}, capture_output=True)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def _one_line(err):
    assert err.count("\n") == 1, err
    assert err.startswith("single-rs: ")
    assert "Traceback" not in err
    return err


LONG = "a" * 5000


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("sr config >&-", "standard output is closed"),
        ("sr config > /dev/full", "cannot write the output: No space left on device"),
        ("sr config --help > /dev/full", "cannot write the output: No space left on device"),
        (f"sr config --config {LONG}.toml", "File name too long"),
        (f"sr motion {LONG}.mrc --out x", "File name too long"),
        (f"sr simulate {LONG}/a.mrc", "File name too long"),
        ("RAYON_NUM_THREADS=abc sr config", "RAYON_NUM_THREADS is abc"),
        ("RAYON_NUM_THREADS=100000 sr config", "at most"),
        (
            "sr run x.mrc --element Pt --out y --threads 100000",
            "--threads is 100000; a number of at least 1 and at most",
        ),
        ("sr run x.mrc --element Pt --out ''", "--out is empty"),
        ("sr run x.mrc --element Pt --out=", "--out is empty"),
        ("sr run '' --element Pt --out y", "is empty"),
        ("sr config --config deep.toml", "deep.toml is not TOML"),
        ("sr config --config /dev/zero", "more than 1,048,576 bytes"),
        ("sr config --config digits.toml", "digits.toml is not TOML"),
        (f"sr config --track.max-gap {'[' * 5000}", "track.max_gap"),
        (f"sr config --orient.search-resolution 1{'0' * 400}", "accepted: float"),
        ("sr config --track.max-gap 3 --track.max-gap.x 3", "both given"),
    ],
)
def test_faults_of_input_and_machine_are_exit_2(tmp_path, command, expected):
    (tmp_path / "deep.toml").write_text("a = " + "[" * 50_000 + "]" * 50_000)
    (tmp_path / "digits.toml").write_text("a = " + "1" * 5000)
    before = sorted(tmp_path.iterdir())
    code, out, err = _shell(command, tmp_path)
    assert (code, out) == (2, "")
    assert expected in _one_line(err)
    assert sorted(tmp_path.iterdir()) == before


def test_a_closed_standard_error_changes_nothing(tmp_path):
    words = "simulate s --kind stack --frames 2 --diameter 12"
    code, out, _ = _shell(f"sr {words} 2>&-", tmp_path)
    assert code == 0
    assert "2 frames" in out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.mrcs", "s_truth.npz", "s_truth.xyz"]
    assert _shell("sr config --config absent.toml 2>&-", tmp_path)[0] == 2


@pytest.mark.parametrize("to", ["> >(head -c 1 > /dev/null)", "2> /dev/full", "2> >(true)"])
def test_progress_that_nobody_reads_does_not_end_the_work(tmp_path, to):
    code, _, _ = _shell(f"sr simulate s --kind stack --frames 2 --diameter 12 {to}", tmp_path)
    assert code == 0
    assert (tmp_path / "s_truth.xyz").exists()


def test_redirected_output_is_utf8_in_a_locale_without_characters(tmp_path):
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for command in ("sr --help", "sr config", "sr track --help"):
        code, out, err = _shell(command, tmp_path, **plain)
        assert (code, err) == (0, "")
        assert "\\x" not in out
        assert "\ufffd" not in out
        assert "Å" in out or command != "sr config"
    code, _, err = _shell("sr simulate Å --kind stack --frames 0", tmp_path, **plain)
    assert code == 2
    _one_line(err)


def test_too_little_memory_is_said(tmp_path):
    """Enough for Python and the command line, too little for the libraries: OpenBLAS would wait for ever."""
    for kind, megabytes in (("-v", 200), ("-v", 250), ("-d", 100)):
        code, _, err = _shell(f"ulimit {kind} {megabytes * 1024}; sr trace m.mrc --element Pt --out out", tmp_path)
        assert code == 2
        assert f"the shell allows {megabytes << 20:,} bytes" in _one_line(err)


@pytest.mark.parametrize(
    ("raised", "code", "expected"),
    [
        (MemoryError("Unable to allocate 5.2 GiB"), 2, "out of memory: Unable to allocate 5.2 GiB"),
        (OSError(28, "No space left on device", "/x/y.mrc"), 2, "/x/y.mrc: No space left on device"),
        (OSError(12, "Cannot allocate memory"), 2, "out of memory"),
        (ImportError("libx.so: failed to map segment"), 2, "a library cannot be loaded"),
        (RecursionError("maximum recursion depth exceeded"), 1, "internal error, RecursionError"),
        (ZeroDivisionError("division by zero"), 1, "internal error, ZeroDivisionError: division by zero"),
        (KeyError("two\nlines"), 1, "internal error, KeyError"),
    ],
)
def test_what_a_stage_raises_is_one_line_and_a_defect_has_its_trace_in_a_file(
    tmp_path, capsys, monkeypatch, raised, code, expected
):
    def broken(path):
        raise raised

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(commands, "settings_of", broken)
    assert main(["motion", "x.mrc", "--out", str(tmp_path / "out")]) == code
    assert expected in _one_line(capsys.readouterr().err)
    logs = list(tmp_path.glob("single_rs_*.log"))
    assert len(logs) == (code == 1)
    for log in logs:
        text = log.read_text()
        assert "Traceback" in text
        assert "'motion', 'x.mrc'" in text


def test_a_defect_without_room_for_its_log_is_still_one_line(tmp_path, capsys, monkeypatch):
    def broken(path):
        raise ZeroDivisionError

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    monkeypatch.setattr(commands, "settings_of", broken)
    assert main(["motion", "x.mrc", "--out", "out"]) == 1
    assert "in test_one_line.py, line" in _one_line(capsys.readouterr().err)


def test_a_panic_of_the_kernels_is_a_defect_in_one_line(tmp_path, capsys, monkeypatch):
    """PyO3's PanicException is no `Exception`."""

    class Panic(BaseException):
        pass

    def broken(path):
        raise Panic("index out of bounds")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(commands, "settings_of", broken)
    assert main(["motion", "x.mrc", "--out", "out"]) == 1
    assert "index out of bounds" in _one_line(capsys.readouterr().err)


def test_deep_json_is_refused_by_its_name(tmp_path):
    path = tmp_path / "summary.json"
    path.write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(OSError, match=r"summary\.json cannot be read"):
        read_record(path, ParticleSummary)


def test_names_that_are_not_utf_8_can_be_written(tmp_path):
    name = os.fsdecode(b"sample \xff")
    record = ParticleSummary(element=name, reasons=("Å",))
    write_record(tmp_path / "a.json", record)
    assert read_record(tmp_path / "a.json", ParticleSummary) == record
    write_text(tmp_path / "a.txt", name)
    assert (tmp_path / "a.txt").read_text() == "sample \\udcff"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1+1", "\r=1"])
def test_a_text_cell_is_no_formula(text):
    assert text_cell(text) == f"'{text}"
    assert text_cell("a" + text) == "a" + text


def test_the_folders_of_a_comparison_are_no_formulas(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("=cmd|1", "@b"):
        write_analysis(Path(name), analyze(ball(120), "Pt"), ())
    assert main(["compare", "=cmd|1", "@b", "--out", "out"]) == 0
    with open("out/compare.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 3
    for row in rows[1:]:
        assert row[1].startswith("'")
        assert all(not cell.startswith(("=", "+", "@")) for cell in row)


@pytest.mark.parametrize("text", ["0", "-1", "1e3", "٣", "abc", " 2", "99999999999999999999"])
def test_numbers_of_threads_that_are_none(text):
    with pytest.raises(InputError, match="--threads is"):
        check_threads(text, "--threads")
    check_threads("8", "--threads")


def test_an_empty_name_is_no_folder():
    with pytest.raises(InputError, match="empty name"):
        writable_folder("")


@pytest.mark.parametrize(
    ("lattice", "index"),
    [
        ({"lattice": {"cell": "x"}}, "x"),
        ({"lattice": {"parameters": {"a": "<b>"}}}, [0, "b"]),
        ({"lattice": "x"}, [0, 10**30]),
        ({"expansion": {"mean": [1]}}, [-1, 2]),
        ({"lattice": {"domains": "ab"}}, [[0]]),
        ({"lattice": {"origin": [1, 2]}}, {"a": 1}),
    ],
)
def test_text_where_numbers_belong_is_named_in_the_report(tmp_path, capsys, lattice, index):
    part = tmp_path / "particle_00"
    part.mkdir()
    write_record_of(tmp_path, {"particle_00": "doubtful"})
    write_stack(part / "stack.mrcs", np.ones((9, 16, 16), np.int8), 0.4)
    write_array(part / "clean_examples.npy", np.zeros((2, 16, 16), np.float32))
    head = {"type": "CleanExamples", "schema": 1}
    (part / "clean_examples.json").write_text(json.dumps({**head, "index": index}))
    found = {"type": "LatticeRecord", "schema": 2, **encode(lattice_record(fit_lattice(ball(60), "fcc")))}
    for name, value in lattice.items():
        found[name] = {**found[name], **value} if isinstance(value, dict) and found[name] else value
    (part / "lattice.json").write_text(json.dumps(found))
    assert main(["report", str(tmp_path)]) == 0, capsys.readouterr().err
    page = (tmp_path / "report.html").read_text()
    assert "lattice.json cannot be read" in page
    assert "clean_examples.json cannot be read" in page


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_map_of_one_value_yields_no_strain_from_its_phases(tmp_path, capsys, value):
    write_analysis(tmp_path, analyze(ball(150), "Pt", box=64, pixel_size=0.5), ())
    write_map(tmp_path / "map.mrc", np.full((64, 64, 64), value), 0.5)
    assert main(["analyze", str(tmp_path / "atoms.xyz"), "--out", str(tmp_path / "out")]) == 0
    assert "no strain from the phases of the map: density is" in capsys.readouterr().out


def test_warnings_of_libraries_stay_off_the_terminal():
    code = (
        "import sys; sys.argv[1:] = ['config']; from single_rs.cli import main; main()\n"
        "import numpy as np; assert np.log(np.zeros(1))[0] == -np.inf"
    )
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
