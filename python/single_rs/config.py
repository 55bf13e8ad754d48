"""All settings of all stages in one place: defaults, TOML files and ``--stage.setting`` flags.

A setting is declared once, in its stage's dataclass (`single_rs.settings`); here it gets its name in files,
``[stage]`` and ``setting``, and on the command line, ``--stage.setting VALUE``. Later sources win:
defaults, the file, the flags. Reference: TOML 1.0, https://toml.io/en/v1.0.0.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import json
import os
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from single_rs.errors import DataFileError, InputError
from single_rs.settings import Settings, setting

if TYPE_CHECKING:
    from single_rs.atoms import TraceConfig
    from single_rs.background import BackgroundConfig
    from single_rs.motion import MotionConfig
    from single_rs.orient import OrientConfig
    from single_rs.reconstruct import ReconstructConfig
    from single_rs.strain import StrainConfig
    from single_rs.track import TrackConfig

__all__ = [
    "STAGES",
    "Config",
    "ExportConfig",
    "LatticeConfig",
    "ReportConfig",
    "config_from_dict",
    "config_to_dict",
    "config_to_toml",
    "load_config",
    "override",
]

# Stage → module and class of its settings, in the order of the pipeline; loaded when a Config is made.
STAGES: dict[str, tuple[str, str]] = {
    "motion": ("single_rs.motion", "MotionConfig"),
    "track": ("single_rs.track", "TrackConfig"),
    "background": ("single_rs.background", "BackgroundConfig"),
    "orient": ("single_rs.orient", "OrientConfig"),
    "reconstruct": ("single_rs.reconstruct", "ReconstructConfig"),
    "trace": ("single_rs.atoms", "TraceConfig"),
    "lattice": ("single_rs.config", "LatticeConfig"),
    "strain": ("single_rs.strain", "StrainConfig"),
    "export": ("single_rs.config", "ExportConfig"),
    "report": ("single_rs.config", "ReportConfig"),
}
EXPORT_FORMATS = ("xyz", "pdb", "cif", "poscar", "qe", "gpaw", "lammps")


@dataclasses.dataclass(frozen=True)
class LatticeConfig(Settings):
    """Settings of the lattice fit."""

    structure: str | None = setting(
        None, "Lattice type; the best of all when not given.", choices=("fcc", "bcc", "hcp", "diamond")
    )


@dataclasses.dataclass(frozen=True)
class ExportConfig(Settings):
    """Settings of the export."""

    formats: tuple[str, ...] = setting(
        ("pdb", "cif", "poscar"), f"Files written besides atoms.xyz; any of {', '.join(EXPORT_FORMATS)}."
    )
    vacuum: float = setting(10.0, "Vacuum round the particle in periodic formats.", "Å", ge=0)

    def __post_init__(self) -> None:
        """Check the formats as well."""
        super().__post_init__()
        for name in self.formats:
            if name not in EXPORT_FORMATS:
                raise InputError(f"export.formats has {name!r}; accepted: {', '.join(EXPORT_FORMATS)}")


@dataclasses.dataclass(frozen=True)
class ReportConfig(Settings):
    """Settings of the report."""

    enabled: bool = setting(True, "Write report.html.")


def _default(stage: str) -> Any:
    module, name = STAGES[stage]
    return getattr(importlib.import_module(module), name)()


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """Settings of all stages; one field per stage, each a frozen dataclass of its own."""

    motion: MotionConfig = dataclasses.field(default_factory=functools.partial(_default, "motion"))
    track: TrackConfig = dataclasses.field(default_factory=functools.partial(_default, "track"))
    background: BackgroundConfig = dataclasses.field(default_factory=functools.partial(_default, "background"))
    orient: OrientConfig = dataclasses.field(default_factory=functools.partial(_default, "orient"))
    reconstruct: ReconstructConfig = dataclasses.field(default_factory=functools.partial(_default, "reconstruct"))
    trace: TraceConfig = dataclasses.field(default_factory=functools.partial(_default, "trace"))
    lattice: LatticeConfig = dataclasses.field(default_factory=functools.partial(_default, "lattice"))
    strain: StrainConfig = dataclasses.field(default_factory=functools.partial(_default, "strain"))
    export: ExportConfig = dataclasses.field(default_factory=functools.partial(_default, "export"))
    report: ReportConfig = dataclasses.field(default_factory=functools.partial(_default, "report"))


def load_config(path: str | os.PathLike[str] | None = None, overrides: Mapping[str, str] | None = None) -> Config:
    """Return the settings: defaults, then a TOML file, then flags.

    Parameters
    ----------
    path
        TOML file with one table per stage; ``None`` for the defaults.
    overrides
        ``{"orient.resolution": "0.8"}``: values as typed on the command line.

    Raises
    ------
    InputError
        Unknown stage or setting (the nearest known one is named), wrong type, value out of bounds.
    DataFileError
        The file is missing or not TOML.
    """
    tables: dict[str, Any] = {}
    if path is not None:
        try:
            tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise DataFileError(f"cannot read the settings {path}: {error.strerror or error}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DataFileError(f"{path} is not TOML: {error}") from None
    config = config_from_dict(tables, source=str(path) if path is not None else "")
    return override(config, overrides or {})


def config_from_dict(tables: Mapping[str, Any], source: str = "") -> Config:
    """Return settings from nested tables, ``{"orient": {"resolution": 0.8}}``; `source` is named in errors."""
    stages = {}
    for stage, table in tables.items():
        _known(stage, STAGES, "stage", source)
        if not isinstance(table, Mapping):
            raise InputError(f"{_where(source)}{stage} is {table!r}; a table [{stage}] of settings is needed")
        stages[stage] = _replaced(_default(stage), stage, table, source)
    return Config(**stages)


def override(config: Config, flags: Mapping[str, str]) -> Config:
    """Return `config` with ``{"stage.setting": "text"}`` put in; texts are read as TOML values or as plain words."""
    stages: dict[str, dict[str, Any]] = {}
    for name, text in flags.items():
        stage, _, key = name.partition(".")
        _known(stage, STAGES, "stage", "--" + name)
        stages.setdefault(stage, {})[key] = _parsed(text)
    changed = {s: _replaced(getattr(config, s), s, table, "the command line") for s, table in stages.items()}
    return dataclasses.replace(config, **changed)


def config_to_dict(config: Config) -> dict[str, dict[str, Any]]:
    """Return the settings as nested tables of plain values, for run.json; tuples become lists."""
    tables: dict[str, dict[str, Any]] = json.loads(json.dumps(dataclasses.asdict(config)))
    return tables


def config_to_toml(config: Config) -> str:
    """Return the settings as TOML, each with its unit and meaning; those found from the data are commented out."""
    lines = ["# Settings of single_rs. A line that starts with # stands for a value that is found from the data."]
    for stage in STAGES:
        settings = getattr(config, stage)
        lines += ["", f"[{stage}]"]
        for field in dataclasses.fields(settings):
            meta, value = field.metadata, getattr(settings, field.name)
            unit = f" [{meta['unit']}]" if meta.get("unit") else ""
            choices = meta.get("choices")
            accepted = f" One of: {', '.join(str(c) for c in choices if c is not None)}." if choices else ""
            lines.append(f"# {meta.get('help', field.name)}{unit}{accepted}{_bounds(meta)}")
            lines.append(f"# {field.name} =" if value is None else f"{field.name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _bounds(meta: Mapping[str, Any]) -> str:
    words = [
        f"{word} {meta[key]}"
        for key, word in (("ge", "at least"), ("gt", "more than"), ("le", "at most"))
        if meta.get(key) is not None
    ]
    return f" ({', '.join(words)})" if words else ""


def _toml(value: Any) -> str:
    """Return a plain value as TOML; JSON's strings, numbers, booleans and lists are TOML's as well."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _parsed(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return None if text.lower() in ("none", "auto") else text


