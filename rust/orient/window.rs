//! A candidate's overlap on a window of shifts, read from the images of a frame (see `lookup`).
//!
//! J is held at `PHASES` points a grid step along each axis, as `PHASES`² images of the grid, so that a window of shifts by
//! whole steps is one patch of one image for each atom.

use crate::orient::atoms::{Alike, AtomModel, BLOCK};
use crate::orient::score::{Match, window_peak};
use crate::volume::Rotation;

/// Points of J along each axis in a step of the grid: what is read is a sixteenth of a wavelength off at most.
pub(super) const PHASES: usize = 2;

/// Zeros round each image of a phase, so that no patch leaves it.
pub(super) const MARGIN: usize = 32;

/// Shifts of a row that are read at once: a vector of 16 bits.
const WIDTH: usize = 16;

/// Rows of a window wider than a vector that are read at once.
const ROWS: usize = 8;

/// Rows that the registers hold.
const MOST_ROWS: usize = 12;

/// Sums over a patch of shifts.
type Patch<T, const HIGH: usize> = [[T; WIDTH]; HIGH];

/// Most shifts to each side of the centre of the window.
pub(super) const MOST_STEPS: usize = 15;

/// A top whose point is this share of the highest one may still be the highest top: at a quarter of a wavelength a point
/// may lie an eighth off it along each axis.
const MAY_BE_HIGHEST: f32 = 0.75;

/// Shifts in the widest window.
const MAP: usize = (2 * MOST_STEPS + 1) * (2 * MOST_STEPS + 1);

/// J of one frame.
pub(super) struct Phases<'a> {
    /// `[phase][y][x]`, in units of `unit`.
    pub(super) images: &'a [i8],
    pub(super) unit: f32,
    /// First point of each atom's patch.
    pub(super) looks: &'a mut Vec<i32>,
    /// Points of a row of an image.
    pub(super) stride: usize,
    /// Grid points per px.
    pub(super) scale: f32,
}

