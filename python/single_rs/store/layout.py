"""Names of the files and folders of a run."""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "ATOMS",
    "FSC",
    "MAPS",
    "MOTION_FILES",
    "POSES",
    "RESULTS",
    "STACK",
    "STACK_FRAMES",
    "SUMMARY",
    "TRACK_FILE",
    "particle_folder",
]


STACK, POSES, FSC, ATOMS, SUMMARY = "stack.mrcs", "poses.star", "fsc.csv", "atoms.xyz", "summary.json"


MAPS = ("map.mrc", "half1.mrc", "half2.mrc")


MOTION_FILES, TRACK_FILE = ("motion.csv", "mean.mrc"), "tracks.star"


STACK_FRAMES = "stack.star"


# Stage of a particle → patterns of the files it writes.
RESULTS: dict[str, tuple[str, ...]] = {
    "orient": ("poses*.star",),
    "reconstruct": (*MAPS, FSC),
    "analyze": (
        "atoms.*",
        SUMMARY,
        "lattice.json",
        "structure.*",
        "strain.*",
        "strain_*.mrc",
        "gpa.vti",
        "gpa_*.mrc",
        "distances.csv",
        "pdf.csv",
        "powder.csv",
        "validation*",
        "POSCAR*",
        "vasp*/*",
        "qe*.in",
        "gpaw_*",
        "cp2k*.inp",
        "lammps*",
        "README_dft.md",
        "energy.*",
        "energy_*.png",
    ),
}


def particle_folder(out: Path, number: int) -> Path:
    """Return the folder of a particle in that of its run, ``particle_NN``; made if needed."""
    folder = out / f"particle_{number:02d}"
    folder.mkdir(exist_ok=True)
    return folder


VALIDATION, VALIDATION_PAGE, PICTURES = "validation.json", "validation.html", "validation_pictures_{check}.npy"
