//! Tables for tests, and a small reader of CSV that shares no code with the program.

use std::fmt::Write as _;
use std::path::Path;

/// Makes a table of `id,name,team` whose names need quotes, hold newlines, or are not ASCII here and there.
pub fn people(rows: usize) -> String {
    let mut text = String::from("id,name,team\n");
    for id in 1..=rows {
        let name = match id % 5 {
            0 => format!("\"Doe, {id}\""),
            1 => format!("Zoë {id}"),
            2 => format!("\"say \"\"{id}\"\"\""),
            3 => format!("\"two\nlines {id}\""),
            _ => format!("plain {id}"),
        };
        let _ = writeln!(text, "{id},{name},{}", id % 3);
    }
    text
}

/// Makes a table of one column, `id`, with the numbers from 1.
pub fn numbers(rows: usize) -> String {
    (1..=rows).fold("id\n".to_owned(), |text, id| text + &id.to_string() + "\n")
}

/// Reads CSV after RFC 4180, the header included.
///
/// # Panics
/// If a quote never closes.
pub fn parse(text: &str) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, quoted) {
            ('"', true) if characters.peek() == Some(&'"') => field.extend(characters.next()),
            ('"', _) => quoted = !quoted,
            (',', false) => record.push(std::mem::take(&mut field)),
            ('\r', false) if characters.peek() == Some(&'\n') => {}
            ('\n', false) => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            (other, _) => field.push(other),
        }
    }
    assert!(!quoted, "a quote never closes");
    if !field.is_empty() || !record.is_empty() {
        record.push(field);
        records.push(record);
    }
    records
}

/// Reads a CSV file after RFC 4180, the header included.
///
/// # Panics
/// If it cannot be read.
pub fn read(path: impl AsRef<Path>) -> Vec<Vec<String>> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    parse(&text)
}

/// Returns one column of a table that has a header.
///
/// # Panics
/// If there is no such column.
pub fn column(table: &[Vec<String>], name: &str) -> Vec<String> {
    let at = table[0]
        .iter()
        .position(|column| column == name)
        .unwrap_or_else(|| panic!("no column {name}"));
    table[1..].iter().map(|record| record[at].clone()).collect()
}

/// Checks that a table's ids are the numbers from 1, each exactly once, in whatever order.
///
/// # Panics
/// If not.
pub fn expect_each_row_once(table: &[Vec<String>], rows: usize) {
    let mut ids: Vec<usize> = column(table, "id")
        .iter()
        .map(|id| id.parse().expect("a number"))
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=rows).collect::<Vec<_>>(), "each row exactly once");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_newlines_and_commas_are_read_as_rfc_4180_has_them() {
        let table = parse(&people(5));
        assert_eq!(
            column(&table, "name"),
            ["Zoë 1", "say \"2\"", "two\nlines 3", "plain 4", "Doe, 5"]
        );
        expect_each_row_once(&table, 5);
    }
}
