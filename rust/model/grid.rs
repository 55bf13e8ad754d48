//! Sums of plane waves at arbitrary points of an image, and their exact adjoint.
//!
//! Forward and adjoint, with r_a in px from the image's centre and k on the half plane of [`HalfPlane`]:
//!
//! ```text
//! S(k) = Σ_a v_a exp(−2πi k·r_a / N),      A(r_a) = Re Σ_k Y(k) exp(+2πi k·r_a / N)
//! ```
//!
//! Points are spread with the window φ on a grid of M × M, transformed, and divided by the transform of φ; the adjoint
//! runs the same steps backwards, so ⟨S(v), Y⟩ = ⟨v, A(Y)⟩ to rounding. The slopes ∂A/∂r are those of φ.
//!
//! Cells are held with y along a line. Eight lines along x are transformed together, each a + ib of two real ones, which
//! the symmetry of real spectra takes apart; then eight along y, so that spectra come out row by row. Cells that no
//! window reaches are left out. The inverse transform is the forward one of numbers whose real and imaginary parts have
//! changed places.

use super::places::{BEFORE, Cells, Places};
use super::transform::{LaneTransform, Point};
use super::window::{WIDTH, Window};
use crate::fourier::{HalfPlane, good_length};
use crate::lanes::{LANES, Lanes, in_lanes};
use num_complex::Complex32;
use std::ops::Range;

/// Least oversampling of the grid; errors are then about 1e−4 of a wave's amplitude.
const OVERSAMPLING: f64 = 1.33;

/// Transform between points and one half plane; shared by threads.
pub struct Grid {
    /// Half plane.
    pub plane: HalfPlane,
    pub(super) cells: Cells,
    /// (−1)^k / φ̂(k) for k = 0, 1, … in whole blocks, 0 beyond K.
    across: Vec<[f32; LANES]>,
    /// What is packed of each block of eight kx.
    spans: Vec<Vec<Span>>,
    /// kx and ky in packed order.
    pub(super) frequencies: [Vec<f32>; 2],
    transform: LaneTransform,
}

/// Run of packed frequencies within one block of eight kx.
struct Span {
    /// ky modulo M.
    y: usize,
    /// Correction of ky.
    correction: f32,
    /// Packed index of the first one.
    at: usize,
    lanes: Range<usize>,
}

/// Working memory of one thread.
pub struct Memory {
    cells: Vec<f32>,
    /// `[y][block of kx]`.
    half: Vec<Point>,
    lines: [Vec<Point>; 2],
}

impl Grid {
    /// Transform for spectra on `plane`.
    #[must_use]
    pub fn new(plane: &HalfPlane) -> Self {
        let reach = plane.max_shell;
        let blocks = (reach + 1).div_ceil(LANES);
        let least = (2.0 * reach as f64 * OVERSAMPLING).ceil() as usize + 2;
        let side = good_length(least.max(LANES * blocks));
        let window = Window::new(side as f64 / (2.0 * reach as f64 + 1.0));
        let correction: Vec<f32> = (0..=reach)
            .map(|k| {
                let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
                (sign / window.transform(k as f64 / side as f64)) as f32
            })
            .collect();
        let along = |k: usize| correction.get(k).copied().unwrap_or(0.0);
        let across = (0..blocks).map(|b| std::array::from_fn(|l| along(LANES * b + l))).collect();
        let mut spans: Vec<Vec<Span>> = (0..blocks).map(|_| Vec::new()).collect();
        for row in &plane.rows {
            let (first, end) = (row.first as usize, row.first as usize + row.len);
            for block in first / LANES..end.div_ceil(LANES) {
                let start = LANES * block;
                let lanes = first.max(start) - start..end.min(start + LANES) - start;
                spans[block].push(Span {
                    y: row.ky.rem_euclid(side as i32) as usize,
                    // A = (Z(k) + Z(−k)*) / 2 and B = (Z(k) − Z(−k)*) / 2i: the halves are here.
                    correction: 0.5 * correction[row.ky.unsigned_abs() as usize],
                    at: row.start + start + lanes.start - first,
                    lanes,
                });
            }
        }
        let frequencies = plane.frequencies();
        let frequencies = [
            frequencies.iter().map(|k| k.0 as f32).collect(),
            frequencies.iter().map(|k| k.1 as f32).collect(),
        ];
        Self {
            plane: plane.clone(),
            frequencies,
            cells: Cells {
                side,
                // Two runs of whole blocks may stand beyond the last cell of a line.
                stride: (side + LANES).next_multiple_of(LANES) + 2 * LANES,
                scale: side as f32 / plane.size as f32,
                window,
            },
            across,
            spans,
            transform: LaneTransform::new(side),
        }
    }

