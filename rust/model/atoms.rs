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
//! with f_b and the powers of ζ left out where there are none. Atoms that move more in one direction than in another have
//! a tensor U each instead of b: exp(−2π² kᵀU k) ≈ 1 − 2π² kᵀU k, and with U turned into the laboratory
//!
//! ```text
//! kᵀU k = (k_x² + k_y²) (U_xx + U_yy)/2 + (k_x² − k_y²) (U_xx − U_yy)/2 + 2 k_x k_y U_xy
//! ```
//!
//! so that three channels, with the factors of −2π² f_0 in front of these three, take the place of f_b. The depth of
//! the whole particle, which a frame's own defocus is, adds to each ζ. All filters are real: an aberration-free shift of
//! focus turns the phase of the wave, but an intensity linear in a phase object stays in phase with it.

use super::grid::{Grid, Memory};
use super::places::Places;
use super::sums::Channels;
use crate::check::{self, Argument, accept};
use crate::error::{Error, Result};
use crate::fourier::HalfPlane;
use crate::frames::PosedFrames;
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
    /// Excess tensors U (xx, yy, zz, xy, xz, yz) in the particle's frame; empty when the widths tell all.
    pub tensors: &'a [Tensor],
    /// Filters in the order of the module's equation, one packed plane each.
    pub filters: &'a [f32],
}

/// Symmetric 3 × 3 tensor: xx, yy, zz, xy, xz, yz.
pub type Tensor = [f32; 6];

/// Gradient of a real function by position (lab or particle), height and width of one atom.
pub type AtomGradient = [f32; 5];

/// One atom model at one pose, and the working memory to make it.
pub struct View {
    /// Positions in the laboratory, px; the shift and the ellipse are not in them.
    pub lab: Vec<[f32; 3]>,
    /// Their tensors in the laboratory; empty when the model has none.
    pub tensors: Vec<Tensor>,
    /// Gradient by U_xx, U_yy and U_xy in the laboratory that [`Model::pull_back`] left; as many as `tensors`.
    pub by_tensor: Vec<[f32; 3]>,
    /// Depth of the particle along the beam, px; it adds to that of each atom in the image, not in `lab`.
    pub depth: f32,
    /// Ellipse of the magnification, as that of [`PosedFrames`].
    pub ellipse: [f32; 2],
    /// Their places on the grid.
    pub places: Places,
    /// S of each channel, packed one after the other.
    pub waves: Vec<Complex32>,
    /// P.
    pub image: Vec<Complex32>,
    /// The grid's working memory.
    pub memory: Memory,
    points: Vec<[f32; 2]>,
    values: Vec<f32>,
    /// Factor of the height of each atom, channel by channel.
    shares: Vec<f32>,
    /// Values and slopes of the last adjoint at the atoms.
    pub(super) found: Vec<[f32; 3]>,
}

/// What the waves of a channel are weighted with, besides the heights.
#[derive(Clone, Copy)]
enum Channel {
    /// A power of the depth.
    Depth(usize),
    /// The excess width.
    Width,
    /// (U_xx + U_yy)/2, (U_xx − U_yy)/2 or U_xy.
    Tensor(usize),
}

