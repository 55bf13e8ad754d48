"""Atoms against time: numbers, survival, and what is read of the files about states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from changing import files_of_two_states, write_states
from single_rs.analysis.survival import atoms_in_time, survival, survival_by_coordination, survival_by_site
from single_rs.base.errors import DataFileError, InputError
from single_rs.plots.states import plot_states
from single_rs.report.film import FATES, film_data
from single_rs.report.states import StateFiles, read_states, states_figure
from single_rs.store.states import MovedTable, StatesRecord, TimelineTable, read_trajectory
from single_rs.store.tables import read_table


def test_the_number_of_atoms_has_the_errors_of_their_dates():
    frames = np.array([0, 99, 200, 399])
    first, last = np.zeros(50), np.r_[np.full(20, 99.0), np.full(30, 399.0)]
    count, error = atoms_in_time(frames, first, np.zeros(50), last, np.r_[np.full(20, 10.0), np.zeros(30)])
    assert count == pytest.approx([50, 30 + 20 * 0.52, 30, 30], abs=0.1)
    assert error == pytest.approx([0, np.sqrt(20 * 0.25), 0, 0], abs=0.05)


def test_survival_is_that_of_kaplan_and_meier():
    # Textbook: of 10, two leave at 9, one at 19 of 7 that are left (one was lost at 14), and so on.
    last = np.array([9, 9, 14, 19, 29, 39, 39, 39, 39, 39])
    left = np.array([1, 1, 0, 1, 0, 0, 0, 0, 0, 0], bool)
    found = survival("all", np.zeros(10), last, left)
    assert found.frames.tolist() == [0, 10, 20]
    assert found.share == pytest.approx([1, 0.8, 0.8 * 6 / 7])
    greenwood = found.share[2] * np.sqrt(2 / (10 * 8) + 1 / (7 * 6))
    assert found.error == pytest.approx([0, np.sqrt(0.8 * 0.2 / 10), greenwood])
    everyone = survival("all", np.zeros(3), np.full(3, 50), np.ones(3, bool))
    assert (everyone.share[-1], everyone.error[-1]) == (0, 0)
    with pytest.raises(InputError, match="no atoms"):
        survival("none", [], [], [])


def test_sites_are_grouped_by_their_neighbours():
    near = [12] * 5 + [9] * 4 + [5, 4, 3] + [7, 7]
    groups = survival_by_coordination(near, np.zeros(14), np.full(14, 9), np.zeros(14, bool))
    assert [(g.name, g.count) for g in groups] == [("5 or fewer", 3), ("9 neighbours", 4)]
    kinds = ["bulk"] * 5 + ["terrace 111"] * 4 + ["corner"] * 3 + ["unknown"] * 2
    facet, corner = survival_by_site(kinds, np.zeros(14), np.full(14, 9), np.arange(14) == 9)
    assert (facet.name, facet.count, facet.share.tolist()) == ("terrace 111", 4, [1])
    assert (corner.name, corner.count, corner.share[-1]) == ("corner", 3, pytest.approx(2 / 3))


def test_the_film_has_each_stretch_and_the_fate_of_each_atom():
    found = files_of_two_states()
    film = film_data(found)
    assert [step["name"].split(":")[0] for step in film["steps"]] == [
        "frames 0 to 99", "frames 100 to 199", "frames 200 to 299"
    ]  # fmt: skip
    assert film["steps"][1]["positions"][2] is None
    assert film["steps"][0]["positions"] == film["steps"][2]["positions"]
    assert "2 atoms, doubtful" in film["steps"][1]["name"]
    (fate,) = film["colourings"]
    assert [FATES[k][0] for k in fate["values"]] == ["always there", "moves", "leaves"]
    assert film_data(StateFiles(StatesRecord(found.record.states[:1], (), 0), found.timeline, found.steps[:1])) is None


def test_states_are_drawn_against_time():
    axes = states_figure(replace(files_of_two_states(), energies=((-0.2, 0.01), None)))
    atoms, cell, lasting, sites, strain, energy = np.ravel(axes)
    assert (atoms.get_ylabel(), lasting.get_ylabel()) == ("Atoms", "Still there (%)")
    assert (cell.get_ylabel(), strain.get_ylabel()) == ("Lattice constants (Å)", "Mean radial strain (%)")
    assert not sites.axison  # no kind of site has three atoms
    assert {tuple(line.get_ydata()) for line in energy.lines if len(line.get_ydata()) == 2} == {(-0.2, -0.2)}
    times, counts = atoms.lines[0].get_data()
    assert counts[times == 0] == pytest.approx(3)
    assert counts[times == 250] == pytest.approx(2)
    assert {tuple(line.get_ydata()) for line in cell.lines if len(line.get_ydata()) == 2} == {(3.9, 3.9)}
    nothing = np.full((1, 3), np.nan)
    one = [np.nan], [np.nan]
    assert plot_states(([0, 9], [1, 1], [0, 0]), [(0, 9, 0)], (nothing, nothing), one, one, ([], [])).size == 6


def test_what_is_written_of_states_is_read_again(tmp_path):
    found = files_of_two_states()
    write_states(tmp_path, found, np.array([1.0, 2.0, 3.0]))
    again = read_states(tmp_path)
    for name in TimelineTable.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again.timeline, name), getattr(found.timeline, name))
    assert again.record == found.record
    assert again.energies == (None, None)
    moved = read_table(tmp_path / "moved.csv", MovedTable)
    assert (moved.id.tolist(), moved.moved.tolist()) == ([1], [[0, 1, 0]])
    for step, known in zip(again.steps, found.steps, strict=True):
        assert step.frames == known.frames
        assert step.numbers.tolist() == known.numbers.tolist()
        assert step.symbols.tolist() == known.symbols.tolist()
        assert step.positions == pytest.approx(known.positions + np.array([1, 2, 3]))
        assert step.sigma == pytest.approx(known.sigma)


@pytest.mark.parametrize(
    "text",
    ["", "id,element\n", "id,element,first,first_err,last,last_err,core,coordination,site\n0,Pt,a,0,9,0,1,2,edge\n"],
)
def test_a_broken_timeline_is_one_line(tmp_path, text):
    (tmp_path / "timeline.csv").write_text(text)
    with pytest.raises(DataFileError, match=r"timeline\.csv"):
        read_table(tmp_path / "timeline.csv", TimelineTable)
    (tmp_path / "trajectory.xyz").write_text(text)
    with pytest.raises(DataFileError, match=r"trajectory\.xyz"):
        read_trajectory(tmp_path / "trajectory.xyz")
