//! The atomic model.

use super::agree;
use super::convert::{contiguous, indices, rotations, rows};
use super::fourier::PyHalfPlane;
use crate::model::atoms::Model;
use crate::model::gradient::{Frames, filter_sums, gradients};
use crate::model::grid::Grid;
use crate::model::normal::{PairTable, factorise, inverse_blocks, pair_matrix, solve, subtract_poses};
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
    tensors: Option<Floats<'py>>,
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
        let model = Model::new(positions, heights, widths, contiguous(&self.filters, "filters", 2)?, points)?;
        match &self.tensors {
            Some(t) => Ok(model.with_tensors(rows(contiguous(t, "tensors", 2)?, "tensors")?, points)?),
            None => Ok(model),
        }
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
    let parts = Parts { positions, heights, widths, tensors: None, filters };
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
    let parts = Parts { positions, heights, widths, tensors: None, filters };
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
#[pyo3(signature = (spectra, plane, weights, positions, heights, widths, filters, rotations, shifts, frame_of, iterations, max_turn, max_shift, tensors=None, depths=None))]
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
    tensors: Option<Floats<'py>>,
    depths: Option<Floats<'py>>,
) -> PyResult<PolishedPoses<'py>> {
    let plane = &plane.0;
    let spectra = contiguous(&spectra, "spectra", 2)?;
    let weights = contiguous(&weights, "weights", 1)?;
    agree("weights", weights.len(), plane.len())?;
    let parts = Parts { positions, heights, widths, tensors, filters };
    let model = parts.model(plane.len())?;
    let start = self::rotations(contiguous(&rotations, "rotations", 3)?, "rotations")?;
    let shifts = rows(contiguous(&shifts, "shifts", 2)?, "shifts")?;
    agree("shifts", shifts.len(), start.len())?;
    let frame_of = indices(contiguous(&frame_of, "frame_of", 1)?, "frame_of", spectra.len() / plane.len())?;
    agree("frame_of", frame_of.len(), start.len())?;
    let depths = optional(depths.as_ref(), "depths", start.len())?;
    let limits = PolishLimits { iterations, max_turn, max_shift };
    let found = py.detach(|| {
        polish_to_model(spectra, &Grid::new(plane), weights, &model, start, shifts, depths, &frame_of, limits)
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

/// Posed frames as they come from Python.
struct Posed<'py> {
    spectra: PyReadonlyArrayDyn<'py, Complex32>,
    weights: Floats<'py>,
    gains: Floats<'py>,
    rotations: Floats<'py>,
    shifts: Floats<'py>,
    depths: Option<Floats<'py>>,
}

/// The values when they are given, and as many as needed.
fn optional<'a>(values: Option<&'a Floats<'_>>, name: &'static str, count: usize) -> PyResult<&'a [f32]> {
    let Some(values) = values else { return Ok(&[]) };
    let values = contiguous(values, name, 1)?;
    agree(name, values.len(), count)?;
    Ok(values)
}

impl Posed<'_> {
    fn frames(&self, points: usize) -> PyResult<Frames<'_>> {
        let spectra = contiguous(&self.spectra, "spectra", 2)?;
        let weights = contiguous(&self.weights, "weights", 1)?;
        let gains = contiguous(&self.gains, "gains", 1)?;
        let rotations = self::rotations(contiguous(&self.rotations, "rotations", 3)?, "rotations")?;
        let shifts = rows(contiguous(&self.shifts, "shifts", 2)?, "shifts")?;
        agree("weights", weights.len(), points)?;
        agree("spectra", spectra.len(), points * gains.len())?;
        agree("rotations", rotations.len(), gains.len())?;
        agree("shifts", shifts.len(), gains.len())?;
        let depths = optional(self.depths.as_ref(), "depths", gains.len())?;
        Ok(Frames { spectra, weights, gains, rotations, shifts, depths })
    }
}

type Sums<'py> = (Bound<'py, PyArray3<f64>>, Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<f64>>);

#[pyfunction]
#[pyo3(signature = (spectra, plane, weights, gains, rotations, shifts, positions, heights, widths, filters, groups, group_count, model_error, tensors=None, depths=None))]
fn model_gradients<'py>(
    py: Python<'py>,
    spectra: PyReadonlyArrayDyn<'py, Complex32>,
    plane: &PyHalfPlane,
    weights: Floats<'py>,
    gains: Floats<'py>,
    rotations: Floats<'py>,
    shifts: Floats<'py>,
    positions: Floats<'py>,
    heights: Floats<'py>,
    widths: Option<Floats<'py>>,
    filters: Floats<'py>,
    groups: PyReadonlyArrayDyn<'py, i32>,
    group_count: usize,
    model_error: f32,
    tensors: Option<Floats<'py>>,
    depths: Option<Floats<'py>>,
) -> PyResult<Sums<'py>> {
    let plane = &plane.0;
    let posed = Posed { spectra, weights, gains, rotations, shifts, depths };
    let frames = posed.frames(plane.len())?;
    let parts = Parts { positions, heights, widths, tensors, filters };
    let model = parts.model(plane.len())?;
    let groups = contiguous(&groups, "groups", 1)?;
    agree("groups", groups.len(), frames.gains.len())?;
    let sums = py.detach(|| gradients(&frames, &Grid::new(plane), &model, groups, group_count, model_error));
    // Position, height and width of each atom, and its tensor where there are any.
    let mut by_group: Vec<f64> = Vec::with_capacity(5 * sums.by_group.len() + 6 * sums.by_tensor.len());
    for (i, g) in sums.by_group.iter().enumerate() {
        by_group.extend(g);
        by_group.extend(sums.by_tensor.get(i).into_iter().flatten());
    }
    let columns = if model.tensors.is_empty() { 5 } else { 11 };
    let fitness: Vec<f64> = sums
        .fitness
        .iter()
        .flat_map(|f| [f.scale, f.power, f.misfit, f.gain, f.by_depth, f.depth_information])
        .collect();
    Ok((
        by_group.into_pyarray(py).reshape([group_count, model.positions.len(), columns])?,
        fitness.into_pyarray(py).reshape([groups.len(), 6])?,
        sums.information.into_pyarray(py),
    ))
}

