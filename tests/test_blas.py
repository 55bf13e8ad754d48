"""Results do not depend on the threads of the BLAS: every stage limits them, and gives back what was set before."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.linalg  # noqa: F401  (its BLAS is to be seen before the first stage runs)
from threadpoolctl import threadpool_info, threadpool_limits

from single_rs.analysis import analyze
from single_rs.background import clean_stack
from single_rs.base.blas import single_blas_thread
from single_rs.io import Movie
from single_rs.motion import correct_motion
from single_rs.records import ParticleStack
from single_rs.simulate import nanocrystal, simulate_stack
from strained import ball

STAGES = {
    "motion": "correct_motion",
    "track": "find_tracks",
    "track.cut": "extract_all",
    "background": "clean_stack",
    "orient": "find_poses",
    "reconstruction": "reconstruct",
    "atoms": "trace_atoms",
    "refine": "refine_atoms",
    "analysis": "analyze",
    "analysis.structure.survey": "survey_structure",
    "energy": "formation_energy",
    "compare": "compare_particles",
    "simulate": "simulate_movie",
    "simulate.stack": "simulate_stack",
    "validate": "validate_folder",
}


def _threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture
def three_threads():
    with threadpool_limits(3, "blas"):
        assert _threads() == {3}
        yield
        assert _threads() == {3}


@pytest.mark.parametrize("module", STAGES)
def test_every_stage_limits_the_blas(module):
    function = getattr(importlib.import_module(f"single_rs.{module}"), STAGES[module])
    assert inspect.unwrap(function) is not function


def _stack(progress):
    return simulate_stack(nanocrystal("Pt", 12.0, seed=1), 8, box=80, seed=1, progress=progress)


def _clean(progress):
    made = _stack(None)
    clean_stack(ParticleStack(made.images, 0.358, np.arange(8)), progress=progress)


def _motion(progress):
    counts = np.random.default_rng(0).poisson(8, (12, 96, 96)).astype(np.uint16)
    correct_motion(Movie.from_array(counts, 0.4), progress=progress)


@pytest.mark.parametrize("stage", [_stack, _clean, _motion, lambda tell: analyze(ball(60), "Pt", progress=tell)])
def test_inside_a_stage_there_is_one_thread(three_threads, stage):
    seen = []
    stage(lambda *words: seen.append(_threads()))
    assert seen
    assert all(threads == {1} for threads in seen)


def test_overlapping_blocks_of_two_threads_share_the_limit(three_threads):
    entered, leave = threading.Event(), threading.Event()

    def other():
        with single_blas_thread():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with single_blas_thread():
        thread.start()
        assert entered.wait(10)
    assert _threads() == {1}
    leave.set()
    thread.join()


def test_an_error_gives_the_threads_back(three_threads):
    with pytest.raises(ZeroDivisionError), single_blas_thread():
        raise ZeroDivisionError


MATRICES = """
import hashlib, sys, numpy as np, scipy.linalg
from single_rs.base.blas import single_blas_thread
m = np.random.default_rng(0).normal(size=(500, 500))
s = m + m.T + 100 * np.eye(500)
with single_blas_thread():
    for a in (np.linalg.eigh(s)[1], np.linalg.solve(s, m), m @ m, scipy.linalg.cho_factor(s)[0], np.linalg.svd(m)[1]):
        print(hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest())
"""

SOLVE = """
import hashlib, sys
from pathlib import Path
import single_rs as sr
from single_rs.pipeline.config import load_config
flags = {"orient.map_rounds": "1"}
flags |= {"orient.fallback_engine": "never", "refine.rounds": "1", "trace.rounds": "2", "report.enabled": "false"}
sr.solve(sys.argv[1], element="Pt", out=sys.argv[2], config=load_config(None, flags))
for path in sorted(p for p in Path(sys.argv[2]).rglob("*") if p.is_file()):
    if path.name not in ("manifest.json", "run.json", "run.log", "summary.json"):  # they hold times, or hashes of times
        print(path.relative_to(sys.argv[2]), hashlib.sha256(path.read_bytes()).hexdigest())
"""


def _said(code, threads, *words):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
    done = subprocess.run([sys.executable, "-c", code, *words], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_limit_within_the_process_gives_the_bytes_of_one_thread():
    """Without it all five differ between one thread and two."""
    one = _said(MATRICES, "1")
    assert len(set(one)) == 5
    assert _said(MATRICES, "2") == one


@pytest.mark.slow
def test_solve_gives_the_same_files_for_any_number_of_threads_of_the_blas(tmp_path):
    path = simulate_stack(nanocrystal("Pt", 13.0, seed=1), 100, box=80, dose=30.0, seed=1).write(tmp_path / "s")
    one, two = (_said(SOLVE, n, str(path), str(tmp_path / n)) for n in ("1", "2"))
    assert one == two
    assert any(line.startswith("particle_00/atoms.xyz") for line in one)
