"""The application: parsing, settings given as flags, errors in one line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, get_args

from cyclopts import App, Parameter, convert

from single_rs import __version__
from single_rs.base.errors import InputError
from single_rs.base.memory_limit import parse_size

__all__ = ["app", "settings_flags"]


# --stage.setting VALUE or --stage.setting=VALUE; no option of a command has a dot in its name.
SETTING_FLAG = re.compile(r"--([a-z][a-z0-9_-]*(?:\.[a-z][a-z0-9_-]*)+)(?:=(.*))?", re.DOTALL)

# One paragraph: the terminal breaks its lines.
EPILOGUE = (
    "Any setting of any stage can be given as --STAGE.SETTING VALUE, e.g. --trace.rounds 4; 'single-rs config' lists "
    "them with units and meaning, and its output, edited, is what --config FILE.toml takes. --memory 4G keeps any "
    "command within so much memory, and refuses at its start what would need more."
)


def _typed(kind: Any, tokens: Any) -> Any:
    """Return the value of an option; a number that shall be whole is not rounded, as cyclopts would."""
    kinds = {kind, *get_args(kind)}
    for token in tokens if int in kinds and not kinds & {float, str} else ():
        if re.fullmatch(r"[-+]?\d*\.\d+", token.value) and float(token.value) % 1:
            raise ValueError(f"{token.value} is not a whole number")
    return convert(kind, tokens)


app = App(
    name="single-rs",
    version=__version__,
    help="From a graphene liquid cell movie to the 3D position of every atom, with error bars.",
    help_format="plaintext",
    help_epilogue=EPILOGUE,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
    # No --empty-NAME beside each option that may be repeated.
    default_parameter=Parameter(negative_iterable=(), converter=_typed),
)

_flags: dict[str, str] = {}


def settings_flags() -> dict[str, str]:
    """Return the settings given as flags in this call, ``{"orient.search_resolution": "0.8"}``."""
    return dict(_flags)


def _take_memory(tokens: Sequence[str]) -> tuple[list[str], int | None]:
    """Split the command line into the rest and the bytes that ``--memory`` allows, None without it."""
    rest = list(tokens)
    for at, word in enumerate(rest):
        if word == "--":
            break
        if word == "--memory" and at + 1 == len(rest):
            raise InputError("--memory needs a value, e.g. --memory 4G")
        if word == "--memory":
            return rest[:at] + rest[at + 2 :], parse_size(rest[at + 1])
        if word.startswith("--memory="):
            return rest[:at] + rest[at + 1 :], parse_size(word.partition("=")[2])
    return rest, None


def _take_settings(tokens: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Split the command line into what cyclopts parses and the ``--stage.setting`` flags."""
    rest: list[str] = []
    flags: dict[str, str] = {}
    before = "an argument"
    for word in tokens:
        # Path("") is the current folder, which nobody means who writes --out "".
        name, sign, value = word.partition("=")
        if not word.strip() or (sign and name.startswith("--") and not value.strip()):
            raise InputError(f"{name if sign else before} is empty; give a value")
        before = f"the value after {word}"
    words = iter(tokens)
    for word in words:
        found = SETTING_FLAG.fullmatch(word)
        if found is None:
            rest.append(word)
            continue
        setting = found[2] if found[2] is not None else next(words, None)
        if setting is None:
            raise InputError(f"{word} needs a value, e.g. {word} 1.0")
        flags[found[1].replace("-", "_")] = setting
    return rest, flags
