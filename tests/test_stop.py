"""SIGINT, SIGTERM and SIGHUP stop a run alike: in one line, resumable, exit code 128 + n, under a long kernel too."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from single_rs.base.stop import Stopped, at_stop, raise_if_stopped, stoppable
from single_rs.cli import main
from single_rs.simulate import nanocrystal, simulate_stack

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
PROGRAM = "import sys; from single_rs.cli import main; sys.exit(main())"


@pytest.fixture(autouse=True, scope="module")
def nothing_ignored():
    """As in a terminal, where no signal is ignored, whatever these tests themselves run under (``nohup``)."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def apart(test):
    """Run a test that signals its own process in another one: pytest's holds libraries with threads of their own."""

    @functools.wraps(test)
    def run():
        here = str(Path(__file__).parent)
        code = f"import sys; sys.path.insert(0, {here!r}); import test_stop; test_stop.{test.__name__}.__wrapped__()"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    return run


# One call of a kernel that takes minutes: 400 frames against 20,000 directions on one thread.
KERNEL = """
import sys, numpy as np
from single_rs import _core
from single_rs.base.stop import at_stop, stoppable
from single_rs.cli.main import _farewell
from single_rs.io import atomic
rng = np.random.default_rng(5)
images = rng.normal(size=(400, 64, 64)).astype(np.float32)
radii = [k / 64 for k in range(8, 25)]
polar = _core.polar_power(images, np.zeros((400, 2), np.float32), 20.0, 128, radii, np.ones((64, 33), np.float32))
spots, beams = (rng.normal(size=(n, 3)).astype(np.float32) for n in (60, 20_000))
spots *= 0.25 / np.linalg.norm(spots, axis=1, keepdims=True)
beams /= np.linalg.norm(beams, axis=1, keepdims=True)
with stoppable(_farewell), at_stop(lambda: open("status", "w").write("interrupted")), atomic("map.mrc") as partial:
    partial.write_text("half")
    print("in the kernel", flush=True)
    _core.index_frames(polar, radii, spots, np.ones(60).tolist(), 30.0, beams, 6)
"""


def _kernel(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", KERNEL],
        cwd=folder,
        env={**os.environ, "RAYON_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "in the kernel\n"
    time.sleep(0.3)
    return process


def _ended(process, timeout):
    """Wait and return exit code, seconds and standard error."""
    start = time.monotonic()
    try:
        process.wait(timeout)
    finally:
        process.kill()
    err = process.stderr.read()
    process.stdout.close()
    process.stderr.close()
    return process.returncode, time.monotonic() - start, err


@pytest.mark.parametrize("name", SIGNALS)
def test_a_long_kernel_is_ended_with_its_status_written_and_no_half_file(tmp_path, name):
    process = _kernel(tmp_path)
    assert [p for p in tmp_path.iterdir() if ".partial" in p.name]
    process.send_signal(getattr(signal, name))
    code, seconds, err = _ended(process, 60)
    assert code == 128 + getattr(signal, name)
    assert seconds < 10  # 1.5 s on an idle machine; the kernel alone takes minutes
    assert err == f"single-rs: interrupted by {name}; finished stages are kept, run the same command to go on\n"
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"status": "interrupted"}


def test_a_second_signal_ends_at_once(tmp_path):
    process = _kernel(tmp_path)
    process.send_signal(signal.SIGINT)
    time.sleep(0.4)
    process.send_signal(signal.SIGTERM)
    code, _, err = _ended(process, 60)
    assert code == 128 + signal.SIGTERM
    assert "interrupted by SIGTERM" in err
    assert (tmp_path / "status").read_text() == "interrupted"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    made = simulate_stack(nanocrystal("Pt", 12.0, seed=1), 60, box=80, dose=30.0, seed=1)
    return made.write(tmp_path_factory.mktemp("stack") / "s")


@pytest.mark.parametrize("name", SIGNALS)
def test_a_run_is_stopped_resumably(tmp_path, stack, name):
    out = tmp_path / "out"
    words = ["solve", str(stack), "--element", "Pt", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    limit = time.monotonic() + 120
    while not (out / "run.log").exists() or "particle_00/orient: started" not in (out / "run.log").read_text():
        assert time.monotonic() < limit
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.2)
    process.send_signal(getattr(signal, name))
    code, _, err = _ended(process, 60)
    assert code == 128 + getattr(signal, name)
    assert [line for line in err.splitlines() if " of " not in line] == [
        f"single-rs: interrupted by {name}; finished stages are kept, run the same command to go on"
    ]
    assert not list(out.rglob("*.partial*"))
    run = json.loads((out / "run.json").read_text())
    assert run["status"] == "interrupted"
    assert run["stages"]["particle_00/stack"]["files"]


def _stopped_by(number):
    with stoppable(lambda n: None):
        os.kill(os.getpid(), number)
        time.sleep(5)


@apart
def test_the_signal_is_an_exception_and_the_handlers_come_back():
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        with pytest.raises(Stopped) as caught:
            _stopped_by(number)
        assert caught.value.signal == number
        assert isinstance(caught.value, KeyboardInterrupt)
    assert {n: signal.getsignal(n) for n in before} == before
    assert signal.set_wakeup_fd(-1) == -1


@apart
def test_what_is_registered_is_not_called_when_the_block_ends_by_itself():
    called = []
    with pytest.raises(Stopped), at_stop(lambda: called.append(1)):
        _stopped_by(signal.SIGTERM)
    assert not called


@apart
def test_a_signal_that_was_ignored_stays_ignored():
    """As nohup and shells' background jobs ask."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable(lambda n: None):
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.05)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_may_run_the_program(capsys):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["config"])))
    thread.start()
    thread.join()
    assert codes == [0]


def test_what_a_forked_child_hears_does_not_stop_its_parent():
    code = (
        "import os, signal, sys, time\n"
        "from single_rs.base.stop import stoppable\n"
        "with stoppable(lambda n: None):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        time.sleep(60); os._exit(0)\n"
        "    time.sleep(0.2); os.kill(child, signal.SIGTERM)\n"
        "    _, status = os.waitpid(child, 0)\n"
        "    time.sleep(2.5)\n"  # longer than the parent would be left alone
        "print(os.WTERMSIG(status))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{int(signal.SIGTERM)}\n", "")


def test_a_process_with_many_files_open_is_stopped_too():
    code = (
        "import os, resource, signal, sys, time\n"
        "soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "if hard != resource.RLIM_INFINITY and hard < 1200: print(143); sys.exit()\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (1200, hard))\n"
        "files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]\n"
        "from single_rs.base.stop import Stopped, stoppable\n"
        "try:\n"
        "    with stoppable(lambda n: None):\n"
        "        os.kill(os.getpid(), signal.SIGTERM); time.sleep(20)\n"
        "except Stopped as stop: print(128 + stop.signal)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("143\n", "")


def _swallowed_by_a_library():
    with stoppable(lambda n: None):
        try:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
            except BaseException:
                raise TypeError("a comparison failed") from None  # as NumPy does with what it does not know
        except Exception:
            raise_if_stopped()


@apart
def test_a_signal_that_a_library_turned_into_its_own_error_is_raised_again():
    with pytest.raises(Stopped) as caught:
        _swallowed_by_a_library()
    assert caught.value.signal == signal.SIGTERM
    with stoppable(lambda n: None):
        raise_if_stopped()  # the signal of an earlier block is none of this one
