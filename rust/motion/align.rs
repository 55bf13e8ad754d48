//! Evidence about shifts from tile spectra.
//!
//! With `X' = X exp(2πi k·r)` the spectrum moved back by a trial shift `r` and the filter `F = 2A/N`, the score is
//! `c = Re Σ F* X'` and its gradient over the shift `g = Re Σ 2πi k F* X'`; the step `H⁻¹ g` with the expected
//! information `H` is Gauss-Newton. Leaving frame `t` out of the reference changes nothing in `g` but a factor
//! `n/(n-1)`: the frame's own part of `A*X'` is `|X'|²/n`, real, and `Re(2πi k |X'|²) = 0`.

use crate::error::{Error, Result};
use ndarray::{Array2, Array3, ArrayView1, ArrayView2, ArrayView3, ArrayViewMut2, Axis, Zip};
use num_complex::{Complex32, Complex64};
use rayon::prelude::*;
use std::f32::consts::TAU;

fn check(
    spectra: ArrayView3<Complex32>,
    residual: ArrayView2<f64>,
    frequency: ArrayView3<f32>,
) -> Result<(usize, usize, usize)> {
    let (m, tiles, kept) = spectra.dim();
    if residual.dim() != (m, 2) {
        return Err(Error::bad_input(
            "residual",
            format!("{:?}", residual.dim()),
            format!("one (x, y) shift per frame is needed: ({m}, 2)"),
        ));
    }
    if frequency.dim() != (tiles, kept, 2) {
        return Err(Error::bad_input(
            "frequency",
            format!("{:?}", frequency.dim()),
            format!("one (kx, ky) per coefficient is needed: ({tiles}, {kept}, 2)"),
        ));
    }
    Ok((m, tiles, kept))
}

fn phase(kx: f32, ky: f32, dx: f32, dy: f32) -> Complex32 {
    let (sin, cos) = (TAU * (kx * dx + ky * dy)).sin_cos();
    Complex32::new(cos, sin)
}

/// Adds a block of spectra `(m, tiles, k)`, moved back by `residual` (m, 2) px, to `sum` and `power` (tiles, k).
pub fn accumulate_reference(
    spectra: ArrayView3<Complex32>,
    residual: ArrayView2<f64>,
    frequency: ArrayView3<f32>,
    weight: ArrayView1<f64>,
    mut sum: ArrayViewMut2<Complex64>,
    mut power: ArrayViewMut2<f64>,
) -> Result<()> {
    let (m, tiles, kept) = check(spectra, residual, frequency)?;
    if sum.dim() != (tiles, kept) || power.dim() != (tiles, kept) || weight.len() != m {
        return Err(Error::bad_input(
            "sum",
            format!("{:?} with {} weights", sum.dim(), weight.len()),
            format!("sum and power must be ({tiles}, {kept}) and weight ({m},)"),
        ));
    }
    Zip::indexed(&mut sum).and(&mut power).par_for_each(|(tile, i), s, p| {
        let (kx, ky) = (frequency[[tile, i, 0]], frequency[[tile, i, 1]]);
        for t in 0..m {
            if weight[t] == 0.0 {
                continue;
            }
            let v = spectra[[t, tile, i]];
            let v = v * phase(kx, ky, residual[[t, 0]] as f32, residual[[t, 1]] as f32);
            *s += Complex64::new(f64::from(v.re), f64::from(v.im)) * weight[t];
            *p += f64::from(v.norm_sqr()) * weight[t];
        }
    });
    Ok(())
}

/// Score `c` and its gradient `(gx, gy)` per frame and tile, `(m, tiles, 3)`, at the trial shift `residual`.
pub fn shift_score(
    spectra: ArrayView3<Complex32>,
    residual: ArrayView2<f64>,
    frequency: ArrayView3<f32>,
    filter: ArrayView2<Complex32>,
) -> Result<Array3<f64>> {
    let (m, tiles, kept) = check(spectra, residual, frequency)?;
    if filter.dim() != (tiles, kept) {
        return Err(Error::bad_input(
            "filter",
            format!("{:?}", filter.dim()),
            format!("one value per coefficient is needed: ({tiles}, {kept})"),
        ));
    }
    let mut out = Array3::zeros((m, tiles, 3));
    let flat = out.as_slice_mut().expect("a new array is contiguous");
    flat.par_chunks_mut(3).enumerate().for_each(|(job, to)| {
        let (t, tile) = (job / tiles, job % tiles);
        let (dx, dy) = (residual[[t, 0]] as f32, residual[[t, 1]] as f32);
        let (mut c, mut gx, mut gy) = (0.0_f64, 0.0_f64, 0.0_f64);
        for i in 0..kept {
            let (kx, ky) = (frequency[[tile, i, 0]], frequency[[tile, i, 1]]);
            let v = filter[[tile, i]].conj() * spectra[[t, tile, i]] * phase(kx, ky, dx, dy);
            c += f64::from(v.re);
            gx -= f64::from(TAU * kx * v.im);
            gy -= f64::from(TAU * ky * v.im);
        }
        to.copy_from_slice(&[c, gx, gy]);
    });
    Ok(out)
}

