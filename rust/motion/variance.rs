//! Local variance of single frames: where they hold more fine detail than noise.
//!
//! A frame becomes counts / mean - 1, is filtered by a gain g(k), real and even, to y, and y² is averaged over square
//! cells. Large frames are filtered in tiles of the gain's size that overlap by a margin on each side, which the
//! circular convolution spoils; frames no larger than a tile are padded with zeros to one. Two tiles are the real and
//! the imaginary part of one complex image: a real, even filter keeps them apart. Columns of frequencies whose
//! gain is zero are not transformed.

use super::pixel::{Pixel, Repair};
use crate::check::{accept, all_finite, within};
use crate::error::{Error, Result};
use ndarray::{Array3, ArrayView2, ArrayView3};
use num_complex::Complex32;
use rayon::prelude::*;
use rustfft::{Fft, FftPlanner};
use std::ops::Range;
use std::sync::Arc;

/// Pixels that are held in single precision at a time, unless one frame has more.
const HELD: usize = 1 << 22;
/// Edge of the blocks in which an image is transposed.
const BLOCK: usize = 16;
/// Mean over standard deviation below which a frame counts as centred on zero already: it has no dose to divide by.
const CENTRED: f64 = 0.05;
/// Longest edge of a tile, px.
const MOST_EDGE: usize = 16_384;

/// A planned filter; shared by threads.
struct Filter {
    rows: usize,
    columns: usize,
    forward: [Arc<dyn Fft<f32>>; 2],
    inverse: [Arc<dyn Fft<f32>>; 2],
    /// Columns of the spectrum that the gain keeps, and the gain there, column by column, with the transforms' factor.
    used: Vec<usize>,
    gain: Vec<f32>,
}

/// Where a tile lies along one axis: its first pixel, and the cells whose mean it gives.
#[derive(Clone)]
struct Span {
    start: usize,
    cells: Range<usize>,
}

/// One tile of one frame.
struct Tile<'a> {
    frame: &'a [f32],
    level: Level,
    y: &'a Span,
    x: &'a Span,
}

/// How a frame becomes contrast: v / divisor - offset.
#[derive(Clone, Copy)]
struct Level {
    divisor: f32,
    offset: f32,
}

/// Working memory of one thread.
struct Scratch {
    image: Vec<Complex32>,
    spectrum: Vec<Complex32>,
    work: Vec<Complex32>,
}

impl Filter {
    fn new(gain: ArrayView2<f32>) -> Result<Self> {
        let (rows, columns) = gain.dim();
        within("rows of gain", rows, 8..=MOST_EDGE)?;
        within("columns of gain", columns, 8..=MOST_EDGE)?;
        accept("gain", "not finite", gain.iter().all(|v| v.is_finite()), "finite numbers are needed")?;
        let used: Vec<usize> = (0..columns).filter(|&x| gain.column(x).iter().any(|&g| g != 0.0)).collect();
        let scale = 1.0 / (rows * columns) as f32;
        let values = used.iter().flat_map(|&x| gain.column(x).to_vec()).map(|g| g * scale).collect();
        let mut planner = FftPlanner::new();
        let forward = [planner.plan_fft_forward(columns), planner.plan_fft_forward(rows)];
        let inverse = [planner.plan_fft_inverse(columns), planner.plan_fft_inverse(rows)];
        Ok(Self { rows, columns, forward, inverse, used, gain: values })
    }

    fn scratch(&self) -> Scratch {
        let plans = self.forward.iter().chain(&self.inverse);
        let most = plans.map(|p| p.get_inplace_scratch_len()).max().unwrap_or(0);
        Scratch {
            image: vec![Complex32::default(); self.rows * self.columns],
            spectrum: vec![Complex32::default(); self.rows * self.used.len()],
            work: vec![Complex32::default(); most],
        }
    }

    /// Filters the image; rows outside `wanted` are not made.
    fn apply(&self, scratch: &mut Scratch, wanted: Range<usize>) {
        let (ny, nx) = (self.rows, self.columns);
        let Scratch { image, spectrum, work } = scratch;
        self.forward[0].process_with_scratch(image, work);
        for first in (0..self.used.len()).step_by(BLOCK) {
            let part = &self.used[first..(first + BLOCK).min(self.used.len())];
            for y in (0..ny).step_by(BLOCK) {
                for (i, &x) in part.iter().enumerate() {
                    for yy in y..(y + BLOCK).min(ny) {
                        spectrum[(first + i) * ny + yy] = image[yy * nx + x];
                    }
                }
            }
        }
        self.forward[1].process_with_scratch(spectrum, work);
        spectrum.iter_mut().zip(&self.gain).for_each(|(v, g)| *v *= g);
        self.inverse[1].process_with_scratch(spectrum, work);
        let image = &mut image[wanted.start * nx..wanted.end * nx];
        if self.used.len() < nx {
            image.fill(Complex32::default());
        }
        for first in (0..self.used.len()).step_by(BLOCK) {
            let part = &self.used[first..(first + BLOCK).min(self.used.len())];
            for y in wanted.clone().step_by(BLOCK) {
                for yy in y..(y + BLOCK).min(wanted.end) {
                    let row = &mut image[(yy - wanted.start) * nx..(yy - wanted.start + 1) * nx];
                    for (i, &x) in part.iter().enumerate() {
                        row[x] = spectrum[(first + i) * ny + yy];
                    }
                }
            }
        }
        self.inverse[0].process_with_scratch(image, work);
    }
}

