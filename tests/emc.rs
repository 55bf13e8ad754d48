//! Power spectra in unknown orientations find the intensity that they are sections of.

mod common;

use common::{Random, cube, product, with_threads};
use single_rs::orient::emc::Emc;
use single_rs::orient::index::Indexer;
use single_rs::orient::intensity::Intensity;
use single_rs::orient::polar::{RING, Rings};
use single_rs::volume::Rotation;
use std::f32::consts::PI;

/// Image size: radii below are in grid steps of 1/SIZE.
const SIZE: usize = 64;
const SPOT: f32 = 1.6;
const FRAMES: usize = 160;

const RADII: std::ops::Range<i32> = 9..20;

fn rings() -> Rings {
    Rings::new(RADII.map(|k| k as f32 / SIZE as f32).collect()).unwrap()
}

/// Reflections 111, 200 and 220 of a cube that stands askew.
fn spots() -> Vec<[f32; 3]> {
    let askew = Random(3).rotation();
    let mut out = Vec::new();
    for h in -2i32..3 {
        for k in -2i32..3 {
            for l in -2i32..3 {
                let n = h * h + k * k + l * l;
                if (n == 3 || n == 4 || n == 8) && (h - k) % 2 == 0 && (k - l) % 2 == 0 {
                    let g = [h, k, l].map(|v| v as f32 * 6.3);
                    out.push(std::array::from_fn(|i| (0..3).map(|j| askew[i][j] * g[j]).sum()));
                }
            }
        }
    }
    out
}

/// Rings of the section of rotation `r`, free of their means, with noise of `sigma`.
fn section(r: &Rotation, sigma: f32, random: &mut Random) -> Vec<f32> {
    let (spots, mut out) = (spots(), Vec::new());
    for k in RADII.map(|k| k as f32 / SIZE as f32) {
        let mut ring: Vec<f32> = (0..RING)
            .map(|j| {
                let (s, c) = (PI * j as f32 / RING as f32).sin_cos();
                let k = k * SIZE as f32;
                let q: [f32; 3] = std::array::from_fn(|i| k * (s * r[0][i] - c * r[1][i]));
                let power = spots.iter().map(|p| {
                    let d2: f32 = (0..3).map(|i| (q[i] - p[i]).powi(2)).sum();
                    (-0.5 * d2 / (SPOT * SPOT)).exp()
                });
                power.sum::<f32>() + sigma * random.normal() as f32
            })
            .collect();
        let mean = ring.iter().sum::<f32>() / RING as f32;
        ring.iter_mut().for_each(|v| *v -= mean);
        out.extend(ring);
    }
    out
}

fn made(sigma: f32) -> (Vec<Rotation>, Vec<f32>) {
    let mut random = Random(29);
    let poses: Vec<Rotation> = (0..FRAMES).map(|_| random.rotation()).collect();
    let polar = poses.iter().flat_map(|r| section(r, sigma, &mut random)).collect();
    (poses, polar)
}

/// Directions some 8° apart.
fn directions() -> Vec<[f32; 3]> {
    let total = 600;
    let golden = PI * (3.0 - 5f32.sqrt());
    (0..total)
        .map(|i| {
            let z = 1.0 - (2 * i + 1) as f32 / total as f32;
            let rho = (1.0 - z * z).sqrt();
            let (s, c) = (golden * i as f32).sin_cos();
            [rho * c, rho * s, z]
        })
        .collect()
}

fn merger(polar: &[f32], folds: &[usize]) -> Emc {
    Emc::new(polar, &rings(), SIZE, folds, &directions()).unwrap()
}

/// Value at the grid point nearest to `q`.
fn at(intensity: &Intensity, q: [f32; 3]) -> f32 {
    let side = 2 * intensity.reach + 1;
    let i = q.map(|v| (v.round() as i32 + intensity.reach as i32) as usize);
    intensity.values[(i[2] * side + i[1]) * side + i[0]]
}

