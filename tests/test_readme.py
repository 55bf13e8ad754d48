"""The README is true: its Python runs, its commands exist, its files are there, and CI runs its test command."""

from __future__ import annotations

import functools
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from single_rs.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def _commands() -> list[str]:
    """Return every call of single-rs in the README without its comment."""
    lines = [part.strip() for block in _blocks("sh") for line in block.splitlines() for part in line.split("&&")]
    return [line.split(" #")[0] for line in lines if line.startswith("single-rs")]


def test_the_quick_start_gives_what_it_says(capsys):
    (source,) = _blocks("python")
    names: dict[str, object] = {}
    exec(compile(source, "README.md", "exec"), names)
    score, lattice, crystal = names["score"], names["lattice"], names["crystal"]
    # Poses are the true ones: what is lost here is lost by cleaning, reconstruction or tracing.
    assert score.matched == score.found == score.true == len(crystal.positions)
    assert score.rmsd < 5.0  # pm; 2.0 measured
    assert lattice.structure == "fcc"
    assert abs(lattice.a / 3.924 - 1) < 0.02
    assert np.isfinite(names["strain"].radial[~names["strain"].surface]).all()
    text = capsys.readouterr().out
    assert f"{score.true} of {score.true} atoms" in text
    assert "fcc, a = 3.9" in text


@pytest.mark.parametrize("line", _commands())
def test_every_command_is_understood(line, tmp_path, monkeypatch, capsys):
    """Files do not exist here: a command line that is understood complains of the file and of nothing else."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line.split(">")[0])[1:]
    if words[0] in ("demo", "doctor", "plan"):
        words.append("--help")
    (tmp_path / "settings.toml").write_text("")
    code = main(words)
    error = capsys.readouterr().err
    assert code == (0 if words[0] in ("demo", "doctor", "plan", "config") else 2)
    assert code == 0 or re.search(r"(movie|stack)\.mrcs?|result/particle_00", error), error


def test_the_stage_table_names_what_exists(capsys):
    import single_rs

    rows = [line.split("|")[1:-1] for line in README.splitlines() if line.startswith("| [")]
    assert len(rows) >= 11
    main(["--help"])
    commands = capsys.readouterr().out
    for _, command, functions, _ in rows:
        for name in re.findall(r"`([\w-]+)`", command):
            assert f" {name} " in commands
        for name in re.findall(r"`([\w.]+)`", functions):
            assert callable(functools.reduce(getattr, name.split("."), single_rs)), name


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))]
)
def test_links_lead_to_files(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        # docs/site.py makes the pages of these two folders, and checks the links to them.
        if not target.startswith(("http", "tutorials/", "reference/")):
            assert ((ROOT / page).parent / target).exists(), target


def test_ci_runs_the_command_of_the_readme():
    (command,) = [block.strip() for block in _blocks("sh") if "pytest" in block]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert command in script
    if shutil.which("bash"):
        subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)


def test_no_page_names_a_place_of_one_machine():
    for path in [ROOT / "README.md", ROOT / ".ci" / "run", ROOT / "justfile", *ROOT.glob("docs/*.md")]:
        assert not re.search(r"(?<![\w.])/(home|root|work|tmp)/", path.read_text(encoding="utf-8")), path
