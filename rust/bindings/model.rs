//! The atomic model.

use super::agree;
use super::convert::{contiguous, rotations, rows};
use super::fourier::PyHalfPlane;
use super::frames::{Matches, PolishedPoses, PosedFrames, PyPosedFrames, match_arrays, polished_arrays};
use crate::model::atoms::Model;
use crate::model::gradient::{Frames, filter_sums, gradients};
use crate::model::grid::Grid;
use crate::model::normal::{PairTable, factorise, inverse_blocks, pair_matrix, solve, subtract_poses};
use crate::model::pose::{polish_to_model, score_model};
use crate::orient::polish::PolishLimits;
use crate::orient::score::ShiftWindow;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::prelude::*;

type Floats<'py> = PyReadonlyArrayDyn<'py, f32>;

/// Positions, heights, excess widths and filters.
#[derive(FromPyObject)]
struct Atoms<'py>(Floats<'py>, Floats<'py>, Option<Floats<'py>>, Floats<'py>);

impl Atoms<'_> {
    fn model(&self, points: usize) -> PyResult<Model<'_>> {
        let Self(positions, heights, widths, filters) = self;
        let positions = rows(contiguous(positions, "positions", 2)?, "positions")?;
        let heights = contiguous(heights, "heights", 1)?;
        let widths = match widths {
            Some(w) => contiguous(w, "widths", 1)?,
            None => &[],
        };
        Ok(Model::new(positions, heights, widths, contiguous(filters, "filters", 2)?, points)?)
    }

    /// The same with tensors of motion, where they are given.
    fn model_with<'a>(&'a self, tensors: Option<&'a Floats<'_>>, points: usize) -> PyResult<Model<'a>> {
        let model = self.model(points)?;
        match tensors {
            Some(t) => Ok(model.with_tensors(rows(contiguous(t, "tensors", 2)?, "tensors")?, points)?),
            None => Ok(model),
        }
    }
}

/// The values when they are given, and as many as needed.
fn optional<'a>(values: Option<&'a Floats<'_>>, name: &'static str, count: usize) -> PyResult<&'a [f32]> {
    let Some(values) = values else { return Ok(&[]) };
    let values = contiguous(values, name, 1)?;
    agree(name, values.len(), count)?;
    Ok(values)
}

#[pyfunction]
fn model_gain<'py>(
    py: Python<'py>,
    posed: PyPosedFrames<'py>,
    atoms: Atoms<'py>,
    steps: usize,
    spacing: f32,
) -> PyResult<Matches<'py>> {
    let PosedFrames { spectra, plane, weights, rotations, shifts, frame_of, .. } = posed.check()?;
    let model = atoms.model(plane.len())?;
    let window = ShiftWindow { steps, spacing };
    let found = py.detach(|| {
        score_model(spectra, &Grid::new(plane), weights, &model, rotations, shifts, &frame_of, window)
    });
    match_arrays(py, &found)
}

#[pyfunction]
#[pyo3(signature = (posed, atoms, iterations, max_turn, max_shift, tensors=None, depths=None))]
fn polish_poses_to_atoms<'py>(
    py: Python<'py>,
    posed: PyPosedFrames<'py>,
    atoms: Atoms<'py>,
    iterations: usize,
    max_turn: f32,
    max_shift: f32,
    tensors: Option<Floats<'py>>,
    depths: Option<Floats<'py>>,
) -> PyResult<PolishedPoses<'py>> {
    let PosedFrames { spectra, plane, weights, rotations, shifts, frame_of, .. } = posed.check()?;
    let model = atoms.model_with(tensors.as_ref(), plane.len())?;
    let depths = optional(depths.as_ref(), "depths", rotations.len())?;
    let limits = PolishLimits { iterations, max_turn, max_shift };
    let found = py.detach(|| {
        polish_to_model(
            spectra,
            &Grid::new(plane),
            weights,
            &model,
            rotations,
            shifts,
            depths,
            &frame_of,
            limits,
        )
    });
    polished_arrays(py, &found)
}

/// Frames that each have one pose, a gain and, where given, a depth.
fn gained<'a>(
    posed: &PosedFrames<'a>,
    gains: &'a Floats<'_>,
    depths: Option<&'a Floats<'_>>,
) -> PyResult<Frames<'a>> {
    let gains = contiguous(gains, "gains", 1)?;
    agree("gains", gains.len(), posed.frames)?;
    let &PosedFrames { spectra, weights, rotations, shifts, .. } = posed;
    let depths = optional(depths, "depths", posed.frames)?;
    Ok(Frames { spectra, weights, gains, rotations, shifts, depths })
}

type Sums<'py> = (Bound<'py, PyArray3<f64>>, Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<f64>>);

#[pyfunction]
#[pyo3(signature = (posed, gains, atoms, groups, group_count, model_error, tensors=None, depths=None))]
fn model_gradients<'py>(
    py: Python<'py>,
    posed: PyPosedFrames<'py>,
    gains: Floats<'py>,
    atoms: Atoms<'py>,
    groups: PyReadonlyArrayDyn<'py, i32>,
    group_count: usize,
    model_error: f32,
    tensors: Option<Floats<'py>>,
    depths: Option<Floats<'py>>,
) -> PyResult<Sums<'py>> {
    let posed = posed.check_one_each()?;
    let (plane, frames) = (posed.plane, gained(&posed, &gains, depths.as_ref())?);
    let model = atoms.model_with(tensors.as_ref(), plane.len())?;
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
#[pyo3(signature = (posed, gains, scales, atoms, depths=None))]
fn model_filter_sums<'py>(
    py: Python<'py>,
    posed: PyPosedFrames<'py>,
    gains: Floats<'py>,
    scales: Floats<'py>,
    atoms: Atoms<'py>,
    depths: Option<Floats<'py>>,
) -> PyResult<FilterSums<'py>> {
    let posed = posed.check_one_each()?;
    let (plane, frames) = (posed.plane, gained(&posed, &gains, depths.as_ref())?);
    let model = atoms.model(plane.len())?;
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
    atoms: Atoms<'py>,
    rotations: Floats<'py>,
    information: Floats<'py>,
    table: Floats<'py>,
    step: f32,
    free_poses: bool,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let plane = &plane.0;
    let model = atoms.model(plane.len())?;
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
    m.add_function(wrap_pyfunction!(model_gain, m)?)?;
    m.add_function(wrap_pyfunction!(polish_poses_to_atoms, m)?)?;
    m.add_function(wrap_pyfunction!(model_gradients, m)?)?;
    m.add_function(wrap_pyfunction!(model_filter_sums, m)?)?;
    m.add_function(wrap_pyfunction!(model_normal, m)?)?;
    m.add_function(wrap_pyfunction!(factor_normal, m)?)?;
    m.add_function(wrap_pyfunction!(solve_normal, m)?)?;
    m.add_function(wrap_pyfunction!(normal_blocks, m)?)
}
