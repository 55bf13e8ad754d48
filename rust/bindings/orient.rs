//! Orientation search.

use super::convert::{Whole, contiguous, indices, rotations, rows};
use super::fourier::PyHalfPlane;
use super::frames::{Matches, PolishedPoses, PosedArrays, match_arrays, polished_arrays};
use super::run::run;
use crate::check::accept;
use crate::error::{Error, Result};
use crate::fourier::HalfPlane;
use crate::frames::PosedFrames;
use crate::orient::atoms::AtomModel;
use crate::orient::hmm::{Step, forward_backward};
use crate::orient::lookup::{look_up, shift_spacing};
use crate::orient::polish::{PolishLimits, polish};
use crate::orient::power::{SlicePower, tabulate};
use crate::orient::score::{ShiftWindow, score_candidates};
use crate::orient::search::{SearchPlan, search};
use crate::volume::{FourierVolume, FrameVolumes, project};
use num_complex::Complex32;
use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArray3, PyArray4, PyArrayMethods, PyReadonlyArrayDyn,
    PyUntypedArrayMethods,
};
use pyo3::prelude::*;

type Smoothed<'py> = (Bound<'py, PyArray2<f32>>, Bound<'py, PyArray1<i64>>, f64, f64);

#[pyfunction]
fn smooth_candidates<'py>(
    py: Python<'py>,
    states: PyReadonlyArrayDyn<'py, f32>,
    emission: PyReadonlyArrayDyn<'py, f32>,
    left: PyReadonlyArrayDyn<'py, f32>,
    right: PyReadonlyArrayDyn<'py, f32>,
    sigma: f32,
    jump: f32,
    volume: f32,
) -> PyResult<Smoothed<'py>> {
    let shape = emission.shape().to_vec();
    let emission = contiguous(&emission, "emission", 2)?;
    let states = rows(&states, "states", 3)?;
    let count = shape[1];
    let left = rows(&left, "left", 2)?;
    let right = rows(&right, "right", 2)?;
    let step = Step { sigma, jump, volume };
    let result = run(py, || forward_backward(states, emission, count, left, right, step))?;
    let path: Vec<i64> = result.path.iter().map(|&i| i as i64).collect();
    let probability = result.probability.into_pyarray(py).reshape([path.len(), count])?;
    Ok((probability, path.into_pyarray(py), result.step_square, result.jumps))
}

/// Views of volumes (…, 2K+1, 2K+1, K+1), of `axes` axes in all.
fn views<'a>(
    volumes: &'a PyReadonlyArrayDyn<'_, Complex32>,
    name: &'static str,
    axes: usize,
    pad: usize,
) -> Result<Vec<FourierVolume<'a>>> {
    let data = contiguous(volumes, name, axes)?;
    let shape = volumes.shape();
    let len: usize = shape[axes - 3..].iter().product();
    let reach = shape[axes - 1].saturating_sub(1);
    data.chunks(len.max(1)).map(|v| FourierVolume::new(v, reach, pad)).collect()
}

/// One volume (2K+1, 2K+1, K+1).
fn view<'a>(volume: &'a PyReadonlyArrayDyn<'_, Complex32>, pad: Whole) -> Result<FourierVolume<'a>> {
    let views = views(volume, "volume", 3, pad.get("pad")?)?;
    views.first().copied().ok_or_else(|| Error::bad_input("volume", "empty", "a volume is needed"))
}

/// Volumes (v, 2K+1, 2K+1, K+1), and which of them each frame meets.
fn frame_volumes<'a>(
    volumes: &'a PyReadonlyArrayDyn<'_, Complex32>,
    pad: Whole,
    volume_of: &PyReadonlyArrayDyn<'_, i32>,
    plane: &HalfPlane,
) -> Result<FrameVolumes<'a>> {
    let views = views(volumes, "volumes", 4, pad.get("pad")?)?;
    accept("volumes", "empty", !views.is_empty(), "a volume is needed")?;
    let of = indices(volume_of, "volume_of", views.len())?;
    FrameVolumes::new(views, of, plane)
}

