"""The page of the formats of our own JSON and CSV files, made of the classes that write and read them.

python docs/files.py docs/files.md
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import itertools
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from single_rs.analysis import ParticleSummary
from single_rs.analysis.distances import PairDistribution, PowderPattern, RowDistances
from single_rs.analysis.lattice_record import LatticeRecord
from single_rs.analysis.strain.table import StrainTable
from single_rs.analysis.structure.record import StructureRecord
from single_rs.analysis.structure.table import StructureTable
from single_rs.base.columns import Column
from single_rs.cli.demo import DemoRecord
from single_rs.compare.record import ComparisonRecord
from single_rs.export.dft.record import DftRecord
from single_rs.ligands.binding import BindingRecord
from single_rs.ligands.files import LigandRecord
from single_rs.pipeline.dispatch import BatchRecord
from single_rs.pipeline.stages import Asked, Refinement, Tracing
from single_rs.records import Background, CleanExamples, EnergyRecord
from single_rs.records.density import ShellCorrelation
from single_rs.records.validation import RunValidationRecord, ValidationRecord
from single_rs.refine.adp import DisplacementTable
from single_rs.store import layout
from single_rs.store.manifest import Manifest
from single_rs.store.record import RunRecord
from single_rs.store.states import MovedTable, StatesRecord, TimelineTable
from single_rs.store.tables import fields_of

# File → class, in the order of a run.
FILES: dict[str, type] = {
    layout.RUN: RunRecord,
    layout.MANIFEST: Manifest,
    f"particle_NN/{layout.BACKGROUND}": Background,
    f"particle_NN/{layout.CLEAN_INDEX}": CleanExamples,
    f"particle_NN/{layout.TRACING}": Tracing,
    f"particle_NN/{layout.REFINEMENT}": Refinement,
    f"particle_NN/{layout.CHANGES}": Asked,
    f"particle_NN/{layout.STATES}": StatesRecord,
    f"particle_NN/{layout.SUMMARY}": ParticleSummary,
    f"particle_NN/{layout.LATTICE}": LatticeRecord,
    f"particle_NN/{layout.STRUCTURE}": StructureRecord,
    f"particle_NN/{layout.ENERGY}": EnergyRecord,
    f"particle_NN/{layout.LIGAND_RECORD}": LigandRecord,
    layout.DFT: DftRecord,
    layout.BINDING[0]: BindingRecord,
    f"particle_NN/{layout.VALIDATION}": ValidationRecord,
    layout.VALIDATION: RunValidationRecord,
    layout.COMPARISON[1]: ComparisonRecord,
    layout.BATCH: BatchRecord,
    layout.DEMO: DemoRecord,
}
# Tables, likewise.
TABLES: dict[str, type] = {
    f"particle_NN/{layout.FSC}": ShellCorrelation,
    f"particle_NN/{layout.DISPLACEMENT}": DisplacementTable,
    f"particle_NN/{layout.TIMELINE}": TimelineTable,
    f"particle_NN/{layout.MOVED}": MovedTable,
    f"particle_NN/{layout.STRUCTURE_TABLE}": StructureTable,
    f"particle_NN/{layout.STRAIN_TABLE}": StrainTable,
    f"particle_NN/{layout.DISTANCES}": RowDistances,
    f"particle_NN/{layout.PAIR_DISTRIBUTION}": PairDistribution,
    f"particle_NN/{layout.POWDER}": PowderPattern,
}
HEAD = """# Formats of our JSON and CSV files

Made by `python docs/files.py docs/files.md` from the classes that write and read the files. The other files of a run
are in [conventions.md](conventions.md).

Each JSON file begins with the name of its class and the version of its schema, `"type"` and `"schema"`; a file of
another version is refused in one line. What was not measured is null. From Python:

```python
from single_rs.analysis import ParticleSummary
from single_rs.store.codecs import read_record

summary = read_record("out/particle_00/summary.json", ParticleSummary)
```
"""
TABLES_HEAD = """# Tables

CSV, one row per item below its header; what concerns the whole table stands before that, as `# name: value unit`. A
number that is not known is an empty cell. From Python:

