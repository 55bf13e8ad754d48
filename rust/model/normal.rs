//! Normal matrix of all positions, with what unknown poses take away.
//!
//! The information about positions x_a, x_b from frames at rotations R_i, summed over frequencies, depends on the
//! projected distance d = (R_i (x_a − x_b))_xy only, when weights and filters are round:
//!
//! ```text
//! H_ab = h_a h_b Σ_i Rxyᵀ [u(d) 1 + v(d) d̂ d̂ᵀ] Rxy,    u = −T′/d,  v = T′/d − T″,  T(d) = Σ_k I(k) cos(2πk·d/N)
//! ```
//!
//! Each frame's six unknowns (three turns, two shifts, the scale) have columns C_i against the positions and the matrix
//! M_i among themselves; with them free the information is the Schur complement H − Σ_i C_i M_i⁻¹ C_iᵀ. Sums over
//! rotations are smooth, so a sample of the frames is enough for both.
//!
//! All frames share the magnification of the microscope. Its ellipse moves what stands at (x, y) in the image by
//! e₁ (x, −y) + e₂ (y, x); [`Ellipse`] is how these two numbers stand to each other and to the positions, with the poses
//! free.

use super::atoms::{Model, View};
use super::grid::Grid;
use super::pose::Derivatives;
use crate::check::{self, Argument, accept, agree, all_finite};
use crate::error::Result;
use crate::fourier::HalfPlane;
use crate::lanes::{LANES, Lanes, in_lanes};
use crate::volume::Rotation;
use nalgebra::SMatrix;
use num_complex::Complex32;
use rayon::prelude::*;

/// Frames whose couplings are subtracted together.
const BATCH: usize = 24;

/// Columns of the matrix that are summed together.
const COLUMNS: usize = 32;

/// As many views, element by element; places without one count nothing.
struct ViewBlock {
    r: [[[f32; LANES]; 3]; 3],
    counted: [f32; LANES],
}

impl ViewBlock {
    fn of(views: &[Rotation]) -> Self {
        let element = |i: usize, c: usize| std::array::from_fn(|l| views.get(l).map_or(0.0, |r| r[i][c]));
        Self {
            r: std::array::from_fn(|i| std::array::from_fn(|c| element(i, c))),
            counted: std::array::from_fn(|l| if l < views.len() { 1.0 } else { 0.0 }),
        }
    }
}

/// u and v at distances 0, `step`, 2 `step`, … px.
#[derive(Debug, Clone, Copy)]
pub struct PairTable<'a> {
    values: &'a [[f32; 2]],
    step: f32,
}

impl<'a> PairTable<'a> {
    /// (u, v) at multiples of `step` px.
    ///
    /// # Errors
    /// Fewer than three distances, values that are not finite, or a step that is none.
    pub fn new(values: &'a [[f32; 2]], step: f32) -> Result<Self> {
        accept("table", format!("of {} rows", values.len()), values.len() > 2, "at least 3 are needed")?;
        check::finite("table", values.as_flattened())?;
        check::positive("step", step)?;
        Ok(Self { values, step })
    }
}