#[pyfunction]
fn score_poses<'py>(
    py: Python<'py>,
    posed: PosedArrays<'py>,
    volumes: PyReadonlyArrayDyn<'py, Complex32>,
    pad: Whole,
    volume_of: PyReadonlyArrayDyn<'py, i32>,
    steps: Whole,
    spacing: f32,
) -> PyResult<Matches<'py>> {
    let posed = posed.check()?;
    let volumes = frame_volumes(&volumes, pad, &volume_of, posed.plane)?;
    let window = ShiftWindow::new(steps.get("steps")?, spacing)?;
    match_arrays(py, &run(py, || score_candidates(&posed, &volumes, window))?)
}

/// Any object with these attributes, as `single_rs.orient.reference.Reference` is: it holds the arrays that the
/// kernel's [`AtomModel`] is a view of.
#[derive(FromPyObject)]
struct ReferenceArrays<'py> {
    atoms: PyReadonlyArrayDyn<'py, f32>,
    heights: PyReadonlyArrayDyn<'py, f32>,
    filter: PyReadonlyArrayDyn<'py, f32>,
    volume: PyReadonlyArrayDyn<'py, Complex32>,
    pad: Whole,
    view_power: PyReadonlyArrayDyn<'py, f32>,
}

impl ReferenceArrays<'_> {
    /// The atoms, checked, for comparison with these frames.
    fn check(&self, posed: &PosedFrames<'_>) -> Result<AtomModel<'_>> {
        let table = contiguous(&self.view_power, "view_power", 2)?;
        let power = SlicePower::new(view(&self.volume, self.pad)?, posed.plane, posed.weights, table)?;
        let (heights, filter) =
            (contiguous(&self.heights, "heights", 1)?, contiguous(&self.filter, "filter", 1)?);
        AtomModel::new(rows(&self.atoms, "atoms", 2)?, heights, filter, power)
    }
}

#[pyfunction]
fn tabulate_power<'py>(
    py: Python<'py>,
    volume: PyReadonlyArrayDyn<'py, Complex32>,
    plane: &PyHalfPlane,
    pad: Whole,
    weights: PyReadonlyArrayDyn<'py, f32>,
    diameter: f32,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let volume = view(&volume, pad)?;
    let weights = contiguous(&weights, "weights", 1)?;
    let table = run(py, || tabulate(&volume, &plane.0, weights, diameter))?;
    let side = table.len().isqrt();
    table.into_pyarray(py).reshape([side, side])
}

#[pyfunction]
fn look_up_poses<'py>(
    py: Python<'py>,
    posed: PosedArrays<'py>,
    reference: ReferenceArrays<'py>,
    steps: Whole,
) -> PyResult<Matches<'py>> {
    let posed = posed.check()?;
    let model = reference.check(&posed)?;
    let steps = steps.get("steps")?;
    match_arrays(py, &run(py, || look_up(&posed, &model, steps))?)
}

/// Any object with these attributes, as `single_rs.orient.search.SearchPlan` is.
impl<'a, 'py> FromPyObject<'a, 'py> for SearchPlan {
    type Error = PyErr;

    fn extract(plan: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let whole = |name: &'static str| -> PyResult<usize> {
            Ok(plan.getattr(name)?.extract::<Whole>()?.get(name)?)
        };
        let [first, more]: [Whole; 2] = plan.getattr("climb")?.extract()?;
        Ok(Self {
            window: whole("window")?,
            climbers: whole("climbers")?,
            finalists: whole("finalists")?,
            climb: [first.get("climb")?, more.get("climb")?],
            same: plan.getattr("same")?.extract()?,
            inverse_temperature: plan.getattr("inverse_temperature")?.extract()?,
        })
    }
}

/// Rotations (n, k, 3, 3), shifts (n, k, 2) px, and whether there are so many (n, k).
type Finalists<'py> = (Bound<'py, PyArray4<f32>>, Bound<'py, PyArray3<f32>>, Bound<'py, PyArray2<bool>>);

