//! The masks with the instructions of x86-64 processors.
#![expect(
    unsafe_code,
    reason = "vector instructions; three to eight times the plain code's speed in every kernel"
)]

use std::arch::x86_64::{
    __m256i, __m512i, _mm_clmulepi64_si128, _mm_cvtsi64_si128, _mm_cvtsi128_si64, _mm_set1_epi8, _mm256_cmpeq_epi8,
    _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8, _mm512_add_epi32, _mm512_castsi512_si128,
    _mm512_cmpeq_epi8_mask, _mm512_cvtepu8_epi32, _mm512_extracti32x4_epi32, _mm512_loadu_si512,
    _mm512_maskz_compress_epi8, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_storeu_si512,
};

use crate::mask::{BLOCK, Kernel, Masks, Portable};

/// Runs a kernel with the best of what is here.
#[inline]
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Output {
    if has_avx2() && has_avx512() {
        // SAFETY: the machine has every feature that the function is compiled for.
        return unsafe { run_avx512(kernel) };
    }
    if has_avx2() {
        // SAFETY: as above.
        return unsafe { run_avx2(kernel) };
    }
    kernel.run(Portable)
}

fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt")
}

fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi2")
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

/// 64 bytes an instruction. A value of it exists only inside [`run_avx512`].
#[derive(Clone, Copy)]
struct Avx512(());

/// 32 bytes an instruction. A value of it exists only inside [`run_avx2`].
#[derive(Clone, Copy)]
struct Avx2(());

/// The places 0 to 63.
const PLACES: [u8; BLOCK] = {
    let mut places = [0; BLOCK];
    let mut place = 0;
    while place < BLOCK {
        places[place] = place as u8;
        place += 1;
    }
    places
};

impl Masks for Avx512 {
    #[inline(always)]
    fn equals(self, block: &[u8; BLOCK], byte: u8) -> u64 {
        // SAFETY: the machine has the instructions, and the load reads the 64 bytes of the block.
        unsafe {
            let bytes = _mm512_loadu_si512(block.as_ptr().cast::<__m512i>());
            _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(byte.cast_signed()))
        }
    }

    #[inline(always)]
    fn parity_up_to(self, mask: u64) -> u64 {
        // SAFETY: the machine has the instruction.
        unsafe { carry_less_parity(mask) }
    }

    #[inline(always)]
    fn write_places(self, mask: u64, base: u32, places: &mut [u32; BLOCK]) {
        let count = mask.count_ones();
        let to = places.as_mut_ptr();
        // SAFETY: the machine has the instructions. The four stores write 16 numbers each, and `places` has room for 64.
        unsafe {
            let all = _mm512_loadu_si512(PLACES.as_ptr().cast::<__m512i>());
            let set = _mm512_maskz_compress_epi8(mask, all);
            let base = _mm512_set1_epi32(base.cast_signed());
            let wide = |sixteen| _mm512_add_epi32(_mm512_cvtepu8_epi32(sixteen), base);
            _mm512_storeu_si512(to.cast::<__m512i>(), wide(_mm512_castsi512_si128(set)));
            if count > 16 {
                let second = wide(_mm512_extracti32x4_epi32::<1>(set));
                _mm512_storeu_si512(to.add(16).cast::<__m512i>(), second);
            }
            if count > 32 {
                let third = wide(_mm512_extracti32x4_epi32::<2>(set));
                _mm512_storeu_si512(to.add(32).cast::<__m512i>(), third);
                let fourth = wide(_mm512_extracti32x4_epi32::<3>(set));
                _mm512_storeu_si512(to.add(48).cast::<__m512i>(), fourth);
            }
        }
    }
}

impl Masks for Avx2 {
    #[inline(always)]
    fn equals(self, block: &[u8; BLOCK], byte: u8) -> u64 {
        let (halves, _) = block.as_chunks::<32>();
        // SAFETY: the machine has the instructions, and each load reads the 32 bytes of its half.
        let half = |bytes: &[u8; 32]| unsafe {
            let bytes = _mm256_loadu_si256(bytes.as_ptr().cast::<__m256i>());
            let hits = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte.cast_signed()));
            u64::from(_mm256_movemask_epi8(hits).cast_unsigned())
        };
        half(&halves[0]) | half(&halves[1]) << 32
    }

    #[inline(always)]
    fn parity_up_to(self, mask: u64) -> u64 {
        // SAFETY: the machine has the instruction.
        unsafe { carry_less_parity(mask) }
    }

    #[inline(always)]
    fn write_places(self, mask: u64, base: u32, places: &mut [u32; BLOCK]) {
        Portable.write_places(mask, base, places);
    }
}

/// A product without carries with all ones is the running parity.
///
/// # Safety
/// The machine needs `pclmulqdq`.
#[inline(always)]
unsafe fn carry_less_parity(mask: u64) -> u64 {
    // SAFETY: the caller answers for the instruction.
    unsafe {
        let product = _mm_clmulepi64_si128::<0>(_mm_cvtsi64_si128(mask.cast_signed()), _mm_set1_epi8(-1));
        _mm_cvtsi128_si64(product).cast_unsigned()
    }
}

/// Runs a kernel with the narrower instructions, where the machine has them.
#[cfg(test)]
pub(crate) fn run_narrow<K: Kernel>(kernel: K) -> Option<K::Output> {
    // SAFETY: the machine has every feature that the function is compiled for.
    has_avx2().then(|| unsafe { run_avx2(kernel) })
}
