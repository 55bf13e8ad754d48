"""All settings of all stages in one place: defaults, TOML files and ``--stage.setting`` flags.

A setting is declared once, in its stage's dataclass (`single_rs.base.settings`); here it gets its name in files,
``[stage]`` and ``setting``, and on the command line, ``--stage.setting VALUE``. Later sources win:
defaults, the file, the flags. Reference: TOML 1.0, https://toml.io/en/v1.0.0.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import os
from collections.abc import Mapping
from typing import Any

from single_rs.analysis.strain import PRESETS, StrainConfig
from single_rs.atoms import TraceConfig
from single_rs.background import BackgroundConfig
from single_rs.base.errors import InputError
from single_rs.base.settings import Settings, setting
from single_rs.base.settings_text import load_settings, settings_from_dict
from single_rs.export.dft.settings import DftSettings
from single_rs.motion import MotionConfig
from single_rs.orient import OrientConfig
from single_rs.reconstruction.fourier import ReconstructConfig
from single_rs.refine import RefineConfig
from single_rs.refine.change import StatesConfig
from single_rs.track import TrackConfig

__all__ = [
    "STAGES",
    "Config",
    "ExportConfig",
    "LatticeConfig",
    "ReportConfig",
    "ValidateConfig",
    "load_config",
]


# Stage → module and class of its settings, in the order of the pipeline; loaded when a Config is made.
STAGES: dict[str, tuple[str, str]] = {
    "motion": ("single_rs.motion", "MotionConfig"),
    "track": ("single_rs.track", "TrackConfig"),
    "background": ("single_rs.background", "BackgroundConfig"),
    "orient": ("single_rs.orient", "OrientConfig"),
    "reconstruct": ("single_rs.reconstruction", "ReconstructConfig"),
    "trace": ("single_rs.atoms", "TraceConfig"),
    "refine": ("single_rs.refine", "RefineConfig"),
    "states": ("single_rs.refine.change", "StatesConfig"),
    "lattice": ("single_rs.pipeline.config", "LatticeConfig"),
    "strain": ("single_rs.analysis.strain", "StrainConfig"),
    "export": ("single_rs.pipeline.config", "ExportConfig"),
    "report": ("single_rs.pipeline.config", "ReportConfig"),
    "validate": ("single_rs.pipeline.config", "ValidateConfig"),
}
EXPORT_FORMATS = ("xyz", "pdb", "cif", "poscar", "vasp", "qe", "gpaw", "cp2k", "lammps")


@dataclasses.dataclass(frozen=True)
class LatticeConfig(Settings):
    """Settings of the lattice fit."""

    structure: str | None = setting(
        None,
        "Lattice type; the best of all when not given.",
        choices=("fcc", "bcc", "hcp", "diamond", "rocksalt", "zincblende", "wurtzite", "fluorite"),
    )


@dataclasses.dataclass(frozen=True)
class ExportConfig(Settings):
    """Settings of the export."""

    formats: tuple[str, ...] = setting(
        ("pdb", "cif", "poscar"), f"Files written besides atoms.xyz; any of {', '.join(EXPORT_FORMATS)}."
    )
    vacuum: float = setting(10.0, "Vacuum round the particle in periodic formats.", "Å", ge=0)
    dft: DftSettings = dataclasses.field(default_factory=DftSettings)

    def __post_init__(self) -> None:
        """Check the formats as well."""
        super().__post_init__()
        for name in self.formats:
            if name not in EXPORT_FORMATS:
                raise InputError(f"export.formats has {name!r}; accepted: {', '.join(EXPORT_FORMATS)}")


@dataclasses.dataclass(frozen=True)
class ReportConfig(Settings):
    """Settings of the report."""

    enabled: bool = setting(True, "Write report.html.")


SIMULATORS = ("abtem", "multislice")


@dataclasses.dataclass(frozen=True)
class ValidateConfig(Settings):
    """Settings of the validation; the optics are those of the simulated frames."""

    model_diameter: float | None = setting(
        None, "diameter of the model crystal of the check 'defocus'; the particle's when not given", "Å", ge=14, le=60
    )
    model_frames: int = setting(300, "frames of that model crystal", "frames", ge=60, le=20000)
    simulator: str = setting(
        "abtem", "multislice program of the resimulation: abTEM, or the one of this package", choices=SIMULATORS
    )
    voltage: float = setting(300.0, "acceleration voltage", "kV", ge=20, le=1500)
    c3: float = setting(-7.5e4, "third-order spherical aberration", "Å")
    overfocus: float = setting(44.0, "defocus C1 of the particle's centre, positive over focus", "Å")
    focal_spread: float = setting(15.0, "focal spread, root mean square", "Å", ge=0)
    b_factor: float = setting(0.6, "Debye-Waller factor B of the atoms", "Å²", ge=0, le=10)
    phonons: int = setting(
        0, "number of frozen-phonon configurations per frame; 0 smears the potential by B instead", ge=0, le=100
    )
    sampling: float = setting(0.18, "coarsest pixel of the multislice; the images are cropped in Fourier space", "Å",
                              gt=0.02, le=0.18)  # fmt: skip
    slice_thickness: float = setting(2.0, "slice of the multislice", "Å", ge=0.25, le=10)
    mtf: float = setting(0.64, "modulation transfer of the detector at Nyquist, a fraction", gt=0, le=1)


def _default(stage: str) -> Any:
    module, name = STAGES[stage]
    return getattr(importlib.import_module(module), name)()


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """Settings of all stages; one field per stage, each a frozen dataclass of its own."""

    motion: MotionConfig = dataclasses.field(default_factory=functools.partial(_default, "motion"))
    track: TrackConfig = dataclasses.field(default_factory=functools.partial(_default, "track"))
    background: BackgroundConfig = dataclasses.field(default_factory=functools.partial(_default, "background"))
    orient: OrientConfig = dataclasses.field(default_factory=functools.partial(_default, "orient"))
    reconstruct: ReconstructConfig = dataclasses.field(default_factory=functools.partial(_default, "reconstruct"))
    trace: TraceConfig = dataclasses.field(default_factory=functools.partial(_default, "trace"))
    refine: RefineConfig = dataclasses.field(default_factory=functools.partial(_default, "refine"))
    states: StatesConfig = dataclasses.field(default_factory=functools.partial(_default, "states"))
    lattice: LatticeConfig = dataclasses.field(default_factory=functools.partial(_default, "lattice"))
    strain: StrainConfig = dataclasses.field(default_factory=functools.partial(_default, "strain"))
    export: ExportConfig = dataclasses.field(default_factory=functools.partial(_default, "export"))
    report: ReportConfig = dataclasses.field(default_factory=functools.partial(_default, "report"))
    validate: ValidateConfig = dataclasses.field(default_factory=functools.partial(_default, "validate"))


def load_config(
    path: str | os.PathLike[str] | None = None, overrides: Mapping[str, str] | None = None, preset: str | None = None
) -> Config:
    """Return the settings of the pipeline: defaults, then a preset, then a TOML file, then flags.

    Parameters
    ----------
    path
        TOML file with one table per stage; ``None`` for the defaults.
    overrides
        ``{"orient.resolution": "0.8"}``: values as typed on the command line.
    preset
        Definitions of a publication, "kim2020": those of its strain and surface.

    Raises
    ------
    InputError
        Unknown preset, stage or setting (the nearest known one is named), wrong type, value out of bounds.
    DataFileError
        The file is missing or not TOML.
    """
    if preset is not None and preset not in PRESETS:
        raise InputError(f"--as is {preset!r}; accepted: {', '.join(PRESETS)}")
    chosen = Config() if preset is None else settings_from_dict(Config(), {"strain": PRESETS[preset]}, "")
    return load_settings(chosen, path, overrides)