/// Share of the found rotations that one turn of the particle brings within `degrees` of a mate of the true ones.
fn agree(found: &[Rotation], poses: &[Rotation], degrees: f32) -> f32 {
    let askew = Random(3).rotation();
    let limit = 1.0 + 2.0 * degrees.to_radians().cos();
    let turned = |r: &Rotation, f: f32| -> Rotation { [r[0].map(|v| v * f), r[1].map(|v| v * f), r[2]] };
    let back = |r: &Rotation| -> Rotation { std::array::from_fn(|i| std::array::from_fn(|j| r[j][i])) };
    let group: Vec<Rotation> = cube().iter().map(|o| product(&product(&askew, o), &back(&askew))).collect();
    let mates: Vec<Vec<Rotation>> = poses
        .iter()
        .map(|r| {
            [1.0, -1.0].iter().flat_map(|&f| group.iter().map(move |o| turned(&product(r, o), f))).collect()
        })
        .collect();
    let trace = |a: &Rotation, b: &Rotation| -> f32 {
        a.iter().flatten().zip(b.iter().flatten()).map(|(x, y)| x * y).sum()
    };
    let count = |seed: usize| {
        let g = product(&back(&found[seed]), &poses[seed]);
        let hits = found.iter().zip(&mates).filter(|(r, mates)| {
            let r = product(r, &g);
            mates.iter().any(|m| trace(&r, m) > limit)
        });
        hits.count()
    };
    (0..found.len()).map(count).max().unwrap_or(0) as f32 / found.len() as f32
}

#[test]
fn frames_in_their_true_orientations_show_the_spots() {
    let (poses, polar) = made(0.3);
    let merged = merger(&polar, &[FRAMES]).merge(&poses).unwrap();
    let heights: Vec<f32> = spots().iter().map(|&q| at(&merged[0], q)).collect();
    assert!(heights.iter().all(|&h| h > 0.4), "{heights:?}");
    let (last, values) = (merged[0].values.len() - 1, &merged[0].values);
    assert!((0..=last).all(|i| values[i] == values[last - i]), "power spectra are even");
}

#[test]
fn an_intensity_is_found_from_random_orientations() {
    let (poses, polar) = made(0.3);
    let mut random = Random(7);
    let start: Vec<Rotation> = poses.iter().map(|_| random.rotation()).collect();
    let found = |intensity: &Intensity| -> Vec<Rotation> {
        let indexer = Indexer::from_intensity(intensity, &directions(), &rings(), SIZE).unwrap();
        indexer.candidates(&polar, 1).unwrap().iter().map(|c| c.rotation).collect()
    };
    let emc = merger(&polar, &[FRAMES]);
    let mut intensity = emc.merge(&start).unwrap();
    let before = agree(&found(&intensity[0]), &poses, 10.0);
    for _ in 0..40 {
        intensity = emc.round(&intensity, 1.5).unwrap().0;
    }
    let after = agree(&found(&intensity[0]), &poses, 10.0);
    assert!(before < 0.4, "{before} of random orientations agree");
    assert!(after > 0.8, "{after} of the frames agree with the truth");
}

#[test]
fn a_fold_is_held_out_of_its_own_intensity() {
    let (poses, polar) = made(0.3);
    let folds = [FRAMES / 2, FRAMES - FRAMES / 2];
    let held_out = merger(&polar, &folds).merge(&poses).unwrap();
    let other = &polar[polar.len() / 2..];
    let alone = merger(other, &[FRAMES - FRAMES / 2]).merge(&poses[FRAMES / 2..]).unwrap();
    let worst =
        held_out[0].values.iter().zip(&alone[0].values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-3, "the first fold's intensity differs from that of the second fold by {worst}");
}

#[test]
fn threads_do_not_change_a_bit() {
    let (poses, polar) = made(0.3);
    let run = || {
        let emc = merger(&polar, &[FRAMES / 2, FRAMES - FRAMES / 2]);
        emc.round(&emc.merge(&poses).unwrap(), 2.0)
            .unwrap()
            .0
            .into_iter()
            .map(|i| i.values)
            .collect::<Vec<_>>()
    };
    assert_eq!(with_threads(1, run), with_threads(4, run));
}

#[test]
fn what_does_not_fit_is_refused() {
    let (poses, polar) = made(0.0);
    assert!(Emc::new(&polar, &rings(), SIZE, &[FRAMES + 1], &directions()).is_err());
    assert!(Emc::new(&polar, &rings(), SIZE, &[], &directions()).is_err());
    let emc = merger(&polar, &[FRAMES]);
    assert!(emc.merge(&poses[1..]).is_err());
    let small = Intensity::new(vec![0.0; 27]).unwrap();
    assert!(emc.round(&[small], 1.0).is_err());
    assert!(Intensity::new(vec![0.0; 64]).is_err());
}
