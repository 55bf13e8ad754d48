//! Per-frame and per-pixel moments in one streaming pass.
//!
//! Frame moments: mean, variance, and the correlation coefficients of neighbours in x and in y (white shot noise
//! gives about 0, a smeared or doubly exposed frame does not), of values clipped to `[low, high]` so that one
//! X-ray does not condemn a frame. Pixel moments: sum, sum of squares and maximum over frames.
//!
//! Frames come in the type of the file. Sums of a row are kept in lanes of single precision, about the middle of
//! the bounds, and added to double precision row by row; bands of rows are added in their order.

use super::pixel::Pixel;
use crate::check::accept;
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView3, ArrayViewMut2};
use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// Values that are added side by side.
const LANES: usize = 16;
/// Rows of a frame that one task takes.
const BAND: usize = 128;
/// Pixels whose sums over the frames of a block stay in the first cache.
const SEGMENT: usize = 512;

/// Sums over a band of rows of d, d², d·(right neighbour) and d·(lower neighbour), d = value less the middle; the last
/// two leave the frame's last row and column out.
type Sums = [f64; 4];

struct Clip {
    low: f32,
    high: f32,
    middle: f32,
}

impl Clip {
    #[inline(always)]
    fn row<T: Pixel>(&self, row: &[T], out: &mut [f32]) {
        for (to, v) in out.iter_mut().zip(row) {
            *to = self.value(*v);
        }
    }

    /// Not `max` and `min`: those would let NaN pass for a bound.
    #[inline(always)]
    fn value<T: Pixel>(&self, v: T) -> f32 {
        let v = v.value();
        let v = if v < self.low { self.low } else { v };
        (if v > self.high { self.high } else { v }) - self.middle
    }
}

#[inline(always)]
fn fold(lanes: [f32; LANES]) -> f64 {
    lanes.iter().map(|&v| f64::from(v)).sum()
}

#[inline(always)]
fn band_sums<T: Pixel>(frame: &[T], nx: usize, rows: std::ops::Range<usize>, clip: &Clip) -> Sums {
    let ny = frame.len() / nx;
    let mut sums = [0.0; 4];
    let (mut here, mut below) = (vec![0.0_f32; nx], vec![0.0_f32; nx]);
    clip.row(&frame[rows.start * nx..(rows.start + 1) * nx], &mut here);
    for y in rows {
        let last = y + 1 == ny;
        if !last {
            clip.row(&frame[(y + 1) * nx..(y + 2) * nx], &mut below);
        }
        let mut lanes = [[0.0_f32; LANES]; 4];
        let whole = (nx - 1) / LANES * LANES;
        for x in (0..whole).step_by(LANES) {
            let (a, b) = (&here[x..x + LANES + 1], &below[x..x + LANES]);
            for i in 0..LANES {
                lanes[0][i] += a[i];
                lanes[1][i] += a[i] * a[i];
                lanes[2][i] += a[i] * a[i + 1];
                lanes[3][i] += a[i] * b[i];
            }
        }
        for x in whole..nx - 1 {
            lanes[0][x - whole] += here[x];
            lanes[1][x - whole] += here[x] * here[x];
            lanes[2][x - whole] += here[x] * here[x + 1];
            lanes[3][x - whole] += here[x] * below[x];
        }
        let end = f64::from(here[nx - 1]);
        sums[0] += fold(lanes[0]) + end;
        sums[1] += fold(lanes[1]) + end * end;
        if !last {
            sums[2] += fold(lanes[2]);
            sums[3] += fold(lanes[3]);
        }
        std::mem::swap(&mut here, &mut below);
    }
    sums
}

vectorised! {
    fn band<T: Pixel>(frame: &[T], nx: usize, rows: std::ops::Range<usize>, clip: &Clip) -> Sums = band_sums
}

/// Mean, variance and correlations from the sums of a frame.
fn moments<T: Pixel>(frame: &[T], nx: usize, sums: Sums, clip: &Clip) -> [f64; 4] {
    let ny = frame.len() / nx;
    let value = |y: usize, x: usize| f64::from(clip.value(frame[y * nx + x]));
    let row = |y: usize| (0..nx).map(|x| value(y, x)).sum::<f64>();
    let column = |x: usize| (0..ny).map(|y| value(y, x)).sum::<f64>();
    let [sum, square, along_x, along_y] = sums;
    let n = (nx * ny) as f64;
    let inner = ((nx - 1) * (ny - 1)) as f64;
    let mean = sum / n;
    let variance = (square / n - mean * mean).max(0.0);
    // Sums of the pixels that have both neighbours, of their right and of their lower neighbours.
    let (first_row, last_row, first_column, last_column) = (row(0), row(ny - 1), column(0), column(nx - 1));
    let here = sum - last_row - last_column + value(ny - 1, nx - 1);
    let right = sum - last_row - first_column + value(ny - 1, 0);
    let down = sum - first_row - last_column + value(0, nx - 1);
    let covariance = |products: f64, other: f64| products - mean * (here + other) + inner * mean * mean;
    let scale = if variance > 0.0 { 1.0 / (n * variance) } else { 0.0 };
    [
        f64::from(clip.middle) + mean,
        variance,
        covariance(along_x, right) * scale,
        covariance(along_y, down) * scale,
    ]
}

