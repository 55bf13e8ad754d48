"""Check what vertical movement, a wrong pixel size and coarse pixels do to the positions of atoms.

A model crystal of known atoms is seen in random, known poses through the linear transfer of the microscope; the noise
is that of as many electrons in all frames together as the data have. Each effect is put in alone, map and atoms are
made from the frames as always, and compared with the known ones:

- vertical movement: the height z of the particle wanders by some rms, and with it the defocus C1 − z of each frame;
- pixel size: the frames are said to be finer or coarser than they are; atoms are compared as they come out, and after
  the best scale, which leaves what distorts;
- binning: neighbouring pixels are summed, which also halves the finest period.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import NoParticleError
from single_rs.pipeline import stages
from single_rs.pipeline.config import ValidateConfig
from single_rs.reconstruction.fourier import ReconstructConfig, reconstruct
from single_rs.records import CleanStack, Poses
from single_rs.records.check import Check, Criterion
from single_rs.simulate import Crystal, OpticsConfig
from single_rs.simulate.compounds import material_ball
from single_rs.simulate.optics import Microscope
from single_rs.simulate.streams import Stage, stream
from single_rs.simulate.tumbling import ornstein_uhlenbeck
from single_rs.validate.case import Case
from single_rs.validate.matching import match_in_place

__all__ = ["EFFECTS", "Effect", "check_effects"]

MARGIN = 7.0  # Å of box beyond the crystal on each side
SMALLEST = 14.0  # Å, of a model crystal: under 100 atoms are too few to be traced with certainty
HEIGHT_TIME = 50.0  # frames over which the height is remembered
USUAL_HEIGHT = 20.0  # Å, rms: what is judged; a pocket of liquid with 7 nm of room gives that
SURPLUS_PM = 19.0
BLOCK = 1  # frames of a block of the half sets: poses are random, and neighbours have nothing in common


@dataclass(frozen=True)
class Effect:
    """One row of the table: `height` Å rms, `pixel_error` as a fraction, `binning` pixels."""

    name: str
    height: float = 0.0
    pixel_error: float = 0.0
    binning: int = 1


EFFECTS = (
    Effect("none"),
    Effect("vertical movement of 10 Å rms", height=10.0),
    Effect("vertical movement of 20 Å rms", height=USUAL_HEIGHT),
    Effect("vertical movement of 50 Å rms", height=50.0),
    Effect("pixel size 1 % too large", pixel_error=0.01),
    Effect("pixel size 3 % too large", pixel_error=0.03),
    Effect("binned by 2", binning=2),
)


def check_effects(case: Case, config: ValidateConfig | None = None) -> Check:
    """Measure each effect on a model crystal.

    Parameters
    ----------
    case
        The particle; its element, pixel size, dose and number of frames are used.
    config
        Size and frames of the model crystal, and the optics.

    Returns
    -------
    Check
        Data: rows of the table, with recall, RMSD (pm) as found and after the best scale.
    """
    config = config or ValidateConfig()
    model = _Model(case, config)
    rows: list[dict[str, Any]] = []
    for number, effect in enumerate(EFFECTS):
        case.tell("defocus", number, len(EFFECTS))
        rows.append({"effect": effect.name, **model.measure(effect)})
    case.tell("defocus", len(EFFECTS), len(EFFECTS))
    by_name = {e.name: row for e, row in zip(EFFECTS, rows, strict=True)}
    alone = by_name["none"]
    judged = next(row for e, row in zip(EFFECTS, rows, strict=True) if e.height == USUAL_HEIGHT)
    surplus = float(np.sqrt(max(judged["rmsd_pm"] ** 2 - alone["rmsd_pm"] ** 2, 0.0)))
    if judged["recall"] < 0.95 or np.isnan(judged["rmsd_pm"]):
        surplus = float("nan")
    scaled = by_name["pixel size 1 % too large"]["rmsd_scaled_pm"]
    limit = "the largest error stated by the published method, 19 pm"
    criteria = (
        Criterion("RMSD without any effect", alone["rmsd_pm"], SURPLUS_PM, False, "pm", limit),
        Criterion(f"RMSD added by {USUAL_HEIGHT:.0f} Å of vertical movement", surplus, SURPLUS_PM, False, "pm", limit),
        Criterion("RMSD with a pixel size off by 1 %, after scaling", scaled, SURPLUS_PM, False, "pm", limit),
    )
    return Check(
        "defocus",
        criteria,
        f"a model crystal of {len(model.crystal)} atoms: {alone['rmsd_pm']:.1f} pm without any effect, "
        f"{judged['rmsd_pm']:.1f} pm when it moves by {USUAL_HEIGHT:.0f} Å along the beam",
        numbers={"atoms": float(len(model.crystal)), "frames": float(config.model_frames), "added_pm": surplus},
        data={"rows": rows},
    )


class _Model:
    """A crystal, its poses, and the noise; `measure` sees it through one effect."""

    def __init__(self, case: Case, config: ValidateConfig) -> None:
        self.case, self.config = case, config
        # Of the particle's size unless given: with the electrons, it decides what noise leaves of each reflection.
        diameter = config.model_diameter or max(case.clean.diameter, SMALLEST)
        self.crystal: Crystal = material_ball(case.element, diameter, case.seed)
        n, pixel = config.model_frames, case.pixel_size
        # A box that binning halves into an even one, for images and for the atoms' map alike.
        self.box = 4 * int(np.ceil((self.crystal.radius + MARGIN) / (2 * pixel)))
        from scipy.spatial.transform import Rotation

        # Uniform poses: how a real particle's views lie is what the check `coverage` tells.
        self.rotations = Rotation.random(n, rng=stream(case.seed, Stage.ROTATION)).as_matrix()
        electrons = case.electrons * max(len(case.used), 1) / n
        self.variance = 1.0 / electrons
        self._clean: NDArray[np.float32] | None = None

    def measure(self, effect: Effect) -> dict[str, Any]:
        """Recall, and RMSD in pm as found and after the best scale; NaN and a note when no atoms were found."""
        images = self._images(effect)
        true = self.crystal.positions
        pixel = self.case.pixel_size * effect.binning * (1 + effect.pixel_error)
        diameter = 2 * self.crystal.radius * pixel / (self.case.pixel_size * effect.binning)
        clean = CleanStack.bare(images, pixel, diameter, self.variance / effect.binning**2)
        poses = Poses.known(self.rotations, np.zeros((len(images), 2)), block=BLOCK)
        try:
            density = reconstruct(clean, poses, ReconstructConfig())
            found = stages.trace(density, self.case.element, clean.diameter, self.case.config.trace)
        except NoParticleError as error:
            nothing = {name: float("nan") for name in ("rmsd_pm", "rmsd_scaled_pm", "scale", "median_pm", "largest_pm")}
            return {"recall": 0.0, "found": 0.0, **nothing, "note": str(error)}
        # Binned pixels lie half a pixel off: the rigid motion takes that out.
        match = match_in_place(found.positions, true)
        a, b = found.positions[match.first], true[match.second]
        a, b = a - a.mean(axis=0), b - b.mean(axis=0)
        scale = float(np.sqrt((b**2).sum() / (a**2).sum()))
        scaled = match_in_place(scale * found.positions, true)
        return {
            "recall": len(match.second) / len(true),
            "found": float(len(found)),
            "rmsd_pm": match.rmsd(),
            "rmsd_scaled_pm": scaled.rmsd(),
            "scale": scale,
            "median_pm": float(np.median(match.distance)) if len(match.first) else float("nan"),
            "largest_pm": float(match.distance.max()) if len(match.first) else float("nan"),
        }

    def _images(self, effect: Effect) -> NDArray[np.float32]:
        """Contrast (n, box, box) with noise."""
        c, n = self.config, self.config.model_frames
        optics = OpticsConfig(c.voltage, c.c3, c.overfocus, c.focal_spread, c.b_factor, "linear")
        if effect.height or self._clean is None:
            heights = ornstein_uhlenbeck(stream(self.case.seed, Stage.WANDER), n, effect.height, HEIGHT_TIME, 1)[:, 0]
            images = np.empty((n, self.box, self.box), np.float32)
            scope = Microscope(self.box, self.case.pixel_size, optics)
            for image, rotation, z in zip(images, self.rotations, heights, strict=True):
                if effect.height:
                    scope = Microscope(self.box, self.case.pixel_size, replace(optics, defocus=c.overfocus - float(z)))
                image[:] = scope.image(self.crystal.positions @ rotation.T, self.crystal.symbols) - 1.0
            if not effect.height:
                self._clean = images
        else:
            images = self._clean
        noise = np.float32(np.sqrt(self.variance))
        noisy = np.empty_like(images)
        for i, image in enumerate(images):
            random = stream(self.case.seed, Stage.COUNTS, i).standard_normal(image.shape, np.float32)
            noisy[i] = image + noise * random
        if effect.binning == 1:
            return noisy
        b, size = effect.binning, self.box // effect.binning
        return np.asarray(noisy.reshape(n, size, b, size, b).mean(axis=(2, 4)))
