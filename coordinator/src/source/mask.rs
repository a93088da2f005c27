//! Bit masks over blocks of 64 bytes: bit `i` tells something about byte `i`.
//!
//! Owns the comparison of a block with one byte and the running parity of quotes, both in plain safe code that the
//! compiler can make vector instructions of.

/// How many bytes a mask covers.
pub(super) const BLOCK: usize = 64;

/// Returns where a block holds a byte.
pub(super) fn equals(block: &[u8; BLOCK], byte: u8) -> u64 {
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

/// Returns, for each bit, the parity of the bits up to and including it: set from each odd quote up to before the
/// next even one. The doubling steps are the usual parallel prefix.
pub(super) fn parity_up_to(mut mask: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        mask ^= mask << shift;
    }
    mask
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_comparison_equals_the_obvious_loop(bytes in proptest::collection::vec(any::<u8>(), BLOCK), byte: u8, few in 1_u8..) {
            let mut block = [0; BLOCK];
            for (to, from) in block.iter_mut().zip(&bytes) {
                *to = *from % few;
            }
            let obvious = block.iter().enumerate().filter(|(_, b)| **b == byte % few).fold(0, |mask, (i, _)| mask | 1_u64 << i);
            prop_assert_eq!(equals(&block, byte % few), obvious);
        }

        #[test]
        fn the_parity_is_that_of_counting(mask: u64) {
            let parity = parity_up_to(mask);
            for bit in 0..64 {
                let up_to = mask & (u64::MAX >> (63 - bit));
                prop_assert_eq!(parity >> bit & 1, u64::from(up_to.count_ones() % 2));
            }
        }
    }
}
