//! Candidate poses scored and refined against atoms, as `orient::score` and `orient::polish` do against a volume.
//!
//! The misfit Σ_k w |X − s P(R, t)|² with its best scale s = b/a is minimised by Gauss-Newton steps over three turns of
//! the laboratory's axes and the shift. The gradient is the adjoint of the full model. The 5 × 5 normal matrix is that
//! of the first channel, from the moments S[h x], S[h y], S[h z]: ∂P/∂(l_x, l_y, l_z) is
//!
//! ```text
//! −2πi f₀/N · (−k_y S[h z], k_x S[h z], k_y S[h x] − k_x S[h y])
//! ```
//!
//! and is made anew only after steps long enough to change it.

use super::atoms::{Model, View};
use super::grid::Grid;
use super::sums::{Frame, Turning};
use crate::check::{self, agree};
use crate::error::Result;
use crate::frames::PosedFrames;
use crate::orient::polish::{PolishLimits, Polished, angle_between, rotate};
use crate::orient::score::{Match, ShiftWindow, Twiddles};
use crate::volume::Rotation;
use nalgebra::{SMatrix, SVector};
use num_complex::Complex32;
use rayon::prelude::*;
use std::f32::consts::PI;
use std::f64::consts::TAU;

/// Steps longer than this share of the finest detail (rad of its phase at the rim) renew the normal matrix.
const RENEW: f32 = 0.5;

/// Spectra of the atoms at many poses, n · `plane.len()` values.
#[must_use]
pub fn project_model(
    grid: &Grid,
    model: &Model<'_>,
    rotations: &[Rotation],
    shifts: &[[f32; 2]],
) -> Vec<Complex32> {
    let m = grid.plane.len();
    let mut out = vec![Complex32::default(); rotations.len() * m];
    out.par_chunks_mut(m).zip(rotations).zip(shifts).for_each_init(
        || model.view(grid),
        |view, ((image, r), &t)| {
            model.place(grid, r, t, view);
            model.project(grid, view);
            image.copy_from_slice(&view.image);
        },
    );
    out
}

/// Steps that promise less log-likelihood (nats) than this, a third of a standard error, are the last of a pose and are not
/// tried: the normal matrix of one channel is right to a tenth, so that what they leave is a thirtieth.
const SETTLED: f64 = 0.05;

/// Score candidates, the poses of `posed`, against atoms. Order is kept.
///
/// The shifts of the poses are the centres of the windows searched.
///
/// # Errors
/// A model of another plane, or matches that are not finite.
pub fn score_model(posed: &PosedFrames<'_>, model: &Model<'_>, window: ShiftWindow) -> Result<Vec<Match>> {
    let &PosedFrames { plane, weights, rotations, shifts, .. } = posed;
    model.check(plane)?;
    let grid = &Grid::new(plane);
    let twiddles = Twiddles::new(plane, window);
    let mut out = vec![Match::default(); rotations.len()];
    out.par_iter_mut().enumerate().with_min_len(8).for_each_init(
        || (model.view(grid), twiddles.scratch()),
        |(view, scratch), (i, best)| {
            let spectrum = posed.spectrum(posed.frame_of[i]);
            view.ellipse = posed.ellipse;
            model.place(grid, &rotations[i], shifts[i], view);
            model.project(grid, view);
            let mut power = 0.0;
            for ((p, x), &w) in view.image.iter_mut().zip(spectrum).zip(weights) {
                power += w * p.norm_sqr();
                *p = x * p.conj() * w;
            }
            twiddles.correlate(plane, &view.image, scratch);
            *best = twiddles.peak(scratch, power);
            best.shift = [best.shift[0] + shifts[i][0], best.shift[1] + shifts[i][1]];
        },
    );
    if out.iter().all(Match::is_finite) { Ok(out) } else { Err(model.unsound(posed, &[])) }
}

/// Refine the poses against atoms. Order is kept.
///
/// `depths` (px) are those of the particle at each pose, or none when all are 0.
///
/// # Errors
/// A model of another plane, depths of other poses, or poses that are not finite.
pub fn polish_to_model(
    posed: &PosedFrames<'_>,
    model: &Model<'_>,
    depths: &[f32],
    limits: PolishLimits,
) -> Result<Vec<Polished>> {
    let &PosedFrames { plane, weights, rotations, shifts, .. } = posed;
    model.check(plane)?;
    check_depths(depths, rotations.len())?;
    let grid = &Grid::new(plane);
    let m = plane.len();
    let mut out = vec![Polished::BLANK; rotations.len()];
    out.par_iter_mut().enumerate().for_each_init(
        || Work {
            view: model.view(grid),
            moments: vec![Complex32::default(); 3 * m],
            gradient: vec![[0.0; 5]; model.positions.len()],
        },
        |work, (i, result)| {
            let fit = Fit { spectrum: posed.spectrum(posed.frame_of[i]), grid, weights, model };
            work.view.ellipse = posed.ellipse;
            work.view.depth = depths.get(i).copied().unwrap_or(0.0);
            *result = fit.refine(rotations[i], shifts[i], limits, work);
        },
    );
    if out.iter().all(Polished::is_sound) {
        Ok(out)
    } else {
        Err(model.unsound(posed, &[("depths", &depths)]))
    }
}

