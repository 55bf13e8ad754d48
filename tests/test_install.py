"""An installation: the program by module name, systems without POSIX, dependencies, citation and licences."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import single_rs
from single_rs.base.memory import _MemoryCounters, peak_memory

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMPORTED_AS = {"pillow": "PIL"}
# Of the extras; cycler comes with matplotlib, and gpaw is the user's own.
OPTIONAL = {"distributed", "abtem", "cycler", "gpaw", "h5py", "imagecodecs", "rsciio"}


def _python(*words: str) -> str:
    """Return what Python prints."""
    return subprocess.run([sys.executable, *words], check=True, capture_output=True, text=True, timeout=120).stdout


def test_the_package_is_the_program():
    assert _python("-m", "single_rs", "--version").strip() == single_rs.__version__


def test_bad_input_has_the_same_exit_code_by_module_name(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "single_rs", "motion", "no.mrc", "--out", "out"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 2


def test_redirected_settings_are_utf8_whatever_the_encoding_of_the_system(tmp_path):
    """As on Windows, where a pipe or file has a code page that lacks letters of the settings."""
    with (tmp_path / "settings.toml").open("wb") as file:
        environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
        subprocess.run([sys.executable, "-m", "single_rs", "config"], check=True, stdout=file, env=environment)
    assert "orient" in tomllib.loads((tmp_path / "settings.toml").read_text(encoding="utf-8"))


def test_everything_is_imported_where_there_are_no_posix_modules():
    """As on Windows."""
    code = (
        "import sys, pkgutil, importlib, single_rs\n"
        "for name in ('resource', 'fcntl', 'pwd', 'grp', 'termios', 'tty'): sys.modules[name] = None\n"
        "names = [m.name for m in pkgutil.walk_packages(single_rs.__path__, 'single_rs.')]\n"
        "for name in names: importlib.import_module(name)\n"
        "print(len(names))\n"
    )
    assert int(_python("-c", code)) > 50


def test_peak_memory_counts_what_was_touched():
    before = peak_memory()
    block = bytearray(1 << 28)
    block[:: 1 << 12] = b"x" * (1 << 16)  # one byte of every page
    assert peak_memory() >= max(before, 1 << 28)


@pytest.mark.skipif(sys.maxsize < 1 << 32, reason="sizes of a 64-bit process")
def test_the_counters_of_windows_have_the_layout_of_its_header():
    """As a C compiler lays out PROCESS_MEMORY_COUNTERS for 64-bit Windows, checked with static assertions."""
    import ctypes

    assert ctypes.sizeof(_MemoryCounters) == 72
    assert _MemoryCounters.PeakWorkingSetSize.offset == 8
    assert _MemoryCounters.PeakPagefileUsage.offset == 64


def test_every_dependency_is_imported_and_has_a_bound():
    imported = set()
    for path in Path(single_rs.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    names = set()
    for dependency in PROJECT["dependencies"]:
        found = re.fullmatch(r"([a-z][a-z0-9]*)>=\d+\.\d+\.\d+", dependency)
        assert found, f"{dependency}: one lower bound in full is what .ci/lowest-versions can install"
        names.add(IMPORTED_AS.get(found[1], found[1]))
    assert names <= imported, f"never imported: {names - imported}"
    others = imported - set(sys.stdlib_module_names) - names - {"single_rs"}
    assert others <= OPTIONAL, f"imported, and in no list of dependencies: {others - OPTIONAL}"


def test_the_conda_recipe_has_the_same_version_and_bounds():
    recipe = (ROOT / "packaging" / "conda" / "recipe.yaml").read_text(encoding="utf-8")
    assert f'version: "{PROJECT["version"]}"' in recipe
    wanted = [
        dependency.replace(">=", " >=").replace("matplotlib", "matplotlib-base")
        for dependency in PROJECT["dependencies"]
    ]
    run = recipe[recipe.index("  run:\n") : recipe.index("  run_constraints:\n")]
    assert run.split("\n    - ")[1:] == [f"python {PROJECT['requires-python']}", *wanted[:-1], wanted[-1] + "\n"]


@pytest.mark.skipif(shutil.which("cargo") is None, reason="the crates are listed by cargo")
def test_the_notices_of_the_crates_are_those_of_the_lock_file():
    subprocess.run([sys.executable, ROOT / ".ci" / "third-party-licences", "--check"], check=True)


def test_all_files_name_one_version():
    command = [sys.executable, ROOT / ".ci" / "version"]
    subprocess.run([*command, PROJECT["version"]], check=True)
    wrong = subprocess.run([*command, "99.0"], capture_output=True, text=True)
    assert wrong.returncode == 1
    assert wrong.stderr.count(f"says {PROJECT['version']}") == 5


def test_a_release_has_addresses_in_place_of_relative_links(tmp_path):
    (tmp_path / ".ci").mkdir()
    for name in (".ci/addresses", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run([sys.executable, tmp_path / ".ci" / "addresses", "https://example.org/us/it", "v1"], check=True)
    targets = re.findall(r"\]\(([^)]+)\)", (tmp_path / "README.md").read_text(encoding="utf-8"))
    assert all(target.startswith(("https://", "#")) for target in targets)
    ours = [target.partition("/v1/")[2] for target in targets if target.startswith("https://example.org/us/it/")]
    assert len(ours) > 20
    assert all((ROOT / target.partition("#")[0]).exists() for target in ours)
    urls = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    assert urls["Repository"] == "https://example.org/us/it"


def test_citation_and_archive_name_the_same_authors_and_papers():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    archive = json.loads((ROOT / ".zenodo.json").read_text(encoding="utf-8"))
    (author,) = PROJECT["authors"]
    assert author["name"] in citation
    assert archive["creators"] == [author]
    for doi in ("10.1126/science.aax3233", "10.1126/sciadv.abe6679"):
        assert doi in citation
        assert doi in json.dumps(archive)
