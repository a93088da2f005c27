//! One column of a chunk: up to 65,535 numbers in few bits each, read back in order.
//!
//! Numbers are kept as differences from the least one, in as many bits as most of them need; those that need more stand
//! in a list behind (the patched frame of reference of Zukowski et al., "Super-scalar RAM-CPU cache compression", 2006).
//! A column that is mostly zero has a bit for each number and the others alone.

/// The widest number that one unaligned read of eight bytes can give at any bit; wider ones take 64 bits.
const WIDEST: u32 = 57;
const EXCEPTION_BYTES: usize = 8;

/// The bytes are no column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a column of the timeline cannot be read")]
pub(crate) struct BadColumn;

/// Appends the column of `values` to `out`.
pub(crate) fn write(values: &[u64], out: &mut Vec<u8>) {
    let zeros = values.iter().filter(|value| **value == 0).count();
    if zeros < values.len() && zeros * 2 > values.len() {
        out.push(1);
        let mut bits = vec![0_u8; values.len().div_ceil(8)];
        let present = values.iter().enumerate().filter(|(_, value)| **value != 0);
        let present: Vec<u64> = present
            .map(|(place, value)| {
                bits[place / 8] |= 1 << (place % 8);
                *value
            })
            .collect();
        out.extend(&bits);
        write_packed(&present, out);
    } else {
        out.push(0);
        write_packed(values, out);
    }
}

/// Reads a column of so many numbers from the front of `bytes`, which is moved behind it.
pub(crate) fn read(bytes: &mut &[u8], count: usize, out: &mut Vec<u64>) -> Result<(), BadColumn> {
    out.clear();
    match take(bytes, 1)?[0] {
        0 => read_packed(bytes, count, out),
        1 => {
            let bits = take(bytes, count.div_ceil(8))?;
            let is_set = |place: usize| bits[place / 8] >> (place % 8) & 1 == 1;
            let present = (0..count).filter(|place| is_set(*place)).count();
            read_packed(bytes, present, out)?;
            out.resize(count, 0);
            let mut next = present;
            for place in (0..count).rev() {
                out[place] = if is_set(place) {
                    next -= 1;
                    out[next]
                } else {
                    0
                };
            }
            Ok(())
        }
        2.. => Err(BadColumn),
    }
}

/// What stands before the packed numbers.
struct Head {
    base: u64,
    width: u32,
    exceptions: usize,
}

impl Head {
    const BYTES: usize = 11;

    fn read(bytes: &mut &[u8]) -> Result<Head, BadColumn> {
        let head = take(bytes, Self::BYTES)?;
        let width = u32::from(head[8]);
        if width > 64 {
            return Err(BadColumn);
        }
        Ok(Head {
            base: word(head, 0),
            width,
            exceptions: usize::from(u16::from_le_bytes([head[9], head[10]])),
        })
    }

    fn packed_bytes(&self, count: usize) -> usize {
        (count * self.width as usize).div_ceil(8)
    }
}

