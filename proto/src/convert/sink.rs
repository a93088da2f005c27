//! The sinks of write ops.

use common::job::{FileFormat, FileSink, IfExists, LogSink, SingleFile, Sink};

use super::problems::Problems;
use crate::v1;
use crate::v1::file_sink::IfExists as WireIfExists;
use crate::v1::write::Sink as WireSink;

/// Reads a sink; `None` when the write names none, which is then noted.
pub(super) fn sink_from_wire(problems: &mut Problems, op: &str, wire: v1::Write) -> Option<Sink> {
    let sink = match wire.sink {
        Some(WireSink::Csv(file)) => Sink::File(file_from_wire(problems, op, FileFormat::Csv, file)),
        Some(WireSink::Jsonl(file)) => Sink::File(file_from_wire(problems, op, FileFormat::Jsonl, file)),
        Some(WireSink::Stdout(v1::StdoutSink {})) => Sink::Stdout,
        Some(WireSink::Log(v1::LogSink { message })) => Sink::Log(LogSink { message }),
        Some(WireSink::Discard(v1::DiscardSink {})) => Sink::Discard,
        None => {
            problems.add(
                format!("{op}.write"),
                "write has no sink: name one of csv, jsonl, stdout, log, discard",
            );
            return None;
        }
    };
    Some(sink)
}

pub(super) fn sink_to_wire(sink: &Sink) -> v1::Write {
    let sink = match sink {
        Sink::File(file) => match file.format {
            FileFormat::Csv => WireSink::Csv(file_to_wire(file)),
            FileFormat::Jsonl => WireSink::Jsonl(file_to_wire(file)),
        },
        Sink::Log(LogSink { message }) => WireSink::Log(v1::LogSink {
            message: message.clone(),
        }),
        Sink::Stdout => WireSink::Stdout(v1::StdoutSink {}),
        Sink::Discard => WireSink::Discard(v1::DiscardSink {}),
    };
    v1::Write { sink: Some(sink) }
}

fn file_from_wire(problems: &mut Problems, op: &str, format: FileFormat, wire: v1::FileSink) -> FileSink {
    let path = format!("{op}.write.{}.if_exists", format.extension());
    FileSink {
        format,
        uri: wire.uri,
        single_file: if wire.single_file {
            SingleFile::Join
        } else {
            SingleFile::Parts
        },
        if_exists: match problems.known(path, wire.if_exists) {
            Some(WireIfExists::Refuse | WireIfExists::Unspecified) | None => IfExists::Refuse,
            Some(WireIfExists::Replace) => IfExists::Replace,
        },
    }
}

fn file_to_wire(sink: &FileSink) -> v1::FileSink {
    v1::FileSink {
        uri: sink.uri.clone(),
        single_file: match sink.single_file {
            SingleFile::Parts => false,
            SingleFile::Join => true,
        },
        if_exists: match sink.if_exists {
            IfExists::Refuse => WireIfExists::Refuse,
            IfExists::Replace => WireIfExists::Replace,
        }
        .into(),
    }
}
