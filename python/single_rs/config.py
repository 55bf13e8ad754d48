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
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from single_rs.dft.settings import DftSettings
from single_rs.errors import DataFileError, InputError
from single_rs.settings import Settings, setting

if TYPE_CHECKING:
    from single_rs.atoms import TraceConfig
    from single_rs.background import BackgroundConfig
    from single_rs.motion import MotionConfig
    from single_rs.orient import OrientConfig
    from single_rs.reconstruction import ReconstructConfig
    from single_rs.refine import RefineConfig
    from single_rs.strain import StrainConfig
    from single_rs.track import TrackConfig
    from single_rs.validate import ValidateConfig

__all__ = [
    "STAGES",
    "Config",
    "ExportConfig",
    "LatticeConfig",
    "ReportConfig",
    "load_config",
    "load_settings",
    "override",
    "settings_from_dict",
    "settings_to_dict",
    "settings_to_toml",
]

T = TypeVar("T", bound=Settings)

# Stage → module and class of its settings, in the order of the pipeline; loaded when a Config is made.
STAGES: dict[str, tuple[str, str]] = {
    "motion": ("single_rs.motion", "MotionConfig"),
    "track": ("single_rs.track", "TrackConfig"),
    "background": ("single_rs.background", "BackgroundConfig"),
    "orient": ("single_rs.orient", "OrientConfig"),
    "reconstruct": ("single_rs.reconstruction", "ReconstructConfig"),
    "trace": ("single_rs.atoms", "TraceConfig"),
    "refine": ("single_rs.refine", "RefineConfig"),
    "lattice": ("single_rs.config", "LatticeConfig"),
    "strain": ("single_rs.strain", "StrainConfig"),
    "export": ("single_rs.config", "ExportConfig"),
    "report": ("single_rs.config", "ReportConfig"),
    "validate": ("single_rs.validate.types", "ValidateConfig"),
}
EXPORT_FORMATS = ("xyz", "pdb", "cif", "poscar", "vasp", "qe", "gpaw", "cp2k", "lammps")


@dataclasses.dataclass(frozen=True)
class LatticeConfig(Settings):
    """Settings of the lattice fit."""

    structure: str | None = setting(
        None,
        "Lattice type; the best of all when not given.",
        choices=("fcc", "bcc", "hcp", "diamond", "rocksalt", "zincblende", "wurtzite"),
    )


@dataclasses.dataclass(frozen=True)
class ExportConfig(Settings):
    """Settings of the export."""

    formats: tuple[str, ...] = setting(
        ("pdb", "cif", "poscar"), f"Files written besides atoms.xyz; any of {', '.join(EXPORT_FORMATS)}."
    )
    vacuum: float = setting(10.0, "Vacuum round the particle in periodic formats.", "Å", ge=0)
    dft: DftSettings = dataclasses.field(default_factory=DftSettings)

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
    refine: RefineConfig = dataclasses.field(default_factory=functools.partial(_default, "refine"))
    lattice: LatticeConfig = dataclasses.field(default_factory=functools.partial(_default, "lattice"))
    strain: StrainConfig = dataclasses.field(default_factory=functools.partial(_default, "strain"))
    export: ExportConfig = dataclasses.field(default_factory=functools.partial(_default, "export"))
    report: ReportConfig = dataclasses.field(default_factory=functools.partial(_default, "report"))
    validate: ValidateConfig = dataclasses.field(default_factory=functools.partial(_default, "validate"))


def load_config(path: str | os.PathLike[str] | None = None, overrides: Mapping[str, str] | None = None) -> Config:
    """Return the settings of the pipeline: defaults, then a TOML file, then flags.

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
    return load_settings(Config(), path, overrides)


def load_settings(
    settings: T, path: str | os.PathLike[str] | None = None, overrides: Mapping[str, str] | None = None
) -> T:
    """Return `settings` with a TOML file and then flags put in; errors as in `load_config`."""
    if path is not None:
        try:
            tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise DataFileError(f"cannot read the settings {path}: {error.strerror or error}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DataFileError(f"{path} is not TOML: {error}") from None
        settings = settings_from_dict(settings, tables, f"{path}: ")
    return override(settings, overrides or {})


def override(settings: T, flags: Mapping[str, str]) -> T:
    """Return `settings` with ``{"orient.resolution": "0.8"}`` put in; texts are TOML values or plain words."""
    tables: dict[str, Any] = {}
    for name, text in flags.items():
        *parents, last = name.split(".")
        table = tables
        for parent in parents:
            table = table.setdefault(parent, {})
        table[last] = _parsed(text)
    return settings_from_dict(settings, tables, "")


def settings_from_dict(settings: T, tables: Mapping[str, Any], source: str = "", prefix: str = "") -> T:
    """Return `settings` with the values of nested tables, each checked against its declared type.

    Parameters
    ----------
    settings
        Any settings, nested or not.
    tables
        ``{"orient": {"resolution": 0.8}}``.
    source
        Put before error messages, e.g. ``"file.toml: "``.
    prefix
        Name of the table that `settings` stands in, e.g. ``"orient."``.

    Raises
    ------
    InputError
        Unknown name, wrong type, value out of bounds.
    """
    names = [f.name for f in dataclasses.fields(settings)]
    values: dict[str, Any] = {}
    for key, value in tables.items():
        if key not in names:
            close = difflib.get_close_matches(key, names, 1, cutoff=0.4)
            hint = f"did you mean {prefix}{close[0]}?" if close else f"known: {', '.join(names)}"
            raise InputError(f"{source}unknown setting {prefix}{key}; {hint}")
        current = getattr(settings, key)
        if not isinstance(current, Settings):
            values[key] = _typed(value, typing.get_type_hints(type(settings))[key], f"{source}{prefix}{key}")
        elif isinstance(value, Mapping):
            values[key] = settings_from_dict(current, value, source, f"{prefix}{key}.")
        else:
            raise InputError(f"{source}{prefix}{key} is {value!r}; it is a table: set {prefix}{key}.NAME")
    return dataclasses.replace(settings, **values)


def settings_to_dict(settings: Settings) -> dict[str, Any]:
    """Return the settings as nested tables of plain values, for run.json; tuples become lists."""
    tables: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(settings)))
    return tables


def settings_to_toml(settings: Settings) -> str:
    """Return the settings as TOML, each with its unit and meaning; those found from the data are commented out."""
    lines = ["# Settings of single_rs. A value that is commented out is found from the data."]
    return "\n".join(lines + _toml_lines(settings, "")) + "\n"


def _toml_lines(settings: Settings, prefix: str) -> list[str]:
    lines = [f"[{prefix[:-1]}]"] if prefix else []
    nested: list[str] = []
    for field in dataclasses.fields(settings):
        meta, value = field.metadata, getattr(settings, field.name)
        if isinstance(value, Settings):
            nested += ["", *_toml_lines(value, f"{prefix}{field.name}.")]
            continue
        unit = f" [{meta['unit']}]" if meta.get("unit") else ""
        choices = [str(c) for c in meta.get("choices") or () if c is not None]
        accepted = f" One of: {', '.join(choices)}." if choices else ""
        text = str(meta.get("help", field.name)).rstrip(".")
        lines.append(f"# {text[:1].upper()}{text[1:]}{unit}{_bounds(meta)}.{accepted}")
        lines.append(f"# {field.name} =" if value is None else f"{field.name} = {_toml(value)}")
    return lines + nested


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