/// Lower triangle of H, (3n × 3n), row by row, for frames at `rotations` with known poses.
///
/// # Errors
/// Matrices that are no rotations, more atoms than the memory has room for, or information that is not finite.
pub fn pair_matrix(model: &Model<'_>, rotations: &[Rotation], table: PairTable<'_>) -> Result<Vec<f64>> {
    check::rotations("rotations", rotations)?;
    let (positions, heights) = (model.positions, model.heights);
    let n = positions.len();
    check::room("positions", format!("of {n} atoms"), 72.0 * (n as f64).powi(2))?;
    let mut out = vec![0.0f64; 9 * n * n];
    let views: Vec<ViewBlock> = rotations.chunks(LANES).map(ViewBlock::of).collect();
    out.par_chunks_mut(9 * n).enumerate().for_each(|(a, rows)| {
        for b in 0..=a {
            let d: [f32; 3] = std::array::from_fn(|c| positions[a][c] - positions[b][c]);
            let sum = pair_sums(d, &views, table);
            let weight = f64::from(heights[a] * heights[b]);
            for (slot, (i, j)) in SLOTS.into_iter().enumerate() {
                rows[i * 3 * n + 3 * b + j] = weight * sum[slot];
                rows[j * 3 * n + 3 * b + i] = weight * sum[slot];
            }
        }
    });
    let arguments: [(&'static str, &dyn Argument); 2] =
        [("heights", &heights), ("table", &table.values.as_flattened())];
    if all_finite(&out) { Ok(out) } else { Err(check::unsound(&arguments)) }
}

/// Unknowns of one frame: three turns, two shifts, the scale.
const POSE: usize = 6;
/// These, and e₁ and e₂.
const ALL: usize = POSE + 2;

/// Information about the ellipse of the magnification with the poses free.
#[derive(Debug, Clone)]
pub struct Ellipse {
    /// Of (e₁, e₂) against the positions, two rows of 3n, 1/px.
    pub coupling: Vec<f64>,
    /// Among themselves.
    pub square: [f64; 4],
}

/// xx, xy, xz, yy, yz, zz of the information about a distance `d`, over all views, in lanes as wide as the machine has.
fn pair_sums(d: [f32; 3], views: &[ViewBlock], table: PairTable<'_>) -> [f64; 6] {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function was compiled for.
        return unsafe { pair_sums_avx2(d, views, table) };
    }
    pair_sums_baseline(d, views, table)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn pair_sums_avx2(d: [f32; 3], views: &[ViewBlock], table: PairTable<'_>) -> [f64; 6] {
    pair_sums_baseline(d, views, table)
}

/// Nothing is fused, so the numbers are the same to the last bit.
#[inline(always)]
fn pair_sums_baseline(d: [f32; 3], views: &[ViewBlock], table: PairTable<'_>) -> [f64; 6] {
    let (last, per_step) = ((table.values.len() - 2) as f32, 1.0 / table.step);
    let mut sums = [[0.0f32; LANES]; 6];
    for view in views {
        let r = &view.r;
        let (mut x, mut y) = ([0.0f32; LANES], [0.0f32; LANES]);
        let (mut square, mut share, mut index) = ([0.0f32; LANES], [0.0f32; LANES], [0i32; LANES]);
        for l in 0..LANES {
            x[l] = r[0][0][l] * d[0] + r[0][1][l] * d[1] + r[0][2][l] * d[2];
            y[l] = r[1][0][l] * d[0] + r[1][1][l] * d[1] + r[1][2][l] * d[2];
            square[l] = x[l] * x[l] + y[l] * y[l];
            let at = (square[l].sqrt() * per_step).min(last);
            index[l] = at as i32;
            share[l] = at - index[l] as f32;
        }
        let low = index.map(|i| table.values[i as usize]);
        let high = index.map(|i| table.values[i as usize + 1]);
        for l in 0..LANES {
            let between = |i: usize| view.counted[l] * (low[l][i] + share[l] * (high[l][i] - low[l][i]));
            let (u, v) = (between(0), between(1) / square[l].max(1e-12));
            let q: [f32; 3] = std::array::from_fn(|c| x[l] * r[0][c][l] + y[l] * r[1][c][l]);
            for (slot, (i, j)) in SLOTS.into_iter().enumerate() {
                let plane = f32::from(u8::from(i == j)) - r[2][i][l] * r[2][j][l];
                sums[slot][l] += u * plane + v * q[i] * q[j];
            }
        }
    }
    sums.map(|lanes| lanes.iter().map(|&v| f64::from(v)).sum())
}

/// Elements of a symmetric 3 × 3 matrix.
const SLOTS: [(usize, usize); 6] = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)];

