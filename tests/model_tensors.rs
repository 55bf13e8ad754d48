//! Anisotropic motion and the particle's own depth: images, gradients by finite differences, and poses that come back.

mod common;

use common::{Random, between, turned};
use num_complex::Complex32;
use single_rs::fourier::HalfPlane;
use single_rs::frames::{Groups, PosedFrames};
use single_rs::model::atoms::{Model, Tensor};
use single_rs::model::gradient::{GainedFrames, Gradients, gradients};
use single_rs::model::grid::Grid;
use single_rs::model::pose::{polish_to_model, project_model};
use single_rs::orient::polish::PolishLimits;
use single_rs::volume::Rotation;
use std::f64::consts::{PI, TAU};

const SIZE: usize = 72;
const SHELL: usize = 33;
const FRAMES: usize = 30;
const ATOMS: usize = 24;

/// Atoms with tensors of some 0.1 px², seen in frames of their own model with noise.
struct Scene {
    grid: Grid,
    positions: Vec<[f32; 3]>,
    heights: Vec<f32>,
    tensors: Vec<Tensor>,
    filters: Vec<f32>,
    poses: Vec<Rotation>,
    shifts: Vec<[f32; 2]>,
    /// Standard deviation of what is added to the frames.
    noise: f32,
    random: Random,
}

impl Scene {
    fn new() -> Self {
        let plane = HalfPlane::new(SIZE, 2, SHELL).unwrap();
        let mut random = Random(7);
        let positions = (0..ATOMS).map(|_| random.in_ball(22.0).map(|v| v as f32)).collect();
        let heights = (0..ATOMS).map(|_| (0.7 + 0.6 * random.uniform()) as f32).collect();
        let tensors = (0..ATOMS).map(|_| std::array::from_fn(|_| (0.1 * random.normal()) as f32)).collect();
        let wave = |k: i32| k as f32 / SIZE as f32;
        let every = plane.frequencies();
        let base: Vec<f32> =
            every.iter().map(|&(x, y)| (-10.0 * (wave(x).powi(2) + wave(y).powi(2))).exp()).collect();
        let mut filters = base.clone();
        let factors: [fn(f32, f32) -> f32; 3] =
            [|x, y| x * x + y * y, |x, y| x * x - y * y, |x, y| 2.0 * x * y];
        for factor in factors {
            let unit = -2.0 * (PI * PI) as f32;
            filters.extend(every.iter().zip(&base).map(|(&(x, y), f)| unit * f * factor(wave(x), wave(y))));
        }
        for power in 1..=2 {
            filters.extend(
                every
                    .iter()
                    .zip(&base)
                    .map(|(&(x, y), f)| 0.4 * f * (-6.0 * (wave(x).powi(2) + wave(y).powi(2))).powi(power)),
            );
        }
        let poses = (0..FRAMES).map(|_| random.rotation()).collect();
        let shifts = vec![[0.3, -0.2]; FRAMES];
        Self {
            grid: Grid::new(&plane),
            positions,
            heights,
            tensors,
            filters,
            poses,
            shifts,
            noise: 1.0,
            random,
        }
    }

    fn model(&self) -> Model<'_> {
        let m = self.grid.plane.len();
        let plain = Model::new(&self.positions, &self.heights, &[], &self.filters, m).unwrap();
        plain.with_tensors(&self.tensors, m).unwrap()
    }

    fn spectra(&mut self) -> Vec<Complex32> {
        let mut spectra = project_model(&self.grid, &self.model(), &self.poses, &self.shifts);
        let power: f32 = spectra.iter().map(Complex32::norm_sqr).sum();
        self.noise = 0.5 * (power / spectra.len() as f32).sqrt();
        spectra.iter_mut().for_each(|v| *v += self.random.complex() * self.noise);
        spectra
    }

    fn sums(&self, spectra: &[Complex32], depths: &[f32]) -> Gradients {
        let weights = vec![1.0 / (self.noise * self.noise); self.grid.plane.len()];
        let posed =
            PosedFrames::one_each(spectra, &self.grid.plane, &weights, &self.poses, &self.shifts).unwrap();
        let frames = GainedFrames::new(posed, &[1.0; FRAMES], depths).unwrap();
        gradients(&frames, &self.model(), Groups::new(&[0; FRAMES], 1).unwrap(), 0.0).unwrap()
    }
}

fn misfit(sums: &Gradients) -> f64 {
    sums.fitness.iter().map(|f| f.misfit).sum()
}

