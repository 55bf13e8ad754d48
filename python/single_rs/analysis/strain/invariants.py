"""Numbers that do not depend on the axes: principal, volumetric and von Mises strain, and the angle of rotation.

Definitions and errors are those of `algebra`. The local lattice rotation is a vector ω (right-handed, in the
frame of the positions); its angle |ω| is positive also where there is no rotation, so the root mean square that noise
alone gives, √tr cov(ω), stands beside it, as for the von Mises strain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis.strain.field import Strain
from single_rs.base.tensors import (
    COMPONENTS,
    principal,
    volumetric,
    von_mises,
)

__all__ = ["MEASURES", "StrainMeasures", "strain_measures"]

# Every number per atom that has statistics, histograms and columns, in this order; fractions, and degrees of rotation.
MEASURES = (*COMPONENTS, "radial", "volumetric", "von_mises", "principal_1", "principal_2", "principal_3", "rotation")


@dataclass(frozen=True)
class StrainMeasures:
    """Invariants of the strain of n atoms, with standard errors to first order; NaN where the strain is.

    Attributes
    ----------
    volumetric, volumetric_error
        (n,) fraction, det(I + ε) − 1.
    von_mises, von_mises_error
        (n,) fraction, √(2/3 e : e).
    von_mises_noise
        (n,) fraction, root mean square of the von Mises strain that the errors alone give to an unstrained atom.
    principal, principal_error
        (n, 3) fraction, largest first.
    principal_axes
        (n, 3, 3), row k the unit axis of principal strain k, in the frame of the tensor.
    rotation, rotation_error
        (n,) degrees, angle of the local lattice rotation.
    rotation_noise
        (n,) degrees, root mean square of that angle from the errors alone.
    """

    volumetric: NDArray[np.float64]
    volumetric_error: NDArray[np.float64]
    von_mises: NDArray[np.float64]
    von_mises_error: NDArray[np.float64]
    von_mises_noise: NDArray[np.float64]
    principal: NDArray[np.float64]
    principal_error: NDArray[np.float64]
    principal_axes: NDArray[np.float64]
    rotation: NDArray[np.float64]
    rotation_error: NDArray[np.float64]
    rotation_noise: NDArray[np.float64]

    def table(self, strain: Strain) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Values (n,) and standard errors (n,) of all of `MEASURES`, for the strain that these came from."""
        found = {name: (strain.tensor[:, k], strain.error[:, k]) for k, name in enumerate(COMPONENTS)}
        found["radial"] = (strain.radial, strain.radial_error)
        found["volumetric"] = (self.volumetric, self.volumetric_error)
        found["von_mises"] = (self.von_mises, self.von_mises_error)
        for k in range(3):
            found[f"principal_{k + 1}"] = (self.principal[:, k], self.principal_error[:, k])
        found["rotation"] = (self.rotation, self.rotation_error)
        return found


def strain_measures(strain: Strain) -> StrainMeasures:
    """Principal, volumetric and von Mises strain and the angle of rotation of every atom.

    Parameters
    ----------
    strain
        Result of `compute_strain`, `bond_strain` or `phase_strain`.
    """
    change, change_error = volumetric(strain.tensor, strain.covariance)
    mises, mises_error, mises_noise = von_mises(strain.tensor, strain.covariance)
    values, axes, errors = principal(strain.tensor, strain.covariance)
    angle = np.linalg.norm(strain.rotation, axis=1)
    along = strain.rotation / np.maximum(angle, 1e-12)[:, None]
    spread = np.einsum("ni,nij,nj->n", along, strain.rotation_covariance, along)
    return StrainMeasures(
        volumetric=change,
        volumetric_error=change_error,
        von_mises=mises,
        von_mises_error=mises_error,
        von_mises_noise=mises_noise,
        principal=values,
        principal_error=errors,
        principal_axes=axes,
        rotation=np.degrees(angle),
        rotation_error=np.degrees(np.sqrt(np.clip(spread, 0, None))),
        rotation_noise=np.degrees(np.sqrt(np.clip(np.einsum("nii->n", strain.rotation_covariance), 0, None))),
    )
