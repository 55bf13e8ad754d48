"""What is known of the microscope beforehand, and what the frames told of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from single_rs.base.errors import InputError
from single_rs.base.settings import Settings, setting
from single_rs.io.detector import read_mtf

__all__ = ["Optics", "OpticsConfig", "OpticsTerm"]

FOLDS = {"astigmatism": 2, "coma": 1, "threefold": 3}
MTF_DIGITS, LARGEST_MTF = 5, 1.2  # of a curve, which noise may lift above 1 at low frequencies


@dataclass(frozen=True)
class OpticsConfig(Settings):
    """What is known of the microscope; what is not given is found from the frames, or not needed."""

    calibrate: bool = setting(True, "fit focus of frames, astigmatism and coma where the frames show them")
    voltage: float = setting(300.0, "acceleration voltage", "kV", ge=20, le=1500)
    c1: float | None = setting(None, "defocus C1 of the middle of the frames, positive over focus", "Å")
    c3: float | None = setting(None, "third-order spherical aberration", "Å")
    astigmatism: tuple[float, float] | None = setting(
        None, "twofold astigmatism C12, cosine and sine part in the axes of the frames, instead of a fitted one", "Å"
    )
    coma: tuple[float, float] | None = setting(None, "axial coma C21, likewise", "Å")
    threefold: tuple[float, float] | None = setting(None, "threefold astigmatism C23, likewise", "Å")
    mtf: str | tuple[float, ...] = setting(
        (),
        "modulation transfer of the detector, taken off the envelope: a file (STAR as RELION's, or two columns), or "
        "its values at even steps from 0 to Nyquist",
    )

    def __post_init__(self) -> None:
        """Read the file of the modulation transfer: what it holds is the setting, wherever it is looked at again."""
        super().__post_init__()
        name = f" of {self.mtf}" if isinstance(self.mtf, str) else ""
        values = np.round(read_mtf(self.mtf), MTF_DIGITS) if isinstance(self.mtf, str) else np.array(self.mtf, float)
        if len(values) == 1 or not ((values > 0) & (values <= LARGEST_MTF)).all():
            raise InputError(
                f"OpticsConfig.mtf{name} has {len(values)} values from {values.min():g} to {values.max():g}; at least "
                f"2 are needed, above 0 and at most {LARGEST_MTF:g}"
            )
        object.__setattr__(self, "mtf", tuple(values.tolist()))


@dataclass(frozen=True)
class OpticsTerm:
    """One aberration without round symmetry.

    Attributes
    ----------
    name
        "astigmatism" (C12), "coma" (C21) or "threefold" (C23).
    x, y
        Cosine and sine part, Å: what multiplies cos nφ and sin nφ, φ from x towards y in the frames.
    error
        Standard error of either, Å: of the frames, and 6 % of the size, which imaging that is not linear may hide.
    significance
        Size over the error of the frames.
    phase
        Largest phase that it makes at the finest detail used, rad.
    present
        Whether it is there: more than five errors and 0.05 rad. One that is absent was left out.
    given
        Whether it was given beforehand.
    """

    name: str
    x: float
    y: float
    error: float
    significance: float
    phase: float
    present: bool
    given: bool

    @property
    def size(self) -> float:
        """Å."""
        return float(np.hypot(self.x, self.y))

    @property
    def angle(self) -> float:
        """Azimuth at which it is largest, degrees from x towards y."""
        return float(np.rad2deg(np.arctan2(self.y, self.x)) / FOLDS[self.name])


@dataclass(frozen=True)
class Optics:
    """The transfer of the microscope, as the frames show it.

    Attributes
    ----------
    voltage
        kV, as given.
    nats_per_frame
        Log-likelihood gained over round filters without a focus of each frame.
    terms
        Aberrations without round symmetry, in the signs of χ.
    side
        1, or -1 where the depths of the atoms run against the beam, which projections do not tell: C1 and C3 are those
        of a weak object, whose contrast vanishes at the lowest frequencies with χ, and not with π − χ.
    focus_spread, focus_error
        Standard deviation of the focus over frames, and median error of one, Å; None where all have the same.
    c1, c1_error, c3, c3_error
        Defocus of the middle of the particle, positive over focus, and spherical aberration, Å, with the phase of the
        atoms' scattering free; None where the transfer does not tell.
    separate
        Whether C1 and C3 are each known to a third of their size, or given.
    frequency
        1/Å.
    envelope
        Amplitude of the transfer, over its largest, less the detector's where that was given.
    aberration
        Phase χ of the round part, rad; the contrast is their sine times the envelope.
    observed, explained
        Power of the mean frame over that of its noise, and of the fitted model over the same; by shell.
    """

    voltage: float
    nats_per_frame: float
    terms: tuple[OpticsTerm, ...]
    side: int
    focus_spread: float | None
    focus_error: float | None
    c1: float | None
    c1_error: float | None
    c3: float | None
    c3_error: float | None
    separate: bool
    frequency: tuple[float, ...]
    envelope: tuple[float, ...]
    aberration: tuple[float, ...]
    observed: tuple[float, ...]
    explained: tuple[float, ...]

    @property
    def applied(self) -> tuple[float, ...]:
        """(6,) terms in the order and the signs of the lens, 0 of those that are absent, Å."""
        signs = {"astigmatism": -self.side}
        return tuple(signs.get(t.name, 1) * v if t.present else 0.0 for t in self.terms for v in (t.x, t.y))

    @property
    def said(self) -> str:
        """What was found, in a sentence or two."""
        there = [t for t in self.terms if t.present]
        absent = [t.name for t in self.terms if not t.present]
        parts = [
            f"{t.name} {t.size:.3g} Å at {t.angle:.0f}°" if t.given else
            f"{t.name} {t.size:.3g} ± {t.error:.2g} Å at {t.angle:.0f}°"
            for t in there
        ]  # fmt: skip
        parts += [f"no {name} beyond its error" for name in absent]
        if self.focus_spread is None:
            parts.append("one focus in all frames")
        else:
            parts.append(f"focus of frames scattered by {self.focus_spread:.3g} Å")
        said = "; ".join(parts).replace("-", "−")
        return f"{said[:1].upper()}{said[1:]}."
