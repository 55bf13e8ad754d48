//! Frames with poses of theirs, which most kernels take, and what a search or a refinement of poses gives back.

use super::convert::{contiguous, indices, rotations, rows};
use super::fourier::PyHalfPlane;
use crate::error::Result;
use crate::frames::PosedFrames;
use crate::orient::polish::Polished;
use crate::orient::score::Match;
use num_complex::Complex32;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::prelude::*;

/// Any object with these attributes, as `single_rs.orient.frames.PosedFrames` is: it holds the arrays that the kernel's
/// [`PosedFrames`] is a view of.
#[derive(FromPyObject)]
pub(super) struct PosedArrays<'py> {
    spectra: PyReadonlyArrayDyn<'py, Complex32>,
    plane: Py<PyHalfPlane>,
    weights: PyReadonlyArrayDyn<'py, f32>,
    rotations: PyReadonlyArrayDyn<'py, f32>,
    shifts: PyReadonlyArrayDyn<'py, f32>,
    frame_of: PyReadonlyArrayDyn<'py, i32>,
    ellipse: [f32; 2],
}

impl PosedArrays<'_> {
    /// The frames and poses, checked.
    pub(super) fn check(&self) -> Result<PosedFrames<'_>> {
        let plane = &self.plane.get().0;
        let spectra = contiguous(&self.spectra, "spectra", 2)?;
        let frame_of = indices(&self.frame_of, "frame_of", spectra.len() / plane.len())?;
        PosedFrames::new(
            spectra,
            plane,
            contiguous(&self.weights, "weights", 1)?,
            rotations(&self.rotations, "rotations")?,
            rows(&self.shifts, "shifts", 2)?,
            frame_of,
        )?
        .with_ellipse(self.ellipse)
    }
}

/// Overlap, power and shift.
pub(super) type Matches<'py> =
    (Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<f32>>, Bound<'py, PyArray2<f32>>);

pub(super) fn match_arrays<'py>(py: Python<'py>, found: &[Match]) -> PyResult<Matches<'py>> {
    let shifts: Vec<f32> = found.iter().flat_map(|m| m.shift).collect();
    Ok((
        found.iter().map(|m| m.overlap).collect::<Vec<_>>().into_pyarray(py),
        found.iter().map(|m| m.power).collect::<Vec<_>>().into_pyarray(py),
        shifts.into_pyarray(py).reshape([found.len(), 2])?,
    ))
}

/// Rotation, shift, overlap, power and standard errors.
pub(super) type PolishedPoses<'py> = (
    Bound<'py, PyArray3<f32>>,
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray2<f32>>,
);

pub(super) fn polished_arrays<'py>(py: Python<'py>, found: &[Polished]) -> PyResult<PolishedPoses<'py>> {
    let count = found.len();
    let matrices: Vec<f32> = found.iter().flat_map(|p| p.rotation.into_iter().flatten()).collect();
    let shifts: Vec<f32> = found.iter().flat_map(|p| p.shift).collect();
    let errors: Vec<f32> = found.iter().flat_map(|p| p.error).collect();
    Ok((
        matrices.into_pyarray(py).reshape([count, 3, 3])?,
        shifts.into_pyarray(py).reshape([count, 2])?,
        found.iter().map(|p| p.overlap).collect::<Vec<_>>().into_pyarray(py),
        found.iter().map(|p| p.power).collect::<Vec<_>>().into_pyarray(py),
        errors.into_pyarray(py).reshape([count, 5])?,
    ))
}
