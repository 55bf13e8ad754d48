"""Calculators by name: which are installed, which elements they know, and how they are set up through ASE.

The default, ASE's effective-medium theory, needs no installation and knows seven fcc metals. It is a fit to bulk
properties: the order of particles by shape, size and strain is sound, the size of a trend is not, since its surface
energies are 0.3 (Pt, Pd, Au) to 0.7 (Ni) of the measured ones (`validity`), and energies of clusters of some ten atoms
are not sound either. Machine-learned potentials (mace, sevenn) come close to density-functional theory in seconds to
minutes a particle. Names of other packages work when these are installed; ``module:factory`` takes any other ASE
calculator.

References: K. W. Jacobsen, P. Stoltze, J. K. Nørskov, Surf. Sci. 366, 394 (1996), doi:10.1016/0039-6028(96)00816-3
(EMT); A. H. Larsen et al., J. Phys.: Condens. Matter 29, 273002 (2017), doi:10.1088/1361-648X/aa680e (ASE).
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from single_rs.base.errors import InputError
from single_rs.export.dft import DftSettings, k_mesh

__all__ = ["CALCULATORS", "Factory", "available_calculators", "calculator_factory"]

# Gives the calculator for an ase.Atoms: density-functional codes treat a particle and a crystal differently.
Factory = Callable[[Any], Any]


@dataclass(frozen=True)
class _Known:
    """A calculator with a name of its own."""

    module: str
    factory: str
    install: str
    arguments: dict[str, Any] = field(default_factory=dict)
    elements: frozenset[str] | None = None


CALCULATORS: dict[str, _Known] = {
    # ASE's EMT has parameters for H, C, N and O as well, "for demonstration only" by its own documentation.
    "emt": _Known("ase.calculators.emt", "EMT", "ase", elements=frozenset({"Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au"})),
    "gpaw": _Known("gpaw", "GPAW", "gpaw", {"mode": "lcao", "basis": "dzp", "xc": "PBE", "txt": None}),
    "mace": _Known("mace.calculators", "mace_mp", "mace-torch", {"default_dtype": "float64"}),
    "sevenn": _Known("sevenn.calculator", "SevenNetCalculator", "sevenn", {"model": "7net-l3i5"}),
}


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def available_calculators(elements: Iterable[str] = ()) -> list[str]:
    """Return the names of the installed calculators that know all of the elements.

    Parameters
    ----------
    elements
        Chemical symbols; none asks for every installed calculator.

    Returns
    -------
    list[str]
        Names for `formation_energy` and ``single-rs energy --calculator``.
    """
    wanted = set(elements)
    return [
        name
        for name, known in CALCULATORS.items()
        if _installed(known.module) and (known.elements is None or wanted <= known.elements)
    ]


def calculator_factory(name: str, elements: Iterable[str]) -> Factory:
    """Return the factory of a calculator by its name.

    Parameters
    ----------
    name
        One of `CALCULATORS`, or ``module:factory``, called without arguments.
    elements
        Chemical symbols of the particle.

    Raises
    ------
    InputError
        Unknown name, not installed, or an element that it does not know; the message says which would do.
    """
    wanted = set(elements)
    if ":" in name:
        return _own(name)
    choices = available_calculators(wanted)
    installable = [f"{n} (pip install {k.install})" for n, k in CALCULATORS.items() if not _installed(k.module)]
    remedy = f"available for {', '.join(sorted(wanted))}: {', '.join(choices) or 'none'}"
    remedy += f"; others to install: {', '.join(installable)}" if installable else ""
    remedy += "; any other as module:factory"
    if name not in CALCULATORS:
        raise InputError(f"calculator is {name!r}, which is not known; {remedy}")
    known = CALCULATORS[name]
    if not _installed(known.module):
        raise InputError(f"calculator {name} is not installed; {remedy}")
    if known.elements is not None and not wanted <= known.elements:
        raise InputError(
            f"calculator {name} does not know {', '.join(sorted(wanted - known.elements))}, "
            f"only {', '.join(sorted(known.elements))}; {remedy}"
        )
    if name == "gpaw":
        return _gpaw
    make = _load(name, known.module, known.factory)
    return _shared(name, lambda: make(**known.arguments))


def _load(name: str, module: str, factory: str) -> Callable[..., Any]:
    try:
        made: Callable[..., Any] = getattr(importlib.import_module(module), factory)
    except (ImportError, AttributeError) as error:
        raise InputError(f"calculator {name} cannot be loaded: {error}") from None
    return made


def _own(name: str) -> Factory:
    module, _, factory = name.partition(":")
    return _shared(name, _load(name, module, factory))


def _shared(name: str, make: Callable[[], Any]) -> Factory:
    """Set a calculator up once and use it for every structure: loading a network takes longer than using it."""
    try:
        calculator = make()
    except Exception as error:  # a package of others may raise anything, e.g. when its weights cannot be fetched
        raise InputError(f"calculator {name} cannot be set up: {type(error).__name__}: {error}") from None
    return lambda atoms: calculator


def _gpaw(atoms: Any) -> Any:
    """GPAW as in the exported inputs, `single_rs.dft.gpaw`: Γ for a particle, a mesh and fixed grid for a crystal."""
    from gpaw import GPAW, FermiDirac

    settings = DftSettings()
    periodic = bool(atoms.pbc.any())
    options: dict[str, Any] = {
        **CALCULATORS["gpaw"].arguments,
        "h": settings.gpaw_spacing,
        "occupations": FermiDirac(settings.fermi_width),
        "symmetry": {} if periodic else "off",
        "convergence": {"energy": 1e-5 if periodic else 1e-4},
    }
    if periodic:
        options["kpts"] = {"size": k_mesh(atoms.cell.array, settings.k_spacing), "gamma": True}
    return GPAW(**options)