fn write_packed(values: &[u64], out: &mut Vec<u8>) {
    let base = values.iter().copied().min().unwrap_or(0);
    let width = best_width(values, base);
    let limit = if width == 64 { u64::MAX } else { (1 << width) - 1 };
    let exceptions: Vec<(usize, u64)> = values
        .iter()
        .map(|value| value - base)
        .enumerate()
        .filter(|(_, value)| *value > limit)
        .collect();
    out.extend(base.to_le_bytes());
    out.push(u8::try_from(width).expect("is at most 64"));
    let count = u16::try_from(exceptions.len()).expect("a column has fewer numbers than that");
    out.extend(count.to_le_bytes());
    let (mut held, mut bits) = (0_u128, 0);
    for value in values {
        let value = value - base;
        let value = if value > limit { 0 } else { value };
        held |= u128::from(value) << bits;
        bits += width;
        while bits >= 8 {
            out.push(held.to_le_bytes()[0]);
            held >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        out.push(held.to_le_bytes()[0]);
    }
    for (place, value) in exceptions {
        out.extend(
            u16::try_from(place)
                .expect("a column has fewer numbers than that")
                .to_le_bytes(),
        );
        out.extend(value.to_le_bytes());
    }
}

/// Returns the width with which the column takes the fewest bytes.
fn best_width(values: &[u64], base: u64) -> u32 {
    let mut of_width = [0_usize; 65];
    for value in values {
        of_width[(64 - (value - base).leading_zeros()) as usize] += 1;
    }
    let mut wider = 0;
    let mut best = (usize::MAX, 64);
    for width in (0..=64_u32).rev() {
        let cost = (values.len() * width as usize).div_ceil(8) + wider * (2 + EXCEPTION_BYTES);
        let can_be = width <= WIDEST || width == 64;
        if can_be && cost <= best.0 && wider <= usize::from(u16::MAX) {
            best = (cost, width);
        }
        wider += of_width[width as usize];
    }
    best.1
}

fn read_packed(bytes: &mut &[u8], count: usize, out: &mut Vec<u64>) -> Result<(), BadColumn> {
    let head = Head::read(bytes)?;
    let packed = take(bytes, head.packed_bytes(count))?;
    unpack(packed, count, &head, out);
    for exception in take(bytes, head.exceptions * (2 + EXCEPTION_BYTES))?.chunks_exact(2 + EXCEPTION_BYTES) {
        let place = usize::from(u16::from_le_bytes([exception[0], exception[1]]));
        *out.get_mut(place).ok_or(BadColumn)? = head.base.wrapping_add(word(exception, 2));
    }
    Ok(())
}

fn unpack(packed: &[u8], count: usize, head: &Head, out: &mut Vec<u64>) {
    let (base, width) = (head.base, head.width as usize);
    if width == 0 {
        out.resize(count, base);
        return;
    }
    if width == 64 {
        out.extend(packed.chunks_exact(8).map(|value| base.wrapping_add(word(value, 0))));
        return;
    }
    let mask = (1_u64 << width) - 1;
    // The last numbers are read from a copy that has eight more bytes behind it.
    let safe = match packed.len().checked_sub(8) {
        Some(last) => (last * 8 / width + 1).min(count),
        None => 0,
    };
    out.extend((0..safe).map(|place| {
        let bit = place * width;
        base.wrapping_add(word(packed, bit / 8) >> (bit % 8) & mask)
    }));
    let from = safe * width / 8;
    let mut rest = packed.get(from..).unwrap_or_default().to_vec();
    rest.resize(rest.len() + 8, 0);
    out.extend((safe..count).map(|place| {
        let bit = place * width;
        base.wrapping_add(word(&rest, bit / 8 - from) >> (bit % 8) & mask)
    }));
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], BadColumn> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or(BadColumn)?;
    *bytes = rest;
    Ok(taken)
}

/// Makes small numbers of differences that are near zero on either side.
pub(crate) fn zigzag(difference: i64) -> u64 {
    (difference << 1 ^ difference >> 63).cast_unsigned()
}

/// Returns the difference that [`zigzag`] made the number of.
pub(crate) fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![
            4 => Just(0_u64),
            4 => 0..1_000_u64,
            2 => any::<u64>(),
            1 => (0..64_u32).prop_map(|bit| 1_u64 << bit),
        ]
    }

    proptest! {
        #[test]
        fn any_numbers_come_back_and_the_next_column_is_found(values in vec(number(), 0..300), widths in 0..64_u32) {
            let values: Vec<u64> = values.iter().map(|value| value >> widths).collect();
            let mut bytes = Vec::new();
            write(&values, &mut bytes);
            bytes.push(77);
            let mut read_from = &bytes[..];
            let mut back = Vec::new();
            read(&mut read_from, values.len(), &mut back).expect("is a column");
            prop_assert_eq!(&back, &values);
            prop_assert_eq!(read_from, &[77_u8][..]);
        }

        #[test]
        fn bytes_that_are_no_column_are_refused_or_read_but_never_panic(bytes in vec(any::<u8>(), 0..200), count in 0..200_usize) {
            let mut out = Vec::new();
            let _ = read(&mut &bytes[..], count, &mut out);
        }

        #[test]
        fn differences_come_back(difference in any::<i64>()) {
            prop_assert_eq!(unzigzag(zigzag(difference)), difference);
        }
    }

    #[test]
    fn one_outlier_does_not_widen_a_column() {
        let mut values = vec![5_u64; 4_096];
        values[17] = u64::MAX;
        let mut bytes = Vec::new();
        write(&values, &mut bytes);
        assert!(bytes.len() < 40, "{} bytes", bytes.len());
    }
}
