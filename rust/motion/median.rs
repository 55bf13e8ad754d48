//! Median of the 5 × 5 neighbourhood of every pixel of an image.
//!
//! A sorting network (K. E. Batcher, AFIPS 32, 307 (1968), doi:10.1145/1468075.1468121: odd-even merging) from which
//! the comparisons that the middle does not depend on are left out; it runs on as many pixels at a time as a
//! register holds. Beyond its edges the image is mirrored, the edge's pixel twice.

use crate::check::accept;
use crate::error::Result;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Edge of the neighbourhood.
const EDGE: usize = 5;
const COUNT: usize = EDGE * EDGE;
/// Pixels that go through the network together.
const LANES: usize = 8;

/// Comparisons that bring the median of `COUNT` values to the middle.
fn network() -> Vec<(usize, usize)> {
    let mut all = Vec::new();
    let mut p = 1;
    while p < COUNT {
        let mut k = p;
        while k >= 1 {
            for j in (k % p..COUNT.saturating_sub(k)).step_by(2 * k) {
                for i in j..(j + k).min(COUNT - k) {
                    if i / (2 * p) == (i + k) / (2 * p) {
                        all.push((i, i + k));
                    }
                }
            }
            k /= 2;
        }
        p *= 2;
    }
    let mut matters = [false; COUNT];
    matters[COUNT / 2] = true;
    let mut kept: Vec<(usize, usize)> = Vec::new();
    for (a, b) in all.into_iter().rev() {
        if matters[a] || matters[b] {
            (matters[a], matters[b]) = (true, true);
            kept.push((a, b));
        }
    }
    kept.reverse();
    kept
}

#[inline(always)]
fn median_row(rows: &[Vec<f64>; EDGE], network: &[(usize, usize)], out: &mut [f64]) {
    let mut values = [[0.0_f64; LANES]; COUNT];
    for (i, to) in out.chunks_mut(LANES).enumerate() {
        for (j, row) in rows.iter().enumerate() {
            for k in 0..EDGE {
                values[j * EDGE + k].copy_from_slice(&row[i * LANES + k..][..LANES]);
            }
        }
        for &(a, b) in network {
            // Copies, so that the lanes are known to be others than those that are written.
            let (x, y) = (values[a], values[b]);
            for lane in 0..LANES {
                values[a][lane] = if x[lane] < y[lane] { x[lane] } else { y[lane] };
            }
            for lane in 0..LANES {
                values[b][lane] = if x[lane] < y[lane] { y[lane] } else { x[lane] };
            }
        }
        to.copy_from_slice(&values[COUNT / 2][..to.len()]);
    }
}

vectorised! {
    fn medians(rows: &[Vec<f64>; EDGE], network: &[(usize, usize)], out: &mut [f64]) -> () = median_row
}

/// Median of the 5 × 5 neighbourhood of every pixel.
///
/// # Errors
/// A pixel that is no number.
pub fn local_median(image: ArrayView2<f64>) -> Result<Array2<f64>> {
    let (ny, nx) = image.dim();
    accept("image", "not finite", image.iter().all(|v| v.is_finite()), "finite numbers are needed")?;
    let mut out = Array2::zeros((ny, nx));
    if ny == 0 || nx == 0 {
        return Ok(out);
    }
    let network = network();
    let mirrored = |i: isize, n: usize| -> usize {
        let period = 2 * n as isize;
        let at = i.rem_euclid(period);
        (if at < n as isize { at } else { period - 1 - at }) as usize
    };
    let reach = (EDGE / 2) as isize;
    out.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(y, mut to)| {
        let rows: [Vec<f64>; EDGE] = std::array::from_fn(|j| {
            let row = image.row(mirrored(y as isize + j as isize - reach, ny));
            let mut padded = vec![0.0; nx.next_multiple_of(LANES) + EDGE - 1];
            for (x, v) in padded.iter_mut().take(nx + EDGE - 1).enumerate() {
                *v = row[mirrored(x as isize - reach, nx)];
            }
            padded
        });
        if let Some(to) = to.as_slice_mut() {
            medians(&rows, &network, to);
        }
    });
    Ok(out)
}
