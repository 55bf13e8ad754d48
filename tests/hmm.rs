//! The hidden Markov model against enumeration and simulated chains.

mod common;

use common::{Random, cube, exponential, with_threads};
use proptest::prelude::*;
use single_rs::orient::hmm::{Posterior, Quaternion, Step, forward_backward, multiply};
use std::f64::consts::PI;

const ONE: Quaternion = [1.0, 0.0, 0.0, 0.0];
/// Volume of all rotations: 8π² of the invariant measure in rad³ (rotation vectors near the identity).
const ALL: f32 = 8.0 * (PI * PI) as f32;

fn single(q: [f64; 4]) -> Quaternion {
    q.map(|v| v as f32)
}

/// Angle between two rotations modulo mates, in f64.
fn angle(a: Quaternion, b: Quaternion, left: &[Quaternion], right: &[Quaternion]) -> f64 {
    let mut best = 0.0f64;
    for &l in left {
        for &r in right {
            let m = multiply(multiply(l, a), r);
            best = best.max((0..4).map(|i| f64::from(m[i]) * f64::from(b[i])).sum::<f64>().abs());
        }
    }
    2.0 * best.min(1.0).acos()
}

/// Posterior of every candidate by summing over all paths.
fn enumerate(
    states: &[Quaternion],
    emission: &[f32],
    count: usize,
    right: &[Quaternion],
    step: Step,
) -> Vec<f64> {
    let n = states.len() / count;
    let mut out = vec![0.0; n * count];
    for code in 0..count.pow(n as u32) {
        let path: Vec<usize> = (0..n).map(|t| code / count.pow(t as u32) % count + t * count).collect();
        let mut weight: f64 = path.iter().map(|&i| f64::from(emission[i])).sum::<f64>().exp();
        for pair in path.windows(2) {
            let theta = angle(states[pair[0]], states[pair[1]], &[ONE], right);
            weight *= f64::from(step.density(theta as f32));
        }
        path.iter().for_each(|&i| out[i] += weight);
    }
    let total: f64 = out[..count].iter().sum();
    out.iter().map(|v| v / total).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn forward_backward_equals_enumeration(
        seed in any::<u64>(), n in 1usize..6, count in 1usize..5, sigma in 0.1f32..1.0, jump in 0.01f32..0.9
    ) {
        let mut random = Random(seed);
        let states: Vec<Quaternion> = (0..n * count).map(|_| single(random.quaternion())).collect();
        let emission: Vec<f32> = (0..n * count).map(|_| random.normal() as f32).collect();
        let half_turn = [ONE, [0.0, 0.0, 0.0, 1.0]];
        let step = Step { sigma, jump, volume: ALL / 2.0 };
        let found = forward_backward(&states, &emission, count, &[ONE], &half_turn, step).unwrap();
        let exact = enumerate(&states, &emission, count, &half_turn, step);
        for (a, b) in found.probability.iter().zip(&exact) {
            prop_assert!((f64::from(*a) - b).abs() < 1e-4, "{a} {b}");
        }
    }

    #[test]
    fn the_path_is_the_best_of_all(seed in any::<u64>(), n in 1usize..6, count in 1usize..5, sigma in 0.1f32..1.0) {
        let mut random = Random(seed);
        let states: Vec<Quaternion> = (0..n * count).map(|_| single(random.quaternion())).collect();
        let emission: Vec<f32> = (0..n * count).map(|_| random.normal() as f32).collect();
        let step = Step { sigma, jump: 0.1, volume: ALL };
        let value = |path: &[usize]| -> f64 {
            let at: Vec<usize> = path.iter().enumerate().map(|(t, i)| t * count + i).collect();
            let steps = at.windows(2).map(|p| {
                f64::from(step.density(angle(states[p[0]], states[p[1]], &[ONE], &[ONE]) as f32)).ln()
            });
            at.iter().map(|&i| f64::from(emission[i])).sum::<f64>() + steps.sum::<f64>()
        };
        let all = (0..count.pow(n as u32)).map(|code| -> Vec<usize> {
            (0..n).map(|t| code / count.pow(t as u32) % count).collect()
        });
        let best = all.map(|p| value(&p)).fold(f64::NEG_INFINITY, f64::max);
        let found = forward_backward(&states, &emission, count, &[ONE], &[ONE], step).unwrap();
        prop_assert!((value(&found.path) - best).abs() < 1e-4, "{} {best}", value(&found.path));
    }

    #[test]
    fn rows_sum_to_one_and_stay_finite(seed in any::<u64>(), sigma in 0.001f32..0.5, scale in 0.0f32..3000.0) {
        // Emissions of thousands of nats and steps of many sigma must not underflow: the jumps hold the floor.
        let (n, count) = (50, 6);
        let mut random = Random(seed);
        let states: Vec<Quaternion> = (0..n * count).map(|_| single(random.quaternion())).collect();
        let emission: Vec<f32> = (0..n * count).map(|_| scale * random.normal() as f32).collect();
        let step = Step { sigma, jump: 0.02, volume: ALL };
        let found = forward_backward(&states, &emission, count, &[ONE], &[ONE], step).unwrap();
        for row in found.probability.chunks(count) {
            prop_assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5 && row.iter().all(|p| (0.0..=1.0).contains(p)));
        }
        prop_assert!(found.step_square.is_finite() && (0.0..=1.0).contains(&found.jumps));
    }
}

