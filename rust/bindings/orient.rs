//! Orientation search.

use super::agree;
use super::convert::{contiguous, indices, rotations, rows};
use super::fourier::PyHalfPlane;
use super::frames::{Matches, PolishedPoses, PosedFrames, PyPosedFrames, match_arrays, polished_arrays};
use crate::error::Error;
use crate::fourier::HalfPlane;
use crate::orient::hmm::{Step, forward_backward};
use crate::orient::lookup::{AtomModel, MOST_STEPS, look_up, shift_spacing};
use crate::orient::polish::{PolishLimits, polish};
use crate::orient::power::{SlicePower, table_side, tabulate};
use crate::orient::score::{ShiftWindow, score_candidates};
use crate::orient::search::{Pool, SearchPlan, search};
use crate::volume::{FourierVolume, project};
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
    let count = emission.as_array().shape().last().copied().unwrap_or(0);
    let states = rows(contiguous(&states, "states", 3)?, "states")?;
    let emission = contiguous(&emission, "emission", 2)?;
    agree("emission", emission.len(), states.len())?;
    let left = rows(contiguous(&left, "left", 2)?, "left")?;
    let right = rows(contiguous(&right, "right", 2)?, "right")?;
    let step = Step { sigma, jump, volume };
    let result = py.detach(|| forward_backward(states, emission, count, left, right, step));
    let frames = emission.len() / count.max(1);
    let path: Vec<i64> = result.path.iter().map(|&i| i as i64).collect();
    let probability = result.probability.into_pyarray(py).reshape([frames, count])?;
    Ok((probability, path.into_pyarray(py), result.step_square, result.jumps))
}

/// At least one view of volumes (…, 2K+1, 2K+1, K+1), of `axes` axes in all, each of which reaches shell `max_shell`.
fn views<'a>(
    volumes: &'a PyReadonlyArrayDyn<'_, Complex32>,
    name: &'static str,
    axes: usize,
    pad: usize,
    max_shell: usize,
) -> PyResult<Vec<FourierVolume<'a>>> {
    let data = contiguous(volumes, name, axes)?;
    let shape = volumes.shape();
    let len: usize = shape[axes - 3..].iter().product();
    let reach = shape[axes - 1].saturating_sub(1);
    let views: Vec<_> =
        data.chunks(len.max(1)).map(|v| FourierVolume::new(v, reach, pad)).collect::<Result<_, _>>()?;
    match views.iter().map(FourierVolume::max_shell).min() {
        Some(given) if given < max_shell => {
            let given = format!("up to shell {given}");
            Err(Error::bad_input(name, given, format!("shell {max_shell} is needed")).into())
        }
        Some(_) => Ok(views),
        None => Err(Error::bad_input(name, "empty", "a volume is needed").into()),
    }
}

/// Which of `count` volumes or models each of the frames meets.
fn one_of(
    array: &PyReadonlyArrayDyn<'_, i32>,
    name: &'static str,
    count: usize,
    frames: usize,
) -> PyResult<Vec<usize>> {
    let chosen = indices(contiguous(array, name, 1)?, name, count)?;
    agree(name, chosen.len(), frames)?;
    Ok(chosen)
}

#[pyfunction]
fn score_poses<'py>(
    py: Python<'py>,
    posed: PyPosedFrames<'py>,
    volumes: PyReadonlyArrayDyn<'py, Complex32>,
    pad: usize,
    volume_of: PyReadonlyArrayDyn<'py, i32>,
    steps: usize,
    spacing: f32,
) -> PyResult<Matches<'py>> {
    let PosedFrames { spectra, plane, weights, rotations, frame_of, frames, .. } = posed.check()?;
    let views = views(&volumes, "volumes", 4, pad, plane.max_shell)?;
    let volume_of = one_of(&volume_of, "volume_of", views.len(), frames)?;
    let window = ShiftWindow { steps, spacing };
    let found = py.detach(|| {
        score_candidates(spectra, plane, weights, &views, &volume_of, rotations, &frame_of, window)
    });
    match_arrays(py, &found)
}

/// Any object with these attributes, as `single_rs.orient.reference.Reference` is.
#[derive(FromPyObject)]
struct PyAtomModel<'py> {
    atoms: PyReadonlyArrayDyn<'py, f32>,
    heights: PyReadonlyArrayDyn<'py, f32>,
    filter: PyReadonlyArrayDyn<'py, f32>,
    volume: PyReadonlyArrayDyn<'py, Complex32>,
    pad: usize,
    view_power: PyReadonlyArrayDyn<'py, f32>,
}

impl PyAtomModel<'_> {
    fn check(&self, plane: &HalfPlane, weights: &[f32]) -> PyResult<AtomModel<'_>> {
        let positions = rows(contiguous(&self.atoms, "atoms", 2)?, "atoms")?;
        let heights = contiguous(&self.heights, "heights", 1)?;
        agree("heights", heights.len(), positions.len())?;
        let filter = contiguous(&self.filter, "filter", 1)?;
        agree("filter", filter.len(), plane.len())?;
        let volume = views(&self.volume, "volume", 3, self.pad, plane.max_shell)?[0];
        let table = contiguous(&self.view_power, "view_power", 2)?;
        agree("view_power", table.len(), table.len().isqrt().max(2).pow(2))?;
        Ok(AtomModel::new(positions, heights, filter, SlicePower::new(volume, plane, weights, table)))
    }
}

