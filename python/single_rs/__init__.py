"""single_rs: from a graphene liquid cell movie to the 3D position of every atom, with error bars.

Names are loaded when first used, so that ``import single_rs`` and ``single-rs --help`` stay fast.
"""

from __future__ import annotations

import importlib
from typing import Any

from single_rs._core import __version__

# Public name -> module that defines it, in the order of the pipeline.
_PUBLIC: dict[str, str] = {
    "InputError": "errors",
    "DataFileError": "errors",
    "NoParticleError": "errors",
    "ConvergenceError": "errors",
    "Movie": "io",
    "open_movie": "io",
    "ParticleStack": "io",
    "read_stack": "io",
    "write_stack": "io",
    "read_map": "io",
    "write_map": "io",
    "MotionConfig": "motion",
    "Motion": "motion",
    "correct_motion": "motion",
    "window_average": "motion",
    "read_motion": "motion",
    "write_motion": "motion",
    "Track": "track",
    "TrackConfig": "track",
    "find_tracks": "track",
    "extract": "track",
    "BackgroundConfig": "background",
    "CleanStack": "background",
    "Graphene": "background",
    "clean_stack": "background",
    "OrientConfig": "orient",
    "Poses": "orient",
    "find_poses": "orient",
    "ReconstructConfig": "reconstruct",
    "Reconstruction": "reconstruct",
    "Atoms": "atoms",
    "TraceConfig": "atoms",
    "trace_atoms": "atoms",
    "Lattice": "lattice",
    "fit_lattice": "lattice",
    "read_lattice": "lattice_io",
    "write_lattice": "lattice_io",
    "Strain": "strain",
    "StrainConfig": "strain",
    "compute_strain": "strain",
    "Deformation": "deformation",
    "bond_strain": "deformation",
    "StrainMeasures": "strain_measures",
    "strain_measures": "strain_measures",
    "StrainStatistic": "strain_statistics",
    "strain_statistics": "strain_statistics",
    "PhaseStrain": "gpa",
    "phase_strain": "gpa",
    "StrainComparison": "strain_methods",
    "compare_strain_methods": "strain_methods",
    "StrainPlane": "strain_volumes",
    "plane_normal": "strain_volumes",
    "strain_maps": "strain_volumes",
    "strain_plane": "strain_volumes",
    "write_strain": "strain_files",
    "read_vti": "vtk",
    "write_vti": "vtk",
    "LocalStructure": "structure",
    "analyse_structure": "structure",
    "common_neighbours": "structure",
    "coordination": "structure",
    "generalised_coordination": "structure",
    "match_templates": "structure",
    "StructureSurvey": "structure",
    "survey_structure": "structure",
    "write_structure": "structure.files",
    "ParticleModel": "export",
    "read_xyz": "export",
    "write_xyz": "export",
    "write_formats": "export_dft",
    "DftSettings": "dft",
    "FormationEnergy": "energy",
    "formation_energy": "energy",
    "available_calculators": "energy",
    "LigandModel": "ligands",
    "place_ligands": "ligands",
    "analyse": "analysis",
    "summarise": "analysis",
    "write_analysis": "analysis",
    "write_report": "report",
    "Comparison": "compare",
    "ParticleRow": "compare_files",
    "SizeTrend": "compare",
    "compare_particles": "compare",
    "write_comparison": "compare",
    "Trend": "trend",
    "fit_trend": "trend",
    "Crystal": "simulate",
    "SimulateConfig": "simulate",
    "nanocrystal": "simulate",
    "read_crystal": "simulate",
    "brownian_rotations": "simulate",
    "simulate_stack": "simulate",
    "simulate_movie": "simulate",
    "read_poses": "star",
    "write_poses": "star",
    "read_tracks": "star",
    "write_tracks": "star",
    "Config": "config",
    "load_config": "config",
    "ParticleResult": "pipeline",
    "RunResult": "pipeline",
    "run": "pipeline",
    "solve": "pipeline",
    "AtomScore": "scoring",
    "PoseScore": "scoring",
    "score_atoms": "scoring",
    "score_poses": "scoring",
    "Verdict": "verdict",
    "judge": "verdict",
    "Check": "validate",
    "Criterion": "validate",
    "ValidateConfig": "validate",
    "Validation": "validate",
    "read_validation": "validate",
    "validate_case": "validate",
    "validate_folder": "validate",
    "flip_map": "hand",
    "flip_positions": "hand",
    "flip_rotations": "hand",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'single_rs' has no attribute {name!r}")
    return getattr(importlib.import_module(f"single_rs.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
