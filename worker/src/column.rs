//! A column whose values have a text form: what filters compare and sinks write.

use std::io::Write as _;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, StringViewArray};
use common::failure::Failure;

/// A column whose values can be written as text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TextColumn<'a> {
    /// Text.
    Text(&'a StringViewArray),
    /// Whole numbers.
    Integer(&'a Int64Array),
}

impl<'a> TextColumn<'a> {
    /// Looks at a column as text, or says that its type has no text form.
    pub(crate) fn of(name: &str, column: &'a ArrayRef) -> Result<TextColumn<'a>, Failure> {
        if let Some(text) = column.as_string_view_opt() {
            return Ok(TextColumn::Text(text));
        }
        if let Some(integer) = column.as_primitive_opt::<Int64Type>() {
            return Ok(TextColumn::Integer(integer));
        }
        Err(Failure::permanent(format!(
            "column {name:?} has the type {}, which has no text form here",
            column.data_type()
        )))
    }

    /// Appends a value as it is.
    pub(crate) fn append(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            TextColumn::Text(text) => out.extend_from_slice(text.value(row).as_bytes()),
            TextColumn::Integer(integer) => {
                write!(out, "{}", integer.value(row)).expect("a Vec takes all bytes");
            }
        }
    }
}
