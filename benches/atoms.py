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
from pathlib import Path

import numpy as np

from common import (
    Array,
    Case,
    Scene,
    Solution,
    apart,
    append_line,
    case,
    chosen,
    commit,
    from_files,
    poses_from_file,
    simulated,
    solve,
    thinned,
    true_poses,
    write_poses,
)
from single_rs.atoms import Atoms
from single_rs.orient import Poses
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


def report(scene: Scene, known: Callable[[], Poses] | None, keep: Path | None, append: Path | None) -> None:
    """Solve and print one line for each answer."""
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
        append_line(append, HEAD, line)
    if found.failure:
        print(found.failure, flush=True)


def run_row(row: Case, options: argparse.Namespace) -> None:
    """Simulate a row and report on it, with poses searched, kept from an earlier run, or true."""
    scene = simulated(row, options.frames, options.cache)
    keep = options.cache / f"{row.name}_{len(scene.images)}_poses.npz" if options.keep_poses else None
    known = None
    if options.true_poses:
        known = partial(true_poses, scene.truth)
    elif keep is not None and keep.exists():
        known = partial(poses_from_file, keep)
    report(scene, known, keep, options.append)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="numbers or parts of names; all when none is given")
    parser.add_argument("--list", action="store_true", help="print the rows and end")
    parser.add_argument("--frames", type=int, help="of each row instead of its own number")
    parser.add_argument("--cache", type=Path, help="folder where simulated stacks are kept and found again")
    parser.add_argument("--keep-poses", action="store_true", help="keep found poses in the cache; use them if there")
    parser.add_argument("--true-poses", action="store_true", help="use the poses of the truth")
    parser.add_argument("--append", type=Path, help="file that gets the lines too")
    parser.add_argument("--stack", type=Path, help="solve this stack of counts instead")
    parser.add_argument("--truth", type=Path, help="its truth: npz with R, shift, atoms, dose")
    parser.add_argument("--thin-to", type=float, metavar="DOSE", help="e/px/frame left of its counts")
    parser.add_argument("--element", default="Pt", help="of --stack")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{i:2d}  {row.name}" for i, row in enumerate(ROWS)))
        return
    if (options.stack is None) != (options.truth is None):
        parser.error("--stack and --truth go together")
    if options.keep_poses and options.cache is None:
        parser.error("--keep-poses needs --cache")
    print(HEAD, end="", flush=True)
    if options.stack:
        scene = from_files(options.stack, options.truth, options.element, options.frames)
        scene = thinned(scene, options.thin_to or scene.dose)
        report(scene, partial(true_poses, scene.truth) if options.true_poses else None, None, options.append)
        return
    for number in chosen(options.rows, ROWS):
        apart(run_row, ROWS[number], options)


if __name__ == "__main__":
    main()
