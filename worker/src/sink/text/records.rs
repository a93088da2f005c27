//! CSV records of a batch, many rows at a time.
//!
//! Few values need quotes, and looking at each costs more than writing it. So rows are written as if none did, and then
//! the delimiters, line feeds, quotes and carriage returns of what was written are counted 64 bytes at a time: if there
//! are as many as there have to be, no value holds one. Otherwise the columns that hold them are found, the rows are
//! written again, and from there on the values of these columns are looked at one by one.

use std::ops::Range;

use arrow_array::StringViewArray;
use arrow_buffer::Buffer;
use memchr::memchr;
use scan::{BLOCK, Kernel, Masks};

use crate::column::TextColumn;

/// The longest value that a view holds itself.
const INLINE: usize = 12;
/// Bytes that a value is copied by: more than it has, where there is room.
const STRIDE: usize = 64;
/// The most bytes of a whole number.
const INTEGER: usize = 20;

/// The rows of a batch on their way to CSV.
pub(super) struct CsvRows<'a> {
    columns: Vec<CsvColumn<'a>>,
}

/// A column, and how its values are written.
enum CsvColumn<'a> {
    /// Text in which nothing had to be quoted so far.
    Plain(Views<'a>),
    /// Text of which each value is looked at.
    Quoted(&'a StringViewArray),
    /// Numbers never need quotes.
    Integer(TextColumn<'a>),
}

/// A text column, taken apart.
struct Views<'a> {
    values: &'a StringViewArray,
    views: &'a [u128],
    buffers: &'a [Buffer],
}

/// How many bytes of the kinds there are that a value must not hold without quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Specials {
    delimiters: usize,
    newlines: usize,
    /// Quotes and carriage returns.
    others: usize,
}

impl<'a> CsvRows<'a> {
    /// Looks at the columns of a batch.
    pub(super) fn new(columns: &[TextColumn<'a>]) -> CsvRows<'a> {
        let is_only = columns.len() == 1;
        let column = |column: &TextColumn<'a>| match column {
            // An only value that is empty has to be quoted.
            TextColumn::Text(values) if is_only => CsvColumn::Quoted(values),
            TextColumn::Text(values) => CsvColumn::Plain(Views {
                values,
                views: values.views(),
                buffers: values.data_buffers(),
            }),
            TextColumn::Integer(_) => CsvColumn::Integer(*column),
        };
        CsvRows {
            columns: columns.iter().map(column).collect(),
        }
    }

    /// Returns how many bytes rows take at most, unless many of them need quotes.
    pub(super) fn most_bytes(&self, rows: Range<usize>) -> usize {
        let columns = self.columns.iter();
        columns.map(|column| column.most_bytes(rows.clone())).sum::<usize>() + 2 * rows.len() + STRIDE
    }

    /// Appends records.
    pub(super) fn append(&mut self, rows: Range<usize>, text: &mut Vec<u8>) {
        let start = text.len();
        loop {
            let expected = self.append_once(rows.clone(), text);
            if !self.columns.iter().any(CsvColumn::is_plain) || specials(&text[start..]) == expected {
                return;
            }
            text.truncate(start);
            for column in &mut self.columns {
                column.look_at(rows.clone());
            }
        }
    }

    /// Appends records, with quotes only where values are looked at; returns what is special in them if no other value
    /// holds anything special.
    fn append_once(&self, rows: Range<usize>, text: &mut Vec<u8>) -> Specials {
        let mut expected = Specials {
            delimiters: rows.len() * self.columns.len().saturating_sub(1),
            newlines: rows.len(),
            others: 0,
        };
        let start = text.len();
        text.resize(start + self.most_bytes(rows.clone()), 0);
        let mut at = start;
        for row in rows {
            let record = at;
            for (place, column) in self.columns.iter().enumerate() {
                if place > 0 {
                    text[at] = b',';
                    at += 1;
                }
                at = match column {
                    CsvColumn::Plain(values) => values.copy(row, text, at),
                    CsvColumn::Quoted(values) => put_field(values.value(row), text, at, &mut expected),
                    CsvColumn::Integer(values) => {
                        let mut digits = Vec::with_capacity(INTEGER);
                        values.append(row, &mut digits);
                        put(&digits, text, at)
                    }
                };
            }
            if at == record {
                at = put(b"\"\"", text, at);
                expected.others += 2;
            }
            text[at] = b'\n';
            at += 1;
        }
        text.truncate(at);
        expected
    }
}

impl<'a> CsvColumn<'a> {
    fn is_plain(&self) -> bool {
        match self {
            CsvColumn::Plain(_) => true,
            CsvColumn::Quoted(_) | CsvColumn::Integer(_) => false,
        }
    }

