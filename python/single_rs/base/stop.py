"""How a run is stopped from outside: SIGINT, SIGTERM and SIGHUP all raise `Stopped`, within seconds.

Python runs the handler of a signal between two of its own instructions, so a long call of a kernel delays it. A second
thread therefore hears of the signal at once, through the socket of `signal.set_wakeup_fd`. When the main thread has not
begun to stop `GRACE` seconds later, or when a second signal comes, that thread ends the process: what was registered
with `at_stop` is called, newest first, and the exit code is 128 + the number of the signal, as shells report it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Stopped", "at_stop", "raise_if_stopped", "stoppable"]

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
GRACE = 1.5  # s that a kernel may go on before the process is ended under it; files are whole or absent at any moment
ECHO = 0.2  # s; a terminal that closes sends SIGHUP twice, once by the kernel and once by the shell
CLOSING = 30.0  # s that the main thread may take to write its status once it has begun to stop

_callbacks: list[Callable[[], object]] = []
_noticed: list[int] = []  # signals that the block that runs has noticed


class Stopped(KeyboardInterrupt):
    """The process was asked to stop.

    Attributes
    ----------
    signal
        Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = number


def raise_if_stopped() -> None:
    """Raise `Stopped` again where a signal was noticed and its exception was lost on the way.

    Libraries turn what is raised inside them into errors of their own: NumPy's comparison of arrays of text makes a
    TypeError of it. Who catches all errors asks here first whether one of them was a signal.
    """
    if _noticed:
        raise Stopped(_noticed[0])


@contextlib.contextmanager
def at_stop(callback: Callable[[], object]) -> Iterator[None]:
    """Have `callback` called when the process is ended inside the block without an exception, under a long kernel.

    It is called from another thread while the main thread is in the kernel, and must be short. An exception, as of a
    signal that the main thread notices itself, does not call it: there the block's own ``finally`` does the work.
    """
    _callbacks.append(callback)
    try:
        yield
    finally:
        _callbacks.remove(callback)


@contextlib.contextmanager
def stoppable(farewell: Callable[[int], object]) -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP stop the block.

    A signal that was ignored when the process began, as SIGHUP is under ``nohup``, stays ignored. Outside the main
    thread, where Python allows no handlers, the block runs as it is.

    Parameters
    ----------
    farewell
        Called with the number of the signal before the process is ended under a long kernel: says so in one line.

    Raises
    ------
    Stopped
        Inside the block, in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    watch = _Watch(farewell)
    before = {n: signal.getsignal(n) for n in SIGNALS}
    caught = [n for n, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    wakeup = signal.set_wakeup_fd(watch.number, warn_on_full_buffer=False)
    try:
        for number in caught:
            signal.signal(number, watch.notice)
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        _noticed.clear()
        for number in caught:
            signal.signal(number, before[number])
        watch.close()


class _Watch:
    """The thread that hears of signals while the main thread is in a kernel."""

    def __init__(self, farewell: Callable[[int], object]) -> None:
        self._farewell = farewell
        self._noticed = threading.Event()
        self._exit, self._entrance = socket.socketpair()  # not a pipe: Windows wakes by sockets only
        self._entrance.setblocking(False)  # as set_wakeup_fd demands
        self.number = self._entrance.fileno()
        self._thread = threading.Thread(target=self._run, name="single_rs signals", daemon=True)
        self._thread.start()

    def notice(self, number: int, frame: Any) -> None:
        """Raise in the main thread: the handler of the signals."""
        if not self._noticed.is_set():
            self._noticed.set()
            _noticed.append(number)
            raise Stopped(number)

    def close(self) -> None:
        """End the thread."""
        self._entrance.close()
        self._thread.join()
        self._exit.close()

    def _run(self) -> None:
        first, since = 0, 0.0
        while True:
            if first and time.monotonic() > since + (CLOSING if self._noticed.is_set() else GRACE):
                _end(first, self._farewell)
            # Not select.select, which takes no file of a number above 1,023: a process may have more open.
            self._exit.settimeout(0.1 if first else None)
            try:
                heard = self._exit.recv(1)
            except TimeoutError:
                continue
            if not heard:
                return  # closed: the main thread has ended by itself
            if heard[0] not in SIGNALS:
                continue  # another signal that has a handler in Python
            if first and time.monotonic() > since + ECHO:
                _end(heard[0], self._farewell)
            if not first:
                first, since = heard[0], time.monotonic()


def _end(number: int, farewell: Callable[[int], object]) -> None:
    """End the process at once, after what was registered with `at_stop`."""
    for callback in reversed(_callbacks.copy()):
        # One that fails must not keep the others from being called, nor the process alive.
        with contextlib.suppress(Exception):
            callback()
    with contextlib.suppress(Exception):
        farewell(number)
    os._exit(128 + number)


def _forget() -> None:
    """Give a forked child the system's own handlers: what it hears must not stop its parent."""
    if any(isinstance(getattr(signal.getsignal(n), "__self__", None), _Watch) for n in SIGNALS):
        signal.set_wakeup_fd(-1)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
