//! Indexing finds the orientation of a lattice modulo its mates.

mod common;

use common::{Random, cube, product, with_threads};
use proptest::prelude::*;
use single_rs::orient::index::{Candidate, Indexer, LatticeSpots};
use single_rs::orient::polar::{RING, Rings, polar_spectra};
use single_rs::volume::Rotation;
use std::f32::consts::PI;

const SIZE: usize = 96;
const PADDED: usize = 256;
/// Lattice constant of Pt, 3.92 Å, at 0.36 Å pixels.
const CELL: f32 = 10.9;
const DIAMETER: f32 = 58.0;

/// fcc atoms of a ball about a centre that is no site, px.
fn atoms() -> Vec<[f32; 3]> {
    let mut all = Vec::new();
    for h in -8i32..8 {
        for k in -8i32..8 {
            for l in -8i32..8 {
                let p = [h, k, l].map(|v| (v as f32 + 0.3) * CELL / 2.0);
                if (h + k + l) % 2 == 0 && p.iter().map(|v| v * v).sum::<f32>() < (DIAMETER / 2.0).powi(2) {
                    all.push(p);
                }
            }
        }
    }
    all
}

/// Projected atoms of width 1 px, moved by `shift`, with noise of `sigma`.
fn image(r: &Rotation, shift: [f32; 2], sigma: f32, random: &mut Random) -> Vec<f32> {
    let mut out: Vec<f32> = (0..SIZE * SIZE).map(|_| sigma * random.normal() as f32).collect();
    for p in atoms() {
        let at: [f32; 2] = std::array::from_fn(|a| {
            (0..3).map(|i| r[a][i] * p[i]).sum::<f32>() + shift[a] + (SIZE / 2) as f32
        });
        for y in (at[1] - 4.0).max(0.0) as usize..((at[1] + 5.0) as usize).min(SIZE) {
            for x in (at[0] - 4.0).max(0.0) as usize..((at[0] + 5.0) as usize).min(SIZE) {
                let d2 = (x as f32 - at[0]).powi(2) + (y as f32 - at[1]).powi(2);
                out[y * SIZE + x] += (-0.5 * d2).exp();
            }
        }
    }
    out
}

const RADII: std::ops::Range<i32> = 12..50;

fn rings() -> Rings {
    Rings::new(RADII.map(|s| s as f32 / 128.0).collect()).unwrap()
}

/// Reciprocal points of fcc within the rings: h, k, l all even or all odd.
fn spots() -> LatticeSpots {
    let mut points = Vec::new();
    for h in -5i32..6 {
        for k in -5i32..6 {
            for l in -5i32..6 {
                let g = [h, k, l].map(|v| v as f32 / CELL);
                let q = g.iter().map(|v| v * v).sum::<f32>().sqrt();
                if (h - k) % 2 == 0 && (k - l) % 2 == 0 && q > 0.05 && q < 0.42 {
                    points.push(g);
                }
            }
        }
    }
    LatticeSpots { power: vec![100.0; points.len()], points, diameter: DIAMETER }
}

/// Directions 2° apart in the zone min(x, y) ≥ z ≥ 0, one of the 24 that the cube's rotations exchange.
fn directions() -> Vec<[f32; 3]> {
    let total = 10_000;
    let golden = PI * (3.0 - 5f32.sqrt());
    (0..total)
        .map(|i| {
            let z = 1.0 - (2 * i + 1) as f32 / total as f32;
            let (s, c) = (golden * i as f32).sin_cos();
            let rho = (1.0 - z * z).sqrt();
            [rho * c, rho * s, z]
        })
        .filter(|d| d[2] >= -0.02 && d[0].min(d[1]) >= d[2] - 0.02)
        .collect()
}

/// Angle (degrees) between rotations modulo f · R · o, o a rotation of the cube and f half a turn about the beam.
fn apart(a: &Rotation, b: &Rotation) -> f32 {
    let mut best = -1.0f32;
    for o in cube() {
        let m = product(a, &o);
        for f in [1.0, -1.0] {
            let dot = |i: usize| (0..3).map(|j| m[i][j] * b[i][j]).sum::<f32>();
            best = best.max(f * (dot(0) + dot(1)) + dot(2));
        }
    }
    ((best - 1.0) / 2.0).clamp(-1.0, 1.0).acos().to_degrees()
}

struct Run {
    poses: Vec<Rotation>,
    polar: Vec<f32>,
}

fn run(count: usize, sigma: f32) -> Run {
    let mut random = Random(17);
    let poses: Vec<Rotation> = (0..count).map(|_| random.rotation()).collect();
    let shifts: Vec<[f32; 2]> = (0..count).map(|_| [0; 2].map(|_| random.normal() as f32 * 2.0)).collect();
    let images: Vec<f32> =
        poses.iter().zip(&shifts).flat_map(|(r, &t)| image(r, t, sigma, &mut random)).collect();
    let weights = vec![1.0; SIZE * (SIZE / 2 + 1)];
    let polar = polar_spectra(&images, SIZE, &shifts, DIAMETER / 2.0, PADDED, &rings(), &weights).unwrap();
    Run { poses, polar }
}

