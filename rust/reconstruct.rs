//! Weighted Fourier insertion of many posed images.
//!
//! Every image belongs to one group (a half set, or a held-out block of one); each group has its own
//! numerator Σ w X and denominator Σ w, so that any union of groups is a sum of accumulators and "all but
//! the block of this frame" costs a subtraction. Groups are filled in parallel, each by one thread and in
//! the order of its frames: the sums are the same to the last bit for any number of threads.

use crate::check::{self, agree, within};
use crate::error::Result;
use crate::fourier::HalfPlane;
use crate::frames::{Groups, PosedFrames};
use crate::volume::{MOST_PAD, Rotation, reach_for, volume_len};
use num_complex::Complex32;
use rayon::prelude::*;
use std::f32::consts::PI;

/// Bytes of a cell of an accumulator.
const CELL: f64 = 12.0;

/// Samples of one frame that a cell may get, the mates on the plane x = 0 among them; sixteen times as many as do.
const SAMPLES: f64 = 256.0;

/// Accumulators of one group.
#[derive(Debug, Clone)]
pub struct Accumulator {
    /// Σ w X, `(2K+1, 2K+1, K+1)`.
    pub numerator: Vec<Complex32>,
    /// Σ w, same layout.
    pub denominator: Vec<f32>,
    grid: Cells,
}

/// The grid of an accumulator: how many steps it reaches, and steps per image shell.
#[derive(Debug, Clone, Copy)]
struct Cells {
    reach: usize,
    pad: f32,
}

impl Accumulator {
    fn new(max_shell: usize, pad: usize) -> Self {
        let reach = reach_for(max_shell, pad);
        let len = volume_len(reach);
        Self {
            numerator: vec![Complex32::default(); len],
            denominator: vec![0.0; len],
            grid: Cells { reach, pad: pad as f32 },
        }
    }

    /// Insert one spectrum, `values` with `weights` at rotation `r`.
    fn insert(&mut self, r: &Rotation, plane: &HalfPlane, values: &[Complex32], weights: &[f32]) {
        let Self { numerator, denominator, grid } = self;
        spread(numerator, denominator, *grid, r, plane, values, weights);
    }

    /// Make the plane x = 0 Hermitian: what was inserted at (0, y, z) also speaks for (0, −y, −z).
    fn complete_plane(&mut self) {
        let (side, width) = (2 * self.grid.reach + 1, self.grid.reach + 1);
        let at = |z: usize, y: usize| (z * side + y) * width;
        for z in 0..side {
            for y in 0..side {
                let (a, b) = (at(z, y), at(side - 1 - z, side - 1 - y));
                if a < b {
                    let value = self.numerator[a] + self.numerator[b].conj();
                    let weight = self.denominator[a] + self.denominator[b];
                    self.numerator[a] = value;
                    self.numerator[b] = value.conj();
                    self.denominator[a] = weight;
                    self.denominator[b] = weight;
                } else if a == b {
                    self.numerator[a] *= 2.0;
                    self.numerator[a].im = 0.0;
                    self.denominator[a] *= 2.0;
                }
            }
        }
    }
}

/// Spread value · weight over the eight neighbours of each sample.
///
/// The exact adjoint of [`crate::volume::FourierVolume::slice`] on half volumes whose plane x = 0 is made whole by
/// [`Accumulator::complete_plane`]. The two sums are arguments, so that the compiler may take them for apart.
fn spread(
    numerator: &mut [Complex32],
    denominator: &mut [f32],
    grid: Cells,
    r: &Rotation,
    plane: &HalfPlane,
    values: &[Complex32],
    weights: &[f32],
) {
    let Cells { reach, pad: p } = grid;
    let side = 2 * reach + 1;
    let width = reach + 1;
    for row in &plane.rows {
        for i in 0..row.len {
            let at = row.start + i;
            let w = weights[at];
            if w <= 0.0 {
                continue;
            }
            let (kx, ky) = ((row.first + i as i32) as f32 * p, row.ky as f32 * p);
            let mut k = [0.0f32; 3];
            for a in 0..3 {
                k[a] = kx * r[0][a] + ky * r[1][a];
            }
            let mut value = values[at];
            if k[0] < 0.0 {
                k = [-k[0], -k[1], -k[2]];
                value = value.conj();
            }
            let (x, y, z) = (k[0], k[1] + reach as f32, k[2] + reach as f32);
            let (ix, iy, iz) = (x as usize, y as usize, z as usize);
            let (fx, fy, fz) = (x - ix as f32, y - iy as f32, z - iz as f32);
            for (dz, wz) in [(0, 1.0 - fz), (1, fz)] {
                for (dy, wy) in [(0, 1.0 - fy), (1, fy)] {
                    let base = ((iz + dz) * side + iy + dy) * width + ix;
                    for (dx, wx) in [(0, 1.0 - fx), (1, fx)] {
                        let share = w * wz * wy * wx;
                        numerator[base + dx] += value * share;
                        denominator[base + dx] += share;
                    }
                }
            }
        }
    }
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

/// Insert posed spectra (one pose each) into one accumulator per group.
///
/// `frame_weights` (n) multiply the weights of each frame's frequencies; frames of weight 0 or less are left out.
///
/// # Errors
/// Lengths that do not agree, numbers that are not finite or whose sums would not be, or groups beyond the memory.
pub fn insert(
    posed: &PosedFrames<'_>,
    frame_weights: &[f32],
    groups: Groups<'_>,
    pad: usize,
) -> Result<Vec<Accumulator>> {
    posed.check_one_each()?;
    let &PosedFrames { plane, weights, rotations, shifts, frames: n, .. } = posed;
    agree("frame_weights", frame_weights.len(), n)?;
    check::finite("frame_weights", frame_weights)?;
    agree("groups", groups.of.len(), n)?;
    within("pad", pad, 1..=MOST_PAD)?;
    let cells = volume_len(reach_for(plane.max_shell, pad));
    check::room("group_count", groups.count, groups.count as f64 * cells as f64 * CELL)?;
    let m = plane.len();
    let heaviest = weights.iter().copied().fold(0.0, f32::max);
    let sums: Vec<(Accumulator, f64)> = (0..groups.count)
        .into_par_iter()
        .map(|group| {
            let mut sum = Accumulator::new(plane.max_shell, pad);
            let mut centred = vec![Complex32::default(); m];
            let mut scaled = vec![0.0; m];
            // No cell gets more of a frame than a few of its largest samples.
            let mut bound = 0.0;
            for i in (0..n).filter(|&i| groups.of[i] == group as i32 && frame_weights[i] > 0.0) {
                unshift(plane, posed.spectrum(i), shifts[i], &mut centred);
                bound += f64::from(heaviest)
                    * f64::from(frame_weights[i])
                    * (1.0 + f64::from(check::peak(&centred)));
                scaled.iter_mut().zip(weights).for_each(|(s, w)| *s = w * frame_weights[i]);
                sum.insert(&rotations[i], plane, &centred, &scaled);
            }
            sum.complete_plane();
            (sum, bound)
        })
        .collect();
    if sums.iter().all(|(_, bound)| SAMPLES * bound < f64::from(f32::MAX)) {
        return Ok(sums.into_iter().map(|(sum, _)| sum).collect());
    }
    Err(posed.unsound(&[("frame_weights", &frame_weights)]))
}
