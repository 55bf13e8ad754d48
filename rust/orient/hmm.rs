//! Hidden Markov model over the candidates of each frame.
//!
//! Brownian rotation is slow, so the orientation of a frame constrains those of its neighbours. With candidates R_{t,i}
//! of frame t, emissions log e_{t,i} and the angle θ between two candidates modulo the lattice's mates, the step is
//!
//! ```text
//! p(θ) = (1 − ε) · t(θ) + ε / V,   t(θ) = c σ⁻³ (1 + θ²/νσ²)^{−(ν+3)/2},   ν = 4
//! ```
//!
//! V being the volume of the orientations modulo symmetry (rad³): Student's t in three dimensions has the bursts of a
//! particle that sticks and comes loose, ε its jumps. Its width is learnt by reweighted squares (Lange, Little and
//! Taylor 1989, doi:10.1080/01621459.1989.10478852). Forward-backward and Viterbi (Rabiner 1989, doi:10.1109/5.18626)
//! give the posterior of every candidate and the most probable path.

use crate::check::{self, accept, agree};
use crate::error::Result;
use rayon::prelude::*;

/// Degrees of freedom of the step: 4 keeps its variance finite (2σ² per axis) and its tails heavy.
const FREEDOM: f32 = 4.0;

/// c = Γ((ν+3)/2) / (Γ(ν/2) (νπ)^{3/2}) at ν = 4: Γ(7/2) = 15√π/8, Γ(2) = 1, so that c = 15/(64 π).
const PEAK: f32 = 15.0 / (64.0 * std::f32::consts::PI);

/// Unit quaternion (w, x, y, z).
pub type Quaternion = [f32; 4];

/// Hamilton product.
#[must_use]
pub fn multiply(a: Quaternion, b: Quaternion) -> Quaternion {
    [
        a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
        a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
        a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
        a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0],
    ]
}

/// The step of the chain.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// σ, the width per axis of the middle of the steps (rad); their root mean square is √2 σ.
    pub sigma: f32,
    /// Share of jumps to anywhere.
    pub jump: f32,
    /// Volume of the space of states (rad³).
    pub volume: f32,
}

impl Step {
    /// Refuse what is no step.
    fn check(&self) -> Result<()> {
        let between = |low: f32, high: f32, v: f32| (low..=high).contains(&v);
        accept(
            "sigma",
            self.sigma,
            between(1e-6, 10.0, self.sigma),
            "a width from 1e-6 to 10 rad is needed",
        )?;
        accept("jump", self.jump, between(0.0, 1.0, self.jump), "a share from 0 to 1 is needed")?;
        accept(
            "volume",
            self.volume,
            between(1e-6, 1e6, self.volume),
            "a volume from 1e-6 to 1e6 rad³ is needed",
        )
    }

    /// Density of a step of `theta` rad.
    #[must_use]
    pub fn density(&self, theta: f32) -> f32 {
        let s = self.sigma;
        let tail = 1.0 + (theta / s).powi(2) / FREEDOM;
        (1.0 - self.jump) * PEAK / s.powi(3) * tail.powf(-0.5 * (FREEDOM + 3.0)) + self.jump / self.volume
    }

    /// Weight of a step's square when the width is learnt.
    fn weight(&self, theta: f32) -> f64 {
        f64::from((FREEDOM + 3.0) / (FREEDOM + (theta / self.sigma).powi(2)))
    }
}

/// Posterior of a chain.
#[derive(Debug, Clone)]
pub struct Posterior {
    /// n · count probabilities.
    pub probability: Vec<f32>,
    /// Candidate of each frame on the most probable path.
    pub path: Vec<usize>,
    /// Expected weighted θ²/3 of the steps that are not jumps (rad²): the next σ².
    pub step_square: f64,
    /// Expected share of jumps.
    pub jumps: f64,
}

/// Mates compared at a time.
const LANES: usize = 8;

/// Unit quaternions side by side; places without one are 0, which lies as far from all as can be.
type Mates = [[f32; LANES]; 4];

/// Quaternions in lanes.
fn in_lanes(quaternions: &[Quaternion], out: &mut Vec<Mates>) {
    out.clear();
    out.extend(quaternions.chunks(LANES).map(|part| {
        std::array::from_fn(|i| std::array::from_fn(|l| part.get(l).map_or(0.0, |quaternion| quaternion[i])))
    }));
}

/// Angle (rad) between rotations `a` and `b` modulo `left` · (…) · `right` mates.
fn angle(mates_of_a: &[Mates], b: Quaternion) -> f32 {
    let mut best = [0.0f32; LANES];
    for m in mates_of_a {
        for l in 0..LANES {
            let product = (m[0][l] * b[0] + m[1][l] * b[1] + m[2][l] * b[2] + m[3][l] * b[3]).abs();
            best[l] = if product > best[l] { product } else { best[l] };
        }
    }
    2.0 * best.into_iter().fold(0.0, f32::max).min(1.0).acos()
}

