"""The application: parsing, settings given as flags, errors in one line."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
from collections.abc import Sequence

from cyclopts import App
from cyclopts.exceptions import CycloptsError

from single_rs import __version__
from single_rs.errors import ConvergenceError, InputError, SingleError

__all__ = ["app", "main", "settings_flags"]

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it

# --stage.setting VALUE or --stage.setting=VALUE; no option of a command has a dot in its name.
SETTING_FLAG = re.compile(r"--([a-z][a-z0-9_-]*(?:\.[a-z][a-z0-9_-]*)+)(?:=(.*))?", re.DOTALL)

EPILOGUE = """\
Any setting of any stage can be given as --STAGE.SETTING VALUE, e.g. --trace.rounds 4; 'single-rs config' lists
them with units and meaning, and its output, edited, is what --config FILE.toml takes."""

app = App(
    name="single-rs",
    version=__version__,
    help="From a graphene liquid cell movie to the 3D position of every atom, with error bars.",
    help_format="plaintext",
    help_epilogue=EPILOGUE,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

_flags: dict[str, str] = {}


def settings_flags() -> dict[str, str]:
    """Return the settings given as flags in this call, ``{"orient.search_resolution": "0.8"}``."""
    return dict(_flags)


def _take_settings(tokens: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Split the command line into what cyclopts parses and the ``--stage.setting`` flags."""
    rest: list[str] = []
    flags: dict[str, str] = {}
    words = iter(tokens)
    for word in words:
        found = SETTING_FLAG.fullmatch(word)
        if found is None:
            rest.append(word)
            continue
        value = found[2] if found[2] is not None else next(words, None)
        if value is None:
            raise InputError(f"{word} needs a value, e.g. {word} 1.0")
        flags[found[1].replace("-", "_")] = value
    return rest, flags


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``single-rs``.

    Parameters
    ----------
    argv
        Words after the program's name; ``None`` takes them from the process.

    Returns
    -------
    int
        Exit code: 0, 2 for bad input, 130 for Ctrl-C.
    """
    from single_rs.cli import commands, energy, tools, validation  # noqa: F401  (they register themselves)

    for stream in (sys.stdout, sys.stderr):
        # Redirected on Windows, the encoding is a code page without σ or Γ; and TOML is UTF-8 everywhere.
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
            stream.reconfigure(encoding="utf-8")
    warnings = logging.StreamHandler(sys.stderr)
    warnings.setLevel(logging.WARNING)
    warnings.setFormatter(_OneLine())
    logging.getLogger("single_rs").addHandler(warnings)
    try:
        tokens, flags = _take_settings(sys.argv[1:] if argv is None else argv)
        _flags.clear()
        _flags.update(flags)
        app(tokens, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except (SingleError, ConvergenceError) as error:
        return _complain(str(error))
    except CycloptsError as error:
        return _complain(f"{error}; see single-rs --help")
    except KeyboardInterrupt:
        print("single-rs: interrupted; finished stages are kept, run the same command to go on", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader, e.g. head, has gone: nothing is left to say, and flushing at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        logging.getLogger("single_rs").removeHandler(warnings)
    return 0


class _OneLine(logging.Formatter):
    """Warnings on the terminal in one line; traces of errors go to run.log only."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message."""
        return f"single-rs: {' '.join(record.getMessage().split())}"


def _complain(message: str) -> int:
    print(f"single-rs: {' '.join(message.split())}", file=sys.stderr)
    return EXIT_BAD_INPUT
