"""The pictures of gallery.md: figures of simulated particles, and of a folder that ``single-rs demo`` has written.

    single-rs demo --out demo && single-rs validate demo/particle_00 --validate.simulator multislice
    python docs/gallery.py demo/particle_00 docs/images/gallery --ligands al111

`al111` is the folder of energy.md's `single-rs ligand`, with the outputs of its runs.

Particles of known defects are made here and written as plain coordinates; the figures are drawn from these files.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import single_rs as sr
from single_rs.energy import formation_energy, read_atoms, write_energy
from single_rs.simulate.dislocations import dislocated_nanocrystal

WIDTH, COLOURS = 1000, 128  # px and palette of a picture: 1.5 MB for all
NOISE = 0.04  # Å per axis
SIZES = (14.0, 17.0, 20.0, 23.0, 26.0)  # Å


def write(path: Path, positions: np.ndarray, seed: int) -> Path:
    """Write atoms of platinum with the errors of a measurement as plain coordinates."""
    noise = np.random.default_rng(seed).normal(0, NOISE, positions.shape)
    rows = [f"Pt {x:.4f} {y:.4f} {z:.4f}" for x, y, z in positions + noise]
    path.write_text("\n".join([str(len(rows)), "", *rows]) + "\n", encoding="utf-8")
    return path


def bent(angle: float) -> np.ndarray:
    """A particle of two domains that are turned against each other about z (degrees), with two vacancies."""
    x = np.asarray(sr.nanocrystal("Pt", diameter=24).positions)
    x = x - x.mean(axis=0)
    half = np.radians(angle) / 2 * np.where(x[:, 0] > 0.4, 1, -1)
    turned = np.column_stack(
        [np.cos(half) * x[:, 0] - np.sin(half) * x[:, 1], np.sin(half) * x[:, 0] + np.cos(half) * x[:, 1], x[:, 2]]
    )
    holes = [np.linalg.norm(turned - place, axis=1).argmin() for place in ((3, 1, 0), (-4, -2, 2))]
    return np.delete(turned, holes, axis=0)


def series(folder: Path) -> list[Path]:
    """Folders of particles of several sizes, expanded the more the smaller they are, with their energies."""
    folders = []
    for k, size in enumerate(SIZES):
        crystal = sr.nanocrystal("Pt", diameter=size, strain=np.eye(3) * 0.25 / size, seed=k)
        place = folder / f"particle_{k:02d}"
        place.mkdir()
        path = write(place / "atoms.xyz", np.asarray(crystal.positions), k)
        atoms, frame = read_atoms(path)
        write_energy(place, formation_energy(atoms, "emt", draws=0), atoms, frame, 0)
        folders.append(place)
    return folders


def main() -> None:
    """Draw all figures and keep small pictures of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path, help="folder of a particle of a demo, validated")
    parser.add_argument("out", type=Path, help="folder of the pictures")
    parser.add_argument("--ligands", type=Path, nargs="*", default=[], help="folders of single-rs ligand, finished")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top)
        dislocated = np.asarray(dislocated_nanocrystal("shockley", diameter=26).positions)
        twinned = np.asarray(sr.nanocrystal("Pt", diameter=26, defect="twin").positions)
        tasks = [
            (series(folder), ("particles", "cell_size", "radial_size", "energy", "powder")),
            ([given.demo], ("strain_sheet", "strain_slices", "zone_axes", "distances", "strain_histograms")),
            ([given.demo], ("strain_statistics", "strain_methods", "fsc", "coverage", "coordination")),
            ([given.demo], ("reprojection", "simulation")),
            ([write(folder / "bent.xyz", bent(3.0), 1)], ("domains", "vacancies")),
            ([write(folder / "shockley.xyz", dislocated, 2)], ("dislocation",)),
            ([write(folder / "twin.xyz", twinned, 3)], ("stacking",)),
        ]
        if given.ligands:
            tasks.append((given.ligands, ("ligand_sites", "charge_difference", "binding")))
        for sources, kinds in tasks:
            for one in sr.figures(sources, folder / "drawn", only=kinds, formats=("png",)):
                for path in one.files:
                    with Image.open(path) as picture:
                        small = picture.convert("RGB")
                        small.thumbnail((WIDTH, 4 * WIDTH))
                        small.quantize(COLOURS).save(given.out / path.name, optimize=True)


if __name__ == "__main__":
    main()
