//! From the candidates of every frame to a few distinct, refined finalists.
//!
//! All candidates are looked up on the whole window of shifts; the best of each frame climb to their local tops, the more
//! of the way the better they are; of what comes out, the best poses of which no two are the same are kept.

use crate::fourier::HalfPlane;
use crate::orient::climb::{Climber, JetFilter, JetScratch};
use crate::orient::lookup::{AtomModel, FrameFilter, by_frame, packed};
use crate::orient::score::Match;
use crate::volume::Rotation;
use num_complex::Complex32;
use rayon::prelude::*;

/// A climbed pose that much below the best of its frame is dropped: nats, and a share of what the best gains. Time would
/// have to pay for it with two jumps, some 25 nats.
const HOPELESS: (f32, f32) = (50.0, 0.1);

/// Candidates of which one climbs, where that is more than `climbers`: a dense grid hides the right one behind those near
/// the best wrong one.
const PER_CLIMBER: usize = 15;

/// How far a search goes.
#[derive(Debug, Clone)]
pub struct SearchPlan {
    /// Shifts tried to each side of a start, in steps of the look-up's grid.
    pub window: usize,
    /// Candidates of each frame that climb, at least.
    pub climbers: usize,
    /// Distinct poses of each frame that are kept.
    pub finalists: usize,
    /// Steps that all climbers take, and steps more that the better half may take.
    pub climb: [usize; 2],
    /// Poses nearer than this are one, rad.
    pub same: f32,
    /// Share of a log-likelihood to believe, against the candidates' prior.
    pub temper: f32,
}

/// Candidates of all frames, by frame.
#[derive(Debug, Clone, Copy)]
pub struct Pool<'a> {
    /// Frame of each, ascending.
    pub frame_of: &'a [usize],
    /// Poses.
    pub rotations: &'a [Rotation],
    /// Shifts to start from, px.
    pub starts: &'a [[f32; 2]],
    /// Nats.
    pub prior: &'a [f32],
}

/// A refined pose of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Finalist {
    /// Pose.
    pub rotation: Rotation,
    /// Overlap, power and shift.
    pub fit: Match,
}

/// Finalists of every frame that has candidates, best first, in ascending order of frames. `gain` (one per frame) is
/// the frame's weight. The result does not depend on the number of threads.
#[must_use]
pub fn search(
    spectra: &[Complex32],
    plane: &HalfPlane,
    gain: &[f32],
    model: &AtomModel<'_>,
    pool: Pool<'_>,
    plan: &SearchPlan,
) -> Vec<Vec<Finalist>> {
    let filter = FrameFilter::new(plane);
    let ranges = by_frame(pool.frame_of);
    let looked: Vec<Vec<Match>> = ranges
        .par_iter()
        .map_init(
            || filter.scratch(),
            |scratch, range| {
                let spectrum = packed(spectra, plane, pool.frame_of[range.start]);
                let mut phases = filter.phases(spectrum, model.filter, scratch);
                let look = |i: usize| phases.best(model, &pool.rotations[i], pool.starts[i], plan.window);
                range.clone().map(look).collect()
            },
        )
        .collect();
    let scale = common_scale(&looked);
    let value = |m: &Match| 2.0 * scale * m.overlap - scale * scale * m.power;
    let jet_filter = JetFilter::new(&filter, model);
    ranges
        .par_iter()
        .zip(&looked)
        .map_init(
            || (filter.scratch(), JetScratch::new(&filter)),
            |(scratch, jets), (range, looked)| {
                let frame = pool.frame_of[range.start];
                let weight = plan.temper * gain[frame];
                let believed =
                    looked.iter().zip(range.clone()).map(|(m, i)| weight * value(m) + pool.prior[i]);
                let believed: Vec<f32> = believed.collect();
                let jets = jet_filter.apply(&filter, packed(spectra, plane, frame), model, jets, scratch);
                // Best first, without the hopeless.
                let climbed = |climbers: Vec<Climber>, steps: usize| -> Vec<Climber> {
                    let climb = |from| jets.climb(model, from, scale, steps);
                    let mut climbers: Vec<Climber> = climbers.into_iter().map(climb).collect();
                    let gained = |c: &Climber| weight * value(&c.pose.fit);
                    climbers.sort_by(|a, b| gained(b).total_cmp(&gained(a)));
                    let best = climbers.first().map_or(0.0, gained);
                    let least = best - HOPELESS.0 - HOPELESS.1 * best.abs();
                    climbers.retain(|c| gained(c).total_cmp(&least).is_ge());
                    climbers
                };
                let start = |i: usize| jets.start(model, pool.rotations[range.start + i], looked[i].shift);
                let count = plan.climbers.max(believed.len() / PER_CLIMBER);
                let starts = best_of(&believed, count).into_iter().map(start).collect();
                let mut climbers = climbed(starts, plan.climb[0]);
                climbers.truncate(count.div_ceil(2));
                let climbers = climbed(climbers, plan.climb[1]);
                distinct(climbers.into_iter().map(|c| c.pose), plan)
            },
        )
        .collect()
}

/// The one scale of the model that the best candidates of all frames ask for.
fn common_scale(looked: &[Vec<Match>]) -> f32 {
    let plain = |m: &&Match| 2.0 * m.overlap - m.power;
    let best = looked.iter().filter_map(|of| of.iter().max_by(|a, b| plain(a).total_cmp(&plain(b))));
    let (overlap, power) =
        best.fold((0.0f64, 0.0f64), |s, m| (s.0 + f64::from(m.overlap), s.1 + f64::from(m.power)));
    ((overlap / power) as f32).max(1e-6)
}

/// Places of the `count` highest values, highest first, the earlier of equals first.
fn best_of(values: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    let ahead = |a: &usize, b: &usize| values[*b].total_cmp(&values[*a]).then(a.cmp(b));
    if order.len() > count {
        order.select_nth_unstable_by(count, ahead);
        order.truncate(count);
    }
    order.sort_by(ahead);
    order
}

/// The first poses, of which no two are the same.
fn distinct(poses: impl Iterator<Item = Finalist>, plan: &SearchPlan) -> Vec<Finalist> {
    let near = 1.0 + 2.0 * plan.same.cos();
    let trace = |a: &Rotation, b: &Rotation| -> f32 {
        a.iter().flatten().zip(b.iter().flatten()).map(|(x, y)| x * y).sum()
    };
    let mut kept: Vec<Finalist> = Vec::with_capacity(plan.finalists);
    for pose in poses {
        if kept.len() == plan.finalists {
            break;
        }
        if kept.iter().all(|k| trace(&k.rotation, &pose.rotation) <= near) {
            kept.push(pose);
        }
    }
    kept
}