    /// Returns how many bytes rows take at most, with a delimiter each.
    fn most_bytes(&self, rows: Range<usize>) -> usize {
        let lengths = |views: &[u128]| {
            views[rows.clone()]
                .iter()
                .map(|view| *view as u32 as usize + 1)
                .sum::<usize>()
        };
        match self {
            CsvColumn::Plain(values) => lengths(values.views),
            // Every byte may be a quote, and the value in quotes.
            CsvColumn::Quoted(values) => 2 * lengths(values.views()) + 2 * rows.len(),
            CsvColumn::Integer(_) => rows.len() * (INTEGER + 1),
        }
    }

    /// Looks at the values of a column from now on if one of these rows needs quotes.
    fn look_at(&mut self, rows: Range<usize>) {
        let CsvColumn::Plain(Views { values, .. }) = self else {
            return;
        };
        let values: &'a StringViewArray = values;
        if rows.into_iter().any(|row| needs_quotes(values.value(row).as_bytes())) {
            *self = CsvColumn::Quoted(values);
        }
    }
}

impl Views<'_> {
    /// Copies a value, and what lies behind it: that is written over.
    #[inline(always)]
    fn copy(&self, row: usize, text: &mut [u8], at: usize) -> usize {
        let view = self.views[row];
        let length = view as u32 as usize;
        if length <= INLINE {
            text[at..at + 16].copy_from_slice(&(view >> 32).to_le_bytes());
            return at + length;
        }
        let (buffer, offset) = ((view >> 64) as u32 as usize, (view >> 96) as usize);
        let source = &self.buffers[buffer].as_slice()[offset..];
        if length <= STRIDE
            && let Some(more) = source.first_chunk::<STRIDE>()
        {
            text[at..at + STRIDE].copy_from_slice(more);
            return at + length;
        }
        put(&source[..length], text, at)
    }
}

/// Appends a value, in quotes if it needs them.
pub(super) fn append_csv_field(value: &str, out: &mut Vec<u8>) {
    let at = out.len();
    out.resize(at + 2 * value.len() + 2, 0);
    let end = put_field(value, out, at, &mut Specials::default());
    out.truncate(end);
}

/// Ends the record that begins at `start`.
pub(super) fn end_csv_record(start: usize, out: &mut Vec<u8>) {
    if out.len() == start {
        out.extend_from_slice(b"\"\"");
    }
    out.push(b'\n');
}

fn needs_quotes(value: &[u8]) -> bool {
    value.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n'))
}

/// Writes a value at a place, in quotes if it needs them; counts what is special in it.
fn put_field(value: &str, text: &mut [u8], mut at: usize, specials: &mut Specials) -> usize {
    let value = value.as_bytes();
    if !needs_quotes(value) {
        return put(value, text, at);
    }
    let start = at;
    at = put(b"\"", text, at);
    let mut rest = value;
    while let Some(quote) = memchr(b'"', rest) {
        at = put(&rest[..=quote], text, at);
        at = put(b"\"", text, at);
        rest = &rest[quote + 1..];
    }
    at = put(rest, text, at);
    at = put(b"\"", text, at);
    for byte in &text[start..at] {
        match byte {
            b',' => specials.delimiters += 1,
            b'\n' => specials.newlines += 1,
            b'"' | b'\r' => specials.others += 1,
            _ => {}
        }
    }
    at
}

