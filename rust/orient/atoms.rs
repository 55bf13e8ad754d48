//! The atoms that candidate poses are compared with, as look-ups read them.

use crate::check::{self, Argument, agree};
use crate::error::{Error, Result};
use crate::frames::PosedFrames;
use crate::orient::power::SlicePower;
use std::ops::Range;

/// Atoms all alike but for their heights.
pub struct AtomModel<'a> {
    heights: &'a [f32],
    /// Positions (x, y, z) from the particle's centre, px, and heights, in blocks; atoms of one height stand together.
    pub(super) blocks: Vec<AtomBlock>,
    /// Atoms of about one height, in the order of the blocks.
    pub(super) alike: Vec<Alike>,
    /// Distance of the farthest atom from the centre, px.
    pub(super) radius: f32,
    /// Mean square of the atoms' distances from the centre along an axis, px².
    pub(super) spread: f32,
    /// w c at the packed frequencies.
    pub(super) filter: &'a [f32],
    /// Power of the model's slices.
    pub(super) power: SlicePower<'a>,
}

/// Atoms taken at a time, as many as a vector has lanes.
pub(super) const BLOCK: usize = 8;

/// Heights are told apart in steps of this share of the largest where images are summed: a thirtieth of a height, at
/// random from atom to atom, is a thousandth of a sum over a particle.
const HEIGHT_STEP: f32 = 0.125;

/// Most atoms of one sum of `i8` in `i16`.
const MOST_ALIKE: usize = 256;

/// Atoms that are summed as if of one height.
pub(super) struct Alike {
    pub(super) height: f32,
    pub(super) atoms: Range<usize>,
}

/// As many atoms, axis by axis; places without an atom have no height.
pub(super) struct AtomBlock {
    pub(super) axes: [[f32; BLOCK]; 3],
    pub(super) heights: [f32; BLOCK],
}

impl<'a> AtomModel<'a> {
    /// Atoms at `positions` (px from the particle's centre) of `heights`, seen through `filter`, with the power of their slices.
    ///
    /// # Errors
    /// No atom, numbers that do not agree, or numbers that are not finite.
    pub fn new(
        positions: &'a [[f32; 3]],
        heights: &'a [f32],
        filter: &'a [f32],
        power: SlicePower<'a>,
    ) -> Result<Self> {
        check::accept("atoms", "empty", !positions.is_empty(), "at least one is needed")?;
        check::places("atoms", positions)?;
        agree("heights", heights.len(), positions.len())?;
        check::finite("heights", heights)?;
        agree("filter", filter.len(), power.points)?;
        check::finite("filter", filter)?;
        let square: f32 = positions.iter().flatten().map(|v| v * v).sum();
        let spread = square / (3 * positions.len().max(1)) as f32;
        let radius =
            positions.iter().map(|p| p.iter().map(|v| v * v).sum::<f32>()).fold(0.0, f32::max).sqrt();
        let largest = heights.iter().fold(f32::MIN_POSITIVE, |most, h| h.abs().max(most));
        let level = |&a: &usize| (heights[a] / (HEIGHT_STEP * largest)).round() as i32;
        let mut order: Vec<usize> = (0..heights.len()).collect();
        order.sort_by_key(|a| -level(a));
        let block = |atoms: &[usize]| AtomBlock {
            axes: std::array::from_fn(|i| {
                std::array::from_fn(|a| atoms.get(a).map_or(0.0, |&a| positions[a][i]))
            }),
            heights: std::array::from_fn(|a| atoms.get(a).map_or(0.0, |&a| heights[a])),
        };
        let blocks = order.chunks(BLOCK).map(block).collect();
        let mut alike = Vec::new();
        let mut start = 0;
        for group in order.chunk_by(|a, b| level(a) == level(b)).flat_map(|level| level.chunks(MOST_ALIKE)) {
            let sum: f32 = group.iter().map(|&a| heights[a]).sum();
            alike.push(Alike { height: sum / group.len() as f32, atoms: start..start + group.len() });
            start += group.len();
        }
        Ok(Self { heights, blocks, alike, radius, spread, filter, power })
    }

    /// Why a match of frames with these atoms is not finite.
    pub(super) fn unsound(&self, posed: &PosedFrames<'_>) -> Error {
        let mut arguments: Vec<(&'static str, &dyn Argument)> =
            vec![("heights", &self.heights), ("filter", &self.filter)];
        arguments.extend(self.power.arguments());
        posed.unsound(&arguments)
    }
}
