"""run.json and run.log: what was run, on what, how long it took, and what need not be run again.

Each stage has a key, the SHA-256 of its settings and of the keys of the stages it builds on, down to the checksum of
the input. A stage whose key is in run.json and whose files are all there is loaded instead of computed.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import logging
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from single_rs.errors import DataFileError
from single_rs.io.atomic import write_text

__all__ = ["RunLog", "file_log", "stage_key", "versions"]

log = logging.getLogger(__name__)

PACKAGES = ("numpy", "scipy", "mrcfile", "tifffile", "gemmi", "ase", "matplotlib", "plotly")
KIB = 1024  # ru_maxrss on Linux and VmHWM are in KiB, getrusage(2) and proc(5)
MIB = 1 << 20


def versions() -> dict[str, str]:
    """Return the versions of single_rs, Python and the libraries whose numbers matter."""
    from single_rs import __version__

    found = {"single_rs": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def stage_key(*parts: Any) -> str:
    """Return the key of a stage from everything that determines its result (plain values and other keys)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


class RunLog:
    """The record of one run, kept in ``OUT/run.json`` and rewritten after every stage.

    Parameters
    ----------
    folder
        OUT.
    resume
        Whether stages recorded by an earlier run may be taken as done.
    """

    def __init__(self, folder: Path, resume: bool) -> None:
        self.folder = folder
        self.data: dict[str, Any] = {"versions": versions(), "argv": sys.argv[1:], "status": "running", "stages": {}}
        self.data["started"] = _now()
        # Kept in the file until this run has finished, so that two interruptions lose no more than one.
        self._earlier = self._read() if resume else {}

    def _read(self) -> dict[str, Any]:
        path = self.folder / "run.json"
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))
            same = earlier["versions"]["single_rs"] == self.data["versions"]["single_rs"]
            stages: dict[str, Any] = earlier["stages"]
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError):
            log.warning("%s cannot be read; nothing of the earlier run is reused", path)
            return {}
        if not same:
            log.info("the earlier run was made by another version of single_rs; nothing of it is reused")
        return stages if same else {}

    def note(self, **values: Any) -> None:
        """Put facts of the run, such as its seed or status, into run.json."""
        self.data.update(values)
        self.save()

    def finish(self, **values: Any) -> None:
        """Put the last facts into run.json and drop what earlier runs left and this one did not use."""
        self._earlier = {}
        self.note(status="finished", finished=_now(), **values)

    def save(self) -> None:
        """Write run.json."""
        content = {**self.data, "stages": {**self._earlier, **self.data["stages"]}}
        write_text(self.folder / "run.json", json.dumps(content, indent=1, default=float) + "\n")

    def done(self, name: str, key: str) -> bool:
        """Return whether stage `name` was finished with this key and its files are still there."""
        entry = self._earlier.get(name)
        if not entry or entry.get("key") != key or entry.get("failed"):
            return False
        if not all((self.folder / f).exists() for f in entry.get("files", [])):
            return False
        log.info("%s: done before, loaded", name)
        self.data["stages"][name] = {**entry, "reused": True}
        return True

    @contextlib.contextmanager
    def stage(self, name: str, key: str, files: Sequence[Path] = (), **facts: Any) -> Iterator[dict[str, Any]]:
        """Time a stage and record it when it succeeds; on failure record why.

        Parameters
        ----------
        name
            As it stands in run.json, e.g. ``"particle_00/orient"``.
        key
            From `stage_key`.
        files
            What the stage writes; needed again for a resume.
        facts
            Further numbers to record; the dictionary that is yielded takes more.
        """
        entry: dict[str, Any] = {"key": key, "files": [str(f.relative_to(self.folder)) for f in files], **facts}
        _reset_peak()
        start, cpu = time.perf_counter(), time.process_time()
        log.info("%s: started", name)
        try:
            yield entry
        except BaseException as error:
            entry["failed"] = f"{type(error).__name__}: {error}"
            raise
        finally:
            entry["seconds"] = round(time.perf_counter() - start, 3)
            entry["cpu_seconds"] = round(time.process_time() - cpu, 3)
            entry["peak_memory_mb"] = round(_peak() / MIB, 1)
            self.data["stages"][name] = entry
            self.save()
            how = "failed" if "failed" in entry else "finished"
            log.info("%s: %s in %.1f s, peak memory %.0f MB", name, how, entry["seconds"], entry["peak_memory_mb"])

    def keys(self) -> Mapping[str, str]:
        """Return the keys of all stages of this run, by which its results are known."""
        return {name: entry["key"] for name, entry in self.data["stages"].items()}

    def times(self) -> Mapping[str, float]:
        """Return the seconds of every stage."""
        return {name: entry["seconds"] for name, entry in self.data["stages"].items()}


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _reset_peak() -> None:
    """Let the kernel forget the peak memory so far, so that each stage has its own (Linux, proc(5))."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Return the peak resident memory in bytes: of the stage on Linux, of the process elsewhere."""
    if sys.platform == "win32":
        return _peak_of_windows()
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * KIB
    import resource  # of POSIX only

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * KIB


class _MemoryCounters(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS of psapi.h: a DWORD is 4 bytes, a SIZE_T as wide as a pointer."""

    _fields_ = (
        ("cb", ctypes.c_uint32),
        ("PageFaultCount", ctypes.c_uint32),
        ("PeakWorkingSetSize", ctypes.c_size_t),
        ("WorkingSetSize", ctypes.c_size_t),
        ("QuotaPeakPagedPoolUsage", ctypes.c_size_t),
        ("QuotaPagedPoolUsage", ctypes.c_size_t),
        ("QuotaPeakNonPagedPoolUsage", ctypes.c_size_t),
        ("QuotaNonPagedPoolUsage", ctypes.c_size_t),
        ("PagefileUsage", ctypes.c_size_t),
        ("PeakPagefileUsage", ctypes.c_size_t),
    )


def _peak_of_windows() -> int:
    """Return the peak working set of this process in bytes, 0 when Windows does not say (GetProcessMemoryInfo)."""
    if sys.platform != "win32":
        return 0
    kernel = ctypes.WinDLL("kernel32")
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    kernel.K32GetProcessMemoryInfo.argtypes = (ctypes.c_void_p, ctypes.POINTER(_MemoryCounters), ctypes.c_uint32)
    counters = _MemoryCounters(cb=ctypes.sizeof(_MemoryCounters))
    found = kernel.K32GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.cb)
    return int(counters.PeakWorkingSetSize) if found else 0


@contextlib.contextmanager
def file_log(path: str | os.PathLike[str]) -> Iterator[None]:
    """Send everything single_rs logs to a file as well, appended, while the block runs."""
    root = logging.getLogger("single_rs")
    try:
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise DataFileError(f"cannot write {path}: {error.strerror or error}") from None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()
