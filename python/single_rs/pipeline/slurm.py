"""Calls on the nodes of a cluster under Slurm: each is a script for `sbatch --wait`, with files for call and result.

Slurm starts a job again whose node failed (``--requeue``); a task finds what it did before. Reference: sbatch(1).
"""

from __future__ import annotations

import itertools
import pickle
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from single_rs.base.errors import InputError, SingleError

__all__ = ["SlurmExecutor", "script"]

TAIL = 400  # characters of a job's output that are shown when it gave no result


def script(call: Path, cpus: int, options: Sequence[str] = ()) -> str:
    """Return the script of one job.

    Parameters
    ----------
    call
        File of the call; the result and the output of the job are written beside it.
    cpus
        Processors of one task; as many threads run.
    options
        More of sbatch, such as ``--partition=long`` or ``--time=08:00:00``.
    """
    lines = [
        "#!/bin/sh",
        "#SBATCH --job-name=single_rs",
        "#SBATCH --ntasks=1",
        f"#SBATCH --cpus-per-task={cpus}",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        f"#SBATCH --output={call.with_suffix('.log')}",
        *(f"#SBATCH {option}" for option in options),
        f"export RAYON_NUM_THREADS={cpus}",
        f"exec {shlex.quote(sys.executable)} -m single_rs.pipeline.slurm {shlex.quote(str(call))}",
    ]
    return "\n".join(lines) + "\n"


class SlurmExecutor(Executor):
    """Submits each call as a job and waits for it in a thread.

    Parameters
    ----------
    folder
        Of scripts, calls, results and outputs; every node must see it under this name.
    at_once
        Most jobs in the queue.
    cpus, options
        See `script`.
    """

    def __init__(self, folder: Path, at_once: int, cpus: int, options: Sequence[str] = ()) -> None:
        self._folder, self._cpus, self._options = folder.absolute(), cpus, tuple(options)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._numbers = itertools.count()
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="sbatch")

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit one call; function, arguments and result must be picklable."""
        call = self._folder / f"job_{next(self._numbers):05d}.call"
        call.write_bytes(pickle.dumps((fn, args, kwargs)))
        call.with_suffix(".sh").write_text(script(call, self._cpus, self._options), encoding="utf-8")
        call.with_suffix(".result").unlink(missing_ok=True)
        return self._threads.submit(_wait_for, call)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let no more calls in."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)


def _wait_for(call: Path) -> Any:
    """Run the job of a call and return its result, or raise its error."""
    command = ["sbatch", "--wait", "--parsable", str(call.with_suffix(".sh"))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise InputError(f"sbatch cannot be run: {error.strerror or error}; use --cluster local or dask") from None
    result = call.with_suffix(".result")
    if not result.exists():
        log = call.with_suffix(".log")
        said = (log.read_text(errors="replace") if log.exists() else done.stderr).strip()[-TAIL:]
        raise SingleError(f"the job of {call.name} ended without a result (sbatch: {done.returncode}): {said}")
    value, raised = pickle.loads(result.read_bytes())
    if raised is not None:
        raise raised
    return value


def main(argv: Sequence[str]) -> None:
    """Run the call in a file and leave its result beside it."""
    call = Path(argv[0])
    fn, args, kwargs = pickle.loads(call.read_bytes())
    outcome: tuple[Any, Exception | None]
    try:
        outcome = fn(*args, **kwargs), None
    except Exception as error:
        outcome = None, error
    partial = call.with_suffix(".partial")
    partial.write_bytes(pickle.dumps(outcome))
    partial.replace(call.with_suffix(".result"))


if __name__ == "__main__":
    main(sys.argv[1:])
