"""What holds for every public name, file and kernel, so that no one has to remember it.

Public functions are documented and typed, settings have meanings and units, files are of readable size, imports are
cheap, kernels refuse what does not fit by name, and results do not depend on the number of threads.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import single_rs
from single_rs import _core
from single_rs.base.settings import Settings
from single_rs.frames.packed import PosedFrames
from single_rs.store import layout

ROOT = Path(__file__).parents[1]
ROOT_NAMES = [name for name in single_rs.__all__ if name != "__version__"]
MODULES = sorted(m.name for m in pkgutil.walk_packages(single_rs.__path__, "single_rs."))
# Every name that a package offers, where it is offered, and those at the root.
NAMES = [f"single_rs.{name}" for name in ROOT_NAMES] + sorted(
    f"{module}.{name}"
    for module in MODULES
    if hasattr(importlib.import_module(module), "__path__")
    for name in getattr(importlib.import_module(module), "__all__", ())
)
SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("python/**/*.py", "rust/**/*.rs", "tests/*", "benches/*", "docs/*.py")
    for path in ROOT.glob(pattern)
    if path.suffix in (".py", ".rs")
)
LEFT_OVER = r"\b(TO" r"DO|FIX" r"ME|XX" r"X|to" r"do!|unim" r"plemented!)"
# A setting without a unit is a pure number, and says of what.
PURE = re.compile(r"share|fraction|probab|relative|modulation|number|factor|weight|strain")


def _section(doc: str, title: str) -> str:
    """Return a numpydoc section of a cleaned docstring."""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=\n\n[A-Z][A-Za-z ]+\n-+\n|\Z)", doc, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


def _entries(section: str) -> set[str]:
    """Return the names that a section of parameters or attributes tells of."""
    heads = [line.split(":")[0] for line in section.splitlines() if line and not line.startswith(" ")]
    return {name.strip().lstrip("*") for head in heads for name in head.split(",")}


def test_public_names_are_not_hidden_by_modules():
    """An imported module becomes an attribute of the package, and would stand before a lazy name like its own."""
    assert not {f"single_rs.{name}" for name in ROOT_NAMES} & set(MODULES)


@pytest.mark.parametrize("name", NAMES)
def test_public_name_is_documented_and_typed(name):
    module, _, own = name.rpartition(".")
    thing = inspect.unwrap(getattr(importlib.import_module(module), own))
    if not callable(thing):
        return  # a constant
    doc = inspect.getdoc(thing) or ""
    assert len(doc.split()) >= 3
    if inspect.isfunction(thing):
        signature = inspect.signature(thing)
        if own in ROOT_NAMES or "Parameters\n---" in doc:
            assert set(signature.parameters) <= _entries(_section(doc, "Parameters"))
        assert signature.return_annotation is not signature.empty
        for parameter in signature.parameters.values():
            assert parameter.annotation is not parameter.empty, parameter.name
        if "NDArray" in str(signature.return_annotation):
            assert re.search(r"\((n|y|z|3|n_q|\.\.\.)[,)\b][^)]*\)?", doc), "the shape of the result is not told"
    elif issubclass(thing, Settings):
        assert all(f.metadata or dataclasses.is_dataclass(_type(f, thing)) for f in dataclasses.fields(thing))
    elif dataclasses.is_dataclass(thing):
        assert thing.__dataclass_params__.frozen
        fields = {f.name for f in dataclasses.fields(thing) if not f.name.startswith("_")}
        assert all(re.search(rf"\b{f}\b", doc) for f in fields), fields
    if inspect.isclass(thing):
        for method, function in vars(thing).items():
            if inspect.isfunction(function) and not method.startswith("_"):
                assert inspect.getdoc(function), f"{name}.{method}"
                assert inspect.signature(function).return_annotation is not inspect.Signature.empty


def _type(field: dataclasses.Field, owner: type) -> object:
    """Return the type of a field whose annotation may be a string."""
    if field.default_factory is not dataclasses.MISSING:
        return type(field.default_factory())
    return getattr(sys.modules[owner.__module__], str(field.type), field.type)


@pytest.mark.parametrize("name", MODULES)
def test_module_can_be_imported_alone_and_says_what_it_is(name):
    module = importlib.import_module(name)
    assert len((module.__doc__ or "").split()) >= 5
    for public in getattr(module, "__all__", ()):
        assert hasattr(module, public), public


def _settings_classes() -> list[type[Settings]]:
    for name in MODULES:
        importlib.import_module(name)
    found, new = set(), {Settings}
    while new:
        new = {sub for cls in new for sub in cls.__subclasses__()} - found
        found |= new
    return sorted((c for c in found if c.__module__.startswith("single_rs.")), key=lambda c: c.__name__)


@pytest.mark.parametrize("cls", _settings_classes(), ids=lambda c: c.__name__)
def test_every_setting_has_a_meaning_and_a_unit(cls):
    assert cls.__dataclass_params__.frozen
    cls()  # the defaults are within their own bounds
    for field in dataclasses.fields(cls):
        if field.default_factory is not dataclasses.MISSING:
            continue  # settings within settings
        meta = field.metadata
        assert len(meta["help"].split()) >= 2, field.name
        if "float" in str(field.type) and not meta["unit"]:
            assert PURE.search(meta["help"].lower()), f"{cls.__name__}.{field.name} has no unit: {meta['help']}"


@pytest.mark.parametrize("path", SOURCES)
def test_source_is_of_readable_size_and_has_nothing_left_over(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    assert text.count("\n") <= 400, "over 400 lines is two ideas"
    assert not re.search(LEFT_OVER, text)
    assert text.endswith("\n")


def test_importing_the_package_is_cheap():
    """The package alone must not load what only some stages need."""
    code = (
        "import sys, single_rs, single_rs.pipeline.entry; "
        "heavy = {'matplotlib', 'jinja2', 'ase', 'spglib', 'pandas', 'torch'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdin=subprocess.DEVNULL)


def test_the_version_is_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    crate = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["package"]
    assert single_rs.__version__ == project["version"] == crate["version"]


def _probe(what: str, threads: int) -> dict[str, str]:
    """Run the probe in a process of its own, with as many threads for the kernels and for the BLAS."""
    path = str(Path(__file__).with_name("threads_probe.py"))
    code = (
        "import runpy, sys; from single_rs.cli.options import use_threads; assert 'numpy' not in sys.modules; "
        f"use_threads({threads}); import os; os.environ['OPENBLAS_NUM_THREADS'] = '{threads}'; "
        f"sys.argv[1:] = [{what!r}]; runpy.run_path({path!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split() for line in done.stdout.splitlines())
    assert lines.pop("threads") == str(threads)
    return lines


@pytest.mark.parametrize("what", ["kernels", pytest.param("poses", marks=pytest.mark.slow)])
def test_results_are_the_same_to_the_last_bit_for_any_number_of_threads(what):
    one = _probe(what, 1)
    assert len(set(one.values())) == len(one)
    assert one == _probe(what, 2)


def test_kernels_name_the_argument_that_does_not_fit():
    plane = _core.HalfPlane(32, 2, 12)
    images = np.zeros((3, 32, 32), np.float32)
    spectra = plane.pack(images, np.zeros((3, 2), np.float32), 10.0, 2.0)
    weights, eyes = np.ones(len(plane), np.float32), np.tile(np.eye(3, dtype=np.float32), (3, 1, 1))
    with pytest.raises(ValueError, match=r"images.*needed"):
        plane.pack(images[:2], np.zeros((3, 2), np.float32), 10.0, 2.0)
    with pytest.raises(ValueError, match=r"images is not C-contiguous; use numpy\.ascontiguousarray"):
        plane.pack(images.transpose(0, 2, 1)[:, ::2], np.zeros((3, 2), np.float32), 10.0, 2.0)
    volume = np.zeros((1, 53, 53, 27), np.complex64)
    zero, three = np.zeros(3, np.int32), np.arange(3, dtype=np.int32)
    posed = PosedFrames(spectra, plane, weights, eyes, np.zeros((3, 2), np.float32), three)
    with pytest.raises(ValueError, match=r"frame_of.*0 to 2"):
        _core.score_poses(dataclasses.replace(posed, frame_of=three + 5), volume, 2, zero, 1, 1.0)
    with pytest.raises(ValueError, match=r"weights.*needed"):
        _core.score_poses(dataclasses.replace(posed, weights=weights[:-1]), volume, 2, zero, 1, 1.0)
    with pytest.raises(ValueError, match=r"volumes.*shell 12 is needed"):
        _core.score_poses(posed, np.zeros((1, 13, 13, 7), np.complex64), 2, zero, 1, 1.0)
    with pytest.raises(ValueError, match=r"volumes is empty"):
        _core.score_poses(posed, volume[:0], 2, zero, 1, 1.0)
    with pytest.raises(ValueError, match=r"frame_of.*one pose of each frame"):
        _core.insert_slices(dataclasses.replace(posed, frame_of=three[::-1].copy()), weights[:3], zero, 1, 2)
    with pytest.raises(ValueError, match="rotations"):
        _core.project_slices(volume[0], plane, 2, np.zeros((2, 2), np.float32))


def test_nothing_in_the_product_opens_a_truth():
    """Only what makes the truth may know where it is: simulator and demo, and the help text of their commands."""
    makers = ("simulate/", "cli/demo.py", "cli/tools.py")
    for path in (ROOT / "python").glob("single_rs/**/*.py"):
        name = path.relative_to(ROOT / "python" / "single_rs").as_posix()
        if not name.startswith(makers):
            assert not re.search(r"_truth\b|truth\.npz", path.read_text(encoding="utf-8")), name


def test_the_page_of_the_formats_is_made_of_the_classes():
    spec = importlib.util.spec_from_file_location("formats", ROOT / "docs" / "files.py")
    formats = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(formats)
    names = [name for value in vars(layout).values() for name in (value if isinstance(value, tuple) else (value,))]
    known = {name for name in names if isinstance(name, str) and name.endswith(".json")}
    assert {name.rpartition("/")[2] for name in formats.FILES} == known
    # Motion and tracks are also other programs' tables; of a comparison and of bindings the JSON beside them is read.
    tables = {name for name in names if isinstance(name, str) and name.endswith(".csv")}
    others = {"motion.csv", "tracks.csv", "compare.csv", "binding.csv"}
    assert {name.rpartition("/")[2] for name in formats.TABLES} == tables - others
    page = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    assert formats.page() == page, "run python docs/files.py docs/files.md"
