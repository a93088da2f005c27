//! Slices of failed batches, cut in two until a single row is left.

use std::io::Write;
use std::os::unix::fs::MetadataExt;

use common::job::CsvDialect;
use common::slice::{BadRow, ByteSlice, FileId, FrozenSource, Slice, SourceFile};
use proptest::prelude::*;
use scheduler::SliceCut;

use crate::source::halve::halve;

struct Input {
    text: String,
    source: FrozenSource,
    _file: tempfile::NamedTempFile,
}

impl Input {
    fn new(text: &str) -> Input {
        let mut file = tempfile::NamedTempFile::new().expect("makes a file");
        file.write_all(text.as_bytes()).expect("is written");
        let found = file.as_file().metadata().expect("is there");
        let listed = SourceFile {
            path: file.path().to_str().expect("is UTF-8").to_owned(),
            bytes: found.len(),
            etag: SourceFile::etag_of(found.ino(), found.size(), found.mtime(), found.mtime_nsec()),
            data_start: 0,
        };
        Input {
            text: text.to_owned(),
            source: FrozenSource {
                files: vec![listed],
                columns: vec!["a".to_owned()],
            },
            _file: file,
        }
    }

    fn whole(&self) -> ByteSlice {
        ByteSlice {
            file: FileId(0),
            start: 0,
            end: self.text.len() as u64,
            first_line: 1,
            first_row: Some(0),
            rows: None,
            rows_before: 0,
        }
    }

    fn cut(&self, slice: &ByteSlice) -> SliceCut {
        halve(&self.source, &CsvDialect::default(), &Slice::Bytes(slice.clone()))
    }

    /// Cuts a slice down to its rows, in order.
    fn rows(&self, slice: &ByteSlice, depth: usize) -> Vec<(ByteSlice, BadRow)> {
        assert!(depth <= 32, "a batch is halved at most so often");
        match self.cut(slice) {
            SliceCut::Single(row) => vec![(slice.clone(), row)],
            SliceCut::Halves {
                first: Slice::Bytes(first),
                second: Slice::Bytes(second),
            } => {
                assert_eq!(
                    (first.start, first.end, second.end),
                    (slice.start, second.start, slice.end)
                );
                assert_eq!(second.rows_before, first.rows_before + first.rows.expect("is counted"));
                let mut rows = self.rows(&first, depth + 1);
                rows.extend(self.rows(&second, depth + 1));
                rows
            }
            SliceCut::Unreadable => panic!("{slice:?} is good"),
        }
    }
}

#[test]
fn a_row_is_found_with_its_line_its_place_and_its_text() {
    let input = Input::new("one,1\n\n\"two\nlines\",2\r\n\r\nthree,3\n");
    let rows = input.rows(&input.whole(), 0);
    let found: Vec<BadRow> = rows.into_iter().map(|(_, row)| row).collect();
    let row = |line, byte, text: &str| BadRow {
        line,
        byte,
        text: text.to_owned(),
    };
    assert_eq!(
        found,
        [row(1, 0, "one,1"), row(3, 7, "\"two\nlines\",2"), row(6, 24, "three,3")]
    );
}

#[test]
fn a_slice_in_the_middle_of_a_file_is_cut_within_its_bounds() {
    let input = Input::new("a\nb\nc\nd\ne\n");
    let middle = ByteSlice {
        start: 2,
        end: 8,
        first_line: 2,
        first_row: Some(1),
        ..input.whole()
    };
    let rows = input.rows(&middle, 0);
    let lines: Vec<(u64, Option<u64>)> = rows.iter().map(|(slice, row)| (row.line, slice.first_row)).collect();
    assert_eq!(lines, [(2, Some(1)), (3, Some(2)), (4, Some(3))]);
}

#[test]
fn a_slice_that_ends_within_quotes_is_not_cut() {
    let input = Input::new("a\n\"b\nc\n");
    assert_eq!(input.cut(&input.whole()), SliceCut::Unreadable);
}

#[test]
fn a_source_that_has_changed_is_not_cut() {
    let input = Input::new("a\nb\n");
    std::fs::write(&input.source.files[0].path, "another text\nof another size\n").expect("is written");
    assert_eq!(input.cut(&input.whole()), SliceCut::Unreadable);
}

proptest! {
    #[test]
    fn the_rows_are_those_of_the_csv_crate(fields in proptest::collection::vec("([a-c]{0,3}|\"[a-c\n]{0,5}\")", 1..40)) {
        let records: Vec<String> = fields.iter().map(|field| format!("x{},{field}", "")).collect();
        let text = format!("{}\n", records.join("\n"));
        let input = Input::new(&text);
        let found: Vec<String> = input.rows(&input.whole(), 0).into_iter().map(|(_, row)| row.text).collect();
        prop_assert_eq!(found, records);
    }
}
