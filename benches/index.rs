//! Indexing of frames, 128 px box padded to 384, shells 12 to 49; the unit of the search is a view direction tried on a frame
//! (128 in-plane angles), of the polar spectra a sample (38 rings of 128).
//!
//! Limits. A direction costs 38 rings × 65 bins × 8 flop = 20 kflop and an inverse transform of 128 points (2 kflop):
//! 3.7 µs at 6 Gflop/s (scalar, two pipes), 1 µs with four lanes. Its template is 20 kB, 430 directions are 8.5 MB and stream from the
//! third-level cache once a frame: 1.3 µs at 15 GB/s. A padded transform of which a third of the rows is not
//! empty and 149 columns are wanted costs 4 Mflop, 1 ms a frame, 0.2 µs a sample.
//!
//! A round of expand, maximise, compress tries every direction on every frame and puts every frame back: 2 · 38 rings × 32 orders × 8 flop = 19 kflop a
//! direction on a frame, 0.8 µs at 24 Gflop/s (AVX2 without fusing, loads of 9 kB each way from the second-level cache); directions that a
//! frame has no part in are not put back, which saves up to half. Frames are few here, so the sections and the two cubes weigh as they would not for hundreds.

#[path = "../tests/common/mod.rs"]
mod common;

use common::Random;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use single_rs::orient::emc::Emc;
use single_rs::orient::index::{Indexer, LatticeSpots};
use single_rs::orient::polar::{RING, Rings, polar_spectra};
use std::hint::black_box;

const FRAMES: usize = 8;
const DIRECTIONS: usize = 430;
const ROUNDED: usize = 128;

fn kernels(c: &mut Criterion) {
    let mut random = Random(1);
    let images: Vec<f32> = (0..FRAMES * 128 * 128).map(|_| random.normal() as f32).collect();
    let rings = Rings::new((12..50).map(|s| s as f32 / 128.0).collect()).expect("ascending");
    let weights = vec![1.0; 128 * 65];
    let polar = || polar_spectra(&images, 128, &[[0.0; 2]; FRAMES], 35.0, 384, &rings, &weights);
    let made = polar().expect("sizes fit");
    let points: Vec<[f32; 3]> = (0..200).map(|_| random.in_ball(0.4).map(|v| v as f32)).collect();
    let directions: Vec<[f32; 3]> = (0..DIRECTIONS).map(|_| random.rotation()[2]).collect();
    let spots = LatticeSpots { power: vec![50.0; points.len()], points, diameter: 70.0 };
    let indexer = Indexer::new(&spots, &directions, &rings).expect("sizes fit");
    let mut group = c.benchmark_group("index");
    group.throughput(Throughput::Elements((FRAMES * 38 * RING) as u64));
    group.bench_function("polar_spectra", |b| b.iter(|| black_box(polar())));
    group.throughput(Throughput::Elements((FRAMES * DIRECTIONS) as u64));
    group.bench_function("candidates", |b| b.iter(|| indexer.candidates(black_box(&made), 24)));
    let many = made.repeat(ROUNDED / FRAMES);
    let emc = Emc::new(&many, &rings, 128, &[ROUNDED], &directions).expect("sizes fit");
    let start = emc.merge(&(0..ROUNDED).map(|_| random.rotation()).collect::<Vec<_>>()).expect("sizes fit");
    group.throughput(Throughput::Elements((ROUNDED * DIRECTIONS) as u64));
    group.sample_size(10);
    group.bench_function("round", |b| b.iter(|| emc.round(black_box(&start), 1.5)));
    group.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
