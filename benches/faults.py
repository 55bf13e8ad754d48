"""Faults of machine and files: what the program does when its input is mangled, it is killed, stopped, or out of room.

    python benches/faults.py [mangled] [kills] [disk] [signals] --share 0.1

Everything is seeded. `mangled` changes files that the program reads and runs the command that reads them: it must end
with exit 0, or with one line and exit 2. `kills` sends SIGKILL at random moments and resumes until the run has
finished: the files must be those of a run that was left alone, byte by byte. `disk` gives the output a file system that
is too small (a tmpfs, so it needs root on Linux): one line and exit 2, no half file. `signals` sends SIGINT, SIGTERM
and SIGHUP in every stage: exit code 128 + n, status "interrupted", no half file, and the same bytes after resume.

Each command is the program's own entry in a process that is forked from one that has imported it, so that a thousand of
them cost minutes; POSIX only.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

MANGLED, KILLS, SIZES = 500, 100, 20
LIMIT = 180.0  # s that one command may take
CHANGES = {"run.json", "run.log", "report.html", "manifest.json"}  # hold times, or hashes of what holds them
# Coarse settings: the faults are the matter, not the atoms.
FAST = """
[orient]
lattice_scan = 0.2
direction_step = 6.0
candidates = 12
map_rounds = 2
fallback_engine = "never"
[trace]
rounds = 2
sweeps = 1
[refine]
rounds = 1
"""
SMALL = "box = 80\n[detector]\ndose = 30\n"
STAGES = ("stack", "background", "orient", "reconstruct", "trace", "refine", "analyze", "report")


class Command:
    """The program with its words in a process of its own; what it says goes to a file."""

    def __init__(self, words: list[str], folder: Path, log: Path) -> None:
        self.code: int | None = None
        self.seconds = 0.0  # of processor time, once it has ended
        self.pid = os.fork()
        if self.pid:
            return
        code = 1
        try:
            os.chdir(folder)
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(out, stream)
            from single_rs.cli import main

            sys.argv = ["single-rs", *words]
            code = main(words) or 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def wait(self, seconds: float) -> int | None:
        """Return the exit code, negative for the signal that ended it, or None while it runs after `seconds`."""
        end = time.monotonic() + seconds
        while self.code is None:
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.code, self.seconds = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
            elif time.monotonic() > end:
                return None
            else:
                time.sleep(0.002)
        return self.code

    def send(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.wait(0) is None:
            os.kill(self.pid, number)


def finish(process: Command, log: Path) -> tuple[int, list[str]]:
    """Wait; return the exit code and what was said besides progress."""
    code = process.wait(LIMIT)
    if code is None:
        process.send(signal.SIGKILL)
        process.wait(LIMIT)
        code = -999
    lines = log.read_text(errors="replace").splitlines()
    return code, [line for line in lines if not re.search(r": \d+ of \d+, \d+ s$", line)]


def clean(code: int, lines: list[str], wanted: int = 2, usual: frozenset[str] = frozenset()) -> bool:
    """Whether a command ended with `wanted` and one line of ours beside its usual warnings, and no trace."""
    said = [line for line in lines if line.startswith("single-rs: ") and ": continued after " not in line]
    said = [line for line in said if not line.startswith("single-rs: expected: ")]
    ours = [line for line in said if line not in usual]
    return code == wanted and len(ours) == 1 and not any("Traceback" in line for line in lines)


def content(folder: Path) -> dict[str, str]:
    """Return a hash of every file whose bytes must be the same; summary.json without its times."""
    found = {}
    hidden = folder / ".single_rs"  # what is not finished yet
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in CHANGES):
        if path.is_relative_to(hidden):
            continue
        data = path.read_bytes()
        if path.name == "summary.json":
            data = json.dumps({k: v for k, v in json.loads(data).items() if k != "seconds"}).encode()
        found[str(path.relative_to(folder))] = hashlib.sha256(data).hexdigest()
    return found


def halves(folder: Path) -> list[str]:
    """Return half-written files."""
    return [p.name for p in folder.rglob("*.partial*")] if folder.exists() else []


class Bench:
    """A small particle, its undisturbed run, and the tables of what happened."""

    def __init__(self, work: Path, seed: int, share: float) -> None:
        self.work, self.share, self.random = work, share, random.Random(seed)
        (work / "fast.toml").write_text(FAST)
        (work / "small.toml").write_text(SMALL)
        size = ["--frames", "100", "--diameter", "12", "--config", "small.toml"]
        words = ["simulate", "s.mrcs", "--kind", "stack", *size]
        self.expect([*words, "--seed", "1"])
        # The report, half of the time of so small a run, is a stage of the part `signals` alone.
        self.brief = [
            "solve",
            "s.mrcs",
            "--element",
            "Pt",
            "--config",
            "fast.toml",
            "--report.enabled",
            "false",
            "--out",
        ]
        self.solve = ["solve", "s.mrcs", "--element", "Pt", "--config", "fast.toml", "--out"]
        begin = time.monotonic()
        # What it warns of when nothing disturbs it.
        said, self.work_of_one = self.expect([*self.brief, "whole"])
        self.usual = frozenset(said)
        self.seconds = time.monotonic() - begin
        if not (work / "whole" / "particle_00" / "atoms.xyz").exists():
            raise SystemExit("the undisturbed run found no atoms; the later stages would not be tried")
        self.whole = content(work / "whole")

    def expect(self, words: list[str]) -> tuple[list[str], float]:
        """Run a command that must succeed; return what it said, and its processor time, s."""
        log = self.work / "setup.log"
        process = Command(words, self.work, log)
        code, lines = finish(process, log)
        if code != 0:
            raise SystemExit(f"{' '.join(words)} ended in {code}: {lines}")
        return lines, process.seconds

    def count(self, full: int) -> int:
        """Return how many of `full` cases this share of the bench has."""
        return max(1, round(full * self.share))

    def kills(self) -> Iterator[tuple[str, str]]:
        """Kill and resume, up to five times a run; where one had finished before its signal, another is begun.

        The last row is the work that a kill costs: processor time of all processes of the runs beyond that of as many
        runs that were left alone, for each kill.
        """
        left, chain, kills, seconds = self.count(KILLS), 0, 0, 0.0
        while left:
            chain += 1
            out, log = self.work / f"kill{chain}", self.work / "kill.log"
            for _ in range(min(left, 5)):
                process = Command([*self.brief, out.name], self.work, log)
                process.wait(self.random.uniform(0.05, self.seconds))
                process.send(signal.SIGKILL)
                ended = process.wait(LIMIT)
                seconds += process.seconds
                if ended != -signal.SIGKILL:
                    break
                left, kills = left - 1, kills + 1
                yield "kill -9", "killed"
            process = Command([*self.brief, out.name], self.work, log)
            code, lines = finish(process, log)
            seconds += process.seconds
            yield "resumed after kills", self.verdict(code, lines, out)
        cost = (seconds - chain * self.work_of_one) / max(kills, 1)
        yield "work that a kill costs", f"{cost:.1f} of the {self.work_of_one:.1f} s of processor time of a run"

    def verdict(self, code: int, lines: list[str], out: Path) -> str:
        """Compare a resumed run with the undisturbed one; half files that only kill -9 can leave are counted apart."""
        if code != 0:
            return f"exit {code}: {lines[-1:]}"
        found = {name: value for name, value in content(out).items() if ".partial" not in name}
        different = sorted(n for n in found.keys() | self.whole.keys() if found.get(n) != self.whole.get(n))
        left = f", {len(halves(out))} half files left" if halves(out) else ""
        return (f"different: {different[:3]}" if different else "same bytes") + left

    def signals(self) -> Iterator[tuple[str, str]]:
        """Stop a run in every stage, and resume it until it has finished."""
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number, out, log = getattr(signal, name), self.work / name, self.work / "signal.log"
            for stage in STAGES:
                process = Command([*self.solve, out.name], self.work, log)
                if not self.reached(process, out / "run.log", stage):
                    finish(process, log)
                    yield f"{name} in a stage", f"{stage}: not reached"
                    continue
                time.sleep(self.random.uniform(0, 0.3))
                process.send(number)
                begin = time.monotonic()
                code, lines = finish(process, log)
                late = time.monotonic() - begin
                status = json.loads((out / "run.json").read_text())["status"]
                good = clean(code, lines, 128 + number, self.usual) and status == "interrupted" and not halves(out)
                quick = "" if late < 3 else f", after {late:.0f} s"
                said = f"resumable, exit {128 + number}{quick}"
                yield f"{name} in a stage", said if good else f"{stage}: exit {code}, {status}, {halves(out)}, {lines}"
            code, lines = finish(Command([*self.solve, out.name], self.work, log), log)
            yield f"resumed after {name}", self.verdict(code, lines, out)

    @staticmethod
    def reached(process: Command, log: Path, stage: str) -> bool:
        """Wait until a run has begun a stage; False when it ended before."""
        before = log.stat().st_size if log.exists() else 0
        while process.wait(0) is None:
            if log.exists() and f"{stage}: started" in log.read_bytes()[before:].decode(errors="replace"):
                return True
            time.sleep(0.005)
        return False

    def disk(self) -> Iterator[tuple[str, str]]:
        """Write into file systems from 1 to 100 % of the room that is needed."""
        whole = sum(p.stat().st_size for p in (self.work / "whole").rglob("*") if p.is_file())
        atoms = str(self.work / "whole" / "particle_00" / "atoms.xyz")
        commands = {
            "solve": [*self.brief, "full/out"],
            "analyze": ["analyze", atoms, "--out", "full/out"],
            "simulate": ["simulate", "full/s.mrcs", "--kind", "movie", "--frames", "40", "--particles", "1"],
        }
        mount = self.work / "full"
        mount.mkdir(exist_ok=True)
        for name, words in commands.items():
            for part in np.geomspace(0.01, 1.0, self.count(SIZES)):
                size = int(part * whole)
                subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(mount)], check=True)
                try:
                    log = self.work / "disk.log"
                    code, lines = finish(Command(words, self.work, log), log)
                    left = halves(mount)
                finally:
                    subprocess.run(["umount", str(mount)], check=True)
                good = (code == 0 or clean(code, lines, 2, self.usual)) and not left
                said = "had room" if code == 0 else "one line, exit 2"
                yield f"disk full, {name}", said if good else f"{size} B: exit {code}, {lines[-2:]}, {left}"

    def mangled(self) -> Iterator[tuple[str, str]]:
        """Change files that strangers bring, and those of ours, and run what reads them."""
        part = self.work / "whole" / "particle_00"
        seeds: list[tuple[Path, Callable[[Path], list[str]]]] = [
            (self.work / "s.mrcs", lambda p: ["background", str(p)]),
            (self.tiff(), lambda p: ["motion", str(p), "--pixel-size", "0.358"]),
            (part / "poses.star", lambda p: ["reconstruct", "s.mrcs", str(p)]),
            (part / "map.mrc", lambda p: ["trace", str(p), "--element", "Pt", "--config", "fast.toml"]),
            (part / "map.mrc", lambda p: ["analyze", str(part / "atoms.xyz"), "--map", str(p)]),
            *((part / n, lambda p: ["analyze", str(p)]) for n in ("atoms.xyz", "atoms.pdb", "atoms.cif", "POSCAR")),
            *((part / n, lambda p: ["export", str(p)]) for n in ("atoms.xyz", "atoms.pdb", "atoms.cif", "POSCAR")),
            *((part / n, lambda p: ["compare", str(p.parent)]) for n in ("summary.json", "lattice.json", "atoms.xyz")),
            (self.work / "fast.toml", lambda p: ["background", "s.mrcs", "--config", str(p)]),
        ]
        for number in range(self.count(MANGLED)):
            path, command = seeds[number % len(seeds)]
            folder = self.work / f"mangled{number}"
            folder.mkdir()
            file = folder / path.name
            data = path.read_bytes()
            binary = path.suffix in (".mrc", ".mrcs", ".tif")
            changed, how = (mangle_binary if binary else mangle_text)(data, self.random)
            file.write_bytes(changed)
            words, log = [*command(file), "--out", str(folder / "out")], folder / "log"
            code, lines = finish(Command(words, self.work, log), log)
            said = "exit 0" if code == 0 else "one line, exit 2"
            good = (code == 0 and not any("Traceback" in line for line in lines)) or clean(code, lines, 2, self.usual)
            kind = f"mangled {path.suffix.lstrip('.') or path.name}"
            yield kind, said if good else f"{how} ({words[0]}): exit {code}: {lines[-1:]}"

    def tiff(self) -> Path:
        """Write a small movie as TIFF."""
        import tifffile

        path = self.work / "m.tif"
        tifffile.imwrite(path, np.random.default_rng(0).poisson(8, (12, 96, 96)).astype(np.uint16))
        return path


HOSTILE = ("nan", "inf", "-1", "0", "1e308", "1e999", "", "99999999999999999999", "-2147483649", "1e-300", "x", "=1+1")
NUMBER = re.compile(rb"(?<![A-Za-z_0-9.])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def mangle_text(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Return a text with a line, a byte or a number changed, or cut, and what was done."""
    lines = data.split(b"\n")
    at, line = draw.randrange(len(data)), draw.randrange(len(lines))
    match draw.randrange(8):
        case 0:
            return data[:at], f"cut at byte {at}"
        case 1:
            return b"\n".join(lines[:line] + lines[line + 1 :]), f"without line {line}"
        case 2:
            return b"\n".join(lines[: line + 1] + lines[line:]), f"line {line} twice"
        case 3:
            return data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :], f"byte {at}"
        case 4:
            return data[:at] + b"\xff\xfe\0\0" + data[at:], f"no UTF-8 at {at}"
        case _:
            numbers = list(NUMBER.finditer(data))
            one = draw.choice(numbers[:40] if draw.random() < 0.6 else numbers)
            new = draw.choice(HOSTILE)
            return data[: one.start()] + new.encode() + data[one.end() :], f"number at {one.start()} → {new!r}"


