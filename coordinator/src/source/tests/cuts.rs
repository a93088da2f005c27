//! Where slices begin and end.

use std::io::Write;

use common::job::Header;
use common::limits::MAX_RECORD_BYTES;
use proptest::prelude::*;

use super::*;
use crate::source::ShardCursor;

/// What the obvious cutter, one byte after the other, says about a file's data.
fn obvious_slices(data: &[u8], offset: u64, line: u64, rows: u64, bytes: u64) -> Vec<(u64, u64, u64, u64)> {
    // Each line outside quotes: where it begins, whether a record begins with it, and its number.
    let mut lines: Vec<(u64, u64, u64)> = Vec::new();
    let (mut inside, mut number, mut begins) = (false, line, true);
    for (place, &byte) in data.iter().enumerate() {
        let is_end = !inside && matches!(byte, b'\n' | b'\r');
        if begins && !(byte == b'\n' && place > 0 && data[place - 1] == b'\r') {
            lines.push((offset + place as u64, u64::from(!is_end), number));
        }
        inside ^= byte == b'"';
        number += u64::from(byte == b'\n');
        begins = is_end;
    }
    let end = offset + data.len() as u64;
    let mut slices = Vec::new();
    let mut first = 0;
    while first < lines.len() {
        let start = lines[first].0;
        let end_of = |line: usize| lines.get(line + 1).map_or(end, |next| next.0);
        let (mut last, mut taken) = (first, lines[first].1);
        while let Some(next) = lines.get(last + 1) {
            if taken + next.1 > rows || end_of(last + 1) - start > bytes {
                break;
            }
            taken += next.1;
            last += 1;
        }
        slices.push((start, end_of(last), lines[first].2, taken));
        first = last + 1;
    }
    slices
}

fn records(text: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text);
    let records = reader.byte_records().map(|record| record.unwrap());
    records
        .map(|record| record.iter().map(<[u8]>::to_vec).collect())
        .collect()
}