#[pyfunction]
fn search_poses<'py>(
    py: Python<'py>,
    posed: PosedArrays<'py>,
    reference: ReferenceArrays<'py>,
    frame_weight: PyReadonlyArrayDyn<'py, f32>,
    prior: PyReadonlyArrayDyn<'py, f32>,
    plan: SearchPlan,
) -> PyResult<Finalists<'py>> {
    let posed = posed.check()?;
    let model = reference.check(&posed)?;
    let (frame_weight, prior) =
        (contiguous(&frame_weight, "frame_weight", 1)?, contiguous(&prior, "prior", 1)?);
    let (frames, count) = (posed.frames, plan.finalists);
    let found = run(py, || search(&posed, &model, frame_weight, prior, &plan))?;
    let mut matrices = vec![0.0f32; frames * count * 9];
    let mut moves = vec![0.0f32; frames * count * 2];
    let mut there = vec![false; frames * count];
    let mut frame = posed.frame_of.clone();
    frame.dedup();
    for (&frame, poses) in frame.iter().zip(&found) {
        // The places of poses that there are not hold the first.
        let filled = poses.iter().chain(std::iter::repeat(&poses[0])).take(count);
        for (i, pose) in filled.enumerate() {
            let place = frame * count + i;
            matrices[9 * place..9 * place + 9].copy_from_slice(pose.rotation.as_flattened());
            moves[2 * place..2 * place + 2].copy_from_slice(&pose.fit.shift);
            there[place] = i < poses.len();
        }
    }
    Ok((
        matrices.into_pyarray(py).reshape([frames, count, 3, 3])?,
        moves.into_pyarray(py).reshape([frames, count, 2])?,
        there.into_pyarray(py).reshape([frames, count])?,
    ))
}

/// Distance (px) of the shifts that `look_up_poses` tries.
#[pyfunction]
fn look_up_spacing(plane: &PyHalfPlane) -> f32 {
    shift_spacing(&plane.0)
}

#[pyfunction]
fn polish_poses<'py>(
    py: Python<'py>,
    posed: PosedArrays<'py>,
    volumes: PyReadonlyArrayDyn<'py, Complex32>,
    pad: Whole,
    volume_of: PyReadonlyArrayDyn<'py, i32>,
    iterations: Whole,
    max_turn: f32,
    max_shift: f32,
) -> PyResult<PolishedPoses<'py>> {
    let posed = posed.check()?;
    let volumes = frame_volumes(&volumes, pad, &volume_of, posed.plane)?;
    let limits = PolishLimits::new(iterations.get("iterations")?, max_turn, max_shift)?;
    polished_arrays(py, &run(py, || polish(&posed, &volumes, limits))?)
}

#[pyfunction]
fn project_slices<'py>(
    py: Python<'py>,
    volume: PyReadonlyArrayDyn<'py, Complex32>,
    plane: &PyHalfPlane,
    pad: Whole,
    rotations: PyReadonlyArrayDyn<'py, f32>,
) -> PyResult<Bound<'py, PyArray2<Complex32>>> {
    let plane = &plane.0;
    let poses = self::rotations(&rotations, "rotations")?;
    let volume = view(&volume, pad)?;
    let slices = run(py, || project(&volume, plane, poses))?;
    slices.into_pyarray(py).reshape([poses.len(), plane.len()])
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(smooth_candidates, m)?)?;
    m.add_function(wrap_pyfunction!(score_poses, m)?)?;
    m.add_function(wrap_pyfunction!(tabulate_power, m)?)?;
    m.add_function(wrap_pyfunction!(look_up_poses, m)?)?;
    m.add_function(wrap_pyfunction!(search_poses, m)?)?;
    m.add_function(wrap_pyfunction!(look_up_spacing, m)?)?;
    m.add_function(wrap_pyfunction!(project_slices, m)?)?;
    m.add_function(wrap_pyfunction!(polish_poses, m)?)
}
