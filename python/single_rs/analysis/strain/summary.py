"""The numbers of the strain for the summary of a particle."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from single_rs.analysis.strain.field import Strain
from single_rs.analysis.strain.methods import StrainComparison
from single_rs.analysis.strain.statistics import statistics_table, strain_statistics
from single_rs.base.tensors import COMPONENTS

__all__ = ["strain_summary"]


def strain_summary(positions: ArrayLike, strain: Strain, comparison: StrainComparison | None = None) -> dict[str, Any]:
    """Strain in summary.json: what it is measured from, statistics of all measures, and how the methods agree.

    Parameters
    ----------
    positions
        (n, 3) Å, those of the strain.
    strain
        Result of `compute_strain`.
    comparison
        Result of `compare_strain_methods`.
    """
    table = statistics_table(strain_statistics(positions, strain))
    brief = {
        name: {group: {key: numbers[key] for key in ("mean", "std")} for group, numbers in groups.items()}
        for name, groups in table.items()
    }
    out: dict[str, Any] = {
        "reference": strain.reference,
        "frame": strain.frame,
        "kernel_width": strain.kernel_width,
        "smoothing": strain.smoothing,
        "surface": strain.surface_rule,
        "components": {name: brief.get(name, {}).get("all") for name in COMPONENTS},
        "radial": {group: brief.get("radial", {}).get(group) for group in ("all", "core", "surface")},
        "median_error": float(np.nanmedian(strain.error)) if np.isfinite(strain.error).any() else None,
        "atoms_without": int(np.isnan(strain.tensor[:, 0]).sum()),
        "statistics": table,
    }
    if comparison is not None:
        out["methods"] = comparison.table()
    return dict(_finite(out))


def _finite(value: Any) -> Any:
    """Replace numbers that JSON has not by null, at any depth."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value
