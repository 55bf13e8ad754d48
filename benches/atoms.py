"""Positions of the atoms and what is said of their errors, over sizes, doses and defects.

    python benches/atoms.py --list                        the rows
    python benches/atoms.py 2 fault --cache /tmp/stacks   some of them; simulated stacks are kept
    python benches/atoms.py 2 --cache /tmp/stacks --keep-poses      poses are kept too, and found again (also those
                                                                    that benches/poses.py kept)
    python benches/atoms.py 2 --true-poses                with the poses of the truth: the bound of the positions
    python benches/atoms.py --stack S.mrcs --truth T.npz --thin-to 3

Each row solves a simulated particle with default settings and scores its atoms, as traced in the map and as refined
against the frames: recall, precision, RMSD of all, core (12 neighbours or more) and surface atoms; and the calibration
of the stated errors, rms(error / sigma) along x, y, z of the map: 1 where a stated error means what it says. The bound
is Cramér and Rao's, with poses free. Where poses were kept, the times are without their search.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np

from common import (
    MATRIX,
    Array,
    Scene,
    Solution,
    append_line,
    commit,
    parsed,
    poses_file,
    poses_from_file,
    report_each,
    row_parser,
    solve,
    true_poses,
    write_poses,
)
from single_rs.alignment import PM_PER_ANGSTROM, match_atoms
from single_rs.records import Atoms
from single_rs.refine import Refined, refine_atoms

HEAD = (
    "| row | frames | atoms | recall | precision | RMSD pm | core | surface | stated pm core | surface | "
    "error / sigma core x, y, z | surface x, y, z | bound pm | CPU s | wall s | GB | commit |\n"
    f"|{'---|' * 17}\n"
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


def refined(found: Solution) -> Refined | None:
    """Refine the traced atoms; None when there are none."""
    if found.clean is None or found.poses is None or found.atoms is None:
        return None
    with found.clock.stage("refine"):
        return refine_atoms(found.clean, found.poses, found.atoms)


def report(scene: Scene, options: argparse.Namespace) -> None:
    """Solve with poses searched, kept from an earlier run, or true, and print one line for each set of atoms."""
    keep = poses_file(options, scene)
    known = None
    if options.true_poses:
        known = partial(true_poses, scene.truth)
    elif keep is not None and keep.exists():
        known = partial(poses_from_file, keep)
    found = solve(scene, until_atoms=True, known=known)
    if keep is not None and known is None and found.poses is not None:
        write_poses(keep, found.poses)
    print_line("traced", found.atoms, "–", found, scene, options)
    better = refined(found)
    if better is not None:
        bound = PM_PER_ANGSTROM * float(np.sqrt(np.trace(better.fisher, axis1=1, axis2=2).mean()))
        print_line("refined", better.atoms, f"{bound:.2f}", found, scene, options)
    if found.failure:
        print(found.failure, flush=True)


def print_line(
    name: str, atoms: Atoms | None, bound: str, found: Solution, scene: Scene, options: argparse.Namespace
) -> None:
    """Print a line of the table; the times are those of all stages so far."""
    clock = found.clock
    cost = [f"{sum(clock.cpu.values()):.0f}", f"{sum(clock.wall.values()):.0f}", f"{found.memory:.2f}", commit()]
    cells = score_cells(atoms, scene.truth["atoms"]) if atoms is not None else ["–"] * 9
    line = "| " + " | ".join([scene.name, str(len(scene.images)), name, *cells, bound, *cost]) + " |"
    print(line, flush=True)
    append_line(options.append, HEAD, line)


def main() -> None:
    """Run what the command line asks for."""
    parser = row_parser(__doc__)
    parser.add_argument("--true-poses", action="store_true", help="use the poses of the truth")
    options = parsed(parser, MATRIX)
    print(HEAD, end="", flush=True)
    report_each(report, MATRIX, options)


if __name__ == "__main__":
    main()
