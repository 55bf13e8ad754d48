//! Continuous refinement of rotation and shift against a Fourier volume.
//!
//! Levenberg-Marquardt on the weighted residual
//!
//! ```text
//! Σ_k w |X − s · P(R) exp(−2πi k·t/N)|²
//! ```
//!
//! over three angles (rotations of the laboratory axes), the shift t and, in closed form, the scale s ≥ 0.
//! Derivatives are those of the trilinear volume, tested against finite differences.

use crate::check::{self, within};
use crate::error::Result;
use crate::fourier::HalfPlane;
use crate::frames::PosedFrames;
use crate::volume::{FourierVolume, FrameVolumes, Rotation};
use nalgebra::{SMatrix, SVector};
use num_complex::Complex32;
use rayon::prelude::*;
use std::f32::consts::PI;

/// A pose and how well it explains its frame.
#[derive(Debug, Clone, Copy)]
pub struct Polished {
    /// Rotation.
    pub rotation: Rotation,
    /// Shift (x, y), px.
    pub shift: [f32; 2],
    /// b = Re Σ w P* X at the pose.
    pub overlap: f32,
    /// a = Σ w |P|² at the pose.
    pub power: f32,
    /// Standard errors from the inverse Hessian: three angles (rad) and two shifts (px).
    pub error: [f32; 5],
}

/// More iterations than any refinement takes.
const MOST_ITERATIONS: usize = 1000;

/// Limits of the refinement.
#[derive(Debug, Clone, Copy)]
pub struct PolishLimits {
    pub(crate) iterations: usize,
    /// Farthest total rotation from the start (rad).
    pub(crate) max_turn: f32,
    /// Farthest total shift from the start (px).
    pub(crate) max_shift: f32,
}

impl PolishLimits {
    /// At most `iterations`, `max_turn` rad and `max_shift` px.
    ///
    /// # Errors
    /// More than 1,000 iterations, or limits that are negative or not finite.
    pub fn new(iterations: usize, max_turn: f32, max_shift: f32) -> Result<Self> {
        within("iterations", iterations, 0..=MOST_ITERATIONS)?;
        check::not_negative("max_turn", max_turn)?;
        check::not_negative("max_shift", max_shift)?;
        Ok(Self { iterations, max_turn, max_shift })
    }
}

impl Polished {
    /// What stands before a pose is refined.
    pub(crate) const BLANK: Self = Self {
        rotation: [[0.0; 3]; 3],
        shift: [0.0; 2],
        overlap: 0.0,
        power: 0.0,
        error: [f32::INFINITY; 5],
    };

    /// Whether pose and fit are finite; an error is infinite where the frame does not determine the pose.
    pub(crate) fn is_sound(&self) -> bool {
        let rest = [self.overlap, self.power, self.shift[0], self.shift[1]];
        self.rotation.iter().flatten().chain(&rest).all(|v| v.is_finite())
            && !self.error.iter().any(|v| v.is_nan())
    }
}

/// Refine the poses against the volumes of their frames. Order is kept.
///
/// # Errors
/// Volumes of another number of frames, or poses that are not finite.
pub fn polish(
    posed: &PosedFrames<'_>,
    volumes: &FrameVolumes<'_>,
    limits: PolishLimits,
) -> Result<Vec<Polished>> {
    volumes.serve(posed.frames)?;
    let &PosedFrames { plane, weights, rotations, shifts, .. } = posed;
    let mut out = vec![Polished::BLANK; rotations.len()];
    out.par_iter_mut().enumerate().for_each_init(
        || vec![[Complex32::default(); 4]; plane.len()],
        |scratch, (i, result)| {
            let at = posed.frame_of[i];
            let frame = Frame { spectrum: posed.spectrum(at), plane, weights };
            *result = refine(&frame, volumes.of(at), rotations[i], shifts[i], limits, scratch);
        },
    );
    if out.iter().all(Polished::is_sound) { Ok(out) } else { Err(posed.unsound(&volumes.arguments())) }
}

struct Frame<'a> {
    spectrum: &'a [Complex32],
    plane: &'a HalfPlane,
    weights: &'a [f32],
}

/// Sums of the normal equations: parameters are (lx, ly, lz, tx, ty).
struct Normal {
    overlap: f64,
    power: f64,
    /// Re⟨∂P, X⟩ and Re⟨∂P, P⟩.
    with_frame: SVector<f64, 5>,
    with_slice: SVector<f64, 5>,
    /// Re⟨∂P, ∂P⟩.
    square: SMatrix<f64, 5, 5>,
}

impl Normal {
    /// Log-likelihood ratio to an empty frame at the best scale: b²/a.
    fn log_likelihood_ratio(&self) -> f64 {
        if self.power > 0.0 && self.overlap > 0.0 { self.overlap * self.overlap / self.power } else { 0.0 }
    }
}

