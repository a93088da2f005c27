use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use common::failure::{Failure, FailureKind};
use common::limits::{MAX_FIELD_BYTES, MAX_RECORD_BYTES};
use proptest::prelude::*;

use super::*;

fn header(columns: usize) -> Vec<String> {
    (0..columns).map(|place| format!("c{place}")).collect()
}

fn schema(names: &[String]) -> SchemaRef {
    let fields: Vec<Field> = names
        .iter()
        .map(|name| Field::new(name, DataType::Utf8View, false))
        .collect();
    Arc::new(Schema::new(fields))
}

fn read_bytes(bytes: &[u8], header: &[String], wanted: &[String]) -> Result<RecordBatch, Failure> {
    let text = SliceText {
        path: "/data/in.csv",
        first_line: 10,
        bytes: Buffer::from_vec(bytes.to_vec()),
        length: bytes.len(),
    };
    read(
        text,
        &CsvDialect::default(),
        header,
        &schema(wanted),
        &CancelToken::default(),
    )
}

fn rows_of(batch: &RecordBatch) -> Vec<Vec<String>> {
    let value = |column: usize, row| batch.column(column).as_string_view().value(row).to_owned();
    let row = |row| (0..batch.num_columns()).map(|column| value(column, row)).collect();
    (0..batch.num_rows()).map(row).collect()
}

fn all_rows(text: &str, columns: usize) -> Vec<Vec<String>> {
    let header = header(columns);
    rows_of(&read_bytes(text.as_bytes(), &header, &header).expect("is good"))
}

fn refusal(bytes: &[u8], columns: usize) -> String {
    let header = header(columns);
    let failure = read_bytes(bytes, &header, &header).expect_err("is bad");
    assert_eq!(failure.kind, FailureKind::BadInput, "{failure}");
    failure.message
}

/// What the csv crate makes of a text: the reference.
fn reference(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(bytes);
    reader
        .byte_records()
        .map(|record| record.expect("is memory").iter().map(<[u8]>::to_vec).collect())
        .collect()
}

#[test]
fn fields_come_out_as_they_were_meant() {
    let text = "a,\"b, \"\"quoted\"\"\",\"two\nlines\"\r\n\n,,\r\n\"\",x,a rather long field without any quotes";
    assert_eq!(
        all_rows(text, 3),
        [
            ["a", "b, \"quoted\"", "two\nlines"],
            ["", "", ""],
            ["", "x", "a rather long field without any quotes"]
        ]
    );
}

#[test]
fn only_the_wanted_columns_are_made_in_the_wanted_order() {
    let batch = read_bytes(b"1,2,3\n4,5,6\n", &header(3), &["c2".to_owned(), "c0".to_owned()]).expect("is good");
    assert_eq!(rows_of(&batch), [["3", "1"], ["6", "4"]]);
    let none = read_bytes(b"1,2,3\n4,5,6\n", &header(3), &[]).expect("is good");
    assert_eq!((none.num_rows(), none.num_columns()), (2, 0));
}

#[test]
fn fields_without_escapes_point_into_the_slice() {
    let long = "a field that is too long to be inlined";
    let text = format!("{long},\"{long}\"\n");
    let batch = read_bytes(text.as_bytes(), &header(2), &header(2)).expect("is good");
    let buffers = |column| batch.column(column).as_string_view().data_buffers().to_vec();
    assert_eq!(buffers(0)[0].data_ptr(), buffers(1)[0].data_ptr());
    assert_eq!((buffers(0).len(), buffers(1).len()), (1, 1));
}

#[test]
fn a_slice_of_which_little_is_used_is_let_go_of() {
    let text = format!("{},{}\n", "a field that is too long to be inlined", "x".repeat(10_000));
    let batch = read_bytes(text.as_bytes(), &header(2), &["c0".to_owned()]).expect("is good");
    let kept: usize = batch
        .column(0)
        .as_string_view()
        .data_buffers()
        .iter()
        .map(|buffer| buffer.len())
        .sum();
    assert!(kept < 100, "{kept} bytes are kept");
}

#[test]
fn text_that_is_not_rfc_4180_is_read_by_the_state_machine() {
    assert_eq!(all_rows("5\" disk,a\n\"x\"y,b\n", 2), [["5\" disk", "a"], ["xy", "b"]]);
    assert_eq!(all_rows("a,b\rc,d\r", 2), [["a", "b"], ["c", "d"]]);
}

