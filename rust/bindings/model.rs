//! The atomic model.

use super::agree;
use super::convert::{contiguous, indices, rotations, rows};
use super::fourier::PyHalfPlane;
use crate::model::atoms::Model;
use crate::model::grid::Grid;
use crate::model::pose::{polish_to_model, project_model, score_model};
use crate::orient::polish::PolishLimits;
use crate::orient::score::ShiftWindow;
use num_complex::Complex32;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::prelude::*;

type Floats<'py> = PyReadonlyArrayDyn<'py, f32>;

/// Atoms as they come from Python, held while their slices are used.
struct Parts<'py> {
    positions: Floats<'py>,
    heights: Floats<'py>,
    widths: Option<Floats<'py>>,
    filters: Floats<'py>,
}

impl Parts<'_> {
    fn model(&self, points: usize) -> PyResult<Model<'_>> {
        let positions = rows(contiguous(&self.positions, "positions", 2)?, "positions")?;
        let heights = contiguous(&self.heights, "heights", 1)?;
        let widths = match &self.widths {
            Some(w) => contiguous(w, "widths", 1)?,
            None => &[],
        };
        Ok(Model::new(positions, heights, widths, contiguous(&self.filters, "filters", 2)?, points)?)
    }
}

#[pyfunction]
fn model_project<'py>(
    py: Python<'py>,
    plane: &PyHalfPlane,
    positions: Floats<'py>,
    heights: Floats<'py>,
    widths: Option<Floats<'py>>,
    filters: Floats<'py>,
    rotations: Floats<'py>,
    shifts: Floats<'py>,
) -> PyResult<Bound<'py, PyArray2<Complex32>>> {
    let plane = &plane.0;
    let parts = Parts { positions, heights, widths, filters };
    let model = parts.model(plane.len())?;
    let poses = self::rotations(contiguous(&rotations, "rotations", 3)?, "rotations")?;
    let shifts = rows(contiguous(&shifts, "shifts", 2)?, "shifts")?;
    agree("shifts", shifts.len(), poses.len())?;
    let images = py.detach(|| project_model(&Grid::new(plane), &model, poses, shifts));
    images.into_pyarray(py).reshape([poses.len(), plane.len()])
}

type Gains<'py> = (Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<f32>>, Bound<'py, PyArray2<f32>>);

#[pyfunction]
fn model_gain<'py>(
    py: Python<'py>,
    spectra: PyReadonlyArrayDyn<'py, Complex32>,
    plane: &PyHalfPlane,
    weights: Floats<'py>,
    positions: Floats<'py>,
    heights: Floats<'py>,
    widths: Option<Floats<'py>>,
    filters: Floats<'py>,
    rotations: Floats<'py>,
    shifts: Floats<'py>,
    frame_of: PyReadonlyArrayDyn<'py, i32>,
    steps: usize,
    spacing: f32,
) -> PyResult<Gains<'py>> {
    let plane = &plane.0;
    let spectra = contiguous(&spectra, "spectra", 2)?;
    let weights = contiguous(&weights, "weights", 1)?;
    agree("weights", weights.len(), plane.len())?;
    let parts = Parts { positions, heights, widths, filters };
    let model = parts.model(plane.len())?;
    let poses = self::rotations(contiguous(&rotations, "rotations", 3)?, "rotations")?;
    let shifts = rows(contiguous(&shifts, "shifts", 2)?, "shifts")?;
    agree("shifts", shifts.len(), poses.len())?;
    let frame_of = indices(contiguous(&frame_of, "frame_of", 1)?, "frame_of", spectra.len() / plane.len())?;
    agree("frame_of", frame_of.len(), poses.len())?;
    let window = ShiftWindow { steps, spacing };
    let found = py.detach(|| {
        score_model(spectra, &Grid::new(plane), weights, &model, poses, shifts, &frame_of, window)
    });
    let moved: Vec<f32> = found.iter().flat_map(|m| m.shift).collect();
    Ok((
        found.iter().map(|m| m.overlap).collect::<Vec<_>>().into_pyarray(py),
        found.iter().map(|m| m.power).collect::<Vec<_>>().into_pyarray(py),
        moved.into_pyarray(py).reshape([found.len(), 2])?,
    ))
}

type PolishedPoses<'py> = (
    Bound<'py, PyArray3<f32>>,
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray2<f32>>,
);

#[pyfunction]
fn polish_poses_to_atoms<'py>(
    py: Python<'py>,
    spectra: PyReadonlyArrayDyn<'py, Complex32>,
    plane: &PyHalfPlane,
    weights: Floats<'py>,
    positions: Floats<'py>,
    heights: Floats<'py>,
    widths: Option<Floats<'py>>,
    filters: Floats<'py>,
    rotations: Floats<'py>,
    shifts: Floats<'py>,
    frame_of: PyReadonlyArrayDyn<'py, i32>,
    iterations: usize,
    max_turn: f32,
    max_shift: f32,
) -> PyResult<PolishedPoses<'py>> {
    let plane = &plane.0;
    let spectra = contiguous(&spectra, "spectra", 2)?;
    let weights = contiguous(&weights, "weights", 1)?;
    agree("weights", weights.len(), plane.len())?;
    let parts = Parts { positions, heights, widths, filters };
    let model = parts.model(plane.len())?;
    let start = self::rotations(contiguous(&rotations, "rotations", 3)?, "rotations")?;
    let shifts = rows(contiguous(&shifts, "shifts", 2)?, "shifts")?;
    agree("shifts", shifts.len(), start.len())?;
    let frame_of = indices(contiguous(&frame_of, "frame_of", 1)?, "frame_of", spectra.len() / plane.len())?;
    agree("frame_of", frame_of.len(), start.len())?;
    let limits = PolishLimits { iterations, max_turn, max_shift };
    let found = py.detach(|| {
        polish_to_model(spectra, &Grid::new(plane), weights, &model, start, shifts, &frame_of, limits)
    });
    let count = found.len();
    let matrices: Vec<f32> = found.iter().flat_map(|p| p.rotation.into_iter().flatten()).collect();
    let moved: Vec<f32> = found.iter().flat_map(|p| p.shift).collect();
    let errors: Vec<f32> = found.iter().flat_map(|p| p.error).collect();
    Ok((
        matrices.into_pyarray(py).reshape([count, 3, 3])?,
        moved.into_pyarray(py).reshape([count, 2])?,
        found.iter().map(|p| p.overlap).collect::<Vec<_>>().into_pyarray(py),
        found.iter().map(|p| p.power).collect::<Vec<_>>().into_pyarray(py),
        errors.into_pyarray(py).reshape([count, 5])?,
    ))
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(model_project, m)?)?;
    m.add_function(wrap_pyfunction!(model_gain, m)?)?;
    m.add_function(wrap_pyfunction!(polish_poses_to_atoms, m)?)
}
