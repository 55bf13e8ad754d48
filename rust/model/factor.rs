//! Cholesky factor of a normal matrix, what is solved with it, and the diagonal blocks of its inverse.
//!
//! Sums are in a fixed order, panel by panel, so that any number of threads gives the same factor to the last bit.

use crate::check::{self, accept, agree, all_finite};
use crate::error::{Error, Result};
use rayon::prelude::*;

/// Columns factored together.
const PANEL: usize = 48;

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
