"""A run that starts from the user's own paths: cut where they say, resumed like any other.

What is solved afterwards is a stand-in that notes what it was given.
"""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from single_rs.cli import main
from single_rs.pipeline import entry, stages
from single_rs.pipeline.config import load_config
from single_rs.records import Track
from single_rs.simulate import nanocrystal, simulate_movie
from single_rs.store.read import load_stack

QUIET = {"report.enabled": "false"}


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """A movie of one particle."""
    path = tmp_path_factory.mktemp("movie") / "m.mrc"
    return simulate_movie(
        path, [nanocrystal("Pt", 12.0, seed=3)], 30, shape=(112, 120), pixel_size=0.4, dose=20.0, seed=3
    )


@pytest.fixture
def solved(monkeypatch):
    """Keys of the stacks that were solved; no path is searched for."""
    keys: list[str] = []

    def solve_track(job, name, stack, key, spare):
        keys.append(key)
        return []

    def never(*args, **keywords):
        raise AssertionError("the paths are given")

    monkeypatch.setattr(stages, "find_tracks", never)
    monkeypatch.setattr(entry, "solve_track", solve_track)
    return keys


def test_a_run_starts_from_the_paths_that_are_given(tmp_path, truth, solved, capsys):
    x, y = np.round((truth.centres + truth.drift[:, None])[4:24, 0], 3).T
    table, out = tmp_path / "mine.csv", tmp_path / "out"
    rows = [f"0,{frame},{x[k]},{y[k]}" for k, frame in enumerate(range(4, 24))]
    table.write_text("\n".join(["particle,frame,x_px,y_px", *rows]) + "\n")
    words = ["run", str(truth.path), "--element", "Pt", "--out", str(out), "--tracks", str(table)]
    words += ["--report.enabled", "false"]
    assert main(words) == 2
    assert "give --diameter in Å" in capsys.readouterr().err
    assert not out.exists()
    words += ["--diameter", "12"]
    assert not main(words)
    stack = load_stack(out / "particle_00" / "stack.mrcs")
    assert set(stack.frames) <= set(range(4, 24))
    assert len(stack) >= 15
    assert stack.diameter == 12
    record = json.loads((out / "run.json").read_text())
    assert record["input"]["reading"]["tracks"] == [str(table)]
    # The same paths are the same run, from a file or as an object; others are not.
    assert not main(words)
    track = Track(np.arange(4, 24), x, y, np.full(20, 12**-0.5), 12.0, 0.0)
    config = load_config(None, QUIET)
    entry.run(truth.path, "Pt", out, None, config, tracks=[track])
    assert len(set(solved)) == 1
    assert json.loads((out / "run.json").read_text())["stages"]["particle_00/stack"]["reused"]
    half = dataclasses.replace(track, frames=track.frames[:10], x=x[:10], y=y[:10], sigma=track.sigma[:10])
    entry.run(truth.path, "Pt", out, None, config, tracks=half)
    assert len(set(solved)) == 2
    assert load_stack(out / "particle_00" / "stack.mrcs").frames.max() < 14
    done = json.loads((out / "run.json").read_text())["stages"]
    assert done["motion"]["reused"]
    assert not done["track"]["reused"]
