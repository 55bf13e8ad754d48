//! Sums of plane waves at arbitrary points of an image, and their exact adjoint.
//!
//! Forward and adjoint, with r_a in px from the image's centre and k on the half plane of [`HalfPlane`]:
//!
//! ```text
//! S(k) = Σ_a v_a exp(−2πi k·r_a / N),      A(r_a) = Re Σ_k Y(k) exp(+2πi k·r_a / N)
//! ```
//!
//! Points are spread with the window φ on a grid of M × M, transformed, and divided by the transform of φ; the adjoint
//! runs the same steps backwards, so ⟨S(v), Y⟩ = ⟨v, A(Y)⟩ to rounding. The slopes ∂A/∂r are those of φ. Rows of the grid
//! are real and are transformed in pairs a + ib, which the symmetry of real spectra takes apart; rows that no window
//! reaches are left out.

use super::window::{LANES, WIDTH, Window};
use crate::fourier::{HalfPlane, good_length};
use num_complex::Complex32;
use rustfft::{Fft, FftPlanner};
use std::ops::Range;
use std::sync::Arc;

/// Least oversampling of the grid; errors are then about 1e−4 of a wave's amplitude.
const OVERSAMPLING: f64 = 1.33;
/// Grid points before the first row and column that windows may reach.
const BEFORE: usize = 2;

/// Transform between points and one half plane; shared by threads.
pub struct Grid {
    /// Half plane.
    pub plane: HalfPlane,
    side: usize,
    stride: usize,
    scale: f32,
    window: Window,
    /// (−1)^k / φ̂(k) for k = −K..=K.
    correction: Vec<f32>,
    transform: Arc<dyn Fft<f32>>,
    transform_back: Arc<dyn Fft<f32>>,
}

/// Points on the grid with their windows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spot {
    corner: usize,
    x: [[f32; LANES]; 2],
    y: [[f32; LANES]; 2],
}

/// Working memory of one thread.
pub struct Memory {
    cells: Vec<f32>,
    columns: Vec<Complex32>,
    lines: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl Grid {
    /// Transform for spectra on `plane`.
    #[must_use]
    pub fn new(plane: &HalfPlane) -> Self {
        let reach = plane.max_shell;
        let side = good_length((2.0 * reach as f64 * OVERSAMPLING).ceil() as usize + 2);
        let window = Window::new(side as f64 / (2.0 * reach as f64 + 1.0));
        let correction = (-(reach as i32)..=reach as i32)
            .map(|k| {
                let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
                (sign / window.transform(f64::from(k) / side as f64)) as f32
            })
            .collect();
        let mut planner = FftPlanner::new();
        Self {
            plane: plane.clone(),
            side,
            stride: side + LANES,
            scale: side as f32 / plane.size as f32,
            window,
            correction,
            transform: planner.plan_fft_forward(side),
            transform_back: planner.plan_fft_inverse(side),
        }
    }

    /// Working memory.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let need =
            self.transform.get_inplace_scratch_len().max(self.transform_back.get_inplace_scratch_len());
        Memory {
            cells: vec![0.0; self.stride * self.stride],
            columns: vec![Complex32::default(); (self.plane.max_shell + 1) * self.side],
            lines: vec![Complex32::default(); self.side / 2 * self.side],
            scratch: vec![Complex32::default(); need],
        }
    }

    /// Place of a point at (x, y) px from the image's centre; points outside the image come in on the other side.
    #[inline]
    #[must_use]
    pub fn spot(&self, x: f32, y: f32) -> Spot {
        let centre = (self.side / 2) as f32;
        let place = |v: f32| {
            let g = (v * self.scale + centre).rem_euclid(self.side as f32);
            // rem_euclid of a tiny negative number rounds to the side itself.
            let whole = (g as usize).min(self.side - 1);
            (whole, self.window.at(g - whole as f32))
        };
        let ((ix, x), (iy, y)) = (place(x), place(y));
        Spot { corner: iy * self.stride + ix, x, y }
    }

