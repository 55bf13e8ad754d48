//! A look-up is the overlap that its equation states, finds shifts, and does not depend on threads.

mod common;

use common::{Random, with_threads};
use num_complex::Complex32;
use proptest::prelude::*;
use single_rs::fourier::HalfPlane;
use single_rs::frames::PosedFrames;
use single_rs::orient::atoms::AtomModel;
use single_rs::orient::lookup::{look_up, shift_spacing};
use single_rs::orient::power::SlicePower;
use single_rs::orient::score::Match;
use single_rs::volume::{FourierVolume, Rotation, reach_for, volume_len};
use std::f32::consts::TAU;

const SIZE: usize = 64;

/// Atoms, a frequency filter, poses and the frames that the poses make.
struct Scene {
    plane: HalfPlane,
    positions: Vec<[f32; 3]>,
    heights: Vec<f32>,
    filter: Vec<f32>,
    poses: Vec<Rotation>,
    random: Random,
}

impl Scene {
    fn new(seed: u64, count: usize) -> Self {
        let plane = HalfPlane::new(SIZE, 3, 22).unwrap();
        let mut random = Random(seed);
        let positions: Vec<[f32; 3]> = (0..80).map(|_| random.in_ball(16.0).map(|v| v as f32)).collect();
        let heights = (0..80).map(|_| 0.5 + random.uniform() as f32).collect();
        let filter =
            plane.frequencies().iter().map(|&(x, y)| 1.0 - 0.02 * (x as f32).hypot(y as f32)).collect();
        let poses = (0..count).map(|_| random.rotation()).collect();
        Self { plane, positions, heights, filter, poses, random }
    }

    /// Σ_a h_a exp(−2πi k·y_a/N) at all packed frequencies.
    fn structure(&self, r: &Rotation, t: [f32; 2]) -> Vec<Complex32> {
        let on_axis = |i: usize, p: &[f32; 3]| r[i][0] * p[0] + r[i][1] * p[1] + r[i][2] * p[2] + t[i];
        let at = |&(x, y): &(i32, i32)| {
            self.positions
                .iter()
                .zip(&self.heights)
                .map(|(p, &h)| {
                    let phase = x as f32 * on_axis(0, p) + y as f32 * on_axis(1, p);
                    Complex32::cis(-TAU / SIZE as f32 * phase) * h
                })
                .sum()
        };
        self.plane.frequencies().iter().map(at).collect()
    }

    fn overlap(&self, spectrum: &[Complex32], r: &Rotation, t: [f32; 2]) -> f32 {
        let model = self.structure(r, t);
        spectrum.iter().zip(&model).zip(&self.filter).map(|((x, p), w)| w * (x * p.conj()).re).sum()
    }

    fn look(
        &self,
        spectra: &[Complex32],
        frame_of: &[usize],
        starts: &[[f32; 2]],
        steps: usize,
    ) -> Vec<Match> {
        let poses: Vec<Rotation> = (0..frame_of.len()).map(|i| self.poses[i % self.poses.len()]).collect();
        // Only the overlap is looked at here: a volume of zeros has no power.
        let reach = reach_for(self.plane.max_shell, 1);
        let nothing = vec![Complex32::default(); volume_len(reach)];
        let volume = FourierVolume::new(&nothing, reach, 1).unwrap();
        let table = vec![0.0; 25];
        let power = SlicePower::new(volume, &self.plane, &self.filter, &table).unwrap();
        let model = AtomModel::new(&self.positions, &self.heights, &self.filter, power).unwrap();
        let posed =
            PosedFrames::new(spectra, &self.plane, &self.filter, &poses, starts, frame_of.to_vec()).unwrap();
        look_up(&posed, &model, steps).unwrap()
    }