def _where(source: str) -> str:
    return f"{source}: " if source else ""


def _known(name: str, known: Iterable[str], what: str, source: str) -> None:
    names = list(known)
    if name not in names:
        close = difflib.get_close_matches(name, names, 1, cutoff=0.4)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(names)}"
        raise InputError(f"{_where(source)}unknown {what} {name!r}; {hint}")


def _replaced(settings: Any, stage: str, table: Mapping[str, Any], source: str) -> Any:
    """Return `settings` with the values of `table`, each checked against the declared type."""
    hints = _hints(type(settings))
    values = {}
    for key, value in table.items():
        _known(key, hints, f"setting of [{stage}]", source)
        values[key] = _typed(value, hints[key], f"{_where(source)}{stage}.{key}")
    return dataclasses.replace(settings, **values)


def _hints(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}


def _typed(value: Any, hint: Any, name: str) -> Any:
    """Return `value` as the declared type, or raise `InputError` saying what is accepted."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    for option in options:
        if option is type(None):
            if value is None:
                return None
        elif typing.get_origin(option) is tuple:
            items = list(value) if isinstance(value, (list, tuple)) else [value]
            inner = typing.get_args(option)
            kinds = [inner[0]] * len(items) if len(inner) == 2 and inner[1] is Ellipsis else list(inner)
            if len(items) == len(kinds):
                return tuple(_typed(v, k, name) for v, k in zip(items, kinds, strict=True))
        elif option is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        elif option is str and isinstance(value, (int, float)) and not isinstance(value, bool):
            continue
        elif isinstance(option, type) and isinstance(value, option) and isinstance(value, bool) == (option is bool):
            return value
    wanted = " or ".join("nothing" if o is type(None) else getattr(o, "__name__", str(o)) for o in options)
    raise InputError(f"{name} is {value!r}; accepted: {wanted}")