fn put(bytes: &[u8], text: &mut [u8], at: usize) -> usize {
    let end = at + bytes.len();
    text[at..end].copy_from_slice(bytes);
    end
}

/// Counts what is special in a text.
fn specials(text: &[u8]) -> Specials {
    scan::run(Count { text })
}

struct Count<'a> {
    text: &'a [u8],
}

impl Kernel for Count<'_> {
    type Output = Specials;

    #[inline(always)]
    fn run<M: Masks>(self, masks: M) -> Specials {
        let mut found = Specials::default();
        let (blocks, rest) = self.text.as_chunks::<BLOCK>();
        for block in blocks {
            count_block(masks, block, &mut found);
        }
        let mut last = [0; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        count_block(masks, &last, &mut found);
        found
    }
}

#[inline(always)]
fn count_block<M: Masks>(masks: M, block: &[u8; BLOCK], found: &mut Specials) {
    let number = |mask: u64| mask.count_ones() as usize;
    found.delimiters += number(masks.equals(block, b','));
    found.newlines += number(masks.equals(block, b'\n'));
    found.others += number(masks.equals(block, b'"') | masks.equals(block, b'\r'));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array};
    use proptest::prelude::*;

    use super::*;

    /// What the csv crate makes of the same rows: the reference.
    fn reference(rows: &[Vec<String>], numbers: &[i64]) -> Vec<u8> {
        let mut writer = csv::WriterBuilder::new()
            .terminator(csv::Terminator::Any(b'\n'))
            .from_writer(Vec::new());
        for (row, number) in rows.iter().zip(numbers) {
            let number = number.to_string();
            let fields = row.iter().map(String::as_str);
            if row.len() == 1 {
                writer.write_record(fields).expect("is memory");
            } else {
                writer.write_record(fields.chain([number.as_str()])).expect("is memory");
            }
        }
        writer.into_inner().expect("is memory")
    }

    fn any_value() -> impl Strategy<Value = String> {
        prop_oneof![
            8 => "[a-z ]{0,12}",
            4 => "[a-zé]{13,100}",
            1 => "[a-z,\"\n\r]{0,80}",
        ]
    }

    proptest! {
        #[test]
        fn records_are_what_the_csv_crate_writes(
            (columns, rows) in (1_usize..5).prop_flat_map(|columns| {
                (Just(columns), prop::collection::vec(prop::collection::vec(any_value(), columns), 1..12))
            }),
            times in 1_usize..8,
            at_once in 1_usize..40,
        ) {
            let rows: Vec<Vec<String>> = rows.iter().cycle().take(rows.len() * times).cloned().collect();
            let numbers: Vec<i64> = (0..rows.len() as i64).map(|row| row * 1_234_567_890_123 - 5).collect();
            let mut arrays: Vec<ArrayRef> = (0..columns)
                .map(|place| Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| &row[place]))) as ArrayRef)
                .collect();
            if columns > 1 {
                arrays.push(Arc::new(Int64Array::from(numbers.clone())));
            }
            let text: Vec<TextColumn<'_>> =
                arrays.iter().map(|array| TextColumn::of("c", array).expect("has a text form")).collect();
            let mut csv = CsvRows::new(&text);
            let mut written = Vec::new();
            for first in (0..rows.len()).step_by(at_once) {
                csv.append(first..(first + at_once).min(rows.len()), &mut written);
            }
            let expected = String::from_utf8(reference(&rows, &numbers)).expect("is UTF-8");
            prop_assert_eq!(String::from_utf8(written).expect("is UTF-8"), expected);
        }
    }
}