impl Phases<'_> {
    /// Best shift of one candidate whose slice has that power.
    pub(super) fn best(
        &mut self,
        model: &AtomModel<'_>,
        r: &Rotation,
        start: [f32; 2],
        steps: usize,
        power: f32,
    ) -> Match {
        let (mut map, side) = ([0.0; MAP], 2 * steps + 1);
        let map = &mut map[..side * side];
        self.find(model, r, start, steps);
        if side <= ROWS / 2 {
            cut(&self.sum::<{ ROWS / 2 }>(&model.alike, [0, 0]), side, 0, map);
        } else if side <= ROWS {
            cut(&self.sum::<ROWS>(&model.alike, [0, 0]), side, 0, map);
        } else if side <= MOST_ROWS {
            cut(&self.sum::<MOST_ROWS>(&model.alike, [0, 0]), side, 0, map);
        } else {
            for (group, rows) in map.chunks_mut(ROWS * side).enumerate() {
                for across in (0..side).step_by(WIDTH) {
                    cut(&self.sum::<ROWS>(&model.alike, [across, group * ROWS]), side, across, rows);
                }
            }
        }
        map.iter_mut().for_each(|sum| *sum *= self.unit);
        let mut found = window_peak(map, steps, 1.0 / self.scale, power, MAY_BE_HIGHEST);
        found.shift[0] += start[0];
        found.shift[1] += start[1];
        found
    }

    /// Where the patches of all atoms begin, `first` steps of the grid before the start; those of atoms outside the image
    /// lie in its margin.
    fn find(&mut self, model: &AtomModel<'_>, r: &Rotation, start: [f32; 2], first: usize) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function was compiled for.
            return unsafe { self.find_avx2(model, r, start, first) };
        }
        self.find_baseline(model, r, start, first);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn find_avx2(&mut self, model: &AtomModel<'_>, r: &Rotation, start: [f32; 2], first: usize) {
        self.find_baseline(model, r, start, first);
    }

    #[inline(always)]
    fn find_baseline(&mut self, model: &AtomModel<'_>, r: &Rotation, start: [f32; 2], first: usize) {
        let fine = PHASES as f32 * self.scale;
        let middle = (PHASES * self.stride / 2 - PHASES * first) as f32 + 0.5; // truncation then rounds
        let origin = [start[0] * fine + middle, start[1] * fine + middle];
        let row = |i: usize| [r[i][0] * fine, r[i][1] * fine, r[i][2] * fine];
        let (rx, ry) = (row(0), row(1));
        let last = (PHASES * (self.stride - MARGIN)) as f32;
        let stride = self.stride as i32;
        let phases = PHASES as i32;
        self.looks.clear();
        for block in &model.blocks {
            let [xs, ys, zs] = &block.axes;
            let mut looks = [0; BLOCK];
            for (a, at) in looks.iter_mut().enumerate() {
                let x = rx[0] * xs[a] + rx[1] * ys[a] + rx[2] * zs[a] + origin[0];
                let y = ry[0] * xs[a] + ry[1] * ys[a] + ry[2] * zs[a] + origin[1];
                // SAFETY: clamped numbers fit (a clamp of NaN by max and min is a number).
                let (ix, iy): (i32, i32) = unsafe {
                    (x.max(0.0).min(last).to_int_unchecked(), y.max(0.0).min(last).to_int_unchecked())
                };
                let phase = (iy % phases) * phases + ix % phases;
                *at = (phase * stride + iy / phases) * stride + ix / phases;
            }
            self.looks.extend_from_slice(&looks);
        }
    }

    /// Σ_a h_a J(y_a + shift) over the unit for a patch of shifts, its first one `from` (x, y) of the window's first, in
    /// lanes as wide as the machine has.
    fn sum<const HIGH: usize>(&self, alike: &[Alike], from: [usize; 2]) -> Patch<f32, HIGH> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function was compiled for.
            return unsafe { self.sum_avx2::<HIGH>(alike, from) };
        }
        self.sum_baseline::<HIGH>(alike, from)
    }

    /// The same in vectors of sixteen, which the compiler does not find by itself.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn sum_avx2<const HIGH: usize>(&self, alike: &[Alike], from: [usize; 2]) -> Patch<f32, HIGH> {
        use std::arch::x86_64::{
            _mm_loadu_si128, _mm256_add_epi16, _mm256_cvtepi8_epi16, _mm256_setzero_si256,
            _mm256_storeu_si256,
        };
        let stride = self.stride;
        let images = &self.images[from[1] * stride + from[0]..];
        let mut total = [[0.0f32; WIDTH]; HIGH];
        for group in alike {
            let mut sums = [_mm256_setzero_si256(); HIGH];
            for &at in &self.looks[group.atoms.clone()] {
                let patch = &images[at as usize..][..(HIGH - 1) * stride + WIDTH];
                for i in 0..HIGH {
                    let line: &[i8; WIDTH] =
                        patch[i * stride..][..WIDTH].try_into().expect("the slice has this length");
                    // SAFETY: the line has as many bytes as are read.
                    let bytes = unsafe { _mm_loadu_si128(line.as_ptr().cast()) };
                    sums[i] = _mm256_add_epi16(sums[i], _mm256_cvtepi8_epi16(bytes));
                }
            }
            for (total, &sums) in total.iter_mut().zip(&sums) {
                let mut whole = [0i16; WIDTH];
                // SAFETY: the array has as many bytes as are written.
                unsafe { _mm256_storeu_si256(whole.as_mut_ptr().cast(), sums) };
                add(total, &whole, group.height);
            }
        }
        total
    }

    fn sum_baseline<const HIGH: usize>(&self, alike: &[Alike], from: [usize; 2]) -> Patch<f32, HIGH> {
        let stride = self.stride;
        let images = &self.images[from[1] * stride + from[0]..];
        let mut total = [[0.0f32; WIDTH]; HIGH];
        for group in alike {
            // As many atoms of 7 bits each fit into 16 bits.
            let mut sums = [[0i16; WIDTH]; HIGH];
            for &at in &self.looks[group.atoms.clone()] {
                let patch = &images[at as usize..][..(HIGH - 1) * stride + WIDTH];
                for (i, sums) in sums.iter_mut().enumerate() {
                    let line = &patch[i * stride..][..WIDTH];
                    for (sum, &value) in sums.iter_mut().zip(line) {
                        *sum += i16::from(value);
                    }
                }
            }
            total.iter_mut().zip(&sums).for_each(|(total, sums)| add(total, sums, group.height));
        }
        total
    }
}

/// Nothing is fused, so the numbers are the same to the last bit on every machine.
#[inline(always)]
fn add(total: &mut [f32; WIDTH], sums: &[i16; WIDTH], height: f32) {
    total.iter_mut().zip(sums).for_each(|(total, &sum)| *total += height * f32::from(sum));
}

/// Rows of a map of `side` shifts a row, from the one `across` on, out of a patch.
fn cut<const HIGH: usize>(patch: &Patch<f32, HIGH>, side: usize, across: usize, map: &mut [f32]) {
    let end = side.min(across + WIDTH);
    let rows = map.chunks_exact_mut(side).zip(patch);
    rows.for_each(|(out, row)| out[across..end].copy_from_slice(&row[..end - across]));
}
