"""What the frames say of the microscope: contrast, dose, ellipse of the magnification, focus, graphene.

Only what a run has in its records is stated; where the frames did not tell, that is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from single_rs.base.sampling import evenly
from single_rs.report.views import FactList, Facts, Quantity

if TYPE_CHECKING:
    from single_rs.background.ruler import PixelRuler
    from single_rs.records import Background
    from single_rs.refine.optics import Optics
    from single_rs.refine.types import Ellipse, RefinementSummary
    from single_rs.report.content import ParticleFiles

__all__ = ["optics_card"]

SAMPLE = 64  # frames that the mean number of counts is taken of


def optics_card(particle: ParticleFiles) -> FactList | None:
    """Return a card of what is known of the optics; ``None`` where nothing is."""
    rows: list[tuple[str, Any]] = []
    if (contrast := particle.summary.contrast) is not None:
        rows.append(("Atoms in the frames", str(contrast)))
    if particle.stack is not None and len(particle.stack):
        mean = float(np.mean(np.asarray(particle.stack[evenly(len(particle.stack), SAMPLE)], np.float32)))
        rows.append(
            ("Mean of the frames", f"{mean:.3g} per pixel, the dose of a frame where the camera counts electrons")
        )
    if (found := particle.summary.refinement) is not None:
        rows += _refined(found)
    if particle.background is not None:
        rows += _graphene(particle.background, particle.summary.pixel_size_by_graphene)
    return FactList([Facts("", rows)], broad=True) if rows else None


def _refined(found: RefinementSummary) -> list[tuple[str, Any]]:
    """Return what the joint refinement of atoms and poses measured."""
    rows: list[tuple[str, Any]] = []
    if found.ellipse is not None:
        rows.append(("Ellipse of the magnification", _ellipse(found.ellipse)))
    depth = found.depth_spread
    rows.append((
        "Focus from frame to frame",
        "the frames show no change" if depth is None else
        f"the particle's depth along the beam has a standard deviation of {depth:.3g}\xa0Å",
    ))  # fmt: skip
    if found.optics is not None:
        rows += _lens(found.optics)
    moved = Quantity(found.model_error_pm, 2, "pm")
    rows.append(("Focus through the particle", f"in the model; without it atoms would be {moved} off per axis"))
    return rows


def _lens(found: Optics) -> list[tuple[str, Any]]:
    """Return the aberrations that the refinement fitted."""
    rows: list[tuple[str, Any]] = [("Aberrations", found.said)]
    if found.c1 is not None and found.c3 is not None:
        c1 = Quantity(found.c1 / 10, 2, "nm", None if not found.c1_error else found.c1_error / 10)
        c3 = Quantity(found.c3 / 1e4, 2, "µm", None if not found.c3_error else found.c3_error / 1e4)
        apart = "" if found.separate else "; the frames do not tell one from the other"
        rows.append(("C1 and C3", f"{c1} and {c3}, with the phase of the atoms' scattering in them{apart}"))
    return rows


def _ellipse(found: Ellipse) -> str:
    """Return the ellipse with its error, and what was done about it."""
    e1, e2 = (Quantity(100 * v, 3, "%", 100 * e) for v, e in ((found.e1, found.e1_error), (found.e2, found.e2_error)))
    done = (
        "corrected" if found.corrected else
        "not corrected: it does not stand above its error" if found.known else
        "not distinguished from a strain of the particle, and not corrected"
    )  # fmt: skip
    return f"{100 * found.stretch:.2f}% longer at {Quantity(found.angle, 0)}° from x (e₁ {e1}, e₂ {e2}); {done}"


def _graphene(background: Background, ruler: PixelRuler | None) -> list[tuple[str, Any]]:
    """Return the sheets that were taken off, and the pixel size by them."""
    sheets = background.graphene
    if not sheets:
        return [("Graphene", "no sheet found")]
    listed = "; ".join(f"a = {sheet.a:.3f}\xa0Å at {sheet.twist_deg:.1f}°" for sheet in sheets)
    rows = [("Graphene", f"{len(sheets)} sheet{'s' if len(sheets) > 1 else ''}: {listed}")]
    if ruler is not None:
        off = 100 * ruler.excess(background.pixel_size)
        rows.append(("Pixel size by graphene", f"{ruler}; the one in use is {off:+z.2f}% off".replace("-", "−")))
    return rows
