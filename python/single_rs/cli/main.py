"""The entry point: settings given as flags, logging, signals, and every error in one line.

Exit codes: 0; 2 for what the user or the machine can mend (input, files, room, memory), in one line; 1 for a defect of
ours, in one line that names a file with the trace; 128 + n after signal n (130 for Ctrl-C).
"""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Sequence
from typing import TextIO

from cyclopts.exceptions import CycloptsError

from single_rs import __version__
from single_rs.base.errors import ConvergenceError, InputError, SingleError
from single_rs.base.memory_limit import check_address_space, memory_limit
from single_rs.base.stop import Stopped, stoppable
from single_rs.cli import batch, commands, energy, look, plan, tools, validation, whole  # noqa: F401  (they register themselves)
from single_rs.cli.app import _flags, _take_memory, _take_settings, app
from single_rs.cli.options import check_threads

__all__ = ["main"]


EXIT_DEFECT = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it

LONGEST_NAME = 120  # characters of a file's name in a message; a name may have thousands
NO_THREAD = "can't start new thread"  # as Python says it
LAST_CALLS = 40  # of a trace; a recursion without end has a thousand


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``single-rs``.

    Parameters
    ----------
    argv
        Words after the program's name; ``None`` takes them from the process.

    Returns
    -------
    int
        Exit code, as the module says.
    """
    if argv is None:
        _mend_streams()
        warnings.showwarning = _to_log
    words = list(sys.argv[1:] if argv is None else argv)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.addFilter(lambda record: record.levelno >= logging.WARNING or hasattr(record, "shown"))
    terminal.setFormatter(_OneLine())
    logging.getLogger("single_rs").addHandler(terminal)
    # A line of the log that cannot be written, e.g. on a full disk, is no reason for a trace on the terminal.
    raising, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        with stoppable(_farewell):
            return _run(words)
    except RuntimeError as error:  # `_run` lets none through: the thread that listens to signals did not start
        return _complain(_memory_message(error))
    except KeyboardInterrupt as stop:
        _say(_interrupted(stop.signal if isinstance(stop, Stopped) else None))
        return 128 + stop.signal if isinstance(stop, Stopped) else EXIT_INTERRUPTED
    finally:
        logging.raiseExceptions = raising
        logging.getLogger("single_rs").removeHandler(terminal)


def _run(words: list[str]) -> int:
    """Run the command; return the exit code."""
    try:
        if sys.stdout is None:
            raise InputError("standard output is closed; send it to a file or to /dev/null")
        if (word := next((w for w in words if "\0" in w), None)) is not None:
            raise InputError(f"{word!r} holds a byte 0, which no name and no value can have")
        check_address_space()
        check_threads(os.environ.get("RAYON_NUM_THREADS"), "RAYON_NUM_THREADS")
        tokens, flags = _take_settings(words)
        tokens, memory = _take_memory(tokens)
        _flags.clear()
        _flags.update(flags)
        with memory_limit(memory):
            app(tokens, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except (SingleError, ConvergenceError) as error:
        return _complain(str(error))
    except CycloptsError as error:
        return _complain(f"{error}; see single-rs --help")
    except BrokenPipeError:
        # The reader, e.g. head, has gone: nothing is left to say.
        _give_up_output()
    except MemoryError as error:
        return _complain(_memory_message(error))
    except OSError as error:
        if error.errno == errno.ENOMEM:
            return _complain(_memory_message(error))
        if error.filename is None:
            _give_up_output()
        return _complain(_file_message(error))
    except ImportError as error:
        return _complain(f"a library cannot be loaded: {error}; install it anew, or give the program more memory")
    except (KeyboardInterrupt, SystemExit):
        raise
    except RuntimeError as error:
        return _complain(_memory_message(error)) if NO_THREAD in str(error) else _defect(error, words)
    except BaseException as error:  # a panic of the kernels is no Exception
        return _defect(error, words)
    return 0


class _OneLine(logging.Formatter):
    """Warnings on the terminal in one line; traces of errors go to run.log only."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message."""
        return f"single-rs: {' '.join(record.getMessage().split())}"


def _to_log(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Send a warning of a library to run.log, where there is one, and not to the terminal."""
    place = f"{os.path.basename(filename)}, line {lineno}"
    logging.getLogger("single_rs").info("%s: %s (%s)", category.__name__, message, place)


def _mend_streams() -> None:
    """Make the standard streams of the process such that writing to them neither fails nor ends in a file of ours.

    A closed one would give its number to the next file that is opened; a character that the locale cannot show would
    end the program.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  (it lives as long as the process)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Redirected on Windows, the encoding is a code page without σ or Γ; and TOML is UTF-8 everywhere.
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def _give_up_output() -> None:
    """Drop what standard output still holds: it cannot be written, and must not be tried again at exit."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):  # a stream without a file below it
        return


def _interrupted(number: int | None) -> str:
    by = "" if number is None else f" by {Stopped(number)}"
    return f"single-rs: interrupted{by}; finished stages are kept, run the same command to go on"


def _farewell(number: int) -> None:
    """Say that the process ends, from the thread that ends it; a terminal gets its cursor back."""
    cursor = "\x1b[?25h" if os.isatty(2) else ""
    os.write(2, f"{cursor}{_interrupted(number)}\n".encode())


def _memory_message(error: Exception) -> str:
    reason = f": {error}" if str(error) else ""
    return f"out of memory{reason}; close other programs, raise the limit, or give fewer frames"


def _file_message(error: OSError) -> str:
    """Return what an error of the system says, with the file."""
    reason = error.strerror or str(error)
    if error.filename is None:
        return f"cannot write the output: {reason}"
    name = os.fsdecode(error.filename)
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME // 2]}…{name[-LONGEST_NAME // 2 :]}"
    return f"{name}: {reason}"


def _defect(error: BaseException, words: list[str]) -> int:
    """Write the trace of an error that is ours to a file; say so in one line."""
    what = f"{type(error).__name__}: {error}"[:500]
    lines = traceback.format_exception(error, limit=-LAST_CALLS)
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="single_rs_", suffix=".log", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(f"single_rs {__version__}, Python {sys.version}\n{words}\n\n{''.join(lines)}")
        where = f"see {file.name}, and please report it with that file"
    except OSError:
        calls = traceback.extract_tb(error.__traceback__)
        where = f"in {os.path.basename(calls[-1].filename)}, line {calls[-1].lineno}; please report it"
    _say(f"single-rs: internal error, {what}; {where}")
    return EXIT_DEFECT


def _complain(message: str) -> int:
    _say(f"single-rs: {message}")
    return EXIT_BAD_INPUT


def _say(line: str) -> None:
    """Print one line to standard error, if it takes it."""
    try:
        print(" ".join(line.split()), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return
