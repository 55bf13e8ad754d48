//! The atomic model.

use super::convert::{Whole, contiguous, rotations, rows, square};
use super::fourier::PyHalfPlane;
use super::frames::{Matches, PolishedPoses, PosedArrays, match_arrays, polished_arrays};
use super::run::run;
use crate::check::accept;
use crate::error::{Error, Result};
use crate::frames::Groups;
use crate::model::atoms::Model;
use crate::model::factor::{factorise, inverse_blocks, solve};
use crate::model::gradient::{GainedFrames, filter_sums, gradients};
use crate::model::normal::{PairTable, pair_matrix, subtract_poses};
use crate::model::pose::{polish_to_model, score_model};
use crate::orient::polish::PolishLimits;
use crate::orient::score::ShiftWindow;
use numpy::{
    Complex64, IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArrayDyn,
    PyReadwriteArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;

type Floats<'py> = PyReadonlyArrayDyn<'py, f32>;

/// Positions, heights, excess widths and filters.
#[derive(FromPyObject)]
struct Atoms<'py>(Floats<'py>, Floats<'py>, Option<Floats<'py>>, Floats<'py>);

impl Atoms<'_> {
    fn model(&self, points: usize) -> Result<Model<'_>> {
        let Self(positions, heights, widths, filters) = self;
        let heights = contiguous(heights, "heights", 1)?;
        let widths = optional(widths.as_ref(), "widths")?;
        Model::new(
            rows(positions, "positions", 2)?,
            heights,
            widths,
            contiguous(filters, "filters", 2)?,
            points,
        )
    }

    /// The same with tensors of motion, where they are given.
    fn model_with<'a>(&'a self, tensors: Option<&'a Floats<'_>>, points: usize) -> Result<Model<'a>> {
        let model = self.model(points)?;
        match tensors {
            Some(t) => model.with_tensors(rows(t, "tensors", 2)?, points),
            None => Ok(model),
        }
    }
}

/// The values when they are given; an empty array is refused, since it would pass for none.
fn optional<'a>(values: Option<&'a Floats<'_>>, name: &'static str) -> Result<&'a [f32]> {
    let Some(values) = values else { return Ok(&[]) };
    let values = contiguous(values, name, 1)?;
    accept(name, "empty", !values.is_empty(), "give None for none")?;
    Ok(values)
}

#[pyfunction]
fn model_gain<'py>(
    py: Python<'py>,
    posed: PosedArrays<'py>,
    atoms: Atoms<'py>,
    steps: Whole,
    spacing: f32,
) -> PyResult<Matches<'py>> {
    let posed = posed.check()?;
    let model = atoms.model(posed.plane.len())?;
    let window = ShiftWindow::new(steps.get("steps")?, spacing)?;
    match_arrays(py, &run(py, || score_model(&posed, &model, window))?)
}

#[pyfunction]
#[pyo3(signature = (posed, atoms, iterations, max_turn, max_shift, tensors=None, depths=None))]
fn polish_poses_to_atoms<'py>(
    py: Python<'py>,
    posed: PosedArrays<'py>,
    atoms: Atoms<'py>,
    iterations: Whole,
    max_turn: f32,
    max_shift: f32,
    tensors: Option<Floats<'py>>,
    depths: Option<Floats<'py>>,
) -> PyResult<PolishedPoses<'py>> {
    let posed = posed.check()?;
    let model = atoms.model_with(tensors.as_ref(), posed.plane.len())?;
    let depths = optional(depths.as_ref(), "depths")?;
    let limits = PolishLimits::new(iterations.get("iterations")?, max_turn, max_shift)?;
    polished_arrays(py, &run(py, || polish_to_model(&posed, &model, depths, limits))?)
}

type Sums<'py> = (Bound<'py, PyArray3<f64>>, Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<f64>>);

#[pyfunction]
#[pyo3(signature = (posed, gains, atoms, groups, group_count, model_error, tensors=None, depths=None))]
fn model_gradients<'py>(
    py: Python<'py>,
    posed: PosedArrays<'py>,
    gains: Floats<'py>,
    atoms: Atoms<'py>,
    groups: PyReadonlyArrayDyn<'py, i32>,
    group_count: Whole,
    model_error: f32,
    tensors: Option<Floats<'py>>,
    depths: Option<Floats<'py>>,
) -> PyResult<Sums<'py>> {
    let posed = posed.check()?;
    let model = atoms.model_with(tensors.as_ref(), posed.plane.len())?;
    let gains = contiguous(&gains, "gains", 1)?;
    let frames = GainedFrames::new(posed, gains, optional(depths.as_ref(), "depths")?)?;
    let group_count = group_count.get("group_count")?;
    let groups = Groups::new(contiguous(&groups, "groups", 1)?, group_count)?;
    let sums = run(py, || gradients(&frames, &model, groups, model_error))?;
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
        .flat_map(|f| {
            let [e1, e2] = f.by_ellipse;
            [f.scale, f.power, f.misfit, f.log_likelihood_ratio, f.by_depth, f.depth_information, e1, e2]
        })
        .collect();
    Ok((
        by_group.into_pyarray(py).reshape([group_count, model.positions.len(), columns])?,
        fitness.into_pyarray(py).reshape([gains.len(), 8])?,
        sums.information.into_pyarray(py),
    ))
}

