//! Per-frame and per-pixel moments in one streaming pass, and the repair of bad pixels.
//!
//! Frame moments: mean, variance, and the correlation coefficients of neighbours in x and in y (white shot noise
//! gives about 0, a smeared or doubly exposed frame does not), of values clipped to `[low, high]` so that one
//! X-ray does not condemn a frame. Pixel moments: sum, sum of squares and maximum over frames.

use crate::check::accept;
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2, ArrayView3, ArrayViewMut2, ArrayViewMut3, Axis, Zip};
use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// Mean, variance, x and y neighbour correlation of each frame `(m, 4)`; pixels marked in `skip` (y, x) are left out.
///
/// # Errors
/// Flags of other frames, bounds that are none, or a pixel that is counted and no number.
pub fn frame_statistics(
    frames: ArrayView3<f32>,
    skip: ArrayView2<bool>,
    low: f32,
    high: f32,
) -> Result<Array2<f64>> {
    let (_, ny, nx) = frames.dim();
    if skip.dim() != (ny, nx) || ny < 2 || nx < 2 {
        return Err(Error::bad_input(
            "skip",
            format!("{:?} for frames of {ny} x {nx}", skip.dim()),
            "one flag per pixel of frames of at least 2 x 2 is needed",
        ));
    }
    let bounds = low <= high && low.is_finite() && high.is_finite();
    accept(
        "low",
        format!("{low} and high {high}"),
        bounds,
        "two finite numbers are needed, the lower first",
    )?;
    let rows: Vec<[f64; 4]> = frames
        .axis_iter(Axis(0))
        .into_par_iter()
        .map(|frame| {
            let value = |y: usize, x: usize| {
                if skip[[y, x]] { None } else { Some(f64::from(frame[[y, x]].clamp(low, high))) }
            };
            let (mut n, mut sum, mut square) = (0.0, 0.0, 0.0);
            for y in 0..ny {
                for x in 0..nx {
                    if let Some(v) = value(y, x) {
                        n += 1.0;
                        sum += v;
                        square += v * v;
                    }
                }
            }
            let n: f64 = f64::max(n, 1.0);
            let mean = sum / n;
            let variance = (square / n - mean * mean).max(0.0);
            let (mut cx, mut cy) = (0.0, 0.0);
            for y in 0..ny - 1 {
                for x in 0..nx - 1 {
                    if let Some(v) = value(y, x) {
                        cx += (v - mean) * (value(y, x + 1).unwrap_or(mean) - mean);
                        cy += (v - mean) * (value(y + 1, x).unwrap_or(mean) - mean);
                    }
                }
            }
            let scale = if variance > 0.0 { 1.0 / (n * variance) } else { 0.0 };
            [mean, variance, cx * scale, cy * scale]
        })
        .collect();
    if let Some(at) = rows.iter().position(|row| !row.iter().all(|v| v.is_finite())) {
        let given = format!("not finite in frame {at}");
        return Err(Error::bad_input("frames", given, "mark such pixels in skip, or repair them"));
    }
    let mut out = Array2::zeros((rows.len(), 4));
    for (mut to, from) in out.axis_iter_mut(Axis(0)).zip(&rows) {
        to.iter_mut().zip(from).for_each(|(a, b)| *a = *b);
    }
    Ok(out)
}

/// Adds a block of frames to the per-pixel `sum`, `square` (sum of squares) and `maximum`, all (y, x).
///
/// # Errors
/// Sums of other frames, or sums that are not finite any more.
pub fn accumulate_pixels(
    frames: ArrayView3<f32>,
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
    // Rows in parallel, frames in order within a row: the sums have one order of addition.
    let sound = AtomicBool::new(true);
    Zip::indexed(sum.rows_mut()).and(square.rows_mut()).and(maximum.rows_mut()).par_for_each(
        |y, mut s, mut q, mut top| {
            for frame in frames.axis_iter(Axis(0)) {
                for x in 0..nx {
                    let v = frame[[y, x]];
                    s[x] += f64::from(v);
                    q[x] += f64::from(v) * f64::from(v);
                    top[x] = top[x].max(v);
                }
            }
            // A value that is not finite makes its square so, and a sum that is not stays so; a maximum begins at −∞.
            let sums = s.iter().chain(&q).fold(true, |ok, v| ok & v.is_finite());
            if !top.iter().fold(sums, |ok, &v| ok & (v < f32::INFINITY)) {
                sound.store(false, Ordering::Relaxed);
            }
        },
    );
    accept("sum", "not finite", sound.into_inner(), "finite sums and frames whose squares add up are needed")
}

/// Replaces pixels that are marked in `bad`, above `ceiling` or not finite by the mean of their good neighbours.
///
/// The neighbourhood is 3 × 3 and grows by one ring at a time until it holds a good pixel; a frame without any is
/// set to zero. Nothing else is touched.
fn repair_frame(mut frame: ArrayViewMut2<f32>, bad: ArrayView2<bool>, ceiling: f32) {
    let (ny, nx) = frame.dim();
    let wrong = |y: usize, x: usize, v: f32| bad[[y, x]] || !v.is_finite() || v > ceiling;
    let original: Vec<(usize, usize)> =
        frame.indexed_iter().filter(|((y, x), v)| wrong(*y, *x, **v)).map(|(at, _)| at).collect();
    let mut repaired = Vec::with_capacity(original.len());
    for &(y, x) in &original {
        let mut mean = 0.0;
        for ring in 1..=ny.max(nx) {
            let (mut total, mut count) = (0.0_f64, 0_u32);
            for yy in y.saturating_sub(ring)..(y + ring + 1).min(ny) {
                for xx in x.saturating_sub(ring)..(x + ring + 1).min(nx) {
                    let v = frame[[yy, xx]];
                    if !wrong(yy, xx, v) {
                        total += f64::from(v);
                        count += 1;
                    }
                }
            }
            if count > 0 {
                mean = (total / f64::from(count)) as f32;
                break;
            }
            // A frame of nothing but bad pixels would make every search cover it whole.
            if original.len() == ny * nx {
                break;
            }
        }
        repaired.push(mean);
    }
    for (&(y, x), v) in original.iter().zip(repaired) {
        frame[[y, x]] = v;
    }
}

/// Repairs frames (m, y, x): pixels marked in `bad` (y, x), above `ceiling` or not finite become the mean of their good
/// neighbours.
///
/// # Errors
/// Flags of other frames, or a ceiling that is no number.
pub fn repair(mut frames: ArrayViewMut3<f32>, bad: ArrayView2<bool>, ceiling: f32) -> Result<()> {
    let (_, ny, nx) = frames.dim();
    if bad.dim() != (ny, nx) {
        let accepted = format!("one flag per pixel of frames of {ny} x {nx} is needed");
        return Err(Error::bad_input("bad", format!("{:?}", bad.dim()), accepted));
    }
    accept("ceiling", ceiling, !ceiling.is_nan(), "a number or infinity is needed")?;
    frames.outer_iter_mut().into_par_iter().for_each(|frame| repair_frame(frame, bad, ceiling));
    Ok(())
}