/// Tiles of `edge` px along an axis of `length` px, in whole cells of `cell` px, with `margin` px beyond what they give.
fn spans(length: usize, edge: usize, cell: usize, margin: usize) -> Vec<Span> {
    let cells = length / cell;
    if length <= edge {
        return vec![Span { start: 0, cells: 0..cells }];
    }
    let each = (edge - 2 * margin) / cell;
    (0..cells.div_ceil(each))
        .map(|i| {
            let cells = i * each..((i + 1) * each).min(cells);
            Span { start: (cells.start * cell).saturating_sub(margin).min(length - edge), cells }
        })
        .collect()
}

impl Tile<'_> {
    /// Fills an image: this tile in its real part, `other` in its imaginary part.
    fn load(&self, other: Option<&Self>, nx: usize, filter: &Filter, image: &mut [Complex32]) {
        let ny = self.frame.len() / nx;
        let (rows, columns) = (filter.rows.min(ny), filter.columns.min(nx));
        for (y, to) in image.chunks_exact_mut(filter.columns).enumerate() {
            let (inside, beyond) = to.split_at_mut(if y < rows { columns } else { 0 });
            beyond.fill(Complex32::default());
            if inside.is_empty() {
                continue;
            }
            let row =
                |tile: &Self| -> &[f32] { &tile.frame[(tile.y.start + y) * nx + tile.x.start..][..columns] };
            let contrast = |v: f32, level: Level| v / level.divisor - level.offset;
            match other {
                Some(other) => {
                    for ((to, &a), &b) in inside.iter_mut().zip(row(self)).zip(row(other)) {
                        *to = Complex32::new(contrast(a, self.level), contrast(b, other.level));
                    }
                }
                None => inside
                    .iter_mut()
                    .zip(row(self))
                    .for_each(|(to, &a)| *to = Complex32::new(contrast(a, self.level), 0.0)),
            }
        }
    }

    /// Rows of the tile that its cells need.
    fn rows(&self, cell: usize) -> Range<usize> {
        self.y.cells.start * cell - self.y.start..self.y.cells.end * cell - self.y.start
    }

    /// Means of the squares over its cells; `image` begins at the row `first` of the tile.
    fn cells(
        &self,
        image: &[Complex32],
        columns: usize,
        first: usize,
        cell: usize,
        imaginary: bool,
    ) -> Vec<f32> {
        let width = self.x.cells.len();
        let mut out = vec![0.0_f32; self.y.cells.len() * width];
        let left = self.x.cells.start * cell - self.x.start;
        let area = (cell * cell) as f32;
        for (i, y) in self.rows(cell).enumerate() {
            let row = &image[(y - first) * columns + left..][..width * cell];
            let to = &mut out[i / cell * width..(i / cell + 1) * width];
            for (to, values) in to.iter_mut().zip(row.chunks_exact(cell)) {
                let square = |v: &Complex32| if imaginary { v.im * v.im } else { v.re * v.re };
                *to += values.iter().map(square).sum::<f32>();
            }
        }
        out.iter_mut().for_each(|v| *v /= area);
        out
    }
}

/// The two numbers that make a frame contrast.
fn level(frame: &[f32], nx: usize) -> Level {
    const LANES: usize = 8;
    let rows: Vec<[f64; 2]> = frame
        .par_chunks(nx)
        .map(|row| {
            // In lanes: one sum waits for the one before it.
            let (mut sums, mut squares) = ([0.0f64; LANES], [0.0f64; LANES]);
            let (chunks, rest) = row.as_chunks::<LANES>();
            for chunk in chunks {
                for l in 0..LANES {
                    let v = f64::from(chunk[l]);
                    sums[l] += v;
                    squares[l] += v * v;
                }
            }
            for &v in rest {
                sums[0] += f64::from(v);
                squares[0] += f64::from(v) * f64::from(v);
            }
            [sums.iter().sum(), squares.iter().sum()]
        })
        .collect();
    let [sum, square] = rows.iter().fold([0.0, 0.0], |[s, q], row| [s + row[0], q + row[1]]);
    let mean = sum / frame.len() as f64;
    let deviation = (square / frame.len() as f64 - mean * mean).max(0.0).sqrt();
    if mean > CENTRED * deviation {
        Level { divisor: mean as f32, offset: 1.0 }
    } else {
        Level { divisor: 1.0, offset: mean as f32 }
    }
}

