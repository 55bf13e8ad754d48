"""Formation energy of a particle at its measured positions, with the error that the errors of the positions cause.

    E_form = (E_particle − Σ_e N_e E_bulk,e) / N,    no relaxation.

The measured positions are x = x₀ + δ with errors δ of covariance Σ (block diagonal, one 3 × 3 block per atom). To
second order in δ, with forces f and second derivatives H,

    E(x) = E(x₀) − f₀·δ + ½ δᵀHδ    ⇒    bias ⟨E(x) − E(x₀)⟩ = ½ tr HΣ,    variance f₀ᵀΣf₀ + ½ tr HΣHΣ.

Noise raises the energy of every atom, so the bias does not average out over atoms, and grows as σ². The forces at the
measured positions contain the noise, ⟨fᵀΣf⟩ = f₀ᵀΣf₀ + tr HΣHΣ, therefore variance = fᵀΣf − ½ tr HΣHΣ. Both traces come
from pairs of displacements δ = ±Lz with LLᵀ = Σ and random signs z (Hutchinson's estimator):

    ½ tr HΣ = ⟨E(x + δ) + E(x − δ) − 2E(x)⟩ / 2,    tr HΣHΣ = ⟨|Lᵀ (f(x − δ) − f(x + δ))/2|²⟩.

An error s of the pixel size stretches all positions alike, and adds |E(x(1 + s)) − E(x(1 − s))| / 2.

Reference: M. F. Hutchinson, Commun. Stat. Simul. Comput. 18, 1059 (1989), doi:10.1080/03610918908812806.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import InputError
from single_rs.base.progress import Progress, in_notebooks
from single_rs.base.seeds import random_stream
from single_rs.crystal.neighbours import doubtful_sigma
from single_rs.energy.bulk import bulk_energy
from single_rs.energy.calculators import Factory, calculator_factory
from single_rs.energy.validity import SurfaceCheck, check_surface
from single_rs.records import Atoms

__all__ = ["FormationEnergy", "formation_energy"]

# Vacuum for calculators that need a cell, Å on each side; boundaries are open.
_VACUUM = 6.0
# Energies of atoms belong to the same model as the total when they add up to it within this, eV per atom.
_SUM = 1e-4
# Calculators whose surface energy is computed beside the particle's: seconds, and no k-points to choose.
_QUICK = ("emt", "mace", "sevenn")
# Measured surface energies and the (111) face differ by so much.
_TRUSTED = 0.2
# Keeps this stream of random numbers apart from those of other stages with the same seed.
_STREAM = 0x454E4552 << 32


@dataclass(frozen=True)
class FormationEnergy:
    """Energy of a particle of n atoms at its measured positions; all energies in eV.

    Attributes
    ----------
    calculator
        Its name.
    energy
        E_particle.
    bulk
        Element → E_bulk per atom.
    lattice_ratio
        Element → lattice constant of the calculator over that of experiment; nothing where E_bulk was given.
    per_atom
        E_form per atom, at the measured positions.
    bias
        Part of `per_atom` that the errors of the positions cause on average; NaN without errors.
    bias_error
        Standard error of `bias` from the number of draws.
    sigma
        Standard error of `corrected` from independent errors of the positions and from the draws.
    sigma_scale
        Standard error from the pixel size; 0 when that is taken as exact.
    forces
        (n, 3) eV/Å.
    energies
        (n,) formation energy of each atom, their mean is `per_atom`; None when the calculator gives none.
    energies_bias, energies_sigma
        (n,) bias and standard error of each; from as many draws, so good to some ten per cent. None as `energies`.
    draws
        Pairs of displacements.
    notes
        What could not be computed, and why; and how far the calculator's surface energies are from the measured ones.
    surface
        γ(111) of each element beside the measured one, for calculators that are quick.
    """

    calculator: str
    energy: float
    bulk: dict[str, float]
    lattice_ratio: dict[str, float]
    per_atom: float
    bias: float
    bias_error: float
    sigma: float
    sigma_scale: float
    forces: NDArray[np.float64]
    energies: NDArray[np.float64] | None
    energies_bias: NDArray[np.float64] | None
    energies_sigma: NDArray[np.float64] | None
    draws: int
    notes: tuple[str, ...] = ()
    surface: tuple[SurfaceCheck, ...] = ()

    @property
    def corrected(self) -> float:
        """E_form per atom without the bias of the noise; `per_atom` when the errors are not known."""
        return self.per_atom - self.bias if np.isfinite(self.bias) else self.per_atom

    @property
    def error(self) -> float:
        """Standard error of `corrected` from all known causes; NaN when the errors of the positions are not known."""
        return float(np.hypot(self.sigma, self.sigma_scale))


@in_notebooks
@single_blas_thread()
def formation_energy(
    atoms: Atoms,
    calculator: str | Any = "emt",
    *,
    bulk: Mapping[str, float] | None = None,
    covariance: ArrayLike | None = None,
    scale_error: float = 0.0,
    draws: int = 8,
    seed: int = 0,
    progress: Progress | None = None,
) -> FormationEnergy:
    """Formation energy per atom of a particle at its measured positions, not relaxed, with its errors.

    Parameters
    ----------
    atoms
        Positions (n, 3) in Å, symbols, and `sigma` (n,), the standard error per axis in Å. Without errors (NaN) the
        energy has none either.
    calculator
        Name of a calculator (`available_calculators`), ``module:factory``, or an ASE calculator.
    bulk
        Element → E_bulk in eV per atom; computed for elements that are left out.
    covariance
        (n, 3, 3) Å², of the position of each atom; instead of `atoms.sigma`.
    scale_error
        Relative standard error of the pixel size, e.g. 0.005.
    draws
        Pairs of displaced particles for bias and error; each costs two energies. 0: neither.
    seed
        Of the displacements.
    progress
        Called as progress("energy", done, total).

    Returns
    -------
    FormationEnergy
        `per_atom`, `corrected`, `sigma` and the energies of the atoms.

    Raises
    ------
    InputError
        A calculator that is not available or does not know an element, a covariance of another shape.
    ConvergenceError
        No bulk reference within reach.
    """
    if len(atoms) < 1:
        raise InputError("there are no atoms; at least one is needed")
    if draws < 0 or draws == 1:
        raise InputError(f"draws is {draws}; 0 (no error) or at least 2 are needed")
    if not 0 <= scale_error < 0.1:
        raise InputError(f"scale_error is {scale_error}; a relative error from 0 to less than 0.1 is needed")
    counts = Counter(str(s) for s in atoms.symbols)
    name, factory = _factory(calculator, counts)
    particle = atoms.to_ase(_VACUUM)
    run = _Run(particle, factory)
    root, notes = _root(atoms, covariance)
    pairs = draws if root is not None else 0
    first = 1 + len(counts)
    total = first + 2 * pairs

    def tell(done: int) -> None:
        if progress is not None:
            progress("energy", done, total)

    tell(0)
    energy, forces, parts = run(particle.positions)
    references, ratios = dict(bulk or {}), {}
    for element in counts:
        if element not in references:
            references[element], ratios[element] = bulk_energy(element, factory)
    reference = np.array([references[str(s)] for s in atoms.symbols])
    tell(first)
    if parts is None:
        notes += (f"no energies of atoms: {name} gives none that add up to the total",)
    checks = [
        check_surface(element, factory, references[element], ratio)
        for element, ratio in ratios.items()
        if calculator in _QUICK
    ]
    surface = tuple(check for check in checks if check is not None)
    notes += tuple(
        f"{name} gives {c.element}(111) {c.computed:.2f} J/m², measured {c.measured:.2f}: energies of surfaces, and so "
        f"the slope against size, are {c.ratio:.2f} times those of the metal"
        for c in surface
        if abs(c.ratio - 1) > _TRUSTED
    )
    noise = _noise(run, particle.positions, (energy, forces, parts), root, pairs, seed, lambda k: tell(first + k))
    count = len(atoms)
    return FormationEnergy(
        calculator=name,
        energy=energy,
        bulk={e: float(references[e]) for e in counts},
        lattice_ratio=ratios,
        per_atom=(energy - float(reference.sum())) / count,
        bias=noise.bias / count,
        bias_error=noise.bias_error / count,
        sigma=float(np.hypot(noise.sigma, noise.bias_error)) / count,
        sigma_scale=_scale(run, particle.positions, scale_error) / count,
        forces=forces,
        energies=None if parts is None else parts - reference,
        energies_bias=noise.parts_bias,
        energies_sigma=noise.parts_sigma,
        draws=pairs,
        notes=notes,
        surface=surface,
    )


def _factory(calculator: str | Any, elements: Mapping[str, int]) -> tuple[str, Factory]:
    if isinstance(calculator, str):
        return calculator, calculator_factory(calculator, elements)
    if not hasattr(calculator, "get_potential_energy"):
        raise InputError(f"calculator is {calculator!r}; a name or an ASE calculator is needed")
    return type(calculator).__name__, lambda atoms: calculator


class _Run:
    """Energy, forces and energies of atoms of one particle at any positions."""

    def __init__(self, particle: Any, factory: Factory) -> None:
        self._particle = particle.copy()
        self._particle.calc = factory(self._particle)

    def __call__(self, positions: NDArray[np.float64]) -> tuple[float, NDArray[np.float64], NDArray[np.float64] | None]:
        """Return E (eV), forces (n, 3) in eV/Å, and energies (n,) that add up to E, or None."""
        from ase.calculators.calculator import PropertyNotImplementedError

        particle = self._particle
        particle.positions = positions
        energy, forces = float(particle.get_potential_energy()), np.array(particle.get_forces())
        if not np.isfinite(energy) or not np.all(np.isfinite(forces)):
            raise InputError("the calculator gives no finite energy; are two atoms at the same place?")
        try:
            parts = np.array(particle.get_potential_energies(), dtype=np.float64)
        except (PropertyNotImplementedError, NotImplementedError):
            return energy, forces, None
        agree = parts.shape == (len(particle),) and abs(parts.sum() - energy) < _SUM * len(particle)
        return energy, forces, parts if agree else None


def _root(atoms: Atoms, covariance: ArrayLike | None) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Return L (n, 3, 3) with LLᵀ the covariance of each atom, or None with a note."""
    count = len(atoms)
    if covariance is not None:
        given = np.asarray(covariance, dtype=np.float64)
        if given.shape != (count, 3, 3):
            raise InputError(f"covariance has shape {given.shape}; ({count}, 3, 3) in Å² is needed")
        try:
            return np.asarray(np.linalg.cholesky(given)), ()
        except np.linalg.LinAlgError:
            raise InputError("covariance is not positive definite; give that of each position, Å²") from None
    sigma = np.asarray(atoms.sigma, dtype=np.float64)
    if not np.all(np.isfinite(sigma)):
        return None, ("no error of the energy: the errors of the positions (sigma) are not known",)
    doubt = doubtful_sigma(atoms.positions, sigma) if count > 1 else None
    if doubt is not None:
        return None, (f"no error of the energy: {doubt}",)
    return sigma[:, None, None] * np.eye(3), ()