#[test]
fn a_crystal_is_indexed_within_three_degrees() {
    let made = run(40, 0.3);
    let found = Indexer::new(&spots(), &directions(), &rings()).unwrap().candidates(&made.polar, 8).unwrap();
    let error: Vec<f32> =
        made.poses.iter().zip(found.chunks(8)).map(|(r, c)| apart(&c[0].rotation, r)).collect();
    let good = error.iter().filter(|&&e| e < 3.0).count();
    // Views far from any zone axis cut few spots, and one in eight is misread on its own.
    assert!(good >= 34, "{good} of 40 within 3 degrees: {error:?}");
    let near = |(r, c): (&Rotation, &[Candidate])| c.iter().any(|c| apart(&c.rotation, r) < 4.0);
    let listed = made.poses.iter().zip(found.chunks(8)).filter(|&pair| near(pair)).count();
    assert!(listed >= 36, "{listed} of 40 have a candidate within 4 degrees");
    assert!(found.chunks(8).all(|c| c.windows(2).all(|p| p[0].score >= p[1].score)));
}

#[test]
fn the_place_of_the_particle_does_not_matter() {
    let r = Random(5).rotation();
    let weights = vec![1.0; SIZE * (SIZE / 2 + 1)];
    let polar = |shift: [f32; 2]| {
        let image = image(&r, shift, 0.0, &mut Random(1));
        polar_spectra(&image, SIZE, &[shift], DIAMETER / 2.0, PADDED, &rings(), &weights).unwrap()
    };
    let (a, b) = (polar([0.0; 2]), polar([3.0, -5.0]));
    let size = a.iter().map(|v| v * v).sum::<f32>();
    let change = a.iter().zip(&b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    assert!(change < 1e-4 * size, "{}", change / size);
}

#[test]
fn altered_coefficients_speak_for_nothing() {
    let mut random = Random(4);
    let image: Vec<f32> = (0..SIZE * SIZE).map(|_| random.normal() as f32).collect();
    let mut weights = vec![1.0; SIZE * (SIZE / 2 + 1)];
    // All of x < 10 was altered.
    weights.chunks_mut(SIZE / 2 + 1).for_each(|row| row[..10].fill(0.0));
    let polar = polar_spectra(&image, SIZE, &[[0.0; 2]], 25.0, PADDED, &rings(), &weights).unwrap();
    for (values, k) in polar.chunks(RING).zip(RADII.map(|s| s as f32 / 128.0)) {
        for (j, v) in values.iter().enumerate() {
            let x = k * (PI * j as f32 / RING as f32).sin() * SIZE as f32;
            if x < 9.4 {
                assert_eq!(*v, 0.0, "ring {k} angle {j}");
            }
        }
        assert!(values.iter().sum::<f32>().abs() < 1e-3);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any particle, wherever it lies, on a transform that is just large enough: no index leaves its array.
    #[test]
    fn tight_paddings_hold(radius in 5.0f32..60.0, x in -70.0f32..70.0, y in -70.0f32..70.0, last in 0.2f32..0.5) {
        let padded = 2 * (1.2 * radius).ceil() as usize + 1;
        let weights = vec![1.0; 32 * 17];
        let image: Vec<f32> = (0..32 * 32).map(|i| (i % 7) as f32).collect();
        let rings = Rings::new(vec![0.1, last]).unwrap();
        for padded in padded..padded + 5 {
            if let Ok(polar) = polar_spectra(&image, 32, &[[x, y]], radius, padded, &rings, &weights) {
                prop_assert!(polar.iter().all(|v| v.is_finite()));
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let bits = |found: Vec<Candidate>| -> Vec<(u32, [u32; 3])> {
        found.iter().map(|c| (c.score.to_bits(), c.rotation[0].map(f32::to_bits))).collect()
    };
    let few: Vec<[f32; 3]> = directions().into_iter().step_by(9).collect();
    let index = || {
        let made = run(6, 0.3);
        (Indexer::new(&spots(), &few, &rings()).unwrap().candidates(&made.polar, 5).unwrap(), made.polar)
    };
    let ((a, polar), (b, again)) = (with_threads(1, index), with_threads(4, index));
    assert_eq!(polar, again);
    assert_eq!(bits(a), bits(b));
}

#[test]
fn bad_sizes_are_named() {
    let weights = vec![1.0; 32 * 17];
    let call = |padded: usize, radii: Vec<f32>| {
        Rings::new(radii)
            .and_then(|rings| polar_spectra(&[0.0; 1024], 32, &[[0.0; 2]], 10.0, padded, &rings, &weights))
            .unwrap_err()
            .to_string()
    };
    assert!(call(24, vec![0.2]).contains("padded is 24"));
    for radii in [vec![0.2, 0.5], vec![], vec![0.2, 0.1], vec![-5.0], vec![f32::NAN], vec![1e30]] {
        assert!(call(64, radii).contains("radii"));
    }
}

#[test]
fn a_frame_without_contrast_has_no_best_state() {
    let few: Vec<[f32; 3]> = directions().into_iter().step_by(9).collect();
    let blank = vec![0.0; rings().len() * RING];
    let found = Indexer::new(&spots(), &few, &rings()).unwrap().candidates(&blank, 4).unwrap();
    assert!(found.iter().all(|c| c.score == 0.0));
}