/// Mean square of the filtered frames (m, y, x) in cells of `cell` px: `(m, y / cell, x / cell)`.
///
/// Pixels marked in `bad` (y, x) or above `ceiling` are repaired as by [`super::repair`]. `gain` (tile y, tile x) in the order of
/// a discrete Fourier transform; tiles overlap by `margin` px on each side.
///
/// # Errors
/// Flags of other frames, a gain that is not finite, cells or margins that leave nothing of a tile, or frames whose
/// mean squares are not finite.
pub fn local_variance<T: Pixel>(
    frames: ArrayView3<T>,
    bad: ArrayView2<bool>,
    ceiling: f32,
    gain: ArrayView2<f32>,
    cell: usize,
    margin: usize,
) -> Result<Array3<f32>> {
    let (m, ny, nx) = frames.dim();
    let repair = Repair::new((ny, nx), bad, ceiling)?;
    let filter = Filter::new(gain)?;
    within("cell", cell, 1..=ny.min(nx).max(1))?;
    let room = filter.rows.min(filter.columns);
    if margin >= MOST_EDGE || 2 * margin + cell > room {
        let given = format!("{margin} px with cells of {cell} px");
        return Err(Error::bad_input(
            "margin",
            given,
            format!("tiles of {room} px must keep a cell between margins"),
        ));
    }
    let (rows, columns) = (spans(ny, filter.rows, cell, margin), spans(nx, filter.columns, cell, margin));
    let (cells_y, cells_x) = (ny / cell, nx / cell);
    let mut out = Array3::zeros((m, cells_y, cells_x));
    let frames = frames.as_standard_layout();
    let values = frames.as_slice().expect("the standard layout is contiguous");
    let area = ny * nx;
    // Always an even number of frames where they are single tiles, so that frames pair up alike in any block.
    let step = (HELD / area.max(1) / 2 * 2).max(1);
    let mut held = vec![0.0_f32; step.min(m) * area];
    for first in (0..m).step_by(step) {
        let count = step.min(m - first);
        let held = &mut held[..count * area];
        let from = &values[first * area..(first + count) * area];
        held.par_chunks_mut(nx).zip(from.par_chunks(nx)).for_each(|(to, from)| {
            to.iter_mut().zip(from).for_each(|(to, v)| *to = v.value());
        });
        held.par_chunks_mut(area).for_each(|frame| repair.apply(frame));
        let tiles: Vec<Tile> = held
            .chunks(area)
            .flat_map(|frame| {
                let level = level(frame, nx);
                let columns = &columns;
                rows.iter().flat_map(move |y| columns.iter().map(move |x| Tile { frame, level, y, x }))
            })
            .collect();
        let each = rows.len() * columns.len();
        let found: Vec<Vec<f32>> = tiles
            .par_chunks(2)
            .map_init(
                || filter.scratch(),
                |scratch, pair| {
                    pair[0].load(pair.get(1), nx, &filter, &mut scratch.image);
                    let wanted: Vec<Range<usize>> = pair.iter().map(|tile| tile.rows(cell)).collect();
                    let top = wanted.iter().map(|w| w.start).min().unwrap_or(0);
                    let end = wanted.iter().map(|w| w.end).max().unwrap_or(0);
                    filter.apply(scratch, top..end);
                    let image = &scratch.image[top * filter.columns..end * filter.columns];
                    let part =
                        |(i, tile): (usize, &Tile)| tile.cells(image, filter.columns, top, cell, i == 1);
                    pair.iter().enumerate().map(part).collect::<Vec<_>>()
                },
            )
            .flatten_iter()
            .collect();
        for (i, (tile, values)) in tiles.iter().zip(&found).enumerate() {
            if !all_finite(values) {
                let given = format!("not finite in frame {}", first + i / each);
                return Err(Error::bad_input("frames", given, "finite pixels are needed"));
            }
            let mut to =
                out.slice_mut(ndarray::s![first + i / each, tile.y.cells.clone(), tile.x.cells.clone()]);
            to.iter_mut().zip(values).for_each(|(to, v)| *to = *v);
        }
    }
    Ok(out)
}
