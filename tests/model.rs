//! Projected atoms against direct sums, adjoints, finite differences, and poses that come back.

mod common;

use common::{Random, between, turned, with_threads};
use num_complex::Complex32;
use single_rs::fourier::HalfPlane;
use single_rs::frames::{Groups, PosedFrames};
use single_rs::model::atoms::Model;
use single_rs::model::factor::{factorise, inverse_blocks, solve};
use single_rs::model::gradient::{GainedFrames, gradients};
use single_rs::model::grid::Grid;
use single_rs::model::normal::{PairTable, pair_matrix, subtract_poses};
use single_rs::model::pose::{polish_to_model, project_model, score_model};
use single_rs::orient::polish::PolishLimits;
use single_rs::orient::score::ShiftWindow;
use single_rs::volume::Rotation;
use std::f64::consts::TAU;

const SIZE: usize = 72;
const SHELL: usize = 33;

struct Scene {
    grid: Grid,
    positions: Vec<[f32; 3]>,
    heights: Vec<f32>,
    widths: Vec<f32>,
    filters: Vec<f32>,
    random: Random,
}

impl Scene {
    /// Atoms in a ball, with widths and `depth` powers of the depth.
    fn new(count: usize, depth: usize) -> Self {
        let plane = HalfPlane::new(SIZE, 2, SHELL).unwrap();
        let mut random = Random(5);
        let positions = (0..count).map(|_| random.in_ball(22.0).map(|v| v as f32)).collect();
        let heights = (0..count).map(|_| (0.7 + 0.6 * random.uniform()) as f32).collect();
        let widths = (0..count).map(|_| (0.4 * random.normal()) as f32).collect();
        let k2: Vec<f32> = plane
            .frequencies()
            .iter()
            .map(|&(x, y)| (x * x + y * y) as f32 / (SHELL * SHELL) as f32)
            .collect();
        let mut filters: Vec<f32> = k2.iter().map(|k| (-2.0 * k).exp()).collect();
        filters.extend(k2.iter().map(|k| -0.3 * k * (-2.0 * k).exp()));
        for power in 1..=depth as i32 {
            filters.extend(k2.iter().map(|k| 0.5 * (-0.8 * k).powi(power) * (-2.0 * k).exp()));
        }
        Self { grid: Grid::new(&plane), positions, heights, widths, filters, random }
    }

    fn model(&self) -> Model<'_> {
        let m = self.grid.plane.len();
        Model::new(&self.positions, &self.heights, &self.widths, &self.filters, m).unwrap()
    }

    /// The module's equation, term by term, in double precision.
    fn image(&self, r: &Rotation, t: [f32; 2]) -> Vec<Complex32> {
        let m = self.grid.plane.len();
        let n = SIZE as f64;
        let frequencies = self.grid.plane.frequencies();
        let image = frequencies.iter().enumerate().map(|(i, &(kx, ky))| {
            let (mut re, mut im) = (0.0, 0.0);
            for ((x, h), b) in self.positions.iter().zip(&self.heights).zip(&self.widths) {
                let lab: [f64; 3] =
                    std::array::from_fn(|a| (0..3).map(|c| f64::from(r[a][c]) * f64::from(x[c])).sum());
                let depth = 2.0 * lab[2] / n;
                let mut factor = f64::from(self.filters[i]) + f64::from(self.filters[m + i]) * f64::from(*b);
                for (power, f) in self.filters[2 * m..].chunks(m).enumerate() {
                    factor += f64::from(f[i]) * depth.powi(power as i32 + 1);
                }
                let phase = -TAU / n
                    * (f64::from(kx) * (lab[0] + f64::from(t[0]))
                        + f64::from(ky) * (lab[1] + f64::from(t[1])));
                re += f64::from(*h) * factor * phase.cos();
                im += f64::from(*h) * factor * phase.sin();
            }
            Complex32::new(re as f32, im as f32)
        });
        image.collect()
    }
}

fn dot(a: &[Complex32], b: &[Complex32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a.re * b.re + a.im * b.im)).sum()
}