/// Refuse depths that are neither none nor one for each pose, or not finite.
pub(super) fn check_depths(depths: &[f32], poses: usize) -> Result<()> {
    if !depths.is_empty() {
        agree("depths", depths.len(), poses)?;
    }
    check::finite("depths", depths)
}

struct Work {
    view: View,
    moments: Vec<Complex32>,
    gradient: Vec<[f32; 5]>,
}

/// One frame against the model.
struct Fit<'a> {
    spectrum: &'a [Complex32],
    grid: &'a Grid,
    weights: &'a [f32],
    model: &'a Model<'a>,
}

/// b = Re Σ w P* X and a = Σ w |P|².
#[derive(Clone, Copy)]
struct Agreement {
    overlap: f64,
    power: f64,
}

impl Agreement {
    fn log_likelihood_ratio(self) -> f64 {
        if self.power > 0.0 && self.overlap > 0.0 { self.overlap * self.overlap / self.power } else { 0.0 }
    }

    fn scale(self) -> f64 {
        (self.overlap / self.power).max(1e-6)
    }
}

impl Fit<'_> {
    /// Image at a pose and its agreement with the frame.
    fn evaluate(&self, r: &Rotation, t: [f32; 2], view: &mut View) -> Agreement {
        self.model.place(self.grid, r, t, view);
        self.model.project(self.grid, view);
        let [overlap, power] = self.frame().agreement(&view.image, 0.0);
        Agreement { overlap, power }
    }

    fn frame(&self) -> Frame<'_> {
        Frame { spectrum: self.spectrum, weights: self.weights, gain: 1.0 }
    }

    /// Re Σ w (X − s P)* ∂P by (lx, ly, lz, tx, ty); leaves the weighted residual in `view.image`.
    fn gradient(&self, scale: f64, work: &mut Work) -> SVector<f64, 5> {
        self.frame().residual(&mut work.view.image, scale as f32, 0.0);
        work.gradient.fill([0.0; 5]);
        self.model.pull_back(self.grid, &mut work.view, (1.0 / scale) as f32, &mut work.gradient);
        let mut out = SVector::zeros();
        for (g, x) in work.gradient.iter().zip(&work.view.lab) {
            let [x, g] = [[x[0], x[1], x[2]], [g[0], g[1], g[2]]].map(|v| v.map(f64::from));
            out[0] += x[1] * g[2] - x[2] * g[1];
            out[1] += x[2] * g[0] - x[0] * g[2];
            out[2] += x[0] * g[1] - x[1] * g[0];
            out[3] += g[0];
            out[4] += g[1];
        }
        // U turns with the particle: ∂/∂l of tr(G U) is 2 Σ_ij ε_ijl (U G)_ij, G without its z row and column.
        for (by, u) in work.view.by_tensor.iter().zip(&work.view.tensors) {
            let (by, u) = (by.map(f64::from), u.map(f64::from));
            let product = |along: [f64; 2]| {
                [along[0] * by[0] + along[1] * 0.5 * by[2], along[0] * 0.5 * by[2] + along[1] * by[1]]
            };
            let (x, y, z) = (product([u[0], u[3]]), product([u[3], u[1]]), product([u[4], u[5]]));
            out[0] -= 2.0 * z[1];
            out[1] += 2.0 * z[0];
            out[2] += 2.0 * (x[1] - y[0]);
        }
        out
    }

    /// Re Σ w ∂P* ∂P without what the scale can take up.
    fn normal(&self, work: &mut Work) -> SMatrix<f64, 5, 5> {
        self.model.moments(self.grid, &mut work.view, &mut work.moments);
        let m = self.grid.plane.len();
        let moments = |axis: usize| &work.moments[axis * m..(axis + 1) * m];
        let turning = Turning {
            frequencies: self.grid.frequencies.each_ref().map(Vec::as_slice),
            filter: &self.model.filters[..m],
            weights: self.weights,
            waves: [&work.view.waves[..m], moments(0), moments(1), moments(2)],
        };
        let products = turning.products(TAU / self.grid.plane.size as f64);
        let full = SMatrix::<f64, 6, 6>::from_fn(|a, b| products[a][b]);
        let with_image = full.fixed_view::<5, 1>(0, 5).into_owned();
        let square = full.fixed_view::<5, 5>(0, 0).into_owned();
        square - with_image * with_image.transpose() / full[(5, 5)].max(1e-30)
    }

    fn refine(
        &self,
        start: Rotation,
        start_shift: [f32; 2],
        limits: PolishLimits,
        work: &mut Work,
    ) -> Polished {
        let (mut r, mut t) = (start, start_shift);
        let mut at = self.evaluate(&r, t, &mut work.view);
        let mut hessian = self.normal(work);
        let detail = 2.0 * PI * self.grid.plane.max_shell as f32 / self.grid.plane.size as f32;
        let extent =
            self.model.positions.iter().map(|x| x.iter().map(|v| v * v).sum::<f32>()).fold(1.0, f32::max);
        let mut damping = 1e-3;
        let mut gradient = self.gradient(at.scale(), work);
        let mut count = 0;
        while count < limits.iterations && at.power > 0.0 && damping < 1e5 {
            let mut damped = hessian;
            for a in 0..5 {
                damped[(a, a)] += damping * hessian[(a, a)].max(1e-12);
            }
            let Some(step) = damped.cholesky().map(|c| c.solve(&gradient) / at.scale()) else {
                damping *= 10.0;
                continue;
            };
            let promise = step.dot(&gradient) * at.scale();
            let next_r = rotate([step[0] as f32, step[1] as f32, step[2] as f32], &r);
            let next_t = [t[0] + step[3] as f32, t[1] + step[4] as f32];
            let moved = (next_t[0] - start_shift[0]).hypot(next_t[1] - start_shift[1]);
            if angle_between(&next_r, &start) > limits.max_turn || moved > limits.max_shift {
                if promise < SETTLED {
                    break;
                }
                damping *= 10.0;
                continue;
            }
            if promise < SETTLED {
                // Taken all the same: a strain of the particle by one standard error changes each pose by far less
                // than the pose's own error, and all of them together by as much as the strain.
                (r, t) = (next_r, next_t);
                break;
            }
            count += 1;
            let next = self.evaluate(&next_r, next_t, &mut work.view);
            if next.log_likelihood_ratio() <= at.log_likelihood_ratio() {
                damping *= 10.0;
                continue;
            }
            let (turn, push) = (step.rows(0, 3).norm() as f32, step.rows(3, 2).norm() as f32);
            (r, t, at) = (next_r, next_t, next);
            damping = (damping * 0.2).max(1e-6);
            if (turn < 1e-4 && push < 1e-3) || count == limits.iterations {
                break;
            }
            if detail * (turn * extent.sqrt() + push) > RENEW {
                hessian = self.normal(work);
            }
            gradient = self.gradient(at.scale(), work);
        }
        let mut error = [f32::INFINITY; 5];
        if at.power > 0.0
            && at.overlap > 0.0
            && let Some(inverse) = (hessian * (2.0 * at.scale() * at.scale())).try_inverse()
        {
            // −log L = Σ w |residual|² on the half plane: its second derivative is 2 s² times the matrix.
            error = std::array::from_fn(|a| inverse[(a, a)].max(0.0).sqrt() as f32);
        }
        Polished { rotation: r, shift: t, overlap: at.overlap as f32, power: at.power as f32, error }
    }
}

