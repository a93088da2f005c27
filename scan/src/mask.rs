//! Bit masks over blocks of 64 bytes: bit `i` tells something about byte `i`.
//!
//! A [`Kernel`] is a loop written once against [`Masks`]; [`crate::run`] runs it with the widest instructions that the
//! machine has. The kernel's `run` has to be `#[inline(always)]`, so that its loop is compiled anew for each of them.

/// How many bytes a mask covers.
pub const BLOCK: usize = 64;

/// What can be asked about a block.
pub trait Masks: Copy {
    /// Returns where a block holds a byte.
    fn equals(self, block: &[u8; BLOCK], byte: u8) -> u64;

    /// Returns, for each bit, the parity of the bits up to and including it: set from each odd bit up to before the
    /// next even one.
    fn parity_up_to(self, mask: u64) -> u64;

    /// Writes the places of the bits that are set, each plus `base`, to the front of `places`; what lies behind as many
    /// places as there are bits is left as anything.
    fn write_places(self, mask: u64, base: u32, places: &mut [u32; BLOCK]);
}

/// A loop over blocks, to be run with the best [`Masks`] of the machine.
pub trait Kernel {
    /// What the loop returns.
    type Output;

    /// Runs the loop. Implementations are `#[inline(always)]`.
    fn run<M: Masks>(self, masks: M) -> Self::Output;
}

/// Plain code for every machine.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

impl Masks for Portable {
    #[inline(always)]
    fn equals(self, block: &[u8; BLOCK], byte: u8) -> u64 {
        // Bit `i` of byte `i`: a sum over the bytes brings them together in one byte.
        const DIAGONAL: u64 = 0x8040_2010_0804_0201;
        const SUM: u64 = 0x0101_0101_0101_0101;

        // The compiler makes vector instructions of this loop, on every machine that has them.
        let mut hits = [0_u8; BLOCK];
        for (hit, candidate) in hits.iter_mut().zip(block) {
            *hit = if *candidate == byte { u8::MAX } else { 0 };
        }
        let mut mask = 0;
        for (place, eight) in hits.as_chunks::<8>().0.iter().enumerate() {
            let bits = u64::from_le_bytes(*eight) & DIAGONAL;
            mask |= (bits.wrapping_mul(SUM) >> 56) << (8 * place);
        }
        mask
    }

    /// The doubling steps are the usual parallel prefix.
    #[inline(always)]
    fn parity_up_to(self, mut mask: u64) -> u64 {
        for shift in [1, 2, 4, 8, 16, 32] {
            mask ^= mask << shift;
        }
        mask
    }

    #[inline(always)]
    fn write_places(self, mut mask: u64, base: u32, places: &mut [u32; BLOCK]) {
        let mut written = 0;
        while mask != 0 {
            places[written % BLOCK] = base + mask.trailing_zeros();
            mask &= mask - 1;
            written += 1;
        }
    }
}