/// Mean, variance, x and y neighbour correlation of each frame `(m, 4)`.
///
/// # Errors
/// Frames of less than 2 x 2, bounds that are none, or a pixel that is no number.
pub fn frame_statistics<T: Pixel>(frames: ArrayView3<T>, low: f32, high: f32) -> Result<Array2<f64>> {
    let (m, ny, nx) = frames.dim();
    if ny < 2 || nx < 2 {
        return Err(Error::bad_input(
            "frames",
            format!("of {ny} x {nx}"),
            "at least 2 x 2 pixels are needed",
        ));
    }
    let bounds = low <= high && low.is_finite() && high.is_finite();
    accept(
        "low",
        format!("{low} and high {high}"),
        bounds,
        "two finite numbers are needed, the lower first",
    )?;
    let clip = Clip { low, high, middle: 0.5 * (low + high) };
    let frames = frames.as_standard_layout();
    let values = frames.as_slice().expect("the standard layout is contiguous");
    let bands = ny.div_ceil(BAND);
    let sums: Vec<Sums> = (0..m * bands)
        .into_par_iter()
        .map(|job| {
            let (t, first) = (job / bands, job % bands * BAND);
            band(&values[t * ny * nx..(t + 1) * ny * nx], nx, first..(first + BAND).min(ny), &clip)
        })
        .collect();
    let mut out = Array2::zeros((m, 4));
    for (t, mut to) in out.outer_iter_mut().enumerate() {
        let mut total = [0.0; 4];
        for part in &sums[t * bands..(t + 1) * bands] {
            total.iter_mut().zip(part).for_each(|(a, b)| *a += b);
        }
        let found = moments(&values[t * ny * nx..(t + 1) * ny * nx], nx, total, &clip);
        if !found.iter().all(|v| v.is_finite()) {
            return Err(Error::bad_input(
                "frames",
                format!("not finite in frame {t}"),
                "repair such pixels first",
            ));
        }
        to.iter_mut().zip(found).for_each(|(a, b)| *a = b);
    }
    Ok(out)
}

#[inline(always)]
fn add_segment<T: Pixel>(
    frames: &[T],
    frame: usize,
    start: usize,
    sum: &mut [f64],
    square: &mut [f64],
    top: &mut [f32],
) {
    for values in frames.chunks_exact(frame) {
        let values = &values[start..start + sum.len()];
        for (((v, s), q), t) in values.iter().zip(&mut *sum).zip(&mut *square).zip(&mut *top) {
            let v = v.value();
            *s += f64::from(v);
            *q += f64::from(v) * f64::from(v);
            *t = t.max(v);
        }
    }
}

vectorised! {
    fn add<T: Pixel>(
        frames: &[T], frame: usize, start: usize, sum: &mut [f64], square: &mut [f64], top: &mut [f32]
    ) -> () = add_segment
}

/// Adds a block of frames to the per-pixel `sum`, `square` (sum of squares) and `maximum`, all (y, x).
///
/// # Errors
/// Sums of other frames or that are not contiguous, or sums that are not finite any more.
pub fn accumulate_pixels<T: Pixel>(
    frames: ArrayView3<T>,
    mut sum: ArrayViewMut2<f64>,
    mut square: ArrayViewMut2<f64>,
    mut maximum: ArrayViewMut2<f32>,
) -> Result<()> {
    let (_, ny, nx) = frames.dim();
    if sum.dim() != (ny, nx) || square.dim() != (ny, nx) || maximum.dim() != (ny, nx) {
        return Err(Error::bad_input(
            "sum",
            format!("{:?}", sum.dim()),
            format!("sum, square and maximum must be {ny} x {nx} as the frames"),
        ));
    }
    let parts = (sum.as_slice_mut(), square.as_slice_mut(), maximum.as_slice_mut());
    let (Some(sum), Some(square), Some(maximum)) = parts else {
        return Err(Error::bad_input("sum", "not contiguous", "use numpy.ascontiguousarray"));
    };
    let frames = frames.as_standard_layout();
    let values = frames.as_slice().expect("the standard layout is contiguous");
    let sound = AtomicBool::new(true);
    // Segments in parallel, frames in order at each: the sums have one order of addition.
    sum.par_chunks_mut(SEGMENT)
        .zip(square.par_chunks_mut(SEGMENT))
        .zip(maximum.par_chunks_mut(SEGMENT))
        .enumerate()
        .for_each(|(i, ((s, q), top))| {
            add(values, ny * nx, i * SEGMENT, s, q, top);
            // A value that is not finite makes its square so, and a sum that is not stays so; a maximum begins at −∞.
            let sums = s.iter().chain(&*q).fold(true, |ok, v| ok & v.is_finite());
            if !top.iter().fold(sums, |ok, &v| ok & (v < f32::INFINITY)) {
                sound.store(false, Ordering::Relaxed);
            }
        });
    accept("sum", "not finite", sound.into_inner(), "finite sums and frames whose squares add up are needed")
}
