"""How much memory a calculation takes and how many cores suit it, before it is run.

    plane waves     N_pw = Ω k³ / (6 π²),  k = √(2 m E_cut) / ħ     (half of them with Γ alone: real wave functions)
    bands           N_b = max((N_el + 2)/2 + max(N_at/2, 3), 0.6 N_el)      VASP's NBANDS;  1.2 N_el/2 in pw.x
    wave functions  16 bytes · N_pw · N_b · N_spin · N_k · copies
    grid points     Ω (q/π)³,  q = √(2 m E_density) / ħ, which is 2 k for E_density = 4 E_cut

VASP keeps one copy of the wave functions, and 4 half arrays of 16 bytes on a grid that is finer by 2 in each direction
(VASP wiki, Memory requirements and NBANDS). pw.x diagonalises with two vectors per band (P. Giannozzi et al., J. Phys.:
Condens. Matter 21, 395502 (2009), doi:10.1088/0953-8984/21/39/395502), to which H and S are applied, and keeps a
history of densities for mixing: bytes per grid point are those that pw.x 6.7 itself reports for Cu13 and Ni13. GPAW
(LCAO) and CP2K have M atomic orbitals instead of plane waves, 10 matrices of 8 M² bytes, and 10 to 20 arrays on their
grid.

Electrons are those of VASP's recommended sets: s, p, open d and f, and the semicore that their suffix names (_pv 6,
_sv 8, _d 10 electrons); a pseudopotential's own number is taken where it is known. Cores: at least as many as leave
each 2 GB, at most so many that each keeps 8 bands of one k-point; in VASP NCORE is best near the square root of their
number (VASP wiki, NCORE).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from single_rs.export.dft.calculation import Calculation
from single_rs.export.dft.settings import DftSettings

__all__ = ["Estimate", "estimate", "plane_waves", "valence_electrons"]

_KINETIC = 3.80998212  # eV Å², ħ²/2m (CODATA 2018)
_RYDBERG, _BOHR = 13.605693123, 0.529177210903  # eV, Å
_CORES = (0, 2, 10, 18, 36, 54, 86)
_SEMICORE = {"_pv": 6, "_sv": 8, "_d": 10}
_FROZEN_F = {"_3": 9, "_2": 8}  # 5p⁶ and three (two) electrons; 4f in the core
_PER_CORE = 2.0  # GB
_BANDS_PER_CORE = 8
_DAVIDSON = 7  # copies of the wave functions of a k-point: two vectors per band, H and S applied to each, and ψ
_QE_GRID = 1000  # bytes per point of the grid: densities, potentials and their history
_VASP_GRID = 256  # 4 · 16/2 bytes on a grid of 8 times as many points
_MATRICES = 10
_D_BLOCK = ((21, 32), (39, 50), (57, 83))  # atomic numbers with d states among the valence orbitals
_GRID_ARRAYS = {"gpaw": 20, "cp2k": 10}
_PROGRAM = 0.1  # GB: the program, its tables and libraries, on one core


@dataclass(frozen=True)
class Estimate:
    """What one calculation needs.

    Attributes
    ----------
    name, code
        Of the calculation, and of the program.
    atoms, electrons
        Numbers.
    basis
        Plane waves at a k-point, or atomic orbitals.
    bands, spins, kpoints
        Numbers; k-points at most, without symmetry but time reversal.
    grid
        Points of the grid of the charge density.
    memory
        GB for all cores together.
    cores
        (least, most) that suit it.
    """

    name: str
    code: str
    atoms: int
    electrons: int
    basis: int
    bands: int
    spins: int
    kpoints: int
    grid: int
    memory: float
    cores: tuple[int, int] = field(default=(1, 1))


def valence_electrons(symbol: str) -> int:
    """Return the electrons of an element in VASP's recommended PAW set."""
    from ase.calculators.vasp.setups import setups_defaults
    from ase.data import atomic_numbers

    suffix = str(setups_defaults["recommended"].get(symbol, ""))
    if suffix in _FROZEN_F:
        return _FROZEN_F[suffix]
    z = atomic_numbers[symbol]
    outer = z - max(c for c in _CORES if c < z)
    if symbol in ("La", "Ce", "Ac", "Th", "Pa", "U", "Np", "Pu"):
        return outer + 8  # their sets have 5s 5p (6s 6p) as well
    if z > 71 and outer > 14:
        outer -= 14  # closed f
    if outer > 12 and z > 30:
        outer -= 10  # closed d
    if suffix == "_sv" and symbol == "Li":
        return 3
    return outer + _SEMICORE.get(suffix, 0)