```python
from single_rs.analysis.strain.table import StrainTable
from single_rs.store.tables import read_table

strain = read_table("out/particle_00/strain.csv", StrainTable)
```
"""
SHORT = 6  # columns of one field that are listed one by one
WORDS = {int: "integer", float: "number", str: "text", bool: "true or false", types.NoneType: "null", typing.Any: "any"}


def described(kind: type) -> dict[str, str]:
    """Return what the docstring of a class says of each of its fields."""
    _, _, section = inspect.getdoc(kind).partition("Attributes\n----------\n")
    found = {}
    for names, text in re.findall(r"^(\S.*)\n((?:[ ]{4}.*\n?)+)", section, re.MULTILINE):
        found |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return found


def word(kind: object, met: list[type]) -> str:
    """Return a type in words; classes that it names are put on the list of those to describe."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if kind in WORDS:
        return WORDS[kind]
    if origin in (types.UnionType, typing.Union):
        return " or ".join(word(one, met) for one in inside)
    if origin is np.ndarray or kind is np.ndarray:
        of = typing.get_args(inside[1])[0] if inside else np.float64
        names = {"b": "true or false", "i": "integers", "f": "numbers"}
        return f"array of {names[np.dtype(of).kind]}"
    if origin is dict:
        return f"{word(inside[0], met)} → {word(inside[1], met)}"
    if origin in (tuple, list):
        fixed = origin is tuple and Ellipsis not in inside
        return f"[{', '.join(word(one, met) for one in inside)}]" if fixed else f"list of {word(inside[0], met)}"
    if kind not in met:
        met.append(kind)
    return f"[{kind.__name__}](#{kind.__name__.lower()})"


def table(kind: type, met: list[type]) -> Iterator[str]:
    """Give the lines of the table of a class; fields that its docstring describes together share a line."""
    meaning, hints = described(kind), typing.get_type_hints(kind)
    yield from ("| field | type | meaning |", "|---|---|---|")
    lines: dict[tuple[str, str], list[str]] = {}
    for field in dataclasses.fields(kind):
        if field.name not in meaning:
            raise KeyError(f"{kind.__name__} does not say what {field.name} is")
        lines.setdefault((word(hints[field.name], met), meaning[field.name]), []).append(f"`{field.name}`")
    for (said, text), names in lines.items():
        yield f"| {', '.join(names)} | {said} | {text.replace('|', '&#124;')} |"


def columns(kind: type) -> Iterator[str]:
    """Give the lines of the table of the columns of a class."""
    meaning = described(kind)
    yield from ("| column | type | meaning |", "|---|---|---|")
    for field, place, scalar in fields_of(kind):
        names = [f"`{name}`" for name in (place.names_of(field) if isinstance(place, Column) else (field,))]
        listed = ", ".join(names if len(names) <= SHORT else [*names[:2], "…", *names[-2:]])
        said = word(np.dtype(scalar).type(0).item().__class__ if scalar is not np.str_ else str, [])
        where = "" if isinstance(place, Column) else "Before the header. "
        yield f"| {listed} | {said} | {where}{meaning[field].replace('|', '&#124;')} |"


def summary_of(kind: type) -> str:
    """Return the first paragraph of the docstring of a class."""
    return str(inspect.getdoc(kind)).split("\n\n")[0].replace("\n", " ")


def section(title: str, kind: type, met: list[type], before: str = "") -> Iterator[str]:
    """Give the lines on a class: what it is, and its fields."""
    yield from ("", title, "", before + summary_of(kind), "")
    yield from table(kind, met)


def page() -> str:
    """Return the whole page."""
    lines, met = HEAD.splitlines(), list(FILES.values())
    for name, kind in FILES.items():
        lines += section(f"## {name}", kind, met, f"`{kind.__name__}`, schema {getattr(kind, 'SCHEMA', 1)}. ")
    lines += ["", "## Parts of these"]
    for kind in itertools.islice(met, len(FILES), None):  # grows while it is described
        lines += section(f"### {kind.__name__}", kind, met)
    lines += ["", *TABLES_HEAD.splitlines()]
    for name, kind in TABLES.items():
        lines += ["", f"## {name}", "", f"`{kind.__name__}`. " + summary_of(kind), "", *columns(kind)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.parse_args().out.write_text(page(), encoding="utf-8")
