"""single_rs: from a graphene liquid cell movie to the 3D position of every atom, with error bars.

The names here are the pipeline, the simulator and the types of their results; the rest is in the packages of the layers
and stages (docs/architecture.md), as in ``single_rs.analysis.strain``. Names and packages are loaded when first used,
so that ``import single_rs`` and ``single-rs --help`` stay fast.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

from single_rs._core import __version__

# Layer or stage → names at the root of the package, in the order of the pipeline.
_PUBLIC: dict[str, tuple[str, ...]] = {
    "base.errors": ("SingleError",),
    "records": (
        "ParticleStack",
        "Motion",
        "Track",
        "CleanStack",
        "Poses",
        "Density",
        "Atoms",
    ),
    "io": ("Movie", "open_movie", "read_stack"),
    "motion": ("correct_motion",),
    "track": ("find_tracks", "extract", "extract_all"),
    "background": ("clean_stack",),
    "orient": ("find_poses",),
    "reconstruction": ("reconstruct",),
    "atoms": ("trace_atoms",),
    "refine": ("refine_atoms",),
    "analysis": ("Particle", "analyze"),
    "pipeline.config": ("Config",),
    "pipeline.entry": ("run", "solve"),
    "pipeline.dispatch": ("batch",),
    "compare": ("compare_particles",),
    "report.paper": ("figures",),
    "simulate": ("nanocrystal", "simulate_movie", "simulate_stack"),
}

_HOME = {name: module for module, names in _PUBLIC.items() for name in names}
_PACKAGES = frozenset(m.name for m in pkgutil.iter_modules(__path__) if m.ispkg)

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    """Load a public name, or a package, on first use."""
    if name in _HOME:
        return getattr(importlib.import_module(f"single_rs.{_HOME[name]}"), name)
    if name in _PACKAGES:
        return importlib.import_module(f"single_rs.{name}")
    raise AttributeError(f"module 'single_rs' has no attribute {name!r}{_elsewhere(name)}")


def _elsewhere(name: str) -> str:
    """Say where a function or class of this name is, for those who look for it at the root; "" where it is nowhere."""
    if name.startswith("_"):
        return ""
    here = Path(__file__).parent
    for path in sorted(here.rglob("*.py")):
        if re.search(rf"^(def|class) {re.escape(name)}\b", path.read_text(encoding="utf-8"), re.MULTILINE):
            module = path.relative_to(here).with_suffix("").parts
            return f"; it is single_rs.{'.'.join(module)}.{name}"
    return ""


def __dir__() -> list[str]:
    """List the public names and the packages."""
    return sorted({*__all__, *_PACKAGES})
