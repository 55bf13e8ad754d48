"""One entry for the command line: settings in, files out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from single_rs.base.progress import Progress
from single_rs.base.settings import Settings, setting
from single_rs.simulate.crystals import Crystal, CrystalConfig, nanocrystal, read_crystal
from single_rs.simulate.detector import DetectorConfig
from single_rs.simulate.movie import MovementConfig, SimulatedMovie, simulate_movie
from single_rs.simulate.optics import OpticsConfig
from single_rs.simulate.stack import SimulatedStack, simulate_stack
from single_rs.simulate.surroundings import SurroundingsConfig

__all__ = ["SimulateConfig", "simulate"]


@dataclass(frozen=True)
class SimulateConfig(Settings):
    """A simulated experiment."""

    kind: str = setting("movie", "What to make", choices=("movie", "stack"))
    frames: int = setting(1200, "Number of frames", "frames", ge=2)
    particles: int = setting(2, "Number of particles in a movie", "", ge=0, le=1000)
    width: int = setting(320, "Width of a movie's frame", "px", ge=16)
    height: int = setting(320, "Height of a movie's frame", "px", ge=16)
    box: int = setting(128, "Side of a stack's images, even", "px", ge=8)
    pixel_size: float = setting(0.358, "Pixel size", "Å", gt=0)
    atoms: str | None = setting(None, "File of atoms (xyz, cif, …) to use for every particle instead of building one")
    seed: int = setting(0, "Seed of all random numbers", ge=0)
    crystal: CrystalConfig = field(default_factory=CrystalConfig)
    movement: MovementConfig = field(default_factory=MovementConfig)
    surroundings: SurroundingsConfig = field(default_factory=SurroundingsConfig)
    optics: OpticsConfig = field(default_factory=OpticsConfig)
    detector: DetectorConfig = field(default_factory=DetectorConfig)


def simulate(
    config: SimulateConfig, out: str | Path, progress: Progress | None = None
) -> SimulatedMovie | SimulatedStack:
    """Simulate a movie or a stack into files.

    Parameters
    ----------
    config
        What to make. A stack has one particle, and neither graphene, liquid nor drift.
    out
        Name of the movie or stack, with or without its suffix (``.mrc``, ``.mrcs``); NAME_truth.npz and the true
        atoms are written beside it.
    progress
        Called as progress("simulate", done, frames).

    Raises
    ------
    InputError
        When the particles do not fit the field or the box.
    DataFileError
        When a file cannot be read or written.
    """
    out = Path(out)
    if out.suffix in (".mrc", ".mrcs"):
        out = out.with_suffix("")
    if config.kind == "stack":
        stack = simulate_stack(
            _crystal(config, 0),
            config.frames,
            box=config.box,
            pixel_size=config.pixel_size,
            dose=config.detector.dose,
            step=config.movement.step,
            jump_rate=config.movement.jump_rate,
            motion=config.movement.motion,
            motion_time=config.movement.motion_time,
            optics=config.optics,
            detector=config.detector,
            seed=config.seed,
            progress=progress,
        )
        stack.write(out)
        return stack
    return simulate_movie(
        out.with_name(out.name + ".mrc"),
        [_crystal(config, p) for p in range(config.particles)],
        config.frames,
        shape=(config.height, config.width),
        pixel_size=config.pixel_size,
        dose=config.detector.dose,
        movement=config.movement,
        surroundings=config.surroundings,
        optics=config.optics,
        detector=config.detector,
        seed=config.seed,
        progress=progress,
    )


def _crystal(config: SimulateConfig, particle: int) -> Crystal:
    """Return the crystal of a particle: from the file, or built with a stream of its own."""
    if config.atoms is not None:
        return read_crystal(config.atoms)
    # The settings are the arguments of `nanocrystal`, name by name.
    return nanocrystal(**vars(config.crystal), seed=config.seed, item=particle)
