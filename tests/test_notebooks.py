"""Every notebook of the documentation runs from its first cell to its last, and is kept with its outputs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks_for_the_three_roads() -> None:
    assert [p.stem for p in NOTEBOOKS] == ["comparing_particles", "movie_to_atoms", "strain"]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
# The kernel's own machinery: ZeroMQ on an event loop that closes after the sockets it owns.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::RuntimeWarning")
def test_notebook_runs(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    kept = _figures(notebook)
    assert kept >= 2  # the site shows them
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert _figures(notebook) == kept


def _figures(notebook: nbformat.NotebookNode) -> int:
    """Return the number of pictures among the outputs."""
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    return sum("image/png" in o.get("data", {}) for o in outputs)
