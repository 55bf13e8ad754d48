"""Names of the files and folders of a run; they stand here and nowhere else.

OUT/run.json, run.log, manifest.json, motion.csv, mean.mrc, tracks.star, report.html, and per particle OUT/particle_NN
with the files below. What is not finished yet lies in OUT/.single_rs.
"""

from __future__ import annotations

# fmt: off
# Of the run
RUN, LOG, MANIFEST, REPORT, LIVE = "run.json", "run.log", "manifest.json", "report.html", "live.html"
MOTION, MEAN, ALIGNED, TRACKS, TRACKS_TABLE = "motion.csv", "mean.mrc", "aligned.mrc", "tracks.star", "tracks.csv"
HIDDEN, PARTS = ".single_rs", "parts"  # parts: particles of a batch while they are solved
STEPS = "steps"  # of stages that have not finished, in HIDDEN
BATCH, CLUSTER_FILES = "batch.json", "cluster"  # of a batch of movies
PARTICLES = "particle_*"
# Of a particle, in the order of the stages
STACK, STACK_FRAMES = "stack.mrcs", "stack.star"
CLEAN, BACKGROUND = "clean.mrcs", "background.json"
CLEAN_EXAMPLES, CLEAN_INDEX = "clean_examples.npy", "clean_examples.json"
SEARCHED, POSES = "poses_searched.star", "poses.star"
MAP, HALF1, HALF2, FSC = "map.mrc", "half1.mrc", "half2.mrc", "fsc.csv"
MAPS = (MAP, HALF1, HALF2)
TRACED, TRACING, REFINED = "atoms_traced.npz", "trace.json", "atoms_refined.npz"
REFINEMENT, DISPLACEMENT, CHANGES = "refine.json", "displacement.csv", "changes.json"
STATES, TIMELINE, MOVED, TRAJECTORY = "states.json", "timeline.csv", "moved.csv", "trajectory.xyz"
ATOMS, LATTICE, SUMMARY = "atoms.xyz", "lattice.json", "summary.json"
STRUCTURE, STRUCTURE_TABLE = "structure.json", "structure.csv"
STRAIN_TABLE, STRAIN_VOLUMES, GPA_VOLUMES = "strain.csv", "strain.vti", "gpa.vti"
STRAIN_MAP, GPA_MAP = "strain_{name}.mrc", "gpa_{name}.mrc"
DISTANCES, PAIR_DISTRIBUTION, POWDER = "distances.csv", "pdf.csv", "powder.csv"
PDB, CIF, POSCAR, LIGANDS, MOLECULE, LIGAND_RECORD = (
    "atoms.pdb", "atoms.cif", "POSCAR", "ligands.xyz", "molecule.xyz", "ligands.json"
)
# Of programs that work on a finished particle
ENERGY, ENERGY_ATOMS, ENERGY_FIGURES = "energy.json", "energy.xyz", ("energy_atoms.png", "energy_views.png")
VALIDATION, VALIDATION_PAGE, PICTURES = "validation.json", "validation.html", "validation_pictures_{check}.npy"
# Calculations of other codes: what was exported, and what their finished runs say of ligands
DFT, BINDING, CHARGE_DIFFERENCE = "dft.json", ("binding.json", "binding.csv"), "charge_difference_{surface}.cube"
# Of a comparison of particles
COMPARISON = ("compare.csv", "compare.json", "compare.html")
# Of the demo
DEMO = "demo.json"
# Figures of a paper
FIGURE, FIGURE_LIST = "{name}.{kind}", "figures.md"
# fmt: on


def particle_name(number: int) -> str:
    """Return the name of a particle and of its folder in that of the run, ``particle_NN``."""
    return f"particle_{number:02d}"


def state_folder(number: int) -> str:
    """Return the folder of a state in that of its particle, ``states/NN``."""
    return f"states/{number:02d}"
