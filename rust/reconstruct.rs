//! Weighted Fourier insertion of many posed images.
//!
//! Every image belongs to one group (a half set, or a held-out block of one); each group has its own
//! numerator Σ w X and denominator Σ w, so that any union of groups is a sum of accumulators and "all but
//! the block of this frame" costs a subtraction. Groups are filled in parallel, each by one thread and in
//! the order of its frames: the sums are the same to the last bit for any number of threads.

use crate::error::{Error, Result};
use crate::fourier::HalfPlane;
use crate::volume::{Rotation, insert_slice, reach_for, volume_len};
use num_complex::Complex32;
use rayon::prelude::*;
use std::f32::consts::PI;

/// Accumulators of one group.
#[derive(Debug, Clone)]
pub struct Accumulator {
    /// Σ w X, `(2K+1, 2K+1, K+1)`.
    pub numerator: Vec<Complex32>,
    /// Σ w, same layout.
    pub denominator: Vec<f32>,
}

/// Undo a particle's shift (px): X(k) · exp(+2πi k·t/N).
pub fn unshift(plane: &HalfPlane, spectrum: &[Complex32], shift: [f32; 2], out: &mut [Complex32]) {
    let step = [2.0 * PI * shift[0] / plane.size as f32, 2.0 * PI * shift[1] / plane.size as f32];
    let turn = Complex32::cis(step[0]);
    for row in &plane.rows {
        let mut phase = Complex32::cis(row.first as f32 * step[0] + row.ky as f32 * step[1]);
        for i in row.start..row.start + row.len {
            out[i] = spectrum[i] * phase;
            phase *= turn;
        }
    }
}

/// Insert posed spectra into one accumulator per group.
///
/// `spectra` n·m packed values, `weights` m values (1/σ² of each frequency), `frame_weights` n, shifts in
/// px (x, y), `groups` n indices below `group_count` (a negative one leaves the frame out).
///
/// # Errors
/// Lengths that do not agree.
pub fn insert(
    spectra: &[Complex32],
    plane: &HalfPlane,
    weights: &[f32],
    frame_weights: &[f32],
    rotations: &[Rotation],
    shifts: &[[f32; 2]],
    groups: &[i32],
    group_count: usize,
    pad: usize,
) -> Result<Vec<Accumulator>> {
    let (n, m) = (rotations.len(), plane.len());
    if spectra.len() != n * m || weights.len() != m {
        return Err(Error::bad_input(
            "spectra",
            format!("{} values and {} weights", spectra.len(), weights.len()),
            format!("{n} × {m} values and {m} weights are needed"),
        ));
    }
    if [frame_weights.len(), shifts.len(), groups.len()] != [n, n, n] {
        return Err(Error::bad_input(
            "poses",
            "lists of different lengths",
            format!("{n} of each are needed"),
        ));
    }
    let reach = reach_for(plane.max_shell, pad);
    Ok((0..group_count)
        .into_par_iter()
        .map(|group| {
            let mut sum = Accumulator {
                numerator: vec![Complex32::default(); volume_len(reach)],
                denominator: vec![0.0; volume_len(reach)],
            };
            let mut centred = vec![Complex32::default(); m];
            let mut scaled = vec![0.0; m];
            for i in (0..n).filter(|&i| groups[i] == group as i32 && frame_weights[i] > 0.0) {
                unshift(plane, &spectra[i * m..(i + 1) * m], shifts[i], &mut centred);
                scaled.iter_mut().zip(weights).for_each(|(s, w)| *s = w * frame_weights[i]);
                insert_slice(
                    &mut sum.numerator,
                    &mut sum.denominator,
                    reach,
                    pad,
                    &rotations[i],
                    plane,
                    &centred,
                    &scaled,
                );
            }
            complete_plane(&mut sum, reach);
            sum
        })
        .collect())
}

/// Make the plane x = 0 Hermitian: what was inserted at (0, y, z) also speaks for (0, −y, −z).
pub fn complete_plane(sum: &mut Accumulator, reach: usize) {
    let side = 2 * reach + 1;
    let width = reach + 1;
    let at = |z: usize, y: usize| (z * side + y) * width;
    for z in 0..side {
        for y in 0..side {
            let (a, b) = (at(z, y), at(side - 1 - z, side - 1 - y));
            if a < b {
                let value = sum.numerator[a] + sum.numerator[b].conj();
                let weight = sum.denominator[a] + sum.denominator[b];
                sum.numerator[a] = value;
                sum.numerator[b] = value.conj();
                sum.denominator[a] = weight;
                sum.denominator[b] = weight;
            } else if a == b {
                sum.numerator[a] *= 2.0;
                sum.numerator[a].im = 0.0;
                sum.denominator[a] *= 2.0;
            }
        }
    }
}