def plane_waves(volume: float, cutoff: float) -> float:
    """Return the number of plane waves below a cutoff (eV) in a cell (Å³)."""
    return float(volume * (cutoff / _KINETIC) ** 1.5 / (6 * np.pi**2))


def _orbitals(symbol: str, code: str) -> int:
    """Return the atomic orbitals of an element: two of each valence shell, and one polarisation shell."""
    from ase.data import atomic_numbers

    if symbol in ("H", "He"):
        return 5
    has_d = any(first <= atomic_numbers[symbol] <= last for first, last in _D_BLOCK)
    if not has_d:
        return 13
    return 25 if code == "cp2k" else 15


def estimate(
    one: Calculation,
    code: str,
    settings: DftSettings,
    *,
    cutoff: float,
    density: float | None = None,
    valence: Mapping[str, float] | None = None,
) -> Estimate:
    """Estimate memory and cores of a calculation.

    Parameters
    ----------
    one
        The calculation.
    code
        vasp, qe, gpaw or cp2k.
    settings
        Of all calculations.
    cutoff
        eV, of the plane waves; of no meaning in gpaw and cp2k.
    density
        eV, cutoff of the charge density; None: 4 times that.
    valence
        Element → electrons, where a pseudopotential says it.
    """
    symbols = one.atoms.get_chemical_symbols()
    known = valence or {}
    electrons = round(sum(known.get(s, valence_electrons(s)) for s in symbols))
    spins = 2 if one.atoms.get_initial_magnetic_moments().any() else 1
    points = 1 if one.mesh is None else max(1, int(np.ceil(np.prod(one.mesh) / 2)))
    volume = float(one.atoms.get_volume())
    count = len(symbols)
    if code in ("vasp", "qe"):
        basis = plane_waves(volume, cutoff)
        real = one.mesh is None and not settings.spin_orbit
        basis /= 2 if real else 1
        grid = volume * (np.sqrt((density or 4 * cutoff) / _KINETIC) / np.pi) ** 3
        if code == "vasp":
            bands = max((electrons + 2) / 2 + max(count / 2, 3), 0.6 * electrons)
            copies, bytes_per_point = 0, _VASP_GRID
        else:
            bands = max(0.6 * electrons, electrons / 2 + 4)
            copies, bytes_per_point = _DAVIDSON, _QE_GRID
        if settings.spin_orbit and code == "qe":
            bands, basis, spins = 2 * bands, 2 * basis, 1
        kept = 16 * basis * bands * (spins * points + copies) + bytes_per_point * grid
    else:
        basis = sum(_orbitals(s, code) for s in symbols)
        bands = min(basis, 0.6 * electrons + 2 * count)
        spacing = settings.gpaw_spacing / 2 if code == "gpaw" else np.pi / np.sqrt(settings.cp2k_cutoff) * _BOHR
        grid = volume / spacing**3
        matrices = _MATRICES * basis**2 * points * (1 if points == 1 else 2)
        kept = 8.0 * spins * (matrices + _GRID_ARRAYS[code] * grid)
    memory = float(kept) / 1e9
    least = max(1, int(2 ** np.ceil(np.log2(max(memory / _PER_CORE, 1.0)))))
    most = max(least, int(2 ** np.floor(np.log2(max(bands * points / _BANDS_PER_CORE, 1.0)))))
    return Estimate(
        one.name, code, count, electrons, int(basis), int(np.ceil(bands)), spins, points, int(grid),
        memory + _PROGRAM * least, (least, most),
    )  # fmt: skip