@dataclass(frozen=True)
class _Noise:
    """Bias and error of the total energy and of those of the atoms, eV."""

    bias: float = float("nan")
    bias_error: float = float("nan")
    sigma: float = float("nan")
    parts_bias: NDArray[np.float64] | None = None
    parts_sigma: NDArray[np.float64] | None = None


def _noise(
    run: _Run,
    positions: NDArray[np.float64],
    measured: tuple[float, NDArray[np.float64], NDArray[np.float64] | None],
    root: NDArray[np.float64] | None,
    draws: int,
    seed: int,
    tell: Callable[[int], None],
) -> _Noise:
    """Estimate the traces of the module's equations from `draws` pairs of displacements."""
    if root is None or draws == 0:
        return _Noise()
    energy, forces, parts = measured
    second, stiff = np.empty(draws), np.empty(draws)
    even, odd = np.zeros((draws, len(positions))), np.zeros((draws, len(positions)))
    for k in range(draws):
        signs = random_stream(seed, _STREAM | k).integers(0, 2, positions.shape)
        step = np.einsum("nij,nj->ni", root, 2.0 * signs - 1.0)
        (e1, f1, p1), (e2, f2, p2) = run(positions + step), run(positions - step)
        second[k] = (e1 + e2) / 2 - energy
        stiff[k] = np.square(np.einsum("nji,nj->ni", root, (f2 - f1) / 2)).sum()
        if parts is not None and p1 is not None and p2 is not None:
            even[k], odd[k] = (p1 + p2) / 2 - parts, (p1 - p2) / 2
        tell(2 * (k + 1))
    half = float(stiff.mean()) / 2
    # f₀ᵀΣf₀ is not negative: where its estimate is, noise explains all of the forces.
    variance = max(float(np.square(np.einsum("nji,nj->ni", root, forces)).sum()) - half, half)
    return _Noise(
        bias=float(second.mean()),
        bias_error=float(second.std(ddof=1) / np.sqrt(draws)),
        sigma=float(np.sqrt(variance)),
        parts_bias=None if parts is None else even.mean(axis=0),
        parts_sigma=None if parts is None else np.sqrt(np.square(odd).mean(axis=0)),
    )


def _scale(run: _Run, positions: NDArray[np.float64], error: float) -> float:
    """Return the change of the energy with the pixel size, eV."""
    if error == 0:
        return 0.0
    centre = positions.mean(axis=0)
    up, down = (run(centre + (positions - centre) * (1 + s))[0] for s in (error, -error))
    return abs(up - down) / 2