#[test]
fn projection_is_the_sum_of_plane_waves() {
    let mut scene = Scene::new(40, 2);
    let r = scene.random.rotation();
    // The second shift sends the particle over the edge of the image, where points come in again.
    for t in [[0.4, -1.3], [30.0, -25.0]] {
        let exact = scene.image(&r, t);
        let found = project_model(&scene.grid, &scene.model(), &[r], &[t]);
        let error: f64 = exact.iter().zip(&found).map(|(a, b)| f64::from((a - b).norm_sqr())).sum();
        // The window's own error at this oversampling is about 1e−4.
        assert!((error / dot(&exact, &exact)).sqrt() < 3e-4, "{}", (error / dot(&exact, &exact)).sqrt());
    }
}

#[test]
fn pull_back_is_the_adjoint_and_the_gradient() {
    let mut scene = Scene::new(30, 2);
    let r = scene.random.rotation();
    let t = [0.3f32, 0.8];
    let y: Vec<Complex32> = (0..scene.grid.plane.len()).map(|_| scene.random.complex()).collect();
    let model = scene.model();
    let mut view = model.view(&scene.grid);
    model.place(&scene.grid, &r, t, &mut view);
    model.project(&scene.grid, &mut view);
    let forward = dot(&y, &view.image);
    view.image.copy_from_slice(&y);
    let mut gradient = vec![[0.0f32; 5]; 30];
    model.pull_back(&scene.grid, &mut view, 1.0, &mut gradient);
    // P is linear in the heights: Σ h ∂/∂h gives the product itself.
    let back: f64 = gradient.iter().zip(&scene.heights).map(|(g, h)| f64::from(g[3] * h)).sum();
    assert!((forward - back).abs() < 1e-4 * forward.abs().max(1.0), "{forward} {back}");
    let value = |scene: &Scene| dot(&y, &project_model(&scene.grid, &scene.model(), &[r], &[t]));
    let step = 0.02f32;
    for atom in [0, 7, 19] {
        for axis in 0..5 {
            let mut ends = [0.0; 2];
            for (end, sign) in ends.iter_mut().zip([1.0f32, -1.0]) {
                let mut moved = Scene::new(30, 2);
                match axis {
                    // A step along a laboratory axis is R's row in the particle's frame.
                    0..3 => (0..3).for_each(|c| moved.positions[atom][c] += sign * step * r[axis][c]),
                    3 => moved.heights[atom] += sign * step,
                    _ => moved.widths[atom] += sign * step,
                }
                *end = value(&moved);
            }
            let difference = (ends[0] - ends[1]) / f64::from(2.0 * step);
            let given = f64::from(gradient[atom][axis]);
            // Third derivatives at this step, and f32 sums.
            assert!(
                (difference - given).abs() < 0.01 * given.abs() + 0.05,
                "{atom} {axis}: {difference} {given}"
            );
        }
    }
}

#[test]
fn disturbed_poses_come_back_and_errors_are_right() {
    let mut scene = Scene::new(40, 1);
    let poses: Vec<Rotation> = (0..60).map(|_| scene.random.rotation()).collect();
    let shifts: Vec<[f32; 2]> =
        (0..60).map(|_| [scene.random.normal() as f32, scene.random.normal() as f32]).collect();
    let mut spectra = project_model(&scene.grid, &scene.model(), &poses, &shifts);
    let noise = 0.3 * (dot(&spectra, &spectra) / spectra.len() as f64).sqrt() as f32;
    spectra.iter_mut().for_each(|v| *v += scene.random.complex() * noise);
    let weights = vec![1.0 / (noise * noise); scene.grid.plane.len()];
    let start: Vec<Rotation> = poses.iter().map(|r| turned(r, [0.02, -0.015, 0.02])).collect();
    let moved: Vec<[f32; 2]> = shifts.iter().map(|t| [t[0] + 0.3, t[1] - 0.3]).collect();
    let limits = PolishLimits::new(20, 0.1, 2.0).unwrap();
    let run = || {
        let posed = PosedFrames::one_each(&spectra, &scene.grid.plane, &weights, &start, &moved).unwrap();
        polish_to_model(&posed, &scene.model(), &[], limits).unwrap()
    };
    let found = run();
    let mut chi = [0.0; 5];
    for ((p, r), t) in found.iter().zip(&poses).zip(&shifts) {
        let turn = between(r, &p.rotation);
        for a in 0..3 {
            chi[a] += (turn[a] / f64::from(p.error[a])).powi(2) / 60.0;
        }
        for a in 0..2 {
            chi[3 + a] += f64::from((p.shift[a] - t[a]) / p.error[3 + a]).powi(2) / 60.0;
        }
    }
    // A mean of 60 squares of unit normals is within 1 ± 0.55 at three standard deviations.
    assert!(chi.iter().all(|c| (0.45..1.55).contains(c)), "{chi:?}");
    let alone = with_threads(1, run);
    assert!(found.iter().zip(&alone).all(|(a, b)| a.rotation == b.rotation && a.shift == b.shift));
}

