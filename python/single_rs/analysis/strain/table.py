"""The strain of each atom as the columns of strain.csv; an empty cell is a value that could not be determined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.analysis.strain.field import Strain
from single_rs.analysis.strain.invariants import MEASURES, strain_measures
from single_rs.analysis.strain.methods import StrainComparison
from single_rs.base.columns import Column
from single_rs.base.tensors import COMPONENTS

__all__ = ["StrainTable", "strain_table"]


def _numbers(*names: str, shape: tuple[int, ...] = ()) -> Column:
    # Digits kept: 1e-4 Å and 1e-6 of strain are a hundredth of the best errors.
    return Column(".7g", names, shape, decimals=7)


def _with_errors(names: tuple[str, ...]) -> Column:
    return _numbers(*(one for name in names for one in (name, f"{name}_err")), shape=(len(names), 2))


@dataclass(frozen=True)
class StrainTable:
    """Strain of n atoms, in the order of atoms.xyz; a fraction, its components in the frame of `Strain`.

    Attributes
    ----------
    atom, element
        Number from 0, and symbol.
    position
        (n, 3) Å, in the frame of our files.
    displacement
        (n, 3) Å from the reference site, along the axes of the file.
    measures
        (n, 13, 2) of `MEASURES`, the kernel's strain and its standard error; degrees of rotation.
    von_mises_noise, rotation_noise
        (n,) root mean square that the errors alone give; fraction and degrees.
    axes
        (n, 3, 3) row k the axis of principal strain k, in the frame of the components.
    rotation
        (n, 3) degrees, vector of the local lattice rotation, along the axes of the file.
    surface
        (n,) whether on the surface, by the rule of the settings.
    domain
        (n,) of the lattice, −1 none.
    bonds, gpa
        (n, 6, 2) components by the other methods and their standard errors; None where they were not used.
    nonaffine
        (n,) Å², what a homogeneous deformation of the bonds leaves; None without.
    """

    atom: Annotated[NDArray[np.int64], Column()]
    element: Annotated[NDArray[np.str_], Column()]
    position: Annotated[NDArray[np.float64], _numbers("x", "y", "z")]
    displacement: Annotated[NDArray[np.float64], _numbers("u_x", "u_y", "u_z")]
    measures: Annotated[NDArray[np.float64], _with_errors(MEASURES)]
    von_mises_noise: Annotated[NDArray[np.float64], _numbers()]
    rotation_noise: Annotated[NDArray[np.float64], _numbers()]
    axes: Annotated[NDArray[np.float64], _numbers(*(f"axis_{n}_{c}" for n in (1, 2, 3) for c in "xyz"), shape=(3, 3))]
    rotation: Annotated[NDArray[np.float64], _numbers("rotation_x", "rotation_y", "rotation_z")]
    surface: Annotated[NDArray[np.bool_], Column()]
    domain: Annotated[NDArray[np.int64], Column()]
    bonds: Annotated[NDArray[np.float64] | None, _with_errors(tuple(f"bonds_{c}" for c in COMPONENTS))] = None
    gpa: Annotated[NDArray[np.float64] | None, _with_errors(tuple(f"gpa_{c}" for c in COMPONENTS))] = None
    nonaffine: Annotated[NDArray[np.float64] | None, _numbers()] = None

    def measure(self, name: str) -> NDArray[np.float64]:
        """Return one of `MEASURES`, (n,)."""
        return self.measures[:, MEASURES.index(name), 0]


def strain_table(
    positions: ArrayLike,
    symbols: ArrayLike,
    strain: Strain,
    comparison: StrainComparison | None = None,
    offset: NDArray[np.float64] | float = 0.0,
) -> StrainTable:
    """Return the table of the strain of all atoms.

    Parameters
    ----------
    positions, symbols
        (n, 3) Å and (n,).
    strain
        Result of `compute_strain`.
    comparison
        Result of `compare_strain_methods`, for the columns of the other methods.
    offset
        Å added to the coordinates; see `export.file_offset`.
    """
    x, found = np.asarray(positions, np.float64), strain_measures(strain)
    others = comparison.strains if comparison is not None else {}
    components = {
        name: np.stack([others[name].tensor, others[name].error], axis=2) for name in ("bonds", "gpa") if name in others
    }
    return StrainTable(
        atom=np.arange(len(x)),
        element=np.asarray(symbols),
        position=x + offset,
        displacement=strain.displacement,
        measures=np.stack([np.column_stack(pair) for pair in found.table(strain).values()], axis=1),
        von_mises_noise=found.von_mises_noise,
        rotation_noise=found.rotation_noise,
        axes=found.principal_axes,
        rotation=np.degrees(strain.rotation),
        surface=strain.surface,
        domain=strain.domain,
        nonaffine=None if comparison is None else comparison.deformation.nonaffine,
        **components,
    )
