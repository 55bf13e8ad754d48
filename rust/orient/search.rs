//! From the candidates of every frame to a few distinct, refined finalists.
//!
//! All candidates are looked up on the whole window of shifts; the best of each frame climb to their local tops, the
//! more of the way the better they are; of what comes out, the best poses of which no two are the same are kept.

use crate::check::{self, accept, agree, within};
use crate::error::Result;
use crate::frames::PosedFrames;
use crate::orient::atoms::AtomModel;
use crate::orient::finalist::{Finalist, distinct};
use crate::orient::lookup::{FrameFilter, look_up_by_frame};
use crate::orient::newton::{Climber, JetFilter, JetScratch};
use crate::orient::score::Match;
use crate::orient::window::MOST_STEPS;
use rayon::prelude::*;

/// A climbed pose that much below the best of its frame is dropped: nats, and a share of what the best gains. Time
/// would have to pay for it with two jumps, some 25 nats.
const HOPELESS: (f32, f32) = (50.0, 0.1);

/// Candidates of which one climbs, where that is more than `climbers`: a dense grid hides the right one behind those
/// near the best wrong one.
const PER_CLIMBER: usize = 15;

/// Most climbers or finalists of a frame, and most steps of a climb: a hundred times what a search takes.
const MOST_CLIMBERS: usize = 10_000;
const MOST_CLIMBS: usize = 1_000;

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
    pub inverse_temperature: f32,
}

impl SearchPlan {
    /// Refuse a plan that cannot be followed.
    ///
    /// # Errors
    /// What is out of range, by name.
    pub fn check(&self) -> Result<()> {
        let turn = std::f32::consts::PI;
        within("window", self.window, 0..=MOST_STEPS)?;
        within("climbers", self.climbers, 1..=MOST_CLIMBERS)?;
        within("finalists", self.finalists, 1..=MOST_CLIMBERS)?;
        self.climb.iter().try_for_each(|&steps| within("climb", steps, 0..=MOST_CLIMBS))?;
        accept("same", self.same, (0.0..=turn).contains(&self.same), "an angle from 0 to π rad is needed")?;
        accept(
            "inverse_temperature",
            self.inverse_temperature,
            (0.0..=1.0).contains(&self.inverse_temperature),
            "a share from 0 to 1 is needed",
        )
    }
}

/// Finalists of every frame that has candidates, best first, in ascending order of frames.
///
/// The candidates are the poses of `posed`, frame by frame, with `prior` nats each; `frame_weight` is the factor on its
/// likelihood. The result does not depend on the number of threads.
///
/// # Errors
/// Numbers that do not agree, a plan that cannot be followed, or finalists that are not finite.
pub fn search(
    posed: &PosedFrames<'_>,
    model: &AtomModel<'_>,
    frame_weight: &[f32],
    prior: &[f32],
    plan: &SearchPlan,
) -> Result<Vec<Vec<Finalist>>> {
    plan.check()?;
    agree("frame_weight", frame_weight.len(), posed.frames)?;
    check::finite("frame_weight", frame_weight)?;
    agree("prior", prior.len(), posed.rotations.len())?;
    let no_number = prior.iter().position(|v| v.is_nan() || *v == f32::INFINITY);
    accept(
        "prior",
        format!("{:?}", no_number.map(|i| prior[i])),
        no_number.is_none(),
        "nats or −∞ are needed",
    )?;
    let ranges = posed.by_frame()?;
    let farthest = posed.shifts.iter().map(|t| t[0].hypot(t[1])).fold(0.0, f32::max);
    // A step of a climb is a point at most.
    let points = plan.window + plan.climb[0] + plan.climb[1];
    let filter = FrameFilter::new(posed.plane, model.radius + farthest, points);
    let looked =
        look_up_by_frame(posed, model, plan.window, &filter, &ranges, |r| model.power.roughly_at(r))?;
    let scale = common_scale(&looked);
    let value = |m: &Match| 2.0 * scale * m.overlap - scale * scale * m.power;
    let jet_filter = JetFilter::new(&filter, model);
    let found: Vec<Vec<Finalist>> = ranges
        .par_iter()
        .zip(&looked)
        .map_init(
            || (filter.scratch(), JetScratch::new(&filter)),
            |(scratch, jets), (range, looked)| {
                let frame = posed.frame_of[range.start];
                let weight = plan.inverse_temperature * frame_weight[frame];
                let believed = looked.iter().zip(range.clone()).map(|(m, i)| weight * value(m) + prior[i]);
                let believed: Vec<f32> = believed.collect();
                let jets = jet_filter.apply(&filter, posed.spectrum(frame), model, jets, scratch);
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
                let start = |i: usize| jets.start(model, posed.rotations[range.start + i], looked[i].shift);
                let count = plan.climbers.max(believed.len() / PER_CLIMBER);
                let starts = best_of(&believed, count).into_iter().map(start).collect();
                let mut climbers = climbed(starts, plan.climb[0]);
                climbers.truncate(count.div_ceil(2));
                let climbers = climbed(climbers, plan.climb[1]);
                distinct(climbers.into_iter().map(|c| c.pose), plan.same, plan.finalists)
            },
        )
        .collect();
    let sound = |poses: &Vec<Finalist>| !poses.is_empty() && poses.iter().all(|p| p.fit.is_finite());
    if found.iter().all(sound) { Ok(found) } else { Err(model.unsound(posed)) }
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
