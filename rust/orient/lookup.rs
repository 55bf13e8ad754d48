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
//! The frame is filtered once to the image J; every candidate then costs one look into J per atom, a hundredth of what
//! cutting a slice from a Fourier volume costs. J is held at `PHASES` points a grid step along each axis, the grid being a
//! quarter of the shortest wavelength, as `PHASES`² images of the grid, and the nearest point is read; what that
//! multiplies the spectrum by (sinc along each axis) is divided out beforehand (compare the second type of non-uniform
//! transform: Dutt and Rokhlin 1993, doi:10.1137/0914081). A window of shifts by whole steps of the grid is one patch of
//! one image.

use crate::fourier::{HalfPlane, good_length};
use crate::orient::power::SlicePower;
use crate::orient::score::{Match, window_peak};
use crate::volume::Rotation;
use num_complex::Complex32;
use rayon::prelude::*;
use realfft::{ComplexToReal, RealFftPlanner};
use rustfft::{Fft, FftPlanner};
use std::f32::consts::{PI, TAU};
use std::ops::Range;
use std::sync::Arc;

/// Grid points per shortest period.
const OVERSAMPLING: usize = 4;

/// Points of J along each axis in a step of the grid: what is read is a sixteenth of a wavelength off at most.
const PHASES: usize = 2;

/// Zeros round each image of a phase, so that no patch leaves it.
const MARGIN: usize = 16;

/// Rows of a patch that are summed at a time, so that the sums stay in registers.
const ROWS: usize = 4;

/// Most shifts to each side of the centre of the window.
pub const MOST_STEPS: usize = 7;

/// Atoms all alike but for their heights.
pub struct AtomModel<'a> {
    /// Positions (x, y, z) from the particle's centre, px.
    pub positions: &'a [[f32; 3]],
    /// Heights.
    pub heights: &'a [f32],
    /// The same, axis by axis.
    axes: [Vec<f32>; 3],
    /// Mean square of the atoms' distances from the centre along an axis, px².
    pub spread: f32,
    /// w c at the packed frequencies.
    pub filter: &'a [f32],
    /// Power of the model's slices.
    pub power: SlicePower<'a>,
}

impl<'a> AtomModel<'a> {
    /// Atoms at `positions` of `heights`, seen through `filter`, with the power of their slices.
    #[must_use]
    pub fn new(
        positions: &'a [[f32; 3]],
        heights: &'a [f32],
        filter: &'a [f32],
        power: SlicePower<'a>,
    ) -> Self {
        let square: f32 = positions.iter().flatten().map(|v| v * v).sum();
        let spread = square / (3 * positions.len().max(1)) as f32;
        let axes = std::array::from_fn(|i| positions.iter().map(|p| p[i]).collect());
        Self { positions, heights, axes, spread, filter, power }
    }
}

/// Distance (px) of the shifts of a window in images of this plane.
#[must_use]
pub fn shift_spacing(plane: &HalfPlane) -> f32 {
    plane.size as f32 / grid_side(plane) as f32
}

/// Side of the grid of J.
fn grid_side(plane: &HalfPlane) -> usize {
    good_length(OVERSAMPLING * plane.max_shell)
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
                let spectrum = packed(spectra, plane, frame_of[range.start]);
                let mut phases = filter.phases(spectrum, model.filter, scratch);
                range.map(|i| phases.best(model, &rotations[i], starts[i], steps)).collect()
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

/// From a packed spectrum to images of it times a filter.
pub(super) struct FrameFilter<'a> {
    pub(super) plane: &'a HalfPlane,
    /// Points along each side of the grid.
    pub(super) side: usize,
    /// For each phase, of each packed frequency: the move to it over what reading the nearest point multiplies by.
    phases: Vec<Vec<Complex32>>,
    columns: Arc<dyn Fft<f32>>,
    rows: Arc<dyn ComplexToReal<f32>>,
}

/// Working memory of one thread.
pub(super) struct Scratch {
    /// `[kx][y]`.
    columns: Vec<Complex32>,
    line: Vec<Complex32>,
    work: Vec<Complex32>,
    images: Vec<f32>,
    looks: Vec<i32>,
}