    fn noise(&mut self, frames: usize) -> Vec<Complex32> {
        (0..frames * self.plane.len()).map(|_| self.random.complex()).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_look_up_without_a_window_is_the_sum_over_frequencies(seed in 1u64..1000, x in -2.0f32..2.0, y in -2.0f32..2.0) {
        let mut scene = Scene::new(seed, 3);
        let spectra = scene.noise(1);
        let found = scene.look(&spectra, &[0, 0, 0], &[[x, y]; 3], 0);
        for (m, r) in found.iter().zip(&scene.poses) {
            let direct = scene.overlap(&spectra, r, [x, y]);
            // The spread of such sums over random frames is the scale that an error is small against.
            let model = scene.structure(r, [0.0; 2]);
            let power: f32 = model.iter().zip(&scene.filter).map(|(p, w)| (w * p).norm_sqr()).sum();
            // Eight points a wavelength, the nearest read: at most π/8 off along each axis at the last shell, where noise
            // is as strong as anywhere, so about a fifth of the spread is left, and three times that now and then.
            prop_assert!((m.overlap - direct).abs() < 0.6 * power.sqrt(), "{} {direct}", m.overlap);
        }
    }
}

#[test]
fn the_window_finds_the_shift_of_a_frame() {
    let scene = Scene::new(5, 12);
    let spacing = shift_spacing(&scene.plane);
    for steps in [3, 5, 7, 8, 15] {
        let shift = [1.6 * spacing, -0.7 * spacing];
        let spectra: Vec<Complex32> = scene.poses.iter().flat_map(|r| scene.structure(r, shift)).collect();
        let frame_of: Vec<usize> = (0..scene.poses.len()).collect();
        let found = scene.look(&spectra, &frame_of, &vec![[0.0; 2]; frame_of.len()], steps);
        for (i, m) in found.iter().enumerate() {
            let off = (m.shift[0] - shift[0]).hypot(m.shift[1] - shift[1]);
            assert!(off < 0.12 * spacing, "{steps} steps: {:?} instead of {shift:?}", m.shift);
            let truth =
                scene.overlap(&spectra[i * scene.plane.len()..][..scene.plane.len()], &scene.poses[i], shift);
            assert!((m.overlap / truth - 1.0).abs() < 0.04, "{} {truth}", m.overlap);
        }
    }
}

#[test]
fn a_wide_window_holds_what_each_of_its_shifts_gives() {
    let mut scene = Scene::new(11, 6);
    let spacing = shift_spacing(&scene.plane);
    let noise = scene.noise(6);
    let poses = std::mem::take(&mut scene.poses);
    for (r, noise) in poses.iter().zip(noise.chunks(scene.plane.len())) {
        let clean = scene.structure(r, [2.4 * spacing, -1.3 * spacing]);
        let spectrum: Vec<Complex32> = clean.iter().zip(noise).map(|(x, n)| x + n * 4.0).collect();
        scene.poses = vec![*r];
        for steps in [4, 5, 6, 7, 9, 14] {
            let side = 2 * steps + 1;
            let shift = |i: usize| (i as f32 - steps as f32) * spacing;
            let starts: Vec<[f32; 2]> =
                (0..side * side).map(|i| [shift(i % side), shift(i / side)]).collect();
            let each = scene.look(&spectrum, &vec![0; starts.len()], &starts, 0);
            let best = each.iter().max_by(|a, b| a.overlap.total_cmp(&b.overlap)).unwrap();
            let found = scene.look(&spectrum, &[0], &[[0.0; 2]], steps)[0];
            // A parabola through the best adds what lies between shifts.
            assert!(
                (0.999..1.15).contains(&(found.overlap / best.overlap)),
                "{} {}",
                found.overlap,
                best.overlap
            );
            let off = (found.shift[0] - best.shift[0]).hypot(found.shift[1] - best.shift[1]);
            assert!(off < 0.8 * spacing, "{steps} steps: {:?} instead of {:?}", found.shift, best.shift);
        }
    }
}

#[test]
fn threads_and_neighbours_change_nothing() {
    let mut scene = Scene::new(8, 7);
    let spectra = scene.noise(4);
    let frame_of: Vec<usize> = (0..28).map(|i| i / 7).collect();
    let starts: Vec<[f32; 2]> = (0..28).map(|i| [0.1 * i as f32, -0.05 * i as f32]).collect();
    let run = |threads| with_threads(threads, || scene.look(&spectra, &frame_of, &starts, 3));
    let bits = |m: &Match| [m.overlap, m.shift[0], m.shift[1]].map(f32::to_bits);
    let (one, four) = (run(1), run(4));
    assert!(one.iter().zip(&four).all(|(a, b)| bits(a) == bits(b)));
    let alone = scene.look(&spectra[scene.plane.len()..][..scene.plane.len()], &[0; 7], &starts[7..14], 3);
    assert!(one[7..14].iter().zip(&alone).all(|(a, b)| bits(a) == bits(b)));
}

#[test]
fn atoms_outside_of_the_box_count_nothing() {
    let mut scene = Scene::new(3, 2);
    let spectra = scene.noise(1);
    let near = scene.look(&spectra, &[0, 0], &[[0.0; 2]; 2], 0);
    scene.positions.push([4000.0, 10.0, 0.0]);
    scene.positions.push([-9e5, 0.0, 9e5]);
    // Of a height that no other atom has: atoms of like height are looked up with their mean height.
    scene.heights.extend([0.05, 0.05]);
    let with_far = scene.look(&spectra, &[0, 0], &[[0.0; 2]; 2], 0);
    for (a, b) in near.iter().zip(&with_far) {
        assert_eq!(a.overlap.to_bits(), b.overlap.to_bits());
    }
}

#[test]
fn reading_the_nearest_point_adds_little_noise() {
    let mut scene = Scene::new(11, 200);
    let spectra = scene.noise(1);
    let found = scene.look(&spectra, &[0; 200], &[[0.3, -0.2]; 200], 0);
    let (mut error, mut spread) = (0.0, 0.0);
    for (m, r) in found.iter().zip(&scene.poses) {
        let direct = scene.overlap(&spectra, r, [0.3, -0.2]);
        error += (m.overlap - direct).powi(2);
        spread += direct.powi(2);
    }
    let share = (error / spread).sqrt();
    assert!(share < 0.25, "{share} of the spread that the noise itself makes");
}
