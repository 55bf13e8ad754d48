//! Arithmetic on eight numbers at a time.
//!
//! What is written for [`Lanes`] is compiled twice, for the registers of AVX2 with fused products and for plain numbers;
//! [`wide`] tells which of them the processor has. The order of all sums is the same for any number of threads.

use num_complex::Complex32;

/// Numbers of one [`Lanes`].
pub const LANES: usize = 8;

/// Whether the processor has AVX2 and fused products.
#[inline]
#[must_use]
pub fn wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// A method that calls one written for lanes, in the widest registers that the processor has.
macro_rules! in_lanes {
    ($(#[$doc:meta])* $vis:vis fn $name:ident = $of:ident for $this:ty, ($($arg:ident: $kind:ty),* $(,)?) $(-> $out:ty)?) => {
        $(#[$doc])*
        $vis fn $name(&self, $($arg: $kind),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            if $crate::lanes::wide() {
                #[target_feature(enable = "avx2,fma")]
                fn in_avx(this: &$this, $($arg: $kind),*) $(-> $out)? {
                    this.$of::<$crate::lanes::Avx>($($arg),*)
                }
                // SAFETY: the processor has what the function was compiled for.
                return unsafe { in_avx(self, $($arg),*) };
            }
            self.$of::<[f32; $crate::lanes::LANES]>($($arg),*)
        }
    };
}
pub(crate) use in_lanes;

/// Eight numbers.
pub trait Lanes: Copy {
    /// The same number in all.
    fn splat(v: f32) -> Self;
    /// From memory.
    fn load(from: &[f32; LANES]) -> Self;
    /// To memory.
    fn store(self, to: &mut [f32; LANES]);
    /// self + b.
    fn plus(self, b: Self) -> Self;
    /// self − b.
    fn minus(self, b: Self) -> Self;
    /// self · b.
    fn times(self, b: Self) -> Self;
    /// self / b.
    fn over(self, b: Self) -> Self;
    /// self · b + c.
    fn times_plus(self, b: Self, c: Self) -> Self;
    /// c − self · b.
    fn taken_from(self, b: Self, c: Self) -> Self;
    /// Eight rows to eight columns.
    fn transpose(rows: [Self; LANES]) -> [Self; LANES];
    /// Real and imaginary parts to memory.
    fn store_complex(re: Self, im: Self, to: &mut [Complex32; LANES]);
    /// Real and imaginary parts from memory.
    fn load_complex(from: &[Complex32; LANES]) -> (Self, Self);

    /// Their sum.
    #[inline(always)]
    fn sum(self) -> f32 {
        let mut v = [0.0; LANES];
        self.store(&mut v);
        ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7]))
    }
}

impl Lanes for [f32; LANES] {
    #[inline(always)]
    fn splat(v: f32) -> Self {
        [v; LANES]
    }
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        *from
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        *to = self;
    }
    #[inline(always)]
    fn plus(self, b: Self) -> Self {
        std::array::from_fn(|l| self[l] + b[l])
    }
    #[inline(always)]
    fn minus(self, b: Self) -> Self {
        std::array::from_fn(|l| self[l] - b[l])
    }
    #[inline(always)]
    fn times(self, b: Self) -> Self {
        std::array::from_fn(|l| self[l] * b[l])
    }
    #[inline(always)]
    fn over(self, b: Self) -> Self {
        std::array::from_fn(|l| self[l] / b[l])
    }
    #[inline(always)]
    fn times_plus(self, b: Self, c: Self) -> Self {
        std::array::from_fn(|l| self[l] * b[l] + c[l])
    }
    #[inline(always)]
    fn taken_from(self, b: Self, c: Self) -> Self {
        std::array::from_fn(|l| c[l] - self[l] * b[l])
    }
    #[inline(always)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        std::array::from_fn(|i| std::array::from_fn(|j| rows[j][i]))
    }
    #[inline(always)]
    fn store_complex(re: Self, im: Self, to: &mut [Complex32; LANES]) {
        *to = std::array::from_fn(|l| Complex32::new(re[l], im[l]));
    }
    #[inline(always)]
    fn load_complex(from: &[Complex32; LANES]) -> (Self, Self) {
        (from.map(|z| z.re), from.map(|z| z.im))
    }
}

/// Those of AVX2; only made where [`wide`] holds, in functions that are compiled for it.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Avx(std::arch::x86_64::__m256);

