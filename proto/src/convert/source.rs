//! The source and how it is cut into batches.

use common::job::{Batching, CsvDialect, Header, Source};

use super::problems::Problems;
use crate::v1;
use crate::v1::csv_format::Header as WireHeader;

pub(super) fn source_from_wire(problems: &mut Problems, wire: v1::Source) -> Source {
    let csv = match wire.format {
        Some(v1::source::Format::Csv(csv)) => dialect_from_wire(problems, csv),
        None => {
            problems.add(
                "source.csv",
                "name the format; csv: {} is comma, double quote, header in the first row",
            );
            CsvDialect::default()
        }
    };
    Source { uris: wire.uris, csv }
}

pub(super) fn source_to_wire(source: &Source) -> v1::Source {
    let csv = v1::CsvFormat {
        delimiter: Some(char::from(source.csv.delimiter).to_string()),
        quote: Some(char::from(source.csv.quote).to_string()),
        header: match source.csv.header {
            Header::FirstRow => WireHeader::FirstRow,
            Header::None => WireHeader::None,
        }
        .into(),
        columns: source.csv.columns.clone(),
    };
    v1::Source {
        uris: source.uris.clone(),
        format: Some(v1::source::Format::Csv(csv)),
    }
}

fn dialect_from_wire(problems: &mut Problems, wire: v1::CsvFormat) -> CsvDialect {
    let default = CsvDialect::default();
    let header = problems.known("source.csv.header", wire.header);
    CsvDialect {
        delimiter: character(problems, "source.csv.delimiter", wire.delimiter).unwrap_or(default.delimiter),
        quote: character(problems, "source.csv.quote", wire.quote).unwrap_or(default.quote),
        header: match header {
            Some(WireHeader::FirstRow | WireHeader::Unspecified) | None => Header::FirstRow,
            Some(WireHeader::None) => Header::None,
        },
        columns: wire.columns,
    }
}

/// Reads one ASCII character; which ones are allowed is for the job's own check.
fn character(problems: &mut Problems, path: &str, text: Option<String>) -> Option<u8> {
    let text = text?;
    match text.as_bytes() {
        [byte] => Some(*byte),
        _ => {
            problems.add(path, "must be one ASCII character other than a line break");
            None
        }
    }
}

pub(super) fn batching_from_wire(problems: &mut Problems, wire: v1::Batching) -> Batching {
    let rows = problems.count("batch.rows", wire.rows);
    let bytes = problems.size("batch.bytes", wire.bytes);
    if wire.whole_input {
        for (path, is_given) in [
            ("batch.rows", wire.rows.is_some()),
            ("batch.bytes", wire.bytes.is_some()),
        ] {
            if is_given {
                problems.add(path, "does not go with whole_input; leave one of the two out");
            }
        }
        return Batching::WholeInput;
    }
    if wire.rows.is_none() && wire.bytes.is_none() {
        return Batching::default();
    }
    Batching::Bounded {
        rows,
        bytes: bytes.unwrap_or(Batching::DEFAULT_BYTES),
    }
}

pub(super) fn batching_to_wire(batching: Batching) -> v1::Batching {
    match batching {
        Batching::Bounded { rows, bytes } => v1::Batching {
            rows: rows.map(Into::into),
            bytes: Some(bytes.into()),
            whole_input: false,
        },
        Batching::WholeInput => v1::Batching {
            rows: None,
            bytes: None,
            whole_input: true,
        },
    }
}
