"""Check the pixel size by the graphene in the same frames.

A pixel size that is off by a factor scales every distance, strain and lattice constant with it, and passes every
comparison of the particle with itself. The windows of the cell have a lattice constant of their own.
"""

from __future__ import annotations

from single_rs.background import measure_pixel
from single_rs.records.check import Check, Criterion
from single_rs.validate.case import Case

__all__ = ["check_pixel"]

MOST_OFF = 1.0  # %; tension and tilt of windows are some tenths


def check_pixel(case: Case) -> Check:
    """Compare the pixel size given with that by which the graphene is unstrained.

    Parameters
    ----------
    case
        The particle.

    Returns
    -------
    Check
        Not run where the frames show no graphene.
    """
    case.tell("pixel", 0, 1)
    ruler = measure_pixel(case.clean.graphene, case.pixel_size)
    case.tell("pixel", 1, 1)
    if ruler is None:
        return Check("pixel", (), "no sheet of graphene was found in the frames: nothing says how large a pixel is")
    excess = 100 * ruler.excess(case.pixel_size)
    error = 100 * ruler.error / ruler.pixel_size
    criterion = Criterion(
        "pixel size given against that by the graphene, without its sign",
        abs(excess),
        MOST_OFF + error,
        False,
        "%",
        f"windows are stretched and tilted by some tenths of a percent; {error:.2f} % is the error of this measurement",
    )
    message = (
        f"by {ruler.sheets} sheet{'s' * (ruler.sheets > 1)} of graphene a pixel is {ruler}; {case.pixel_size:.4f} Å "
        f"were given, {excess:+.2f} %. All lengths scale with it"
    )
    numbers = {"pixel_size": ruler.pixel_size, "error": ruler.error, "sheets": float(ruler.sheets)}
    return Check("pixel", (criterion,), message, numbers)
