//! The atoms that candidate poses are compared with, as look-ups read them.

use crate::check::{self, Argument, agree};
use crate::error::{Error, Result};
use crate::frames::PosedFrames;
use crate::orient::power::SlicePower;

/// Atoms all alike but for their heights.
pub struct AtomModel<'a> {
    pub(super) heights: &'a [f32],
    /// Positions (x, y, z) from the particle's centre, px, and heights, in blocks.
    pub(super) blocks: Vec<AtomBlock>,
    /// Mean square of the atoms' distances from the centre along an axis, px².
    pub(super) spread: f32,
    /// w c at the packed frequencies.
    pub(super) filter: &'a [f32],
    /// Power of the model's slices.
    pub(super) power: SlicePower<'a>,
}

/// Atoms taken at a time, as many as a vector has lanes.
pub(super) const BLOCK: usize = 8;

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
        let block = |(p, h): (&[[f32; 3]], &[f32])| AtomBlock {
            axes: std::array::from_fn(|i| std::array::from_fn(|a| p.get(a).map_or(0.0, |p| p[i]))),
            heights: std::array::from_fn(|a| h.get(a).copied().unwrap_or(0.0)),
        };
        let blocks = positions.chunks(BLOCK).zip(heights.chunks(BLOCK)).map(block).collect();
        Ok(Self { heights, blocks, spread, filter, power })
    }

    /// Why a match of frames with these atoms is not finite.
    pub(super) fn unsound(&self, posed: &PosedFrames<'_>) -> Error {
        let mut arguments: Vec<(&'static str, &dyn Argument)> =
            vec![("heights", &self.heights), ("filter", &self.filter)];
        arguments.extend(self.power.arguments());
        posed.unsound(&arguments)
    }
}
