//! Candidate poses of a frame against the atoms of a model.
//!
//! With atoms x_a of heights h_a, all of one transfer c(|k|), the overlap of a frame X with the model's image at
//! rotation R and shift t is
//!
//! ```text
//! b = Re Σ_k w c X Σ_a h_a exp(+2πi k·y_a/N) = Σ_a h_a J(y_a),   y_a = (R x_a)_xy + t,
//! J(y) = Re Σ_k w c X exp(+2πi k·y/N)
//! ```
//!
//! The frame is filtered once to the image J; every candidate then costs one look into J per atom, some
//! forty times less than cutting a slice from a Fourier volume. J is held on a grid of a quarter of its shortest
//! wavelength and read bilinearly, what that multiplies its spectrum by (sinc² along each axis) being divided out
//! beforehand (the second type of non-uniform transform: Dutt and Rokhlin 1993, doi:10.1137/0914081). A window of shifts by whole
//! steps of the grid shares the weights of the four points, so that the whole window is one patch per atom.

use crate::fourier::HalfPlane;
use crate::orient::power::SlicePower;
use crate::orient::score::{Match, window_peak};
use crate::volume::Rotation;
use num_complex::Complex32;
use rayon::prelude::*;
use realfft::{ComplexToReal, RealFftPlanner};
use rustfft::{Fft, FftPlanner};
use std::f32::consts::PI;
use std::ops::Range;
use std::sync::Arc;

/// Grid points per shortest period.
const OVERSAMPLING: usize = 4;

/// Most shifts to each side of the centre of the window.
pub const MOST_STEPS: usize = 7;

/// Atoms all alike but for their heights.
pub struct AtomModel<'a> {
    /// Positions (x, y, z) from the particle's centre, px.
    pub positions: &'a [[f32; 3]],
    /// Heights.
    pub heights: &'a [f32],
    /// w c at the packed frequencies.
    pub filter: &'a [f32],
    /// Power of the model's slices.
    pub power: SlicePower<'a>,
}

/// Distance (px) of the shifts of a window in images of this plane.
#[must_use]
pub fn shift_spacing(plane: &HalfPlane) -> f32 {
    plane.size as f32 / grid_side(plane) as f32
}

/// Side of the grid of J: an even number without large prime factors.
fn grid_side(plane: &HalfPlane) -> usize {
    let smooth = |mut n: usize| {
        for p in [2, 3, 5] {
            while n.is_multiple_of(p) {
                n /= p;
            }
        }
        n == 1
    };
    (OVERSAMPLING * plane.max_shell..)
        .find(|&n| n.is_multiple_of(2) && smooth(n))
        .expect("powers of two are smooth")
}

/// Best shift of every candidate within (2·`steps` + 1)² shifts round its start.
///
/// `frame_of` (ascending) names the frame of each candidate, `starts` its shift in px. Atoms that leave the box count
/// nothing. Order is kept; the result does not depend on the number of threads.
#[must_use]
pub fn look_up(
    spectra: &[Complex32],
    plane: &HalfPlane,
    model: &AtomModel<'_>,
    rotations: &[Rotation],
    frame_of: &[usize],
    starts: &[[f32; 2]],
    steps: usize,
) -> Vec<Match> {
    let filter = FrameFilter::new(plane);
    let found: Vec<Vec<Match>> = by_frame(frame_of)
        .into_par_iter()
        .map_init(
            || filter.scratch(),
            |scratch, range| {
                let image =
                    filter.apply(packed(spectra, plane, frame_of[range.start]), model.filter, scratch);
                range.map(|i| image.best(model, &rotations[i], starts[i], steps)).collect()
            },
        )
        .collect();
    found.concat()
}

/// Candidates of one frame after the other.
pub(super) fn by_frame(frame_of: &[usize]) -> Vec<Range<usize>> {
    let mut start = 0;
    let range = |chunk: &[usize]| {
        start += chunk.len();
        start - chunk.len()..start
    };
    frame_of.chunk_by(|a, b| a == b).map(range).collect()
}

