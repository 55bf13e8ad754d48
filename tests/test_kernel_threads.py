"""The kernels' threads: a forked child makes its own, and a number of them that cannot be is refused in one line."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FORK = """
import multiprocessing, sys
import numpy as np
from single_rs import _core

plane = _core.HalfPlane(16, 1, 6)
images = np.random.default_rng(0).normal(size=(5, 16, 16)).astype(np.float32)

def pack(_):
    return plane.pack(images, np.zeros((5, 2), np.float32), 7.0, 1.0).tobytes()

if __name__ == "__main__":
    here = pack(0)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        there = pool.map_async(pack, range(4)).get(timeout=60)
    assert there == [here] * 4
    assert pack(0) == here
    print("same")
"""


def _run(code: str, threads: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")
def test_a_forked_child_runs_kernels_after_its_parent_did():
    done = _run(FORK, "2")
    assert done.stdout == "same\n", done.stderr


@pytest.mark.parametrize(("value", "number"), [("", os.cpu_count()), ("0", os.cpu_count()), ("1", 1), ("3", 3)])
def test_threads_are_those_asked_for(value, number):
    done = _run("from single_rs import _core; print(_core.threads())", value)
    assert done.stdout == f"{number}\n", done.stderr


@pytest.mark.parametrize("value", ["abc", "-1", "1.5", "100000", "9" * 30])
def test_a_number_of_threads_that_cannot_be_is_refused(value):
    done = _run("from single_rs import _core; _core.HalfPlane(16, 1, 6); print(_core.threads())", value)
    assert done.returncode == 1
    assert not done.stdout
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ValueError: RAYON_NUM_THREADS is {value}; ")
    assert "1 to" in last
