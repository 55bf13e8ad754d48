"""Are stated errors true where the views, or the magnification, do not tell all? Many small particles, refined.

    python benches/errors.py                             all cases, 20 seeds each
    python benches/errors.py cone35 roll --seeds 5       some
    python benches/errors.py --table errors.jsonl        the table of docs/results.md from kept rows

Each seed is a particle of its own, seen from where the case allows, and refined from atoms that are stretched by 1 %
along the direction known least and scattered, with poses that are off by what a search leaves. The search is not
measured. Numbers of a case, over its seeds:

- within: how many seeds have all six strains of the error's affine part, together, within what Gaussian errors of the
  stated covariance stay as often as one number stays within 2.5 sigma (98.8 %; chi square of six);
- ratios of error to stated error, root mean square: of the atoms, of edges and angles of the fitted cell, and of the
  mean strain, whitened by its covariance. They should be 1.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from scipy.special import erf
from scipy.stats import chi2

from single_rs.alignment import match_atoms
from single_rs.analysis import analyze
from single_rs.background import clean_stack
from single_rs.base.tensors import even_strain
from single_rs.records import Atoms, ParticleStack, Poses
from single_rs.refine import RefineConfig, refine_atoms
from single_rs.simulate import nanocrystal, simulate_stack

Array = NDArray[np.float64]

CASES = ("cone20", "cone35", "cone50", "roll", "ellipse", "still")
SEEDS = 20
DIAMETER, FRAMES, DOSE = 15.0, 200, 10.0  # Å; e/px/frame
EDGE, PIXEL, BOX = 3.99, 0.4, 84  # Å, Å, px
STEP = 20.0  # degrees from frame to frame
POSE_ERROR, SHIFT_ERROR = 0.4, 0.05  # degrees and Å per axis, as measured of the search
STRETCH, SCATTER = 0.01, 0.05  # of the atoms that refinement starts from; Å per axis
ELLIPSE = 0.006  # each of its two parts
BLOCK = 25  # frames of a block of the half sets
BOUND = 2.5  # stated errors
EDGES, ANGLES = ("a", "b", "c"), ("alpha", "beta", "gamma")


def views(case: str, seed: int) -> Array:
    """Rotations (FRAMES, 3, 3) of a case."""
    random = np.random.default_rng([seed, 1])
    base = Rotation.random(random_state=seed)
    if case.startswith("cone"):
        tilt = np.deg2rad(float(case[4:])) * np.sqrt(random.random(FRAMES))
        azimuth, spin = random.uniform(0, 2 * np.pi, (2, FRAMES))
        tilts = Rotation.from_rotvec(np.stack([tilt * np.cos(azimuth), tilt * np.sin(azimuth), 0 * tilt], axis=1))
        return np.asarray((Rotation.from_euler("z", spin[:, None]) * tilts * base).as_matrix())
    if case == "roll":
        axis = random.normal(size=3)
        turn = np.deg2rad(STEP) * np.cumsum(random.normal(size=FRAMES))
        return np.asarray((Rotation.from_rotvec(turn[:, None] * axis / np.linalg.norm(axis)) * base).as_matrix())
    return np.asarray(Rotation.random(FRAMES, random_state=seed + 1000).as_matrix())


def affine(error: Array, positions: Array, covariance: Array) -> tuple[Array, float, float]:
    """Affine part (6,) of errors (n, 3) of positions (n, 3), and what it is over its stated covariance (6, 6).

    Root mean square of the six strains that are independent, each over its standard error, and the softest of them.
    """
    strain = even_strain(error[None], positions)[0]
    variance, axes = np.linalg.eigh(covariance)
    over = strain @ axes / np.sqrt(variance)
    return strain, float(np.sqrt(np.mean(over**2))), float(over[-1])


def measure(case: str, seed: int) -> dict[str, object]:
    """Simulate, refine and score one seed."""
    cpu = time.process_time()
    crystal = nanocrystal("Pt", DIAMETER, lattice_constant=EDGE, seed=seed)
    true, n = crystal.positions, len(crystal.positions)
    rotations, seen = views(case, seed), views(case, seed)
    random = np.random.default_rng([seed, 2])
    if case == "ellipse":
        angle = random.uniform(0, np.pi)
        e1, e2 = ELLIPSE * np.cos(2 * angle), ELLIPSE * np.sin(2 * angle)
        seen = np.array([[1 + e1, e2, 0], [e2, 1 - e1, 0], [0, 0, 1]]) @ rotations
    stack = simulate_stack(crystal, FRAMES, box=BOX, pixel_size=PIXEL, dose=DOSE, rotations=seen, seed=seed)
    clean = clean_stack(ParticleStack(stack.images, PIXEL, np.arange(FRAMES), None))
    turn = Rotation.from_rotvec(np.deg2rad(POSE_ERROR) * random.normal(size=(FRAMES, 3)))
    off = SHIFT_ERROR * random.normal(size=(FRAMES, 2))
    poses = Poses.known((turn * Rotation.from_matrix(rotations)).as_matrix(), stack.shifts + off, block=BLOCK)
    beam = np.linalg.eigh(np.einsum("ni,nj->ij", rotations[:, 2], rotations[:, 2]))[1][:, 2]
    start = true @ (np.eye(3) + STRETCH * np.outer(beam, beam)) + SCATTER * random.normal(size=(n, 3))
    atoms = Atoms(start, crystal.symbols, np.ones(n), np.full(n, 2.0), np.full(n, 0.1), np.ones(n))
    refined = refine_atoms(clean, poses, atoms, RefineConfig())
    match = match_atoms(refined.atoms.positions, true)
    positions, error = refined.atoms.positions[match.found], match.error
    covariance = np.array(refined.summary.strain_covariance)
    strain, strain_ratio, softest = affine(error, positions, covariance)
    lattice = analyze(refined.atoms, "Pt").lattice
    assert lattice is not None
    # The cell is that of the crystal the atoms were displaced from at random, and so is its error.
    cell = {
        name: (getattr(lattice, name) - (EDGE if name in EDGES else 90.0)) / getattr(lattice, f"{name}_err")
        for name in EDGES + ANGLES
    }
    return {
        "case": case,
        "seed": seed,
        "atoms": n,
        "found": len(match.found),
        "false": len(refined.atoms) - len(match.found),
        "pm": 100 * float(np.sqrt((error**2).sum(axis=1).mean())),
        "atom_ratio": float(np.sqrt(((error / refined.atoms.sigma[match.found, None]) ** 2).mean())),
        "strain": strain.tolist(),
        "strain_ratio": strain_ratio,
        "softest": softest,
        "cell": cell,
        "cpu": time.process_time() - cpu,
    }


def table(rows: list[dict[str, object]]) -> str:
    """Return the table in Markdown, one line per case."""

    def rms(values: list[object]) -> float:
        return float(np.sqrt(np.mean(np.square(np.array(values, float)))))

    lines = [
        "| case | seeds | atoms found, of; false | pm | affine part within 2.5 σ | error / σ: atoms | "
        "mean strain | softest strain | edges | angles | CPU (s) |",
        "|---" * 11 + "|",
    ]
    for case in CASES:
        of = [r for r in rows if r["case"] == case]
        if not of:
            continue
        found, atoms, false = (sum(int(str(r[k])) for r in of) for k in ("found", "atoms", "false"))
        within = sum(6 * float(str(r["strain_ratio"])) ** 2 <= chi2.ppf(erf(BOUND / np.sqrt(2)), 6) for r in of)
        cells = [r["cell"] for r in of if isinstance(r["cell"], dict)]
        edges, angles = (rms([c[n] for c in cells for n in names]) for names in (EDGES, ANGLES))
        numbers = [*(rms([r[k] for r in of]) for k in ("atom_ratio", "strain_ratio", "softest")), edges, angles]
        lines.append(
            f"| {case} | {len(of)} | {found}, {atoms}; {false} | {rms([r['pm'] for r in of]):.2f} | {within} | "
            + " | ".join(f"{v:.2f}" for v in numbers)
            + f" | {np.mean([float(str(r['cpu'])) for r in of]):.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; all when none is given")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--append", type=Path, help="file of rows; what is in it is not measured again")
    parser.add_argument("--table", type=Path, help="print the table of such a file")
    options = parser.parse_args()
    if options.table:
        print(table([json.loads(line) for line in options.table.read_text().splitlines()]))
        return
    if odd := [c for c in options.cases if c not in CASES]:
        raise SystemExit(f"no case {odd[0]!r}; there are {', '.join(CASES)}")
    rows: list[dict[str, object]] = []
    if options.append and options.append.exists():
        rows = [json.loads(line) for line in options.append.read_text().splitlines()]
    there = {(r["case"], r["seed"]) for r in rows}
    for case in options.cases or CASES:
        for seed in range(options.seeds):
            if (case, seed) in there:
                continue
            row = measure(case, seed)
            rows.append(row)
            print(json.dumps(row), flush=True)
            if options.append:
                with options.append.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