/// Grid points on each side of the predicted shift in [`track_bins`].
const GRID: i32 = 8;
/// Bins that the reference of [`track_bins`] remembers: long against noise, short against slow changes of the specimen.
const MEMORY: f32 = 60.0;
/// Share of the last step that enters the velocity of [`track_bins`].
const VELOCITY_GAIN: f64 = 0.1;

/// First trajectory: each bin against a fading sum of the aligned bins before it.
///
/// The maximum of `Re Σ w R* X exp(2πi k·s)` is sought only within `radius` px of the predicted shift. With a
/// radius below half the lattice period the neighbouring register is out of reach, so smoothness in time
/// settles the ambiguity of a periodic specimen. `spectra` (n, k), `frequency` (k, 2), `weight` (k); bins of zeros
/// (no good frame) take the prediction. Returns (n, 2) px, zero in the first bin.
pub fn track_bins(
    spectra: ArrayView2<Complex32>,
    frequency: ArrayView2<f32>,
    weight: ArrayView1<f32>,
    radius: f64,
) -> Result<Array2<f64>> {
    let (n, kept) = spectra.dim();
    if frequency.dim() != (kept, 2) || weight.len() != kept {
        return Err(Error::bad_input(
            "frequency",
            format!("{:?} with {} weights", frequency.dim(), weight.len()),
            format!("{kept} coefficients need ({kept}, 2) frequencies and {kept} weights"),
        ));
    }
    if radius.is_nan() || radius <= 0.0 {
        return Err(Error::bad_input("radius", radius, "a positive number of pixels is needed"));
    }
    let step = radius / f64::from(GRID);
    let width = (2 * GRID + 1) as usize;
    let offset = |i: usize| (i as i32 - GRID) as f32 * step as f32;
    // exp(2πi k·d) is a product of an x and a y part: two small tables serve all grid points of all bins.
    let table = |axis: usize| -> Vec<Complex32> {
        (0..width)
            .flat_map(|i| frequency.column(axis).into_iter().map(move |&k| phase(k, 0.0, offset(i), 0.0)))
            .collect()
    };
    let (along_x, along_y) = (table(0), table(1));
    let mut shifts = Array2::zeros((n, 2));
    let mut reference = vec![Complex32::default(); kept];
    let (mut at, mut velocity) = ([0.0_f64; 2], [0.0_f64; 2]);
    let mut started = false;
    for (t, spectrum) in spectra.axis_iter(Axis(0)).enumerate() {
        if spectrum.iter().all(|v| v.norm_sqr() == 0.0) {
            at = [at[0] + velocity[0], at[1] + velocity[1]];
        } else if started {
            let guess = [at[0] + velocity[0], at[1] + velocity[1]];
            let product: Vec<Complex32> = (0..kept)
                .map(|i| {
                    let moved = phase(frequency[[i, 0]], frequency[[i, 1]], guess[0] as f32, guess[1] as f32);
                    reference[i].conj() * spectrum[i] * moved * weight[i]
                })
                .collect();
            let score: Vec<f64> = (0..width)
                .into_par_iter()
                .flat_map_iter(|iy| {
                    let rows = &along_y[iy * kept..(iy + 1) * kept];
                    let line: Vec<Complex32> = product.iter().zip(rows).map(|(p, e)| p * e).collect();
                    let along_x = &along_x;
                    (0..width).map(move |ix| {
                        let columns = &along_x[ix * kept..(ix + 1) * kept];
                        f64::from(
                            line.iter().zip(columns).map(|(p, e)| p.re * e.re - p.im * e.im).sum::<f32>(),
                        )
                    })
                })
                .collect();
            let d = grid_maximum(&score, width);
            for axis in 0..2 {
                let new = guess[axis] + (d[axis] - f64::from(GRID)) * step;
                velocity[axis] += VELOCITY_GAIN * (new - at[axis] - velocity[axis]);
                at[axis] = new;
            }
        }
        if spectrum.iter().any(|v| v.norm_sqr() > 0.0) {
            started = true;
            let keep = 1.0 - 1.0 / MEMORY;
            for i in 0..kept {
                let moved = phase(frequency[[i, 0]], frequency[[i, 1]], at[0] as f32, at[1] as f32);
                reference[i] = reference[i] * keep + spectrum[i] * moved;
            }
        }
        shifts[[t, 0]] = at[0];
        shifts[[t, 1]] = at[1];
    }
    Ok(shifts)
}

/// Maximum of a square grid (row = y), refined by a parabola in x and in y; returns (x, y) in grid steps.
fn grid_maximum(score: &[f64], width: usize) -> [f64; 2] {
    let mut best = 0;
    for (i, v) in score.iter().enumerate() {
        if *v > score[best] {
            best = i;
        }
    }
    let (iy, ix) = (best / width, best % width);
    let vertex = |low: f64, mid: f64, high: f64| {
        let curvature = low - 2.0 * mid + high;
        if curvature < 0.0 { (0.5 * (low - high) / curvature).clamp(-0.5, 0.5) } else { 0.0 }
    };
    let inside = |i: usize| i > 0 && i + 1 < width;
    let fx = if inside(ix) { vertex(score[best - 1], score[best], score[best + 1]) } else { 0.0 };
    let fy = if inside(iy) { vertex(score[best - width], score[best], score[best + width]) } else { 0.0 };
    [ix as f64 + fx, iy as f64 + fy]
}
