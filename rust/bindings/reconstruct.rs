//! Fourier insertion.

use super::convert::{contiguous, rotations, rows};
use super::fourier::PyHalfPlane;
use crate::reconstruct::insert;
use crate::volume::reach_for;
use num_complex::Complex32;
use numpy::{IntoPyArray, PyArray3, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::prelude::*;

type Sums<'py> = Vec<(Bound<'py, PyArray3<Complex32>>, Bound<'py, PyArray3<f32>>)>;

#[pyfunction]
#[pyo3(signature = (spectra, plane, weights, frame_weights, rotations, shifts, groups, group_count, pad))]
fn insert_slices<'py>(
    py: Python<'py>,
    spectra: PyReadonlyArrayDyn<'py, Complex32>,
    plane: &PyHalfPlane,
    weights: PyReadonlyArrayDyn<'py, f32>,
    frame_weights: PyReadonlyArrayDyn<'py, f32>,
    rotations: PyReadonlyArrayDyn<'py, f32>,
    shifts: PyReadonlyArrayDyn<'py, f32>,
    groups: PyReadonlyArrayDyn<'py, i32>,
    group_count: usize,
    pad: usize,
) -> PyResult<Sums<'py>> {
    let spectra = contiguous(&spectra, "spectra", 2)?;
    let weights = contiguous(&weights, "weights", 1)?;
    let frame_weights = contiguous(&frame_weights, "frame_weights", 1)?;
    let poses = self::rotations(contiguous(&rotations, "rotations", 3)?, "rotations")?;
    let shifts = rows(contiguous(&shifts, "shifts", 2)?, "shifts")?;
    let groups = contiguous(&groups, "groups", 1)?;
    let plane = &plane.0;
    let sums = py
        .detach(|| insert(spectra, plane, weights, frame_weights, poses, shifts, groups, group_count, pad))?;
    let reach = reach_for(plane.max_shell, pad);
    let shape = [2 * reach + 1, 2 * reach + 1, reach + 1];
    sums.into_iter()
        .map(|s| {
            Ok((s.numerator.into_pyarray(py).reshape(shape)?, s.denominator.into_pyarray(py).reshape(shape)?))
        })
        .collect()
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(insert_slices, m)?)
}
