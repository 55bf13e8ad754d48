"""Settings of the tracking of particles."""

from __future__ import annotations

from dataclasses import dataclass

from single_rs.base.errors import InputError
from single_rs.base.settings import Settings, setting

__all__ = ["TrackConfig"]


@dataclass(frozen=True)
class TrackConfig(Settings):
    """Settings of `find_tracks`."""

    min_diameter: float = setting(10.0, "smallest particle looked for", "Å", gt=0.0)
    max_diameter: float = setting(60.0, "largest particle looked for", "Å", gt=0.0)
    window: int = setting(
        20, "frames averaged for detection; the particle may move by its radius in them", "frames", ge=1
    )
    max_gap: int = setting(3, "windows in which a particle may be lost and found again", "windows", ge=0)
    min_frames: int = setting(50, "shortest track kept", "frames", ge=1)
    min_significance: float = setting(8.0, "blob over background noise in a window", "sigma", gt=0.0)
    clearance: float = setting(4.0, "space kept between two particles, and to the edge of the field", "Å", ge=0.0)

    def __post_init__(self) -> None:
        """Check the order of the diameters as well."""
        super().__post_init__()
        if self.min_diameter >= self.max_diameter:
            raise InputError(
                f"TrackConfig.min_diameter {self.min_diameter} Å is not below max_diameter {self.max_diameter} Å"
            )