/// Spectrum of one of many frames.
pub(super) fn packed<'a>(spectra: &'a [Complex32], plane: &HalfPlane, frame: usize) -> &'a [Complex32] {
    &spectra[frame * plane.len()..(frame + 1) * plane.len()]
}

/// From a packed spectrum to the filtered image J.
pub(super) struct FrameFilter<'a> {
    plane: &'a HalfPlane,
    side: usize,
    /// Of each packed frequency: one over what bilinear reading multiplies it by.
    sharpen: Vec<f32>,
    columns: Arc<dyn Fft<f32>>,
    rows: Arc<dyn ComplexToReal<f32>>,
}

/// Working memory of one thread.
pub(super) struct Scratch {
    /// `[kx][y]`.
    columns: Vec<Complex32>,
    line: Vec<Complex32>,
    work: Vec<Complex32>,
    image: Vec<f32>,
}

impl<'a> FrameFilter<'a> {
    pub(super) fn new(plane: &'a HalfPlane) -> Self {
        let side = grid_side(plane);
        let sinc = |k: i32| {
            let x = PI * k as f32 / side as f32;
            if k == 0 { 1.0 } else { x.sin() / x }
        };
        let sharpen = plane.frequencies().iter().map(|&(x, y)| (sinc(x) * sinc(y)).powi(-2)).collect();
        let columns = FftPlanner::new().plan_fft_inverse(side);
        let rows = RealFftPlanner::new().plan_fft_inverse(side);
        Self { plane, side, sharpen, columns, rows }
    }

    pub(super) fn scratch(&self) -> Scratch {
        Scratch {
            columns: vec![Complex32::default(); (self.plane.max_shell + 1) * self.side],
            line: self.rows.make_input_vec(),
            work: vec![
                Complex32::default();
                self.columns.get_inplace_scratch_len().max(self.rows.get_scratch_len())
            ],
            image: vec![0.0; self.side * self.side],
        }
    }

    /// J on the grid, its origin at (side/2, side/2).
    pub(super) fn apply<'s>(
        &self,
        spectrum: &[Complex32],
        filter: &[f32],
        scratch: &'s mut Scratch,
    ) -> Image<'s> {
        let side = self.side;
        scratch.columns.fill(Complex32::default());
        for row in &self.plane.rows {
            let y = row.ky.rem_euclid(side as i32) as usize;
            for i in 0..row.len {
                let (at, kx) = (row.start + i, row.first as usize + i);
                // (−1)^(kx+ky) puts the origin in the middle of the grid. Half of each pair k, −k is packed: the real
                // part of the sum over it is half the sum over both, which is what the real transform takes.
                let sign = if (kx as i32 + row.ky) % 2 == 0 { 0.5 } else { -0.5 };
                let value = spectrum[at] * (filter[at] * self.sharpen[at] * sign);
                scratch.columns[kx * side + y] = value;
                if kx == 0 {
                    // Both halves of this column are read: −ky holds the conjugate.
                    scratch.columns[(side - y) % side] = value.conj();
                }
            }
        }
        self.columns.process_with_scratch(&mut scratch.columns, &mut scratch.work);
        for (y, out) in scratch.image.chunks_exact_mut(side).enumerate() {
            scratch.line.fill(Complex32::default());
            for (kx, value) in scratch.line.iter_mut().enumerate().take(self.plane.max_shell + 1) {
                *value = scratch.columns[kx * side + y];
            }
            scratch.line[0].im = 0.0; // rounding of a sum that is real by symmetry
            self.rows
                .process_with_scratch(&mut scratch.line, out, &mut scratch.work)
                .expect("the lines have the planned length");
        }
        Image { values: &scratch.image, side, scale: side as f32 / self.plane.size as f32 }
    }
}

pub(super) struct Image<'a> {
    values: &'a [f32],
    side: usize,
    /// Grid points per px.
    scale: f32,
}

