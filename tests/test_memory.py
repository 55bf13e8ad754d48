"""Memory: estimates that bound what was measured, a limit that is kept, and one line where it cannot be."""

from __future__ import annotations

import resource
import subprocess
import sys

import numpy as np
import pytest

from single_rs.base.errors import InputError
from single_rs.base.memory_limit import memory_limit, movie_memory, parse_size, require_memory, stack_memory
from single_rs.cli import main
from single_rs.io import Movie, write_stack
from single_rs.motion import correct_motion

MB = 10**6


@pytest.mark.parametrize(
    ("text", "size"),
    [("4G", 4e9), ("800M", 8e8), ("1.5 GB", 1.5e9), ("2GiB", 2e9), ("700000k", 7e8), ("1000000000", 1e9)],
)
def test_sizes_as_people_write_them(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1G", "4X", "1e9", "G", "nan"])
def test_what_is_no_size(text):
    with pytest.raises(InputError, match="--memory is"):
        parse_size(text)


@pytest.mark.parametrize(
    ("frames", "box", "peak"),
    [(120, 128, 603), (500, 128, 656), (1000, 128, 715), (2000, 128, 902), (60, 176, 896)],
)
def test_the_estimate_of_a_stack_bounds_what_was_measured_by_no_more_than_a_quarter(frames, box, peak):
    assert peak * MB <= stack_memory(frames, box) <= 1.25 * peak * MB


@pytest.mark.parametrize(("side", "peak"), [(512, 281), (2048, 491)])
def test_the_estimate_of_a_movie_bounds_what_was_measured_by_no_more_than_a_quarter(side, peak):
    assert peak * MB <= movie_memory(side, side) <= 1.25 * peak * MB


def test_a_limit_is_kept_and_taken_back():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory_limit(3_000 * MB):
        np.ones(10 * MB)
        with pytest.raises(MemoryError):
            np.ones(1_000 * MB)
        with pytest.raises(InputError, match=r"a stack needs up to 4\.0 GB, --memory allows 3\.0 GB"):
            require_memory("a stack", 4_000 * MB)
        require_memory("a stack", 2_000 * MB)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    with memory_limit(None):
        assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_without_a_limit_too_little_is_a_warning(caplog):
    require_memory("a stack", 10**15)
    assert "a stack needs up to 1000000.0 GB of memory" in caplog.text


def test_a_movie_that_cannot_be_held_is_refused_before_it_is_read():
    class Unread:
        shape, pixel_size = (10, 40_000, 40_000), 0.4

        def read(self, start, stop):
            pytest.fail("a frame was read")

    with memory_limit(3_000 * MB), pytest.raises(InputError, match="40000 × 40000 px needs up to"):
        correct_motion(Unread())


def test_the_command_line_takes_a_limit_and_says_in_one_line_what_it_cannot_keep(tmp_path, capsys):
    counts = np.random.default_rng(0).poisson(8, (12, 96, 96)).astype(np.uint16)
    write_stack(tmp_path / "m.mrc", counts, 0.4)
    words = ["motion", str(tmp_path / "m.mrc"), "--out", str(tmp_path / "out")]
    assert main([*words, "--memory", "3G"]) == 0
    capsys.readouterr()
    for value, expected in (("100M", "give more"), ("x", "a size is needed"), ("", "is empty")):
        assert main([*words, "--memory", value]) == 2
        err = capsys.readouterr().err
        assert expected in err
        assert err.count("\n") == 1
    assert main([*words, "--memory"]) == 2
    assert "--memory needs a value" in capsys.readouterr().err
    # Movie.from_array is read as it is: the limit ended with the command.
    assert correct_motion(Movie.from_array(counts, 0.4)).shifts.shape == (12, 2)


def test_less_memory_than_the_libraries_take_is_refused_and_not_tried():
    code = (
        "import resource, sys\n"
        "from single_rs.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_AS, (250_000_000, 250_000_000))\n"
        "sys.exit(main(['solve', 'none.mrcs', '--element', 'Pt', '--out', 'none']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("single-rs: the shell allows 250,000,000 bytes of memory (ulimit -v)")
    assert done.stderr.count("\n") == 1
