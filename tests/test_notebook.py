"""In a notebook: bars by default, none where someone else listens, and atoms and densities in 3D."""

from __future__ import annotations

import html
import pickle
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import single_rs as sr
from single_rs.base.errors import InputError
from single_rs.base.progress import CellBars, Progress, in_notebooks, silent


class Cell:
    """What IPython's display is given."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def display(self, data: dict[str, str], raw: bool = False, display_id: bool = False) -> SimpleNamespace:
        assert raw
        self.shown.append(data)
        return SimpleNamespace(update=lambda data, raw: self.shown.append(data))


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    """A kernel: what `get_ipython` gives has one, and `display` keeps what it is given."""
    found = Cell()
    shell = SimpleNamespace(kernel=object())
    fake = SimpleNamespace(get_ipython=lambda: shell, display=SimpleNamespace(display=found.display))
    monkeypatch.setitem(sys.modules, "IPython", fake)
    return found


@in_notebooks
def count(total: int, progress: Progress | None = None) -> Progress | None:
    """Return who listens."""
    return progress


@in_notebooks
def around(total: int, progress: Progress | None = None) -> list[Progress | None]:
    """Return who listens to this and to what it calls."""
    return [progress, count(total)]


def test_bars_are_drawn_in_a_kernel_alone(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(count(3), CellBars)
    assert isinstance(count(3, None), CellBars)
    assert count(3, silent) is silent
    assert count(total=3, progress=silent) is silent
    with pytest.raises(TypeError, match="missing"):
        count()
    outer, inner = around(3)
    assert isinstance(outer, CellBars)
    assert inner is None
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: SimpleNamespace())  # a terminal
    assert count(3) is None
    monkeypatch.delitem(sys.modules, "IPython")
    assert count(3) is None


def test_work_that_takes_long_has_a_bar_with_the_time_that_is_left(cell: Cell) -> None:
    now = [0.0]
    bars = CellBars(cell.display, clock=lambda: now[0])
    bars("orient", 0, 4)
    assert not cell.shown  # short work draws nothing
    now[0] = 10.0
    bars("orient", 1, 4)
    now[0] = 10.1
    bars("orient", 2, 4)  # too soon after the last
    now[0] = 20.0
    bars("<refine>", 2, 2)
    assert [data["text/plain"] for data in cell.shown] == [
        "orient: 1 of 4, 10 s, about 30 s left",
        "<refine>: 2 of 2, 0 s",
    ]
    last = cell.shown[-1]["text/html"]
    assert '<progress value="2" max="4" aria-label="orient">' in last
    assert "&lt;refine&gt;" in last
    for k in range(20):
        bars(f"particle_{k:02d} orient", 1, 1)
    assert cell.shown[-1]["text/html"].count("<progress") == 12
    assert "10 stages before" in cell.shown[-1]["text/html"]


def test_every_public_function_that_takes_long_has_bars(cell: Cell) -> None:
    names = [name for name in sr.__all__ if "progress" in getattr(getattr(sr, name), "__annotations__", {})]
    assert {"run", "solve", "batch", "find_poses", "refine_atoms", "clean_stack", "simulate_movie"} <= set(names)
    for name in names:
        function = getattr(sr, name)
        assert function.__wrapped__ is not None, name
        assert pickle.loads(pickle.dumps(function)) is function  # as executors send it


def test_atoms_particles_and_densities_are_seen_in_3d() -> None:
    crystal = sr.nanocrystal("Pt", 12.0, seed=1)
    particle = sr.analyze(crystal.positions, "Pt")
    axis = (np.arange(24) - 12) * 0.8
    density = np.exp(-np.square(np.stack(np.meshgrid(axis, axis, axis))).sum(0) / 20).astype(np.float32)
    half = sr.Density(density, density, density, 0.8, np.ones(12), np.arange(12) / 19.2, 1.6)
    count = len(crystal.positions)
    for record, said, parts in (
        (particle, f"{count} atoms", ("Radial strain", "Coordination", "Look along [110]")),
        (particle.atoms, f"{count} atoms", ("Element",)),
        (half, "density", ("Level",)),
    ):
        seen = record.view()
        assert repr(seen) == f"View({said}; a notebook draws it)"
        frame = seen._repr_html_()
        assert 'sandbox="allow-scripts allow-downloads"' in frame
        page = html.unescape(re.search(r'srcdoc="([^"]*)"', frame)[1])
        assert page == seen.page
        assert all(part in page for part in parts)
        assert "default-src 'none'" in page
        assert len(frame) < 400_000
    with pytest.raises(InputError, match="Lattice has no 3D view"):
        particle.lattice.view()


def test_results_of_a_run_show_themselves(tmp_path) -> None:
    from report_run import write_run
    from single_rs.analysis import ParticleSummary
    from single_rs.pipeline.entry import ParticleResult, RunResult
    from single_rs.store.codecs import read_record

    folder = write_run(tmp_path / "run")
    made = [
        ParticleResult.from_summary(folder / name, read_record(folder / name / "summary.json", ParticleSummary))
        for name in ("particle_00", "particle_01")
    ]
    page = RunResult(folder, tuple(made))._repr_html_()
    assert page.count("<tr>") == 3
    assert "confidence 0.97" not in page  # one reason each
    assert "both half sets give the same atoms" in page
    shown = made[0]._repr_html_()
    assert "confidence 0.97 &amp; &lt;rising&gt;" in shown
    assert "<iframe" in shown
    assert repr(made[0].view()) == "View(201 atoms and density; a notebook draws it)"
    assert "<iframe" not in made[1]._repr_html_()
    with pytest.raises(InputError, match="neither atoms nor a map"):
        made[1].view()
