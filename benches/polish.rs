//! Polishing, 128 px box, shells 3 to 45, padding 2; the unit is a sample of one evaluation (3,200 each).
//!
//! Limit. An evaluation takes a slice with three derivatives (140 flop a sample) and 27 sums of the normal equations
//! (130 flop): 270 flop, 45 ns at 6 Gflop/s (scalar, two pipes), 7 ns in AVX2. Reading is that of a slice, up to 17 ns.
//! `evaluation` is polish() with no iteration; `refine` starts 2° and 0.4 px off with ten iterations at most, as
//! the search does, and its rate counts whole samples of a frame: divided by the first it tells the evaluations.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Particle, Random, turned};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use single_rs::fourier::HalfPlane;
use single_rs::frames::PosedFrames;
use single_rs::orient::polish::{PolishLimits, polish};
use single_rs::volume::{FourierVolume, FrameVolumes, Rotation, project, reach_for};
use std::hint::black_box;

const VIEWS: usize = 32;

fn kernels(c: &mut Criterion) {
    let plane = HalfPlane::new(128, 3, 45).expect("the shells fit the box");
    let data = Particle::random(128, 20, 32.0, 1.2, 1).volume(45, 2, true);
    let volume = FourierVolume::new(&data, reach_for(45, 2), 2).expect("made to fit");
    let volumes = FrameVolumes::new(vec![volume], vec![0; VIEWS], &plane).expect("made to fit");
    let mut random = Random(2);
    let poses: Vec<Rotation> = (0..VIEWS).map(|_| random.rotation()).collect();
    let mut spectra = project(&volume, &plane, &poses).expect("made to fit");
    let noise = spectra.iter().map(|v| v.norm_sqr()).sum::<f32>() / spectra.len() as f32;
    spectra.iter_mut().for_each(|v| *v += random.complex() * noise.sqrt());
    let weights = vec![1.0 / noise; plane.len()];
    let start: Vec<Rotation> = poses.iter().map(|r| turned(r, [0.02, -0.02, 0.02])).collect();
    let shifts = vec![[0.3, -0.3]; VIEWS];
    let posed = PosedFrames::one_each(&spectra, &plane, &weights, &start, &shifts).expect("made to fit");
    let mut group = c.benchmark_group("polish");
    group.throughput(Throughput::Elements((VIEWS * plane.len()) as u64));
    for (name, iterations) in [("evaluation", 0), ("refine", 10)] {
        let limits = PolishLimits::new(iterations, 0.07, 2.0).expect("within bounds");
        group.bench_function(name, |b| {
            b.iter(|| polish(black_box(&posed), &volumes, limits));
        });
    }
    group.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
