//! Points on the grid of [`super::grid`] with the windows that spread them.

use super::window::{WIDTH, Window};
use crate::lanes::{LANES, Lanes, in_lanes};
use std::ops::Range;

/// Grid points before the first line and cell that windows may reach.
pub(super) const BEFORE: usize = 2;

/// How the cells of a grid lie.
pub(super) struct Cells {
    /// Cells of a line, and lines, without those beyond the edges.
    pub(super) side: usize,
    /// Cells from one line to the next.
    pub(super) stride: usize,
    /// Cells per px.
    pub(super) scale: f32,
    pub(super) window: Window,
}

/// A point on the grid with its windows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spot {
    pub(super) corner: usize,
    /// Values and slopes.
    pub(super) x: [[f32; LANES]; 2],
    pub(super) y: [[f32; LANES]; 2],
}

/// Points on the grid.
#[derive(Debug, Clone, Default)]
pub struct Places {
    pub(super) spots: Vec<Spot>,
    /// Lines along y, and cells of them, that windows reach; all inside the edges where one reaches over them.
    pub(super) x: Range<usize>,
    pub(super) y: Range<usize>,
    pub(super) over: bool,
}

impl Cells {
    in_lanes! {
        /// Put points at (x, y) px from the image's centre; those outside the image come in on the other side.
        pub(super) fn place = place_on for Cells, (points: &[[f32; 2]], places: &mut Places)
    }

    #[inline(always)]
    fn place_on<L: Lanes>(&self, points: &[[f32; 2]], places: &mut Places) {
        let (side, last) = (self.side as f32, self.side as i32 - 1);
        let (centre, inverse) = ((self.side / 2) as f32, 1.0 / side);
        let (mut low, mut high) = ([i32::MAX; 2], [0; 2]);
        places.spots.resize(points.len(), Spot::default());
        for (spot, point) in places.spots.iter_mut().zip(points) {
            let (mut whole, mut fraction) = ([0; 2], [0.0; 2]);
            for axis in 0..2 {
                let g = point[axis] * self.scale + centre;
                let g = g - (g * inverse).floor() * side;
                // What is a rounding below 0, or at the side, is the first or last place.
                whole[axis] = (g as i32).clamp(0, last);
                fraction[axis] = g - whole[axis] as f32;
                low[axis] = low[axis].min(whole[axis]);
                high[axis] = high[axis].max(whole[axis]);
            }
            spot.corner = whole[0] as usize * self.stride + whole[1] as usize;
            (spot.x, spot.y) = (self.window.at::<L>(fraction[0]), self.window.at::<L>(fraction[1]));
        }
        let (low, high) = (low.map(|v| v as usize), high.map(|v| v as usize));
        let inside = BEFORE..BEFORE + self.side;
        places.over = (0..2).any(|a| low[a] < inside.start || high[a] + WIDTH > inside.end);
        let reach = |a: usize| if places.over { inside.clone() } else { low[a]..high[a] + WIDTH };
        (places.x, places.y) = if points.is_empty() { (0..0, 0..0) } else { (reach(0), reach(1)) };
    }
}