    /// Working memory.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let line = vec![Point::default(); self.cells.side];
        Memory {
            cells: vec![0.0; self.cells.stride * (self.cells.side + LANES)],
            half: vec![Point::default(); self.cells.side * self.across.len()],
            lines: [line.clone(), line],
        }
    }

    in_lanes! {
        /// S into `out`, in packed order.
        pub fn forward = forward_on for Grid, (places: &Places, values: &[f32], memory: &mut Memory, out: &mut [Complex32])
    }

    in_lanes! {
        /// A of `values` times `filter` (both packed) and its slopes by x and y (per px) at the places.
        pub fn adjoint = adjoint_on for Grid,
            (values: &[Complex32], filter: &[f32], places: &Places, memory: &mut Memory, out: &mut [[f32; 3]])
    }

    #[inline(always)]
    pub(super) fn forward_on<L: Lanes>(
        &self,
        places: &Places,
        values: &[f32],
        memory: &mut Memory,
        out: &mut [Complex32],
    ) {
        let (stride, blocks) = (self.cells.stride, self.across.len());
        let Memory { cells, half, lines: [first, second] } = memory;
        let lines = if places.over { 0..self.cells.side + LANES } else { places.x.clone() };
        cells[lines.start * stride..lines.end * stride].fill(0.0);
        // Places that are only asked for have no height.
        for (spot, &value) in places.spots.iter().zip(values).filter(|(_, value)| **value != 0.0) {
            let along = L::load(&spot.y[0]);
            let rows = &mut cells[spot.corner..spot.corner + (WIDTH - 1) * stride + LANES];
            for j in 0..WIDTH {
                let row = eight_mut(&mut rows[j * stride..j * stride + LANES]);
                along.times_plus(L::splat(spot.x[0][j] * value), L::load(row)).store(row);
            }
        }
        if places.over {
            self.fold(cells);
        }
        for (one, other) in self.line_pairs(places) {
            let reached = places.x.start - BEFORE..places.x.end - BEFORE;
            clear_outside(first, &reached);
            for x in reached {
                let line = &cells[(x + BEFORE) * stride..(x + BEFORE + 1) * stride];
                first[x].re.copy_from_slice(&line[one..one + LANES]);
                first[x].im.copy_from_slice(&line[other..other + LANES]);
            }
            let spectra = self.transform.run::<L>(first, second);
            for block in 0..blocks {
                let zero = L::splat(0.0);
                let mut parts = [[zero; LANES]; 4];
                for l in 0..LANES {
                    let x = LANES * block + l;
                    let (z, w) = (&spectra[x], &spectra[if x == 0 { 0 } else { self.cells.side - x }]);
                    let (zr, zi, wr, wi) = (L::load(&z.re), L::load(&z.im), L::load(&w.re), L::load(&w.im));
                    (parts[0][l], parts[1][l]) = (zr.plus(wr), zi.minus(wi));
                    (parts[2][l], parts[3][l]) = (zi.plus(wi), wr.minus(zr));
                }
                for part in &mut parts {
                    *part = L::transpose(*part);
                }
                for (start, re, im) in [(one, &parts[0], &parts[1]), (other, &parts[2], &parts[3])] {
                    for l in 0..LANES.min(places.y.end.saturating_sub(start)) {
                        let point = &mut half[(start + l - BEFORE) * blocks + block];
                        re[l].store(&mut point.re);
                        im[l].store(&mut point.im);
                    }
                }
            }
        }
        let reached =
            if places.spots.is_empty() { 0..0 } else { places.y.start - BEFORE..places.y.end - BEFORE };
        for (block, spans) in self.spans.iter().enumerate() {
            clear_outside(first, &reached);
            for y in reached.clone() {
                first[y] = half[y * blocks + block];
            }
            let spectra = self.transform.run::<L>(first, second);
            let across = L::load(&self.across[block]);
            for span in spans {
                let point = &spectra[span.y];
                let factor = across.times(L::splat(span.correction));
                let (re, im) = (L::load(&point.re).times(factor), L::load(&point.im).times(factor));
                let to = &mut out[span.at..span.at + span.lanes.len()];
                if let Ok(whole) = to.try_into() {
                    L::store_complex(re, im, whole);
                } else {
                    let mut eight = [Complex32::default(); LANES];
                    L::store_complex(re, im, &mut eight);
                    to.copy_from_slice(&eight[span.lanes.clone()]);
                }
            }
        }
    }

    #[inline(always)]
    pub(super) fn adjoint_on<L: Lanes>(
        &self,
        values: &[Complex32],
        filter: &[f32],
        places: &Places,
        memory: &mut Memory,
        out: &mut [[f32; 3]],
    ) {
        if places.spots.is_empty() {
            return;
        }
        let (stride, blocks) = (self.cells.stride, self.across.len());
        let Memory { cells, half, lines: [first, second] } = memory;
        let reached = places.y.start - BEFORE..places.y.end - BEFORE;
        for (block, spans) in self.spans.iter().enumerate() {
            first.fill(Point::default());
            let across = L::load(&self.across[block]);
            for span in spans {
                let packed = span.at..span.at + span.lanes.len();
                let (values, filter) = (&values[packed.clone()], &filter[packed]);
                let mut factor = across.times(L::splat(span.correction));
                let (re, im);
                if let (Ok(values), Ok(filter)) = (values.try_into(), filter.try_into()) {
                    (re, im) = L::load_complex(values);
                    factor = factor.times(L::load(filter));
                } else {
                    let (mut eight, mut of) = ([Complex32::default(); LANES], [0.0; LANES]);
                    eight[span.lanes.clone()].copy_from_slice(values);
                    of[span.lanes.clone()].copy_from_slice(filter);
                    (re, im) = L::load_complex(&eight);
                    factor = factor.times(L::load(&of));
                }
                let point = &mut first[span.y];
                // Of a row in two runs both may stand in this block; they do not share a lane.
                factor.times_plus(im, L::load(&point.re)).store(&mut point.re);
                factor.times_plus(re, L::load(&point.im)).store(&mut point.im);
            }
            if block == 0 {
                // Of (0, ky) and (0, −ky) one is packed; a real image has the conjugate at the other.
                for span in spans.iter().filter(|span| span.lanes.start == 0) {
                    let [re, im] = [first[span.y].re[0], first[span.y].im[0]];
                    let mirrored = &mut first[self.cells.side - span.y];
                    (mirrored.re[0], mirrored.im[0]) = (-re, im);
                }
            }
            let lines = self.transform.run::<L>(first, second);
            for y in reached.clone() {
                half[y * blocks + block] = lines[y];
            }
        }
        for (one, other) in self.line_pairs(places) {
            let max_shell = self.plane.max_shell;
            first[max_shell + 1..self.cells.side - max_shell].fill(Point::default());
            for block in 0..blocks {
                let zero = L::splat(0.0);
                // Real and imaginary part of A, then of B: they have changed places in the lines.
                let mut parts = [[zero; LANES]; 4];
                for (start, part) in [(one, 0), (other, 2)] {
                    for l in 0..LANES.min(places.y.end.saturating_sub(start)) {
                        let point = &half[(start + l - BEFORE) * blocks + block];
                        (parts[part][l], parts[part + 1][l]) = (L::load(&point.im), L::load(&point.re));
                    }
                }
                for part in &mut parts {
                    *part = L::transpose(*part);
                }
                let [ar, ai, br, bi] = &parts;
                for l in 0..LANES.min((max_shell + 1).saturating_sub(LANES * block)) {
                    let x = LANES * block + l;
                    if x == 0 {
                        // Both are real.
                        br[l].store(&mut first[0].re);
                        ar[l].store(&mut first[0].im);
                        continue;
                    }
                    // Z(k) = A + iB and Z(−k) = A* + iB*.
                    ai[l].plus(br[l]).store(&mut first[x].re);
                    ar[l].minus(bi[l]).store(&mut first[x].im);
                    br[l].minus(ai[l]).store(&mut first[self.cells.side - x].re);
                    ar[l].plus(bi[l]).store(&mut first[self.cells.side - x].im);
                }
            }
            let lines = self.transform.run::<L>(first, second);
            for x in places.x.clone() {
                let (point, line) = (&lines[x - BEFORE], &mut cells[x * stride..(x + 1) * stride]);
                line[one..one + LANES].copy_from_slice(&point.im);
                line[other..other + LANES].copy_from_slice(&point.re);
            }
        }
        if places.over {
            self.unfold(cells);
        }
        for (spot, found) in places.spots.iter().zip(out) {
            let rows = &cells[spot.corner..spot.corner + (WIDTH - 1) * stride + LANES];
            let (mut value, mut slope) = (L::splat(0.0), L::splat(0.0));
            for j in 0..WIDTH {
                let row = L::load(eight(&rows[j * stride..j * stride + LANES]));
                value = row.times_plus(L::splat(spot.x[0][j]), value);
                slope = row.times_plus(L::splat(spot.x[1][j]), slope);
            }
            let (y, by_y) = (L::load(&spot.y[0]), L::load(&spot.y[1]));
            *found = [
                value.times(y).sum(),
                slope.times(y).sum() * self.cells.scale,
                value.times(by_y).sum() * self.cells.scale,
            ];
        }
    }

    /// First cells of each two blocks of lines along x that are transformed together.
    fn line_pairs(&self, places: &Places) -> impl Iterator<Item = (usize, usize)> + use<> {
        let half = places.y.len().div_ceil(2).next_multiple_of(LANES);
        let start = places.y.start;
        (0..half).step_by(LANES).map(move |at| (start + at, start + half + at))
    }

    /// Add what was spread beyond the edges to the other side.
    fn fold(&self, cells: &mut [f32]) {
        let (m, stride) = (self.cells.side, self.cells.stride);
        for (outer, inner) in self.edges() {
            for y in 0..m + LANES {
                cells[inner * stride + y] += cells[outer * stride + y];
            }
        }
        for x in BEFORE..BEFORE + m {
            for (outer, inner) in self.edges() {
                cells[x * stride + inner] += cells[x * stride + outer];
            }
            // The last block of lines reads on.
            cells[x * stride + BEFORE + m..(x + 1) * stride].fill(0.0);
        }
    }

    /// Repeat the grid beyond its edges: the adjoint of [`Grid::fold`].
    fn unfold(&self, cells: &mut [f32]) {
        let (m, stride) = (self.cells.side, self.cells.stride);
        for x in BEFORE..BEFORE + m {
            for (outer, inner) in self.edges() {
                cells[x * stride + outer] = cells[x * stride + inner];
            }
        }
        for (outer, inner) in self.edges() {
            cells.copy_within(inner * stride..(inner + 1) * stride, outer * stride);
        }
    }

    /// Lines (or cells of them) outside the grid and the ones inside that they stand for.
    fn edges(&self) -> impl Iterator<Item = (usize, usize)> {
        let m = self.cells.side;
        (0..BEFORE).map(move |i| (i, i + m)).chain((BEFORE + m..m + LANES).map(move |i| (i, i - m)))
    }
}

#[inline(always)]
fn eight(values: &[f32]) -> &[f32; LANES] {
    values.try_into().expect("the slice has that length")
}

#[inline(always)]
fn eight_mut(values: &mut [f32]) -> &mut [f32; LANES] {
    values.try_into().expect("the slice has that length")
}

/// Zeros outside a range.
fn clear_outside(points: &mut [Point], reached: &Range<usize>) {
    points[..reached.start].fill(Point::default());
    points[reached.end..].fill(Point::default());
}