/// Subtract Σ_i C_i M_i⁻¹ C_iᵀ from the lower triangle of `matrix`; `information` weighs the frequencies of each frame.
/// What the same frames say of the ellipse is returned.
///
/// # Errors
/// A matrix, a model or information that do not fit each other, or couplings that are not finite.
pub fn subtract_poses(
    matrix: &mut [f64],
    plane: &HalfPlane,
    model: &Model<'_>,
    rotations: &[Rotation],
    information: &[f32],
) -> Result<Ellipse> {
    model.check(plane)?;
    agree("matrix", matrix.len(), (3 * model.positions.len()).pow(2))?;
    agree("information", information.len(), plane.len())?;
    check::none_negative("information", information)?;
    check::rotations("rotations", rotations)?;
    let grid = &Grid::new(plane);
    let width = 3 * model.positions.len();
    let whole = width.next_multiple_of(COLUMNS);
    let mut ellipse = Ellipse { coupling: vec![0.0; 2 * width], square: [0.0; 4] };
    for batch in rotations.chunks(BATCH) {
        let parts: Vec<(Vec<f32>, [f64; 4])> = batch
            .par_iter()
            .map_init(
                || (model.view(grid), vec![Complex32::default(); 3 * grid.plane.len()]),
                |(view, moments), r| couplings(grid, model, r, information, view, moments),
            )
            .collect();
        for (rows, square) in &parts {
            ellipse.square.iter_mut().zip(square).for_each(|(sum, v)| *sum += v);
            for (sums, row) in
                ellipse.coupling.chunks_exact_mut(width).zip(rows[POSE * whole..].chunks_exact(whole))
            {
                sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += f64::from(*v));
            }
        }
        let taken =
            Taken { frames: parts.iter().map(|(rows, _)| &rows[..POSE * whole]).collect(), width: whole };
        matrix.par_chunks_mut(width).enumerate().for_each(|(i, line)| taken.subtract(&mut line[..=i]));
    }
    let arguments: [(&'static str, &dyn Argument); 3] =
        [("information", &information), ("heights", &model.heights), ("filters", &model.filters)];
    if all_finite(matrix) && all_finite(&ellipse.coupling) {
        Ok(ellipse)
    } else {
        Err(check::unsound(&arguments))
    }
}

/// The six rows B of each of some frames, all of `width` numbers.
struct Taken<'a> {
    frames: Vec<&'a [f32]>,
    width: usize,
}

impl Taken<'_> {
    in_lanes! {
        /// Subtract row `line.len()` − 1 of Σ_i B_iᵀ B_i.
        fn subtract = subtract_on for Taken<'_>, (line: &mut [f64])
    }

    #[inline(always)]
    fn subtract_on<L: Lanes>(&self, line: &mut [f64]) {
        let own = line.len() - 1;
        for (block, values) in line.chunks_mut(COLUMNS).enumerate() {
            let mut sums = [0.0f64; COLUMNS];
            // Single precision holds the sum over two frames, double that over all.
            for frames in self.frames.chunks(2) {
                let mut part = [L::splat(0.0); COLUMNS / LANES];
                for frame in frames {
                    for row in frame.chunks_exact(self.width) {
                        let (factor, others) = (L::splat(row[own]), &row[block * COLUMNS..][..COLUMNS]);
                        for (part, others) in part.iter_mut().zip(others.as_chunks::<LANES>().0) {
                            *part = factor.times_plus(L::load(others), *part);
                        }
                    }
                }
                for (part, sums) in part.iter().zip(sums.as_chunks_mut::<LANES>().0) {
                    let mut eight = [0.0; LANES];
                    part.store(&mut eight);
                    for l in 0..LANES {
                        sums[l] += f64::from(eight[l]);
                    }
                }
            }
            values.iter_mut().zip(&sums).for_each(|(value, sum)| *value -= sum);
        }
    }
}

