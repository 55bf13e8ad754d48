"""What the files of a run hold, as the report takes it; absent parts are ``None`` or empty.

Positions are Å from the box centre, as everywhere in the library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from single_rs.analysis import ParticleSummary

if TYPE_CHECKING:
    from single_rs.analysis.distances import PairDistribution, PowderPattern, RowDistances
    from single_rs.analysis.lattice_record import LatticeRecord
    from single_rs.analysis.strain.table import StrainTable
    from single_rs.analysis.structure.record import StructureRecord
    from single_rs.analysis.structure.table import StructureTable
    from single_rs.compare.rows import ParticleRow
    from single_rs.records import Background, EnergyRecord, Poses, Track, Validation
    from single_rs.records.density import ShellCorrelation
    from single_rs.report.states import StateFiles
    from single_rs.store.record import RunRecord

__all__ = ["VERDICTS", "AtomTable", "ParticleFiles", "RunFiles"]

VERDICTS = ("solved", "doubtful", "failed")


@dataclass(frozen=True)
class AtomTable:
    """Atoms: ``positions`` (n, 3) Å from the box centre, ``symbols`` (n,), and every per-atom column of the file."""

    positions: np.ndarray
    symbols: np.ndarray
    columns: dict[str, np.ndarray]

    def get(self, name: str) -> np.ndarray | None:
        """Return a column, or ``None`` when it is absent or holds no finite number."""
        values = self.columns.get(name)
        if values is None or not np.isfinite(np.asarray(values, float)).any():
            return None
        return values

    @property
    def surface(self) -> np.ndarray | None:
        """(n,) bool, or ``None``."""
        values = self.columns.get("surface")
        return None if values is None else np.asarray(values).astype(bool)


@dataclass
class ParticleFiles:
    """What a run wrote about one particle; absent parts are ``None`` and named in ``gaps``.

    `row` holds what a comparison of particles says of it; `strain` and `sites` what is known of each atom. These, and
    `background`, `structure`, `energy`, `validation` and `states`, are no gaps when they are absent: their steps are
    not part of every run.
    """

    number: int
    folder: Path
    summary: ParticleSummary = field(default_factory=ParticleSummary)
    lattice: LatticeRecord | None = None
    background: Background | None = None
    stack: np.ndarray | None = None
    raw: np.ndarray | None = None
    raw_frames: np.ndarray | None = None
    cleaned: np.ndarray | None = None
    pixel_size: float | None = None
    frames: int | None = None
    poses: Poses | None = None
    density: np.ndarray | None = None
    strain_maps: dict[str, np.ndarray] = field(default_factory=dict)
    fsc: ShellCorrelation | None = None
    atoms: AtomTable | None = None
    row: ParticleRow | None = None
    strain: StrainTable | None = None
    sites: StructureTable | None = None
    distances: RowDistances | None = None
    pairs: PairDistribution | None = None
    powder: PowderPattern | None = None
    structure: StructureRecord | None = None
    energy: EnergyRecord | None = None
    validation: Validation | None = None
    states: StateFiles | None = None
    gaps: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """Return solved, doubtful or failed; without a summary nothing may be called solved."""
        verdict = self.summary.verdict
        return verdict if verdict in VERDICTS else "failed"

    @property
    def reasons(self) -> list[str]:
        """Return the reasons of the verdict."""
        if self.summary.verdict is None:
            return ["no verdict in a summary.json: the run did not finish this particle"]
        return list(self.summary.reasons)


@dataclass
class RunFiles:
    """What a run wrote; absent parts are ``None`` and named in ``gaps``."""

    folder: Path
    info: RunRecord | None = None
    shifts: np.ndarray | None = None
    bad_frames: np.ndarray | None = None
    tracks: list[Track] = field(default_factory=list)
    mean: np.ndarray | None = None
    pixel_size: float | None = None
    particles: list[ParticleFiles] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    @property
    def from_stack(self) -> bool:
        """Whether the run began with a particle stack, so that there is no movie to miss anything of."""
        return self.info is not None and self.info.command == "solve"
