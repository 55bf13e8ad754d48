"""A disk without room: every writer says so in one line, leaves no half file, and never writes where it cannot look.

The limit on the size of a file (RLIMIT_FSIZE; Python ignores its signal) makes `write` and `posix_fallocate` fail as a
full disk does, needs no mount and works for root; `benches/faults.py` repeats it on file systems that are full.
"""

from __future__ import annotations

import ast
import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest

import single_rs
from single_rs.analysis.analyze import analyze
from single_rs.base.errors import InputError, WriteError
from single_rs.export.analysis import write_analysis
from single_rs.export.formats import FORMATS
from single_rs.io import atomic, read_map, remove_partials, require_space, write_array, write_map, write_stack
from single_rs.io.mrc import mrc_writer
from single_rs.io.vtk import write_vti
from single_rs.records import Atoms
from single_rs.simulate import nanocrystal, simulate_movie, simulate_stack
from strained import ball, density

PACKAGE = Path(single_rs.__file__).parent


@contextlib.contextmanager
def largest_file(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _simulated_movie(folder):
    simulate_movie(folder / "m.mrc", [nanocrystal("Pt", 12.0, seed=1)], 2, shape=(96, 96), seed=1)


def _simulated_stack(folder):
    simulate_stack(nanocrystal("Pt", 12.0, seed=1), 2, box=80, seed=1).write(folder / "s")


CUBE = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
WRITERS = {
    "map": lambda folder: write_map(folder / "m.mrc", CUBE, 0.4),
    "stack": lambda folder: write_stack(folder / "s.mrcs", CUBE, 0.4),
    "small array": lambda folder: write_array(folder / "a.npy", CUBE[0, 0]),
    "array": lambda folder: write_array(folder / "a.npy", CUBE),
    "vti": lambda folder: write_vti(folder / "v.vti", {"density": CUBE}, 0.4),
    "simulated movie": _simulated_movie,
    "simulated stack": _simulated_stack,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_writer_without_room_says_so_and_leaves_nothing(tmp_path, name):
    whole = tmp_path / "whole"
    whole.mkdir()
    WRITERS[name](whole)
    expected = _files(whole)
    sizes = sorted(map(len, expected.values()))
    for limit in {0, sizes[0] // 2, sizes[0] - 1, sizes[-1] - 1}:
        folder = tmp_path / str(limit)
        folder.mkdir()
        with (
            largest_file(limit),
            pytest.raises(WriteError, match=r"^cannot write .*; check the folder and free space$"),
        ):
            WRITERS[name](folder)
        for file, content in _files(folder).items():  # those before the one that found no room
            assert content == expected[file]


def test_every_file_of_an_analysis_is_whole_or_absent(tmp_path):
    x = ball(150)
    atoms = Atoms(x, np.full(len(x), "Pt"), *np.ones((4, len(x))))
    model = analyze(atoms, "Pt", box=64, pixel_size=0.5, density=density(x, 64, 0.5))
    write_analysis(tmp_path / "whole", model, tuple(FORMATS), volumes=True)
    expected = _files(tmp_path / "whole")
    sizes = sorted({len(content) for content in expected.values()})
    assert {Path(name).suffix for name in expected} >= {".cif", ".csv", ".json", ".mrc", ".pdb", ".vti", ".xyz"}
    for rank in np.linspace(0, len(sizes) - 1, 12).astype(int):
        folder = tmp_path / str(rank)
        with largest_file(sizes[rank] - 1), pytest.raises(WriteError, match="cannot write"):
            write_analysis(folder, model, tuple(FORMATS), volumes=True)
        for file, content in _files(folder).items():
            assert content == expected[file], file


def test_room_is_asked_for_before_the_first_frame_is_made(tmp_path):
    with largest_file(4096), pytest.raises(WriteError):  # noqa: SIM117  (the body must not be reached)
        with mrc_writer(tmp_path / "m.mrc", (100, 64, 64), np.dtype("i1"), 0.4):
            pytest.fail("the room of the whole file was not reserved")
    assert not list(tmp_path.iterdir())


def test_a_file_that_got_too_few_frames_is_none(tmp_path):
    with pytest.raises(InputError, match="4096 values"):  # noqa: SIM117
        with mrc_writer(tmp_path / "m.mrc", (2, 64, 64), np.dtype("i1"), 0.4) as put:
            put(np.zeros((1, 64, 64), np.int8))
    assert not list(tmp_path.iterdir())


def test_values_that_float32_cannot_hold_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not hold"):
        write_stack(tmp_path / "s.mrcs", np.full((2, 4, 4), 1e300), 0.4)


@pytest.mark.parametrize("kind", ["i1", "i2", ">i2", "u2", "f2", "f4", ">f4", "f8"])
@pytest.mark.parametrize("volume", [True, False])
def test_mrc_files_are_what_mrcfile_reads(tmp_path, kind, volume):
    data = np.random.default_rng(1).integers(0, 10, (5, 6, 8)).astype(kind)
    path = tmp_path / ("m.mrc" if volume else "m.mrcs")
    (write_map if volume else write_stack)(path, data, 0.358)
    assert mrcfile.validate(path)
    with mrcfile.open(path) as mrc:
        np.testing.assert_array_equal(mrc.data, data)
        assert bool(mrc.is_volume()) is volume
        assert float(mrc.voxel_size.x) == pytest.approx(0.358, rel=1e-7)
        assert float(mrc.voxel_size.z) == pytest.approx(0.358, rel=1e-7)
        assert mrc.header.rms == pytest.approx(data.astype(float).std(), rel=1e-6)
    assert read_map(path)[1] == 0.358


def test_no_writer_goes_through_a_memory_map_or_a_library_that_does_not_look():
    """A mapped page without a block is SIGBUS; numpy.save, tofile and gemmi's write_file lose the last bytes."""
    blind = {"new_mmap", "open_memmap", "memmap", "tofile", "write_file"}
    allowed = {
        ("io/atomic.py", "save"),  # into a buffer
        ("io/mrc_read.py", "memmap"),  # reads
        ("io/tiff.py", "memmap"),  # reads
    }
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            numpy_save = (
                node.func.attr == "save" and isinstance(node.func.value, ast.Name) and node.func.value.id == "np"
            )
            if node.func.attr in blind or numpy_save:
                found.add((path.relative_to(PACKAGE).as_posix(), node.func.attr))
                assert not any(isinstance(a, ast.Constant) and a.value in ("w+", "r+") for a in node.args), path
    assert found <= allowed, found - allowed


def test_two_processes_never_share_a_half_written_file(tmp_path):
    with atomic(tmp_path / "x.txt") as one, atomic(tmp_path / "x.txt") as two:
        assert one != two
        assert str(os.getpid()) in one.name
        assert one.suffix == ".txt"
        one.write_text("one")
        two.write_text("two")
    assert (tmp_path / "x.txt").read_text() == "one"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_what_a_killed_process_left_is_found_and_nothing_else(tmp_path):
    code = (
        "import os, sys; from single_rs.io import atomic\n"
        "with atomic(sys.argv[1]) as partial: partial.write_text('half'); os.kill(os.getpid(), 9)"
    )
    (tmp_path / "a").mkdir()
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a" / "map.mrc")])
    (tmp_path / "mine.partial.txt").write_text("of the user")
    (tmp_path / "map.mrc").write_text("whole")
    left = remove_partials(tmp_path)
    assert [p.parent.name for p in left] == ["a"]
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["map.mrc", "mine.partial.txt"]


def test_the_room_that_is_needed_is_said(tmp_path):
    require_space(tmp_path / "not" / "yet", 1000)
    with pytest.raises(WriteError, match=r"of free space, 1000000000\.0 GB are needed; make room"):
        require_space(tmp_path / "not" / "yet", 10**18)
