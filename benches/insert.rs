//! Insertion into one group, 128 px box, shells 3 to 45, padding 2; the unit is a sample (3,200 a frame).
//!
//! Limits. A sample costs 80 flop (phase, position, eight shares), 13 ns at 6 Gflop/s, and reads and writes eight numerators of
//! 8 bytes and eight denominators of 4 in eight runs: 512 bytes of cache lines each way, of 38 MB that no cache
//! holds, 68 ns at 15 GB/s when no line is used twice. Every call also clears 38 MB and makes the plane x = 0 whole
//! (10 ms), here spread over 256 frames.

#[path = "../tests/common/mod.rs"]
mod common;

use common::Random;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use num_complex::Complex32;
use single_rs::fourier::HalfPlane;
use single_rs::frames::{Groups, PosedFrames};
use single_rs::reconstruct::insert;
use single_rs::volume::Rotation;
use std::hint::black_box;

const FRAMES: usize = 256;

fn kernels(c: &mut Criterion) {
    let plane = HalfPlane::new(128, 3, 45).expect("the shells fit the box");
    let mut random = Random(1);
    let spectra: Vec<Complex32> = (0..FRAMES * plane.len()).map(|_| random.complex()).collect();
    let poses: Vec<Rotation> = (0..FRAMES).map(|_| random.rotation()).collect();
    let (weights, gain) = (vec![1.0; plane.len()], vec![1.0; FRAMES]);
    let (shifts, groups) = (vec![[0.4, -0.7]; FRAMES], vec![0; FRAMES]);
    let posed = PosedFrames::one_each(&spectra, &plane, &weights, &poses, &shifts).expect("made to fit");
    let groups = Groups::new(&groups, 1).expect("one group");
    let mut group = c.benchmark_group("insert");
    group.sample_size(10);
    group.throughput(Throughput::Elements((FRAMES * plane.len()) as u64));
    group.bench_function("one_group", |b| {
        b.iter(|| insert(black_box(&posed), &gain, groups, 2));
    });
    group.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
