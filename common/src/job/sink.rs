//! Where rows are written to.

use serde::{Deserialize, Serialize};

/// Where a write op hands its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sink {
    /// Files, each row exactly once.
    File(FileSink),
    /// The worker's log, one line per row, at least once.
    Log(LogSink),
    /// The worker's standard output as CSV without a header, at least once.
    Stdout,
    /// Nowhere.
    Discard,
}

/// Files in a folder, or one file in input order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSink {
    /// How rows are written.
    pub format: FileFormat,
    /// The folder of the part files, or with `single_file` the file.
    pub uri: String,
    /// Whether the parts are joined to one file in input order.
    pub single_file: SingleFile,
    /// What happens when something is there already.
    pub if_exists: IfExists,
}

/// How rows are written to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileFormat {
    /// RFC 4180, comma, header first, quotes only where needed, `\n` between records.
    Csv,
    /// One JSON object per line.
    Jsonl,
}

impl FileFormat {
    /// Returns the ending of part files.
    pub fn extension(self) -> &'static str {
        match self {
            FileFormat::Csv => "csv",
            FileFormat::Jsonl => "jsonl",
        }
    }
}

/// What becomes of the parts when the run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SingleFile {
    /// They stay as they are, with a manifest.
    Parts,
    /// They are joined to one file in input order.
    Join,
}

/// What happens when the target exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IfExists {
    /// The job is refused.
    #[default]
    Refuse,
    /// It is replaced when the run succeeds.
    Replace,
}

/// Rows as log lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSink {
    /// The line, with `{column}` replaced by the row's value; `{{` and `}}` are braces.
    pub message: String,
}

impl LogSink {
    /// Cuts the message into texts and column names, or says what is wrong with its braces.
    pub fn pieces(&self) -> Result<Vec<MessagePiece>, String> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = self.message.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            text.push_str(&rest[..at]);
            let brace = &rest[at..];
            if brace.starts_with("{{") || brace.starts_with("}}") {
                text.push_str(&brace[..1]);
                rest = &brace[2..];
                continue;
            }
            if brace.starts_with('}') {
                return Err("a } has no { before it; write }} for a brace".to_owned());
            }
            let Some(end) = brace.find('}') else {
                return Err("a { is never closed; write {{ for a brace".to_owned());
            };
            if !text.is_empty() {
                pieces.push(MessagePiece::Text(std::mem::take(&mut text)));
            }
            pieces.push(MessagePiece::Column(brace[1..end].to_owned()));
            rest = &brace[end + 1..];
        }
        text.push_str(rest);
        if !text.is_empty() {
            pieces.push(MessagePiece::Text(text));
        }
        Ok(pieces)
    }
}

/// A piece of a log message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessagePiece {
    /// Text that is written as it is.
    Text(String),
    /// The value of a column.
    Column(String),
}
