"""The entry point: settings given as flags, logging, and errors in one line."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from cyclopts.exceptions import CycloptsError

from single_rs.base.errors import ConvergenceError, SingleError
from single_rs.cli import commands, energy, tools, validation  # noqa: F401  (they register themselves)
from single_rs.cli.app import _flags, _take_settings, app

__all__ = ["main"]


EXIT_BAD_INPUT = 2


EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


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