    /// S into `out`, in packed order.
    pub fn forward(&self, spots: &[Spot], values: &[f32], memory: &mut Memory, out: &mut [Complex32]) {
        memory.cells.fill(0.0);
        for (spot, &value) in spots.iter().zip(values) {
            for j in 0..WIDTH {
                let from = spot.corner + j * self.stride;
                let weight = spot.y[0][j] * value;
                let row: &mut [f32; LANES] =
                    (&mut memory.cells[from..from + LANES]).try_into().expect("the slice has that length");
                for (cell, x) in row.iter_mut().zip(&spot.x[0]) {
                    *cell += weight * x;
                }
            }
        }
        self.fold(&mut memory.cells);
        let (m, reach) = (self.side, self.plane.max_shell);
        let pairs = self.pairs(spots);
        let lines = &mut memory.lines[..pairs.len() * m];
        for (line, pair) in lines.chunks_exact_mut(m).zip(pairs.clone()) {
            let (even, odd) = self.two_rows(pair);
            for ((z, &a), &b) in line.iter_mut().zip(&memory.cells[even]).zip(&memory.cells[odd]) {
                *z = Complex32::new(a, b);
            }
        }
        self.transform.process_with_scratch(lines, &mut memory.scratch);
        for column in memory.columns.chunks_exact_mut(m) {
            column[..2 * pairs.start].fill(Complex32::default());
            column[2 * pairs.end..].fill(Complex32::default());
        }
        for (line, pair) in lines.chunks_exact(m).zip(pairs) {
            let mirrored = std::iter::once(&line[0]).chain(line[1..].iter().rev());
            for ((z, w), column) in line.iter().zip(mirrored).zip(memory.columns.chunks_exact_mut(m)) {
                // A = (Z(k) + Z(−k)*) / 2 and B = (Z(k) − Z(−k)*) / 2i; the halves are in the corrections below.
                column[2 * pair] = Complex32::new(z.re + w.re, z.im - w.im);
                column[2 * pair + 1] = Complex32::new(z.im + w.im, w.re - z.re);
            }
        }
        self.transform.process_with_scratch(&mut memory.columns, &mut memory.scratch);
        for row in &self.plane.rows {
            let y = row.ky.rem_euclid(m as i32) as usize;
            let cy = 0.5 * self.correction[(row.ky + reach as i32) as usize];
            let first = row.first as usize;
            for (i, value) in out[row.start..row.start + row.len].iter_mut().enumerate() {
                *value = memory.columns[(first + i) * m + y] * (cy * self.correction[reach + first + i]);
            }
        }
    }

    /// Make A of `values` (packed, weighted by what the caller wants) ready to be [`Grid::gather`]ed at `spots`.
    pub fn adjoint(&self, values: &[Complex32], spots: &[Spot], memory: &mut Memory) {
        let (m, reach) = (self.side, self.plane.max_shell);
        let correction = |k: i32| self.correction[(k + reach as i32) as usize];
        self.plane.lay_out(m, &mut memory.columns, |at, kx, ky| {
            values[at] * (0.5 * correction(ky) * correction(kx))
        });
        self.transform_back.process_with_scratch(&mut memory.columns, &mut memory.scratch);
        let pairs = self.pairs(spots);
        let lines = &mut memory.lines[..pairs.len() * m];
        lines.fill(Complex32::default());
        for (line, pair) in lines.chunks_exact_mut(m).zip(pairs.clone()) {
            for (x, column) in memory.columns.chunks_exact(m).enumerate() {
                let (a, b) = (column[2 * pair], column[2 * pair + 1]);
                // Z(k) = A + iB and Z(−k) = A* + iB*; both are real at 0.
                line[x] = Complex32::new(a.re - b.im, a.im + b.re);
                if x > 0 {
                    line[m - x] = Complex32::new(a.re + b.im, b.re - a.im);
                }
            }
            line[0] = Complex32::new(memory.columns[2 * pair].re, memory.columns[2 * pair + 1].re);
        }
        self.transform_back.process_with_scratch(lines, &mut memory.scratch);
        for (line, pair) in lines.chunks_exact(m).zip(pairs) {
            let (even, odd) = self.two_rows(pair);
            memory.cells[even].iter_mut().zip(line).for_each(|(cell, z)| *cell = z.re);
            memory.cells[odd].iter_mut().zip(line).for_each(|(cell, z)| *cell = z.im);
        }
        self.unfold(&mut memory.cells);
    }

