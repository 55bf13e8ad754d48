//! Cholesky factor of a normal matrix, what is solved with it, and the diagonal blocks of its inverse.
//!
//! All three are products of a few rows by a block of columns, which stay in registers. Sums are in a fixed order, so that
//! any number of threads gives the same factor to the last bit.

use crate::check::{self, accept, agree, all_finite};
use crate::error::{Error, Result};
#[cfg(target_arch = "x86_64")]
use crate::lanes::wide;
use rayon::prelude::*;
use std::ops::Range;

/// Columns factored together.
const PANEL: usize = 96;

/// Rows and columns of a product that the registers hold.
const ROWS: usize = 4;
const COLUMNS: usize = 12;

/// Rows that one task takes a panel's share from.
const TASK: usize = 64;

/// One row of a block of columns.
type Line = [f64; COLUMNS];

/// Σ_k rows_r(k) columns_c(k); the rows are as long as the columns.
#[inline(always)]
fn products<const FUSED: bool>(rows: [&[f64]; ROWS], columns: &[Line]) -> [Line; ROWS] {
    let mut sums = [[0.0; COLUMNS]; ROWS];
    let [a, b, c, d] = rows.map(|row| &row[..columns.len()]);
    for (k, line) in columns.iter().enumerate() {
        for (sums, factor) in sums.iter_mut().zip([a[k], b[k], c[k], d[k]]) {
            for (sum, &value) in sums.iter_mut().zip(line) {
                *sum = if FUSED { factor.mul_add(value, *sum) } else { *sum + factor * value };
            }
        }
    }
    sums
}

