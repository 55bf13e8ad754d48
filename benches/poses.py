"""Poses and atoms of the whole solver over sizes, doses, speeds of rotation and defects.

    python benches/poses.py --list                       the rows
    python benches/poses.py                              all of them
    python benches/poses.py 3 bent --append rows.md      one by number, others by a part of their name
    python benches/poses.py 3 --frames 400 --poses-only --cache /tmp/stacks     a quick look at the poses alone
    python benches/poses.py --stack S.mrcs --truth T.npz --thin-to 3            a stack of one's own

Each row simulates a particle (multislice), cleans, finds poses, reconstructs, traces and judges, all with default
settings, and scores the result afterwards: frames within 1, 2 and 3 degrees of the truth after one global rotation
and hand; the same modulo the lattice's mates (the spots are right, the mate may be wrong); median error of frames
within 10°; resolution at which the map and that of true poses correlate to 0.143 (and that of the half maps); recall,
precision and RMSD of the atoms; the RMSD from the same frames with true poses, and the ratio, which is what the
search cost. Rows go into docs/results.md.
"""

from __future__ import annotations

import argparse

import numpy as np

from common import (
    MATRIX,
    Case,
    Scene,
    Solution,
    append_line,
    commit,
    map_resolution,
    mate_errors,
    parsed,
    poses_file,
    report_each,
    row_parser,
    solve,
    true_poses,
    within,
    write_poses,
)
from single_rs.alignment import align_poses, score_atoms
from single_rs.atoms import trace_atoms
from single_rs.base.errors import SingleError
from single_rs.reconstruction.fourier import reconstruct

HEAD = (
    "| row | frames | <1° | <2° | <3° | mod mates <1° | <2° | <3° | median ° | FSC to truth Å (halves) | recall | "
    "precision | RMSD pm | true poses pm | ratio | CPU s (background, orient, reconstruct, trace) | wall s | GB | "
    "verdict | commit |\n"
    f"|{'---|' * 20}\n"
)


def pose_cells(found: Solution, scene: Scene) -> list[str]:
    """Fractions within 1, 2, 3 degrees, the same modulo mates, and the median."""
    assert found.poses is not None
    truth, n = scene.truth["R"], len(scene.truth["R"])
    error = align_poses(found.poses.rotations, found.poses.frames, truth).error_deg
    modulo = mate_errors(found.poses, truth, scene.grains)
    median = float(np.median(error[error < 10])) if (error < 10).any() else float("nan")
    return [f"{x:.3f}" for x in within(error, n) + within(modulo, n)] + [f"{median:.2f}"]


def map_cells(found: Solution, scene: Scene) -> list[str]:
    """Resolution, recall, precision, RMSD, RMSD of true poses, ratio."""
    if found.clean is None or found.poses is None or found.density is None:
        return ["–"] * 6
    best = reconstruct(found.clean, true_poses(scene.truth))
    cells = [f"{map_resolution(found, scene, best):.2f} ({found.density.resolution:.2f})"]
    try:
        ideal = trace_atoms(best.map, best.pixel_size, scene.element, found.clean.diameter, best.half1, best.half2)
        bound = score_atoms(ideal.positions, scene.truth["atoms"]).rmsd
    except SingleError:
        bound = float("nan")
    if found.atoms is None:
        return [*cells, "0", "–", "–", f"{bound:.2f}", "–"]
    a = score_atoms(found.atoms.positions, scene.truth["atoms"])
    return [*cells, f"{a.recall:.3f}", f"{a.precision:.3f}", f"{a.rmsd:.2f}", f"{bound:.2f}", f"{a.rmsd / bound:.2f}"]


def table_row(found: Solution, scene: Scene) -> str:
    """Return the line of the table."""
    poses = pose_cells(found, scene) if found.poses is not None else ["–"] * 7
    cpu = ", ".join(f"{found.clock.cpu.get(s, 0):.0f}" for s in ("background", "orient", "reconstruct", "trace"))
    total = sum(found.clock.cpu.values())
    verdict = "failed" if found.failure else found.verdict.verdict if found.verdict else "–"
    cells = [scene.name, str(len(scene.images)), *poses, *map_cells(found, scene), f"{total:.0f} ({cpu})"]
    cells += [f"{sum(found.clock.wall.values()):.0f}", f"{found.memory:.2f}", verdict, commit()]
    return "| " + " | ".join(cells) + " |"


def report(scene: Scene, options: argparse.Namespace) -> None:
    """Solve and print."""
    found = solve(scene, poses_only=options.poses_only)
    keep = poses_file(options, scene)
    if keep is not None and found.poses is not None:
        write_poses(keep, found.poses)
    if options.poses_only:
        print(f"\n{scene.name}, {len(scene.images)} frames, {scene.dose:g} e/px, box {scene.images.shape[-1]}")
        if found.poses is None:
            print(found.failure)
            return
        *fractions, median = pose_cells(found, scene)
        print(f"within 1, 2, 3°: {' '.join(fractions[:3])}; modulo mates: {' '.join(fractions[3:])}; median {median}°")
        print(f"diagnostics: {found.poses.diagnostics}")
        stages = (f"{k} {v:.1f} CPU s, {found.clock.wall[k]:.1f} s" for k, v in found.clock.cpu.items())
        print("; ".join(stages) + f"; {found.memory:.2f} GB", flush=True)
        return
    line = table_row(found, scene)
    print(line, flush=True)
    print(found.failure or (f"{found.verdict.verdict}: {'; '.join(found.verdict.reasons)}" if found.verdict else ""))
    append_line(options.append, HEAD, line)


def main(rows: list[Case] = MATRIX, description: str | None = __doc__) -> None:
    """Run what the command line asks for."""
    parser = row_parser(description)
    parser.add_argument("--poses-only", action="store_true", help="end after find_poses")
    options = parsed(parser, rows)
    if not options.poses_only:
        print(HEAD, end="", flush=True)
    report_each(report, rows, options)


if __name__ == "__main__":
    main()