impl<'a> FrameFilter<'a> {
    pub(super) fn new(plane: &'a HalfPlane) -> Self {
        let side = grid_side(plane);
        let fine = (PHASES * side) as f32;
        let sinc = |k: i32| {
            let x = PI * k as f32 / fine;
            if k == 0 { 1.0 } else { x.sin() / x }
        };
        let step = |phase: usize| {
            let (py, px) = ((phase / PHASES) as f32, (phase % PHASES) as f32);
            let at = |&(x, y): &(i32, i32)| {
                Complex32::cis(TAU * (x as f32 * px + y as f32 * py) / fine) / (sinc(x) * sinc(y))
            };
            plane.frequencies().iter().map(at).collect()
        };
        let columns = FftPlanner::new().plan_fft_inverse(side);
        let rows = RealFftPlanner::new().plan_fft_inverse(side);
        Self { plane, side, phases: (0..PHASES * PHASES).map(step).collect(), columns, rows }
    }

    pub(super) fn scratch(&self) -> Scratch {
        Scratch {
            columns: vec![Complex32::default(); (self.plane.max_shell + 1) * self.side],
            line: self.rows.make_input_vec(),
            work: vec![
                Complex32::default();
                self.columns.get_inplace_scratch_len().max(self.rows.get_scratch_len())
            ],
            images: vec![0.0; PHASES * PHASES * self.stride() * self.stride()],
            looks: Vec::new(),
        }
    }

    /// J at all phases.
    pub(super) fn phases<'s>(
        &self,
        spectrum: &[Complex32],
        filter: &[f32],
        scratch: &'s mut Scratch,
    ) -> Phases<'s> {
        let mut images = std::mem::take(&mut scratch.images);
        let stride = self.stride();
        for (image, factor) in images.chunks_exact_mut(stride * stride).zip(&self.phases) {
            let inside = image[MARGIN * stride..].chunks_exact_mut(stride);
            self.image(spectrum, filter, factor, inside.map(|row| &mut row[MARGIN..]), scratch);
        }
        scratch.images = images;
        Phases {
            values: &scratch.images,
            looks: &mut scratch.looks,
            side: self.side,
            stride,
            scale: self.scale(),
        }
    }

    /// Points from one row of a phase's image to the next.
    fn stride(&self) -> usize {
        self.side + 2 * MARGIN
    }

    /// Grid points per px.
    pub(super) fn scale(&self) -> f32 {
        self.side as f32 / self.plane.size as f32
    }

    /// Re Σ_k filter · factor · X · exp(+2πi k·y/N) on the grid, its origin at (side/2, side/2), into rows.
    pub(super) fn image<'i>(
        &self,
        spectrum: &[Complex32],
        filter: &[f32],
        factor: &[Complex32],
        rows: impl Iterator<Item = &'i mut [f32]>,
        scratch: &mut Scratch,
    ) {
        let side = self.side;
        self.plane.lay_out(side, &mut scratch.columns, |at, kx, ky| {
            // (−1)^(kx+ky) puts the origin in the middle of the grid. Half of each pair k, −k is packed: the real part of
            // the sum over it is half the sum over both, which is what the real transform takes.
            let sign = if (kx + ky) % 2 == 0 { 0.5 } else { -0.5 };
            spectrum[at] * factor[at] * (filter[at] * sign)
        });
        self.columns.process_with_scratch(&mut scratch.columns, &mut scratch.work);
        for (y, out) in rows.take(side).enumerate() {
            scratch.line.fill(Complex32::default());
            for (kx, value) in scratch.line.iter_mut().enumerate().take(self.plane.max_shell + 1) {
                *value = scratch.columns[kx * side + y];
            }
            scratch.line[0].im = 0.0; // rounding of a sum that is real by symmetry
            self.rows
                .process_with_scratch(&mut scratch.line, &mut out[..side], &mut scratch.work)
                .expect("the lines have the planned length");
        }
    }
}

/// J of one frame, `[phase][y][x]`.
pub(super) struct Phases<'a> {
    values: &'a [f32],
    /// First point of each atom's patch.
    looks: &'a mut Vec<i32>,
    side: usize,
    stride: usize,
    /// Grid points per px.
    scale: f32,
}

