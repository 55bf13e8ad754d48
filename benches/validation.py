"""How often each check of `single_rs.validate` calls a good particle bad and a bad one good.

    python benches/validation.py --list                                            the particles and the faults
    python benches/validation.py --cache /tmp/stacks --append /tmp/validation.jsonl    all; goes on where it was
    python benches/validation.py --table /tmp/validation.jsonl                     the table of docs/validate.md

Small particles of known truth, a vacancy inside each, seen in few multislice frames. A good case has the true poses,
off by 0.4° and 0.05 Å at random as a search leaves them; then one fault is put in. What a case is, good or bad, is
known from how it was made; atoms are scored against the truth besides. Poses are not searched: the checks are measured.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from common import FLIP, cube_rotations
from single_rs.alignment import score_atoms
from single_rs.atoms import trace_atoms
from single_rs.background import clean_stack
from single_rs.base.errors import SingleError
from single_rs.pipeline.config import ValidateConfig
from single_rs.reconstruction.fourier import reconstruct
from single_rs.records import CleanStack, ParticleStack, Poses
from single_rs.simulate import Crystal, nanocrystal, simulate_stack
from single_rs.simulate.optics import OpticsConfig
from single_rs.validate import Case, validate_case
from single_rs.validate.reproject import Reprojector

FRAMES, PIXEL = 320, 0.4  # frames; Å
BLOCK = 40  # frames of a block of the half sets
STRETCH = 20  # frames in a row that are lost together
POSE_ERROR, SHIFT_ERROR = 0.4, 0.05  # degrees and Å per axis, as measured of the search
ADDED = 0.03  # share of false atoms
FEW = 24  # frames
TRIALS = 150  # poses tried for each frame of noise
BOND_SLACK = 1.2
CHEAP = ("reprojection", "halves", "heldout", "coverage")


@dataclass(frozen=True)
class Particle:
    """A particle and the dose (e/px/frame) that it is seen with; `crystal` is keywords of `nanocrystal`."""

    name: str
    dose: float
    crystal: dict[str, Any]
    element: str = "Pt"


PARTICLES = (
    Particle("Pt 16 Å, 10 e", 10, {"diameter": 16.0, "seed": 71}),
    Particle("Pt 18 Å, 3 e", 3, {"diameter": 18.0, "seed": 72}),
    Particle("Pt 16 Å twin, 10 e", 10, {"diameter": 16.0, "defect": "twin", "seed": 73}),
    Particle("Au 17 Å, 5 e", 5, {"diameter": 17.0, "seed": 74}, "Au"),
    Particle("Pt 18 Å bent, 5 e", 5, {"diameter": 18.0, "bend": 0.02, "seed": 75}),
    Particle("Pd 16 Å, 10 e", 10, {"diameter": 16.0, "seed": 76}, "Pd"),
    Particle("Pt 19 Å fault, 2 e", 2, {"diameter": 19.0, "defect": "stacking_fault", "seed": 78}),
)


@dataclass(frozen=True)
class Scene:
    """Frames, poses as a search would leave them, and the truth."""

    particle: Particle
    clean: CleanStack
    poses: Poses
    truth: Crystal
    vacancy: NDArray[np.float64]
    seed: int


def simulated(number: int, cache: Path | None) -> Scene:
    """Simulate a particle with one vacancy, or read its counts from the cache."""
    particle = PARTICLES[number]
    whole = nanocrystal(particle.element, **particle.crystal)
    rng = np.random.default_rng(number)
    radius = np.linalg.norm(whole.positions - whole.positions.mean(axis=0), axis=1)
    hole = int(rng.choice(np.flatnonzero(radius < 0.5 * radius.max())))
    keep = np.arange(len(whole)) != hole
    truth = Crystal(whole.positions[keep], whole.symbols[keep], whole.frames)
    box = 4 * int(np.ceil((2 * whole.radius + 12.5) / PIXEL / 4))
    views = Rotation.random(FRAMES, rng=rng).as_matrix()
    path = None if cache is None else cache / f"validation_{number}.npz"
    if path is not None and path.exists():
        with np.load(path) as kept:
            counts, rotations, shifts = kept["counts"], kept["R"], kept["shift"]
    else:
        made = simulate_stack(
            truth,
            FRAMES,
            box=box,
            pixel_size=PIXEL,
            dose=particle.dose,
            rotations=views,
            optics=OpticsConfig(scattering="multislice"),
            seed=number,
        )
        counts, rotations, shifts = made.images, made.rotations, made.shifts
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(path, counts=counts, R=rotations, shift=shifts)
    clean = clean_stack(ParticleStack(counts, PIXEL, np.arange(FRAMES)))
    off = Rotation.from_rotvec(np.radians(POSE_ERROR) * rng.standard_normal((FRAMES, 3))).as_matrix()
    poses = Poses.known(off @ rotations, shifts + SHIFT_ERROR * rng.standard_normal((FRAMES, 2)), block=BLOCK)
    return Scene(particle, clean, poses, truth, whole.positions[hole], number)


def built(scene: Scene, poses: Poses | None = None, clean: CleanStack | None = None) -> Case:
    """Reconstruct and trace."""
    clean, poses = clean or scene.clean, poses or scene.poses
    density = reconstruct(clean, poses)
    element = scene.particle.element
    atoms = trace_atoms(density.map, clean.pixel_size, element, clean.diameter, density.half1, density.half2)
    return Case(clean, poses, density, atoms, element, seed=scene.seed)


def with_atoms(case: Case, positions: NDArray[np.float64], pick: NDArray[np.int64]) -> Case:
    """Return the case with atoms `pick` of the model moved to `positions`."""
    a = case.atoms
    count = len(a)
    fields = {}
    for name, value in vars(a).items():
        if isinstance(value, np.ndarray) and value.shape[:1] == (count,):
            fields[name] = value[pick]
    return case.changed(atoms=replace(a, **{**fields, "positions": positions}))


# ---- faults -----------------------------------------------------------------------------------------------------


def good(scene: Scene, case: Case) -> Case:
    """Return the case as it is."""
    return case


def wrong_mates(scene: Scene, case: Case, share: float = 0.2) -> Case:
    """Turn a share of the frames, stretches in a row, by rotations of the cube of the first grain."""
    rng = np.random.default_rng(scene.seed + 10)
    grain = scene.truth.frames[0] if scene.truth.frames is not None else np.eye(3)
    rotations = scene.poses.rotations.copy()
    stretches = np.arange(0, len(rotations), STRETCH)
    for start in rng.choice(stretches, round(share * len(stretches)), replace=False):
        turn = cube_rotations()[rng.integers(1, 24)]
        mate = grain @ turn @ grain.T
        rotations[start : start + STRETCH] = rotations[start : start + STRETCH] @ mate
    return built(scene, replace(scene.poses, rotations=rotations))


def turned(scene: Scene, case: Case, degrees: float = 3.0) -> Case:
    """Turn every pose at random."""
    rng = np.random.default_rng(scene.seed + 20)
    off = Rotation.from_rotvec(np.radians(degrees) * rng.standard_normal((len(scene.poses.rotations), 3))).as_matrix()
    return built(scene, replace(scene.poses, rotations=off @ scene.poses.rotations))


def strangers(scene: Scene, case: Case) -> Case:
    """Give every frame the pose of another; the atoms stay."""
    poses = replace(scene.poses, rotations=np.roll(scene.poses.rotations, 7, axis=0))
    return case.changed(poses=poses, density=reconstruct(scene.clean, poses))


def pixel_size(scene: Scene, case: Case) -> Case:
    """Say that pixels are 2 % larger than they are."""
    clean = replace(scene.clean, pixel_size=1.02 * scene.clean.pixel_size, diameter=1.02 * scene.clean.diameter)
    return built(scene, replace(scene.poses, shifts=1.02 * scene.poses.shifts), clean)


def other_hand(scene: Scene, case: Case) -> Case:
    """Mirror the whole result."""
    return built(scene, replace(scene.poses, rotations=FLIP @ scene.poses.rotations))


def two_hands(scene: Scene, case: Case) -> Case:
    """Mirror the second half alone."""
    second = (scene.poses.half == 2)[:, None, None]
    return built(
        scene, replace(scene.poses, rotations=np.where(second, FLIP @ scene.poses.rotations, scene.poses.rotations))
    )


def filled(scene: Scene, case: Case) -> Case:
    """Put an atom into the vacancy."""
    x = np.asarray(case.atoms.positions)
    return with_atoms(case, np.vstack([x, scene.vacancy]), np.append(np.arange(len(x)), 0))


def lost(scene: Scene, case: Case) -> Case:
    """Take an atom near the centre away."""
    x = np.asarray(case.atoms.positions)
    pick = np.delete(np.arange(len(x)), np.argmin(np.linalg.norm(x - x.mean(axis=0), axis=1)))
    return with_atoms(case, x[pick], pick)


def false_atoms(scene: Scene, case: Case) -> Case:
    """Put atoms on free lattice sites of the surface."""
    x = np.asarray(case.atoms.positions)
    tree = cKDTree(x)
    bond = float(np.median(tree.query(x, k=2)[0][:, 1]))
    pairs = tree.query_pairs(BOND_SLACK * bond, output_type="ndarray")
    sites = np.vstack([2 * x[pairs[:, 0]] - x[pairs[:, 1]], 2 * x[pairs[:, 1]] - x[pairs[:, 0]]])
    sites = sites[(tree.query(sites)[0] > 0.9 * bond) & (np.linalg.norm(sites - scene.vacancy, axis=1) > bond)]
    rng = np.random.default_rng(scene.seed + 30)
    new: list[NDArray[np.float64]] = []
    for site in sites[rng.permutation(len(sites))]:
        if len(new) < ADDED * len(x) and all(np.linalg.norm(site - other) > 0.9 * bond for other in new):
            new.append(site)
    return with_atoms(case, np.vstack([x, *new]), np.append(np.arange(len(x)), np.zeros(len(new), int)))


def displaced(scene: Scene, case: Case) -> Case:
    """Move every atom by 0.2 Å per axis at random."""
    x = np.asarray(case.atoms.positions)
    move = 0.2 * np.random.default_rng(scene.seed + 40).standard_normal(x.shape)
    return with_atoms(case, x + move, np.arange(len(x)))


def wedge(scene: Scene, case: Case) -> Case:
    """Leave the frames seen within 35° of one axis of the particle."""
    keep = np.abs(scene.poses.rotations[:, 2, 2]) > np.cos(np.radians(35))
    return built(scene, replace(scene.poses, weight=np.where(keep, 1.0, 0.0)))


def few(scene: Scene, case: Case) -> Case:
    """Leave few frames, spread evenly."""
    weight = np.zeros(len(scene.poses.frames))
    weight[np.linspace(0, len(weight) - 1, FEW).astype(int)] = 1.0
    return built(scene, replace(scene.poses, weight=weight))


def noise(scene: Scene, case: Case) -> Case:
    """Frames of noise alone, each in the pose in which it looks most like the atoms."""
    rng = np.random.default_rng(scene.seed + 50)
    spread = np.sqrt(np.mean(scene.clean.noise[10:]))
    images = (spread * rng.standard_normal(scene.clean.images.shape)).astype(np.float32)
    shells = np.full_like(scene.clean.noise, spread**2)
    clean = replace(scene.clean, images=images, noise=shells, frame_noise=np.ones(len(images), np.float32))
    blank = case.changed(clean=clean, poses=replace(scene.poses, shifts=np.zeros_like(scene.poses.shifts)))
    model = Reprojector(case.frames, case.mask, case.atoms.positions, case.atoms.symbols)
    model.fit(np.arange(len(case.used)), case.poses.rotations[case.used], case.poses.weight[case.used])
    trials = Rotation.random(TRIALS, rng=rng).as_matrix()
    likeness = np.real((blank.frames.spectra * blank.frames.weights) @ model.spectra(trials).conj().T)
    poses = replace(blank.poses, rotations=trials[np.argmax(likeness, axis=1)])
    return case.changed(clean=clean, poses=poses, density=reconstruct(clean, poses))


# Name of the fault → how it is made, and whether the result is bad.
FAULTS: dict[str, tuple[Callable[[Scene, Case], Case], bool]] = {
    "none": (good, False),
    "other hand": (other_hand, False),
    "wrong mates for 20 % of the frames": (wrong_mates, True),
    "poses off by 3° per axis": (turned, True),
    "poses of other frames": (strangers, True),
    "halves of two hands": (two_hands, True),
    "pixel size off by 2 %": (pixel_size, True),
    "atoms off by 0.2 Å per axis": (displaced, True),
    "vacancy filled": (filled, True),
    "one atom lost": (lost, True),
    "3 % false atoms": (false_atoms, True),
    "views of 35° about one axis": (wedge, True),
    "24 frames": (few, True),
    "noise, aligned to the atoms": (noise, True),
}
SLOW = {"none": ("perfect", "defocus"), "views of 35° about one axis": ("perfect",), "24 frames": ("perfect",)}


def measure(scene: Scene, case: Case, fault: str) -> dict[str, Any]:
    """Make the checks of one case."""
    start = time.process_time()
    change, bad = FAULTS[fault]
    line: dict[str, Any] = {"particle": scene.particle.name, "fault": fault, "bad": bad}
    try:
        changed = change(scene, case)
    except SingleError as error:
        return line | {"unbuilt": str(error)}
    score = score_atoms(changed.atoms.positions, scene.truth.positions)
    names = [*CHEAP, *SLOW.get(fault, ())]
    result = validate_case(changed, names, config=ValidateConfig(model_frames=200))
    line |= {"recall": score.recall, "precision": score.precision, "rmsd_pm": score.rmsd}
    line["checks"] = {
        c.name: {
            "status": c.status,
            "message": c.message,
            "criteria": {k.name: [k.value, k.limit, k.passed] for k in c.criteria},
        }
        for c in result.checks
        if c.name in names
    }
    return line | {"seconds": time.process_time() - start}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("particles", nargs="*", type=int, help="numbers; all when none is given")
    parser.add_argument("--list", action="store_true", help="print particles and faults and end")
    parser.add_argument("--faults", help="parts of names, with commas between; all when not given")
    parser.add_argument("--cache", type=Path, help="folder where simulated stacks are kept and found again")
    parser.add_argument(
        "--append", type=Path, help="file that gets one JSON line per case; those in it are not repeated"
    )
    parser.add_argument("--table", type=Path, help="print the table of such a file and end")
    options = parser.parse_args()
    if options.list:
        print("\n".join([p.name for p in PARTICLES] + list(FAULTS)))
        return
    if options.table:
        print(table([json.loads(line) for line in options.table.read_text(encoding="utf-8").splitlines()]))
        return
    words = options.faults.split(",") if options.faults else [""]
    faults = [f for f in FAULTS if any(w in f for w in words)]
    done = set()
    if options.append and options.append.exists():
        lines = map(json.loads, options.append.read_text(encoding="utf-8").splitlines())
        done = {(line["particle"], line["fault"]) for line in lines}
    for number in options.particles or range(len(PARTICLES)):
        left = [f for f in faults if (PARTICLES[number].name, f) not in done]
        if not left:
            continue
        scene = simulated(number, options.cache)
        case = built(scene)
        for fault in left:
            line = json.dumps(measure(scene, case, fault))
            print(line, flush=True)
            if options.append:
                with open(options.append, "a", encoding="utf-8") as file:
                    file.write(line + "\n")


def table(lines: list[dict[str, Any]]) -> str:
    """Return the table: per fault, how many particles have atoms, and how many of those each check calls good."""
    checks = list(dict.fromkeys(c for line in lines for c in line.get("checks", {})))
    heads = ["fault", "with atoms", *(f"`{c}`" for c in checks), "all checks"]
    out = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for fault in FAULTS:
        of = [line for line in lines if line["fault"] == fault]
        built = [line["checks"] for line in of if "checks" in line]
        cells = [f"{len(built)} of {len(of)}"]
        for check in checks:
            states = [made[check]["status"] for made in built if check in made]
            cells.append(f"{states.count('passed')} of {len(states)}" if states else "–")
        good = sum(all(c["status"] == "passed" for c in made.values()) for made in built)
        cells.append(f"{good} of {len(built)}" if built else "–")
        out.append(f"| {fault} | " + " | ".join(cells) + " |")
    return "\n".join(out)


if __name__ == "__main__":
    main()
