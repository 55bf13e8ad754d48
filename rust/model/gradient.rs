//! Gradients of the misfit by the atoms, summed over frames, and the sums that the filters are fitted to.
//!
//! With the scale s of each frame in closed form, weights g_i w(k) and a share ε of model error,
//!
//! ```text
//! Q = Σ_i g_i Σ_k w_i(k) |X_i − s_i P_i|²,    w_i = w / (1 + g_i w ε² s_i² |P_i|²)
//! ```
//!
//! the gradient is −½ ∂Q/∂θ = Σ_i g_i s_i Re Σ_k w_i (X_i − s_i P_i)* ∂P_i/∂θ with w_i held, in the particle's frame.
//! Where the model misses a fraction ε of its own amplitude (many-beam scattering does that in zone axes) the weights
//! stop trusting bright reflections beyond it. Twice Q is −log of the likelihood of the half plane's complex noise.

use super::atoms::{AtomGradient, Model, View, turn_tensor_back};
use super::grid::Grid;
use super::pose::check_depths;
use super::sums::{ChannelSums, Frame};
use crate::check::{self, Argument, agree, all_finite};
use crate::error::{Error, Result};
use crate::frames::{Groups, PosedFrames};
use crate::volume::Rotation;
use num_complex::{Complex32, Complex64};
use rayon::prelude::*;

/// Frames summed by one task; a constant, so that sums have the same order for any number of threads.
const CHUNK: usize = 16;

/// Frames that each have one pose, a gain and, where given, a depth.
#[derive(Debug, Clone)]
pub struct GainedFrames<'a> {
    posed: PosedFrames<'a>,
    gains: &'a [f32],
    depths: &'a [f32],
}

impl<'a> GainedFrames<'a> {
    /// `gains` g are factors on the weights of each frame, of which those of gain 0 are left out; `depths` (px) those
    /// of the particle in each frame, or none when all are 0.
    ///
    /// # Errors
    /// Other than one pose, one gain and one depth of each frame, or numbers that are not finite.
    pub fn new(posed: PosedFrames<'a>, gains: &'a [f32], depths: &'a [f32]) -> Result<Self> {
        posed.check_one_each()?;
        agree("gains", gains.len(), posed.frames)?;
        check::finite("gains", gains)?;
        check_depths(depths, posed.frames)?;
        Ok(Self { posed, gains, depths })
    }

    /// Number of frames.
    #[must_use]
    pub fn len(&self) -> usize {
        self.gains.len()
    }

    /// Whether there is no frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gains.is_empty()
    }

    fn depth(&self, i: usize) -> f32 {
        self.depths.get(i).copied().unwrap_or(0.0)
    }

    /// Put the atoms at the pose and the depth of frame `i`, and make their image.
    fn project(&self, i: usize, grid: &Grid, model: &Model<'_>, view: &mut View) {
        (view.depth, view.ellipse) = (self.depth(i), self.posed.ellipse);
        model.place(grid, &self.posed.rotations[i], self.posed.shifts[i], view);
        model.project(grid, view);
    }

    /// Why sums over the frames are not finite.
    fn unsound(&self, model: &Model<'_>, others: &[(&'static str, &dyn Argument)]) -> Error {
        let mut arguments: Vec<(&'static str, &dyn Argument)> =
            vec![("gains", &self.gains), ("depths", &self.depths)];
        arguments.extend(others);
        model.unsound(&self.posed, &arguments)
    }
}

/// Fit of the model to one frame.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fitness {
    /// Best scale s.
    pub scale: f64,
    /// g Σ w |P|².
    pub power: f64,
    /// g Σ w |X − s P|².
    pub misfit: f64,
    /// Log-likelihood gained over an empty frame, g s Re Σ w P* X.
    pub log_likelihood_ratio: f64,
    /// −½ of the misfit's gradient by the particle's depth (per px); 0 where no frame has a depth.
    pub by_depth: f64,
    /// Half the misfit's second derivative by it, without what the scale can take up.
    pub depth_information: f64,
    /// −½ of the misfit's gradient by the ellipse of the magnification, as [`super::normal::Ellipse`] has it.
    pub by_ellipse: [f64; 2],
}

