//! How values are stored: postcard, and behind it the CRC-32 of its bytes.
//!
//! Postcard is not self-describing: a change of any stored type is a change of the format, and needs a new
//! [`super::tables::FORMAT`]. A test holds the bytes of a sample against that.

use serde::Serialize;
use serde::de::DeserializeOwned;

const CHECKSUM: usize = 4;

/// Why stored bytes are not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    /// They are not the bytes that were written.
    #[error("a checksum does not fit")]
    Checksum,
    /// They are, and cannot be understood.
    #[error("a value cannot be understood: {0}")]
    Meaning(String),
}

/// Returns the bytes to store for a value.
pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = postcard::to_allocvec(value).expect("no stored type has a form that postcard does not know");
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Returns the value that bytes were stored for.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Damage> {
    let (value, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(Damage::Checksum)?;
    if crc32fast::hash(value) != u32::from_le_bytes(*checksum) {
        return Err(Damage::Checksum);
    }
    postcard::from_bytes(value).map_err(|error| Damage::Meaning(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_is_noticed() {
        let bytes = encode(&("r7".to_owned(), 12_u64));
        assert_eq!(decode(&bytes), Ok(("r7".to_owned(), 12_u64)));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode::<(String, u64)>(&damaged), Err(Damage::Checksum));
        }
    }
}