impl<'a> Model<'a> {
    /// Check that the parts fit each other and `points` frequencies.
    ///
    /// # Errors
    /// Numbers of heights, widths or filters that do not fit, or that are not finite.
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
        accept("positions", "empty", n > 0, "at least one atom is needed")?;
        check::places("positions", positions)?;
        for (name, values) in [("heights", heights), ("widths", widths), ("filters", filters)] {
            check::finite(name, values)?;
        }
        Ok(Self { positions, heights, widths, tensors: &[], filters })
    }

    /// The same atoms with tensors, whose three channels are then the second to fourth of `filters`.
    ///
    /// # Errors
    /// A number of tensors that is not that of the atoms, widths beside them, fewer than four filters, or tensors that
    /// are not finite.
    pub fn with_tensors(self, tensors: &'a [Tensor], points: usize) -> Result<Self> {
        if tensors.len() != self.positions.len() || !self.widths.is_empty() || self.channels(points) < 4 {
            return Err(Error::bad_input(
                "tensors",
                format!(
                    "{} with {} widths and {} filters",
                    tensors.len(),
                    self.widths.len(),
                    self.channels(points)
                ),
                format!("{} tensors, no widths, and at least four filters are needed", self.positions.len()),
            ));
        }
        check::finite("tensors", tensors.as_flattened())?;
        Ok(Self { tensors, ..self })
    }

    /// Refuse filters of another plane.
    pub(super) fn check(&self, plane: &HalfPlane) -> Result<()> {
        let whole = self.filters.len().is_multiple_of(plane.len());
        accept("filters", self.filters.len(), whole, &format!("rows of {} are needed", plane.len()))
    }

    /// Why a comparison of frames with these atoms is not finite.
    pub(super) fn unsound(&self, posed: &PosedFrames<'_>, others: &[(&'static str, &dyn Argument)]) -> Error {
        let mut arguments: Vec<(&'static str, &dyn Argument)> =
            vec![("heights", &self.heights), ("widths", &self.widths), ("filters", &self.filters)];
        arguments.extend(others);
        posed.unsound(&arguments)
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
            tensors: vec![[0.0; 6]; self.tensors.len()],
            by_tensor: vec![[0.0; 3]; self.tensors.len()],
            depth: 0.0,
            ellipse: [0.0; 2],
            places: Places::default(),
            waves: vec![Complex32::default(); self.filters.len()],
            image: vec![Complex32::default(); m],
            memory: grid.memory(),
            points: vec![[0.0; 2]; self.positions.len()],
            values: vec![0.0; self.positions.len()],
            shares: vec![0.0; self.positions.len() * self.channels(m)],
            found: vec![[0.0; 3]; self.positions.len()],
        }
    }

    /// Channels between that of f_0 and the first power of the depth.
    fn extra(&self) -> usize {
        if self.tensors.is_empty() { usize::from(!self.widths.is_empty()) } else { 3 }
    }

    /// Channel of the power p of the depth; `None` when the filters do not hold it.
    #[must_use]
    pub fn depth_channel(&self, power: usize, points: usize) -> Option<usize> {
        let at = if power == 0 { 0 } else { self.extra() + power };
        (at < self.channels(points)).then_some(at)
    }

    fn channel(&self, index: usize) -> Channel {
        match index {
            0 => Channel::Depth(0),
            i if i > self.extra() => Channel::Depth(i - self.extra()),
            i if self.tensors.is_empty() => {
                debug_assert!(i == 1);
                Channel::Width
            }
            i => Channel::Tensor(i - 1),
        }
    }

    /// Put the atoms at rotation `r` and shift `t` (px).
    pub fn place(&self, grid: &Grid, r: &Rotation, t: [f32; 2], view: &mut View) {
        let n = self.positions.len();
        for ((lab, point), x) in view.lab.iter_mut().zip(&mut view.points).zip(self.positions) {
            *lab = std::array::from_fn(|i| r[i][0] * x[0] + r[i][1] * x[1] + r[i][2] * x[2]);
            let [x, y] = magnified(view.ellipse, lab[0], lab[1]);
            *point = [x + t[0], y + t[1]];
        }
        grid.cells.place(&view.points, &mut view.places);
        for (turned, tensor) in view.tensors.iter_mut().zip(self.tensors) {
            *turned = turn_tensor(r, tensor);
        }
        let unit = 2.0 / grid.plane.size as f32;
        for channel in 0..view.shares.len() / n {
            let (before, shares) = view.shares.split_at_mut(channel * n);
            let shares = &mut shares[..n];
            match self.channel(channel) {
                Channel::Depth(0) => shares.fill(1.0),
                Channel::Depth(p) => {
                    let lower = &before[self.depth_before(p) * n..][..n];
                    for ((share, lower), lab) in shares.iter_mut().zip(lower).zip(&view.lab) {
                        *share = lower * ((lab[2] + view.depth) * unit);
                    }
                }
                Channel::Width => shares.copy_from_slice(self.widths),
                Channel::Tensor(which) => {
                    for (share, u) in shares.iter_mut().zip(&view.tensors) {
                        *share = [0.5 * (u[0] + u[1]), 0.5 * (u[0] - u[1]), u[3]][which];
                    }
                }
            }
        }
    }

    /// Channel of the power of the depth before `p`.
    fn depth_before(&self, p: usize) -> usize {
        if p == 1 { 0 } else { self.extra() + p - 1 }
    }

    /// Image of the placed atoms into `view.image`, the waves of each channel into `view.waves`.
    pub fn project(&self, grid: &Grid, view: &mut View) {
        let (n, m) = (self.positions.len(), grid.plane.len());
        for channel in 0..self.channels(m) {
            let shares = &view.shares[channel * n..(channel + 1) * n];
            for ((value, h), share) in view.values.iter_mut().zip(self.heights).zip(shares) {
                *value = h * share;
            }
            let waves = &mut view.waves[channel * m..(channel + 1) * m];
            grid.forward(&view.places, &view.values, &mut view.memory, waves);
        }
        Channels { filters: self.filters }.image(&view.waves, &mut view.image);
    }

    /// S[h x], S[h y], S[h z] of the projected atoms with lab coordinates in px, into three rows of `moments`.
    pub fn moments(&self, grid: &Grid, view: &mut View, moments: &mut [Complex32]) {
        let m = grid.plane.len();
        // A channel of the first power of the depth, ζ = 2 (z + depth) / N, is the third of them but for its unit.
        let by_depth = self.depth_channel(1, m);
        let made = if by_depth.is_some() { 2 } else { 3 };
        for (axis, out) in moments.chunks_exact_mut(m).take(made).enumerate() {
            for ((v, lab), h) in view.values.iter_mut().zip(&view.lab).zip(self.heights) {
                *v = h * lab[axis];
            }
            grid.forward(&view.places, &view.values, &mut view.memory, out);
        }
        if let Some(channel) = by_depth {
            let (half_box, depth) = (0.5 * grid.plane.size as f32, view.depth);
            let waves = view.waves[channel * m..].iter().zip(&view.waves[..m]);
            for (out, (wave, plain)) in moments[2 * m..].iter_mut().zip(waves) {
                *out = wave * half_box - plain * depth;
            }
        }
    }

    /// Gradient of `Re Σ Y* P` by each placed atom in the laboratory frame, added to `out` times `factor`; that by the
    /// tensors replaces `view.by_tensor`. Y is `view.image` as the caller left it. The adjoint of [`Model::project`].
    pub fn pull_back(&self, grid: &Grid, view: &mut View, factor: f32, out: &mut [AtomGradient]) {
        let (n, m) = (self.positions.len(), grid.plane.len());
        let unit = 2.0 / grid.plane.size as f32;
        view.by_tensor.fill([0.0; 3]);
        for (channel, filter) in self.filters.chunks_exact(m).enumerate() {
            grid.adjoint(&view.image, filter, &view.places, &mut view.memory, &mut view.found);
            let shares = &view.shares[channel * n..(channel + 1) * n];
            for (((g, found), share), h) in out.iter_mut().zip(&mut view.found).zip(shares).zip(self.heights)
            {
                *found = found.map(|v| v * factor);
                let [value, by_x, by_y] = *found;
                // The magnification is symmetric, and so its own transpose.
                let [by_x, by_y] = magnified(view.ellipse, by_x, by_y);
                g[0] += h * share * by_x;
                g[1] += h * share * by_y;
                g[3] += share * value;
            }
            let values = view.found.iter().map(|found| found[0]).zip(self.heights);
            match self.channel(channel) {
                Channel::Depth(0) => {}
                Channel::Depth(p) => {
                    let lower = &view.shares[self.depth_before(p) * n..][..n];
                    for ((g, (value, h)), lower) in out.iter_mut().zip(values).zip(lower) {
                        g[2] += h * p as f32 * lower * unit * value;
                    }
                }
                Channel::Width => out.iter_mut().zip(values).for_each(|(g, (value, h))| g[4] += h * value),
                Channel::Tensor(which) => {
                    for (by, (value, h)) in view.by_tensor.iter_mut().zip(values) {
                        match which {
                            0 => [by[0], by[1]] = [by[0] + 0.5 * h * value, by[1] + 0.5 * h * value],
                            1 => [by[0], by[1]] = [by[0] + 0.5 * h * value, by[1] - 0.5 * h * value],
                            _ => by[2] += h * value,
                        }
                    }
                }
            }
        }
    }
}