/// A function of a type of product, in the registers that the processor has.
macro_rules! in_registers {
    ($(#[$doc:meta])* fn $name:ident = $of:ident($($arg:ident: $kind:ty),* $(,)?)) => {
        $(#[$doc])*
        fn $name($($arg: $kind),*) {
            #[cfg(target_arch = "x86_64")]
            if wide() {
                #[target_feature(enable = "avx2,fma")]
                fn in_avx($($arg: $kind),*) {
                    $of::<true>($($arg),*)
                }
                // SAFETY: the processor has what the function was compiled for.
                return unsafe { in_avx($($arg),*) };
            }
            $of::<false>($($arg),*)
        }
    };
}

/// Cholesky factor of a symmetric matrix given by its lower triangle, in place of that; the upper one means nothing.
///
/// # Errors
/// A matrix that is no square of n rows, not finite or not positive definite; the lower triangle is as it was then.
pub fn factorise(matrix: &mut [f64], n: usize) -> Result<()> {
    square("matrix", matrix, n)?;
    check::finite("matrix", matrix)?;
    // The upper triangle keeps what the lower one was.
    let diagonal: Vec<f64> = (0..n).map(|i| matrix[i * n + i]).collect();
    mirror(n, |i, j| matrix[j * n + i] = matrix[i * n + j]);
    let done = factorise_lower(matrix, n);
    if done.is_err() {
        mirror(n, |i, j| matrix[i * n + j] = matrix[j * n + i]);
        (0..n).for_each(|i| matrix[i * n + i] = diagonal[i]);
    }
    done
}

/// Call `each`(i, j) for all j < i, in tiles that lie together.
fn mirror(n: usize, mut each: impl FnMut(usize, usize)) {
    for rows in (0..n).step_by(TASK) {
        for columns in (0..=rows).step_by(TASK) {
            for i in rows..n.min(rows + TASK) {
                (columns..i.min(columns + TASK)).for_each(|j| each(i, j));
            }
        }
    }
}

fn factorise_lower(matrix: &mut [f64], n: usize) -> Result<()> {
    for start in (0..n).step_by(PANEL) {
        let end = (start + PANEL).min(n);
        for i in start..end {
            let (above, rest) = matrix.split_at_mut(i * n);
            let row = &mut rest[..n];
            for j in start..i {
                let other = &above[j * n..=j * n + j];
                row[j] = (row[j] - dot(&row[start..j], &other[start..j])) / other[j];
            }
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
        let (done, below) = matrix.split_at_mut(end * n);
        let panel = &done[start * n..];
        below.par_chunks_mut(n).for_each(|row| {
            for j in start..end {
                let other = &panel[(j - start) * n..(j - start + 1) * n];
                row[j] = (row[j] - dot(&row[start..j], &other[start..j])) / other[j];
            }
        });
        // The trailing rows lose the panel's share; each row needs the panel part of the rows above it, as columns.
        let width = end - start;
        let mut shares = vec![[0.0; COLUMNS]; (n - end).div_ceil(COLUMNS) * width];
        shares.par_chunks_mut(width).zip(below.par_chunks(COLUMNS * n)).for_each(|(block, rows)| {
            for (c, row) in rows.chunks_exact(n).enumerate() {
                block.iter_mut().zip(&row[start..end]).for_each(|(line, &v)| line[c] = v);
            }
        });
        below.par_chunks_mut(TASK * n).enumerate().for_each(|(task, rows)| {
            take_share(rows, TASK * task, start..end, n, &shares);
        });
    }
    Ok(())
}

in_registers! {
    /// Subtract from rows of `n`, the first of which is number `first` after the panel, the products of their own columns
    /// of the panel with those of the rows above them.
    fn take_share = take_share_of(rows: &mut [f64], first: usize, panel: Range<usize>, n: usize, shares: &[Line])
}

#[inline(always)]
fn take_share_of<const FUSED: bool>(
    rows: &mut [f64],
    first: usize,
    panel: Range<usize>,
    n: usize,
    shares: &[Line],
) {
    let last = first + rows.len() / n - 1;
    for (block, shares) in shares.chunks_exact(panel.len()).enumerate().take(last / COLUMNS + 1) {
        for (group, rows) in rows.chunks_mut(ROWS * n).enumerate() {
            let count = rows.len() / n;
            let of = |r: usize| &rows[r.min(count - 1) * n..][panel.clone()];
            let sums = products::<FUSED>([of(0), of(1), of(2), of(3)], shares);
            for (r, (row, sums)) in rows.chunks_exact_mut(n).zip(&sums).enumerate() {
                let own = first + ROWS * group + r;
                let from = panel.end + COLUMNS * block;
                let to = (panel.end + own + 1).min(from + COLUMNS);
                if from < to {
                    row[from..to].iter_mut().zip(sums).for_each(|(value, sum)| *value -= sum);
                }
            }
        }
    }
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
    sides.par_chunks_mut(COLUMNS * n).for_each(|sides| {
        let mut lines = vec![[0.0; COLUMNS]; n];
        for (c, side) in sides.chunks_exact(n).enumerate() {
            lines.iter_mut().zip(side).for_each(|(line, &v)| line[c] = v);
        }
        forward(factor, n, 0, &mut lines);
        backward(factor, n, &mut lines);
        for (c, side) in sides.chunks_exact_mut(n).enumerate() {
            lines.iter().zip(side).for_each(|(line, v)| *v = line[c]);
        }
    });
    if all_finite(sides) { Ok(()) } else { Err(check::unsound(&[("factor", &factor)])) }
}

in_registers! {
    /// Solve L x = b for columns that are 0 before row `first`, of which `lines` holds the rest.
    fn forward = forward_of(factor: &[f64], n: usize, first: usize, lines: &mut [Line])
}

#[inline(always)]
fn forward_of<const FUSED: bool>(factor: &[f64], n: usize, first: usize, lines: &mut [Line]) {
    for i in (first..n).step_by(ROWS) {
        let (done, rest) = lines.split_at_mut(i - first);
        let of = |r: usize| &factor[(i + r).min(n - 1) * n..][first..i];
        let sums = products::<FUSED>([of(0), of(1), of(2), of(3)], done);
        for r in 0..ROWS.min(n - i) {
            let row = &factor[(i + r) * n..(i + r + 1) * n];
            let mut line = rest[r];
            line.iter_mut().zip(&sums[r]).for_each(|(v, sum)| *v -= sum);
            for q in 0..r {
                line.iter_mut().zip(&rest[q]).for_each(|(v, x)| *v -= row[i + q] * x);
            }
            rest[r] = line.map(|v| v / row[i + r]);
        }
    }
}

in_registers! {
    /// Solve Lᵀ x = b.
    fn backward = backward_of(factor: &[f64], n: usize, lines: &mut [Line])
}

#[inline(always)]
fn backward_of<const FUSED: bool>(factor: &[f64], n: usize, lines: &mut [Line]) {
    for i in (0..n).step_by(ROWS).rev() {
        let (before, rest) = lines.split_at_mut(i);
        let count = ROWS.min(n - i);
        for r in (0..count).rev() {
            let mut line = rest[r];
            for q in r + 1..count {
                let factor = factor[(i + q) * n + i + r];
                line.iter_mut().zip(&rest[q]).for_each(|(v, x)| *v -= factor * x);
            }
            rest[r] = line.map(|v| v / factor[(i + r) * n + i + r]);
        }
        let mut known = [[0.0; COLUMNS]; ROWS];
        known[..count].copy_from_slice(&rest[..count]);
        let of = |r: usize| &factor[(i + r).min(n - 1) * n..][..i];
        let (a, b, c, d) = (of(0), of(1), of(2), of(3));
        for (k, line) in before.iter_mut().enumerate() {
            for (factor, known) in [a[k], b[k], c[k], d[k]].into_iter().zip(&known) {
                for (v, &x) in line.iter_mut().zip(known) {
                    *v = if FUSED { (-factor).mul_add(x, *v) } else { *v - factor * x };
                }
            }
        }
    }
}

/// Atoms whose blocks are found together.
const ATOMS: usize = COLUMNS / 3;

/// 3 × 3 diagonal blocks of (L Lᵀ)⁻¹, n/3 times nine numbers.
///
/// # Errors
/// What is no Cholesky factor of three rows for each block, or blocks that are not finite.
pub fn inverse_blocks(factor: &[f64], n: usize) -> Result<Vec<f64>> {
    check_factor(factor, n)?;
    accept("factor", format!("of {n} rows"), n.is_multiple_of(3), "three for each atom are needed")?;
    let mut out = vec![0.0; 3 * n];
    out.par_chunks_mut(9 * ATOMS).enumerate().for_each(|(group, blocks)| {
        // Columns of L⁻¹ start at their own row: (L Lᵀ)⁻¹ = L⁻ᵀ L⁻¹ is their products.
        let first = COLUMNS * group;
        let mut lines = vec![[0.0; COLUMNS]; n - first];
        for (c, line) in lines.iter_mut().take(COLUMNS).enumerate() {
            line[c] = 1.0;
        }
        forward(factor, n, first, &mut lines);
        for (a, block) in blocks.chunks_exact_mut(9).enumerate() {
            for line in &lines {
                for i in 0..3 {
                    for j in 0..3 {
                        block[3 * i + j] += line[3 * a + i] * line[3 * a + j];
                    }
                }
            }
        }
    });
    if all_finite(&out) { Ok(out) } else { Err(check::unsound(&[("factor", &factor)])) }
}

/// Σ a b in sixteen lanes.
#[inline]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[target_feature(enable = "avx2")]
        fn in_avx(a: &[f64], b: &[f64]) -> f64 {
            dot_baseline(a, b)
        }
        // SAFETY: the processor has what the function was compiled for.
        return unsafe { in_avx(a, b) };
    }
    dot_baseline(a, b)
}

/// Nothing is fused, so the numbers are the same to the last bit.
#[inline(always)]
fn dot_baseline(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 16];
    let (first, rest_a) = a.as_chunks::<16>();
    let (second, rest_b) = b.as_chunks::<16>();
    for (x, y) in first.iter().zip(second) {
        for l in 0..16 {
            lanes[l] += x[l] * y[l];
        }
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(x, y)| x * y).sum();
    let mut width = 16;
    while width > 1 {
        width /= 2;
        for l in 0..width {
            lanes[l] += lanes[l + width];
        }
    }
    lanes[0] + rest
}