// SAFETY, of all blocks below: the processor has what they need, as the type says; loads and stores are of eight numbers.
#[cfg(target_arch = "x86_64")]
impl Lanes for Avx {
    #[inline(always)]
    fn splat(v: f32) -> Self {
        Self(unsafe { std::arch::x86_64::_mm256_set1_ps(v) })
    }
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        Self(unsafe { std::arch::x86_64::_mm256_loadu_ps(from.as_ptr()) })
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        unsafe { std::arch::x86_64::_mm256_storeu_ps(to.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn plus(self, b: Self) -> Self {
        Self(unsafe { std::arch::x86_64::_mm256_add_ps(self.0, b.0) })
    }
    #[inline(always)]
    fn minus(self, b: Self) -> Self {
        Self(unsafe { std::arch::x86_64::_mm256_sub_ps(self.0, b.0) })
    }
    #[inline(always)]
    fn times(self, b: Self) -> Self {
        Self(unsafe { std::arch::x86_64::_mm256_mul_ps(self.0, b.0) })
    }
    #[inline(always)]
    fn over(self, b: Self) -> Self {
        Self(unsafe { std::arch::x86_64::_mm256_div_ps(self.0, b.0) })
    }
    #[inline(always)]
    fn times_plus(self, b: Self, c: Self) -> Self {
        Self(unsafe { std::arch::x86_64::_mm256_fmadd_ps(self.0, b.0, c.0) })
    }
    #[inline(always)]
    fn taken_from(self, b: Self, c: Self) -> Self {
        Self(unsafe { std::arch::x86_64::_mm256_fnmadd_ps(self.0, b.0, c.0) })
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        use std::arch::x86_64::{
            _mm_add_ps, _mm_cvtss_f32, _mm_hadd_ps, _mm256_castps256_ps128, _mm256_extractf128_ps,
        };
        unsafe {
            let pairs = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let fours = _mm_hadd_ps(pairs, pairs);
            _mm_cvtss_f32(_mm_hadd_ps(fours, fours))
        }
    }
    #[inline(always)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        use std::arch::x86_64::{
            _mm256_permute2f128_ps, _mm256_shuffle_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
        };
        let (mut t, mut s, mut out) = (rows, rows, rows);
        unsafe {
            for i in [0, 2, 4, 6] {
                t[i].0 = _mm256_unpacklo_ps(rows[i].0, rows[i + 1].0);
                t[i + 1].0 = _mm256_unpackhi_ps(rows[i].0, rows[i + 1].0);
            }
            for i in [0, 4] {
                s[i].0 = _mm256_shuffle_ps::<0x44>(t[i].0, t[i + 2].0);
                s[i + 1].0 = _mm256_shuffle_ps::<0xEE>(t[i].0, t[i + 2].0);
                s[i + 2].0 = _mm256_shuffle_ps::<0x44>(t[i + 1].0, t[i + 3].0);
                s[i + 3].0 = _mm256_shuffle_ps::<0xEE>(t[i + 1].0, t[i + 3].0);
            }
            for i in 0..4 {
                out[i].0 = _mm256_permute2f128_ps::<0x20>(s[i].0, s[i + 4].0);
                out[i + 4].0 = _mm256_permute2f128_ps::<0x31>(s[i].0, s[i + 4].0);
            }
        }
        out
    }
    #[inline(always)]
    fn store_complex(re: Self, im: Self, to: &mut [Complex32; LANES]) {
        use std::arch::x86_64::{
            _mm256_permute2f128_ps, _mm256_storeu_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
        };
        let to = to.as_mut_ptr().cast::<f32>();
        unsafe {
            let (low, high) = (_mm256_unpacklo_ps(re.0, im.0), _mm256_unpackhi_ps(re.0, im.0));
            _mm256_storeu_ps(to, _mm256_permute2f128_ps::<0x20>(low, high));
            _mm256_storeu_ps(to.add(LANES), _mm256_permute2f128_ps::<0x31>(low, high));
        }
    }
    #[inline(always)]
    fn load_complex(from: &[Complex32; LANES]) -> (Self, Self) {
        use std::arch::x86_64::{_mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_shuffle_ps};
        let from = from.as_ptr().cast::<f32>();
        unsafe {
            let (first, second) = (_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(LANES)));
            let low = _mm256_permute2f128_ps::<0x20>(first, second);
            let high = _mm256_permute2f128_ps::<0x31>(first, second);
            (Self(_mm256_shuffle_ps::<0x88>(low, high)), Self(_mm256_shuffle_ps::<0xDD>(low, high)))
        }
    }
}
