//! Text columns made of views into bytes.
//!
//! [`TextViews`] takes ranges of bytes one by one, checks that each is UTF-8, and makes a `StringViewArray` of them
//! without checking them a second time. A value of up to 12 bytes is in its view; a longer one stays where it is.
#![expect(
    unsafe_code,
    reason = "checking every view again costs as much as making it: a tenth of the whole chain from CSV to CSV"
)]

use std::ops::Range;

use arrow_array::StringViewArray;
use arrow_buffer::Buffer;

/// The longest value that a view holds itself.
const INLINE: usize = 12;
/// One bit in each of 16 bytes: set in bytes that are not ASCII.
const HIGH_BITS: u128 = 0x8080_8080_8080_8080_8080_8080_8080_8080;

/// Some bytes are no UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUtf8;

/// A text column that grows value by value.
#[derive(Debug)]
pub struct TextViews {
    text: Buffer,
    copied: Vec<u8>,
    views: Vec<u128>,
    /// The bytes of `text` that views point to.
    used: usize,
}

/// The numbers of the two buffers that views point into.
const TEXT: u32 = 0;
const COPIED: u32 = 1;

impl TextViews {
    /// Starts a column of views into a text of less than 2 GiB.
    ///
    /// # Panics
    /// If the text is larger.
    pub fn new(text: Buffer) -> TextViews {
        assert!(i32::try_from(text.len()).is_ok(), "views have 31-bit offsets");
        TextViews {
            text,
            copied: Vec::new(),
            views: Vec::new(),
            used: 0,
        }
    }

    /// Makes room for so many more values.
    pub fn reserve(&mut self, values: usize) {
        self.views.reserve(values);
    }

    /// Returns how many values there are.
    pub fn len(&self) -> usize {
        self.views.len()
    }

    /// Tells whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.views.is_empty()
    }

    /// Appends a range of the text. It is quicker where 16 bytes of the text follow its start.
    ///
    /// # Panics
    /// If the range lies outside of the text.
    #[inline(always)]
    pub fn push(&mut self, range: Range<usize>) -> Result<(), NotUtf8> {
        let length = range.len();
        let bytes = self.text.as_slice();
        if length <= INLINE
            && let Some(sixteen) = bytes.get(range.start..range.start + 16)
        {
            let sixteen: [u8; 16] = sixteen.try_into().expect("there are 16");
            let value = u128::from_le_bytes(sixteen) & !(u128::MAX << (8 * length));
            if value & HIGH_BITS == 0 {
                self.views.push(value << 32 | length as u128);
                return Ok(());
            }
        }
        self.push_checked(range)
    }

    #[inline(never)]
    fn push_checked(&mut self, range: Range<usize>) -> Result<(), NotUtf8> {
        let value = &self.text.as_slice()[range.clone()];
        if std::str::from_utf8(value).is_err() {
            return Err(NotUtf8);
        }
        self.views.push(view(value, TEXT, range.start as u32));
        if value.len() > INLINE {
            self.used += value.len();
        }
        Ok(())
    }

    /// Appends bytes that are nowhere in the text as they are.
    pub fn push_copied(&mut self, value: &[u8]) -> Result<(), NotUtf8> {
        if std::str::from_utf8(value).is_err() {
            return Err(NotUtf8);
        }
        let offset = u32::try_from(self.copied.len()).expect("copies are no longer than the text");
        self.views.push(view(value, COPIED, offset));
        if value.len() > INLINE {
            self.copied.extend_from_slice(value);
        }
        Ok(())
    }

    /// Returns how many bytes of the text the values point to.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Makes the column. The text is kept only if a value points into it.
    pub fn finish(self) -> StringViewArray {
        let TextViews {
            text,
            copied,
            views,
            used,
        } = self;
        let mut buffers = Vec::new();
        if used > 0 || !copied.is_empty() {
            buffers.push(if used > 0 {
                text
            } else {
                Buffer::from_vec(Vec::<u8>::new())
            });
        }
        if !copied.is_empty() {
            buffers.push(Buffer::from_vec(copied));
        }
        // SAFETY: a view is made by `push`, `push_checked` or `push_copied` only. Each holds at most 12 bytes itself,
        // with zeros behind them, or points to a range of the buffer of its number that was sliced when it was made;
        // buffers do not change and are all here if a view points into them. The bytes were found to be UTF-8: ASCII by
        // their high bits, others by `from_utf8`.
        unsafe { StringViewArray::new_unchecked(views.into(), buffers, None) }
    }
}

/// Makes a column of a text that is cut into values of one length, more than 12 bytes each; `None` if the text is not
/// ASCII.
///
/// # Panics
/// If the values are shorter, or the text is 2 GiB or larger.
pub fn ascii_column(text: Buffer, length: usize) -> Option<StringViewArray> {
    assert!(length > INLINE, "shorter values are in their views");
    assert!(i32::try_from(text.len()).is_ok(), "views have 31-bit offsets");
    if !text.is_ascii() {
        return None;
    }
    let values = text.chunks_exact(length).enumerate();
    let views: Vec<u128> = values
        .map(|(place, value)| view(value, TEXT, (place * length) as u32))
        .collect();
    // SAFETY: each view points to one of the chunks of the text, which is ASCII, and starts with its first bytes.
    Some(unsafe { StringViewArray::new_unchecked(views.into(), [text], None) })
}

/// Spells a view as Arrow lays it out: the length, then the value itself or its first bytes and where it is.
fn view(value: &[u8], buffer: u32, offset: u32) -> u128 {
    let length = value.len() as u128;
    let mut bytes = [0; 16];
    if value.len() <= INLINE {
        bytes[..value.len()].copy_from_slice(value);
        return u128::from_le_bytes(bytes) << 32 | length;
    }
    bytes[..4].copy_from_slice(&value[..4]);
    bytes[4..8].copy_from_slice(&buffer.to_le_bytes());
    bytes[8..12].copy_from_slice(&offset.to_le_bytes());
    u128::from_le_bytes(bytes) << 32 | length
}