/// Forward-backward over `count` candidates a frame.
///
/// `states` n·count quaternions, `emission` n·count log-likelihoods, `left` and `right` the mates' factors:
/// a state s stands for all l · s · r.
///
/// # Errors
/// Numbers that do not agree or are no numbers, a frame whose emissions are all −∞, or a step that is none.
pub fn forward_backward(
    states: &[Quaternion],
    emission: &[f32],
    count: usize,
    left: &[Quaternion],
    right: &[Quaternion],
    step: Step,
) -> Result<Posterior> {
    accept("states", "without a candidate", count > 0, "at least one a frame is needed")?;
    step.check()?;
    let n = states.len() / count;
    agree("states", states.len(), n * count)?;
    agree("emission", emission.len(), states.len())?;
    for (name, quaternions) in [("states", states), ("left", left), ("right", right)] {
        check::finite(name, quaternions.as_flattened())?;
    }
    accept("left", "empty", !left.is_empty(), "the identity at least is needed")?;
    accept("right", "empty", !right.is_empty(), "the identity at least is needed")?;
    let wrong = emission.chunks(count).position(|row| {
        row.iter().any(|e| e.is_nan() || *e == f32::INFINITY) || row.iter().all(|e| *e == f32::NEG_INFINITY)
    });
    let (given, accepted) = ("not finite in a frame", "log-likelihoods are needed, not all of them −∞");
    accept("emission", given, wrong.is_none(), accepted)?;
    // Angles and densities of all pairs of neighbours.
    check::room("states", format!("{n} frames of {count}"), 8.0 * n as f64 * (count as f64).powi(2))?;
    if n == 0 {
        return Ok(Posterior { probability: Vec::new(), path: Vec::new(), step_square: 0.0, jumps: 0.0 });
    }
    let angles: Vec<f32> = (0..n - 1)
        .into_par_iter()
        .flat_map_iter(|t| {
            let mut block = Vec::with_capacity(count * count);
            let mut mates = Vec::with_capacity(left.len() * right.len());
            let mut lanes = Vec::new();
            for i in 0..count {
                mates.clear();
                for &l in left {
                    let ls = multiply(l, states[t * count + i]);
                    mates.extend(right.iter().map(|&r| multiply(ls, r)));
                }
                in_lanes(&mates, &mut lanes);
                for j in 0..count {
                    block.push(angle(&lanes, states[(t + 1) * count + j]));
                }
            }
            block
        })
        .collect();
    let likelihood: Vec<f32> = emission
        .chunks(count)
        .flat_map(|row| {
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter().map(move |e| (e - top).exp()).collect::<Vec<_>>()
        })
        .collect();
    let normalise = |row: &mut [f32]| {
        let sum: f32 = row.iter().sum::<f32>().max(f32::MIN_POSITIVE);
        row.iter_mut().for_each(|v| *v /= sum);
    };
    let density: Vec<f32> = angles.iter().map(|&a| step.density(a)).collect();
    let mut forward = likelihood.clone();
    normalise(&mut forward[..count]);
    for t in 1..n {
        let (before, now) = forward.split_at_mut(t * count);
        let before = &before[(t - 1) * count..];
        let rows = &density[(t - 1) * count * count..t * count * count];
        let mut reached = vec![0.0; count];
        for (p, row) in before.iter().zip(rows.chunks(count)) {
            reached.iter_mut().zip(row).for_each(|(r, d)| *r += p * d);
        }
        now[..count].iter_mut().zip(&reached).for_each(|(v, r)| *v *= r);
        normalise(&mut now[..count]);
    }
    let floor = f64::from(step.jump / step.volume);
    let mut backward = vec![1.0f32; count];
    let mut probability = vec![0.0; n * count];
    let (mut square, mut stays, mut steps) = (0.0f64, 0.0f64, 0.0f64);
    for t in (0..n).rev() {
        let row = &mut probability[t * count..(t + 1) * count];
        for ((p, f), b) in row.iter_mut().zip(&forward[t * count..]).zip(&backward) {
            *p = f * b;
        }
        normalise(row);
        if t == 0 {
            break;
        }
        let rows = &density[(t - 1) * count * count..t * count * count];
        let thetas = &angles[(t - 1) * count * count..t * count * count];
        let onward: Vec<f32> = likelihood[t * count..].iter().zip(&backward).map(|(l, b)| l * b).collect();
        let (mut total, mut kept, mut bent) = (0.0f64, 0.0f64, 0.0f64);
        let mut next = vec![0.0; count];
        for i in 0..count {
            let f = f64::from(forward[(t - 1) * count + i]);
            for j in 0..count {
                let d = rows[i * count + j];
                next[i] += d * onward[j];
                let joint = f * f64::from(d * onward[j]);
                let stay = joint * (1.0 - floor / f64::from(d)).max(0.0);
                total += joint;
                kept += stay;
                let theta = thetas[i * count + j];
                bent += stay * step.weight(theta) * f64::from(theta).powi(2) / 3.0;
            }
        }
        if total > 0.0 {
            square += bent / total;
            stays += kept / total;
            steps += 1.0;
        }
        normalise(&mut next);
        backward = next;
    }
    Ok(Posterior {
        probability,
        path: most_probable_path(emission, &density, count),
        step_square: if stays > 0.0 { square / stays } else { 0.0 },
        jumps: if steps > 0.0 { 1.0 - stays / steps } else { 0.0 },
    })
}

/// Viterbi: the path of the largest product of emissions and step densities (n−1 blocks of count × count).
fn most_probable_path(emission: &[f32], density: &[f32], count: usize) -> Vec<usize> {
    let n = emission.len() / count;
    let mut best = emission[..count].to_vec();
    let mut came_from = vec![0; n * count];
    for t in 1..n {
        let steps = &density[(t - 1) * count * count..t * count * count];
        let mut next = vec![f32::NEG_INFINITY; count];
        for i in 0..count {
            for j in 0..count {
                let value = best[i] + steps[i * count + j].max(f32::MIN_POSITIVE).ln();
                if value > next[j] {
                    next[j] = value;
                    came_from[t * count + j] = i;
                }
            }
        }
        best = next.iter().zip(&emission[t * count..]).map(|(v, e)| v + e).collect();
    }
    let top = |row: &[f32]| (0..count).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
    let mut path = vec![top(&best); n];
    for t in (1..n).rev() {
        path[t - 1] = came_from[t * count + path[t]];
    }
    path
}