/// A step of Student's t with 4 degrees of freedom.
fn heavy_tailed(random: &mut Random, sigma: f64) -> [f64; 3] {
    let square: f64 = (0..4).map(|_| random.normal().powi(2)).sum();
    [0; 3].map(|_| sigma * random.normal() / (square / 4.0).sqrt())
}

/// A chain of `n` steps of width `sigma`, `share` of them jumps, with three decoys beside every true state.
fn chain(n: usize, sigma: f64, share: f64, seed: u64) -> (Vec<Quaternion>, Vec<f32>) {
    let mut random = Random(seed);
    let (mut states, mut emission) = (Vec::new(), Vec::new());
    let mut at = single(random.quaternion());
    for _ in 0..n {
        let step = single(exponential(heavy_tailed(&mut random, sigma)));
        at = if random.uniform() < share { single(random.quaternion()) } else { multiply(step, at) };
        states.push(at);
        states.extend((0..3).map(|_| single(random.quaternion())));
        // The truth is ahead by 3 nats on average, and behind one decoy in a good part of the frames.
        emission.push((3.0 + 1.5 * random.normal()) as f32);
        emission.extend((0..3).map(|_| (1.5 * random.normal()) as f32));
    }
    (states, emission)
}

fn learn(
    states: &[Quaternion],
    emission: &[f32],
    left: &[Quaternion],
    right: &[Quaternion],
    mut step: Step,
) -> (Step, Posterior) {
    let mut found = forward_backward(states, emission, 4, left, right, step).unwrap();
    for _ in 0..15 {
        step.sigma = found.step_square.sqrt() as f32;
        step.jump = found.jumps.clamp(0.001, 0.5) as f32;
        found = forward_backward(states, emission, 4, left, right, step).unwrap();
    }
    (step, found)
}

#[test]
fn the_step_is_learned_from_the_chain() {
    let (states, emission) = chain(4000, 0.1, 0.05, 11);
    // Started a factor of two off on both.
    let (step, found) =
        learn(&states, &emission, &[ONE], &[ONE], Step { sigma: 0.2, jump: 0.1, volume: ALL });
    // 4,000 steps of three components fix sigma to 0.7 %, and 200 jumps their share to 7 % (one sigma).
    assert!((step.sigma / 0.1 - 1.0).abs() < 0.04, "{}", step.sigma);
    assert!((step.jump - 0.05).abs() < 0.015, "{}", step.jump);
    let right = |p: &[f32]| p.chunks(4).filter(|r| r[0] > 0.5).count();
    let alone = emission.chunks(4).filter(|e| e[1..].iter().all(|v| *v < e[0])).count();
    let pooled = right(&found.probability);
    assert!(pooled > 3880 && alone < 3500, "{pooled} with neighbours, {alone} alone, of 4000");
}

#[test]
fn mates_count_as_one_state() {
    // Every state replaced by a random mate l · s · r: the posterior must not notice.
    let (states, emission) = chain(200, 0.05, 0.02, 5);
    let left = [ONE, [0.0, 0.0, 0.0, 1.0]];
    let right: Vec<Quaternion> = cube()
        .iter()
        .map(|m| {
            let matrix = nalgebra::Matrix3::from_fn(|i, j| m[i][j]);
            // Not `from_matrix`: its iteration does not leave the identity for half turns.
            let matrix = nalgebra::Rotation3::from_matrix_unchecked(matrix);
            let q = nalgebra::UnitQuaternion::from_rotation_matrix(&matrix);
            [q.w, q.i, q.j, q.k]
        })
        .collect();
    let mut random = Random(6);
    let mut pick = |list: &[Quaternion]| list[(random.uniform() * list.len() as f64) as usize];
    let other: Vec<Quaternion> =
        states.iter().map(|&s| multiply(multiply(pick(&left), s), pick(&right))).collect();
    let step = Step { sigma: 0.05, jump: 0.02, volume: ALL / 48.0 };
    let a = forward_backward(&states, &emission, 4, &left, &right, step).unwrap();
    let b = forward_backward(&other, &emission, 4, &left, &right, step).unwrap();
    for (p, q) in a.probability.iter().zip(&b.probability) {
        assert!((p - q).abs() < 0.02, "{p} {q}"); // acos near 1 in f32: 3e-4 rad of noise on a step of 0.05
    }
    let found = a.probability.chunks(4).filter(|r| r[0] > 0.5).count();
    assert!(found > 180, "{found} of 200");
}

#[test]
fn threads_do_not_change_a_bit() {
    let (states, emission) = chain(300, 0.1, 0.05, 2);
    let step = Step { sigma: 0.1, jump: 0.05, volume: ALL };
    let run = || forward_backward(&states, &emission, 4, &[ONE], &[ONE], step).unwrap();
    let (a, b) = (with_threads(1, run), with_threads(4, run));
    assert_eq!(a.probability, b.probability);
    assert_eq!((a.step_square, a.jumps), (b.step_square, b.jumps));
}

#[test]
fn no_frames_have_no_posterior() {
    let step = Step { sigma: 0.1, jump: 0.1, volume: ALL };
    assert!(forward_backward(&[], &[], 4, &[ONE], &[ONE], step).unwrap().probability.is_empty());
}