/// Any text that follows RFC 4180, and a little more: empty lines and lone carriage returns as line ends.
fn csv_text() -> impl Strategy<Value = String> {
    let plain = prop_oneof![
        4 => "[a-zé€ ]{0,12}",
        1 => "[a-z]{60,200}",
    ];
    let quoted = "([a-zé, ]|\"\"|\n|\r\n|\r){0,20}".prop_map(|inner| format!("\"{inner}\""));
    let field = prop_oneof![3 => plain, 1 => quoted];
    let end =
        prop_oneof![8 => Just("\n"), 4 => Just("\r\n"), 1 => Just("\r"), 1 => Just("\n\n"), 1 => Just("\r\n\r\n\n")];
    let record = (proptest::collection::vec(field, 1..6), end).prop_map(|(fields, end)| fields.join(",") + end);
    (proptest::collection::vec(record, 0..60), any::<bool>()).prop_map(|(records, is_cut)| {
        let text = records.concat();
        if is_cut {
            text.trim_end_matches(['\r', '\n']).to_owned()
        } else {
            text
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn slices_cover_the_data_exactly_and_hold_the_records_of_the_csv_crate(
        text in csv_text(),
        rows in proptest::option::of(1_u32..30),
        bytes in proptest::option::of(1_u64..2_000),
        buffer in 1_usize..600,
        count in 1_u32..5,
    ) {
        let content = format!("\u{feff}a,\"b\r\nc\"\r\n{text}");
        let files = Files::new(&[("f.csv", content.as_bytes())]);
        let frozen = files.list(&["f.csv"]).unwrap();
        let data = &content.as_bytes()[frozen.files[0].data_start as usize..];
        let line = 1 + content.as_bytes()[..content.len() - data.len()].iter().filter(|b| **b == b'\n').count() as u64;

        let whole = sharder(&frozen, bounded(rows, bytes)).with_buffer(buffer);
        let slices = shard_all(whole, count).unwrap();

        let expected = obvious_slices(
            data, frozen.files[0].data_start, line, rows.map_or(u64::MAX, u64::from), bytes.unwrap_or(u64::MAX),
        );
        let ranges: Vec<_> = slices.iter().map(|s| (s.start, s.end, s.first_line)).collect();
        prop_assert_eq!(ranges, expected.iter().map(|e| (e.0, e.1, e.2)).collect::<Vec<_>>());

        let mut all = Vec::new();
        for slice in &slices {
            let inner = records(&content.as_bytes()[slice.start as usize..slice.end as usize]);
            prop_assert_eq!(slice.rows, rows.map(|_| inner.len() as u64));
            prop_assert_eq!(slice.first_row, rows.map(|_| all.len() as u64));
            prop_assert!(slice.end - slice.start <= bytes.unwrap_or(u64::MAX) || inner.len() <= 1);
            all.extend(inner);
        }
        prop_assert_eq!(all, records(data));
    }

    #[test]
    fn a_sharder_that_is_resumed_after_every_call_finds_the_same_slices(
        text in csv_text(), rows in proptest::option::of(1_u32..10), bytes in 1_u64..500, count in 1_u32..5,
    ) {
        let content = format!("a,b\n{text}");
        let files = Files::new(&[("f.csv", content.as_bytes()), ("g.csv", content.as_bytes())]);
        let frozen = Arc::new(files.list(&["*.csv"]).unwrap());
        let batching = bounded(rows, Some(bytes));
        let straight = shard_all(sharder(&frozen, batching), u32::MAX).unwrap();
        let mut resumed = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut sharder = match cursor.take() {
                None => sharder(&frozen, batching),
                Some(text) => {
                    let cursor: ShardCursor = serde_json::from_str(&text).unwrap();
                    prop_assert_eq!(cursor.slices(), resumed.len() as u64);
                    Sharder::resume(Arc::clone(&frozen), CsvDialect::default(), batching, cursor).unwrap()
                }
            };
            let found = sharder.next_slices(count).unwrap();
            resumed.extend(found.slices.into_iter().map(|Slice::Bytes(slice)| slice));
            if found.end == SourceEnd::Reached {
                prop_assert_eq!(found.bytes_sharded, frozen.total_bytes());
                break;
            }
            cursor = Some(serde_json::to_string(sharder.cursor()).unwrap());
        }
        prop_assert_eq!(straight, resumed);
    }
}

/// The sample file, and the published one where it is at hand.
fn sample_files() -> Vec<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let published = std::env::var_os("PLUMB_PUBLISHED_CSV")
        .map_or_else(|| repository.join("../shared/data/pokemon.csv"), PathBuf::from);
    let mut files = vec![repository.join("data/pokemon.csv")];
    if published.exists() {
        files.push(published);
    } else {
        eprintln!("skipped: the published pokemon.csv is not at hand; PLUMB_PUBLISHED_CSV can name it");
    }
    files
}

#[test]
fn the_sample_file_has_nine_batches_of_a_hundred_rows() {
    for path in sample_files() {
        let frozen = list(
            &source(&[path.to_str().unwrap()], CsvDialect::default()),
            &anywhere(Path::new("/")),
        )
        .unwrap();
        assert_eq!(frozen.columns.len(), 41);
        let slices = shard_all(sharder(&frozen, bounded(Some(100), None)), 2).unwrap();
        let rows: Vec<_> = slices.iter().map(|slice| slice.rows.unwrap()).collect();
        assert_eq!(rows, [100, 100, 100, 100, 100, 100, 100, 100, 1]);
        let content = std::fs::read(&path).unwrap();
        let all: Vec<_> = slices
            .iter()
            .flat_map(|slice| records(&content[slice.start as usize..slice.end as usize]))
            .collect();
        assert_eq!(all, records(&content)[1..]);
        let by_bytes = shard_all(sharder(&frozen, bounded(None, Some(10_000))), 100).unwrap();
        assert!(by_bytes.iter().all(|slice| slice.end - slice.start <= 10_000));
        assert_eq!(by_bytes.first().unwrap().start, frozen.files[0].data_start);
        assert_eq!(by_bytes.last().unwrap().end, frozen.files[0].bytes);
    }
}

#[test]
fn the_whole_input_is_one_slice_per_file() {
    let files = Files::new(&[("a.csv", b"x\n1\n2\n"), ("b.csv", b"x\n"), ("c.csv", b"x\n3")]);
    let frozen = files.list(&["?.csv"]).unwrap();
    let slices = shard_all(sharder(&frozen, Batching::WholeInput), 10).unwrap();
    let ranges: Vec<_> = slices
        .iter()
        .map(|slice| (slice.file.0, slice.start, slice.end))
        .collect();
    assert_eq!(ranges, [(0, 2, 6), (2, 2, 3)]);
}

#[test]
fn a_file_with_a_header_only_has_no_slice() {
    for content in ["a,b", "a,b\n", "a,b\r\n", "a,b\n\n\r\n"] {
        let files = Files::new(&[("f.csv", content.as_bytes())]);
        let frozen = files.list(&["f.csv"]).unwrap();
        for batching in [bounded(Some(1), None), bounded(None, Some(1)), Batching::WholeInput] {
            let found = sharder(&frozen, batching).next_slices(1).unwrap();
            assert_eq!(found.slices, []);
            assert_eq!(found.end, SourceEnd::Reached);
            assert_eq!(found.bytes_sharded, content.len() as u64);
        }
    }
}

#[test]
fn the_last_slice_comes_with_the_end() {
    let files = Files::new(&[("a.csv", b"x\n1\n2\n"), ("b.csv", b"x\n")]);
    let frozen = files.list(&["*.csv"]).unwrap();
    let mut sharder = sharder(&frozen, bounded(Some(1), None));
    let first = sharder.next_slices(1).unwrap();
    assert_eq!(
        (first.slices.len(), first.bytes_sharded, first.end),
        (1, 4, SourceEnd::More)
    );
    assert_eq!(sharder.next_slices(0).unwrap().slices, []);
    let last = sharder.next_slices(1).unwrap();
    assert_eq!(
        (last.slices.len(), last.bytes_sharded, last.end),
        (1, 8, SourceEnd::Reached)
    );
}

#[test]
fn other_delimiters_and_quotes_and_files_without_header_are_cut_right() {
    let files = Files::new(&[("f.csv", b"1;'a\nb'\n2;\"\n3;x\n")]);
    let dialect = CsvDialect {
        delimiter: b';',
        quote: b'\'',
        header: Header::None,
        columns: vec!["n".to_owned(), "t".to_owned()],
    };
    let frozen = files.list_as(&["f.csv"], dialect.clone()).unwrap();
    assert_eq!(frozen.columns, ["n", "t"]);
    let slices = shard_all(Sharder::new(Arc::new(frozen), dialect, bounded(Some(1), None)), 9).unwrap();
    let starts: Vec<_> = slices.iter().map(|slice| (slice.start, slice.first_line)).collect();
    assert_eq!(starts, [(0, 1), (8, 3), (12, 4)]);
}

/// Both scanners' refusals.
fn refusals(files: &Files, name: &str) -> Vec<String> {
    let frozen = files.list(&[name]).unwrap();
    let batchings = [
        bounded(Some(1_000), None),
        bounded(None, None),
        bounded(None, Some(1 << 30)),
    ];
    let refuse = |batching| files.shorten(&shard_all(sharder(&frozen, batching), 9).unwrap_err());
    batchings.into_iter().map(refuse).collect()
}

#[test]
fn a_quote_that_never_closes_is_refused_where_it_was_opened() {
    let literal = "close it, or double it where it is meant literally";
    for (data, line) in [
        ("1,2\n\"3,4\n5,6\n", 3),
        ("1,2\n3,\"4\n5,\"6\"\n7,8\n", 3),
        ("\"x\ny\",2\n3,\"4\"\"\n5,6\n", 4),
    ] {
        let files = Files::new(&[("f.csv", format!("a,b\n{data}").as_bytes())]);
        for refusal in refusals(&files, "f.csv") {
            assert_eq!(
                refusal,
                format!("f.csv: line {line}: the quote opened here never closes; {literal}")
            );
        }
    }
}

#[test]
fn what_is_whole_before_a_bad_record_is_sharded_first() {
    let files = Files::new(&[("f.csv", b"a,b\n1,2\n3,4\n5,\"6\n")]);
    let frozen = files.list(&["f.csv"]).unwrap();
    let mut sharder = sharder(&frozen, bounded(Some(1), None));
    let found = sharder.next_slices(10).unwrap();
    assert_eq!((found.slices.len(), found.end), (2, SourceEnd::More));
    assert!(matches!(
        sharder.next_slices(10),
        Err(SourceError::QuoteNeverCloses { line: 4, .. })
    ));
}

#[test]
fn a_record_may_be_as_large_as_the_limit_and_no_larger() {
    let mut content = b"a\nx\n".to_vec();
    content.resize(4 + MAX_RECORD_BYTES - 1, b'y');
    content.extend(b"\nz\n");
    let files = Files::new(&[("fits.csv", &content)]);
    let frozen = files.list(&["fits.csv"]).unwrap();
    for (rows, bytes) in [(Some(1), None), (None, Some(100)), (None, Some(1 << 30))] {
        let slices = shard_all(sharder(&frozen, bounded(rows, bytes)), 9).unwrap();
        assert_eq!(slices.len(), if bytes == Some(1 << 30) { 1 } else { 3 });
    }

    content.insert(4, b'y');
    std::fs::write(files.path("large.csv"), &content).unwrap();
    for refusal in refusals(&files, "large.csv") {
        assert_eq!(
            refusal,
            "large.csv: line 3: the record that begins here is larger than 8.0 MiB"
        );
    }

    content[5] = b'"';
    std::fs::write(files.path("quote.csv"), &content).unwrap();
    for refusal in refusals(&files, "quote.csv") {
        assert!(
            refusal.ends_with("larger than 8.0 MiB; the quote opened on line 3 seems never to close"),
            "{refusal}"
        );
    }
}

#[test]
fn a_file_that_changes_while_it_is_sharded_is_refused() {
    let content = format!("a,b\n{}", "1,2\n".repeat(1_000));
    let files = Files::new(&[("f.csv", content.as_bytes()), ("g.csv", b"a,b\n")]);
    let frozen = files.list(&["f.csv", "g.csv"]).unwrap();
    let mut open = sharder(&frozen, bounded(Some(10), None)).with_buffer(500);
    open.next_slices(1).unwrap();
    let mut file = std::fs::File::options().append(true).open(files.path("f.csv")).unwrap();
    file.write_all(b"3,4\n").unwrap();
    assert!(matches!(
        shard_all(open, u32::MAX),
        Ok(_) | Err(SourceError::Changed { .. })
    ));
    let changed = sharder(&frozen, bounded(Some(10), None)).next_slices(1);
    assert!(matches!(changed, Err(SourceError::Changed { .. })));

    // A file without a row is looked at, too, and so is one that is gone.
    let frozen = files.list(&["f.csv", "g.csv"]).unwrap();
    std::fs::write(files.path("g.csv"), "a,b\n1,2\n").unwrap();
    let all = shard_all(sharder(&frozen, bounded(Some(1_000), None)), 1);
    assert!(matches!(all, Err(SourceError::Changed { .. })));
    std::fs::remove_file(files.path("g.csv")).unwrap();
    let all = shard_all(sharder(&frozen, bounded(Some(1_000), None)), 1);
    assert!(matches!(all, Err(SourceError::Unreadable { .. })));
}

#[test]
fn a_cursor_of_another_version_or_source_is_refused() {
    let files = Files::new(&[("f.csv", b"a\n1\n")]);
    let frozen = Arc::new(files.list(&["f.csv"]).unwrap());
    for cursor in [
        r#"{"version":2,"file":0,"place":null,"slices":0}"#,
        r#"{"version":1,"file":2,"place":null,"slices":0}"#,
        r#"{"version":1,"file":1,"place":{"offset":0,"line":1,"row":0},"slices":0}"#,
        r#"{"version":1,"file":0,"place":{"offset":5,"line":1,"row":0},"slices":0}"#,
    ] {
        let cursor = serde_json::from_str(cursor).unwrap();
        let resumed = Sharder::resume(Arc::clone(&frozen), CsvDialect::default(), Batching::WholeInput, cursor);
        assert!(matches!(resumed, Err(SourceError::BadCursor { .. })));
    }
}