impl Phases<'_> {
    /// Best shift of one candidate.
    pub(super) fn best(
        &mut self,
        model: &AtomModel<'_>,
        r: &Rotation,
        start: [f32; 2],
        steps: usize,
    ) -> Match {
        let mut window = [0.0f32; (2 * MOST_STEPS + 1) * (2 * MOST_STEPS + 1)];
        let side = 2 * steps + 1;
        let window = &mut window[..side * side];
        self.find(model, r, start, steps);
        match side {
            0..=4 => self.sum::<4>(model.heights, side, window),
            5..=8 => self.sum::<8>(model.heights, side, window),
            _ => self.sum::<16>(model.heights, side, window),
        }
        let mut found = window_peak(window, steps, 1.0 / self.scale, model.power.at(r));
        found.shift[0] += start[0];
        found.shift[1] += start[1];
        found
    }

    /// Where the patches of all atoms begin; those of atoms outside the image lie in its margin.
    fn find(&mut self, model: &AtomModel<'_>, r: &Rotation, start: [f32; 2], steps: usize) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function was compiled for.
            return unsafe { self.find_avx2(model, r, start, steps) };
        }
        self.find_baseline(model, r, start, steps);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn find_avx2(&mut self, model: &AtomModel<'_>, r: &Rotation, start: [f32; 2], steps: usize) {
        self.find_baseline(model, r, start, steps);
    }

    #[inline(always)]
    fn find_baseline(&mut self, model: &AtomModel<'_>, r: &Rotation, start: [f32; 2], steps: usize) {
        let fine = PHASES as f32 * self.scale;
        let middle = (PHASES * (self.side / 2 + MARGIN - steps)) as f32 + 0.5; // truncation then rounds
        let origin = [start[0] * fine + middle, start[1] * fine + middle];
        let row = |i: usize| [r[i][0] * fine, r[i][1] * fine, r[i][2] * fine];
        let (rx, ry) = (row(0), row(1));
        let last = (PHASES * (self.stride - MARGIN)) as f32;
        let stride = self.stride as i32;
        let phases = PHASES as i32;
        let [xs, ys, zs] = &model.axes;
        self.looks.resize(xs.len(), 0);
        for (((at, &px), &py), &pz) in self.looks.iter_mut().zip(xs).zip(ys).zip(zs) {
            let x = rx[0] * px + rx[1] * py + rx[2] * pz + origin[0];
            let y = ry[0] * px + ry[1] * py + ry[2] * pz + origin[1];
            // SAFETY: clamped numbers fit (a clamp of NaN by max and min is a number).
            let (ix, iy): (i32, i32) =
                unsafe { (x.max(0.0).min(last).to_int_unchecked(), y.max(0.0).min(last).to_int_unchecked()) };
            let phase = (iy % phases) * phases + ix % phases;
            *at = (phase * stride + iy / phases) * stride + ix / phases;
        }
    }

    /// Σ_a h_a J(y_a + shift) for all shifts of the window, in lanes as wide as the machine has.
    fn sum<const WIDTH: usize>(&self, heights: &[f32], side: usize, window: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function was compiled for.
            return unsafe { self.sum_avx2::<WIDTH>(heights, side, window) };
        }
        self.sum_baseline::<WIDTH>(heights, side, window);
    }

    /// The same code in lanes of eight. Nothing is fused, so the numbers are the same to the last bit.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn sum_avx2<const WIDTH: usize>(&self, heights: &[f32], side: usize, window: &mut [f32]) {
        self.sum_baseline::<WIDTH>(heights, side, window);
    }

    /// WIDTH ≥ `side` columns are summed, `ROWS` rows at a time.
    #[inline(always)]
    fn sum_baseline<const WIDTH: usize>(&self, heights: &[f32], side: usize, window: &mut [f32]) {
        for (group, out) in window.chunks_mut(ROWS * side).enumerate() {
            let down = group * ROWS * self.stride;
            let mut sums = [[0.0f32; WIDTH]; ROWS];
            for (&at, &h) in self.looks.iter().zip(heights) {
                let at = at as usize;
                let patch = &self.values[at + down..at + down + (ROWS - 1) * self.stride + WIDTH];
                let lines: [&[f32; WIDTH]; ROWS] = std::array::from_fn(|i| {
                    patch[i * self.stride..][..WIDTH].try_into().expect("the slice has this length")
                });
                for i in 0..ROWS {
                    for j in 0..WIDTH {
                        sums[i][j] += h * lines[i][j];
                    }
                }
            }
            for (out, sum) in out.chunks_exact_mut(side).zip(&sums) {
                out.copy_from_slice(&sum[..side]);
            }
        }
    }
}
