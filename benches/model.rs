//! Atomic models, 100 px box, shells 3 to 48, 546 atoms; the unit is a frame.
//!
//! Limit. A projection spreads 36 grid points per atom (40 kflop) and transforms one grid of 128 × 128: 7 blocks of eight
//! lines along x, each of two real ones, and 7 along y (14 × 8 × 4.5 kflop = 0.5 Mflop). In AVX2, at 20 Gflop/s, that is
//! 0.03 ms. A gradient adds as much for the adjoint of each channel; `polish` starts
//! 1.5° and 0.4 px off and takes about five of both, and a normal matrix of four projections.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Random, turned};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use single_rs::fourier::HalfPlane;
use single_rs::frames::{Groups, PosedFrames};
use single_rs::model::atoms::Model;
use single_rs::model::gradient::{GainedFrames, gradients};
use single_rs::model::grid::Grid;
use single_rs::model::pose::{polish_to_model, project_model, score_model};
use single_rs::orient::polish::PolishLimits;
use single_rs::orient::score::ShiftWindow;
use single_rs::volume::Rotation;
use std::hint::black_box;

const VIEWS: usize = 32;
const ATOMS: usize = 546;

fn kernels(c: &mut Criterion) {
    let grid = Grid::new(&HalfPlane::new(100, 3, 48).expect("the shells fit the box"));
    let m = grid.plane.len();
    let mut random = Random(3);
    let positions: Vec<[f32; 3]> = (0..ATOMS).map(|_| random.in_ball(38.0).map(|v| v as f32)).collect();
    let heights = vec![1.0; ATOMS];
    let filter: Vec<f32> =
        grid.plane.frequencies().iter().map(|&(x, y)| (-((x * x + y * y) as f32) / 2300.0).exp()).collect();
    let three: Vec<f32> = filter.iter().copied().chain(vec![0.01; 2 * m]).collect();
    let model = Model::new(&positions, &heights, &[], &filter, m).expect("made to fit");
    let deep = Model::new(&positions, &heights, &[], &three, m).expect("made to fit");
    let poses: Vec<Rotation> = (0..VIEWS).map(|_| random.rotation()).collect();
    let shifts = vec![[0.0; 2]; VIEWS];
    let mut spectra = project_model(&grid, &model, &poses, &shifts);
    let noise = spectra.iter().map(|v| v.norm_sqr()).sum::<f32>() / spectra.len() as f32;
    spectra.iter_mut().for_each(|v| *v += random.complex() * noise.sqrt());
    let weights = vec![1.0 / noise; m];
    let start: Vec<Rotation> = poses.iter().map(|r| turned(r, [0.015, -0.015, 0.015])).collect();
    let moved = vec![[0.3, -0.3]; VIEWS];
    let at = |poses, shifts| {
        PosedFrames::one_each(&spectra, &grid.plane, &weights, poses, shifts).expect("made to fit")
    };
    let mut group = c.benchmark_group("model");
    group.throughput(Throughput::Elements(VIEWS as u64));
    group.bench_function("project", |b| b.iter(|| project_model(&grid, &model, black_box(&poses), &shifts)));
    let window = ShiftWindow::new(3, 1.0).expect("small");
    let right = at(&poses, &shifts);
    group.bench_function("score 7 x 7", |b| {
        b.iter(|| score_model(black_box(&right), &model, window));
    });
    for (name, atoms) in [("polish", &model), ("polish, depth", &deep)] {
        let limits = PolishLimits::new(10, 0.1, 2.0).expect("within bounds");
        let off = at(&start, &moved);
        group.bench_function(name, |b| {
            b.iter(|| polish_to_model(black_box(&off), atoms, &[], limits));
        });
    }
    let gains = vec![1.0; VIEWS];
    let frames = GainedFrames::new(right, &gains, &[]).expect("made to fit");
    let groups = Groups::new(&[0; VIEWS], 1).expect("one group");
    for (name, atoms) in [("gradient", &model), ("gradient, depth", &deep)] {
        group.bench_function(name, |b| {
            b.iter(|| gradients(black_box(&frames), atoms, groups, 0.0));
        });
    }
    group.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