/// Check that candidates come frame by frame and that the window is not too wide.
fn check_candidates(frame_of: &[usize], steps: usize) -> PyResult<()> {
    if !frame_of.is_sorted() {
        return Err(Error::bad_input("frame_of", "not ascending", "sort the candidates by frame").into());
    }
    if steps > MOST_STEPS {
        return Err(Error::bad_input("steps", steps.to_string(), format!("at most {MOST_STEPS}")).into());
    }
    Ok(())
}

#[pyfunction]
fn tabulate_power<'py>(
    py: Python<'py>,
    volume: PyReadonlyArrayDyn<'py, Complex32>,
    plane: &PyHalfPlane,
    pad: usize,
    weights: PyReadonlyArrayDyn<'py, f32>,
    diameter: f32,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let plane = &plane.0;
    let view = &views(&volume, "volume", 3, pad, plane.max_shell)?[0];
    let weights = contiguous(&weights, "weights", 1)?;
    agree("weights", weights.len(), plane.len())?;
    let side = table_side(plane, diameter);
    py.detach(|| tabulate(view, plane, weights, side)).into_pyarray(py).reshape([side, side])
}

#[pyfunction]
fn look_up_poses<'py>(
    py: Python<'py>,
    posed: PyPosedFrames<'py>,
    reference: PyAtomModel<'py>,
    steps: usize,
) -> PyResult<Matches<'py>> {
    let PosedFrames { spectra, plane, weights, rotations, shifts, frame_of, .. } = posed.check()?;
    let model = reference.check(plane, weights)?;
    check_candidates(&frame_of, steps)?;
    let found = py.detach(|| look_up(spectra, plane, &model, rotations, &frame_of, shifts, steps));
    match_arrays(py, &found)
}

/// Any object with these attributes, as `single_rs.orient.search.SearchPlan` is.
#[derive(FromPyObject)]
struct PySearchPlan {
    window: usize,
    climbers: usize,
    finalists: usize,
    climb: [usize; 2],
    same: f32,
    temper: f32,
}

/// Rotations (n, k, 3, 3), shifts (n, k, 2) px, and whether there are so many (n, k).
type Finalists<'py> = (Bound<'py, PyArray4<f32>>, Bound<'py, PyArray3<f32>>, Bound<'py, PyArray2<bool>>);

#[pyfunction]
fn search_poses<'py>(
    py: Python<'py>,
    posed: PyPosedFrames<'py>,
    reference: PyAtomModel<'py>,
    gain: PyReadonlyArrayDyn<'py, f32>,
    prior: PyReadonlyArrayDyn<'py, f32>,
    plan: PySearchPlan,
) -> PyResult<Finalists<'py>> {
    let PosedFrames { spectra, plane, weights, rotations, shifts, frame_of, frames } = posed.check()?;
    let model = reference.check(plane, weights)?;
    check_candidates(&frame_of, plan.window)?;
    let gain = contiguous(&gain, "gain", 1)?;
    agree("gain", gain.len(), frames)?;
    let prior = contiguous(&prior, "prior", 1)?;
    agree("prior", prior.len(), rotations.len())?;
    let PySearchPlan { window, climbers, finalists: count, climb, same, temper } = plan;
    let plan = SearchPlan { window, climbers, finalists: count, climb, same, temper };
    let pool = Pool { frame_of: &frame_of, rotations, starts: shifts, prior };
    let found = py.detach(|| search(spectra, plane, gain, &model, pool, &plan));
    let mut matrices = vec![0.0f32; frames * count * 9];
    let mut moves = vec![0.0f32; frames * count * 2];
    let mut there = vec![false; frames * count];
    let mut frame = frame_of.clone();
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
    posed: PyPosedFrames<'py>,
    volumes: PyReadonlyArrayDyn<'py, Complex32>,
    pad: usize,
    volume_of: PyReadonlyArrayDyn<'py, i32>,
    iterations: usize,
    max_turn: f32,
    max_shift: f32,
) -> PyResult<PolishedPoses<'py>> {
    let PosedFrames { spectra, plane, weights, rotations, shifts, frame_of, frames } = posed.check()?;
    let views = views(&volumes, "volumes", 4, pad, plane.max_shell)?;
    let volume_of = one_of(&volume_of, "volume_of", views.len(), frames)?;
    let limits = PolishLimits { iterations, max_turn, max_shift };
    let found = py
        .detach(|| polish(spectra, plane, weights, &views, &volume_of, rotations, shifts, &frame_of, limits));
    polished_arrays(py, &found)
}

#[pyfunction]
fn project_slices<'py>(
    py: Python<'py>,
    volume: PyReadonlyArrayDyn<'py, Complex32>,
    plane: &PyHalfPlane,
    pad: usize,
    rotations: PyReadonlyArrayDyn<'py, f32>,
) -> PyResult<Bound<'py, PyArray2<Complex32>>> {
    let plane = &plane.0;
    let poses = self::rotations(contiguous(&rotations, "rotations", 3)?, "rotations")?;
    let view = &views(&volume, "volume", 3, pad, plane.max_shell)?[0];
    let slices = py.detach(|| project(view, plane, poses));
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