/// Six rows L⁻¹ C of one frame, M = L Lᵀ, and after them the two rows of the ellipse less what the pose takes up, each
/// followed by zeros to a multiple of `COLUMNS`; then the same of the ellipse against itself.
fn couplings(
    grid: &Grid,
    model: &Model<'_>,
    r: &Rotation,
    information: &[f32],
    view: &mut View,
    moments: &mut [Complex32],
) -> (Vec<f32>, [f64; 4]) {
    let m = grid.plane.len();
    let width = (3 * model.positions.len()).next_multiple_of(COLUMNS);
    model.place(grid, r, [0.0; 2], view);
    model.project(grid, view);
    model.moments(grid, view, moments);
    let derivatives = Derivatives::new(grid, model, view, moments);
    let mut columns = vec![Complex32::default(); ALL * m];
    let mut square = SMatrix::<f64, ALL, ALL>::zeros();
    for row in &grid.plane.rows {
        // Sums of one row in f32 (at most a few dozen terms), rows in f64.
        let mut sum = [[0.0f32; ALL]; ALL];
        for i in 0..row.len {
            let at = row.start + i;
            let (kx, ky) = ((row.first + i as i32) as f32, row.ky as f32);
            let d: [Complex32; ALL] = {
                let (pose, shared) = (derivatives.at(at, kx, ky), derivatives.ellipse(at, kx, ky));
                std::array::from_fn(|a| if a < POSE { pose[a] } else { shared[a - POSE] })
            };
            let w = information[at];
            for a in 0..ALL {
                columns[a * m + at] = d[a] * w;
                let (re, im) = (w * d[a].re, w * d[a].im);
                for b in a..ALL {
                    sum[a][b] += re * d[b].re + im * d[b].im;
                }
            }
        }
        for a in 0..ALL {
            for b in a..ALL {
                square[(a, b)] += f64::from(sum[a][b]);
            }
        }
    }
    square.fill_lower_triangle_with_upper_triangle();
    let mut pose = square.fixed_view::<POSE, POSE>(0, 0).into_owned();
    // A pose along which nothing changes (one atom, say) must not stop the rest.
    for a in 0..POSE {
        pose[(a, a)] += 1e-9 * pose[(a, a)] + 1e-30;
    }
    let Some(factor) = pose.cholesky() else {
        return (vec![0.0; ALL * width], [0.0; 4]);
    };
    // Rows of the result by columns of the frame: L⁻¹ of the pose, and (−M_e M⁻¹, 1) of the ellipse.
    let mut mix = SMatrix::<f64, ALL, ALL>::identity();
    mix.fixed_view_mut::<POSE, POSE>(0, 0)
        .copy_from(&factor.l().try_inverse().unwrap_or_else(SMatrix::zeros));
    let answer = factor.solve(&square.fixed_view::<POSE, 2>(0, POSE).into_owned());
    mix.fixed_view_mut::<2, POSE>(POSE, 0).copy_from(&-answer.transpose());
    let rest = square.fixed_view::<2, 2>(POSE, POSE) - square.fixed_view::<2, POSE>(POSE, 0) * answer;
    let mut out = vec![0.0f32; ALL * width];
    for a in 0..ALL {
        let column = &columns[a * m..(a + 1) * m];
        grid.adjoint(column, &model.filters[..m], &view.places, &mut view.memory, &mut view.found);
        for (i, (found, &h)) in view.found.iter().zip(model.heights).enumerate() {
            let [x, y] = [h * found[1], h * found[2]];
            for b in a..ALL {
                let factor = mix[(b, a)] as f32;
                for c in 0..3 {
                    out[b * width + 3 * i + c] += factor * (x * r[0][c] + y * r[1][c]);
                }
            }
        }
    }
    (out, [rest[(0, 0)], rest[(0, 1)], rest[(1, 0)], rest[(1, 1)]])
}