#[test]
fn a_ragged_record_is_refused_with_its_line() {
    let expected = "/data/in.csv, line 13: the record has 3 fields, the header has 2; \
                    mend the record, or quote the field that holds a delimiter";
    assert_eq!(refusal(b"a,b\n\"c\nd\",e\nf,g,h\n", 2), expected);
    // The same by the careful way.
    assert_eq!(refusal(b"a,b\"\n\"c\nd\",e\nf,g,h\n", 2), expected);
    assert!(refusal(b"a,b\n\nc\n", 2).starts_with("/data/in.csv, line 12: the record has 1 fields"));
    assert!(refusal(b"a,b\"\n\nc\n", 2).starts_with("/data/in.csv, line 12: the record has 1 fields"));
}

#[test]
fn a_quote_that_never_closes_is_refused_with_the_line_where_it_opens() {
    for text in ["a,b\nc,\"d\ne,f\n", "a,b\"\nc,\"d\ne,f\n"] {
        let message = refusal(text.as_bytes(), 2);
        assert!(
            message.starts_with("/data/in.csv, line 11: a quote opens here and does not close"),
            "{message}"
        );
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused_in_needed_columns_only() {
    for text in [
        b"a,b\n\xff,d\n".as_slice(),
        b"a,b\"\n\xff,d\n",
        b"a,b\n\"\"\"\xff\",d\n",
    ] {
        let message = refusal(text, 2);
        assert!(
            message.starts_with("/data/in.csv, line 11: column \"c0\" is not UTF-8"),
            "{message}"
        );
        let batch = read_bytes(text, &header(2), &["c1".to_owned()]).expect("the bad column is not needed");
        assert_eq!(batch.num_rows(), 2);
    }
}

#[test]
fn fields_and_records_beyond_the_limits_are_refused() {
    let fits = format!("{},b\n", "x".repeat(MAX_FIELD_BYTES));
    assert_eq!(all_rows(&fits, 2).len(), 1);
    let field = format!("a,b\n{}x,b\n", "x".repeat(MAX_FIELD_BYTES));
    let message = refusal(field.as_bytes(), 2);
    assert!(
        message.starts_with("/data/in.csv, line 11: column \"c0\" has 1048577 bytes"),
        "{message}"
    );
    let columns = MAX_RECORD_BYTES / MAX_FIELD_BYTES + 1;
    let record = vec!["x".repeat(MAX_FIELD_BYTES); columns].join(",");
    let message = refusal(record.as_bytes(), columns);
    assert!(
        message.starts_with("/data/in.csv, line 10: the record has 9437192 bytes"),
        "{message}"
    );
}

#[test]
fn reading_stops_when_it_is_asked_to() {
    let cancel = CancelToken::default();
    cancel.cancel();
    for bytes in [b"a\n".as_slice(), b"a\"\n"] {
        let text = SliceText {
            path: "/data/in.csv",
            first_line: 1,
            bytes: Buffer::from_vec(bytes.to_vec()),
            length: bytes.len(),
        };
        let failure = read(text, &CsvDialect::default(), &header(1), &schema(&header(1)), &cancel).expect_err("stops");
        assert_eq!(failure.kind, FailureKind::Cancelled);
    }
}

/// A field of anything that makes trouble.
fn any_field() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[a-z ,\"\r\né]{0,20}").expect("is a pattern")
}

/// Text that is made of records, most of them with as many fields as the first, and of anything.
fn any_records() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let piece = prop_oneof![
        8 => "[a-z]{0,9}",
        2 => "[a-z ]{13,80}",
        2 => "\"[a-z,\n\r;]{0,20}(\"\"[a-z\n]{0,9}){0,3}\"",
        2 => "'[a-z,\n\r;]{0,20}(''[a-z\n]{0,9}){0,3}'",
        1 => "[é日]{1,9}",
        1 => "[ab,;'\"\r\n]{0,9}",
    ];
    let end = prop_oneof![9 => Just("\n"), 2 => Just("\r\n"), 1 => Just("\r"), 1 => Just("\n\n"), 1 => Just("")];
    let delimiter = prop_oneof![9 => Just(","), 1 => Just(";")];
    (1_usize..5).prop_flat_map(move |columns| {
        let fields = prop::collection::vec((piece.clone(), delimiter.clone()), columns);
        let records = prop::collection::vec((fields, end.clone()), 0..12);
        let bad_byte = prop::option::weighted(0.2, 0_usize..200);
        (records, bad_byte).prop_map(move |(records, bad_byte)| {
            let mut text = String::new();
            for (fields, end) in records {
                let record: Vec<String> = fields.into_iter().map(|(field, by)| field + by).collect();
                text.push_str(record.concat().trim_end_matches([',', ';']));
                text.push_str(end);
            }
            let mut bytes = text.into_bytes();
            if let Some(byte) = bad_byte.and_then(|place| bytes.get_mut(place)) {
                *byte = 0xff;
            }
            (bytes, columns)
        })
    })
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        (columns, rows) in (1_usize..5).prop_flat_map(|columns| {
            (Just(columns), prop::collection::vec(prop::collection::vec(any_field(), columns), 0..12))
        }),
        crlf in any::<bool>(),
    ) {
        let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().terminator(terminator).from_writer(Vec::new());
        for row in &rows {
            writer.write_record(row).expect("is memory");
        }
        let bytes = writer.into_inner().expect("is memory");
        let header = header(columns);
        let batch = read_bytes(&bytes, &header, &header).expect("is good");
        prop_assert_eq!(rows_of(&batch), rows);
    }

    #[test]
    fn any_text_is_read_as_the_csv_crate_reads_it_or_refused(
        text in "[ab,\"\r\n]{0,40}",
        columns in 1_usize..4,
    ) {
        let header = header(columns);
        let reference = reference(text.as_bytes());
        let ragged = reference.iter().any(|record| record.len() != columns);
        match read_bytes(text.as_bytes(), &header, &header) {
            Ok(batch) => {
                let found: Vec<Vec<Vec<u8>>> =
                    rows_of(&batch).into_iter().map(|row| row.into_iter().map(String::into_bytes).collect()).collect();
                prop_assert_eq!(found, reference);
            }
            Err(failure) => {
                let open = failure.message.contains("a quote opens here");
                prop_assert!(ragged || open, "{}", failure);
                if open {
                    // Then another record behind it is swallowed.
                    let longer = format!("{text}\nsentinel\n");
                    let last = self::reference(longer.as_bytes()).pop();
                    prop_assert_ne!(last, Some(vec![b"sentinel".to_vec()]));
                }
            }
        }
    }

    #[test]
    fn both_ways_agree(
        (text, columns) in any_records(),
        wanted in 0_usize..4,
        slack in prop_oneof![Just(0_usize), Just(64)],
        dialect in prop_oneof![Just(CsvDialect::default()), Just(CsvDialect { delimiter: b';', quote: b'\'', ..CsvDialect::default() })],
    ) {
        let header = header(columns);
        let wanted = schema(&header[wanted.min(columns - 1)..]);
        let mut bytes = text;
        let length = bytes.len();
        // What lies behind a slice is never looked at.
        bytes.resize(length + slack, b'"');
        let bytes = Buffer::from_vec(bytes);
        let never = CancelToken::default();
        let prepare = || Columns::new(&bytes, length, dialect.quote, &header, &wanted).expect("few columns");
        let slice = &bytes[..length];
        let mut columns = prepare();
        let careful = careful::read(slice, &dialect, &mut columns, &never);
        let careful = careful.map(|()| rows_of(&columns.finish().expect("fits")));
        for piece in [scan::BLOCK, 3 * scan::BLOCK, fast::PIECE] {
            let mut columns = prepare();
            let fast = fast::read(slice, piece, &dialect, &mut columns, &never);
            let fast = fast.map(|()| rows_of(&columns.finish().expect("fits")));
            match (fast, &careful) {
                (Err(Stop::Irregular), _) => {}
                (Ok(fast), Ok(careful)) => prop_assert_eq!(&fast, careful),
                // Which of two things is found first may differ.
                (Err(Stop::Bad(..)), Err(Stop::Bad(..))) => {}
                (fast, careful) => prop_assert!(false, "{:?} and {:?}", fast, careful),
            }
        }
    }

    #[test]
    fn regular_text_takes_the_fast_way(rows in prop::collection::vec(prop::collection::vec(any_field(), 3), 0..40), crlf in any::<bool>()) {
        let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().terminator(terminator).from_writer(Vec::new());
        for row in &rows {
            writer.write_record(row).expect("is memory");
        }
        let bytes = Buffer::from_vec(writer.into_inner().expect("is memory"));
        let header = header(3);
        let wanted = schema(&header);
        let mut columns = Columns::new(&bytes, bytes.len(), b'"', &header, &wanted).expect("few columns");
        let fast = fast::read(&bytes, scan::BLOCK, &CsvDialect::default(), &mut columns, &CancelToken::default());
        prop_assert!(fast.is_ok(), "{:?}", fast);
        prop_assert_eq!(rows_of(&columns.finish().expect("fits")), rows);
    }
}