impl Image<'_> {
    /// Best shift of one candidate.
    pub(super) fn best(&self, model: &AtomModel<'_>, r: &Rotation, start: [f32; 2], steps: usize) -> Match {
        let mut window = [0.0f32; (2 * MOST_STEPS + 1) * (2 * MOST_STEPS + 1)];
        let side = 2 * steps + 1;
        let window = &mut window[..side * side];
        self.all_shifts(model, r, start, steps, window);
        let mut found = window_peak(window, steps, 1.0 / self.scale, model.power.at(r));
        found.shift[0] += start[0];
        found.shift[1] += start[1];
        found
    }

    /// Σ_a h_a J(y_a + shift) for all shifts of the window, in lanes as wide as the machine has.
    fn all_shifts(
        &self,
        model: &AtomModel<'_>,
        r: &Rotation,
        start: [f32; 2],
        steps: usize,
        window: &mut [f32],
    ) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function was compiled for.
            return unsafe { self.all_shifts_avx2(model, r, start, steps, window) };
        }
        self.all_shifts_baseline(model, r, start, steps, window);
    }

    /// The same code in lanes of eight. Nothing is fused, so the numbers are the same to the last bit.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn all_shifts_avx2(
        &self,
        model: &AtomModel<'_>,
        r: &Rotation,
        start: [f32; 2],
        steps: usize,
        window: &mut [f32],
    ) {
        self.all_shifts_baseline(model, r, start, steps, window);
    }

    #[inline(always)]
    fn all_shifts_baseline(
        &self,
        model: &AtomModel<'_>,
        r: &Rotation,
        start: [f32; 2],
        steps: usize,
        window: &mut [f32],
    ) {
        match steps {
            0..=1 => self.sum::<4>(model, r, start, steps, window),
            2..=3 => self.sum::<8>(model, r, start, steps, window),
            4..=5 => self.sum::<12>(model, r, start, steps, window),
            _ => self.sum::<16>(model, r, start, steps, window),
        }
    }

    /// WIDTH ≥ 2·steps + 2 is the width of a patch.
    #[inline(always)]
    fn sum<const WIDTH: usize>(
        &self,
        model: &AtomModel<'_>,
        r: &Rotation,
        start: [f32; 2],
        steps: usize,
        window: &mut [f32],
    ) {
        let side = 2 * steps + 1;
        // Left and right points of the bilinear reading are summed apart: the shift by one column comes at the end.
        let mut left = [[0.0f32; WIDTH]; 2 * MOST_STEPS + 1];
        let mut right = [[0.0f32; WIDTH]; 2 * MOST_STEPS + 1];
        let middle = (self.side / 2) as f32 - steps as f32;
        let origin = [start[0] * self.scale + middle, start[1] * self.scale + middle];
        let row = |i: usize| [r[i][0] * self.scale, r[i][1] * self.scale, r[i][2] * self.scale];
        let (rx, ry) = (row(0), row(1));
        let last = (self.side - WIDTH.max(side + 1)) as f32;
        for (p, &h) in model.positions.iter().zip(model.heights) {
            let x = rx[0] * p[0] + rx[1] * p[1] + rx[2] * p[2] + origin[0];
            let y = ry[0] * p[0] + ry[1] * p[1] + ry[2] * p[2] + origin[1];
            if !(x >= 0.0 && y >= 0.0 && x < last && y < last) {
                continue;
            }
            let (ix, iy) = (x as usize, y as usize);
            let (fx, fy) = (x - ix as f32, y - iy as f32);
            let (at_left, at_right) = ((1.0 - fx) * h, fx * h);
            let patch = &self.values[iy * self.side + ix..];
            let line = |i: usize| -> &[f32; WIDTH] {
                patch[i * self.side..i * self.side + WIDTH].try_into().expect("the slice has this length")
            };
            let mut above = line(0);
            for i in 0..side {
                let below = line(i + 1);
                for j in 0..WIDTH {
                    let v = above[j] + fy * (below[j] - above[j]);
                    left[i][j] += at_left * v;
                    right[i][j] += at_right * v;
                }
                above = below;
            }
        }
        for i in 0..side {
            for j in 0..side {
                window[i * side + j] = left[i][j] + right[i][j + 1];
            }
        }
    }
}