type FilterSums<'py> = (Bound<'py, PyArray3<f64>>, Bound<'py, PyArray2<f64>>);

#[pyfunction]
#[pyo3(signature = (spectra, plane, weights, gains, rotations, shifts, scales, positions, heights, widths, filters, depths=None))]
fn model_filter_sums<'py>(
    py: Python<'py>,
    spectra: PyReadonlyArrayDyn<'py, Complex32>,
    plane: &PyHalfPlane,
    weights: Floats<'py>,
    gains: Floats<'py>,
    rotations: Floats<'py>,
    shifts: Floats<'py>,
    scales: Floats<'py>,
    positions: Floats<'py>,
    heights: Floats<'py>,
    widths: Option<Floats<'py>>,
    filters: Floats<'py>,
    depths: Option<Floats<'py>>,
) -> PyResult<FilterSums<'py>> {
    let plane = &plane.0;
    let posed = Posed { spectra, weights, gains, rotations, shifts, depths };
    let frames = posed.frames(plane.len())?;
    let parts = Parts { positions, heights, widths, tensors: None, filters };
    let model = parts.model(plane.len())?;
    let scales = contiguous(&scales, "scales", 1)?;
    agree("scales", scales.len(), frames.gains.len())?;
    let (square, right) = py.detach(|| filter_sums(&frames, scales, &Grid::new(plane), &model));
    let (shells, channels) = (plane.max_shell + 1, model.channels(plane.len()));
    Ok((
        square.into_pyarray(py).reshape([shells, channels, channels])?,
        right.into_pyarray(py).reshape([shells, channels])?,
    ))
}

#[pyfunction]
fn model_normal<'py>(
    py: Python<'py>,
    plane: &PyHalfPlane,
    positions: Floats<'py>,
    heights: Floats<'py>,
    filters: Floats<'py>,
    rotations: Floats<'py>,
    information: Floats<'py>,
    table: Floats<'py>,
    step: f32,
    free_poses: bool,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let plane = &plane.0;
    let parts = Parts { positions, heights, widths: None, tensors: None, filters };
    let model = parts.model(plane.len())?;
    let rotations = self::rotations(contiguous(&rotations, "rotations", 3)?, "rotations")?;
    let information = contiguous(&information, "information", 1)?;
    agree("information", information.len(), plane.len())?;
    let values = rows(contiguous(&table, "table", 2)?, "table")?;
    agree("table", usize::from(values.len() > 2), 1)?;
    let width = 3 * model.positions.len();
    let matrix = py.detach(|| {
        let table = PairTable { values, step };
        let mut matrix = pair_matrix(model.positions, model.heights, rotations, table);
        if free_poses {
            subtract_poses(&mut matrix, &Grid::new(plane), &model, rotations, information);
        }
        matrix
    });
    matrix.into_pyarray(py).reshape([width, width])
}

#[pyfunction]
fn factor_normal<'py>(
    py: Python<'py>,
    matrix: PyReadonlyArrayDyn<'py, f64>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let n = matrix.as_array().shape().last().copied().unwrap_or(0);
    let mut factor = contiguous(&matrix, "matrix", 2)?.to_vec();
    agree("matrix", factor.len(), n * n)?;
    py.detach(|| factorise(&mut factor, n))?;
    factor.into_pyarray(py).reshape([n, n])
}

#[pyfunction]
fn solve_normal<'py>(
    py: Python<'py>,
    factor: PyReadonlyArrayDyn<'py, f64>,
    sides: PyReadonlyArrayDyn<'py, f64>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let n = factor.as_array().shape().last().copied().unwrap_or(0);
    let factor = contiguous(&factor, "factor", 2)?;
    let mut solutions = contiguous(&sides, "sides", 2)?.to_vec();
    agree("factor", factor.len(), n * n)?;
    let count = solutions.len() / n.max(1);
    agree("sides", solutions.len(), count * n)?;
    py.detach(|| solve(factor, n, &mut solutions));
    solutions.into_pyarray(py).reshape([count, n])
}

#[pyfunction]
fn normal_blocks<'py>(
    py: Python<'py>,
    factor: PyReadonlyArrayDyn<'py, f64>,
) -> PyResult<Bound<'py, PyArray3<f64>>> {
    let n = factor.as_array().shape().last().copied().unwrap_or(0);
    let factor = contiguous(&factor, "factor", 2)?;
    agree("factor", factor.len(), n * n)?;
    agree("factor", n / 3 * 3, n)?;
    let blocks = py.detach(|| inverse_blocks(factor, n));
    blocks.into_pyarray(py).reshape([n / 3, 3, 3])
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(model_project, m)?)?;
    m.add_function(wrap_pyfunction!(model_gain, m)?)?;
    m.add_function(wrap_pyfunction!(polish_poses_to_atoms, m)?)?;
    m.add_function(wrap_pyfunction!(model_gradients, m)?)?;
    m.add_function(wrap_pyfunction!(model_filter_sums, m)?)?;
    m.add_function(wrap_pyfunction!(model_normal, m)?)?;
    m.add_function(wrap_pyfunction!(factor_normal, m)?)?;
    m.add_function(wrap_pyfunction!(solve_normal, m)?)?;
    m.add_function(wrap_pyfunction!(normal_blocks, m)?)
}