impl Fitness {
    fn is_finite(&self) -> bool {
        let Self { scale, power, misfit, log_likelihood_ratio, by_depth, depth_information, by_ellipse } =
            *self;
        [
            scale,
            power,
            misfit,
            log_likelihood_ratio,
            by_depth,
            depth_information,
            by_ellipse[0],
            by_ellipse[1],
        ]
        .iter()
        .all(|v| v.is_finite())
    }
}

/// Sums over frames.
pub struct Gradients {
    /// (group, atom) gradient by x, y, z (per px), height and width.
    pub by_group: Vec<[f64; 5]>,
    /// (group, atom) gradient by the tensor in the particle's frame; empty when the model has none.
    pub by_tensor: Vec<[f64; 6]>,
    /// One per frame.
    pub fitness: Vec<Fitness>,
    /// Σ_i g_i s_i² w_i(k), packed: the information of a unit wave.
    pub information: Vec<f64>,
}

struct Part {
    gradient: Vec<[f64; 5]>,
    tensor: Vec<[f64; 6]>,
    fitness: Vec<Fitness>,
    information: Vec<f64>,
}

/// Gradient of each of the groups of frames; frames of no group enter no sum.
///
/// # Errors
/// A model of another plane, groups of other frames, a share of model error that is none, or sums that are not finite.
pub fn gradients(
    frames: &GainedFrames<'_>,
    model: &Model<'_>,
    groups: Groups<'_>,
    model_error: f32,
) -> Result<Gradients> {
    let plane = frames.posed.plane;
    model.check(plane)?;
    let Groups { of: group_of, count: group_count } = groups;
    agree("groups", group_of.len(), frames.len())?;
    check::not_negative("model_error", model_error)?;
    let columns = model.positions.len() * 5 + model.tensors.len() * 6;
    check::room("group_count", group_count, 16.0 * group_count as f64 * columns as f64)?;
    let grid = &Grid::new(plane);
    let comparison = Comparison { frames, grid, model, model_error };
    let (n, m) = (model.positions.len(), grid.plane.len());
    // A task has frames of one group only.
    let mut tasks: Vec<(i32, Vec<usize>)> = Vec::new();
    for (i, &group) in group_of.iter().enumerate() {
        match tasks.last_mut() {
            Some((g, list)) if *g == group && list.len() < CHUNK => list.push(i),
            _ => tasks.push((group, vec![i])),
        }
    }
    let parts: Vec<Part> = tasks
        .par_iter()
        .map_init(
            || (model.view(grid), vec![[0.0f32; 5]; n]),
            |(view, lab), (group, list)| {
                let counted = *group >= 0;
                let mut part = Part {
                    gradient: vec![[0.0; 5]; if counted { n } else { 0 }],
                    tensor: vec![[0.0; 6]; if counted { model.tensors.len() } else { 0 }],
                    fitness: Vec::with_capacity(list.len()),
                    information: vec![0.0; m],
                };
                let mut alike = 0.0;
                for &i in list {
                    let mut fitness =
                        comparison.residual(i, view, counted, &mut part.information, &mut alike);
                    if counted && frames.gains[i] > 0.0 {
                        lab.fill([0.0; 5]);
                        model.pull_back(grid, view, 1.0, lab);
                        turn_back(lab, &frames.posed.rotations[i], &mut part.gradient);
                        for (sum, by) in part.tensor.iter_mut().zip(&view.by_tensor) {
                            let by = turn_tensor_back(&frames.posed.rotations[i], by);
                            (0..6).for_each(|a| sum[a] += f64::from(by[a]));
                        }
                        fitness.by_depth = lab.iter().map(|g| f64::from(g[2])).sum();
                        for (g, x) in lab.iter().zip(&view.lab) {
                            fitness.by_ellipse[0] += f64::from(g[0] * x[0] - g[1] * x[1]);
                            fitness.by_ellipse[1] += f64::from(g[0] * x[1] + g[1] * x[0]);
                        }
                    }
                    part.fitness.push(fitness);
                }
                for (sum, &w) in part.information.iter_mut().zip(frames.posed.weights) {
                    *sum += alike * f64::from(w);
                }
                part
            },
        )
        .collect();
    let mut out = Gradients {
        by_group: vec![[0.0; 5]; n * group_count],
        by_tensor: vec![[0.0; 6]; model.tensors.len() * group_count],
        fitness: vec![Fitness::default(); group_of.len()],
        information: vec![0.0; m],
    };
    for ((group, list), part) in tasks.iter().zip(&parts) {
        for (&i, fitness) in list.iter().zip(&part.fitness) {
            out.fitness[i] = *fitness;
        }
        if part.gradient.is_empty() {
            continue;
        }
        let sums = &mut out.by_group[*group as usize * n..(*group as usize + 1) * n];
        for (sum, g) in sums.iter_mut().zip(&part.gradient) {
            (0..5).for_each(|a| sum[a] += g[a]);
        }
        let from = *group as usize * part.tensor.len();
        for (sum, g) in out.by_tensor[from..from + part.tensor.len()].iter_mut().zip(&part.tensor) {
            (0..6).for_each(|a| sum[a] += g[a]);
        }
        out.information.iter_mut().zip(&part.information).for_each(|(sum, v)| *sum += v);
    }
    let sums = all_finite(out.by_group.as_flattened()) && all_finite(out.by_tensor.as_flattened());
    if sums && all_finite(&out.information) && out.fitness.iter().all(Fitness::is_finite) {
        return Ok(out);
    }
    Err(frames.unsound(model, &[]))
}

