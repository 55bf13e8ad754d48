//! Central slices and scores, 128 px box, shells 3 to 45, padding 2; the unit is a sample (3,200 a slice).
//!
//! Limits. A sample of a slice costs 60 flop (position, seven complex interpolations), 10 ns at 6 Gflop/s (scalar, two
//! pipes), 1.5 ns in AVX2. It reads eight values of 8 bytes in four runs, hence 256 bytes of cache lines of a volume
//! of 25 MB that no second-level cache holds: 17 ns at 15 GB/s when no line is used twice, a third of that when
//! rows run along x. A shift window of (2·3 + 1)² points adds 8·7 flop a sample and 4·49 a row of 35: 62 flop, 5 ns
//! in SSE2.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Particle, Random};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use single_rs::fourier::HalfPlane;
use single_rs::frames::PosedFrames;
use single_rs::orient::score::{ShiftWindow, score_candidates};
use single_rs::volume::{FourierVolume, FrameVolumes, Rotation, project, reach_for};
use std::hint::black_box;

const VIEWS: usize = 64;

fn kernels(c: &mut Criterion) {
    let plane = HalfPlane::new(128, 3, 45).expect("the shells fit the box");
    let data = Particle::random(128, 20, 32.0, 1.2, 1).volume(45, 2, true);
    let volume = FourierVolume::new(&data, reach_for(45, 2), 2).expect("made to fit");
    let volumes = FrameVolumes::new(vec![volume], vec![0; VIEWS], &plane).expect("made to fit");
    let mut random = Random(2);
    let poses: Vec<Rotation> = (0..VIEWS).map(|_| random.rotation()).collect();
    let spectra = project(&volume, &plane, &poses).expect("made to fit");
    let weights = vec![1.0; plane.len()];
    let shifts = vec![[0.0; 2]; VIEWS];
    let posed = PosedFrames::one_each(&spectra, &plane, &weights, &poses, &shifts).expect("made to fit");
    let mut group = c.benchmark_group("score");
    group.throughput(Throughput::Elements((VIEWS * plane.len()) as u64));
    group.bench_function("project", |b| b.iter(|| project(&volume, &plane, black_box(&poses))));
    group.bench_function("score_candidates", |b| {
        let window = ShiftWindow::new(3, 0.7).expect("small");
        b.iter(|| score_candidates(black_box(&posed), &volumes, window));
    });
    group.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
