"""Positions of the atoms and what is said of their errors, over sizes, doses and defects.

    python benches/atoms.py --list                        the rows
    python benches/atoms.py 2 fault --cache /tmp/stacks   some of them; simulated stacks are kept
    python benches/atoms.py 2 --cache /tmp/stacks --keep-poses      poses are kept too, and found again
    python benches/atoms.py 2 --true-poses                with the poses of the truth: the bound of the positions
    python benches/atoms.py --stack S.mrcs --truth T.npz --thin-to 3

Each row solves a simulated particle up to its atoms with default settings and scores every set of atoms in `ANSWERS`
afterwards: recall, precision, RMSD of all, core (12 neighbours or more) and surface atoms; and the calibration of the
stated errors, rms(error / sigma) along x, y, z of the map: 1 where a stated error means what it says.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np

from common import (
    Array,
    Scene,
    Solution,
    append_line,
    case,
    commit,
    parsed,
    poses_from_file,
    report_each,
    row_parser,
    solve,
    true_poses,
    write_poses,
)
from single_rs.atoms import Atoms
from single_rs.scoring import PM_PER_ANGSTROM, match_atoms

FRAMES = 2400
ROWS = [
    case("single", 22, 10, 6, FRAMES),
    case("single", 22, 1, 6, FRAMES),
    case("single", 25, 3, 6, FRAMES),
    case("single", 30, 10, 6, FRAMES),
    case("single", 30, 1, 6, FRAMES),
    case("bent", 22, 3, 6, FRAMES),
    case("bent", 25, 10, 6, FRAMES),
    case("bent", 30, 1, 6, FRAMES),
    case("fault", 22, 10, 6, FRAMES),
    case("fault", 25, 1, 6, FRAMES),
    case("fault", 30, 3, 6, FRAMES),
    case("twin", 22, 1, 6, FRAMES),
    case("twin", 25, 10, 6, FRAMES),
    case("twin", 30, 3, 6, FRAMES),
]
# Name of the line → atoms of a solution. A later way to place them is a line of its own, beside this one.
ANSWERS: dict[str, Callable[[Solution], Atoms | None]] = {"traced": lambda found: found.atoms}
HEAD = (
    "| row | frames | atoms | recall | precision | RMSD pm | core | surface | stated pm core | surface | "
    "error / sigma core x, y, z | surface x, y, z | CPU s | wall s | GB | commit |\n"
    f"|{'---|' * 16}\n"
)


def rms(values: Array) -> float:
    """Return the root mean square, NaN of nothing."""
    return float(np.sqrt(np.square(values).mean())) if len(values) else float("nan")


def score_cells(atoms: Atoms, truth: Array) -> list[str]:
    """Recall, precision, RMSD, stated errors (of a distance, as the RMSD is) and their calibration per axis."""
    match = match_atoms(atoms.positions, truth)
    distance = PM_PER_ANGSTROM * np.linalg.norm(match.error, axis=1)
    # (m, 3): one error for all axes, or one for each.
    sigma = np.broadcast_to(np.asarray(atoms.sigma).reshape(len(atoms), -1), (len(atoms), 3))[match.found]
    stated = PM_PER_ANGSTROM * np.linalg.norm(sigma, axis=1)
    parts = (match.core, ~match.core)
    ratios = [", ".join(f"{rms((match.error / sigma)[part][:, k]):.2f}" for k in range(3)) for part in parts]
    share = [len(match.found) / len(truth), len(match.found) / max(len(atoms), 1)]
    numbers = [rms(distance), *(rms(distance[p]) for p in parts), *(rms(stated[p]) for p in parts)]
    return [f"{x:.3f}" for x in share] + [f"{x:.2f}" for x in numbers] + ratios


def report(scene: Scene, options: argparse.Namespace) -> None:
    """Solve with poses searched, kept from an earlier run, or true, and print one line for each answer."""
    keep = None
    if options.keep_poses and options.stack is None:
        keep = options.cache / f"{scene.name}_{len(scene.images)}_poses.npz"
    known = None
    if options.true_poses:
        known = partial(true_poses, scene.truth)
    elif keep is not None and keep.exists():
        known = partial(poses_from_file, keep)
    found = solve(scene, until_atoms=True, known=known)
    if keep is not None and known is None and found.poses is not None:
        write_poses(keep, found.poses)
    clock = found.clock
    cost = [f"{sum(clock.cpu.values()):.0f}", f"{sum(clock.wall.values()):.0f}", f"{found.memory:.2f}", commit()]
    for name, answer in ANSWERS.items():
        atoms = answer(found)
        cells = score_cells(atoms, scene.truth["atoms"]) if atoms is not None else ["–"] * 9
        line = "| " + " | ".join([scene.name, str(len(scene.images)), name, *cells, *cost]) + " |"
        print(line, flush=True)
        append_line(options.append, HEAD, line)
    if found.failure:
        print(found.failure, flush=True)


def main() -> None:
    """Run what the command line asks for."""
    parser = row_parser(__doc__)
    parser.add_argument("--keep-poses", action="store_true", help="keep found poses in the cache; use them if there")
    parser.add_argument("--true-poses", action="store_true", help="use the poses of the truth")
    options = parsed(parser, ROWS)
    if options.keep_poses and options.cache is None:
        parser.error("--keep-poses needs --cache")
    print(HEAD, end="", flush=True)
    report_each(report, ROWS, options)


if __name__ == "__main__":
    main()