#[test]
fn tensors_blur_along_their_axes() {
    let mut scene = Scene::new();
    let m = scene.grid.plane.len();
    scene.filters.truncate(4 * m);
    let found = project_model(&scene.grid, &scene.model(), &scene.poses[..1], &[[0.0; 2]]);
    let r = scene.poses[0].map(|row| row.map(f64::from));
    let (mut error, mut power) = (0.0, 0.0);
    for (i, &(kx, ky)) in scene.grid.plane.frequencies().iter().enumerate() {
        // The frequency in the particle's frame: kᵀU k needs no turned tensor there.
        let k: [f64; 3] =
            std::array::from_fn(|c| (f64::from(kx) * r[0][c] + f64::from(ky) * r[1][c]) / SIZE as f64);
        let mut sum = [0.0, 0.0];
        for ((x, h), u) in scene.positions.iter().zip(&scene.heights).zip(&scene.tensors) {
            let u = u.map(f64::from);
            let form = k[0] * k[0] * u[0]
                + k[1] * k[1] * u[1]
                + k[2] * k[2] * u[2]
                + 2.0 * (k[0] * k[1] * u[3] + k[0] * k[2] * u[4] + k[1] * k[2] * u[5]);
            let factor = f64::from(*h) * f64::from(scene.filters[i]) * (1.0 - 2.0 * PI * PI * form);
            let phase = -TAU * (0..3).map(|c| k[c] * f64::from(x[c])).sum::<f64>();
            sum = [sum[0] + factor * phase.cos(), sum[1] + factor * phase.sin()];
        }
        error += (sum[0] - f64::from(found[i].re)).powi(2) + (sum[1] - f64::from(found[i].im)).powi(2);
        power += sum[0] * sum[0] + sum[1] * sum[1];
    }
    // The spreading window's own error is about 1e−4.
    assert!((error / power).sqrt() < 5e-4, "{}", (error / power).sqrt());
}

#[test]
fn gradients_by_tensor_and_depth_are_those_of_the_misfit() {
    let mut scene = Scene::new();
    let spectra = scene.spectra();
    let depths = vec![1.5f32; FRAMES];
    let found = scene.sums(&spectra, &depths);
    for (atom, part) in [(0, 0), (5, 1), (11, 2), (3, 3), (17, 4), (23, 5)] {
        let step = 0.02f32;
        let ends = [1.0f32, -1.0].map(|sign| {
            let kept = scene.tensors[atom];
            scene.tensors[atom][part] += sign * step;
            let value = misfit(&scene.sums(&spectra, &depths));
            scene.tensors[atom] = kept;
            value
        });
        let difference = -0.5 * (ends[0] - ends[1]) / f64::from(2.0 * step);
        let given = found.by_tensor[atom][part];
        assert!((difference - given).abs() < 0.02 * given.abs() + 1.0, "{atom} {part}: {difference} {given}");
    }
    let step = 0.5f32;
    let ends = [1.0f32, -1.0].map(|sign| misfit(&scene.sums(&spectra, &[1.5 + sign * step; FRAMES])));
    let difference = -0.5 * (ends[0] - ends[1]) / f64::from(2.0 * step);
    let given: f64 = found.fitness.iter().map(|f| f.by_depth).sum();
    assert!((difference - given).abs() < 0.02 * given.abs() + 1.0, "{difference} {given}");
    // The frames were made at depth 0: a Newton step from there errs by what the information says.
    let found = scene.sums(&spectra, &[0.0; FRAMES]);
    let chi = found.fitness.iter().map(|f| 2.0 * f.by_depth * f.by_depth / f.depth_information).sum::<f64>();
    // A mean of 30 squares of unit normals is within 1 ± 0.77 at three standard deviations.
    assert!((0.23..1.77).contains(&(chi / FRAMES as f64)), "{}", chi / FRAMES as f64);
}

#[test]
fn poses_come_back_with_tensors() {
    let scene = Scene::new();
    let spectra = project_model(&scene.grid, &scene.model(), &scene.poses, &scene.shifts);
    let start: Vec<Rotation> = scene.poses.iter().map(|r| turned(r, [0.02, -0.015, 0.02])).collect();
    let limits = PolishLimits::new(40, 0.1, 2.0).unwrap();
    let weights = vec![100.0; scene.grid.plane.len()];
    let posed = PosedFrames::one_each(&spectra, &scene.grid.plane, &weights, &start, &scene.shifts).unwrap();
    let found = polish_to_model(&posed, &scene.model(), &[], limits).unwrap();
    for (p, r) in found.iter().zip(&scene.poses) {
        let turn = between(r, &p.rotation).iter().map(|v| v * v).sum::<f64>().sqrt();
        // Without noise nothing but the last step is left; a wrong gradient would end elsewhere.
        assert!(turn < 3e-4, "{turn}");
    }
}