/// (x, y) through the magnification.
#[inline]
fn magnified([e1, e2]: [f32; 2], x: f32, y: f32) -> [f32; 2] {
    [x + e1 * x + e2 * y, y + e2 * x - e1 * y]
}

/// R U Rᵀ.
fn turn_tensor(r: &Rotation, u: &Tensor) -> Tensor {
    let full = [[u[0], u[3], u[4]], [u[3], u[1], u[5]], [u[4], u[5], u[2]]];
    let half: [[f32; 3]; 3] =
        std::array::from_fn(|i| std::array::from_fn(|c| (0..3).map(|d| r[i][d] * full[d][c]).sum()));
    let at = |i: usize, j: usize| (0..3).map(|c| half[i][c] * r[j][c]).sum::<f32>();
    [at(0, 0), at(1, 1), at(2, 2), at(0, 1), at(0, 2), at(1, 2)]
}

/// Gradient by the tensor in the particle's frame from that by U_xx, U_yy, U_xy of the laboratory: Rᵀ G R.
#[must_use]
pub fn turn_tensor_back(r: &Rotation, by: &[f32; 3]) -> Tensor {
    // Each off-diagonal number stands for two elements of U.
    let at = |i: usize, j: usize| {
        by[0] * r[0][i] * r[0][j]
            + by[1] * r[1][i] * r[1][j]
            + 0.5 * by[2] * (r[0][i] * r[1][j] + r[1][i] * r[0][j])
    };
    [at(0, 0), at(1, 1), at(2, 2), 2.0 * at(0, 1), 2.0 * at(0, 2), 2.0 * at(1, 2)]
}
