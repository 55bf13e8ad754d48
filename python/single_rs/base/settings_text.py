"""Settings as text: TOML files, nested tables of plain values, and ``--stage.setting`` flags.

Reference: TOML 1.0, https://toml.io/en/v1.0.0.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import json
import os
import tomllib
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from single_rs.base.errors import DataFileError, InputError
from single_rs.base.settings import Settings

__all__ = ["load_settings", "override", "settings_from_dict", "settings_to_dict", "settings_to_toml"]


T = TypeVar("T", bound=Settings)

LONGEST_VALUE = 200  # characters of a value in a message
LARGEST_FILE = 1 << 20  # bytes of settings; a device such as /dev/zero has no end


def load_settings(
    settings: T, path: str | os.PathLike[str] | None = None, overrides: Mapping[str, str] | None = None
) -> T:
    """Return `settings` with a TOML file and then flags put in; errors as in `load_config`."""
    if path is not None:
        try:
            with open(path, "rb") as file:
                text = file.read(LARGEST_FILE + 1)
            if len(text) > LARGEST_FILE:
                raise ValueError(f"it has more than {LARGEST_FILE:,} bytes")
            tables = tomllib.loads(text.decode())
        except OSError as error:
            raise DataFileError(f"cannot read the settings {path}: {error.strerror or error}") from None
        except (ValueError, RecursionError) as error:
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
            if not isinstance(table, dict):
                raise InputError(f"--{name} and --{name.rpartition('.')[0]} are both given; one of them is no setting")
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
    except (ValueError, RecursionError):
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
            with contextlib.suppress(OverflowError):
                return float(value)
        elif option is str and isinstance(value, (int, float)) and not isinstance(value, bool):
            continue
        elif isinstance(option, type) and isinstance(value, option) and isinstance(value, bool) == (option is bool):
            return value
    wanted = " or ".join("nothing" if o is type(None) else getattr(o, "__name__", str(o)) for o in options)
    raise InputError(f"{name} is {repr(value)[:LONGEST_VALUE]}; accepted: {wanted}")
