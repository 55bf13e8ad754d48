"""Particles that change in time, and those that do not: states, their atoms, dates and what they cost.

    python benches/states.py still layer --cache stacks
    python benches/states.py --stack frames.mrcs --truth frames.npz

Each row is simulated by this package, or read: counts, and an npz with `state`, the true state of each frame, and
`atoms0`, `atoms1` and so on, Å, those of each. `single_rs.solve` gets the counts and nothing else; the truth is opened
after it has ended. A line has verdict, number of states found (true), for each state of the particle and of those that
were split off its recall, precision and rms error, the changes found (true), the share of lost atoms that are dated,
the largest error of their dates and the share within two stated errors, and seconds of processor time. The row
`merging` is a movie of two particles that come near each other and become one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

import single_rs as sr
from common import apart, append_line
from single_rs.alignment import match_atoms, score_atoms
from single_rs.export.atoms import read_xyz
from single_rs.io import read_stack
from single_rs.io.mrc import mrc_writer
from single_rs.records import ParticleStack
from single_rs.simulate import Crystal, MovementConfig, nanocrystal, simulate_movie, simulate_stack
from single_rs.simulate.tumbling import brownian_rotations
from single_rs.store.codecs import read_record
from single_rs.store.states import StatesRecord, TimelineTable, read_trajectory
from single_rs.store.tables import read_table

Array = NDArray[np.float64]

PIXEL, ELEMENT, STEP, JUMP_RATE = 0.358, "Pt", 5.0, 0.005
STEPS = 8  # in which atoms leave a particle that dissolves
SHARE = 0.025  # of its atoms that leave at each
HEAD = (
    "| row | verdict | states (true) | atoms of each: found/true, recall, precision, pm | changes (true) "
    "| lost atoms dated | largest error | within 2 σ | CPU s |\n|---|---|---|---|---|---|---|---|---|\n"
)


@dataclass(frozen=True)
class World:
    """Counts (n, y, x) of a particle, the true state of each frame, and the atoms of each state."""

    images: NDArray[np.generic]
    pixel_size: float
    state: NDArray[np.int64]
    atoms: list[Array]


def simulated(name: str, crystals: list[Crystal], begins: list[int], frames: int, dose: float, seed: int) -> World:
    """Return frames of crystals that take turns, each from its entry of `begins` on."""
    rotations = brownian_rotations(frames, STEP, JUMP_RATE, seed)
    reach = max(float(np.linalg.norm(c.positions, axis=1).max()) for c in crystals)
    box = 16 * int(np.ceil((2 * reach + 14) / PIXEL / 16))
    parts = [
        simulate_stack(c, b - a, rotations=rotations[a:b], box=box, pixel_size=PIXEL, dose=dose, seed=seed, item=k)
        for k, (c, (a, b)) in enumerate(zip(crystals, pairwise([*begins, frames]), strict=True))
    ]
    state = np.repeat(np.arange(len(crystals)), np.diff([*begins, frames]))
    return World(np.concatenate([p.images for p in parts]), PIXEL, state, [c.positions for c in crystals])


def without(crystal: Crystal, gone: NDArray[np.bool_]) -> Crystal:
    """Return a crystal without some atoms."""
    return replace(crystal, positions=crystal.positions[~gone], symbols=crystal.symbols[~gone], grain=None)


def neighbours(positions: Array) -> NDArray[np.int64]:
    """Return how many atoms are within 3.2 Å of each."""
    return np.array([len(near) - 1 for near in cKDTree(positions).query_ball_point(positions, 3.2)])


def still(diameter: float, dose: float, seed: int, frames: int = 350, **crystal: object) -> Callable[[], World]:
    """Return a world that does not change."""
    return lambda: simulated("still", [nanocrystal(ELEMENT, diameter, seed=seed, **crystal)], [0], frames, dose, seed)


def layer(diameter: float, dose: float, seed: int, frames: int = 700) -> Callable[[], World]:
    """Return a world of which a {111} layer leaves half way."""

    def make() -> World:
        crystal = nanocrystal(ELEMENT, diameter, seed=seed)
        height = crystal.positions @ np.ones(3) / np.sqrt(3)
        both = [crystal, without(crystal, height > height.max() - 2.5)]
        return simulated("layer", both, [0, frames // 2], frames, dose, seed)

    return make


def unbend(diameter: float, dose: float, seed: int, frames: int = 700) -> Callable[[], World]:
    """Return a bent crystal that straightens half way."""

    def make() -> World:
        both = [nanocrystal(ELEMENT, diameter, seed=seed, bend=bend) for bend in (0.02, 0.0)]
        return simulated("unbend", both, [0, frames // 2], frames, dose, seed)

    return make


def swap(diameter: float, dose: float, seed: int, frames: int = 800) -> Callable[[], World]:
    """Return two particles in one track."""

    def make() -> World:
        both = [nanocrystal(ELEMENT, diameter - k, seed=seed + k) for k in (0, 1)]
        return simulated("swap", both, [0, int(0.55 * frames)], frames, dose, seed)

    return make


def dissolve(diameter: float, dose: float, seed: int, frames: int = 800) -> Callable[[], World]:
    """Return a crystal whose least coordinated atoms leave in some steps."""

    def make() -> World:
        crystals, rng = [nanocrystal(ELEMENT, diameter, seed=seed)], np.random.default_rng(seed)
        for _ in range(STEPS):
            x = crystals[-1].positions
            order = np.argsort(neighbours(x) + rng.random(len(x)))
            crystals.append(without(crystals[-1], np.isin(np.arange(len(x)), order[: max(int(SHARE * len(x)), 1)])))
        begins = [0, *np.rint(np.linspace(0.2, 0.9, STEPS) * frames).astype(int).tolist()]
        return simulated("dissolve", crystals, begins, frames, dose, seed)

    return make


ROWS: dict[str, Callable[[], World]] = {
    "still-15A-10e": still(15, 10, 201),
    "still-18A-3e": still(18, 3, 202),
    "still-20A-1e": still(20, 1, 203, 400),
    "still-bent-18A-8e": still(18, 8, 204, bend=0.02),
    "still-fault-20A-5e": still(20, 5, 205, defect="stacking_fault"),
    "still-twin-20A-8e": still(20, 8, 206, defect="twin"),
    "layer-18A-8e": layer(18, 8, 211),
    "unbend-18A-8e": unbend(18, 8, 212),
    "swap-20A-8e": swap(20, 8, 213),
    "dissolve-18A-8e": dissolve(18, 8, 214),
}
MERGING = "merging"


def from_files(stack: Path, truth: Path) -> World:
    """Return what files hold."""
    read = read_stack(stack)
    with np.load(truth) as data:
        state = np.asarray(data["state"], np.int64)
        return World(
            np.asarray(read.images), read.pixel_size, state, [data[f"atoms{k}"] for k in range(state.max() + 1)]
        )


def kept(name: str, cache: Path | None) -> World:
    """Return a row, from the cache where it is there."""
    if cache is None:
        return ROWS[name]()
    path = cache / f"states-{name}.npz"
    if not path.exists():
        made = ROWS[name]()
        cache.mkdir(parents=True, exist_ok=True)
        atoms = {f"atoms{k}": x for k, x in enumerate(made.atoms)}
        np.savez(path, images=made.images, px=made.pixel_size, state=made.state, **atoms)
    with np.load(path) as data:
        state = data["state"]
        return World(data["images"], float(data["px"]), state, [data[f"atoms{k}"] for k in range(state.max() + 1)])


def dates(folder: Path, world: World) -> tuple[int, int, Array, Array]:
    """Numbers of atoms that leave and that are found to, the misses of their dates, and the stated errors, frames."""
    table, steps = read_table(folder / "timeline.csv", TimelineTable), read_trajectory(folder / "trajectory.xyz")
    places = np.full((len(table.id), 3), np.nan)
    for step in reversed(steps):
        places[step.numbers] = step.positions
    match = match_atoms(places, world.atoms[0])
    there = np.stack([cKDTree(x).query(world.atoms[0])[0] < 1.0 for x in world.atoms])
    begin = np.array([np.argmax(world.state == k) for k in range(len(world.atoms))])
    gone = np.where(there.all(0), len(world.state), begin[np.argmin(there, axis=0)])[match.true]
    lost, said = gone < len(world.state), table.last_err[match.found] > 0
    both = lost & said
    miss = (table.last[match.found] + 1 - gone)[both]
    return int(lost.sum()), int(both.sum()), miss.astype(float), table.last_err[match.found][both]


def line(name: str, world: World) -> str:
    """Solve a row and return its line."""
    with tempfile.TemporaryDirectory() as folder:
        stack = ParticleStack(world.images, world.pixel_size, np.arange(len(world.images)))
        begun = time.process_time()
        particles = sr.solve(stack, element=ELEMENT, out=Path(folder) / "out").particles
        seconds = time.process_time() - begun
        atoms, changes, states = [], [], 0
        for particle in particles:
            if not (particle.folder / "states.json").exists():
                continue
            record = read_record(particle.folder / "states.json", StatesRecord)
            changes += [f"{e.frame} ± {e.frame_err:.0f}" for e in record.events if e.id is None]
            for state in record.states:
                states += 1
                if state.atoms is None or not (particle.folder / state.atoms).exists():
                    atoms.append(f"none ({state.verdict})")
                    continue
                frames = np.concatenate([np.arange(a, b + 1) for a, b in state.frames])
                truth = world.atoms[np.bincount(world.state[frames]).argmax()]
                found = read_xyz(particle.folder / state.atoms).positions
                score = score_atoms(found, truth)
                atoms.append(f"{len(found)}/{len(truth)}, {score.recall:.3f}, {score.precision:.3f}, {score.rmsd:.1f}")
        true = [str(k) for k in np.flatnonzero(np.diff(world.state)) + 1]
        dated = ["", "", ""]
        if len(world.atoms) > 1 and (particles[0].folder / "timeline.csv").exists() and len(particles) == 1:
            lost, found_lost, miss, stated = dates(particles[0].folder, world)
            within = float(np.mean(np.abs(miss) <= 2 * stated)) if len(miss) else np.nan
            largest = float(np.abs(miss).max()) if len(miss) else np.nan
            dated = [f"{found_lost}/{lost}", f"{largest:.0f}", f"{within:.2f}"] if lost else dated
        verdicts = ", ".join(particle.verdict for particle in particles)
        number = f"{states} ({len(world.atoms)})"
        cells = [name, verdicts, number, "; ".join(atoms), f"{', '.join(changes)} ({', '.join(true)})", *dated]
        return "| " + " | ".join([*cells, f"{seconds:.0f}"]) + " |"


def merging(folder: Path) -> str:
    """Two particles come near each other and are one from frame 300 of 600 on; return what a run says of the movie."""
    one, other = (nanocrystal(ELEMENT, size, seed=seed) for size, seed in ((14.0, 221), (12.0, 222)))
    turned = other.positions @ Rotation.random(random_state=3).as_matrix().T
    along = np.array([1.0, 0.0, 0.0])
    tree = cKDTree(one.positions)
    gap = next(d for d in np.arange(5.0, 30.0, 0.05) if tree.query(turned + d * along)[0].min() > 2.6)
    touching = np.concatenate([one.positions, turned + gap * along])
    both = replace(one, positions=touching - touching.mean(0), symbols=np.full(len(touching), ELEMENT), grain=None)
    parts, shape = [], (224, 224)
    calm = MovementConfig(step=STEP, wander=0.5, drift_speed=0.0)
    for k, apart_by in enumerate((58.0, 48.0, 38.0, None)):
        half = 0.0 if apart_by is None else apart_by / 2 / PIXEL
        centres = [[112.0, 112.0]] if apart_by is None else [[112.0 - half, 112.0], [112.0 + half, 112.0]]
        crystals, frames = ([both], 300) if apart_by is None else ([one, other], 100)
        path = folder / f"part{k}.mrc"
        simulate_movie(path, crystals, frames, shape=shape, pixel_size=PIXEL, dose=10.0, centres=centres, movement=calm)
        parts.append(np.asarray(read_stack(path).images))
    movie = folder / "merging.mrc"
    with mrc_writer(movie, (sum(len(part) for part in parts), *shape), np.dtype(np.int8), PIXEL) as put:
        for part in parts:
            put(part.astype(np.int8))
    result = sr.run(movie, element=ELEMENT, out=folder / "out")
    said = []
    for particle in result.particles:
        frames = json.loads((particle.folder / "summary.json").read_text())["frames"]
        record = particle.folder / "states.json"
        count = len(read_record(record, StatesRecord).states) if record.exists() else 0
        scores = []
        if particle.atoms is not None:
            for name, truth in (("first", one.positions), ("second", other.positions), ("both", both.positions)):
                score = score_atoms(particle.atoms.positions, truth)
                scores.append(f"{name} {score.recall:.2f} {score.precision:.2f}")
        said.append(f"{particle.folder.name}: {frames} frames, {particle.verdict}, {count} states; {'; '.join(scores)}")
        said += [f"    {reason}" for reason in particle.reasons]
    return "\n".join(said)


def report(name: str, options: argparse.Namespace) -> None:
    """Print the line of a row."""
    if name == MERGING:
        with tempfile.TemporaryDirectory() as folder:
            print(merging(Path(folder)))
        return
    world = kept(name, options.cache) if options.stack is None else from_files(options.stack, options.truth)
    text = line(name, world)
    print(text, flush=True)
    append_line(options.append, HEAD, text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="names or parts of names; all when none is given")
    parser.add_argument("--list", action="store_true", help="print the rows and end")
    parser.add_argument("--cache", type=Path, help="folder where simulated stacks are kept and found again")
    parser.add_argument("--append", type=Path, help="file that gets the lines too")
    parser.add_argument("--stack", type=Path, help="solve this stack of counts instead")
    parser.add_argument("--truth", type=Path, help="its truth: npz with state, atoms0, atoms1 …")
    chosen = parser.parse_args()
    names = [name for name in (*ROWS, MERGING) if not chosen.rows or any(word in name for word in chosen.rows)]
    if chosen.list:
        print("\n".join(names))
    elif chosen.stack is not None:
        if chosen.truth is None:
            parser.error("--stack and --truth go together")
        report(chosen.stack.stem, chosen)
    else:
        for row in names:
            apart(report, row, chosen)
