//! Smoothing of shift measurements in time.
//!
//! State `(s, v)` per axis pair: `s_{t+1} = s_t + v_t + N(0, jitter²)`, `v_{t+1} = v_t + N(0, wander²)`; a
//! measurement `z_t = s_t + N(0, J_t⁻¹)` has the 2×2 information `J_t`, zero where there is none (bad frame).
//! Kalman filter and Rauch-Tung-Striebel smoother, doi:10.2514/3.3166. The two noise levels are those of the
//! largest innovation likelihood, so a quiet stage is smoothed over many frames and a shaking one is followed.

use crate::check::accept;
use crate::error::{Error, Result};
use nalgebra::{Matrix2, Matrix2x4, Matrix4, Vector2, Vector4};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// A smoothed trajectory.
#[derive(Debug, Clone)]
pub struct Drift {
    /// Shift (n, 2) px, (x, y).
    pub shifts: Array2<f64>,
    /// Variance of the shift (n, 2) px².
    pub variance: Array2<f64>,
    /// Log-likelihood of the measurements (innovation form, without constants).
    pub likelihood: f64,
    /// Standard deviation of the position's own step, px per frame.
    pub jitter: f64,
    /// Standard deviation of the velocity's step, px per frame².
    pub wander: f64,
}

/// Variance of position and of velocity before the first frame: any field of view (10⁴ px), any speed (10 px/frame).
const PRIOR: (f64, f64) = (1e8, 1e2);
/// Information below which a frame says nothing, px⁻² (a standard deviation of 10³ px).
const NO_INFORMATION: f64 = 1e-6;

struct Step {
    predicted: Vector4<f64>,
    predicted_cov: Matrix4<f64>,
    filtered: Vector4<f64>,
    filtered_cov: Matrix4<f64>,
}

fn transition() -> Matrix4<f64> {
    let mut f = Matrix4::identity();
    f[(0, 2)] = 1.0;
    f[(1, 3)] = 1.0;
    f
}

fn filter(
    measured: ArrayView2<f64>,
    information: ArrayView2<f64>,
    jitter: f64,
    wander: f64,
) -> (Vec<Step>, f64) {
    let f = transition();
    let (j2, w2) = (jitter * jitter, wander * wander);
    let noise = Matrix4::from_diagonal(&Vector4::new(j2, j2, w2, w2));
    let h = Matrix2x4::new(1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0);
    let mut x = Vector4::zeros();
    let mut p = Matrix4::from_diagonal(&Vector4::new(PRIOR.0, PRIOR.0, PRIOR.1, PRIOR.1));
    let mut steps = Vec::with_capacity(measured.nrows());
    let mut likelihood = 0.0;
    for t in 0..measured.nrows() {
        if t > 0 {
            x = f * x;
            p = f * p * f.transpose() + noise;
        }
        let (predicted, predicted_cov) = (x, p);
        let j =
            Matrix2::new(information[[t, 0]], information[[t, 1]], information[[t, 1]], information[[t, 2]]);
        let known = j.symmetric_eigenvalues().min() > NO_INFORMATION;
        if let Some(r) = j.try_inverse().filter(|_| known) {
            let s = h * p * h.transpose() + r;
            // s is the sum of a covariance and a positive definite matrix, so it has an inverse.
            let inverse = s.try_inverse().unwrap_or_else(Matrix2::zeros);
            let innovation = Vector2::new(measured[[t, 0]], measured[[t, 1]]) - h * x;
            let gain = p * h.transpose() * inverse;
            x += gain * innovation;
            p -= gain * s * gain.transpose();
            p = (p + p.transpose()) * 0.5;
            likelihood -= 0.5
                * (s.determinant().max(f64::MIN_POSITIVE).ln()
                    + (innovation.transpose() * inverse * innovation)[0]);
        }
        steps.push(Step { predicted, predicted_cov, filtered: x, filtered_cov: p });
    }
    (steps, likelihood)
}

fn check(measured: ArrayView2<f64>, information: ArrayView2<f64>) -> Result<()> {
    let n = measured.nrows();
    if measured.ncols() != 2 || information.dim() != (n, 3) {
        return Err(Error::bad_input(
            "information",
            format!("{:?} for measurements {:?}", information.dim(), measured.dim()),
            "shifts (n, 2) and information (n, 3) in the order xx, xy, yy are needed",
        ));
    }
    if measured.iter().chain(information.iter()).any(|v| !v.is_finite()) {
        return Err(Error::bad_input(
            "measured",
            "not finite",
            "give frames without a measurement zero information",
        ));
    }
    Ok(())
}

/// Smooths `measured` (n, 2) px with `information` (n, 3: xx, xy, yy) px⁻² at given noise levels.
///
/// # Errors
/// Arrays that do not agree or are not finite, or a trajectory that is not.
pub fn smooth_drift(
    measured: ArrayView2<f64>,
    information: ArrayView2<f64>,
    jitter: f64,
    wander: f64,
) -> Result<Drift> {
    check(measured, information)?;
    let n = measured.nrows();
    let (steps, likelihood) = filter(measured, information, jitter, wander);
    let f = transition();
    let mut shifts = Array2::zeros((n, 2));
    let mut variance = Array2::zeros((n, 2));
    let mut next: Option<(Vector4<f64>, Matrix4<f64>)> = None;
    for t in (0..n).rev() {
        let step = &steps[t];
        let (x, p) = match next {
            None => (step.filtered, step.filtered_cov),
            Some((later, later_cov)) => {
                let ahead = &steps[t + 1];
                // Without process noise a predicted covariance may become singular; then the past cannot be improved.
                let inverse = ahead.predicted_cov.try_inverse().unwrap_or_else(Matrix4::zeros);
                let gain = step.filtered_cov * f.transpose() * inverse;
                (
                    step.filtered + gain * (later - ahead.predicted),
                    step.filtered_cov + gain * (later_cov - ahead.predicted_cov) * gain.transpose(),
                )
            }
        };
        for axis in 0..2 {
            shifts[[t, axis]] = x[axis];
            variance[[t, axis]] = p[(axis, axis)].max(0.0);
        }
        next = Some((x, p));
    }
    let numbers = likelihood.is_finite() && shifts.iter().chain(&variance).all(|v: &f64| v.is_finite());
    accept("measured", "too large", numbers, "shifts and information whose smoothing is finite are needed")?;
    Ok(Drift { shifts, variance, likelihood, jitter, wander })
}

/// Position jitters that are tried, px per frame.
const JITTERS: [f64; 8] = [1e-4, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0];
/// Velocity steps that are tried, px per frame².
const WANDERS: [f64; 10] = [3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0];

/// Smooths with the noise levels of the largest likelihood.
///
/// # Errors
/// As those of [`smooth_drift`].
pub fn best_drift(measured: ArrayView2<f64>, information: ArrayView2<f64>) -> Result<Drift> {
    check(measured, information)?;
    let trials: Vec<(f64, f64)> =
        JITTERS.iter().flat_map(|&j| WANDERS.iter().map(move |&w| (j, w))).collect();
    let likelihoods: Vec<f64> =
        trials.par_iter().map(|&(j, w)| filter(measured, information, j, w).1).collect();
    let mut best = 0;
    for (i, v) in likelihoods.iter().enumerate() {
        if *v > likelihoods[best] {
            best = i;
        }
    }
    smooth_drift(measured, information, trials[best].0, trials[best].1)
}