/// Frames against a model.
struct Comparison<'a> {
    frames: &'a GainedFrames<'a>,
    grid: &'a Grid,
    model: &'a Model<'a>,
    model_error: f32,
}

impl Comparison<'_> {
    /// Leave g s w_i (X − s P) in `view.image`; add to the information if the frame is `counted`: g s² to `alike` where all
    /// its weights are as they were given, else to each of `information`.
    fn residual(
        &self,
        i: usize,
        view: &mut View,
        counted: bool,
        information: &mut [f64],
        alike: &mut f64,
    ) -> Fitness {
        let &Self { frames, grid, model, model_error } = self;
        let gain = frames.gains[i];
        if gain <= 0.0 {
            return Fitness::default();
        }
        let (spectrum, weights) = (frames.posed.spectrum(i), frames.posed.weights);
        frames.project(i, grid, model, view);
        let frame = Frame { spectrum, weights, gain };
        let [overlap, power] = frame.agreement(&view.image, 0.0);
        let mut scale = (overlap / power.max(1e-30)).max(0.0);
        let mut fitness =
            Fitness { scale, power, log_likelihood_ratio: overlap * scale, ..Fitness::default() };
        if model_error > 0.0 {
            let [overlap, power] =
                frame.agreement(&view.image, model_error * model_error * (scale * scale) as f32);
            scale = (overlap / power.max(1e-30)).max(0.0);
            fitness.scale = scale;
        }
        let s = scale as f32;
        if !frames.depths.is_empty() {
            fitness.depth_information = scale * scale * depth_information(grid, model, view, weights, gain);
        }
        let error = model_error * model_error * s * s;
        if counted && error == 0.0 {
            *alike += f64::from(gain) * scale * scale;
        } else if counted {
            for ((sum, p), &w) in information.iter_mut().zip(&view.image).zip(weights) {
                *sum += f64::from(gain * w * s * s / (1.0 + gain * w * error * p.norm_sqr()));
            }
        }
        fitness.misfit = frame.residual(&mut view.image, s, error);
        fitness
    }
}

