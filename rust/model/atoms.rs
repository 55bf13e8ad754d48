//! Atoms of one particle and their image at a pose.
//!
//! The transfer of an atom depends on its place along the beam, since the focus does. Expanded in the depth
//! ζ = 2 z_lab / N and in the excess width b_a of each atom, the image is a sum over channels c of one filter times
//! one sum of plane waves,
//!
//! ```text
//! P(k) = f_0(k) S[h] + f_b(k) S[h b] + f_1(k) S[h ζ] + f_2(k) S[h ζ²] + …
//! ```
//!
//! with f_b and the powers of ζ left out where there are none. All filters are real: an aberration-free shift of
//! focus turns the phase of the wave, but an intensity linear in a phase object stays in phase with it.

use super::grid::{Grid, Memory, Spot};
use crate::error::{Error, Result};
use crate::volume::Rotation;
use num_complex::Complex32;

/// Atoms and the filters of their channels.
#[derive(Debug, Clone, Copy)]
pub struct Model<'a> {
    /// Positions in the particle's frame, px from its centre.
    pub positions: &'a [[f32; 3]],
    /// Heights h.
    pub heights: &'a [f32],
    /// Excess widths b; empty when all atoms have the same width.
    pub widths: &'a [f32],
    /// Filters in the order of the module's equation, one packed plane each.
    pub filters: &'a [f32],
}

/// Gradient of a real function by position (lab or particle), height and width of one atom.
pub type AtomGradient = [f32; 5];

/// One atom model at one pose, and the working memory to make it.
pub struct View {
    /// Positions in the laboratory, px; the shift is not in them.
    pub lab: Vec<[f32; 3]>,
    /// Their places on the grid.
    pub spots: Vec<Spot>,
    /// S of each channel, packed one after the other.
    pub waves: Vec<Complex32>,
    /// P.
    pub image: Vec<Complex32>,
    /// The grid's working memory.
    pub memory: Memory,
    values: Vec<f32>,
    /// Packed working memory for the caller.
    pub product: Vec<Complex32>,
}

impl<'a> Model<'a> {
    /// Check that the parts fit each other and `points` frequencies.
    ///
    /// # Errors
    /// Numbers of heights, widths or filters that do not fit.
    pub fn new(
        positions: &'a [[f32; 3]],
        heights: &'a [f32],
        widths: &'a [f32],
        filters: &'a [f32],
        points: usize,
    ) -> Result<Self> {
        let n = positions.len();
        if heights.len() != n || !(widths.is_empty() || widths.len() == n) {
            return Err(Error::bad_input(
                "heights or widths",
                format!("{} and {} values", heights.len(), widths.len()),
                format!("{n} heights, and {n} widths or none, are needed"),
            ));
        }
        let least = 1 + usize::from(!widths.is_empty());
        if points == 0 || !filters.len().is_multiple_of(points) || filters.len() / points < least {
            return Err(Error::bad_input(
                "filters",
                format!("{} values", filters.len()),
                format!("rows of {points} are needed, at least {least}"),
            ));
        }
        Ok(Self { positions, heights, widths, filters })
    }

    /// Number of channels for planes of `points` frequencies.
    #[must_use]
    pub fn channels(&self, points: usize) -> usize {
        self.filters.len() / points
    }

    /// Working memory for this model on `grid`.
    #[must_use]
    pub fn view(&self, grid: &Grid) -> View {
        let m = grid.plane.len();
        View {
            lab: vec![[0.0; 3]; self.positions.len()],
            spots: vec![Spot::default(); self.positions.len()],
            waves: vec![Complex32::default(); self.filters.len()],
            image: vec![Complex32::default(); m],
            memory: grid.memory(),
            values: vec![0.0; self.positions.len()],
            product: vec![Complex32::default(); m],
        }
    }

    /// Power of the depth of a channel; `None` for the channel of the widths.
    fn depth_power(&self, channel: usize) -> Option<i32> {
        match (channel, self.widths.is_empty()) {
            (0, _) => Some(0),
            (1, false) => None,
            (c, empty) => Some(c as i32 - i32::from(!empty)),
        }
    }

    /// Put the atoms at rotation `r` and shift `t` (px).
    pub fn place(&self, grid: &Grid, r: &Rotation, t: [f32; 2], view: &mut View) {
        for ((lab, spot), x) in view.lab.iter_mut().zip(&mut view.spots).zip(self.positions) {
            *lab = std::array::from_fn(|i| r[i][0] * x[0] + r[i][1] * x[1] + r[i][2] * x[2]);
            *spot = grid.spot(lab[0] + t[0], lab[1] + t[1]);
        }
    }

    /// Image of the placed atoms into `view.image`, the waves of each channel into `view.waves`.
    pub fn project(&self, grid: &Grid, view: &mut View) {
        let m = grid.plane.len();
        let unit = 2.0 / grid.plane.size as f32;
        view.image.fill(Complex32::default());
        for (channel, filter) in self.filters.chunks_exact(m).enumerate() {
            let power = self.depth_power(channel);
            for (i, v) in view.values.iter_mut().enumerate() {
                *v = self.heights[i]
                    * power.map_or_else(|| self.widths[i], |p| (view.lab[i][2] * unit).powi(p));
            }
            let waves = &mut view.waves[channel * m..(channel + 1) * m];
            grid.forward(&view.spots, &view.values, &mut view.memory, waves);
            for ((image, wave), &f) in view.image.iter_mut().zip(waves).zip(filter) {
                *image += *wave * f;
            }
        }
    }

    /// S[h x], S[h y], S[h z] of the placed atoms with lab coordinates in px, into three rows of `moments`.
    pub fn moments(&self, grid: &Grid, view: &mut View, moments: &mut [Complex32]) {
        for (axis, out) in moments.chunks_exact_mut(grid.plane.len()).enumerate() {
            for ((v, lab), h) in view.values.iter_mut().zip(&view.lab).zip(self.heights) {
                *v = h * lab[axis];
            }
            grid.forward(&view.spots, &view.values, &mut view.memory, out);
        }
    }

    /// Gradient of `Re Σ Y* P` by each placed atom in the laboratory frame, added to `out` times `factor`; Y is
    /// `view.image` as the caller left it. The adjoint of [`Model::project`].
    pub fn pull_back(&self, grid: &Grid, view: &mut View, factor: f32, out: &mut [AtomGradient]) {
        let m = grid.plane.len();
        let unit = 2.0 / grid.plane.size as f32;
        for (channel, filter) in self.filters.chunks_exact(m).enumerate() {
            for ((p, y), &f) in view.product.iter_mut().zip(&view.image).zip(filter) {
                *p = y * f;
            }
            grid.adjoint(&view.product, &view.spots, &mut view.memory);
            let power = self.depth_power(channel);
            for (i, g) in out.iter_mut().enumerate() {
                let [value, by_x, by_y] = grid.gather(&view.spots[i], &view.memory).map(|v| v * factor);
                let (h, depth) = (self.heights[i], view.lab[i][2] * unit);
                let share = power.map_or_else(|| self.widths[i], |p| depth.powi(p));
                g[0] += h * share * by_x;
                g[1] += h * share * by_y;
                match power {
                    Some(p) if p > 0 => g[2] += h * p as f32 * depth.powi(p - 1) * unit * value,
                    Some(_) => {}
                    None => g[4] += h * value,
                }
                g[3] += share * value;
            }
        }
    }
}
