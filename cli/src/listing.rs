//! Lists on standard output: a table for people, or one JSON object a line for programs.

use serde::Serialize;

use crate::output::{self, Format};
use crate::table::Table;

/// Prints a list; `cells` says what stands in the columns of a table.
pub(crate) fn print<T: Serialize, const COLUMNS: usize>(
    format: Format,
    header: [&str; COLUMNS],
    items: &[T],
    cells: impl Fn(&T) -> [String; COLUMNS],
) {
    match format {
        Format::Json => {
            for item in items {
                output::result(&serde_json::to_string(item).expect("what is listed has text keys only"));
            }
        }
        Format::Text => {
            let mut table = Table::with_header(header);
            for item in items {
                let cells = cells(item);
                table.row(cells.iter().map(String::as_str));
            }
            output::result(&table.print());
        }
    }
}
