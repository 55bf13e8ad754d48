"""Is a particle made of what it is said to be? Its fitted cell, or its bonds, against the bulk of the elements.

    expansion = length / length of the bulk − 1,     length: cube root of the cell's volume, or the mean bond,

with the error of the fit and that of the tabulated constant. Particles of one element differ among themselves, by
ligands, temperature and size: by up to `EXPANSION` here. So an element is distinguished from another only by more than
that and by `SIGMAS` standard errors; what the lattice cannot tell is named. Bonds stand in where the best lattice is
poor, as in icosahedra, glasses and small clusters, or is not that of the bulk, as beyond a stacking fault.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from single_rs.analysis.lattice import Lattice
from single_rs.analysis.model import Particle
from single_rs.crystal.neighbours import neighbour_cutoff
from single_rs.crystal.prototypes import Bulk, bulk_reference, polar
from single_rs.pipeline.reasons import Reasons

__all__ = ["judge_substance"]

# Strained particles of 2 to 4 nm deviate from bulk by up to 2.5 %; other elements than the named ones begin beyond.
EXPANSION = 0.025
# Bonds are shorter at surfaces, and along the radii of an icosahedron by 5 % than across them.
EXPANSION_OF_BONDS = 0.035
EXPANSION_FAILED = 0.055
SIGMAS = 5.0
# Edges of a cubic cell that differ by more are those of another crystal, or of one that was seen from one side.
EDGES = 0.025
# Atoms on the sites of all domains below which the lattice says too little of the particle.
ON_LATTICE = 0.5
MOST_NAMED = 4
# Elements of which nanocrystals are made, with a bulk that is tabulated.
ELEMENTS = (
    "Al", "Si", "Ti", "V", "Cr", "Fe", "Co", "Ni", "Cu", "Zn", "Ge", "Zr", "Nb", "Mo", "Ru", "Rh", "Pd", "Ag", "Hf",
    "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Pb",
)  # fmt: skip


@dataclass(frozen=True)
class _Measured:
    """A length of the particle that every bulk has: `value` and its standard error `error`, Å; what it is called."""

    value: float
    error: float
    text: str
    structure: str | None

    def expansion(self, bulk: Bulk) -> tuple[float, float]:
        """Return the relative difference from a bulk and its standard error."""
        length = bulk.nearest if self.structure is None else float(np.cbrt(np.linalg.det(bulk.cell())))
        ratio = self.value / length
        return ratio - 1, ratio * math.hypot(self.error / self.value, bulk.error / bulk.a)

    @property
    def allowed(self) -> float:
        """Return the largest expansion of a particle."""
        return EXPANSION_OF_BONDS if self.structure is None else EXPANSION


def judge_substance(model: Particle, element: str, reasons: Reasons) -> None:
    """Judge the lattice or the bonds of a particle's atoms against the bulk of the element it is said to be.

    Parameters
    ----------
    model
        Analysed atoms.
    element
        Symbol or formula.
    reasons
        Takes what is found.
    """
    lattice = model.lattice
    bulk = bulk_reference(element)
    if lattice is not None and (found := bulk_reference(element, lattice.structure)) is not None:
        bulk = found  # of a compound with several crystals that which the particle has
    if bulk is None:
        reasons.passed.append(f"no lattice of {element} is tabulated, so that none is compared")
        return
    measured = _cell(lattice, bulk) or _bonds(model)
    if measured is None:
        reasons.doubtful.append(f"not measured: how far bonds are from those of bulk {element}")
        return
    change, error = measured.expansion(bulk)
    others = _others(measured, bulk)
    limit = f"{100 * measured.allowed:.1f} % and {SIGMAS:.0f} sigma allowed"
    text = f"{measured.text}, {100 * change:+z.1f} ± {100 * error:.1f} % from bulk {element}"
    if abs(change) <= measured.allowed or abs(change) <= SIGMAS * error:
        reasons.passed.append(f"{text}; {limit}")
        _tell(measured, element, others, reasons)
    else:
        better = [f"{name} ({100 * by:+.1f} %)" for name, by, _ in others if abs(by) < abs(change)][:MOST_NAMED]
        fits = f"; {_list(better)} {'fits' if len(better) == 1 else 'fit'} better" if better else ""
        into = reasons.failed if abs(change) > EXPANSION_FAILED else reasons.doubtful
        into.append(f"{text}, {abs(change) / error:.0f} sigma{fits}; {limit}")
    if measured.structure is not None and lattice is not None:
        _judge_edges(lattice, bulk, reasons)


def _cell(lattice: Lattice | None, bulk: Bulk) -> _Measured | None:
    """Return the mean edge of the fitted cell; None where the lattice is poor or not that of the bulk."""
    if lattice is None or lattice.form or lattice.structure != bulk.structure or lattice.off_lattice > 1 - ON_LATTICE:
        return None
    p = lattice.parameters
    mean = float(np.cbrt(p.volume))
    error = mean * p.volume_err / p.volume / 3
    what = "lattice constant" if bulk.c == bulk.a else "mean edge of the cell"
    return _Measured(mean, error, f"{what} {mean:.3f} ± {error:.3f} Å", lattice.structure)


def _bonds(model: Particle) -> _Measured | None:
    """Return the mean distance of neighbours, with its standard error from the scatter of the atoms' own means."""
    x = model.atoms.positions
    if len(x) < 2:
        return None
    pairs = KDTree(x).query_pairs(neighbour_cutoff(x)[1], output_type="ndarray")
    if len(pairs) < 2:
        return None
    length = np.linalg.norm(x[pairs[:, 0]] - x[pairs[:, 1]], axis=1)
    count = np.bincount(pairs.ravel(), minlength=len(x))
    own = np.bincount(pairs.ravel(), np.repeat(length, 2), minlength=len(x))[count > 0] / count[count > 0]
    mean, error = float(length.mean()), float(own.std() / np.sqrt(len(own)))
    return _Measured(mean, error, f"bonds of {mean:.3f} ± {error:.3f} Å", None)