/// g Σ w |D|² for D = ∂P/∂(depth), less the part of D along P that the scale takes up.
fn depth_information(grid: &Grid, model: &Model<'_>, view: &View, weights: &[f32], gain: f32) -> f64 {
    let m = grid.plane.len();
    let unit = 2.0 / grid.plane.size as f32;
    // D = Σ_p p f_p S[h ζ^(p−1)] ∂ζ/∂(depth)
    let terms: Vec<(usize, usize, f32)> = (1..)
        .map_while(|p| Some((model.depth_channel(p, m)?, model.depth_channel(p - 1, m)?, p as f32 * unit)))
        .collect();
    let mut sums = [0.0f64; 3];
    for row in &grid.plane.rows {
        let mut part = [0.0f32; 3];
        for at in row.start..row.start + row.len {
            let mut d = Complex32::default();
            for &(filter, wave, factor) in &terms {
                d += view.waves[wave * m + at] * (model.filters[filter * m + at] * factor);
            }
            let (p, w) = (view.image[at], gain * weights[at]);
            part[0] += w * d.norm_sqr();
            part[1] += w * (d.re * p.re + d.im * p.im);
            part[2] += w * p.norm_sqr();
        }
        (0..3).for_each(|a| sums[a] += f64::from(part[a]));
    }
    (sums[0] - sums[1] * sums[1] / sums[2].max(1e-30)).max(0.0)
}

/// Laboratory gradients to the particle's frame: Rᵀ g.
fn turn_back(lab: &[AtomGradient], r: &Rotation, out: &mut [[f64; 5]]) {
    for (sum, g) in out.iter_mut().zip(lab) {
        for c in 0..3 {
            sum[c] += f64::from(r[0][c] * g[0] + r[1][c] * g[1] + r[2][c] * g[2]);
        }
        sum[3] += f64::from(g[3]);
        sum[4] += f64::from(g[4]);
    }
}

/// Normal equations of the filters, frequency by frequency: (k, c, c) of Re S_c* S_c' and (k, c) of S_c* X, over frames.
///
/// # Errors
/// A model of another plane, scales of other frames, or sums that are not finite.
pub fn filter_sums(
    frames: &GainedFrames<'_>,
    scales: &[f32],
    model: &Model<'_>,
) -> Result<(Vec<f64>, Vec<Complex64>)> {
    let plane = frames.posed.plane;
    model.check(plane)?;
    agree("scales", scales.len(), frames.len())?;
    check::finite("scales", scales)?;
    let grid = &Grid::new(plane);
    let m = grid.plane.len();
    let channels = model.channels(m);
    let every: Vec<usize> = (0..scales.len()).filter(|&i| frames.gains[i] > 0.0).collect();
    let parts: Vec<ChannelSums> = every
        .par_chunks(CHUNK)
        .map_init(
            || model.view(grid),
            |view, list| {
                let mut sums = ChannelSums::new(channels, m);
                for &i in list {
                    frames.project(i, grid, model, view);
                    let posed = &frames.posed;
                    let (spectrum, weights, gain) = (posed.spectrum(i), posed.weights, frames.gains[i]);
                    sums.add(Frame { spectrum, weights, gain }, &view.waves, scales[i]);
                }
                sums
            },
        )
        .collect();
    let mut out = (vec![0.0; m * channels * channels], vec![Complex64::default(); m * channels]);
    for part in &parts {
        let mut squares = part.square.iter();
        for (a, [re, im]) in part.right.iter().enumerate() {
            let sums = out.1[a..].iter_mut().step_by(channels);
            sums.zip(re.iter().zip(im))
                .for_each(|(sum, (&re, &im))| *sum += Complex64::new(re.into(), im.into()));
            for (b, square) in (0..=a).zip(&mut squares) {
                let sums = out.0[a * channels + b..].iter_mut().step_by(channels * channels);
                sums.zip(square).for_each(|(sum, &v)| *sum += f64::from(v));
            }
        }
    }
    for matrix in out.0.chunks_mut(channels * channels) {
        for a in 0..channels {
            for b in 0..a {
                matrix[b * channels + a] = matrix[a * channels + b];
            }
        }
    }
    if all_finite(&out.0) && out.1.iter().all(|v| v.is_finite()) {
        Ok(out)
    } else {
        Err(frames.unsound(model, &[("scales", &scales)]))
    }
}
