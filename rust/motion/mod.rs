//! Motion of the specimen: pixel and frame statistics, tile spectra, shift evidence, smoothing.
//!
//! Convention: a frame at time `t` shows the specimen moved by `+s_t` pixels (x, y), so a tile spectrum is
//! `X_t(k) = A(k) exp(-2πi k·s_t) + noise`, with `k` in cycles per pixel and noise power `N(k)` that holds shot
//! noise and everything that does not move with the specimen (tumbling particles, liquid). The log-likelihood
//! `-Σ_k |X_t exp(2πi k·s) - A|² / N` is maximised over `s`; its Fisher information is `2 Σ (2π)² k kᵀ |A|²/N`.
//! Weighting by `A/N` makes the graphene reflections speak and keeps moving particles silent.
//!
//! Reference: Guizar-Sicairos, Thurman, Fienup 2008, doi:10.1364/OL.33.000156 (sub-pixel registration);
//! Rauch, Tung, Striebel 1965, doi:10.2514/3.3166 (smoothing).
//!
//! Every reduction runs in a fixed order inside one output element: results do not depend on the threads.

/// Compiles a function for wide registers as well, and chooses when it runs; sums have the same order in both.
macro_rules! vectorised {
    (fn $name:ident$(<$kind:ident: $bound:ident>)?($($arg:ident: $type:ty),* $(,)?) -> $out:ty = $body:ident) => {
        fn $name$(<$kind: $bound>)?($($arg: $type),*) -> $out {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn wide$(<$kind: $bound>)?($($arg: $type),*) -> $out {
                    $body($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has what the function was compiled for.
                    return unsafe { wide($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}

mod align;
mod median;
mod pixel;
mod smooth;
mod spectra;
mod statistics;
mod track;
mod variance;

pub use align::{accumulate_reference, shift_score};
pub use median::local_median;
pub use pixel::{Pixel, repair};
pub use smooth::{Drift, best_drift, smooth_drift};
pub use spectra::{TileTransform, tile_spectra};
pub use statistics::{accumulate_pixels, frame_statistics};
pub use track::{chunk_velocity, track_chunks};
pub use variance::local_variance;
