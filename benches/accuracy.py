"""Accuracy of the whole solver on simulated particles that nothing was tuned to, or on a stack with truth.

    python benches/accuracy.py                       the matrix below
    python benches/accuracy.py 0 3                   only these rows
    python benches/accuracy.py --stack S.mrcs --truth T.npz [--dose D]

Each row simulates (multislice) or thins a stack, cleans, finds poses, reconstructs, traces, and scores: frames within
1, 2 and 3 degrees after one global rotation and hand, recall, precision and RMSD of the atoms, and the RMSD that the
same frames give with their true poses, which is the bound of reconstruction alone. Thinning a Poisson count binomially
gives the Poisson count of a lower dose. Rows go into docs/results.md.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from single_rs.atoms import trace_atoms
from single_rs.background import clean_stack
from single_rs.errors import SingleError
from single_rs.io import ParticleStack, read_stack
from single_rs.orient import find_poses
from single_rs.reconstruct import reconstruct
from single_rs.scoring import score_atoms, score_poses
from single_rs.simulate import nanocrystal, simulate_stack
from single_rs.simulate.optics import OpticsConfig

# name, nanocrystal keywords, simulate_stack keywords
MATRIX = (
    ("Pt 22 Å", {"diameter": 22.0, "seed": 101}, {"frames": 1200, "dose": 10.0, "step": 6.0, "seed": 101}),
    ("Pt 30 Å", {"diameter": 30.0, "seed": 102}, {"frames": 1200, "dose": 3.0, "step": 8.0, "box": 144, "seed": 102}),
    ("Pt 25 Å, 1 e/px", {"diameter": 25.0, "seed": 103}, {"frames": 2000, "dose": 1.0, "step": 8.0, "seed": 103}),
    ("Au 26 Å, fault", {"element": "Au", "diameter": 26.0, "defect": "stacking_fault", "seed": 104},
     {"frames": 1200, "dose": 8.0, "step": 8.0, "seed": 104}),
    ("Pt 25 Å, bent", {"diameter": 25.0, "bend": 0.002, "seed": 105},
     {"frames": 1200, "dose": 8.0, "step": 12.0, "seed": 105}),
)  # fmt: skip


def solve(name: str, element: str, images: np.ndarray, pixel: float, dose: float, truth: dict[str, np.ndarray]) -> str:
    """Solve one stack; returns its row."""
    start, cpu = time.perf_counter(), time.process_time()
    frames = np.arange(len(images))
    clean = clean_stack(ParticleStack(images, pixel, frames, None))
    try:
        poses = find_poses(clean, element)
        density = reconstruct(clean, poses)
        atoms = trace_atoms(density.map, pixel, element, clean.diameter, density.half1, density.half2)
    except SingleError as error:
        return f"| {name} | {dose:g} | {len(images)} | failed: {error} |"
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    p = score_poses(poses.rotations, frames, truth["R"])
    a = score_atoms(atoms.positions, truth["atoms"])
    ideal = replace(
        poses, rotations=truth["R"], shifts=truth["shift"], weight=np.ones(len(frames)), half=frames // 50 % 2 + 1
    )
    best = reconstruct(clean, ideal)
    bound = score_atoms(trace_atoms(best.map, pixel, element, clean.diameter).positions, truth["atoms"])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return (
        f"| {name} | {dose:g} | {len(images)} | {p.within_1deg:.3f} | {p.within_2deg:.3f} | {p.within_3deg:.3f} | "
        f"{p.median_deg:.2f} | {density.resolution:.2f} | {a.recall:.3f} | {a.precision:.3f} | {a.rmsd:.2f} | "
        f"{a.rmsd / bound.rmsd:.2f} | {wall:.0f} | {cpu:.0f} | {memory:.1f} |"
    )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=int)
    parser.add_argument("--stack", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--dose", type=float)
    parser.add_argument("--element", default="Pt")
    options = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    print(f"commit {commit.stdout.strip()}")
    print("| particle | e/px | frames | <1° | <2° | <3° | median ° | FSC Å | recall | precision | RMSD pm "
          "| × true poses | wall s | CPU s | GB |")  # fmt: skip
    if options.stack:
        stack, truth = read_stack(options.stack), dict(np.load(options.truth))
        images, dose = np.asarray(stack.images), float(truth["dose"])
        if options.dose:
            random = np.random.Generator(np.random.Philox(key=1))
            images = random.binomial(images.astype(np.int64), options.dose / dose).astype(np.int8)
        print(solve(options.stack.stem, options.element, images, stack.pixel_size, options.dose or dose, truth))
        return
    for number in options.rows or range(len(MATRIX)):
        name, of_crystal, of_stack = MATRIX[number]
        crystal = nanocrystal(**of_crystal)
        optics = OpticsConfig(scattering="multislice")
        made = simulate_stack(crystal, jump_rate=0.01, optics=optics, **of_stack)
        truth = {"R": made.rotations, "shift": made.shifts, "atoms": crystal.positions}
        print(solve(name, of_crystal.get("element", "Pt"), made.images, made.pixel_size, made.dose, truth), flush=True)


if __name__ == "__main__":
    main()