/// Derivatives of the first channel's image by (lx, ly, lz, tx, ty) and by the logarithm of the scale.
pub(super) struct Derivatives<'a> {
    grid: &'a Grid,
    filter: &'a [f32],
    waves: &'a [Complex32],
    moments: &'a [Complex32],
}

impl<'a> Derivatives<'a> {
    pub(super) fn new(grid: &'a Grid, model: &Model<'a>, view: &'a View, moments: &'a [Complex32]) -> Self {
        let m = grid.plane.len();
        Self { grid, filter: &model.filters[..m], waves: &view.waves[..m], moments }
    }

    /// The six derivatives at packed index `at` with frequency (kx, ky).
    #[inline(always)]
    pub(super) fn at(&self, at: usize, kx: f32, ky: f32) -> [Complex32; 6] {
        let m = self.waves.len();
        let (s, sx, sy, sz) =
            (self.waves[at], self.moments[at], self.moments[m + at], self.moments[2 * m + at]);
        let f = self.filter[at];
        let unit = 2.0 * PI / self.grid.plane.size as f32 * f;
        let minus_i = |z: Complex32| Complex32::new(z.im * unit, -z.re * unit);
        let (dz, dx) = (minus_i(sz), minus_i(s));
        [dz * -ky, dz * kx, minus_i(sx * ky - sy * kx), dx * kx, dx * ky, s * f]
    }

    /// Those by the ellipse of the magnification, which moves (x, y) by e₁ (x, −y) + e₂ (y, x), as `at` gives its own.
    #[inline(always)]
    pub(super) fn ellipse(&self, at: usize, kx: f32, ky: f32) -> [Complex32; 2] {
        let (sx, sy) = (self.moments[at], self.moments[self.waves.len() + at]);
        let unit = 2.0 * PI / self.grid.plane.size as f32 * self.filter[at];
        let minus_i = |z: Complex32| Complex32::new(z.im * unit, -z.re * unit);
        [minus_i(sx * kx - sy * ky), minus_i(sy * kx + sx * ky)]
    }
}
