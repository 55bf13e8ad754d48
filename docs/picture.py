"""The picture of the README: a simulated particle, solved from its frames alone by the stages of single_rs.

    python docs/picture.py docs/images/particle.png

The solver is not given the poses; the truth is used only for the numbers that are printed at the end.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import single_rs as sr
from single_rs.plots.style import new_axes, styled

DIAMETER, FRAMES, BOX, PIXEL, DOSE = 22.0, 700, 108, 0.38, 10.0  # Å, frames, px, Å/px, e/px/frame
SHOWN = (100, 320, 540)  # frames in the picture
HALF_FIELD = 38  # px shown on each side of the centre
ATOM_SIZE = 165.0  # points², drawn
STRAIN_LIMIT = 2.0  # %
FIELD = slice(BOX // 2 - HALF_FIELD, BOX // 2 + HALF_FIELD)


def solve(seed: int) -> dict[str, np.ndarray]:
    """Simulate and solve a particle; return what the picture shows."""
    crystal = sr.nanocrystal("Pt", DIAMETER, seed=seed)
    made = sr.simulate_stack(crystal, FRAMES, box=BOX, pixel_size=PIXEL, dose=DOSE, seed=seed)
    clean = sr.clean_stack(sr.ParticleStack(made.images, PIXEL, np.arange(FRAMES)))
    poses = sr.find_poses(clean, "Pt")
    density = sr.reconstruct(clean, poses)
    atoms = sr.trace_atoms(density.map, PIXEL, "Pt", clean.diameter, density.half1, density.half2)
    lattice = sr.analysis.lattice.fit_lattice(atoms.positions)
    strain = sr.analysis.strain.compute_strain(atoms.positions, lattice)
    score = sr.alignment.score_atoms(atoms.positions, crystal.positions)
    turned = sr.alignment.score_poses(poses.rotations, poses.frames, made.rotations)
    print(
        f"{FRAMES} frames: recall {score.recall:.3f}, precision {score.precision:.3f}, RMSD {score.rmsd:.1f} pm, "
        f"{100 * turned.within_3deg:.0f}% of poses within 3°, FSC {density.resolution:.2f} Å"
    )
    return {
        "frames": made.images[list(SHOWN)][:, FIELD, FIELD],
        "slice": density.map[BOX // 2, FIELD, FIELD],
        "positions": atoms.positions,
        "cell": lattice.cell,
        "radial": 100 * strain.radial,
    }


@styled
def draw(result: dict[str, np.ndarray], path: Path) -> None:
    """Draw three frames, the middle slice and the atoms seen a little off [110]."""
    axes = new_axes(1, 5, (10.0, 2.2), gridspec_kw={"width_ratios": [1, 1, 1, 1, 1.2]})
    for ax, frame, number in zip(axes[:3], result["frames"], SHOWN, strict=True):
        ax.imshow(frame, cmap="gray", origin="lower", vmin=0, vmax=np.percentile(frame, 99.9))
        ax.set_title(f"frame {number}", fontsize=8)
    axes[3].imshow(result["slice"], cmap="magma", origin="lower", vmin=0, interpolation="bicubic")
    axes[3].set_title("density, middle slice", fontsize=8)

    cell = result["cell"] / np.linalg.norm(result["cell"], axis=1, keepdims=True)
    towards = cell[0] + cell[1] + 0.12 * cell[2] + 0.1 * cell[0]
    towards /= np.linalg.norm(towards)
    up = cell[2] - (cell[2] @ towards) * towards
    up /= np.linalg.norm(up)
    x, y, depth = (result["positions"] @ v for v in (np.cross(up, towards), up, towards))
    order = np.argsort(depth)
    size = ATOM_SIZE * (1 + 0.012 * depth[order])
    dots = axes[4].scatter(
        x[order],
        y[order],
        s=size,
        c=result["radial"][order],
        cmap="RdBu_r",
        vmin=-STRAIN_LIMIT,
        vmax=STRAIN_LIMIT,
        edgecolors="black",
        linewidths=0.4,
    )
    axes[4].set_aspect("equal")
    axes[4].margins(0.08)
    axes[4].set_title(f"{len(x)} atoms, radial strain", fontsize=8)
    bar = axes[4].figure.colorbar(dots, ax=axes[4], fraction=0.04, pad=0.02, shrink=0.7)
    bar.ax.tick_params(labelsize=7)
    bar.set_label("%", fontsize=7)
    for ax in axes:
        ax.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    axes[0].figure.savefig(path, dpi=110, bbox_inches="tight", facecolor="white")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=4)
    arguments = parser.parse_args()
    draw(solve(arguments.seed), arguments.out)