def _others(measured: _Measured, bulk: Bulk) -> list[tuple[str, float, float]]:
    """Return the other elements with a bulk of the same kind, expansion from each and its error, the nearest first."""
    found = []
    for name in ELEMENTS:
        other = bulk_reference(name)
        if other is None or name == bulk.element or measured.structure not in (None, other.structure):
            continue
        found.append((name, *measured.expansion(other)))
    return sorted(found, key=lambda item: abs(item[1]))


def _tell(measured: _Measured, element: str, others: list[tuple[str, float, float]], reasons: Reasons) -> None:
    """Say which elements the length excludes, and which it does not."""
    allowed = measured.allowed
    alike = [o for o in others if abs(o[1]) <= allowed or abs(o[1]) <= SIGMAS * o[2]]
    told = [o for o in others if o not in alike]
    what = "the lattice" if measured.structure is not None else "the bonds"
    said = []
    if told:
        names = _list(
            [f"{name} ({100 * by:+.1f} %, {abs(by) / error:.0f} sigma)" for name, by, error in told[:MOST_NAMED]]
        )
        said.append(f"{what} {'exclude' if measured.structure is None else 'excludes'} {names} and what is farther")
    if alike:
        names = _list([f"{name} ({100 * by:+.1f} ± {100 * error:.1f} %)" for name, by, error in alike])
        said.append(f"{'' if said else what + ' '}cannot tell {element} from {names}")
    if said:
        reasons.passed.append(f"{', but '.join(said)}; more than {100 * allowed:.1f} % and {SIGMAS:.0f} sigma needed")


def _judge_edges(lattice: Lattice, bulk: Bulk, reasons: Reasons) -> None:
    """Judge how far the fitted cell is stretched in one direction more than in another."""
    stretch = np.linalg.eigvalsh(polar(lattice.cell.T @ np.linalg.inv(bulk.cell().T))[1])
    p = lattice.parameters
    spread, error = float(stretch[-1] / stretch[0] - 1), math.sqrt(2) * max(p.a_err / p.a, p.b_err / p.b, p.c_err / p.c)
    text = f"the cell is longer in one direction than in another by {100 * spread:.1f} ± {100 * error:.1f} %"
    odd = spread > EDGES and spread > SIGMAS * error
    (reasons.doubtful if odd else reasons.passed).append(
        f"{text} beside bulk {bulk.element}; {100 * EDGES:.1f} % and {SIGMAS:.0f} sigma allowed"
    )


def _list(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""