def mangle_binary(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Return an image file that is cut, or with a word or byte of its header or of its data changed."""
    match draw.randrange(4):
        case 0:
            size = draw.choice([0, 1, 100, 1023, 1024, 1025, draw.randrange(len(data))])
            return data[:size], f"cut to {size} bytes"
        case 1:
            word, value = draw.randrange(56), draw.choice([0, -1, 1, 2, 3, 7, 12, 128, 65536, 2**31 - 1, -(2**31)])
            return data[: 4 * word] + struct.pack("<i", value) + data[4 * word + 4 :], f"word {word} = {value}"
        case 2:
            word, real = draw.randrange(56), draw.choice([float("nan"), float("inf"), -1.0, 1e38, 1e-38])
            return data[: 4 * word] + struct.pack("<f", real) + data[4 * word + 4 :], f"word {word} = {real}"
        case _:
            at = draw.randrange(len(data))
            return data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :], f"byte {at}"


def main() -> None:
    """Run the parts and print a table: what was tried, what came out, how often."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("mangled", "kills", "disk", "signals")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; all when none is given")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the cases; all of them take about a quarter of an hour"
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    os.environ.setdefault("RAYON_NUM_THREADS", "2")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    # What each command would import; no thread and no kernel has run before the first fork.
    for name in ("cli", "pipeline.entry", "pipeline.stages", "report", "plots", "export", "simulate", "compare"):
        importlib.import_module(f"single_rs.{name}")
    # nohup and a shell's background jobs would hand them on, ignored, to what is started here.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="single_rs_faults_") as work:
        bench = Bench(Path(work), given.seed, given.share)
        print(
            f"an undisturbed run takes {bench.seconds:.0f} s\n\n| tried | outcome | times |\n|---|---|---|", flush=True
        )
        for part in given.parts or parts:
            table: Counter[tuple[str, str]] = Counter()
            for tried, outcome in getattr(bench, part)():
                table[tried, outcome] += 1
                print(f"{tried}: {outcome}", file=sys.stderr, flush=True)
            for (tried, outcome), times in sorted(table.items()):
                print(f"| {tried} | {outcome} | {times} |", flush=True)


if __name__ == "__main__":
    main()