type FilterSums<'py> = (Bound<'py, PyArray3<f64>>, Bound<'py, PyArray2<Complex64>>);

#[pyfunction]
#[pyo3(signature = (posed, gains, scales, atoms, depths=None))]
fn model_filter_sums<'py>(
    py: Python<'py>,
    posed: PosedArrays<'py>,
    gains: Floats<'py>,
    scales: Floats<'py>,
    atoms: Atoms<'py>,
    depths: Option<Floats<'py>>,
) -> PyResult<FilterSums<'py>> {
    let posed = posed.check()?;
    let plane = posed.plane;
    let model = atoms.model(plane.len())?;
    let gains = contiguous(&gains, "gains", 1)?;
    let frames = GainedFrames::new(posed, gains, optional(depths.as_ref(), "depths")?)?;
    let scales = contiguous(&scales, "scales", 1)?;
    let (square, right) = run(py, || filter_sums(&frames, scales, &model))?;
    let (points, channels) = (plane.len(), model.channels(plane.len()));
    Ok((
        square.into_pyarray(py).reshape([points, channels, channels])?,
        right.into_pyarray(py).reshape([points, channels])?,
    ))
}

/// The matrix of the positions; the ellipse's rows against them, and its own square.
type Normal<'py> = (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray2<f64>>, Bound<'py, PyArray2<f64>>);

#[pyfunction]
fn model_normal<'py>(
    py: Python<'py>,
    plane: &PyHalfPlane,
    atoms: Atoms<'py>,
    rotations: Floats<'py>,
    information: Floats<'py>,
    table: Floats<'py>,
    step: f32,
) -> PyResult<Normal<'py>> {
    let plane = &plane.0;
    let model = atoms.model(plane.len())?;
    let rotations = self::rotations(&rotations, "rotations")?;
    let information = contiguous(&information, "information", 1)?;
    let table = PairTable::new(rows(&table, "table", 2)?, step)?;
    let width = 3 * model.positions.len();
    let (matrix, ellipse) = run(py, || {
        let mut matrix = pair_matrix(&model, rotations, table)?;
        let ellipse = subtract_poses(&mut matrix, plane, &model, rotations, information)?;
        Ok((matrix, ellipse))
    })?;
    Ok((
        matrix.into_pyarray(py).reshape([width, width])?,
        ellipse.coupling.into_pyarray(py).reshape([2, width])?,
        ellipse.square.to_vec().into_pyarray(py).reshape([2, 2])?,
    ))
}

#[pyfunction]
fn factor_normal(py: Python<'_>, mut matrix: PyReadwriteArray2<'_, f64>) -> PyResult<()> {
    let (n, whole) = (matrix.shape()[1], matrix.is_c_contiguous());
    let given = || Error::bad_input("matrix", "not C-contiguous", "use numpy.ascontiguousarray");
    let values = matrix.as_slice_mut().ok().filter(|_| whole).ok_or_else(given)?;
    run(py, || factorise(values, n))
}

#[pyfunction]
fn solve_normal<'py>(
    py: Python<'py>,
    factor: PyReadonlyArrayDyn<'py, f64>,
    sides: PyReadonlyArrayDyn<'py, f64>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let (factor, n) = square(&factor, "factor")?;
    let mut solutions = contiguous(&sides, "sides", 2)?.to_vec();
    let shape = sides.shape();
    accept("sides", format!("of shape {shape:?}"), shape[1] == n, &format!("rows of {n} are needed"))?;
    run(py, || solve(factor, n, &mut solutions))?;
    solutions.into_pyarray(py).reshape([shape[0], n])
}

#[pyfunction]
fn normal_blocks<'py>(
    py: Python<'py>,
    factor: PyReadonlyArrayDyn<'py, f64>,
) -> PyResult<Bound<'py, PyArray3<f64>>> {
    let (factor, n) = square(&factor, "factor")?;
    let blocks = run(py, || inverse_blocks(factor, n))?;
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
