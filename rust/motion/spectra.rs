//! Spectra of windowed tiles.
//!
//! A tile of `size × size` pixels at `origin` (x, y) loses its mean, is multiplied by a Hann window in x and y and
//! transformed, `X(k) = Σ_r w(r) (f(r) - mean) exp(-2πi k·r)`, `r` counted from the tile's corner. Only `kx ≥ 0` is kept, in the
//! order `index = i·size + j` with `kx = i / size` and `ky = fftfreq(size)[j]` (cycles per pixel): the second
//! transform then runs over contiguous memory.

use crate::check::{all_finite, within};
use crate::error::{Error, Result};
use ndarray::{Array3, ArrayView2, ArrayView3};
use num_complex::Complex32;
use rayon::prelude::*;
use realfft::{RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

/// Largest tile, px.
const MOST_SIZE: usize = 16_384;

/// A planned tile transform; shared by threads.
pub struct TileTransform {
    size: usize,
    row: Arc<dyn RealToComplex<f32>>,
    column: Arc<dyn Fft<f32>>,
    window: Vec<f32>,
}

/// Working memory of one thread.
struct Scratch {
    line: Vec<f32>,
    half: Vec<Complex32>,
    row: Vec<Complex32>,
    column: Vec<Complex32>,
    spectrum: Vec<Complex32>,
}

impl TileTransform {
    /// Plans tiles of `size` pixels (even).
    pub fn new(size: usize) -> Result<Self> {
        within("tile size", size, 8..=MOST_SIZE)?;
        if !size.is_multiple_of(2) {
            return Err(Error::bad_input("tile size", size, "an even number of pixels is needed"));
        }
        let window = (0..size)
            .map(|i| 0.5 - 0.5 * (std::f32::consts::TAU * (i as f32 + 0.5) / size as f32).cos())
            .collect();
        Ok(Self {
            size,
            row: RealFftPlanner::new().plan_fft_forward(size),
            column: FftPlanner::new().plan_fft_forward(size),
            window,
        })
    }

    fn scratch(&self, columns: usize) -> Scratch {
        Scratch {
            line: self.row.make_input_vec(),
            half: self.row.make_output_vec(),
            row: self.row.make_scratch_vec(),
            column: vec![Complex32::default(); self.column.get_inplace_scratch_len()],
            spectrum: vec![Complex32::default(); columns * self.size],
        }
    }

    /// Spectrum of one tile, its first `columns` values of kx, into `scratch.spectrum`.
    fn transform(&self, frame: ArrayView2<f32>, x0: usize, y0: usize, columns: usize, scratch: &mut Scratch) {
        let n = self.size;
        let tile = frame.slice(ndarray::s![y0..y0 + n, x0..x0 + n]);
        let mean = (tile.iter().map(|&v| f64::from(v)).sum::<f64>() / (n * n) as f64) as f32;
        for (y, line) in tile.rows().into_iter().enumerate() {
            for ((to, &v), &w) in scratch.line.iter_mut().zip(line).zip(&self.window) {
                *to = (v - mean) * w * self.window[y];
            }
            self.row
                .process_with_scratch(&mut scratch.line, &mut scratch.half, &mut scratch.row)
                .expect("the buffers were made by this plan, so their lengths agree");
            for (i, &v) in scratch.half[..columns].iter().enumerate() {
                scratch.spectrum[i * n + y] = v;
            }
        }
        for column in scratch.spectrum.chunks_exact_mut(n) {
            self.column.process_with_scratch(column, &mut scratch.column);
        }
    }
}

/// Chosen coefficients of every tile of every frame, `(m, tiles, k)`.
///
/// `origins` (m, tiles, 2) are the tiles' corners (x, y) in each frame, `keep` (tiles, k) the coefficients in the
/// order of this module.
///
/// # Errors
/// Tiles that do not lie in the frames, coefficients that there are not, or pixels that are not finite.
pub fn tile_spectra(
    frames: ArrayView3<f32>,
    origins: ArrayView3<i64>,
    size: usize,
    keep: ArrayView2<u32>,
) -> Result<Array3<Complex32>> {
    let (m, ny, nx) = frames.dim();
    let (tiles, kept) = keep.dim();
    let plan = TileTransform::new(size)?;
    if origins.dim() != (m, tiles, 2) {
        return Err(Error::bad_input(
            "origins",
            format!("{:?}", origins.dim()),
            format!("one corner (x, y) per frame and tile is needed: ({m}, {tiles}, 2)"),
        ));
    }
    let inside = |o: i64, n: usize| o >= 0 && o as usize + size <= n;
    if let Some(o) = origins.rows().into_iter().find(|o| !inside(o[0], nx) || !inside(o[1], ny)) {
        return Err(Error::bad_input(
            "origins",
            format!("({}, {})", o[0], o[1]),
            format!("tiles of {size} px must lie inside frames of {ny} x {nx}"),
        ));
    }
    let columns = keep.iter().map(|&i| i as usize / size + 1).max().unwrap_or(1);
    if columns > size / 2 + 1 {
        return Err(Error::bad_input(
            "keep",
            columns * size,
            format!("indices below {} are needed for tiles of {size} px", (size / 2 + 1) * size),
        ));
    }
    let mut out = Array3::zeros((m, tiles, kept));
    if kept == 0 {
        return Ok(out);
    }
    let flat = out.as_slice_mut().expect("a new array is contiguous");
    let mut sound = vec![false; m * tiles];
    flat.par_chunks_mut(kept).zip(&mut sound).enumerate().for_each_init(
        || plan.scratch(columns),
        |scratch, (job, (to, sound))| {
            let (frame, tile) = (job / tiles, job % tiles);
            let (x0, y0) = (origins[[frame, tile, 0]] as usize, origins[[frame, tile, 1]] as usize);
            plan.transform(frames.index_axis(ndarray::Axis(0), frame), x0, y0, columns, scratch);
            for (v, &i) in to.iter_mut().zip(keep.row(tile)) {
                *v = scratch.spectrum[i as usize];
            }
            *sound = all_finite(to);
        },
    );
    if let Some(job) = sound.iter().position(|sound| !sound) {
        let given = format!("not finite or too large in frame {}", job / tiles);
        return Err(Error::bad_input("frames", given, "repair such pixels first"));
    }
    Ok(out)
}
