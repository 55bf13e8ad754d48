"""What a run is expected to cost, from the size of its stacks: said before it starts, counted down while it goes on."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from single_rs.base.memory_limit import movie_memory, stack_memory
from single_rs.cli.main import main
from single_rs.pipeline.estimate import (
    Estimate,
    MachineSpeed,
    WholeRun,
    duration,
    estimate_movie,
    estimate_particle,
    machine_speed,
)
from single_rs.pipeline.size import StackSize, stack_box
from single_rs.records import ParticleStack
from single_rs.simulate import nanocrystal, simulate_stack

REFERENCE = MachineSpeed(1.0, 1.0, 1)


def test_the_speed_of_this_machine_is_a_speed():
    speed = machine_speed()
    assert speed is machine_speed()
    assert math.isfinite(speed.one)
    assert speed.one > 0
    assert math.isfinite(speed.all)
    assert speed.all > 0
    assert speed.threads >= 1


def test_more_threads_shorten_the_parallel_share_alone():
    two = MachineSpeed(1.0, 2.0, 2)
    assert two.seconds("background", 10) == 10
    assert two.seconds("orient", 10) == pytest.approx(10 * (0.05 + 0.95 / 2))


def test_cost_grows_as_documented():
    size = StackSize(1000, 128, 2, 25.0)
    one = estimate_particle("p", size, "Pt", 10**6, REFERENCE)
    twice = estimate_particle("p", StackSize(2000, 128, 2, 25.0), "Pt", 10**6, REFERENCE)
    assert one.seconds["background"] * 2 == pytest.approx(twice.seconds["background"])
    assert one.seconds["orient"] == pytest.approx(10 + 22)
    # 25 Å of platinum, 4 atoms in 3.92³ Å³: 543 atoms.
    assert one.seconds["trace"] == pytest.approx(0.3 + 6.5e-3 * 543, rel=0.01)
    assert one.memory == stack_memory(1000, 128)
    assert one.total == sum(one.seconds.values())
    movie = estimate_movie((300, 1600, 1600), REFERENCE)
    assert movie.seconds["track"] == pytest.approx(92e-9 * 300 * 1600**2)
    assert movie.memory == movie_memory(1600, 1600)


def test_only_what_is_left_counts():
    whole = estimate_particle("p", StackSize(500, 96, 2, 20.0), "Au", 0, REFERENCE)
    left = whole.of(("analyze", "report"))
    assert set(left.seconds) == {"analyze", "report"}
    assert left.total < whole.total


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (45, "45 s"), (119, "119 s"), (150, "2.5 min"), (7199, "120 min"), (9000, "2.5 h"), (1e6, "278 h")],
)
def test_a_duration_is_told_in_two_digits(seconds, text):
    assert duration(seconds) == text


def test_the_whole_run_is_counted_in_expected_work():
    seen: list[tuple[str, int, int]] = []
    whole = WholeRun(lambda *call: seen.append(call))
    whole.expect("", Estimate("movie", {"motion": 8.0, "track": 2.0}, 0, 0))
    for stage in ("motion: statistics", "motion: reference"):
        whole(stage, 5, 10)
        whole(stage, 10, 10)
    whole("track", 10, 10)
    whole.expect(
        "particle_00", Estimate("one", {"background": 5.0, "orient": 10.0, "trace": 5.0, "report": 10.0}, 0, 0)
    )
    # The background was reused and reports nothing; it is done when a later stage is.
    whole("particle_00 orient", 5, 10)
    told = [call[1:] for call in seen if call[0] == "whole run"]
    assert told[-1] == (10 + 5 + 5, 40)
    whole("particle_00 atoms", 1, 2)
    whole.finish("particle_00")
    told = [call[1:] for call in seen if call[0] == "whole run"]
    assert told[-1] == (30, 40)
    whole.finish()
    told = [call[1:] for call in seen if call[0] == "whole run"]
    assert told[-1] == (40, 40)
    by_total = {total: [done for done, of in told if of == total] for _, total in told}
    assert all(done == sorted(done) for done in by_total.values())
    assert ("motion: statistics", 5, 10) in seen


def test_a_stack_of_unknown_diameter_fills_its_box():
    size = StackSize.of(ParticleStack(np.zeros((4, 128, 128), np.uint8), 0.36, np.arange(4)))
    assert (size.frames, size.box, size.itemsize) == (4, 128, 1)
    assert 24 < size.diameter < 27


@pytest.mark.slow
def test_solve_says_what_it_expects_before_it_starts(tmp_path, capsys):
    made = simulate_stack(nanocrystal("Pt", 10.0, seed=1), 40, box=64, pixel_size=0.4, dose=10.0, seed=1)
    path = tmp_path / "few.npy"
    np.save(path, made.images)
    arguments = ["solve", str(path), "--pixel-size", "0.4", "--element", "Pt", "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert lines[0].startswith("single-rs: expected: particle_00, 40 frames, about ")
    assert "GB of memory" in lines[0]
    assert "MB on disk" in lines[0]
    assert any(line.startswith("whole run: ") for line in lines)
    # What is finished is not expected again.
    assert main(arguments) == 0
    assert "expected" not in capsys.readouterr().err


def test_the_box_leaves_room_and_stays_in_the_field():
    movie = SimpleNamespace(pixel_size=0.4, shape=(10, 300, 300))

    def box(x, y, diameter=20.0):
        return stack_box(SimpleNamespace(x=np.full(10, x), y=np.full(10, y), diameter=diameter), movie)

    middle = box(150.0, 150.0)
    assert middle % 2 == 0
    assert middle * 0.4 >= 36
    near = box(40.0, 150.0)
    assert near <= 80 < middle
    # Not less than what background cleaning needs, even where frames will be lost.
    assert box(5.0, 150.0) * 0.4 >= 1.4 * 20