impl Frame<'_> {
    fn normal(
        &self,
        volume: &FourierVolume<'_>,
        r: &Rotation,
        t: [f32; 2],
        slices: &mut [[Complex32; 4]],
    ) -> Normal {
        volume.slice_and_derivatives(r, self.plane, slices);
        let unit = 2.0 * PI / self.plane.size as f32;
        let turn = Complex32::cis(unit * t[0]);
        let mut total = [0.0f64; 27];
        for row in &self.plane.rows {
            // Sums of one row in f32 (at most a few dozen terms), rows in f64.
            let mut sum = [0.0f32; 27];
            let mut phase = Complex32::cis(unit * (row.first as f32 * t[0] + row.ky as f32 * t[1]));
            let ky = unit * row.ky as f32;
            for i in 0..row.len {
                let at = row.start + i;
                let w = self.weights[at];
                let x = self.spectrum[at] * phase;
                phase *= turn;
                let [p, l1, l2, l3] = slices[at];
                let kx = unit * (row.first + i as i32) as f32;
                // P exp(−ik·t) has derivative −ik P by t; the phase was moved onto X.
                let minus_i_p = Complex32::new(p.im, -p.re);
                let d = [l1, l2, l3, minus_i_p * kx, minus_i_p * ky];
                let dot = |a: Complex32, b: Complex32| a.re * b.re + a.im * b.im;
                sum[0] += w * dot(p, x);
                sum[1] += w * p.norm_sqr();
                let mut slot = 12;
                for a in 0..5 {
                    sum[2 + a] += w * dot(d[a], x);
                    sum[7 + a] += w * dot(d[a], p);
                    for b in 0..=a {
                        sum[slot] += w * dot(d[a], d[b]);
                        slot += 1;
                    }
                }
            }
            total.iter_mut().zip(sum).for_each(|(t, s)| *t += f64::from(s));
        }
        let mut square = SMatrix::zeros();
        let mut slot = 12;
        for a in 0..5 {
            for b in 0..=a {
                square[(a, b)] = total[slot];
                square[(b, a)] = total[slot];
                slot += 1;
            }
        }
        Normal {
            overlap: total[0],
            power: total[1],
            with_frame: SVector::from_row_slice(&total[2..7]),
            with_slice: SVector::from_row_slice(&total[7..12]),
            square,
        }
    }
}

fn refine(
    frame: &Frame<'_>,
    volume: &FourierVolume<'_>,
    start: Rotation,
    start_shift: [f32; 2],
    limits: PolishLimits,
    slices: &mut [[Complex32; 4]],
) -> Polished {
    let (mut r, mut t) = (start, start_shift);
    let mut normal = frame.normal(volume, &r, t, slices);
    let mut damping = 1e-2;
    for _ in 0..limits.iterations {
        if normal.power <= 0.0 {
            break;
        }
        let scale = (normal.overlap / normal.power).max(1e-6);
        // The scale is eliminated: its column is P, so the Hessian loses the projection on it.
        let hessian = normal.square - normal.with_slice * normal.with_slice.transpose() / normal.power;
        let gradient = (normal.with_frame - normal.with_slice * scale) / scale;
        let mut damped = hessian;
        for a in 0..5 {
            damped[(a, a)] += damping * hessian[(a, a)].max(1e-12);
        }
        let Some(step) = damped.cholesky().map(|c| c.solve(&gradient)) else {
            damping *= 10.0;
            continue;
        };
        let next_r = rotate([step[0] as f32, step[1] as f32, step[2] as f32], &r);
        let next_t = [t[0] + step[3] as f32, t[1] + step[4] as f32];
        if angle_between(&next_r, &start) > limits.max_turn
            || (next_t[0] - start_shift[0]).hypot(next_t[1] - start_shift[1]) > limits.max_shift
        {
            damping *= 10.0;
            if damping > 1e6 {
                break;
            }
            continue;
        }
        let next = frame.normal(volume, &next_r, next_t, slices);
        if next.log_likelihood_ratio() > normal.log_likelihood_ratio() {
            let small = step.rows(0, 3).norm() < 1e-4 && step.rows(3, 2).norm() < 1e-3;
            (r, t, normal) = (next_r, next_t, next);
            damping = (damping * 0.2).max(1e-6);
            if small {
                break;
            }
        } else {
            damping *= 10.0;
            if damping > 1e6 {
                break;
            }
        }
    }
    let mut error = [f32::INFINITY; 5];
    if normal.power > 0.0 && normal.overlap > 0.0 {
        let scale = normal.overlap / normal.power;
        let hessian = normal.square - normal.with_slice * normal.with_slice.transpose() / normal.power;
        // −log L = Σ w |residual|² on the half plane: its second derivative is 2 s² times this matrix.
        if let Some(inverse) = (hessian * (2.0 * scale * scale)).try_inverse() {
            for a in 0..5 {
                error[a] = inverse[(a, a)].max(0.0).sqrt() as f32;
            }
        }
    }
    Polished { rotation: r, shift: t, overlap: normal.overlap as f32, power: normal.power as f32, error }
}

/// exp([l]×) · `r`, orthonormalised: hundreds of small steps in f32 must not shear a rotation.
pub(crate) fn rotate(l: [f32; 3], r: &Rotation) -> Rotation {
    let turn = nalgebra::Rotation3::new(nalgebra::Vector3::new(l[0], l[1], l[2]));
    let mut columns = [nalgebra::Vector3::zeros(); 2];
    let matrix = nalgebra::Matrix3::from_fn(|a, b| r[a][b]);
    let product = turn.matrix() * matrix;
    columns[0] = product.row(0).transpose().normalize();
    columns[1] = product.row(1).transpose();
    columns[1] = (columns[1] - columns[0] * columns[0].dot(&columns[1])).normalize();
    let third = columns[0].cross(&columns[1]);
    let row = |v: &nalgebra::Vector3<f32>| [v[0], v[1], v[2]];
    [row(&columns[0]), row(&columns[1]), row(&third)]
}

/// Angle (rad) between two rotations.
pub(crate) fn angle_between(a: &Rotation, b: &Rotation) -> f32 {
    let trace: f32 = (0..3).flat_map(|i| (0..3).map(move |j| (i, j))).map(|(i, j)| a[i][j] * b[i][j]).sum();
    ((trace - 1.0) / 2.0).clamp(-1.0, 1.0).acos()
}