#[test]
fn scores_are_overlap_and_power_at_the_best_shift() {
    let mut scene = Scene::new(30, 1);
    let r = scene.random.rotation();
    let t = [1.2f32, -0.7];
    let spectrum = scene.image(&r, t);
    let weights = vec![2.0; scene.grid.plane.len()];
    let window = ShiftWindow::new(4, 0.4).unwrap();
    let (poses, shifts) = ([r], [[0.9, -0.9]]);
    let posed = PosedFrames::one_each(&spectrum, &scene.grid.plane, &weights, &poses, &shifts).unwrap();
    let found = score_model(&posed, &scene.model(), window).unwrap();
    let power = 2.0 * dot(&spectrum, &spectrum);
    assert!((f64::from(found[0].power) / power - 1.0).abs() < 1e-3);
    // Peaks of b are parabolas only near their tops.
    assert!((f64::from(found[0].overlap) / power - 1.0).abs() < 0.03, "{}", found[0].overlap);
    assert!((0..2).all(|a| (found[0].shift[a] - t[a]).abs() < 0.05), "{:?}", found[0].shift);
}

#[test]
fn gradients_are_those_of_the_misfit_for_any_number_of_threads() {
    let mut scene = Scene::new(20, 2);
    let m = scene.grid.plane.len();
    let poses: Vec<Rotation> = (0..40).map(|_| scene.random.rotation()).collect();
    let shifts = vec![[0.2f32, -0.4]; 40];
    let mut spectra = project_model(&scene.grid, &scene.model(), &poses, &shifts);
    let noise = (dot(&spectra, &spectra) / spectra.len() as f64).sqrt() as f32;
    spectra.iter_mut().for_each(|v| *v += scene.random.complex() * noise);
    let (weights, gains) = (vec![1.0 / (noise * noise); m], vec![0.8f32; 40]);
    let groups: Vec<i32> = (0..40).map(|i| i / 20).collect();
    let run = |scene: &Scene| {
        let posed = PosedFrames::one_each(&spectra, &scene.grid.plane, &weights, &poses, &shifts).unwrap();
        let frames = GainedFrames::new(posed, &gains, &[]).unwrap();
        gradients(&frames, &scene.model(), Groups::new(&groups, 2).unwrap(), 0.0).unwrap()
    };
    let found = run(&scene);
    let alone = with_threads(1, || run(&scene));
    assert!(found.by_group == alone.by_group && found.information == alone.information);
    let step = 0.03f32;
    for (atom, axis) in [(3, 0), (11, 1), (17, 2), (5, 3), (9, 4)] {
        let ends = [1.0f32, -1.0].map(|sign| {
            let mut moved = Scene::new(20, 2);
            match axis {
                0..3 => moved.positions[atom][axis] += sign * step,
                3 => moved.heights[atom] += sign * step,
                _ => moved.widths[atom] += sign * step,
            }
            run(&moved).fitness.iter().map(|f| f.misfit).sum::<f64>()
        });
        let difference = -0.5 * (ends[0] - ends[1]) / f64::from(2.0 * step);
        let given = found.by_group[atom][axis] + found.by_group[20 + atom][axis];
        assert!((difference - given).abs() < 0.02 * given.abs() + 0.5, "{atom} {axis}: {difference} {given}");
    }
}