    /// A and its slopes by x and y (per px) at a spot.
    #[inline]
    #[must_use]
    pub fn gather(&self, spot: &Spot, memory: &Memory) -> [f32; 3] {
        let mut out = [0.0f32; 3];
        for j in 0..WIDTH {
            let from = spot.corner + j * self.stride;
            let row: &[f32; LANES] =
                memory.cells[from..from + LANES].try_into().expect("the slice has that length");
            let mut products = [[0.0f32; LANES]; 2];
            for i in 0..LANES {
                products[0][i] = row[i] * spot.x[0][i];
                products[1][i] = row[i] * spot.x[1][i];
            }
            let [value, slope] =
                products.map(|p| ((p[0] + p[4]) + (p[1] + p[5])) + ((p[2] + p[6]) + (p[3] + p[7])));
            out[0] += spot.y[0][j] * value;
            out[1] += spot.y[0][j] * slope;
            out[2] += spot.y[1][j] * value;
        }
        [out[0], out[1] * self.scale, out[2] * self.scale]
    }

    /// Pairs of rows that the windows of `spots` reach; all where one reaches over an edge.
    fn pairs(&self, spots: &[Spot]) -> Range<usize> {
        if spots.is_empty() {
            return 0..0;
        }
        // Corners grow with their row, so the least and the greatest tell the rows.
        let corners = spots.iter().map(|s| s.corner);
        let (low, high) = corners.fold((usize::MAX, 0), |(low, high), c| (low.min(c), high.max(c)));
        let (first, last) = (low / self.stride, high / self.stride + WIDTH - 1);
        if first < BEFORE || last >= BEFORE + self.side {
            return 0..self.side / 2;
        }
        (first - BEFORE) / 2..(last - BEFORE) / 2 + 1
    }

    /// Cells of the two rows of a pair, without those beyond the edges.
    fn two_rows(&self, pair: usize) -> (Range<usize>, Range<usize>) {
        let from = (2 * pair + BEFORE) * self.stride + BEFORE;
        (from..from + self.side, from + self.stride..from + self.stride + self.side)
    }

    /// Add what was spread beyond the edges to the other side.
    fn fold(&self, cells: &mut [f32]) {
        let (m, stride) = (self.side, self.stride);
        for (outer, inner) in self.edges() {
            for x in 0..stride {
                cells[inner * stride + x] += cells[outer * stride + x];
            }
        }
        for y in BEFORE..BEFORE + m {
            for (outer, inner) in self.edges() {
                cells[y * stride + inner] += cells[y * stride + outer];
            }
        }
    }

    /// Repeat the grid beyond its edges: the adjoint of [`Grid::fold`].
    fn unfold(&self, cells: &mut [f32]) {
        let (m, stride) = (self.side, self.stride);
        for y in BEFORE..BEFORE + m {
            for (outer, inner) in self.edges() {
                cells[y * stride + outer] = cells[y * stride + inner];
            }
        }
        for (outer, inner) in self.edges() {
            cells.copy_within(inner * stride..(inner + 1) * stride, outer * stride);
        }
    }

    /// Rows (or columns) outside the grid and the ones inside that they stand for.
    fn edges(&self) -> impl Iterator<Item = (usize, usize)> {
        let m = self.side;
        (0..BEFORE).map(move |i| (i, i + m)).chain((BEFORE + m..m + LANES).map(move |i| (i, i - m)))
    }
}
