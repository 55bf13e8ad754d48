//! Refined poses of a frame, and which of them are kept.

use crate::orient::score::Match;
use crate::volume::Rotation;

/// A refined pose of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Finalist {
    /// Pose.
    pub rotation: Rotation,
    /// Overlap, power and shift.
    pub fit: Match,
}

/// The first `count` poses, of which no two are nearer than `same` rad.
pub(super) fn distinct(poses: impl Iterator<Item = Finalist>, same: f32, count: usize) -> Vec<Finalist> {
    let near = 1.0 + 2.0 * same.cos();
    let trace = |a: &Rotation, b: &Rotation| -> f32 {
        a.iter().flatten().zip(b.iter().flatten()).map(|(x, y)| x * y).sum()
    };
    let mut kept: Vec<Finalist> = Vec::with_capacity(count);
    for pose in poses {
        if kept.len() == count {
            break;
        }
        if kept.iter().all(|k| trace(&k.rotation, &pose.rotation) <= near) {
            kept.push(pose);
        }
    }
    kept
}