#[test]
fn normal_matrix_is_that_of_plane_waves_and_free_poses_take_rigid_motion_away() {
    let mut scene = Scene::new(6, 0);
    let m = scene.grid.plane.len();
    let filter = scene.filters[..m].to_vec();
    let model = Model::new(&scene.positions, &scene.heights, &[], &filter, m).unwrap();
    let poses: Vec<Rotation> = (0..300).map(|_| scene.random.rotation()).collect();
    let frequencies = scene.grid.plane.frequencies();
    let unit = TAU / SIZE as f64;
    // Rings of the table are those of the plane itself.
    let step = 0.05f32;
    let values: Vec<[f32; 2]> = (0..1600)
        .map(|i| {
            let d = (f64::from(step) * f64::from(i)).max(1e-3);
            let (mut along, mut across) = (0.0, 0.0);
            for (&(kx, ky), f) in frequencies.iter().zip(&filter) {
                let k = unit * f64::from(kx * kx + ky * ky).sqrt();
                for j in 0..12 {
                    let angle = TAU / 2.0 * (f64::from(j) + 0.5) / 12.0 + f64::from(ky).atan2(f64::from(kx));
                    let wave = (k * d * angle.cos()).cos() * k * k * f64::from(f * f) / 12.0;
                    along += wave * angle.cos().powi(2);
                    across += wave * angle.sin().powi(2);
                }
            }
            [across as f32, (along - across) as f32]
        })
        .collect();
    let table = PairTable::new(&values, step).unwrap();
    let mut matrix = pair_matrix(&model, &poses, table).unwrap();
    let n = 18;
    let sum_of = |a: usize, b: usize, i: usize, j: usize| -> f64 {
        let mut total = 0.0;
        for r in &poses {
            for (&(kx, ky), f) in frequencies.iter().zip(&filter) {
                let k: [f64; 3] = std::array::from_fn(|c| {
                    unit * (f64::from(kx) * f64::from(r[0][c]) + f64::from(ky) * f64::from(r[1][c]))
                });
                let phase: f64 =
                    (0..3).map(|c| k[c] * f64::from(scene.positions[a][c] - scene.positions[b][c])).sum();
                total += k[i] * k[j] * f64::from(f * f) * phase.cos();
            }
        }
        total * f64::from(scene.heights[a] * scene.heights[b])
    };
    let top = sum_of(0, 0, 0, 0);
    for (a, b, i, j) in [(0, 0, 0, 0), (2, 2, 1, 2), (3, 1, 0, 1), (5, 4, 2, 2)] {
        let (exact, given) = (sum_of(a, b, i, j), matrix[(3 * a + i) * n + 3 * b + j]);
        assert!((exact - given).abs() < 0.02 * top, "{a} {b} {i} {j}: {exact} {given} of {top}");
    }
    subtract_poses(&mut matrix, &scene.grid.plane, &model, &poses, &vec![1.0; m]).unwrap();
    let full = |i: usize, j: usize| matrix[i.max(j) * n + i.min(j)];
    for axis in 0..3 {
        // A common shift leaves every frame as it was at another pose.
        let shift: f64 = (0..6)
            .flat_map(|a| (0..6).map(move |b| (a, b)))
            .map(|(a, b)| full(3 * a + axis, 3 * b + axis))
            .sum();
        assert!(shift.abs() < 0.02 * 6.0 * top, "{shift} of {top}");
    }
}

#[test]
fn factor_solves_and_inverts() {
    let mut random = Random(9);
    let n = 150;
    let a: Vec<f64> = (0..n * n).map(|_| random.normal()).collect();
    let mut matrix: Vec<f64> = (0..n * n)
        .map(|at| {
            let (i, j) = (at / n, at % n);
            (0..n).map(|k| a[i * n + k] * a[j * n + k]).sum::<f64>() + if i == j { 5.0 } else { 0.0 }
        })
        .collect();
    let full = matrix.clone();
    factorise(&mut matrix, n).unwrap();
    let side: Vec<f64> = (0..n).map(|_| random.normal()).collect();
    let mut x = side.clone();
    solve(&matrix, n, &mut x).unwrap();
    for i in 0..n {
        let back: f64 = (0..n).map(|j| full[i * n + j] * x[j]).sum();
        assert!((back - side[i]).abs() < 1e-8);
    }
    let blocks = inverse_blocks(&matrix, n).unwrap();
    for at in [0, 7, 49] {
        let mut column = vec![0.0; n];
        column[3 * at + 1] = 1.0;
        solve(&matrix, n, &mut column).unwrap();
        (0..3).for_each(|i| assert!((blocks[9 * at + 3 * i + 1] - column[3 * at + i]).abs() < 1e-10));
    }
    let mut bad = vec![0.0; 9];
    assert!(factorise(&mut bad, 3).is_err());
    assert!(
        solve(&bad, 3, &mut [1.0; 3]).unwrap_err().to_string().starts_with("factor is 0 on its diagonal")
    );
}
