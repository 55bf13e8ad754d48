//! Evidence about shifts from tile spectra.
//!
//! With `X' = X exp(2πi k·r)` the spectrum moved back by a trial shift `r` and the filter `F = 2A/N`, the score is
//! `c = Re Σ F* X'` and its gradient over the shift `g = Re Σ 2πi k F* X'`; the step `H⁻¹ g` with the expected
//! information `H` is Gauss-Newton. Leaving frame `t` out of the reference changes nothing in `g` but a factor
//! `n/(n-1)`: the frame's own part of `A*X'` is `|X'|²/n`, real, and `Re(2πi k |X'|²) = 0`.

use crate::check::{accept, all_finite};
use crate::error::{Error, Result};
use ndarray::{Array3, ArrayView1, ArrayView2, ArrayView3, ArrayViewMut2, Zip};
use num_complex::{Complex32, Complex64};
use rayon::prelude::*;
use std::f32::consts::TAU;
use std::sync::atomic::{AtomicBool, Ordering};

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

pub(super) fn phase(kx: f32, ky: f32, dx: f32, dy: f32) -> Complex32 {
    let (sin, cos) = (TAU * (kx * dx + ky * dy)).sin_cos();
    Complex32::new(cos, sin)
}

/// Adds a block of spectra `(m, tiles, k)`, moved back by `residual` (m, 2) px, to `sum` and `power` (tiles, k).
///
/// # Errors
/// Arrays that do not agree, or sums that are not finite.
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
    let sound = AtomicBool::new(true);
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
        if !(s.re.is_finite() && s.im.is_finite() && p.is_finite()) {
            sound.store(false, Ordering::Relaxed);
        }
    });
    let accepted = "spectra, shifts, frequencies and weights whose sums are finite are needed";
    accept("sum", "not finite", sound.into_inner(), accepted)
}

/// Score `c` and its gradient `(gx, gy)` per frame and tile, `(m, tiles, 3)`, at the trial shift `residual`.
///
/// # Errors
/// Arrays that do not agree, or scores that are not finite.
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
    if let Some(job) = flat.chunks(3).position(|c| !all_finite(c)) {
        let given = format!("not finite or too large in frame {}", job / tiles);
        let accepted = "spectra, shifts, frequencies and filters whose scores are finite are needed";
        return Err(Error::bad_input("spectra", given, accepted));
    }
    Ok(out)
}
