//! Scoring finds shifts, and its sums are what they stand for.

mod common;

use common::{Particle, Random, with_threads};
use num_complex::Complex32;
use single_rs::fourier::HalfPlane;
use single_rs::frames::PosedFrames;
use single_rs::orient::score::{Match, ShiftWindow, score_candidates};
use single_rs::volume::{FourierVolume, FrameVolumes, Rotation, project, reach_for};
use std::f32::consts::TAU;

const SIZE: usize = 64;
const SHELL: usize = 24;

struct Scene {
    plane: HalfPlane,
    data: Vec<Complex32>,
    poses: Vec<Rotation>,
    weights: Vec<f32>,
}

impl Scene {
    fn new(count: usize) -> Self {
        let plane = HalfPlane::new(SIZE, 3, SHELL).unwrap();
        let mut random = Random(21);
        let poses = (0..count).map(|_| random.rotation()).collect();
        let weights =
            plane.frequencies().iter().map(|&(x, y)| 1.0 + 0.05 * (x as f32).hypot(y as f32)).collect();
        let data = Particle::random(SIZE, 30, 16.0, 0.8, 7).volume(SHELL, 2, true);
        Self { plane, data, poses, weights }
    }

    fn volume(&self) -> FourierVolume<'_> {
        FourierVolume::new(&self.data, reach_for(SHELL, 2), 2).unwrap()
    }

    /// Slices moved by the given shifts (px).
    fn moved(&self, shifts: &[[f32; 2]]) -> Vec<Complex32> {
        let mut slices = project(&self.volume(), &self.plane, &self.poses).unwrap();
        let at = self.plane.frequencies();
        for (slice, t) in slices.chunks_mut(self.plane.len()).zip(shifts) {
            for (v, &(x, y)) in slice.iter_mut().zip(&at) {
                *v *= Complex32::cis(-TAU / SIZE as f32 * (x as f32 * t[0] + y as f32 * t[1]));
            }
        }
        slices
    }

    fn score(
        &self,
        spectra: &[Complex32],
        frame_of: &[usize],
        poses: &[Rotation],
        window: ShiftWindow,
    ) -> Vec<Match> {
        let of = vec![0; spectra.len() / self.plane.len()];
        let volumes = FrameVolumes::new(vec![self.volume()], of, &self.plane).unwrap();
        let shifts = vec![[0.0; 2]; poses.len()];
        let posed =
            PosedFrames::new(spectra, &self.plane, &self.weights, poses, &shifts, frame_of.to_vec()).unwrap();
        score_candidates(&posed, &volumes, window).unwrap()
    }
}

/// A quarter of the shortest wavelength, as the library searches.
const QUARTER: f32 = 0.25 * SIZE as f32 / SHELL as f32;

#[test]
fn a_shift_on_the_grid_is_found_exactly() {
    let scene = Scene::new(20);
    let mut random = Random(1);
    let shifts: Vec<[f32; 2]> =
        (0..20).map(|_| [0; 2].map(|_| ((random.uniform() * 9.0).floor() as f32 - 4.0) * QUARTER)).collect();
    let every: Vec<usize> = (0..20).collect();
    let window = ShiftWindow::new(6, QUARTER).unwrap();
    let found = scene.score(&scene.moved(&shifts), &every, &scene.poses, window);
    for (m, t) in found.iter().zip(&shifts) {
        // A parabola through a curve that is not quite even beside its top moves it by a few hundredths.
        assert!((m.shift[0] - t[0]).hypot(m.shift[1] - t[1]) < 0.05, "{m:?} {t:?}");
        assert!((m.overlap / m.power - 1.0).abs() < 2e-3, "{m:?}");
    }
}

#[test]
fn shifts_between_grid_points_are_found() {
    let scene = Scene::new(60);
    let mut random = Random(2);
    let shifts: Vec<[f32; 2]> =
        (0..60).map(|_| [0; 2].map(|_| (6.0 * random.uniform() - 3.0) as f32)).collect();
    let every: Vec<usize> = (0..60).collect();
    let spectra = scene.moved(&shifts);
    // A parabola along each axis misses the fourth order and the mixed term of the peak; both shrink with the spacing.
    for (part, steps, typical, worst, least) in [(1.0, 6, 0.04, 0.1, 0.88), (0.5, 12, 0.015, 0.04, 0.97)] {
        let window = ShiftWindow::new(steps, part * QUARTER).unwrap();
        let found = scene.score(&spectra, &every, &scene.poses, window);
        let off = |(m, t): (&Match, &[f32; 2])| (m.shift[0] - t[0]).hypot(m.shift[1] - t[1]);
        let error: Vec<f32> = found.iter().zip(&shifts).map(off).collect();
        let rms = (error.iter().map(|e| e * e).sum::<f32>() / 60.0).sqrt();
        let most = error.iter().copied().fold(0.0, f32::max);
        assert!(rms < typical && most < worst, "spacing {part} of a quarter wave: rms {rms}, at most {most}");
        for m in &found {
            assert!((least..1.02).contains(&(m.overlap / m.power)), "{m:?}");
        }
    }
}

#[test]
fn the_sums_are_their_definition() {
    // One point in the window: b at zero shift and a, for a pose that has nothing to do with the frame.
    let scene = Scene::new(4);
    let spectra = scene.moved(&[[0.7, -1.1]; 4]);
    let window = ShiftWindow::new(0, 1.0).unwrap();
    let found = scene.score(&spectra, &[2, 0, 1, 3], &scene.poses, window);
    let slices = project(&scene.volume(), &scene.plane, &scene.poses).unwrap();
    let m = scene.plane.len();
    for (i, (found, frame)) in found.iter().zip([2, 0, 1, 3]).enumerate() {
        let (mut a, mut b) = (0.0f64, 0.0f64);
        for k in 0..m {
            let (p, x, w) = (slices[i * m + k], spectra[frame * m + k], f64::from(scene.weights[k]));
            a += w * f64::from(p.norm_sqr());
            b += w * f64::from((p.conj() * x).re);
        }
        assert!((f64::from(found.power) / a - 1.0).abs() < 1e-4);
        assert!((f64::from(found.overlap) - b).abs() < 1e-4 * a, "{} {b}", found.overlap);
        assert_eq!(found.shift, [0.0; 2]);
    }
}

#[test]
fn the_true_pose_wins() {
    let scene = Scene::new(30);
    let shifts = vec![[0.4, -0.9]; 30];
    let spectra = scene.moved(&shifts);
    let window = ShiftWindow::new(3, QUARTER).unwrap();
    for frame in [0, 7, 29] {
        let found = scene.score(&spectra, &[frame; 30], &scene.poses, window);
        let gain: Vec<f32> = found.iter().map(|m| 2.0 * m.overlap - m.power).collect();
        let best = (0..30).max_by(|&a, &b| gain[a].total_cmp(&gain[b])).unwrap();
        assert_eq!(best, frame);
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let scene = Scene::new(40);
    let spectra = scene.moved(&[[0.3, 0.2]; 40]);
    let every: Vec<usize> = (0..40).rev().collect();
    let window = ShiftWindow::new(2, QUARTER).unwrap();
    let run = || scene.score(&spectra, &every, &scene.poses, window);
    let bits = |found: Vec<Match>| -> Vec<[u32; 4]> {
        found.iter().map(|m| [m.overlap, m.power, m.shift[0], m.shift[1]].map(f32::to_bits)).collect()
    };
    assert_eq!(bits(with_threads(1, run)), bits(with_threads(4, run)));
}
