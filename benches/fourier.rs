//! Packing of spectra, 128 px box, shells 3 to 45; the unit is a sample (one of 3,200 coefficients a frame).
//!
//! Limit. A real transform of N² pixels costs 2.5 N² log2 N² = 0.57 Mflop, 180 flop a sample or 45 ns at the
//! 4 Gflop/s a core reaches in mixed radix; the soft disc takes a square root a pixel, 5 pixels a sample, 15 ns; 64 kB
//! of image and the columns stay in the second-level cache. About 60 ns a sample.

#[path = "../tests/common/mod.rs"]
mod common;

use common::Random;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use single_rs::fourier::{HalfPlane, pack_spectra};
use std::hint::black_box;

const FRAMES: usize = 16;

fn kernels(c: &mut Criterion) {
    let plane = HalfPlane::new(128, 3, 45).expect("the shells fit the box");
    let mut random = Random(1);
    let images: Vec<f32> = (0..FRAMES * 128 * 128).map(|_| random.normal() as f32).collect();
    let centres = [[0.6, -1.2]; FRAMES];
    let mut group = c.benchmark_group("fourier");
    group.throughput(Throughput::Elements((FRAMES * plane.len()) as u64));
    group.bench_function("pack_spectra", |b| {
        b.iter(|| pack_spectra(black_box(&images), &plane, &centres, 42.0, 8.0));
    });
    group.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
