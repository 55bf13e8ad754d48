"""One writer per folder: a lock file with a heartbeat, which a dead or silent owner loses.

The lock is a file made with O_EXCL, so that of two programs one alone succeeds. It names its owner (host, process,
start of the process, a random token), and its time of change is set anew every `BEAT` seconds. It is stale when its
process is gone (same host) or when it was not touched for `SILENCE` seconds (any host); whoever takes it over renames
it first, which again one alone succeeds in. Time of change and local clock are compared by the age of a probe file, so
that clocks of file servers do not matter.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from pathlib import Path
from typing import Any

from single_rs.base.errors import DataFileError

__all__ = ["BEAT", "SILENCE", "FolderLock"]

BEAT = 5.0  # s between two signs of life
SILENCE = 60.0  # s without one after which an owner on another host counts as dead: twelve beats, and slow file servers


class FolderLock:
    """The lock of a folder, held from `acquire` to `release`.

    Parameters
    ----------
    path
        The lock file; its folder must exist.
    guarded
        The folder that is locked, for messages.
    """

    def __init__(self, path: Path, guarded: Path) -> None:
        self.path, self.guarded = path, guarded
        self._token = secrets.token_hex(8)
        self._stop = threading.Event()
        self._beats: threading.Thread | None = None

    def acquire(self) -> None:
        """Take the lock, or raise `DataFileError` that names its owner."""
        owner = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": _started(os.getpid()),
            "token": self._token,
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        while True:
            try:
                handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                self._take_over()
                continue
            except OSError as error:
                raise DataFileError(
                    f"cannot write to the folder {self.guarded}: {error.strerror or error}; choose another with --out"
                ) from None
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(owner, file)
            break
        self._beats = threading.Thread(target=self._beat, name="folder lock", daemon=True)
        self._beats.start()

    def release(self) -> None:
        """Give the lock back; one that another program took over meanwhile stays."""
        self._stop.set()
        if self._beats is not None:
            self._beats.join()
            self._beats = None
        if self.held():
            with contextlib.suppress(OSError):
                self.path.unlink()

    def held(self) -> bool:
        """Whether the lock file still names this owner."""
        return bool(_read(self.path).get("token") == self._token)

    def _beat(self) -> None:
        while not self._stop.wait(BEAT):
            with contextlib.suppress(OSError):
                if self.held():
                    os.utime(self.path)

    def _take_over(self) -> None:
        """Put a stale lock away, or say who holds it."""
        owner = _read(self.path)
        if not owner and not self.path.exists():
            return  # released meanwhile
        if not self._stale(owner):
            raise DataFileError(
                f"{self.guarded} is in use by process {owner.get('pid', '?')} on {owner.get('host', 'another host')} "
                f"since {owner.get('since', '?')}; wait until it has finished, or choose another folder with --out"
            )
        gone = self.path.with_name(f"{self.path.name}.stale-{self._token}")
        with contextlib.suppress(OSError):
            os.rename(self.path, gone)
            gone.unlink()

    def _stale(self, owner: dict[str, Any]) -> bool:
        if owner.get("host") == socket.gethostname():
            pid = owner.get("pid")
            return not isinstance(pid, int) or not _alive(pid) or _started(pid) != owner.get("started")
        probe = self.path.with_name(f"{self.path.name}.probe-{self._token}")
        try:
            probe.touch()
            return probe.stat().st_mtime - self.path.stat().st_mtime > SILENCE
        except OSError:
            return False
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _alive(pid: int) -> bool:
    if os.name == "nt":  # there os.kill ends the process; only the start time, or the heartbeat, can tell
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _started(pid: int) -> str | None:
    """When a process started, in ticks since boot (proc(5)); a number used again by the system has another."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19]
    except (OSError, IndexError, ValueError):
        return None
