//! Normal matrix of all positions, with what unknown poses take away, and its factor.
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

use super::atoms::{Model, View};
use super::grid::Grid;
use super::pose::Derivatives;
use crate::check::{self, Argument, accept, agree, all_finite};
use crate::error::{Error, Result};
use crate::fourier::HalfPlane;
use crate::volume::Rotation;
use nalgebra::SMatrix;
use num_complex::Complex32;
use rayon::prelude::*;

/// Frames whose couplings are subtracted together.
const BATCH: usize = 24;
/// Columns factored together.
const PANEL: usize = 48;

/// Views summed at a time.
const LANES: usize = 8;

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
///
/// # Errors
/// A matrix, a model or information that do not fit each other, or couplings that are not finite.
pub fn subtract_poses(
    matrix: &mut [f64],
    plane: &HalfPlane,
    model: &Model<'_>,
    rotations: &[Rotation],
    information: &[f32],
) -> Result<()> {
    model.check(plane)?;
    agree("matrix", matrix.len(), (3 * model.positions.len()).pow(2))?;
    agree("information", information.len(), plane.len())?;
    check::none_negative("information", information)?;
    check::rotations("rotations", rotations)?;
    let grid = &Grid::new(plane);
    let width = 3 * model.positions.len();
    for batch in rotations.chunks(BATCH) {
        let rows: Vec<f32> = batch
            .par_iter()
            .map_init(
                || (model.view(grid), vec![Complex32::default(); 3 * grid.plane.len()]),
                |(view, moments), r| couplings(grid, model, r, information, view, moments),
            )
            .flatten_iter()
            .collect();
        matrix.par_chunks_mut(width).enumerate().for_each(|(i, line)| {
            let line = &mut line[..=i];
            for group in rows.chunks(6 * width) {
                let row = |a: usize| &group[a * width..a * width + i + 1];
                let (r0, r1, r2, r3, r4, r5) = (row(0), row(1), row(2), row(3), row(4), row(5));
                let f = [r0[i], r1[i], r2[i], r3[i], r4[i], r5[i]];
                for j in 0..=i {
                    let sum = (f[0] * r0[j] + f[1] * r1[j])
                        + (f[2] * r2[j] + f[3] * r3[j])
                        + (f[4] * r4[j] + f[5] * r5[j]);
                    line[j] -= f64::from(sum);
                }
            }
        });
    }
    let arguments: [(&'static str, &dyn Argument); 3] =
        [("information", &information), ("heights", &model.heights), ("filters", &model.filters)];
    if all_finite(matrix) { Ok(()) } else { Err(check::unsound(&arguments)) }
}

/// Six rows L⁻¹ C of one frame, M = L Lᵀ.
fn couplings(
    grid: &Grid,
    model: &Model<'_>,
    r: &Rotation,
    information: &[f32],
    view: &mut View,
    moments: &mut [Complex32],
) -> Vec<f32> {
    let (n, m) = (model.positions.len(), grid.plane.len());
    model.place(grid, r, [0.0; 2], view);
    model.project(grid, view);
    model.moments(grid, view, moments);
    let derivatives = Derivatives::new(grid, model, view, moments);
    let square = derivatives.products(information);
    let mut columns = vec![Complex32::default(); 6 * m];
    for row in &grid.plane.rows {
        for i in 0..row.len {
            let at = row.start + i;
            let d = derivatives.at(at, (row.first + i as i32) as f32, row.ky as f32);
            let w = information[at] * model.filters[at];
            for a in 0..6 {
                columns[a * m + at] = d[a] * w;
            }
        }
    }
    let mut full = SMatrix::<f64, 6, 6>::zeros();
    // A pose along which nothing changes (one atom, say) must not stop the rest.
    for a in 0..6 {
        full[(a, a)] = 1e-9 * square[(a, a)] + 1e-30;
    }
    let Some(factor) = (square + full).cholesky() else {
        return vec![0.0; 6 * 3 * n];
    };
    let inverse = factor.l().try_inverse().unwrap_or_else(SMatrix::zeros);
    let mut out = vec![0.0f32; 6 * 3 * n];
    for a in 0..6 {
        grid.adjoint(&columns[a * m..(a + 1) * m], &view.spots, &mut view.memory);
        for (i, spot) in view.spots.iter().enumerate() {
            let [_, x, y] = grid.gather(spot, &view.memory).map(|v| v * model.heights[i]);
            for b in a..6 {
                let factor = inverse[(b, a)] as f32;
                for c in 0..3 {
                    out[b * 3 * n + 3 * i + c] += factor * (x * r[0][c] + y * r[1][c]);
                }
            }
        }
    }
    out
}

/// Cholesky factor of a symmetric matrix given by its lower triangle, in place.
///
/// # Errors
/// A matrix that is no square of n rows, not finite or not positive definite.
pub fn factorise(matrix: &mut [f64], n: usize) -> Result<()> {
    square("matrix", matrix, n)?;
    check::finite("matrix", matrix)?;
    for start in (0..n).step_by(PANEL) {
        let end = (start + PANEL).min(n);
        for i in start..end {
            let (above, rest) = matrix.split_at_mut(i * n);
            let row = &mut rest[..n];
            for j in start..=i {
                let other = if j < i { &above[j * n..j * n + j] } else { &[] };
                if j < i {
                    row[j] = (row[j] - dot(&row[start..j], &other[start..j])) / above[j * n + j];
                } else {
                    let pivot = row[i] - dot(&row[start..i], &row[start..i]);
                    if pivot.is_nan() || pivot <= 0.0 {
                        return Err(Error::bad_input(
                            "matrix",
                            format!("not positive definite at row {i}"),
                            "the atoms must be determined by the frames",
                        ));
                    }
                    row[i] = pivot.sqrt();
                }
            }
        }
        let (done, below) = matrix.split_at_mut(end * n);
        let panel = &done[start * n..];
        below.par_chunks_mut(n).for_each(|row| {
            for j in start..end {
                let other = &panel[(j - start) * n..(j - start + 1) * n];
                row[j] = (row[j] - dot(&row[start..j], &other[start..j])) / other[j];
            }
        });
        // The trailing rows lose the panel's share; each row needs the panel part of the rows above it.
        let shares: Vec<f64> = below.chunks(n).flat_map(|row| row[start..end].iter().copied()).collect();
        let width = end - start;
        below.par_chunks_mut(n).enumerate().for_each(|(i, row)| {
            let mine = &shares[i * width..(i + 1) * width];
            for (j, other) in shares.chunks(width).take(i + 1).enumerate() {
                row[end + j] -= dot(mine, other);
            }
        });
    }
    Ok(())
}

/// Refuse what is no square matrix of n rows.
fn square(name: &'static str, values: &[f64], n: usize) -> Result<()> {
    accept(name, "empty", n > 0, "at least one row is needed")?;
    agree(name, values.len(), n * n)
}

/// Refuse what is no Cholesky factor.
fn check_factor(factor: &[f64], n: usize) -> Result<()> {
    square("factor", factor, n)?;
    let positive = |i: usize| factor[i * n + i] > 0.0;
    match (0..n).find(|&i| !positive(i)) {
        None => Ok(()),
        Some(i) => {
            let given = format!("{} on its diagonal at row {i}", factor[i * n + i]);
            Err(Error::bad_input("factor", given, "a Cholesky factor has positive numbers there"))
        }
    }
}

/// Solve L Lᵀ x = b for each right side (rows of n).
///
/// # Errors
/// What is no Cholesky factor, sides of other lengths, or solutions that are not finite.
pub fn solve(factor: &[f64], n: usize, sides: &mut [f64]) -> Result<()> {
    check_factor(factor, n)?;
    agree("sides", sides.len(), sides.len() / n * n)?;
    check::finite("sides", sides)?;
    sides.par_chunks_mut(n).for_each(|x| {
        for i in 0..n {
            let row = &factor[i * n..i * n + i];
            x[i] = (x[i] - dot(row, &x[..i])) / factor[i * n + i];
        }
        for i in (0..n).rev() {
            x[i] /= factor[i * n + i];
            let (value, row) = (x[i], &factor[i * n..i * n + i]);
            x[..i].iter_mut().zip(row).for_each(|(v, l)| *v -= value * l);
        }
    });
    if all_finite(sides) { Ok(()) } else { Err(check::unsound(&[("factor", &factor)])) }
}

/// 3 × 3 diagonal blocks of (L Lᵀ)⁻¹, n/3 times nine numbers.
///
/// # Errors
/// What is no Cholesky factor of three rows for each block, or blocks that are not finite.
pub fn inverse_blocks(factor: &[f64], n: usize) -> Result<Vec<f64>> {
    check_factor(factor, n)?;
    accept("factor", format!("of {n} rows"), n.is_multiple_of(3), "three for each atom are needed")?;
    let mut out = vec![0.0; 3 * n];
    out.par_chunks_mut(9).enumerate().for_each(|(a, block)| {
        // Columns of L⁻¹ start at their own row: (L Lᵀ)⁻¹ = L⁻ᵀ L⁻¹ is their products.
        let first = 3 * a;
        let mut columns = [vec![0.0; n - first], vec![0.0; n - first], vec![0.0; n - first]];
        for (c, column) in columns.iter_mut().enumerate() {
            for i in first + c..n {
                let row = &factor[i * n + first..i * n + i];
                let unit = f64::from(u8::from(i == first + c));
                column[i - first] = (unit - dot(row, &column[..i - first])) / factor[i * n + i];
            }
        }
        for i in 0..3 {
            for j in 0..3 {
                block[3 * i + j] = dot(&columns[i], &columns[j]);
            }
        }
    });
    if all_finite(&out) { Ok(out) } else { Err(check::unsound(&[("factor", &factor)])) }
}

/// Σ a b in four lanes.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 4];
    let (first, rest_a) = a.as_chunks::<4>();
    let (second, rest_b) = b.as_chunks::<4>();
    for (x, y) in first.iter().zip(second) {
        for l in 0..4 {
            lanes[l] += x[l] * y[l];
        }
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(x, y)| x * y).sum();
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest
}
